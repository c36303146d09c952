"""Level cameras: the world's up is up in the crop, and azimuths turn with the world."""

import numpy as np
import pytest
import torch

from dataset_def.masks_data import level_camera
from tests.helpers.tiny_h36m import looking_camera
from utils.views import about_up, azimuth_rad, level_rotation


def test_a_camera_in_the_south_looks_north_with_east_to_its_right():
    R = level_rotation(torch.tensor([0.0, -3.0, 0.0]))
    assert torch.allclose(R @ torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))  # north is ahead
    assert torch.allclose(R @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 0.0]))  # east is right
    assert torch.allclose(R @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, -1.0, 0.0]))  # up is up
    assert azimuth_rad(R) == 0


@pytest.mark.parametrize("offset", [[3.0, 4.0, 1.0], [-2.0, 0.1, -1.5], [0.0, 0.0, 5.0], [0.0, 0.0, -5.0]])
def test_the_target_lies_ahead_and_the_axes_are_right_handed(offset):
    R = level_rotation(torch.tensor(offset, dtype=torch.float64))
    ahead = R @ -torch.tensor(offset, dtype=torch.float64)
    assert torch.allclose(ahead, torch.tensor([0.0, 0.0, np.linalg.norm(offset)], dtype=torch.float64), atol=1e-9)
    assert torch.allclose(R @ R.T, torch.eye(3, dtype=torch.float64), atol=1e-9) and torch.det(R) > 0
    assert abs(R[0, 2]) < 1e-9, "right is horizontal"


def test_turning_the_world_adds_to_the_azimuth():
    offset, turn = torch.tensor([3.0, 1.0, 0.5]), torch.tensor(0.7)
    plain, turned = level_rotation(offset), level_rotation(about_up(turn) @ offset)
    assert torch.allclose(azimuth_rad(turned) - azimuth_rad(plain), turn, atol=1e-6)
    assert torch.allclose(turned, plain @ about_up(turn).T, atol=1e-6)


def test_the_crop_camera_of_a_rolled_camera_stands_level():
    camera = looking_camera(1, 200, 200)
    c, s = np.cos(0.6), np.sin(0.6)
    rolled = camera._replace(R_cam_from_world=np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ camera.R_cam_from_world)
    target_m = np.array([0.3, -0.2, 1.1])
    made = level_camera(rolled, target_m, 64, 2.6)
    expected = level_rotation(torch.from_numpy(camera.centre_world_m - target_m)).numpy()
    np.testing.assert_allclose(made.R_cam_from_world, expected, atol=1e-9)
