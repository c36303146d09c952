import math

import pytest
import torch

from models.points_from_masks import (
    Belief,
    MaskViews,
    Transport,
    agreed,
    partners_apart,
    projected,
    shares_of_mask,
    taught,
    unprojected,
)

SIDE_M, PX = 3.0, 48
PLACE = ((torch.arange(PX) + 0.5) / PX - 0.5) * SIDE_M
BODY_M = torch.tensor([[0.0, 0.0, 0.8], [0.7, 0.1, 0.2], [-0.6, 0.4, 0.1], [0.1, -0.5, -0.7]])
"""Four balls far from each other."""


def looking(azimuth_rad: float) -> torch.Tensor:
    """Axes (right, down, forward) of a level camera on a circle around the person."""
    cos, sin = math.cos(azimuth_rad), math.sin(azimuth_rad)
    return torch.tensor([[-sin, cos, 0.0], [0.0, 0.0, -1.0], [-cos, -sin, 0.0]])


def views_of(body_m: torch.Tensor, radius_m: float = 0.15) -> MaskViews:
    """Draw balls in four views."""
    R = torch.stack([looking(angle) for angle in (0.3, 1.9, 3.2, 5.0)])[None]
    views = MaskViews(torch.zeros(1, 4, PX, PX), R, torch.tensor([[4.0, 5.0, 4.5, 6.0]]), SIDE_M)
    seen_m, larger = projected(body_m[None], views)
    apart_m = (
        torch.stack(torch.meshgrid(PLACE, PLACE, indexing="xy"), -1)[None, None, None] - seen_m[:, :, :, None, None]
    )
    return views._replace(mask=(apart_m.norm(dim=-1) < radius_m * larger[..., None]).any(2).float())


def belief(mean_m: torch.Tensor, precision: float) -> Belief:
    return Belief(mean_m[None], precision * torch.eye(3).expand(1, len(mean_m), 3, 3))


def test_axes_are_rotations_and_a_point_is_seen_as_a_camera_sees_it():
    R = looking(0.3)
    assert torch.allclose(R @ R.T, torch.eye(3), atol=1e-6) and torch.det(R).item() == pytest.approx(1)
    views = views_of(BODY_M)
    seen_m, _ = projected(BODY_M[None], views)
    depths_m = (BODY_M[None, None] @ views.R_crop_from_world.mT)[..., 2:]
    back_m = unprojected(torch.cat([seen_m, depths_m], -1), views.distance_m) @ views.R_crop_from_world
    assert torch.allclose(back_m, BODY_M.expand(1, 4, 4, 3), atol=1e-5)


@pytest.mark.parametrize("balance", [1.0, 0.4])
def test_shares_are_those_of_the_plain_coupling(balance):
    torch.manual_seed(0)
    seen_m, mask = 0.5 * torch.randn(2, 5, 2), (torch.rand(2, PX, PX) > 0.7).float()
    how = Transport(balance=balance)
    middle_m, mass = shares_of_mask(seen_m, mask, SIDE_M, how)
    grid = torch.stack(torch.meshgrid(PLACE, PLACE, indexing="xy"), -1).view(-1, 2)
    for row in range(2):
        apart = (grid[None] - seen_m[row, :, None]) / how.sigma_m
        kernel = (torch.exp(-0.5 * apart[..., 0] ** 2) + 1e-9) * (torch.exp(-0.5 * apart[..., 1] ** 2) + 1e-9)
        wanted, scale = mask[row].flatten() / mask[row].sum(), torch.ones(5)
        for step in range(how.rounds):
            coupling = scale[:, None] * kernel * (wanted / (scale @ kernel))
            if step < how.rounds - 1:
                scale = (1 / 5 / (kernel * (wanted / (scale @ kernel))).sum(1)) ** balance
        assert torch.allclose(mass[row], 5 * coupling.sum(1), atol=1e-4)
        assert torch.allclose(middle_m[row], coupling @ grid / coupling.sum(1, keepdim=True), atol=1e-4)
    assert mass.sum(1).tolist() == pytest.approx([5, 5], rel=1e-3)


def test_points_find_the_balls_that_masks_show():
    torch.manual_seed(0)
    off_m = torch.nn.functional.normalize(torch.randn(4, 3), dim=-1) * 0.15
    found_m = taught(belief(BODY_M + off_m, 1.0), views_of(BODY_M), Transport(steps=6))
    assert (found_m[0] - BODY_M).norm(dim=-1).max() < 0.03


def test_a_firm_belief_is_kept_and_one_view_tells_no_depth():
    start_m = BODY_M + 0.1
    kept = taught(belief(start_m, 1e8), views_of(BODY_M), Transport())
    assert torch.allclose(kept[0], start_m, atol=1e-3)
    views = views_of(BODY_M)
    one = MaskViews(views.mask[:, :1], views.R_crop_from_world[:, :1], views.distance_m[:, :1], SIDE_M)
    moved_m = (taught(belief(start_m, 0.1), one, Transport(steps=1)) - start_m)[0]
    sight = one.R_crop_from_world[0, 0, 2]
    assert (moved_m @ sight).abs().max() < 0.005 < 0.08 < moved_m.norm(dim=-1).max()


def test_views_agree_on_what_each_sees_well():
    R = torch.stack([looking(0.0), looking(math.pi / 2)])[None]
    true_m = torch.tensor([[0.3, -0.2, 0.5]])
    crop_m = true_m[None, None] @ R.mT
    wrong_depth = crop_m + torch.tensor([0.0, 0.0, 0.6])
    found = agreed(wrong_depth, torch.full((1, 2, 1, 2), 0.001), R)
    assert (found.mean_m[0, 0] - true_m[0]).norm() < 0.06, "depths count 16 times less"
    blurred = wrong_depth.clone()
    blurred[0, 1, 0, 1] += 0.5  # the second view is 0.5 m too low, and knows that it is vague
    vague = agreed(blurred, torch.tensor([0.001, 1.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2), R)
    assert abs(vague.mean_m[0, 0, 2] - true_m[0, 2]) < 0.01


def test_partners_are_pushed_apart_by_what_they_lack_and_no_more():
    left = torch.tensor([[0.0, 1.0, 0.0]])
    points_m = torch.tensor([[[0.1, 0.02, 1.0], [0.0, 0.5, 0.3], [0.2, 0.0, 1.2], [0.0, -0.5, 0.3]]])
    found = partners_apart(points_m, left, 0.25)
    apart_m = (found[:, :2] - found[:, 2:]) @ left[0]
    assert torch.allclose(apart_m, torch.tensor([[0.25, 1.0]]))
    assert torch.allclose((found[:, :2] + found[:, 2:]), (points_m[:, :2] + points_m[:, 2:]))
    assert torch.equal(found[:, [1, 3]], points_m[:, [1, 3]])
