"""Where the hands go: each function samples a wrist position, as a variant of one thing that people do with a hand.

Positions are in the chest's frame (coordinates of the T-pose: x left, y up, z forward), with x mirrored by the side.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.synthetic.motion.limbs import (
    SIDES,
    Controls,
    Style,
    arm_length_m,
    arm_to,
    basis,
    joint,
    place_joints,
    solve_pose,
)

DOWN_OUT = (0.45, -1.0, -0.25)
LOWEST_WRIST_M = 0.19
"""A hand that hangs from a lower wrist would reach through the floor."""


class Anchors(NamedTuple):
    """Places on the body that hands go to, in the chest's frame, seen from one side of the body."""

    sign: float
    """+1 for the left hand, -1 for the right."""
    shoulder_m: Float[np.ndarray, "3"]
    head_m: Float[np.ndarray, "3"]
    R_chest_from_head: Float[np.ndarray, "3 3"]
    pelvis_m: Float[np.ndarray, "3"]
    R_chest_from_pelvis: Float[np.ndarray, "3 3"]
    hip_m: Float[np.ndarray, "3"]
    knee_m: Float[np.ndarray, "3"]
    chest_floor_m: Float[np.ndarray, "3"]
    """The origin of the chest's coordinates, in the frame of the floor."""
    R_floor_from_chest: Float[np.ndarray, "3 3"]
    arm_m: float


class HandGoal(NamedTuple):
    """A wrist position with the elbow's side, in the chest's frame, not mirrored any more."""

    wrist_m: Float[np.ndarray, "3"]
    pole: Float[np.ndarray, "3"]
    twist_rad: float = 0.0
    wrist_rad: tuple[float, float] = (0.0, 0.0)


Hand = Callable[[np.random.Generator, Style, Anchors], HandGoal]


def anchors(pose: Controls, style: Style, side: str) -> Anchors:
    """Find the places that a hand can go to, in a pose whose arms are not yet placed."""
    joints_m = style.rest_joints_m
    placed_m, turned = place_joints(solve_pose(pose, joints_m), pose.pelvis_floor_m, joints_m)
    chest = joint("spine3")
    R_chest = turned[chest]
    origin_m = placed_m[chest] - R_chest @ joints_m[chest]

    def seen(name: str) -> np.ndarray:
        return R_chest.T @ (placed_m[joint(name)] - origin_m)

    return Anchors(
        1.0 if side == "left" else -1.0, joints_m[joint(f"{side}_shoulder")], seen("head"),
        R_chest.T @ turned[joint("head")], seen("pelvis"), R_chest.T @ turned[0], seen(f"{side}_hip"),
        seen(f"{side}_knee"), origin_m, R_chest,
        arm_length_m(joints_m, side),
    )  # fmt: skip


def _goal(
    rng: np.random.Generator,
    at: Anchors,
    origin_m: np.ndarray,
    offset_m: tuple[float, float, float],
    spread_m: float | tuple[float, float, float],
    pole: tuple[float, float, float] = DOWN_OUT,
    turned: np.ndarray | None = None,
    twist_rad: float = 0.0,
) -> HandGoal:
    mirror = np.array([at.sign, 1.0, 1.0])
    offset = (np.array(offset_m) + np.asarray(spread_m) * rng.uniform(-1, 1, 3)) * mirror
    if turned is not None:
        offset = turned @ offset
    wobble = rng.normal(0, 0.15, 3)
    bent = (rng.normal(0.1, 0.15), rng.normal(0, 0.1))
    return HandGoal(origin_m + offset, (np.array(pole) + wobble) * mirror, twist_rad + rng.normal(0, 0.2), bent)


def _reach(rng: np.random.Generator, at: Anchors, direction: np.ndarray, share: float, pole: tuple) -> HandGoal:
    goal = _goal(rng, at, at.shoulder_m, (0, 0, 0), 0.02, pole)
    mirror = np.array([at.sign, 1.0, 1.0])
    return goal._replace(wrist_m=goal.wrist_m + mirror * direction / np.linalg.norm(direction) * share * at.arm_m)


def hang(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Let the arm hang, a little bent."""
    out = 0.2 * style.elbows_out + abs(rng.normal(0, 0.08))
    down = at.R_floor_from_chest.T @ np.array([0.0, -1.0, 0.0])
    direction = down * np.array([at.sign, 1, 1]) + np.array([out, 0.0, rng.normal(0.08, 0.12)])
    return _reach(rng, at, direction, rng.uniform(0.9, 0.985), (0.35, 0.0, -1.0))


def point(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Stretch the arm to anywhere in front or to the side."""
    azimuth, height = rng.uniform(-0.3, 1.75), rng.uniform(-0.5, 0.9)
    direction = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    return _reach(rng, at, direction, rng.uniform(0.86, 0.995), (0.5, -1.0, -0.3))


def lift(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Raise the arm above the shoulder."""
    direction = np.array([rng.uniform(0.0, 0.9), rng.uniform(0.5, 1.2), rng.uniform(-0.1, 0.7)])
    return _reach(rng, at, direction, rng.uniform(0.65, 0.99), (1.0, -0.2, 0.1))


def wave(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Hold the hand up beside the head."""
    return _goal(rng, at, at.shoulder_m, (0.2, 0.24, 0.18), (0.14, 0.14, 0.1), (0.8, -1.0, 0.0), None, -0.3)


def gesture(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Talk with the hand in front of the body."""
    size = style.liveliness
    spread = (0.17 * size, 0.17 * size, 0.1 * size)
    return _goal(rng, at, at.shoulder_m, (0.04, -0.2, 0.3), spread, DOWN_OUT, None, rng.uniform(-0.8, 0.5))


def phone(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Hold a phone at the ear."""
    return _goal(rng, at, at.head_m, (0.12, -0.11, 0.1), 0.02, (0.6, -1.0, 0.25), at.R_chest_from_head, -0.4)


def mouth(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Bring something to the mouth."""
    return _goal(rng, at, at.head_m, (0.09, -0.1, 0.2), 0.025, (0.7, -1.0, 0.2), at.R_chest_from_head, 0.3)


def plate(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Hold a plate or a cup before the chest."""
    return _goal(rng, at, at.shoulder_m, (-0.02, -0.27, 0.29), (0.06, 0.06, 0.05), DOWN_OUT, None, -1.0)


def camera(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Hold a camera before the eyes."""
    spread = (0.02, 0.06, 0.06)
    return _goal(rng, at, at.head_m, (0.09, -0.05, 0.28), spread, (0.6, -1.0, 0.1), at.R_chest_from_head, -0.3)


def hip(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Put the hand on the hip."""
    spread = (0.02, 0.03, 0.03)
    return _goal(rng, at, at.pelvis_m, (0.245, 0.09, 0.03), spread, (1.0, 0.0, -0.55), at.R_chest_from_pelvis, 0.5)


def pocket(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Put the hand into the trouser pocket."""
    spread = (0.015, 0.02, 0.02)
    return _goal(rng, at, at.pelvis_m, (0.225, -0.02, 0.06), spread, (0.6, 0.0, -1.0), at.R_chest_from_pelvis)


def back(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Hold the hand behind the back."""
    offset = (0.06, 0.04 + 0.04 * at.sign, -0.2 - 0.015 * at.sign)
    return _goal(rng, at, at.pelvis_m, offset, 0.015, (1.0, 0.0, -0.4), at.R_chest_from_pelvis)


def folded(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Fold the arms: the forearm lies across the belly."""
    offset = (-0.17, -0.2 + 0.045 * at.sign, 0.265 + 0.035 * at.sign)
    return _goal(rng, at, at.shoulder_m, offset, 0.015, (0.8, -0.7, -0.1))


def watch(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Look at the wrist."""
    return _goal(rng, at, at.shoulder_m, (-0.1, -0.1, 0.31), 0.05, (0.9, -0.5, 0.0), None, 0.6)


def chin(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Rest the chin on the hand, or touch the face."""
    return _goal(rng, at, at.head_m, (0.07, -0.16, 0.16), 0.025, (0.5, -1.0, 0.3), at.R_chest_from_head, -0.3)


def scalp(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Scratch the head or shade the eyes."""
    return _goal(rng, at, at.head_m, (0.15, 0.12, 0.1), 0.03, (1.0, 0.0, 0.4), at.R_chest_from_head, -0.2)


def lap(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Lay the hand on the thigh or the knee."""
    along = rng.uniform(0.4, 0.95)
    thigh_m = at.knee_m - at.hip_m
    top = at.R_floor_from_chest.T @ np.array([0.0, 1.0, 1.0])
    origin_m = at.hip_m + along * thigh_m + 0.13 * basis(thigh_m, top)[:, 2]
    return _goal(rng, at, origin_m, (0.0, 0.0, 0.0), (0.04, 0.01, 0.02), (0.9, -0.3, -0.5))


def prop(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Prop the hand on the floor or on the seat, beside or behind the pelvis."""
    pelvis_floor_m = at.R_floor_from_chest @ at.pelvis_m + at.chest_floor_m
    floor_m = pelvis_floor_m + at.R_floor_from_chest @ np.array([at.sign * 0.34, 0.0, rng.uniform(-0.35, 0.1)])
    floor_m[1] = pelvis_floor_m[1] - 0.3
    return _goal(rng, at, at.R_floor_from_chest.T @ (floor_m - at.chest_floor_m), (0, 0, 0), 0.04, (0.8, 0.0, -1.0))


def pick(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Reach for something on the floor in front."""
    pelvis_floor_m = at.R_floor_from_chest @ at.pelvis_m + at.chest_floor_m
    ahead = at.R_floor_from_chest @ np.array([at.sign * 0.17, 0.0, 0.0]) + np.array([0.0, 0.0, rng.uniform(0.3, 0.6)])
    floor_m = np.array([pelvis_floor_m[0], 0.0, pelvis_floor_m[2]]) + ahead
    floor_m[1] = rng.uniform(0.2, 0.55)
    return _goal(rng, at, at.R_floor_from_chest.T @ (floor_m - at.chest_floor_m), (0, 0, 0), 0.03, (1.0, 0.3, -0.3))


def leash(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Hold a leash low in front."""
    return _goal(rng, at, at.shoulder_m, (0.08, -0.36, 0.26), (0.1, 0.1, 0.1), (0.5, -1.0, -0.6))


def anywhere(rng: np.random.Generator, style: Style, at: Anchors) -> HandGoal:
    """Reach to any place that an arm can reach."""
    azimuth, height, share = rng.uniform(-0.6, 2.1), rng.uniform(-1.2, 1.3), rng.uniform(0.5, 0.99)
    direction = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    return _reach(rng, at, direction, share, (rng.uniform(0.3, 1.2), rng.uniform(-1.2, 0.4), rng.uniform(-0.6, 0.2)))


def place_arm(rng: np.random.Generator, style: Style, pose: Controls, side: str, hand: Hand) -> Controls:
    """Draw where a hand goes and turn the arm's joints accordingly."""
    at = anchors(pose, style, side)
    goal = hand(rng, style, at)
    wrist_floor_m = at.R_floor_from_chest @ goal.wrist_m + at.chest_floor_m
    wrist_floor_m[1] = max(wrist_floor_m[1], LOWEST_WRIST_M)
    wrist_m = at.R_floor_from_chest.T @ (wrist_floor_m - at.chest_floor_m)
    arm = arm_to(wrist_m, goal.pole, side, style.rest_joints_m, goal.twist_rad, goal.wrist_rad)
    arms = np.array(pose.arms)
    arms[SIDES.index(side)] = arm
    return pose._replace(arms=arms)
