"""Writes folders of the layout whole or not at all, and remembers the settings that a data set was begun with."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from jaxtyping import Float

from dataset_def.h36m_files import METRES_PER_MILLIMETRE
from utils.artifacts import whole_file
from utils.camera import Camera

SETTINGS_FILE = "convert_settings.json"


@contextmanager
def whole_folders(*places: Path | None) -> Iterator[list[Path]]:
    """Give folders to write to, and rename them in this order when the writing succeeded; else remove them."""
    wanted = [place for place in places if place is not None]
    partials = [place.with_name(place.name + ".partial") for place in wanted]
    try:
        for partial in partials:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        yield partials
        for partial, place in zip(partials, wanted, strict=True):
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


def claim(location: Path, settings: dict[str, Any]) -> None:
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
    with whole_file(path) as partial:
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
