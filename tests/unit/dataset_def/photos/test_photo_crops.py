import numpy as np
import pytest

from config import Crop
from dataset_def.photos.crop import photo_camera, photo_crop
from dataset_def.photos.pictures import Picture
from utils.draw_mesh import overlay, turned_view
from utils.person_box import Box

FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
TETRAHEDRON_M = np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.8, 0], [0, 0, 0.5]], float)


def picture_with_square(left: int, top: int, side: int, size=(480, 640)) -> Picture:
    rgb = np.zeros((*size, 3), np.uint8)
    rgb[top : top + side, left : left + side] = (255, 0, 0)
    return Picture("p", rgb)


@pytest.mark.parametrize(("left", "top"), [(300, 200), (40, 300), (560, 20)])
def test_the_box_comes_to_lie_in_the_middle_of_the_crop_at_the_training_scale(left, top):
    picture = picture_with_square(left, top, 60)
    crop = photo_crop(picture, Box(left, top, 60, 60), Crop(size_px=64, side_m=2.3), None, person_m=1.15)
    rows, columns = np.nonzero(crop.image[..., 0] > 128)
    assert abs(rows.mean() - 31.5) < 0.8 and abs(columns.mean() - 31.5) < 0.8
    assert abs((rows.max() - rows.min() + 1) - 32) <= 2  # half of the crop's 2.3 m


def test_the_crops_camera_looks_through_the_boxs_centre():
    picture = picture_with_square(500, 100, 80)
    crop = photo_crop(picture, Box(500, 100, 80, 80), Crop(), 700.0, person_m=1.7)
    axis_cam = crop.R_cam_from_crop[:, 2]
    at_px = axis_cam[:2] / axis_cam[2] * 700 + (320, 240)
    np.testing.assert_allclose(at_px, (540, 140), atol=1e-9)
    assert crop.distance_m == pytest.approx(700 * 1.7 / 80 / axis_cam[2])


def test_an_unknown_focal_length_is_taken_from_the_longer_side():
    assert photo_camera(picture_with_square(0, 0, 8), None).focal_px.tolist() == [640 * 1.146] * 2
    assert photo_camera(picture_with_square(0, 0, 8), 900.0).focal_px.tolist() == [900.0] * 2


def test_an_overlay_changes_exactly_the_pixels_that_the_body_covers():
    K = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
    grey = np.full((80, 100, 3), 90, np.uint8)
    drawn = overlay(grey, TETRAHEDRON_M + np.array([-0.2, -0.1, 2.0]), FACES, K)
    rows, columns = np.nonzero((drawn != grey).any(2))
    assert (columns.min(), rows.min()) == (40, 35)  # 50 - 0.2 / 2 * 100, 40 - 0.1 / 2 * 100
    assert 64 <= columns.max() <= 66 and 73 <= rows.max() <= 76
    assert (overlay(grey, TETRAHEDRON_M + np.array([30.0, 0, 2]), FACES, K) == grey).all()  # outside of the picture


def test_the_side_view_shows_the_cameras_side_on_the_right_and_the_top_view_the_far_side_above():
    near = TETRAHEDRON_M * 0.2 + np.array([0, 0, -0.8])
    side = np.nonzero((turned_view(near, FACES, "side", 100) < 250).any(2))
    assert side[1].min() > 75
    top = np.nonzero((turned_view(near, FACES, "top", 100) < 250).any(2))
    assert top[0].min() > 75


@pytest.mark.parametrize("focal_px", [float("nan"), float("inf"), -800.0, 1.2, 1e12])
def test_a_focal_length_of_no_camera_is_refused_by_its_name(focal_px):
    with pytest.raises(ValueError, match=r"focal_px is .*; give it in pixels, such as 1000 for a photo"):
        photo_camera(Picture("p", np.zeros((10, 20, 3), np.uint8)), focal_px)
