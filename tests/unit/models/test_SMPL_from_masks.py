"""The teacher's network: what the arrangement of cameras may and may not change."""

import pytest
import torch

from config import Damage, MasksLoss, MasksNetwork
from models.drawn_masks import draw
from models.kinematics import along_the_tree
from models.SMPL_from_masks import (
    BodyDrawer,
    BodyFromMasks,
    EstimatedBodies,
    PointsOfBody,
    load_teacher,
    masks_terms,
    some_view,
)
from tests.helpers.small_body import small_body
from tests.unit.models.test_drawn_masks import drawing
from utils.artifacts import save_checkpoint
from utils.views import MeshViews, about_up

SMALL = MasksNetwork(size_px=32, width=8, features=12, hidden=24, own_axes=2, refinements=1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = BodyFromMasks(small_body().parents, 10, SMALL, {})
    with torch.no_grad():
        for fuse in (made.fuse, *made.fuse_own, made.fuse_again):
            fuse.last.weight.mul_(20)
    return made.eval()


@pytest.fixture(scope="module")
def bodies():
    return draw(drawing(damage=Damage(share=0, missing=0.7)), 6, torch.Generator().manual_seed(2))


def first_views(bodies) -> torch.Tensor:
    return bodies.views.exists.long().argmax(dim=1)


def test_turning_world_and_cameras_together_turns_the_body(network, bodies):
    views, turn = bodies.views, about_up(torch.tensor(0.9))
    turned = views._replace(R_crop_from_world=views.R_crop_from_world @ turn.T,
                            centre_world_m=views.centre_world_m @ turn.T)  # fmt: skip
    with torch.no_grad():
        plain, other = (network(one, first_views(bodies))[-1] for one in (views, turned))
    assert torch.allclose(turn @ plain.rotations_world[:, 0], other.rotations_world[:, 0], atol=1e-4)
    assert torch.allclose(plain.rotations_world[:, 1:], other.rotations_world[:, 1:], atol=1e-4)
    assert torch.allclose(plain.pelvis_world_m @ turn.T, other.pelvis_world_m, atol=1e-4)


def test_neither_order_nor_padding_of_the_views_matters(network, bodies):
    views = bodies.views
    backwards = MeshViews(*(value.flip(1) for value in views))
    wider = MeshViews(*(torch.cat([value, value[:, :1]], 1) for value in views))
    wider.exists[:, -1] = False
    plain, _ = network.estimate(views, BodyDrawer(small_body()))
    for other in (backwards, wider):
        found, _ = network.estimate(other, BodyDrawer(small_body()))
        assert torch.allclose(plain.rotations_world, found.rotations_world, atol=1e-3)
        assert torch.allclose(plain.betas, found.betas, atol=1e-4)


def test_a_view_that_does_not_exist_is_not_read(network, bodies):
    views = bodies.views
    filled = views._replace(mask=torch.where(views.exists[..., None, None], views.mask, torch.ones(())))
    with torch.no_grad():
        plain, other = (network(one, first_views(bodies))[-1] for one in (views, filled))
    assert torch.equal(plain.rotations_world, other.rotations_world)


def test_a_reading_in_the_body_s_own_axes_does_not_know_the_axes_of_the_first(network, bodies):
    """Turn what was read first and the cameras: what is read again turns along, whatever the reference was."""
    views, turn = bodies.views, about_up(torch.tensor(2.1))
    turned = views._replace(R_crop_from_world=views.R_crop_from_world @ turn.T,
                            centre_world_m=views.centre_world_m @ turn.T)  # fmt: skip
    before = EstimatedBodies(bodies.rotations_world, bodies.betas, bodies.pelvis_world_m)
    root = (turn @ before.rotations_world[:, 0])[:, None]
    other = EstimatedBodies(torch.cat([root, before.rotations_world[:, 1:]], 1), before.betas,
                            before.pelvis_world_m @ turn.T)  # fmt: skip
    with torch.no_grad():
        told = network.view(views.mask[:, :, None], views)
        plain, found = (network.read_in_own_axes(told, *one)[-1] for one in ((views, before), (turned, other)))
        drawn = views.mask.roll(1, dims=3)
        looked = [network.look_again(*one, drawn) for one in ((views, before), (turned, other))]
    for one, two in ((plain, found), looked):
        assert torch.allclose(turn @ one.rotations_world[:, 0], two.rotations_world[:, 0], atol=1e-4)
        assert torch.allclose(one.rotations_world[:, 1:], two.rotations_world[:, 1:], atol=1e-4)
    assert not torch.allclose(plain.rotations_world, before.rotations_world, atol=1e-2)


def test_each_reading_learns_by_itself(network, bodies):
    """No gradient passes from a reading to the one before it."""
    readings = network(bodies.views, first_views(bodies))
    assert len(readings) == 1 + SMALL.own_axes
    readings[-1].rotations_world.sum().backward()
    assert network.fuse.last.weight.grad is None and network.fuse_own[0].last.weight.grad is None
    assert network.fuse_own[1].last.weight.grad is not None and network.view.tell[0].weight.grad is not None
    network.zero_grad(set_to_none=True)


def test_rotations_are_rotations_and_the_mean_of_equal_readings_is_the_reading(network, bodies):
    found, apart_rad = network.estimate(bodies.views, BodyDrawer(small_body()))
    R = found.rotations_world
    assert torch.allclose(R @ R.mT, torch.eye(3).expand_as(R), atol=1e-4) and (torch.linalg.det(R) > 0).all()
    assert (apart_rad > 0.01).all(), "an untrained network reads each view's axes differently"


def test_the_terms_are_zero_for_the_true_bodies_and_tell_a_turned_one(bodies):
    points, parents = PointsOfBody(small_body()), small_body().parents
    true = EstimatedBodies(bodies.rotations_world, bodies.betas, bodies.pelvis_world_m)
    assert all(value < 1e-6 for value in masks_terms(true, true, points, parents).values())
    turned = true.rotations_world.clone()
    turned[:, 0] = about_up(torch.tensor(torch.pi)) @ turned[:, 0]
    terms = masks_terms(true._replace(rotations_world=turned), true, points, parents)
    assert terms["points"] > 0.1 and terms["betas"] == 0 and terms["pelvis"] == 0
    totals = along_the_tree(turned, parents) - along_the_tree(true.rotations_world, parents)
    assert torch.isclose(terms["rotations"], totals.square().sum(dim=(2, 3)).mean())


def test_a_reference_is_a_view_that_exists():
    exists = torch.tensor([[False, True, False, True]]).repeat(200, 1)
    chosen = some_view(exists, torch.Generator().manual_seed(0))
    assert set(chosen.tolist()) == {1, 3}


def test_the_network_serves_bodies_of_any_number_of_joints():
    parents = (-1, 0, 1, 0)
    made = BodyFromMasks(parents, 3, SMALL, {}).eval()
    views = draw(drawing(), 2, torch.Generator().manual_seed(0)).views
    with torch.no_grad():
        found = made(views, torch.zeros(2, dtype=torch.int64))[-1]
    assert found.rotations_world.shape == (2, 4, 3, 3) and found.betas.shape == (2, 3)


def test_a_teacher_of_another_body_and_other_files_are_refused(tmp_path, network):
    network.set_extra_state({"body_hash": "of another", "network": {}, "centre": "masks", "side_m": 2.6})
    path = tmp_path / "teacher.pt"
    save_checkpoint(path, "masks", 1, {}, {"model": network.state_dict()})
    body = tmp_path / "body.npz"
    body.write_bytes(b"a body")
    with pytest.raises(ValueError, match="trained on another body"):
        load_teacher(path, body)
    save_checkpoint(path, "pose", 1, {}, {"model": network.state_dict()})
    with pytest.raises(ValueError, match="holds 'pose'"):
        load_teacher(path, body)
    with pytest.raises(FileNotFoundError, match="train_SMPL_from_masks"):
        load_teacher(tmp_path / "none.pt", body)


def test_weights_of_the_loss_are_those_of_its_terms(bodies):
    points, parents = PointsOfBody(small_body()), small_body().parents
    true = EstimatedBodies(bodies.rotations_world, bodies.betas, bodies.pelvis_world_m)
    assert masks_terms(true, true, points, parents).keys() == vars(MasksLoss()).keys()
