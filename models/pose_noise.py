"""Changes of real poses for the training of a prior: those that keep them plausible, and noise that does not."""

from typing import NamedTuple

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from config import NoiseConfig
from models.kinematics import SMPL_TREE, BodyTree, mirrored_pose
from utils.skeleton import SMPL_24
from utils.whole_batch import Draws, rand, randint, randn

TWIST_GOES_TO = {
    f"{side}_{joint}": f"{side}_{child}"
    for side in ("left", "right")
    for joint, child in (("hip", "knee"), ("shoulder", "elbow"), ("elbow", "wrist"))
}
"""Joints that hand part of the turn about their own bone to the joint at its end."""
SHARED_BENDS = (("spine1", "spine2", "spine3"), ("neck", "head"))
"""Joints that share one bend."""


class PerturbedPoses(NamedTuple):
    """Poses with noise, and where it is."""

    rotations: Float[Tensor, "B J 3 3"]
    is_changed: Bool[Tensor, "B K"]


def mirror_pose(rotations: Float[Tensor, "B J 3 3"], tree: BodyTree = SMPL_TREE) -> Float[Tensor, "B J 3 3"]:
    """Give the pose that a mirror shows."""
    return mirrored_pose(rotations, list(tree.opposite))


def sometimes_mirrored(
    rotations: Float[Tensor, "B J 3 3"], generator: Draws, tree: BodyTree = SMPL_TREE
) -> Float[Tensor, "B J 3 3"]:
    """Mirror half of the poses."""
    is_mirrored = rand((len(rotations),), generator) < 0.5
    return torch.where(is_mirrored[:, None, None, None], mirror_pose(rotations, tree), rotations)


def jittered(
    rotations: Float[Tensor, "B J 3 3"], std_rad: Float[Tensor, "B J 1"] | float, generator: Draws
) -> Float[Tensor, "B J 3 3"]:
    """Turn every joint a little, about an axis of its own."""
    noise = randn(rotations.shape[:-1], generator)
    return rotations @ roma.rotvec_to_rotmat(noise * std_rad)


def shared_otherwise(rotations: Float[Tensor, "B J 3 3"], std: float, generator: Draws) -> Float[Tensor, "B J 3 3"]:
    """Share the bend of spine and neck otherwise among their joints; chest and head turn nearly as before."""
    changed = rotations.clone()
    for chain in SHARED_BENDS:
        rows = [SMPL_24.index(name) for name in chain]
        vectors = roma.rotmat_to_rotvec(rotations[:, rows])
        mean = vectors.mean(dim=1, keepdim=True)
        shares = randn((len(rotations), len(rows), 1), generator) * std
        shares = shares - shares.mean(dim=1, keepdim=True)
        changed[:, rows] = roma.rotvec_to_rotmat(vectors + shares * mean * len(rows) / 2)
    return changed


def twisted_otherwise(
    rotations: Float[Tensor, "B J 3 3"],
    rest_joints_m: Float[Tensor, "J 3"],
    std_rad: float,
    generator: Draws,
) -> Float[Tensor, "B J 3 3"]:
    """Move some twist from a limb's joint to the next one, in every limb: bones keep their directions.

    How much an upper arm turns about itself is hardly seen from outside, and recordings differ in it.
    """
    changed = rotations.clone()
    for joint, end in TWIST_GOES_TO.items():
        first, second = SMPL_24.index(joint), SMPL_24.index(end)
        bone = torch.nn.functional.normalize(rest_joints_m[second] - rest_joints_m[first], dim=0)
        angle_rad = randn((len(rotations), 1), generator) * std_rad
        turn = roma.rotvec_to_rotmat(angle_rad * bone)
        changed[:, first] = changed[:, first] @ turn
        changed[:, second] = turn.mT @ changed[:, second]
    return changed


def plausible_variation(
    rotations: Float[Tensor, "B J 3 3"], rest_joints_m: Float[Tensor, "J 3"], noise: NoiseConfig,
    generator: Draws, tree: BodyTree = SMPL_TREE,
) -> Float[Tensor, "B J 3 3"]:  # fmt: skip
    """Change real poses as recordings of the same pose differ: side, shares of a bend, twist of limbs, small angles.

    Which joints share a bend, or twist instead of each other, is known of people alone.
    """
    changed = sometimes_mirrored(rotations, generator, tree)
    if tree == SMPL_TREE:
        changed = shared_otherwise(changed, noise.shares, generator)
        changed = twisted_otherwise(changed, rest_joints_m, noise.twist_rad, generator)
    joints = len(tree.names)
    std_rad = torch.full((joints, 1), noise.real_rad, device=rotations.device)
    for name, factor in noise.loose:
        std_rad[[row for row, joint in enumerate(tree.names) if joint.endswith(name)]] *= factor
    std_rad[0] = 0
    return jittered(changed, std_rad.expand(len(changed), joints, 1), generator)


def perturbed(rotations: Float[Tensor, "B J 3 3"], noise: NoiseConfig, generator: Draws) -> PerturbedPoses:
    """Turn some joints of every pose at random: at least one, each pose by a size of its own."""
    count, below = len(rotations), rotations.shape[1] - 1
    share = rand((count, 1), generator) ** 3
    chosen = rand((count, below), generator) < share
    one = randint(below, (count,), generator)
    chosen |= torch.nn.functional.one_hot(one, below).bool()
    low, high = noise.false_rad
    size = low * (high / low) ** rand((count, 1, 1), generator)
    changed = jittered(rotations[:, 1:], size.expand(count, below, 1), generator)
    changed = torch.where(chosen[..., None, None], changed, rotations[:, 1:])
    return PerturbedPoses(torch.cat([rotations[:, :1], changed], dim=1), chosen)
