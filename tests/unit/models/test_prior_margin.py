"""L_gan under the committed prior: what a joint out of place costs."""

import numpy as np
import pytest
import roma
import torch

from config import ASSETS, GanNetworkConfig, MeshLoss, Paths, seed
from dataset_def.poses.readers import generate_recording
from models.GAN import Discriminator, PosesAndShapes, load_prior_for, make_discriminator
from models.mesh_losses import MaskSettings, MeshObjective, prior_loss
from models.smpl import load_body
from models.SMPL_from_joints import BodyEstimate
from utils.skeleton import SMPL_24


class OneNumber:
    """A stand-in for a discriminator: plausibility is the first shape number, and all scores are too."""

    def scores(self, rotations, betas):
        return betas[:, :1].clamp(max=1).expand(-1, 4)

    def open_scores(self, rotations, betas):
        return betas[:, :1].expand(-1, 4)

    def plausibility(self, scores):
        return scores[:, 0]


def bodies(first_numbers: list[float]) -> BodyEstimate:
    betas = torch.zeros(len(first_numbers), 10)
    betas[:, 0] = torch.tensor(first_numbers)
    return BodyEstimate(torch.eye(3).repeat(len(betas), 24, 1, 1), betas)


def test_what_is_beyond_the_margin_costs_nothing_and_has_no_gradient():
    estimate = bodies([0.5, 1.0, 3.0])
    estimate.betas.requires_grad_(True)
    loss = prior_loss(OneNumber(), estimate, MeshLoss(prior_margin=1.0))
    assert loss.item() == pytest.approx(0.5 / 3)
    loss.backward()
    assert estimate.betas.grad is not None and estimate.betas.grad[:, 0].tolist() == pytest.approx([-1 / 3, 0, 0])
    everything = prior_loss(OneNumber(), bodies([0.5, 1.0, 3.0]), MeshLoss(prior_asks="all_real"))
    assert everything.item() == pytest.approx(0.25 / 3)


def test_only_where_it_is_asked_for_the_whole_bodys_turn_counts_and_it_is_about_facing_the_camera():
    torch.manual_seed(0)
    rest = torch.zeros(24, 3)
    flat = make_discriminator(GanNetworkConfig(kind="seed", pose_hidden=16), 10, rest, {})
    parts = make_discriminator(GanNetworkConfig(joint_hidden=8, pose_hidden=16), 10, rest, {})
    facing = roma.rotvec_to_rotmat(0.3 * torch.randn(1, 24, 3))
    facing[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    turned = facing.clone()
    turned[:, 0] = facing[:, 0] @ roma.rotvec_to_rotmat(torch.tensor([0.0, 2.0, 0.0]))
    betas = torch.zeros(1, 10)

    def cost(pose: torch.Tensor, sees_root: bool) -> float:
        loss = MeshLoss(prior_asks="all_real", prior_sees_root=sees_root)
        return prior_loss(flat, BodyEstimate(pose, betas), loss).item()

    assert cost(facing, False) == cost(turned, False) == cost(facing, True) != cost(turned, True)
    whole = facing.clone()
    whole[:, 0] = roma.rotvec_to_rotmat(torch.tensor([0.0, 2.0, 0.0]))
    assert cost(turned, True) == pytest.approx((1 - flat(PosesAndShapes(whole, betas)).item()) ** 2, rel=1e-4)
    body = load_body(Paths().models_smpl_location)
    masks = MaskSettings(64, 2.3, "pelvis", backend="torch")
    MeshObjective(body, flat, seed().mesh.loss, masks)
    with pytest.raises(
        ValueError, match="prior_sees_root is on, and the prior knows joints below the root alone; give"
    ):
        MeshObjective(body, parts, seed().mesh.loss, masks)


def test_a_shoulder_turned_by_a_quarter_costs_much_more_than_two_millimetres_of_pose():
    prior = load_prior_for(ASSETS / "open_prior.pt", Paths().models_smpl_location)
    assert isinstance(prior, Discriminator)
    theta = np.concatenate([generate_recording(number, 6, 0).theta for number in range(4)]).astype(np.float32)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(theta).unflatten(1, (24, 3)))
    generator = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(len(rotations), 3, generator=generator), dim=1)
    turned = rotations.clone()
    shoulder = SMPL_24.index("left_shoulder")
    turned[:, shoulder] = turned[:, shoulder] @ roma.rotvec_to_rotmat(axis * torch.pi / 2)
    betas = torch.randn(len(rotations), 10, generator=generator)

    def costs_mm(loss: MeshLoss) -> float:
        true, wrong = (prior_loss(prior, BodyEstimate(pose, betas), loss).item() for pose in (rotations, turned))
        return 1000 * loss.prior * (wrong - true) / loss.pose

    assert costs_mm(MeshLoss(prior_asks="all_real", prior=0.12)) < 5, "as it was"
    assert costs_mm(MeshLoss()) > 20
