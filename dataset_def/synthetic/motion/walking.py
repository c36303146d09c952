"""Walking: feet that stay where they are set down, along an ellipse or on the spot."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.synthetic.motion.limbs import SIDES, Controls, Style, about, arm_length_m, arm_to, bend, joint
from dataset_def.synthetic.motion.stances import ANKLE_M, SIGNS, leg_m

STANCE = 0.6
"""Share of a foot's cycle that it spends on the floor."""


class Gait(NamedTuple):
    """One way of walking."""

    radii_m: tuple[float, float]
    """Half axes of the ellipse."""
    tilt_rad: float
    """Turn of the ellipse in the frame of the floor."""
    direction: float
    """+1 or -1: which way round."""
    start_rad: float
    stride_m: float
    """Length of a step; 0 on the spot."""
    steps_per_second: float
    lift_m: float
    swing_rad: float
    stoop_rad: float
    phase: float


def sample_gait(rng: np.random.Generator, style: Style, on_the_spot: bool) -> Gait:
    """Draw a way of walking; habits of the subject, mood of the moment."""
    radii_m = (rng.uniform(0.35, 0.85), rng.uniform(0.35, 0.85))
    return Gait(
        radii_m=radii_m,
        tilt_rad=rng.uniform(0, np.pi),
        direction=rng.choice([-1.0, 1.0]),
        start_rad=rng.uniform(0, 2 * np.pi),
        stride_m=0.0 if on_the_spot else style.stride_m * rng.uniform(0.55, 1.05),
        steps_per_second=style.tempo * rng.uniform(1.3, 2.0),
        lift_m=rng.uniform(0.1, 0.3) if on_the_spot else rng.uniform(0.06, 0.12),
        swing_rad=style.liveliness * rng.uniform(0.2, 0.7),
        stoop_rad=style.stoop_rad + rng.normal(0.05, 0.06),
        phase=rng.random(),
    )


def path(gait: Gait, distance_m: Float[np.ndarray, "*n"]) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray, "*n"]]:
    """Give place (x, z) and heading (0 faces +z, positive to the left) after a distance along the ellipse."""
    turns = np.linspace(0, 8 * np.pi, 2000)
    a, b = gait.radii_m
    speed_m = np.hypot(a * np.sin(turns + gait.start_rad), b * np.cos(turns + gait.start_rad))
    travelled_m = np.concatenate([[0.0], np.cumsum((speed_m[1:] + speed_m[:-1]) / 2 * np.diff(turns))])
    angle = gait.start_rad + np.interp(distance_m, travelled_m, turns)
    place = np.stack([a * np.cos(angle), gait.direction * b * np.sin(angle)], axis=-1)
    ahead = np.stack([-a * np.sin(angle), gait.direction * b * np.cos(angle)], axis=-1)
    cosine, sine = np.cos(gait.tilt_rad), np.sin(gait.tilt_rad)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    place, ahead = place @ turn.T, ahead @ turn.T
    return place, np.arctan2(ahead[..., 0], ahead[..., 1])


def foot(
    gait: Gait, style: Style, cycles: Float[np.ndarray, "T"], sign: float
) -> tuple[Float[np.ndarray, "T 3"], Float[np.ndarray, "T 3 3"]]:
    """Give a foot's ankle and orientation: set down half a cycle, then carried to the next place."""
    mine = cycles + (0.5 if sign < 0 else 0.0)
    number, share = np.floor(mine), mine % 1.0
    swing = np.clip((share - STANCE) / (1 - STANCE), 0.0, 1.0)
    eased = swing**2 * (3 - 2 * swing)
    middle = number + STANCE / 2 - (0.5 if sign < 0 else 0.0)
    before_m, after_m = (2 * gait.stride_m * np.maximum(middle + step, 0.0) for step in (0.0, 1.0))
    place, heading = path(gait, before_m + eased * (after_m - before_m))
    aside = np.stack([np.cos(heading), -np.sin(heading)], axis=-1) * sign * 0.75 * style.stance_m
    place = place + aside
    roll = 0.6 * np.sin(np.pi * np.clip((share - 0.45) / 0.3, 0, 1)) - 0.25 * np.sin(
        np.pi * np.clip(swing * 2 - 1, 0, 1)
    )
    height_m = ANKLE_M + gait.lift_m * np.sin(np.pi * swing) ** 1.2 + 0.1 * np.maximum(roll, 0)
    turned = about("y", heading + sign * style.toes_out_rad * 0.6) @ about("x", roll)
    return np.stack([place[:, 0], height_m, place[:, 1]], axis=-1), turned


def swing_arms(gait: Gait, style: Style, cycles: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T 2 4 3 3"]:
    """Swing each arm with the opposite leg."""
    arms = []
    for side, sign in zip(SIDES, SIGNS, strict=True):
        angle = 0.1 - sign * gait.swing_rad * np.cos(2 * np.pi * cycles)
        out = np.full_like(angle, sign * 0.17 * style.elbows_out)
        direction = np.stack([out, -np.cos(angle), np.sin(angle)], axis=-1)
        shoulder_m = style.rest_joints_m[joint(f"{side}_shoulder")]
        reach_m = (
            arm_length_m(style.rest_joints_m, side) * (0.965 - 0.06 * np.maximum(np.sin(angle), 0))[:, None] * direction
        )
        pole = np.broadcast_to([sign * 0.3, 0.0, -1.0], direction.shape)
        arms.append(arm_to(shoulder_m + reach_m, pole, side, style.rest_joints_m))
    return np.stack(arms, axis=1)


def walk(rng: np.random.Generator, style: Style, gait: Gait, times_s: Float[np.ndarray, "T"]) -> Controls:
    """Walk: pelvis along the path, feet in turn, arms against the legs."""
    cycles = gait.phase + times_s * gait.steps_per_second / 2 + 1.0
    place, heading = path(gait, 2 * gait.stride_m * cycles)
    feet = [foot(gait, style, cycles, sign) for sign in SIGNS]
    wave = np.sin(2 * np.pi * cycles)
    spread_m = max(gait.stride_m, 0.12) / 2
    height_m = np.sqrt((0.99 * leg_m(style)) ** 2 - spread_m**2) + 0.08 + ANKLE_M + 0.012 * np.cos(4 * np.pi * cycles)
    pelvis_m = np.stack([place[:, 0], height_m, place[:, 1]], axis=-1)
    sway = np.stack([np.full_like(wave, gait.stoop_rad / 4), 0.08 * wave, 0.03 * wave], axis=-1)
    ahead = np.stack([np.sin(heading), np.zeros_like(heading), np.cos(heading)], axis=-1)
    head_rad = np.array([rng.normal(0.05, 0.15), rng.normal(0, 0.3), rng.normal(0, 0.06)])
    drift = 0.25 * np.sin(times_s * rng.uniform(0.5, 1.5) + rng.uniform(0, 6))
    return Controls(
        pelvis_floor_m=pelvis_m,
        R_floor_from_pelvis=about("y", heading) @ bend(sway),
        trunk_rad=np.stack([np.full_like(wave, gait.stoop_rad), -0.16 * wave, -0.03 * wave], axis=-1),
        head_rad=head_rad + np.stack([0 * drift, drift, 0 * drift], axis=-1),
        arms=swing_arms(gait, style, cycles),
        ankles_floor_m=np.stack([ankle for ankle, _ in feet], axis=1),
        knees_to=np.repeat(ahead[:, None], 2, axis=1),
        R_floor_from_feet=np.stack([turned for _, turned in feet], axis=1),
        ankle_limit_rad=np.full((len(times_s), 2), 0.6),
    )
