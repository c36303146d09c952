"""A stopwatch inside a real training: it stands where the loop asks for the next batch, and does what it is told.

The training is the script's own `main`, unchanged; only the loader that Run gives it is watched.
"""

import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from config import EncDecConfig, MeshConfig, PoseConfig
from sample import train_3d_pose_from_enc, train_enc_dec, train_SMPL_from_enc
from tests.benchmarks.timing import Took, repeated, took
from utils.engine import Run, mixed_precision

Convolution = tuple[nn.Module, tuple[int, ...], bool]
"""A layer, the shape of what it is given, and whether its input needs a gradient."""
PEAK_S = 0.3
"""For which the most expensive layer is repeated."""
MOST_OPERATIONS = 15
"""Of a profile."""


class Enough(Exception):  # noqa: N818 - no error: how a training is left in the midst
    """The training is not needed any more."""


class Stopwatch:
    """Measures steps between two batches, as far as it is told to go, then asks what to do next."""

    def __init__(self, told: Connection) -> None:
        self.told, self.loaders = told, 0
        self.modules: list[nn.Module] = []
        self.convolutions: list[Convolution] = []
        self.is_over: Callable[[], bool] = lambda: True
        self.finish: Callable[[], Any] = lambda: "ready"
        self.steps, self.waiting_s, self.started_s, self.started_cpu_s = 0, 0.0, 0.0, 0.0

    def watched(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Pass batches on; before one of the first loader a step is over."""
        number, batches = self.loaders, iter(loader)
        self.loaders += 1
        while True:
            if number == 0:
                self._between_steps()
            asked_s = time.perf_counter()
            batch = next(batches)
            self.waiting_s += time.perf_counter() - asked_s
            yield batch

    def _between_steps(self) -> None:
        self.steps += 1
        if not self.is_over():
            return
        what, *numbers = self._asked_after(self.finish())
        while what in ("peak", "memory"):
            what, *numbers = self._asked_after(self._peak() if what == "peak" else peak_memory_mb())
        getattr(self, f"_{what}")(*numbers)
        self.steps, self.waiting_s = 0, 0.0
        self.started_s, self.started_cpu_s = time.perf_counter(), time.process_time()

    def _asked_after(self, found: Any) -> tuple[Any, ...]:
        """Answer, and wait for what is asked next."""
        self.told.send(found)
        try:
            return self.told.recv()
        except EOFError:
            raise Enough from None

    def _times(self) -> dict[str, float]:
        return {"steps": self.steps, "wall_s": time.perf_counter() - self.started_s,
                "cpu_s": time.process_time() - self.started_cpu_s, "waiting_s": self.waiting_s}  # fmt: skip

    def _now(self) -> None:
        self.finish, self.is_over = self._times, lambda: True

    def _steps(self, count: int) -> None:
        self.finish, self.is_over = self._times, lambda: self.steps >= count

    def _seconds(self, least_s: float) -> None:
        self.finish = self._times
        self.is_over = lambda: self.steps >= 2 and time.perf_counter() - self.started_s >= least_s

    def _count(self) -> None:
        """Count the operations of a step, and note its convolutions and how many images it takes."""
        stack, images = ExitStack(), [0]
        counter = stack.enter_context(FlopCounterMode(display=False))
        for module in {id(one): one for root in self.modules for one in root.modules()}.values():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                stack.callback(module.register_forward_pre_hook(self._note).remove)

        def finish() -> dict[str, Any]:
            stack.close()
            parameters = {id(one): one.numel() for root in self.modules for one in root.parameters()}
            first = next(shape for _, shape, _ in self.convolutions)
            images[0] = first[0]
            return {"images": images[0], "gflop": counter.get_total_flops() / 1e9,
                    "parameters_millions": sum(parameters.values()) / 1e6}  # fmt: skip

        self.finish, self.is_over = finish, lambda: self.steps >= 1

    def _note(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.convolutions.append((module, tuple(inputs[0].shape), inputs[0].requires_grad))

    def _profile(self, count: int) -> None:
        """Time the operations of some steps one by one."""
        stack = ExitStack()
        profile = stack.enter_context(torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]))

        def finish() -> list[dict[str, Any]]:
            stack.close()
            events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
            whole = sum(event.self_cpu_time_total for event in events)
            return [{"operation": event.key, "share": event.self_cpu_time_total / whole,
                     "calls_per_step": event.count / count, "ms_per_step": event.self_cpu_time_total / 1e3 / count}
                    for event in events[:MOST_OPERATIONS]]  # fmt: skip

        self.finish, self.is_over = finish, lambda: self.steps >= count

    def _peak(self) -> float:
        """Run the most expensive convolution of the network alone; gives GFLOP/s, the best of its repeats."""
        with FlopCounterMode(display=False) as counter:
            costs = []
            for layer, shape, _ in self.convolutions:
                before = counter.get_total_flops()
                with torch.no_grad():
                    layer(torch.zeros(shape))
                costs.append(counter.get_total_flops() - before)
        layer, shape, _ = self.convolutions[costs.index(max(costs))]
        image = torch.rand(shape).to(memory_format=torch.channels_last).requires_grad_()
        kept = [one.grad for one in layer.parameters()]
        pull = torch.ones_like(layer(image).detach())
        with FlopCounterMode(display=False) as counter:
            self._repeat(layer, image, pull)
        least_s = min(repeated(lambda: self._repeat(layer, image, pull), 3, PEAK_S).wall_s)
        for parameter, gradient in zip(layer.parameters(), kept, strict=True):
            parameter.grad = gradient
        return counter.get_total_flops() / 1e9 / least_s

    def _repeat(self, layer: nn.Module, image: Tensor, pull: Tensor) -> Took:
        with mixed_precision(torch.device("cpu"), self.bf16):
            is_bf16 = torch.is_autocast_enabled("cpu")
            given, pull = (one.to(torch.bfloat16) if is_bf16 else one for one in (image, pull))
            return took(lambda: layer(given).backward(pull))

    bf16 = False


def peak_memory_mb() -> float:
    """Give the largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def trained_under_a_stopwatch(config: EncDecConfig | PoseConfig | MeshConfig, told: Connection) -> None:
    """Train as the script does until nobody asks any more."""
    watch = Stopwatch(told)
    watch.bf16 = config.optim.bf16
    own_loader, own_track = Run.loader, Run.track

    def loader(run: Run, dataset: Dataset, batch_size: int, *how: Any, **more: Any) -> Iterable[Any]:
        return watch.watched(own_loader(run, dataset, batch_size, *how, **more))

    def track(run: Run, **states: Any) -> None:
        watch.modules += [state for state in states.values() if isinstance(state, nn.Module)]
        own_track(run, **states)

    Run.loader, Run.track = loader, track  # type: ignore[method-assign]
    scripts = {EncDecConfig: train_enc_dec.main, PoseConfig: train_3d_pose_from_enc.main,
               MeshConfig: train_SMPL_from_enc.main}  # fmt: skip
    try:
        scripts[type(config)](config)  # type: ignore[operator]
    except Enough:
        pass
    finally:
        told.close()
