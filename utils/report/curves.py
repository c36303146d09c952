"""Curves of what runs logged: one small panel per term, drawn as SVG paths."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 28
"""Margins of the drawing area."""
MOST_POINTS = 400
LOG_FROM = 30.0
"""Largest over smallest value from which the axis is logarithmic."""
NOT_DRAWN = ("step", "elapsed_s")

Point = tuple[float, float]


class Tick(NamedTuple):
    """A labelled place on an axis, in units of the drawing."""

    at: float
    label: str


class Curve(NamedTuple):
    """One run's line in a panel."""

    run: int
    """Which of the shown runs."""
    path: str
    points: list[tuple[float, float, float, float]]
    """Place across and down, step, value."""


class Panel(NamedTuple):
    """One term over the steps."""

    name: str
    is_logarithmic: bool
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curves: list[Curve]
    summary: str
    """What a reader who does not see the drawing should know."""


def panels(histories: Sequence[Sequence[Mapping[str, float]]], titles: Sequence[str]) -> list[Panel]:
    """Draw every term that a run logged, the runs over each other."""
    names = dict.fromkeys(key for history in histories for record in history for key in record)
    return [panel(name, [series(history, name) for history in histories], titles)
            for name in names if name not in NOT_DRAWN]  # fmt: skip


def series(history: Sequence[Mapping[str, float]], name: str) -> list[Point]:
    """Take one term's points; of very many, means of neighbours."""
    points = [(float(record["step"]), float(record[name])) for record in history if name in record]
    size = -(-len(points) // MOST_POINTS) or 1
    blocks = [points[first : first + size] for first in range(0, len(points), size)]
    return [(block[-1][0], sum(value for _, value in block) / len(block)) for block in blocks]


def panel(name: str, lines: Sequence[list[Point]], titles: Sequence[str]) -> Panel:
    """Draw one term."""
    values = [value for line in lines for _, value in line]
    low, high = min(values), max(values)
    is_logarithmic = low > 0 and high / low > LOG_FROM
    last = max(step for line in lines for step, _ in line)
    low, high = (low, high) if high > low else (low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1))
    bottom, top = (math.log10(low), math.log10(high)) if is_logarithmic else (low, high)

    def across(step: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / (last or 1), 1)

    def down(value: float) -> float:
        height = math.log10(value) if is_logarithmic else value
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (top - height) / (top - bottom), 1)

    y_values = log_ticks(low, high) if is_logarithmic else ticks(low, high, 4)
    return Panel(
        name=name.replace("_", " "),
        is_logarithmic=is_logarithmic,
        x_ticks=[Tick(across(step), short_tick(step)) for step in ticks(0, last, 4)],
        y_ticks=[Tick(down(value), short_tick(value)) for value in y_values],
        curves=[curve(run, [(across(step), down(value), step, value) for step, value in line])
                for run, line in enumerate(lines) if line],
        summary="; ".join(f"{title}: {line[0][1]:.4g} at step {line[0][0]:g}, {line[-1][1]:.4g} at step "
                          f"{line[-1][0]:g}, lowest {min(value for _, value in line):.4g}"
                          for title, line in zip(titles, lines, strict=True) if line),
    )  # fmt: skip


def curve(run: int, points: list[tuple[float, float, float, float]]) -> Curve:
    """Join points by straight lines."""
    return Curve(run, "M" + "L".join(f"{x:g} {y:g}" for x, y, _, _ in points), points)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Choose round values inside a range: multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    apart = power * next(step for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first = math.ceil(low / apart - 1e-9)
    return [number * apart for number in range(first, math.floor(high / apart + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Choose powers of ten inside a range, with 2 and 5 times them where few lie in it."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in found if low <= value <= high]
        if len(inside) >= 3:
            break
    return inside


def short_tick(value: float) -> str:
    """Write a tick's value briefly: 12000 is 12k."""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:.6g}"
