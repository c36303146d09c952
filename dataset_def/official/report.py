"""Says what was converted, what is missing and what deserves a second look."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from config import ConvertConfig
from dataset_def.h36m_files import folder_key
from dataset_def.official.download_files import Found
from dataset_def.official.write_view import Outcome, is_complete, place_of
from utils.artifacts import commit, whole_file
from utils.settings import DATA_PLACES, flags, short

MISPLACED = {9: (5, 10, 13, 15)}
"""Subject and actions (Greeting, SittingDown, Waiting, WalkDog) in which parts of the ground truth lie beside the
person.  Source: known from the literature on this data set; frames_off_mask measures it."""
MAX_LINES = 8
USUAL_PX = 0.5
"""Median distance to the download's own projections.  Source: 0.05 to 0.19 pixels on the real data."""
MANY_OFF_MASK = 0.1
"""Share of a folder's frames whose joints lie beside the mask that is worth a line."""


def notes(config: ConvertConfig, found: Found) -> dict[str, dict[str, Any]]:
    """Read what was counted when the folders were written, for those that are there."""
    read = {}
    for recording in found.recordings:
        if is_complete(config, recording.folder):
            path = place_of(config, recording.folder).note
            read[recording.folder] = json.loads(path.read_text()) if path.is_file() else {}
    return read


def make_report(config: ConvertConfig, found: Found, outcomes: list[Outcome]) -> dict[str, Any]:
    """Collect everything worth knowing about the conversion."""
    folders = notes(config, found)
    off = {name: note["frames_off_mask"] for name, note in folders.items() if note.get("frames_off_mask")}
    return {
        "every": config.every,
        "frames": sum(note.get("frames", 0) for note in folders.values()),
        "commit": commit(),
        "new": sorted(one.folder for one in outcomes if not one.problem),
        "problems": {one.folder: one.problem for one in outcomes if one.problem},
        "missing": found.missing,
        "skipped": found.skipped,
        "spelled_otherwise": found.spelled,
        "known_misplaced_labels": [name for name in folders if is_misplaced(name)],
        "many_frames_off_mask": {name: n for name, n in off.items() if n > MANY_OFF_MASK * folders[name]["frames"]},
        "folders": folders,
    }


def is_misplaced(folder: str) -> bool:
    """Tell whether a folder is one of those with misplaced ground truth."""
    key = folder_key(folder)
    return key is not None and key[1] in MISPLACED.get(key[0], ())


def save_report(path: Path, report: dict[str, Any]) -> None:
    """Write the report as json."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


def counted(reasons: dict[str, str], what: str) -> list[str]:
    """Give one line per reason, with the number of folders and the first of them."""
    first = {why: folder for folder, why in reversed(reasons.items())}
    counts = Counter(reasons.values()).most_common()
    text = [f"{what} {count:4d} ({first[why]}): {why}" for why, count in counts[:MAX_LINES]]
    rest = sum(count for _, count in counts[MAX_LINES:])
    return [*text, f"{what} {rest:4d} more, see report.json"] if rest else text


def lines(config: ConvertConfig, report: dict[str, Any]) -> list[str]:
    """Write the report for a reader."""
    text = [f"{len(report['folders'])} folders, {report['frames']} frames (every {config.every}.) in "
            f"{short(config.paths.h36m_location)}, {len(report['new'])} of them new"]  # fmt: skip
    text += counted(report["problems"], "damaged ")
    text += counted(report["missing"], "missing ")
    text += counted(report["skipped"], "left out")
    if report["spelled_otherwise"]:
        wanted, file = next(iter(report["spelled_otherwise"].items()))
        text.append(f"{len(report['spelled_otherwise'])} names are spelled otherwise than in metadata.xml, such as "
                    f"{wanted}: {file}")  # fmt: skip
    if report["known_misplaced_labels"]:
        text.append(f"{len(report['known_misplaced_labels'])} folders of S9 (Greeting, SittingDown, Waiting, WalkDog) "
                    "are known for ground truth that lies beside the person in parts")  # fmt: skip
    for folder, number in list(report["many_frames_off_mask"].items())[:10]:
        text.append(f"look at {folder}: in {number} of {report['folders'][folder]['frames']} frames most joints lie "
                    "beside the mask")  # fmt: skip
    errors = [note["projection_error_px"] for note in report["folders"].values() if "projection_error_px" in note]
    if errors:
        unusual = f"; up to {USUAL_PX} is usual, so look at metadata.xml" if max(errors) > USUAL_PX else ""
        text.append(f"calibration: the download's own projections are met to {max(errors):.3f} pixels (worst median "
                    f"of {len(errors)} folders{unusual})")  # fmt: skip
    if report["folders"]:
        text.append("next: " + next_command(config))
    return text


def next_command(config: ConvertConfig) -> str:
    """Give the command that goes on with these frames."""
    places = flags(config.paths, *DATA_PLACES)
    return f"python dataset_def/h36m_preprocess.py --every {config.every}{places}"
