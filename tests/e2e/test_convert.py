"""From the official download and from crops to the index, as a user starts the scripts, on embedded data."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cdflib")
pytest.importorskip("h5py")
from config import ROOT, Paths, PreprocessConfig
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_files import FrameKey, find_folders, load_image, load_mask, load_meta, meta_path
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import load_table
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import SyntheticConfig
from tests.helpers.official_h36m import write_official

EVERY = 2


def places(root: Path) -> Paths:
    return Paths(
        h36m_location=root / "frames", masks_location=root / "masks", backgrounds_location=root / "backgrounds",
        index_location=root / "index", truth_location=root / "truth",
    )  # fmt: skip


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> Paths:
    """Two sequences of the embedded data, whose actions are spelled differently from release to release."""
    paths = places(tmp_path_factory.mktemp("embedded"))
    make_h36m.main(SyntheticConfig(paths=paths, size_px=96, frames=5, subjects=(1,), actions=(12, 15), subactions=(1,),
                                   image="png", processes=1))  # fmt: skip
    return paths


def start(script: str, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)


def test_the_official_download_becomes_the_embedded_data_again(embedded, tmp_path):
    official = write_official(tmp_path / "official", embedded)
    out = places(tmp_path / "out")
    arguments = ["--official", official, "--every", EVERY, "--image", "png", "--processes", 1, "--keep-free-gb", 0,
                 "--paths.h36m-location", out.h36m_location, "--paths.masks-location", out.masks_location,
                 "--report-location", tmp_path / "about"]  # fmt: skip
    done = start("dataset_def/convert_h36m.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert (
        "8 folders, 24 frames (every 2.)" in done.stdout
        and "next: python dataset_def/h36m_preprocess.py" in done.stdout
    )
    assert find_folders(out) == find_folders(embedded)
    for key in find_folders(out):
        ours, true = (load_meta(meta_path(paths, key)) for paths in (out, embedded))
        assert np.abs(ours.joints_world_m - true.joints_world_m).max() < 1e-4, "0.1 mm"
        for mine, theirs in zip(ours.camera[:-1], true.camera[:-1], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9)
        for frame in (1, 3, 5):
            for load in (load_image, load_mask):
                mine, theirs = (load(paths, FrameKey(*key, frame), true.camera) for paths in (out, embedded))
                assert np.array_equal(mine, theirs if load is load_image else 255 * (theirs > 128))
    notes = json.loads((tmp_path / "about" / "report.json").read_text())["folders"].values()
    assert all(note["frames_off_mask"] == 0 and note["projection_error_px"] < 1e-3 for note in notes)
    index_again(out, embedded)


def index_again(out: Paths, embedded: Paths) -> None:
    """The next scripts take the result for the same data."""
    h36m_preprocess.main(PreprocessConfig(paths=out, every=EVERY, pack_px=32, processes=1))
    h36m_preprocess.main(PreprocessConfig(paths=embedded, every=EVERY, pack_px=32, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=out, processes=1))
    table, true = load_table(out), load_table(embedded)
    assert np.array_equal(table.frames, true.frames) and table.has_masks
    np.testing.assert_allclose(table.joints_world_m, true.joints_world_m, atol=1e-4)
    np.testing.assert_allclose(table.masks_world_m, true.masks_world_m, atol=0.03)


def test_the_check_ends_with_2_when_something_named_is_missing(embedded, tmp_path):
    given = ["--paths.h36m-location", embedded.h36m_location, "--paths.masks-location", embedded.masks_location]
    done = start("dataset_def/check_data.py", *given, "--cmu", tmp_path / "nowhere")
    assert done.returncode == 2 and "CMU motion capture" in done.stderr and "Traceback" not in done.stderr
    assert "[ok] your data, frames: 40 frames in 8 folders" in done.stdout
