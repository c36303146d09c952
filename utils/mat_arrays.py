"""Reads arrays of numbers out of MATLAB's files of version 5 and 7.

SciPy's reader ends the process on some damaged files, and unpacks whatever they promise.
Source: MAT-File Format, The MathWorks, chapter 1 (level 5): tags of 8 bytes, of which small ones hold their data.
"""

import math
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers lie in the file; MATLAB takes the smallest kind that holds them."""
ARRAYS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""What an array of each class holds; text, cells, structures and sparse matrices are others."""
MATRIX, PACKED = 14, 15
TEXT = 4
"""The class of text."""
ENCODINGS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
LONGEST_TEXT = 100_000
IS_COMPLEX = 0x0800
HEADER_BYTES = 128
VERSION_5, VERSION_7_3 = 0x0100, 0x0200
LARGEST_UNPACKED_BYTES = 1 << 29
MOST_DIMENSIONS = 16


def elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of a file or of an array: their type, and their data.

    Raises:
        ValueError: one is longer than what is left.
    """
    place = 0
    while place + 8 <= len(data):
        first, second = np.frombuffer(data, f"{order}u4", 2, place).tolist()
        is_small = first >> 16 != 0
        kind, size, begins = (first & 0xFFFF, first >> 16, place + 4) if is_small else (first, second, place + 8)
        if size > (4 if is_small else len(data) - begins):
            raise ValueError(f"a part of {size} bytes is cut short")
        yield kind, data[begins : begins + size]
        place = place + 8 if is_small else begins + size + (-size % 8 if kind != PACKED else 0)


def unpacked(data: bytes) -> bytes:
    """Unpack a part.

    Raises:
        ValueError: it is damaged, or larger than is sensible.
    """
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(data, LARGEST_UNPACKED_BYTES)
    except zlib.error as error:
        raise ValueError(f"a packed part is damaged ({error})") from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError(f"a packed part is cut short, or unpacks into more than {LARGEST_UNPACKED_BYTES} bytes")
    return content


def decoded(kind: int, data: bytes, order: str) -> str:
    """Turn a text's data into letters; those that there are not become question marks."""
    encoding = ENCODINGS.get(kind, "latin1")
    ending = ("-le" if order == "<" else "-be") if encoding in ("utf-16", "utf-32") else ""
    return data.decode(encoding + ending, errors="replace")


def matrix(data: bytes, order: str) -> tuple[str, np.ndarray]:
    """Read an array, by its name; one of other things than real numbers or text comes as an empty array of objects.

    Raises:
        ValueError: it is damaged.
    """
    parts = list(elements(data, order))
    if len(parts) < 3 or len(parts[0][1]) != 8 or parts[1][0] != 5 or parts[2][0] not in (1, 2):
        raise ValueError("an array lacks its head")
    flags = int(np.frombuffer(parts[0][1], f"{order}u4", 1)[0])
    sizes = np.frombuffer(parts[1][1][: len(parts[1][1]) // 4 * 4], f"{order}i4").tolist()
    name, kind = parts[2][1].decode("latin1"), flags & 0xFF
    if kind == TEXT and len(parts) > 3 and len(parts[3][1]) <= LONGEST_TEXT:
        return name, np.array([decoded(*parts[3], order)])
    if kind not in ARRAYS or flags & IS_COMPLEX:
        return name, np.empty(0, object)
    if len(parts) < 4 or parts[3][0] not in STORED or not 2 <= len(sizes) <= MOST_DIMENSIONS or min(sizes) < 0:
        raise ValueError(f"{name[:40]} is damaged")
    stored = np.dtype(f"{order}{STORED[parts[3][0]]}")
    if math.prod(sizes) * stored.itemsize != len(parts[3][1]):
        raise ValueError(f"{name[:40]} promises {sizes} numbers and has {len(parts[3][1])} bytes")
    numbers = np.frombuffer(parts[3][1], stored)
    with np.errstate(invalid="ignore"):
        return name, numbers.astype(ARRAYS[kind]).reshape(sizes, order="F")


def read_mat(path: Path, only: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read all arrays of a file, or those of some names.

    Raises:
        NotImplementedError: it is of version 7.3, which is HDF5.
        ValueError: it is damaged or of another kind; without the file's name.
    """
    data = path.read_bytes()
    if data[:4] == b"\x89HDF" or data[512:516] == b"\x89HDF":
        raise NotImplementedError("it is of version 7.3")
    orders = {b"IM": "<", b"MI": ">"}
    order = orders.get(data[HEADER_BYTES - 2 : HEADER_BYTES], "")
    if not order:
        raise ValueError("it is no MATLAB file of version 5 or 7")
    version = int(np.frombuffer(data, f"{order}u2", 1, HEADER_BYTES - 4)[0])
    if version == VERSION_7_3:
        raise NotImplementedError("it is of version 7.3")
    found = {}
    for kind, part in elements(data[HEADER_BYTES:], order):
        whole = list(elements(unpacked(part), order)) if kind == PACKED else [(kind, part)]
        for inner, content in whole:
            if inner != MATRIX:
                raise ValueError(f"it holds a part of kind {inner}, and only arrays are read")
            name, array = matrix(content, order)
            if not only or name in only:
                found[name] = array
    if not found:
        raise ValueError("it holds no arrays, or is cut short")
    return found
