"""The log of a run: means of what its steps report, in history.jsonl and in TensorBoard's event file."""

import importlib.util
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from tqdm import tqdm

from utils.artifacts import atomic_write
from utils.failures import naming
from utils.image import write_image

EVENTS = "events.out.tfevents"


def cut_back(history: Path, step: int) -> None:
    """Drop the records of steps after `step`, which a resumed run does again; make the file if there is none.

    Its last line may be cut short: the run was ended while it wrote.
    """
    lines = history.read_text().splitlines() if history.exists() else []
    records = parsed(history, [line for line in lines if line.endswith("}")])
    kept = [line + "\n" for line, record in zip(lines, records, strict=False) if record["step"] <= step]
    with atomic_write(history) as partial:
        partial.write_text("".join(kept))


def put_in_order(folder: Path) -> None:
    """Number the event files that are there, so that one that is opened now comes after them, whatever the clock says.

    TensorBoard reads a folder's files in the order of their names, which begin with the second at which each was
    opened.  A resumed run's first event takes back the points that it does again, so files in another order lose
    points: where the clock was set back, or where two were opened in one second (10 sorts before 9 in what follows).
    """
    numbered = sorted(folder.glob(f"{EVENTS}.0000000???.*"))
    later = sorted(set(folder.glob(f"{EVENTS}.*")) - set(numbered))
    for number, file in enumerate(later, start=len(numbered) + 1):
        file.rename(file.with_name(f"{EVENTS}.{number:010d}.{file.name.removeprefix(EVENTS + '.')}"))


def parsed(history: Path, lines: list[str]) -> list[dict[str, float]]:
    """Turn lines into records.

    Raises:
        ValueError: one is none.
    """
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or type(record.get("step")) is not int:
            raise ValueError(f"{history} is damaged in line {number} ({line[:60]!r}); remove that line")
        records.append(record)
    return records


def load_history(path: Path) -> list[dict[str, float]]:
    """Read history.jsonl: one record per logged step.

    Raises:
        FileNotFoundError, ValueError: there is none, or a line of it is no record.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; a train script writes it into its run's folder")
    try:
        return parsed(path, path.read_text().splitlines())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: it is no text ({error})") from error


class History:
    """Collects values step by step and writes their means."""

    def __init__(self, stage: str, processes: int, device: torch.device):
        self.stage, self.processes, self.device = stage, processes, device
        self.folder: Path | None = None
        self.pending: dict[str, tuple[torch.Tensor, int]] = {}
        self.events: Any = None
        self.started_s = time.monotonic()
        self.bad_step = torch.zeros((), dtype=torch.int64, device=device)
        """The first step with a number that is none, 0 until there is one; read where the log is written."""
        self.bad_gradient = "a gradient"
        self.samples_of: Callable[[int], str] = lambda step: ""
        """Says which samples a step read, for the message."""

    def open(self, folder: Path, step: int) -> None:
        """Write into this folder from now on (one process only), after the records up to `step`."""
        self.folder = folder
        cut_back(folder / "history.jsonl", step)
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            put_in_order(folder)
            self.events = SummaryWriter(str(folder), purge_step=step + 1)

    def note(self, step: int, scalars: dict[str, torch.Tensor | float]) -> None:
        """Add values to the means; on the CPU, where reading them is free, check them at once."""
        self.mark(step, *(torch.as_tensor(value, device=self.device).detach() for value in scalars.values()))
        for name, value in scalars.items():
            total, count = self.pending.get(name, (torch.zeros((), dtype=torch.float64, device=self.device), 0))
            noted = torch.as_tensor(value, dtype=torch.float64, device=self.device).detach()
            self.pending[name] = total + noted, count + 1
        if self.device.type == "cpu":
            self.means(step)

    def mark(self, step: int, *values: torch.Tensor) -> None:
        """Remember the first step with a value that is not finite, without waiting for the device."""
        if values:
            is_bad = ~torch.stack([value.double() for value in values]).isfinite().all()
            self.bad_step = torch.where(is_bad & (self.bad_step == 0), step, self.bad_step)

    def means(self, step: int) -> dict[str, float]:
        """Compute the means since the last record.

        Raises:
            ValueError: one, or a gradient, is not finite; named, with the step and its samples.
        """
        means = torch.stack([total / count for total, count in self.pending.values()]).tolist() if self.pending else []
        if bad_step := int(self.bad_step):
            terms = [f"{name} is {mean}" for name, mean in zip(self.pending, means, strict=True)
                     if not math.isfinite(mean)]  # fmt: skip
            what = ", ".join(terms) or f"{self.bad_gradient} is NaN or infinite"
            raise ValueError(f"{what} at step {bad_step}{self.samples_of(bad_step)}; try a smaller --optim.lr or clip "
                             "the gradients")  # fmt: skip
        return dict(zip(self.pending, means, strict=True))

    def picture(self, step: int, image: np.ndarray) -> None:
        """Keep a picture of a step."""
        if self.folder is None:
            return
        write_image(self.folder / "pictures" / f"step_{step:07d}.jpg", image, quality=88)
        if self.events:
            self.events.add_image("held_out", image, step, dataformats="HWC")

    def write(self, step: int, counts: Mapping[str, int] | None = None) -> None:
        """Write one record of the means, over all processes, and of counts, and start new means."""
        if self.processes > 1:
            for name, (total, count) in self.pending.items():
                dist.all_reduce(total)
                self.pending[name] = total, count * self.processes
        means, self.pending = self.means(step), {}
        if self.folder is None or not means:
            return
        record = {"step": step, "elapsed_s": round(time.monotonic() - self.started_s, 1), **means, **(counts or {})}
        with naming(self.folder / "history.jsonl"), open(self.folder / "history.jsonl", "a") as history:
            history.write(json.dumps(record) + "\n")
        tqdm.write(f"{self.stage} {step:7d}  " + "  ".join(f"{name} {mean:.4g}" for name, mean in means.items()))
        if self.events:
            with naming(self.folder):
                for name, mean in means.items():
                    self.events.add_scalar(name, mean, step)
                self.events.flush()
