"""Everybody whom the cameras of a recording see, and one of them followed over time: keypoints and masks by view.

The keypoints extra's networks find people in every view by themselves, or another program found keypoints before.  The
views then say together who is who, and which side of a person is the left: one view takes them for each other now and
then, and the others know better.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from dataset_def.mask_centres import mask_shape, triangulated
from dataset_def.multiview.check_calibration import Sightings
from dataset_def.multiview.geometry import distances_px, triangulate
from dataset_def.multiview.keypoint_files import BODY_25B
from dataset_def.multiview.people import TrackedPerson, tracked_people
from dataset_def.multiview.recording import MultiviewRecording, RecordedView
from dataset_def.multiview.undistort import check_bars, ideal_image, letterbox, sampling_map, undistorted_px
from dataset_def.photos.blazepose import (
    BLAZEPOSE,
    LEAST_PRESENCE,
    SAME_PERSON_IOU,
    BlazePose,
    SeenPerson,
    region_matrix,
)
from dataset_def.photos.keypoints import keypoints_of, settled_sides
from dataset_def.video import frames_of, read_given_mask
from utils.camera import Camera
from utils.person_box import JUMP_IOU, mask_fault, overlap_of_boxes
from utils.processes import for_each
from utils.skeleton import KEYPOINTS_25, mirrored

LOOK_FOR_MORE = 6
"""People who are followed are read in every picture; others are looked for in one of so many, and where somebody is
lost, which costs ten times as much."""
LEAST_CONFIDENCE = 0.1
SURE_CONFIDENCE = 0.3
"""Keypoints below it judge and turn no camera."""
AGREES = 0.5
"""A detection belongs to a person whom other views place if its mean error, cut off at the outlier distance, is below
this part of it; with left and right exchanged, too."""
SIDE_ROUNDS = 2
"""Rounds in which views are compared with where all of them place the person."""
SAMPLES = 6
"""Samples per pixel and side of a mask's crop, so that a shrunk mask does not alias."""
TORSO = [KEYPOINTS_25.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("hip", "shoulder")]


class ViewMask(NamedTuple):
    """A person's mask in one view: a picture of its own, and where that lies in the view's."""

    png: bytes
    """Compressed: thousands of them are kept."""
    picture_from_mask: Float[np.ndarray, "2 3"]
    """Pixels of the mask -> pixels of the ideal camera's picture."""

    @property
    def image(self) -> UInt8[np.ndarray, "h w"]:
        """Give the mask, 255 inside."""
        found = cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert found is not None
        return found.astype(np.uint8, copy=False)


def view_mask(image: UInt8[np.ndarray, "h w"], picture_from_mask: Float[np.ndarray, "2 3"] = np.eye(3)[:2]) -> ViewMask:
    """Keep a mask; without a map it is as large as the view's picture."""
    encoded_well, content = cv2.imencode(".png", image)
    assert encoded_well
    return ViewMask(content.tobytes(), picture_from_mask)


def centre_px(mask: ViewMask) -> Float[np.ndarray, "2"]:
    """Give the middle of a mask in the view's picture; NaN if it is empty."""
    return mask.picture_from_mask[:, :2] @ mask_shape(mask.image).centroid_px + mask.picture_from_mask[:, 2]


def crop_of_mask(mask: ViewMask, seen_by: Camera, to: Camera) -> UInt8[np.ndarray, "S S"]:
    """Cut what the crop's camera `to` sees out of the mask of an ideal camera at the same place; 0 beyond the mask.

    Source: Hartley and Zisserman, Multiple View Geometry, 8.4.2 (H = K' R K^-1); OpenCV's first pixel centre is at
    (0, 0), ours at one half.
    """
    mask_from_picture = np.linalg.inv(np.vstack([mask.picture_from_mask, [0, 0, 1]]))
    turn = seen_by.R_cam_from_world @ to.R_cam_from_world.T
    fine = np.diag([1 / SAMPLES, 1 / SAMPLES, 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    homography = mask_from_picture @ seen_by.K @ turn @ np.linalg.inv(to.K) @ fine
    side = (to.width_px * SAMPLES, to.height_px * SAMPLES)
    shifted = np.linalg.inv(half) @ homography @ half
    warped = cv2.warpPerspective(mask.image, shifted, side, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return cv2.resize(warped, (to.width_px, to.height_px), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


class SeenSomebody(NamedTuple):
    """One person in one view at one instant."""

    keypoints_px: Float[np.ndarray, "25 3"]
    """In the order of KEYPOINTS_25: x, y in the ideal camera's picture, and confidence; 0 for not seen."""
    mask: ViewMask | None = None


Views = list[list[list[SeenSomebody]]]
"""Everybody, by camera, then by instant."""


class DetectionJob(NamedTuple):
    """One camera in whose pictures people are looked for."""

    view: RecordedView
    every: int
    num_instants: int
    networks: Path
    """Folder of the keypoints extra."""
    kind: str


@lru_cache(maxsize=1)
def networks_of(folder: Path, kind: str) -> BlazePose:
    """Load the detector once in each process."""
    return BlazePose(folder, kind)


def ideal_frames(view: RecordedView, every: int, num_instants: int) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Read the instants of one view as its ideal camera sees them."""
    where = None
    for image in islice(frames_of(view.videos, view.first, every), num_instants):
        if where is None:
            check_bars(str(view.videos), image, view.camera)
            where = sampling_map(view.camera, letterbox(view.camera, image.shape[1], image.shape[0]))
        yield ideal_image(image, where)


class FollowedPeople:
    """Follows everybody in the pictures of one camera; call it with the pictures in their order."""

    def __init__(self, networks: BlazePose) -> None:
        self.networks = networks
        self.last: list[SeenPerson] = []
        self.num_seen = 0

    def __call__(self, rgb: UInt8[np.ndarray, "H W 3"]) -> list[SeenPerson]:
        """Find everybody in the next picture."""
        found: list[SeenPerson] = []
        for one in self.last:
            seen = self.networks.read(rgb, one.following)
            is_same = seen.presence >= LEAST_PRESENCE and overlap_of_boxes(seen.box, one.box) > JUMP_IOU
            if is_same and is_new(seen, found):
                found.append(seen)
        if not found or len(found) < len(self.last) or self.num_seen % LOOK_FOR_MORE == 0:
            for one in self.networks.people(rgb):
                if is_new(one, found):
                    found.append(one)
        self.last, self.num_seen = found, self.num_seen + 1
        return found


def is_new(person: SeenPerson, others: Sequence[SeenPerson]) -> bool:
    """Tell whether none of these is the same person."""
    return all(overlap_of_boxes(person.box, other.box) < SAME_PERSON_IOU for other in others)


def somebody(seen: SeenPerson) -> SeenSomebody | None:
    """Keep what is needed of a detected person; None where too little is seen to tell a body."""
    found = keypoints_of(seen.points_px, seen.confidence, BLAZEPOSE, False)
    if found is None:
        return None
    likely = 255 / (1 + np.exp(-seen.mask_logits.astype(np.float64).clip(-30, 30)))
    mask = view_mask(np.round(likely).astype(np.uint8), region_matrix(seen.region, len(likely)))
    return SeenSomebody(np.column_stack([found.points_px, found.confidence]), mask)


def detected_in_view(job: DetectionJob) -> list[list[SeenSomebody]]:
    """Find everybody in all pictures of one camera."""
    follower = FollowedPeople(networks_of(job.networks, job.kind))
    found = []
    for rgb in ideal_frames(job.view, job.every, job.num_instants):
        everybody = [somebody(one) for one in follower(rgb)]
        found.append([one for one in everybody if one is not None])
    return found


def detected_people(
    recording: MultiviewRecording, networks: Path, kind: str, processes: int, may_end: bool = False
) -> Views:
    """Find everybody in all views with the keypoints extra.

    Args:
        may_end: clips may be shorter than the recording.
    Raises:
        ValueError: one is, as it has fewer frames that can be read than it says.
    """
    jobs = [DetectionJob(view, recording.every, recording.num_instants, networks, kind) for view in recording.views]
    views = for_each(detected_in_view, jobs, processes, "keypoints")
    for view, frames in zip(recording.views, views, strict=True):
        if len(frames) < recording.num_instants and not may_end:
            missing = view.first + recording.every * len(frames) + 1
            raise ValueError(f"{view.videos} ends before frame {missing}; copy it again")
    return views


def given_people(recording: MultiviewRecording) -> Views:
    """Take the keypoints that another program found, as the ideal cameras see them."""
    assert recording.people is not None
    views: Views = []
    for camera, frames in zip(recording.cameras, recording.people, strict=True):
        views.append([])
        for people in frames:
            there = []
            for one in people:
                points_px = undistorted_px(camera, one[:, :2])
                sure = np.where(one[:, 2] >= LEAST_CONFIDENCE, one[:, 2].clip(0, 1), 0.0)
                found = keypoints_of(points_px, sure, BODY_25B, False)
                there += [] if found is None else [found]
            views[-1].append([SeenSomebody(np.column_stack([one.points_px, one.confidence])) for one in there])
    return views


SAME_SIZE = 0.15
"""A detected person is the one whose keypoints are given if these lie so near on average, over the person's size."""


def with_detected_masks(given: Views, detected: Views) -> Views:
    """Give people whose keypoints another program found the masks of those whom the detector sees there."""
    return [
        [[one._replace(mask=mask_there(one, others)) for one in people]
         for people, others in zip(frames, detections, strict=True)]
        for frames, detections in zip(given, detected, strict=True)
    ]  # fmt: skip


def mask_there(one: SeenSomebody, detected: Sequence[SeenSomebody]) -> ViewMask | None:
    """Choose the mask of the detected person who is somebody; None if nobody is."""
    tried = []
    for number, other in enumerate(detected):
        shared = (one.keypoints_px[:, 2] > 0) & (other.keypoints_px[:, 2] > 0)
        if shared.any():
            size_px = max(float(np.ptp(one.keypoints_px[shared, :2], axis=0).max()), 1.0)
            off_px = np.linalg.norm(one.keypoints_px[shared, :2] - other.keypoints_px[shared, :2], axis=1)
            tried.append((float(off_px.mean()) / size_px, number))
    best = min(tried, default=(np.inf, -1))
    return detected[best[1]].mask if best[0] < SAME_SIZE else None


class PersonInViews(NamedTuple):
    """One person over time, as all cameras see them."""

    cameras: list[Camera]
    """Ideal."""
    keypoints_px: Float[np.ndarray, "T V 25 3"]
    is_used: Bool[np.ndarray, "T V 25"]
    """Whether a keypoint agrees with the other views."""
    points_world_m: Float[np.ndarray, "T 25 3"]
    """NaN where fewer than two views agree."""
    masks: list[list[ViewMask | None]]
    """By instant, then by camera."""
    is_exchanged: Bool[np.ndarray, "T V"]
    """Where left and right were exchanged."""

    @property
    def is_placed(self) -> Bool[np.ndarray, "T"]:
        """Tell at which instants the trunk is known in space."""
        return np.isfinite(self.points_world_m[:, TORSO, 0]).sum(axis=1) >= 2

    def errors_px(self) -> Float[np.ndarray, "V"]:
        """Measure each camera's median distance between keypoints and the points in space, outliers included."""
        found = []
        for view, camera in enumerate(self.cameras):
            seen_px = self.keypoints_px[:, view].reshape(1, -1, 3)
            points_m = self.points_world_m.reshape(-1, 3)
            off_px = distances_px([camera], np.nan_to_num(points_m), seen_px[..., :2])[0]
            known = (seen_px[0, :, 2] >= SURE_CONFIDENCE) & np.isfinite(points_m[:, 0])
            found.append(float(np.median(off_px[known])) if known.any() else np.nan)
        return np.array(found)


def placed(
    cameras: list[Camera], keypoints_px: Float[np.ndarray, "T V 25 3"], outlier_px: float
) -> tuple[Float[np.ndarray, "T 25 3"], Bool[np.ndarray, "T V 25"]]:
    """Triangulate keypoints of all instants from the views that agree."""
    T, V, K, _ = keypoints_px.shape
    flat = keypoints_px.transpose(1, 0, 2, 3).reshape(V, T * K, 3)
    sure = np.where(flat[..., 2] >= LEAST_CONFIDENCE, flat[..., 2], 0.0)
    found = triangulate(cameras, flat[..., :2], sure, outlier_px)
    return found.points_world_m.reshape(T, K, 3), found.is_used.reshape(V, T, K).transpose(1, 0, 2)


def cut_off_errors_px(
    camera: Camera, points_world_m: Float[np.ndarray, "25 3"], seen_px: Float[np.ndarray, "25 3"], outlier_px: float
) -> float:
    """Measure the mean distance of a detection from where a person is, each keypoint's cut off; NaN without any."""
    known = np.isfinite(points_world_m[:, 0]) & (seen_px[:, 2] >= LEAST_CONFIDENCE)
    if not known.any():
        return np.nan
    off_px = distances_px([camera], points_world_m[known], seen_px[None, known, :2])[0]
    return float(np.minimum(off_px, outlier_px).mean())


def followed(cameras: list[Camera], views: Views, outlier_px: float, frames_per_second: float) -> list[TrackedPerson]:
    """Follow everybody whom two views see together; the first is seen by most cameras in most frames."""
    frames = [[np.array([one.keypoints_px for one in people]).reshape(-1, 25, 3) for people in at]
              for at in zip(*views, strict=True)]  # fmt: skip
    return tracked_people(cameras, frames, outlier_px, frames_per_second, LEAST_CONFIDENCE)


def person_in_views(
    cameras: list[Camera], views: Views, everybody: list[TrackedPerson], number: int, outlier_px: float
) -> PersonInViews:
    """Gather what all views see of a person; sides that a view took for each other are exchanged."""
    chosen = everybody[number]
    members = chosen.members.copy()
    T, V = members.shape
    seen_px, is_exchanged = np.zeros((T, V, 25, 3)), np.zeros((T, V), bool)
    for view in range(V):
        for time in np.flatnonzero(members[:, view] >= 0):
            seen_px[time, view] = views[view][time][members[time, view]].keypoints_px
        own = np.flatnonzero(members[:, view] >= 0)
        if len(own):
            is_exchanged[own, view] = settled_sides(seen_px[own, view, :, :2], seen_px[own, view, :, 2], False)
    seen_px = with_exchanged(seen_px, is_exchanged)
    taken = [{(t, v, int(one.members[t, v])) for t, v in np.argwhere(one.members >= 0)}
             for other, one in enumerate(everybody) if other != number]  # fmt: skip
    others = set().union(*taken)
    for _ in range(SIDE_ROUNDS):
        points_m, _ = placed(cameras, seen_px, outlier_px)
        for time, view in np.argwhere(np.isfinite(points_m[:, :, 0]).any(axis=1)[:, None] & np.ones((1, V), bool)):
            free = [row for row in range(len(views[view][time])) if (time, view, row) not in others]
            best = best_of(cameras[view], points_m[time], [views[view][time][row].keypoints_px for row in free],
                           outlier_px)  # fmt: skip
            if best is not None:
                members[time, view], is_exchanged[time, view] = free[best[0]], best[1]
                seen_px[time, view] = exchanged(views[view][time][free[best[0]]].keypoints_px, best[1])
    points_m, is_used = placed(cameras, seen_px, outlier_px)
    masks = [[views[view][time][members[time, view]].mask if members[time, view] >= 0 else None for view in range(V)]
             for time in range(T)]  # fmt: skip
    return PersonInViews(cameras, seen_px, is_used, points_m, masks, is_exchanged)


def exchanged(seen_px: Float[np.ndarray, "25 3"], is_exchanged: bool | np.bool_) -> Float[np.ndarray, "25 3"]:
    """Exchange left and right."""
    return seen_px[mirrored(KEYPOINTS_25)] if is_exchanged else seen_px


def with_exchanged(
    seen_px: Float[np.ndarray, "T V 25 3"], is_exchanged: Bool[np.ndarray, "T V"]
) -> Float[np.ndarray, "T V 25 3"]:
    """Exchange left and right in some views of some instants."""
    return np.where(is_exchanged[..., None, None], seen_px[:, :, mirrored(KEYPOINTS_25)], seen_px)


def best_of(
    camera: Camera, points_world_m: Float[np.ndarray, "25 3"], seen: list[Float[np.ndarray, "25 3"]], outlier_px: float
) -> tuple[int, bool] | None:
    """Choose whom a view shows where the others place a person, and whether left and right are exchanged there."""
    tried = [(cut_off_errors_px(camera, points_world_m, exchanged(one, other), outlier_px), row, other)
             for row, one in enumerate(seen) for other in (False, True)]  # fmt: skip
    known = [one for one in tried if one[0] < AGREES * outlier_px]
    return min(known)[1:] if known else None


def sightings_of(person: PersonInViews, every: int) -> Sightings:
    """Give what is sure of a person's keypoints, for the check of a calibration."""
    is_sure = person.keypoints_px[..., 2] >= SURE_CONFIDENCE
    points_px = np.where(is_sure[..., None], person.keypoints_px[..., :2], np.nan)
    low, high = (np.where(is_sure[..., None], points_px, empty) for empty in (np.inf, -np.inf))
    extent_px = (high.max(axis=2) - low.min(axis=2)).max(axis=-1)
    return Sightings(points_px, np.where(np.isfinite(extent_px), extent_px, np.nan), "keypoints", every)


def targets_world_m(person: PersonInViews) -> Float[np.ndarray, "T 3"]:
    """Say what the crops of all instants look at: the middle of the masks in space, else of the trunk; NaN for none."""
    found = np.full((len(person.masks), 3), np.nan)
    for time, masks in enumerate(person.masks):
        middles_px = np.array([np.full(2, np.nan) if mask is None else centre_px(mask) for mask in masks])
        found[time] = triangulated(person.cameras, middles_px)
        trunk_m = person.points_world_m[time, TORSO]
        if np.isnan(found[time]).any() and person.is_placed[time]:
            found[time] = trunk_m[np.isfinite(trunk_m[:, 0])].mean(axis=0)
    return found


def without_keypoints(cameras: list[Camera], masks: list[list[ViewMask | None]]) -> PersonInViews:
    """Describe a person of whom only masks are known."""
    T, V = len(masks), len(cameras)
    return PersonInViews(cameras, np.zeros((T, V, 25, 3)), np.zeros((T, V, 25), bool), np.full((T, 25, 3), np.nan),
                         masks, np.zeros((T, V), bool))  # fmt: skip


def given_masks(recording: MultiviewRecording) -> list[list[ViewMask | None]]:
    """Read the masks that the user gave, as the ideal cameras see them, by instant, then by camera."""
    by_view = []
    for row, view in enumerate(recording.views):
        where, masks = None, []
        for path in recording.mask_files(row):
            colour = np.repeat(read_given_mask(path)[..., None], 3, axis=-1)
            if where is None:
                where = sampling_map(view.camera, letterbox(view.camera, colour.shape[1], colour.shape[0]))
            ideal = ideal_image(colour, where)[..., 0]
            masks.append(None if mask_fault(ideal) else view_mask(ideal))
        by_view.append(masks)
    return [list(masks) for masks in zip(*by_view, strict=True)]
