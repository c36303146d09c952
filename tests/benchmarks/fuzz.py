"""Reads damaged and hostile files with every reader: only a sentence with the file's name may come of it.

    python tests/benchmarks/fuzz.py                       # half an hour of one core, shared by all readers
    python tests/benchmarks/fuzz.py --readers amc --cases 1000 --show

Small real files are changed as damage and malice do (tests/helpers/mutations.py), the parts of archives too.  A reader
may give a value, or raise ValueError or OSError with the file's name in one line.  Anything else, the end of the
process among it, counts as foreign; more than 2 s of computing or 1 GB more memory as over the limit.

Writes  tests/benchmarks/results/fuzz.json
"""

import json
import mmap
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro

from config import ROOT
from tests.helpers.children import in_a_child
from tests.helpers.file_readers import READERS, Reader
from tests.helpers.mutations import mutated
from utils.artifacts import save_result
from utils.failures import failure_in_words

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
    """For all readers together; each has an equal share of what is left."""
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

    def __init__(self) -> None:
        self.shared = mmap.mmap(-1, 4096)

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


def keep(result: Path | None, found: dict[str, Any]) -> None:
    """Write what was found of a reader beside what is there of others."""
    if result is not None:
        before = json.loads(result.read_text())["readers"] if result.is_file() else {}
        save_result(result, "see the head of tests/benchmarks/fuzz.py", readers=before | found)


def main(config: FuzzConfig) -> dict[str, Any]:
    """Try every reader; write down the counts."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    ends_s = time.monotonic() + config.seconds
    for place, name in enumerate(config.readers):
        reader = READERS[name]
        aim = config.cases or (AIM_OURS if reader.is_ours else AIM_OTHERS)
        share_s = (ends_s - time.monotonic()) / (len(config.readers) - place)
        found[name] = fuzz(name, reader, range(config.first, config.first + aim), share_s)
        print(f"{name}: {found[name]['cases']} cases, {found[name]['foreign_errors']} foreign, "
              f"{found[name]['over_limit']} over the limit", file=sys.stderr)  # fmt: skip
        keep(config.result, {name: found[name]})
        if config.show:
            print("\n".join(f"    {line}" for line in found[name]["examples"]), file=sys.stderr)
    return found


if __name__ == "__main__":
    main(tyro.cli(FuzzConfig, description=__doc__))
