"""How far two calibrated views are from seeing the same point: the distance to the epipolar line, in pixels."""

import numpy as np
from jaxtyping import Float

from utils.camera import Camera


def fundamental(first: Camera, second: Camera) -> Float[np.ndarray, "3 3"]:
    """Give F with p_second^T F p_first = 0 for pixels of one point; undistorted cameras.

    Source: Hartley and Zisserman, Multiple View Geometry, section 9.2 (F = K'^-T [t]_x R K^-1).
    """
    R = second.R_cam_from_world @ first.R_cam_from_world.T
    x, y, z = second.R_cam_from_world @ (first.centre_world_m - second.centre_world_m)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.linalg.inv(second.K).T @ cross @ R @ np.linalg.inv(first.K)


def to_line_px(
    F: Float[np.ndarray, "3 3"], from_px: Float[np.ndarray, "*n 2"], to_px: Float[np.ndarray, "*n 2"]
) -> Float[np.ndarray, "*n"]:
    """Measure the distance of pixels from the lines on which the other view says that they lie."""
    lines = np.concatenate([from_px, np.ones_like(from_px[..., :1])], axis=-1) @ F.T
    offset = (lines[..., :2] * to_px).sum(axis=-1) + lines[..., 2]
    return np.abs(offset) / np.maximum(np.linalg.norm(lines[..., :2], axis=-1), 1e-12)


def epipolar_px(
    first: Camera, second: Camera, first_px: Float[np.ndarray, "*n 2"], second_px: Float[np.ndarray, "*n 2"]
) -> Float[np.ndarray, "*n"]:
    """Average the distances in the two pictures; NaN where a pixel is NaN.  Two cameras at one place always agree."""
    F = fundamental(first, second)
    return (to_line_px(F, first_px, second_px) + to_line_px(F.T, second_px, first_px)) / 2
