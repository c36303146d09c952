"""Which items form batch number k: a pure function of (seed, k), whatever the number of processes or workers.

Every sample of a training is watched while it is read: one that holds NaN, cannot be read, or ends the process that
reads it, is named.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate, get_worker_info
from tqdm import tqdm

from utils.failures import SHARED_MEMORY
from utils.optional import is_installed, later

cv2 = later("cv2")

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

    Args:
        is_dealt: give each process every n-th item, not as many neighbours: of what is done to the first part of a
            batch alone, each then does its share.
    """

    def __init__(
        self, num_items: int, batch_size: int, seed: int, first: int = 0, rank: int = 0, processes: int = 1,
        is_dealt: bool = False,
    ):  # fmt: skip
        if num_items < 1:
            raise ValueError("the data set is empty; check the subjects and paths")
        if batch_size < 1 or batch_size % processes:
            raise ValueError(f"the batch of {batch_size} cannot be shared evenly by {processes} processes")
        self.num_items, self.batch_size, self.seed, self.first = num_items, batch_size, seed, first
        self.rank, self.processes, self.is_dealt = rank, processes, is_dealt
        self.order_of: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def item(self, number: int) -> EpochIndex:
        """Find the item at a place in the endless order."""
        epoch, place = divmod(number, self.num_items)
        if self.order_of[0] != epoch:
            self.order_of = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.num_items)
        return epoch, int(self.order_of[1][place])

    def share_of(self, number: int) -> list[EpochIndex]:
        """List this process's items of a batch."""
        whole = range(number * self.batch_size, (number + 1) * self.batch_size)
        share = self.batch_size // self.processes
        ours = slice(self.rank, None, self.processes) if self.is_dealt else slice(self.rank * share, None)
        return [self.item(place) for place in whole[ours][:share]]

    def __iter__(self) -> Iterator[list[EpochIndex]]:
        number = self.first
        while True:
            yield self.share_of(number)
            number += 1


@runtime_checkable
class Named(Protocol):
    """A data set that can say which sample an item is."""

    def name_of(self, place: EpochIndex) -> str:
        """Name a sample as a person would look for it."""


def broken_part(sample: Any, name: str = "sample") -> str:
    """Name the first tensor of a sample with numbers that are NaN or infinite; empty if there is none."""
    if isinstance(sample, torch.Tensor):
        return "" if not sample.is_floating_point() or sample.isfinite().all() else name
    fields = getattr(sample, "_fields", range(len(sample)))
    return next((found for field, part in zip(fields, sample, strict=True) if (found := broken_part(part, field))), "")


class Watched(Dataset[Any]):
    """A data set whose samples are checked and, where the settings say so, left out when they cannot be read."""

    def __init__(self, dataset: Any, workers: int, skip_broken: bool = False) -> None:
        self.dataset, self.skip_broken = dataset, skip_broken and isinstance(dataset, Named)  # others are drawn
        self.reading = torch.full((max(1, workers), 3), -1, dtype=torch.int64).share_memory_()
        """Of every worker: its process, and the (epoch, index) that it reads; -1 between two."""
        self.skipped = torch.zeros(len(dataset) if self.skip_broken else 0, dtype=torch.uint8).share_memory_()
        """1 where a sample was left out."""

    def __len__(self) -> int:
        return len(self.dataset)

    def name_of(self, place: EpochIndex) -> str:
        """Name a sample."""
        return (
            self.dataset.name_of(place) if isinstance(self.dataset, Named) else f"item {place[1]} of epoch {place[0]}"
        )

    def __getitem__(self, place: EpochIndex) -> Any:
        info = get_worker_info()
        here = self.reading[0 if info is None else info.id]
        epoch, first = place
        for index in range(first, first + len(self)):
            here[:] = torch.tensor([os.getpid(), epoch, index % len(self)])
            try:
                sample = self._read((epoch, index % len(self)))
            except (ValueError, OSError) as error:
                if not self.skip_broken:
                    raise
                self._skip((epoch, index % len(self)), error)
            else:
                here[2] = -1
                return sample
        raise ValueError("no sample of this data set can be read")

    def _read(self, place: EpochIndex) -> Any:
        sample = self.dataset[place]
        if part := broken_part(sample):
            raise ValueError(f"{part} of {self.name_of(place)} holds NaN or infinity; mend or remove it, or leave out "
                             "what cannot be read with --loop.skip-broken")  # fmt: skip
        return sample

    def _skip(self, place: EpochIndex, error: Exception) -> None:
        if not self.skipped[place[1]]:
            self.skipped[place[1]] = 1
            tqdm.write(f"skipped {self.name_of(place)}: {' '.join(str(error).split())}", file=sys.stderr)

    def read_by(self, process: int) -> str:
        """Say what a process was reading, as the middle of a sentence."""
        rows = [(epoch, index) for pid, epoch, index in self.reading.tolist() if pid == process and index >= 0]
        return f"while it read {self.name_of(rows[0])}" if rows else "between two samples"


ENDED_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? (\d+)")


def without_lost_workers(loader: Iterable[Any], watched: Sequence[Watched]) -> Iterator[Any]:
    """Yield batches; where a process that reads them was ended from outside, say what it was reading.

    Raises:
        ChildProcessError: one was ended.
    """
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            ended = ENDED_WORKER.search(str(error))
            if ended is None or SHARED_MEMORY.search(str(error)):
                raise
            places = [one.read_by(int(ended[1])) for one in watched]
            where = next((place for place in places if place.startswith("while")), "between two samples")
            raise ChildProcessError(
                f"a process that reads data (pid {ended[1]}) was ended from outside {where}: memory may have run out, "
                "or a library failed on that file; use fewer --loop.workers, or look at the file"
            ) from error
        yield batch


def prepared_worker(worker: int) -> None:
    """Keep a data worker from taking more than its core, and alive when a whole job is told to end.

    Schedulers send SIGTERM to every process of a job.  The training process saves first and ends its workers then.
    """
    torch.set_num_threads(1)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, daemon=True).start()


def _end_by_parent() -> None:
    """End this process when its parent says so, and nobody else."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


ALIGNED_BYTES = 64
"""Tensors that share a piece of memory begin at multiples of this, as PyTorch's own do."""


def tensors_in(batch: Any) -> list[torch.Tensor]:
    """List the tensors of a batch: itself, or those of NamedTuples, at any depth."""
    if isinstance(batch, torch.Tensor):
        return [batch]
    return [one for part in batch for one in tensors_in(part)] if hasattr(batch, "_fields") else []


def with_tensors(batch: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """Put other tensors, in the order of `tensors_in`, in the place of a batch's."""
    if isinstance(batch, torch.Tensor):
        return next(tensors)
    return type(batch)(*(with_tensors(part, tensors) for part in batch)) if hasattr(batch, "_fields") else batch


def in_one_piece(samples: list[Any]) -> Any:
    """Make a batch; a worker's tensors lie in one piece of shared memory.

    For every piece the training process shakes hands with a thread of the worker, which reads at that time: of a batch
    of ten tensors it waited a few milliseconds for each step.
    """
    batch = default_collate(samples)
    tensors = tensors_in(batch)
    if get_worker_info() is None or not any(one.nbytes for one in tensors):
        return batch
    ends = np.cumsum([-(-one.nbytes // ALIGNED_BYTES) * ALIGNED_BYTES for one in tensors]).tolist()
    piece = torch.empty(ends[-1], dtype=torch.uint8).share_memory_()
    places = [piece[first : first + one.nbytes].view(one.dtype).view(one.shape).copy_(one)
              for first, one in zip([0, *ends], tensors, strict=False)]  # fmt: skip
    return with_tensors(batch, iter(places))


def batch_loader(
    dataset: Dataset, batches: Sampler[list[EpochIndex]] | list[list[EpochIndex]], workers: int
) -> DataLoader[Any]:
    """Read the given batches, with workers that draw nothing from the global random generator."""
    if is_installed("cv2"):
        cv2.setNumThreads(0)  # here, not in the worker: a forked process that touches OpenCV's thread pool hangs
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        generator=torch.Generator(),
        worker_init_fn=prepared_worker,
        collate_fn=in_one_piece,
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


def index_of(place: EpochIndex) -> int:
    """Give the item that is asked for, whatever the epoch."""
    return place[1]


class Resident:
    """All items of a data set, read once as epoch 0, in the memory of a device; batches are gathered there.

    Args:
        batches: which items form which batch, from where a run stands.
        shown: of a data set that shows some items in the place of others, which.
    """

    def __init__(
        self, dataset: Dataset, batches: Batches, device: torch.device, workers: int,
        shown: Callable[[EpochIndex], int] = index_of,
    ) -> None:  # fmt: skip
        assert isinstance(dataset, Sized)
        self.batches, self.shown = batches, shown
        self.stored: Any = None  # of the data set's own NamedTuple
        done = 0
        for part in tqdm(in_order(dataset, READ_TOGETHER, workers), desc="reading into memory", disable=None):
            read = tensors_in(part)
            if self.stored is None:
                room = (one.new_empty((len(dataset), *one.shape[1:]), device=device) for one in read)
                self.stored = with_tensors(part, room)
            rows = slice(done, done + len(read[0]))
            for kept, new in zip(tensors_in(self.stored), read, strict=True):
                kept[rows] = new.to(device)
            done = rows.stop

    def __iter__(self) -> Iterator[Any]:
        """Yield batch after batch, without end."""
        stored = tensors_in(self.stored)
        for items in self.batches:
            rows = torch.tensor([self.shown(item) for item in items], device=stored[0].device)
            yield with_tensors(self.stored, (one[rows] for one in stored))


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
