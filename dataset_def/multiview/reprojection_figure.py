"""The picture that shows whether cameras, keypoints and joints fit together."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from config import Paths
from dataset_def.h36m_files import image_path, mask_path
from dataset_def.multiview.keypoint_files import h36m_from_body_25b
from dataset_def.multiview.person_joints import LEAST_CONFIDENCE, view_errors_px
from dataset_def.multiview.take import Take
from dataset_def.multiview.video_frames import pinhole
from utils.camera import Camera, project, to_camera
from utils.figures import bone_colour, show_image, with_caption
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
    joints_px: Float[np.ndarray, "17 2"]
    """Triangulated and projected."""
    outline: UInt8[np.ndarray, "H W"] | None
    """The person's mask."""


def draw_view(axes: Axes, view: ReprojectionView) -> None:
    """Draw a frame with its keypoints (rings), the projected joints (skeleton) and the mask (outline)."""
    show_image(axes, view.image, view.title)
    if view.outline is not None:
        axes.contour(view.outline, levels=[128], colors="yellow", linewidths=0.7)
    for joint, parent in enumerate(H36M_17_PARENTS):
        if parent >= 0:
            ends = view.joints_px[[parent, joint]]
            axes.plot(ends[:, 0], ends[:, 1], color=bone_colour(H36M_17[joint]), linewidth=1.5)
    axes.plot(*view.joints_px.T, ".", color="white", markersize=3)
    axes.plot(*view.keypoints_px.T, "o", color="none", markeredgecolor="lime", markersize=5, markeredgewidth=0.8)
    low, high = np.nanmin(view.joints_px, axis=0), np.nanmax(view.joints_px, axis=0)
    half = (high - low).max() * (0.5 + MARGIN)
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - half * 0.75, middle[0] + half * 0.75)
    axes.set_ylim(middle[1] + half, middle[1] - half)


def reprojection_figure(rows: list[list[ReprojectionView]], caption: str) -> Figure:
    """Draw one row per instant and one column per camera."""
    figure = Figure(figsize=(2.6 * len(rows[0]), 3.6 * len(rows) + 0.4), dpi=130, layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes_row, views in zip(grid, rows, strict=True):
        for axes, view in zip(axes_row, views, strict=True):
            draw_view(axes, view)
    return with_caption(figure, caption)


def view_of(paths: Paths, cameras: list[Camera], take: Take, instant: int, view: int) -> ReprojectionView:
    """Collect what one camera shows of one instant of a take."""
    sequence, frame, row = list(take.instants())[instant]
    key, camera = sequence.key(view + 1, frame), pinhole(cameras[view])
    keypoints = take.labels.track.keypoints_px[row, view]
    is_seen = keypoints[:, 2:] >= LEAST_CONFIDENCE
    errors_px = view_errors_px([pinhole(c) for c in cameras], take.labels.track, take.labels.points_world_m)
    points_px = project(camera, to_camera(camera, h36m_from_body_25b(take.labels.points_world_m[row])))
    title = f"camera {view + 1}, frame {row + 1}\nmedian over time {np.nanmedian(errors_px[:, view]):.1f} px"
    return ReprojectionView(
        title, read_image(image_path(paths, key)), np.where(is_seen, keypoints[:, :2], np.nan), points_px,
        read_mask(mask_path(paths, key)),
    )  # fmt: skip


def take_figure(paths: Paths, cameras: list[Camera], take: Take) -> Figure:
    """Draw the beginning, the middle and the end of a recording."""
    last = len(list(take.instants())) - 1
    rows = [[view_of(paths, cameras, take, at, view) for view in range(len(cameras))] for at in (0, last // 2, last)]
    caption = (
        "Rings: 2D keypoints.  Lines: joints triangulated from all cameras and projected (blue left, red right).  "
        "Yellow: person mask."
    )
    return reprojection_figure(rows, caption)
