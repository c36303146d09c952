"""Several processes do each piece of their work once, and what one that ended had begun is done by the others."""

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from utils import shared_work
from utils.artifacts import FolderLock, lock_file
from utils.shared_work import Rank, SharedFolder, free_pieces, is_last, rank_of_process, shared_folder

PIECES = [f"piece_{number:02d}" for number in range(24)]
WAIT = "wait"
ALONE = Rank(0, 1, 0, True)
FORK = multiprocessing.get_context("fork")
"""Processes that only touch files and locks may be forked, which starts them at once."""


def work(folder: Path, number: int, count: int, start: Barrier, dies_at: str) -> None:
    """Do pieces as one of several; notes in `begun` say who did which, and `last` who found all there."""
    rank = Rank(number, count, number, True)

    def is_done(name: str) -> bool:
        return (folder / name).is_file()

    (folder / "begun").mkdir(parents=True, exist_ok=True)
    start.wait(60)
    with shared_folder(folder, WAIT) as shared:
        for name in free_pieces(PIECES, str, is_done, shared, rank):
            (folder / "begun" / f"{name}_{number}_{os.getpid()}").touch()
            if name == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.02)
            (folder / name).touch()
        if is_last(PIECES, is_done, shared):
            (folder / f"last_{number}").touch()
    os._exit(0)


def at_once(folder: Path, count: int, dies_at: dict[int, str] | None = None) -> list[int | None]:
    """Let several processes begin at the same moment, and give their exit codes."""
    start = FORK.Barrier(count)
    workers = [FORK.Process(target=work, args=(folder, number, count, start, (dies_at or {}).get(number, "")))
               for number in range(count)]  # fmt: skip
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    return [worker.exitcode for worker in workers]


def begun(folder: Path) -> list[str]:
    return sorted(path.name[: len(PIECES[0])] for path in (folder / "begun").iterdir())


def test_three_processes_do_each_piece_once_and_the_last_one_finds_all_there(tmp_path):
    assert at_once(tmp_path / "work", 3) == [0, 0, 0]
    assert begun(tmp_path / "work") == PIECES
    assert len({path.name.split("_")[2] for path in (tmp_path / "work" / "begun").iterdir()}) == 3, (
        "all had something to do"
    )
    assert list((tmp_path / "work").glob("last_*"))
    assert lock_file(tmp_path / "work").stat().st_size == 0


def test_what_a_killed_process_had_begun_is_done_by_another(tmp_path):
    folder = tmp_path / "work"
    assert at_once(folder, 2, dies_at={1: PIECES[12]}) == [0, -signal.SIGKILL]
    assert begun(folder) == sorted([*PIECES, PIECES[12]])
    assert [path.name for path in folder.glob("last_*")] == ["last_0"]


def test_when_all_were_killed_the_same_command_goes_on(tmp_path):
    folder = tmp_path / "work"
    assert at_once(folder, 2, dies_at={0: PIECES[2], 1: PIECES[15]}) == [-signal.SIGKILL] * 2
    assert not list(folder.glob("last_*"))
    assert at_once(folder, 3) == [0, 0, 0]
    assert begun(folder) == sorted([*PIECES, PIECES[2], PIECES[15]]) and list(folder.glob("last_*"))


def hold(folder: Path, how: type, piece: str, told: Connection) -> None:
    """Keep a folder, and perhaps a piece of it, until killed."""
    lock = how(folder, WAIT)
    told.send(not piece or lock.take(piece))
    time.sleep(600)


@contextmanager
def held(folder: Path, how: type, piece: str = "") -> Iterator[None]:
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=hold, args=(folder, how, piece, theirs))
    other.start()
    try:
        assert ours.poll(60) and ours.recv()
        yield
    finally:
        other.kill()
        other.join(60)


def test_a_piece_in_other_hands_is_left_to_them_and_taken_when_they_are_gone(tmp_path, capsys):
    folder, done, names = tmp_path / "work", set[str](), ["a", "b", "c"]
    with shared_folder(folder, WAIT) as shared:
        with held(folder, SharedFolder, "b"):
            for name in free_pieces(names, str, done.__contains__, shared, ALONE):
                done.add(name)
            assert done == {"a", "c"}
            assert not is_last(names, done.__contains__, shared)
            assert "1 of 3 parts are in the hands of other processes" in capsys.readouterr().out
        for name in free_pieces(names, str, done.__contains__, shared, ALONE):
            done.add(name)
        assert done == {*names} and is_last(names, done.__contains__, shared)


@pytest.mark.parametrize(("holder", "asked"), [(FolderLock, SharedFolder), (SharedFolder, FolderLock)])
def test_who_shares_a_folder_and_who_has_it_alone_refuse_each_other(tmp_path, holder, asked):
    told = r"another process that runs now writes into .*work; wait"
    with held(tmp_path / "work", holder), pytest.raises(FileExistsError, match=told):
        asked(tmp_path / "work", WAIT)
    asked(tmp_path / "work", WAIT).release()


def test_each_begins_with_another_part_of_the_list(tmp_path):
    firsts = []
    for number in range(3):
        with shared_folder(tmp_path / "work", WAIT) as shared:
            firsts.append(next(free_pieces("abcdefghi", str, lambda _: False, shared, Rank(number, 3, 0, True))))
    assert firsts == ["a", "d", "g"]


def test_what_the_environment_says_of_processes_is_checked(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert rank_of_process() == Rank(0, 1, 0, False)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert rank_of_process() == Rank(5, 8, 1, True)
    for name, value in (("RANK", "8"), ("RANK", "-1"), ("WORLD_SIZE", "many")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            with pytest.raises(ValueError, match=f"{name} '{value}'.*names no process of several"):
                rank_of_process()


def test_without_locks_sharing_is_refused_in_one_sentence(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(shared_work.fcntl, "lockf", no_locks)
    with pytest.raises(ValueError, match=r"share .*work by locks, which its file system does not have; leave out tor"):
        SharedFolder(tmp_path / "work", WAIT)
    monkeypatch.setattr(shared_work, "fcntl", None)
    with pytest.raises(ValueError, match=r"share .*work by locks, which this system does not have; leave out torchrun"):
        SharedFolder(tmp_path / "work", WAIT)


def test_a_process_that_was_started_by_itself_works_without_locks(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(shared_work.fcntl, "lockf", no_locks)
    for system in (shared_work.fcntl, None):
        monkeypatch.setattr(shared_work, "fcntl", system)
        done = set[str]()
        with shared_folder(tmp_path / "work", WAIT, needs_locks=False) as shared, shared.alone():
            for name in free_pieces("abc", str, done.__contains__, shared, ALONE):
                done.add(name)
            assert done == {*"abc"} and is_last("abc", done.__contains__, shared)
