"""Changes of real poses for the prior's training."""

import numpy as np
import pytest
import roma
import torch

from config import NoiseConfig
from dataset_def.synthetic.motion.limbs import REST_JOINTS_M, place_joints
from models.pose_noise import (
    jittered,
    mirror_pose,
    perturbed,
    plausible_variation,
    shared_otherwise,
    sometimes_mirrored,
    twisted_otherwise,
)
from utils.skeleton import SMPL_24, mirrored

REST = torch.tensor((REST_JOINTS_M + REST_JOINTS_M[mirrored(SMPL_24)] * [-1, 1, 1]) / 2, dtype=torch.float32)


@pytest.fixture
def poses() -> torch.Tensor:
    return roma.rotvec_to_rotmat(0.6 * torch.randn(12, 24, 3))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def joints_m(rotations: torch.Tensor) -> np.ndarray:
    return place_joints(rotations.double().numpy(), REST[0].double().numpy(), REST.double().numpy())[0]


def test_a_mirrored_pose_puts_every_joint_where_the_mirror_shows_its_counterpart(poses):
    shown = joints_m(poses)[:, mirrored(SMPL_24)] * [-1, 1, 1]
    np.testing.assert_allclose(joints_m(mirror_pose(poses)), shown, atol=1e-5)
    torch.testing.assert_close(mirror_pose(mirror_pose(poses)), poses)


def test_about_half_of_the_poses_are_mirrored(poses):
    many = poses.repeat(40, 1, 1, 1)
    changed = (sometimes_mirrored(many, generator()) != many).flatten(1).any(dim=1)
    assert 0.4 < changed.float().mean() < 0.6


def test_a_jitter_of_one_tenth_turns_by_about_one_tenth_per_axis(poses):
    many = poses.repeat(50, 1, 1, 1)
    turn = roma.rotmat_to_rotvec(many.mT @ jittered(many, 0.1, generator()))
    assert turn.std().item() == pytest.approx(0.1, rel=0.02)


def test_twist_between_joints_leaves_every_bone_where_it_was(poses):
    changed = twisted_otherwise(poses, REST, 0.5, generator())
    assert (changed - poses)[:, SMPL_24.index("left_shoulder")].abs().max() > 0.1
    np.testing.assert_allclose(joints_m(changed), joints_m(poses), atol=1e-5)


def test_a_bend_that_is_shared_otherwise_stays_the_same_in_sum():
    bend = torch.zeros(5, 24, 3)
    for name in ("spine1", "spine2", "spine3"):
        bend[:, SMPL_24.index(name), 0] = 0.2
    changed = roma.rotmat_to_rotvec(shared_otherwise(roma.rotvec_to_rotmat(bend), 0.7, generator()))
    rows = [SMPL_24.index(name) for name in ("spine1", "spine2", "spine3")]
    torch.testing.assert_close(changed[:, rows, 0].sum(dim=1), torch.full((5,), 0.6))
    assert changed[:, rows, 0].std() > 0.03


def test_noise_turns_the_joints_it_names_and_no_other_and_never_the_root(poses):
    bad = perturbed(poses, NoiseConfig(), generator())
    changed = (bad.rotations != poses).flatten(2).any(dim=2)
    assert not changed[:, 0].any() and torch.equal(changed[:, 1:], bad.is_changed)
    assert bad.is_changed.any(dim=1).all() and not bad.is_changed.all(dim=1).all()


def test_variation_without_any_spread_only_mirrors(poses):
    still = NoiseConfig(real_rad=0.0, shares=0.0, twist_rad=0.0)
    changed = plausible_variation(poses, REST, still, generator())
    torch.testing.assert_close(changed, sometimes_mirrored(poses, generator()), atol=2e-5, rtol=0)


def test_the_root_is_varied_by_mirroring_alone(poses):
    changed = plausible_variation(poses, REST, NoiseConfig(), generator())
    torch.testing.assert_close(changed[:, 0], sometimes_mirrored(poses, generator())[:, 0])
