"""The comparison of stage 2 with its baselines: predictions of many runs in, intervals and a markdown table out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from utils.artifacts import load_predictions
from utils.bootstrap import compare, mean_interval
from utils.metrics import pose_errors

MEASURES = {"N-MPJPE": "n_mpjpe_17_mm", "P-MPJPE": "p_mpjpe_17_mm", "yaw": "yaw_error_degrees"}
MEAN_POSE = "mean pose"

Errors = dict[str, Float[np.ndarray, "N"]]
Column = Mapping[str, Sequence[Errors]]
"""Per row of the table: the errors of each seed."""


class CellResult(NamedTuple):
    """What one tested run predicts, measured."""

    errors: Errors
    mean_pose_errors: Errors
    """Of the mean of the run's training labels."""
    frames: Int[np.ndarray, "N 5"]
    step: int
    """At which the tested checkpoint was written."""


def read_cell(run: Path) -> CellResult:
    """Measure the stored predictions of a run."""
    _, stored = load_predictions(run / "predictions.npz", "python sample/label_curve.py")
    true, R = (torch.from_numpy(stored[name]) for name in ("true_root_m", "R_crop_from_world"))
    mean_pose = torch.from_numpy(stored["mean_pose_root_m"]).expand_as(true)
    found, of_mean = (
        {name: values.double().numpy() for name, values in pose_errors(pose, true, R).items()}
        for pose in (torch.from_numpy(stored["predicted_root_m"]), mean_pose)
    )
    return CellResult(found, of_mean, stored["frames"], int(stored["step"]))


def stacked(seeds: Sequence[Errors], measure: str) -> Float[np.ndarray, "S N"]:
    """Put the errors of all seeds into rows."""
    return np.stack([errors[measure] for errors in seeds])


def summaries(column: Column, frames: Int[np.ndarray, "N 5"]) -> dict[str, dict[str, dict[str, float]]]:
    """Average each row of the table, with intervals over sequences and seeds."""
    return {
        row: {name: mean_interval(stacked(seeds, name), frames)._asdict() for name in MEASURES.values()}
        for row, seeds in column.items()
    }


def comparisons(
    column: Column, frames: Int[np.ndarray, "N 5"], pairs: Sequence[tuple[str, str]]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Compare pairs of rows (ours, baseline) by a paired bootstrap over sequences and seeds."""
    table = {}
    for ours, baseline in pairs:
        found = {
            name: compare(stacked(column[ours], name), stacked(column[baseline], name), frames)
            for name in MEASURES.values()
        }
        table[f"{ours} minus {baseline}"] = {
            name: {"difference": gain.difference._asdict(), "percent": gain.percent._asdict()}
            for name, gain in found.items()
        }
    return table


def markdown(
    columns: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]],
    compared: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]],
    protocol: str,
) -> str:
    """Write the table, the paired comparisons below it, and the protocol."""
    rows = list(next(iter(columns.values())))
    titles = [f"{column}: {measure}" for column in columns for measure in MEASURES]
    lines = ["| N-MPJPE / P-MPJPE in mm, yaw error in degrees | " + " | ".join(titles) + " |"]
    lines.append("|---" * (1 + len(titles)) + "|")
    for row in rows:
        cells = [written(columns[column][row][name]) for column in columns for name in MEASURES.values()]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += ["", "Paired differences, negative is better for the first:", "", "| | " + " | ".join(titles) + " |"]
    lines.append("|---" * (1 + len(titles)) + "|")
    for pair in next(iter(compared.values())):
        gains = [compared[column][pair][name] for column in columns for name in MEASURES.values()]
        cells = [f"{written(gain['difference'])}, {written(gain['percent'])} %" for gain in gains]
        lines.append(f"| {pair} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", protocol, ""])


def written(interval: Mapping[str, float]) -> str:
    """Write a mean with its 95 percent interval."""
    return f"{interval['mean']:.1f} [{interval['low']:.1f}, {interval['high']:.1f}]"
