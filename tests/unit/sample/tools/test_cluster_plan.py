"""The page about large archives is what the script computes from today's results; files weigh what it counts."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from config import PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_crops import PackMetadata, finish_pack, start_pack
from dataset_def.h36m_index import load_table
from sample.fit_SMPL import FitConfig, FittedPart
from sample.tools import cluster_plan
from sample.tools.cluster_plan import (
    FIT_FRAMES,
    INDEX_BYTES,
    MADE_BY,
    PART_BYTES,
    PART_BYTES_OF_VIEW,
    PART_INSTANTS,
    TABLE_BYTES,
    TABLE_BYTES_OF_INSTANT,
    ClusterConfig,
    Rate,
    page_of,
    rates_of,
    told,
    told_bytes,
    told_hours,
)
from tests.helpers.readme_commands import commands_of, settings_of
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import save_index


def cells(page: str, row: str) -> list[str]:
    """Give the numbers of a row of a table, found by how it begins."""
    [line] = [line for line in page.splitlines() if line.startswith(f"| {row}")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_committed_page_is_what_the_script_writes_from_the_results_of_today():
    config = ClusterConfig()
    again = "it is not of today's results; run: python sample/tools/cluster_plan.py"
    assert config.page.read_text() == page_of(config), again


def test_every_command_of_the_page_has_settings_that_exist():
    commands = [command for command in commands_of(page_of(ClusterConfig())) if command.script]
    assert len(commands) == 6
    for command in commands:
        settings_of(command)


@pytest.fixture
def results(tmp_path):
    """Copies of today's results, to be changed."""
    place, real = tmp_path / "results", ClusterConfig().results_location
    place.mkdir()
    for name in MADE_BY:
        shutil.copy(real / f"{name}.json", place)
    shutil.copy(real.parent / "LOG.md", tmp_path)
    return place


def test_a_rate_of_a_file_becomes_hours_of_the_plan(results):
    path = results / "real_pictures.json"
    content = json.loads(path.read_text())
    [row] = [row for row in content["rows"] if row["tier"] == "keypoints"]
    row["ms_per_picture"] = 360.0
    content["hardware"] = {"processor": "Abacus", "cores": 3, "gpu": "none"}
    path.write_text(json.dumps(content))
    log = results.parent / "LOG.md"
    log.write_text(log.read_text().replace("9,500 images a second", "10,000 images a second"))
    config = ClusterConfig(results_location=results, images=20_000_000, cores=500, gpus=2, shard_images=6_000_000)
    page = page_of(config)
    assert rates_of(config)["keypoints"] == replace_rate(rates_of(config)["keypoints"], 1 / 0.36, "Abacus, 3 cores")
    assert cells(page, "predicting, tier keypoints |")[:3] == ["2.78", "thread", "Abacus, 3 cores"]
    # 36,000 s over 2 ranks, 3.6 million over 64, 7.2 million over 500
    assert cells(page, "predicting, keypoints |") == ["5 h", "15.6 h", "4 h"]
    assert cells(page, "stage 2 with heat maps on 1 / 2 GPU") == ["–", "16.7 min", "16.7 min"]
    assert cells(page, "shards") == ["1", "2", "4"]


def replace_rate(rate: Rate, images_per_s: float, hardware: str) -> Rate:
    return rate._replace(images_per_s=pytest.approx(images_per_s), hardware=hardware)


def test_numbers_are_written_as_one_reads_them():
    rate = Rate("", 100.0, "", "", "", "")
    assert [told(1234.5), told(99.44), told(0.01234)] == ["1,230", "99.4", "0.0123"]
    assert [told_bytes(36_864), told_bytes(3.7e9), told_bytes(2e15)] == ["36.9 kB", "3.7 GB", "2 PB"]
    assert [told_hours(720_000, rate, 1), told_hours(720_000, rate, 4)] == ["2 h", "30 min"]


def test_what_a_table_an_index_and_a_pack_weigh_is_what_is_counted(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1, 5), actions=(2,), frames=50, size_px=32)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    table = load_table(paths)
    images, instants = len(table.frames), len(table.joints_world_m)
    held = sum(value.nbytes for value in table if isinstance(value, np.ndarray))
    assert held == TABLE_BYTES * images + TABLE_BYTES_OF_INSTANT * instants
    frames = np.stack(np.meshgrid(*[np.arange(1, 11, dtype=np.int32)] * 5), axis=-1).reshape(-1, 5)
    save_index(tmp_path / "index.npz", frames, "")
    assert (tmp_path / "index.npz").stat().st_size == pytest.approx(INDEX_BYTES * len(frames), rel=0.01)
    size_px = PreprocessConfig().pack_px
    start_pack(tmp_path / "crops", 20, PackMetadata("", 1, True, size_px, 3.0))
    finish_pack(tmp_path / "crops", PackMetadata("", 1, True, size_px, 3.0))
    weight = sum((tmp_path / "crops" / name).stat().st_size for name in ("images.npy", "masks.npy"))
    assert weight == 20 * 4 * size_px**2 + 2 * 128  # two headers


def test_what_a_part_of_fits_weighs_is_what_is_counted():
    instants, views = PART_INSTANTS, 5
    shapes = {"frames": (4,), "theta": (72,), "translation_m": (3,), "joints_world_m": (17, 3), "overlap": (views,),
              "apart_rad": (), "guess_theta": (72,), "guess_betas": (10,)}  # fmt: skip
    assert {*shapes, "betas", "cloth_m"} == {*FittedPart._fields}  # these two are of a whole part
    held = sum(np.zeros((instants, *shape), np.float32).nbytes for shape in shapes.values())
    assert held == instants * (PART_BYTES + PART_BYTES_OF_VIEW * views)
    assert FitConfig().batch == PART_INSTANTS == FIT_FRAMES


def test_what_is_missing_is_told_in_one_sentence(results):
    config = ClusterConfig(results_location=results)
    (results.parent / "LOG.md").write_text("# Log\n")
    with pytest.raises(ValueError, match=r"LOG\.md does not tell what was measured on a GPU"):
        page_of(config)
    (results / "train.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.json does not exist; make it with: python tests/bench"):
        page_of(config)


def test_the_page_goes_where_it_is_asked_for(tmp_path):
    path = cluster_plan.main(replace(ClusterConfig(), page=tmp_path / "plan.md", images=5_000_000))
    assert "a cluster: 5,000,000 images" in path.read_text()
