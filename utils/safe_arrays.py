"""Reads .npy and .npz of plain numbers and text, whoever wrote them.

NumPy's own reader takes a file's word for how much it holds, asks for that much memory, and raises a dozen kinds of
errors.  Here sizes are compared with the file first, and all that is wrong is a ValueError whose text says what.
"""

import math
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

MAGIC = b"\x93NUMPY"
DTYPE = re.compile(rb"'descr':\s*'([<>|=]?[biufSU]\d{1,6})'")
ORDER = re.compile(rb"'fortran_order':\s*(True|False)")
SHAPE = re.compile(rb"'shape':\s*\(([\dL,\s]*)\)")
"""Of the header, which is the text of a dictionary; only these three are read, and nothing is evaluated."""
LAST_LETTER = 0x10FFFF
"""Of Unicode."""
LONGEST_HEADER = 10_000
LARGEST_UNPACKED_BYTES = 1 << 29
"""Compressed parts may unpack into so much, or into as much as the file has itself."""
BROKEN_ARCHIVE = (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, IndexError, NotImplementedError,
                  RuntimeError, OverflowError, zlib.error, struct.error)  # fmt: skip
"""What zipfile was seen to raise on damaged files."""


WAYS_TO_PACK = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""NumPy's own.  Others ask for memory by the word of the file: LZMA for 4 GB."""
MOST_ROWS_OF_NOTHING = 10_000_000
"""An array without numbers may have so many rows, as a body's without directions that follow the pose: (2160, 3, 0)."""


def header_of(content: bytes) -> tuple[bytes, int]:
    """Find the header of a .npy, and where what it describes begins.

    Raises:
        ValueError: it is no .npy.
    """
    if content[:6] != MAGIC or len(content) < 12:
        raise ValueError("it is no array of NumPy")
    wide = content[6] > 1
    length = int.from_bytes(content[8 : 12 if wide else 10], "little")
    begins = (12 if wide else 10) + length
    if length > LONGEST_HEADER:
        raise ValueError(f"its header has {length} letters")
    return content[begins - length : begins], begins


def array_in(content: bytes) -> np.ndarray:
    """Read the content of a .npy.

    Raises:
        ValueError: it is damaged, or holds anything but numbers or text.
    """
    header, begins = header_of(content)
    dtype, order, shape = (pattern.search(header) for pattern in (DTYPE, ORDER, SHAPE))
    if dtype is None or order is None or shape is None:
        raise ValueError("it is an array of other things than numbers or text, or damaged")
    sizes = [int(word[:19]) for word in re.findall(rb"\d+", shape[1])]
    try:
        kind = np.dtype(dtype[1].decode())
        num_bytes = math.prod(sizes) * kind.itemsize
        if num_bytes > len(content) - begins or (not num_bytes and max(sizes, default=0) > MOST_ROWS_OF_NOTHING):
            raise ValueError(f"it promises {num_bytes} bytes of numbers and has {len(content) - begins}")
        array = np.zeros(sizes, kind) if not num_bytes else np.frombuffer(
            content, kind, math.prod(sizes), begins).reshape(sizes, order="F" if order[1] == b"True" else "C").copy(
            order="K")  # fmt: skip
    except (TypeError, OverflowError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    if num_bytes and kind.kind == "U":
        letters = np.frombuffer(content, np.dtype("u4").newbyteorder(kind.byteorder), num_bytes // 4, begins)
    if num_bytes and kind.kind == "U" and letters.max() > LAST_LETTER:
        raise ValueError("it holds text with letters that there are not")
    return array


def read_array(path: Path) -> np.ndarray:
    """Read a .npy.

    Raises:
        ValueError: it is damaged, or holds anything but numbers or text; without the file's name.
    """
    return array_in(path.read_bytes())


class Archive:
    """The arrays of a .npz, each read when it is asked for."""

    def __init__(self, path: Path):
        """Look the archive over.

        Raises:
            ValueError: it is damaged, or unpacks into more than is sensible; without the file's name.
        """
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                parts = {part.filename.removesuffix(".npy"): part for part in archive.infolist()}
                count = len(archive.infolist())
        except BROKEN_ARCHIVE as error:
            raise ValueError(f"it is no whole archive of arrays ({error})") from error
        if any(part.compress_type not in WAYS_TO_PACK for part in parts.values()):
            raise ValueError("it is packed in a way that NumPy does not")
        most = max(LARGEST_UNPACKED_BYTES, path.stat().st_size)
        if sum(part.file_size for part in parts.values()) > most or count != len(parts):
            raise ValueError("it unpacks into more than it can hold, or holds a name twice")
        self.parts = parts

    def __contains__(self, name: str) -> bool:
        return name in self.parts

    @property
    def files(self) -> list[str]:
        """Name the arrays."""
        return list(self.parts)

    def content(self, name: str) -> bytes:
        """Read the content of a part.

        Raises:
            ValueError: it is damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.parts[name])
        except BROKEN_ARCHIVE as error:
            raise ValueError(f"its {name} is damaged ({error})") from error

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return array_in(self.content(name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a .npz.

    Raises:
        ValueError: it is damaged, or holds anything but numbers or text; without the file's name.
    """
    archive = Archive(path)
    return {name: archive[name] for name in archive.files}
