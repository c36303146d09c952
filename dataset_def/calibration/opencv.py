"""Reads and writes cameras as OpenCV's FileStorage keeps them: YAML or JSON, matrices or plain lists.

A camera has K, R and T, perhaps distortion and size, under any of the keys in `ACCEPTED_KEYS`; x_cam = R x_world + T,
where R is a matrix or a rotation vector, as solvePnP and stereoCalibrate give them.  Cameras lie in a file in one of
these ways: `cameras:` with a list of maps that have a `name`, or a map by name, at any depth; a map per camera; keys
with the name behind them (K_left, dist_left, ...); one file per camera, named as the camera; or M1, D1, M2, D2, R, T of
OpenCV's stereo sample (cameras 1 and 2, in one or two files).  CMU Panoptic's files are of the first kind, in cm.
`unit: m`, `cm` or `mm` tells the unit of T; OpenCV itself knows none.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dataset_def.calibration.camera_values import (
    ACCEPTED_KEYS,
    METRES,
    PIXEL_CENTRE_PX,
    Calibration,
    StoredCamera,
    Tree,
    Unit,
    by_ending,
    camera_of,
    cameras_below,
    coefficients,
    keys_of,
    read_tree,
    speaks_of_lens,
    yaml_matrix,
)
from utils.artifacts import atomic_write
from utils.camera import Camera

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
            cameras[name] = camera_of(f"{path}, camera {name}", values)
    units = {_unit(str(path), tree) for path, tree in trees.items()}
    if len(units) > 1:
        raise ValueError(f"{where} are in different units ({', '.join(sorted(units))}); use one")
    return Calibration(where, cameras, units.pop())


def _unit(where: str, tree: Tree) -> Unit:
    """Read the unit, if there is one."""
    found = next((tree[key] for key in ("unit", "units", "length_unit") if key in tree), "")
    if not found and "calibDataSource" in tree:
        return "cm"  # CMU Panoptic's files, which say it in their documentation only
    if found and str(found).lower() not in LENGTH_UNITS:
        raise ValueError(f"{where}: unit is {found!r}; use {', '.join(METRES)}")
    return LENGTH_UNITS[str(found).lower()] if found else ""


def _camera_trees(path: Path, tree: Tree) -> dict[str, Tree]:
    """Find the map of every camera of a file."""
    listed = tree.get("cameras", tree)
    if isinstance(listed, list):
        maps = [part for part in listed if isinstance(part, dict)]
        shared = {key: value for key, value in tree.items() if speaks_of_lens(key)}
        found = {str(part.get("name", number + 1)): shared | part for number, part in enumerate(maps)}
        if len(found) < len(listed):
            raise ValueError(f"{path}: `cameras` lists {len(listed)} entries with {len(found)} names; every camera "
                             "needs a name of its own")  # fmt: skip
    elif keys_of(listed, "K"):
        found = {str(tree.get("name", path.stem)): tree}
    else:
        below = list(cameras_below(tree))
        found = dict(below)
        if len(found) < len(below):
            raise ValueError(f"{path} has two cameras with the same name; give every camera its own")
        found = found or by_ending(listed if isinstance(listed, dict) else tree)
    if not found:
        raise ValueError(f"{path} has no camera: none of {', '.join(ACCEPTED_KEYS['K'])} is there")
    return found


def _stereo(where: str, tree: Tree) -> dict[str, StoredCamera]:
    """Read a pair whose world is the first camera's frame."""
    second = {key: tree[key] for key in ("R", "T")}
    first = {"R": np.eye(3), "T": np.zeros(3)}
    pairs = ((1, first), (2, second))
    rest = {key: tree[key] for side in ("width", "height", "size") for key in keys_of(tree, side)}
    rest |= {key: value for key, value in tree.items() if speaks_of_lens(key)}
    return {str(number): camera_of(f"{where}, camera {number}", rest | pose | {"K": tree[f"M{number}"],
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
        lines += ["     distortion_model: fisheye"] if camera.distortion == "fisheye" else []
        lines += [yaml_matrix(key, value, "     ") for key, value in _values(camera).items()]
    return "\n".join(lines) + "\n"


def _as_json(cameras: Mapping[str, Camera]) -> str:
    """Lay cameras out as JSON with plain lists."""
    listed = [
        {"name": name, "image_width": camera.width_px, "image_height": camera.height_px}
        | ({"distortion_model": "fisheye"} if camera.distortion == "fisheye" else {})
        | {key: value.tolist() for key, value in _values(camera).items()}
        for name, camera in cameras.items()
    ]
    return json.dumps({"unit": "m", "cameras": listed}, indent=1) + "\n"


def write_panoptic(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write calibration.json as CMU Panoptic's, in centimetres.

    Raises:
        ValueError: a fisheye, or a lens with more than five coefficients, which the format does not have.
    """
    listed = []
    for node, (name, camera) in enumerate(cameras.items()):
        values = _values(camera)
        if camera.distortion == "fisheye" or values["dist"].size > PANOPTIC_COEFFICIENTS:
            raise ValueError(f"camera {name} has a lens that CMU Panoptic's file cannot describe; use another format")
        listed.append({"name": name, "type": "hd", "resolution": [camera.width_px, camera.height_px], "panel": 0,
                       "node": node, "K": values["K"].tolist(), "distCoef": values["dist"].ravel().tolist(),
                       "R": values["R"].tolist(), "t": (values["T"] / METRES["cm"]).tolist()})  # fmt: skip
    path = folder / "calibration.json"
    with atomic_write(path) as partial:
        partial.write_text(json.dumps({"calibDataSource": "pose-from-views", "cameras": listed}, indent=1) + "\n")
    return [path]


PANOPTIC_COEFFICIENTS = 5
