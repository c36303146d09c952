"""What the operating system and libraries report becomes one sentence and exit code 2; what was whole stays whole."""

import errno
import json
import os
import re
import runpy
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch

from config import ROOT, Paths
from tests.helpers.toy_run import ToyConfig, train
from utils.artifacts import FolderLock, lock_file
from utils.compiled import compiled
from utils.engine import Run
from utils.failures import REASONS, failure_in_words
from utils.settings import start


@dataclass(frozen=True)
class Nothing:
    """No settings."""


@dataclass(frozen=True)
class Share:
    """Two settings, one of which has no default."""

    share: float
    of: str = ""


def exit_of(monkeypatch, capsys, failing) -> tuple[int, str]:
    """Run a script that fails; its exit code and what it says."""
    monkeypatch.setattr(sys, "argv", ["script"])
    monkeypatch.delenv("TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as ended:
        start(failing, Nothing)
    return int(str(ended.value.code)), capsys.readouterr().err


def test_a_tool_may_begin_with_values_of_its_own(monkeypatch):
    found = []
    for words, begins in (([], 0.0), (["--share", "0.5"], 0.5)):
        monkeypatch.setattr(sys, "argv", ["script", *words])
        start(found.append, Share, default=Share(0.0, "all"))
        assert found.pop() == Share(begins, "all")


BENCHMARKS = {
    "summary": (["--results", "nowhere"], "error: nowhere holds no result that is read here"),
    "bodies_on_fits": (["--truth", "nowhere", "--fits", "nowhere"], "nowhere/predictions.npz does not exist; make it"),
    "speedrun": (["--data", "nowhere"], "error: nowhere/index/index.npz does not exist; give --data"),
    "kills": (["--stages", "pose", "nobody"], "error: stages has 'nobody'; use some of enc_dec, pose"),
    "bodies_from_masks": (["--rows", "none"], "error: rows has 'none', which is no row of this table"),
    "masks_terms": (["--rows", "none"], "error: rows has 'none', which is no row of this table"),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_what_a_benchmark_cannot_use_is_one_sentence_too(name, tmp_path, monkeypatch, capsys):
    words, sentence = BENCHMARKS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tests" / "benchmarks" / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2 and sentence in said and "Traceback" not in said
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.get)
def test_every_error_of_the_system_names_its_path_and_the_way_out(monkeypatch, capsys, number):
    def main(_):
        raise OSError(number, os.strerror(number), "runs/a/checkpoint_last.pt.partial")

    code, text = exit_of(monkeypatch, capsys, main)
    first = text.splitlines()[0]
    assert code == 2 and first.startswith("error: runs/a/checkpoint_last.pt ") and "; " in first, text
    assert "Traceback" not in text and len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
                      "workers are out of shared memory."), "/dev/shm.*--loop.workers 0.*--shm-size"),
        (RuntimeError("unable to write to file </torch_12_34_0>: No space left on device (28)"), "/dev/shm"),
        (OSError(errno.ENOSPC, "No space left on device", "/torch_1_2"), "/dev/shm"),
        (BrokenProcessPool("terminated abruptly"), "memory ran out; use fewer --processes"),
        (MemoryError("Unable to allocate 132. GiB for an array with shape (9, 9)"), r"memory \(132\. GiB at once\)"),
        (ValueError("Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
                    "  File x\nValueError: image a.jpg is truncated; copy it again"), "^image a.jpg is truncated"),
        (OSError("Caught OSError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
                 "  File x\nOSError: [Errno 5] Input/output error: 'a.jpg'"), "Input/output error: 'a.jpg'"),
        (FileNotFoundError("x does not exist; make it"), "^x does not exist; make it$"),
    ],
)  # fmt: skip
def test_what_libraries_report_is_put_in_words(error, words):
    text = failure_in_words(error)
    assert re.search(words, text), text
    assert "\n" not in text


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(RuntimeError, match="size mismatch"):
        start(lambda _: (_ for _ in ()).throw(RuntimeError("size mismatch")), Nothing)


@pytest.mark.parametrize("place", ["a_file/below/it", "n" * 300])
def test_real_paths_that_cannot_be_are_named(monkeypatch, capsys, tmp_path, place):
    (tmp_path / "a_file").write_text("")
    config = ToyConfig(Paths(runs_location=tmp_path / place))
    code, text = exit_of(monkeypatch, capsys, lambda _: train(config))
    assert code == 2 and str(tmp_path) in text and ("below something that is a file" in text or "longer" in text), text


FULL_DISK = """
import resource, signal, sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from config import Paths
from tests.helpers.toy_run import ToyConfig, train
from tests.unit.utils.test_failures import Nothing
from utils.settings import start
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
config = ToyConfig(Paths(runs_location=Path(sys.argv.pop())))
config = replace(config, loop=replace(config.loop, resume=True, checkpoint_every=1))
config = replace(config, optim=replace(config.optim, steps=20))
def main(_):
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    train(config)
start(main, Nothing)
"""


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    """A limit on the size of files stands for a full disk."""
    config = ToyConfig(Paths(runs_location=tmp_path))
    train(config)
    before = (tmp_path / "toy/toy/checkpoint_last.pt").read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "Traceback" not in done.stderr.splitlines()[-2], done.stderr
    assert "cannot be written" in done.stderr and "what was whole before still is" in done.stderr
    assert (tmp_path / "toy/toy/checkpoint_last.pt").read_bytes() == before
    assert not list((tmp_path / "toy/toy").glob("*.partial"))
    assert torch.load(tmp_path / "toy/toy/checkpoint_last.pt", weights_only=True)["step"] == 12


MOUNTED = ["sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"']
"""The file system is seen by this process alone, and gone with it."""


def own_mounts(folder: Path) -> list[str]:
    """Give the command that runs another one with a file system of a megabyte on a folder; skip where none works."""
    for alone in (["unshare", "-rm"], ["unshare", "-m"]):
        with suppress(OSError):
            if not subprocess.run([*alone, *MOUNTED, str(folder), "true"], capture_output=True).returncode:
                return [*alone, *MOUNTED, str(folder)]
    pytest.skip("no small file system can be mounted here: neither unshare -rm nor unshare -m may")


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_and_a_training_that_goes_on(tmp_path):
    alone = own_mounts(tmp_path)
    done = subprocess.run([*alone, sys.executable, str(ROOT / "tests/helpers/full_disk.py"), str(tmp_path)], text=True,
                          capture_output=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert not done.returncode, done.stderr[-2000:]
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(trials) == 3
    for trial in trials:
        told = [line for line in trial["said"].splitlines() if line.startswith("error: ")]
        assert trial["code"] == 2 and len(told) == 1 and "Traceback" not in trial["said"], trial
        assert trial["run"] in told[0] and "no space is left there" in told[0], told
        assert not any(name.endswith(".partial") for name in trial["files"]), trial["files"]
        assert 12 <= trial["step"] < 300 == trial["ended"]
        assert trial["logged"] == sorted(set(trial["logged"])) and trial["logged"][-1] == 300
    assert trials[-1]["step"] > 12, "with some room the training gets further"


HOLDING = "import sys; from pathlib import Path; from utils.artifacts import FolderLock\n" \
          "lock = FolderLock(Path(sys.argv[1]), 'wait'); print('held', flush=True); sys.stdin.read()"  # fmt: skip


@pytest.mark.parametrize("asked", ["overwrite", "resume"])
def test_a_second_process_in_a_run_folder_is_refused_until_the_first_has_ended(tmp_path, asked):
    config = ToyConfig(Paths(runs_location=tmp_path))
    train(config)
    folder = tmp_path / "toy" / "toy"
    again = replace(config, loop=replace(config.loop, **{asked: True}), optim=replace(config.optim, steps=14))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(folder)], cwd=ROOT, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # fmt: skip
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(FileExistsError, match=r"another process that runs now writes into .*toy/toy; wait"):
            train(again)
        assert sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir()) == before
        other.kill()
    train(again)
    assert torch.load(folder / "checkpoint_last.pt", weights_only=True)["step"] == 14


def test_two_new_runs_of_one_name_do_not_both_begin(tmp_path):
    config = ToyConfig(Paths(runs_location=tmp_path))
    run = Run("toy", config)
    (tmp_path / "toy").mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path / "toy/toy")], cwd=ROOT, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # fmt: skip
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(FileExistsError, match="another process"):
            next(run.steps(run.loader(np.zeros((4, 1)), 2), last=1))  # type: ignore[arg-type]
        other.kill()
    assert not (tmp_path / "toy" / "toy").exists()
    assert lock_file(Path("a/b")) == Path("a/.b.lock")
    FolderLock(tmp_path / "toy/toy", "").release()


def test_without_a_place_for_its_cache_numba_compiles_anew(monkeypatch):
    real = numba.njit

    def without_cache(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return real(**options)

    monkeypatch.setattr("utils.compiled.numba", SimpleNamespace(njit=without_cache))
    assert compiled()(lambda x: x + 1)(2) == 3
