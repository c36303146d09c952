"""A pickle reader that admits a dictionary of NumPy arrays and plain types, and runs nothing."""

import pickle
from pathlib import Path
from typing import Any

ADMITTED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
"""What NumPy needs to rebuild an array, over all pickle protocols; `encode` turns text into bytes in protocol 2."""

UNREADABLE = (pickle.UnpicklingError, EOFError, TypeError, AttributeError, LookupError, SystemError, MemoryError,
              RuntimeError)  # fmt: skip
"""What a damaged pickle makes Python and NumPy raise (found by damaging some)."""


class ArrayUnpickler(pickle.Unpickler):
    """Rebuilds arrays and plain types, and refuses everything else by name."""

    def find_class(self, module: str, name: str) -> Any:
        """Admit what an array needs."""
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def load_pickled_arrays(path: Path) -> dict[str, Any]:
    """Read a dictionary of arrays and plain types.

    Raises:
        ValueError: the file is damaged, asks for something else (named), or holds no dictionary.
    """
    try:
        with open(path, "rb") as stream:
            content = ArrayUnpickler(stream).load()
    except (
        pickle.UnpicklingError,
        EOFError,
        TypeError,
        AttributeError,
        LookupError,
        SystemError,
        MemoryError,
    ) as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    return content
