"""Poses that need no image: turned, median and nearest poses, by hand and by symmetry."""

import math

import pytest
import roma
import torch

from utils.metrics import heading_rad, n_mpjpe_mm, pa_mpjpe_mm, yaw_error_degrees
from utils.reference_poses import (
    heading_to_camera_rad,
    nearest_labels,
    reference_poses,
    turned_by_headings,
    without_heading,
)  # fmt: skip
from utils.skeleton import H36M_17

GENERATOR = torch.Generator().manual_seed(3)


def poses(count: int) -> torch.Tensor:
    """Random upright poses whose left is at +y, so that they face +x."""
    pose = 0.2 * torch.randn(count, 17, 3, generator=GENERATOR, dtype=torch.float64)
    for side, sign in (("left", 1), ("right", -1)):
        for joint in ("hip", "shoulder"):
            pose[:, H36M_17.index(f"{side}_{joint}")] = torch.tensor([0.0, 0.2 * sign, 0.3], dtype=torch.float64)
    return pose - pose[:, :1]


def cameras(count: int) -> torch.Tensor:
    """Random axes of crop cameras."""
    return roma.random_rotmat(count, dtype=torch.float64)


def test_a_quarter_turn_to_the_left_takes_x_to_y():
    pose = torch.zeros(1, 2, 3)
    pose[0, 1] = torch.tensor([1.0, 0.0, 2.0])
    turned = turned_by_headings(pose, torch.tensor([math.pi / 2]))
    assert torch.allclose(turned[0, 1], torch.tensor([0.0, 1.0, 2.0]), atol=1e-6)


def test_poses_lose_their_heading_and_nothing_else():
    facing_x = poses(5)
    turned = turned_by_headings(facing_x, torch.linspace(-3, 3, 5, dtype=torch.float64))
    moved = turned + torch.randn(5, 1, 3, generator=GENERATOR, dtype=torch.float64)
    assert torch.allclose(without_heading(moved), facing_x, atol=1e-9)


def test_who_faces_the_camera_looks_against_its_axis():
    """A camera that looks along +y: x to the right, y (of the picture) down, z forward."""
    R = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]])
    assert heading_to_camera_rad(R).item() == pytest.approx(-math.pi / 2)


def test_the_constant_pose_faces_the_camera_or_as_the_true_one_does():
    labels, true_world, R = poses(9), poses(6), cameras(6)
    turned = turned_by_headings(true_world, torch.linspace(-3, 3, 6, dtype=torch.float64))
    true = turned @ R.mT
    found = reference_poses(labels, true, R)
    faced = heading_rad(found["constant_pose"], R) - heading_to_camera_rad(R)
    assert torch.allclose(torch.atan2(faced.sin(), faced.cos()), torch.zeros(6, dtype=torch.float64), atol=1e-6)
    assert yaw_error_degrees(found["constant_pose_true_heading"], true, R).max() < 1e-4
    same = [pa_mpjpe_mm(found[name], true) for name in ("constant_pose", "constant_pose_true_heading")]
    assert torch.allclose(*same, atol=1e-6), "aligned errors do not see the heading"
    assert not torch.allclose(n_mpjpe_mm(found["constant_pose"], true), n_mpjpe_mm(true, true))


def test_a_labelled_pose_is_found_again_at_any_heading_and_size():
    labels, R = poses(70), cameras(40)
    chosen = labels[torch.arange(40) + 20]
    true = 1.1 * turned_by_headings(chosen, torch.linspace(-3, 3, 40, dtype=torch.float64)) @ R.mT
    found = reference_poses(labels, true, R)["nearest_label_true_heading"]
    assert n_mpjpe_mm(found, true).max() < 1e-6


def test_the_nearest_label_is_that_of_a_slow_search():
    labels, true = poses(7), poses(50)
    found = nearest_labels(labels, true)
    for row, pose in enumerate(true):
        apart = [n_mpjpe_mm(label[None], pose[None]).item() for label in labels]
        assert torch.equal(found[row], labels[apart.index(min(apart))])
