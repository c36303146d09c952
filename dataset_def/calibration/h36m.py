"""Reads and writes cameras as MATLAB files with Human3.6M's fields: R, T (the centre, in millimetres), f, c.

One file per camera: this layout's own h36m_meta.mat (the camera is named as its folder), or any <camera>.mat.  Sizes
are `img_width` and `img_height`; distortion is `k`, `p`, and `distortion` says whose formula they belong to.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import scipy.io

from dataset_def.calibration.camera_values import Calibration, StoredCamera
from dataset_def.h36m_files import METRES_PER_MILLIMETRE, load_camera
from dataset_def.h36m_writer import camera_fields
from utils.artifacts import atomic_write
from utils.camera import Camera

META = "h36m_meta"


def read_h36m(paths: Sequence[Path]) -> Calibration:
    """Read one camera per file."""
    cameras: dict[str, StoredCamera] = {}
    for path in paths:
        name = path.parent.name if path.stem == META else path.stem
        if name in cameras:
            raise ValueError(f"two calibration files are for camera {name}; give every camera its own file name")
        R, centre_m, focal_px, centre_px, width_px, height_px, k, p, distortion = load_camera(path)
        size_px = (width_px, height_px)
        centre_mm = centre_m / METRES_PER_MILLIMETRE
        cameras[name] = StoredCamera(R, centre_mm, focal_px, centre_px, size_px, k, p, distortion)
    return Calibration(" and ".join(map(str, paths)), cameras, "mm")


def write_h36m(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write <camera>.mat for every camera.

    Raises:
        ValueError: a lens with more than three radial coefficients, which the format does not have.
    """
    paths = []
    for name, camera in cameras.items():
        if len(camera.k) > 3:
            raise ValueError(f"camera {name} has a lens that Human3.6M's fields cannot describe; use another format")
        content = camera_fields(camera) | ({"distortion": camera.distortion} if camera.is_distorted else {})
        paths.append(folder / f"{name}.mat")
        with atomic_write(paths[-1]) as partial, open(partial, "wb") as stream:
            scipy.io.savemat(stream, content)
    return paths
