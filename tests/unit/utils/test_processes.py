"""Processes of a pool end with the one that started them, and one that is ended is named."""

import os
import platform
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from config import ROOT
from utils.failures import failure_in_words
from utils.processes import for_each, keep_freed_memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
POOL = """
import signal, sys, tempfile
from functools import partial
from pathlib import Path
from tests.unit.utils.test_processes import busy
from utils.processes import for_each
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with tempfile.TemporaryDirectory(dir=sys.argv[1], suffix=".partial"):
        for_each(partial(busy, Path(sys.argv[1])), range(8), 2, "busy")
"""
STEPS = """
import resource, torch
from utils.processes import keep_freed_memory
told = {call}
def step():
    parts = [torch.ones(9_000_000) for _ in range(4)]
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(told, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""
PAGES_OF_A_STEP = 4 * 36_000_000 // 4096
"""Of arrays above 32 MB, which glibc never keeps unless it is told."""
LONGEST_S = 60.0
"""For what takes a few hundredths of a second on an idle machine."""


def busy(folder: Path, item: int) -> None:
    """Compute and write for minutes, as one who draws pictures does."""
    (folder / f"pid_{os.getpid()}").touch()
    for _ in range(6000):
        (folder / "written").write_text(str(item))
        time.sleep(0.01)


def doubled(item: int) -> int:
    return 2 * item


def ended_at_three(how: int, item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), how)
    time.sleep(0.05)
    return item


def wrong_at_three(item: int) -> int:
    if item == 3:
        raise ValueError("image_3.jpg is truncated")
    return item


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def waited_for(what, longest_s: float = LONGEST_S) -> bool:
    end_s = time.monotonic() + longest_s
    while not what() and time.monotonic() < end_s:
        time.sleep(0.02)
    return bool(what())


def test_results_come_in_the_order_of_the_items():
    assert (
        for_each(doubled, range(7), 2, "doubled") == for_each(doubled, range(7), 1, "doubled") == list(range(0, 14, 2))
    )


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path, how):
    (tmp_path / "pool.py").write_text(POOL)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "pool.py"), str(tmp_path)],
                              env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        assert waited_for(lambda: len(list(tmp_path.glob("pid_*"))) == 2, 300)
        workers = [int(path.name.removeprefix("pid_")) for path in tmp_path.glob("pid_*")]
        parent.send_signal(how)
        parent.wait(LONGEST_S)
        assert waited_for(lambda: not any(is_running(pid) for pid in workers)), "workers went on alone"
        (tmp_path / "written").unlink()
        time.sleep(0.1)
        assert not (tmp_path / "written").exists()
    finally:
        for pid in [parent.pid, *(int(path.name.removeprefix("pid_")) for path in tmp_path.glob("pid_*"))]:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
    if how != signal.SIGKILL:
        assert not list(tmp_path.glob("*.partial")), "what was begun was not cleaned up"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_ended_is_named_with_its_item(how):
    with pytest.raises(ChildProcessError) as error:
        for_each(partial(ended_at_three, how), range(6), 2, "items")
    told = failure_in_words(error.value)
    assert "was ended from outside" in told and "while it worked on 3" in told and "\n" not in told, told
    assert how != signal.SIGKILL or told.startswith("a process was ended from outside (SIGKILL): pid "), told


def test_an_error_of_an_item_is_told_as_it_is():
    with pytest.raises(ValueError, match=r"image_3.jpg is truncated"):
        for_each(wrong_at_three, range(6), 2, "items")


def faults_per_step(call: str, **environment: str) -> tuple[str, int]:
    kept = {name: value for name, value in os.environ.items() if "MALLOC" not in name and name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", STEPS.format(call=call)]
    done = subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True)
    told, faults = done.stdout.split()
    return told, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide by themselves")
def test_arrays_of_one_step_lie_where_those_of_the_step_before_lay():
    given_back = faults_per_step("None")[1]
    told, faults = faults_per_step("keep_freed_memory()")
    assert told == "True"
    if given_back < PAGES_OF_A_STEP // 20:
        pytest.skip(f"this system hands out memory in large pages: {given_back} faults a step where it is given back")
    assert faults < given_back // 4


def test_what_the_environment_says_of_memory_stays(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not keep_freed_memory()
