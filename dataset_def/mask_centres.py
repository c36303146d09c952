"""Where a person is, from masks and cameras alone: crop centres that need no 3D label."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from utils.camera import Camera, to_rays, to_world
from utils.image import PERSON_ABOVE

FARTHEST_M = 30.0


class MaskShape(NamedTuple):
    """Centre and extent of one mask in pixels; NaN for an empty mask."""

    centroid_px: Float[np.ndarray, "2"]
    box_px: Float[np.ndarray, "4"]
    """Left, top, right, bottom edges."""


def mask_shape(mask: UInt8[np.ndarray, "H W"]) -> MaskShape:
    """Measure where the person is in a mask."""
    person = mask > PERSON_ABOVE
    per_column, per_row = person.sum(0), person.sum(1)
    columns, rows = np.flatnonzero(per_column), np.flatnonzero(per_row)
    if len(columns) == 0:
        return MaskShape(np.full(2, np.nan), np.full(4, np.nan))
    x = np.average(np.arange(person.shape[1]) + 0.5, weights=per_column)
    y = np.average(np.arange(person.shape[0]) + 0.5, weights=per_row)
    box_px = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)
    return MaskShape(np.array([x, y]), box_px)


def triangulated(cameras: list[Camera], points_px: Float[np.ndarray, "V 2"]) -> Float[np.ndarray, "3"]:
    """Find the point nearest to the rays of all views where it is seen; NaN if fewer than two see it.

    Source: least squares over the distances to the rays, own derivation, test_mask_centres.py.
    """
    normal, right, seen = np.zeros((3, 3)), np.zeros(3), 0
    for camera, point_px in zip(cameras, points_px, strict=True):
        if np.isnan(point_px).any():
            continue
        ray = to_rays(camera, point_px) @ camera.R_cam_from_world
        ray /= np.linalg.norm(ray)
        across = np.eye(3) - np.outer(ray, ray)
        normal, right, seen = normal + across, right + across @ camera.centre_world_m, seen + 1
    return np.linalg.solve(normal, right) if seen >= 2 else np.full(3, np.nan)


def box_target(camera: Camera, box_px: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3"]:
    """Find the centre of the person from the box of one mask, supposing that its lower edge is on the floor z = 0.

    The floor gives the distance; a person who floats, or whose feet are outside of the image, seems farther away than
    he is and the crop shows him larger.  NaN if the mask is empty or the lower edge is not on the floor within 30 m.
    """
    left, top, right, bottom = box_px
    rays_cam = to_rays(camera, np.array([[(left + right) / 2, bottom], [(left + right) / 2, (top + bottom) / 2]]))
    down = (rays_cam[0] @ camera.R_cam_from_world)[2]
    if not down < 0:
        return np.full(3, np.nan)
    depth_m = -camera.centre_world_m[2] / down
    return to_world(camera, rays_cam[1] * depth_m) if 0 < depth_m < FARTHEST_M else np.full(3, np.nan)
