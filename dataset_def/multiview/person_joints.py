"""One person's joints over time, from the keypoints in all views."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from dataset_def.multiview.keypoint_files import BODY_25B
from dataset_def.multiview.triangulate import distances_px, triangulate
from utils.camera import Camera

LEAST_CONFIDENCE = 0.1
FACE = ("left_eye", "right_eye", "left_ear", "right_ear")
"""Keypoints that no joint of ours needs."""


def is_body() -> Bool[np.ndarray, "25"]:
    """Mark the keypoints that joints of ours are made of, and the feet."""
    return np.array([name not in FACE for name in BODY_25B])


class PersonTrack(NamedTuple):
    """What the cameras saw of one person, and where that is."""

    keypoints_px: Float[np.ndarray, "T V 25 3"]
    """x, y and confidence, zero for not seen."""
    points_world_m: Float[np.ndarray, "T 25 3"]
    error_px: Float[np.ndarray, "T V 25"]
    is_used: Bool[np.ndarray, "T V 25"]


def place(cameras: list[Camera], keypoints_px: Float[np.ndarray, "T V 25 3"], outlier_px: float) -> PersonTrack:
    """Triangulate a person's keypoints in all frames at once."""
    T, V, K, _ = keypoints_px.shape
    flat = keypoints_px.transpose(1, 0, 2, 3).reshape(V, T * K, 3)
    confidence = np.where(flat[..., 2] >= LEAST_CONFIDENCE, flat[..., 2], 0.0)
    found = triangulate(cameras, flat[..., :2], confidence, outlier_px)
    by_frame = [part.reshape(V, T, K).transpose(1, 0, 2) for part in (found.error_px, found.is_used)]
    return PersonTrack(keypoints_px, found.points_world_m.reshape(T, K, 3), *by_frame)


def fill_gaps(points_m: Float[np.ndarray, "T K 3"]) -> Float[np.ndarray, "T K 3"]:
    """Interpolate points that are missing in some frames; those missing in all stay NaN."""
    filled, times = points_m.copy(), np.arange(len(points_m))
    for point in range(points_m.shape[1]):
        known = np.isfinite(points_m[:, point, 0])
        if known.any():
            for axis in range(3):
                filled[:, point, axis] = np.interp(times, times[known], points_m[known, point, axis])
    return filled


def smoothed(
    points_m: Float[np.ndarray, "T K 3"], frames_per_second: float, cutoff_hz: float
) -> Float[np.ndarray, "T K 3"]:
    """Filter movements over time with a Gaussian that halves the power at the cut-off; 0 Hz leaves them.

    Source: |exp(-(2 pi f sigma)^2 / 2)|^2 = 1/2 at f gives sigma = sqrt(ln 2) / (2 pi f).
    """
    if cutoff_hz == 0:
        return points_m
    sigma_frames = np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz) * frames_per_second
    return gaussian_filter1d(points_m, sigma_frames, axis=0, mode="nearest")


def view_errors_px(
    cameras: list[Camera], track: PersonTrack, points_world_m: Float[np.ndarray, "T 25 3"]
) -> Float[np.ndarray, "T V 25"]:
    """Measure how far given points lie from the keypoints; NaN where there is no keypoint, and in the face."""
    pairs = zip(points_world_m, track.keypoints_px, strict=True)
    errors = np.stack([distances_px(cameras, points, seen[..., :2]) for points, seen in pairs])
    return np.where((track.keypoints_px[..., 2] >= LEAST_CONFIDENCE) & is_body(), errors, np.nan)
