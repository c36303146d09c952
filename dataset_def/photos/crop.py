"""The crop of a person in a picture whose camera is only partly known: a pinhole with a stated focal length."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from config import Crop
from dataset_def.crop import crop_camera, cut
from dataset_def.photos.pictures import Picture
from utils.camera import Camera
from utils.person_box import Box

FOCAL_OF_SIDE = 1.146
"""Focal length over the longer side of a picture where it is not known: that of Human3.6M's cameras, 47 degrees."""


class PhotoCrop(NamedTuple):
    """What the network sees of a picture, and how to come back to it."""

    picture: Picture
    box: Box
    camera: Camera
    """Camera of the whole picture, at the world's origin and unrotated: its world is the camera's frame."""
    image: UInt8[np.ndarray, "S S 3"]
    R_cam_from_crop: Float[np.ndarray, "3 3"]
    distance_m: float
    """Guessed, of the crop's centre."""


def check_focal(focal_px: float | None) -> None:
    """Stop at a focal length that no camera has.

    Raises:
        ValueError
    """
    if focal_px is not None and not FOCAL_RANGE_PX[0] <= focal_px <= FOCAL_RANGE_PX[1]:  # nor one that is no number
        raise ValueError(f"focal_px is {focal_px:g}; give it in pixels, such as 1000 for a photo of 1000 pixels")


FOCAL_RANGE_PX = (10.0, 1e6)
"""Of fisheyes in small pictures, and beyond that of a telescope before a camera of 60 megapixels."""


def photo_camera(picture: Picture, focal_px: float | None) -> Camera:
    """Describe the camera of a picture; its principal point is taken to be the middle.

    Raises:
        ValueError: the focal length is that of no camera.
    """
    check_focal(focal_px)
    height, width = picture.rgb.shape[:2]
    focal = focal_px or FOCAL_OF_SIDE * max(height, width)
    return Camera(np.eye(3), np.zeros(3), np.array([focal, focal]), np.array([width / 2, height / 2]), width, height)


def photo_crop(picture: Picture, box: Box, crop: Crop, focal_px: float | None, person_m: float) -> PhotoCrop:
    """Cut a person out as the training's crops are cut: `crop.side_m` wide at the person's distance.

    Args:
        person_m: how long the longer side of the box is taken to be, which gives the distance.
    """
    camera = photo_camera(picture, focal_px)
    centre_px = np.array([box.left_px + box.width_px / 2, box.top_px + box.height_px / 2])
    ray = np.array([*((centre_px - camera.centre_px) / camera.focal_px), 1.0])
    depth_m = camera.focal_px[0] * person_m / max(box.width_px, box.height_px)
    to = crop_camera(camera, ray * depth_m, crop.size_px, crop.side_m)
    image = cut(picture.rgb, camera, to)
    return PhotoCrop(picture, box, camera, image, to.R_cam_from_world.T, float(np.linalg.norm(ray * depth_m)))
