"""How long work takes: the one loop of all benchmarks that repeats it."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Took(NamedTuple):
    """Of one repeat."""

    wall_s: float
    cpu_s: float
    """Processor time of this process, of all threads together, which other work on the same cores hardly changes."""


class Repeats(NamedTuple):
    """Of every repeat, in order."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


def took(work: Callable[[], object]) -> Took:
    """Time some work, once."""
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - started_s, time.process_time() - started_cpu_s)


def repeated(measure: Callable[[], Took], least: int, budget_s: float) -> Repeats:
    """Measure at least so often, and until it comes to so much processor time."""
    each: list[Took] = []
    while len(each) < least or sum(one.cpu_s for one in each) < budget_s:
        each.append(measure())
    return Repeats(*zip(*each, strict=True))
