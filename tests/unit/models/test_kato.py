"""The twin of the Neural 3D Mesh Renderer's gradient, against cases worked by hand from the paper's equations."""

import pytest
import torch

from tests.benchmarks.kato import kato

FACE = torch.tensor([[0, 1, 2]])
A, B, C = range(3)
TRIANGLE = torch.tensor([[2.25, -1.0, 1.0], [2.25, 7.0, 1.0], [7.0, 3.0, 1.0]])
"""Its left side stands at x = 2.25; in row 3 (y = 3.5) the shares of its ends are .4375 and .5625.  The side from B to
C crosses that row at 7 - 4.75 / 8 = 6.40625, with shares .125 and .875."""


def pulled(row, column, wanted, vertices=TRIANGLE, faces=FACE):
    """The gradient of the vertices where the loss changes by `wanted` per unit of one pixel."""
    leaf = vertices.clone()[None].requires_grad_()
    drawn = kato(leaf, faces, 8, 8, samples=1)
    (wanted * drawn[0, row, column]).backward()
    return leaf.grad[0], drawn[0]


def test_faces_cover_the_centres_of_pixels():
    _, drawn = pulled(0, 0, 1.0)
    assert drawn[3].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_a_pixel_beside_that_should_be_covered_draws_the_side_towards_it():
    # Equation 3: dI / dx = 1 / (0.5 - 2.25) per movement of the side, and the side moves with its ends by their shares.
    gradient, _ = pulled(3, 0, -1.0)
    assert gradient[A].tolist() == pytest.approx([0.4375 / 1.75, 0, 0])
    assert gradient[B].tolist() == pytest.approx([0.5625 / 1.75, 0, 0])
    assert gradient[C].tolist() == [0, 0, 0]


def test_a_pixel_beside_that_should_stay_bare_pulls_nothing():
    assert pulled(3, 0, 1.0)[0].abs().max() == 0


def test_a_pixel_within_that_should_be_bare_is_left_by_both_sides():
    # Equations 4 and 5: from the left side the pixel's centre is 0.25 away, from the right one -3.90625.
    gradient, _ = pulled(3, 2, 1.0)
    assert gradient[A, 0].item() == pytest.approx(-0.4375 / 0.25)
    assert gradient[B, 0].item() == pytest.approx(-0.5625 / 0.25 + 0.125 / 3.90625)
    assert gradient[C, 0].item() == pytest.approx(0.875 / 3.90625)
    # Column 2 (x = 2.5) is crossed by A-C at y = -0.789 and by B-C at 6.789, of which the first is beyond the picture.
    assert gradient[A, 1].item() == 0
    share = 0.25 / 4.75
    assert gradient[B, 1].item() == pytest.approx((1 - share) / (7 - 4 * share - 3.5))


def test_a_pixel_within_that_should_stay_covered_pulls_nothing():
    assert pulled(3, 2, -1.0)[0].abs().max() == 0


def test_a_face_behind_another_pulls_nothing():
    behind = torch.cat([TRIANGLE, TRIANGLE + torch.tensor([0.5, 0.0, 1.0])])
    gradient, _ = pulled(3, 0, -1.0, behind, torch.tensor([[0, 1, 2], [3, 4, 5]]))
    assert gradient[3:].abs().max() == 0
    assert gradient[A, 0].item() == pytest.approx(0.25)


def test_four_samples_a_pixel_are_averaged_and_pull_in_pixels():
    # Left side at x = 2.4: samples at 2.25 are bare, those at 2.75 covered.  A bare pixel at x = 0.25 and 0.75 is 2.15
    # and 1.65 away, in two rows (y = 3.25 and 3.75, shares of A 3.75 / 8 and 3.25 / 8), each a quarter of the pixel.
    leaf = (TRIANGLE + torch.tensor([0.15, 0.0, 0.0]))[None].requires_grad_()
    drawn = kato(leaf, FACE, 8, 8, samples=2)
    assert drawn[0, 3, 2].item() == 0.5
    (-drawn[0, 3, 0]).backward()
    assert leaf.grad[0, A, 0].item() == pytest.approx((3.75 + 3.25) / 8 / 4 * (1 / 2.15 + 1 / 1.65), rel=1e-4)
