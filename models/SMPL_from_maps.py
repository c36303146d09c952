"""Stage 4's network where heat maps find joints: image -> maps -> joints -> body, with all features at the joints."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from config import MeshHeadConfig
from models.encoder_decoder import EncoderDecoder
from models.heat_maps import HeatMapBackbone, Maps
from models.pose_from_maps import JointMaps, PoseFromMaps
from models.SMPL_from_joints import BodyEstimate, BodyFromJoints, ShapeFromBones


class BodyMaps(NamedTuple):
    """What the network tells of an image."""

    body: BodyEstimate
    joints: JointMaps


class BodyFromMaps(nn.Module):
    """A body from the joints that were found, corrected by what the maps show at the joints and of the whole person.

    The correction begins at zero, so that the network begins as what was learned from unpaired poses: joints alone do
    not tell how a forearm is turned about itself, nor how stout somebody is.

    Args:
        shape: what reads the shape outside of training.  In training people seem smaller and larger, and targets have
            their true size; so the losses see the shape that is learned, from few people, with the rotations.
    """

    def __init__(
        self, from_joints: BodyFromJoints, shape: ShapeFromBones | None, fine: int, coarse: int, side_m: float,
        hidden: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.from_joints, self.shape, self.side_m = from_joints, shape, side_m
        joints = len(from_joints.joint_parents)
        last = nn.Linear(hidden, from_joints.numbers)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.from_features = nn.Sequential(
            nn.Linear((fine + 5) * joints + coarse, hidden), nn.LayerNorm(hidden), nn.GELU(),
            nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.GELU(), last,
        )  # fmt: skip

    def forward(self, maps: Maps, found: JointMaps) -> BodyEstimate:
        """Read the body; float32 whatever the layers run in."""
        at = found.points.points_m[:, :, None, :2] * (2 / self.side_m)
        features = grid_sample(maps.fine.float(), at, align_corners=False)[..., 0]
        known = torch.cat([found.joints_root_m, found.points.spread_m], dim=-1)
        seen = [features.flatten(1), known.flatten(1), maps.coarse.float().mean(dim=(2, 3))]
        numbers = (
            self.from_joints.read(found.joints_root_m).float() + self.from_features(torch.cat(seen, dim=1)).float()
        )
        body = self.from_joints.body_of(numbers)
        if self.shape is None or self.training:
            return body
        return body._replace(betas=self.shape(found.joints_root_m))


class MeshFromMaps(nn.Module):
    """An encoder of kind heatmaps, the heat maps of the joints, and a body behind them.

    Frozen, encoder and joints take no gradients and their BatchNorm statistics do not move; else all layers train.  The
    settings that build it and the body's hash travel with the weights.
    """

    def __init__(
        self, encoder: EncoderDecoder, joints: PoseFromMaps, head: BodyFromMaps, is_frozen: bool,
        provenance: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.joints, self.head = encoder, joints, head
        self.is_frozen, self.provenance = is_frozen, provenance
        encoder.requires_grad_(False)
        for part in (encoder.backbone, joints):
            part.requires_grad_(not is_frozen)
        self.train()

    def get_extra_state(self) -> dict[str, Any]:
        """Give the settings of the encoder and the body's hash to the state_dict; plain types only."""
        return self.provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the settings of the encoder and the body's hash from a state_dict."""
        self.provenance = state

    def train(self, mode: bool = True) -> "MeshFromMaps":
        """Switch to training, but for what is frozen."""
        super().train(mode)
        for part in (self.encoder, self.joints):
            part.train(mode and not self.is_frozen)
        return self

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> BodyEstimate:
        """Read the body from RGB images in [0, 1]."""
        return self.maps(image).body

    def maps(self, image: Float[Tensor, "B 3 H W"]) -> BodyMaps:
        """Read the body, and the maps that it is read from."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            maps = self.encoder.backbone(self.encoder.normalised(image))
            found = self.joints(maps)
        return BodyMaps(self.head(maps, found), found)

    def for_training(self) -> "BodyMapsFromImage":
        """Give the network as training calls it."""
        return BodyMapsFromImage(self)


class BodyMapsFromImage(nn.Module):
    """The same network, called for its maps: what training calls, so that several processes exchange gradients."""

    def __init__(self, network: MeshFromMaps) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> BodyMaps:
        """Read bodies and maps from RGB images in [0, 1]."""
        return self.network.maps(image)


def build_body_from_maps(
    backbone: HeatMapBackbone, joints: PoseFromMaps, body_parents: tuple[int, ...], num_betas: int,
    config: MeshHeadConfig,
) -> BodyFromMaps:  # fmt: skip
    """Put a body behind the joints that an encoder's maps find."""
    from_joints = BodyFromJoints(joints.parents, body_parents, num_betas, config.hidden, config.layers)
    shape = ShapeFromBones(joints.parents, num_betas) if config.shape == "bones" else None
    return BodyFromMaps(from_joints, shape, backbone.channels, backbone.coarse_channels, joints.side_m, config.hidden)
