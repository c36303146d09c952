"""What the keys of metrics.json mean to a reader, and the tables that its content makes."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

UNITS = {"mm": "mm", "percent": "%", "degrees": "°", "db": "dB", "px": "px", "m": "m", "s": "s", "rad": "rad",
         "ratio": "×"}  # fmt: skip
DECIMALS = {"mm": 1, "%": 1, "°": 1, "dB": 2, "px": 1, "×": 2}
WORDS = {
    "n_mpjpe": "N-MPJPE", "p_mpjpe": "P-MPJPE", "mpjpe": "MPJPE", "pck150": "PCK@150 mm", "auc": "AUC",
    "yaw_error": "Yaw error", "l1": "L1", "psnr": "PSNR", "ssim": "SSIM", "iou": "IoU", "pa_vertex": "P-vertex error",
    "vertex": "Vertex error", "in_box": "in the person's box", "image": "whole image",
}  # fmt: skip
"""How parts of a key are written; other parts keep their words."""
HIGHER_IS_BETTER = ("pck", "auc", "psnr", "ssim", "iou", "accuracy", "soft_iou")
LOWER_IS_BETTER = ("mpjpe", "error", "distance", "l1_", "loss", "vertex", "beyond")
JOINT_COUNTS = ("17", "16", "14", "24")
HEADLINES = (
    "mpjpe_17_mm", "n_mpjpe_17_mm", "p_mpjpe_17_mm", "yaw_error_degrees", "vertex_mm", "iou_all_views_percent",
    "psnr_db_in_box", "ssim_in_box", "l1_in_box",
)  # fmt: skip
"""Shown first, where they exist; else the first few keys."""
MOST_HEADLINES = 6
GROUP_TITLES = {
    "overall": "this run",
    "predicted": "this run",
    "per_action": "by action",
    "by_facing": "by facing direction",
    "front_side_away": "front, side, away",
    "by_posture": "by posture",
    "auc": "AUC, real against corrupted poses",
}
RATIO = "_over_"
"""Part of the name of a dictionary that holds ratios of errors, which have no unit."""
RULES = "rules"
"""The dictionary of sentences that say how frames were sorted."""
OVERALL = "overall"
"""The group of a predictor's dictionary that holds its errors over all frames."""
FACING = {
    "0": "towards the camera", "45": "towards, to the right", "90": "to the right", "135": "away, to the right",
    "180": "away from the camera", "225": "away, to the left", "270": "to the left", "315": "towards, to the left",
}  # fmt: skip
"""Degrees that a person is turned to their own left from facing the camera, and where that is in the picture."""


class MeasureName(NamedTuple):
    """One key of a metrics file."""

    key: str
    name: str
    detail: str
    """Which joints, where the key tells."""
    unit: str
    better: str
    """lower, higher, or empty where the key does not tell."""


class Estimate(NamedTuple):
    """A number with the bounds of its interval, if it has one."""

    mean: float
    low: float | None = None
    high: float | None = None


class Row(NamedTuple):
    """One line of a table."""

    name: str
    sizes: dict[str, int]
    """num_frames, num_sequences, ... without their num_."""
    cells: dict[str, Estimate]


class Table(NamedTuple):
    """Rows that share measures."""

    title: str
    rows: list[Row]
    of: str = ""
    """The predictor, if it is another than the run itself."""

    @property
    def measures(self) -> list[MeasureName]:
        """List the measures of all rows, each once."""
        return [measure_name(key) for key in dict.fromkeys(key for row in self.rows for key in row.cells)]

    @property
    def sizes(self) -> list[str]:
        """List the sizes of all rows, each once."""
        return list(dict.fromkeys(name for row in self.rows for name in row.sizes))

    def scale(self, key: str) -> tuple[float, float] | None:
        """Give the ends of an axis that holds all intervals of a measure; None where there is nothing to compare."""
        cells = [row.cells[key] for row in self.rows if key in row.cells]
        ends = [end for cell in cells for end in (cell.low, cell.high) if end is not None]
        return (min(ends), max(ends)) if len(cells) > 1 and len(ends) == 2 * len(cells) else None


class Summary(NamedTuple):
    """A metrics file, sorted: single facts, the predictors side by side, and tables that break a result down."""

    facts: dict[str, str]
    predictors: Table
    breakdowns: list[Table]


def measure_name(key: str) -> MeasureName:
    """Read name, unit and direction off a key such as `p_mpjpe_17_mm`."""
    first, *parts = key.split("_")
    unit = next((part for part in reversed(parts) if part in UNITS), "")
    joints = next((part for part in parts if part in JOINT_COUNTS), "")
    rest = "_".join([first, *(part for part in parts if part not in (unit, joints))])
    name = " ".join(words(rest))
    higher = any(word in key for word in HIGHER_IS_BETTER)
    lower = any(word in key for word in LOWER_IS_BETTER)
    better = "higher" if higher else "lower" if lower else ""
    return MeasureName(
        key, name[:1].upper() + name[1:], f"{joints} joints" if joints else "", UNITS.get(unit, ""), better
    )


def words(text: str) -> Iterator[str]:
    """Write the parts of a key for a reader, the longest known part first."""
    while text:
        known = next((part for part in WORDS if text == part or text.startswith(part + "_")), text.split("_")[0])
        yield WORDS.get(known, known)
        text = text[len(known) + 1 :]


def readable(name: str) -> str:
    """Write the name of a group or a setting with spaces."""
    return GROUP_TITLES.get(name, name.replace("_", " "))


def headlines(measures: list[MeasureName]) -> list[MeasureName]:
    """Choose the measures that are shown first."""
    by_key = {one.key: one for one in measures}
    chosen = [by_key[key] for key in HEADLINES if key in by_key]
    return (chosen or measures)[:MOST_HEADLINES]


def written_number(value: float, unit: str) -> str:
    """Write a value with the digits that its unit deserves."""
    if unit in DECIMALS:
        text = f"{value:.{DECIMALS[unit]}f}"
    else:
        text = f"{value:.4g}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def is_number(value: Any) -> bool:
    """Tell whether a value is a measured number."""
    return isinstance(value, float | int) and not isinstance(value, bool)


def as_cell(value: Any) -> Estimate | None:
    """Read an interval or a number; nothing else is a cell."""
    if isinstance(value, Mapping) and {"mean", "low", "high"} <= value.keys():
        return Estimate(value["mean"], value["low"], value["high"])
    return Estimate(float(value)) if is_number(value) else None


def as_row(name: str, values: Mapping[str, Any]) -> Row:
    """Read what a dictionary holds in numbers."""
    sizes = {key[4:]: value for key, value in values.items() if key.startswith("num_") and isinstance(value, int)}
    cells = {key: cell for key, value in values.items() if key[:4] != "num_" and (cell := as_cell(value))}
    return Row(name, sizes, cells)


def number_groups(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Row]]:
    """Find every dictionary that holds numbers, with the keys that lead to it."""
    for name, value in values.items():
        if isinstance(value, Mapping) and as_cell(value) is None:
            row = as_row(readable(name), value)
            if row.cells:
                yield (*path, name), row
            yield from number_groups(value, (*path, name))


def sorted_metrics(metrics: Mapping[str, Any]) -> Summary:
    """Sort the content of a metrics file by its shape alone.

    A dictionary of numbers at the top, or one called overall below another, is a predictor; others break it down.
    """
    own = {key: cell for key, value in metrics.items() if not isinstance(value, int) and (cell := as_cell(value))}
    predictors = [Row("this run", {}, own)] if own else []
    tables: dict[tuple[str, ...], list[Row]] = {}
    found = list(number_groups(metrics))
    owners = {path[:-1] for path, _ in found if path[-1] == OVERALL and len(path) > 1}
    for path, row in found:
        if len(path) == 1 and RATIO in path[0]:
            tables[path] = [in_table(path[0], row._replace(name=GROUP_TITLES[OVERALL]))]
        elif len(path) == 1 or path[-1] == OVERALL:
            predictors.append(row if len(path) == 1 else row._replace(name=readable(path[-2])))
        elif path[:-1] in owners:
            tables[path] = [in_table(path[-1], row._replace(name=readable(path[-2])))]
        else:
            tables.setdefault(path[:-1], []).append(in_table(path[-2], row))
    facts = {
        readable(name): plain_text(value)
        for name, value in metrics.items()
        if name not in own and not isinstance(value, Mapping)
    }
    facts |= {readable(name): value for name, value in metrics.get(RULES, {}).items()}
    named = [Table(readable(path[-1]), rows, owner(path)) for path, rows in tables.items()]
    return Summary(facts, Table("", predictors), named)


def owner(path: tuple[str, ...]) -> str:
    """Name the predictor that a table breaks down; empty for the run itself."""
    name = readable(path[-2]) if len(path) > 1 else ""
    return "" if name == GROUP_TITLES[OVERALL] else name


def in_table(title: str, row: Row) -> Row:
    """Name the rows of facing directions; take the units off ratios."""
    if "facing" in title:
        return row._replace(name=FACING.get(row.name, row.name))
    if RATIO in title:
        return row._replace(cells={as_ratio(key): cell for key, cell in row.cells.items()})
    return row


def as_ratio(key: str) -> str:
    """Replace the unit at the end of a key, if there is one."""
    stem, _, last = key.rpartition("_")
    return f"{stem if last in UNITS else key}_ratio"


def plain_text(value: Any) -> str:
    """Write a setting or a fact as text."""
    if isinstance(value, list | tuple):
        return ", ".join(
            f"({plain_text(item)})" if isinstance(item, list | tuple) else plain_text(item) for item in value
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
