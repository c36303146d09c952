"""Gather the numbers that everything is judged by into one small file; what was not measured is not in it.

    python tests/benchmarks/summary.py

Reads   tests/benchmarks/results/{pose,mesh}_*.json (sample/test_pose.py and test_SMPL.py through
        sample/tools/make_readme.py), stage_1_probe*.json (sample/tools/probe_points.py)
Writes  tests/benchmarks/results/summary.json
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from config import ROOT
from utils.artifacts import save_result
from utils.settings import start

RESULTS = ROOT / "tests" / "benchmarks" / "results"
PROTOCOL = (
    "Embedded data, 17 joints about the pelvis, one view, no mirrored image, one seed. weights: "
    "models/assets/open_body_maps.pt on eight unseen people (S9, S11, S101 to S106; one frame in 4), "
    "weights_s9_s11: on two of these alone, all frames; weights_pose and weights_pose_s9_s11: open_pose.pt, one "
    "frame in 2 and all; demo: what make demo trains, S9 and S11; crops about the true pelvis but for box_. "
    "stage_1: S9 and S11, crops about the masks in training and test but for box_; probe: a linear map of its "
    "frozen points, whose prior four validation people chose; supervised: the same network from random weights on "
    "the same crops and labels. stage_1_pelvis: the same about everybody's true pelvis, stage 1 in one training of "
    "384k images (stage_1: 480k in parts). Only what was measured is here"
)
N, P, WRIST, YAW = "overall.n_mpjpe_17_mm", "overall.p_mpjpe_17_mm", "overall.wrist_mm", "yaw.all"


class Number(NamedTuple):
    """Where a number stands."""

    file: str
    place: str
    """Keys joined by dots, below `metrics`, or `rows` for a probe."""


def of_joints(run: str) -> dict[str, Number]:
    """Name the numbers of a network's joints, `pose_<name>` or `mesh_<name>`."""
    plain, boxed = f"{run}_pelvis.json", f"{run}_box.json"
    return {
        "n_mpjpe_mm": Number(plain, N), "p_mpjpe_mm": Number(plain, P), "box_n_mpjpe_mm": Number(boxed, N),
        "box_p_mpjpe_mm": Number(boxed, P), "wrist_mm": Number(plain, WRIST),
        "yaw_mean_deg": Number(plain, "overall.yaw_error_degrees"),
        "yaw_median_deg": Number(plain, f"{YAW}.median_degrees"),
        "beyond_90_percent": Number(plain, f"{YAW}.beyond_90_degrees_percent"),
        "p_mpjpe_away_over_facing": Number(plain, "away_over_front.p_mpjpe_17_mm"),
    }  # fmt: skip


def of_mesh(run: str) -> dict[str, Number]:
    """Name the numbers of a network of bodies."""
    file = f"mesh_{run}.json"
    return {"vertex_mm": Number(file, "overall.vertex_mm"), "pa_vertex_mm": Number(file, "overall.pa_vertex_mm"),
            "mask_iou_percent": Number(file, "overall.iou_all_views_percent")}  # fmt: skip


def of_stage_1(ending: str) -> dict[str, Number]:
    """Name the numbers that stage 1 is judged by; files of its kind of crop end so."""
    probe, found = f"stage_1_probe{ending}.json", {}
    for name, row in {"s1": "all labels", "3": "3 sequences", "1": "1 sequences"}.items():
        found[f"probe_{name}_n_mpjpe_mm"] = Number(probe, f"{row}.n_mpjpe_17_mm")
        found[f"supervised_{name}_n_mpjpe_mm"] = Number(f"pose_supervised_{name}{ending}.json", N)
    found |= {"box_probe_s1_n_mpjpe_mm": Number(f"stage_1_probe{ending}_box.json", "all labels.n_mpjpe_17_mm"),
              "probe_s1_wrist_mm": Number(probe, "all labels.wrist_mm"),
              "probe_s1_p_mpjpe_mm": Number(probe, "all labels.p_mpjpe_17_mm"),
              "finetuned_s1_n_mpjpe_mm": Number(f"pose_finetuned_s1{ending}.json", N)}  # fmt: skip
    return found


GROUPS = {
    "weights": of_joints("mesh_open_body_maps_all") | of_mesh("open_body_maps_all_pelvis"),
    "weights_s9_s11": of_joints("mesh_open_body_maps") | of_mesh("open_body_maps_pelvis"),
    "weights_pose": of_joints("pose_open_pose_all"),
    "weights_pose_s9_s11": of_joints("pose_open_pose"),
    "demo": of_joints("pose_demo") | of_mesh("demo"),
    "stage_1": of_stage_1(""),
    "stage_1_pelvis": of_stage_1("_pelvis"),
}


def number(results: Path, wanted: Number) -> float | None:
    """Read one number, the mean where it has an interval; None where it was not measured."""
    path = results / wanted.file
    if not path.exists():
        return None
    stored = json.loads(path.read_text())
    found: Any = stored.get("metrics", stored.get("rows"))
    for key in wanted.place.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return round(found["mean"], 2)


def summary(results: Path) -> dict[str, dict[str, float]]:
    """Gather what the results folder holds."""
    read = {group: {key: number(results, one) for key, one in wanted.items()} for group, wanted in GROUPS.items()}
    known = {group: {key: one for key, one in line.items() if one is not None} for group, line in read.items()}
    return {group: line for group, line in known.items() if line}


@dataclass(frozen=True)
class SummaryConfig:
    """tests/benchmarks/summary.py: the numbers that everything is judged by, in one small file."""

    results: Path = RESULTS
    """Folder with what was measured; the file goes there, too."""


def main(config: SummaryConfig) -> None:
    """Write the file.

    Raises:
        FileNotFoundError: the folder holds none of the numbers.
    """
    found = summary(config.results)
    if not found:
        raise FileNotFoundError(f"{config.results} holds no result that is read here, such as "
                                f"{GROUPS['weights']['n_mpjpe_mm'].file}; give another --results")  # fmt: skip
    save_result(config.results / "summary.json", PROTOCOL, **found)


if __name__ == "__main__":
    start(main, SummaryConfig)
