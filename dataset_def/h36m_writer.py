"""Writes folders of the layout whole or not at all, and remembers the settings that a data set was begun with.

An import that stops leaves nothing behind: it writes into a folder beside the final one.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from jaxtyping import Float
from scipy.io import savemat

from dataset_def.h36m_files import METRES_PER_MILLIMETRE
from utils.artifacts import atomic_write
from utils.camera import Camera

SETTINGS_FILE = "convert_settings.json"


@contextmanager
def atomic_folders(*places: Path | None) -> Iterator[list[Path]]:
    """Give folders to write to, and rename them in this order when the writing succeeded; else remove them."""
    needed = [place for place in places if place is not None]
    partials = [place.with_name(place.name + ".partial") for place in needed]
    try:
        for partial in partials:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        yield partials
        for partial, place in zip(partials, needed, strict=True):
            if place.is_dir():
                shutil.rmtree(place)
            partial.rename(place)
    finally:
        for partial in partials:
            shutil.rmtree(partial, ignore_errors=True)


def write_meta(path: Path, camera: Camera, joints_world_m: Float[np.ndarray, "N 17 3"]) -> None:
    """Write h36m_meta.mat in millimetres, with the lens distortion; T is the camera's centre."""
    size = np.ones((len(joints_world_m), 1))
    content = {
        "pose3d_world": joints_world_m / METRES_PER_MILLIMETRE,
        "R": camera.R_cam_from_world,
        "T": camera.centre_world_m[None] / METRES_PER_MILLIMETRE,
        "f": camera.focal_px[None],
        "c": camera.centre_px[None],
        "k": camera.k[None],
        "p": camera.p[None],
        "img_height": size * camera.height_px,
        "img_width": size * camera.width_px,
    }
    scipy.io.savemat(path, content)


def lock_settings(location: Path, settings: dict[str, Any]) -> None:
    """Note the settings in a folder of frames, and refuse one that was begun with others or by another script.

    Raises:
        ValueError: naming what differs.
    """
    path = location / SETTINGS_FILE
    remedy = f"delete {location}, or give another --paths.h36m-location and --paths.masks-location"
    if path.is_file():
        begun = json.loads(path.read_text())
        differing = sorted(name for name in settings.keys() | begun.keys() if settings.get(name) != begun.get(name))
        if differing:
            was = ", ".join(f"{name} {begun.get(name)}" for name in differing)
            raise ValueError(f"{location} was begun with {was}; use the same settings, or {remedy}")
    elif location.is_dir() and any(location.glob("s_*")):
        raise ValueError(f"{location} holds data that this script did not make; {remedy}")
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(settings, indent=1) + "\n")


def is_full(error: OSError) -> bool:
    """Tell an error of the disk from a FileNotFoundError of our own readers, which has no file name."""
    return not (isinstance(error, FileNotFoundError) and error.filename is None)


def not_writable(folder: str, error: OSError) -> ValueError:
    """Say that writing had to stop."""
    return ValueError(
        f"{folder} cannot be written ({error.strerror or error}); what was finished is kept: make space, or give "
        "another place, and run the same command again"
    )


KEPT = ("backgrounds",)
"""What is not replaced where it exists: another recording of the same subject made it."""


def _missing(folder: Path) -> list[Path]:
    """List the folders that would have to be made for a path, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


@contextmanager
def atomic_data_set(folder: Path, name: str) -> Iterator[Path]:
    """Give a folder to write into; what lies in its subfolders is moved to those of `folder` when all is well.

    Whatever stops the writing, also Ctrl-C, removes it again, with every folder that was made for it.
    """
    made = _missing(folder)
    stage = folder / f"{name}.partial"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        yield stage
        _move(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _move(stage: Path, folder: Path) -> None:
    """Move everything one level below the partial folder's subfolders; the same disk, so each takes no time."""
    for part in sorted(stage.iterdir()):
        (folder / part.name).mkdir(exist_ok=True)
        for child in sorted(part.iterdir()):
            target = folder / part.name / child.name
            if not (part.name in KEPT and target.exists()):
                os.replace(child, target)


def camera_fields(camera: Camera, num_frames: int = 1) -> dict[str, Any]:
    """Give a camera as the fields of h36m_meta.mat, in millimetres."""
    size = np.ones((num_frames, 1))
    return {
        "R": camera.R_cam_from_world,
        "T": camera.centre_world_m[None] / METRES_PER_MILLIMETRE,
        "f": camera.focal_px[None],
        "c": camera.centre_px[None],
        "img_height": size * camera.height_px,
        "img_width": size * camera.width_px,
    }


def write_pinhole_meta(path: Path, camera: Camera, joints_world_m: Float[np.ndarray, "N 17 3"]) -> None:
    """Write h36m_meta.mat of one folder; the frames beside it are free of distortion."""
    joints = {"pose3d_world": joints_world_m / METRES_PER_MILLIMETRE}
    scipy.io.savemat(path, joints | camera_fields(camera, len(joints_world_m)))


def write_synthetic_meta(place: Path, camera: Camera, joints_world_m: Float[np.ndarray, "T 17 3"]) -> None:
    """Save poses and calibration as Human3.6M's preprocessing does: millimetres, T is the camera's centre."""
    num_frames = len(joints_world_m)
    savemat(
        place,
        {
            "pose3d_world": joints_world_m * 1000.0,
            "R": camera.R_cam_from_world,
            "T": camera.centre_world_m[None] * 1000.0,
            "f": camera.focal_px[None],
            "c": camera.centre_px[None],
            "img_height": np.full((num_frames, 1), float(camera.height_px)),
            "img_width": np.full((num_frames, 1), float(camera.width_px)),
        },
    )


def fresh_partial(place: Path) -> Path:
    """Make an empty folder beside the place; what an interrupted run left there goes."""
    partial = place.with_name(place.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def replace_folder(partial: Path, place: Path) -> None:
    """Give a finished folder its name."""
    if place.is_dir():
        shutil.rmtree(place)
    partial.rename(place)
