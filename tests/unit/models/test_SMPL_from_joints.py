"""Bodies read off joints, and what they learn from before any picture."""

import pytest
import roma
import torch

from config import Paths, UnpairedPoses
from models.kinematics import upright_rotations
from models.smpl import Body, load_body
from models.SMPL_from_joints import (
    BodyEstimate,
    BodyFromJoints,
    JointDrawing,
    ShapeFromBones,
    SurfaceSample,
    body_rows,
    drawn_joints,
    learn_from_unpaired_poses,
    misplaced,
)
from utils.skeleton import H36M_17, H36M_17_PARENTS


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(Paths().models_smpl_location)


def test_the_surface_is_shared_out_by_area_and_hands_count_little(body):
    surface = SurfaceSample(body)
    assert surface.share.sum().item() == pytest.approx(1, abs=1e-5)
    owner = body.weights.argmax(dim=1)
    hand = torch.isin(owner, torch.tensor([20, 21, 22, 23]))
    kept = surface.part.weights.argmax(dim=1)[surface.rows]
    share = surface.share[torch.isin(kept, torch.tensor([20, 21, 22, 23]))].sum()
    assert hand.float().mean() > 0.12 and share < 0.08, "of all vertices, and of the surface"


def test_a_body_moved_as_a_whole_is_as_far_as_it_was_moved_and_one_that_is_turned_differs_in_rotations(body):
    surface = SurfaceSample(body)
    standing = BodyEstimate(upright_rotations()[None], torch.zeros(1, 10))
    quarter = roma.rotvec_to_rotmat(torch.tensor([0.0, torch.pi / 2, 0.0]))
    turned = BodyEstimate(torch.cat([(quarter @ standing.rotations_crop[:, 0])[:, None],
                                     standing.rotations_crop[:, 1:]], dim=1), torch.ones(1, 10))  # fmt: skip
    same, apart = body_rows(standing, standing, surface), body_rows(turned, standing, surface)
    assert all(row.item() == pytest.approx(0, abs=1e-6) for row in same.values())
    assert apart["rotations"].item() == pytest.approx(4, rel=1e-4), "|R - 1|^2 of a quarter turn is 4"
    assert apart["shape"].item() == pytest.approx(1)
    vertices_m, joints_m = surface(standing)
    assert joints_m[0, 0].abs().max() == 0 and vertices_m[..., 1].max() > 0.7, "y down, about the pelvis"


def test_a_misplaced_shoulder_carries_its_arm():
    joints_m = torch.zeros(1, 17, 3)
    shoulder, elbow, wrist = (H36M_17.index(f"left_{name}") for name in ("shoulder", "elbow", "wrist"))
    joints_m[:, shoulder:, 0] = 1.0  # every other bone has no length, so only the shoulder is moved by itself
    joints_m[:, [elbow, wrist]] = joints_m[:, [shoulder]]
    moved = misplaced(joints_m, H36M_17_PARENTS, 0.1, torch.Generator().manual_seed(0)) - joints_m
    assert moved[:, shoulder].norm() > 0.01
    torch.testing.assert_close(moved[:, elbow], moved[:, shoulder])
    torch.testing.assert_close(moved[:, wrist], moved[:, shoulder])
    assert moved[:, H36M_17.index("left_knee")].abs().max() == 0
    assert torch.equal(misplaced(joints_m, H36M_17_PARENTS, 0.0, torch.Generator().manual_seed(0)), joints_m)


def test_drawn_joints_are_those_of_drawn_bodies_and_follow_from_the_generator(body):
    config = UnpairedPoses(off=0.0)
    drawing = JointDrawing(SurfaceSample(body), H36M_17_PARENTS, upright_rotations()[None].repeat(3, 1, 1, 1), config)
    one, again = (drawn_joints(drawing, 4, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.joints_root_m, again.joints_root_m)
    torch.testing.assert_close(one.joints_root_m, drawing.surface(one.true)[1])


def test_bodies_behind_joints_are_learned_without_a_picture(body):
    config = UnpairedPoses(steps=60, batch=32, off=0.05)
    bank = upright_rotations()[None].clone()
    bank[:, 0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up of the body to z up of the world
    drawing = JointDrawing(SurfaceSample(body), H36M_17_PARENTS, bank, config)
    torch.manual_seed(0)
    network = BodyFromJoints(H36M_17_PARENTS, body.parents, body.num_betas, 64, 1)
    unseen = drawn_joints(drawing, 32, torch.Generator().manual_seed(123))
    before = body_rows(network(unseen.joints_root_m), unseen.true, drawing.surface)["vertices_m"].mean().item()
    learn_from_unpaired_poses(network, drawing, seed=0)
    after = body_rows(network(unseen.joints_root_m), unseen.true, drawing.surface)["vertices_m"].mean().item()
    assert after < 0.5 * before, f"{1000 * before:.0f} mm before, {1000 * after:.0f} mm after"


def test_shape_is_read_off_lengths_and_small_where_these_tell_little(body):
    shape = ShapeFromBones(H36M_17_PARENTS, body.num_betas)
    shape.take_body(body)
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(40, 10, generator=generator)
    bent = roma.rotvec_to_rotmat(0.4 * torch.randn(40, 24, 3, generator=generator))
    vertices_m = body(bent, betas, torch.zeros(40, 3)).vertices_m
    found = shape(body.h36m_joints_m(vertices_m))
    tall, true_tall = (one[..., 1].amax(1) - one[..., 1].amin(1) for one in
                       (body.shaped_vertices_m(found), body.shaped_vertices_m(betas)))  # fmt: skip
    usual = body.template_m[:, 1].max() - body.template_m[:, 1].min()
    assert (tall - true_tall).abs().mean() < 0.55 * (true_tall - usual).abs().mean(), "of what the usual body is off"
    assert found.norm(dim=1).mean() < betas.norm(dim=1).mean()
    at_rest = body.h36m_joints_m(body.template_m[None])
    assert shape(at_rest).abs().max() < 1e-4
    assert torch.equal(shape(at_rest @ bent[0, 0]).round(decimals=4), shape(at_rest).round(decimals=4)), "turned"
