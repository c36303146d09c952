"""What every source of poses gives: sequences of axis-angle numbers, and a shape where there is one."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

NUM_BETAS = 10


class Recording(NamedTuple):
    """One sequence; frames that are kept only."""

    name: str
    """Of the sequence; parts of one sequence (clips) have the same name and are never split between training and
    held-out data."""
    theta: Float[np.ndarray, "T 72"]
    """Axis-angle, the root first, in the source's own frame."""
    betas: Float[np.ndarray, "10"] | None = None
    """SMPL's shape numbers."""


class Source(NamedTuple):
    """A kind of files, found and read."""

    name: str
    key: str
    """Changes when the content or a setting does."""
    items: tuple[tuple[str, ...], ...]
    """What `read` is called with: paths as text, or the number of an invented motion."""
    read: Callable[[tuple[str, ...]], Recording]
    num_skipped: int
    """Files that are known to be bad or hold no motion."""


def spread_rows(count: int, most: int) -> np.ndarray:
    """Choose at most so many of the frames, evenly spread; all if there are no more."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def check_theta(path: Path, theta: np.ndarray) -> Float[np.ndarray, "T 72"]:
    """Refuse poses that are of another shape, empty or not finite."""
    if theta.ndim != 2 or theta.shape[1] != 72 or len(theta) == 0 or not np.isfinite(theta).all():
        raise ValueError(f"{path} holds poses of shape {theta.shape}, or such that are not finite; (frames, 72) is "
                         "needed: delete it or fetch it again")  # fmt: skip
    return theta.astype(np.float32)


def check_betas(path: Path, betas: np.ndarray) -> Float[np.ndarray, "10"]:
    """Refuse shapes of fewer numbers, or such that are not finite."""
    flat = np.asarray(betas, np.float32).reshape(-1)[:NUM_BETAS]
    if len(flat) != NUM_BETAS or not np.isfinite(flat).all():
        raise ValueError(f"{path} holds {len(flat)} shape numbers, or such that are not finite; {NUM_BETAS} are "
                         "needed: delete it or fetch it again")  # fmt: skip
    return flat
