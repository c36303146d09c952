"""Panoramas in place of rooms: all cameras of a rig look into one, in their true directions, as if it were far away."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from dataset_def.crop import ROUND_DOWN
from dataset_def.photos.panoramas import Panorama, panoramas_in, place_of
from utils.camera import Camera, resized, to_rays
from utils.warps import shrunk


class Surroundings(NamedTuple):
    """Where a subject is instead of in a room."""

    panorama: Path
    heading_rad: float
    """What the panorama shows in the direction of the world's +y, to the right of its middle."""


def choose_surroundings(folder: Path, subject: int, seed: int) -> Surroundings:
    """Draw a subject's panorama, and how it is turned; the same for the same numbers and files.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    files = panoramas_in(folder)
    rng = np.random.default_rng([seed, subject, 106])
    return Surroundings(files[int(rng.integers(len(files)))], float(rng.uniform(-math.pi, math.pi)))


def draw_surroundings(panorama: Panorama, heading_rad: float, camera: Camera) -> UInt8[np.ndarray, "H W 3"]:
    """Draw what a camera sees of a panorama that is infinitely far away, z up; shrinking is antialiased."""
    per_rad = panorama.size_px[1] / (2 * math.pi)
    samples = max(1, math.ceil(per_rad / camera.focal_px.min() - ROUND_DOWN))
    fine = resized(camera, camera.width_px * samples, camera.height_px * samples)
    x_px, y_px = np.meshgrid(np.arange(fine.width_px) + 0.5, np.arange(fine.height_px) + 0.5)
    x, y, z = np.moveaxis(to_rays(fine, np.stack([x_px, y_px], axis=-1)) @ camera.R_cam_from_world, -1, 0)
    columns, rows = place_of(np.arctan2(x, y) + heading_rad, np.arctan2(-z, np.hypot(x, y)), panorama.size_px)
    image = panorama.seen(columns, rows)
    return image if samples == 1 else shrunk(image, camera.width_px, camera.height_px)
