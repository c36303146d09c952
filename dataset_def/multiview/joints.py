"""From a recording's keypoints to cameras that agree with them, a person's joints over time, and errors in numbers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from dataset_def.multiview.check_calibration import Sightings, median
from dataset_def.multiview.geometry import distances_px, refine_rotations, triangulate
from dataset_def.multiview.keypoint_files import BODY_25B, MIDDLES, h36m_from_body_25b, with_head
from dataset_def.multiview.people import TrackedPerson, picked, tracked_people
from dataset_def.multiview.recording import People
from dataset_def.multiview.undistort import pinhole, undistorted_px
from utils.camera import Camera
from utils.skeleton import H36M_17

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


def triangulate_person(
    cameras: list[Camera], keypoints_px: Float[np.ndarray, "T V 25 3"], outlier_px: float
) -> PersonTrack:
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


SURE_CONFIDENCE = 0.3
"""Keypoints below it do not refine cameras."""
SEEN_SHARE = 0.5
"""The person must be placed in so many of the instants."""


class PlacedJoints(NamedTuple):
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


def undistorted_keypoints(cameras: list[Camera], people: People) -> People:
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


def track(
    cameras: list[Camera], people: People, outlier_px: float, frames_per_second: float, person: int = 1
) -> tuple[PersonTrack, list[TrackedPerson]]:
    """Find the person on whom the cameras agree (or the next one), and everybody else.

    Raises:
        ValueError: nobody is seen by two cameras for long enough.
    """
    ideal = [pinhole(camera) for camera in cameras]
    frames = [list(views) for views in zip(*undistorted_keypoints(cameras, people), strict=True)]
    everybody = tracked_people(ideal, frames, outlier_px, frames_per_second)
    chosen = everybody[person - 1] if person <= len(everybody) else None
    share = 0.0 if chosen is None else float(np.isfinite(chosen.position_world_m[:, 0]).mean())
    if chosen is None or share < SEEN_SHARE:
        raise ValueError(f"person {person} is seen by two cameras that agree (to --outlier-px {outlier_px:g}) in "
                         f"{share:.0%} of the frames, at least {SEEN_SHARE:.0%} are needed; check calibration and "
                         "keypoints, or choose another --person")  # fmt: skip
    return triangulate_person(ideal, picked(frames, chosen), outlier_px), everybody


def told_apart(
    cameras: list[Camera],
    people: People,
    tracked_px: Float[np.ndarray, "T V 25 3"],
    everybody: list[TrackedPerson],
    person: int,
) -> Float[np.ndarray, "T V 25 3"]:
    """Give the keypoints that judge a calibration: the tracked person's, and those of whoever is alone in a view.

    Only detections that agree are tracked, so that a wrong calibration would look right on them alone.  Whoever is
    another track for most of the time does not count.
    """
    keypoints_px, num_instants = tracked_px.copy(), len(tracked_px)
    others = [one for number, one in enumerate(everybody, start=1)
              if number != person and one.num_frames >= SEEN_SHARE * num_instants]  # fmt: skip
    for view, frames in enumerate(undistorted_keypoints(cameras, people)):
        for time, found in enumerate(frames[:num_instants]):
            if len(found) == 1 and not any(one.members[time, view] == 0 for one in others):
                keypoints_px[time, view] = found[0]
    return keypoints_px


def foremost(people: People, cameras: list[Camera]) -> Float[np.ndarray, "T V 25 3"]:
    """Take the most confident person of every view and frame, where cameras are not consistent on any person."""
    nobody = np.zeros((25, 3))
    chosen = [
        [found[found[..., 2].sum(axis=1).argmax()] if len(found) else nobody for found in frames]
        for frames in undistorted_keypoints(cameras, people)
    ]
    return np.stack(chosen, axis=1)


def keypoint_sightings(keypoints_px: Float[np.ndarray, "T V 25 3"], every: int) -> Sightings:
    """Give what is sure of a person's undistorted keypoints, for the check of a calibration."""
    is_sure = (keypoints_px[..., 2] >= SURE_CONFIDENCE) & is_body()
    points_px = np.where(is_sure[..., None], keypoints_px[..., :2], np.nan)
    low, high = (np.where(is_sure[..., None], points_px, empty) for empty in (np.inf, -np.inf))
    extent_px = (high.max(axis=2) - low.min(axis=2)).max(axis=-1)
    return Sightings(points_px, np.where(np.isfinite(extent_px), extent_px, np.nan), "keypoints", every)


def label(
    cameras: list[Camera], track: PersonTrack, outlier_px: float, frames_per_second: float, smooth_hz: float
) -> PlacedJoints:
    """Triangulate a tracked person with (perhaps refined) cameras, fill gaps and smooth."""
    again = triangulate_person([pinhole(c) for c in cameras], track.keypoints_px, outlier_px)
    filled = fill_gaps(again.points_world_m)
    num_filled = int((np.isnan(again.points_world_m[..., 0]) & np.isfinite(filled[..., 0])).sum())
    return PlacedJoints(again, smoothed(with_head(filled), frames_per_second, smooth_hz), num_filled)


def never_placed(labels: PlacedJoints) -> list[str]:
    """Name the joints that no two cameras ever saw together."""
    is_missing = np.isnan(labels.joints_world_m).any(axis=(0, 2))
    return [name for name, missing in zip(H36M_17, is_missing, strict=True) if missing]


def joints_px(seen_px: Float[np.ndarray, "*n 25 3"]) -> tuple[Float[np.ndarray, "*n 17 2"], Float[np.ndarray, "*n 17"]]:
    """Pick or average the 17 joints of Human3.6M from keypoints in one picture, and say how sure they are, 0 to 1.

    A mean of keypoints is as sure as the least sure of them; what is not seen is zero.
    """
    rows = [[BODY_25B.index(name) for name in MIDDLES.get(joint, (joint,))] for joint in H36M_17]
    sure = np.stack([seen_px[..., row, 2].min(axis=-1) for row in rows], axis=-1).clip(0, 1)
    sure = np.where(sure >= LEAST_CONFIDENCE, sure, 0.0)
    return np.where(sure[..., None] > 0, h36m_from_body_25b(seen_px)[..., :2], 0.0), sure


def median_errors_px(cameras: list[Camera], labels: PlacedJoints) -> list[float | None]:
    """Measure each camera's median distance between keypoints and the final points, outliers included.

    Returns:
        None for a camera that does not see the person.
    """
    errors_px = view_errors_px([pinhole(c) for c in cameras], labels.track, labels.points_world_m)
    medians = [median(errors_px[:, view]) for view in range(len(cameras))]
    return [None if np.isnan(value) else round(value, 2) for value in medians]
