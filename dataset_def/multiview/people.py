"""Who is who: detections of the same person in all views of an instant, and the same person over time.

A detection is K points with confidence: a skeleton, or a silhouette's top, middle and bottom.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dataset_def.multiview.geometry import epipolar_px, points_nearest_to_rays, projection_matrices
from utils.camera import Camera

MOST_PEOPLE = 6
"""People per view that are compared, the most confident first."""
MOST_PAIRS_TRIED = 12
"""Pairs of detections that are tried as the beginning of a person."""
LEAST_COMMON = 4
"""Points that two detections must share to be compared (all but one of shorter detections)."""
AGREE = 0.7
"""Two detections may be one person if their mean error, cut off at the outlier distance, is below this part of it."""
SPEED_M_PER_S = 4.0
PLACING_ERROR_M = 0.3
"""A person moves at most so fast, and is placed to about so much."""
LOST_S = 1.0
"""A person who is not seen for so long is taken for another one."""

Detections = list[Float[np.ndarray, "_ K 3"]]
"""Everybody in one frame, by camera: x, y, confidence."""


class PersonAtInstant(NamedTuple):
    """One person at one instant."""

    members: Int[np.ndarray, "V"]
    """Which detection of each view; -1 for none."""
    error_px: float
    """Mean distance to the epipolar lines of the other views, cut off at `outlier_px`."""
    position_world_m: Float[np.ndarray, "3"]


class TrackedPerson(NamedTuple):
    """One person over time."""

    members: Int[np.ndarray, "T V"]
    score: float
    """Sightings, each weighted with the consistency of the views, 0 to 1."""
    error_px: float
    """Mean over the sightings."""
    position_world_m: Float[np.ndarray, "T 3"]

    @property
    def num_frames(self) -> int:
        """Count the frames in which the person is placed."""
        return int(np.isfinite(self.position_world_m[:, 0]).sum())

    @property
    def num_sightings(self) -> int:
        """Count frames and cameras that see the person."""
        return int((self.members >= 0).sum())


def pair_errors_px(
    cameras: list[Camera], detections: Detections, least_confidence: float, outlier_px: float
) -> dict[tuple[int, int], Float[np.ndarray, "a b"]]:
    """Compare every detection of a view with every one of another view; infinite where they share too little."""
    errors = {}
    for i, j in combinations(range(len(cameras)), 2):
        first, second = detections[i][:, None], detections[j][None]
        distance_px = epipolar_px(cameras[i], cameras[j], *np.broadcast_arrays(first[..., :2], second[..., :2]))
        is_common = (first[..., 2] >= least_confidence) & (second[..., 2] >= least_confidence)
        count = is_common.sum(axis=-1)
        total = np.where(is_common, np.minimum(distance_px, outlier_px), 0.0).sum(axis=-1)
        enough = count >= min(LEAST_COMMON, first.shape[-2] - 1)
        errors[i, j] = np.where(enough, total / np.maximum(count, 1), np.inf)
        errors[j, i] = errors[i, j].T
    return errors


def grow_group(
    seed: tuple[int, int, int, int], errors: dict[tuple[int, int], np.ndarray], sizes: list[int], agree_px: float
) -> tuple[Int[np.ndarray, "V"], float]:
    """Add to a pair of detections (view, row, view, row) those of other views that agree with it."""
    members = np.full(len(sizes), -1)
    members[[seed[0], seed[2]]] = seed[1], seed[3]
    costs = [errors[seed[0], seed[2]][seed[1], seed[3]]]
    for view, size in enumerate(sizes):
        if members[view] < 0 and size:
            to_members = [errors[other, view][row] for other, row in enumerate(members) if row >= 0]
            mean = np.mean(to_members, axis=0)
            if mean.min() < agree_px:
                members[view] = mean.argmin()
                costs.append(mean.min())
    return members, float(np.mean(costs))


def position(
    cameras: list[Camera], detections: Detections, members: Int[np.ndarray, "V"], least_confidence: float
) -> Float[np.ndarray, "3"]:
    """Place the middle of a person from the points that at least two views have; NaN behind a camera."""
    views = np.flatnonzero(members >= 0)
    points = np.stack([detections[view][members[view]] for view in views])
    weights = np.where(points[..., 2] >= least_confidence, points[..., 2], 0.0)
    shared = (weights > 0).sum(axis=0) >= 2
    seen_by = [cameras[view] for view in views]
    placed_m = points_nearest_to_rays(projection_matrices(seen_by), points[:, shared, :2], weights[:, shared] + 1e-12)
    middle_m = np.median(placed_m, axis=0)
    in_front = [(camera.R_cam_from_world @ (middle_m - camera.centre_world_m))[2] > 0 for camera in seen_by]
    return middle_m if all(in_front) else np.full(3, np.nan)


def people_at(
    cameras: list[Camera], detections: Detections, outlier_px: float, least_confidence: float = 0.1
) -> list[PersonAtInstant]:
    """Group the detections of one instant into people whom at least two views see, the best seen first."""
    ranks = [np.argsort(-found[..., 2].sum(axis=1), kind="stable")[:MOST_PEOPLE] for found in detections]
    ranked = [found[rank] for found, rank in zip(detections, ranks, strict=True)]
    errors = pair_errors_px(cameras, ranked, least_confidence, outlier_px)
    sizes = [len(rank) for rank in ranks]
    found: list[PersonAtInstant] = []
    while True:
        seeds = [(float(error), (i, int(a), j, int(b))) for (i, j), pair in errors.items() if i < j
                 for (a, b), error in np.ndenumerate(pair) if error < AGREE * outlier_px]  # fmt: skip
        groups = [grow_group(seed, errors, sizes, AGREE * outlier_px) for _, seed in sorted(seeds)[:MOST_PAIRS_TRIED]]
        if not groups:
            return found
        members, error_px = max(groups, key=lambda group: ((group[0] >= 0).sum(), -group[1]))
        middle_m = position(cameras, ranked, members, least_confidence)
        original = np.array([rank[m] if m >= 0 else -1 for rank, m in zip(ranks, members, strict=True)])
        if np.isfinite(middle_m).all():
            found.append(PersonAtInstant(original, error_px, middle_m))
        for (i, j), pair in errors.items():
            pair[[m for m in members[[i]] if m >= 0]] = np.inf
            pair[:, [m for m in members[[j]] if m >= 0]] = np.inf


def tracked_people(
    cameras: list[Camera],
    frames: list[Detections],
    outlier_px: float,
    frames_per_second: float,
    least_confidence: float = 0.1,
) -> list[TrackedPerson]:
    """Follow everybody over time; the first is whom most cameras see in most frames, with the least error."""
    tracks: list[dict[int, PersonAtInstant]] = []
    for time, detections in enumerate(frames):
        free = people_at(cameras, detections, outlier_px, least_confidence)
        pairs = sorted(
            (float(np.linalg.norm(person.position_world_m - track[max(track)].position_world_m)), t, p)
            for t, track in enumerate(tracks)
            for p, person in enumerate(free)
            if time - max(track) <= max(1.0, LOST_S * frames_per_second)
        )
        taken: dict[int, int] = {}
        for distance_m, t, p in pairs:
            reach_m = PLACING_ERROR_M + SPEED_M_PER_S * (time - max(tracks[t])) / frames_per_second
            if distance_m <= reach_m and t not in taken and p not in taken.values():
                taken[t] = p
        for t, p in taken.items():
            tracks[t][time] = free[p]
        tracks += [{time: person} for p, person in enumerate(free) if p not in taken.values()]
    everybody = [_tracked_person(track, len(frames), len(cameras), outlier_px) for track in tracks]
    return sorted(everybody, key=lambda one: -one.score)


def _tracked_person(
    track: dict[int, PersonAtInstant], num_frames: int, num_views: int, outlier_px: float
) -> TrackedPerson:
    """Lay one person's instants out over time."""
    members, positions_m = np.full((num_frames, num_views), -1), np.full((num_frames, 3), np.nan)
    for time, person in track.items():
        members[time], positions_m[time] = person.members, person.position_world_m
    counts = np.array([(person.members >= 0).sum() for person in track.values()])
    errors_px = np.array([person.error_px for person in track.values()])
    score = float((counts * (1 - errors_px / outlier_px)).sum())
    return TrackedPerson(members, score, float(np.average(errors_px, weights=counts)), positions_m)


def picked(frames: list[Detections], track: TrackedPerson) -> Float[np.ndarray, "T V K 3"]:
    """Collect one person's points; zeros, with no confidence, where a view does not see the person."""
    num_points = next(found.shape[1] for detections in frames for found in detections)
    points = np.zeros((*track.members.shape, num_points, 3))
    for time, view in np.argwhere(track.members >= 0):
        points[time, view] = frames[time][view][track.members[time, view]]
    return points
