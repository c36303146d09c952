import numpy as np
import pytest

from utils.bootstrap import (
    compare,
    difference_interval,
    mean_interval,
    median_interval,
    ratio_interval,
    sequence_numbers,
)


def frames_of(sequences: int, per_sequence: int) -> np.ndarray:
    sequence = np.repeat(np.arange(sequences), per_sequence)
    camera = np.arange(len(sequence)) % 4
    return np.stack([0 * sequence + 9, sequence // 2, sequence % 2, camera, np.arange(len(sequence))], axis=1)


def test_cameras_and_frames_of_a_sequence_belong_together():
    frames = np.array([[9, 2, 1, 1, 5], [9, 2, 1, 4, 5], [9, 2, 2, 1, 5], [11, 2, 1, 1, 5], [9, 2, 1, 1, 9]])
    number = sequence_numbers(frames)
    assert number[0] == number[1] == number[4]
    assert len(set(number[[0, 2, 3]])) == 3


def test_the_interval_of_a_constant_is_a_point():
    assert mean_interval(np.full(40, 7.0), frames_of(8, 5)) == pytest.approx((7, 7, 7))


def test_the_interval_covers_the_true_mean_about_95_times_in_100():
    rng, frames = np.random.default_rng(0), frames_of(40, 5)
    covered = 0
    for trial in range(200):
        values = np.repeat(rng.normal(100, 20, size=40), 5) + rng.normal(0, 2, size=200)
        found = mean_interval(values, frames, seed=trial, resamples=300)
        covered += found.low <= 100 <= found.high
    assert 178 <= covered <= 198, f"covered {covered} of 200"


def test_repeating_every_frame_does_not_narrow_the_interval():
    values = np.random.default_rng(1).normal(size=20)
    once = mean_interval(values, frames_of(20, 1), seed=3)
    often = mean_interval(np.repeat(values, 10), frames_of(20, 10), seed=3)
    assert often == pytest.approx(once)


def test_the_interval_agrees_with_a_slow_twin():
    frames = np.concatenate([frames_of(6, 4), frames_of(6, 4)[:9]])
    values = np.random.default_rng(4).normal(50, 9, size=len(frames))
    rng, sequence, means = np.random.default_rng(8), sequence_numbers(frames), []
    for _ in range(4000):
        chosen = rng.integers(0, 6, size=6)
        means.append(np.concatenate([values[sequence == number] for number in chosen]).mean())
    found = mean_interval(values, frames, resamples=4000)
    assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.5)


def test_pairing_sees_a_small_gain_that_single_intervals_hide():
    rng, frames = np.random.default_rng(0), frames_of(30, 4)
    hard = np.repeat(rng.normal(150, 40, size=30), 4)
    ours, baseline = hard[None] - 5 + rng.normal(0, 1, size=(1, 120)), hard[None] + rng.normal(0, 1, size=(1, 120))
    gain = compare(ours, baseline, frames).difference
    assert gain.low < gain.mean < gain.high < 0
    single = mean_interval(ours[0], frames)
    assert single.high - single.low > 5 * (gain.high - gain.low)


def test_seeds_that_disagree_widen_the_interval():
    frames = frames_of(30, 2)
    same = np.full((3, 60), 100.0)
    scattered = np.array([[80.0], [100.0], [120.0]]) * np.ones((1, 60))
    assert compare(same, same, frames).difference == pytest.approx((0, 0, 0))
    single = mean_interval(scattered, frames)
    assert single.mean == pytest.approx(100) and single.low < 90 and single.high > 110
    wide = compare(scattered, same, frames)
    assert wide.difference.mean == pytest.approx(0)
    assert wide.difference.low < -10 and wide.difference.high > 10
    assert wide.percent == pytest.approx(wide.difference)


def test_values_of_other_frames_are_refused():
    with pytest.raises(ValueError, match="3 values for 8 frames"):
        mean_interval(np.zeros(3), frames_of(2, 4))


def test_the_interval_of_a_median_agrees_with_a_slow_twin():
    frames = np.concatenate([frames_of(6, 5), frames_of(6, 5)[:9]])
    values = np.random.default_rng(4).normal(50, 9, size=len(frames))
    rng, sequence, medians = np.random.default_rng(8), sequence_numbers(frames), []
    for _ in range(4000):
        chosen = rng.integers(0, 6, size=6)
        medians.append(np.median(np.concatenate([values[sequence == number] for number in chosen])))
    found = median_interval(values, frames, resamples=4000)
    assert found.mean == np.median(values)
    assert (found.low, found.high) == pytest.approx(np.percentile(medians, [2.5, 97.5]), abs=1)


def test_a_ratio_of_two_groups_is_resampled_by_whole_sequences():
    frames = frames_of(10, 4)
    above = frames[:, 3] < 2
    per_sequence = np.repeat(np.random.default_rng(0).uniform(50, 150, 10), 4)
    # Twice as bad in every sequence: the ratio is 2 however hard the drawn sequences are.
    found = ratio_interval(np.where(above, 2, 1) * per_sequence, above, ~above, frames)
    assert found == pytest.approx((2, 2, 2))
    noisy = ratio_interval(np.random.default_rng(1).uniform(50, 150, 40), above, ~above, frames)
    assert noisy.low < noisy.mean < noisy.high


def test_a_ratio_leaves_out_resamples_that_miss_a_group():
    frames = frames_of(3, 2)
    above = frames[:, 4] < 2
    found = ratio_interval(np.where(above, 30.0, 10.0), above, ~above, frames)
    assert found == pytest.approx((3, 3, 3))
    with pytest.raises(ValueError, match="0 values for 0 frames"):
        ratio_interval(np.ones(6), np.zeros(6, bool), above, frames)


def test_medians_of_several_seeds_are_resampled_over_sequences_and_seeds_as_by_a_slow_twin():
    frames = frames_of(5, 3)
    values = np.random.default_rng(2).normal(50, 9, size=(3, 15)) + np.array([[0.0], [6.0], [12.0]])
    rng, sequence, medians = np.random.default_rng(8), sequence_numbers(frames), []
    for _ in range(4000):
        rows, chosen = rng.integers(0, 3, size=3), rng.integers(0, 5, size=5)
        medians.append(np.median([values[row][sequence == number] for row in rows for number in chosen]))
    found = median_interval(values, frames, resamples=4000)
    assert found.mean == np.median(values)
    assert (found.low, found.high) == pytest.approx(np.percentile(medians, [2.5, 97.5]), abs=1)


def test_differences_of_medians_are_paired_and_those_of_means_are_those_of_compare():
    rng, frames = np.random.default_rng(0), frames_of(20, 3)
    hard = np.repeat(rng.normal(100, 30, size=20), 3)[None]
    found = difference_interval(hard - 5, hard, frames, "median")
    assert found == pytest.approx((-5, -5, -5))
    ours = hard + rng.normal(0, 9, size=(2, 60))
    assert difference_interval(ours, hard, frames) == compare(ours, hard, frames).difference
    assert difference_interval(hard, 0 * hard, frames).low > 0, "a baseline of zero has a difference, but no percent"


def test_the_median_of_an_even_count_is_the_mean_of_the_middle_two_in_every_resample():
    frames = frames_of(2, 2)
    values = np.array([[10.0, 90, 10, 90]])  # every sequence has both, so has every resample
    assert median_interval(values, frames) == pytest.approx((50, 50, 50))
