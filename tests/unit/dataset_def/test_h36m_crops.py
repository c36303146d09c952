import numpy as np
import pytest

from config import Crop, ImageAugmentation, Paths
from dataset_def.h36m_crops import CropReader, CropSettings, crops_of
from dataset_def.h36m_files import background_path
from dataset_def.h36m_index import FrameTable
from tests.helpers.tiny_h36m import draw_disc, looking_camera
from utils.artifacts import save_background
from utils.camera import Camera, project, to_camera

LENS = {"k": (-0.2071, 0.2478, -0.0031), "p": (-0.00142, -0.00098)}
MARK_M = np.array([0.9, -0.4, 0.2])
QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def reader_of(tmp_path, cameras: list[Camera], targets_m: np.ndarray) -> CropReader:
    frames = np.array([[1, 2 + number, 1, 1, 1] for number in range(len(cameras))], np.int32)
    rows, nothing = np.arange(len(cameras)), np.full((len(cameras), 3), np.nan)
    joints_m = np.repeat(targets_m[:, None], 17, axis=1)
    table = FrameTable(frames, cameras, rows, rows, joints_m, nothing, nothing, 1, False, "hash")
    paths = Paths(h36m_location=tmp_path, backgrounds_location=tmp_path, index_location=tmp_path)
    image = np.zeros((cameras[0].height_px, cameras[0].width_px, 3), np.uint8)
    mark_px = project(cameras[0], to_camera(cameras[0], MARK_M))
    draw_disc(image, image[..., 0].copy(), *mark_px, cameras[0].width_px / 80, np.array([255, 255, 255]))
    save_background(background_path(paths, 1, 1), image)
    return CropReader(paths, table, CropSettings(Crop(size_px=64, side_m=2.6, centre="pelvis")))


def found_px(image):
    weights = image[..., 0].astype(float)
    x, y = np.arange(64) + 0.5, np.arange(64) + 0.5
    return np.array([(weights.sum(0) * x).sum(), (weights.sum(1) * y).sum()]) / weights.sum()


@pytest.mark.parametrize("lens", [{}, LENS], ids=["straight", "bent"])
@pytest.mark.parametrize("width_px", [256, 1000])
def test_a_mark_in_the_background_is_found_where_the_crop_camera_projects_it(tmp_path, width_px, lens):
    camera = looking_camera(1, width_px, width_px + 2, **lens)
    reader = reader_of(tmp_path, [camera], np.array([[0.1, -0.1, 0.95]]))
    crop = reader.read(0, 0.3)
    error_px = np.linalg.norm(found_px(crop.background) - project(crop.camera, to_camera(crop.camera, MARK_M)))
    assert error_px < 0.2, f"{error_px:.2f} px off, expected below 0.2 px"


def test_a_sequence_with_its_own_world_shows_the_same_background(tmp_path):
    camera, target_m = looking_camera(1, 256, 258), np.array([0.1, -0.1, 0.95])
    turned = camera._replace(
        R_cam_from_world=camera.R_cam_from_world @ QUARTER_TURN.T, centre_world_m=QUARTER_TURN @ camera.centre_world_m
    )
    reader = reader_of(tmp_path, [camera, turned], np.array([target_m, QUARTER_TURN @ target_m]))
    first, second = (reader.read(row).background for row in (0, 1))
    assert first.any() and np.abs(first.astype(int) - second).max() <= 1


def test_only_crops_that_are_trained_on_are_rolled_and_shifted():
    crop, augment = Crop(size_px=64), ImageAugmentation(roll_rad=0.2, shift_m=0.1)
    assert crops_of(crop, augment, 3, is_training=True) == CropSettings(crop, 0.2, 0.1, 3)
    plain = crops_of(crop, augment, 3, is_training=False)
    assert plain.roll_and_shift(np.random.default_rng(0)) == (0.0, None)
