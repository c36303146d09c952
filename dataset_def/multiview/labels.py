"""From a recording's keypoints to cameras that agree with them, joints over time, and errors in numbers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.multiview.keypoint_files import h36m_from_body_25b
from dataset_def.multiview.person_joints import (
    PersonTrack,
    fill_gaps,
    is_body,
    place,
    smoothed,
    track_person,
    view_errors_px,
)
from dataset_def.multiview.refine_cameras import refine_rotations
from dataset_def.multiview.video_frames import pinhole, undistorted_px
from utils.camera import Camera

SURE_CONFIDENCE = 0.3
"""Keypoints below it do not refine cameras."""
People = list[list[Float[np.ndarray, "_ 25 3"]]]
"""Keypoints of everybody, by camera, then by frame."""


class Labels(NamedTuple):
    """The person in space."""

    track: PersonTrack
    """Keypoints are undistorted."""
    points_world_m: Float[np.ndarray, "T 25 3"]
    """Gaps filled, smoothed; NaN for keypoints that no two cameras ever saw."""
    num_filled: int
    """Keypoints of frames that were interpolated."""

    @property
    def joints_world_m(self) -> Float[np.ndarray, "T 17 3"]:
        """The joints of Human3.6M."""
        return h36m_from_body_25b(self.points_world_m)


def undistorted(cameras: list[Camera], people: People) -> People:
    """Take everybody's keypoints to the pixels of the ideal cameras."""
    return [
        [np.concatenate([undistorted_px(camera, p[..., :2]), p[..., 2:]], axis=-1) for p in frames]
        for camera, frames in zip(cameras, people, strict=True)
    ]


def refined(cameras: list[Camera], track: PersonTrack) -> list[Camera]:
    """Turn distorted cameras so that a person's keypoints agree; these are of the ideal cameras."""
    is_sure = (track.keypoints_px[..., 2:] >= SURE_CONFIDENCE) & is_body()[:, None]
    keypoints = np.moveaxis(np.where(is_sure, track.keypoints_px, 0.0), 1, 0).reshape(len(cameras), -1, 3)
    first_world_m = track.points_world_m.reshape(-1, 3)
    turned = refine_rotations([pinhole(c) for c in cameras], keypoints[..., :2], keypoints[..., 2], first_world_m)
    return [c._replace(R_cam_from_world=t.R_cam_from_world) for c, t in zip(cameras, turned, strict=True)]


def track(cameras: list[Camera], people: People, outlier_px: float) -> PersonTrack:
    """Find the person on whom the cameras agree."""
    return track_person([pinhole(c) for c in cameras], undistorted(cameras, people), outlier_px)


def label(
    cameras: list[Camera], track: PersonTrack, outlier_px: float, frames_per_second: float, smooth_hz: float
) -> Labels:
    """Triangulate a tracked person with (perhaps refined) cameras, fill gaps and smooth."""
    again = place([pinhole(c) for c in cameras], track.keypoints_px, outlier_px)
    filled = fill_gaps(again.points_world_m)
    num_filled = int((np.isnan(again.points_world_m[..., 0]) & np.isfinite(filled[..., 0])).sum())
    return Labels(again, smoothed(filled, frames_per_second, smooth_hz), num_filled)


def median_errors_px(cameras: list[Camera], labels: Labels) -> list[float]:
    """Measure each camera's median distance between keypoints and the final points, outliers included."""
    errors_px = view_errors_px([pinhole(c) for c in cameras], labels.track, labels.points_world_m)
    return [round(float(np.nanmedian(errors_px[:, view])), 2) for view in range(len(cameras))]
