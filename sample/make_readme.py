"""Fill the README's tables from files that other commands wrote.  No number enters the README by hand.

    python sample/make_readme.py --metrics runs/enc_dec/make_demo/metrics.json runs/pose/make_demo/metrics.json

Reads   metrics.json (sample/test_enc_dec.py, sample/test_pose.py), report.json (dataset_def/import_multiview.py),
        tests/benchmarks/results/*
Writes  tests/benchmarks/results/{<stage>_<run>,<recording>_import}.json, README.md between its marks
"""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

from config import ReadmeConfig, start
from utils.artifacts import load_metrics, must_exist, whole_file

NOVEL_VIEWS = {"L1 in the box": "l1_in_box", "PSNR dB in the box": "psnr_db_in_box", "SSIM in the box": "ssim_in_box",
               "L1": "l1_image", "PSNR dB": "psnr_db_image", "SSIM": "ssim_image"}  # fmt: skip
POSE = {"MPJPE mm": "mpjpe_17_mm", "N-MPJPE mm": "n_mpjpe_17_mm", "P-MPJPE mm": "p_mpjpe_17_mm",
        "PCK@150 %": "pck150_17_percent", "yaw error °": "yaw_error_degrees"}  # fmt: skip

REPORT = ("cameras", "median_error_as_calibrated_px", "median_error_refined_px", "turned_rad", "used_share")


def table(rows: dict[str, dict[str, Any]], columns: dict[str, str]) -> str:
    """Write means with their intervals as a markdown table."""
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for name, found in rows.items():
        cells = [
            f"{found[key]['mean']:.4g} [{found[key]['low']:.4g}, {found[key]['high']:.4g}]" for key in columns.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def metrics_block(path: Path) -> str:
    """Write one test's table with its protocol and origin."""
    stored = load_metrics(path, "python sample/make_readme.py --metrics ...")
    found = stored["metrics"]
    if "predicted" in found:
        text = table({name: row for name, row in found.items() if isinstance(row, dict)}, NOVEL_VIEWS)
    else:
        text = table({"predicted": found["overall"], "mean pose of the training labels": found["mean_pose"]}, POSE)
    return f"{text}\n\n{stored['split']}; step {found['step']}. Brackets: 95 % bootstrap over sequences. `{path.name}`."


def load_report(path: Path) -> dict[str, Any]:
    """Read the report of an imported recording."""
    must_exist(path, "python dataset_def/import_multiview.py")
    report = json.loads(path.read_text())
    missing = [key for key in REPORT if key not in report]
    if missing:
        raise ValueError(f"{path} is no report of dataset_def/import_multiview.py: it lacks {', '.join(missing)}")
    return report


def report_block(path: Path) -> str:
    """Write how well the triangulated joints reproject in each camera, before and after the refinement."""
    report = load_report(path)
    lines = ["| camera | median error as calibrated, px | refined, px | turned by, ° | used, % |", "|---" * 5 + "|"]
    for camera, before_px, after_px, turned_rad, share in zip(*(report[key] for key in REPORT), strict=True):
        cells = (camera, f"{before_px:.1f}", f"{after_px:.1f}", f"{math.degrees(turned_rad):.2f}", f"{100 * share:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nReprojection of joints triangulated from the 2D keypoints. `{path.name}`."


def block(path: Path) -> str:
    """Write what a kept file says, as the README shows it."""
    if path.suffix == ".md":
        return path.read_text().strip()
    return report_block(path) if path.stem.endswith("_import") else metrics_block(path)


def filled(text: str, results: Path) -> str:
    """Replace every marked block by what its file says; blocks whose file is missing stay."""

    def fill(match: re.Match[str]) -> str:
        path = results / match["file"]
        if not path.exists():
            return match[0]
        return f"<!-- begin {match['file']} -->\n{block(path)}\n<!-- end {match['file']} -->"

    return re.sub(r"<!-- begin (?P<file>\S+) -->.*?<!-- end (?P=file) -->", fill, text, flags=re.DOTALL)


def main(config: ReadmeConfig) -> str:
    """Keep the given metrics and reports, fill the README, and return its text."""
    config.results_location.mkdir(parents=True, exist_ok=True)
    for path in config.metrics:
        load_metrics(path, "the test script")  # refuses a file of another kind
        suffix = path.stem.removeprefix("metrics")  # metrics_masks.json: another crop centre
        shutil.copyfile(path, config.results_location / f"{path.parent.parent.name}_{path.parent.name}{suffix}.json")
    for path in config.reports:
        load_report(path)
        shutil.copyfile(path, config.results_location / f"{path.parent.parent.name}_import.json")
    text = filled(config.readme.read_text(), config.results_location)
    with whole_file(config.readme) as partial:
        partial.write_text(text)
    return text


if __name__ == "__main__":
    start(main, ReadmeConfig)
