"""Gives every camera one fixed picture that all its crops lie in.

A crop differs from the picture of the fixed camera at the same place by a turn and a zoom alone, so it can be laid into
that picture without knowing any depth.  Outside of the crop the picture shows the background of the other crops.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from dataset_def.crop import cut
from dataset_def.labels_h5.label_file import Labels
from utils.camera import Camera
from utils.image import read_image

LARGEST_PX = 4000
SMALLEST_DEPTH = 0.2
"""Of a crop's corner at unit length, in the fixed camera: it then looks less than 80 degrees aside."""
SAMPLED_BACKGROUNDS = 150


class View(NamedTuple):
    """One camera of one subject, with the rows that it took."""

    subject: int
    camera: int
    rows: Int[np.ndarray, "n"]
    centre_world_m: Float[np.ndarray, "3"]


def picture_path(folder: Path, labels: Labels, row: int, kind: str) -> Path:
    """Say where a crop or its background lies."""
    _, sequence, camera, frame = labels.keys[row]
    return folder / f"seq_{sequence:03d}" / f"cam_{camera:02d}" / f"{kind}_{frame:06d}.png"


def crop_camera_of(labels: Labels, row: int, size_px: int, centre_world_m: Float[np.ndarray, "3"]) -> Camera:
    """Give the camera of one crop."""
    return Camera(
        R_cam_from_world=labels.R_crop_from_world[row],
        centre_world_m=centre_world_m,
        focal_px=labels.focal[row] * size_px,
        centre_px=labels.centre[row] * size_px,
        width_px=size_px,
        height_px=size_px,
    )


def base_camera(labels: Labels, view: View, size_px: int, detail: float) -> Camera:
    """Make the fixed camera that sees all crops of a view.

    Raises:
        ValueError: the crops look into directions that no single picture holds.
    """
    U, _, Vt = np.linalg.svd(labels.R_crop_from_world[view.rows].sum(0))
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    xy = (corners - labels.centre[view.rows, None]) / labels.focal[view.rows, None]
    rays = np.concatenate([xy, np.ones_like(xy[..., :1])], -1) @ labels.R_crop_from_world[view.rows] @ R.T
    focal_px = detail * size_px * float(np.median(labels.focal[view.rows]))
    seen = rays[..., 2] > SMALLEST_DEPTH * np.linalg.norm(rays, axis=-1)
    flat = (rays[..., :2] / np.where(seen, rays[..., 2], 1)[..., None] * focal_px).reshape(-1, 2)
    low, high = flat.min(0), flat.max(0)
    width_px, height_px = (int(side) for side in np.ceil(high - low) + 2)
    if not seen.all() or max(width_px, height_px) > LARGEST_PX:
        raise ValueError(
            f"{labels.path}: the crops of subject {view.subject}, camera {view.camera} look into directions that need "
            f"a picture of {width_px} x {height_px} pixels; the camera moved, or extrinsic_rot is of another kind"
        )
    return Camera(R, view.centre_world_m, np.array([focal_px, focal_px]), 1 - low, width_px, height_px)


def laid(
    crop: UInt8[np.ndarray, "s s 3"], from_camera: Camera, to: Camera
) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W 1"]]:
    """Lay a crop into the fixed picture; gives colours times cover, and cover."""
    cover = cut(np.full(crop.shape[:2], 255, np.uint8), from_camera, to).astype(np.float32) / 255
    return cut(crop, from_camera, to).astype(np.float32), cover[..., None]


def read_crop(path: Path, size_px: int) -> UInt8[np.ndarray, "s s 3"]:
    """Read one crop and check its size.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or of another size.
    """
    crop = read_image(path)
    if crop.shape[:2] != (size_px, size_px):
        raise ValueError(f"{path} is {crop.shape[1]} x {crop.shape[0]} pixels, the first crop {size_px} x {size_px}")
    return crop


def background_of(folder: Path, labels: Labels, view: View, size_px: int, to: Camera) -> UInt8[np.ndarray, "H W 3"]:
    """Put the background of a view together from those of its crops; black where no crop was."""
    count = min(SAMPLED_BACKGROUNDS, len(view.rows))
    total = np.zeros((to.height_px, to.width_px, 3), np.float32)
    covers = np.zeros((to.height_px, to.width_px, 1), np.float32)
    for row in view.rows[((np.arange(count) + 0.5) * len(view.rows) / count).astype(int)].tolist():
        crop = read_crop(picture_path(folder, labels, row, "bg_crop"), size_px)
        colours, cover = laid(crop, crop_camera_of(labels, row, size_px, view.centre_world_m), to)
        total += colours
        covers += cover
    return np.round(total / np.maximum(covers, 1e-3)).clip(0, 255).astype(np.uint8)


def frame_of(
    crop: UInt8[np.ndarray, "s s 3"], from_camera: Camera, to: Camera, background: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay a crop over the background."""
    colours, cover = laid(crop, from_camera, to)
    return np.round(colours + (1 - cover) * background).clip(0, 255).astype(np.uint8)
