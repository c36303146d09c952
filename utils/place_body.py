"""Put a body of known pose where a person stands in the picture, under a true perspective camera."""

import numpy as np
from jaxtyping import Float

from utils.person_box import Box

ROUNDS = 30
CLOSE_ENOUGH_PX = 0.01


def placed_in_box(
    vertices_root_cam_m: Float[np.ndarray, "V 3"],
    box: Box,
    K: Float[np.ndarray, "3 3"],
    start_depth_m: float,
) -> Float[np.ndarray, "3"]:
    """Find the translation at which the projected body has the box's centre and its size.

    Size is the side along which the body is longer: the other depends on the arms, and cut off boxes make no giants.

    Args:
        vertices_root_cam_m: in the camera's axes, about the pelvis.
        K: pixels.
        start_depth_m: any depth at which the whole body is before the camera.
    Returns:
        Where the pelvis is, in the camera's frame.
    Raises:
        ValueError: the body would have to be inside of the camera.
    Source: fixed-point iteration on the projected box, own derivation; test_place_body.py.
    """
    centre_px = np.array([box.left_px + box.width_px / 2, box.top_px + box.height_px / 2])
    along = int(np.ptp(vertices_root_cam_m[:, :2], axis=0).argmax())
    wanted_px = box[2 + along]
    ray = np.array([*((centre_px - K[:2, 2]) / K[[0, 1], [0, 1]]), 1.0])
    pelvis_cam_m = ray * start_depth_m
    nearest_m = -vertices_root_cam_m[:, 2].min() + 0.05
    for _ in range(ROUNDS):
        points = vertices_root_cam_m + pelvis_cam_m
        points_px = points[:, :2] / points[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
        low, high = points_px.min(0), points_px.max(0)
        off_px = centre_px - (low + high) / 2
        larger = (high - low)[along] / wanted_px
        if np.abs(off_px).max() < CLOSE_ENOUGH_PX and abs(larger - 1) * wanted_px < CLOSE_ENOUGH_PX:
            break
        pelvis_cam_m[:2] += off_px * pelvis_cam_m[2] / K[[0, 1], [0, 1]]
        pelvis_cam_m = pelvis_cam_m * max(larger, nearest_m / pelvis_cam_m[2])
    if pelvis_cam_m[2] <= nearest_m:
        raise ValueError(f"no place before the camera lets the body fill a box of {box.width_px:.0f} x "
                         f"{box.height_px:.0f} pixels; check the box, or give --focal-px")  # fmt: skip
    return pelvis_cam_m
