"""Area under the ROC curve, and its intervals."""

import numpy as np
import pytest

from utils.bootstrap import auc, auc_intervals


def test_auc_by_hand():
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 0.0])) == 1
    assert auc(np.array([0.0]), np.array([1.0, 2.0])) == 0
    assert auc(np.array([1.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx((0.5 + 0 + 1 + 1) / 4)


def test_intervals_hold_the_value_and_are_wider_where_whole_sequences_differ():
    rng = np.random.default_rng(0)
    sequence = np.repeat(np.arange(12), 30)
    real, other = rng.normal(1, 1, 360), rng.normal(0, 1, 360)
    found = auc_intervals(real, {"a": other, "b": other - 5}, sequence)
    assert found["a"].mean == pytest.approx(auc(real, other)) and found["b"].mean > 0.99
    assert found["mean"].mean == pytest.approx((found["a"].mean + found["b"].mean) / 2)
    assert found["a"].low < found["a"].mean < found["a"].high
    moods = rng.normal(0, 1, 12)[sequence]
    shifted = auc_intervals(real + moods, {"a": other}, sequence)["a"]
    assert shifted.high - shifted.low > 1.5 * (found["a"].high - found["a"].low)


def test_a_drawn_sequence_brings_all_its_frames():
    """With one sequence there is nothing to resample: the interval is the value."""
    found = auc_intervals(np.array([1.0, 2.0]), {"a": np.array([0.0, 1.5])}, np.array([4, 4]))
    assert found["a"] == (0.75, 0.75, 0.75)
