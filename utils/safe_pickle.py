"""Opens body model pickles without running any code that they name.

The files were written by Python 2 and hold NumPy arrays, SciPy matrices and objects of chumpy, a package that no
longer imports.  Every class a pickle may name is replaced by a record that only remembers what it was given; the
arrays are rebuilt from these records afterwards.  Even NumPy's own classes stay out: a forged dtype can make NumPy
read bytes as pointers.  Anything else is refused by name.
"""

import pickle
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import scipy.sparse

PLAIN_DTYPE = re.compile(r"[fiu][1248]|b1|b|B|f|d")
SPARSE_FORMATS = ("csc", "csr", "coo")


class RefusedError(ValueError):
    """A pickle names something that no body model needs."""


class Record:
    """Remembers the arguments and the state of an object that is not built.

    Every stand-in is a class with `__setstate__`, so a pickle cannot set attributes on the stand-ins themselves.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class ArrayRecord(Record):
    """An array; its state is (version, shape, dtype, is_fortran, data)."""


class ScalarRecord(Record):
    """A NumPy number; its arguments are (dtype, data)."""


class DtypeRecord(Record):
    """A dtype; its first argument is a code such as f8, its state starts with (version, byte order)."""


class NdarrayRecord(Record):
    """The class numpy.ndarray, which pickles name and which is never called."""


class ChumpyRecord(Record):
    """A chumpy.ch.Ch; its array is in its state under x."""


class SelectRecord(Record):
    """A chumpy.reordering.Select: entries `idxs` of the flattened `a`, in the shape `preferred_shape`."""


class SparseRecord(Record):
    """A SciPy matrix; its state is a dictionary."""


class IgnoredRecord(Record):
    """A thing that may be present and is never read, such as a set of chumpy's dirty variables."""


class Latin1Record(Record):
    """Bytes, as Python 3 writes them into old pickles; the arguments are (text, "latin1")."""


class RebuiltRecord:
    """`copyreg._reconstructor`: gives an empty record of the class it is called with."""

    def __new__(cls, kind: Any, *_: Any) -> Any:  # noqa: D102
        if not (isinstance(kind, type) and issubclass(kind, Record)):
            raise RefusedError(f"{kind!r} is not part of a body model")
        return kind()

    def __setstate__(self, state: Any) -> None:
        raise RefusedError("a state for copyreg._reconstructor is not part of a body model")


def _known_names() -> dict[tuple[str, str], type]:
    names: dict[tuple[str, str], type] = {
        ("numpy", "ndarray"): NdarrayRecord,
        ("numpy", "dtype"): DtypeRecord,
        ("chumpy", "Ch"): ChumpyRecord,
        ("chumpy.ch", "Ch"): ChumpyRecord,
        ("chumpy.reordering", "Select"): SelectRecord,
        ("builtins", "set"): IgnoredRecord,
        ("builtins", "object"): IgnoredRecord,
        ("copyreg", "_reconstructor"): RebuiltRecord,
        ("_codecs", "encode"): Latin1Record,
    }
    for package in ("numpy.core", "numpy._core"):
        names[f"{package}.multiarray", "_reconstruct"] = ArrayRecord
        names[f"{package}.multiarray", "scalar"] = ScalarRecord
    for form in SPARSE_FORMATS:
        for module in (f"scipy.sparse.{form}", f"scipy.sparse._{form}"):
            names[module, f"{form}_matrix"] = names[module, f"{form}_array"] = SparseRecord
    return names


KNOWN_NAMES = _known_names()


class _RecordUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Give the record for a known name and refuse all others."""
        if (module, name) not in KNOWN_NAMES:
            raise RefusedError(f"it names {module}.{name}, which is no part of a body model; nothing was run")
        return KNOWN_NAMES[module, name]


def load_records(stream: IO[bytes]) -> Any:
    """Read a pickle into plain values and records.

    Raises:
        ValueError: the pickle names anything but arrays, sparse matrices and chumpy objects, or is damaged.
    """
    try:
        return _RecordUnpickler(stream, encoding="latin1").load()
    except RefusedError:
        raise
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"it is damaged or cut short ({error})") from error


def to_array(value: Any) -> np.ndarray | scipy.sparse.csc_matrix:
    """Rebuild the array that a record stands for.

    Raises:
        ValueError: the record does not describe an array of plain numbers.
    """
    builders: dict[type, Callable[[Any], Any]] = {
        ArrayRecord: _array,
        ScalarRecord: lambda record: np.frombuffer(_raw(record.arguments[1]), _dtype(record.arguments[0])).reshape(()),
        ChumpyRecord: lambda record: to_array(record.state["x"]),
        SelectRecord: _selected,
        SparseRecord: _sparse,
    }
    try:
        if type(value) in builders:
            return builders[type(value)](value)
        array = np.asarray(value) if isinstance(value, (list, tuple, int, float, np.ndarray)) else None
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"it is described incompletely ({error!r})") from error
    if array is None or array.dtype.kind not in "fiub":
        raise ValueError(f"it is a {type(value).__name__}, not an array of numbers")
    return array


def _array(record: ArrayRecord) -> np.ndarray:
    _, shape, dtype, is_fortran, data = record.state
    if dtype.arguments[0] in ("O", "O8", "O4"):
        if len(data) != 1:
            raise ValueError("it is an array of objects, not of numbers")
        return to_array(data[0])
    flat = np.frombuffer(_raw(data), _dtype(dtype))
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _dtype(record: DtypeRecord) -> np.dtype:
    code = str(record.arguments[0])
    if not PLAIN_DTYPE.fullmatch(code):
        raise ValueError(f"its dtype {code!r} is not a plain number")
    order = record.state[1] if record.state is not None else "="
    return np.dtype(code).newbyteorder("<" if order == "<" else ">" if order == ">" else "=")


def _raw(data: Any) -> bytes:
    if isinstance(data, Latin1Record):
        data = data.arguments[0]
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _selected(record: SelectRecord) -> np.ndarray:
    state = record.state
    entries = to_array(state["a"]).ravel()[to_array(state["idxs"]).ravel()]
    return entries.reshape(to_array(state["preferred_shape"])) if state.get("preferred_shape") is not None else entries


def _sparse(record: SparseRecord) -> scipy.sparse.csc_matrix:
    state = record.state
    shape = tuple(int(size) for size in to_array(state["_shape"] if "_shape" in state else state["shape"]))
    data = to_array(state["data"])
    if "row" in state:
        return scipy.sparse.coo_matrix((data, (to_array(state["row"]), to_array(state["col"]))), shape).tocsc()
    compressed = scipy.sparse.csr_matrix if state.get("format") == "csr" else scipy.sparse.csc_matrix
    matrix = compressed((data, to_array(state["indices"]), to_array(state["indptr"])), shape)
    matrix.check_format(full_check=True)
    return matrix.tocsc()
