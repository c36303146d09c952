import numpy as np
import pytest

from dataset_def.mask_centres import box_target, mask_shape, triangulated
from tests.helpers.tiny_h36m import draw_disc, looking_camera
from utils.camera import project, to_camera, to_rays

LENS = {"k": (-0.2071, 0.2478, -0.0031), "p": (-0.00142, -0.00098)}
POINT_M = np.array([0.4, -0.3, 1.1])


def cameras(**lens):
    return [looking_camera(number, 256, 256, **lens) for number in (1, 2, 3, 4)]


def seen_px(views):
    return np.array([project(camera, to_camera(camera, POINT_M)) for camera in views])


def test_centroid_and_box_of_a_hand_made_mask():
    mask = np.zeros((10, 20), np.uint8)
    mask[2:6, 5:8] = 255
    mask[0, 0] = 128  # not person: the person is above 128
    shape = mask_shape(mask)
    assert np.allclose(shape.centroid_px, [6.5, 4.0]) and np.allclose(shape.box_px, [5, 2, 8, 6])


def test_an_empty_mask_has_no_place():
    assert np.isnan(mask_shape(np.zeros((5, 5), np.uint8)).centroid_px).all()


def test_rays_undo_projection_with_both_kinds_of_lens():
    for distortion in ("h36m", "opencv"):
        camera = looking_camera(1, 1000, 1002, **LENS)._replace(distortion=distortion)
        points_px = np.random.default_rng(0).uniform(0, 1000, (50, 2))
        assert np.abs(project(camera, to_rays(camera, points_px)) - points_px).max() < 1e-6


@pytest.mark.parametrize("lens", [{}, LENS])
def test_a_point_seen_by_all_views_is_found_again(lens):
    views = cameras(**lens)
    assert np.abs(triangulated(views, seen_px(views)) - POINT_M).max() < 1e-6


def test_views_without_a_person_are_left_out_and_one_view_is_not_enough():
    views, points_px = cameras(), seen_px(cameras())
    points_px[0] = np.nan
    assert np.abs(triangulated(views, points_px) - POINT_M).max() < 1e-6
    points_px[:3] = np.nan
    assert np.isnan(triangulated(views, points_px)).all()


@pytest.mark.parametrize("lens", [{}, LENS])
def test_a_box_on_the_floor_gives_the_place_of_the_person(lens):
    camera = looking_camera(1, 1000, 1002, **lens)
    foot_px, head_px = (project(camera, to_camera(camera, np.array([0.4, -0.3, z]))) for z in (0.0, 1.8))
    box_px = np.array([foot_px[0] - 30, head_px[1], foot_px[0] + 30, foot_px[1]])
    assert np.linalg.norm(box_target(camera, box_px) - [0.4, -0.3, 0.9]) < 0.15


def test_a_box_above_the_horizon_has_no_place():
    camera = looking_camera(1, 256, 256)
    assert np.isnan(box_target(camera, np.array([100.0, 5.0, 120.0, 20.0]))).all()
    assert np.isnan(box_target(camera, np.full(4, np.nan))).all()


def test_the_centroid_of_a_drawn_disc_is_its_centre():
    image, mask = np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60), np.uint8)
    draw_disc(image, mask, 20.3, 41.8, 7.0, np.array([255, 255, 255]))
    assert np.abs(mask_shape(mask).centroid_px - [20.3, 41.8]).max() < 0.2
