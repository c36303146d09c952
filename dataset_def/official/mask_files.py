"""Reads the masks of the official Human3.6M: .mat files with a cell `Masks`, one logical picture per frame.

They are MATLAB 7.3 files, which are HDF5: each picture is read when it is asked for.  A file of an older MATLAB version
is read whole.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from jaxtyping import UInt8

from dataset_def.h36m_files import DAMAGED
from dataset_def.official.packages import package

CELL = "Masks"
HDF5_MARK = b"\x89HDF\r\n\x1a\n"
USER_BLOCK_BYTES = 512
"""MATLAB writes its own text before the HDF5 part."""
ANY_DAMAGE = (*DAMAGED, RuntimeError, AttributeError, NotImplementedError)
"""h5py adds these to what SciPy raises."""


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
