"""Square crops by a virtual camera that points at the person, and cutting them out of images.

A crop is an image with a camera of its own, so it can be cut again.  Everything that belongs to an image (mask,
background, joints) follows from the two cameras alone.
"""

import numpy as np
from jaxtyping import Float, UInt8

from utils.camera import Camera, distort, resized, to_camera
from utils.warps import remapped, shrunk, warped

ROUND_DOWN = 0.3
"""A shrink by n + 0.3 is still sampled n times per pixel and axis: cheaper, and a little sharper than it should be."""


def look_rotation(target_cam_m: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Turn the camera so that its axis meets the target, without rolling it.

    Returns:
        R_crop_from_cam, the smallest such rotation.
    Raises:
        ValueError: the target is at or behind the image plane.
    Source: Rodrigues' formula between the target's direction and the axis; own derivation, test_crop.py.
    """
    if not target_cam_m[2] > 0:
        raise ValueError(f"the crop's centre lies behind the camera (depth {target_cam_m[2]:.2f} m)")
    x, y, z = target_cam_m / np.linalg.norm(target_cam_m)
    a = 1 / (1 + z)
    return np.array([[1 - a * x * x, -a * x * y, -x], [-a * x * y, 1 - a * y * y, -y], [x, y, z]])


def crop_camera(
    camera: Camera, target_world_m: Float[np.ndarray, "3"], size_px: int, side_m: float, roll_rad: float = 0.0
) -> Camera:
    """Make the virtual camera of a crop: same centre, looking at the target, `side_m` wide at the target's distance.

    A positive roll turns the picture clockwise as seen on the screen.
    """
    target_cam_m = to_camera(camera, target_world_m)
    cos, sin = np.cos(roll_rad), np.sin(roll_rad)
    R_roll = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    focal_px = size_px * np.linalg.norm(target_cam_m) / side_m
    return Camera(
        R_cam_from_world=R_roll @ look_rotation(target_cam_m) @ camera.R_cam_from_world,
        centre_world_m=camera.centre_world_m,
        focal_px=np.array([focal_px, focal_px]),
        centre_px=np.array([size_px / 2, size_px / 2]),
        width_px=size_px,
        height_px=size_px,
    )


def samples_per_pixel(from_camera: Camera, to: Camera) -> int:
    """Count the samples per axis that one pixel of the crop needs so that a shrunk image does not alias."""
    shrink = from_camera.focal_px.max() / to.focal_px.min()
    return max(1, int(np.ceil(shrink - ROUND_DOWN)))


def cut(image: UInt8[np.ndarray, "H W *c"], from_camera: Camera, to: Camera) -> UInt8[np.ndarray, "h w *c"]:
    """Cut what the camera `to` sees out of the image of another camera at the same place.

    Shrinking is antialiased, lens distortion is removed, and what lies outside of the image is black.
    """
    if image.shape[:2] != (from_camera.height_px, from_camera.width_px):
        raise ValueError(
            f"the image is {image.shape[1]} x {image.shape[0]} pixels, its calibration belongs to "
            f"{from_camera.width_px} x {from_camera.height_px}"
        )
    samples = samples_per_pixel(from_camera, to)
    fine = to if samples == 1 else resized(to, to.width_px * samples, to.height_px * samples)
    drawn = _remap(image, from_camera, fine) if from_camera.is_distorted else _warp(image, from_camera, fine)
    return drawn if samples == 1 else shrunk(drawn, to.width_px, to.height_px)


def _warp(image: np.ndarray, from_camera: Camera, to: Camera) -> np.ndarray:
    """Cut by the homography between two cameras at one place.

    The warp's first pixel centre is at (0, 0) and ours at (0.5, 0.5): half a pixel is taken off both principal points.
    Source: Hartley and Zisserman, Multiple View Geometry, 8.4.2 (H = K' R K^-1).
    """
    from_K = from_camera.K
    from_K[:2, 2] -= 0.5
    (fx, fy), (cx, cy) = to.focal_px, to.centre_px - 0.5
    inverse_to_K = np.array([[1 / fx, 0.0, -cx / fx], [0.0, 1 / fy, -cy / fy], [0.0, 0.0, 1.0]])
    homography = from_K @ from_camera.R_cam_from_world @ to.R_cam_from_world.T @ inverse_to_K
    return warped(image, homography, to.width_px, to.height_px)


def _remap(image: np.ndarray, from_camera: Camera, to: Camera) -> np.ndarray:
    """Cut through the bent lens, pixel by pixel."""
    x, y = np.meshgrid(np.arange(to.width_px) + 0.5, np.arange(to.height_px) + 0.5)
    xy = (np.stack([x, y], -1) - to.centre_px) / to.focal_px
    rays = np.concatenate([xy, np.ones_like(xy[..., :1])], -1) @ (to.R_cam_from_world @ from_camera.R_cam_from_world.T)
    bent = distort(from_camera, rays[..., :2] / rays[..., 2:])
    found_px = (bent * from_camera.focal_px + from_camera.centre_px - 0.5).astype(np.float32)
    return remapped(image, found_px[..., 0], found_px[..., 1])


def undistorted(image: UInt8[np.ndarray, "H W *c"], camera: Camera) -> tuple[UInt8[np.ndarray, "h w *c"], Camera]:
    """Remove the lens distortion of a whole image; a margin around it keeps what the lens had pulled in."""
    if not camera.is_distorted:
        return image, camera
    margin_px = camera.width_px // 8
    straight = camera._replace(
        k=np.zeros(3),
        p=np.zeros(2),
        centre_px=camera.centre_px + margin_px,
        width_px=camera.width_px + 2 * margin_px,
        height_px=camera.height_px + 2 * margin_px,
    )
    return _remap(image, camera, straight), straight
