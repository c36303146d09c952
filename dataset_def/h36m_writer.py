"""Writes folders of the layout whole or not at all, and remembers the settings that a data set was begun with.

An import that stops leaves nothing behind: it writes into a folder beside the final one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dataset_def.h36m_files import METRES_PER_MILLIMETRE
from utils.artifacts import lock_settings, scratch_folder
from utils.camera import Camera
from utils.optional import later

matlab = later("scipy.io")


SETTINGS_FILE = "convert_settings.json"


def camera_fields(camera: Camera, num_frames: int = 1) -> dict[str, Any]:
    """Give a camera as the fields of h36m_meta.mat, in millimetres; T is its centre."""
    size = np.ones((num_frames, 1))
    fields = {
        "R": camera.R_cam_from_world,
        "T": camera.centre_world_m[None] / METRES_PER_MILLIMETRE,
        "f": camera.focal_px[None],
        "c": camera.centre_px[None],
        "img_height": size * camera.height_px,
        "img_width": size * camera.width_px,
    }
    return fields | ({"k": camera.k[None], "p": camera.p[None]} if camera.is_distorted else {})


def write_meta(path: Path, camera: Camera, joints_world_m: Float[np.ndarray, "N J 3"]) -> None:
    """Write h36m_meta.mat: poses in millimetres, and the camera with its lens if that bends lines."""
    joints = {"pose3d_world": joints_world_m / METRES_PER_MILLIMETRE}
    matlab.savemat(path, joints | camera_fields(camera, len(joints_world_m)))


def refuse_foreign_frames(location: Path, settings_file: str, remedy: str) -> None:
    """Refuse a folder of frames that the script did not begin.

    Raises:
        ValueError: it holds sequences, but not the file with the settings of that script.
    """
    if not (location / settings_file).is_file() and any(location.glob("s_*")):
        raise ValueError(f"{location} holds data that this script did not make; {remedy}")


def lock_data_set(location: Path, settings: dict[str, Any]) -> None:
    """Note the settings in a folder of frames, and refuse one that was begun with others or by another script."""
    remedy = f"delete {location}, or give another --paths.h36m-location and --paths.masks-location"
    refuse_foreign_frames(location, SETTINGS_FILE, remedy)
    lock_settings(location / SETTINGS_FILE, settings, remedy)


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


@contextmanager
def atomic_data_set(folder: Path, name: str) -> Iterator[Path]:
    """Give a folder to write into; what lies in its subfolders is moved to those of `folder` when all is well.

    Whatever stops the writing, also Ctrl-C, removes it again, with every folder that was made for it.
    """
    with scratch_folder(folder / f"{name}.partial") as stage:
        yield stage
        _move(stage, folder)


def _move(stage: Path, folder: Path) -> None:
    """Move everything one level below the partial folder's subfolders; the same disk, so each takes no time."""
    for part in sorted(stage.iterdir()):
        (folder / part.name).mkdir(exist_ok=True)
        for child in sorted(part.iterdir()):
            target = folder / part.name / child.name
            if not (part.name in KEPT and target.exists()):
                os.replace(child, target)
