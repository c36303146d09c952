"""Ends trainings at random moments, as a power cut does, lets them go on, and compares the ends bit for bit.

    python tests/benchmarks/kills.py                      # 30 of each stage; about 20 minutes of one core
    python tests/benchmarks/kills.py --kills 2 --stages pose

A third is ended by `kill -9` at a random moment, a third by `kill -9` just before or after a file takes its place, and
a third by the system in the middle of a write (the limit of a file's size, whose signal no handler takes).  Each goes
on with --loop.auto-resume, at most six are ended before one is let to its end.  Promised is equality on one
processor with one thread; with two threads, or a process that reads data, the ends are compared, too.

Writes  tests/benchmarks/results/kills.json
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from config import ROOT, Paths
from tests.helpers.children import in_a_child
from tests.helpers.every_stage import LOOP, OPTIM, STAGES, TEACHERS, differing, folder_of, settings_of, write_data
from utils import engine
from utils.artifacts import load_checkpoint, save_result
from utils.history import load_history
from utils.settings import start

MAY_DIFFER = ("/loop/resume", "/loop/auto_resume", "/loop/workers", "/loop/threads")
"""Settings that a head carries with it, and that change no number."""
ENDED_BEFORE_ONE_IS_WHOLE = 6
NEEDS = {"pose": ("enc_dec",), "mesh": ("enc_dec", "gan")}
"""Stages whose runs another one reads."""
KINDS = ("moment", "rename", "write")


@dataclass(frozen=True)
class KillsConfig:
    """tests/benchmarks/kills.py: how often which stage is ended."""

    kills: int = 30
    """Of each stage."""
    stages: tuple[str, ...] = (*STAGES, *TEACHERS)
    seed: int = 0
    counts: bool = True
    """Train with two threads, and with a process that reads data, too."""
    result: Path | None = ROOT / "tests" / "benchmarks" / "results" / "kills.json"


class Whole(NamedTuple):
    """A training that nothing ended."""

    place: Path
    took_s: float
    checkpoint_bytes: int
    renames: int


@contextmanager
def inside(place: Path) -> Iterator[None]:
    """Work in a folder: a run knows where its folder lies, and is called `runs` in each."""
    before = Path.cwd()
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def train(stage: str, paths: Paths, workers: int = 0, threads: int = 1) -> None:
    """Train a stage, or let it go on."""
    loop = replace(LOOP, auto_resume=True, checkpoint_every=1, validate_every=3, pictures=0, workers=workers,
                   threads=threads)  # fmt: skip
    main, config = settings_of(stage, replace(paths, runs_location=Path("runs")), loop)
    main(config)


def at_rename(number: int, act: Callable[[], None], is_after: bool) -> None:
    """Act just before, or just after, a file takes its place for the n-th time."""
    replace_file, seen = os.replace, [0]

    def replaced(*args: Any, **kwargs: Any) -> None:
        seen[0] += 1
        if seen[0] == number and not is_after:
            act()
        replace_file(*args, **kwargs)
        if seen[0] == number and is_after:
            act()

    os.replace = replaced  # type: ignore[assignment]


def at_save(number: int, act: Callable[[], None]) -> None:
    """Act before a checkpoint is written for the n-th time."""
    save, seen = engine.save_checkpoint, [0]

    def saved(*args: Any, **kwargs: Any) -> None:
        seen[0] += 1
        if seen[0] == number:
            act()
        save(*args, **kwargs)

    engine.save_checkpoint = saved


def end_here() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def limit_files(num_bytes: int) -> None:
    """Let the system end this process when a file of it grows beyond a size."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


def ended_once(stage: str, paths: Paths, kind: str, whole: Whole, rng: random.Random) -> bool:
    """Train until an end of one kind; tell if it came before the training was done."""
    after_s = rng.uniform(0, whole.took_s) if kind == "moment" else None
    number, is_after = rng.randint(1, whole.renames), rng.random() < 0.5
    save, num_bytes = rng.randint(1, OPTIM.steps + 2), rng.randrange(1, whole.checkpoint_bytes)

    def work() -> None:
        if kind == "rename":
            at_rename(number, end_here, is_after)
        if kind == "write":
            at_save(save, lambda: limit_files(num_bytes))
        train(stage, paths)

    code = in_a_child(work, after_s)
    if code > 0:
        raise RuntimeError(f"{stage} failed after an end of kind {kind}: run it with TRACEBACK=1")
    return code < 0


def prepare(place: Path, stage: str, whole_of: dict[str, Whole]) -> None:
    """Make a folder in which a stage can be trained."""
    for needed in NEEDS.get(stage, ()):
        shutil.copytree(whole_of[needed].place / "runs" / needed, place / "runs" / needed)
    cache = next(
        (one.place / "runs" / "cache" for one in whole_of.values() if (one.place / "runs/cache").exists()), None
    )
    if cache is not None:
        shutil.copytree(cache, place / "runs" / "cache")


def train_whole(stage: str, paths: Paths, place: Path, whole_of: dict[str, Whole]) -> Whole:
    """Train a stage without an end, here, so that what is compiled is there for the others; count its files."""
    prepare(place, stage, whole_of)
    real, count = os.replace, [0]

    def counted(*args: Any, **kwargs: Any) -> None:
        count[0] += 1
        real(*args, **kwargs)

    with inside(place):
        train(stage, paths)
        shutil.rmtree(Path("runs") / folder_of(stage))
        os.replace = counted  # type: ignore[assignment]
        started_s = time.perf_counter()
        try:
            train(stage, paths)
        finally:
            os.replace = real
    took_s = time.perf_counter() - started_s
    size = (place / "runs" / folder_of(stage) / "tiny" / "checkpoint_last.pt").stat().st_size
    return Whole(place, took_s, size, count[0])


def apart(stage: str, one: Path, other: Path) -> list[str]:
    """Name what differs between two trainings of a stage."""
    folders = [place / "runs" / folder_of(stage) / "tiny" for place in (one, other)]
    found = []
    for file in ("checkpoint_last.pt", "checkpoint_best.pt"):
        first, second = (load_checkpoint(folder / file, folder_of(stage)) for folder in folders)
        for part in ("step", "states", "progress"):
            places = differing(first[part], second[part], f"{file}/{part}")  # type: ignore[literal-required]
            found += [place for place in places if not place.endswith(MAY_DIFFER)]
    records = [[{**line, "elapsed_s": 0} for line in load_history(folder / "history.jsonl")] for folder in folders]
    return found + (["history.jsonl"] if records[0] != records[1] else [])


def differences(stage: str, one: Path, other: Path) -> dict[str, float]:
    """Give the largest relative difference of a loss term in the first step, and of a weight at the end.

    The second is far larger: Adam's first steps are as long for a gradient of rounding errors as for any other.
    """
    folders = [place / "runs" / folder_of(stage) / "tiny" for place in (one, other)]
    lines = [load_history(folder / "history.jsonl")[0] for folder in folders]
    terms = [abs(lines[0][name] - lines[1][name]) / max(abs(lines[0][name]), 1e-3)
             for name in lines[0] if name != "elapsed_s"]  # fmt: skip
    files = [folder / "checkpoint_last.pt" for folder in folders]
    first, second = (load_checkpoint(file, folder_of(stage))["states"]["model"] for file in files)
    weights = [float((value - second[name]).abs().max() / value.abs().max().clamp_min(1e-3))
               for name, value in first.items()
               if torch.is_tensor(value) and value.is_floating_point() and value.numel()]  # fmt: skip
    return {"terms_of_step_1": max(terms), "weights_at_the_end": max(weights)}


class Counted(NamedTuple):
    """What became of the trainings of a stage."""

    kills: int
    by_kind: dict[str, int]
    compared: int
    equal: int
    differing: list[str]


def kill_and_compare(stage: str, paths: Paths, whole: Whole, whole_of: dict[str, Whole], config: KillsConfig,
                     folder: Path) -> Counted:  # fmt: skip
    """End a stage's trainings as often as asked for; compare each that was let to its end."""
    rng = random.Random(f"{config.seed} {stage}")
    by_kind, compared, unequal = dict.fromkeys(KINDS, 0), 0, []
    while sum(by_kind.values()) < config.kills:
        place = folder / f"{stage}_{compared}"
        prepare(place, stage, whole_of)
        with inside(place):
            for _ in range(ENDED_BEFORE_ONE_IS_WHOLE):
                kind = min(KINDS, key=lambda one: by_kind[one] + rng.random())
                if sum(by_kind.values()) < config.kills and ended_once(stage, paths, kind, whole, rng):
                    by_kind[kind] += 1
            if code := in_a_child(lambda: train(stage, paths)):
                raise RuntimeError(f"{stage} does not go on after its end (exit code {code})")
        unequal.append(apart(stage, whole.place, place))
        compared += 1
        shutil.rmtree(place)
    names = sorted({name for names in unequal for name in names})
    return Counted(sum(by_kind.values()), by_kind, compared, sum(not names for names in unequal), names)


def other_counts(
    stage: str, paths: Paths, whole: Whole, whole_of: dict[str, Whole], folder: Path
) -> dict[str, dict[str, float]]:
    """Train with two threads, and with a process that reads data; give the differences from one thread and none."""
    found = {}
    for name, counts in (("two_threads", {"threads": 2}), ("one_worker", {"workers": 1})):
        place = folder / f"{stage}_{name}"
        prepare(place, stage, whole_of)
        with inside(place):
            if code := in_a_child(lambda: train(stage, paths, **counts)):  # noqa: B023  it runs at once
                raise RuntimeError(f"{stage} fails with {name} (exit code {code})")
        found[name] = differences(stage, whole.place, place)
    return found


def result_of(counted: Counted, counts: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Write down what was found of a stage."""
    return {"kills": counted.kills, "equal": counted.equal == counted.compared, "by_kind": counted.by_kind,
            "ends_compared": counted.compared, "ends_equal": counted.equal, "differing": counted.differing,
            "largest_relative_difference_with": counts}  # fmt: skip


def keep(result: Path | None, stage: str, counted: dict[str, Any]) -> None:
    """Write what was found of a stage beside what is there of others: a run may be broken off."""
    if result is not None:
        before = json.loads(result.read_text())["stages"] if result.is_file() else {}
        save_result(result, "tiny networks, one thread, float32; see the head of tests/benchmarks/kills.py",
                    stages=before | {stage: counted})  # fmt: skip


def main(config: KillsConfig) -> dict[str, Any]:
    """End and compare every stage; write down the counts.

    Raises:
        ValueError: there is no such stage.
    """
    if unknown := sorted(set(config.stages) - {*STAGES, *TEACHERS}):
        raise ValueError(f"stages has {unknown[0]!r}; use some of {', '.join((*STAGES, *TEACHERS))}")
    torch.set_num_threads(1)
    stages, whole_of = {}, dict[str, Whole]()
    wanted = [stage for stage in (*STAGES, *TEACHERS)
              if stage in config.stages or any(stage in NEEDS.get(one, ()) for one in config.stages)]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="kills_") as scratch:
        folder = Path(scratch)
        paths = write_data(folder / "data")
        for stage in wanted:
            whole_of[stage] = whole = train_whole(stage, paths, folder / f"{stage}_whole", whole_of)
            if stage not in config.stages:
                continue
            counted = kill_and_compare(stage, paths, whole, whole_of, config, folder)
            counts = other_counts(stage, paths, whole, whole_of, folder) if config.counts else {}
            stages[stage] = result_of(counted, counts)
            keep(config.result, stage, stages[stage])
            print(f"{stage}: {counted.kills} ends, {counted.equal} of {counted.compared} trainings equal; {counts}",
                  file=sys.stderr)  # fmt: skip
    return stages


if __name__ == "__main__":
    start(main, KillsConfig)
