"""Fits to masks: they come near bodies that were drawn, joints help where they are known, bad cameras are named."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import roma
import torch

from config import Damage, PoseVariation
from dataset_def.masks_data import Instant
from models.drawn_masks import draw
from models.masks_fit import (
    JointsStart,
    MasksFit,
    MasksFitLoss,
    MasksFitSteps,
    Person,
    joint_axis_error,
    no_joints,
    overlap_of,
    shape_frames,
    starting_poses,
    stiffness,
    take,
)
from models.SMPL_from_masks import EstimatedBodies
from sample.fit_SMPL import FitConfig, check_cameras, confidence_of, parts_of, with_joints
from tests.helpers.small_body import small_body
from tests.unit.models.test_drawn_masks import drawing
from utils.skeleton import SMPL_24
from utils.views import placed_in_views

STEPS = MasksFitSteps(steps=25, shape_steps=25)
SKIN = PoseVariation(limbs=0, noise_degrees=0, tilt_degrees=0, cloth_m=0, cloth_of_part_m=0)


@pytest.fixture(scope="module")
def drawn():
    made = drawing(damage=Damage(share=0, missing=0), poses=SKIN, size_px=48)
    return draw(made._replace(betas=torch.ones(5, 10) * 0.5), 4, torch.Generator().manual_seed(3))


def disturbed(drawn, spread: float = 0.12) -> EstimatedBodies:
    turns = torch.randn(4, 24, 3, generator=torch.Generator().manual_seed(1)) * spread
    return EstimatedBodies(drawn.rotations_world @ roma.rotvec_to_rotmat(turns), drawn.betas, drawn.pelvis_world_m)


def person(drawn) -> Person:
    return Person(drawn.betas[0], torch.zeros(24))


def joint_errors_mm(fit: MasksFit, rotations, drawn) -> torch.Tensor:
    found, true = (
        fit.surface(one, person(drawn), drawn.pelvis_world_m)[2] for one in (rotations, drawn.rotations_world)
    )
    return 1000 * (found - true).norm(dim=-1).mean(dim=1)


def test_fits_come_near_the_bodies_whose_masks_they_see(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(), STEPS, True)
    start = disturbed(drawn)
    found = fit.fit(start, no_joints(drawn.views), person(drawn))
    before, after = (joint_errors_mm(fit, one, drawn).mean() for one in (start.rotations_world, found.rotations_world))
    assert after < 0.5 * before, f"{before:.0f} mm before, {after:.0f} mm after"
    assert found.overlap.nanmean() > 0.85


def test_a_root_that_is_not_known_is_found(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(), STEPS, False)
    start = disturbed(drawn, 0.02)._replace(pelvis_world_m=drawn.pelvis_world_m + torch.tensor([0.05, -0.04, 0.03]))
    found = fit.fit(start, no_joints(drawn.views), person(drawn))
    apart_mm = 1000 * (found.pelvis_world_m - drawn.pelvis_world_m).norm(dim=1).max()
    assert apart_mm < 30, f"{apart_mm:.0f} mm, 71 mm at the start"


def test_known_joints_pull_and_unknown_ones_do_not(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(soft_iou=0, teacher=0, turned=0.001), STEPS, True)
    start = disturbed(drawn, 0.3)
    true_m = fit.surface(drawn.rotations_world, person(drawn), drawn.pelvis_world_m)[2]
    observations = no_joints(drawn.views)
    known = observations._replace(joints_root_m=true_m, joints_confidence=torch.ones(4, 17))
    pulled, left = (fit.fit(start, one, person(drawn)).rotations_world for one in (known, observations))
    assert joint_errors_mm(fit, pulled, drawn).mean() < 0.3 * joint_errors_mm(fit, left, drawn).mean()


def test_keypoints_of_two_views_pull_as_well(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(soft_iou=0, teacher=0, turned=0.001), STEPS, True)
    start = disturbed(drawn, 0.3)
    true_m = fit.surface(drawn.rotations_world, person(drawn), drawn.pelvis_world_m)[2]
    seen_px = placed_in_views(true_m + drawn.pelvis_world_m[:, None], drawn.views, "pelvis")[..., :2]
    sure = drawn.views.exists[..., None].float().expand(*seen_px.shape[:-1])
    observations = no_joints(drawn.views)
    known = observations._replace(keypoints_px=seen_px, keypoints_confidence=sure)
    pulled, left = (fit.fit(start, one, person(drawn)).rotations_world for one in (known, observations))
    assert joint_errors_mm(fit, pulled, drawn).mean() < 0.5 * joint_errors_mm(fit, left, drawn).mean()


@pytest.mark.parametrize("pose", [0, 1], ids=["standing", "sitting"])
def test_bodies_are_bent_until_they_meet_the_joints(pose):
    body, rotations = small_body(), starting_poses()[pose].expand(2, -1, -1, -1).clone()
    for joint, rotvec in {"left_knee": (0.6, 0, 0), "right_elbow": (0, 1.2, 0), "spine2": (0.2, 0.1, 0)}.items():
        row = SMPL_24.index(joint)
        rotations[:, row] = rotations[:, row] @ roma.rotvec_to_rotmat(torch.tensor(rotvec, dtype=torch.float32))
    upright = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    rotations[:, 0] = roma.rotvec_to_rotmat(torch.tensor([[0, 0, 0.7], [0, 0, 3.0]])) @ upright
    betas, place_m = torch.full((2, 10), 0.3), torch.tensor([[0.1, 0.2, 1.0], [-0.3, 0.1, 1.1]])
    true_m = body.h36m_joints_m(body(rotations, betas, place_m).vertices_m)
    start = JointsStart(body, MasksFitLoss(), MasksFitSteps(joint_steps=80))
    for shape in (None, betas[0]):
        found = start.bodies(true_m, shape)
        zero = torch.zeros(2, 3)
        joints_m = body.h36m_joints_m(body(found.rotations_world, found.betas, zero).vertices_m)
        apart_m = joints_m - joints_m[:, :1] + found.pelvis_world_m[:, None] - true_m
        apart_mm = 1000 * apart_m.norm(dim=-1).mean()
        assert apart_mm < 15, f"{apart_mm:.1f} mm, expected below 15 mm"
        assert shape is None or torch.equal(found.betas[0], shape), "a given shape stays"
    with pytest.raises(ValueError, match="only a body with SMPL's 24 joints"):
        other = copy.copy(body)
        other.parents = body.parents[:-1]
        JointsStart(other, MasksFitLoss(), MasksFitSteps())


def test_bending_a_knee_is_no_error_of_its_hinge_and_twisting_it_is():
    rotations = torch.eye(3).expand(2, 24, 3, 3).clone()
    knee = SMPL_24.index("left_knee")
    rotations[0, knee] = roma.rotvec_to_rotmat(torch.tensor([1.5, 0.0, 0.0]))
    rotations[1, knee] = roma.rotvec_to_rotmat(torch.tensor([0.0, np.pi / 2, 0.0]))
    # The axis of one of four joints turned by 90 degrees: a squared distance of 2, over two sides and two parts.
    assert joint_axis_error(rotations).tolist() == pytest.approx([0, 2 / 4], abs=1e-6)
    assert stiffness()[SMPL_24.index("left_foot") - 1] == 10 and stiffness()[knee - 1] == 1


def test_a_prior_pulls_only_when_it_has_a_weight(drawn):
    class LikesRest:
        """One for the T-pose, less for others."""

        def scores(self, rotations: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
            return 1 - (rotations - torch.eye(3)).square().sum(dim=(2, 3))

    away = {}
    for weight in (0.0, 5.0):
        loss = MasksFitLoss(prior=weight, soft_iou=0, teacher=0, turned=0.001)
        fit = MasksFit(small_body(), loss, MasksFitSteps(steps=15), True, LikesRest())
        found = fit.fit(disturbed(drawn, 0.5), no_joints(drawn.views), person(drawn)).rotations_world[:, 1:]
        away[weight] = (found - torch.eye(3)).square().sum().item()
    assert away[5.0] < 0.8 * away[0.0]


def test_a_view_that_does_not_exist_has_no_influence(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(), MasksFitSteps(steps=3), True)
    exists = drawn.views.exists.clone()
    exists[:, 0] = False
    found = []
    for spoilt in (drawn.views.mask, 1 - drawn.views.mask):
        mask = torch.cat([spoilt[:, :1], drawn.views.mask[:, 1:]], dim=1)
        views = drawn.views._replace(mask=mask, exists=exists)
        found.append(fit.fit(disturbed(drawn), no_joints(views), person(drawn)).rotations_world)
    assert torch.equal(*found)


def along_each_other(drawn) -> EstimatedBodies:
    """Give a start in which no joint has a rotation: the second column is the first."""
    start = disturbed(drawn)
    columns = start.rotations_world.clone()
    columns[..., 1] = columns[..., 0]
    return start._replace(rotations_world=columns)


def far_away(drawn) -> EstimatedBodies:
    return disturbed(drawn)._replace(pelvis_world_m=torch.tensor([[0.0, 0.0, 1.5]]).expand(4, 3).clone())


def turned_at_random(drawn) -> EstimatedBodies:
    return disturbed(drawn)._replace(rotations_world=roma.random_rotmat(4 * 24).view(4, 24, 3, 3))


def turned_by_half(drawn) -> EstimatedBodies:
    half = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return disturbed(drawn)._replace(rotations_world=half.expand(4, 24, 3, 3).clone())


def with_zero_columns(drawn) -> EstimatedBodies:
    return disturbed(drawn)._replace(rotations_world=torch.zeros(4, 24, 3, 3))


@pytest.mark.parametrize("start", [along_each_other, far_away, turned_at_random, turned_by_half, with_zero_columns])
@pytest.mark.parametrize("masks", ["as drawn", "empty", "full"])
def test_no_start_makes_a_fit_end_in_what_is_no_number(drawn, start, masks):
    value = {"as drawn": drawn.views.mask, "empty": 0 * drawn.views.mask, "full": 0 * drawn.views.mask + 1}[masks]
    fit = MasksFit(small_body(), MasksFitLoss(), replace(STEPS, steps=4, shape_steps=4), False)
    observations = no_joints(drawn.views._replace(mask=value))
    points_m = fit.surface(drawn.rotations_world, person(drawn), drawn.pelvis_world_m)[2].detach()
    sure = torch.zeros(4, 17)
    sure[0, 3] = 1
    observations = observations._replace(joints_root_m=points_m, joints_confidence=sure)
    found_person = fit.person(start(drawn), observations)
    found = fit.fit(start(drawn), observations, found_person)
    assert all(value.isfinite().all() for value in (*found_person, *found[:2]))


def test_a_fit_at_the_very_joints_and_keypoints_that_are_known_stays_finite(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(), replace(STEPS, steps=4), False)
    start = EstimatedBodies(drawn.rotations_world, drawn.betas, drawn.pelvis_world_m)
    points_m = fit.surface(start.rotations_world, person(drawn), start.pelvis_world_m)[2].detach()
    seen_px = placed_in_views(points_m + start.pelvis_world_m[:, None], drawn.views, "pelvis")[..., :2]
    observations = no_joints(drawn.views)._replace(
        joints_root_m=points_m, joints_confidence=torch.ones(4, 17), keypoints_px=seen_px,
        keypoints_confidence=torch.ones(seen_px.shape[:3]),
    )  # fmt: skip
    found = fit.fit(start, observations, person(drawn))
    assert joint_errors_mm(fit, found.rotations_world, drawn).max() < 30


@pytest.mark.parametrize(
    "place", [torch.zeros, lambda *size: torch.randn(*size), lambda *size: 1e4 * torch.randn(*size)],
    ids=["in one point", "anywhere", "kilometres apart"],
)  # fmt: skip
def test_joints_of_nobody_do_not_break_the_bending(place):
    found = JointsStart(small_body(), MasksFitLoss(), MasksFitSteps(joint_steps=8)).bodies(place(3, 17, 3))
    assert all(value.isfinite().all() for value in found)


def test_joints_of_a_frame_whose_pelvis_is_not_known_are_not_known_either(drawn):
    """They are compared about the pelvis, and would all be taken for being there."""
    joints_m = np.random.default_rng(0).normal(size=(4, 17, 3)).astype(np.float32)
    joints_m[0, 0], joints_m[1, 5] = np.nan, np.nan
    table = SimpleNamespace(joints_world_m=joints_m, row_instant=np.arange(4))
    tools = SimpleNamespace(reader=SimpleNamespace(table=table))
    instants = [Instant(1, 2, 1, row + 1, np.array([row])) for row in range(4)]
    found = with_joints(no_joints(drawn.views), tools, instants, FitConfig(joints="labels"))
    assert found.joints_confidence.sum(dim=1).tolist() == [0, 16, 17, 17]
    assert np.allclose(found.joints_root_m[2], joints_m[2] - joints_m[2, :1])


def test_a_person_begins_at_the_middle_shape_also_where_one_shape_stands_for_all_frames(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(), replace(STEPS, shape_steps=0), False)
    shape = torch.linspace(-2, 2, 10)
    start = disturbed(drawn)._replace(betas=shape.expand(4, -1))
    assert torch.equal(fit.person(start, no_joints(drawn.views)).betas, shape)
    of_frames = shape + torch.tensor([-3.0, 0.0, 0.0, 5.0])[:, None]
    assert torch.equal(fit.person(start._replace(betas=of_frames), no_joints(drawn.views)).betas, shape)


def test_a_fit_that_breaks_says_what_broke_and_when(drawn):
    observations = no_joints(drawn.views)
    wrong = observations._replace(joints_confidence=torch.ones(4, 17), joints_root_m=torch.full((4, 17, 3), torch.inf))
    fit = MasksFit(small_body(), MasksFitLoss(), STEPS, False)
    with pytest.raises(ValueError, match=r"rotations became infinite or no number when bodies were moved by step 1 of"):
        fit.fit(disturbed(drawn), wrong, person(drawn))


def test_shape_and_clothes_are_one_for_all_frames_of_a_person(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(), STEPS, True)
    start = disturbed(drawn, 0.02)._replace(betas=torch.zeros(4, 10))
    found = fit.person(start, no_joints(drawn.views))
    assert found.betas.shape == (10,) and found.cloth_m.shape == (24,)
    nothing = MasksFit(small_body(), MasksFitLoss(), MasksFitSteps(steps=1, shape_steps=0), True)
    kept = nothing.person(start._replace(betas=drawn.betas), no_joints(drawn.views))
    assert torch.equal(kept.betas, drawn.betas[0]), "without steps it is the median of the teacher's shapes"


def test_a_frame_s_fit_does_not_depend_on_its_neighbours_in_the_batch(drawn):
    fit = MasksFit(small_body(), MasksFitLoss(), MasksFitSteps(steps=5), True)
    start = disturbed(drawn)
    alone = EstimatedBodies(*(value[:1] for value in start))
    both = fit.fit(start, no_joints(drawn.views), person(drawn)).rotations_world[:1]
    one = fit.fit(alone, take(no_joints(drawn.views), slice(0, 1)), person(drawn)).rotations_world
    assert torch.allclose(both, one, atol=1e-3)


def test_overlaps_by_hand():
    coverage, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    coverage[0, 0, :, :2], mask[0, 0, :, 1:3] = 1, 1
    found = overlap_of(coverage, mask, torch.tensor([[True, False]]))
    assert found[0, 0] == pytest.approx(1 / 3) and found[0, 1].isnan()


def test_cameras_that_do_not_agree_are_named():
    check_cameras(5, np.array([0.8, 0.7, 0.75, np.nan]))
    with pytest.raises(ValueError, match=r"camera 3 does not agree.*another order or mirrored"):
        check_cameras(5, np.array([0.8, 0.75, 0.2, 0.8]))
    with pytest.raises(ValueError, match="no body fits the masks of subject 5"):
        check_cameras(5, np.array([0.2, 0.3, 0.35]))


def test_confidence_falls_with_overlap_and_with_disagreement():
    overlap = np.array([[0.8, 0.8], [0.8, np.nan], [0.6, 0.7], [0.8, 0.8]])
    found = confidence_of(overlap, np.array([0.1, 0.1, 0.1, 0.5]))
    assert found[0] == found[1] == 1 and found[2] < 0.2 and found[3] < 0.2


def test_parts_keep_neighbours_together_and_frames_are_spread():
    instants = [Instant(5, 2, 1, frame, np.array([0])) for frame in range(1, 12)]
    parts = parts_of(instants, 4)
    assert [len(part.instants) for part in parts] == [4, 3, 4] and parts[0].name == "s_05_part_000"
    assert [one.frame for part in parts for one in part.instants] == list(range(1, 12))
    assert shape_frames(9, 3).tolist() == [0, 4, 8] and shape_frames(2, 24).tolist() == [0, 1]


def test_a_frame_that_went_wrong_begins_again_in_its_neighbour_s_pose(drawn):
    config = MasksFitSteps(steps=15, neighbour_rounds=3)
    fit = MasksFit(small_body(), MasksFitLoss(), config, True)
    same = EstimatedBodies(*(value[:1].expand(3, *value.shape[1:]) for value in start_of(drawn)))
    views = type(drawn.views)(*(value[:1].expand(3, *value.shape[1:]) for value in drawn.views))
    observations = no_joints(views)._replace(pelvis_world_m=same.pelvis_world_m)
    wrong = same.rotations_world.clone()
    wrong[1] = wrong[1] @ roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, 1.2]))
    start = same._replace(rotations_world=wrong)
    alone, together = fit.fit(start, observations, person(drawn)), fit.fit_in_time(start, observations, person(drawn))
    before, after = (one.overlap.nanmean(dim=1) for one in (alone, together))
    assert before[1] < before[0] - 0.1 and after[1] > before[1] + 0.1, f"{before.tolist()} became {after.tolist()}"
    assert (after > before - 0.005).all(), "nothing gets worse"
    none = MasksFit(small_body(), MasksFitLoss(), MasksFitSteps(steps=15, neighbour_rounds=0), True)
    same_again = none.fit_in_time(start, observations, person(drawn)).overlap
    assert torch.allclose(same_again, alone.overlap, atol=1e-3, equal_nan=True)


def start_of(drawn) -> EstimatedBodies:
    return EstimatedBodies(drawn.rotations_world, drawn.betas, drawn.pelvis_world_m)
