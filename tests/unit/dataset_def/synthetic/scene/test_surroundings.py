"""Panoramas in place of rooms: every camera sees their places in their true directions, through its lens."""

import numpy as np
import pytest

from dataset_def.photos.panoramas import Panorama
from dataset_def.synthetic.scene.cameras import looking_at, make_cameras
from dataset_def.synthetic.scene.surroundings import choose_surroundings, draw_surroundings
from utils.camera import Camera, project
from utils.image import write_image

LEVEL = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""R_cam_from_world of a camera that looks along the world's +y."""


def with_spot(longitude_rad: float, up_rad: float, height_px: int = 720) -> Panorama:
    """Make a dark panorama with a bright spot, two degrees wide."""
    width_px = 2 * height_px
    columns, rows = np.arange(width_px) + 0.5, np.arange(height_px)[:, None] + 0.5
    off = np.hypot(columns - width_px * (longitude_rad / (2 * np.pi) + 0.5), rows - height_px * (0.5 - up_rad / np.pi))
    image = np.repeat(np.where(off < height_px / 180, 255, 20).astype(np.uint8)[..., None], 3, axis=2)
    return Panorama(np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="wrap"))


def middle_of_light_px(image: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(image[..., 0] > 128)
    assert len(rows), "the spot is not seen"
    return np.array([columns.mean(), rows.mean()]) + 0.5


def test_a_place_is_seen_where_its_direction_says():
    """Thirty degrees to the right and ten up: 100 tan 30 = 57.7 pixels beside the middle at 60, and, as the ray is
    1 / cos 30 long, 100 tan 10 / cos 30 = 20.4 above it at 50.
    """
    camera = Camera(LEVEL, np.array([1.0, 2, 3]), np.full(2, 100.0), np.array([60.0, 50]), 130, 100)
    right, up = np.radians([30, 10])
    seen_px = middle_of_light_px(draw_surroundings(with_spot(right, up), 0.0, camera))
    np.testing.assert_allclose(seen_px, [60 + 57.7, 50 - 20.4], atol=0.5)
    turned_px = middle_of_light_px(draw_surroundings(with_spot(right, up), 0.2, camera))
    np.testing.assert_allclose(turned_px[0], 60 + 100 * np.tan(right - 0.2), atol=0.5)


@pytest.mark.parametrize("distortion", [0.0, 1.0])
def test_all_cameras_look_into_one_panorama_through_their_lenses(distortion: float):
    for camera in make_cameras(25, 0, 128, "varied", distortion):
        for across, down in ((0.25, 0.2), (0.8, 0.6)):
            ray_cam = np.array([(across - 0.5) * 128 / camera.focal_px[0], (down - 0.5) * 128 / camera.focal_px[1], 1])
            x, y, z = ray_cam @ camera.R_cam_from_world
            spot = with_spot(float(np.arctan2(x, y)), float(np.arctan2(z, np.hypot(x, y))))
            seen_px = middle_of_light_px(draw_surroundings(spot, 0.0, camera))
            np.testing.assert_allclose(seen_px, project(camera, ray_cam), atol=0.5)


def test_two_cameras_that_look_the_same_way_see_the_same():
    image = np.random.default_rng(0).integers(0, 255, (90, 182, 3)).astype(np.uint8)
    R = looking_at(np.zeros(3), np.array([1.0, 2, -0.3]), 0.02)
    cameras = [
        Camera(R, np.array(place), np.full(2, 100.0), np.full(2, 32.0), 64, 64) for place in ((0.0, 0, 1), (3.0, 4, 2))
    ]
    first, second = (draw_surroundings(Panorama(image), 1.0, camera) for camera in cameras)
    np.testing.assert_array_equal(first, second)


def test_subjects_are_put_into_panoramas_by_their_numbers(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no panoramas .*; give their folder"):
        choose_surroundings(tmp_path, 1, 0)
    for name in "abc":
        write_image(tmp_path / f"{name}.png", np.zeros((10, 20, 3), np.uint8))
    found = [choose_surroundings(tmp_path, subject, 0) for subject in range(30)]
    assert found[3] == choose_surroundings(tmp_path, 3, 0) != choose_surroundings(tmp_path, 3, 1)
    assert {one.panorama.name for one in found} == {"a.png", "b.png", "c.png"}
    assert np.ptp([one.heading_rad for one in found]) > 4
