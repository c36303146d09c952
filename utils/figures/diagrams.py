"""The diagram of the files, and what it and that of the stages are drawn with.  White ground, letters for a phone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

DIAGRAM_WIDTH = 400.0
"""Width of a diagram, in points."""
INK, GREY, PALE = "#222222", "#666666", "#f3f4f6"
STAGE = {1: "#1f6fb5", 2: "#c77700", 3: "#6d4fa3", 4: "#b8324a"}
"""Colours of the stages."""


def canvas(height: float, width: float = DIAGRAM_WIDTH) -> tuple[Figure, Axes]:
    """Open an empty page measured in points from the top left."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=200, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return figure, axes


def draw_box(axes: Axes, x: float, y: float, width: float, height: float, face: str, edge: str = "none",
        radius: float = 6.0, line: float = 1.0) -> None:  # fmt: skip
    """Draw a box with round corners."""
    shape = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(FancyBboxPatch((x, y), width, height, shape, facecolor=face, edgecolor=edge, linewidth=line))


def say(axes: Axes, x: float, y: float, words: str, size: float, colour: str = INK, across: str = "center",
        bold: bool = False, mono: bool = False) -> None:  # fmt: skip
    """Write words whose middle is at y."""
    axes.text(x, y, words, fontsize=size, color=colour, ha=across, va="center", weight="bold" if bold else "normal",
              family="monospace" if mono else "sans-serif", zorder=4)  # fmt: skip


def badge(axes: Axes, x: float, y: float, number: int, area: float, size: float) -> None:
    """Write the number of a stage on a disc of its colour."""
    axes.scatter([x], [y], s=area, color=STAGE[number], zorder=3)
    say(axes, x, y + 0.2, str(number), size, "white", bold=True)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow."""
    look = {"arrowstyle": "-|>,head_length=0.35,head_width=0.2", "color": GREY, "linewidth": 1.3, "shrinkA": 0,
            "shrinkB": 0}  # fmt: skip
    axes.annotate("", xy=end, xytext=start, arrowprops=look)


def picture(axes: Axes, image: UInt8[np.ndarray, "H W 3"], x: float, y: float, side: float) -> None:
    """Place a picture with its frame."""
    axes.imshow(image, extent=(x, x + side, y + side, y), interpolation="antialiased", zorder=2)
    axes.add_patch(Rectangle((x, y), side, side, facecolor="none", edgecolor="#b9bec5", linewidth=0.8, zorder=3))


class Entry(NamedTuple):
    """A line of the tree of files."""

    depth: int
    name: str
    about: str
    stages: tuple[int, ...] = ()
    """Who reads it."""


DATA_FILES = (
    Entry(0, "data/synthetic/", "or yours (--dataset FOLDER)"),
    Entry(1, "frames/s_01_act_02_subact_01_ca_01/", "subject, action, take, camera"),
    Entry(2, "..._000001.jpg", "pictures", (1, 2, 4)),
    Entry(2, "h36m_meta.mat", "camera, 3D joints (NaN: none)", (1, 2, 4)),
    Entry(1, "masks/<the same names>.png", "person above 128", (1, 4)),
    Entry(1, "index/", "list of frames, packed crops", (1, 2, 4)),
    Entry(1, "backgrounds/s_01_ca_01.npy", "the background without people", (1,)),
    Entry(1, "truth/", "true bodies, for tests only"),
)
RUN_FILES = (
    Entry(0, "runs/enc_dec/<name>/", "stage 1", ()),
    Entry(1, "checkpoint_best.pt", "encoder, decoder", (2, 4)),
    Entry(1, "embeddings.pkl", "latents (optional)", (2,)),
    Entry(0, "runs/pose/<name>/", "stage 2", ()),
    Entry(1, "checkpoint_best.pt", "encoder, pose head"),
    Entry(0, "runs/gan/<name>/", "stage 3", ()),
    Entry(1, "checkpoint_best.pt", "discriminator", (4,)),
    Entry(0, "runs/mesh/<name>/", "stage 4", ()),
    Entry(1, "checkpoint_best.pt", "encoder, body head"),
)
EVERY_RUN = (
    Entry(0, "in every run", ""),
    Entry(1, "config.json, history.jsonl", "settings, log"),
    Entry(1, "predictions.npz, metrics.json", "of sample/test_*.py"),
    Entry(1, "report.html", "of sample/report.py"),
)
LINE = 15.5


def tree(axes: Axes, entries: Sequence[Entry], y: float) -> float:
    """Draw a tree of files in a box; give where the next one begins."""
    draw_box(axes, 4, y, DIAGRAM_WIDTH - 8, LINE * len(entries) + 12, PALE, radius=9)
    for row, entry in enumerate(entries):
        middle = y + 14 + LINE * row
        say(axes, 14 + 14 * entry.depth, middle, entry.name, 8.2, across="left", bold=entry.depth == 0, mono=True)
        say(axes, DIAGRAM_WIDTH - 62, middle, entry.about, 7.8, GREY, "right")
        for place, number in enumerate(entry.stages):
            badge(axes, DIAGRAM_WIDTH - 50 + 16 * place, middle, number, 95, 7.4)
    return y + LINE * len(entries) + 20


def layout_figure() -> Figure:
    """Draw which files lie where, and which stages read them."""
    trees = (DATA_FILES, RUN_FILES, EVERY_RUN)
    figure, axes = canvas(sum(LINE * len(one) + 20 for one in trees) + 20)
    say(axes, DIAGRAM_WIDTH - 10, 10, "read by stage", 7.8, GREY, "right")
    y = 18.0
    for one in trees:
        y = tree(axes, one, y)
    return figure
