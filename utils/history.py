"""The log of a run: means of what its steps report, in history.jsonl and in TensorBoard's event file."""

import importlib.util
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from tqdm import tqdm

from utils.artifacts import atomic_write
from utils.image import write_image


def cut_back(history: Path, step: int) -> None:
    """Drop the records of steps after `step`, which a resumed run does again; make the file if there is none."""
    lines = history.read_text().splitlines() if history.exists() else []
    kept = [line + "\n" for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    with atomic_write(history) as partial:
        partial.write_text("".join(kept))


def load_history(path: Path) -> list[dict[str, float]]:
    """Read history.jsonl: one record per logged step."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; a train script writes it into its run's folder")
    return [json.loads(line) for line in path.read_text().splitlines()]


class History:
    """Collects values step by step and writes their means."""

    def __init__(self, stage: str, processes: int, device: torch.device):
        self.stage, self.processes, self.device = stage, processes, device
        self.folder: Path | None = None
        self.pending: dict[str, tuple[torch.Tensor, int]] = {}
        self.events: Any = None
        self.started_s = time.monotonic()

    def open(self, folder: Path, step: int) -> None:
        """Write into this folder from now on (one process only), after the records up to `step`."""
        self.folder = folder
        cut_back(folder / "history.jsonl", step)
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            self.events = SummaryWriter(str(folder), purge_step=step + 1)

    def note(self, step: int, scalars: dict[str, torch.Tensor | float]) -> None:
        """Add values to the means; on the CPU, where reading them is free, check them at once."""
        for name, value in scalars.items():
            total, count = self.pending.get(name, (torch.zeros((), dtype=torch.float64, device=self.device), 0))
            noted = torch.as_tensor(value, dtype=torch.float64, device=self.device).detach()
            self.pending[name] = total + noted, count + 1
        if self.device.type == "cpu":
            self.means(step)

    def means(self, step: int) -> dict[str, float]:
        """Compute the means since the last record.

        Raises:
            ValueError: one is not finite.
        """
        if not self.pending:
            return {}
        means = torch.stack([total / count for total, count in self.pending.values()]).tolist()
        for name, mean in zip(self.pending, means, strict=True):
            if not math.isfinite(mean):
                raise ValueError(f"{name} is {mean} at step {step}; try a smaller --optim.lr or clip the gradients")
        return dict(zip(self.pending, means, strict=True))

    def picture(self, step: int, image: np.ndarray) -> None:
        """Keep a picture of a step."""
        if self.folder is None:
            return
        write_image(self.folder / "pictures" / f"step_{step:07d}.jpg", image, quality=88)
        if self.events:
            self.events.add_image("held_out", image, step, dataformats="HWC")

    def write(self, step: int) -> None:
        """Write one record of the means, over all processes, and start new ones."""
        if self.processes > 1:
            for name, (total, count) in self.pending.items():
                dist.all_reduce(total)
                self.pending[name] = total, count * self.processes
        means, self.pending = self.means(step), {}
        if self.folder is None or not means:
            return
        record = {"step": step, "elapsed_s": round(time.monotonic() - self.started_s, 1), **means}
        with open(self.folder / "history.jsonl", "a") as history:
            history.write(json.dumps(record) + "\n")
        tqdm.write(f"{self.stage} {step:7d}  " + "  ".join(f"{name} {mean:.4g}" for name, mean in means.items()))
        if self.events:
            for name, mean in means.items():
                self.events.add_scalar(name, mean, step)
            self.events.flush()
