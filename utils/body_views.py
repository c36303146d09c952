"""Pictures of one predicted body: laid over the photo by a perspective camera, from the side, and from above."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from utils.draw_mesh import render_mesh

SKIN = np.array([0.93, 0.62, 0.45])
FAR_M = 40.0
"""Distance of the side and top views' camera; so far away that they are nearly orthographic."""
MARGIN_PX = 4
FROM: dict[str, np.ndarray] = {
    "side": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),  # what was towards the camera is now to the right
    "top": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),  # what was far is now up
}
"""R_view_from_cam."""


def overlay(
    picture: UInt8[np.ndarray, "H W 3"],
    vertices_cam_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    K: Float[np.ndarray, "3 3"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a body over the picture it was seen in; only the part of the picture that it covers is worked on."""
    height, width = picture.shape[:2]
    points_px = vertices_cam_m[:, :2] / vertices_cam_m[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
    left, top = np.clip(np.floor(points_px.min(0)).astype(int) - MARGIN_PX, 0, (width, height))
    right, bottom = np.clip(np.ceil(points_px.max(0)).astype(int) + MARGIN_PX, 0, (width, height))
    drawn = picture.copy()
    if right <= left or bottom <= top:
        return drawn
    K_part = K.copy()
    K_part[:2, 2] -= (left, top)
    part = picture[top:bottom, left:right]
    colours = np.broadcast_to(SKIN, vertices_cam_m.shape)
    drawn[top:bottom, left:right] = render_mesh(
        vertices_cam_m.astype(float), faces, K_part, bottom - top, right - left, colours, background=part
    )
    return drawn


def turned_view(
    vertices_root_cam_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    seen_from: Literal["side", "top"],
    size_px: int,
    side_m: float = 2.3,
) -> UInt8[np.ndarray, "S S 3"]:
    """Draw a body on white as seen from its right-hand side of the picture, or from above.

    Args:
        vertices_root_cam_m: in the camera's axes, about the pelvis.
        side_m: what the picture's side shows.
    """
    points = vertices_root_cam_m @ FROM[seen_from].T + (0, 0, FAR_M)
    focal_px = size_px * FAR_M / side_m
    K = np.array([[focal_px, 0, size_px / 2], [0, focal_px, size_px / 2], [0, 0, 1.0]])
    return render_mesh(points.astype(float), faces, K, size_px, size_px, np.broadcast_to(SKIN, points.shape))
