"""Gather the numbers that everything is judged by into one small file; what was not measured is not in it.

    python tests/benchmarks/summary.py

Reads   tests/benchmarks/results/pose_open_pose*.json (sample/test_pose.py through sample/tools/make_readme.py)
Writes  tests/benchmarks/results/summary.json
"""

import json
from pathlib import Path
from typing import Any

import tyro

from config import ROOT
from utils.artifacts import save_result

RESULTS = ROOT / "tests" / "benchmarks" / "results"
KEYS = {"n_mpjpe_mm": "n_mpjpe_17_mm", "p_mpjpe_mm": "p_mpjpe_17_mm", "wrist_mm": "wrist_mm",
        "yaw_mean_deg": "yaw_error_degrees"}  # fmt: skip
PROTOCOL = (
    "S9 and S11 of the embedded data, 17 joints about the pelvis, one view, no mirrored image; weights: "
    "models/assets/open_pose.pt, one seed, crop about the true pelvis but for box_; only what was measured is here"
)


def numbers(results: Path, suffix: str) -> dict[str, float]:
    """Take the means of one test."""
    overall = json.loads((results / f"pose_open_pose{suffix}.json").read_text())["metrics"]["overall"]
    return {name: round(overall[key]["mean"], 2) for name, key in KEYS.items()}


def summary(results: Path) -> dict[str, Any]:
    """Gather what the results folder holds."""
    pelvis, box = numbers(results, "_pelvis"), numbers(results, "_box")
    tier = json.loads((results / "pose_open_pose.json").read_text())["tier"]
    return {"weights": pelvis | {"box_n_mpjpe_mm": box["n_mpjpe_mm"], "reads": tier}}


def main(results: Path = RESULTS) -> None:
    """Write the file."""
    save_result(results / "summary.json", PROTOCOL, **summary(results))


if __name__ == "__main__":
    tyro.cli(main)
