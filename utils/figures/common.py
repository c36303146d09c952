"""Pictures of results: arrays in, a matplotlib Figure out.  Nothing here shows or saves."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from utils.skeleton import H36M, Skeleton

LEFT, RIGHT, MIDDLE = "#1f6fb5", "#d1495b", "#555555"
FIGURE_VIEWS: dict[str, tuple[int, int]] = {"as the camera sees it": (0, 1), "from the camera's right": (2, 1)}
"""Title and the two crop-camera axes that run to the right and down the page."""
CAPTION_SIZE = LABEL_SIZE = 8


def with_caption(figure: Figure, caption: str) -> Figure:
    """Write what is shown (data, subject, step) under the figure."""
    figure.supxlabel(caption, fontsize=CAPTION_SIZE, wrap=True)
    return figure


def show_image(axes: Axes, image: UInt8[np.ndarray, "H W 3"], title: str = "") -> None:
    """Fill axes with an image, without ticks."""
    axes.imshow(image, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=LABEL_SIZE, pad=3)


def image_grid(columns: dict[str, UInt8[np.ndarray, "N H W 3"]], caption: str, inch: float = 1.1) -> Figure:
    """Draw one row per example and one titled column per kind of image."""
    count = len(next(iter(columns.values())))
    figure = Figure(figsize=(inch * len(columns) + 0.2, inch * count + 0.6), dpi=160, layout="constrained")
    grid = figure.subplots(count, len(columns), squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        for row in range(count):
            show_image(grid[row, column], images[row], title if row == 0 else "")
    return with_caption(figure, caption)


def image_rows(rows: dict[str, UInt8[np.ndarray, "N H W 3"]], caption: str, inch: float = 1.1) -> Figure:
    """Draw one column per example and one titled row per kind of image."""
    count = len(next(iter(rows.values())))
    figure = Figure(figsize=(inch * count + 0.4, inch * len(rows) + 0.6), dpi=160, layout="constrained")
    grid = figure.subplots(len(rows), count, squeeze=False)
    for row, (title, images) in enumerate(rows.items()):
        for column in range(count):
            show_image(grid[row, column], images[column])
        grid[row, 0].set_ylabel(title, fontsize=LABEL_SIZE)
    return with_caption(figure, caption)


def turntable_grid(inputs: UInt8[np.ndarray, "N H W 3"], views: UInt8[np.ndarray, "N K H W 3"], caption: str) -> Figure:
    """Draw each input image and the same person seen from K yaws around it."""
    turns = {f"{360 * k // views.shape[1]}°": views[:, k] for k in range(views.shape[1])}
    return image_grid({"input": inputs} | turns, caption)


def bone_colour(joint: str) -> str:
    """Colour a bone by the side of its outer joint."""
    return LEFT if joint.startswith("left") else RIGHT if joint.startswith("right") else MIDDLE


def draw_skeleton(
    axes: Axes, joints_m: Float[np.ndarray, "J 3"], seen: tuple[int, int], line: str, skeleton: Skeleton = H36M
) -> None:
    """Draw a pose, in metres.

    Args:
        seen: axes that run to the right and down the page.
    """
    sides = skeleton.sides()
    for joint, parent in skeleton.bones():
        ends = joints_m[[parent, joint]]
        axes.plot(ends[:, seen[0]], ends[:, seen[1]], line, color=bone_colour(sides[joint]), linewidth=1.3)


def draw_sides(
    axes: Sequence[Axes], predicted_m: Float[np.ndarray, "J 3"], true_m: Float[np.ndarray, "J 3"], titled: bool,
    skeleton: Skeleton = H36M,
) -> None:  # fmt: skip
    """Draw the predicted (solid) and the true pose (dashed) from two sides with equal axes."""
    both = np.concatenate([predicted_m, true_m])
    reach_m = 1.05 * np.abs(both).max()
    for one, (title, seen) in zip(axes, FIGURE_VIEWS.items(), strict=True):
        draw_skeleton(one, true_m, seen, "--", skeleton)
        draw_skeleton(one, predicted_m, seen, "-", skeleton)
        one.set_aspect("equal")
        one.set_xlim(-reach_m, reach_m)
        one.set_ylim(reach_m, -reach_m)
        one.tick_params(labelsize=6)
        one.set_title(title if titled else "", fontsize=LABEL_SIZE)


def skeleton_grid(
    predicted_root_m: Float[np.ndarray, "N J 3"],
    true_root_m: Float[np.ndarray, "N J 3"],
    images: UInt8[np.ndarray, "N H W 3"],
    caption: str,
    skeleton: Skeleton = H36M,
) -> Figure:
    """Draw each image beside its predicted and true skeleton, seen from two sides."""
    count = len(images)
    figure = Figure(figsize=(5.6, 1.9 * count + 0.7), dpi=160, layout="constrained")
    grid = figure.subplots(count, 3, squeeze=False)
    for row in range(count):
        show_image(grid[row, 0], images[row], "input" if row == 0 else "")
        draw_sides(list(grid[row, 1:]), predicted_root_m[row], true_root_m[row], row == 0, skeleton)
        grid[row, 1].set_ylabel("metres", fontsize=LABEL_SIZE)
    figure.legend(handles=skeleton_key(), loc="outside upper center", ncol=4, fontsize=LABEL_SIZE, frameon=False)
    return with_caption(figure, caption)


def skeleton_key() -> list[Line2D]:
    """Make the legend of skeleton figures."""
    sides = [Line2D([], [], color=colour, label=name) for name, colour in (("left", LEFT), ("right", RIGHT))]
    predicted = Line2D([], [], color=MIDDLE, linestyle="-", label="predicted")
    return [*sides, predicted, Line2D([], [], color=MIDDLE, linestyle="--", label="true")]


def loss_curves(history: Sequence[Mapping[str, float | int]], caption: str) -> Figure:
    """Draw every logged term over the steps, one panel per term, each in its own unit."""
    names = [name for name in dict.fromkeys(key for record in history for key in record)
             if name not in ("step", "elapsed_s")]  # fmt: skip
    last = max((record["step"] for record in history), default=1)
    columns = min(3, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(3.2 * columns, 2.1 * rows + 0.4), dpi=160, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(grid, names, strict=False):
        points = [(record["step"], record[name]) for record in history if name in record]
        axes.plot(*zip(*points, strict=True), color=LEFT, linewidth=1.2, marker="." if len(points) < 30 else "")
        axes.set_title(name.replace("_", " "), fontsize=LABEL_SIZE)
        axes.set_xlim(0, 1.03 * last)
        axes.set_xlabel("step", fontsize=LABEL_SIZE)
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.3)
    return with_caption(figure, caption)


def table_figure(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Float[np.ndarray, "R C"],
    caption: str,
    half_widths: Float[np.ndarray, "R C"] | None = None,
) -> Figure:
    """Draw a table of numbers, each column shaded from its best (light) to its worst value (dark); lower is better."""
    figure = Figure(figsize=(1.6 + 1.15 * len(columns), 0.24 * (len(rows) + 1) + 0.55), dpi=160, layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    spread = np.ptp(values, axis=0)
    shade = (values - values.min(axis=0)) / np.where(spread > 0, spread, 1)
    colours = [[(1 - 0.45 * s, 1 - 0.3 * s, 1 - 0.1 * s) for s in line] for line in shade]
    text = [[f"{value:.0f}" for value in line] for line in values]
    if half_widths is not None:
        pairs = (zip(line, widths, strict=True) for line, widths in zip(values, half_widths, strict=True))
        text = [[f"{value:.0f} ± {width:.0f}" for value, width in line] for line in pairs]
    table = axes.table(text, colours, cellLoc="center", rowLabels=list(rows), colLabels=list(columns), bbox=Bbox.unit())
    table.auto_set_font_size(False)
    table.set_fontsize(LABEL_SIZE)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.4)
    return with_caption(figure, caption)
