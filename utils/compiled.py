"""Compiles functions with numba, whose results are kept on disk where a folder for that can be written."""

from collections.abc import Callable
from typing import Any, Literal

from utils.optional import is_installed, later

numba = later("numba")


def compiled(inline: Literal["never", "always"] = "never") -> Callable[[Callable], Any]:
    """Compile a function at its first call and keep the result; without a writable folder, compile it in every process.

    numba looks for a place beside the file, then in the user's cache folder (`NUMBA_CACHE_DIR` names another); a
    read-only checkout in a read-only home has none, and that is no reason to stop.  Without numba, which a training
    from packed crops does without, the first call says that it is missing.
    """

    def compiling(function: Callable) -> Any:
        if not is_installed("numba"):
            return lambda *arguments, **named: numba.njit
        try:
            return numba.njit(nogil=True, cache=True, inline=inline)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return numba.njit(nogil=True, inline=inline)(function)

    return compiling
