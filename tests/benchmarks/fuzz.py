"""Reads damaged and hostile files with every reader: only a sentence with the file's name may come of it.

    python tests/benchmarks/fuzz.py                       # half an hour of one core, shared by all readers
    python tests/benchmarks/fuzz.py --readers amc --cases 1000 --show
    python tests/benchmarks/fuzz.py --guided --readers body_pkl meta_mat --seconds 600      # by coverage; needs atheris

Small real files are changed as damage and malice do (tests/helpers/mutations.py), the parts of archives too.  A reader
may give a value, or raise ValueError or OSError with the file's name in one line.  Anything else, the end of the
process among it, counts as foreign; more than 2 s of computing or 1 GB more memory as over the limit.

With --guided, atheris keeps files that reach new code of ours and changes them further (tests/benchmarks/guided.py).
It takes every reader.  What is written in C it does not see: of pictures and videos OpenCV, of checkpoints PyTorch, of
JSON, CSV and XML Python's own parsers, of archives what unpacks them; there only our part around them guides it.

Writes  tests/benchmarks/results/fuzz.json
"""

import importlib.util
import json
import mmap
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from config import ROOT
from tests.helpers.children import in_a_child
from tests.helpers.file_readers import READERS, Reader
from tests.helpers.mutations import mutated
from utils.artifacts import commit, save_result
from utils.failures import failure_in_words
from utils.settings import start

AIM_OURS, AIM_OTHERS = 100_000, 10_000
MOST_S, MOST_BYTES = 2.0, 1 << 30
STUCK_S = 60
"""After so long on one file, code of a library did not come back to Python's signals."""
EXAMPLES = 5
IN_MEMORY = Path("/dev/shm")
"""Files are written here where it exists: a disk takes far longer than a reader."""


@dataclass(frozen=True)
class FuzzConfig:
    """tests/benchmarks/fuzz.py: how much is tried."""

    readers: tuple[str, ...] = tuple(READERS)
    cases: int = 0
    """Of each reader; 0: 100,000 where we parse, 10,000 where OpenCV, PyTorch, Pillow or zipfile does."""
    seconds: float = 1700.0
    """For all readers together; each has an equal share of what is left.  Guided, an equal share of all:
    to start a process for each takes time that is not counted."""
    guided: bool = False
    """Let coverage choose what is changed further; needs atheris (pip install atheris), which nothing else needs."""
    kept: Path = ROOT / "runs" / "fuzz"
    """Guided: what goes wrong is kept here, and what reached new code."""
    first: int = 0
    show: bool = False
    """Print what was wrong."""
    result: Path | None = ROOT / "tests" / "benchmarks" / "results" / "fuzz.json"


class TooSlowError(BaseException):
    """A file took more than MOST_S of computing; no reader may catch it."""


class Verdict(NamedTuple):
    """What reading a file led to."""

    kind: str
    """read, refused, foreign or over_limit."""
    words: str = ""


def tried(reader: Reader, path: Path) -> Verdict:
    """Read a file and judge what came of it."""
    try:
        reader.read(path)
    except TooSlowError:
        return Verdict("over_limit", f"more than {MOST_S} s")
    except MemoryError as error:
        return Verdict("over_limit", f"MemoryError {error}")
    except (ValueError, OSError) as error:
        told = failure_in_words(error)
        if path.name in told and "\n" not in told and type(error) is not UnicodeDecodeError:
            return Verdict("refused")
        return Verdict("foreign", f"{type(error).__name__}: {error}"[:300])
    except Exception as error:
        return Verdict("foreign", f"{type(error).__name__}: {error}"[:300])
    return Verdict("read")


def write_case(reader: Reader, name: str, number: int, folder: Path, seeds: dict[str, bytes]) -> Path:
    """Write the changed file of a case, beside the others that the reader needs; give its path."""
    rng = random.Random(f"{name} {number}")
    file = rng.choice(sorted(seeds))
    path = folder / file
    path.write_bytes(mutated(seeds[file], rng))
    return path


class Tally:
    """Counts that a child writes and its parent reads, also when the child has ended."""

    def __init__(self, file: Path | None = None) -> None:
        """Begin at nothing, in memory, or in a file for processes that are no copies of this one."""
        if file is None:
            self.shared = mmap.mmap(-1, 4096)
            return
        with open(file, "a+b") as stream:
            stream.truncate(4096)
            self.shared = mmap.mmap(stream.fileno(), 4096)

    def set(self, *numbers: int) -> None:
        """Write: cases done, refused, foreign, over the limit."""
        self.shared[:32] = struct.pack("4q", *numbers)

    def get(self) -> list[int]:
        """Read the same."""
        return list(struct.unpack("4q", self.shared[:32]))

    def tell(self, words: str) -> None:
        """Keep what was wrong, in a line."""
        old = self.told()
        if len(old) < EXAMPLES:
            text = "\n".join([*old, " ".join(words.split())[:400]]).encode("ascii", "replace")[:4000]
            self.shared[64 : 64 + len(text)] = text

    def told(self) -> list[str]:
        """Give what was wrong."""
        return [one for one in bytes(self.shared[64:]).rstrip(b"\0").decode().split("\n") if one]


@contextmanager
def within_limits() -> Iterator[None]:
    """Give this process limits for one file: computing time by a signal, memory by the system."""

    def too_slow(number: int, frame: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGVTALRM, too_slow)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_BYTES, hard))
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGVTALRM, before)


def judge_all(name: str, reader: Reader, tally: Tally, numbers: range, until_s: float, folder: Path) -> None:
    """Try cases in this process, which may end at any of them."""
    seeds = {path.name: path.read_bytes() for path in reader.write(folder)}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    done, refused, foreign, over = tally.get()
    for number in numbers[done:]:
        for file, content in seeds.items():
            if not (folder / file).is_file() or (folder / file).stat().st_size != len(content):
                (folder / file).write_bytes(content)
        path = write_case(reader, name, number, folder, seeds)
        signal.alarm(STUCK_S)
        with within_limits():
            verdict = tried(reader, path)
        signal.alarm(0)
        path.write_bytes(seeds[path.name])
        done, refused = done + 1, refused + (verdict.kind == "refused")
        foreign, over = foreign + (verdict.kind == "foreign"), over + (verdict.kind == "over_limit")
        if verdict.words:
            tally.tell(f"case {number}, {path.name}: {verdict.words}")
        tally.set(done, refused, foreign, over)
        if time.monotonic() > until_s:
            return


def fuzz(name: str, reader: Reader, numbers: range, seconds: float) -> dict[str, Any]:
    """Try cases of a reader in child processes; a case that ends one counts as foreign, or as over the limit."""
    tally, until_s, crashed = Tally(), time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory(prefix="fuzz_", dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as scratch:
        while tally.get()[0] < len(numbers) and time.monotonic() < until_s:
            code = in_a_child(lambda: judge_all(name, reader, tally, numbers, until_s, Path(scratch)))
            done, refused, foreign, over = tally.get()
            if code > 0:
                raise RuntimeError(f"the writer of {name} fails: run it alone")
            if code < 0:
                crashed += 1
                tally.tell(f"case {numbers[done]}: the process ended by signal {-code}")
                tally.set(done + 1, refused, foreign + (code != -signal.SIGALRM), over + (code == -signal.SIGALRM))
    done, refused, foreign, over = tally.get()
    return {"cases": done, "refused": refused, "read": done - refused - foreign - over, "ours": reader.is_ours,
            "foreign_errors": foreign, "ended_processes": crashed, "over_limit": over,
            "examples": tally.told()}  # fmt: skip


LAST = re.compile(r"cov: (\d+) ft: \d+ corp: (\d+)")
"""What atheris says from time to time: places of code that were reached, and inputs that were kept."""


def fuzz_guided(name: str, is_ours: bool, config: FuzzConfig, seconds: float) -> dict[str, Any]:
    """Let coverage choose cases of a reader, in a process of its own; if a case ends that, it counts as foreign."""
    folder = config.kept / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="guided_") as scratch:
        file = Path(scratch) / "tally"
        tally = Tally(file)
        command = [sys.executable, "-m", "tests.benchmarks.guided", "--reader", name, "--tally", file, "--kept", folder,
                   "--corpus", folder / "corpus", "--seconds", seconds, "--cases", config.cases]  # fmt: skip
        done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, errors="replace")
        cases, refused, foreign, over = tally.get()
        told = [(int(code), int(inputs)) for code, inputs in LAST.findall(done.stderr)]
        if not cases or not told:
            raise RuntimeError(f"atheris could not run on {name}: {done.stderr[-2000:]}")
        if done.returncode:
            tally.tell(f"the process ended with code {done.returncode}")
        return {"cases": cases, "refused": refused, "read": cases - refused - foreign - over, "ours": is_ours,
                "foreign_errors": foreign + (done.returncode != 0), "ended_processes": int(done.returncode != 0),
                "over_limit": over, "seconds": round(seconds), "places_of_code_first": told[0][0],
                "places_of_code_last": told[-1][0], "inputs_kept": told[-1][1],
                "examples": tally.told()}  # fmt: skip


def keep(result: Path | None, how: Literal["readers", "guided"], found: dict[str, Any]) -> None:
    """Write what was found of a reader beside what is there of others."""
    if result is None:
        return
    stored = json.loads(result.read_text()) if result.is_file() else {}
    parts: dict[str, Any] = {part: stored.get(part, {}) for part in ("readers", "guided")}
    parts[how] = parts[how] | found
    save_result(result, "see the head of tests/benchmarks/fuzz.py", **parts)


def main(config: FuzzConfig) -> dict[str, Any]:
    """Try every reader; write down the counts.

    Raises:
        ValueError: coverage shall choose, and atheris is not installed.
    """
    if config.guided and importlib.util.find_spec("atheris") is None:
        raise ValueError("--guided needs the package atheris, which is not installed; pip install atheris")
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    ends_s = time.monotonic() + config.seconds
    for place, name in enumerate(config.readers):
        reader = READERS[name]
        aim = config.cases or (AIM_OURS if reader.is_ours else AIM_OTHERS)
        if config.guided:
            found[name] = fuzz_guided(name, reader.is_ours, config, config.seconds / len(config.readers))
        else:
            share_s = (ends_s - time.monotonic()) / (len(config.readers) - place)
            found[name] = fuzz(name, reader, range(config.first, config.first + aim), share_s)
        found[name]["commit"] = commit()
        print(f"{name}: {found[name]['cases']} cases, {found[name]['foreign_errors']} foreign, "
              f"{found[name]['over_limit']} over the limit", file=sys.stderr)  # fmt: skip
        keep(config.result, "guided" if config.guided else "readers", {name: found[name]})
        if config.show:
            print("\n".join(f"    {line}" for line in found[name]["examples"]), file=sys.stderr)
    return found


if __name__ == "__main__":
    start(main, FuzzConfig)
