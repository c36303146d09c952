"""Reads and writes the cameras of Pose2Sim: Calib.toml, in metres, with OpenCV's conventions.

Per camera a table with `name`, `size` (width, height), `matrix` (3 x 3), `distortions` (4, 5 or 8), `rotation` (a
rotation vector or a matrix), `translation` (x_cam = R x_world + t) and `fisheye`.  anipose and FreeMoCap write the same
in other units, Caliscope a table `cameras` of such tables by number, where cameras without a matrix are ignored ones.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dataset_def.calibration.camera_values import (
    PIXEL_CENTRE_PX,
    Calibration,
    StoredCamera,
    Tree,
    camera_number,
    camera_of,
    cameras_below,
    coefficients,
    holds_distortion,
    keys_of,
    text_of,
)
from utils.artifacts import atomic_write
from utils.camera import Camera


def read_pose2sim(path: Path) -> Calibration:
    """Read the cameras of a .toml, by name: Pose2Sim's, anipose's and FreeMoCap's, or Caliscope's nested tables."""
    try:
        content = tomllib.loads(text_of(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no TOML file ({error}); write the calibration again") from error
    tables = [(_name(key, table), table) for key, table in cameras_below(content)]
    if not tables:
        raise ValueError(f"{path} has no camera: a table with matrix, distortions, rotation and translation each")
    named = {name: _camera(f"{path}, camera {name}", table) for name, table in tables}
    if len(named) < len(tables):
        raise ValueError(f"{path} has two cameras with the same name; give every camera its own")
    return Calibration(str(path), named, "m" if _are_metres(named) else "")


def _name(key: str, table: Mapping[str, object]) -> str:
    """Name a camera; Caliscope's tables are numbers."""
    return f"cam_{key}" if key.isdecimal() and "name" not in table else key


def _are_metres(cameras: Mapping[str, StoredCamera]) -> bool:
    """Tell whether lengths can be metres, as Pose2Sim and Caliscope write them; anipose and FreeMoCap write others."""
    centres = np.array([camera.centre_world for camera in cameras.values()])
    return float(np.linalg.norm(centres[:, None] - centres[None], axis=-1).max()) <= MOST_SPAN_M


MOST_SPAN_M = 100.0
"""Cameras around a person are no farther apart."""


def _camera(where: str, table: Tree) -> StoredCamera:
    """Read the table of one camera."""
    is_there = {"distortions": any(holds_distortion(key) for key in table), "rotation": bool(keys_of(table, "R")),
                "translation": bool(keys_of(table, "T"))}  # fmt: skip
    missing = [name for name, known in is_there.items() if not known]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} is missing; write the calibration again")
    return camera_of(where, table)


def _table(camera: Camera, unit_per_m: float) -> dict[str, object]:
    """Give a camera's values as the format's text."""
    (fx, fy), (cx, cy) = camera.focal_px, camera.centre_px - PIXEL_CENTRE_PX
    values = {
        "matrix": [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]],
        "distortions": coefficients(camera, 4),
        "rotation": Rotation.from_matrix(camera.R_cam_from_world).as_rotvec(),
        "translation": -camera.R_cam_from_world @ camera.centre_world_m * unit_per_m,
    }
    listed: dict[str, object] = {key: str(np.array(value).tolist()) for key, value in values.items()}
    return listed | {"fisheye": str(camera.distortion == "fisheye").lower()}


def _written(path: Path, parts: Sequence[tuple[str, dict[str, object]]], end: str) -> list[Path]:
    """Write a file of tables."""
    tables = ["\n".join([head, *(f"{key} = {value}" for key, value in table.items())]) for head, table in parts]
    with atomic_write(path) as partial:
        partial.write_text("\n\n".join([*tables, end]))
    return [path]


METADATA = "[metadata]\nadjusted = false\nerror = 0.0\n"
MM_PER_M = 1e3


def write_pose2sim(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write Calib.toml, in metres."""
    parts = []
    for name, camera in cameras.items():
        size = {"name": f'"{name}"', "size": [float(camera.width_px), float(camera.height_px)]}
        parts.append((f'["{name}"]', size | _table(camera, 1.0)))
    return _written(folder / "Calib.toml", parts, METADATA)


def write_anipose(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write calibration.toml as anipose and FreeMoCap do, in millimetres, which the file itself does not say."""
    parts = []
    for number, (name, camera) in enumerate(cameras.items()):
        size = {"name": f'"{name}"', "size": [camera.width_px, camera.height_px]}
        parts.append((f"[cam_{number}]", size | _table(camera, MM_PER_M)))
    return _written(folder / "calibration.toml", parts, METADATA)


def write_caliscope(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write camera_array.toml, in metres; cameras have numbers there, those in their names where these tell one."""
    numbers = [camera_number(name) for name in cameras]
    if "" in numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"Caliscope's cameras are numbers, and {', '.join(cameras)} are not all cam1, cam2, ...; use "
                         "another format")  # fmt: skip
    parts: list[tuple[str, dict[str, object]]] = [("[cameras]", {})]
    for number, camera in zip(numbers, cameras.values(), strict=True):
        head = {"cam_id": number, "size": [camera.width_px, camera.height_px], "rotation_count": 0, "error": 0.0}
        parts.append((f"[cameras.{number}]", head | _table(camera, 1.0)))
    return _written(folder / "camera_array.toml", parts, "")
