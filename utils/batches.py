"""Which items form batch number k: a pure function of (seed, k), whatever the number of processes or workers."""

from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate
from tqdm import tqdm

EpochIndex = tuple[int, int]
"""(epoch, index): what a data set is asked for."""


Anything = TypeVar("Anything")


def in_chunks(items: Iterable[Anything], size: int) -> Iterator[list[Anything]]:
    """Take items `size` at a time, as they come; the last chunk may be shorter."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


class Batches(Sampler[list[EpochIndex]]):
    """Yields this process's share of batch `first`, `first` + 1, ... without end.

    Every epoch is a permutation of all items; batches run across the border between epochs.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int, first: int = 0, rank: int = 0, processes: int = 1):
        if num_items < 1:
            raise ValueError("the data set is empty; check the subjects and paths")
        if batch_size < 1 or batch_size % processes:
            raise ValueError(f"the batch of {batch_size} cannot be shared evenly by {processes} processes")
        self.num_items, self.batch_size, self.seed, self.first = num_items, batch_size, seed, first
        self.rank, self.processes = rank, processes
        self.order_of: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def item(self, number: int) -> EpochIndex:
        """Find the item at a place in the endless order."""
        epoch, place = divmod(number, self.num_items)
        if self.order_of[0] != epoch:
            self.order_of = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.num_items)
        return epoch, int(self.order_of[1][place])

    def __iter__(self) -> Iterator[list[EpochIndex]]:
        share = self.batch_size // self.processes
        start = self.first * self.batch_size + self.rank * share
        while True:
            yield [self.item(number) for number in range(start, start + share)]
            start += self.batch_size


def one_thread(worker: int) -> None:
    """Keep a data worker from taking more than its core."""
    torch.set_num_threads(1)


def batch_loader(
    dataset: Dataset, batches: Sampler[list[EpochIndex]] | list[list[EpochIndex]], workers: int
) -> DataLoader[Any]:
    """Read the given batches, with workers that draw nothing from the global random generator."""
    cv2.setNumThreads(0)  # here, not in the worker: a forked process that touches OpenCV's thread pool hangs
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        generator=torch.Generator(),
        worker_init_fn=one_thread,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )


def in_order(dataset: Dataset, batch_size: int, workers: int = 0, every: int = 1) -> DataLoader[Any]:
    """Read every item (or every n-th) once, as epoch 0, in the order of the data set."""
    assert isinstance(dataset, Sized)
    items = [(0, index) for index in range(0, len(dataset), every)]
    if not items:
        raise ValueError("the data set is empty; check the subjects and paths")
    return batch_loader(dataset, [items[i : i + batch_size] for i in range(0, len(items), batch_size)], workers)


class Resident:
    """All items of a data set, read once as epoch 0, in the memory of a device; batches are gathered there.

    Args:
        batches: which items form which batch, from where a run stands.
    """

    def __init__(self, dataset: Dataset, batches: Batches, device: torch.device, workers: int) -> None:
        assert isinstance(dataset, Sized)
        self.batches = batches
        self.stored: Any = None  # of the data set's own NamedTuple
        done = 0
        for part in tqdm(in_order(dataset, READ_TOGETHER, workers), desc="reading into memory", disable=None):
            if self.stored is None:
                self.stored = type(part)(
                    *(one.new_empty((len(dataset), *one.shape[1:]), device=device) for one in part)
                )
            rows = slice(done, done + len(part[0]))
            for kept, new in zip(self.stored, part, strict=True):
                kept[rows] = new.to(device)
            done = rows.stop

    def __iter__(self) -> Iterator[Any]:
        """Yield batch after batch, without end."""
        for items in self.batches:
            rows = torch.tensor([index for _, index in items], device=self.stored[0].device)
            yield type(self.stored)(*(one[rows] for one in self.stored))


READ_TOGETHER = 64


def some_of(dataset: Dataset, count: int) -> Any:
    """Read one batch of items spread evenly over a data set, as epoch 0."""
    assert isinstance(dataset, Sized)
    rows = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    return default_collate([dataset[0, int(row)] for row in rows])


def to_device(batch: Any, device: torch.device) -> Any:
    """Move a tensor, or every tensor of a NamedTuple, to a device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    return type(batch)(*(to_device(part, device) for part in batch))
