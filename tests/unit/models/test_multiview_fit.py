"""Fits on bodies whose truth is known: rendered in three views at a small size."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from config import ROOT
from dataset_def.crop import crop_camera
from dataset_def.h36m_SMPL_data import distance_to_mask_px
from models.multiview_fit import (
    Fit,
    FitConfig,
    FitLoss,
    FittedBodies,
    FrameObservations,
    fitted_coverage,
    joint_axis_error,
    starting_poses,
    stiffness,
)
from models.silhouette import Topology
from models.smpl import load_body
from tests.helpers.tiny_h36m import looking_camera
from utils.metrics import iou_percent, vertex_error_mm
from utils.skeleton import SMPL_24
from utils.views import MeshViews

SETTINGS = FitConfig(mask_px=48, joint_steps=60, mask_steps=25)
UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""R_world_from_body of somebody who stands; the world is z up."""


@pytest.fixture(scope="module")
def body():
    torch.set_num_threads(1)
    return load_body(ROOT / "models" / "assets" / "open_body.npz")


def true_bodies(start: int) -> FittedBodies:
    """Two frames of a person who is turned away from the start's pose in some joints."""
    rotations = starting_poses()[start].expand(2, -1, -1, -1).clone()
    for joint, rotvec in {"left_knee": (0.6, 0, 0), "right_elbow": (0, 1.2, 0), "spine2": (0.2, 0.1, 0)}.items():
        row = SMPL_24.index(joint)
        rotations[:, row] = rotations[:, row] @ roma.rotvec_to_rotmat(torch.tensor(rotvec, dtype=torch.float32))
    turns = roma.rotvec_to_rotmat(torch.tensor([[0, 0, 0.7], [0, 0, 3.0]]))
    rotations[:, 0] = turns @ UP
    betas = torch.zeros(10).index_fill_(0, torch.tensor([0]), 1.0)
    return FittedBodies(rotations, betas, torch.tensor([[0.1, 0.2, 1.0], [-0.3, 0.1, 1.1]]))


def vertices_of(body, bodies: FittedBodies) -> torch.Tensor:
    return body(bodies.rotations_world, bodies.betas.expand(2, -1), bodies.translation_m).vertices_m


def evidence_of(body, bodies: FittedBodies) -> FrameObservations:
    joints_m = body.h36m_joints_m(vertices_of(body, bodies))
    places_m, sizes = joints_m[:, 0].double().numpy(), (SETTINGS.mask_px, SETTINGS.side_m)
    cameras = [[crop_camera(looking_camera(number, 256, 256), place_m, *sizes) for number in (1, 2, 3)]
               for place_m in places_m]  # fmt: skip

    def stacked(name: str) -> torch.Tensor:
        return torch.tensor(np.array([[getattr(camera, name) for camera in row] for row in cameras])).float()

    empty = torch.zeros(2, 3, SETTINGS.mask_px, SETTINGS.mask_px)
    views = MeshViews(empty, empty, torch.ones(2, 3, dtype=torch.bool), stacked("R_cam_from_world"),
                      stacked("centre_world_m"), stacked("focal_px")[..., 0],
                      joints_m[:, :1].expand(-1, 3, -1).contiguous())  # fmt: skip
    mask = fitted_coverage(body, Topology(body.faces), bodies, views)
    bytes_of = (255 * mask).round().to(torch.uint8).numpy()
    mesh_to_mask = (
        np.stack([[distance_to_mask_px(one) for one in frame] for frame in bytes_of])
        * SETTINGS.side_m
        / SETTINGS.mask_px
    )
    return FrameObservations(
        joints_m, views._replace(mask=mask, distance_to_mask_m=torch.from_numpy(mesh_to_mask).float())
    )


@pytest.mark.parametrize("start", [0, 1], ids=["standing", "sitting"])
def test_a_fit_finds_pose_and_shape_of_a_known_body(body, start):
    true = true_bodies(start)
    observations = evidence_of(body, true)
    found = list(Fit(body, SETTINGS).fit(observations))
    assert len(found) == 1 + SETTINGS.mask_steps
    topology = Topology(body.faces)
    error, iou = [], []
    for bodies in (found[0], found[-1]):
        error.append(vertex_error_mm(vertices_of(body, bodies), vertices_of(body, true)).mean().item())
        drawn = fitted_coverage(body, topology, bodies, observations.views)
        iou.append(iou_percent(drawn, observations.views.mask).mean().item())
    assert iou[1] > iou[0] and iou[1] > 90, f"IoU {iou[0]:.1f} after joints, {iou[1]:.1f} % after masks"
    assert error[1] < 25, f"{error[0]:.1f} mm after joints, {error[1]:.1f} mm after masks, expected below 25 mm"


def test_a_given_shape_stays_and_only_the_pose_is_fitted(body):
    true = true_bodies(0)
    betas = torch.full((10,), 0.3)
    quick = replace(SETTINGS, joint_steps=2, mask_steps=1)
    found = list(Fit(body, quick).fit(evidence_of(body, true), betas))[-1]
    assert torch.equal(found.betas, betas)


def test_a_view_that_does_not_exist_has_no_influence(body):
    observations = evidence_of(body, true_bodies(0))
    exists = observations.views.exists.clone()
    exists[:, 2] = False
    quick = replace(SETTINGS, joint_steps=2, mask_steps=2)
    results = []
    for spoilt in (False, True):
        mask = observations.views.mask.clone()
        if spoilt:
            mask[:, 2] = 1 - mask[:, 2]
        views = observations.views._replace(mask=mask, exists=exists)
        results.append(list(Fit(body, quick).fit(FrameObservations(observations.joints_world_m, views)))[-1])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_prior_pulls_only_when_it_has_a_weight(body):
    class LikesRest:
        """One for the T-pose, less for others."""

        def scores(self, rotations: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
            return 1 - (rotations - torch.eye(3)).square().sum(dim=(2, 3))

    observations = evidence_of(body, true_bodies(1))
    found = {}
    for weight in (0.0, 5.0):
        quick = replace(SETTINGS, joint_steps=15, mask_steps=0, loss=FitLoss(prior=weight))
        found[weight] = list(Fit(body, quick, LikesRest()).fit(observations))[-1].rotations_world[:, 1:]
    away = {weight: (rotations - torch.eye(3)).square().sum().item() for weight, rotations in found.items()}
    assert away[5.0] < 0.8 * away[0.0]


def test_bending_a_knee_is_no_error_of_its_hinge_and_twisting_it_is():
    rotations = torch.eye(3).expand(2, 24, 3, 3).clone()
    knee = SMPL_24.index("left_knee")
    rotations[0, knee] = roma.rotvec_to_rotmat(torch.tensor([1.5, 0.0, 0.0]))
    rotations[1, knee] = roma.rotvec_to_rotmat(torch.tensor([0.0, np.pi / 2, 0.0]))
    # The axis of one of four joints turned by 90 degrees: a squared distance of 2, over two sides and two parts.
    assert joint_axis_error(rotations).tolist() == pytest.approx([0, 2 / 4], abs=1e-6)
    assert stiffness()[SMPL_24.index("left_foot") - 1] == 10 and stiffness()[knee - 1] == 1
