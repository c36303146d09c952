"""Limbs, sides, normals and coarse surfaces follow from a body file alone."""

import numpy as np
import pytest
import roma
import torch

from config import Paths
from models.body_surface import (
    coarse_body,
    limbs,
    opposite_joints,
    paired_limbs,
    pelvis_m,
    spread_vertices,
    vertex_normals,
)
from models.kinematics import along_the_tree, mirrored_pose, relative_to_parent
from models.smpl import load_body
from utils.skeleton import SMPL_24, mirrored

STAR = (-1, 0, 1, 0, 3, 3, 5)
"""Root 0 with the chain 1-2, and 3 which carries the tip 4 and the chain 5-6."""


@pytest.fixture(scope="module")
def body():
    return load_body(Paths().models_smpl_location)


def some_rotations(count: int, joints: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return roma.rotvec_to_rotmat(torch.randn(count, joints, 3, generator=generator) * 0.4)


def test_limbs_run_from_where_they_leave_the_trunk_to_their_tips():
    assert limbs(STAR) == [[1, 2], [4], [5, 6]]
    assert limbs((-1, 0, 1)) == [[1, 2]]


def test_the_limbs_of_the_body_are_legs_arms_and_head_in_pairs(body):
    opposite = opposite_joints(body.rest_template_joints_m)
    assert opposite.tolist() == mirrored(SMPL_24)
    named = [[[SMPL_24[joint] for joint in chain] for chain in group] for group in paired_limbs(body.parents, opposite)]
    assert [len(group) for group in named] == [2, 1, 2]
    assert named[0][0] == ["left_hip", "left_knee", "left_ankle", "left_foot"]
    assert named[1] == [["neck", "head"]]
    assert named[2][1][-1] == "right_hand"


def test_a_body_without_symmetry_is_refused():
    joints_m = torch.tensor([[0.0, 0, 0], [0.3, 1, 0], [0.4, 1, 0.05]])
    with pytest.raises(ValueError, match="not symmetric"):
        opposite_joints(joints_m)


def test_the_mirrored_pose_puts_joints_at_their_mirrored_places(body):
    rotations, opposite = some_rotations(3, 24), opposite_joints(body.rest_template_joints_m)
    betas = torch.zeros(3, 10)
    symmetric = (
        (body.rest_template_joints_m[opposite] * torch.tensor([-1.0, 1, 1]) - body.rest_template_joints_m).abs().max()
    )
    plain, other = (
        body(one, betas, torch.zeros(3, 3)).joints_m for one in (rotations, mirrored_pose(rotations, opposite))
    )
    apart_mm = 1000 * (plain[:, opposite] * torch.tensor([-1.0, 1, 1]) - other).norm(dim=-1).max()
    assert apart_mm < 10 + 10_000 * symmetric, f"{apart_mm:.1f} mm"


def test_rotations_along_the_tree_and_back(body):
    rotations = some_rotations(2, 24)
    total = along_the_tree(rotations, body.parents)
    assert torch.allclose(relative_to_parent(total, body.parents), rotations, atol=1e-5)
    knee, hip = SMPL_24.index("left_knee"), SMPL_24.index("left_hip")
    assert torch.allclose(total[:, knee], rotations[:, 0] @ rotations[:, hip] @ rotations[:, knee], atol=1e-5)


def test_normals_of_an_octahedron_point_along_its_corners():
    corners = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [9, 9, 9]])
    faces = torch.tensor([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    normals = vertex_normals(corners[None], faces)[0]
    assert torch.allclose(normals[:6], corners[:6], atol=1e-6)
    assert not normals[6].any(), "a vertex of no face"


def test_a_coarse_body_keeps_its_vertices_and_joints_where_they_were(body):
    faces = body.faces[::7]
    part = coarse_body(body, faces)
    rotations, betas = some_rotations(2, 24), torch.randn(2, 10)
    whole, coarse = (one(rotations, betas, torch.zeros(2, 3)) for one in (body, part))
    assert torch.allclose(whole.vertices_m[:, faces], coarse.vertices_m[:, part.faces], atol=1e-6)
    for one, other in ((body.h36m_joints_m(whole.vertices_m), part.h36m_joints_m(coarse.vertices_m)),
                       (pelvis_m(body, *whole), pelvis_m(part, *coarse))):  # fmt: skip
        assert torch.allclose(one, other, atol=1e-6)


def test_spread_vertices_reach_hands_and_feet(body):
    points_m = body.template_m[spread_vertices(body, 8)].numpy()
    low, high = (getattr(body.template_m.numpy(), kind)(axis=0) for kind in ("min", "max"))
    assert np.ptp(points_m[:, 0]) > 0.95 * (high - low)[0] and np.ptp(points_m[:, 1]) > 0.95 * (high - low)[1]
