"""One file of a Human3.6M-like data set at a time: where it lies and what it says.  Millimetres become metres here.

A data set may add two things to Human3.6M's `h36m_meta.mat`: lens distortion `k`, `p`, and a text `distortion` that
says whose formula they belong to (`h36m`, the default, or `opencv`).
"""

import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from config import Paths
from dataset_def.data_set_file import Z_UP, DataSetFacts
from dataset_def.frame_files import is_hidden
from utils.camera import Camera, project, to_camera
from utils.image import read_image, read_mask
from utils.mat_arrays import read_mat
from utils.skeleton import H36M, H36M_17, Skeleton

METRES_PER_MILLIMETRE = 1e-3
DAMAGED_RECORDINGS = frozenset({(11, 2, 2, 1)})
"""(subject, action, sub-action, camera) that is damaged in the original and skipped everywhere."""
FRAME_ENDINGS = ("jpg", "png", "jpeg", "JPG", "PNG", "JPEG")
FRAME_DIGITS = 6
DAMAGED = (
    ValueError,
    TypeError,
    LookupError,
    NameError,
    OSError,
    ArithmeticError,
    MemoryError,
    zlib.error,
)
"""What readers were seen to raise on files with missing or changed bytes."""
FOLDER = re.compile(r"s_(\d+)_act_(\d+)_subact_(\d+)_ca_(\d+)")


class FrameKey(NamedTuple):
    """One row of the index."""

    subject: int
    action: int
    subaction: int
    camera: int
    frame: int
    """Starts at 1."""

    @property
    def folder(self) -> str:
        """Name of the folder that the frame lies in."""
        return folder_name(self.subject, self.action, self.subaction, self.camera)

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return f"{self.folder}_{self.frame:06d}"


class Meta(NamedTuple):
    """What `h36m_meta.mat` says about one folder."""

    camera: Camera
    joints_world_m: Float[np.ndarray, "N J 3"]
    """Row n belongs to frame n + 1; NaN where there are no labels."""


def folder_name(subject: int, action: int, subaction: int, camera: int) -> str:
    """Name the folder of one subject, action, sub-action and camera."""
    return f"s_{subject:02d}_act_{action:02d}_subact_{subaction:02d}_ca_{camera:02d}"


def folder_key(name: str) -> tuple[int, int, int, int] | None:
    """Read subject, action, sub-action and camera off a folder's name; None if it is not such a folder."""
    match = FOLDER.fullmatch(name)
    if match is None:
        return None
    subject, action, subaction, camera = (int(part) for part in match.groups())
    return subject, action, subaction, camera


def find_folders(paths: Paths) -> list[tuple[int, int, int, int]]:
    """List the (subject, action, sub-action, camera) folders of a data set, in order, without the broken one."""
    if not paths.h36m_location.is_dir():
        raise FileNotFoundError(
            f"paths.h36m_location {paths.h36m_location} is not a folder; make the embedded data with "
            "python dataset_def/synthetic/make_h36m.py, or point it at your Human3.6M"
        )
    keys = [folder_key(path.name) for path in paths.h36m_location.iterdir()]
    found = sorted(key for key in keys if key is not None and key not in DAMAGED_RECORDINGS)
    if not found:
        raise FileNotFoundError(f"{paths.h36m_location} holds no folder like s_01_act_02_subact_01_ca_01")
    return found


def meta_path(paths: Paths, key: tuple[int, int, int, int]) -> Path:
    """Say where the calibration and the joints of a folder lie."""
    return paths.h36m_location / folder_name(*key) / "h36m_meta.mat"


def image_path(paths: Paths, key: FrameKey) -> Path:
    """Say where a frame lies: the .jpg or .png that exists, the .jpg if none does."""
    folder = paths.h36m_location / key.folder
    candidates = [folder / f"{key.stem}.{ending}" for ending in FRAME_ENDINGS]
    return next((path for path in candidates if path.exists()), candidates[0])


def mask_path(paths: Paths, key: FrameKey) -> Path:
    """Say where the mask of a frame lies: the .png, or the .PNG if there is only that."""
    path, capital = (paths.masks_location / key.folder / f"{key.stem}.{ending}" for ending in ("png", "PNG"))
    return capital if not path.exists() and capital.exists() else path


def background_path(paths: Paths, subject: int, camera: int) -> Path:
    """Say where the median image of a subject and camera lies."""
    return paths.backgrounds_location / f"s_{subject:02d}_ca_{camera:02d}.npy"


def has_masks(paths: Paths) -> bool:
    """Tell whether the data set comes with person masks."""
    return paths.masks_location.is_dir() and any(not is_hidden(path) for path in paths.masks_location.iterdir())


FROM_KEYPOINTS = "joints_from_keypoints"
"""An empty file in the folders whose joints were triangulated from 2D keypoints."""


def told_by_keypoints(paths: Paths, subjects: Collection[int]) -> list[int]:
    """List the subjects whose joints were triangulated from 2D keypoints (dataset_def/import_multiview.py)."""
    return [who for who in subjects if any(paths.h36m_location.glob(f"s_{who:02d}_*/{FROM_KEYPOINTS}"))]


def listed_frames(folder: Path) -> set[int]:
    """List the frame numbers whose images lie in a folder.

    Raises:
        ValueError: numbers are not written with six digits, which is how the images are found later.
    """
    pattern = re.compile(re.escape(folder.name) + r"_(\d+)\.(?:" + "|".join(FRAME_ENDINGS) + ")")
    matches = [match for path in folder.iterdir() if (match := pattern.fullmatch(path.name)) is not None]
    for match in matches:
        if match.group(1) != f"{int(match.group(1)):0{FRAME_DIGITS}d}":
            raise ValueError(
                f"{folder / match.group(0)} has a frame number of {len(match.group(1))} digits; rename the images to "
                f"{FRAME_DIGITS} digits, as {folder.name}_{int(match.group(1)):0{FRAME_DIGITS}d}"
            )
    return {int(match.group(1)) for match in matches}


def check_complete(path: Path, needed: list[int], there: set[int], num_rows: int = 0) -> None:
    """Stop if images of some frames are not there.

    Args:
        path: the folder's h36m_meta.mat.
        needed: numbers of the frames.
        there: numbers of the images.
        num_rows: frames that the file describes, if more than are needed.
    Raises:
        ValueError: naming the first.
    """
    missing = sorted(set(needed) - there)
    if missing:
        raise ValueError(
            f"{path} describes {num_rows or len(needed)} frames, but {len(missing)} of the {len(needed)} needed "
            f"images are missing (first: {path.parent.name}_{missing[0]:0{FRAME_DIGITS}d}.jpg); copy the missing frames"
        )


def _checked_size(path: Path, image: np.ndarray, camera: Camera) -> None:
    """Stop if an image is not of the size that its calibration belongs to."""
    if image.shape[:2] != (camera.height_px, camera.width_px):
        raise ValueError(
            f"{path} is {image.shape[1]} x {image.shape[0]} pixels, but its h36m_meta.mat describes "
            f"{camera.width_px} x {camera.height_px}; resize the images, or scale f, c, img_width and img_height"
        )


def load_image(paths: Paths, key: FrameKey, camera: Camera) -> UInt8[np.ndarray, "H W 3"]:
    """Read one RGB frame and check its size against the calibration."""
    path = image_path(paths, key)
    image = read_image(path)
    _checked_size(path, image, camera)
    return image


def load_mask(paths: Paths, key: FrameKey, camera: Camera) -> UInt8[np.ndarray, "H W"]:
    """Read one person mask and check its size against the calibration."""
    path = mask_path(paths, key)
    mask = read_mask(path)
    _checked_size(path, mask, camera)
    return mask


def load_meta(path: Path, facts: DataSetFacts | None = None) -> Meta:
    """Read camera and joints of one folder, in a world with z up.

    Args:
        facts: what the data set tells of itself; without them, Human3.6M's joints and z up.
    Raises:
        FileNotFoundError, ValueError: missing, unreadable, of another format, or with impossible content.
    """
    content = _read_mat(path)
    joints_mm = _field(path, content, "pose3d_world").astype(np.float64)
    known = facts or DataSetFacts()
    count = len(known.skeleton.names)
    if not known.skeleton.is_h36m and joints_mm.ndim == 3 and np.isnan(joints_mm).all():  # nobody has labels
        joints_mm = np.full((len(joints_mm), count, 3), np.nan)
    if joints_mm.ndim != 3 or joints_mm.shape[1:] != (count, 3):
        own = "" if known.skeleton.is_h36m else f", the {count} joints that data_set.json names"
        raise ValueError(f"{path}: pose3d_world is {joints_mm.shape}, expected (frames, {count}, 3){own}")
    meta = Meta(_camera(path, content), joints_mm * METRES_PER_MILLIMETRE)
    check_conventions(path, meta, known.skeleton)
    return meta if known.up_world == Z_UP else turned_up(meta, known)


def turned_up(meta: Meta, facts: DataSetFacts) -> Meta:
    """Turn the world so that z is up."""
    R = facts.R_index_from_world()
    camera = meta.camera._replace(
        R_cam_from_world=meta.camera.R_cam_from_world @ R.T, centre_world_m=R @ meta.camera.centre_world_m
    )
    return Meta(camera, meta.joints_world_m @ R.T)


METRES_EXTENT_M, CENTIMETRES_EXTENT_M = 0.01, 0.25
"""A person who seems smaller than this was written in metres, or in centimetres, instead of millimetres."""
FARTHEST_CAMERA_M = 200.0
SELDOM, MOSTLY = 0.2, 0.8
"""Shares of the joints inside the picture: as the file is read, and as it would be read by another convention."""
MOST_FRAMES_LOOKED_AT = 50


def _share_inside(camera: Camera, points_m: Float[np.ndarray, "n 3"]) -> float:
    """Tell how many points lie before the camera and inside its picture."""
    points_cam_m = to_camera(camera, points_m)
    points_cam_m = points_cam_m[points_cam_m[:, 2] > 0]
    pixels = project(camera._replace(k=np.zeros(3), p=np.zeros(2)), points_cam_m)
    inside = (pixels >= 0).all(axis=1) & (pixels <= [camera.width_px, camera.height_px]).all(axis=1)
    return float(inside.sum() / len(points_m))


UPRIGHT_BONUS = 0.5
"""Of two conventions by which the person is in the picture, the one by which he stands upright is meant."""


def _is_upright(camera: Camera, joints_m: Float[np.ndarray, "n J 3"], skeleton: Skeleton) -> float:
    """Reward a camera that shows heads above feet; of other bodies than people nobody knows."""
    if not skeleton.is_h36m:
        return UPRIGHT_BONUS
    head, feet = (to_camera(camera, joints_m[:, H36M_17.index(name)])[:, 1] for name in ("head_top", "left_ankle"))
    return UPRIGHT_BONUS * float((head < feet).mean() > 0.5)


def check_conventions(path: Path, meta: Meta, skeleton: Skeleton = H36M) -> None:
    """Stop if lengths are in another unit, or R and T in another convention, than h36m_meta.mat has.

    Raises:
        ValueError: with what the file seems to hold instead.
    """
    known = meta.joints_world_m[np.isfinite(meta.joints_world_m).all(axis=(1, 2))]
    if not len(known):
        return
    known = known[np.unique(np.linspace(0, len(known) - 1, MOST_FRAMES_LOOKED_AT).astype(int))]
    extent_m = float(np.median(np.ptp(known, axis=1).max(axis=-1)))
    centre_m, R = meta.camera.centre_world_m, meta.camera.R_cam_from_world
    distance_m = float(np.median(np.linalg.norm(known.mean(axis=1) - centre_m, axis=-1)))
    if skeleton.is_h36m and 0 < extent_m < CENTIMETRES_EXTENT_M:  # other bodies may be of any size
        unit, times = ("metres", 1000) if extent_m < METRES_EXTENT_M else ("centimetres", 10)
        raise ValueError(f"{path}: the person of pose3d_world is {extent_m / METRES_PER_MILLIMETRE:.3g} mm large, and "
                         f"{distance_m / METRES_PER_MILLIMETRE:.3g} mm from the camera: the lengths seem to be {unit}; "
                         f"write pose3d_world and T in millimetres, {times} times as much")  # fmt: skip
    points_m = known.reshape(-1, 3)
    if _share_inside(meta.camera, points_m) > SELDOM:
        return
    others = {
        "T seems to be the translation -R C; it must be the camera's centre C = -R^T T":
            meta.camera._replace(centre_world_m=-R.T @ centre_m),
        "R seems to be transposed; it must take the world's axes to the camera's":
            meta.camera._replace(R_cam_from_world=R.T),
        "R seems to be transposed, and T to be a translation; x_cam = R (x_world - T)":
            meta.camera._replace(R_cam_from_world=R.T, centre_world_m=-R @ centre_m),
        "T seems to be in metres; it must be in millimetres":
            meta.camera._replace(centre_world_m=centre_m / METRES_PER_MILLIMETRE),
        "pose3d_world seems to be in the camera's own frame; it must be in the world's":
            meta.camera._replace(R_cam_from_world=np.eye(3), centre_world_m=np.zeros(3)),
    }  # fmt: skip
    middle_m = known.mean(axis=(0, 1))
    shares = {words: _share_inside(camera, points_m) + _is_upright(camera, known, skeleton)
              for words, camera in others.items()
              if np.linalg.norm(camera.centre_world_m - middle_m) < FARTHEST_CAMERA_M}  # fmt: skip
    best = max(shares, key=lambda words: shares[words], default="")
    if best and shares[best] >= MOSTLY + UPRIGHT_BONUS:
        raise ValueError(f"{path}: as R and T stand, the camera sees {_share_inside(meta.camera, points_m):.0%} of the "
                         f"joints; {best}")  # fmt: skip


def load_camera(path: Path) -> Camera:
    """Read the camera of one folder alone.

    Raises:
        FileNotFoundError, ValueError: missing, unreadable, of another format, or with impossible content.
    """
    return _camera(path, _read_mat(path))


def _read_mat(path: Path) -> dict[str, Any]:
    """Read a MATLAB file of version 5 or 7."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; every folder of frames needs one")
    try:
        return read_mat(path)
    except NotImplementedError:
        raise ValueError(f"{path} is a MATLAB 7.3 file; save it again with save(..., '-v7')") from None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); copy it again") from error


def _field(path: Path, content: dict[str, Any], name: str) -> np.ndarray:
    """Take one field of numbers from a MATLAB file, or say that it is not there."""
    if name not in content:
        found = ", ".join(sorted(key for key in content if not key.startswith("_")))
        raise ValueError(f"{path} has no field {name} (it has: {found}); see dataset_def/README.md for what "
                         "h36m_meta.mat holds")  # fmt: skip
    if content[name].dtype.kind not in "fiub":
        raise ValueError(f"{path}: {name} holds {content[name].dtype} instead of numbers")
    return content[name]


def _numbers(path: Path, content: dict[str, Any], name: str, count: int) -> Float[np.ndarray, "n"]:
    """Take a field of so many finite numbers."""
    values = _field(path, content, name).astype(np.float64).ravel()
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{path}: {name} holds {values.tolist()}, expected {count} finite numbers")
    return values


def _one_number(path: Path, content: dict[str, Any], name: str) -> int:
    """Take a field that repeats one number for every frame."""
    values = np.unique(_field(path, content, name))
    if len(values) != 1:
        raise ValueError(f"{path}: {name} changes within the folder ({values.tolist()}); split the folder")
    if not np.isfinite(values[0]):
        raise ValueError(f"{path}: {name} is {values[0]}; it must be a whole number of pixels")
    return int(values[0])


def _camera(path: Path, content: dict[str, Any]) -> Camera:
    """Make the camera of one folder; T is the camera's centre, not a translation."""
    R = _numbers(path, content, "R", 9).reshape(3, 3)
    if np.abs(R).max() > 1.001 or np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise ValueError(f"{path}: R is not a rotation matrix")
    distortion = str(np.asarray(content.get("distortion", "h36m")).ravel()[0]).strip()
    if distortion not in ("h36m", "opencv"):
        raise ValueError(f"{path}: distortion is {distortion!r}, expected 'h36m' or 'opencv'")
    return Camera(
        R_cam_from_world=R,
        centre_world_m=_numbers(path, content, "T", 3) * METRES_PER_MILLIMETRE,
        focal_px=_numbers(path, content, "f", 2),
        centre_px=_numbers(path, content, "c", 2),
        width_px=_one_number(path, content, "img_width"),
        height_px=_one_number(path, content, "img_height"),
        k=_numbers(path, content, "k", 3) if "k" in content else np.zeros(3),
        p=_numbers(path, content, "p", 2) if "p" in content else np.zeros(2),
        distortion=distortion,  # type: ignore[arg-type]  # one of the two, as checked above
    )
