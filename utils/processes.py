"""Do the same thing to many items in several processes, with a progress bar."""

import multiprocessing
import multiprocessing.context
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tqdm import tqdm

from utils.optional import is_installed, later

cv2 = later("cv2")

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_thread() -> None:
    """Keep OpenCV and PyTorch from starting a thread per core in every process."""
    if is_installed("cv2"):
        cv2.setNumThreads(1)
    if "torch" in sys.modules:  # most of our workers only handle pictures, and importing it takes seconds
        sys.modules["torch"].set_num_threads(1)


def _context() -> multiprocessing.context.BaseContext:
    """Choose how processes start: by forking a clean one that has loaded the slow packages, where that exists.

    Forking this one instead could copy a lock that one of its threads holds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "cv2", "utils.image"])
    return context


def for_each(function: Callable[[Item], Result], items: Sequence[Item], processes: int, label: str) -> list[Result]:
    """Call a function on every item and give the results in the items' order.

    Args:
        function: a module's own function, or a `partial` of one; it travels to the processes.
        processes: 0 takes one per core; 1 stays in this process.
    """
    count = min(processes or os.cpu_count() or 1, max(1, len(items)))
    if count == 1:
        return [function(item) for item in tqdm(items, desc=label, disable=None)]
    with ProcessPoolExecutor(count, _context(), initializer=one_thread) as pool:
        try:
            return list(tqdm(pool.map(function, items), total=len(items), desc=label, disable=None))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
