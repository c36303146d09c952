"""Four cameras around the capture area: like Human3.6M's, or varied in height, distance, lens and sensor."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from utils.camera import Camera

AREA_MIDDLE_WORLD_M = np.array([0.0, 0.6, 0.0])
"""Where the person is, about 4.7 to 6.0 metres from every camera."""
CENTRES_WORLD_M = np.array([[1.8, 5.0, 1.6], [1.8, -5.1, 1.6], [-1.8, 5.2, 1.5], [-1.8, -3.7, 1.6]])
"""Source: Human3.6M's calibration, rounded."""
REAL_SIZE_PX = 1000
LOOK_AT_HEIGHT_M = 0.95
Rig = Literal["human36m", "varied"]
VARIED_HEIGHT_M = (0.8, 2.5)
VARIED_NEARNESS = (0.7, 1.05)
"""Distances from the capture area over those of Human3.6M's cameras: 3.3 to 6.3 m, inside the room."""
VARIED_FIELD_M = (3.7, 4.9)
"""What a camera sees across at the person; Human3.6M's 4.1 to 5.2 m.  Somebody tall who stretches upwards before a near
and low camera still fits."""


class Sensor(NamedTuple):
    """How one camera turns light into numbers: the same for all that it records of a subject."""

    gains: Float[np.ndarray, "3"]
    """Of red, green and blue: exposure and white balance."""
    gamma: float
    """Above 1 for more contrast, below for less."""


def looking_at(
    centre_m: Float[np.ndarray, "3"], target_m: Float[np.ndarray, "3"], roll_rad: float
) -> Float[np.ndarray, "3 3"]:
    """Turn a camera towards a point; gives R_cam_from_world (x right, y down, z forward)."""
    forward = (target_m - centre_m) / np.linalg.norm(target_m - centre_m)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    level = np.stack([right, np.cross(forward, right), forward])
    cosine, sine = np.cos(roll_rad), np.sin(roll_rad)
    return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ level


def make_cameras(
    subject: int, seed: int, size_px: int, rig: Rig = "human36m", distortion: float = 0.0
) -> tuple[Camera, ...]:
    """Set up the four cameras for a subject: moved and turned a little from subject to subject.

    Args:
        rig: `varied` draws height, distance and focal length of each camera anew.
        distortion: how strongly lenses bend lines, 0 to 1.
    """
    if rig == "varied":
        cameras = varied_cameras(np.random.default_rng([seed, subject, 103]), size_px)
    else:
        cameras = usual_cameras(np.random.default_rng([seed, subject, 102]), size_px)
    if not distortion:
        return cameras
    rng = np.random.default_rng([seed, subject, 105])
    return tuple(with_lens(camera, rng, distortion) for camera in cameras)


def usual_cameras(rng: np.random.Generator, size_px: int) -> tuple[Camera, ...]:
    """Set up four cameras like those of Human3.6M."""
    scale = size_px / REAL_SIZE_PX
    cameras = []
    for centre_m in CENTRES_WORLD_M:
        centre_m = centre_m + rng.uniform(-0.12, 0.12, 3)
        target_m = AREA_MIDDLE_WORLD_M + np.array([0.0, 0.0, LOOK_AT_HEIGHT_M]) + rng.uniform(-0.1, 0.1, 3)
        focal_px = rng.uniform(1145, 1150) + rng.uniform(-1, 1, 2)
        centre_px = np.array([rng.uniform(507, 517), rng.uniform(500, 515)])
        cameras.append(
            Camera(
                R_cam_from_world=looking_at(centre_m, target_m, rng.normal(0, 0.01)),
                centre_world_m=centre_m,
                focal_px=focal_px * scale,
                centre_px=centre_px * scale,
                width_px=size_px,
                height_px=size_px,
            )
        )
    return tuple(cameras)


def varied_cameras(rng: np.random.Generator, size_px: int) -> tuple[Camera, ...]:
    """Set up four cameras where people put them, the focal lengths such that a person fits."""
    cameras = []
    for usual_m in CENTRES_WORLD_M:
        away_m = rng.uniform(*VARIED_NEARNESS) * (usual_m - AREA_MIDDLE_WORLD_M)[:2] + rng.uniform(-0.12, 0.12, 2)
        centre_m = np.array([*(AREA_MIDDLE_WORLD_M[:2] + away_m), rng.uniform(*VARIED_HEIGHT_M)])
        target_m = AREA_MIDDLE_WORLD_M + np.array([0.0, 0.0, LOOK_AT_HEIGHT_M]) + rng.uniform(-0.1, 0.1, 3)
        focal = float(np.linalg.norm(target_m - centre_m)) / rng.uniform(*VARIED_FIELD_M)
        cameras.append(
            Camera(
                R_cam_from_world=looking_at(centre_m, target_m, rng.normal(0, 0.02)),
                centre_world_m=centre_m,
                focal_px=focal * size_px * (1 + rng.uniform(-0.001, 0.001, 2)),
                centre_px=size_px * rng.uniform(0.49, 0.51, 2),
                width_px=size_px,
                height_px=size_px,
            )
        )
    return tuple(cameras)


ACTION_CAMERAS = 0.4
"""Share of lenses that bend as those of action cameras do; the others as those of phones."""
BENT_AT_CORNER = {"action": (-0.2, -0.08), "phone": (-0.03, 0.04)}
"""What k1 alone moves a picture's corner by, as a share of its distance from the middle.  Human3.6M's own lenses have
-0.08.  Stronger ones would leave the range in which `to_rays` inverts them to a thousandth of a pixel."""
SECOND_OVER_FIRST = {"action": (-0.35, -0.2), "phone": (-0.6, -0.2)}
"""k2 at the corner over k1: lenses are corrected towards their rims, so it has the other sign."""
THIRD_OVER_FIRST = {"action": (0.0, 0.01), "phone": (0.15, 0.25)}
"""k3 at the corner over the size of k1, never negative: radii grow out to twice the corner's, so that nothing from
outside is folded into view."""
OFF_AXIS = 0.0015
"""Largest p1 and p2, which come of a lens that sits askew; Human3.6M's are up to 0.0014."""


def with_lens(camera: Camera, rng: np.random.Generator, strength: float) -> Camera:
    """Put a lens before a camera that bends lines after Human3.6M's model: barrels, pincushions and moustaches.

    The coefficients are drawn for the picture's corner, so that they bend wide pictures no more than narrow ones.
    """
    kind = "action" if rng.random() < ACTION_CAMERAS else "phone"
    first = strength * rng.uniform(*BENT_AT_CORNER[kind])
    second, third = first * rng.uniform(*SECOND_OVER_FIRST[kind]), abs(first) * rng.uniform(*THIRD_OVER_FIRST[kind])
    half_diagonal = 0.5 * np.array([camera.width_px, camera.height_px]) / camera.focal_px
    corner2 = float(half_diagonal @ half_diagonal)
    k = np.array([first, second, third]) / corner2 ** np.arange(1, 4)
    return camera._replace(k=k, p=strength * rng.uniform(-OFF_AXIS, OFF_AXIS, 2))


def make_sensor(subject: int, number: int, seed: int, strength: float) -> Sensor:
    """Draw a camera's exposure, white balance and contrast; at strength 0 it records what is there.

    The spreads (a third of a stop, 6 % between colours, gamma 0.86 to 1.16) were chosen by eye: more hides people in
    dark clothes.
    """
    rng = np.random.default_rng([seed, subject, number, 104])
    exposure, colours, contrast = rng.normal(0, 0.22), rng.normal(0, 0.06, 3), rng.normal(0, 0.15)
    return Sensor(np.exp(strength * (exposure + colours - colours.mean())), float(np.exp(strength * contrast)))
