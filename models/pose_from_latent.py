"""Stage 2's network: latent 3D points -> the data set's joints about the first, the pelvis, in metres, in crop axes."""

import itertools
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import EncDecConfig, MeshConfig, PoseConfig, PoseHeadConfig
from models.encoder_decoder import (
    STAGE_1_READS,
    STAGE_1_STEP,
    UNKNOWN_STEP,
    EncoderDecoder,
    StoredEncoder,
    build_encoder_decoder,
    calibrate_batchnorm,
    encoder_for,
    encoder_in,
    encoder_provenance,
)
from models.heat_maps import HeatMapBackbone
from models.pose_from_maps import JointMaps, PoseFromMaps
from utils.artifacts import Checkpoint, load_checkpoint, load_weights, rebuilds_from_checkpoint, stored_reads
from utils.settings import config_from_dict, to_plain
from utils.skeleton import H36M, Skeleton, skeleton_from
from utils.tiers import NOTHING, Reads, of_stage_1, of_stage_2
from utils.whole_batch import known_in_share

SMALLEST_STD_M = 0.001
"""The pelvis does not vary at all: its labels are divided by this instead of zero."""


SKELETON = "skeleton"
"""Where a checkpoint keeps its joints, if they are not Human3.6M's."""


class PoseFromLatent(nn.Module):
    """A multi-layer perceptron on the flattened points.

    Its outputs are z-scores of the labels: joints = mean + std * output.  The pelvis, whose std is zero, stays
    exactly at the origin.
    Source: Rhodin, Salzmann, Fua, ECCV 2018, section 4.2 (two hidden layers, ReLU, batch norm, dropout).
    """

    joints_mean_m: Tensor
    joints_std_m: Tensor

    def __init__(self, points: int, config: PoseHeadConfig, joints: int = len(H36M.names)) -> None:
        super().__init__()
        sizes = [3 * points] + [config.hidden] * config.layers
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], 3 * joints))
        self.loss = config.loss
        self.register_buffer("joints_mean_m", torch.zeros(joints, 3))
        self.register_buffer("joints_std_m", torch.ones(joints, 3))

    def set_label_statistics(self, joints_root_m: Float[Tensor, "N J 3"]) -> None:
        """Take the mean and the standard deviation of the training labels."""
        self.joints_mean_m.copy_(joints_root_m.mean(dim=0))
        self.joints_std_m.copy_(joints_root_m.std(dim=0, correction=0))

    def forward(self, points_crop: Float[Tensor, "B P 3"]) -> Float[Tensor, "B J 3"]:
        """Predict joints_root_m; float32 whatever the layers run in."""
        scores = self.layers(points_crop).float().unflatten(1, (-1, 3))
        return self.joints_mean_m + self.joints_std_m * scores

    def loss_of(
        self,
        predicted: Float[Tensor, "B J 3"],
        true: Float[Tensor, "B J 3"],
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
        return (apart.flatten(1).mean(dim=1) * confidence).sum() / known_in_share(confidence.sum(), 1e-6)


class PoseFromImage(nn.Module):
    """Stage 1's encoder with a pose head behind it.

    A frozen encoder takes no gradients, and its BatchNorm statistics do not move.  The settings that build the encoder
    travel with the weights, so that one checkpoint is enough to predict; so do the step that stage 1 had reached, what
    it read, and the joints, where they are not Human3.6M's.
    """

    def __init__(
        self,
        encoder: EncoderDecoder,
        head: PoseFromLatent | PoseFromMaps,
        is_encoder_frozen: bool,
        encoder_settings: dict[str, Any],
        encoder_step: int | None = None,
        encoder_reads: Reads | None = None,
        skeleton: Skeleton = H36M,
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.skeleton = encoder, head, skeleton
        self.is_encoder_frozen = is_encoder_frozen
        self.encoder_provenance = (
            encoder_settings
            | ({} if encoder_step is None else {STAGE_1_STEP: encoder_step})
            | ({} if encoder_reads is None else {STAGE_1_READS: encoder_reads.plain()})
            | ({} if skeleton == H36M else {SKELETON: skeleton.plain()})
        )
        read = (encoder.backbone,) if isinstance(head, PoseFromMaps) else (encoder.backbone, encoder.to_points)
        learned = [p for part in read for p in part.parameters() if p.requires_grad]
        encoder.requires_grad_(False)
        for parameter in [] if is_encoder_frozen else learned:
            parameter.requires_grad_(True)
        self.train()

    def get_extra_state(self) -> dict[str, Any]:
        """Give the encoder's settings, step and what it read to the state_dict; plain types only."""
        return self.encoder_provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the encoder's settings, step and what it read from a state_dict."""
        self.encoder_provenance = state

    def train(self, mode: bool = True) -> "PoseFromImage":
        """Switch to training, but for a frozen encoder."""
        super().train(mode)
        self.encoder.train(mode and not self.is_encoder_frozen)
        return self

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B J 3"]:
        """Predict joints_root_m from RGB images in [0, 1]."""
        if isinstance(self.head, PoseFromMaps):
            return self.maps(image).joints_root_m
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_encoder_frozen):
            points_crop = self.encoder.encode_points(image)
        return self.head(points_crop)

    def maps(self, image: Float[Tensor, "B 3 H W"]) -> JointMaps:
        """Predict joints, and the maps that they are read from, with a head that has maps."""
        assert isinstance(self.head, PoseFromMaps)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_encoder_frozen):
            maps = self.encoder.backbone(self.encoder.normalised(image))
        return self.head(maps)

    def for_training(self) -> "MapsFromImage":
        """Give the network as training calls it where it has maps."""
        return MapsFromImage(self)


class MapsFromImage(nn.Module):
    """The same network, called for its maps: what training calls, so that several processes exchange gradients."""

    def __init__(self, network: PoseFromImage) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> JointMaps:
        """Predict joints and maps from RGB images in [0, 1]."""
        return self.network.maps(image)


def reads_maps(config: PoseConfig, encoder: EncDecConfig) -> bool:
    """Say whether stage 2's head reads the encoder's maps or its points; see `PoseHeadConfig.kind`.

    Raises:
        ValueError: maps are wanted of an encoder that has none.
    """
    has_maps = encoder.encoder.has_maps
    if config.head.kind == "maps" and not has_maps:
        raise ValueError(f"head.kind is maps, but the encoder is of kind {encoder.encoder.kind}, which gives none; "
                         "train one of kind heatmaps, give --encoder none, or set --head.kind points")  # fmt: skip
    if config.head.kind == "auto":
        return has_maps and config.mode in ("finetune", "scratch")
    return config.head.kind == "maps"


class PoseStart(NamedTuple):
    """What a training of stage 2 or 4 begins with."""

    stage_1: StoredEncoder
    """The encoder; with joints behind it, as stage 2 trained it: then step and what was read are stage 2's."""
    joints: PoseFromMaps | None = None
    """Heat maps of joints, where stage 2 has trained both."""
    skeleton: Skeleton = H36M
    """Of these joints."""


@rebuilds_from_checkpoint("pose")
def start_behind(path: Path, checkpoint: Checkpoint, modes: Collection[str] | None = None) -> PoseStart:
    """Rebuild encoder and heat maps of a stage 2 that was trained in one of the modes; else the encoder alone.

    Args:
        modes: None for all that there are.
    """
    has_maps = checkpoint["stage"] == "pose" and "head.maps.weight" in checkpoint["states"]["model"]
    if not has_maps or (modes is not None and checkpoint["config"]["mode"] not in modes):
        return PoseStart(encoder_in(path, checkpoint))
    stored = pose_in(path, checkpoint)
    network = stored.network.eval().requires_grad_(False)
    assert isinstance(network.head, PoseFromMaps)
    stage_1 = StoredEncoder(network.encoder, stored.encoder_config, stored.step, stored.reads)
    return PoseStart(stage_1, network.head, network.skeleton)


def start_of_pose(config: PoseConfig) -> PoseStart:
    """Read the encoder of stage 1, or all of a stage 2 with heat maps whose layers were all trained.

    Raises:
        ValueError: it is of such a stage 2, and would go on with some layers only.
    """
    if config.encoder is None:
        return PoseStart(untrained_encoder(config))
    checkpoint = load_checkpoint(config.encoder, "enc_dec", "pose")
    begin = start_behind(config.encoder, checkpoint, ("finetune", "scratch"))
    if begin.joints is None:
        return begin
    if config.mode != "finetune":
        raise ValueError(f"{config.encoder} is of stage 2 with all layers trained, and mode is {config.mode}; go on "
                         "from it with --mode finetune, or give the checkpoint of stage 1")  # fmt: skip
    begin.stage_1.network.backbone.requires_grad_(True)
    return begin._replace(stage_1=begin.stage_1._replace(step=UNKNOWN_STEP))


def untrained_encoder(config: PoseConfig | MeshConfig) -> StoredEncoder:
    """Build an encoder that begins anew, with nothing behind; only its settings count, a training draws another."""
    chosen, who = config.untrained, config.subjects  # no run of stage 1 has an empty name
    settings = EncDecConfig(
        name="", crop=chosen.crop, encoder=chosen.encoder, subjects=replace(who, train=who.labelled)
    )
    return StoredEncoder(build_encoder_decoder(settings, is_pretrained=False), settings, 0, NOTHING)


def build_pose_network(
    config: PoseConfig,
    begin: PoseStart,
    labels_root_m: Float[Tensor, "N J 3"],
    images: Float[Tensor, "M 3 H W"] | None,
    skeleton: Skeleton = H36M,
    is_pretrained: bool = True,
) -> PoseFromImage:
    """Put a pose head behind stage 1's encoder, or behind one that starts anew.

    Args:
        images: real ones, for the statistics of an encoder that stays random.
        skeleton: of the labels.
        is_pretrained: an encoder that begins with downloaded weights does so; else those of a checkpoint follow.
    Raises:
        ValueError: the heat maps to go on from find other joints.
    """
    stage_1 = begin.stage_1
    is_anew = config.mode in ("scratch", "random")
    encoder = build_encoder_decoder(stage_1.config, is_pretrained) if is_anew else stage_1.network
    if config.encoder is None:
        encoder.keep_only_geometry("the encoder was trained without stage 1, so nothing draws behind it; train stage 1")
    if images is not None:
        calibrate_batchnorm(encoder, images)
    head = build_pose_head(config, stage_1.config, encoder, skeleton)
    if begin.joints is not None:
        if begin.skeleton.names != skeleton.names:
            raise ValueError(f"{config.encoder} finds {len(begin.skeleton.names)} joints, and the data set has other "
                             f"{len(skeleton.names)}; begin with stage 1 of its own")  # fmt: skip
        head.load_state_dict(begin.joints.state_dict())
    head.set_label_statistics(labels_root_m)
    is_frozen = config.mode in ("embeddings", "frozen", "random")
    settings = to_plain(stage_1.config)
    return PoseFromImage(encoder, head, is_frozen, settings, stage_1.step, stage_1.reads, skeleton)


FIXED = {"weight_decay": 0.0}


def parameter_groups(network: PoseFromImage, encoder_lr: float) -> list[dict[str, Any]]:
    """Give the encoder its own step size, where it is trained; biases and norms behind maps do not decay."""
    encoder = [parameter for parameter in network.encoder.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": list(network.head.parameters())}]
    groups += [{"params": encoder, "lr": encoder_lr}] if encoder else []
    if not isinstance(network.head, PoseFromMaps):
        return groups
    return parted(groups)


def parted(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Part groups of parameters into those that decay, and biases and norms, which do not."""
    parts = [{**group, "params": [p for p in group["params"] if (p.ndim > 1) == decays], **({} if decays else FIXED)}
             for group in groups for decays in (True, False)]  # fmt: skip
    return [part for part in parts if part["params"]]


def build_pose_head(
    config: PoseConfig, encoder_config: EncDecConfig, encoder: EncoderDecoder, skeleton: Skeleton = H36M
) -> PoseFromLatent | PoseFromMaps:
    """Build stage 2's head for an encoder."""
    if not reads_maps(config, encoder_config):
        return PoseFromLatent(encoder_config.encoder.points, config.head, len(skeleton.names))
    return joints_behind(encoder, skeleton.parents, encoder_config.crop.side_m)


def joints_behind(encoder: EncoderDecoder, parents: tuple[int, ...], side_m: float) -> PoseFromMaps:
    """Build heat maps of joints on the maps of an encoder of kind heatmaps."""
    backbone = encoder.backbone
    assert isinstance(backbone, HeatMapBackbone)
    return PoseFromMaps(backbone.channels, backbone.coarse_size, parents, side_m)


class StoredPose(NamedTuple):
    """Stage 2's network, in evaluation and without gradients, with the settings of both stages."""

    network: PoseFromImage
    encoder_config: EncDecConfig
    config: PoseConfig
    step: int
    reads: Reads
    """What both stages read."""


@rebuilds_from_checkpoint("pose")
def load_pose(path: Path, device: torch.device) -> StoredPose:
    """Rebuild encoder and pose head from stage 2's checkpoint alone, in evaluation and without gradients."""
    stored = pose_in(path, load_checkpoint(path, "pose"))
    stored.network.to(device).eval().requires_grad_(False)
    return stored


@rebuilds_from_checkpoint("pose")
def pose_in(path: Path, checkpoint: Checkpoint) -> StoredPose:
    """Rebuild encoder and pose head from what was read from a file, on the CPU, the encoder without gradients."""
    weights = checkpoint["states"]["model"]
    config = config_from_dict(PoseConfig, checkpoint["config"])
    settings = dict(encoder_provenance(weights)[0])
    skeleton = skeleton_from(settings.pop(SKELETON)) if SKELETON in settings else H36M
    encoder, encoder_config, weights = encoder_for(settings, weights, path, "encoder.")
    head = build_pose_head(config, encoder_config, encoder, skeleton)
    network = PoseFromImage(encoder, head, is_encoder_frozen=True, encoder_settings={}, skeleton=skeleton)
    load_weights(network, weights, path)
    reads = stored_reads(checkpoint) or of_stage_2(config, encoder_config.crop, of_stage_1(encoder_config))
    return StoredPose(network, encoder_config, config, checkpoint["step"], reads)
