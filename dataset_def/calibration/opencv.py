"""Reads and writes cameras as OpenCV's FileStorage keeps them: YAML or JSON, matrices or plain lists.

A camera has K, R and T, perhaps distortion and size, under any of the keys in `KEYS`; x_cam = R x_world + T, where R
is a matrix or a rotation vector, as solvePnP and stereoCalibrate give them.  Cameras lie in a file in one of these
ways: `cameras:` with a list of maps that have a `name`, or a map by name; a map per camera; keys with the name behind
them (K_left, dist_left, ...); one file per camera, named as the camera; or M1, D1, M2, D2, R, T of OpenCV's stereo
sample (cameras 1 and 2, in one or two files).  `unit: m`, `cm` or `mm` tells the unit of T; OpenCV itself knows none.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dataset_def.calibration.camera_values import (
    METRES,
    PIXEL_CENTRE_PX,
    Calibration,
    StoredCamera,
    Tree,
    Unit,
    coefficients,
    distortion,
    finite_number,
    lens,
    numbers,
    read_tree,
    rotation_of,
    yaml_matrix,
)
from utils.artifacts import atomic_write
from utils.camera import Camera

ACCEPTED_KEYS: dict[str, tuple[str, ...]] = {
    "K": ("K", "camera_matrix", "cameraMatrix", "intrinsic_matrix", "mtx"),
    "dist": ("dist", "distortion_coefficients", "distCoeffs", "dist_coeffs", "distortion", "D"),
    "R": ("R", "Rot", "rvec", "rotation", "rotation_matrix"),
    "T": ("T", "t", "tvec", "translation"),
    "width": ("width", "image_width", "W"),
    "height": ("height", "image_height", "H"),
}
"""The accepted keys of every value."""
LENGTH_UNITS: dict[str, Unit] = {
    "m": "m",
    "metre": "m",
    "meter": "m",
    "metres": "m",
    "meters": "m",
    "cm": "cm",
    "centimetres": "cm",
    "centimeters": "cm",
    "mm": "mm",
    "millimetres": "mm",
    "millimeters": "mm",
}
STEREO = ("M1", "M2", "R", "T")


def read_opencv(paths: Sequence[Path]) -> Calibration:
    """Read the cameras of one or several files, by name; lists that are one file's keys belong together."""
    trees = {path: read_tree(path) for path in paths}
    together = {key: value for tree in trees.values() for key, value in tree.items()}
    where = " and ".join(map(str, paths))
    if all(key in together for key in STEREO):
        return Calibration(where, _stereo(where, together), _unit(where, together))
    cameras: dict[str, StoredCamera] = {}
    for path, tree in trees.items():
        for name, values in _camera_trees(path, tree).items():
            if name in cameras:
                raise ValueError(f"{where}: camera {name} is there twice; give every camera its own name")
            cameras[name] = _camera(f"{path}, camera {name}", values)
    units = {_unit(str(path), tree) for path, tree in trees.items()}
    if len(units) > 1:
        raise ValueError(f"{where} are in different units ({', '.join(sorted(units))}); use one")
    return Calibration(where, cameras, units.pop())


def _unit(where: str, tree: Tree) -> Unit:
    """Read the unit, if there is one."""
    found = next((tree[key] for key in ("unit", "units", "length_unit") if key in tree), "")
    if found and str(found).lower() not in LENGTH_UNITS:
        raise ValueError(f"{where}: unit is {found!r}; use {', '.join(METRES)}")
    return LENGTH_UNITS[str(found).lower()] if found else ""


def _has(tree: object, value: str, ending: str = "") -> bool:
    """Tell whether a map has one of the keys of a value."""
    return isinstance(tree, dict) and any(key + ending in tree for key in ACCEPTED_KEYS[value])


def _camera_trees(path: Path, tree: Tree) -> dict[str, Tree]:
    """Find the map of every camera of a file."""
    listed = tree.get("cameras", tree)
    if isinstance(listed, list):
        maps = [part for part in listed if isinstance(part, dict)]
        found = {str(part.get("name", number + 1)): part for number, part in enumerate(maps)}
        if len(found) < len(listed):
            raise ValueError(f"{path}: `cameras` lists {len(listed)} entries with {len(found)} names; every camera "
                             "needs a name of its own")  # fmt: skip
    elif _has(listed, "K"):
        found = {str(tree.get("name", path.stem)): tree}
    else:
        found = {name: part for name, part in listed.items() if _has(part, "K")}
        endings = [key.removeprefix(k) for key in listed for k in ACCEPTED_KEYS["K"] if key.startswith(f"{k}_")]
        for ending in endings if not found else ():
            found[ending[1:]] = {
                key: listed[key + ending] for keys in ACCEPTED_KEYS.values() for key in keys if key + ending in listed
            }
    if not found:
        raise ValueError(f"{path} has no camera: none of {', '.join(ACCEPTED_KEYS['K'])} is there")
    return found


def _get(where: str, tree: Tree, value: str) -> object:
    """Take a value by any of its keys."""
    found = [key for key in ACCEPTED_KEYS[value] if key in tree]
    if not found:
        raise ValueError(f"{where}: {value} is missing; it may be called {', '.join(ACCEPTED_KEYS[value])}")
    if len(found) > 1 and value != "R":
        raise ValueError(f"{where}: {' and '.join(found)} are both there; leave one away")
    return tree[found[0]]


def _camera(where: str, tree: Tree) -> StoredCamera:
    """Read the map of one camera."""
    focal_px, centre_px = lens(numbers(_get(where, tree, "K"), f"{where}: K", (3, 3)), where)
    R = rotation_of(_get(where, tree, "R"), f"{where}: R")
    T = numbers(_get(where, tree, "T"), f"{where}: T", (3,))
    dist = _get(where, tree, "dist") if _has(tree, "dist") else np.zeros(5)
    k, p = distortion(numbers(dist, f"{where}: dist", (4,), (5,), (8,), (12,), (14,)), where)
    sizes = [
        finite_number(_get(where, tree, side), f"{where}: {side}") for side in ("width", "height") if _has(tree, side)
    ]
    size_px = (int(sizes[0]), int(sizes[1])) if len(sizes) == 2 else None
    return StoredCamera(R, -R.T @ T, focal_px, centre_px, size_px, k, p)


def _stereo(where: str, tree: Tree) -> dict[str, StoredCamera]:
    """Read a pair whose world is the first camera's frame."""
    second = {key: tree[key] for key in ("R", "T")}
    first = {"R": np.eye(3), "T": np.zeros(3)}
    pairs = ((1, first), (2, second))
    size = {key: tree[key] for key in (*ACCEPTED_KEYS["width"], *ACCEPTED_KEYS["height"]) if key in tree}
    return {str(number): _camera(f"{where}, camera {number}", size | pose | {"K": tree[f"M{number}"],
                                 "dist": tree.get(f"D{number}", np.zeros(5))}) for number, pose in pairs}  # fmt: skip


def _values(camera: Camera) -> dict[str, np.ndarray]:
    """Give a camera as OpenCV's matrices."""
    K, R = camera.K, camera.R_cam_from_world
    K[:2, 2] -= PIXEL_CENTRE_PX
    return {"K": K, "dist": coefficients(camera)[None], "R": R, "T": (-R @ camera.centre_world_m)[:, None]}


def write_opencv(folder: Path, cameras: Mapping[str, Camera], ending: str = "yml") -> list[Path]:
    """Write cameras.yml or cameras.json: a list of cameras, in metres."""
    path = folder / f"cameras.{ending}"
    with atomic_write(path) as partial:
        partial.write_text(_as_json(cameras) if ending == "json" else _as_yaml(cameras))
    return [path]


def _as_yaml(cameras: Mapping[str, Camera]) -> str:
    """Lay cameras out as OpenCV's FileStorage does."""
    lines = ["%YAML:1.0", "---", 'unit: "m"', "cameras:"]
    for name, camera in cameras.items():
        lines += [
            f'   - name: "{name}"',
            f"     image_width: {camera.width_px}",
            f"     image_height: {camera.height_px}",
        ]
        lines += [yaml_matrix(key, value, "     ") for key, value in _values(camera).items()]
    return "\n".join(lines) + "\n"


def _as_json(cameras: Mapping[str, Camera]) -> str:
    """Lay cameras out as JSON with plain lists."""
    listed = [
        {"name": name, "image_width": camera.width_px, "image_height": camera.height_px}
        | {key: value.tolist() for key, value in _values(camera).items()}
        for name, camera in cameras.items()
    ]
    return json.dumps({"unit": "m", "cameras": listed}, indent=1) + "\n"
