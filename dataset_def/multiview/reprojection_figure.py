"""The picture that shows whether cameras, keypoints and joints fit together."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from config import Paths
from dataset_def.h36m_files import image_path, mask_path
from dataset_def.mask_centres import mask_shape, triangulated
from dataset_def.multiview.agreement import median
from dataset_def.multiview.person_joints import LEAST_CONFIDENCE, view_errors_px
from dataset_def.multiview.take import Take
from dataset_def.multiview.video_frames import pinhole
from utils.camera import Camera, project, to_camera
from utils.figures.common import bone_colour, show_image, with_caption
from utils.image import read_image, read_mask
from utils.skeleton import H36M_17, H36M_17_PARENTS

MARGIN = 0.18
"""Room around the person, over the person's height."""


class ReprojectionView(NamedTuple):
    """One camera's part of the figure."""

    title: str
    image: UInt8[np.ndarray, "H W 3"]
    keypoints_px: Float[np.ndarray, "K 2"]
    """NaN where not seen."""
    joints_px: Float[np.ndarray, "J 2"]
    """Triangulated and projected: 17 joints, or the middle of the person; NaN where not placed."""
    outline: UInt8[np.ndarray, "H W"] | None
    """The person's mask."""
    around: tuple[float, float, float, float] | None
    """Left, top, right, bottom of what is shown; None for the whole picture."""


def draw_view(axes: Axes, view: ReprojectionView) -> None:
    """Draw a frame with what was seen (rings), what was placed and projected (skeleton or crosses), and the mask."""
    show_image(axes, view.image, view.title)
    if view.outline is not None:
        axes.contour(view.outline, levels=[128], colors="yellow", linewidths=0.7)
    if len(view.joints_px) == len(H36M_17):
        for joint, parent in enumerate(H36M_17_PARENTS):
            if parent >= 0:
                ends = view.joints_px[[parent, joint]]
                axes.plot(ends[:, 0], ends[:, 1], color=bone_colour(H36M_17[joint]), linewidth=1.5)
        axes.plot(*view.joints_px.T, ".", color="white", markersize=3)
    else:
        axes.plot(*view.joints_px.T, "+", color="red", markersize=9, markeredgewidth=1.2)
    axes.plot(*view.keypoints_px.T, "o", color="none", markeredgecolor="lime", markersize=5, markeredgewidth=0.8)
    if view.around is not None:
        left, top, right, bottom = view.around
        half = max(right - left, bottom - top) * (0.5 + MARGIN)
        axes.set_xlim((left + right) / 2 - half * 0.75, (left + right) / 2 + half * 0.75)
        axes.set_ylim((top + bottom) / 2 + half, (top + bottom) / 2 - half)


def box_of(points_px: Float[np.ndarray, "N 2"]) -> tuple[float, float, float, float] | None:
    """Put a box around the points that are known: left, top, right, bottom."""
    known = points_px[np.isfinite(points_px).all(axis=1)]
    return (*known.min(axis=0).tolist(), *known.max(axis=0).tolist()) if len(known) else None


def reprojection_figure(rows: list[list[ReprojectionView]], caption: str) -> Figure:
    """Draw one row per instant and one column per camera."""
    figure = Figure(figsize=(2.6 * len(rows[0]), 3.6 * len(rows) + 0.4), dpi=130, layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes_row, views in zip(grid, rows, strict=True):
        for axes, view in zip(axes_row, views, strict=True):
            draw_view(axes, view)
    return with_caption(figure, caption)


def joints_view(paths: Paths, take: Take, instant: int, row: int) -> ReprojectionView:
    """Collect what one camera shows of the joints at one instant."""
    assert take.labels is not None
    sequence, frame, time = list(take.instants())[instant]
    key, cameras = sequence.key(row + 1, frame), [pinhole(camera) for camera in take.recording.cameras]
    keypoints = take.labels.track.keypoints_px[time, row]
    is_seen = keypoints[:, 2:] >= LEAST_CONFIDENCE
    errors_px = view_errors_px(cameras, take.labels.track, take.labels.points_world_m)[:, row]
    joints_px = projected(cameras[row], take.joints_world_m[time])
    middle_px = median(errors_px)
    title = f"{take.recording.names[row]}, frame {time + 1}\n" + (
        "never seen here" if np.isnan(middle_px) else f"median over time {middle_px:.1f} px"
    )
    return ReprojectionView(
        title, read_image(image_path(paths, key)), np.where(is_seen, keypoints[:, :2], np.nan), joints_px,
        read_mask(mask_path(paths, key)), box_of(joints_px),
    )  # fmt: skip


def projected(camera: Camera, points_world_m: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
    """Project the points that are known and in front of a camera; NaN for the others."""
    points_cam_m = to_camera(camera, points_world_m)
    shown, points_px = points_cam_m[:, 2] > 0, np.full((len(points_world_m), 2), np.nan)
    points_px[shown] = project(camera, points_cam_m[shown])
    return points_px


def centre_view(paths: Paths, take: Take, instant: int, row: int) -> ReprojectionView:
    """Collect what one camera shows of the person's middle at one instant: its own mask's, and that of all masks."""
    sequence, frame, time = list(take.instants())[instant]
    keys, cameras = [sequence.key(r + 1, frame) for r in range(len(take.recording.views))], take.recording.cameras
    masks = [read_mask(mask_path(paths, key)) for key in keys]
    shapes = [mask_shape(mask) for mask in masks]
    ideal = [pinhole(camera) for camera in cameras]
    middle_m = triangulated(ideal, np.array([shape.centroid_px for shape in shapes]))
    middle_px = projected(ideal[row], middle_m[None])
    error_px = np.linalg.norm(middle_px[0] - shapes[row].centroid_px)
    box = None if np.isnan(shapes[row].box_px).any() else tuple(shapes[row].box_px.tolist())
    title = f"{take.recording.names[row]}, frame {time + 1}\n" + (
        "not seen by two cameras" if np.isnan(error_px) else f"{error_px:.1f} px here"
    )
    return ReprojectionView(title, read_image(image_path(paths, keys[row])), shapes[row].centroid_px[None], middle_px,
                            masks[row], box)  # fmt: skip


def take_figure(paths: Paths, take: Take) -> Figure:
    """Draw the beginning, the middle and the end of a recording."""
    last = len(list(take.instants())) - 1
    view_of = centre_view if take.labels is None else joints_view
    num_views = len(take.recording.views)
    rows = [[view_of(paths, take, at, view) for view in range(num_views)] for at in sorted({0, last // 2, last})]
    if take.labels is None:
        caption = (
            "Yellow: person mask.  Ring: its middle.  Cross: the middle of all masks, placed in space and projected."
        )
    else:
        caption = (
            "Rings: 2D keypoints.  Lines: joints triangulated from all cameras and projected (blue left, red right).  "
            "Yellow: person mask."
        )
    return reprojection_figure(rows, caption)
