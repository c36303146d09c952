"""The table on the first page: a few rows, gathered from the results of several tests."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from utils.reference_poses import REFERENCES
from utils.report.markdown import written_mean
from utils.tiers import NOT_RECORDED

COLUMNS = {"MPJPE": "mpjpe_17_mm", "N-MPJPE": "n_mpjpe_17_mm", "P-MPJPE": "p_mpjpe_17_mm", "yaw °": "yaw_error_degrees",
           "vertices": "vertex_mm"}  # fmt: skip
CURVE, POSE, MESH = "label_curve.json", "pose_open_weights{}.json", "mesh_open_weights.json"
MAPS = "pose_open_pose{}.json"
SCRATCH, FROZEN = "supervised from scratch", "stage 1, frozen"


class Row(NamedTuple):
    """One line of the table on the first page."""

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
    Row("supervised from scratch (a)", "all", CURVE, ("columns", "all labels", SCRATCH)),
    Row("demo: stage 1 frozen, then pose (a)", "all", CURVE, ("columns", "all labels", FROZEN)),
    Row("demo: the same, fine-tuned (a)", "all", CURVE, ("columns", "all labels", "stage 1, fine-tuned")),
    Row("supervised from scratch (a)", "3 sequences", CURVE, ("columns", "3 sequences", SCRATCH)),
    Row("demo: stage 1 frozen, then pose (a)", "3 sequences", CURVE, ("columns", "3 sequences", FROZEN)),
    Row("committed weights: pose", "all", POSE.format(""), ("metrics", "overall")),
    Row("the same, crop on the masks of four cameras", "all", POSE.format("_masks"), ("metrics", "overall")),
    Row("the same, crop on the box of the one picture", "all", POSE.format("_box"), ("metrics", "overall")),
    Row("committed weights: body", "all", MESH, ("metrics", "overall")),
    Row("heat maps, labels of S1 and bodies off masks (b)", "all", MAPS.format("_pelvis"), ("metrics", "overall")),
    Row("the same, crop on the masks of four cameras (b)", "all", MAPS.format(""), ("metrics", "overall")),
    Row("the same, crop on the box of the one picture (b)", "all", MAPS.format("_box"), ("metrics", "overall")),
)
ABOUT = (
    "reads: whose data the training and the stages before it read; root: the true pelvis of people whose joints are "
    "not read (5 for the demo; 17 for the committed weights, some with hair and face of a test person). yaw: error "
    "of the heading; vertices: mean distance of the body's, about the pelvis. Crops, in training and test, about the "
    "true pelvis where not said otherwise: the default when these rows were measured; the default now are the masks. "
    "(a): one frame in 4, two seeds, network and augmentation of the demo, MPJPE was not stored. (b): trained with "
    "crops about the masks, one seed, one frame in 4. Others: all frames. Oracles are told what no picture tells. "
    "Brackets: 95 % bootstrap over sequences, in (a) and seeds."
)


def measures(row: Row, stored: dict[str, Any]) -> dict[str, Any]:
    """Find the intervals of a line in its file."""
    found = stored
    for key in row.place:
        found = found[key]
    return found


def tier(row: Row, stored: dict[str, Any]) -> str:
    """Find what a line was made from: files of several rows tell it by row, those of a test of its network."""
    by_row = stored.get("tiers", {}) | stored.get("tier_of", {})
    return by_row.get(row.place[-1], stored.get("tier", NOT_RECORDED))


def headline(results: Path) -> str:
    """Write the table.

    Raises:
        FileNotFoundError: a result is not there.
    """
    lines = [f"| | reads | joints of S1 | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
    for row in ROWS:
        stored = json.loads((results / row.file).read_text())
        found = measures(row, stored)
        cells = [written_mean(found[key]) if key in found else "–" for key in COLUMNS.values()]
        lines.append(f"| {row.title} | {tier(row, stored)} | {row.joints} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"<sub>{ABOUT}</sub>", ""])
