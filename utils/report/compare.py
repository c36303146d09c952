"""Several runs side by side: the same measure, differences with paired intervals, settings that differ."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from utils.bootstrap import Interval, compare
from utils.report.files import shown_setting
from utils.report.frames import Frames
from utils.report.measures import HEADLINES, Estimate, Measure, Summary, measure_of
from utils.settings import flat
from utils.tiers import NOT_RECORDED

BESIDE = {"away over front": "away_over_front_{key}", "yaw": "yaw_error_{row}_{key}"}
"""Tables whose numbers are compared too, and the keys that they get."""


class TestedRun(NamedTuple):
    """One run's main result."""

    title: str
    settings: Mapping[str, Any]
    split: str
    index_hash: str
    summary: Summary | None
    frames: Frames | None
    tier: str = NOT_RECORDED


class Difference(NamedTuple):
    """What a run gains over the first: its value minus the first's."""

    mean: float
    interval: Interval | None
    """Paired, over sequences; None where the runs do not store errors of the same frames."""
    num_frames: int
    """Frames of both runs that it is taken over; 0 where it is the difference of the two means."""
    verdict: str
    """better, worse, or empty where the interval holds zero or there is none."""


class MeasureLine(NamedTuple):
    """One measure of all runs."""

    measure: Measure
    cells: list[Estimate | None]
    differences: list[Difference | None]
    """Differences from the first run, of the second run and those after it."""


class RunComparison(NamedTuple):
    """What is shown when several runs are named."""

    titles: list[str]
    lines: list[MeasureLine]
    settings: list[tuple[str, list[str]]]
    notes: list[str]


def compare_runs(runs: Sequence[TestedRun]) -> RunComparison:
    """Put the runs side by side; the first is what the others are compared with."""
    own = [main_cells(run.summary) for run in runs]
    keys = [key for key in dict.fromkeys(key for cells in own for key in cells) if sum(key in c for c in own) > 1]
    lines = [
        MeasureLine(
            measure_of(key),
            [cells.get(key) for cells in own],
            [
                measure_difference(key, runs[0], other, own[0], cells)
                for other, cells in zip(runs[1:], own[1:], strict=True)
            ],
        )
        for key in keys
    ]
    return RunComparison([run.title for run in runs], lines, differing_settings(runs), protocol_notes(runs))


def main_cells(summary: Summary | None) -> dict[str, Estimate]:
    """Take the numbers of the run itself, not of what it is compared with: headlines, ratios, yaw by facing, others."""
    if summary is None or not summary.predictors.rows:
        return {}
    own = summary.predictors.rows[0].cells
    cells = {key: own[key] for key in HEADLINES if key in own}
    for table in summary.breakdowns:
        if not table.of and table.title in BESIDE:
            cells |= {BESIDE[table.title].format(row=row.name, key=key): cell
                      for row in table.rows for key, cell in row.cells.items()}  # fmt: skip
    return cells | own


def measure_difference(
    key: str,
    first: TestedRun,
    other: TestedRun,
    first_cells: Mapping[str, Estimate],
    other_cells: Mapping[str, Estimate],
) -> Difference | None:
    """Subtract one measure of the first run from another's, paired by frame where both store it."""
    if key not in first_cells or key not in other_cells:
        return None
    pair = common_errors(key, first.frames, other.frames)
    if pair is None:
        return Difference(other_cells[key].mean - first_cells[key].mean, None, 0, "")
    baseline, ours, frames = pair
    gain = compare(ours[None], baseline[None], frames).difference
    return Difference(gain.mean, gain, len(frames), verdict(gain, measure_of(key).better))


def verdict(gain: Interval, better: str) -> str:
    """Say whether an interval lies on one side of zero, and whether that is the good one."""
    if not better or gain.low <= 0 <= gain.high:
        return ""
    return "better" if (gain.high < 0) == (better == "lower") else "worse"


def common_errors(
    key: str, first: Frames | None, other: Frames | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Find the errors of the frames that both runs were tested on: first's, other's, the frames."""
    if first is None or other is None or key not in first.errors or key not in other.errors:
        return None
    if np.array_equal(first.frames, other.frames):
        rows, other_rows = np.arange(len(first.frames)), np.arange(len(first.frames))
    else:
        keys = [list(map(tuple, found.frames.tolist())) for found in (first, other)]
        places = {frame: row for row, frame in enumerate(keys[1])}
        if len(places) < len(keys[1]) or len(set(keys[0])) < len(keys[0]):
            return None  # a frame that occurs twice has no one partner
        pairs = [(row, places[frame]) for row, frame in enumerate(keys[0]) if frame in places]
        rows, other_rows = np.array(pairs, dtype=int).reshape(-1, 2).T
    baseline, ours = first.errors[key][rows], other.errors[key][other_rows]
    known = np.isfinite(baseline) & np.isfinite(ours)
    return (baseline[known], ours[known], first.frames[rows][known]) if known.any() else None


def differing_settings(runs: Sequence[TestedRun]) -> list[tuple[str, list[str]]]:
    """List the settings that are not the same in all runs; a run without settings is left out of the question."""
    flats = [flat(dict(run.settings)) for run in runs]
    names = dict.fromkeys(name for settings in flats for name in settings if name != "name")
    table = []
    for name in names:
        values = [shown_setting(settings[name]) if name in settings else "" for settings in flats]
        if len({value for value, settings in zip(values, flats, strict=True) if settings}) > 1:
            table.append((name, values))
    return table


def protocol_notes(runs: Sequence[TestedRun]) -> list[str]:
    """Say where the runs were not measured alike."""
    notes = []
    tested = [run for run in runs if run.summary is not None]
    for run in tested[1:]:
        if run.split != tested[0].split:
            notes.append(f"{run.title} was measured on “{run.split}”, {tested[0].title} on “{tested[0].split}”.")
        if run.index_hash != tested[0].index_hash:
            notes.append(f"{run.title} and {tested[0].title} were measured on different data (the hashes of their "
                         "index differ).")  # fmt: skip
        if run.tier != tested[0].tier:
            notes.append(f"{run.title} reads {run.tier}, {tested[0].title} {tested[0].tier}: rows of two tiers, which "
                         "cannot be compared as recipes.")  # fmt: skip
    return notes
