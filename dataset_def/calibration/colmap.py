"""Reads and writes cameras of COLMAP as text (cameras.txt, images.txt), and of nerfstudio (transforms.json).

Both name pictures, not cameras: a camera is named as the folder of its pictures where these lie in several folders,
else as its picture.  Lengths have no unit.  Pixels are counted as ours: the first one's centre is at (0.5, 0.5).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from dataset_def.calibration.camera_values import (
    Calibration,
    StoredCamera,
    coefficients,
    finite_number,
    lens_of,
    numbers,
    proper_rotation,
    read_lens,
    speaks_of_lens,
    text_of,
)
from utils.artifacts import atomic_write
from utils.camera import Camera

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])
"""nerfstudio's cameras look along -z with y up, as OpenGL's."""
PARAMETERS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
"""COLMAP's models that are undone here, with the order of their numbers."""
SAME_POSE = 1e-4
"""Poses of one camera's pictures differ by no more, in the file's unit."""


def camera_names(pictures: Sequence[str]) -> list[str]:
    """Name the camera of every picture."""
    paths = [PurePosixPath(picture.replace("\\", "/")) for picture in pictures]
    has_folders = len({path.parent for path in paths}) > 1
    return [path.parent.name if has_folders and path.parent.name else path.stem for path in paths]


def _added(cameras: dict[str, StoredCamera], name: str, camera: StoredCamera, where: str) -> None:
    """Add a camera, or check that another picture of it says the same."""
    before = cameras.setdefault(name, camera)
    moved = max(np.abs(before.R_cam_from_world - camera.R_cam_from_world).max(),
                np.abs(before.centre_world - camera.centre_world).max())  # fmt: skip
    if moved > SAME_POSE:
        raise ValueError(f"{where}: camera {name} is at several places; cameras that move are not read. Keep one "
                         "picture of every camera, or give every camera's pictures a folder of their own")  # fmt: skip


def _lines(path: Path) -> list[list[str]]:
    """Split a file of COLMAP into words, without its comments."""
    return [line.split() for line in text_of(path).splitlines() if not line.startswith("#")]


LONGEST_SIZE = 7
"""Digits of a picture's width or height."""


def _camera_of_line(where: str, words: list[str]) -> StoredCamera:
    """Read one line of cameras.txt, as a camera at the origin."""
    model = words[1]
    if model not in PARAMETERS:
        raise ValueError(f"{where}: its model {model} is not undone here ({', '.join(PARAMETERS)} are); undistort the "
                         "pictures first (colmap image_undistorter)")  # fmt: skip
    values = [finite_number(word, f"{where}: {model}") for word in words[4:]]
    if len(values) != len(PARAMETERS[model]):
        raise ValueError(f"{where}: {model} has {len(PARAMETERS[model])} parameters, the file gives {len(values)}")
    named = dict(zip(PARAMETERS[model], values, strict=True))
    focal_px = np.array([named.get("fx", named.get("f", 0.0)), named.get("fy", named.get("f", 0.0))])
    if not (focal_px > 0).all():
        raise ValueError(f"{where}: its focal length is {focal_px.tolist()}; it must be positive, in pixels")
    is_fisheye = model == "OPENCV_FISHEYE"
    order = ("k1", "k2", "k3", "k4") if is_fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    bent = lens_of(np.array([named.get(name, 0.0) for name in order]), is_fisheye, where)
    if not all(word.isascii() and word.isdecimal() and len(word) < LONGEST_SIZE for word in words[2:4]):
        raise ValueError(
            f"{where}: its picture is {words[2][:20]} x {words[3][:20]}; it needs two whole numbers of pixels"
        )
    centre_px, size_px = np.array([named["cx"], named["cy"]]), (int(words[2]), int(words[3]))
    return StoredCamera(np.eye(3), np.zeros(3), focal_px, centre_px, size_px, bent.k, bent.p, bent.model)


def read_colmap(cameras: Path, images: Path) -> Calibration:
    """Read the cameras of a model that COLMAP wrote as text.

    Raises:
        ValueError: damaged, a lens that is not undone here, or a camera that moves.
    """
    lenses = {words[0]: _camera_of_line(f"{cameras}, camera {words[0]}", words)
              for words in _lines(cameras) if len(words) > 4}  # fmt: skip
    heads = [words for words in _lines(images)[::2] if len(words) >= 10]  # every second line lists points
    found: dict[str, StoredCamera] = {}
    for words, name in zip(heads, camera_names([" ".join(words[9:]) for words in heads]), strict=True):
        where = f"{images}, picture {' '.join(words[9:])}"
        if words[8] not in lenses:
            raise ValueError(f"{where}: {cameras} has no camera {words[8]}; export both files together")
        pose = numbers(words[1:8], where, (7,))
        if not np.any(pose[:4]):
            raise ValueError(f"{where}: its quaternion is zero; export the model again")
        R = Rotation.from_quat(pose[:4], scalar_first=True).as_matrix()
        placed = lenses[words[8]]._replace(R_cam_from_world=R, centre_world=-R.T @ pose[4:])
        _added(found, name, placed, str(images))
    return Calibration(f"{cameras} and {images}", found, "")


def is_nerfstudio(tree: Mapping[str, Any]) -> bool:
    """Tell whether a JSON file is nerfstudio's (or instant-ngp's)."""
    frames = tree.get("frames")
    return isinstance(frames, list) and any(isinstance(one, dict) and "transform_matrix" in one for one in frames)


def read_nerfstudio(path: Path) -> Calibration:
    """Read the cameras of a transforms.json.

    Raises:
        ValueError: a value is missing or impossible, a lens that is not undone here, or a camera that moves.
    """
    tree = json.loads(text_of(path))
    if not all(isinstance(frame, dict) for frame in tree["frames"]):
        raise ValueError(f"{path}: one of its frames is no table of values; export the file again")
    shared = {key: value for key, value in tree.items() if key != "frames"}
    names = camera_names([str(frame.get("file_path", number)) for number, frame in enumerate(tree["frames"])])
    found: dict[str, StoredCamera] = {}
    for frame, name in zip(tree["frames"], names, strict=True):
        _added(
            found,
            name,
            _nerfstudio_camera(f"{path}, picture {frame.get('file_path', name)}", shared | frame),
            str(path),
        )
    return Calibration(str(path), found, "")


def _nerfstudio_camera(where: str, table: Mapping[str, Any]) -> StoredCamera:
    """Read one frame, with what stands above all."""
    missing = [key for key in ("fl_x", "cx", "cy", "w", "h", "transform_matrix") if key not in table]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} is missing; write the file with ns-process-data")
    fl_x, cx, cy, width, height = (
        finite_number(table[key], f"{where}: {key}") for key in ("fl_x", "cx", "cy", "w", "h")
    )
    fl_y = finite_number(table.get("fl_y", fl_x), f"{where}: fl_y")
    pose = numbers(table["transform_matrix"], f"{where}: transform_matrix", (4, 4), (3, 4))
    R = (proper_rotation(pose[:3, :3], where) @ OPENCV_FROM_OPENGL).T
    model = str(table.get("camera_model", "OPENCV"))
    named = {key: value for key, value in table.items() if speaks_of_lens(key) and key != "camera_model"}
    is_fisheye = model == "OPENCV_FISHEYE" or bool(table.get("is_fisheye"))
    if model not in PARAMETERS or (not is_fisheye and named.get("k4")):
        raise ValueError(f"{where}: its lens ({model}, k4 {named.get('k4', 0)}) is not undone here; undistort the "
                         "pictures first")  # fmt: skip
    bent = read_lens(where, {**named, "fisheye": is_fisheye, "is_fisheye": is_fisheye})
    return StoredCamera(R, pose[:3, 3], np.array([fl_x, fl_y]), np.array([cx, cy]), (int(width), int(height)),
                        bent.k, bent.p, bent.model)  # fmt: skip


def _coefficients(camera: Camera) -> Float[np.ndarray, "n"]:
    """Give k1, k2, p1, p2[, k3, ... k6], or a fisheye's four."""
    values = coefficients(camera, 4)
    return values if camera.distortion == "fisheye" or len(values) == 4 else np.pad(values, (0, 8 - len(values)))


def write_colmap(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write cameras.txt, images.txt and an empty points3D.txt, in metres."""
    lenses, images = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"], ["# IMAGE_ID, QW, ..., CAMERA_ID, NAME"]
    for number, (name, camera) in enumerate(cameras.items(), start=1):
        values = _coefficients(camera)
        model = "OPENCV_FISHEYE" if camera.distortion == "fisheye" else "OPENCV" if len(values) == 4 else "FULL_OPENCV"
        R = camera.R_cam_from_world
        parts = [*camera.focal_px, *camera.centre_px, *values]
        lenses.append(" ".join([str(number), model, str(camera.width_px), str(camera.height_px), *map(_text, parts)]))
        pose = [*Rotation.from_matrix(R).as_quat(scalar_first=True), *(-R @ camera.centre_world_m)]
        images += [" ".join([str(number), *map(_text, pose), str(number), f"{name}.jpg"]), ""]
    contents = {"cameras.txt": lenses, "images.txt": images, "points3D.txt": ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR"]}
    for name, lines in contents.items():
        with atomic_write(folder / name) as partial:
            partial.write_text("\n".join(lines) + "\n")
    return [folder / "cameras.txt", folder / "images.txt"]


def _text(value: float) -> str:
    return repr(float(value))


def write_nerfstudio(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write transforms.json, in metres, with every camera's own lens beside its pose.

    Raises:
        ValueError: a lens whose distortion also divides, which the format does not have.
    """
    frames = []
    for name, camera in cameras.items():
        if len(camera.k) > 3 and camera.distortion != "fisheye":
            raise ValueError(f"camera {name} has a lens that nerfstudio's file cannot describe; use another format")
        order = ("k1", "k2", "k3", "k4") if camera.distortion == "fisheye" else ("k1", "k2", "p1", "p2", "k3")
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = camera.R_cam_from_world.T @ OPENCV_FROM_OPENGL, camera.centre_world_m
        frames.append({
            "file_path": f"images/{name}.jpg", "w": camera.width_px, "h": camera.height_px,
            "fl_x": float(camera.focal_px[0]), "fl_y": float(camera.focal_px[1]),
            "cx": float(camera.centre_px[0]), "cy": float(camera.centre_px[1]),
            "camera_model": "OPENCV_FISHEYE" if camera.distortion == "fisheye" else "OPENCV",
            **dict(zip(order, map(float, coefficients(camera)), strict=True)), "transform_matrix": pose.tolist(),
        })  # fmt: skip
    path = folder / "transforms.json"
    with atomic_write(path) as partial:
        partial.write_text(json.dumps({"frames": frames}, indent=1) + "\n")
    return [path]
