"""The appearance is read where the points project."""

import torch

from models.encoders import PointSampledEncoder, features_at


def test_appearance_at_points_moves_with_the_point_and_sees_nothing_far_away():
    torch.manual_seed(0)
    read = PointSampledEncoder(width=4, points=1, side_m=2.0).eval()
    image = torch.zeros(3, 3, 64, 64)
    image[0, 0, 16:24, 16:24] = 1  # a red patch about (20, 20) px
    image[1, 0, 32:40, 40:48] = 1  # the same about (44, 36) px
    places_px = torch.tensor([[20.0, 20.0], [44.0, 36.0], [20.0, 20.0]])
    points_m = torch.cat([places_px / 32 - 1, torch.tensor([[0.3], [-0.5], [0.0]])], dim=1)[:, None]
    with torch.no_grad():
        here, there, without = read(image, points_m)
    torch.testing.assert_close(here, there)
    assert (here - without).abs().max() > 1e-3
    image[0, :, 50:] = 1
    torch.testing.assert_close(read(image, points_m)[0], here)


def test_a_map_is_read_where_the_point_projects():
    columns = torch.arange(8.0).expand(8, 8)
    image = torch.stack([columns, columns.T])[None]  # pixel centres (0.5, 0.5) hold (0, 0)
    points_m = torch.tensor([[[0.0, 0.0, 5.0], [0.25, -0.5, -3.0], [-0.875, 0.875, 0.0], [-3.0, 0.0, 0.0]]])
    expected = torch.tensor([[[3.5, 3.5], [4.5, 1.5], [0.0, 7.0], [0.0, 3.5]]])  # 4 px per metre; clamped outside
    torch.testing.assert_close(features_at(image, points_m, side_m=2.0), expected)
