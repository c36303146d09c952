import numpy as np
import pytest

from dataset_def.crop import crop_camera, cut, look_rotation, undistorted
from tests.helpers.tiny_h36m import draw_disc, looking_camera
from utils.camera import project, to_camera

REAL_LENS = {"k": (-0.2071, 0.2478, -0.0031), "p": (-0.00142, -0.00098)}
TARGET_M = np.array([0.3, -0.2, 0.95])
POINTS_M = TARGET_M + np.array([[0, 0, 0], [0.6, 0, 0.2], [-0.4, 0.3, -0.8], [0.2, -0.5, 0.7], [-0.7, -0.1, 0.4]])


def test_the_target_comes_to_lie_on_the_axis():
    target_cam_m = np.array([1.0, -2.0, 4.0])
    R = look_rotation(target_cam_m)
    assert np.allclose(R @ target_cam_m, [0, 0, np.sqrt(21)])
    assert np.allclose(R @ R.T, np.eye(3)) and np.linalg.det(R) > 0


def test_the_turn_is_the_smallest_one_and_does_not_roll():
    target_cam_m = np.array([1.0, -2.0, 4.0])
    R = look_rotation(target_cam_m)
    angle_rad = np.arccos((np.trace(R) - 1) / 2)
    assert np.isclose(angle_rad, np.arccos(4 / np.sqrt(21)))
    assert np.isclose(R[0, 1], R[1, 0])  # the axis of the rotation has no component along the view


def test_a_target_on_the_axis_needs_no_turn():
    assert np.array_equal(look_rotation(np.array([0.0, 0.0, 3.0])), np.eye(3))


@pytest.mark.parametrize("depth_m", [0.0, -2.0, np.nan])
def test_a_target_behind_the_camera_is_refused(depth_m):
    with pytest.raises(ValueError, match="behind"):
        look_rotation(np.array([0.5, 0.0, depth_m]))


def test_the_target_is_in_the_middle_and_half_a_side_away_is_the_edge():
    crop = crop_camera(looking_camera(1, 256, 258), TARGET_M, 64, 2.0)
    target_cam_m = to_camera(crop, TARGET_M)
    assert np.allclose(project(crop, target_cam_m), [32, 32])
    assert np.allclose(project(crop, target_cam_m + np.array([1.0, 0, 0])), [64, 32])
    assert np.allclose(project(crop, target_cam_m + np.array([0, -1.0, 0])), [32, 0])


def test_a_positive_roll_turns_the_picture_clockwise():
    camera = looking_camera(2, 256, 256)
    head_m = TARGET_M + np.array([0, 0, 0.5])
    for roll_rad, side in ((0.0, 0), (0.3, 1), (-0.3, -1)):
        crop = crop_camera(camera, TARGET_M, 64, 2.0, roll_rad)
        x, y = project(crop, to_camera(crop, head_m)) - 32
        assert y < 0 and (abs(x) < 1 if side == 0 else side * x > 2)


def test_an_upright_person_stays_upright_in_the_crop():
    crop = crop_camera(looking_camera(1, 256, 258), TARGET_M, 64, 2.0)
    x, _ = project(crop, to_camera(crop, TARGET_M + np.array([0, 0, 0.5]))) - 32
    assert abs(x) < 0.5


def centre_of_light_px(image):
    weights = image.astype(float)
    x, y = np.arange(image.shape[1]) + 0.5, np.arange(image.shape[0]) + 0.5
    return np.array([(weights.sum(0) * x).sum(), (weights.sum(1) * y).sum()]) / weights.sum()


@pytest.mark.parametrize("roll_rad", [0.0, 0.35, -1.2])
@pytest.mark.parametrize("lens", [{}, REAL_LENS], ids=["straight", "bent"])
@pytest.mark.parametrize(("width_px", "crop_px"), [(1000, 128), (256, 64), (128, 128)])
def test_body_points_are_found_where_the_crop_camera_projects_them(width_px, crop_px, lens, roll_rad):
    camera = looking_camera(1, width_px, width_px + 2, **lens)
    crop = crop_camera(camera, TARGET_M, crop_px, 2.3, roll_rad)
    for point_m in POINTS_M:
        image, mask = np.zeros((width_px + 2, width_px, 3), np.uint8), np.zeros((width_px + 2, width_px), np.uint8)
        x, y = project(camera, to_camera(camera, point_m))
        draw_disc(image, mask, x, y, max(2.0, width_px / 120), np.array([255, 0, 0]))
        expected_px = project(crop, to_camera(crop, point_m))
        for picture in (cut(image, camera, crop)[..., 0], cut(mask, camera, crop)):
            error_px = np.linalg.norm(centre_of_light_px(picture) - expected_px)
            assert error_px < 0.3, f"{error_px:.2f} px off, expected below 0.3 px"


def test_without_its_distortion_a_bent_image_misses_the_body_points():
    camera = looking_camera(1, 1000, 1002, **REAL_LENS)
    image, mask = np.zeros((1002, 1000, 3), np.uint8), np.zeros((1002, 1000), np.uint8)
    point_m = TARGET_M + np.array([-0.9, 0.3, -0.8])
    draw_disc(image, mask, *project(camera, to_camera(camera, point_m)), 8.0, np.array([255, 255, 255]))
    crop = crop_camera(camera, TARGET_M, 256, 2.6)
    straight = camera._replace(k=np.zeros(3), p=np.zeros(2))
    error_px = np.linalg.norm(centre_of_light_px(cut(mask, straight, crop)) - project(crop, to_camera(crop, point_m)))
    assert error_px > 0.3


def test_a_crop_by_the_camera_itself_is_the_image():
    camera = looking_camera(3, 64, 64)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert np.array_equal(cut(image, camera, camera), image)


def test_a_fine_pattern_becomes_grey_when_it_is_shrunk():
    camera = looking_camera(2, 1000, 1000)
    checks = (255 * (np.indices((1000, 1000)).sum(0) % 2)).astype(np.uint8)
    crop = cut(checks, camera, crop_camera(camera, TARGET_M, 64, 1.5))
    assert abs(crop.mean() - 127.5) < 2 and crop.std() < 12


def test_cutting_twice_shows_the_same_as_cutting_once():
    camera = looking_camera(1, 512, 514, **REAL_LENS)
    image, mask = np.full((514, 512, 3), 90, np.uint8), np.zeros((514, 512), np.uint8)
    for point_m in POINTS_M:
        draw_disc(image, mask, *project(camera, to_camera(camera, point_m)), 14.0, np.array([250, 20, 60]))
    packed_camera = crop_camera(camera, TARGET_M, 192, 3.0)
    target = crop_camera(camera, TARGET_M, 64, 2.3, 0.3)
    once = cut(image, camera, target).astype(float)
    twice = cut(cut(image, camera, packed_camera), packed_camera, target).astype(float)
    assert np.abs(once - twice).mean() < 1.0


def test_what_lies_outside_of_the_image_is_black():
    camera = looking_camera(2, 128, 128)
    crop = cut(np.full((128, 128, 3), 200, np.uint8), camera, crop_camera(camera, np.array([1.5, 0, 1.0]), 64, 3.0))
    assert crop.min() == 0 and crop.max() == 200


def test_removing_the_lens_from_a_whole_image_keeps_points_in_place_and_the_border_visible():
    camera = looking_camera(1, 400, 402, **REAL_LENS)
    image, mask = np.zeros((402, 400, 3), np.uint8), np.zeros((402, 400), np.uint8)
    for x, y in ((10.0, 392.0), (390.0, 10.0)):
        draw_disc(image, mask, x, y, 4.0, np.array([255, 255, 255]))
    straight_mask, straight = undistorted(mask, camera)
    bent_px = project(camera, to_camera(camera, POINTS_M[1]))
    assert straight_mask.sum() > 1.8 * np.pi * 16 * 255 and not straight.is_distorted
    alone = np.zeros((402, 400), np.uint8)
    draw_disc(np.zeros((402, 400, 3), np.uint8), alone, *bent_px, 4.0, np.array([255, 255, 255]))
    found_px = centre_of_light_px(undistorted(alone, camera)[0])
    assert np.linalg.norm(found_px - project(straight, to_camera(straight, POINTS_M[1]))) < 0.3


def test_an_image_of_another_size_than_its_calibration_is_refused():
    camera = looking_camera(1, 128, 130)
    with pytest.raises(ValueError, match=r"128 x 128.*128 x 130"):
        cut(np.zeros((128, 128, 3), np.uint8), camera, crop_camera(camera, TARGET_M, 64, 2.0))
