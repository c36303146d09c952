"""Rotations along a skeleton, and how poses are described to the discriminator of stage 3 (without the root's)."""

from typing import NamedTuple

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.skeleton import SMPL_24, SMPL_24_PARENTS, mirrored

ARMS_DOWN_RAD = 1.2
"""How far the arms of the starting pose hang below the T-pose's."""


def upright_rotations() -> Float[Tensor, "24 3 3"]:
    """Give a person who stands with hanging arms and faces the camera; the body is y up, the crop camera y down."""
    rotvec = torch.zeros(24, 3)
    rotvec[SMPL_24.index("left_shoulder"), 2] = -ARMS_DOWN_RAD
    rotvec[SMPL_24.index("right_shoulder"), 2] = ARMS_DOWN_RAD
    rotations = roma.rotvec_to_rotmat(rotvec)
    rotations[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return rotations


SHORTEST_COLUMN = 1e-6
"""A column this short, or this near to the other's direction, gives no unit vector: its gradient stays finite."""


def rotations_of_columns(columns: Float[Tensor, "*B 3 2"]) -> Float[Tensor, "*B 3 3"]:
    """Make rotations of their first two columns, which need not be orthogonal or of unit length.

    Where one is zero or both are parallel there is no rotation; the result and its gradient are finite there, so that
    a step of an optimizer leaves the place, instead of turning all numbers into NaN.
    Source: Zhou et al., On the continuity of rotation representations, 2019, equation 15.
    """
    return roma.special_gramschmidt(columns, epsilon=SHORTEST_COLUMN)


def along_the_tree(
    relative: Float[Tensor, "B J 3 3"], parents: tuple[int, ...] = SMPL_24_PARENTS
) -> Float[Tensor, "B J 3 3"]:
    """Turn rotations relative to the parent into those relative to what the root is relative to."""
    total = [relative[:, 0]]
    for child, parent in enumerate(parents[1:], start=1):
        total.append(total[parent] @ relative[:, child])
    return torch.stack(total, dim=1)


def relative_to_parent(
    total: Float[Tensor, "B J 3 3"], parents: tuple[int, ...] = SMPL_24_PARENTS
) -> Float[Tensor, "B J 3 3"]:
    """Undo `along_the_tree`."""
    return torch.cat([total[:, :1], total[:, list(parents[1:])].mT @ total[:, 1:]], dim=1)


def mirrored_pose(
    rotations: Float[Tensor, "B J 3 3"], opposite: Int[Tensor, "J"] | list[int]
) -> Float[Tensor, "B J 3 3"]:
    """Give the pose seen in a mirror that stands in the body's middle: sides swap, and so does their handedness.

    Args:
        opposite: for every joint, its counterpart on the other side.
    Source: a rotation R becomes S R S with the reflection S = diag(-1, 1, 1); own derivation, test_body_surface.py and
        test_pose_noise.py.
    """
    S = rotations.new_tensor([-1.0, 1.0, 1.0])
    return rotations[:, opposite] * S[:, None] * S


def unchanged(
    rotations_new: Float[Tensor, "B J 3 3"],
    R_new_from_plain: Float[Tensor, "B 3 3"],
    is_mirrored: Bool[Tensor, "B"],
    opposite: Int[Tensor, "J"] | list[int],
) -> Float[Tensor, "B J 3 3"]:
    """Undo for bodies what was done to crops: mirror back those of mirrored pictures, and turn all to the plain axes.

    Source: a mirrored picture shows S x, with S = diag(-1, 1, 1); the body S R S there, sides swapped, is the mirror
        image of the body R, the root too; own derivation, test_mesh_batches.py.
    """
    mirrored = mirrored_pose(rotations_new, opposite)
    rotations = torch.where(is_mirrored[:, None, None, None], mirrored, rotations_new)
    return torch.cat([(R_new_from_plain.mT @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1)


class BodyTree(NamedTuple):
    """The joints of a body, the root first, each after its parent."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    opposite: tuple[int, ...]
    """For every joint, its counterpart on the other side."""


SMPL_TREE = BodyTree(SMPL_24, SMPL_24_PARENTS, tuple(mirrored(SMPL_24)))


def num_whole_features(joints: int) -> int:
    """Count what `whole_features` gives for so many joints with the root."""
    return (2 * 9 + 3) * (joints - 1) + joints * (joints - 1) // 2


def with_root(rotations: Float[Tensor, "B K 3 3"]) -> Float[Tensor, "B J 3 3"]:
    """Put a root at rest in front of the joints."""
    root = torch.eye(3, dtype=rotations.dtype, device=rotations.device).expand(len(rotations), 1, 3, 3)
    return torch.cat([root, rotations], dim=1)


class PlacedPose(NamedTuple):
    """A pose with the root at rest."""

    relative: Float[Tensor, "B J 3 3"]
    """Rotations relative to the parent."""
    total: Float[Tensor, "B J 3 3"]
    """Rotations relative to the pelvis."""
    joints_m: Float[Tensor, "B J 3"]


def placed_pose(
    rotations: Float[Tensor, "B J 3 3"], rest_joints_m: Float[Tensor, "J 3"], tree: BodyTree = SMPL_TREE
) -> PlacedPose:
    """Walk down the skeleton of a body of average shape; the root's rotation is not used."""
    relative = with_root(rotations[:, 1:])
    total, parents = along_the_tree(relative, tree.parents), list(tree.parents[1:])
    bones_m = (total[:, parents] @ (rest_joints_m[1:] - rest_joints_m[parents])[..., None])[..., 0]
    joints_m = [torch.zeros_like(bones_m[:, 0])]
    for child, parent in enumerate(parents):
        joints_m.append(joints_m[parent] + bones_m[:, child])
    return PlacedPose(relative, total, torch.stack(joints_m, dim=1))


def whole_features(pose: PlacedPose) -> Float[Tensor, "B F"]:
    """Describe a whole pose: all rotations, where joints are, and how far from each other."""
    joints = pose.joints_m.shape[1]
    first, second = torch.triu_indices(joints, joints, 1, device=pose.joints_m.device)
    apart_m = (pose.joints_m[:, first] - pose.joints_m[:, second]).square().sum(-1).add(1e-6).sqrt()
    turns = torch.cat([pose.relative[:, 1:], pose.total[:, 1:]], dim=1)
    return torch.cat([turns.flatten(1), pose.joints_m[:, 1:].flatten(1), apart_m], dim=1)
