"""The table on the first page, and the longer one of drawn people: rows gathered from the results of several tests."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from utils.reference_poses import REFERENCES
from utils.report.markdown import written_mean
from utils.tiers import NOT_RECORDED

COLUMNS = {"MPJPE": "mpjpe_17_mm", "N-MPJPE": "n_mpjpe_17_mm", "P-MPJPE": "p_mpjpe_17_mm", "yaw °": "yaw_error_degrees",
           "vertices": "vertex_mm"}  # fmt: skip
CURVE, POSE, MESH = "label_curve.json", "pose_open_weights{}.json", "mesh_open_weights.json"
MAPS = "pose_open_pose{}.json"


class Row(NamedTuple):
    """One line of the table of drawn people."""

    title: str
    joints: str
    """How many of S1's labels were read."""
    file: str
    place: tuple[str, ...]
    """Keys on the way to the measures."""


ROWS = (
    Row(REFERENCES["constant_pose"], "all", POSE.format(""), ("metrics", "constant_pose")),
    Row(REFERENCES["constant_pose_true_heading"], "all", POSE.format(""), ("metrics", "constant_pose_true_heading")),
    Row(REFERENCES["nearest_label_true_heading"], "all", POSE.format(""), ("metrics", "nearest_label_true_heading")),
    Row("committed weights: pose", "all", POSE.format(""), ("metrics", "overall")),
    Row("the same, crop on the masks of four cameras", "all", POSE.format("_masks"), ("metrics", "overall")),
    Row("the same, crop on the box of the one picture", "all", POSE.format("_box"), ("metrics", "overall")),
    Row("committed weights: body", "all", MESH, ("metrics", "overall")),
    Row("heat maps, labels of S1 and bodies off masks (a)", "all", MAPS.format("_pelvis"), ("metrics", "overall")),
    Row("the same, crop on the masks of four cameras (a)", "all", MAPS.format(""), ("metrics", "overall")),
    Row("the same, crop on the box of the one picture (a)", "all", MAPS.format("_box"), ("metrics", "overall")),
)
ABOUT = (
    "reads: whose data the training and the stages before it read; root: the true pelvis of people whose joints are "
    "not read (17 people, some with hair and face of a test person). yaw: error "
    "of the heading; vertices: mean distance of the body's, about the pelvis. Crops, in training and test, about the "
    "true pelvis where not said otherwise: the default when these rows were measured; the default now are the masks. "
    "(a): trained with crops about the masks. All frames, one seed. Oracles are told what no picture tells. "
    "Brackets: 95 % bootstrap over sequences."
)


def tier(row: "Row | FirstRow", stored: dict[str, Any]) -> str:
    """Find what a line was made from: files of several rows tell it by row, those of a test of its network."""
    by_row = stored.get("tiers", {}) | stored.get("tier_of", {})
    return by_row.get(row.place[-1], stored.get("tier", NOT_RECORDED))


def drawn_people(results: Path) -> str:
    """Write the table of drawn people.

    Raises:
        FileNotFoundError: a result is not there.
    """
    lines = [f"| | reads | joints of S1 | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
    for row in ROWS:
        stored = json.loads((results / row.file).read_text())
        found = found_in(stored, row.place)
        cells = [written_mean(found[key]) if key in found else "–" for key in COLUMNS.values()]
        lines.append(f"| {row.title} | {tier(row, stored)} | {row.joints} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"<sub>{ABOUT}</sub>", ""])


FIRST_COLUMNS = ("MPJPE", "N-MPJPE", "P-MPJPE", "yaw, median °")


class FirstRow(NamedTuple):
    """One line of the table on the first page."""

    title: str
    file: str
    place: tuple[str, ...]
    """Keys on the way to the line; a word that is no key is looked for in a list, as the name or tier of a line."""
    cells: tuple[str, ...]
    """Keys of the four columns on the way from there, joined by dots; empty where a line has no such number."""


REAL, MASKS = "real_pictures.json", "bodies_from_masks.json"
BODIES = "mesh_open_body_maps{}.json"
OF_CURVE = ("", "n_mpjpe_mm", "p_mpjpe_mm", "")
OF_LABELS = (
    ("1", "1 sequence (80)", "supervised", "the network on these labels alone"),
    ("1", "1 sequence", "stage_1_frozen", "one matrix on stage 1's points"),
    ("3", "3 sequences (240)", "supervised", "labels alone"),
    ("3", "3 sequences", "stage_1_frozen", "one matrix on stage 1's points"),
    ("S1", "all of S1 (2,160)", "supervised", "labels alone"),
    ("S1", "all of S1", "stage_1_frozen", "one matrix on stage 1's points"),
    ("S1", "all of S1", "stage_1_finetuned", "stage 1, all layers trained on the labels"),
    ("none", "no label", "ours_without_stage_1", "bodies off masks of 31 people, without stage 1"),
    ("none", "no label", "ours", "the same behind stage 1"),
    ("all", "everybody's labels", "oracle", "behind stage 1, in the place of these bodies (oracle)"),
)
"""Rows of the label curve on the first page."""
OF_REAL = ("", "n_mpjpe_mm", "p_mpjpe_mm", "yaw_median_deg")
OF_CAMERAS = ("joints_median_mm", "n_mpjpe_mm", "p_mpjpe_mm", "yaw_median_deg")
OF_TEST = ("overall.mpjpe_17_mm", "overall.n_mpjpe_17_mm", "overall.p_mpjpe_17_mm", "yaw.all.median_degrees")
OF_REFERENCE = ("mpjpe_17_mm", "n_mpjpe_17_mm", "p_mpjpe_17_mm", "")
FIRST_PAGE: dict[str, tuple[FirstRow, ...]] = {
    "Real: a man before four cameras": (
        FirstRow("one picture: 2D keypoints (heavy), lifter, fit", REAL, ("rows", "keypoints_heavy"), OF_REAL),
        FirstRow("the same, keypoints of the default network", REAL, ("rows", "keypoints"), OF_REAL),
        FirstRow("the keypoint network's own 3D, heavy", REAL, ("rows", "blazepose_heavy"), OF_REAL),
        FirstRow("one picture: this project's own network", REAL, ("rows", "pixels"), OF_REAL),
        FirstRow("four cameras: keypoints and masks", REAL, ("rows", "cameras_both"), OF_CAMERAS),
        FirstRow("four cameras: a detector's masks alone", REAL, ("rows", "cameras_masks"), OF_CAMERAS),
    ),
    "Drawn: S9 and S11, one picture, crop on its box": (
        FirstRow("constant pose at the true heading (oracle)", MAPS.format("_box"),
                 ("metrics", "constant_pose_true_heading"), OF_REFERENCE),
        FirstRow("nearest label at the true heading (oracle)", MAPS.format("_box"),
                 ("metrics", "nearest_label_true_heading"), OF_REFERENCE),
        FirstRow("heat maps: S1's labels, bodies off masks of 31 people", MAPS.format("_box"), ("metrics",), OF_TEST),
        FirstRow("bodies behind such heat maps, taught by the same", BODIES.format("_box"), ("metrics",),
                 OF_TEST),
    ),
    "Drawn: eight unseen people, one picture, crop about the masks, 64 px: what labels are worth": (
        *(FirstRow(f"{told}: {title}", CURVE, ("rows", f"{recipe} {labels}"), OF_CURVE)
          for labels, told, recipe, title in OF_LABELS),
    ),
    "Drawn: S5 to S8, four cameras": (
        FirstRow("masks alone", MASKS, ("rows", "mask_root"), ("joints_mm", "", "", "")),
    ),
}  # fmt: skip
FIRST_ABOUT = (
    "Millimetres, points about the pelvis. reads: whose data the training and the stages before it read. Real: "
    "pose2sim 0.7.0, 52 pictures, 12 limb joints about the middle of the hips, against joints triangulated from "
    "another detector's keypoints (true to 3 to 4 cm; MPJPE of four cameras: the median distance). Drawn: "
    "people of the synthetic data, not Human3.6M, whose pictures no training has read; 17 joints, one seed. Oracles"
    " are told what no picture tells. Brackets: 95 % bootstrap over sequences."
)


def found_in(stored: Any, keys: Iterable[str]) -> Any:
    """Follow keys into stored results, a list's lines by name, by tier or by recipe and labels; None where they end."""
    for key in keys:
        if isinstance(stored, list):
            stored = next((line for line in stored if key in names_of(line)), None)
        else:
            stored = stored.get(key)
        if stored is None:
            return None
    return stored


def names_of(line: dict[str, Any]) -> tuple[str | None, ...]:
    """Name a line of a list of results."""
    return line.get("name"), line.get("tier"), f"{line.get('recipe')} {line.get('labels')}"


def first_cell(line: Any, key: str) -> str:
    """Write one number, with its interval where it has one; a dash where there is none."""
    found = found_in(line, key.split(".")) if key else None
    if found is None:
        return "–"
    if isinstance(found, dict):
        return written_mean(found)
    bounds = line.get(f"{key}_interval")
    return written_mean({"mean": found, "low": bounds[0], "high": bounds[1]}) if bounds else f"{found:.1f}"


def headline(results: Path) -> str:
    """Write the table of the first page, real people first.

    Raises:
        FileNotFoundError: a result is not there.
        ValueError: a result lacks one of the lines.
    """
    lines = [f"| | reads | {' | '.join(FIRST_COLUMNS)} |", "|---" * (2 + len(FIRST_COLUMNS)) + "|"]
    for group, rows in FIRST_PAGE.items():
        lines.append(f"| **{group}** |" + " |" * (1 + len(FIRST_COLUMNS)))
        for row in rows:
            stored = json.loads((results / row.file).read_text())
            line = found_in(stored, row.place)
            if line is None:
                raise ValueError(f"{results / row.file} has nothing at {' / '.join(row.place)}; write it anew")
            reads = line.get("reads") or tier(row, stored)
            cells = [first_cell(line, key) for key in row.cells]
            lines.append(f"| {row.title} | {reads} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"<sub>{FIRST_ABOUT}</sub>", ""])
