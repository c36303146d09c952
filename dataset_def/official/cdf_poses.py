"""Reads the poses of the official Human3.6M: .cdf files with one variable `Pose`, (1, frames, 32 joints x 2 or 3)."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dataset_def.h36m_files import METRES_PER_MILLIMETRE
from dataset_def.official.packages import package
from utils.skeleton import H36M_17_FROM_32

VARIABLE = "Pose"
NUM_JOINTS = 32
DAMAGED = (ValueError, OSError, ArithmeticError, MemoryError, RuntimeError, LookupError, TypeError, AttributeError,
           EOFError, zlib.error, struct.error)  # fmt: skip
"""What cdflib was seen to raise on files with missing or changed bytes."""
REACH_M = 100.0
"""No joint of a person in a room is farther than this from the world's origin."""


def _opened(path: Path) -> Any:
    """Open a .cdf file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; unpack the download's poses there")
    cdflib = package("cdflib", f"reading {path.name}")
    try:
        return cdflib.CDF(path)
    except DAMAGED as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> ValueError:
    """Describe a file that cannot be read."""
    return ValueError(f"{path} is damaged or no .cdf file of poses ({type(error).__name__}); download it again")


def count_poses(path: Path) -> int:
    """Count the frames of a pose file without reading them.

    Raises:
        FileNotFoundError, ValueError: missing or damaged, or cdflib is not installed.
    """
    file = _opened(path)
    try:
        return int(file.varinq(VARIABLE).Dim_Sizes[0])
    except DAMAGED as error:
        raise _damaged(path, error) from error


def _read(path: Path, numbers: int) -> Float[np.ndarray, "N 32 numbers"]:
    """Read all joints of a recording, in double precision."""
    file = _opened(path)
    try:
        values = np.asarray(file.varget(VARIABLE))
    except DAMAGED as error:
        raise _damaged(path, error) from error
    if values.dtype.kind != "f" or values.ndim != 3 or values.shape[0] != 1 or values.shape[1] == 0:
        raise ValueError(f"{path}: Pose is {values.dtype} {values.shape}, expected numbers (1, frames, "
                         f"{NUM_JOINTS * numbers}); download it again")  # fmt: skip
    if values.shape[2] != NUM_JOINTS * numbers:
        raise ValueError(f"{path} has {values.shape[2]} numbers per frame, expected {NUM_JOINTS} joints x {numbers}; "
                         "is it a file of another kind of pose?")  # fmt: skip
    return values[0].reshape(-1, NUM_JOINTS, numbers).astype(np.float64)


def read_joints_world_m(path: Path) -> Float[np.ndarray, "N 17 3"]:
    """Read the 17 of the 32 joints that this project uses, in the world's frame.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another kind, or not in millimetres about the room.
    """
    joints_m = _read(path, 3)[:, list(H36M_17_FROM_32)] * METRES_PER_MILLIMETRE
    if not np.isfinite(joints_m).all() or np.abs(joints_m).max() > REACH_M:
        raise ValueError(f"{path} holds joints that are not finite or more than {REACH_M:.0f} m away; it is damaged, "
                         "or not in millimetres")  # fmt: skip
    return joints_m


def read_points_px(path: Path) -> Float[np.ndarray, "N 17 2"]:
    """Read where the same joints lie in the picture of one camera.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or of another kind.
    """
    return _read(path, 2)[:, list(H36M_17_FROM_32)]
