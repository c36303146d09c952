"""What each loss of stage 4 brings: tested runs in, a table with intervals and paired differences out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from config import MeshAblationConfig
from utils.artifacts import load_metrics, load_predictions, save_result, whole_file
from utils.bootstrap import Statistic, difference_interval, mean_interval, median_interval
from utils.label_table import written
from utils.metrics import FRONT_DEGREES
from utils.report.summaries import BACKWARDS_DEGREES

COMMAND = "python sample/mesh_ablation.py"
MEAN_BODY = "mean body"
Row = Mapping[str, Mapping[str, float]]
"""Per key of a column: mean (or median), low, high."""


class Column(NamedTuple):
    """One measure of the table."""

    title: str
    measure: str
    statistic: Statistic = "mean"
    only_away: bool = False
    """Over those who face away from the camera, instead of all."""
    decimals: int = 1


COLUMNS = {
    "mpjpe_17_mm": Column("MPJPE mm", "mpjpe_17_mm"),
    "p_mpjpe_17_mm": Column("P-MPJPE mm", "p_mpjpe_17_mm"),
    "vertex_mm": Column("vertices mm", "vertex_mm"),
    "pa_vertex_mm": Column("aligned vertices mm", "pa_vertex_mm"),
    "iou_all_views_percent": Column("IoU %, all views (more is better)", "iou_all_views_percent"),
    "prior_score": Column("prior's score (1 is real)", "prior_score", decimals=3),
    "away_yaw_median_degrees": Column("facing away: median yaw error °", "yaw_error_degrees", "median", True),
    "away_beyond_90_degrees_percent": Column("facing away: beyond 90° %", "backwards_percent", "mean", True),
}


class MeshCell(NamedTuple):
    """What one tested run got wrong."""

    errors: dict[str, Float[np.ndarray, "N"]]
    is_away: Bool[np.ndarray, "N"]
    frames: Int[np.ndarray, "N 5"]
    step: int
    metrics: dict[str, Any]
    prior_hash: str = ""
    """Of the prior whose score is among the errors."""


def read_cell(folder: Path) -> MeshCell:
    """Read the errors that sample/test_SMPL.py stored."""
    origin, stored = load_predictions(folder / "predictions.npz", COMMAND)
    metrics = load_metrics(folder / "metrics.json", COMMAND)["metrics"]
    names = {column.measure for column in COLUMNS.values()} & stored.keys()
    errors = {name: stored[name].astype(float) for name in names}
    errors["backwards_percent"] = 100.0 * (errors["yaw_error_degrees"] > BACKWARDS_DEGREES)
    is_away = np.abs(np.rad2deg(stored["facing_rad"])) >= 180 - FRONT_DEGREES
    return MeshCell(errors, is_away, stored["frames"], int(stored["step"]), metrics,
                    origin["input_hashes"].get("prior", ""))  # fmt: skip


def values_of(seeds: Sequence[MeshCell], column: Column) -> tuple[Float[np.ndarray, "S N"], Int[np.ndarray, "N 5"]]:
    """Put a measure of all seeds into rows, with the frames that count for the column and have a truth."""
    values = np.stack([cell.errors[column.measure] for cell in seeds])
    chosen = np.isfinite(values).all(axis=0) & (seeds[0].is_away if column.only_away else True)
    return values[:, chosen], seeds[0].frames[chosen]


def known_columns(table: Mapping[str, Sequence[MeshCell]]) -> dict[str, Column]:
    """List the columns that all rows can fill."""
    cells = [cell for seeds in table.values() for cell in seeds]
    return {key: column for key, column in COLUMNS.items()
            if all(column.measure in cell.errors for cell in cells) and values_of(cells, column)[1].size}  # fmt: skip


def summarise(seeds: Sequence[MeshCell], columns: Mapping[str, Column]) -> Row:
    """Average a row over its seeds and frames, with intervals over sequences and seeds."""
    taken = {"mean": mean_interval, "median": median_interval}
    return {key: taken[column.statistic](*values_of(seeds, column))._asdict() for key, column in columns.items()}


def difference(ours: Sequence[MeshCell], baseline: Sequence[MeshCell], columns: Mapping[str, Column]) -> Row:
    """Subtract a baseline from a row by a paired bootstrap over sequences and seeds."""
    found = {}
    for key, column in columns.items():
        (mine, frames), (others, _) = values_of(ours, column), values_of(baseline, column)
        found[key] = difference_interval(mine, others, frames, column.statistic)._asdict()
    return found


def mean_body_row(cell: MeshCell, columns: Mapping[str, Column]) -> Row:
    """Take the errors of the mean body, which needs no training, from a tested run; empty if it has none."""
    found = cell.metrics.get("mean_body", {})
    away = found.get("yaw", {}).get("away", {})
    known = found.get("overall", {}) | {f"away_{key}": value for key, value in away.items()}
    known["away_yaw_median_degrees"] = away.get("median_degrees")
    return {key: known[key] for key in columns if isinstance(known.get(key), dict)}


def lines_of(rows: Mapping[str, Row], columns: Mapping[str, Column]) -> list[str]:
    """Write rows as lines of a markdown table."""
    lines = ["| | " + " | ".join(column.title for column in columns.values()) + " |", "|---" * (1 + len(columns)) + "|"]
    for name, row in rows.items():
        cells = [written(row[key], column.decimals) if key in row else "" for key, column in columns.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def protocol(config: MeshAblationConfig, cell: MeshCell) -> str:
    """Say how the numbers came about."""
    labelled, test, seen = (", ".join(f"S{number}" for number in who) for who in (
        config.subjects.labelled, config.subjects.test, config.silhouettes_of))  # fmt: skip
    score = "" if config.prior is None else (
        "The prior's score is that of the discriminator that L_gan trains against, mean over its parts. ")  # fmt: skip
    return (
        f"{len(config.seeds)} seeds of {config.steps} steps, {config.batch} labelled images of {labelled} and "
        f"{config.silhouette_batch} images of {seen} a step (masks and prior read the pelvis of everybody, no other "
        f"joint; the same images in every row, but preset `seed` sees {labelled} alone); one frozen encoder, the same "
        f"augmentation; the last step is tested. Weights: {weights_of(config)}; rows leave terms out; preset `seed` "
        "has its own head (tanh on axis-angle) and weights, but the optimiser and augmentation of the others. Tested "
        f"on {test}, whose images no training read: {len(cell.frames)} images (one frame in {config.every}, all "
        "cameras), of which "
        f"{int(cell.is_away.sum())} face away (within {FRONT_DEGREES}° of showing the back), about the pelvis, 17 "
        f"joints. {score}Brackets: 95 % bootstrap over sequences and seeds (not over encoders, which are one); "
        "differences: paired over the same sequences. The mean body averages the labelled training frames."
    )


def weights_of(config: MeshAblationConfig) -> str:
    """List the weights of the terms."""
    names = ("pose", "overlap", "outside", "reach", *(("prior",) if config.prior is not None else ()), "betas")
    return ", ".join(f"{name} {getattr(config.loss, name):g}" for name in names)


def write_table(config: MeshAblationConfig, table: Mapping[str, Sequence[MeshCell]], baseline: str) -> str:
    """Write the json and the markdown table beside it; return the latter."""
    columns, first = known_columns(table), table[baseline][0]
    rows = {name: summarise(seeds, columns) for name, seeds in table.items()}
    rows |= {MEAN_BODY: mean} if (mean := mean_body_row(first, columns)) else {}
    gains = {f"{name} minus {baseline}": difference(seeds, table[baseline], columns)
             for name, seeds in table.items() if name != baseline}  # fmt: skip
    about = protocol(config, first)
    steps = {name: [cell.step for cell in seeds] for name, seeds in table.items()}
    save_result(config.output, about, rows=rows, differences=gains, steps_of_tested_checkpoint=steps)
    told = f"Paired differences from {baseline}, negative is better but for the IoU and the prior's score:"
    text = "\n".join([*lines_of(rows, columns), "", told, "", *lines_of(gains, columns), "", about, ""])
    with whole_file(config.output.with_suffix(".md")) as partial:
        partial.write_text(text)
    return text
