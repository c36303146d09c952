"""Where pelvis, trunk and feet are: standing, bending, sitting, squatting, kneeling.  Each call samples a new variant.

Sampled at the middle of the floor, facing +z; generate.py turns and moves them.  Arms hang until hands.py places them.
"""

import numpy as np
from jaxtyping import Float

from dataset_def.synthetic.motion.limbs import Controls, Style, about, bend, rest_bone

ANKLE_M = 0.08
"""Height of the ankle of a planted foot; the exact floor contact is made later, on the body's surface."""
KNEE_M = 0.06
"""Height of the knee's joint when one kneels on it."""
THIGH_SHARE = 0.49
"""Length of the thigh over the leg's."""
PLANTED_RAD = (0.8, 0.8)
RELAXED_RAD = (0.25, 0.25)
SIGNS = np.array([1.0, -1.0])
"""Left, right: the sign of x in the body's frame."""


def leg_m(style: Style) -> float:
    """Length of the stretched leg from hip to ankle."""
    thigh, shank = (
        rest_bone(style.rest_joints_m, *ends) for ends in (("left_hip", "left_knee"), ("left_knee", "left_ankle"))
    )
    return float(np.linalg.norm(thigh) + np.linalg.norm(shank))


def controls(
    rng: np.random.Generator,
    pelvis_m: tuple[float, float, float],
    pelvis_rad: tuple[float, float, float],
    trunk_rad: tuple[float, float, float],
    ankles_m: np.ndarray,
    knees_to: np.ndarray,
    feet: Float[np.ndarray, "2 3 3"],
    ankle_limit_rad: tuple[float, float] = PLANTED_RAD,
) -> Controls:
    """Assemble a pose with hanging arms and a head that looks around."""
    pitch = -0.45 * (pelvis_rad[0] + trunk_rad[0]) + rng.normal(0.05, 0.2)
    head = np.clip([pitch, rng.normal(0, 0.35), rng.normal(0, 0.1)], [-0.6, -0.9, -0.3], [0.6, 0.9, 0.3])
    return Controls(
        pelvis_floor_m=np.array(pelvis_m, dtype=np.float64),
        R_floor_from_pelvis=bend(np.array(pelvis_rad)),
        trunk_rad=np.array(trunk_rad, dtype=np.float64),
        head_rad=head,
        arms=np.broadcast_to(np.eye(3), (2, 4, 3, 3)),
        ankles_floor_m=np.asarray(ankles_m, dtype=np.float64),
        knees_to=np.asarray(knees_to, dtype=np.float64),
        R_floor_from_feet=feet,
        ankle_limit_rad=np.array(ankle_limit_rad),
    )


def feet_flat(toes_out_rad: Float[np.ndarray, "2"], pitch_rad: float = 0.0) -> Float[np.ndarray, "2 3 3"]:
    """Turn the feet to the outside and raise the heels by `pitch_rad`."""
    return about("y", SIGNS * toes_out_rad) @ about("x", np.full(2, pitch_rad))


def toward(toes_out_rad: Float[np.ndarray, "2"], up: float = 0.0) -> Float[np.ndarray, "2 3"]:
    """Give the directions of the knees: over the toes."""
    out = SIGNS * toes_out_rad
    return np.stack([np.sin(out), np.full(2, up), np.cos(out)], axis=-1)


def on_feet(
    rng: np.random.Generator,
    style: Style,
    ankles_xz_m: Float[np.ndarray, "2 2"],
    pelvis_xz_m: tuple[float, float],
    pelvis_rad: tuple[float, float, float],
    trunk_rad: tuple[float, float, float],
    bent_m: float,
) -> Controls:
    """Stand on both feet, the pelvis as high as the wider leg allows, less `bent_m`."""
    joints_m = style.rest_joints_m
    hips_m = np.stack([rest_bone(joints_m, "pelvis", f"{side}_hip") for side in ("left", "right")])
    hips_m = hips_m @ bend(np.array(pelvis_rad)).T
    apart_m = np.linalg.norm(hips_m[:, [0, 2]] + np.array(pelvis_xz_m) - ankles_xz_m, axis=-1)
    reach_m = np.sqrt(np.maximum((0.995 * leg_m(style)) ** 2 - apart_m**2, 0.1))
    height_m = float((reach_m - hips_m[:, 1]).min()) + ANKLE_M - bent_m
    out = style.toes_out_rad + rng.normal(0, 0.12, 2)
    ankles_m = np.stack([ankles_xz_m[:, 0], np.full(2, ANKLE_M), ankles_xz_m[:, 1]], axis=-1)
    pelvis_m = (pelvis_xz_m[0], height_m, pelvis_xz_m[1])
    return controls(rng, pelvis_m, pelvis_rad, trunk_rad, ankles_m, toward(out), feet_flat(out))


def stand(rng: np.random.Generator, style: Style) -> Controls:
    """Stand at ease, the weight somewhere between the feet."""
    width_m = style.stance_m * rng.uniform(0.75, 1.5)
    stagger_m = rng.normal(0, 0.06)
    shift_m = rng.uniform(-0.8, 0.8) * width_m
    ankles = np.array([[width_m, stagger_m], [-width_m, -stagger_m]])
    pelvis = (rng.normal(0, 0.05), rng.normal(0, 0.12), 0.6 * shift_m)
    trunk = (style.stoop_rad + rng.normal(0, 0.1), rng.normal(0, 0.2), rng.normal(0, 0.08) - 0.6 * shift_m)
    return on_feet(rng, style, ankles, (shift_m, 0.02), pelvis, trunk, min(rng.exponential(0.005), 0.03))


def stride(rng: np.random.Generator, style: Style) -> Controls:
    """Stand with the feet far apart, to the side or one before the other."""
    side_m, ahead_m = rng.uniform(0.1, 0.35), rng.uniform(-0.38, 0.38)
    ankles = np.array([[side_m, ahead_m], [-side_m, -ahead_m]])
    shift = (rng.uniform(-0.5, 0.5) * side_m, rng.uniform(-0.5, 0.5) * ahead_m)
    pelvis = (rng.normal(0.03, 0.08), rng.normal(0, 0.2), rng.normal(0, 0.05))
    trunk = (style.stoop_rad + rng.normal(0.03, 0.15), rng.normal(0, 0.3), rng.normal(0, 0.12))
    return on_feet(rng, style, ankles, shift, pelvis, trunk, rng.uniform(0.0, 0.4) ** 2)


def stoop(rng: np.random.Generator, style: Style) -> Controls:
    """Bend down, as to pick up a bag or to bow."""
    depth = rng.uniform(0.25, 1.0)
    width_m, stagger_m = style.stance_m * rng.uniform(0.9, 1.8), rng.normal(0, 0.1)
    ankles = np.array([[width_m, stagger_m], [-width_m, -stagger_m]])
    pelvis = (0.15 + 0.7 * depth, rng.normal(0, 0.15), rng.normal(0, 0.06))
    trunk = (0.1 + 0.8 * depth * rng.uniform(0.6, 1.0), rng.normal(0, 0.25), rng.normal(0, 0.12))
    bent_m = depth * rng.uniform(0.02, 0.28)
    return on_feet(rng, style, ankles, (rng.normal(0, 0.03), -0.16 * depth), pelvis, trunk, bent_m)


def squat(rng: np.random.Generator, style: Style) -> Controls:
    """Squat, heels up when deep."""
    height_m = rng.uniform(0.27, 0.52)
    heel_rad = rng.uniform(0.0, 0.5) if height_m < 0.4 else 0.0
    width_m, stagger_m = rng.uniform(0.12, 0.22), rng.normal(0, 0.06)
    out = style.toes_out_rad + rng.uniform(0.1, 0.4, 2)
    height = ANKLE_M + 0.13 * np.sin(heel_rad)
    ankles = np.array([[width_m, height, 0.12 + stagger_m], [-width_m, height, 0.12 - stagger_m]])
    pelvis_m = (rng.normal(0, 0.03), height_m + height, -0.03 - 0.12 * (heel_rad < 0.1))
    pelvis_rad = (rng.uniform(-0.1, 0.4), rng.normal(0, 0.1), rng.normal(0, 0.04))
    trunk_rad = (rng.uniform(0.2, 0.75), rng.normal(0, 0.2), rng.normal(0, 0.1))
    return controls(rng, pelvis_m, pelvis_rad, trunk_rad, ankles, toward(out, 0.3), feet_flat(out, heel_rad))


def sit_chair(rng: np.random.Generator, style: Style) -> Controls:
    """Sit on something as high as a chair, feet on the floor, legs stretched or one ankle on the other knee."""
    seat_m = rng.uniform(0.42, 0.54) * leg_m(style) / 0.78
    out = style.toes_out_rad + rng.normal(0.05, 0.15, 2)
    ahead_m = rng.uniform(0.24, 0.46, 2) + (rng.random(2) < 0.2) * rng.uniform(0.1, 0.3)
    ankles = np.stack([SIGNS * rng.uniform(0.07, 0.2, 2), np.full(2, ANKLE_M), ahead_m], axis=-1)
    knees, limit = toward(out, 0.8), list(PLANTED_RAD)
    if rng.random() < 0.2:
        over = int(rng.integers(2))
        ankles[over] = [-SIGNS[over] * 0.13, seat_m + 0.13, 0.36]
        knees[over], limit[over] = [SIGNS[over], 0.5, 0.6], 0.25
        ankles[1 - over] = [-SIGNS[over] * 0.11, ANKLE_M, 0.36]
    pelvis_rad = (rng.uniform(-0.4, 0.12), rng.normal(0, 0.1), rng.normal(0, 0.04))
    trunk_rad = (rng.uniform(0.0, 0.35) + (rng.random() < 0.25) * rng.uniform(0.2, 0.5), *rng.normal(0, [0.2, 0.1]))
    pelvis_m = (0.0, seat_m + 0.06, 0.0)
    return controls(rng, pelvis_m, pelvis_rad, trunk_rad, ankles, knees, feet_flat(out), (limit[0], limit[1]))


def sit_floor(rng: np.random.Generator, style: Style) -> Controls:
    """Sit on the floor: cross-legged, or each leg stretched or drawn up."""
    ankles, knees, feet, limits = np.zeros((2, 3)), np.zeros((2, 3)), np.tile(np.eye(3), (2, 1, 1)), [0.0, 0.0]
    if rng.random() < 0.25:
        ankles[:, 0] = -SIGNS * rng.uniform(0.03, 0.14)
        ankles[:, 1], ankles[:, 2] = 0.1, rng.uniform(0.26, 0.36) + SIGNS * rng.uniform(0.06, 0.08)
        knees[:] = np.stack([SIGNS, np.full(2, rng.uniform(0.2, 0.6)), np.full(2, 0.4)], axis=-1)
        limits = list(RELAXED_RAD)
    else:
        for row, sign in enumerate(SIGNS):
            ahead = rng.uniform(0.28, 0.98)
            ankles[row] = [sign * rng.uniform(0.1, 0.25), 0.08, ahead * leg_m(style)]
            knees[row] = [sign * rng.uniform(0.0, 0.5), 1.0, 0.2]
            feet[row] = about("x", -1.1 if ahead > 0.85 else -0.1) @ about("y", sign * 0.2)
            limits[row] = 0.8
    pelvis_rad = (rng.uniform(-0.45, 0.0), rng.normal(0, 0.1), rng.normal(0, 0.05))
    trunk_rad = (rng.uniform(0.1, 0.6), rng.normal(0, 0.2), rng.normal(0, 0.1))
    return controls(rng, (0.0, 0.16, 0.0), pelvis_rad, trunk_rad, ankles, knees, feet, (limits[0], limits[1]))


def kneel(rng: np.random.Generator, style: Style) -> Controls:
    """Kneel on both knees, upright or sitting on the heels, or on one knee."""
    on_one = rng.random() < 0.45
    back_rad = rng.uniform(-0.15, 0.25) if on_one else rng.uniform(-0.05, 1.1)
    thigh_m, shank_m = THIGH_SHARE * leg_m(style), (1 - THIGH_SHARE) * leg_m(style)
    hips_m = rest_bone(style.rest_joints_m, "left_hip", "pelvis")[1]
    height_m = KNEE_M + thigh_m * np.cos(back_rad) + hips_m
    behind_m = thigh_m * np.sin(back_rad) - shank_m
    ankles = np.stack([SIGNS * rng.uniform(0.08, 0.13), np.full(2, ANKLE_M), np.full(2, behind_m)], axis=-1)
    knees = np.stack([SIGNS * 0.15, np.full(2, -0.1), np.ones(2)], axis=-1)
    feet, limits = about("x", np.full(2, 2.8)), [1.25, 1.25]
    if on_one:
        front = int(rng.integers(2))
        ankles[front] = [SIGNS[front] * rng.uniform(0.1, 0.2), ANKLE_M, rng.uniform(0.28, 0.42)]
        knees[front], feet[front], limits[front] = [SIGNS[front] * 0.2, 0.6, 1.0], np.eye(3), 0.8
    pelvis_rad = (rng.uniform(-0.05, 0.15), rng.normal(0, 0.1), rng.normal(0, 0.03))
    trunk_rad = (rng.uniform(0.0, 0.5), rng.normal(0, 0.2), rng.normal(0, 0.1))
    pelvis_m = (0.0, height_m, 0.0)
    return controls(rng, pelvis_m, pelvis_rad, trunk_rad, ankles, knees, feet, (limits[0], limits[1]))
