"""Named points over time: .trc as OpenSim reads it (y up, metres), .c3d as motion laboratories have it (z up, mm).

Source: OpenSim documentation, Marker (.trc) Files; C3D user guide, Motion Lab Systems, 2008 (by way of ezc3d).
"""

import importlib.util
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from utils.artifacts import atomic_write
from utils.export.rig import Y_UP_FROM_Z_UP

MILLIMETRES = 1000.0
"""Per metre; laboratories' programs take .c3d for millimetres, some without looking at its unit."""
C3D_REMEDY = 'pip install -e ".[c3d]"'
LONGEST_TEXT = 255
"""Characters of one entry of a .c3d, whose lengths are single bytes; longer texts become several entries."""


def write_trc(
    path: Path,
    names: tuple[str, ...],
    places_m: Iterable[Float[np.ndarray, "t N 3"]],
    count: int,
    frames_per_second: float,
) -> None:
    """Write points with y up as a table of text, to a hundredth of a millimetre.

    Args:
        places_m: some frames at a time.
        count: of all frames.
    """
    rate, every_m = f"{frames_per_second:.9g}", chain.from_iterable(places_m)
    heads = ("DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame",
             "OrigNumFrames")  # fmt: skip
    values = (rate, rate, count, len(names), "m", rate, 1, count)
    axes = "\t".join(f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ")
    lines = (f"PathFileType\t4\t(X/Y/Z)\t{path.name}", "\t".join(heads), "\t".join(map(str, values)),
             "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t", "\t\t" + axes, "")  # fmt: skip
    with atomic_write(path) as partial, open(partial, "w") as stream:
        stream.writelines(line + "\n" for line in lines)
        for number, frame_m in enumerate(every_m):
            numbers = "\t".join(f"{value:.5f}" for value in frame_m.reshape(-1).tolist())
            stream.write(f"{number + 1}\t{number / frames_per_second:.6f}\t{numbers}\n")


def needs_ezc3d() -> None:
    """Stop where ezc3d is not installed.

    Raises:
        ValueError: with the command that installs it.
    """
    if importlib.util.find_spec("ezc3d") is None:
        raise ValueError(f".c3d files are written with ezc3d, which is not installed; install it with: {C3D_REMEDY}")


def write_c3d(
    path: Path,
    names: tuple[str, ...],
    places_m: Float[np.ndarray, "T N 3"],
    frames_per_second: float,
    header: Mapping[str, str],
) -> None:
    """Write points, given with y up, as .c3d with z up.

    Args:
        header: what the file says of itself (utils/export/about.py).
    Raises:
        ValueError: ezc3d is not installed.
    """
    needs_ezc3d()
    import ezc3d

    file = ezc3d.c3d()
    points = np.ones((4, len(names), len(places_m)))
    points[:3] = MILLIMETRES * np.einsum("ab,tnb->ant", Y_UP_FROM_Z_UP.T, places_m)
    file["data"]["points"] = points
    point: dict[str, Any] = file["parameters"]["POINT"]
    point["UNITS"]["value"], point["RATE"]["value"] = ["mm"], [frames_per_second]
    point["LABELS"]["value"] = list(names)
    file.add_parameter("POINT", "X_SCREEN", ["+X"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Z"])
    for name, text in header.items():
        parts = [text[first : first + LONGEST_TEXT] for first in range(0, max(1, len(text)), LONGEST_TEXT)]
        file.add_parameter("ABOUT", name.upper(), parts)
    with atomic_write(path) as partial:
        whole = partial.with_name(f"{partial.name}.c3d")  # ezc3d appends the ending that it misses
        try:
            file.write(str(whole))
            whole.replace(partial)
        finally:
            whole.unlink(missing_ok=True)
