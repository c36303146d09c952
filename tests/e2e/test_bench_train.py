"""The benchmark of trainings at tiny size: it lets a real training go, counts, times and writes what was found."""

import json
from dataclasses import replace

import pytest

from config import PreprocessConfig, Subjects
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from tests.benchmarks.bench_train import (
    IN_MEMORY,
    OURS,
    SEED,
    TARGETS,
    BenchTrainConfig,
    main,
    ratios,
    settings_of,
)
from tests.benchmarks.train_costs import Sizes, cost_against_size, slope
from tests.benchmarks.train_table import ratio_lines
from tests.helpers.tiny_h36m import write_tiny_h36m

SUBJECTS = Subjects(train=(1, 5), labelled=(1,), test=(9,), held_out=((4, 1),))


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> BenchTrainConfig:
    paths = write_tiny_h36m(
        tmp_path_factory.mktemp("bench"), subjects=(1, 5, 9), actions=(2, 3, 4), frames=4, size_px=96
    )
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=48, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    return BenchTrainConfig(paths=paths, subjects=SUBJECTS, rounds=1, seconds=0.01, size_px=32, images=8)


def test_a_real_training_is_counted_and_timed(config, tmp_path, capsys):
    result = tmp_path / "train.json"
    found = main(replace(config, contenders=(OURS,), profiles=(OURS,), sizes=Sizes(factors=()), result=result))
    row = found["rows"][OURS]
    assert row["images"] == 8
    assert row["images_per_s"] == pytest.approx(8 / row["step_ms"] * 1e3)
    assert 0 <= row["waiting_share"] < 1 and row["share_of_peak"] > 0 and row["memory_mb"] > 100
    # Two multiplications and additions of every weight and place of the first layers alone are more than this.
    assert 1e-3 < row["gflop"] < 10
    assert any("convolution" in one["operation"] for one in found["profiles"][OURS])
    assert json.loads(result.read_text())["rows"][OURS]["gflop"] == row["gflop"]
    assert OURS in result.with_suffix(".md").read_text() and OURS in capsys.readouterr().out


def test_contenders_read_frames_where_they_say_so(config, tmp_path):
    packed, frames = (settings_of(f"1 demo, {data}", config, tmp_path) for data in ("pack", "frames"))
    assert (packed.paths.index_location / "crops_masks").is_dir()
    assert (frames.paths.index_location / "index.npz").exists()
    assert not list(frames.paths.index_location.glob("crops_*"))
    with pytest.raises(ValueError, match="there is no contender '5 demo, pack'"):
        settings_of("5 demo, pack", config, tmp_path)


def test_ratios_are_told_for_a_pack_and_for_memory():
    speeds = {OURS: 20.0, IN_MEMORY: 30.0, SEED: 2.0}
    found = {name: {"rounds_images_per_s": [speed], "cpu_ms": 8e3 / speed, "images": 8}
             for name, speed in speeds.items()}  # fmt: skip
    told = ratios(found)
    assert {name: one["median"] for name, one in told.items()} == {"times_seed": 10, "times_seed_from_memory": 15}
    assert told["times_seed_from_memory"]["by_processor_time"] == pytest.approx(15)
    one, other = ratio_lines(told, TARGETS)
    assert one.startswith("Stage 1 (demo, pack) takes 10.0 times the images per second of preset seed ")
    assert other.startswith("Stage 1 (demo, memory) takes 15.0 times the images per second of preset seed ")


def test_a_cost_in_proportion_has_slope_one(config):
    assert slope([1, 4, 16], [3.0, 12.0, 48.0]) == pytest.approx(1)
    assert slope([1, 4, 16], [2.0, 2.0, 2.0]) == pytest.approx(0)
    costs = cost_against_size(Sizes(factors=(1, 2), rings=6, masks=1, seconds=0.0), config.paths, SUBJECTS)
    assert {tuple(cost) for cost in costs.values()} == {("size", "ms", "slope")}
    assert costs["batch: images of a step"]["size"] == [4, 8]
