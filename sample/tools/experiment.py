"""Runs an experiment: trainings that differ by row, column and seed, each trained and tested once, and their table.

A cell is one training run and its test.  Its folder is named after everything that its result depends on, so that an
experiment can be stopped and started again at will and a finished cell is never taken for another.
sample/tools/label_curve.py and sample/tools/mesh_ablation.py say which cells there are and what is measured.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from config import MeshConfig, PoseConfig
from utils.artifacts import atomic_write
from utils.bootstrap import Statistic, difference_interval, mean_interval, median_interval
from utils.report.measures import MEASURES
from utils.report.summaries import written_interval
from utils.tiers import NOT_RECORDED

Recipe = TypeVar("Recipe", bound=str)
Settings = TypeVar("Settings", PoseConfig, MeshConfig)
Row = Mapping[str, Mapping[str, float]]
"""Mean (or median), low and high, by the key of a column."""


class Cell(NamedTuple, Generic[Recipe]):
    """One training run of an experiment."""

    recipe: Recipe
    """The row of the table."""
    seed: int


class Tested(NamedTuple):
    """What a tested run, or a predictor beside it, got wrong."""

    errors: Mapping[str, Float[np.ndarray, "N"]]
    """By measure; NaN where a frame has no truth."""
    frames: Int[np.ndarray, "N 5"]
    step: int = 0
    """At which the tested checkpoint was written."""
    is_away: Bool[np.ndarray, "N"] | None = None
    """Whether the person faces away from the camera, where columns ask for it."""
    more: Mapping[str, Any] = {}
    """What else the test found, for rows that need no training of their own."""
    tier: str = NOT_RECORDED
    """What it was made from (utils/tiers.py)."""


class Column(NamedTuple):
    """One measure of the table."""

    measure: str
    statistic: Statistic = "mean"
    only_away: bool = False
    """Average over people who face away from the camera, instead of all."""
    shown_as: str = ""
    """Entry of MEASURES with title and decimals, where it is not that of `measure`."""

    @property
    def heading(self) -> str:
        """Give the column's title."""
        shown = MEASURES[self.shown_as or self.measure]
        more = " (more is better)" if shown.better == "higher" else ""
        return f"{'facing away: ' if self.only_away else ''}{shown.heading}{more}"

    @property
    def decimals(self) -> int | None:
        """Give the digits behind the point."""
        return MEASURES[self.shown_as or self.measure].decimals


def fingerprint(*content: object) -> str:
    """Name a cell's folder after everything that its result depends on, in plain types."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def train_once(train: Callable[[Settings], float], settings: Settings, folder: Path, finished: Path) -> None:
    """Train what has not been finished; a run that was interrupted goes on from its last checkpoint.

    Args:
        folder: of the run that `settings` make.
        finished: exists only after the training.
    """
    if not finished.exists():
        has_begun = (folder / "checkpoint_last.pt").exists()
        loop = replace(settings.loop, resume=has_begun, overwrite=folder.exists() and not has_begun)
        train(replace(settings, loop=loop))


def run_cells(
    name: str, cells: Sequence[Cell[Recipe]], run_cell: Callable[[Cell[Recipe]], Tested], remedy: str
) -> dict[Cell[Recipe], Tested]:
    """Fill the cells one by one.

    Raises:
        ValueError: tests that were kept are of other frames; `remedy` tells what to delete.
    """
    results = {cell: run_cell(cell) for cell in tqdm(cells, desc=name, disable=None)}
    frames = results[cells[0]].frames
    if not all(np.array_equal(result.frames, frames) for result in results.values()):
        raise ValueError(f"the cells were tested on different frames; delete {remedy} and start again")
    return results


def values_of(seeds: Sequence[Tested], column: Column) -> tuple[Float[np.ndarray, "S N"], Int[np.ndarray, "N 5"]]:
    """Put a measure of all seeds into rows, with the frames that count for the column and have a truth."""
    values = np.stack([cell.errors[column.measure] for cell in seeds])
    chosen = np.isfinite(values).all(axis=0) & (seeds[0].is_away if column.only_away else True)
    return values[:, chosen], seeds[0].frames[chosen]


def summarise(seeds: Sequence[Tested], columns: Mapping[str, Column]) -> Row:
    """Average a row over its seeds and frames, with intervals over sequences and seeds."""
    taken = {"mean": mean_interval, "median": median_interval}
    return {key: taken[column.statistic](*values_of(seeds, column))._asdict() for key, column in columns.items()}


def difference(ours: Sequence[Tested], baseline: Sequence[Tested], columns: Mapping[str, Column]) -> Row:
    """Subtract a baseline from a row by a paired bootstrap over sequences and seeds."""
    found = {}
    for key, column in columns.items():
        (mine, frames), (others, _) = values_of(ours, column), values_of(baseline, column)
        found[key] = difference_interval(mine, others, frames, column.statistic)._asdict()
    return found


def tier_of_row(seeds: Sequence[Tested]) -> str:
    """Say what a row was made from; its seeds must agree."""
    return " / ".join(sorted({cell.tier for cell in seeds}))


def written_row(row: Row, columns: Mapping[str, Column]) -> list[str]:
    """Write the cells of a row; empty where it lacks a measure."""
    return [written_interval(row[key], column.decimals) if key in row else "" for key, column in columns.items()]


def table_lines(rows: Mapping[str, Sequence[str]], headings: Sequence[str]) -> list[str]:
    """Lay out rows as lines of a markdown table."""
    lines = ["| | " + " | ".join(headings) + " |", "|---" * (1 + len(headings)) + "|"]
    return [*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items())]


def write_markdown(output: Path, parts: Sequence[str]) -> str:
    """Write the lines of the markdown file beside a json; return its text."""
    text = "\n".join([*parts, ""])
    with atomic_write(output.with_suffix(".md")) as partial:
        partial.write_text(text)
    return text
