"""How fast every stage trains, from frames and from a pack, beside presets seed and rhodin, and where the time goes.

    python tests/benchmarks/bench_train.py
    python tests/benchmarks/bench_train.py --contenders "1 demo, pack" "1 seed, pack" --rounds 5

The real trainers run, each in a process of its own, and are let go in turns, so that what else the machine does falls
on all of them; a stopwatch stands where they ask for the next batch.  Prints tables and writes
tests/benchmarks/results/train.{json,md}.
"""

import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from config import ROOT, Crop, EncDecConfig, Loop, MeshConfig, Paths, PoseConfig, Subjects, demo, rhodin, seed, views
from tests.benchmarks.stopwatch import trained_under_a_stopwatch
from tests.benchmarks.train_costs import Sizes, cost_against_size
from tests.benchmarks.train_table import markdown
from utils.artifacts import save_result
from utils.settings import start

RESULT = ROOT / "tests" / "benchmarks" / "results" / "train.json"
OURS, SEED, RHODIN = "1 demo, pack", "1 seed, pack", "1 rhodin, pack"
IN_MEMORY = "1 demo, memory"
TARGETS = {"times_seed": 15.0, "times_rhodin": 3.0, "waiting_share": 0.03, "share_of_peak": 0.65}
CONTENDERS = (
    OURS, "1 demo, frames", IN_MEMORY, "1 views, pack", RHODIN, SEED, "2 demo, pack", "2 demo, frames",
    "2 demo, memory", "4 demo, pack", "4 demo, frames",
)  # fmt: skip
"""Stage, preset, and where the data are read from."""
PROTOCOL = (
    "Trainers as a user starts them, one process and {threads} thread(s) each with {workers} worker(s) that read data, "
    "{size_px} px, {images} images a step (stage 4: a third more, which are compared with masks). Each runs in a "
    "process of its own and is let go for {seconds} s in each of {rounds} rounds, one after the other; a step is "
    "everything from one batch to the next. images_per_s: median over rounds of images over seconds; processor ms: "
    "of the training process per step, which other work on the same cores changes little. waiting: time in which the "
    "loop waits for the next batch. GFLOP: counted by PyTorch, forward and backward. peak: the most expensive "
    "convolution of the same network alone, forward and backward, same type and layout, its best in the same rounds. "
    "memory: largest resident set of the training process. Presets seed and rhodin keep their float32; the "
    "others run in bfloat16 where the processor computes it (bf16: {bf16})."
)


@dataclass(frozen=True)
class BenchTrainConfig:
    """tests/benchmarks/bench_train.py."""

    paths: Paths = field(default_factory=Paths)
    subjects: Subjects = field(default_factory=Subjects)
    contenders: tuple[str, ...] = CONTENDERS
    rounds: int = 3
    seconds: float = 4.0
    """For each contender in each round."""
    threads: int = 1
    workers: int = 1
    size_px: int = 64
    images: int = 24
    """Per step."""
    profiles: tuple[str, ...] = (OURS, SEED, RHODIN, "2 demo, pack", "4 demo, pack")
    """Contenders whose operations are timed one by one, after the rounds."""
    sizes: Sizes = field(default_factory=Sizes)
    """Of what cost is measured against size; without factors it is not."""
    result: Path | None = RESULT


def settings_of(name: str, config: BenchTrainConfig, folder: Path) -> EncDecConfig | PoseConfig | MeshConfig:
    """Make the settings of a contender from its preset.

    Raises:
        ValueError: no contender is called so.
    """
    if name not in CONTENDERS:
        raise ValueError(f"there is no contender {name!r}; choose among: {'; '.join(CONTENDERS)}")
    stage, preset, data = name.replace(",", "").split()
    chosen = {"demo": demo, "views": views, "seed": seed, "rhodin": rhodin}[preset]()
    paths = replace(config.paths, runs_location=folder / "runs")
    if data == "frames":
        paths = replace(paths, index_location=without_crops(paths.index_location, folder))
    never = 10**9
    loop = Loop(threads=config.threads, workers=config.workers, pictures=0, validate_every=never,
                checkpoint_every=never, overwrite=True)  # fmt: skip
    common: dict[str, Any] = {"paths": paths, "subjects": config.subjects, "loop": loop, "device": "cpu"}
    if stage == "1":
        one = replace(chosen.enc_dec, **common, groups=config.images // 4, in_memory=data == "memory")
        return replace(one, crop=replace(one.crop, size_px=config.size_px), optim=with_bf16(one.optim, preset))
    untrained = replace(chosen.pose.untrained, crop=Crop(config.size_px, side_m=2.25))
    common |= {"mode": "scratch", "untrained": untrained, "batch": config.images, "in_memory": data == "memory"}
    if stage == "2":
        two = replace(chosen.pose, encoder=None, **common)
        return replace(two, optim=with_bf16(two.optim, preset))
    four = replace(chosen.mesh, encoder=None, **common, silhouette_batch=config.images // 3,
                   silhouettes_of=config.subjects.train)  # fmt: skip
    return replace(four, optim=with_bf16(four.optim, preset), unpaired=replace(four.unpaired, steps=0))


def with_bf16(optim: Any, preset: str) -> Any:
    """Let our presets compute in bfloat16, as `make demo` does; the others keep what they had."""
    return optim if preset in ("seed", "rhodin") else replace(optim, bf16=True)


def without_crops(index_location: Path, folder: Path) -> Path:
    """Make a folder that holds the index alone, so that crops are cut from the frames."""
    place = folder / "index"
    place.mkdir(exist_ok=True)
    for path in index_location.glob("*.npz"):
        if not (place / path.name).exists():
            (place / path.name).symlink_to(path.resolve())
    return place


class Trainer(NamedTuple):
    """A training in a process of its own, which does what it is told."""

    name: str
    process: Any
    told: Connection

    def ask(self, *what: Any) -> Any:
        """Let it do something, and wait for what it found.

        Raises:
            ChildProcessError: it ended.
        """
        self.told.send(what)
        return self.answer()

    def answer(self) -> Any:
        """Wait for it."""
        try:
            return self.told.recv()
        except EOFError:
            raise ChildProcessError(f"the training {self.name!r} ended; what it said stands above") from None


def let_in(name: str, config: BenchTrainConfig, folder: Path) -> Trainer:
    """Start a training and let it do its first steps."""
    context = get_context("spawn")
    here, there = context.Pipe()
    settings = settings_of(name, config, folder)
    process = context.Process(target=trained_under_a_stopwatch, args=(settings, there), daemon=False)
    process.start()
    there.close()
    trainer = Trainer(name, process, here)
    trainer.answer()
    trainer.ask("steps", 2)
    return trainer


def measured(trainers: list[Trainer], config: BenchTrainConfig) -> dict[str, dict[str, Any]]:
    """Let all trainings go in turns, and put what was found together."""
    found: dict[str, dict[str, Any]] = {one.name: one.ask("count") for one in trainers}
    rounds: dict[str, list[dict[str, float]]] = {one.name: [] for one in trainers}
    peaks: dict[str, list[float]] = {one.name: [] for one in trainers}
    for one in tqdm(trainers * config.rounds, desc="rounds", disable=None):
        one.ask("seconds", config.seconds / 4)  # what its worker read ahead while it stood still is used up
        rounds[one.name].append(one.ask("seconds", config.seconds))
        peaks[one.name].append(one.ask("peak"))
    for one in trainers:
        each = rounds[one.name]
        row = found[one.name]
        step_s = float(np.median([part["wall_s"] / part["steps"] for part in each]))
        row |= {
            "step_ms": 1e3 * step_s, "cpu_ms": 1e3 * float(np.median([part["cpu_s"] / part["steps"] for part in each])),
            "images_per_s": row["images"] / step_s,
            "waiting_share": sum(part["waiting_s"] for part in each) / sum(part["wall_s"] for part in each),
            "gflops_per_s": row["gflop"] / step_s, "peak_gflops_per_s": max(peaks[one.name]),
            "rounds_images_per_s": [row["images"] * part["steps"] / part["wall_s"] for part in each],
            "memory_mb": one.ask("memory"),
        }  # fmt: skip
        row["share_of_peak"] = row["gflops_per_s"] / row["peak_gflops_per_s"]
        row["share_of_peak_by_processor_time"] = 1e3 * row["gflop"] / row["cpu_ms"] / row["peak_gflops_per_s"]
    return found


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compare stage 1, read from a pack and from memory, with the presets seed and rhodin, round by round."""
    compared: dict[str, Any] = {}
    for ours, ending in ((OURS, ""), (IN_MEMORY, "_from_memory")):
        for name, other in (("times_seed", SEED), ("times_rhodin", RHODIN)):
            if ours in found and other in found:
                pairs = zip(found[ours]["rounds_images_per_s"], found[other]["rounds_images_per_s"], strict=True)
                each = [mine / theirs for mine, theirs in pairs]
                mine, theirs = (found[row]["cpu_ms"] / found[row]["images"] for row in (ours, other))
                compared[name + ending] = {"median": float(np.median(each)), "rounds": each,
                                           "by_processor_time": theirs / mine}  # fmt: skip
    return compared


def main(config: BenchTrainConfig) -> dict[str, Any]:
    """Measure, print and write; return what was found."""
    torch.set_num_threads(config.threads)
    load, started_s = [os.getloadavg()[0]], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainers: list[Trainer] = []
        try:
            for number, name in enumerate(tqdm(config.contenders, desc="starting", disable=None)):
                place = Path(folder) / str(number)
                place.mkdir()
                trainers.append(let_in(name, config, place))
            found = measured(trainers, config)
            profiles = {one.name: one.ask("profile", 3) for one in trainers if one.name in config.profiles}
        finally:
            for one in trainers:
                one.told.close()
            for one in trainers:
                one.process.join(30)
    costs = cost_against_size(config.sizes, config.paths, config.subjects)
    load.append(os.getloadavg()[0])
    protocol = PROTOCOL.format(**vars(config), bf16=torch.ops.mkldnn._is_mkldnn_bf16_supported())
    result = {"rows": found, "ratios": ratios(found), "targets": TARGETS, "profiles": profiles, "costs": costs,
              "load_average": load, "took_s": time.perf_counter() - started_s}  # fmt: skip
    table = markdown(result, protocol)
    print(table)
    if config.result is not None:
        save_result(config.result, protocol, **result)
        config.result.with_suffix(".md").write_text(table)
    return result


if __name__ == "__main__":
    start(main, BenchTrainConfig)
