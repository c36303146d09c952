"""Reads labels.h5 and makes sure that its arrays mean what they are taken for.

One row per picture.  `subj`, `seq`, `cam`, `frame` name it; `extrinsic_rot` turns the world (z up) into the axes of the
crop's own virtual camera, and `extrinsic_rot_inv` back; `intrinsic_crop` is that camera's matrix in pixels of the crop
or in units of its side; `3D` are the 17 joints about the pelvis in the axes of the crop's camera, in metres or
millimetres, or scaled by `pose_mean` and `pose_std`.  What contradicts this is refused.  `bounding_box_cam` is unused.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dataset_def.h36m_files import METRES_PER_MILLIMETRE
from dataset_def.official.ground_truth import ANY_DAMAGE, package
from utils.skeleton import H36M_17, H36M_17_PARENTS

ROW_KEYS = ("subj", "seq", "cam", "frame")
THIGH_M = (0.3, 0.6)
STEADY = 0.1
"""Bones of one person may change their length by this share: the labels are coarse."""
UPRIGHT_M = 0.3
"""Where z is up, heads are at least this much above ankles, in the median."""
UNITS_OF_SIDE = 30.0
"""Focal lengths below this are in units of the crop's side, those above in pixels."""


class LabelsH5(NamedTuple):
    """All rows of a labels.h5."""

    path: Path
    keys: Int[np.ndarray, "N 4"]
    """Subject, sequence, camera, frame, with the numbers of the file."""
    joints_crop_m: Float[np.ndarray, "N 17 3"]
    """Pelvis at the origin, axes of the crop's camera."""
    R_crop_from_world: Float[np.ndarray, "N 3 3"]
    focal: Float[np.ndarray, "N 2"]
    """Focal length over the crop's side."""
    centre: Float[np.ndarray, "N 2"]
    """Principal point, in units of the crop's side."""
    joints_were: str
    """How the file holds them."""


def read_labels(path: Path, size_px: int) -> LabelsH5:
    """Read and check the labels of crops of this size.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or of another meaning than assumed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the folder that holds labels.h5 with --crops")
    arrays = _arrays(path)
    count = len(arrays["frame"])
    keys = np.column_stack([_flat(path, arrays, name, 1)[:, 0] for name in ROW_KEYS])
    if (keys != np.round(keys)).any() or len(np.unique(keys, axis=0)) != count:
        raise ValueError(f"{path}: {', '.join(ROW_KEYS)} are no whole numbers, or name a picture twice")
    R = _rotations(path, arrays)
    joints_crop_m, were = _joints(path, arrays)
    focal, centre = _intrinsics(path, arrays, size_px)
    labels = LabelsH5(path, keys.astype(int), joints_crop_m, R, focal, centre, were)
    _check_upright(labels)
    return labels


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays that are needed."""
    h5py = package("h5py", f"reading {path.name}")
    names = (*ROW_KEYS, "3D", "extrinsic_rot", "extrinsic_rot_inv", "intrinsic_crop")
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in names if name not in file]
            found = {name: np.asarray(file[name][()]) for name in (*names, "pose_mean", "pose_std") if name in file}
    except ANY_DAMAGE as error:
        raise ValueError(f"{path} is damaged or no HDF5 file ({type(error).__name__}); copy it again") from error
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}; the crops cannot be placed without")
    if not len(np.atleast_1d(found["frame"])):
        raise ValueError(f"{path} describes no picture")
    return found


def _flat(path: Path, arrays: dict[str, np.ndarray], name: str, width: int) -> Float[np.ndarray, "N width"]:
    """Give an array with one row per picture."""
    count = len(np.atleast_1d(arrays["frame"]))
    values = np.asarray(arrays[name])
    if values.dtype.kind not in "iuf" or values.size != count * width or not np.isfinite(values).all():
        raise ValueError(f"{path}: {name} is {values.dtype} {values.shape}, expected {count} rows of {width} finite "
                         "numbers")  # fmt: skip
    return values.reshape(count, width).astype(np.float64)


def _rotations(path: Path, arrays: dict[str, np.ndarray]) -> Float[np.ndarray, "N 3 3"]:
    """Give the rotations from the world, orthonormal in double precision."""
    R = _flat(path, arrays, "extrinsic_rot", 9).reshape(-1, 3, 3)
    inverse = _flat(path, arrays, "extrinsic_rot_inv", 9).reshape(-1, 3, 3)
    if np.abs(R @ R.swapaxes(1, 2) - np.eye(3)).max() > 1e-3 or (np.linalg.det(R) < 0).any():
        raise ValueError(f"{path}: extrinsic_rot holds matrices that are no rotations")
    if np.abs(R @ inverse - np.eye(3)).max() > 1e-3:
        raise ValueError(f"{path}: extrinsic_rot_inv is not the inverse of extrinsic_rot")
    U, _, Vt = np.linalg.svd(R)
    return U @ Vt


def thighs_m(joints: Float[np.ndarray, "N 17 3"]) -> Float[np.ndarray, "N 2"]:
    """Measure both thighs."""
    knees = [H36M_17.index(f"{side}_knee") for side in ("left", "right")]
    hips = [H36M_17_PARENTS[knee] for knee in knees]
    return np.linalg.norm(joints[:, knees] - joints[:, hips], axis=-1)


def _is_human(joints_m: Float[np.ndarray, "N 17 3"], subjects: Float[np.ndarray, "N"]) -> bool:
    """Tell whether thighs have a human length that stays the same for each person."""
    lengths_m = thighs_m(joints_m)
    if not ((lengths_m > THIGH_M[0]) & (lengths_m < THIGH_M[1])).mean() > 0.9:
        return False
    spreads = [np.std(lengths_m[subjects == s], axis=0) / lengths_m[subjects == s].mean(0) for s in np.unique(subjects)]
    return bool(np.median(spreads) < STEADY)


def _joints(path: Path, arrays: dict[str, np.ndarray]) -> tuple[Float[np.ndarray, "N 17 3"], str]:
    """Give the joints about the pelvis in metres, and how the file holds them."""
    stored = _flat(path, arrays, "3D", 51).reshape(-1, 17, 3)
    subjects = _flat(path, arrays, "subj", 1)[:, 0]
    readings: dict[str, Any] = {"as they are": stored}
    if "pose_mean" in arrays and "pose_std" in arrays:
        mean, std = (_rows(path, arrays, name) for name in ("pose_mean", "pose_std"))
        readings["scaled by pose_mean and pose_std"] = stored * std + mean
    for how, joints in readings.items():
        for unit, metres in (("metres", 1.0), ("millimetres", METRES_PER_MILLIMETRE)):
            rooted_m = (joints - joints[:, :1]) * metres
            if _is_human(rooted_m, subjects):
                return rooted_m, f"{how}, in {unit}"
    lengths = thighs_m(stored).mean()
    raise ValueError(f"{path}: 3D holds thighs of {lengths:.3g} on average, which is no person in metres or "
                     "millimetres, nor with pose_mean and pose_std undone; they must be Human3.6M's 17")  # fmt: skip


def _rows(path: Path, arrays: dict[str, np.ndarray], name: str) -> Float[np.ndarray, "n 17 3"]:
    """Give an array that may be the same for all pictures."""
    values = np.asarray(arrays[name], np.float64)
    return values.reshape(1, 17, 3) if values.size == 51 else _flat(path, arrays, name, 51).reshape(-1, 17, 3)


def _intrinsics(
    path: Path, arrays: dict[str, np.ndarray], size_px: int
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "N 2"]]:
    """Give focal length and principal point in units of the crop's side."""
    K = _flat(path, arrays, "intrinsic_crop", 9).reshape(-1, 3, 3)
    if np.abs(K[:, 2] - [0, 0, 1]).max() > 1e-6 or np.abs(K[:, [0, 1], [1, 0]]).max() > 1e-3 * np.abs(K).max():
        raise ValueError(f"{path}: intrinsic_crop is no matrix of a camera without skew")
    focal, centre = K[:, [0, 1], [0, 1]], K[:, :2, 2]
    if (focal <= 0).any():
        raise ValueError(f"{path}: intrinsic_crop has focal lengths that are not positive")
    unit = size_px if np.median(focal) > UNITS_OF_SIDE else 1
    if not 0.2 < np.median(focal) / unit < UNITS_OF_SIDE:
        raise ValueError(f"{path}: intrinsic_crop has focal lengths of {np.median(focal):.3g}, which are no pixels of "
                         f"crops of {size_px} pixels and no units of their side")  # fmt: skip
    return focal / unit, centre / unit


def _check_upright(labels: LabelsH5) -> None:
    """Stop if the people do not stand on the floor of the world: another direction or axis was meant."""
    head = labels.joints_crop_m[:, H36M_17.index("head_top")]
    ankles = labels.joints_crop_m[:, [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")]].mean(1)
    up_world = np.einsum("nji,nj->ni", labels.R_crop_from_world, head - ankles)
    if not np.median(up_world[:, 2]) > UPRIGHT_M:
        raise ValueError(f"{labels.path}: turned by extrinsic_rot_inv, heads are {np.median(up_world[:, 2]):.2f} m "
                         "above the ankles in the median; the world's z must point up, extrinsic_rot must take the "
                         "world to the crop's camera, and 3D must be in that camera's axes")  # fmt: skip
