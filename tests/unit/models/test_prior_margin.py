"""L_gan under the committed prior: what a joint out of place costs."""

import numpy as np
import pytest
import roma
import torch

from config import ASSETS, MeshLoss, Paths
from dataset_def.poses.readers import generate_recording
from models.GAN import Discriminator, load_prior_for
from models.mesh_losses import prior_loss
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
