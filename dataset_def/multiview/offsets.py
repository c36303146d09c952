"""By how many frames cameras started apart, from how a person's keypoints move in their pictures.

A keypoint in one view lies on a line of the other, at the same moment.  At another moment it lies beside it, by as
much as the person has moved across the line; what stays the same over time, such as a calibration that is a little off,
does not count.  Somebody who stands still tells nothing, and is refused.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dataset_def.multiview.geometry import fundamental
from dataset_def.multiview.people_in_views import SURE_CONFIDENCE, Views
from utils.camera import Camera

LEAST_FRAMES = 12
"""Frames that two clips must have in common to be compared."""
LEAST_SHARE = 0.5
"""And this part of the shorter one."""
RIVAL_FRAMES = 2
"""Another offset that is so far from the best, or farther, is another answer."""
CLEARLY = 1.25
"""The best rival must fit worse by this factor."""
MOST_CONTRADICTION = 1.0
"""Offsets of three pairs of cameras may differ from each other by so many frames."""


class PairOffset(NamedTuple):
    """What two cameras say about each other."""

    frames: int
    """The second one started earlier by so many."""
    clarity: float
    """How much worse the best rival fits; 1 is not at all."""


def foremost_px(frames: list) -> Float[np.ndarray, "T 25 3"]:
    """Take the largest person of every picture of a view; zeros, with no confidence, for nobody."""
    found = np.zeros((len(frames), 25, 3))
    for time, people in enumerate(frames):
        if people:
            sizes = [np.ptp(one.keypoints_px[one.keypoints_px[:, 2] > 0, :2], axis=0).max() for one in people]
            found[time] = people[int(np.argmax(sizes))].keypoints_px
    return found


def beside_line_px(
    F: Float[np.ndarray, "3 3"], from_px: Float[np.ndarray, "T K 2"], to_px: Float[np.ndarray, "T K 2"]
) -> Float[np.ndarray, "T K"]:
    """Measure on which side of its line, and how far from it, each keypoint lies."""
    lines = np.concatenate([from_px, np.ones_like(from_px[..., :1])], axis=-1) @ F.T
    beside = (lines[..., :2] * to_px).sum(axis=-1) + lines[..., 2]
    return beside / np.maximum(np.linalg.norm(lines[..., :2], axis=-1), 1e-12)


def misfit_px(
    F: Float[np.ndarray, "3 3"], first: Float[np.ndarray, "T K 3"], second: Float[np.ndarray, "T K 3"]
) -> float:
    """Measure how far keypoints of the same frames move beside their lines; infinite where they share too little."""
    sure = (first[..., 2] >= SURE_CONFIDENCE) & (second[..., 2] >= SURE_CONFIDENCE)
    if sure.any(axis=1).sum() < LEAST_FRAMES:
        return np.inf
    total = []
    for matrix, one, other in ((F, first, second), (F.T, second, first)):
        beside = np.where(sure, beside_line_px(matrix, one[..., :2], other[..., :2]), np.nan)
        often = sure.sum(axis=0) >= LEAST_FRAMES
        beside = beside[:, often] - np.nanmedian(beside[:, often], axis=0)
        total.append(np.nanmedian(np.abs(beside)) if beside.size else np.inf)
    return float(np.mean(total))


def pair_offset(
    cameras: tuple[Camera, Camera], first: Float[np.ndarray, "T K 3"], second: Float[np.ndarray, "S K 3"], most: int
) -> PairOffset:
    """Find by how many frames one clip must be moved against the other."""
    F, tried = fundamental(*cameras), {}
    least = max(LEAST_FRAMES, round(LEAST_SHARE * min(len(first), len(second))))
    for frames in range(-most, most + 1):
        begins = max(0, -frames)
        length = min(len(first) - begins, len(second) - begins - frames)
        if length >= least:
            there = slice(begins + frames, begins + frames + length)
            tried[frames] = misfit_px(F, first[begins : begins + length], second[there])
    known = {frames: value for frames, value in tried.items() if np.isfinite(value)}
    if not known:
        return PairOffset(0, 0.0)
    best = min(known, key=known.__getitem__)
    rivals = [value for frames, value in known.items() if abs(frames - best) >= RIVAL_FRAMES]
    return PairOffset(best, min(rivals, default=0.0) / max(known[best], 1e-9))


class Offsets(NamedTuple):
    """How far clips are apart."""

    frames: Int[np.ndarray, "V"]
    """So many frames of each clip come before the first one that all have."""
    told: str
    """What every pair of cameras says, in words."""


def found_offsets(names: list[str], cameras: list[Camera], views: Views, most: int) -> Offsets:
    """Find how far the clips of a recording are apart.

    Args:
        cameras: ideal.
        views: everybody in all frames of the clips.
        most: frames that are tried either way.
    Raises:
        ValueError: nobody moves enough to tell, or the cameras contradict each other.
    """
    seen = [foremost_px(frames) for frames in views]
    pairs = {(i, j): pair_offset((cameras[i], cameras[j]), seen[i], seen[j], most)
             for i, j in combinations(range(len(cameras)), 2)}  # fmt: skip
    sure = {pair: one for pair, one in pairs.items() if one.clarity >= CLEARLY}
    told = ", ".join(f"{names[i]}-{names[j]} {one.frames:+d} (the next best is {one.clarity:.2f} times as bad)"
                     for (i, j), one in pairs.items())  # fmt: skip
    rows = np.zeros((len(sure) + 1, len(cameras)))
    rows[-1, 0] = 1.0
    for row, (i, j) in enumerate(sure):
        rows[row, [i, j]] = -1, 1
    if np.linalg.matrix_rank(rows) < len(cameras):
        raise ValueError(f"how far the clips are apart cannot be told: {told}; {CLEARLY:g} times is needed: give clips "
                         "in which one person moves quickly before all cameras, or --offsets yourself")  # fmt: skip
    wanted = np.array([*(one.frames for one in sure.values()), 0.0])
    solved = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    if np.abs(rows @ solved - wanted).max() > MOST_CONTRADICTION:
        raise ValueError(f"the cameras contradict each other on how far their clips are apart: {told}; check the "
                         "calibration, or give --offsets yourself")  # fmt: skip
    whole = np.round(solved).astype(int)
    return Offsets(whole - whole.min(), told)
