"""The silhouettes that the teacher learns from: poses, cameras and damage, each by hand."""

from math import pi

import pytest
import roma
import torch

from config import Damage, PoseVariation
from models.body_surface import opposite_joints, paired_limbs
from models.drawn_masks import (
    Drawing,
    DrawnBatches,
    Rigs,
    any_rigs,
    coarsened,
    damaged,
    draw,
    level_crops,
    middle_world_m,
    moved_masks,
    some_missing,
    varied_poses,
    with_edges,
    with_spots,
)
from models.kinematics import mirrored_pose
from models.silhouette import Topology
from models.SMPL_from_masks import covered
from tests.helpers.small_body import small_body

NOTHING = PoseVariation(limbs=0, noise_degrees=0, tilt_degrees=0)
CLEAN = Damage(share=0, missing=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_bank(count: int = 5) -> torch.Tensor:
    return roma.rotvec_to_rotmat(torch.randn(count, 24, 3, generator=generator(7)) * 0.3)


def drawing(**changes) -> Drawing:
    bank = some_bank()
    settings = Drawing(small_body(), bank, torch.full((len(bank), 10), torch.nan), None, PoseVariation(), Damage(), 32,
                       2.6, "pelvis", 0.0)  # fmt: skip
    return settings._replace(**changes)


def square(low: int, high: int, size: int = 16) -> torch.Tensor:
    mask = torch.zeros(1, size, size)
    mask[:, low:high, low:high] = 1
    return mask


def test_a_batch_depends_on_its_numbers_alone():
    batches = DrawnBatches(drawing(), 3, seed=5)
    first, again, other = batches[0, 4], batches[0, 4], batches[1, 4]
    assert torch.equal(first.views.mask, again.views.mask) and torch.equal(first.betas, again.betas)
    assert not torch.equal(first.betas, other.betas)


def test_poses_without_variation_are_those_of_the_bank_or_their_mirror_images_at_any_heading():
    body, bank = small_body(), some_bank()
    opposite = opposite_joints(body.rest_template_joints_m)
    found = varied_poses(bank, 40, paired_limbs(body.parents, opposite), opposite, NOTHING, generator())
    known = torch.cat([bank, mirrored_pose(bank, opposite)])
    apart = (found[:, None, 1:] - known[None, :, 1:]).flatten(2).norm(dim=2)
    assert (apart.min(dim=1).values < 1e-4).all()
    assert set(apart.argmin(dim=1).tolist()) == set(range(10)), "each of them comes, mirrored or not"
    up = found[:, 0, 2], known[apart.argmin(dim=1), 0, 2]
    assert torch.allclose(*up, atol=1e-4), "turning about the vertical keeps what is up"


def test_limbs_of_other_poses_come_whole():
    body, bank = small_body(), some_bank()
    opposite = opposite_joints(body.rest_template_joints_m)
    groups = paired_limbs(body.parents, opposite)
    found = varied_poses(bank, 60, groups, opposite, NOTHING.__class__(limbs=0.5, noise_degrees=0, tilt_degrees=0),
                         generator())  # fmt: skip
    known = torch.cat([bank, mirrored_pose(bank, opposite)])
    for group in groups:
        for chain in group:
            apart = (found[:, None][:, :, chain] - known[None][:, :, chain]).flatten(2).norm(dim=2)
            assert (apart.min(dim=1).values < 1e-4).all()
    whole = (found[:, None, 1:] - known[None, :, 1:]).flatten(2).norm(dim=2).min(dim=1).values
    assert 0.5 < (whole > 1e-3).float().mean() <= 1, "most are mixed"


def test_invented_rigs_have_2_to_8_cameras_at_human_distances():
    rigs = any_rigs(400, generator())
    assert set(rigs.exists.sum(dim=1).tolist()) == set(range(2, 9))
    distance_m = rigs.offsets_world_m.norm(dim=2)
    assert distance_m.min() > 1.9 and distance_m.max() < 9
    assert (rigs.offsets_world_m[..., 2] / distance_m).asin().max() < 1.31
    azimuth = torch.atan2(rigs.offsets_world_m[..., 1], rigs.offsets_world_m[..., 0])[:, 0]
    assert torch.histc(azimuth, 4, -pi, pi).min() > 60, "from everywhere"


def test_views_are_taken_away_until_two_are_left():
    exists = torch.ones(500, 5, dtype=torch.bool)
    exists[:, 4] = False
    kept = some_missing(exists, 1.0, generator())
    assert not kept[:, 4].any() and set(kept.sum(dim=1).tolist()) == {2, 3, 4}
    assert torch.equal(some_missing(exists, 0.0, generator()), exists)


def test_the_middle_of_the_masks_of_a_box_is_its_middle():
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)]) * 0.3
    faces = torch.tensor([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                          [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])  # fmt: skip
    offsets = torch.tensor([[[4.0, 0, 0], [0, 4, 0], [-3, -3, 0.0]]])
    views = level_crops(Rigs(offsets, torch.tensor([[True, True, True]])), 48, 2.6, torch.zeros(1, 3))
    middle_m = torch.tensor([0.2, -0.1, 0.15])
    seen = views._replace(mask=covered((corners + middle_m)[None], views, Topology(faces), 2))
    apart_mm = 1000 * (middle_world_m(seen)[0] - middle_m).norm()
    assert apart_mm < 15, f"{apart_mm:.0f} mm"


def test_masks_grow_and_shrink_by_pixels_and_parts_of_pixels():
    mask = square(4, 8)
    grown, shrunk, half = with_edges(mask.repeat(3, 1, 1), torch.tensor([1.0, -1.0, 0.5]))
    assert torch.equal(grown[None], square(3, 9)) and torch.equal(shrunk[None], square(5, 7))
    assert torch.allclose(half[None], (square(3, 9) + square(4, 8)) / 2)


def test_masks_move_by_shares_of_half_the_crop():
    moved = moved_masks(square(4, 8), torch.tensor([[2 / 16 * 3, 0.0]]))
    assert torch.allclose(moved[:, :, 1:5], square(4, 8)[:, :, 4:8], atol=1e-5), "three pixels to the left"


def test_spots_lie_near_the_person_and_coarse_masks_keep_their_area():
    mask = square(12, 20, 32).repeat(30, 1, 1)
    spots = (with_spots(mask, 3.0, generator()) - mask).abs()
    assert spots[:, 8:24, 8:24].sum() > 0.9 * spots.sum() > 0
    coarse = coarsened(square(8, 24, 32), generator(3))
    assert abs(coarse.sum() / 256 - 1) < 0.5 and coarse.min() >= 0 and coarse.max() <= 1


def test_damage_of_share_0_changes_nothing_and_of_share_1_each_kind_something():
    masks, exists = square(8, 24, 32)[None].repeat(4, 2, 1, 1), torch.ones(4, 2, dtype=torch.bool)
    none = dict(moved=0.0, thinner=0.0, thicker=0.0, spots=0.0, coarse=0.0)
    assert torch.equal(damaged(masks, exists, 12.0, Damage(share=0), generator()), masks)
    assert torch.equal(damaged(masks, exists, 12.0, Damage(share=1, **none), generator()), masks)
    for kind in none:
        damaged_ones = damaged(masks, exists, 12.0, Damage(share=1, **(none | {kind: 1.0})), generator(1))
        assert ((damaged_ones - masks).abs().flatten(1).sum(dim=1) > 0).sum() >= 3, kind
    with pytest.raises(ValueError, match="exclude each other"):
        Damage(thinner=0.7, thicker=0.7)


@pytest.mark.parametrize("centre", ["pelvis", "masks"])
def test_masks_show_the_bodies_that_are_told(centre):
    made = draw(drawing(damage=CLEAN, centre=centre, poses=PoseVariation(cloth_m=0, cloth_of_part_m=0)), 4, generator())
    body = small_body()
    vertices_m, _ = body(made.rotations_world, made.betas, torch.zeros(4, 3))
    vertices_m = vertices_m - body.h36m_joints_m(vertices_m)[:, :1] + made.pelvis_world_m[:, None]
    again = covered(vertices_m, made.views, Topology(body.faces), 2)
    assert torch.allclose(again, made.views.mask, atol=1e-4)
    assert (
        (made.pelvis_world_m.norm(dim=1) < 1e-6).all()
        if centre == "pelvis"
        else (made.pelvis_world_m.norm(dim=1) > 0.01).all()
    )


def test_known_shapes_are_kept():
    betas = torch.arange(50.0).view(5, 10) / 50
    made = draw(drawing(betas=betas), 6, generator())
    assert all((betas == one).all(dim=1).any() for one in made.betas)
