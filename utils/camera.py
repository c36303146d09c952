"""Pinhole cameras as Human3.6M stores them.  World z up; camera x right, y down, z forward; metres and pixels."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float


class Camera(NamedTuple):
    """One calibrated camera; the centre of its top-left pixel is at (0.5, 0.5)."""

    R_cam_from_world: Float[np.ndarray, "3 3"]
    centre_world_m: Float[np.ndarray, "3"]
    focal_px: Float[np.ndarray, "2"]
    centre_px: Float[np.ndarray, "2"]
    width_px: int
    height_px: int
    k: Float[np.ndarray, "k"] = np.zeros(3)
    """Radial distortion, zero for none: 3 numbers, or 6 where the last three divide (OpenCV's rational model); of a
    fisheye 4."""
    p: Float[np.ndarray, "2"] = np.zeros(2)
    """Tangential distortion, zero for none."""
    distortion: Literal["h36m", "opencv", "fisheye"] = "h36m"
    """Whose tangential formula `p` belongs to: Human3.6M applies it once, OpenCV twice; or OpenCV's fisheye."""

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines of the world are curved in the image."""
        return self.distortion == "fisheye" or bool(np.any(self.k) or np.any(self.p))

    @property
    def K(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsic matrix, pixels."""
        return np.array(
            [[self.focal_px[0], 0, self.centre_px[0]], [0, self.focal_px[1], self.centre_px[1]], [0, 0, 1.0]]
        )


def to_camera(camera: Camera, points_world_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Move points from the world into the camera's frame."""
    return (points_world_m - camera.centre_world_m) @ camera.R_cam_from_world.T


def to_world(camera: Camera, points_cam_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Move points from the camera's frame into the world."""
    return points_cam_m @ camera.R_cam_from_world + camera.centre_world_m


def distort(camera: Camera, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Bend normalised image coordinates as the camera's lens does.

    Source: Human3.6M's camera model (tangential term once); Brown 1966 in OpenCV's form (twice); OpenCV's fisheye.
    """
    if camera.distortion == "fisheye":
        r = np.linalg.norm(xy, axis=-1, keepdims=True)
        return xy * np.where(r > 0, bent_angle(camera.k, np.arctan(r)) / np.where(r > 0, r, 1.0), 1.0)
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    radial = 1 + camera.k[0] * r2 + camera.k[1] * r2**2 + camera.k[2] * r2**3
    if len(camera.k) > 3:
        radial = radial / (1 + camera.k[3] * r2 + camera.k[4] * r2**2 + camera.k[5] * r2**3)
    tangential = camera.p[0] * y + camera.p[1] * x
    both = radial + tangential * (2 if camera.distortion == "opencv" else 1)
    return np.stack([x * both + camera.p[1] * r2, y * both + camera.p[0] * r2], axis=-1)


MOST_FISHEYE_RAD = 1.55
"""Rays of a fisheye that lie farther from the axis have no place in a flat picture; they are given here."""


def bent_angle(k: Float[np.ndarray, "4"], theta: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Say how far from the middle (over the focal length) a fisheye shows a ray.

    Source: OpenCV's fisheye model, after Kannala and Brandt 2006: theta (1 + k1 theta^2 + ... + k4 theta^8).
    """
    t2 = theta * theta
    return theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))


def _fisheye_rays(camera: Camera, bent: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Invert the fisheye by bisection, which needs no good start.  Source: own derivation, test_lenses.py."""
    r = np.linalg.norm(bent, axis=-1, keepdims=True)
    low, high = np.zeros_like(r), np.full_like(r, MOST_FISHEYE_RAD)
    for _ in range(60):
        middle = (low + high) / 2
        is_below = bent_angle(camera.k, middle) < r
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return bent * np.where(r > 0, np.tan((low + high) / 2) / np.where(r > 0, r, 1.0), 1.0)


def project(camera: Camera, points_cam_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
    """Project points of the camera's frame to pixels.

    Raises:
        ValueError: a point lies at or behind the camera.
    """
    depth_m = points_cam_m[..., 2:]
    if (depth_m <= 0).any():
        raise ValueError(f"{int((depth_m <= 0).sum())} points are behind the camera")
    xy = points_cam_m[..., :2] / depth_m
    if camera.is_distorted:
        xy = distort(camera, xy)
    return xy * camera.focal_px + camera.centre_px


def to_rays(camera: Camera, points_px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 3"]:
    """Give the direction (camera frame, depth 1) that is seen at each pixel; the inverse of `project`.

    Source: fixed-point iteration on `distort`, own derivation; 20 rounds reach 1e-9 for Human3.6M's lenses.
    """
    bent = (points_px - camera.centre_px) / camera.focal_px
    xy = _fisheye_rays(camera, bent) if camera.distortion == "fisheye" else bent
    for _ in range(20 if camera.is_distorted and camera.distortion != "fisheye" else 0):
        xy = xy + bent - distort(camera, xy)
    return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)


def resized(camera: Camera, width_px: int, height_px: int) -> Camera:
    """Describe the same camera for an image of another size."""
    scale = np.array([width_px / camera.width_px, height_px / camera.height_px])
    return camera._replace(
        focal_px=camera.focal_px * scale, centre_px=camera.centre_px * scale, width_px=width_px, height_px=height_px
    )
