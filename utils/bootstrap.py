"""Confidence intervals by resampling whole sequences: neighbouring frames and views of one sequence err together.

They are given for means, differences, and for how well scores separate two groups (area under the ROC curve).
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

RESAMPLES = 2000
Statistic = Literal["mean", "median"]
"""What is taken over all frames and seeds."""


class Interval(NamedTuple):
    """A mean with the bounds of its central 95 percent."""

    mean: float
    low: float
    high: float


class Comparison(NamedTuple):
    """What one recipe gains over another: ours minus the baseline, negative is better."""

    difference: Interval
    percent: Interval
    """The difference in percent of the baseline."""


def sequence_numbers(frames: Int[np.ndarray, "N 5"]) -> Int[np.ndarray, "N"]:
    """Number the sequences (subject, action, sub-action) that frames belong to; the cameras of one go together."""
    return np.unique(frames[:, :3], axis=0, return_inverse=True)[1].reshape(-1)


def totals(values: Float[np.ndarray, "*S N"], sequence: Int[np.ndarray, "N"]) -> Float[np.ndarray, "*S Q"]:
    """Add the values of every sequence."""
    members = np.eye(int(sequence.max()) + 1)[sequence]
    return values @ members


def resample_counts(count: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> Float[np.ndarray, "K count"]:
    """Say how often each of `count` things occurs in every resample with replacement."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)


def interval(center: float, resampled: Float[np.ndarray, "K"]) -> Interval:
    """Take the central 95 percent of resampled means.

    Source: percentile bootstrap, Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(center, float(low), float(high))


def mean_interval(
    values: Float[np.ndarray, "*S N"], frames: Int[np.ndarray, "frames 5"], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Bound the mean over frames by resampling sequences and, where values have a row per training seed, seeds."""
    require_frames(values, frames)
    rng = np.random.default_rng(seed)
    weights = resample_counts(int(sequence_numbers(frames).max()) + 1, rng, resamples)
    return interval(float(values.mean()), resampled_means(np.atleast_2d(values), frames, weights, rng))


def median_interval(
    values: Float[np.ndarray, "*S N"], frames: Int[np.ndarray, "frames 5"], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Bound the median over frames by resampling sequences and, where values have a row per training seed, seeds."""
    require_frames(values, frames)
    rng = np.random.default_rng(seed)
    weights = resample_counts(int(sequence_numbers(frames).max()) + 1, rng, resamples)
    return interval(float(np.median(values)), resampled_medians(np.atleast_2d(values), frames, weights, rng))


def ratio_interval(
    values: Float[np.ndarray, "N"],
    above: Bool[np.ndarray, "N"],
    below: Bool[np.ndarray, "N"],
    frames: Int[np.ndarray, "N 5"],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Bound the mean over the frames `above` divided by the mean over the frames `below`.

    Both means see the same resampled sequences; resamples without a frame of one of them are left out.
    """
    for part in (above, below):
        require_frames(values[part], frames[part])
    sequence = sequence_numbers(frames)
    weights = resample_counts(int(sequence.max()) + 1, np.random.default_rng(seed), resamples)
    with np.errstate(invalid="ignore", divide="ignore"):
        upper, lower = (
            (weights @ totals(np.where(part, values, 0), sequence)) / (weights @ totals(part.astype(float), sequence))
            for part in (above, below)
        )
        ratios = upper / lower
    return interval(float(values[above].mean() / values[below].mean()), ratios[np.isfinite(ratios)])


def compare(
    ours: Float[np.ndarray, "S N"],
    baseline: Float[np.ndarray, "T N"],
    frames: Int[np.ndarray, "N 5"],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Bound ours minus the baseline by a paired bootstrap: both see the same resampled sequences.

    Rows are training seeds.  They are resampled too, for each recipe by itself, as nothing pairs them.
    """
    ours_means, baseline_means = resampled_pair(ours, baseline, frames, "mean", seed, resamples)
    gain, center = ours_means - baseline_means, float(ours.mean() - baseline.mean())
    return Comparison(
        interval(center, gain), interval(100 * center / float(baseline.mean()), 100 * gain / baseline_means)
    )


def difference_interval(
    ours: Float[np.ndarray, "S N"],
    baseline: Float[np.ndarray, "T N"],
    frames: Int[np.ndarray, "N 5"],
    statistic: Statistic = "mean",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Bound ours minus the baseline as `compare` does, for medians too, and where the baseline may be zero."""
    first, second = resampled_pair(ours, baseline, frames, statistic, seed, resamples)
    taken = np.mean if statistic == "mean" else np.median
    return interval(float(taken(ours) - taken(baseline)), first - second)


def resampled_pair(
    ours: Float[np.ndarray, "S N"],
    baseline: Float[np.ndarray, "T N"],
    frames: Int[np.ndarray, "N 5"],
    statistic: Statistic,
    seed: int,
    resamples: int,
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """Take the statistic of two recipes over the same resampled sequences."""
    require_frames(ours, frames)
    require_frames(baseline, frames)
    rng = np.random.default_rng(seed)
    weights = resample_counts(int(sequence_numbers(frames).max()) + 1, rng, resamples)
    taken = resampled_means if statistic == "mean" else resampled_medians
    return taken(ours, frames, weights, rng), taken(baseline, frames, weights, rng)


def resampled_means(
    values: Float[np.ndarray, "S N"],
    frames: Int[np.ndarray, "N 5"],
    weights: Float[np.ndarray, "K Q"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "K"]:
    """Average values over resampled sequences (given by their weights) and resampled rows."""
    sequence = sequence_numbers(frames)
    counts = totals(np.ones(len(frames)), sequence)
    by_row = weights @ totals(values, sequence).T / (weights @ counts)[:, None]
    return (by_row * resample_counts(len(values), rng, len(weights))).sum(axis=1) / len(values)


def resampled_medians(
    values: Float[np.ndarray, "S N"],
    frames: Int[np.ndarray, "N 5"],
    weights: Float[np.ndarray, "K Q"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "K"]:
    """Take the median over resampled sequences (given by their weights) and resampled rows."""
    row, column = np.divmod(np.argsort(values, axis=None), values.shape[1])
    ordered, of_sequence = values[row, column], sequence_numbers(frames)[column]
    medians = np.empty(len(weights))
    for place, (weight, counts) in enumerate(
        zip(weights, resample_counts(len(values), rng, len(weights)), strict=True)
    ):
        reached = np.cumsum(weight[of_sequence] * counts[row])
        below, above = (np.searchsorted(reached, reached[-1] / 2, side) for side in ("left", "right"))
        medians[place] = (ordered[below] + ordered[above]) / 2  # of an even count, the mean of the middle two
    return medians


def require_frames(values: Shaped[np.ndarray, "*S N"], frames: Shaped[np.ndarray, "..."]) -> None:
    """Refuse values that do not belong to the frames, or no values at all."""
    count = values.shape[-1]
    if count == 0 or count != len(frames):
        raise ValueError(f"{count} values for {len(frames)} frames; give one value per frame, and at least one")


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
    weights = resample_counts(len(size), np.random.default_rng(seed), resamples)
    centers, resampled = {}, {}
    for name, values in others.items():
        table = wins(real, values, numbers, numbers, len(size))
        centers[name] = float(table.sum() / size.sum() ** 2)
        resampled[name] = np.einsum("kq,qr,kr->k", weights, table, weights) / (weights @ size) ** 2
    found = {name: interval(centers[name], resampled[name]) for name in others}
    mean = np.mean(list(resampled.values()), axis=0)
    return found | {"mean": interval(float(np.mean(list(centers.values()))), mean)}
