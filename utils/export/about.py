"""What exported files say of themselves: frame, unit, tier, whose weights, which body, and the licences.

Every header is made here.  Formats without a place for words (.bvh, .trc, .mot) say it in about.json beside them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from config import ASSETS
from utils.artifacts import atomic_write
from utils.body_file import body_licence
from utils.machine import VERSION

NOT_TOLD = "not told"


class About(NamedTuple):
    """Where bodies come from, and under which terms."""

    tier: str = NOT_TOLD
    """What the training behind them read (utils/tiers.py)."""
    weights_sha256: str = ""
    """Of the checkpoint that made them; empty where there was none."""
    body_sha256: str = ""
    """Of the body file that the shape numbers belong to."""
    licence: str = NOT_TOLD

    def header(self, frame: str, unit: str) -> dict[str, str]:
        """Make the header of a file.

        Args:
            frame: its axes and its origin, in words.
        """
        return {"made_by": f"pose-from-views {VERSION}", "frame": frame, "unit": unit} | self._asdict()


def licence_of(body: Path, weights: Path | None = None) -> str:
    """Put the licences of a body file and of a checkpoint together in a sentence."""
    told = f"body: {body_licence(body) or 'not stated in its file, its owner sets the terms'}"
    if weights is None:
        return told
    return f"{told}; weights: {'MIT' if weights.parent == ASSETS else 'those of whoever trained them'}"


def write_about(folder: Path, headers: Mapping[str, Mapping[str, object]]) -> None:
    """Write about.json: the header of each file of a folder, by its name."""
    with atomic_write(folder / "about.json") as partial:
        partial.write_text(json.dumps({"format": 1, "kind": "about", "files": headers}, indent=1) + "\n")
