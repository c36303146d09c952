"""Looks read at points: what is read where, what a point knows of others, and where everything begins."""

import pytest
import torch

from models.looks_at_points import (
    AppearanceAtPoints,
    Gaze,
    LooksOfPoints,
    PlaceCode,
    PointExchange,
    cell_centres_m,
    features_at,
)


def test_appearance_at_points_moves_with_the_point_and_sees_nothing_far_away():
    torch.manual_seed(0)
    read = AppearanceAtPoints(width=4, points=1, side_m=2.0).eval()
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


def test_cells_lie_where_points_read_them():
    cells = torch.rand(1, 5, 4, 4)
    places_m = cell_centres_m(cells, side_m=2.3)
    torch.testing.assert_close(features_at(cells, places_m[None], 2.3), cells.flatten(2).transpose(1, 2))


def red_patch(x_px: int, y_px: int) -> torch.Tensor:
    image = torch.zeros(1, 3, 64, 64)
    image[0, 0, y_px - 4 : y_px + 4, x_px - 4 : x_px + 4] = 1
    return image


def test_at_the_start_a_points_first_three_looks_follow_the_colour_under_it():
    torch.manual_seed(0)
    read = LooksOfPoints(width=4, points=2, side_m=2.0, per_point=5).eval()
    points_m = torch.tensor([[[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]])  # at (16, 32) and (48, 32) px
    with torch.no_grad():
        torch.nn.init.zeros_(read.out[1].weight)
        with_patch = read(red_patch(16, 32), points_m).view(2, 5)
        without = read(torch.zeros(1, 3, 64, 64), points_m).view(2, 5)
    expected = torch.zeros(2, 5)
    expected[0, 0] = 1
    torch.testing.assert_close(with_patch - without, expected)


@pytest.mark.parametrize("learned", [False, True])
def test_a_point_learns_of_distant_places_by_looking_around_only(learned):
    torch.manual_seed(0)
    read = LooksOfPoints(width=4, points=2, side_m=2.0, per_point=5).eval()
    if learned:
        torch.nn.init.eye_(read.gazes[0].tell.weight)
    points_m = torch.tensor([[[-0.5, 0.0, 0.0], [-0.4, 0.1, 0.0]]])  # both at the left
    there, nowhere = read(red_patch(56, 32), points_m), read(torch.zeros(1, 3, 64, 64), points_m)
    assert torch.equal(there, nowhere) != learned


def test_points_exchange_what_they_know_once_they_have_learned_to():
    torch.manual_seed(0)
    exchange, tokens = PointExchange(points=4, width=6), torch.randn(2, 4, 6)
    torch.testing.assert_close(exchange(tokens), tokens)
    torch.nn.init.ones_(exchange.among.weight)
    other = tokens.clone()
    other[:, 3, 0] += 1
    assert not torch.allclose(exchange(other)[:, 0], exchange(tokens)[:, 0])


def test_looking_around_is_attention_over_cells():
    torch.manual_seed(0)
    gaze, tokens, cells = Gaze(width=4, heads=1), torch.randn(1, 3, 4), torch.randn(1, 5, 4)
    torch.testing.assert_close(gaze(tokens, cells), tokens)
    torch.nn.init.eye_(gaze.tell.weight)
    asked, (keys, values) = gaze.ask(gaze.before(tokens)), gaze.show(cells).chunk(2, dim=-1)
    expected = tokens.clone()
    for point in range(3):
        likeness = torch.stack([(asked[0, point] * keys[0, cell]).sum() / 2 for cell in range(5)])
        share = likeness.exp() / likeness.exp().sum()
        expected[0, point] += sum(share[cell] * values[0, cell] for cell in range(5))
    torch.testing.assert_close(gaze(tokens, cells), expected)


def test_near_places_have_near_codes():
    torch.manual_seed(0)
    code, here = PlaceCode(width=64), torch.tensor([0.3, -0.2, 0.5])
    near, far = code(here + 0.02), code(here + 0.4)
    assert (near - code(here)).norm() < 0.3 * (far - code(here)).norm()
