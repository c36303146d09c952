"""Stage 4's network: latent 3D points -> 24 rotations and 10 shape numbers of the body model."""

import itertools
from typing import Any, NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import MeshHeadConfig
from models.encoder_decoder import EncoderDecoder
from models.smpl import Body
from utils.skeleton import SMPL_24, SMPL_24_PARENTS

NUM_BETAS = 10
ARMS_DOWN_RAD = 1.2
"""How far the arms of the starting pose hang below the T-pose's."""
START_SCALE = 0.1
"""The last layer starts with so much of its usual weights, so that a training begins near the standing person."""


class BodyEstimate(NamedTuple):
    """What the network says about the body, in the axes of the crop camera."""

    rotations_crop: Float[Tensor, "B 24 3 3"]
    """The root first, R_crop_from_body; then each joint relative to its parent."""
    betas: Float[Tensor, "B 10"]


def upright_rotations() -> Float[Tensor, "24 3 3"]:
    """Give a person who stands with hanging arms and faces the camera; the body is y up, the crop camera y down."""
    rotvec = torch.zeros(24, 3)
    rotvec[SMPL_24.index("left_shoulder"), 2] = -ARMS_DOWN_RAD
    rotvec[SMPL_24.index("right_shoulder"), 2] = ARMS_DOWN_RAD
    rotations = roma.rotvec_to_rotmat(rotvec)
    rotations[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return rotations


def along_the_tree(relative: Float[Tensor, "B 24 3 3"]) -> Float[Tensor, "B 24 3 3"]:
    """Turn rotations relative to the parent into those relative to what the root is relative to."""
    total = [relative[:, 0]]
    for child, parent in enumerate(SMPL_24_PARENTS[1:], start=1):
        total.append(total[parent] @ relative[:, child])
    return torch.stack(total, dim=1)


def relative_to_parent(total: Float[Tensor, "B 24 3 3"]) -> Float[Tensor, "B 24 3 3"]:
    """Undo `along_the_tree`."""
    parents = total[:, list(SMPL_24_PARENTS[1:])]
    return torch.cat([total[:, :1], parents.mT @ total[:, 1:]], dim=1)


class MeshFromLatent(nn.Module):
    """A multi-layer perceptron on the flattened points.

    kind crop: every joint's rotation is read in the axes of the crop camera, as two of its columns, and then expressed
    relative to the parent.  The latent lives in these axes too, and joint positions are linear in these rotations.
    kind parent: two columns of each rotation relative to the parent.
    kind seed: axis-angle through tanh, the root's about facing the camera; no angle beyond 99 degrees can be reached.
    Source: Zhou et al., On the continuity of rotation representations, CVPR 2019, section 4.2 (two columns).
    """

    start: Tensor

    def __init__(self, points: int, config: MeshHeadConfig) -> None:
        super().__init__()
        self.kind = config.kind
        sizes = [3 * points] + [config.hidden] * config.layers
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(nn.Flatten(), *layers)
        per_joint = 3 if config.kind == "seed" else 6
        self.last = nn.Linear(sizes[-1], 24 * per_joint + NUM_BETAS)
        with torch.no_grad():
            self.last.weight.mul_(START_SCALE)
            self.last.bias.zero_()
        upright = upright_rotations()[None]
        start = along_the_tree(upright) if config.kind == "crop" else upright
        self.register_buffer("start", start[0, :, :, :2].contiguous(), persistent=False)

    def forward(self, points_crop: Float[Tensor, "B P 3"]) -> BodyEstimate:
        """Read the body; float32 whatever the layers run in."""
        numbers = self.last(self.layers(points_crop)).float()
        pose, betas = numbers[:, :-NUM_BETAS], numbers[:, -NUM_BETAS:]
        if self.kind == "seed":
            rotations = roma.rotvec_to_rotmat(pose.tanh().unflatten(1, (24, 3)))
            facing = torch.diag(rotations.new_tensor([1.0, -1.0, -1.0]))
            return BodyEstimate(torch.cat([facing @ rotations[:, :1], rotations[:, 1:]], dim=1), betas.tanh())
        rotations = roma.special_gramschmidt(self.start + pose.unflatten(1, (24, 3, 2)))
        return BodyEstimate(relative_to_parent(rotations) if self.kind == "crop" else rotations, betas)


class MeshFromImage(nn.Module):
    """Stage 1's encoder, frozen, with a mesh head behind it.

    The encoder takes no gradients, and its BatchNorm statistics do not move.  The settings that build the encoder and
    the body that the head was trained with travel with the weights, so that one checkpoint is enough to predict.
    """

    def __init__(self, encoder: EncoderDecoder, head: MeshFromLatent, origin: dict[str, Any]) -> None:
        super().__init__()
        self.encoder, self.head, self.origin = encoder, head, origin
        encoder.requires_grad_(False)
        self.train()

    def get_extra_state(self) -> dict[str, Any]:
        """Give the settings of the encoder and the body's hash to the state_dict; plain types only."""
        return self.origin

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the settings of the encoder and the body's hash from a state_dict."""
        self.origin = state

    def train(self, mode: bool = True) -> "MeshFromImage":
        """Switch the head to training; the encoder stays in evaluation."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, seen: Float[Tensor, "B 3 H W"] | Float[Tensor, "B P 3"]) -> BodyEstimate:
        """Read the body from RGB images in [0, 1], or from points that the encoder has read already."""
        if seen.ndim == 3:
            return self.head(seen)
        with torch.no_grad():
            points_crop = self.encoder.encode_points(seen)
        return self.head(points_crop)


class RootedBody(NamedTuple):
    """Bodies with Human3.6M's pelvis at the origin, in the axes of the crop camera."""

    vertices_root_m: Float[Tensor, "B V 3"]
    joints_root_m: Float[Tensor, "B 17 3"]
    """Human3.6M's joints, read off the surface."""


def rooted_body(body: Body, estimate: BodyEstimate) -> RootedBody:
    """Build the estimated bodies about their pelvis."""
    zero = estimate.betas.new_zeros(len(estimate.betas), 3)
    vertices_m = body(estimate.rotations_crop, estimate.betas, zero).vertices_m
    joints_m = body.h36m_joints_m(vertices_m)
    return RootedBody(vertices_m - joints_m[:, :1], joints_m - joints_m[:, :1])
