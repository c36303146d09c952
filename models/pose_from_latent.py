"""Stage 2's network: latent 3D points -> 17 joints about the pelvis, in metres, in the axes of the crop camera."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import EncDecConfig, PoseConfig, PoseHeadConfig
from models.encoder_decoder import STAGE_1_STEP, EncoderDecoder, encoder_for, encoder_provenance
from utils.artifacts import load_checkpoint, load_weights
from utils.settings import config_from_dict
from utils.skeleton import H36M_17

SMALLEST_STD_M = 0.001
"""The pelvis does not vary at all: its labels are divided by this instead of zero."""


class PoseFromLatent(nn.Module):
    """A multi-layer perceptron on the flattened points.

    Its outputs are z-scores of the labels: joints = mean + std * output.  The pelvis, whose std is zero, stays
    exactly at the origin.
    Source: Rhodin, Salzmann, Fua, ECCV 2018, section 4.2 (two hidden layers, ReLU, batch norm, dropout).
    """

    joints_mean_m: Tensor
    joints_std_m: Tensor

    def __init__(self, points: int, config: PoseHeadConfig) -> None:
        super().__init__()
        sizes = [3 * points] + [config.hidden] * config.layers
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], 3 * len(H36M_17)))
        self.loss = config.loss
        self.register_buffer("joints_mean_m", torch.zeros(len(H36M_17), 3))
        self.register_buffer("joints_std_m", torch.ones(len(H36M_17), 3))

    def set_label_statistics(self, joints_root_m: Float[Tensor, "N 17 3"]) -> None:
        """Take the mean and the standard deviation of the training labels."""
        self.joints_mean_m.copy_(joints_root_m.mean(dim=0))
        self.joints_std_m.copy_(joints_root_m.std(dim=0, correction=0))

    def forward(self, points_crop: Float[Tensor, "B P 3"]) -> Float[Tensor, "B 17 3"]:
        """Predict joints_root_m; float32 whatever the layers run in."""
        scores = self.layers(points_crop).float().unflatten(1, (-1, 3))
        return self.joints_mean_m + self.joints_std_m * scores

    def loss_of(
        self,
        predicted: Float[Tensor, "B 17 3"],
        true: Float[Tensor, "B 17 3"],
        confidence: Float[Tensor, "B"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare poses as the settings say: mean joint distance in metres, or mean squared z-score difference.

        Args:
            confidence: weighs the rows; None where all are labels.
        """
        if self.loss == "joint_distance":
            apart = (predicted - true).norm(dim=-1)
        else:
            apart = ((predicted - true) / self.joints_std_m.clamp_min(SMALLEST_STD_M)).square()
        if confidence is None:
            return apart.mean()
        return (apart.flatten(1).mean(dim=1) * confidence).sum() / confidence.sum().clamp_min(1e-6)


class PoseFromImage(nn.Module):
    """Stage 1's encoder with a pose head behind it.

    A frozen encoder takes no gradients, and its BatchNorm statistics do not move.  The settings that build the encoder
    travel with the weights, so that one checkpoint is enough to predict; so does the step that stage 1 had reached.
    """

    def __init__(
        self,
        encoder: EncoderDecoder,
        head: PoseFromLatent,
        is_encoder_frozen: bool,
        encoder_settings: dict[str, Any],
        encoder_step: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.is_encoder_frozen = is_encoder_frozen
        self.encoder_provenance = encoder_settings | ({} if encoder_step is None else {STAGE_1_STEP: encoder_step})
        learned = [p for part in (encoder.backbone, encoder.to_points) for p in part.parameters() if p.requires_grad]
        encoder.requires_grad_(False)
        for parameter in [] if is_encoder_frozen else learned:
            parameter.requires_grad_(True)
        self.train()

    def get_extra_state(self) -> dict[str, Any]:
        """Give the encoder's settings and step to the state_dict; plain types only."""
        return self.encoder_provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the encoder's settings and step from a state_dict."""
        self.encoder_provenance = state

    def train(self, mode: bool = True) -> "PoseFromImage":
        """Switch to training, but for a frozen encoder."""
        super().train(mode)
        self.encoder.train(mode and not self.is_encoder_frozen)
        return self

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 17 3"]:
        """Predict joints_root_m from RGB images in [0, 1]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_encoder_frozen):
            points_crop = self.encoder.encode_points(image)
        return self.head(points_crop)


class StoredPose(NamedTuple):
    """Stage 2's network, in evaluation and without gradients, with the settings of both stages."""

    network: PoseFromImage
    encoder_config: EncDecConfig
    config: PoseConfig
    step: int


def load_pose(path: Path, device: torch.device) -> StoredPose:
    """Rebuild encoder and pose head from stage 2's checkpoint alone."""
    checkpoint = load_checkpoint(path, "pose")
    weights = checkpoint["states"]["model"]
    config = config_from_dict(PoseConfig, checkpoint["config"])
    encoder, encoder_config, weights = encoder_for(encoder_provenance(weights)[0], weights, path, "encoder.")
    head = PoseFromLatent(encoder_config.encoder.points, config.head)
    network = PoseFromImage(encoder, head, is_encoder_frozen=True, encoder_settings={})
    load_weights(network, weights, path)
    network.to(device).eval().requires_grad_(False)
    return StoredPose(network, encoder_config, config, checkpoint["step"])
