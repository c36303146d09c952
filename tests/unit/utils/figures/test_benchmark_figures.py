"""The picture of the silhouette benchmark shows the numbers of its file."""

import json

import pytest

from utils.figures.benchmarks import silhouette_figure


def written(path, masks=32):
    names = {"ours, numba": (7.25, 0.9983), "SoftRas": (464.0, 0.9706)}
    cell = {"masks": masks, "size_px": 128, "vertices": 6999}
    times = [
        {"method": name, "threads": threads, "forward_backward": {"cpu_ms": threads * cpu_ms}} | cell
        for name, (cpu_ms, _) in names.items()
        for threads in (1, 2)
    ]
    gradients = [{"method": name, "vertices": 6999, "cosine": cosine} for name, (_, cosine) in names.items()]
    gradients += [row | {"vertices": 13718, "cosine": 0.5} for row in gradients]
    path.write_text(json.dumps({"hardware": {"processor": "abacus"}, "times": times, "gradients": gradients}))
    return path


def test_bars_are_the_times_of_one_thread_and_the_cosines_of_the_body(tmp_path):
    left, right = silhouette_figure(written(tmp_path / "silhouette.json")).axes
    assert [bar.get_width() for bar in left.patches] == [464.0, 7.25]
    assert [bar.get_width() for bar in right.patches] == [0.9706, 0.9983]
    assert [label.get_text() for label in left.get_yticklabels()] == ["SoftRas", "ours, numba"]
    assert right.get_xlim()[0] < 0.9706 and right.get_xlim()[1] > 1


def test_a_file_without_the_batch_or_no_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no times of 32 masks"):
        silhouette_figure(written(tmp_path / "silhouette.json", masks=4))
    with pytest.raises(FileNotFoundError, match="bench_silhouette"):
        silhouette_figure(tmp_path / "missing.json")
