"""The motion generator: key poses of an action, sampled anew each time, joined smoothly; or a walk.

Each of the 15 actions is made of stances, what the acting hand does, and what the other hand does.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from dataset_def.synthetic.motion import hands, stances
from dataset_def.synthetic.motion.limbs import (
    SIDES,
    Controls,
    Style,
    about,
    overlap_m,
    place_joints,
    solve_pose,
    subject_style,
)
from dataset_def.synthetic.motion.walking import sample_gait, walk
from utils.optional import later

transform = later("scipy.spatial.transform")

Stance = Callable[[np.random.Generator, Style], Controls]


class Plan(NamedTuple):
    """An action as weighted choices, sampled anew for every key pose."""

    stances: tuple[tuple[Stance, float], ...]
    acting: tuple[tuple[hands.Hand, float], ...]
    other: tuple[tuple[hands.Hand, float], ...]
    both: float = 0.15
    """Share of key poses in which the other hand does what the acting hand does."""
    walks: float = 0.0
    """Share of sequences that walk (the stances are then not used)."""
    keeps_stance: float = 0.0
    """Probability that a key pose keeps the kind of stance of the one before."""


REST = ((hands.hang, 4.0), (hands.hip, 1.0), (hands.pocket, 1.0), (hands.gesture, 1.0), (hands.back, 0.3))
SEATED = ((hands.lap, 4.0), (hands.gesture, 1.0), (hands.chin, 0.5), (hands.prop, 0.5), (hands.hang, 0.5))
UPRIGHTS = ((stances.stand, 4.0), (stances.stride, 1.0))
SIT = ((stances.sit_chair, 1.0),)

PLANS: dict[int, Plan] = {
    2: Plan(UPRIGHTS, ((hands.point, 4.0), (hands.lift, 1.0), (hands.gesture, 1.0), (hands.hang, 1.0)), REST, 0.2),
    3: Plan(UPRIGHTS, ((hands.gesture, 4.0), (hands.point, 1.0), (hands.anywhere, 1.0), (hands.folded, 0.7)),
            ((hands.gesture, 3.0), *REST), 0.35),
    4: Plan(((stances.stand, 2.0), (stances.sit_chair, 1.0)), ((hands.mouth, 3.0), (hands.plate, 1.5)),
            ((hands.plate, 3.0), (hands.mouth, 0.5), (hands.hang, 1.0), (hands.lap, 0.5)), 0.1, keeps_stance=0.8),
    5: Plan(((stances.stand, 4.0), (stances.stride, 1.0), (stances.stoop, 1.0)),
            ((hands.wave, 3.0), (hands.lift, 1.0), (hands.point, 1.0), (hands.hang, 1.0)), REST, 0.25),
    6: Plan(((stances.stand, 3.0), (stances.stride, 0.7), (stances.sit_chair, 0.7)), ((hands.phone, 1.0),),
            (*REST, (hands.folded, 0.3)), 0.0, keeps_stance=0.7),
    7: Plan(((stances.stand, 1.0), (stances.stride, 2.0), (stances.stoop, 0.3), (stances.kneel, 0.4)),
            ((hands.hip, 1.5), (hands.anywhere, 2.0), (hands.lift, 1.0), (hands.scalp, 1.0), (hands.folded, 0.7)),
            ((hands.hip, 1.5), (hands.anywhere, 2.0), (hands.back, 0.5), (hands.lift, 0.7)), 0.3),
    8: Plan(((stances.stand, 1.5), (stances.stoop, 2.0), (stances.squat, 0.8), (stances.stride, 0.7)),
            ((hands.pick, 3.0), (hands.hang, 1.0), (hands.plate, 1.0), (hands.point, 0.5)),
            ((hands.pick, 1.0), (hands.hang, 2.0), (hands.lap, 0.5)), 0.3),
    9: Plan(SIT, (*SEATED, (hands.point, 0.5), (hands.anywhere, 0.7)), SEATED, 0.3),
    10: Plan(((stances.sit_floor, 3.0), (stances.squat, 1.0), (stances.kneel, 1.0), (stances.stand, 0.7)),
             (*SEATED, (hands.prop, 2.0), (hands.anywhere, 0.7)), (*SEATED, (hands.prop, 1.5)), 0.3, keeps_stance=0.5),
    11: Plan(((stances.stand, 2.0), (stances.sit_chair, 1.0), (stances.squat, 0.5), (stances.sit_floor, 0.5)),
             ((hands.mouth, 1.5), (hands.gesture, 1.0), (hands.hang, 0.7)), (*REST, (hands.lap, 1.0)), 0.0,
             keeps_stance=0.8),
    12: Plan(((stances.stand, 2.0), (stances.stride, 1.0), (stances.kneel, 1.0), (stances.squat, 0.7),
              (stances.stoop, 0.5)), ((hands.camera, 1.0),), ((hands.camera, 2.0), (hands.hang, 0.5)), 0.75),
    13: Plan(((stances.stand, 4.0), (stances.stride, 0.5), (stances.sit_chair, 0.5)),
             ((hands.folded, 1.0), (hands.watch, 1.0), (hands.scalp, 0.7), (hands.hang, 1.5), (hands.back, 0.7)),
             REST, 0.4),
    14: Plan(UPRIGHTS, ((hands.hang, 1.0),), REST, walks=1.0),
    15: Plan(((stances.stand, 1.0), (stances.stoop, 1.5), (stances.squat, 1.0), (stances.stride, 0.5)),
             ((hands.leash, 2.0), (hands.pick, 1.0)), (*REST, (hands.pick, 0.7)), 0.1, walks=0.65),
    16: Plan(UPRIGHTS, ((hands.gesture, 1.5), (hands.point, 1.0), (hands.wave, 0.5), (hands.leash, 1.0)), REST, 0.1,
             walks=0.85),
}  # fmt: skip
"""By Human3.6M's action numbers: Directions, Discussion, Eating, Greeting, Phoning, Posing, Purchases, Sitting,
SittingDown, Smoking, Photo, Waiting, Walking, WalkDog, WalkTogether."""

__all__ = ["Motion", "Style", "generate_motion", "subject_style"]

R_WORLD_FROM_FLOOR = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
MAX_TRIES = 8
CLEAR_M = 0.012
"""Overlap of capsules that nobody notices."""
MATRICES = ("R_floor_from_pelvis", "arms", "R_floor_from_feet")
Choice = TypeVar("Choice")


class Motion(NamedTuple):
    """A moving body."""

    rotations: Float[np.ndarray, "T J 3 3"]
    """Rotations of the joints relative to their parents; the root's is in the world."""
    pelvis_world_m: Float[np.ndarray, "T 3"]
    """The middle of the capture area is the origin."""
    lift_m: Float[np.ndarray, "T"]
    """Height of the lowest point of the body over the floor: zero except in a jump."""


class Roles(NamedTuple):
    """What stays the same through a sequence."""

    acting: str
    """Side of the hand that acts."""
    place_m: Float[np.ndarray, "2"]
    """Where the person is at the start (x, z on the floor)."""
    heading_rad: float


def choose(rng: np.random.Generator, weighted: Sequence[tuple[Choice, float]]) -> Choice:
    """Draw one of several weighted things."""
    weights = np.array([weight for _, weight in weighted])
    return weighted[int(rng.choice(len(weighted), p=weights / weights.sum()))][0]


def sample_roles(rng: np.random.Generator, style: Style) -> Roles:
    """Draw the acting hand, the place and the heading (every heading is equally likely)."""
    acting = "right" if rng.random() < style.right_handed else "left"
    radius_m, angle = 0.6 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    place_m = radius_m * np.array([np.cos(angle), np.sin(angle)])
    return Roles(acting, place_m, rng.uniform(0, 2 * np.pi))


def moved(pose: Controls, place_m: Float[np.ndarray, "2"], heading_rad: float) -> Controls:
    """Turn and shift a pose on the floor."""
    turn, shift_m = about("y", heading_rad), np.array([place_m[0], 0.0, place_m[1]])
    return pose._replace(
        pelvis_floor_m=pose.pelvis_floor_m @ turn.T + shift_m,
        R_floor_from_pelvis=turn @ pose.R_floor_from_pelvis,
        ankles_floor_m=pose.ankles_floor_m @ turn.T + shift_m,
        knees_to=pose.knees_to @ turn.T,
        R_floor_from_feet=turn @ pose.R_floor_from_feet,
    )


def sample_pose(rng: np.random.Generator, style: Style, plan: Plan, roles: Roles, stance: Stance) -> Controls:
    """Draw one key pose of an action: a stance, then each hand."""
    pose = stance(rng, style)
    acts = choose(rng, plan.acting)
    rests = acts if rng.random() < plan.both else choose(rng, plan.other)
    resting = "left" if roles.acting == "right" else "right"
    if acts is hands.folded:
        rests = acts
    elif rests is hands.folded:
        rests = hands.hang
    pose = hands.place_arm(rng, style, pose, roles.acting, acts)
    return hands.place_arm(rng, style, pose, resting, rests)


def between(before: Controls, after: Controls, share: Float[np.ndarray, "n"]) -> Controls:
    """Blend two poses: vectors linearly, rotations along the shortest turn (slerp)."""
    blended = {}
    for name, a, b in zip(Controls._fields, before, after, strict=True):
        if name in MATRICES:
            turn = transform.Rotation.from_matrix((a.swapaxes(-1, -2) @ b).reshape(-1, 3, 3)).as_rotvec()
            part = transform.Rotation.from_rotvec((share[:, None, None] * turn).reshape(-1, 3)).as_matrix()
            blended[name] = a @ part.reshape(len(share), *a.shape)
        else:
            blended[name] = a + share.reshape(-1, *[1] * a.ndim) * (b - a)
    return Controls(**blended)


def with_steps(pose: Controls, before: Controls, after: Controls, share: Float[np.ndarray, "n"]) -> Controls:
    """Lift feet that move from one key pose to the next, one after the other."""
    ankles_m = np.array(pose.ankles_floor_m)
    for row in range(len(SIDES)):
        moves_m = after.ankles_floor_m[row] - before.ankles_floor_m[row]
        own = np.clip((share - 0.35 * row) / 0.65, 0.0, 1.0)
        far = min(float(np.linalg.norm(moves_m)), 0.5)
        ankles_m[:, row] = before.ankles_floor_m[row] + own[:, None] * moves_m
        ankles_m[:, row, 1] += 0.3 * far * np.sin(np.pi * own)
    return pose._replace(ankles_floor_m=ankles_m)


def depth_m(pose: Controls, style: Style) -> Float[np.ndarray, "*n"]:
    """Measure how far limbs pass through the body."""
    rotations = solve_pose(pose, style.rest_joints_m)
    return overlap_m(*place_joints(rotations, pose.pelvis_floor_m, style.rest_joints_m))


def next_key(
    rng: np.random.Generator, style: Style, plan: Plan, roles: Roles, stance: Stance, before: Controls | None
) -> Controls:
    """Draw the next key pose; draw again when limbs would pass through the body on the way to it."""
    best, best_m = None, np.inf
    for _ in range(MAX_TRIES):
        sampled = sample_pose(rng, style, plan, roles, stance)
        pose = moved(sampled, roles.place_m, roles.heading_rad)
        way = pose if before is None else between(before, pose, np.array([0.25, 0.5, 0.75, 1.0]))
        overlap = float(np.max(depth_m(way, style)))
        if overlap < best_m:
            best, best_m = pose, overlap
        if best_m < CLEAR_M:
            break
    assert best is not None
    return best


def key_poses(
    rng: np.random.Generator, style: Style, plan: Plan, duration_s: float
) -> tuple[list[Controls], list[float], list[float]]:
    """Draw key poses until the time is filled, with the times at which each is reached and left."""
    roles, stance = sample_roles(rng, style), choose(rng, plan.stances)
    keys: list[Controls] = []
    reached_s: list[float] = []
    left_s: list[float] = []
    now_s = -rng.uniform(0.0, 0.8)
    while not keys or reached_s[-1] < duration_s:
        keys.append(next_key(rng, style, plan, roles, stance, keys[-1] if keys else None))
        reached_s.append(now_s)
        left_s.append(now_s + rng.exponential(0.25))
        if rng.random() >= plan.keeps_stance:
            stance = choose(rng, plan.stances)
        turn = rng.normal(0, 0.35) if rng.random() < 0.8 else rng.uniform(-1.6, 1.6)
        place_m = np.clip(roles.place_m + rng.normal(0, 0.1, 2), -0.7, 0.7)
        roles = roles._replace(heading_rad=roles.heading_rad + turn, place_m=place_m)
        now_s = left_s[-1] + rng.uniform(0.6, 1.2) / style.tempo
    return keys, reached_s, left_s


def ease(share: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Start and stop smoothly.  Source: smootherstep, 6 x^5 - 15 x^4 + 10 x^3."""
    return share**3 * (share * (share * 6 - 15) + 10)


def acted(rng: np.random.Generator, style: Style, plan: Plan, times_s: Float[np.ndarray, "T"]) -> Controls:
    """Act: pass through key poses, and sway a little."""
    keys, reached_s, left_s = key_poses(rng, style, plan, float(times_s[-1]))
    parts = []
    for number in range(len(keys)):
        last = number == len(keys) - 1
        inside = (times_s >= reached_s[number]) & (last | (times_s < reached_s[min(number + 1, len(keys) - 1)]))
        if not inside.any():
            continue
        after = number if last else number + 1
        took_s = 1.0 if last else reached_s[after] - left_s[number]
        share = ease(np.clip((times_s[inside] - left_s[number]) / took_s, 0.0, 1.0))
        way = between(keys[number], keys[after], share)
        parts.append(with_steps(way, keys[number], keys[after], share))
    pose = Controls(*[np.concatenate(field) for field in zip(*parts, strict=True)])
    phases, rates = rng.uniform(0, 2 * np.pi, 6), rng.uniform(1.5, 4.0, 6)
    sway = 0.02 * style.liveliness * np.sin(times_s[:, None] * rates + phases)
    return pose._replace(trunk_rad=pose.trunk_rad + sway[:, :3], head_rad=pose.head_rad + 2 * sway[:, 3:])


def walked(rng: np.random.Generator, style: Style, plan: Plan, times_s: Float[np.ndarray, "T"]) -> Controls:
    """Walk around, or now and then on the spot, and let the acting hand act in some of the walks."""
    on_the_spot = rng.random() < 0.2
    pose = walk(rng, style, sample_gait(rng, style, on_the_spot), times_s)
    if on_the_spot:
        roles = sample_roles(rng, style)
        pose = moved(pose, roles.place_m - pose.pelvis_floor_m[0, [0, 2]], 0.0)
    acts = [hand for hand, _ in plan.acting if hand is not hands.hang]
    if not acts or rng.random() < 0.2:
        return pose
    keys, reached_s, _ = key_poses(rng, style, plan, float(times_s[-1]))
    row = SIDES.index("right" if rng.random() < style.right_handed else "left")
    arms = np.array(pose.arms)
    number = np.clip(np.searchsorted(reached_s, times_s, side="right") - 1, 0, len(keys) - 2)
    start_s = np.array(reached_s)[number]
    share = ease(np.clip((times_s - start_s) / (np.array(reached_s)[number + 1] - start_s), 0.0, 1.0))
    for frame, (key, part) in enumerate(zip(number, share, strict=True)):
        arms[frame, row] = between(keys[key], keys[key + 1], np.array([part])).arms[0, row]
    return pose._replace(arms=arms)


def generate_motion(
    action: int, rng: np.random.Generator, num_frames: int, frames_per_second: float, style: Style
) -> Motion:
    """Generate a motion of one of Human3.6M's actions.

    Raises:
        ValueError: an action outside 2 to 16.
    """
    if action not in PLANS:
        raise ValueError(f"there is no action {action}; use {min(PLANS)} to {max(PLANS)}")
    plan, times_s = PLANS[action], np.arange(num_frames) / frames_per_second
    pose = (walked if rng.random() < plan.walks else acted)(rng, style, plan, times_s)
    rotations = solve_pose(pose, style.rest_joints_m)
    rotations[:, 0] = R_WORLD_FROM_FLOOR @ rotations[:, 0]
    return Motion(
        rotations.astype(np.float32), pose.pelvis_floor_m @ R_WORLD_FROM_FLOOR.T, np.zeros(num_frames, np.float64)
    )
