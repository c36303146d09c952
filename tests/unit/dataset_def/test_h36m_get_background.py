from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from config import Crop, Pairing, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_encoder_data import EncoderData
from dataset_def.h36m_files import background_path
from dataset_def.h36m_get_background import BackgroundConfig, evenly_spaced_rows, main, median_in_bands, needed_settings
from dataset_def.h36m_index import FrameChoice
from tests.helpers.tiny_h36m import wall, write_tiny_h36m
from utils.artifacts import load_background, save_background


def test_the_median_is_that_of_numpy_whatever_the_memory():
    stack = np.random.default_rng(0).integers(0, 256, (9, 7, 5, 3)).astype(np.uint8)
    slow = np.median(stack, axis=0)
    for max_bytes in (1, 1000, 10**9):
        assert np.array_equal(median_in_bands(stack, max_bytes), slow)


def test_the_median_of_an_even_number_is_one_of_the_two_in_the_middle():
    stack = np.array([10, 20, 40, 250], np.uint8).reshape(4, 1, 1, 1).repeat(3, axis=3)
    assert median_in_bands(stack, 10**6)[0, 0].tolist() == [40, 40, 40]


def test_stage_1_is_told_what_it_needs_where_masks_or_cameras_are_missing():
    def table(instants: list[int], has_masks: bool = True) -> SimpleNamespace:
        return SimpleNamespace(row_instant=np.array(instants), has_masks=has_masks)

    assert needed_settings(table([0, 0, 0, 0, 1, 1])) == {}
    assert needed_settings(table([0, 0, 1, 1, 1])) == {"teaching__views": 3}
    without = needed_settings(table([0, 0, 0, 0], has_masks=False))
    assert without == {"preset": "views", "crop__centre": "pelvis", "loss__opacity": "0"}


def test_frames_are_chosen_evenly():
    assert evenly_spaced_rows(np.arange(3), 5).tolist() == [0, 1, 2]
    assert evenly_spaced_rows(np.arange(100), 4).tolist() == [12, 37, 62, 87]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    paths = write_tiny_h36m(tmp_path_factory.mktemp("median"), actions=(2, 3), frames=8)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    return paths


def test_the_person_is_gone_and_the_wall_remains_in_rgb(paths):
    main(BackgroundConfig(paths=paths, processes=1))
    for subject in (1, 9):
        for camera in (1, 2, 3, 4):
            background = load_background(background_path(paths, subject, camera))
            true = wall(subject, camera, background.shape[1], background.shape[0]).astype(int)
            assert background.dtype == np.uint8 and background.shape == (130 if camera in (1, 4) else 128, 128, 3)
            assert np.abs(background - true).mean() < 2.5


def test_backgrounds_that_exist_are_kept_and_nothing_else_is_left(paths):
    main(BackgroundConfig(paths=paths, processes=1))
    before = {path: path.stat().st_mtime_ns for path in paths.backgrounds_location.iterdir()}
    background_path(paths, 9, 2).unlink()
    main(BackgroundConfig(paths=paths, processes=1))
    after = {path: path.stat().st_mtime_ns for path in paths.backgrounds_location.iterdir()}
    assert len(after) == 9 and sum(before[path] == after[path] for path in before) == 8  # with made_from.npz


def test_backgrounds_of_other_data_are_refused(paths, tmp_path):
    main(BackgroundConfig(paths=paths, processes=1))
    others = write_tiny_h36m(tmp_path, actions=(2,), frames=3)
    h36m_preprocess.main(PreprocessConfig(paths=others, pack=False, processes=1))
    mixed = replace(others, backgrounds_location=paths.backgrounds_location)
    with pytest.raises(ValueError, match="made from other data"):
        main(BackgroundConfig(paths=mixed, processes=1))
    with pytest.raises(ValueError, match="made from other data"):
        EncoderData(mixed, FrameChoice((1,)), CropSettings(Crop(size_px=32)), Pairing())


def test_a_background_of_another_size_is_refused(paths, tmp_path):
    copied = replace(paths, backgrounds_location=tmp_path / "backgrounds")
    main(BackgroundConfig(paths=copied, processes=1))
    save_background(background_path(copied, 1, 2), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r"s_01_ca_02\.npy is 64 x 64 pixels, its camera 128 x 128"):
        EncoderData(copied, FrameChoice((1,)), CropSettings(Crop(size_px=32)), Pairing())
