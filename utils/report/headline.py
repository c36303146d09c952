"""The table on the first page: a few rows, gathered from the results of several tests."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from utils.reference_poses import REFERENCES
from utils.report.markdown import written_mean

COLUMNS = {"MPJPE": "mpjpe_17_mm", "N-MPJPE": "n_mpjpe_17_mm", "P-MPJPE": "p_mpjpe_17_mm", "yaw °": "yaw_error_degrees",
           "vertices": "vertex_mm"}  # fmt: skip
CURVE, POSE, MESH = "label_curve.json", "pose_open_weights{}.json", "mesh_open_weights.json"
SCRATCH, FROZEN = "supervised from scratch", "stage 1, frozen"


class Row(NamedTuple):
    """One line of the table on the first page."""

    title: str
    reads: str
    """Which joints of S1 were read, and what else."""
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
)
ABOUT = (
    "yaw: error of the heading; vertices: mean distance of the body's, about the pelvis. Crops about the true pelvis "
    "where not said otherwise. (a): one frame in 4, two seeds, network and augmentation of the demo, MPJPE was not "
    "stored; others: all frames. Supervised rows read the pictures and joints of S1 alone; all others read pixels, "
    "cameras, pelvis and masks of the training people as well (5 for the demo; 17 for the committed weights, some with "
    "hair and face of a test person), and the body the prior. Oracles are told what no picture tells. Brackets: 95 % "
    "bootstrap over sequences, in (a) and seeds."
)


def measures(row: Row, results: Path) -> dict[str, Any]:
    """Find the intervals of a line."""
    found = json.loads((results / row.file).read_text())
    for key in row.place:
        found = found[key]
    return found


def headline(results: Path) -> str:
    """Write the table.

    Raises:
        FileNotFoundError: a result is not there.
    """
    lines = [f"| | joints of S1 | {' | '.join(COLUMNS)} |", "|---" * (2 + len(COLUMNS)) + "|"]
    for row in ROWS:
        found = measures(row, results)
        cells = [written_mean(found[key]) if key in found else "–" for key in COLUMNS.values()]
        lines.append(f"| {row.title} | {row.reads} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"<sub>{ABOUT}</sub>", ""])
