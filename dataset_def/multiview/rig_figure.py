"""The picture of a rig: where the cameras stand, what they look at, and where the person was."""

from itertools import product

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.camera import Camera, to_rays, to_world
from utils.figures.common import LABEL_SIZE, MIDDLE, bone_colour, with_caption
from utils.skeleton import H36M_17, H36M_17_PARENTS

COLOURS = ("#1f6fb5", "#d1495b", "#3a7d44", "#8e5ea2", "#e0871b", "#17888f", "#7a5230", "#5c6b73")
FRUSTUM = 0.25
"""Length of a frustum over the distance from its camera to the person."""


def frustum_world_m(camera: Camera, depth_m: float) -> Float[np.ndarray, "5 3"]:
    """Give a camera's centre and where the corners of its picture lie at a depth."""
    corners_px = np.array([[0, 0], [camera.width_px, 0], [camera.width_px, camera.height_px], [0, camera.height_px]])
    straight = camera._replace(k=np.zeros(3), p=np.zeros(2))
    corners_m = to_world(camera, to_rays(straight, corners_px.astype(float)) * depth_m)
    return np.concatenate([camera.centre_world_m[None], corners_m])


def _lines(points: Float[np.ndarray, "5 3"]) -> list[Float[np.ndarray, "2 3"]]:
    """List the edges of a frustum; the picture's upper edge is the first."""
    edges = [(1, 2), (2, 3), (3, 4), (4, 1), (0, 1), (0, 2), (0, 3), (0, 4)]
    return [points[list(edge)] for edge in edges]


def draw_rig(
    axes: Axes,
    axis_order: tuple[int, ...],
    names: list[str],
    cameras: list[Camera],
    path_m: Float[np.ndarray, "T 3"],
    joints_m: Float[np.ndarray, "17 3"] | None,
) -> None:
    """Draw cameras, frusta, the person's path and one pose along some of the world's axes."""
    order = list(axis_order)
    known = path_m[np.isfinite(path_m).all(axis=1)]
    for number, (name, camera) in enumerate(zip(names, cameras, strict=True)):
        colour, centre = COLOURS[number % len(COLOURS)], camera.centre_world_m
        reach_m = float(np.median(np.linalg.norm(known - centre, axis=1))) if len(known) else 2.0
        for row, line in enumerate(_lines(frustum_world_m(camera, FRUSTUM * reach_m))):
            axes.plot(*line[:, order].T, color=colour, linewidth=2.0 if row == 0 else 0.8)
        axes.text(*centre[order], f" {name}", color=colour, fontsize=LABEL_SIZE)  # type: ignore[call-arg]  # of 3D axes: z too
    axes.plot(*known[:, order].T, ".-", color=MIDDLE, markersize=2, linewidth=0.6)
    for joint, parent in enumerate(H36M_17_PARENTS):
        if joints_m is not None and parent >= 0:
            axes.plot(*joints_m[[parent, joint]][:, order].T, color=bone_colour(H36M_17[joint]), linewidth=1.2)


def rig_figure(
    names: list[str],
    cameras: list[Camera],
    path_m: Float[np.ndarray, "T 3"],
    joints_m: Float[np.ndarray, "17 3"] | None,
    caption: str,
) -> Figure:
    """Draw a rig in space, from above and from the side, in metres.

    Args:
        path_m: where the person was; NaN where not known.
        joints_m: one pose of the person, if there is one.
    """
    figure = Figure(figsize=(12.5, 4.6), dpi=130, layout="constrained")
    space = figure.add_subplot(1, 3, 1, projection="3d")
    draw_rig(space, (0, 1, 2), names, cameras, path_m, joints_m)
    ends = np.concatenate([np.array([camera.centre_world_m for camera in cameras]), path_m])
    low, high = np.nanmin(ends, axis=0), np.nanmax(ends, axis=0)
    middle, half = (low + high) / 2, (high - low).max() / 2 * 1.1 + 0.2
    corners = np.array(list(product((-1, 1), repeat=3))) * half + middle
    space.auto_scale_xyz(*corners.T)
    space.set_box_aspect((1, 1, 1))
    for column, (order, labels) in enumerate((((0, 1), "xy"), ((0, 2), "xz")), start=2):
        flat = figure.add_subplot(1, 3, column)
        draw_rig(flat, order, names, cameras, path_m, joints_m)
        flat.set_aspect("equal", adjustable="datalim")
        flat.set_xlabel(f"{labels[0]}, metres", fontsize=LABEL_SIZE)
        flat.set_ylabel(f"{labels[1]}, metres", fontsize=LABEL_SIZE)
        flat.set_title("from above" if labels == "xy" else "from the side", fontsize=LABEL_SIZE)
        flat.tick_params(labelsize=6)
        flat.grid(alpha=0.3)
    space.tick_params(labelsize=6)
    return with_caption(figure, caption)
