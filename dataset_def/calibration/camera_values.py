"""Cameras as calibration files describe them, and what turns them into cameras of ours: names, unit, sizes, up.

Here, too, is what the formats share: values of OpenCV's YAML and JSON, rotations in either form.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from utils.camera import Camera

Unit = Literal["", "m", "cm", "mm"]
METRES: dict[str, float] = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
Up = Literal["z", "-z", "y", "-y", "x", "-x"]
PIXEL_CENTRE_PX = 0.5
"""Calibration programs number pixels by their centres (a picture spans 0 .. width - 1); ours start at their edge."""


class StoredCamera(NamedTuple):
    """A camera as its file describes it, with our pixels; lengths are in the file's unit."""

    R_cam_from_world: Float[np.ndarray, "3 3"]
    centre_world: Float[np.ndarray, "3"]
    """The camera's position, in the file's unit."""
    focal_px: Float[np.ndarray, "2"]
    centre_px: Float[np.ndarray, "2"]
    size_px: tuple[int, int] | None = None
    """Width and height; None where the format does not tell."""
    k: Float[np.ndarray, "k"] = np.zeros(3)
    p: Float[np.ndarray, "2"] = np.zeros(2)
    distortion: Literal["h36m", "opencv"] = "opencv"


class Calibration(NamedTuple):
    """What the calibration files of a recording say."""

    where: str
    """The files, for messages."""
    cameras: dict[str, StoredCamera]
    unit: Unit
    """Unit of the lengths, as the format or the file says; empty if neither does."""


def finite_number(value: object, what: str) -> float:
    """Read one finite number."""
    try:
        found = float(np.asarray(value, dtype=float))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is {value!r} instead of a number") from error
    if not np.isfinite(found):
        raise ValueError(f"{what} is {found}")
    return found


def numbers(value: object, what: str, *shapes: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Read finite numbers of one of some shapes; a row or a column counts as a list."""
    try:
        found = np.array(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is {value!r} instead of numbers") from error
    for shape in shapes:
        if found.shape == shape or (len(shape) == 1 and found.size == shape[0] == max(found.shape, default=1)):
            if not np.isfinite(found).all():
                raise ValueError(f"{what} holds {found.tolist()}; every number must be finite")
            return found.reshape(shape)
    required = " or ".join(" x ".join(map(str, shape)) for shape in shapes)
    raise ValueError(f"{what} holds {'x'.join(map(str, found.shape)) or 'one'} numbers, expected {required}")


def proper_rotation(rotation: Float[np.ndarray, "3 3"], where: str) -> Float[np.ndarray, "3 3"]:
    """Accept a rotation matrix up to the rounding of a text file, and make it exact.

    Raises:
        ValueError: the matrix mirrors, scales or shears.
    """
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > 1e-3 or np.linalg.det(rotation) < 0:
        raise ValueError(
            f"{where}: its matrix is no rotation (R R^T is {error:.2g} away from 1, "
            f"determinant {np.linalg.det(rotation):.3f}); rows and columns may be swapped or a sign lost"
        )
    U, _, Vt = np.linalg.svd(rotation)
    return U @ Vt


def lens(K: Float[np.ndarray, "3 3"], where: str) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Take focal lengths and principal point, in our pixels, from an intrinsic matrix.

    Raises:
        ValueError: the matrix is none, or its pixels are skewed.
    """
    focal_px, centre_px = K[[0, 1], [0, 1]], K[:2, 2]
    is_matrix = np.allclose(K[2], [0, 0, 1]) and K[1, 0] == 0 and (focal_px > 0).all()
    if not is_matrix or abs(K[0, 1]) > 1e-3 * focal_px[0]:
        raise ValueError(f"{where}: K is {K.tolist()}, expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels")
    return focal_px, centre_px + PIXEL_CENTRE_PX


def distortion(values: Float[np.ndarray, "n"], where: str) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "2"]]:
    """Split OpenCV's distortion coefficients (k1, k2, p1, p2[, k3[, k4, k5, k6[, ...]]]) into radial and tangential.

    Raises:
        ValueError: another number of coefficients, or a thin prism or tilted sensor, which are not undone here.
    """
    if len(values) not in (4, 5, 8, 12, 14):
        raise ValueError(f"{where}: {len(values)} distortion coefficients; OpenCV has 4, 5, 8, 12 or 14")
    if np.any(values[8:]):
        raise ValueError(f"{where}: thin prisms and tilted sensors (distortion coefficients beyond the 8th) are not "
                         "undone here; calibrate without them, or undistort the videos first")  # fmt: skip
    filled = np.concatenate([values[:8], np.zeros(max(0, 8 - len(values)))])
    k = filled[[0, 1, 4, 5, 6, 7]]
    return (k if np.any(k[3:]) else k[:3]), filled[2:4]


def coefficients(camera: Camera, least: int = 5) -> Float[np.ndarray, "n"]:
    """Join a camera's distortion to OpenCV's coefficients, at least so many.

    Raises:
        ValueError: its tangential distortion is in Human3.6M's form, which OpenCV's cannot express.
    """
    if camera.distortion == "h36m" and np.any(camera.p):
        raise ValueError(
            "a camera has Human3.6M's tangential distortion, which OpenCV's formula cannot express; write the "
            "h36m format, or undistort the pictures first"
        )
    values = [*camera.k[:2], *camera.p, *camera.k[2:]]
    return np.array(values[:4] if least == 4 and not np.any(values[4:]) else values)


def plain_name(name: str) -> str:
    """Reduce a camera's name to what programs agree on: lower case, without separators."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def matching(required: Sequence[str], there: Mapping[str, object], what: str) -> list[str]:
    """Find the keys that belong to some camera names: the same, or the same but for case and separators.

    Raises:
        ValueError: a camera that is not there, or whose name fits twice.
    """
    by_plain: dict[str, list[str]] = {}
    for key in there:
        by_plain.setdefault(plain_name(key), []).append(key)
    found = [[name] if name in there else by_plain.get(plain_name(name), []) for name in required]
    missing = [name for name, keys in zip(required, found, strict=True) if not keys]
    if missing:
        raise ValueError(f"{what} has no camera {', '.join(missing)} (it has {', '.join(there) or 'none'}); complete "
                         "it, or name the videos as it does (--videos NAME=PATH ...)")  # fmt: skip
    twice = [name for name, keys in zip(required, found, strict=True) if len(keys) > 1]
    if twice:
        raise ValueError(f"{what} has several cameras that could be {', '.join(twice)}; rename them")
    return [keys[0] for keys in found]


def up_rotation(up: Up) -> Float[np.ndarray, "3 3"]:
    """Give the rotation of the world that makes an axis of it the z axis, R_ours_from_file."""
    axis = np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    if up == "z":
        return np.eye(3)
    across = np.eye(3)[("xyz".index(up[-1]) + 1) % 3]
    return np.stack([across, np.cross(axis, across), axis])


def our_camera(stored: StoredCamera, unit: Unit, size_px: tuple[int, int], up: Up = "z") -> Camera:
    """Turn a camera of a file into one of ours: metres, z up.

    Args:
        size_px: of the video, for files that do not tell.
    """
    width_px, height_px = stored.size_px or size_px
    R_ours = up_rotation(up)
    return Camera(
        R_cam_from_world=stored.R_cam_from_world @ R_ours.T,
        centre_world_m=R_ours @ stored.centre_world * METRES[unit],
        focal_px=stored.focal_px,
        centre_px=stored.centre_px,
        width_px=width_px,
        height_px=height_px,
        k=stored.k,
        p=stored.p,
        distortion=stored.distortion,
    )


Tree = dict[str, Any]
MATRIX_KEYS = {"rows", "cols", "dt", "data"}
"""What OpenCV writes of a matrix."""


def rotation_of(value: object, what: str) -> Float[np.ndarray, "3 3"]:
    """Read a rotation: a 3 x 3 matrix, or a rotation vector in radians as OpenCV's Rodrigues makes it."""
    found = numbers(value, what, (3, 3), (3,))
    return proper_rotation(found, what) if found.ndim == 2 else Rotation.from_rotvec(found).as_matrix()


def read_tree(path: Path) -> Tree:
    """Read a YAML or JSON file into dictionaries, lists, texts, numbers, and arrays for OpenCV's matrices.

    Raises:
        ValueError: neither YAML nor JSON, or not by name.
    """
    text = path.read_text(errors="replace")
    is_json = path.suffix.lower() == ".json" or text.lstrip()[:1] == "{"
    try:
        tree = _plain(json.loads(text)) if is_json else _read_yaml(text)
    except (ValueError, TypeError, KeyError, RecursionError, SystemError, cv2.error) as error:
        kind = "JSON" if is_json else "YAML"
        reason = str(error).strip().splitlines()[-1][:120] if str(error).strip() else "empty or damaged"
        raise ValueError(f"{path} cannot be read as {kind} ({reason}); write the calibration again") from error
    if not isinstance(tree, dict) or not tree:
        raise ValueError(f"{path} does not hold values by name; see --help for the keys that are read")
    return tree


def _plain(value: object) -> Any:
    """Turn what json read into the same tree as a YAML file."""
    if isinstance(value, dict):
        if value.keys() >= MATRIX_KEYS:
            return np.array(value["data"], dtype=float).reshape(int(value["rows"]), int(value["cols"]))
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _read_yaml(text: str) -> Any:
    """Read YAML with OpenCV's own parser, which knows its matrices."""
    flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY | cv2.FILE_STORAGE_FORMAT_YAML
    storage = cv2.FileStorage(text, flags)
    try:
        return _node(storage.root()) if storage.isOpened() else {}
    finally:
        storage.release()


def _node(node: cv2.FileNode) -> Any:
    """Turn a node of OpenCV's storage into a plain value."""
    if node.isMap():
        keys = node.keys()
        if set(keys) >= MATRIX_KEYS:
            return np.asarray(node.mat(), dtype=float)
        return {key: _node(node.getNode(key)) for key in keys}
    if node.isSeq():
        return [_node(node.at(i)) for i in range(node.size())]
    if node.isInt() or node.isReal():
        return node.real()
    return node.string() if node.isString() else None


def yaml_matrix(name: str, value: Float[np.ndarray, "r c"], indent: str = "") -> str:
    """Write a matrix as OpenCV's FileStorage does."""
    data = ", ".join(repr(float(number)) for number in value.ravel())
    head = f"{indent}{name}: !!opencv-matrix"
    rows, columns = value.shape
    return "\n".join([head, *(f"{indent}   {line}" for line in
                              (f"rows: {rows}", f"cols: {columns}", "dt: d", f"data: [ {data} ]"))])  # fmt: skip
