"""A run small enough to repeat.  Not a test itself: test_engine.py calls it, in this process and under torchrun."""

import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from config import Device, Loop, Optim, Paths
from utils.batches import in_order
from utils.engine import Run, make_optimizer, make_schedule

STEPS = 12


@dataclass(frozen=True)
class ToyConfig:
    paths: Paths
    name: str = "toy"
    device: Device = "cpu"
    optim: Optim = field(default_factory=lambda: Optim(steps=STEPS, lr=0.05, warmup_steps=2))
    loop: Loop = field(default_factory=lambda: Loop(log_every=2, validate_every=6, checkpoint_every=5, workers=0))


class Pair(NamedTuple):
    x: Tensor
    y: Tensor


class Noise(Dataset):
    """Seven items, so that batches of four cross the border between epochs."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, item: tuple[int, int]) -> Pair:
        rng = np.random.default_rng([0, *item])
        x = torch.as_tensor(rng.normal(size=3), dtype=torch.float32)
        return Pair(x, x.sum(0, keepdim=True) + item[1])


class PowerCutError(Exception):
    """Stands for a power cut."""


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))


@torch.no_grad()
def held_out(model: nn.Module) -> float:
    torch.rand(5)  # looking may draw numbers
    model.eval()
    value = sum(float((model(pair.x) - pair.y).abs().mean()) for pair in in_order(Noise(), 4))
    model.train()
    return value


def train(config: ToyConfig, stop_at: int = 0, bad_step: int = 0) -> nn.Module:
    """Train to the end, or break off in the middle of step `stop_at`; the loss of `bad_step` is not a number."""
    run = Run("toy", config)
    model = network().to(run.device)
    optimizer = make_optimizer(model.parameters(), config.optim)
    schedule = make_schedule(optimizer, config.optim)
    run.track(model=model, optimizer=optimizer, schedule=schedule)
    predict = run.parallel(model)
    for step, batch in run.steps(run.loader(Noise(), 4), last=config.optim.steps):
        if step == stop_at:
            raise PowerCutError
        loss = (predict(batch.x) - batch.y).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        run.log(distance=loss, wrong=float("nan") if step == bad_step else 0.0)
        if run.is_due("validate"):
            value = held_out(model)
            run.log(held_out=value)
            run.save_best(value)
    return model


def train_both(runs: Path) -> None:
    """Train once without a break and once with, and store what each process ends with."""
    whole = ToyConfig(Paths(runs_location=runs), "whole")
    parts = replace(whole, name="parts")
    ends = {"whole": train(whole).state_dict()}
    with suppress(PowerCutError):
        train(parts, stop_at=8)
    ends["parts"] = train(replace(parts, loop=replace(parts.loop, resume=True))).state_dict()
    torch.save(ends, runs / f"ends_{torch.distributed.get_rank()}.pt")


if __name__ == "__main__":
    train_both(Path(sys.argv[1]))
