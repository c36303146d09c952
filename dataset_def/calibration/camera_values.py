"""Cameras as calibration files describe them, and what turns them into cameras of ours: names, unit, sizes, up.

Here, too, is what the formats share: the map of one camera under the keys that programs use, the one reader of
distortion and lens models, text in any encoding, values of YAML and JSON, rotations in either form.
"""

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import yaml
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
    distortion: Literal["h36m", "opencv", "fisheye"] = "opencv"


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
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{what} is {value!r} instead of a number") from error
    if not np.isfinite(found):
        raise ValueError(f"{what} is {found}")
    return found


def numbers(value: object, what: str, *shapes: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Read finite numbers of one of some shapes; a row or a column counts as a list."""
    try:
        found = np.array(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
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


class Lens(NamedTuple):
    """How a lens bends straight lines."""

    k: Float[np.ndarray, "k"]
    p: Float[np.ndarray, "2"]
    model: Literal["opencv", "fisheye"]


def lens_of(values: Float[np.ndarray, "n"], is_fisheye: bool, where: str) -> Lens:
    """Split OpenCV's distortion coefficients: k1, k2, p1, p2[, k3[, k4, k5, k6[, ...]]], or k1 .. k4 of its fisheye.

    Raises:
        ValueError: another number of coefficients, or a thin prism or tilted sensor, which are not undone here.
    """
    if is_fisheye:
        if len(values) < 4 or np.any(values[4:]):
            raise ValueError(f"{where}: a fisheye lens with {len(values)} distortion coefficients; OpenCV's has 4")
        return Lens(values[:4], np.zeros(2), "fisheye")
    if len(values) not in (4, 5, 8, 12, 14):
        raise ValueError(f"{where}: {len(values)} distortion coefficients; OpenCV has 4, 5, 8, 12 or 14")
    if np.any(values[8:]):
        raise ValueError(f"{where}: thin prisms and tilted sensors (distortion coefficients beyond the 8th) are not "
                         "undone here; calibrate without them, or undistort the videos first")  # fmt: skip
    filled = np.concatenate([values[:8], np.zeros(max(0, 8 - len(values)))])
    k = filled[[0, 1, 4, 5, 6, 7]]
    return Lens(k if np.any(k[3:]) else k[:3], filled[2:4], "opencv")


DISTORTION_KEYS = frozenset((
    "d", "dist", "dists", "distortion", "distortions", "distcoef", "distcoefs", "distcoeff", "distcoeffs",
    "distcoefficients", "distortioncoef", "distortioncoefs", "distortioncoeff", "distortioncoeffs",
    "distortioncoefficient", "distortioncoefficients", "distortionparams", "distortionparameters", "distortionvector",
    "lensdistortion",
))  # fmt: skip
"""Keys of distortion coefficients, without case and separators."""
LENS_MODEL_KEYS = frozenset(("distortionmodel", "distortiontype", "lensmodel", "lenstype", "projection",
                             "projectionmodel", "projectiontype"))  # fmt: skip
"""Keys whose value must be a lens model that is known."""
CAMERA_MODEL_KEYS = frozenset(("model", "cameramodel", "cameratype"))
"""Keys whose value may also be the name of a product."""
FISHEYE_KEYS = frozenset(("fisheye", "isfisheye", "usefisheye"))
COEFFICIENT_NAMES = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
PINHOLE_MODELS = frozenset((
    "", "none", "pinhole", "perspective", "rectilinear", "standard", "opencv", "fullopencv", "plumbbob", "radtan",
    "rationalpolynomial", "rational", "brown", "brownconrady", "simplepinhole", "pinholeradtan", "linear",
))  # fmt: skip
FISHEYE_MODELS = frozenset((
    "fisheye", "opencvfisheye", "equidistant", "kannalabrandt", "kannalabrandt4", "kb", "kb4", "pinholeequi", "equi",
))  # fmt: skip
OTHER_MODELS = frozenset((
    "omni", "omnidir", "omnidirectional", "mei", "ucm", "eucm", "unified", "ds", "doublesphere", "fov", "division",
    "scaramuzza", "ocam", "thinprismfisheye", "simpleradial", "radial", "simpleradialfisheye", "radialfisheye",
    "inversebrownconrady", "modifiedbrownconrady", "ftheta", "equisolid", "stereographic", "orthographic",
    "equirectangular", "spherical",
))  # fmt: skip
SPEAKS_OF_LENS = re.compile(r"dist(?!ance)|fish|lens|radial|tangent|kappa|projection|^[kp][1-9]$|prism")
"""Keys (plain) that say something about how the lens bends."""
ONE_COEFFICIENT = re.compile(r"[kp][1-9]")
LISTED_IN = ("coefficients", "coeffs", "coefs", "params", "parameters", "values", "data", "coef")


def speaks_of_lens(key: str) -> bool:
    """Tell whether a key says how a lens bends."""
    plain = plain_name(key)
    return bool(SPEAKS_OF_LENS.search(plain)) or plain in DISTORTION_KEYS | CAMERA_MODEL_KEYS


def holds_distortion(key: str) -> bool:
    """Tell whether a key holds coefficients of distortion, all of them or one."""
    plain = plain_name(key)
    return plain in DISTORTION_KEYS or bool(ONE_COEFFICIENT.fullmatch(plain))


def is_true(value: object, what: str) -> bool:
    """Read yes or no as the formats write it."""
    text = str(value).strip().lower()
    if text in ("true", "1", "1.0", "yes", "on"):
        return True
    if text in ("false", "0", "0.0", "no", "off", "", "none", "null"):
        return False
    raise ValueError(f"{what} is {value!r}; use true or false")


def _is_fisheye(where: str, table: Mapping[str, object]) -> bool:
    """Read which model the lens has, from whatever keys speak of it.

    Raises:
        ValueError: a model that is not known, or two that contradict each other.
    """
    said: dict[str, bool] = {}
    for key, value in table.items():
        plain = plain_name(key)
        if plain in FISHEYE_KEYS:
            said[key] = is_true(value, f"{where}: {key}")
        elif plain in LENS_MODEL_KEYS | CAMERA_MODEL_KEYS:
            model = plain_name(str(value)) if value is not None else ""
            if model in PINHOLE_MODELS | FISHEYE_MODELS:
                said[key] = model in FISHEYE_MODELS
            elif plain in LENS_MODEL_KEYS or model in OTHER_MODELS:
                raise ValueError(f"{where}: {key} is {value!r}, a lens model that is not undone here (OpenCV's and its "
                                 "fisheye are); undistort the videos first")  # fmt: skip
    if len(set(said.values())) > 1:
        raise ValueError(f"{where}: {' and '.join(said)} contradict each other about the lens; leave one away")
    return any(said.values())


def _named_coefficients(where: str, table: Mapping[str, object], is_fisheye: bool) -> list[float]:
    """Read k1, k2, ... that stand by name."""
    models = LENS_MODEL_KEYS | CAMERA_MODEL_KEYS | FISHEYE_KEYS
    found = {plain_name(key): finite_number(value, f"{where}: {key}")
             for key, value in table.items() if plain_name(key) not in models}  # fmt: skip
    order = ("k1", "k2", "k3", "k4") if is_fisheye else COEFFICIENT_NAMES
    unknown = sorted(name for name in found if name not in order and found[name])
    if unknown:
        raise ValueError(f"{where}: the distortion coefficients {', '.join(unknown)} are not undone here; undistort "
                         "the videos first")  # fmt: skip
    return [found.get(name, 0.0) for name in order]


def _coefficient_list(where: str, value: object, is_fisheye: bool) -> Float[np.ndarray, "n"]:
    """Read coefficients however they are listed: flat, nested, in a matrix, or by name."""
    if value is None:
        return np.zeros(4)
    if isinstance(value, dict):
        inner = [key for key in value if plain_name(key) in LISTED_IN]
        if inner:
            return _coefficient_list(where, value[inner[0]], is_fisheye)
        return np.array(_named_coefficients(where, value, is_fisheye))
    sizes = ((4,), (5,), (8,), (12,), (14,))
    return numbers(value, where, *sizes)


def read_lens(where: str, table: Mapping[str, Any]) -> Lens:
    """Read the distortion and the lens model of one camera from a map of any format.

    Raises:
        ValueError: a key that speaks of the lens and is not understood, or values that are impossible.
    """
    given = [key for key in table if plain_name(key) in DISTORTION_KEYS]
    inner = {key: value for name in given if isinstance(table[name], dict) for key, value in table[name].items()}
    is_fisheye = _is_fisheye(where, {**table, **{key: value for key, value in inner.items() if speaks_of_lens(key)}})
    single = [key for key in table if ONE_COEFFICIENT.fullmatch(plain_name(key))]
    known = {*given, *single}
    unknown = [
        key for key in table
        if speaks_of_lens(key) and key not in known
        and plain_name(key) not in LENS_MODEL_KEYS | CAMERA_MODEL_KEYS | FISHEYE_KEYS
    ]  # fmt: skip
    if unknown:
        raise ValueError(f"{where}: {', '.join(unknown)} seems to say how the lens bends, and is not understood; use "
                         "distortion_coefficients with OpenCV's k1, k2, p1, p2[, k3, ...]")  # fmt: skip
    if len(given) > 1 or (given and single):
        raise ValueError(f"{where}: {' and '.join([*given, *single])} are both there; leave one away")
    if given:
        values = _coefficient_list(f"{where}: {given[0]}", table[given[0]], is_fisheye)
    else:
        values = np.array(_named_coefficients(where, {key: table[key] for key in single}, is_fisheye))
    return lens_of(values, is_fisheye, where)


def coefficients(camera: Camera, least: int = 5) -> Float[np.ndarray, "n"]:
    """Join a camera's distortion to OpenCV's coefficients, at least so many.

    Raises:
        ValueError: its tangential distortion is in Human3.6M's form, which OpenCV's cannot express.
    """
    if camera.distortion == "fisheye":
        return np.array(camera.k)
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


CALLED_CAMERA = re.compile(r"(?:camera|cam|port|view|video|c|v)?0*(\d+)")


def camera_number(name: str) -> str:
    """Give the number in a name that says nothing else, such as cam_01 or port_1; empty for other names."""
    match = CALLED_CAMERA.fullmatch(plain_name(name))
    return match.group(1) if match else ""


def matching(required: Sequence[str], there: Mapping[str, object], what: str) -> list[str]:
    """Find the keys that belong to some camera names: the same, the same but for case and separators, or the number.

    Raises:
        ValueError: a camera that is not there, or whose name fits twice.
    """
    by_plain: dict[str, list[str]] = {}
    by_number: dict[str, list[str]] = {}
    for key in there:
        by_plain.setdefault(plain_name(key), []).append(key)
        by_number.setdefault(camera_number(key), []).append(key)
    found = [[name] if name in there else by_plain.get(plain_name(name), []) for name in required]
    found = [keys or (by_number.get(camera_number(name), []) if camera_number(name) else [])
             for name, keys in zip(required, found, strict=True)]  # fmt: skip
    missing = [name for name, keys in zip(required, found, strict=True) if not keys]
    if missing:
        raise ValueError(f"{what} has no camera {', '.join(missing)} (it has {', '.join(there) or 'none'}); complete "
                         "it, or name the clips as it does (of the import, --videos NAME=PATH ...)")  # fmt: skip
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
MATRIX_KEYS = {"rows", "cols", "data"}
"""What OpenCV and ROS write of a matrix."""
ACCEPTED_KEYS: dict[str, tuple[str, ...]] = {
    "K": ("K", "camera_matrix", "cameraMatrix", "intrinsic_matrix", "mtx", "matrix", "intrinsics", "intrinsic"),
    "R": ("R", "Rot", "rvec", "rotation", "rotation_matrix", "rotation_vector", "rotvec"),
    "T": ("T", "t", "tvec", "translation", "translation_vector"),
    "width": ("width", "image_width", "img_width", "W"),
    "height": ("height", "image_height", "img_height", "H"),
    "size": ("size", "image_size", "resolution"),
}
"""The accepted keys of every value, in any case and with any separators; those of distortion: DISTORTION_KEYS."""
PLAIN_KEYS = {what: frozenset(plain_name(key) for key in keys) for what, keys in ACCEPTED_KEYS.items()}


def keys_of(tree: object, value: str) -> list[str]:
    """List the keys under which a map has a value."""
    return [key for key in tree if plain_name(key) in PLAIN_KEYS[value]] if isinstance(tree, dict) else []


def taken(where: str, tree: Tree, value: str) -> object:
    """Take a value by any of its keys.

    Raises:
        ValueError: it is missing, or there twice.
    """
    found = keys_of(tree, value)
    if not found:
        raise ValueError(f"{where}: {value} is missing; it may be called {', '.join(ACCEPTED_KEYS[value])}")
    if len(found) > 1 and value != "R":
        raise ValueError(f"{where}: {' and '.join(found)} are both there; leave one away")
    return tree[found[0]]


def camera_of(where: str, tree: Tree) -> StoredCamera:
    """Read the map of one camera, of any format that keeps OpenCV's values."""
    focal_px, centre_px = lens(numbers(taken(where, tree, "K"), f"{where}: K", (3, 3), (9,)).reshape(3, 3), where)
    R = rotation_of(taken(where, tree, "R"), f"{where}: R")
    T = numbers(taken(where, tree, "T"), f"{where}: T", (3,))
    k, p, model = read_lens(where, tree)
    sizes = [finite_number(taken(where, tree, side), f"{where}: {side}")
             for side in ("width", "height") if keys_of(tree, side)]  # fmt: skip
    if len(sizes) != 2 and keys_of(tree, "size"):
        sizes = list(numbers(taken(where, tree, "size"), f"{where}: size", (2,)))
    size_px = (int(sizes[0]), int(sizes[1])) if len(sizes) == 2 else None
    return StoredCamera(R, -R.T @ T, focal_px, centre_px, size_px, k, p, model)


def cameras_below(tree: Tree, depth: int = 3) -> Iterator[tuple[str, Tree]]:
    """Find the maps of cameras at any depth, by the name above them; what maps above say of the lens holds for all."""
    shared = {key: value for key, value in tree.items() if speaks_of_lens(key) and not keys_of(value, "K")}
    for name, part in tree.items():
        if keys_of(part, "K"):
            yield str(part.get("name", name)), shared | part
        elif isinstance(part, dict) and depth > 0 and name not in shared:
            for inner, found in cameras_below(part, depth - 1):
                yield inner, shared | found


def by_ending(tree: Tree) -> dict[str, Tree]:
    """Sort keys with a camera's name behind them (K_left, dist_left, ...) into a map per camera."""
    names = []
    for key in tree:
        pieces = key.split("_")
        starts = ["_".join(pieces[:end]) for end in range(1, len(pieces))]
        names += [key[len(start) + 1 :] for start in starts if plain_name(start) in PLAIN_KEYS["K"]][:1]
    found: dict[str, Tree] = {name: {} for name in names if name}
    for key, value in tree.items():
        of = max((name for name in found if key.endswith(f"_{name}")), key=len, default=None)
        if of is not None:
            found[of][key[: -len(of) - 1]] = value
        elif speaks_of_lens(key):
            for camera in found.values():
                camera.setdefault(key, value)
    return found


def rotation_of(value: object, what: str) -> Float[np.ndarray, "3 3"]:
    """Read a rotation: a 3 x 3 matrix (or its nine numbers), or a rotation vector in radians as Rodrigues makes it."""
    found = numbers(value, what, (3, 3), (3,), (9,))
    return (
        Rotation.from_rotvec(found).as_matrix() if found.shape == (3,) else proper_rotation(found.reshape(3, 3), what)
    )


BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def text_of(path: Path) -> str:
    """Read a text file as other programs save it: UTF-8 or UTF-16, with or without a byte order mark."""
    content = path.read_bytes()
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    if content[:1] and content[1:2] == b"\0":
        return content.decode("utf-16-le", errors="replace")
    if content[:1] == b"\0":
        return content.decode("utf-16-be", errors="replace")
    return content.decode("utf-8", errors="replace")


def read_tree(path: Path) -> Tree:
    """Read a YAML or JSON file into dictionaries, lists, texts, numbers (YAML's as text), and arrays for matrices.

    Raises:
        ValueError: neither YAML nor JSON, or not by name.
    """
    text = text_of(path)
    is_json = path.suffix.lower() == ".json"
    try:
        tree = _plain(json.loads(text)) if is_json else _read_yaml(text)  # JSON is YAML, too
    except (ValueError, TypeError, KeyError, RecursionError, SystemError, cv2.error, yaml.YAMLError) as error:
        kind = "JSON" if is_json else "YAML"
        reason = " ".join(str(error).split())[-120:] if str(error).strip() else "empty or damaged"
        raise ValueError(f"{path} cannot be read as {kind} ({reason}); write the calibration again") from error
    if not isinstance(tree, dict) or not tree:
        raise ValueError(f"{path} does not hold values by name; see --help for the keys that are read")
    return tree


def _matrix(value: Mapping[str, Any]) -> Float[np.ndarray, "..."]:
    """Lay the numbers of a matrix out."""
    data = np.array(value["data"], dtype=float)
    rows, columns = int(value["rows"]), int(value["cols"])
    return data.reshape(rows, columns) if data.size == rows * columns else data.reshape(rows, columns, -1)


def _plain(value: object) -> Any:
    """Give names as text and matrices as arrays."""
    if isinstance(value, dict):
        if value.keys() >= MATRIX_KEYS:
            return _matrix(value)
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


FAST_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""In C where PyYAML was built with it: ten times as fast."""
DEEPEST, LONGEST_TEXT = 64, 1 << 24
"""Levels of brackets, and letters; a calibration has some 5 and some thousands."""


def refuse_nests(text: str) -> None:
    """Stop before text that would take the parsers, one of which has no limit of its own, as deep as it likes.

    Raises:
        ValueError: more levels or letters than any calibration has.
    """
    depth = deepest = 0
    for letter in re.findall(r"[\[\](){}]", text[:LONGEST_TEXT]):
        depth += 1 if letter in "[({" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST or len(text) > LONGEST_TEXT or re.search(rf"(?:[-?:]\s+){{{DEEPEST}}}", text):
        raise ValueError("nested too deeply, or too long")


def _read_yaml(text: str) -> Any:
    """Read YAML of any writer; numbers stay text, so that a camera 01 keeps its name.

    What PyYAML does not accept and OpenCV's own parser does is read by that.
    """
    refuse_nests(text)
    body = re.sub(r"\A\s*%YAML[^\n]*\n", "", text.replace("\r\n", "\n"))  # OpenCV's first line is no YAML
    try:
        return _plain(yaml.load(body, Loader=FAST_LOADER))
    except yaml.YAMLError:
        flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY | cv2.FILE_STORAGE_FORMAT_YAML
        storage = cv2.FileStorage(text, flags)
        try:
            if not storage.isOpened():
                raise
            return _node(storage.root())
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
