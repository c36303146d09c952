import pytest
import torch
from torch import nn

from config import MeshLoss
from models.mesh_losses import GradientShare, GroupFactors, annealed, full_weights, gradient_shares, share_table

LOSS = MeshLoss(
    pose=1.0,
    soft_iou=0.5,
    mesh_to_mask=2.0,
    mask_to_mesh=4.0,
    prior=0.25,
    betas=0.0,
    vertices=3.0,
    rotations=0.1,
    shape=0.2,
    soft_iou_after=0.2,
    distances_end=0.3,
    pose_share=0.6,
    verts_share=0.3,
    prior_share=0.1,
)


def terms_of(parameter: nn.Parameter, **slopes: float) -> dict[str, torch.Tensor]:
    """Terms whose gradient on the parameter has the given norm."""
    return {name: slope * parameter.sum() for name, slope in slopes.items()}


def test_the_overlap_rises_and_the_distances_fall():
    full = full_weights(LOSS)
    bodies = {"vertices_m": 3, "rotations": 0.1, "shape": 0.2}
    masks = {"soft_iou": 0.5, "mesh_to_mask_m": 2, "mask_to_mesh_m": 4}
    assert full == {"pose_m": 1, "prior": 0.25, "betas": 0} | bodies | masks
    at_start, soon, at_end = (annealed(full, LOSS, progress) for progress in (0.0, 0.1, 1.0))
    assert (at_start["soft_iou"], at_start["mesh_to_mask_m"], at_start["mask_to_mesh_m"]) == (0, 2, 4)
    assert soon["soft_iou"] == pytest.approx(0.25) and soon["mask_to_mesh_m"] == pytest.approx(4 * 0.93)
    assert at_end == {**full, "mesh_to_mask_m": pytest.approx(0.6), "mask_to_mesh_m": pytest.approx(1.2)}
    assert annealed(full, MeshLoss(prior=0, soft_iou_after=0), 0.0)["soft_iou"] == 0.5


def test_shares_are_those_of_the_weighted_gradients_of_each_group():
    parameter = nn.Parameter(torch.zeros(1))
    terms = terms_of(parameter, pose_m=3.0, soft_iou=2.0, mesh_to_mask_m=0.5, mask_to_mesh_m=0.25, prior=4.0)
    shares = gradient_shares(terms, full_weights(LOSS), [parameter], LOSS)
    assert {group: share.norm for group, share in shares.items()} == pytest.approx({"pose": 3, "verts": 3, "prior": 1})
    assert shares["pose"].share == pytest.approx(3 / 7)
    assert [share.intended for share in shares.values()] == pytest.approx([0.6, 0.3, 0.1])
    assert sum(terms.values()).requires_grad, "the graph is kept"


def test_intended_shares_are_those_of_the_groups_that_take_part():
    parameter = nn.Parameter(torch.zeros(1))
    shares = gradient_shares(terms_of(parameter, pose_m=1.0, soft_iou=1.0), full_weights(LOSS), [parameter], LOSS)
    assert list(shares) == ["pose", "verts"]
    assert [share.intended for share in shares.values()] == pytest.approx([2 / 3, 1 / 3])


def test_balanced_weights_have_the_intended_shares_and_leave_the_pose_as_it_is():
    parameter = nn.Parameter(torch.zeros(1))
    terms = terms_of(parameter, pose_m=80.0, soft_iou=0.03, mask_to_mesh_m=0.001, prior=2.0)
    factors = GroupFactors()
    factors.balance(gradient_shares(terms, full_weights(LOSS), [parameter], LOSS))
    weights = factors.apply_to(full_weights(LOSS))
    assert weights["pose_m"] == 1 and weights["soft_iou"] / weights["mask_to_mesh_m"] == pytest.approx(0.5 / 4)
    shares = gradient_shares(terms, weights, [parameter], LOSS)
    assert [share.share for share in shares.values()] == pytest.approx([0.6, 0.3, 0.1])


def test_factors_travel_with_a_checkpoint():
    factors, other = GroupFactors(), GroupFactors()
    assert factors.apply_to(full_weights(LOSS)) == full_weights(LOSS)
    factors.factors.copy_(torch.tensor([1.0, 2.0, 3.0]))
    other.load_state_dict(factors.state_dict())
    assert other.apply_to(full_weights(LOSS))["prior"] == 0.75


def test_a_share_far_from_the_intended_one_is_warned_of():
    good, bad = GradientShare(1.0, 0.2, 0.3), GradientShare(0.001, 0.004, 0.3)
    assert "WARNING" not in share_table({"pose": good})
    assert "WARNING" in share_table({"verts": bad}) and "--loss.balance" in share_table({"verts": bad})
    assert GradientShare(1.0, 0.95, 0.3).is_far_off and not GradientShare(1.0, 0.85, 0.3).is_far_off
