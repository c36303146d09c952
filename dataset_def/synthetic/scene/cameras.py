"""Four cameras like Human3.6M's, around the capture area."""

import numpy as np
from jaxtyping import Float

from utils.camera import Camera

AREA_MIDDLE_WORLD_M = np.array([0.0, 0.6, 0.0])
"""Where the person is, about 4.7 to 6.0 metres from every camera."""
CENTRES_WORLD_M = np.array([[1.8, 5.0, 1.6], [1.8, -5.1, 1.6], [-1.8, 5.2, 1.5], [-1.8, -3.7, 1.6]])
"""Source: Human3.6M's calibration, rounded."""
REAL_SIZE_PX = 1000
LOOK_AT_HEIGHT_M = 0.95


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


def make_cameras(subject: int, seed: int, size_px: int) -> tuple[Camera, ...]:
    """Set up the four cameras for a subject: moved and turned a little from subject to subject."""
    rng = np.random.default_rng([seed, subject, 102])
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
