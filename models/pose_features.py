"""How poses are described to the critics of stage 3; none of it depends on the root's rotation."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.SMPL_from_latent import along_the_tree
from utils.skeleton import SMPL_24, SMPL_24_PARENTS

NUM_JOINTS = len(SMPL_24) - 1
WHOLE_FEATURES = 2 * 9 * NUM_JOINTS + 3 * NUM_JOINTS + 24 * 23 // 2


def with_root(rotations: Float[Tensor, "B 23 3 3"]) -> Float[Tensor, "B 24 3 3"]:
    """Put a root at rest in front of the joints."""
    root = torch.eye(3, dtype=rotations.dtype, device=rotations.device).expand(len(rotations), 1, 3, 3)
    return torch.cat([root, rotations], dim=1)


class Placed(NamedTuple):
    """A pose with the root at rest."""

    relative: Float[Tensor, "B 24 3 3"]
    """Rotations relative to the parent."""
    total: Float[Tensor, "B 24 3 3"]
    """Rotations relative to the pelvis."""
    joints_m: Float[Tensor, "B 24 3"]


def placed(rotations: Float[Tensor, "B 24 3 3"], rest_joints_m: Float[Tensor, "24 3"]) -> Placed:
    """Walk down the skeleton of an average body; the root's rotation is not looked at."""
    relative = with_root(rotations[:, 1:])
    total, parents = along_the_tree(relative), list(SMPL_24_PARENTS[1:])
    bones_m = (total[:, parents] @ (rest_joints_m[1:] - rest_joints_m[parents])[..., None])[..., 0]
    joints_m = [torch.zeros_like(bones_m[:, 0])]
    for child, parent in enumerate(parents):
        joints_m.append(joints_m[parent] + bones_m[:, child])
    return Placed(relative, total, torch.stack(joints_m, dim=1))


def whole_features(pose: Placed) -> Float[Tensor, "B F"]:
    """Describe a whole pose: all rotations, where joints are, and how far from each other."""
    first, second = torch.triu_indices(24, 24, 1, device=pose.joints_m.device)
    apart_m = (pose.joints_m[:, first] - pose.joints_m[:, second]).square().sum(-1).add(1e-6).sqrt()
    turns = torch.cat([pose.relative[:, 1:], pose.total[:, 1:]], dim=1)
    return torch.cat([turns.flatten(1), pose.joints_m[:, 1:].flatten(1), apart_m], dim=1)


def neighbours(steps: int) -> tuple[Int[Tensor, "23 N"], Bool[Tensor, "23 N"]]:
    """List, for every joint, those within so many steps along the skeleton; short lists are filled up with itself."""
    linked = torch.eye(24, dtype=torch.bool)
    for child, parent in enumerate(SMPL_24_PARENTS[1:], start=1):
        linked[child, parent] = linked[parent, child] = True
    near = torch.linalg.matrix_power(linked.float(), steps)[1:] > 0
    most = int(near.sum(dim=1).max())
    rows = [torch.cat([near[j].nonzero()[:, 0], torch.full((most - int(near[j].sum()),), j + 1)]) for j in range(23)]
    real = [torch.arange(most) < int(near[j].sum()) for j in range(23)]
    return torch.stack(rows), torch.stack(real)


class Surroundings(nn.Module):
    """Describes what is around every joint, as its parent sees it: so the same for a person who stands or stoops."""

    rows: Tensor
    is_there: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        rows, is_there = neighbours(steps)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("is_there", is_there[..., None].float(), persistent=False)
        self.count = 12 * rows.shape[1]

    def forward(self, pose: Placed) -> Float[Tensor, "B 23 F"]:
        """Give the rotations of the joints nearby, and where they are."""
        parents = list(SMPL_24_PARENTS[1:])
        away_m = pose.joints_m[:, self.rows] - pose.joints_m[:, 1:, None]
        seen_m = away_m @ pose.total[:, parents]  # row vectors: the transposed rotation takes them to the parent
        return torch.cat([pose.relative[:, self.rows].flatten(3), seen_m], dim=3).mul(self.is_there).flatten(2)
