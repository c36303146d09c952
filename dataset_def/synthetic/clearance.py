"""Whether limbs pass through the body: capsules around bones, and how deep they overlap."""

import numpy as np
from jaxtyping import Float

from dataset_def.synthetic.limbs import joint

CAPSULES: tuple[tuple[str, str, float, float], ...] = (
    ("left_hip", "left_collar", 0.10, 0.02), ("right_hip", "right_collar", 0.10, -0.02),
    ("neck", "head", 0.06, 0.0), ("head", "head", 0.10, 0.0), ("left_hip", "left_knee", 0.065, 0.0),
    ("right_hip", "right_knee", 0.065, 0.0), ("left_knee", "left_ankle", 0.05, 0.0),
    ("right_knee", "right_ankle", 0.05, 0.0), ("left_elbow", "left_wrist", 0.035, 0.0),
    ("right_elbow", "right_wrist", 0.035, 0.0), ("left_wrist", "left_hand", 0.01, 0.0),
    ("right_wrist", "right_hand", 0.01, 0.0),
)  # fmt: skip
"""Ends, radius (a little less than flesh: hands may rest on the body) and shift to the left, metres."""

TORSO, NECK, HEAD = (0, 1), 2, 3
THIGHS, SHANKS, FOREARMS, HANDS = (4, 5), (6, 7), (8, 9), (10, 11)
PAIRS: tuple[tuple[int, int], ...] = (
    *((arm, body) for arm in FOREARMS + HANDS for body in (*TORSO, NECK, HEAD, *THIGHS)),
    (FOREARMS[0], FOREARMS[1]), (HANDS[0], FOREARMS[1]), (HANDS[1], FOREARMS[0]),
    (SHANKS[0], SHANKS[1]), (SHANKS[0], THIGHS[1]), (SHANKS[1], THIGHS[0]),
)  # fmt: skip
HEAD_LIFT_M = np.array([0.0, 0.08, 0.02])
"""From the head's joint to the middle of the skull."""
HAND_STRETCH = 1.3
"""Finger tips over the hand's joint, counted from the wrist."""


def segment_distance_m(
    a0: Float[np.ndarray, "*n 3"],
    a1: Float[np.ndarray, "*n 3"],
    b0: Float[np.ndarray, "*n 3"],
    b1: Float[np.ndarray, "*n 3"],
) -> Float[np.ndarray, "*n"]:
    """Measure the distance between two segments.

    Source: closest points of the lines, clamped to the first segment and then to the second, and once more back
    (Ericson, Real-Time Collision Detection, section 5.1.9); test_motion.py.
    """
    along_a, along_b, between = a1 - a0, b1 - b0, a0 - b0
    aa, bb = (along_a**2).sum(-1) + 1e-9, (along_b**2).sum(-1) + 1e-9
    ab, ar, br = (along_a * along_b).sum(-1), (along_a * between).sum(-1), (along_b * between).sum(-1)
    s = np.clip((ab * br - ar * bb) / np.maximum(aa * bb - ab**2, 1e-9), 0.0, 1.0)
    t = np.clip((ab * s + br) / bb, 0.0, 1.0)
    s = np.clip((ab * t - ar) / aa, 0.0, 1.0)
    return np.linalg.norm(between + s[..., None] * along_a - t[..., None] * along_b, axis=-1)


def overlap_m(
    joints_m: Float[np.ndarray, "*n 24 3"], turned: Float[np.ndarray, "*n 24 3 3"]
) -> Float[np.ndarray, "*n"]:
    """Give the sum of the depths to which capsules overlap."""
    starts, ends = [], []
    for start, end, _, shift_m in CAPSULES:
        aside = turned[..., 0, :, 0] * shift_m
        starts.append(joints_m[..., joint(start), :] + aside)
        ends.append(joints_m[..., joint(end), :] + aside)
    skull_m = joints_m[..., joint("head"), :] + turned[..., joint("head"), :, :] @ HEAD_LIFT_M
    starts[HEAD] = ends[HEAD] = skull_m
    for row in HANDS:
        ends[row] = starts[row] + HAND_STRETCH * (ends[row] - starts[row])
    start_m, end_m = np.stack(starts, -2), np.stack(ends, -2)
    radii_m = np.array([capsule[2] for capsule in CAPSULES])
    first, second = (list(rows) for rows in zip(*PAIRS, strict=True))
    distance_m = segment_distance_m(
        start_m[..., first, :], end_m[..., first, :], start_m[..., second, :], end_m[..., second, :]
    )
    return np.maximum(radii_m[first] + radii_m[second] - distance_m, 0.0).sum(-1)
