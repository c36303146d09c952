"""Work that several processes share, on one machine or on several that see the same folder; none waits for another.

Work is cut into pieces, and a piece that is done has left a file.  Who begins one locks its byte of a file beside the
folder.  The operating system lets go of the locks of a process that ends, however it ends, and others take its pieces.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from tqdm import tqdm

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

from utils.artifacts import lock_file

Piece = TypeVar("Piece")


class Rank(NamedTuple):
    """Which of several processes this one is, as torchrun tells it."""

    number: int
    processes: int
    local: int
    """Among those of this machine."""
    is_shared: bool
    """Whether torchrun, or somebody who tells the same, started it; one process alone may be started so, too."""


def rank_of_process() -> Rank:
    """Read from the environment which of several processes this one is.

    Raises:
        ValueError: what it says is no such thing.
    """
    told = {name: os.environ.get(name, usual) for name, usual in
            (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))}  # fmt: skip
    if not all(value.isdigit() for value in told.values()) or not int(told["RANK"]) < int(told["WORLD_SIZE"]):
        said = ", ".join(f"{name} {value!r}" for name, value in told.items())
        raise ValueError(f"the environment has {said}, which names no process of several; start with torchrun, or "
                         "unset these")  # fmt: skip
    number, count, local = map(int, told.values())
    return Rank(number, count, local, "RANK" in os.environ)


SHARED, ALONE, FIRST_PIECE = 0, 1, 2
"""Bytes of the file of locks: that somebody shares the folder, what one of them does alone, and from where on pieces
have theirs."""


class SharedFolder:
    """The right to write into a folder beside other processes that do the same, and the locks of the pieces.

    They are in the file whose whole `FolderLock` locks: who has a folder for himself and those who share it refuse each
    other.  A piece is known by its name, so that nobody needs to have the same list of them.
    """

    def __init__(self, folder: Path, remedy: str, needs_locks: bool = True):
        """Join those who share the folder.

        Args:
            needs_locks: False for a process that may go on without them, as it was started by itself.
        Raises:
            FileExistsError: another process has the folder for itself.
            ValueError: there are no locks here.
        """
        self.folder, self.needs_locks, self.handle = folder, needs_locks, -1
        folder.parent.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            self._do_without("this system")
            return
        self.handle = os.open(lock_file(folder), os.O_RDWR | os.O_CREAT, 0o644)
        if not self._lock(fcntl.LOCK_SH | fcntl.LOCK_NB, SHARED):
            self.release()
            raise FileExistsError(f"another process that runs now writes into {folder}; {remedy}")

    def _do_without(self, where: str) -> None:
        if self.needs_locks:
            raise ValueError(f"several processes would share {self.folder} by locks, which {where} does not have; "
                             "leave out torchrun, or choose a folder on a file system that has locks")  # fmt: skip

    def _lock(self, how: int, byte: int) -> bool:
        try:
            fcntl.lockf(self.handle, how, 1, byte)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            self._do_without("its file system")
        return True

    def take(self, name: str) -> bool:
        """Lock a piece; False if another process has it."""
        return fcntl is None or self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, byte_of(name))

    def let_go(self, name: str) -> None:
        """Let others take a piece."""
        if fcntl is not None:
            self._lock(fcntl.LOCK_UN, byte_of(name))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process do at the same time what is inside, which must take no more than a moment."""
        if fcntl is None:
            yield
            return
        self._lock(fcntl.LOCK_EX, ALONE)
        try:
            yield
        finally:
            self._lock(fcntl.LOCK_UN, ALONE)

    def release(self) -> None:
        """Let go of everything."""
        if self.handle >= 0:
            os.close(self.handle)


def byte_of(name: str) -> int:
    """Give a piece its byte of the file of locks, which stays empty: 62 bits of a hash, as no two may meet."""
    return FIRST_PIECE + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") // 4


@contextmanager
def shared_folder(folder: Path, remedy: str, needs_locks: bool = True) -> Iterator[SharedFolder]:
    """Share a folder until the end of what is inside."""
    shared = SharedFolder(folder, remedy, needs_locks)
    try:
        yield shared
    finally:
        shared.release()


def free_pieces(
    pieces: Sequence[Piece], name_of: Callable[[Piece], str], is_done: Callable[[Piece], bool], shared: SharedFolder,
    rank: Rank,
) -> Iterator[Piece]:  # fmt: skip
    """Yield pieces that nobody has done or is doing, until none is left; each must be done when the next is asked for.

    Every process begins with another part of the list, so that neighbours stay together as long as there is enough for
    all.  What a process that ended had begun is taken by those who come to the end of the list.
    """
    first = rank.number * len(pieces) // rank.processes
    left = [*pieces[first:], *pieces[:first]]
    with tqdm(total=len(pieces), unit="part", disable=True if rank.number else None) as bar:
        has_taken = True
        while left and has_taken:
            has_taken = False
            for piece in left:
                if not is_done(piece) and shared.take(name_of(piece)):
                    try:
                        if not is_done(piece):
                            yield piece
                            assert is_done(piece), f"{name_of(piece)} left no file"
                            has_taken = True
                    finally:
                        shared.let_go(name_of(piece))
                bar.update(int(is_done(piece)))
            left = [piece for piece in left if not is_done(piece)]


LAST = "what the last process does"


def is_last(pieces: Sequence[Piece], is_done: Callable[[Piece], bool], shared: SharedFolder) -> bool:
    """Tell whether all is done and no other process puts it together; otherwise say who will.

    Each process asks after its last piece is done, so that one of them finds everything there.
    """
    missing = sum(not is_done(piece) for piece in pieces)
    if missing:
        print(f"{missing} of {len(pieces)} parts are in the hands of other processes, the last of which puts all "
              "together; should they have ended, give the same command again")  # fmt: skip
        return False
    is_free = shared.take(LAST)
    if not is_free:
        print("another process puts the parts together")
    return is_free
