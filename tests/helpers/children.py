"""Work in copies of this process, which may be killed or end by themselves."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any


def in_a_child(work: Callable[[], None], kill_after_s: float | None = None) -> int:
    """Do something in a copy of this process; give its exit code, or less than 0: the signal that ended it."""
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)  # a child that has ended waits for us, so the number is still its own
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def done_by_two_ranks(
    work: Callable[[int, Any, Path, Barrier], None], config: Any, noted: Path
) -> list[tuple[str, str]]:
    """Start work twice, as number 0 and 1 of two; both must end well, and leave files <piece>_by_<number> in a folder.

    Returns:
        Pieces and the numbers of who did them, sorted.
    """
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    ranks = [spawn.Process(target=work, args=(number, config, noted, start)) for number in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(600)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    found = sorted(path.name.rpartition("_by_")[::2] for path in noted.iterdir())
    return [(piece, number) for piece, number in found]
