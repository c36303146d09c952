"""Motions of any body: joints turn smoothly within the ranges that its file tells, about a cycle, such as a walk, if it
has one.

Nothing here knows what kind of body it is; where the file tells no ranges, all joints turn alike.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from utils.body_file import BodyFile
from utils.optional import later

transform = later("scipy.spatial.transform")

USUAL_RANGE_RAD = 0.35
"""How far joints turn about every axis, to both sides, where the file does not tell."""
ROOT_RANGE_RAD = 0.1
"""The same of the root, which leans in the world."""
SLOWEST_HZ, FASTEST_HZ = 0.05, 0.5
STANDS = 0.25
"""Share of motions that do not play the cycle."""
CYCLES_PER_S = (0.6, 1.4)
HELD_BACK = 0.6
"""While the cycle plays, joints turn beside it by so much less."""
STRIDE = 0.5
"""How far a body goes in a cycle, as a share of its length along z at rest."""
STANDING = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns a body at rest (y up, facing z) into a world with z up."""


class FreeMotion(NamedTuple):
    """How a body moves by itself."""

    rotations: Float[np.ndarray, "T J 3 3"]
    """Of the joints relative to their parents; the root's in a world with z up."""
    path_world_m: Float[np.ndarray, "T 2"]
    """Where the body stands; the middle of its way is the origin."""


def ranges_of(file: BodyFile) -> Float[np.ndarray, "J 3 2"]:
    """Take the ranges of the file, or the usual ones."""
    if file.ranges_rad is not None:
        return file.ranges_rad
    found = np.tile([-USUAL_RANGE_RAD, USUAL_RANGE_RAD], (len(file.parents), 3, 1))
    found[0] *= ROOT_RANGE_RAD / USUAL_RANGE_RAD
    return found


def wandering(rng: np.random.Generator, shape: tuple[int, ...], time_s: Float[np.ndarray, "T"]) -> np.ndarray:
    """Draw numbers between -1 and 1 that change smoothly in time, (T, *shape)."""
    times = time_s.reshape(-1, *[1] * len(shape))
    start, phase = rng.uniform(0, 2 * np.pi, (2, *shape))
    rate_hz = SLOWEST_HZ * (FASTEST_HZ / SLOWEST_HZ) ** rng.random(shape)
    return np.sin(start + 1.5 * np.sin(phase + 2 * np.pi * rate_hz * times))


def cycle_at(cycle_rad: Float[np.ndarray, "K J 3"], turns: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T J 3"]:
    """Read a cycle at any time, in cycles; between its frames linearly."""
    place = (turns % 1) * len(cycle_rad)
    first = place.astype(int) % len(cycle_rad)
    share = (place - np.floor(place))[:, None, None]
    return cycle_rad[first] * (1 - share) + cycle_rad[(first + 1) % len(cycle_rad)] * share


def free_motion(file: BodyFile, rng: np.random.Generator, frames: int, frames_per_second: float) -> FreeMotion:
    """Draw a motion; the body goes forward as its cycle plays, and turns as it goes."""
    time_s, ranges = np.arange(frames) / frames_per_second, ranges_of(file)
    middle = np.clip(0.0, ranges[..., 0], ranges[..., 1])
    drawn = wandering(rng, middle.shape, time_s) * rng.uniform(0.2, 1.0)
    angles = np.where(drawn > 0, drawn * (ranges[..., 1] - middle), drawn * (middle - ranges[..., 0]))
    strength, rate = 0.0, rng.uniform(*CYCLES_PER_S)
    if file.cycle_rad is not None and rng.random() >= STANDS:
        strength = rng.uniform(0.6, 1.2)
        angles = strength * cycle_at(file.cycle_rad, rng.random() + rate * time_s) + (1 - HELD_BACK) * angles
    angles = angles + middle
    rotations = transform.Rotation.from_euler("XYZ", angles.reshape(-1, 3)).as_matrix().reshape(*angles.shape, 3)
    heading = rng.uniform(0, 2 * np.pi) + 0.8 * wandering(rng, (), time_s)
    rotations[:, 0] = transform.Rotation.from_euler("z", heading[:, None]).as_matrix() @ STANDING @ rotations[:, 0]
    forward = np.stack([np.sin(heading), -np.cos(heading)], axis=1)  # z of the body is -y of the world before it turns
    speed_m = strength * rate * STRIDE * np.ptp(file.v_template[:, 2])
    path_m = np.cumsum(forward, axis=0) * speed_m / frames_per_second
    return FreeMotion(rotations, path_m - path_m.mean(axis=0))
