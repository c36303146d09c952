"""How well scores separate two groups: area under the ROC curve, with intervals over whole sequences."""

import numpy as np
from jaxtyping import Float, Int

from utils.bootstrap import RESAMPLES, Interval, draws, interval


def wins(
    higher: Float[np.ndarray, "P"], lower: Float[np.ndarray, "N"], of_higher: Int[np.ndarray, "P"],
    of_lower: Int[np.ndarray, "N"], count: int,
) -> Float[np.ndarray, "Q Q"]:  # fmt: skip
    """Count, for every pair of sequences, how often a value of the first is above one of the second; ties are half."""
    found = np.zeros((count, count))
    for number in range(count):
        other, rows = lower[of_lower == number], higher[:, None]
        won = (rows > other).sum(axis=1) + 0.5 * (rows == other).sum(axis=1)
        found[:, number] = np.bincount(of_higher, won, count)
    return found


def auc(higher: Float[np.ndarray, "P"], lower: Float[np.ndarray, "N"]) -> float:
    """Give the probability that a value of the first group is above one of the second.

    Source: the Mann-Whitney statistic; Hanley and McNeil, Radiology 143, 1982.
    """
    zeros = np.zeros(len(higher), int), np.zeros(len(lower), int)
    return float(wins(higher, lower, *zeros, 1)[0, 0] / (len(higher) * len(lower)))


def auc_intervals(
    real: Float[np.ndarray, "N"],
    others: dict[str, Float[np.ndarray, "N"]],
    sequence: Int[np.ndarray, "N"],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Bound the AUC of real values over each other group, and their mean, by resampling sequences.

    Row n of every group comes from the same frame; a sequence that is drawn comes with all its groups.
    """
    numbers = np.unique(sequence, return_inverse=True)[1].reshape(-1)
    size = np.bincount(numbers).astype(float)
    weights = draws(len(size), np.random.default_rng(seed), resamples)
    centers, resampled = {}, {}
    for name, values in others.items():
        table = wins(real, values, numbers, numbers, len(size))
        centers[name] = float(table.sum() / size.sum() ** 2)
        resampled[name] = np.einsum("kq,qr,kr->k", weights, table, weights) / (weights @ size) ** 2
    found = {name: interval(centers[name], resampled[name]) for name in others}
    mean = np.mean(list(resampled.values()), axis=0)
    return found | {"mean": interval(float(np.mean(list(centers.values()))), mean)}
