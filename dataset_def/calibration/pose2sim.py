"""Reads and writes the cameras of Pose2Sim: Calib.toml, in metres, with OpenCV's conventions.

Per camera a table with `name`, `size` (width, height), `matrix` (3 x 3), `distortions` (4, 5 or 8), `rotation` (a
rotation vector or a matrix), `translation` (x_cam = R x_world + t) and `fisheye`.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dataset_def.calibration.camera_values import (
    PIXEL_CENTRE_PX,
    Calibration,
    StoredCamera,
    coefficients,
    distortion,
    lens,
    numbers,
    rotation_of,
)
from utils.artifacts import atomic_write
from utils.camera import Camera


def read_pose2sim(path: Path) -> Calibration:
    """Read the cameras of a Calib.toml, by name."""
    try:
        content = tomllib.loads(path.read_text(errors="replace"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML file ({error}); write the calibration again") from error
    tables = {key: table for key, table in content.items() if isinstance(table, dict) and "matrix" in table}
    if not tables:
        raise ValueError(f"{path} has no camera: a table with matrix, distortions, rotation and translation each")
    named = {str(table.get("name", key)): _camera(f"{path}, camera {key}", table) for key, table in tables.items()}
    if len(named) < len(tables):
        raise ValueError(f"{path} has two cameras with the same name; give every camera its own")
    return Calibration(str(path), named, "m")


def _camera(where: str, table: Mapping[str, object]) -> StoredCamera:
    """Read the table of one camera."""
    missing = [key for key in ("distortions", "rotation", "translation") if key not in table]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} is missing; write the calibration again")
    if table.get("fisheye"):
        raise ValueError(f"{where} has a fisheye lens, which is not undone here; undistort its video first")
    focal_px, centre_px = lens(numbers(table["matrix"], f"{where}: matrix", (3, 3)), where)
    R = rotation_of(table["rotation"], f"{where}: rotation")
    size = numbers(table["size"], f"{where}: size", (2,)) if "size" in table else None
    k, p = distortion(numbers(table["distortions"], f"{where}: distortions", (4,), (5,), (8,)), where)
    translation = numbers(table["translation"], f"{where}: translation", (3,))
    size_px = None if size is None else (int(size[0]), int(size[1]))
    return StoredCamera(R, -R.T @ translation, focal_px, centre_px, size_px, k, p)


def write_pose2sim(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write Calib.toml."""
    parts = []
    for name, camera in cameras.items():
        (fx, fy), (cx, cy) = camera.focal_px, camera.centre_px - PIXEL_CENTRE_PX
        values = {
            "size": [float(camera.width_px), float(camera.height_px)],
            "matrix": [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]],
            "distortions": coefficients(camera, 4),
            "rotation": Rotation.from_matrix(camera.R_cam_from_world).as_rotvec(),
            "translation": -camera.R_cam_from_world @ camera.centre_world_m,
        }
        lines = [f"{key} = {np.array(value).tolist()}" for key, value in values.items()]
        parts.append("\n".join([f'["{name}"]', f'name = "{name}"', *lines, "fisheye = false"]))
    path = folder / "Calib.toml"
    with atomic_write(path) as partial:
        partial.write_text("\n\n".join([*parts, "[metadata]\nadjusted = false\nerror = 0.0\n"]))
    return [path]
