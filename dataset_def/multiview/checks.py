"""Settles what was found against a calibration: refused in words, or accepted with a warning."""

import warnings
from collections.abc import Sequence

ACCEPT = "--accept-calibration imports it all the same"


def settle(complaints: Sequence[str], is_accepted: bool) -> None:
    """Stop if there are complaints, unless the user accepts the calibration.

    Raises:
        ValueError: all complaints in one sentence.
    """
    if not complaints:
        return
    text = "; ".join(complaints)
    if not is_accepted:
        raise ValueError(f"the calibration does not fit: {text} ({ACCEPT})")
    warnings.warn(f"the calibration is accepted although {text}", stacklevel=2)
