"""Figures of benchmark results, from a benchmark's json."""

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.artifacts import must_exist
from utils.figures.common import CAPTION_SIZE, LABEL_SIZE, with_caption

MASKS, SIZE_PX = 32, 128
"""The batch whose time is drawn."""
OURS, OTHERS = "#1f6fb5", "#8a98a8"
"""Colours of our own methods and of the others."""


def silhouette_figure(path: Path) -> Figure:
    """Draw time and truth of the gradient for every way to draw silhouettes, the fastest on top.

    Raises:
        FileNotFoundError: the benchmark was not run.
        ValueError: it did not time the batch that is drawn.
    """
    must_exist(path, "python tests/benchmarks/bench_silhouette.py")
    stored = json.loads(path.read_text())
    own = min(row["vertices"] for row in stored["gradients"])
    selection = {"masks": MASKS, "size_px": SIZE_PX, "threads": 1, "vertices": own}
    rows = [row for row in stored["times"] if all(row[key] == value for key, value in selection.items())]
    if not rows:
        raise ValueError(f"{path} has no times of {MASKS} masks of {SIZE_PX} px on one thread; run the benchmark whole")
    times_ms = {row["method"]: row["forward_backward"]["cpu_ms"] for row in rows}
    names = sorted(times_ms, key=lambda name: -times_ms[name])
    found = {row["method"]: row for row in stored["gradients"] if row["vertices"] == own}
    figure = Figure(figsize=(7.2, 0.9 + 0.36 * len(names)), dpi=160, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, names, [times_ms[name] for name in names], "{:.3g}", "ms, forward + backward")
    left.set_xscale("log")
    left.set_xlim(min(times_ms.values()) / 2, max(times_ms.values()) * 4)
    _bars(right, names, [found[name]["cosine"] for name in names], "{:.4f}", "cosine of gradient and true gradient")
    right.set_xlim(min(row["cosine"] for row in found.values()) - 0.02, 1.012)
    return with_caption(figure, _caption(stored["hardware"], own))


def _bars(axes: Axes, names: list[str], values: list[float], form: str, title: str) -> None:
    bars = axes.barh(names, values, color=[OURS if name.startswith("ours") else OTHERS for name in names])
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=LABEL_SIZE)
    axes.tick_params(labelsize=LABEL_SIZE)
    axes.set_xlabel(title, fontsize=CAPTION_SIZE)
    axes.spines[["top", "right"]].set_visible(False)


def _caption(hardware: dict[str, Any], vertices: int) -> str:
    return (
        f"{MASKS} masks of {SIZE_PX} px, body of {vertices:,} vertices, one thread, processor time "
        f"({hardware['processor']}); true gradient: differences of brute force. The right axis does not begin at 0."
    )
