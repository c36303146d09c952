r"""Shows how much of its tolerance each float comparison of the tests uses, so that none is tight on another processor.

    ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 python -m pytest -p tests.helpers.margins \
        -o enable_assertion_pass_hook=true tests/unit/models/test_smpl.py

PyTorch, MKL, oneDNN, OpenBLAS and NumPy choose their loops by the processor, and each order of additions rounds in its
own way: differences of float32 results that are right double or halve from one processor to the next.  A tolerance is
chosen so that a comparison uses at most a fifth of it, here and with the loops of other processors, which these
variables ask for: ATEN_CPU_CAPABILITY=default or avx2, MKL_ENABLE_INSTRUCTIONS=AVX2, ONEDNN_MAX_CPU_ISA=AVX2,
OPENBLAS_CORETYPE=Haswell, NPY_DISABLE_CPU_FEATURES="AVX512F AVX512CD AVX512_SKX".

It sees NumPy's and PyTorch's comparisons, pytest.approx, and plain ones with a small number on the right
(`error.max() < 1e-5`).  Tolerances above `LARGEST` belong to models and data, not to arithmetic, and are left out.
"""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

MOST_USED = 0.2
"""Share of a tolerance that a comparison may use."""
LARGEST = 2e-3
NUMBER = r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?"
SMALLER = re.compile(rf"({NUMBER})[^<\n]{{0,60}}?<=? ({NUMBER})")
"""A comparison as pytest prints it, the value it found before the limit."""
USED: dict[str, tuple[float, float]] = {}
"""By file and line: the largest share that was used and met, and its tolerance."""


def note(place: str, difference: float, tolerance: float) -> None:
    """Keep the largest share of a tolerance that a line used; failures show themselves."""
    if 0 < tolerance <= LARGEST and difference <= tolerance:
        USED[place] = max(USED.get(place, (0.0, 0.0)), (difference / tolerance, tolerance))


def place_of_test() -> str:
    """Find the line of the test that compares."""
    frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).name.startswith("test_")]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no test"


def note_arrays(first: Any, second: Any, relative: float, absolute: float) -> None:
    """Note the entry of two arrays that uses most of what `absolute + relative * |second|` allows."""
    pair = [np.asarray(one.detach().cpu() if isinstance(one, torch.Tensor) else one) for one in (first, second)]
    if any(one.dtype.kind not in "fiu" or one.size == 0 for one in pair) or all(one.dtype.kind != "f" for one in pair):
        return
    first, second = np.broadcast_arrays(*(one.astype(np.float64) for one in pair))
    allowed = np.maximum(absolute + relative * np.abs(second), np.finfo(float).tiny)
    worst = int(np.nan_to_num(np.abs(first - second) / allowed).argmax())
    note(place_of_test(), float(np.abs(first - second).flat[worst]), float(allowed.flat[worst]))


def watched(compare: Callable[..., Any], relative: float, absolute: float) -> Callable[..., Any]:
    """Wrap a comparison of arrays whose defaults are these."""

    def watch(first: Any, second: Any, *more: Any, **settings: Any) -> Any:
        given = [settings.get("rtol", relative), settings.get("atol", absolute)]
        given[: len(more)] = more[:2]
        note_arrays(first, second, *(0.0 if one is None else one for one in given))
        return compare(first, second, *more, **settings)

    return watch


def watch_approx() -> None:
    """Wrap the comparison of pytest.approx with one number."""
    approximate = type(pytest.approx(1.0))
    compare = approximate.__eq__

    def watch(expected: Any, actual: Any) -> bool:
        if isinstance(actual, float) and isinstance(expected.expected, int | float):
            note(place_of_test(), abs(actual - expected.expected), expected.tolerance)
        return compare(expected, actual)

    approximate.__eq__ = watch


def pytest_configure(config: pytest.Config) -> None:
    """Watch all comparisons of this run."""
    np.allclose = watched(np.allclose, 1e-5, 1e-8)
    torch.allclose = watched(torch.allclose, 1e-5, 1e-8)
    np.testing.assert_allclose = watched(np.testing.assert_allclose, 1e-7, 0.0)
    torch.testing.assert_close = watched(torch.testing.assert_close, 1.3e-6, 1e-5)
    watch_approx()


def pytest_assertion_pass(item: pytest.Item, lineno: int, expl: str) -> None:
    """Note a plain comparison that held."""
    for found in SMALLER.finditer(expl):
        note(f"{item.path.name}:{lineno}", abs(float(found[1])), float(found[2]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List what uses most, largest share first."""
    terminalreporter.section(f"tolerances of which more than {MOST_USED:.0%} are used, of {len(USED)}")
    for place, (share, tolerance) in sorted(USED.items(), key=lambda item: -item[1][0]):
        if share > MOST_USED:
            terminalreporter.write_line(f"{share:6.0%} of {tolerance:.1e}  {place}")
