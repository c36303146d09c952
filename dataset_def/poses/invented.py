"""Poses of the embedded motion generator."""

import numpy as np
from scipy.spatial.transform import Rotation

from dataset_def.poses.recording import Recording
from dataset_def.synthetic.motion import generate_motion
from dataset_def.synthetic.plans import PLANS
from dataset_def.synthetic.style import subject_style

FRAMES_PER_SECOND = 2.5
FIRST_SUBJECT = 1000
"""Habits of people that the embedded images do not show."""
VERSION = 1
"""Raised when the same numbers would give other motions."""


def invent(number: int, frames: int, seed: int) -> Recording:
    """Invent a motion: actions take turns, and every one has a person of its own."""
    action = sorted(PLANS)[number % len(PLANS)]
    style = subject_style(FIRST_SUBJECT + number // len(PLANS), seed)
    rng = np.random.default_rng([seed, number, 303])
    rotations = generate_motion(action, rng, frames, FRAMES_PER_SECOND, style).rotations
    theta = Rotation.from_matrix(rotations.reshape(-1, 3, 3).astype(np.float64)).as_rotvec()
    return Recording(f"{number:05d}", theta.reshape(frames, 72).astype(np.float32))
