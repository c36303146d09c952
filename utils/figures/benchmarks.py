"""Figures of benchmark results, from a benchmark's json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.artifacts import must_exist
from utils.figures.common import CAPTION_SIZE, LABEL_SIZE, with_caption

MASKS, SIZE_PX = 32, 128
"""The batch whose time is drawn."""
LONGEST_NAME = 38
"""Letters of a line of a bar's name."""
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
    colours = [OURS if name.startswith("ours") else OTHERS for name in names]
    bars = axes.barh([fill(name, LONGEST_NAME) for name in names], values, color=colours)
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=LABEL_SIZE)
    axes.tick_params(labelsize=LABEL_SIZE)
    axes.set_xlabel(title, fontsize=CAPTION_SIZE)
    axes.spines[["top", "right"]].set_visible(False)


def _caption(hardware: dict[str, Any], vertices: int) -> str:
    return (
        f"{MASKS} masks of {SIZE_PX} px, body of {vertices:,} vertices, one thread, processor time "
        f"({hardware['processor']}); true gradient: differences of brute force. The right axis does not begin at 0."
    )


CURVES = {
    "retrieval": ("nearest label (oracle)", "#8a98a8", ":"), "supervised": ("labels alone", "#d1495b", "-"),
    "imagenet": ("ImageNet features, labels alone", "#d1495b", "--"),
    "rhodin": ("rhodin", "#8a98a8", "-"), "seed": ("seed", "#8a98a8", "--"),
    "stage_1_frozen": ("stage 1, one matrix", "#62a8e5", "-"), "stage_1_finetuned": ("stage 1, trained on", OURS, "-"),
    "ours_without_stage_1": ("fits of masks, no stage 1", "#3a7d44", "--"),
    "ours": ("stage 1 and fits of masks", "#3a7d44", "-"), "oracle": ("true labels of everybody", "#222222", "-"),
}  # fmt: skip
"""Title, colour and line of the recipes that are drawn."""
LABELS = {"none": "none", "1": "1 sequence", "3": "3", "10": "10", "S1": "all of S1", "all": "everybody's"}


def label_curve_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the error of every recipe over the labels that it reads, with its interval."""
    figure = Figure(figsize=(7.2, 4.2), dpi=160, layout="constrained")
    axes, places = figure.subplots(), list(LABELS)
    for recipe, (title, colour, line) in CURVES.items():
        mine = [row for row in rows if (row["recipe"], row["budget"], row["views"]) == (recipe, "plateau", 1)]
        mine.sort(key=lambda row: places.index(row["labels"]))
        if not mine:
            continue
        at, mean = [places.index(row["labels"]) for row in mine], [row["n_mpjpe_mm"] for row in mine]
        low, high = (np.array([row["n_mpjpe_mm_interval"][end] for row in mine]) for end in (0, 1))
        axes.errorbar(at, mean, [mean - low, high - mean], label=title, color=colour, linestyle=line, marker="o",
                      markersize=3, capsize=2, linewidth=1.2)  # fmt: skip
    axes.set_xticks(range(len(places)), list(LABELS.values()), fontsize=LABEL_SIZE)
    axes.tick_params(labelsize=LABEL_SIZE)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("N-MPJPE of unseen people, mm", fontsize=CAPTION_SIZE)
    axes.set_xlabel("labels", fontsize=CAPTION_SIZE)
    axes.legend(fontsize=LABEL_SIZE, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
