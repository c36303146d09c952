"""Turns what the operating system and libraries say of a failure into one sentence with the way out."""

import errno
import os
import re
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

ELSEWHERE = "choose another place (--out, --to, --paths.runs-location, ...)"
KEPT = "; what was whole before still is"
REASONS: dict[int, str] = {
    errno.EROFS: f"cannot be written: it lies on a read-only file system; {ELSEWHERE}",
    errno.ENOSPC: f"cannot be written: no space is left there; free some, or {ELSEWHERE}{KEPT}",
    errno.EDQUOT: f"cannot be written: your quota there is used up; free some, or {ELSEWHERE}{KEPT}",
    errno.EFBIG: f"cannot be written: the file system takes no file so large; {ELSEWHERE}{KEPT}",
    errno.EACCES: f"is not open to you: permission is denied; change it, or {ELSEWHERE}",
    errno.EPERM: f"is not open to you: the operation is not permitted; {ELSEWHERE}",
    errno.ENOTDIR: "lies below something that is a file and no folder; give another path",
    errno.EISDIR: "is a folder, and a file is needed; give another path",
    errno.ENAMETOOLONG: "is longer than names may be here; give a shorter one",
    errno.ENOENT: "does not exist; check the path",
    errno.EEXIST: "is there already; give another path",
    errno.ENOTEMPTY: "is not empty; give another path, or empty it",
    errno.EBUSY: "is in use by the system; wait, or give another path",
    errno.ETXTBSY: "is in use by a program; wait, or give another path",
    errno.EMFILE: "could not be opened: this process has too many open files; raise the limit (ulimit -n)",
    errno.ENFILE: "could not be opened: the machine has too many open files; close programs",
    errno.EIO: "could not be read or written: the device reports an error; check the disk",
    errno.ESTALE: "is gone from the network's file system; mount it again",
    errno.ELOOP: "is a link that leads back to itself; give another path",
}
"""What follows the path, by the operating system's number of the error."""
SHARED_MEMORY = re.compile(r"shared memory|\bshm\b|Bus error|/torch_\d|unable to mmap", re.IGNORECASE)
TOO_LITTLE_SHARED_MEMORY = (
    "the processes that read data have too little shared memory (/dev/shm); use --loop.workers 0, or give more "
    "(docker run --shm-size 2g)"
)
FAILED_WRITING = re.compile(r"PytorchStreamWriter|inline_container|iostream", re.IGNORECASE)
"""What PyTorch raises, as a RuntimeError, when a file cannot be written to its end; the last where only that fails."""
OTHERS_GONE = re.compile(r"\b(gloo|nccl)\b|connection (closed|reset) by peer", re.IGNORECASE)
"""What PyTorch raises in a process that waits for another one, which ended or does not answer."""
ASKED_ARE = re.compile(r"Unable to allocate ([^\n]*?) for an array")


NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What the system says to a write, and not only when a file is opened."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put a file's name into errors of writing: streams that are open already do not tell it."""
    try:
        yield
    except OSError as error:
        if error.errno in NOT_WRITTEN and error.filename is None:
            error.filename = str(path)
        raise


def _system_sentence(error: OSError) -> str:
    """Write an error of the operating system."""
    number = error.errno or 0
    path = error.filename2 if error.filename2 and number != errno.ENOENT else error.filename
    name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    name = name.removesuffix(".partial") or "a file"
    return f"{name} {REASONS.get(number, f'cannot be used: {(error.strerror or str(error)).lower()}; check the path')}"


def _in_worker(text: str) -> str:
    """Take the reason out of what PyTorch reports of a data worker, which carries its whole traceback."""
    if "Original Traceback" not in text:
        return text
    last = [line for line in text.splitlines() if line.strip()][-1]
    return last.partition(": ")[2] or last


def failure_in_words(error: BaseException) -> str:
    """Say in one sentence what went wrong; empty if it is no failure that a user can cause or mend."""
    text = _in_worker(str(error))
    if isinstance(error, BrokenProcessPool):
        return (
            "a process was ended from outside, perhaps because memory ran out; use fewer --processes, or close other "
            "programs"
        )
    if SHARED_MEMORY.search(text) and isinstance(error, RuntimeError | OSError):
        return TOO_LITTLE_SHARED_MEMORY
    if isinstance(error, RuntimeError) and OTHERS_GONE.search(text) and "RANK" in os.environ:
        return (
            f"process {os.environ['RANK']} waits for another one of this training, which was ended or does not answer; "
            "torchrun's report names it; with --loop.auto-resume the same command goes on from the last checkpoint, "
            "and torchrun --max-restarts gives it by itself"
        )
    if isinstance(error, OSError) and error.errno is not None:
        return _system_sentence(error)
    if isinstance(error, OSError | ValueError):
        return " ".join(text.split()) if "Original Traceback" in str(error) else text
    if isinstance(error, MemoryError):
        asked = ASKED_ARE.search(text)
        at_once = f" ({asked.group(1)} at once)" if asked else ""
        return (
            f"not enough memory{at_once}; close other programs, or use smaller pictures, batches or fewer --processes"
        )
    return ""
