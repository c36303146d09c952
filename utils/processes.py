"""Do the same thing to many items in several processes, with a progress bar.

The processes end with the one that started them, however it ends, and one that is ended from outside is named with what
it was doing.
"""

import ctypes
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from tqdm import tqdm

from utils.optional import is_installed, later

cv2 = later("cv2")

Item = TypeVar("Item")
Result = TypeVar("Result")

LONGEST_NAME = 120
"""Characters of an item in a message."""


def one_thread() -> None:
    """Keep OpenCV and PyTorch from starting a thread per core in every process."""
    if is_installed("cv2"):
        cv2.setNumThreads(1)
    if "torch" in sys.modules:  # most of our workers only handle pictures, and importing it takes seconds
        sys.modules["torch"].set_num_threads(1)


KEPT_ARRAY_BYTES = (256 << 20, 32 << 20)
"""Arrays up to this size are taken from memory that was freed before; some versions of glibc take no more than the
second."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of <malloc.h>
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep the memory of freed arrays for the next ones, instead of giving it back to the system at once.

    A training step frees and takes the same megabytes over and over.  The system hands memory out empty, page by page,
    each at the cost of a fault: 10,000 of them, 15 to 20 % of the time, in a step of stage 2 with 48 images.

    Returns:
        Whether it did: not where the C library is not glibc, and not where the environment sets these thresholds.
    Source: mallopt(3); measured in tests/benchmarks/LOG.md.
    """
    if any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None or not any(mallopt(_MMAP_THRESHOLD, size) for size in KEPT_ARRAY_BYTES):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _MOST))


def _end_with_parent() -> None:
    """End this process at once when the one that started the pool is gone.

    Nobody else would: a process of a pool finishes what it has and then waits for ever, and until then it writes into
    folders that somebody may have made anew.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _prepare() -> None:
    """Make a process of a pool ready for work."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()


def _context() -> multiprocessing.context.BaseContext:
    """Choose how processes start: by forking a clean one that has loaded the slow packages, where that exists.

    Forking this one instead could copy a lock that one of its threads holds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "cv2", "utils.image"])
    return context


def _noted(function: Callable[[Item], Result], notes: Path, number: int, item: Item) -> Result:
    """Call the function; while it runs, a note named like this process says on which item."""
    note = notes / str(os.getpid())
    note.write_text(str(number))
    found = function(item)
    note.unlink()
    return found


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this process as `sys.exit` does, so that what was begun is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _lost(processes: Sequence[BaseProcess], notes: Path, items: Sequence[object]) -> str:
    """Say which process was ended, how, and what it was doing.

    When one is ended, the pool ends the others with SIGTERM; whose end was not reported has the exit code 255.
    """
    for process in processes:
        process.join(timeout=5)
    ended = [one for one in processes if one.exitcode not in (None, 0, -signal.SIGTERM, 255)] or list(processes)
    noted = {one.pid: notes / str(one.pid) for one in ended}
    at_work = {pid: items[int(note.read_text())] for pid, note in noted.items() if note.is_file() and note.read_text()}
    how = f" ({signal.Signals(-code).name})" if (code := ended[0].exitcode or 0) < 0 else f" (exit code {code})"
    if not at_work:
        return f"a process (pid {ended[0].pid}) was ended from outside{how} between two items"
    who = ", or ".join(f"pid {pid}, while it worked on {_name(item)}" for pid, item in at_work.items())
    return f"a process was ended from outside{how if len(ended) == 1 else ''}: {who}"


def _name(item: object) -> str:
    """Write an item short, on one line."""
    text = " ".join(str(item).split())
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def for_each(function: Callable[[Item], Result], items: Sequence[Item], processes: int, label: str) -> list[Result]:
    """Call a function on every item and give the results in the items' order.

    Args:
        function: a module's own function, or a `partial` of one; it travels to the processes.
        processes: 0 takes one per core; 1 stays in this process.
    Raises:
        ChildProcessError: a process was ended from outside.
    """
    count = min(processes or os.cpu_count() or 1, max(1, len(items)))
    if count == 1:
        return [function(item) for item in tqdm(items, desc=label, disable=None)]
    before = multiprocessing.active_children()
    with (
        TemporaryDirectory(prefix="notes_") as notes,
        _ended_by_sigterm(),
        ProcessPoolExecutor(count, _context(), initializer=_prepare) as pool,
    ):
        results = pool.map(partial(_noted, function, Path(notes)), range(len(items)), items)
        ours = [one for one in multiprocessing.active_children() if one not in before]
        try:
            return list(tqdm(results, total=len(items), desc=label, disable=None))
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"{_lost(ours, Path(notes), items)}; memory may have run out, or a library failed on it: use fewer "
                "--processes, or look at that file"
            ) from error
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):  # nobody waits for what the others have begun
                for process in ours:
                    process.kill()
            raise
