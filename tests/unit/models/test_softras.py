"""The formula that the silhouettes are compared with is itself right: a slow twin, and differences of its own."""

import math

import pytest
import torch

from tests.benchmarks.softras import FAINTEST, SIGMA_PX2, softras
from tests.unit.models.test_silhouette import ball


def mesh(size=16):
    xy, faces = ball((size / 2 - 0.3, size / 2 + 0.2), 0.35 * size, rings=3, around=5)
    jitter = 0.2 * torch.rand(xy.shape, dtype=torch.float64)  # two vertices of the ball coincide
    return torch.nn.functional.pad(xy + jitter, (0, 1))[None], faces


def slow_softras(vertices, faces, size):
    """Every face at every pixel, with PyTorch's own operations."""
    place = torch.arange(size, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(place, place, indexing="ij")
    points, uncovered = torch.stack([x, y], -1), torch.ones(size, size, dtype=torch.float64)
    for face in faces:
        corners = vertices[face, :2]
        squared, turns = [], []
        for start, end in zip(corners, corners.roll(-1, 0), strict=True):
            along = end - start
            t = (((points - start) * along).sum(-1) / (along @ along)).clamp(0, 1)
            squared.append(((points - start - t[..., None] * along) ** 2).sum(-1))
            turns.append(along[0] * (points - start)[..., 1] - along[1] * (points - start)[..., 0])
        inside = (torch.stack(turns) > 0).all(0) | (torch.stack(turns) < 0).all(0)
        distance = torch.stack(squared).amin(0)
        near = inside | (distance < SIGMA_PX2 * math.log(1 / FAINTEST - 1))
        share = torch.sigmoid(torch.where(inside, distance, -distance) / SIGMA_PX2)
        uncovered = uncovered * torch.where(near, 1 - share, 1.0)
    return 1 - uncovered


@pytest.mark.parametrize("pass_over_covered", [False, True])
def test_loops_equal_the_slow_twin(pass_over_covered):
    vertices, faces = mesh()
    expected = slow_softras(vertices[0], faces, 16)
    drawn = softras(vertices, faces, 16, 16, pass_over_covered)[0]
    torch.testing.assert_close(drawn, expected, rtol=0, atol=2e-7)
    assert 0.99 < drawn.max() <= 1 and drawn.min() == 0


def test_the_gradient_matches_differences_of_the_formula_itself():
    vertices, faces = mesh()
    weights = torch.randn(16, 16, dtype=torch.float64)
    leaf = vertices.clone().requires_grad_()
    (softras(leaf, faces, 16, 16) * weights).sum().backward()
    step_px, expected = 1e-6, torch.zeros_like(vertices)
    for i in range(vertices.shape[1]):
        for axis in (0, 1):
            moved = []
            for sign in (1, -1):
                other = vertices.clone()
                other[0, i, axis] += sign * step_px
                moved.append((softras(other, faces, 16, 16) * weights).sum())
            expected[0, i, axis] = (moved[0] - moved[1]) / (2 * step_px)
    torch.testing.assert_close(leaf.grad, expected, atol=1e-5, rtol=1e-5)


def test_more_threads_give_the_same_numbers():
    vertices, faces = mesh()
    batch, before, found = torch.cat([vertices, vertices + 0.3]).float(), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaf = batch.clone().requires_grad_()
            softras(leaf, faces, 16, 16).square().sum().backward()
            found.append(leaf.grad)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
