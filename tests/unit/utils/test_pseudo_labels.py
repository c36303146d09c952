"""Pseudo-labels: one writer, one reader, and nobody whom the tests measure in either."""

import numpy as np
import pytest

from utils.artifacts import PseudoLabels, file_hash, load_pseudo_labels, save_arrays, save_pseudo_labels

TEST = (9, 11)


def some_labels(index, subjects=(5, 5, 6)) -> PseudoLabels:
    rng, count = np.random.default_rng(0), len(subjects)
    frames = np.array([[subject, 2, 1, 1 + row] for row, subject in enumerate(subjects)], np.int32)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=(count, *shape)).astype(np.float32)

    return PseudoLabels(frames, drawn(72), drawn(10), drawn(3), drawn(17, 3), np.ones(count, np.float32), "{}", "body",
                        "teacher", file_hash(index))  # fmt: skip


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "index.npz"
    path.write_bytes(b"an index")
    return path


def test_pseudo_labels_come_back_as_they_were_written(tmp_path, index):
    written = some_labels(index)
    save_pseudo_labels(tmp_path / "one.npz", written, TEST)
    found = load_pseudo_labels(tmp_path / "one.npz", index, TEST)
    for before, after in zip(written, found, strict=True):
        assert np.array_equal(before, after)


def test_the_writer_and_the_reader_refuse_test_subjects(tmp_path, index):
    labels, path = some_labels(index, (5, 9, 11)), tmp_path / "two.npz"
    with pytest.raises(ValueError, match=r"subjects \[9, 11\] are in subjects.test"):
        save_pseudo_labels(path, labels, TEST)
    assert not path.exists()
    save_pseudo_labels(path, labels, ())
    with pytest.raises(ValueError, match=r"subjects \[9, 11\] are in subjects.test"):
        load_pseudo_labels(path, index, TEST)


def test_those_of_another_index_and_damaged_ones_are_refused(tmp_path, index):
    path = tmp_path / "three.npz"
    save_pseudo_labels(path, some_labels(index), TEST)
    index.write_bytes(b"another index")
    with pytest.raises(ValueError, match="was not made from"):
        load_pseudo_labels(path, index, TEST)
    with pytest.raises(FileNotFoundError, match="fit_SMPL"):
        load_pseudo_labels(tmp_path / "none.npz", index, TEST)
    labels = some_labels(index)
    save_arrays(path, "pseudo_labels", **(labels._asdict() | {"theta": labels.theta[:2]}))
    with pytest.raises(ValueError, match="damaged"):
        load_pseudo_labels(path, index, TEST)


def test_numbers_that_are_not_finite_are_not_written(tmp_path, index):
    labels = some_labels(index)
    labels.joints_world_m[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="joints_world_m would hold numbers that are not finite"):
        save_pseudo_labels(tmp_path / "four.npz", labels, TEST)
    assert not (tmp_path / "four.npz").exists()
