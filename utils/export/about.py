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
    unchecked: str = ""
    """What was given and not compared with the pictures, in words; empty for nothing."""
    gaps: str = ""
    """Of a motion: where it begins in its recording and which of its frames were bridged, in words; empty if it begins
    with the recording and all of its frames were predicted."""

    def header(self, frame: str, unit: str) -> dict[str, str]:
        """Make the header of a file.

        Args:
            frame: its axes and its origin, in words.
        """
        told = {name: text for name, text in self._asdict().items() if text or name not in ("unchecked", "gaps")}
        return {"made_by": f"pose-from-views {VERSION}", "frame": frame, "unit": unit} | told

    def of_pictures(self) -> dict[str, str]:
        """Make the header of pictures and videos, which carry no words themselves."""
        return self.header("the picture's: x right, y down, origin at its top left corner", "pixels")


def licence_of(body: Path, *weights: Path) -> str:
    """Put the licences of a body file and of checkpoints together in a sentence."""
    told = f"body: {body_licence(body) or 'not stated in its file, its owner sets the terms'}"
    ours = [path for path in weights if path.parent == ASSETS]
    if len(ours) == len(weights):
        return f"{told}; weights: MIT" if weights else told
    names = ", ".join(path.name for path in ours)
    return f"{told}; weights: {f'{names} MIT, the others ' if ours else ''}those of whoever trained them"


def licence_of_detector(what: str, kind: str, digest: str) -> str:
    """Say whose network finds keypoints, and what it was trained on.

    Args:
        what: it gives, such as keypoints and masks.
        kind: full or heavy.
    """
    return (f"{what}: BlazePose {kind} of MediaPipe (Apache-2.0), sha256 {digest}, trained by others on real pictures "
            "that are not published")  # fmt: skip


GIVEN_KEYPOINTS = "keypoints: given, under the terms of the program that found them"
"""Of keypoints that a user gives, in the licence."""


def write_about(folder: Path, headers: Mapping[str, Mapping[str, object]]) -> None:
    """Write about.json: the header of each file of a folder, by its name."""
    with atomic_write(folder / "about.json") as partial:
        partial.write_text(json.dumps({"format": 1, "kind": "about", "files": headers}, indent=1) + "\n")
