"""What every training loop shares: device, run folder, batches, checkpoints, log, several processes.

The loop itself stays in the script.  Resuming is exact: a batch, a sample and the random numbers of a step depend on
(seed, step) only, so a checkpoint needs no random state and validating more often changes nothing.
"""

import atexit
import json
import math
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset
from tqdm import tqdm

from config import Device, Loop, Optim, Paths
from utils.artifacts import (
    FolderLock,
    atomic_write,
    commit,
    load_checkpoint,
    load_weights,
    lock_file,
    save_checkpoint,
    told_in_one_sentence,
)
from utils.batches import (
    Batches,
    EpochIndex,
    Resident,
    Watched,
    batch_loader,
    index_of,
    to_device,
    without_lost_workers,
)
from utils.history import History
from utils.machine import hardware, now, versions
from utils.optional import is_installed
from utils.processes import keep_freed_memory
from utils.settings import check_same_settings, to_plain
from utils.shared_work import rank_of_process
from utils.tiers import NOTHING, Reads
from utils.whole_batch import Draws, Shares, for_whole_batch, in_one_order


class TrainConfig(Protocol):
    """The settings that Run reads."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> Device: ...  # noqa: D102
    @property
    def loop(self) -> Loop: ...  # noqa: D102
    @property
    def paths(self) -> Paths: ...  # noqa: D102


class Stateful(Protocol):
    """What a checkpoint can hold: a module, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...  # noqa: D102


def choose_device(name: Device, local_rank: int = 0) -> torch.device:
    """Turn the setting `device` into a device, refusing one that is not there."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("device is cuda, but PyTorch finds no CUDA device; use --device cpu")
    if name == "mps":
        return apple_gpu(local_rank)
    if name == "cpu" or not available:
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ValueError(f"process {local_rank} has no GPU of its own ({torch.cuda.device_count()} found); "
                         "start fewer processes or use --device cpu")  # fmt: skip
    return torch.device("cuda", local_rank)


def apple_gpu(local_rank: int) -> torch.device:
    """Give the GPU of an Apple processor, which is taken only where it is asked for: nobody has tested it."""
    if not torch.backends.mps.is_available():
        raise ValueError("device is mps, but PyTorch finds no GPU of an Apple processor; use --device cpu")
    if local_rank:
        raise ValueError("device is mps, which one process has for itself; leave out torchrun, or use --device cpu")
    return torch.device("mps")


def mixed_precision(device: torch.device, bf16: bool) -> torch.autocast:
    """Run the networks inside in bfloat16 where the settings say so and the processor computes it.

    A CPU without AVX-512 emulates bfloat16, some fifteen times slower than float32; it stays with float32, and so does
    the GPU of an Apple processor.
    """
    computes_it = device.type == "cuda" or (device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16 and computes_it)


def mixed_seed(*numbers: int) -> int:
    """Mix numbers, such as seed and step, into one seed, so that neighbours are unrelated."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def seed_everything(*numbers: int) -> None:
    """Set the global random generators of Python and PyTorch."""
    random.seed(mixed_seed(*numbers))
    torch.manual_seed(mixed_seed(*numbers))


OPPONENTS_BETAS = (0.5, 0.99)
"""Adam's for two networks that follow each other: with less momentum, which lets them swing."""


def make_optimizer(
    parameters: Iterable[Any], optim: Optim, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Make Adam (with decoupled weight decay) over parameters, or over groups with an `lr` of their own."""
    return torch.optim.AdamW(parameters, lr=optim.lr, betas=betas, weight_decay=optim.weight_decay, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, optim: Optim) -> torch.optim.lr_scheduler.LambdaLR:
    """Make the schedule of the step size; call its `step()` after each step of the optimizer."""

    def factor(done: int) -> float:
        warm = min(1.0, (done + 1) / (optim.warmup_steps + 1))
        if optim.schedule == "constant":
            return warm
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done / optim.steps)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class Pace:
    """Says once, after the first steps of a run, about how long the rest takes on this machine."""

    SETTLING, MEASURED = 5, 10
    """Steps that are not counted, because memory is reserved and files are opened in them, and steps that are."""

    def __init__(self, stage: str, step: int, is_told: bool):
        self.stage, self.start = stage, step + self.SETTLING
        self.is_told, self.since_s = is_told, 0.0

    def tell(self, step: int, last: int) -> None:
        """Take note of a step that is done."""
        if step == self.start:
            self.since_s = time.perf_counter()
        if step == self.start + self.MEASURED and self.is_told:
            step_s = (time.perf_counter() - self.since_s) / self.MEASURED
            reported = (
                f"{self.stage}: {last - step} steps to go, about {spoken((last - step) * step_s)} on this machine"
            )
            tqdm.write(f"{reported} (estimated from {self.MEASURED} steps; validations come on top)")


def spoken(seconds: float) -> str:
    """Write a duration as one would say it."""
    for unit, length_s in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length_s:
            return f"{seconds / length_s:.1f} {unit}" if seconds < 10 * length_s else f"{seconds / length_s:.0f} {unit}"
    return f"{max(1, round(seconds))} seconds"


SAMPLES_NAMED = 4
"""Of a batch in which something went wrong."""
ENDED_EARLY = 75
"""Exit code of a run that was told to end and saved where it stood: "try again later" in BSD's sysexits.h."""
TOLD_EVERY = 10
"""Steps between two agreements of processes on GPUs whether to end: each waits for the device."""


@contextmanager
def signals_noted(run: "Run") -> Iterator[None]:
    """Let SIGTERM, which schedulers send before they end a job, be noted instead of ending the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: object) -> None:
        run.is_told_to_end = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def whole_files(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder but for files that were never finished."""
    return (path for path in folder.iterdir() if path.suffix != ".partial")


def stored_starts(config_file: Path) -> list[dict[str, Any]]:
    """Read when and how a run was started so far.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        starts = json.loads(config_file.read_text())["starts"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{config_file} is damaged; put back a copy, or start anew with --loop.overwrite") from error
    if not isinstance(starts, list):
        raise ValueError(f"{config_file} is damaged; put back a copy, or start anew with --loop.overwrite")
    return starts


IN_USE = "wait until it ends, or choose another --name"


class Run:
    """One training run: runs/<stage>/<name>.

    Args:
        reads: whose data the run reads, with the stages that it builds on; it goes into every checkpoint.
    """

    def __init__(self, stage: str, config: TrainConfig, reads: Reads = NOTHING):
        self.stage, self.loop, self.reads = stage, config.loop, reads
        self.rank, self.processes, local, _ = rank_of_process()
        self.device = choose_device(config.device, local)
        self.settings = to_plain(config)
        self.folder = config.paths.runs_location / stage / config.name
        self.step, self.last = 0, 0
        self.best: float | None = None
        self.evals_since_best = 0
        """Calls of save_best since the last gain."""
        self.tracked: dict[str, Stateful] = {}
        self.restored: dict[str, Any] = {}
        self.history = History(stage, self.processes, self.device)
        self.history.samples_of = self._samples_of
        self.sources: list[tuple[Batches, Watched]] = []
        self.names: dict[int, str] = {}
        """Names of the parameters, by their identity."""
        self.lock: FolderLock | None = None
        self.resumes = config.loop.resume or (config.loop.auto_resume and self.last_checkpoint.is_file())
        self.is_told_to_end = False
        self._connect()
        keep_freed_memory()
        if config.loop.threads:
            torch.set_num_threads(config.loop.threads)
        if self.is_main:
            check_name(config.name)
            self._check_folder()
        self._wait()
        if self.resumes:
            self._restore()
        seed_everything(config.loop.seed)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def _connect(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.processes > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            atexit.register(dist.destroy_process_group)

    def _wait(self) -> None:
        if self.processes > 1:
            dist.barrier()

    def _check_folder(self) -> None:
        if lock_file(self.folder).exists():
            FolderLock(self.folder, IN_USE).release()
        if self.resumes:
            if not self.last_checkpoint.is_file():
                raise FileNotFoundError(
                    f"{self.last_checkpoint} does not exist, so there is nothing to resume; leave out --loop.resume "
                    "(add --loop.overwrite if the folder exists)"
                )
        elif self.folder.exists() and not (self.loop.overwrite or self.loop.auto_resume):
            raise FileExistsError(
                f"{self.folder} exists; go on with --loop.resume, delete it with --loop.overwrite, "
                "or choose another --name"
            )
        elif self.folder.exists() and not (self.folder / "config.json").is_file() and any(whole_files(self.folder)):
            raise FileExistsError(f"{self.folder} is no run (it has no config.json), so it is not deleted")

    def _restore(self) -> None:
        checkpoint = load_checkpoint(self.last_checkpoint, self.stage)
        self.step, self.restored = checkpoint["step"], checkpoint["states"]
        check_same_settings(self.settings, checkpoint["config"])
        with told_in_one_sentence(self.last_checkpoint, self.stage):
            self.best = checkpoint["progress"]["best"]
            self.evals_since_best = checkpoint["progress"]["evals_since_best"]

    def _check_folder_is_free(self) -> None:
        """Empty the folder of a run that may be deleted, its config.json last: until then it can be told by that."""
        if self.folder.exists():
            if not (self.loop.overwrite or self.loop.auto_resume):
                raise FileExistsError(f"{self.folder} was made by another run in the meantime; {IN_USE}")
            for path in sorted(self.folder.iterdir(), key=lambda path: path.name == "config.json"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _open_folder(self) -> None:
        """Make or empty the folder; only now, so that a script which fails before its loop changes nothing."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FolderLock(self.folder, IN_USE)
        if self.step == 0:
            self._check_folder_is_free()
        config_file = self.folder / "config.json"
        starts = stored_starts(config_file) if self.step else []
        starts.append(
            {
                "at_step": self.step,
                "command": sys.argv,
                "commit": commit(),
                "time": now(),
                "versions": versions(),
                "hardware": hardware(),
                "processes": self.processes,
                "device": str(self.device),
            }
        )
        with atomic_write(config_file) as partial:
            told = {"stage": self.stage, "tier": self.reads.tier, "reads": self.reads.plain()}
            partial.write_text(json.dumps(told | {"settings": self.settings, "starts": starts}, indent=1))
        self.history.open(self.folder, self.step)

    def track(self, **states: Stateful) -> None:
        """Name what a checkpoint holds; on resume, put the stored states back.  Call it before `parallel`."""
        self.tracked |= states
        for name, state in states.items():
            if isinstance(state, nn.Module):
                self.names |= {id(one): f"{name}.{part}" for part, one in state.named_parameters()}
            if isinstance(state, torch.optim.Optimizer):
                state.register_step_pre_hook(self._check_gradients)
            if self.restored:
                with told_in_one_sentence(self.last_checkpoint, self.stage):
                    load_weights(state, self.restored[name], self.last_checkpoint)

    def _check_gradients(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Note a gradient that is not finite; `log`, which follows each step, stops the run and names a term first."""
        used = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
        if not used:
            return
        total = nn.utils.get_total_norm([one.grad for one in used])
        self.history.mark(self.step, total)
        if self.device.type == "cpu" and not total.isfinite():
            broken = [self.names.get(id(one), "a parameter") for one in used if not one.grad.isfinite().all()]
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            self.history.bad_gradient = f"the gradient of {broken[0]}{more}" if broken else "the gradient's norm"

    def _samples_of(self, step: int) -> str:
        """Name some samples of a step, for a message."""
        parts = [(watched, batches.share_of(step - 1)) for batches, watched in self.sources]
        found = [watched.name_of(place) for watched, places in parts for place in places[:SAMPLES_NAMED]]
        count = sum(len(places) for _, places in parts)
        more = f", ... ({count} in all)" if count > len(found) else ""
        return f" (samples {', '.join(found)}{more})" if found else ""

    def parallel(self, model: nn.Module) -> nn.Module:
        """Wrap a model so that processes exchange gradients; call only the result, only as `model(...)`."""
        if self.processes == 1:
            return model
        for_whole_batch(model, self._shares)
        in_one_order(model)
        return DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)

    def loader(
        self, dataset: Dataset, batch_size: int, in_memory: bool = False, is_dealt: bool = False,
        shown: Callable[[EpochIndex], int] = index_of,
    ) -> Iterable[Any]:  # fmt: skip
        """Read batches of the whole run's `batch_size`, this process's share, from where the run stands.

        Args:
            in_memory: read every item once, as epoch 0, into the memory of the device, and gather batches there.
            is_dealt: see Batches.
            shown: see Resident.
        """
        assert isinstance(dataset, Sized)
        batches = Batches(len(dataset), batch_size, self.loop.seed, self.step, self.rank, self.processes, is_dealt)
        watched = Watched(dataset, self.loop.workers, self.loop.skip_broken)
        self.sources.append((batches, watched))
        if in_memory:
            self.tell(f"reading {len(dataset):,} items into memory, each once")
            return Resident(watched, batches, self.device, self.loop.workers, shown)
        return batch_loader(watched, batches, self.loop.workers)

    def generator(self, step: int) -> Draws:
        """Make what draws random numbers for one step's batch, on the run's device; each process draws for its rows."""
        common = self.common_generator(step)
        return common if self.processes == 1 else self._shares(common)

    def common_generator(self, step: int) -> torch.Generator:
        """Make a random generator on the run's device, for one step, that draws the same in every process."""
        return torch.Generator(self.device).manual_seed(mixed_seed(self.loop.seed, step, 0, 1))

    def _shares(self, generator: torch.Generator = torch.default_generator) -> Shares:
        """Say which rows of a batch are this process's; one of several data sets has the rows of each in turn."""
        sources = [batches for batches, _ in self.sources]
        sizes = tuple(one.batch_size // self.processes for one in sources) if len(sources) > 1 else ()
        return Shares(generator, self.rank, self.processes, sizes, any(one.is_dealt for one in sources))

    def autocast(self, bf16: bool) -> torch.autocast:
        """Run the networks inside in bfloat16, where that is switched on and the device computes it."""
        return mixed_precision(self.device, bf16)

    def steps(self, loader: Iterable[Any], last: int) -> Iterator[tuple[int, Any]]:
        """Yield (step, batch) for the steps still to do, counted from 1; log and save between them."""
        if self.is_main:
            self._open_folder()
        if self.loop.pictures and self.is_main and not self.draws:
            self.tell("no pictures are drawn at validations: OpenCV or numba is not installed")
        self.last = last
        pace = Pace(self.stage, self.step, self.is_main)
        watched = [source for _, source in self.sources]
        batches = without_lost_workers(loader, watched) if self.step < last else iter(())
        bar = tqdm(total=last, initial=self.step, disable=None if self.is_main else True, desc=self.stage)
        with bar, signals_noted(self):
            while self.step < self.last:
                batch = to_device(next(batches), self.device)
                self.step += 1
                seed_everything(self.loop.seed, self.step, 0)
                yield self.step, batch
                if self.is_due("log") or self.is_due("validate") or self.is_due("checkpoint"):
                    self.history.write(self.step, self._counts())
                if self.is_due("checkpoint"):
                    self._save("checkpoint_last.pt", self.tracked)
                bar.update()
                pace.tell(self.step, self.last)
                self._end_if_told()
        for name, count in self._counts().items():
            self.tell(f"{count} {name.replace('_', ' ')}: they could not be read, and others took their places")
        if self.lock is not None:
            self.lock.release()

    def _counts(self) -> dict[str, int]:
        """Count the samples of this process that were left out, where the settings allow it."""
        if not self.loop.skip_broken:
            return {}
        return {"skipped_samples": sum(int(watched.skipped.sum()) for _, watched in self.sources)}

    def _end_if_told(self) -> None:
        """Save and end if the system asked for it; all processes do so after the same step.

        Raises:
            SystemExit: with ENDED_EARLY.
        """
        if self.processes > 1:
            if self.device.type == "cuda" and self.step % TOLD_EVERY:
                return
            told = torch.tensor(int(self.is_told_to_end), device=self.device)
            dist.all_reduce(told, dist.ReduceOp.MAX)
            self.is_told_to_end = bool(told)
        if not self.is_told_to_end or self.step == self.last:
            return
        self.history.means(self.step)
        self._save("checkpoint_last.pt", self.tracked)
        self._wait()
        self.tell(f"told to end (SIGTERM): step {self.step} of {self.last} is saved in {self.last_checkpoint}; go on "
                  "with the same command and --loop.auto-resume")  # fmt: skip
        sys.exit(ENDED_EARLY)

    def is_due(self, what: Literal["log", "validate", "checkpoint"]) -> bool:
        """Tell whether it is time, by the settings; everything is due at the last step."""
        every = {"log": self.loop.log_every, "validate": self.loop.validate_every,
                 "checkpoint": self.loop.checkpoint_every}  # fmt: skip
        return self.step % every[what] == 0 or self.step == self.last

    def stop(self) -> None:
        """End the run after this step, as if it were the last."""
        self.last = self.step

    def log(self, **scalars: torch.Tensor | float) -> None:
        """Note values of this step; their means go to history.jsonl.  Every process calls it with the same names.

        Raises:
            ValueError: a value is not finite, named (on a GPU at the latest before anything is saved).
        """
        self.history.note(self.step, scalars)

    @property
    def last_checkpoint(self) -> Path:
        """Where the state of the run lies from which it can go on."""
        return self.folder / "checkpoint_last.pt"

    @property
    def best_checkpoint(self) -> Path:
        """Where the best networks of this run lie."""
        return self.folder / "checkpoint_best.pt"

    def tell(self, words: str) -> None:
        """Print words, once for all processes."""
        if self.is_main:
            print(words, flush=True)

    @property
    def draws(self) -> bool:
        """Whether this process keeps pictures of held-out examples; what draws them may not be installed."""
        return self.is_main and self.loop.pictures > 0 and is_installed("cv2") and is_installed("numba")

    def picture(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Keep a picture of this step, in the folder pictures/ and in TensorBoard."""
        self.history.picture(self.step, image)

    def take_from_first(self, values: Iterable[Tensor]) -> None:
        """Replace values by the first process's, in place: what is found beside the gradients differs between them."""
        if self.processes > 1:
            for one in values:
                dist.broadcast(one, 0)

    def save_best(self, value: float) -> None:
        """Write checkpoint_best.pt (networks only) if a held-out value, lower is better, is the best so far."""
        if self.processes > 1:
            shared = torch.tensor(value, dtype=torch.float64, device=self.device)
            self.take_from_first([shared])
            value = shared.item()
        if not math.isfinite(value):
            raise ValueError(f"the held-out value is {value} at step {self.step}")
        self.history.means(self.step)
        is_gain = self.best is None or value < self.best
        self.evals_since_best = 0 if is_gain else self.evals_since_best + 1
        if is_gain:
            self.best = value
            self._save("checkpoint_best.pt", {n: s for n, s in self.tracked.items() if isinstance(s, nn.Module)})

    def _save(self, name: str, tracked: dict[str, Stateful]) -> None:
        if self.is_main:
            states = {name: state.state_dict() for name, state in tracked.items()}
            progress = {"best": self.best, "evals_since_best": self.evals_since_best}
            save_checkpoint(self.folder / name, self.stage, self.step, self.settings, states, progress, self.reads)


def check_name(name: str) -> None:
    """Refuse a run's name that is no plain folder name."""
    if not name or name.startswith(".") or Path(name).name != name:
        raise ValueError(f"name is {name!r}; use a plain folder name")
