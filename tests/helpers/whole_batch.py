"""Layers that look at a whole batch: their outcome with one process and, under torchrun, with several.

torchrun --nproc-per-node 2 -m tests.helpers.whole_batch FILE
"""

import os
import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from utils.whole_batch import Shares, for_whole_batch, gathered, in_one_order

INPUTS = {2: (16, 5), 4: (8, 5, 6, 4)}
"""Of the whole batch, by the number of axes."""


def layers(dims: int) -> nn.Sequential:
    """Build normalisation twice, the second after something that is not linear, and dropout of vectors."""
    torch.manual_seed(1)
    if dims == 2:
        return nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 7), nn.ReLU(), nn.BatchNorm1d(7), nn.Dropout(0.4))
    inside = nn.Sequential(nn.Conv2d(5, 7, 1), nn.ReLU(), nn.BatchNorm2d(7))
    return nn.Sequential(nn.BatchNorm2d(5), inside).to(memory_format=torch.channels_last)


def outcome(dims: int, rank: int = 0, processes: int = 1) -> dict[str, Tensor]:
    """Compute everything that a training step uses, of this process's rows."""
    model = layers(dims)
    x = (3 * torch.randn(INPUTS[dims], generator=torch.Generator().manual_seed(2)) + 1).chunk(processes)[rank].clone()
    target = torch.randn((INPUTS[dims][0], 7), generator=torch.Generator().manual_seed(3)).chunk(processes)[rank]
    x.requires_grad_(True)
    called: nn.Module = model
    if processes > 1:
        for_whole_batch(model, lambda: Shares(torch.default_generator, rank, processes))
        in_one_order(model)
        called = DistributedDataParallel(model)
    torch.manual_seed(5)
    y = called(x)
    loss = (y.flatten(2).mean(2) if dims == 4 else y).sub(target).square().mean()
    loss.backward()
    assert x.grad is not None
    states = {name: value.clone().float() for name, value in model.state_dict().items()}
    learned = [(name, one.grad) for name, one in model.named_parameters() if one.grad is not None]
    gradients = {f"gradient of {name}": gradient.clone() for name, gradient in learned}
    model.eval()
    rows = {"output": y.detach(), "gradient of input": x.grad / processes, "evaluated": model(x).detach()}
    return states | gradients | {name: joined(value, processes) for name, value in rows.items()}


def joined(value: Tensor, processes: int) -> Tensor:
    """Put the rows of all processes together."""
    return value if processes == 1 else torch.cat(gathered(value))


if __name__ == "__main__":
    dist.init_process_group("gloo")
    found = {str(dims): outcome(dims, dist.get_rank(), dist.get_world_size()) for dims in INPUTS}
    if os.environ["RANK"] == "0":
        torch.save(found, sys.argv[1])
    dist.destroy_process_group()
