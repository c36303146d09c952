"""Motion for the embedded data from recorded clips (.asf / .amc) instead of the generator."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import minimum_filter1d

from dataset_def.acclaim import PlacedBones, Skeleton, leg_length_m, place_bones, read_amc, read_asf, to_body
from dataset_def.synthetic.motion.generate import R_WORLD_FROM_FLOOR, Motion
from dataset_def.synthetic.motion.limbs import Style, about
from dataset_def.synthetic.motion.stances import leg_m

JUMP_WINDOW_S = 1.2
"""Nobody is in the air for so long: the lowest point within it stood on something."""
JUMP_FROM_M = 0.06
"""Less than this is a raised heel or noise."""
MAX_RADIUS_M = 0.9
"""Longer ways are scaled down to stay within the cameras' common view."""


@lru_cache(maxsize=8)
def load_clip(motion: Path, skeleton: Path) -> tuple[Skeleton, PlacedBones]:
    """Read a clip once per process."""
    bones = read_asf(skeleton)
    return bones, place_bones(bones, read_amc(motion, bones))


def lift_over_floor_m(lowest_m: Float[np.ndarray, "T"], frames_per_second: float) -> Float[np.ndarray, "T"]:
    """Tell jumps from standing on something high: how far the lowest point is over its lowest place nearby in time."""
    window = max(1, round(JUMP_WINDOW_S * frames_per_second))
    lift_m = lowest_m - minimum_filter1d(lowest_m, window, mode="nearest")
    return np.maximum(lift_m - JUMP_FROM_M, 0.0)


def cmu_motion(
    clips: list[tuple[Path, Path]],
    rng: np.random.Generator,
    num_frames: int,
    frames_per_second: float,
    recorded_frames_per_second: float,
    style: Style,
) -> Motion:
    """Draw a clip, a part of it and a heading; a short clip is played to and fro."""
    motion, skeleton_file = clips[int(rng.integers(len(clips)))]
    skeleton, placed = load_clip(motion, skeleton_file)
    lowest_m = np.min([end_m[:, 1] for end_m in placed.ends_m.values()], axis=0)
    lift_m = lift_over_floor_m(lowest_m, recorded_frames_per_second)
    rows = chosen_rows(rng, len(lowest_m), num_frames, recorded_frames_per_second / frames_per_second)
    part = PlacedBones({name: R[rows] for name, R in placed.turned.items()}, {"root": placed.ends_m["root"][rows]})
    rotations = to_body(skeleton, part, style.rest_joints_m)
    turn = R_WORLD_FROM_FLOOR @ about("y", rng.uniform(0, 2 * np.pi))
    rotations[:, 0] = turn @ rotations[:, 0]
    scale = leg_m(style) / leg_length_m(skeleton)
    pelvis_world_m = scale * part.ends_m["root"] @ turn.T
    return Motion(rotations.astype(np.float32), kept_near(pelvis_world_m), scale * lift_m[rows])


def chosen_rows(rng: np.random.Generator, length: int, num_frames: int, step: float) -> np.ndarray:
    """Draw a start and give the rows of the frames."""
    needed = round((num_frames - 1) * step) + 1
    start = int(rng.integers(max(1, length - needed + 1)))
    rows = start + np.round(np.arange(num_frames) * step).astype(int)
    return np.abs((rows + length - 1) % max(1, 2 * (length - 1)) - (length - 1))


def kept_near(pelvis_world_m: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    """Move a way to the middle of the capture area and scale it down if it leaves it."""
    middle_m = (pelvis_world_m.max(0) + pelvis_world_m.min(0)) / 2
    centred_m = pelvis_world_m - middle_m
    radius_m = float(np.linalg.norm(centred_m[:, :2], axis=-1).max())
    return centred_m * min(1.0, MAX_RADIUS_M / max(radius_m, 1e-9))
