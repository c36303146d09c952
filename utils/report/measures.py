"""What the keys of metrics.json mean to a reader, and the tables that its content makes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Measure(NamedTuple):
    """What a reader is told about one key of a metrics file."""

    key: str
    title: str
    unit: str = ""
    decimals: int | None = None
    """None: as many as the value needs."""
    better: str = ""
    """lower, higher, or empty where neither is known to be."""
    detail: str = ""
    """Which joints."""
    title_with_unit: str = ""
    """Where the unit does not stand at the title's end."""

    @property
    def heading(self) -> str:
        """Give the title of a column: with the unit, without the detail."""
        return self.title_with_unit or f"{self.title} {self.unit}".rstrip()

    @property
    def name(self) -> str:
        """Give the title as the beginning of a line."""
        return self.title[:1].upper() + self.title[1:]


JOINT_COUNTS = ("17", "16", "14")
OF_JOINTS = (
    Measure("mpjpe_{}_mm", "MPJPE", "mm", 1, "lower"),
    Measure("n_mpjpe_{}_mm", "N-MPJPE", "mm", 1, "lower"),
    Measure("p_mpjpe_{}_mm", "P-MPJPE", "mm", 1, "lower"),
    Measure("pck150_{}_percent", "PCK@150", "%", 1, "higher"),
    Measure("auc_{}_percent", "AUC", "%", 1, "higher"),
)
"""Measured over 17, 16 and 14 joints of people or all of another skeleton; the count stands in the key."""
MEASURES = {
    one.key: one
    for one in (
        *(one._replace(key=one.key.format(count), detail=f"{count} joints")
          for count in JOINT_COUNTS for one in OF_JOINTS),
        Measure("yaw_error_degrees", "yaw error", "°", 1, "lower"),
        Measure("wrist_mm", "wrists", "mm", 1, "lower"),
        Measure("median_degrees", "median yaw error", "°", 1, "lower"),
        Measure("beyond_90_degrees_percent", "beyond 90°", "%", 1, "lower", title_with_unit="beyond 90°, %"),
        Measure("vertex_mm", "vertices", "mm", 1, "lower"),
        Measure("pa_vertex_mm", "aligned vertices", "mm", 1, "lower"),
        Measure("surface_mm", "surface", "mm", 1, "lower"),
        Measure("twist_degrees", "twist", "°", 1, "lower"),
        Measure("shape_mm", "shape at rest", "mm", 1, "lower"),
        Measure("height_mm", "height", "mm", 1, "lower"),
        Measure("iou_all_views_percent", "IoU, all views", "%", 1, "higher"),
        Measure("iou_own_view_percent", "IoU, own view", "%", 1, "higher"),
        Measure("iou_other_views_percent", "IoU, other views", "%", 1, "higher"),
        Measure("iou_true_body_percent", "IoU of the true body", "%", 1, "higher"),
        Measure("prior_score", "prior", "", 3, "higher"),
        Measure("prior_plausibility", "plausibility", "", 3, "higher"),
        Measure("between_cameras_mm", "points between cameras", "mm", 1, "lower"),
        Measure("from_their_middle_mm", "spread of points", "mm", 1),
        Measure("l1_in_box", "L1 in the box", "", None, "lower"),
        Measure("psnr_db_in_box", "PSNR in the box", "dB", 2, "higher", title_with_unit="PSNR dB in the box"),
        Measure("ssim_in_box", "SSIM in the box", "", None, "higher"),
        Measure("l1_image", "L1, whole image", "", None, "lower"),
        Measure("psnr_db_image", "PSNR, whole image", "dB", 2, "higher", title_with_unit="PSNR dB"),
        Measure("ssim_image", "SSIM, whole image", "", None, "higher"),
    )
}  # fmt: skip
"""Titles, units, decimals and directions wherever measures are printed, tabulated or drawn."""
UNITS = {"mm": "mm", "percent": "%", "degrees": "°", "db": "dB", "px": "px", "m": "m", "s": "s", "rad": "rad",
         "ratio": "×"}  # fmt: skip
"""By the part of a key that names it."""
DECIMALS = {"mm": 1, "%": 1, "°": 1, "dB": 2, "px": 1, "×": 2}
"""Of keys that stand in no table, such as ratios and what a later test measures."""
WORDS = {"p_mpjpe": "P-MPJPE", "n_mpjpe": "N-MPJPE", "mpjpe": "MPJPE", "pa_vertex": "aligned vertices",
         "vertex": "vertices", "l1": "L1", "psnr": "PSNR", "ssim": "SSIM", "iou": "IoU", "auc": "AUC"}  # fmt: skip
"""How parts of such keys are written; other parts keep their words."""
HIGHER_IS_BETTER = ("pck", "auc", "psnr", "ssim", "iou", "accuracy", "soft_iou")
LOWER_IS_BETTER = ("mpjpe", "error", "distance", "l1_", "loss", "vertex", "wrist", "beyond", "surface_mm",
                   "twist_degrees", "shape_mm", "height_mm", "between_cameras")  # fmt: skip
HEADLINES = (
    "mpjpe_17_mm", "n_mpjpe_17_mm", "p_mpjpe_17_mm", "yaw_error_degrees", "vertex_mm", "iou_all_views_percent",
    "psnr_db_in_box", "ssim_in_box", "l1_in_box", "between_cameras_mm",
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
    def measures(self) -> list[Measure]:
        """List the measures of all rows, each once."""
        return [measure_of(key) for key in dict.fromkeys(key for row in self.rows for key in row.cells)]

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


def measure_of(key: str) -> Measure:
    """Look a key up; of a key that stands in no table, read title, unit and direction off its words."""
    if key in MEASURES:
        return MEASURES[key]
    for one in OF_JOINTS:
        if number := re.fullmatch(one.key.format(r"(\d+)"), key):
            return one._replace(key=key, detail=f"{number.group(1)} joints")
    first, *parts = key.split("_")
    unit = next((part for part in reversed(parts) if part in UNITS), "")
    joints = next((part for part in parts if part in (*JOINT_COUNTS, "24")), "")
    rest = "_".join([first, *(part for part in parts if part not in (unit, joints))])
    higher = any(word in key for word in HIGHER_IS_BETTER)
    lower = any(word in key for word in LOWER_IS_BETTER)
    written = UNITS.get(unit, "")
    return Measure(
        key,
        " ".join(words(rest)),
        written,
        DECIMALS.get(written),
        "higher" if higher else "lower" if lower else "",
        f"{joints} joints" if joints else "",
    )


def headings(keys: Iterable[str]) -> dict[str, str]:
    """Give the titles of a table's columns, and the keys below them."""
    return {measure_of(key).heading: key for key in keys}


def joint_counts(measured: Iterable[str]) -> tuple[str, ...]:
    """Say over how many joints errors were averaged: 17, 16 and 14 of people, else all of another skeleton."""
    found = (re.fullmatch(r"mpjpe_(\d+)_mm", key) for key in measured)
    return tuple(sorted((one.group(1) for one in found if one), key=int, reverse=True)) or JOINT_COUNTS


def of_all_joints(keys: Iterable[str], measured: Iterable[str]) -> tuple[str, ...]:
    """Give keys of errors over 17 joints as they are called for the skeleton that was measured."""
    count = joint_counts(measured)[0]
    return tuple(key.replace(f"_{JOINT_COUNTS[0]}_", f"_{count}_") for key in keys)


def words(text: str) -> Iterator[str]:
    """Write the parts of a key for a reader, the longest known part first."""
    while text:
        known = next((part for part in WORDS if text == part or text.startswith(part + "_")), text.split("_")[0])
        yield WORDS.get(known, known)
        text = text[len(known) + 1 :]


def readable(name: str) -> str:
    """Write the name of a group or a setting with spaces."""
    return GROUP_TITLES.get(name, name.replace("_", " "))


def headlines(measures: list[Measure]) -> list[Measure]:
    """Choose the measures that are shown first."""
    by_key = {one.key: one for one in measures}
    chosen = [by_key[key] for key in of_all_joints(HEADLINES, by_key) if key in by_key]
    return (chosen or measures)[:MOST_HEADLINES]


def written_number(value: float, decimals: int | None) -> str:
    """Write a value with so many decimals, or with the digits that it needs."""
    if decimals is not None:
        text = f"{value:.{decimals}f}"
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
