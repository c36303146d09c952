"""Work in copies of this process, which may be killed or end by themselves."""

import os
import signal
import time
from collections.abc import Callable


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
