"""Opens pickles of arrays, those of body models among them, without running any code that they name.

Body models were written by Python 2 and hold NumPy arrays, SciPy matrices and objects of chumpy, a package that no
longer imports; stored embeddings are arrays beside text and numbers.  Every class a pickle may name is replaced by a
record that only remembers what it was given; the arrays are rebuilt from these records afterwards.  Even NumPy's own
classes stay out: a forged dtype can make NumPy read bytes as pointers.  Anything else is refused by name.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from utils.optional import later

sparse = later("scipy.sparse")
Matrix = Any
"""An array, or one of SciPy's sparse matrices."""

PLAIN_DTYPE = re.compile(r"[fiu][1248]|b1|b|B|f|d")

KNOWN_NAMES: dict[tuple[str, str], str] = {
    ("numpy", "ndarray"): "class",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy.core.numeric", "_frombuffer"): "buffer",
    ("numpy._core.numeric", "_frombuffer"): "buffer",
    ("chumpy", "Ch"): "chumpy",
    ("chumpy.ch", "Ch"): "chumpy",
    ("chumpy.reordering", "Select"): "select",
    ("scipy.sparse.csc", "csc_matrix"): "csc",
    ("scipy.sparse._csc", "csc_matrix"): "csc",
    ("scipy.sparse.csr", "csr_matrix"): "csr",
    ("scipy.sparse._csr", "csr_matrix"): "csr",
    ("scipy.sparse.coo", "coo_matrix"): "coo",
    ("scipy.sparse._coo", "coo_matrix"): "coo",
    ("builtins", "set"): "ignored",
    ("__builtin__", "set"): "ignored",
    ("builtins", "object"): "ignored",
    ("__builtin__", "object"): "ignored",
    ("copyreg", "_reconstructor"): "rebuilt",
    ("copy_reg", "_reconstructor"): "rebuilt",
    ("_codecs", "encode"): "bytes",
}
"""What a pickle may name, and the kind of record that stands for it."""


DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError,
    OverflowError,
)  # fmt: skip
"""What Python raises on wrong bytes: a length that was hit asks for more memory than there is."""


class RefusedError(ValueError):
    """A pickle names something that neither an array nor a body model needs."""


def check_places(content: bytes) -> None:
    """Refuse a pickle that numbers what it remembers far beyond its length: Python makes room for all before it.

    Raises:
        ValueError: it does, or is damaged.
    """
    for instruction, argument, _ in pickletools.genops(content):
        if argument is not None and instruction.name.endswith("PUT") and not 0 <= int(argument) <= len(content):
            raise ValueError(f"it remembers something at place {argument}")


def load_records(stream: IO[bytes]) -> Any:
    """Read a pickle into plain values and records.

    Raises:
        ValueError: the pickle names anything but arrays, sparse matrices and chumpy objects, or is damaged.
    """
    content = stream.read()
    try:
        check_places(content)
        return _RecordUnpickler(io.BytesIO(content), encoding="latin1").load()
    except RefusedError:
        raise
    except DAMAGE as error:
        reported = " ".join(str(error).split()) or type(error).__name__  # one of Python's own messages has two lines
        raise ValueError(f"it is damaged or cut short ({reported})") from error


def load_pickled_arrays(path: Path) -> dict[str, Any]:
    """Read a dictionary of arrays (writable, their own memory) and of text and numbers.

    Raises:
        ValueError: the file is damaged, names anything else (said), or holds no such dictionary.
    """
    with open(path, "rb") as stream:
        content = load_records(stream)
    if type(content) is not dict or not all(type(name) is str for name in content):
        raise ValueError(f"it holds a {type(content).__name__}, not a dictionary with names")
    return {name: _plain_or_array(name, value) for name, value in content.items()}


def _plain_or_array(name: str, value: Any) -> Any:
    """Keep a plain value, rebuild an array, and refuse all else; nothing of the value is printed or compared."""
    if type(value) in (str, int, float, bool, type(None)):
        return value
    if _kind(value) not in ("array", "buffer"):
        raise ValueError(f"its entry {name!r} is neither an array nor a plain value")
    array = to_array(value)
    if not isinstance(array, np.ndarray):
        raise ValueError(f"its entry {name!r} is no plain array")
    return array.copy()


MOST_ENTRIES = 1_000_000
"""Of lists in lists, each counted as often as it is pointed to."""


def check_size(value: Any) -> None:
    """Refuse lists that hold the same list again and again until no memory holds them.

    Raises:
        ValueError: they have more than MOST_ENTRIES entries.
    """
    waiting, count = [value], 0
    while waiting and count <= MOST_ENTRIES:
        inner = waiting.pop()
        if isinstance(inner, list | tuple):
            count += len(inner)
            waiting += [one for one in inner if isinstance(one, list | tuple)]
    if count > MOST_ENTRIES:
        raise ValueError(f"it has more than {MOST_ENTRIES} entries")


def is_sparse(matrix: Matrix) -> bool:
    """Tell whether a matrix is one of SciPy's sparse ones."""
    return hasattr(matrix, "tocsc")


def to_array(value: Any) -> Matrix:
    """Rebuild the array that a record stands for.

    Raises:
        ValueError: the record does not describe an array of plain numbers.
    """
    builders: dict[str, Callable[[Any], Any]] = {
        "array": _array,
        "buffer": _from_buffer,
        "scalar": lambda record: np.frombuffer(_raw(record.arguments[1]), _dtype(record.arguments[0])).reshape(()),
        "chumpy": lambda record: to_array(record.state["x"]),
        "select": _selected,
        "csc": lambda record: _compressed(record.state, sparse.csc_matrix),
        "csr": lambda record: _compressed(record.state, sparse.csr_matrix),
        "coo": _coordinates,
    }
    kind = _kind(value)
    try:
        if kind in builders:
            return builders[kind](value)
        check_size(value)
        array = np.asarray(value) if isinstance(value, (list, tuple, int, float, np.ndarray)) else None
    except (LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it is described incompletely ({error!r})") from error
    if array is None or array.dtype.kind not in "fiub":
        raise ValueError(f"it is a {kind or type(value).__name__}, not an array of numbers")
    return array


class _RecordUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Give the record for a known name and refuse all others."""
        if (module, name) not in KNOWN_NAMES:
            asked = f"{module}.{name}".encode("unicode_escape").decode()  # whoever wrote it, it is one line here
            raise RefusedError(f"it names {asked}, no part of an array or a body model; nothing was run")
        return _record_class(KNOWN_NAMES[module, name])


def _record_class(kind: str) -> type:
    """A class whose objects remember their arguments and their state; made anew, so no file can leave a trace in it."""

    class Record:
        record_kind = kind

        def __new__(cls, *arguments: Any) -> Any:
            if kind == "rebuilt":
                if not (isinstance(arguments[0], type) and hasattr(arguments[0], "record_kind")):
                    raise RefusedError(f"it rebuilds a {arguments[0]!r}, no part of an array or a body model")
                return arguments[0]()
            return super().__new__(cls)

        def __init__(self, *arguments: Any) -> None:
            self.arguments = arguments
            self.state: Any = None

        def __setstate__(self, state: Any) -> None:
            self.state = state

    return Record


def _kind(value: Any) -> str:
    return type(value).record_kind if hasattr(type(value), "record_kind") else ""


def _array(record: Any) -> np.ndarray:
    _, shape, dtype, is_fortran, data = record.state
    if dtype.arguments[0] in ("O", "O8", "O4"):
        if len(data) != 1:
            raise ValueError("it is an array of objects, not of numbers")
        return to_array(data[0])
    return np.frombuffer(_raw(data), _dtype(dtype)).reshape(shape, order="F" if is_fortran else "C")


def _from_buffer(record: Any) -> np.ndarray:
    data, dtype, shape, order = record.arguments
    return np.frombuffer(_raw(data), _dtype(dtype)).reshape(shape, order=order)


def _dtype(record: Any) -> np.dtype:
    code = str(record.arguments[0])
    if not PLAIN_DTYPE.fullmatch(code):
        raise ValueError(f"its dtype {code!r} is not a plain number")
    order = record.state[1] if record.state is not None else "="
    return np.dtype(code).newbyteorder("<" if order == "<" else ">" if order == ">" else "=")


def _raw(data: Any) -> bytes:
    """Bytes as Python 2 wrote them (text, once decoded), as Python 3 writes them into old pickles, or as they are."""
    if _kind(data) == "bytes":
        data = data.arguments[0]
    if isinstance(data, bytes):
        return data
    return data.encode("latin1") if isinstance(data, str) else memoryview(data).tobytes()


def _selected(record: Any) -> np.ndarray:
    """Entries `idxs` of the flattened `a`, in the shape `preferred_shape`."""
    state = record.state
    entries = to_array(state["a"]).ravel()[to_array(state["idxs"]).ravel()]
    shape = state.get("preferred_shape")
    return entries if shape is None else entries.reshape([int(size) for size in to_array(shape)])


def _compressed(state: dict[str, Any], matrix_class: Any) -> Matrix:
    parts = (to_array(state["data"]), to_array(state["indices"]), to_array(state["indptr"]))
    matrix = matrix_class(parts, _shape(state))
    matrix.check_format(full_check=True)
    return matrix.tocsc()


def _coordinates(record: Any) -> Matrix:
    state = record.state
    row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
    parts = (to_array(state["data"]), (to_array(row), to_array(column)))
    return sparse.coo_matrix(parts, _shape(state)).tocsc()


def _shape(state: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in to_array(state["_shape" if "_shape" in state else "shape"]))
