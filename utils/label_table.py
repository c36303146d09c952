"""The comparison of stage 2 with its baselines: predictions of many runs in, intervals and a markdown table out."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from config import LabelCurveConfig
from utils.artifacts import load_predictions, must_exist, save_result, whole_file
from utils.bootstrap import compare, mean_interval
from utils.metrics import pose_errors

MEASURES = {"N-MPJPE": "n_mpjpe_17_mm", "P-MPJPE": "p_mpjpe_17_mm", "yaw": "yaw_error_degrees"}
COMMAND = "python sample/label_curve.py"
MEAN_POSE = "mean pose"
REFERENCES = {
    "constant_pose": "constant pose: median label, facing the camera",
    "constant_pose_true_heading": "the same at the true heading (oracle)",
    "nearest_label_true_heading": "nearest label at the true heading (oracle)",
}
"""Rows that need no image (utils/reference_poses.py)."""

Errors = dict[str, Float[np.ndarray, "N"]]
Column = Mapping[str, Sequence[Errors]]
"""Per row of the table: the errors of each seed."""

Columns = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]
"""Column, row, measure -> interval."""
Compared = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]]
"""Column, pair of rows, measure -> difference and percent, each an interval."""


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
    _, stored = load_predictions(run / "predictions.npz", COMMAND)
    true, R = (torch.from_numpy(stored[name]) for name in ("true_root_m", "R_crop_from_world"))
    mean_pose = torch.from_numpy(stored["mean_pose_root_m"]).expand_as(true)
    found, of_mean = (
        as_arrays(pose_errors(pose, true, R)) for pose in (torch.from_numpy(stored["predicted_root_m"]), mean_pose)
    )
    return CellResult(found, of_mean, stored["frames"], int(stored["step"]))


def as_arrays(errors: Mapping[str, Float[torch.Tensor, "N"]]) -> Errors:
    """Take errors out of their tensors."""
    return {name: values.double().numpy() for name, values in errors.items()}


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
    columns: Columns,
    compared: Compared,
    about: str,
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
    return "\n".join([*lines, "", about, ""])


def written(interval: Mapping[str, float], decimals: int = 1) -> str:
    """Write a mean with its 95 percent interval."""
    mean, low, high = (f"{interval[name]:.{decimals}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def column_title(sequences: int) -> str:
    """Name a column by its labels."""
    return f"{sequences} sequences" if sequences else "all labels"


def protocol(config: LabelCurveConfig, num_frames: int) -> str:
    """Say how the numbers came about."""
    labelled, test = (", ".join(f"S{n}" for n in names) for names in (config.subjects.labelled, config.subjects.test))
    held_out = len(config.subjects.held_out)
    ended = (
        f"ended after {config.patience} looks of {config.loop.validate_every} steps without a better held-out error"
        if config.patience
        else "all of them; the checkpoint is the best of the looks at the held-out sequences"
    )
    every = "all frames" if config.every == 1 else f"one frame in {config.every}"
    return (
        f"Trained on labels of {labelled}: all sequences but {held_out}, or the number of sequences named; the "
        f"{held_out} held-out ones choose the checkpoint in every cell. Tested on {test}: {num_frames} images ({every} "
        f"and cameras of the index), 17 joints with the pelvis at the origin, crop as stage 1 was trained. "
        f"{len(config.seeds)} seeds, {len(config.encoders)} stage-1 encoder(s). The same augmentation and batch in "
        f"all cells; random and frozen {config.frozen_steps} steps, fine-tuned {config.finetune_steps}, from scratch "
        f"at most {config.scratch_steps} ({config.scratch_schedule} step size; {ended}). Brackets: 95 % bootstrap over "
        "sequences and seeds of stage 2, which do not cover the variation of stage 1 where it was trained once; "
        "differences: paired over the same sequences."
    )


def write_table(
    config: LabelCurveConfig, columns: Columns, compared: Compared, num_frames: int, best_steps: dict[str, int]
) -> None:
    """Write the trained rows' json."""
    about = protocol(config, num_frames)
    save_result(config.output, about, columns=columns, comparisons=compared, num_frames=num_frames,
                steps_of_tested_checkpoint=best_steps)  # fmt: skip


def write_references(config: LabelCurveConfig, columns: Columns, num_frames: int) -> Path:
    """Write the json of the rows that need no image; return its path."""
    path = config.output.with_name(f"{config.output.stem}_references.json")
    labelled, test = (", ".join(f"S{n}" for n in names) for names in (config.subjects.labelled, config.subjects.test))
    about = (
        f"Rows that need no image, {num_frames} images of {test}: the median of {labelled}'s labels, turned to one "
        "heading first; the nearest label is chosen by N-MPJPE. An oracle is told the true heading or the true pose."
    )
    save_result(path, about, columns=columns, num_frames=num_frames)
    return path


def write_markdown(output: Path, references: Path) -> str:
    """Write the markdown table beside a json of trained rows, the rows that need no image first; return it.

    Raises:
        ValueError: the two files are not about the same labels and frames.
    """
    must_exist(output, COMMAND)
    trained, untrained = (json.loads(path.read_text()) for path in (output, references))
    if list(trained["columns"]) != list(untrained["columns"]) or not _same_frames(trained, untrained["num_frames"]):
        raise ValueError(f"{output} and {references} have other columns or frames; measure both with the same "
                         f"settings: {COMMAND}")  # fmt: skip
    columns = {title: untrained["columns"][title] | rows for title, rows in trained["columns"].items()}
    text = markdown(columns, trained["comparisons"], f"{trained['protocol']} {untrained['protocol']}")
    with whole_file(output.with_suffix(".md")) as partial:
        partial.write_text(text)
    return text


def _same_frames(trained: Mapping[str, Any], num_frames: int) -> bool:
    """Compare the numbers of tested images; files written before it was stored tell it in their protocol only."""
    return trained.get("num_frames", num_frames) == num_frames and f"{num_frames} images" in trained["protocol"]
