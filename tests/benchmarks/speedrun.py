"""The speed run: from nothing to N-MPJPE 160, 120 and 100 on the embedded data, in minutes.  SPEEDRUN.md has the rules.

    python tests/benchmarks/speedrun.py                  makes the data, trains, measures; most of an hour on 2 cores
    python tests/benchmarks/speedrun.py --data FOLDER    takes data that `make demo` made

Only what makes the network counts: every checkpoint is kept with its time, and measured on S9 and S11 afterwards.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from config import ROOT
from utils.artifacts import load_metrics, save_result
from utils.settings import start

THRESHOLDS_MM = (160, 120, 100)
PROTOCOL = (
    "N-MPJPE, mm, 17 joints, every {every}th frame of S9 and S11, crops about the masks' centre, as they were trained "
    "with; checkpoints every {checkpoint} steps, the first that is below a threshold counts, found by halving among "
    "those of one training; the recipe was fixed before. Clock: from the first command (data: {data}); measuring does "
    "not count. Legs: 'labels' trains on S1's joints; 'bodies' first trains a teacher on drawn silhouettes of unpaired "
    "poses, fits bodies to the masks of S5 to S8, and trains on these and S1's joints."
)


@dataclass(frozen=True)
class SpeedrunConfig:
    """tests/benchmarks/speedrun.py."""

    data: Path | None = None
    """A data set with crops packed about the masks' centre; without it, one is made first, and that counts."""
    work: Path = Path("runs/speedrun")
    """Where data and trainings go; what lies there from an earlier run is deleted."""
    legs: tuple[Literal["labels", "bodies"], ...] = ("labels", "bodies")
    processes: int = 2
    """That share every training, one thread each."""
    batch: int = 48
    steps: tuple[int, int] = (4000, 4000)
    """On labels alone, and on labels and bodies; step sizes fall along a cosine to the last."""
    teacher_steps: int = 1500
    checkpoint: int = 100
    """Steps between checkpoints."""
    every: int = 4
    """Every n-th frame is measured."""
    small: tuple[str, ...] = ()
    """More settings for trainings of poses, such as those of a rehearsal."""
    small_teacher: tuple[str, ...] = ()
    """The same for the teacher ..."""
    small_fits: tuple[str, ...] = ()
    """... and for its fits."""
    result: Path = ROOT / "tests" / "benchmarks" / "results" / "speedrun.json"


class Kept(NamedTuple):
    """A checkpoint that was written, and when."""

    minutes: float
    path: Path


def command(*words: Any, processes: int = 1) -> None:
    """Run one of our scripts.

    Raises:
        ChildProcessError: it failed; what it said stands above.
    """
    runner = [sys.executable]
    if processes > 1:
        runner = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script, *options = words
    done = subprocess.run([*runner, str(ROOT / script), *map(str, options)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise ChildProcessError(f"{script} ended with code {done.returncode}; what it said stands above")


def make_data(folder: Path) -> None:
    """Draw the embedded data and pack its crops, as `make demo` does."""
    command("dataset_def/synthetic/make_h36m.py", "--dataset", folder)
    command("dataset_def/h36m_preprocess.py", "--dataset", folder, "--pack-px", 112, "--pack-side-m", 3.5)
    command("dataset_def/h36m_get_background.py", "--dataset", folder)


class Keeper(threading.Thread):
    """Copies a checkpoint whenever it was written anew, with the minute since the clock started."""

    def __init__(self, written: Path, to: Path, started_s: float) -> None:
        super().__init__(daemon=True)
        self.written, self.to, self.started_s, self.kept = written, to, started_s, list[Kept]()
        self.is_over = threading.Event()
        to.mkdir(parents=True)

    def run(self) -> None:
        """Look twice a second until told that it is over."""
        seen = 0
        while not self.is_over.wait(0.5):
            seen = self._look(seen)
        self._look(seen)

    def _look(self, seen: int) -> int:
        if not self.written.exists() or self.written.stat().st_mtime_ns == seen:
            return seen
        found = self.written.stat()
        copy = self.to / f"{len(self.kept):03d}.pt"
        shutil.copyfile(self.written, copy)  # it was renamed into its place, so it is whole
        self.kept.append(Kept((found.st_mtime - self.started_s) / 60, copy))
        return found.st_mtime_ns


def train(config: SpeedrunConfig, leg: str, data: Path, started_s: float) -> list[Kept]:
    """Do one leg; give its checkpoints."""
    runs, more = config.work / "runs", list(config.small)
    places = ("--dataset", data, "--paths.runs-location", runs)
    if leg == "bodies":
        command("sample/train_SMPL_from_masks.py", *places, "--name", leg, "--optim.steps", config.teacher_steps,
                "--bank.cache-location", config.work / "poses", *config.small_teacher)  # fmt: skip
        teacher = runs / "masks" / leg / "checkpoint_best.pt"
        command("sample/fit_SMPL.py", *places, "--name", leg, "--teacher", teacher, *config.small_fits)
        more += ["--pseudo-labels", runs / "fit" / leg / "pseudo_labels.npz"]
    steps = config.steps[leg == "bodies"]
    keeper = Keeper(runs / "pose" / leg / "checkpoint_last.pt", config.work / f"kept_{leg}", started_s)
    keeper.start()
    try:
        command("sample/train_3d_pose_from_enc.py", "--encoder", "none", "--mode", "scratch",
                *places, "--name", leg, "--optim.bf16", "--loop.threads", 1, "--in-memory", "--batch", config.batch,
                "--optim.steps", steps,
                "--loop.checkpoint-every", config.checkpoint, "--loop.validate-every", steps, "--loop.pictures", 0,
                *more, processes=config.processes)  # fmt: skip
    finally:
        keeper.is_over.set()
        keeper.join()
    return keeper.kept


def measured_mm(checkpoint: Path, data: Path, every: int) -> float:
    """Measure a checkpoint on the test subjects."""
    out = checkpoint.with_suffix("")
    if not (out / "metrics.json").exists():
        command("sample/test_pose.py", "--checkpoint", checkpoint, "--dataset", data, "--every", every, "--out", out)
    metrics = load_metrics(out / "metrics.json", "tests/benchmarks/speedrun.py")["metrics"]
    return float(metrics["overall"]["n_mpjpe_17_mm"]["mean"])


def first_below(kept: list[Kept], threshold_mm: float, measure: Any) -> tuple[float, float] | None:
    """Find the first checkpoint below a threshold, by halving; gives its minutes and its error, None without one."""
    if not kept or (last_mm := measure(kept[-1].path)) >= threshold_mm:
        return None
    low, high, found = -1, len(kept) - 1, last_mm
    while high - low > 1:
        middle = (low + high) // 2
        if (error_mm := measure(kept[middle].path)) < threshold_mm:
            high, found = middle, error_mm
        else:
            low = middle
    return kept[high].minutes, found


def best_minutes(legs: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Give the minutes of the fastest leg to each threshold; None where none came below it."""
    reached = {str(threshold): [leg["minutes_and_mm_at"][str(threshold)] for leg in legs.values()]
               for threshold in THRESHOLDS_MM}  # fmt: skip
    return {threshold: min((one[0] for one in each if one), default=None) for threshold, each in reached.items()}


def main(config: SpeedrunConfig) -> dict[str, Any]:
    """Run, measure, print and write."""
    if config.data is not None and not (config.data / "index" / "index.npz").is_file():
        raise FileNotFoundError(f"{config.data}/index/index.npz does not exist; give --data a data set that was "
                                "preprocessed, such as data/synthetic, or leave it out")  # fmt: skip
    if config.work.exists():
        shutil.rmtree(config.work)
    config.work.mkdir(parents=True)
    data, load, legs = config.data, os.getloadavg()[0], dict[str, dict[str, Any]]()
    data_minutes = 0.0
    if data is None:
        data, started_s = config.work / "data", time.time()
        make_data(data)
        data_minutes = (time.time() - started_s) / 60
    for leg in config.legs:
        kept = train(config, leg, data, time.time() - 60 * data_minutes)
        last_mm = measured_mm(kept[-1].path, data, config.every)
        reached = {str(threshold): first_below(kept, threshold, lambda path: measured_mm(path, data, config.every))
                   for threshold in THRESHOLDS_MM}  # fmt: skip
        legs[leg] = {"minutes_and_mm_at": reached, "last_minutes_and_mm": (kept[-1].minutes, last_mm)}
        print(f"{leg}: {json.dumps(legs[leg])}")
    best = best_minutes(legs)
    made = "made first, in their minutes" if config.data is None else "made before, not counted"
    protocol = PROTOCOL.format(every=config.every, checkpoint=config.checkpoint, data=made)
    result = {"minutes": best, "legs": legs, "data_minutes": data_minutes,
              "processes": config.processes, "load_average_before": load}  # fmt: skip
    save_result(config.result, protocol, **result)
    print(f"minutes to N-MPJPE: {best}; {config.result}")
    return result


if __name__ == "__main__":
    start(main, SpeedrunConfig)
