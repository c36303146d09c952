"""Pairing of views in a flattened batch."""

import roma
import torch

from utils.views import flat_rows, flat_views, turned_about_vertical


def test_rows_of_the_second_group_start_after_the_first():
    view = torch.tensor([[1, 0, 3, 2], [0, 1, 2, 3]])
    assert flat_rows(view).tolist() == [1, 0, 3, 2, 4, 5, 6, 7]


def test_rotation_takes_a_world_direction_from_source_to_target_camera():
    image = torch.arange(8.0).view(2, 4, 1, 1, 1).expand(2, 4, 3, 2, 2)
    R = roma.random_rotmat((2, 4))
    target = torch.tensor([[1, 0, 2, 3], [0, 0, 3, 2]])
    views = flat_views(image, image, image[:, :, :1], R, target, target.flip(1))
    direction_world = torch.randn(3)
    seen = (R.flatten(0, 1) @ direction_world[:, None])[..., 0]
    turned = (views.R_target_from_source @ seen[:, :, None])[..., 0]
    torch.testing.assert_close(turned, seen[views.target_row], atol=1e-5, rtol=0)


def test_target_pictures_are_those_of_the_target_rows():
    image = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 3, 2, 2)
    views = flat_views(
        image, image + 10, image[:, :, :1] + 20, torch.eye(3).expand(1, 4, 3, 3), torch.tensor([[1, 1, 3, 3]]),
        torch.tensor([[2, 3, 0, 1]]),
    )  # fmt: skip
    assert views.image[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert views.target_image[:, 0, 0, 0].tolist() == [1, 1, 3, 3]
    assert views.target_background[:, 0, 0, 0].tolist() == [11, 11, 13, 13]
    assert views.target_mask[:, 0, 0, 0].tolist() == [21, 21, 23, 23]
    assert views.appearance_row.tolist() == [2, 3, 0, 1]


def test_a_quarter_turn_about_the_vertical_takes_x_to_y_in_the_world():
    R = roma.random_rotmat(1)
    x_axis, y_axis = R[:, :, 0], R[:, :, 1]  # world axes as the camera sees them
    turned = turned_about_vertical(x_axis[:, None], R, torch.pi / 2)
    torch.testing.assert_close(turned[:, 0], y_axis, atol=1e-5, rtol=0)
