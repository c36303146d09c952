"""Reads the masks and the poses of the official Human3.6M.

Masks are .mat files with a cell `Masks`, one logical picture per frame.  They are MATLAB 7.3 files, which are HDF5:
each picture is read when it is asked for.  A file of an older MATLAB version is read whole.  Poses are .cdf files with
one variable `Pose`, (1, frames, 32 joints x 2 or 3).  The packages for both are imported when they are needed.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from jaxtyping import Float, UInt8
from scipy.io.matlab import MatReadError

from dataset_def.h36m_files import DAMAGED, METRES_PER_MILLIMETRE
from utils.skeleton import H36M_17_FROM_32


def package(name: str, why: str) -> ModuleType:
    """Import an optional package.

    Raises:
        ValueError: it is not installed; the message names the command that installs it.
    """
    try:
        return import_module(name)
    except ImportError:
        raise ValueError(f"{why} needs the package {name}; install it with: pip install cdflib h5py") from None


CELL = "Masks"
HDF5_MARK = b"\x89HDF\r\n\x1a\n"
USER_BLOCK_BYTES = 512
"""MATLAB writes its own text before the HDF5 part."""
ANY_DAMAGE = (*DAMAGED, MatReadError, RuntimeError, AttributeError, NotImplementedError)
"""SciPy and h5py add these."""


class Masks(NamedTuple):
    """The masks of one video."""

    num_masks: int
    read: Callable[[int], UInt8[np.ndarray, "H W"]]
    """Gives mask 0, 1, ...; the person is 255."""


def _damaged(path: Path, error: BaseException) -> ValueError:
    """Describe a file that cannot be read."""
    return ValueError(f"{path} is damaged or holds no cell {CELL} ({type(error).__name__}); download it again")


def _picture(path: Path, values: np.ndarray) -> UInt8[np.ndarray, "H W"]:
    """Make a mask of one cell's content; of several channels the first counts."""
    first = values[..., 0] if values.ndim == 3 else values
    if first.ndim != 2 or first.dtype.kind not in "biuf":
        raise ValueError(f"{path}: a mask is {values.dtype} {values.shape} instead of a picture; download it again")
    return np.where(first > 0, 255, 0).astype(np.uint8)


def _is_hdf5(path: Path) -> bool:
    """Tell a MATLAB 7.3 file from older ones."""
    with open(path, "rb") as stream:
        start = stream.read(USER_BLOCK_BYTES + len(HDF5_MARK))
    return HDF5_MARK in (start[: len(HDF5_MARK)], start[USER_BLOCK_BYTES:])


@contextmanager
def open_masks(path: Path) -> Iterator[Masks]:
    """Open a file of masks.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another kind, or h5py is needed and not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; unpack the download's masks there, or leave them out with "
                                "--no-masks")  # fmt: skip
    if not _is_hdf5(path):
        yield _whole(path)
        return
    h5py = package("h5py", f"reading {path.name}")
    try:
        file = h5py.File(path, "r")
    except ANY_DAMAGE as error:
        raise _damaged(path, error) from error
    with file:
        yield _lazy(path, file)


def _lazy(path: Path, file: Any) -> Masks:
    """Give masks of an open HDF5 file; MATLAB's rows and columns are swapped there."""
    try:
        places = np.asarray(file[CELL][()]).ravel()
        for place in places[:1]:
            file[place]
    except ANY_DAMAGE as error:
        raise _damaged(path, error) from error

    def read(row: int) -> UInt8[np.ndarray, "H W"]:
        try:
            values = np.asarray(file[places[row]][()])
        except ANY_DAMAGE as error:
            raise _damaged(path, error) from error
        return _picture(path, values.T)

    return Masks(len(places), read)


def _whole(path: Path) -> Masks:
    """Read all masks of an older MATLAB file."""
    try:
        cells = scipy.io.loadmat(path, variable_names=[CELL])[CELL]
    except ANY_DAMAGE as error:
        raise _damaged(path, error) from error
    if not isinstance(cells, np.ndarray) or cells.dtype != object:
        raise ValueError(f"{path}: {CELL} is no cell of pictures; download it again")
    return Masks(cells.size, lambda row: _picture(path, np.asarray(cells.ravel()[row])))


VARIABLE = "Pose"
NUM_CDF_JOINTS = 32
DAMAGED_POSES = (
    ValueError, OSError, ArithmeticError, MemoryError, RuntimeError, LookupError, TypeError, AttributeError, EOFError,
    zlib.error, struct.error,
)  # fmt: skip
"""What cdflib was seen to raise on files with missing or changed bytes."""
FARTHEST_JOINT_M = 100.0
"""No joint of a person in the capture room is farther than this from the world's origin."""


def _opened(path: Path) -> Any:
    """Open a .cdf file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; unpack the download's poses there")
    cdflib = package("cdflib", f"reading {path.name}")
    try:
        return cdflib.CDF(path)
    except DAMAGED_POSES as error:
        raise _damaged_poses(path, error) from error


def _damaged_poses(path: Path, error: BaseException) -> ValueError:
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
    except DAMAGED_POSES as error:
        raise _damaged_poses(path, error) from error


def _read(path: Path, numbers: int) -> Float[np.ndarray, "N 32 numbers"]:
    """Read all joints of a recording, in double precision."""
    file = _opened(path)
    try:
        values = np.asarray(file.varget(VARIABLE))
    except DAMAGED_POSES as error:
        raise _damaged_poses(path, error) from error
    if values.dtype.kind != "f" or values.ndim != 3 or values.shape[0] != 1 or values.shape[1] == 0:
        raise ValueError(
            f"{path}: Pose is {values.dtype} {values.shape}, expected numbers (1, frames, "
            f"{NUM_CDF_JOINTS * numbers}); download it again"
        )
    if values.shape[2] != NUM_CDF_JOINTS * numbers:
        raise ValueError(
            f"{path} has {values.shape[2]} numbers per frame, expected {NUM_CDF_JOINTS} joints x {numbers}; "
            "is it a file of another kind of pose?"
        )
    return values[0].reshape(-1, NUM_CDF_JOINTS, numbers).astype(np.float64)


def read_joints_world_m(path: Path) -> Float[np.ndarray, "N 17 3"]:
    """Read the 17 of the 32 joints that this project uses, in the world's frame.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another kind, or not in millimetres about the capture room.
    """
    joints_m = _read(path, 3)[:, list(H36M_17_FROM_32)] * METRES_PER_MILLIMETRE
    if not np.isfinite(joints_m).all() or np.abs(joints_m).max() > FARTHEST_JOINT_M:
        raise ValueError(
            f"{path} holds joints that are not finite or more than {FARTHEST_JOINT_M:.0f} m away; it is damaged, "
            "or not in millimetres"
        )
    return joints_m


def read_points_px(path: Path) -> Float[np.ndarray, "N 17 2"]:
    """Read where the same joints lie in the picture of one camera.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or of another kind.
    """
    return _read(path, 2)[:, list(H36M_17_FROM_32)]
