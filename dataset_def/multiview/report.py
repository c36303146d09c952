"""The report of an import: numbers in a file, the camera rig and the reprojection as pictures."""

import json
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from config import Paths
from dataset_def.h36m_files import image_path, mask_path
from dataset_def.mask_centres import mask_shape, triangulated
from dataset_def.multiview.check_calibration import median
from dataset_def.multiview.joints import LEAST_CONFIDENCE, joints_px, view_errors_px
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.multiview.write_layout import LabelledRecording
from utils.artifacts import Keypoints, atomic_write, save_keypoints
from utils.camera import Camera, project, to_camera, to_rays, to_world
from utils.figures.common import LABEL_SIZE, MIDDLE, bone_colour, show_image, with_caption
from utils.image import read_image, read_mask
from utils.skeleton import H36M_17, H36M_17_PARENTS

PERSON_MARGIN = 0.18
"""Margin around the person, over the person's height."""


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
        half = max(right - left, bottom - top) * (0.5 + PERSON_MARGIN)
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


def joints_view(paths: Paths, labelled: LabelledRecording, instant: int, row: int) -> ReprojectionView:
    """Collect what one camera shows of the joints at one instant."""
    assert labelled.labels is not None
    sequence, frame, time = list(labelled.instants())[instant]
    key, cameras = sequence.key(row + 1, frame), [pinhole(camera) for camera in labelled.recording.cameras]
    keypoints = labelled.labels.track.keypoints_px[time, row]
    is_seen = keypoints[:, 2:] >= LEAST_CONFIDENCE
    errors_px = view_errors_px(cameras, labelled.labels.track, labelled.labels.points_world_m)[:, row]
    joints_px = projected(cameras[row], labelled.joints_world_m[time])
    middle_px = median(errors_px)
    title = f"{labelled.recording.names[row]}, frame {time + 1}\n" + (
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


def centre_view(paths: Paths, labelled: LabelledRecording, instant: int, row: int) -> ReprojectionView:
    """Collect what one camera shows of the person's middle at one instant: its own mask's, and that of all masks."""
    sequence, frame, time = list(labelled.instants())[instant]
    keys, cameras = (
        [sequence.key(r + 1, frame) for r in range(len(labelled.recording.views))],
        labelled.recording.cameras,
    )
    masks = [read_mask(mask_path(paths, key)) for key in keys]
    shapes = [mask_shape(mask) for mask in masks]
    ideal = [pinhole(camera) for camera in cameras]
    middle_m = triangulated(ideal, np.array([shape.centroid_px for shape in shapes]))
    middle_px = projected(ideal[row], middle_m[None])
    error_px = np.linalg.norm(middle_px[0] - shapes[row].centroid_px)
    box = None if np.isnan(shapes[row].box_px).any() else tuple(shapes[row].box_px.tolist())
    title = f"{labelled.recording.names[row]}, frame {time + 1}\n" + (
        "not seen by two cameras" if np.isnan(error_px) else f"{error_px:.1f} px here"
    )
    return ReprojectionView(title, read_image(image_path(paths, keys[row])), shapes[row].centroid_px[None], middle_px,
                            masks[row], box)  # fmt: skip


def recording_figure(paths: Paths, labelled: LabelledRecording) -> Figure:
    """Draw the beginning, the middle and the end of a recording."""
    last = len(list(labelled.instants())) - 1
    view_of = centre_view if labelled.labels is None else joints_view
    num_views = len(labelled.recording.views)
    rows = [[view_of(paths, labelled, at, view) for view in range(num_views)] for at in sorted({0, last // 2, last})]
    if labelled.labels is None:
        caption = (
            "Yellow: person mask.  Ring: its middle.  Cross: the middle of all masks, placed in space and projected."
        )
    else:
        caption = (
            "Rings: 2D keypoints.  Lines: joints triangulated from all cameras and projected (blue left, red right).  "
            "Yellow: person mask."
        )
    return reprojection_figure(rows, caption)


CAMERA_COLOURS = ("#1f6fb5", "#d1495b", "#3a7d44", "#8e5ea2", "#e0871b", "#17888f", "#7a5230", "#5c6b73")
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
        colour, centre = CAMERA_COLOURS[number % len(CAMERA_COLOURS)], camera.centre_world_m
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
    """Draw a camera rig in space, from above and from the side, in metres.

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


MOST_PLACES = 200


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a json file whole."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_keypoints(folder: Path, name: str, labelled: LabelledRecording) -> None:
    """Keep the 2D keypoints of the imported person with the data set, for sample/fit_SMPL.py; nothing without any."""
    if labelled.labels is None:
        return
    frames, seen_px = [], []
    for sequence, frame, instant in labelled.instants():
        for view in range(len(labelled.recording.views)):
            frames.append(sequence.key(view + 1, frame))
            seen_px.append(labelled.labels.track.keypoints_px[instant, view])
    points_px, sure = joints_px(np.array(seen_px))
    order = np.lexsort(np.array(frames).T[::-1])
    found = [np.array(frames, np.int32), points_px.astype(np.float32), sure.astype(np.float32)]
    save_keypoints(folder / f"{name}.npz", Keypoints(*(values[order] for values in found)))


def path_world_m(config: ImportMultiviewConfig, labelled: LabelledRecording) -> Float[np.ndarray, "T 3"]:
    """Follow the person's pelvis, or without joints the middle of the masks; NaN where neither is known."""
    if labelled.labels is not None:
        return labelled.joints_world_m[:, H36M_17.index("pelvis")]
    cameras = [pinhole(camera) for camera in labelled.recording.cameras]
    instants = list(labelled.instants())
    places = []
    for sequence, frame, _ in instants[:: -(-len(instants) // MOST_PLACES)]:
        paths = [mask_path(config.paths, sequence.key(number, frame)) for number in range(1, len(cameras) + 1)]
        centres_px = np.array([mask_shape(read_mask(path)).centroid_px for path in paths])
        places.append(triangulated(cameras, centres_px))
    return np.array(places)


def rig_and_reprojection(config: ImportMultiviewConfig, labelled: LabelledRecording) -> None:
    """Draw the two pictures into the place of the settings."""
    recording = labelled.recording
    pose_m = None if labelled.labels is None else labelled.joints_world_m[recording.num_instants // 2]
    caption = (
        f"{len(recording.views)} cameras with what they see (thick: the picture's upper edge), the path (grey) "
        "and one pose; world axes in metres, z up"
    )
    rig = rig_figure(recording.names, recording.cameras, path_world_m(config, labelled), pose_m, caption)
    for name, figure in (("rig", rig), ("reprojection", recording_figure(config.paths, labelled))):
        with atomic_write(config.report_location / f"{name}.png") as partial:
            figure.savefig(partial, format="png")
