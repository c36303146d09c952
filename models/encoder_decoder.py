"""Stage 1's network: image -> 3D points and appearance -> the same person seen by another camera.

A checkpoint holds the settings that the network is built from; its weights are loaded strictly.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from config import Crop, EncDecConfig, EncoderConfig
from models.baselines import thesis_normalised
from models.decoders import build_decoder
from models.encoders import CompactBackbone, PointSampledEncoder, VectorBackbone, build_backbone
from models.heat_maps import HeatMapBackbone, PointsFromMaps
from models.layers import EqualizedLinear
from models.perceptual import imagenet_normalised
from utils.artifacts import Checkpoint, load_checkpoint, load_weights, rebuilds_from_checkpoint, stored_reads
from utils.settings import config_from_dict, short
from utils.tiers import Reads, of_stage_1, of_unknown_people, reads_from
from utils.views import turned


class Latent(NamedTuple):
    """What the encoder reads from an image."""

    points_crop: Float[Tensor, "*batch P 3"]
    """Geometry, in the axes of the crop camera, about the crop's centre; metres where the decoder splats them."""
    appearance: Float[Tensor, "*batch A"]


class Refusal(nn.Module):
    """In the place of a network that a file does not hold: says why, when it is used."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def forward(self, *_: Tensor) -> Tensor:
        """Refuse.

        Raises:
            ValueError: always, with the reason.
        """
        raise ValueError(self.reason)


class EncoderDecoder(nn.Module):
    """Encoder and decoder of novel views.

    Source: Rhodin, Salzmann, Fua, ECCV 2018: the geometry latent is a set of 3D points that is rotated by the known
    rotation between the cameras, L_target = R_target_from_source L_source, and nothing else tells the decoder its view.
    """

    def __init__(self, config: EncDecConfig, is_pretrained: bool = True) -> None:
        super().__init__()
        encoder = config.encoder
        self.normalise, self.points = config.normalise, encoder.points
        self.backbone = build_backbone(encoder, config.crop.size_px, is_pretrained)
        is_ours = config.decoder.kind == "compact"
        self.to_points: nn.Module
        if isinstance(self.backbone, HeatMapBackbone):
            map_px, side_m = self.backbone.map_px, config.crop.side_m
            in_pairs = config.teaching.by == "masks"
            self.to_points = PointsFromMaps(self.backbone.channels, encoder.points, map_px, side_m, in_pairs)
        else:
            self.to_points = points_from_features(self.backbone, encoder, is_ours)
        own_backbone = build_appearance_backbone(encoder, config.crop)
        if own_backbone is None:
            assert not isinstance(self.backbone, HeatMapBackbone)  # EncoderConfig refuses it
            size = self.backbone.size
        else:
            size = own_backbone.size
        to_appearance = EqualizedLinear(size, encoder.appearance, scale=0.05 if is_ours else 1.0)
        self.appearance_backbone: nn.Module | None = own_backbone
        self.to_appearance: nn.Module = nn.Sequential(to_appearance, nn.Dropout(encoder.dropout), nn.ReLU())
        self.decoder: nn.Module = build_decoder(config.decoder, encoder, config.crop)
        self.is_geometry_frozen = False

    def freeze_geometry(self) -> None:
        """Leave the points as they are, in training too: no gradient, no statistics of new batches.

        Raises:
            ValueError: the appearance is read with the same network.
        """
        if self.appearance_backbone is None:
            raise ValueError("teaching.by nothing keeps the points as they are, but the appearance is read with the "
                             "same network; it needs encoder.own_appearance_encoder")  # fmt: skip
        self.is_geometry_frozen = True
        for part in (self.backbone, self.to_points):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "EncoderDecoder":
        """Set the mode; what reads a frozen geometry stays in evaluation."""
        super().train(mode)
        if self.is_geometry_frozen:
            self.backbone.eval()
            self.to_points.eval()
        return self

    def keep_only_geometry(self, reason: str) -> None:
        """Put a refusal in the place of what reads the appearance and of what draws; the geometry is read as before."""
        self.appearance_backbone, self.to_appearance = Refusal(reason), nn.Identity()
        self.decoder = Refusal(reason)

    def normalised(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Bring RGB in [0, 1] to the scale that the encoder expects."""
        if self.normalise == "imagenet":
            return imagenet_normalised(image)
        if self.normalise == "seed":
            return thesis_normalised(image)
        return image

    def encode_points(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P 3"]:
        """Read the geometry from an RGB image in [0, 1]; float32 whatever the backbone runs in."""
        return self.to_points(self.backbone(self.normalised(image))).float().unflatten(1, (-1, 3))

    def encode_appearance(
        self, image: Float[Tensor, "B 3 H W"], points_crop: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B A"]:
        """Read the appearance from an RGB image in [0, 1] whose geometry is known; none flows back to the geometry."""
        normalised = self.normalised(image)
        if isinstance(self.appearance_backbone, PointSampledEncoder):
            return self.to_appearance(self.appearance_backbone(normalised, points_crop.detach()))
        backbone = self.backbone if self.appearance_backbone is None else self.appearance_backbone
        return self.to_appearance(backbone(normalised))

    def encode(self, image: Float[Tensor, "B 3 H W"]) -> Latent:
        """Read both latents from one image."""
        if self.appearance_backbone is not None:
            points = self.encode_points(image)
            return Latent(points, self.encode_appearance(image, points))
        features = self.backbone(self.normalised(image))
        return Latent(self.to_points(features).float().unflatten(1, (-1, 3)), self.to_appearance(features))

    def decode(
        self,
        points_target: Float[Tensor, "B P 3"],
        appearance: Float[Tensor, "B A"],
        background: Float[Tensor, "B 3 H W"],
    ) -> Float[Tensor, "B 4 H W"]:
        """Decode RGB and opacity from points in the target camera's axes and the target's background."""
        return self.decoder(points_target, appearance, background)

    def forward(
        self,
        pose_image: Float[Tensor, "B 3 H W"],
        clean_image: Float[Tensor, "B 3 H W"],
        R_target_from_source: Float[Tensor, "B 3 3"],
        background: Float[Tensor, "B 3 H W"],
        appearance_row: Int[Tensor, "B"],
    ) -> Float[Tensor, "B 4 H W"]:
        """Decode each image's target view, with the appearance read from row `appearance_row` of the batch.

        Args:
            pose_image: what the geometry is read from (may have changed colours).
            clean_image: what the appearance is read from.
            background: of the target views.
        """
        if self.appearance_backbone is None:
            points, appearance = self.encode(pose_image)
        else:
            points = self.encode_points(pose_image)
            appearance = self.encode_appearance(clean_image, points)
        points_target = turned(R_target_from_source, points)
        return self.decode(points_target, appearance[appearance_row], background)


def build_appearance_backbone(encoder: EncoderConfig, crop: Crop) -> CompactBackbone | PointSampledEncoder | None:
    """Build the network that the appearance is read with; None where that is the geometry's."""
    if not encoder.own_appearance_encoder:
        return None
    if encoder.appearance_at == "points":
        return PointSampledEncoder(encoder.width, encoder.points, crop.side_m)
    return CompactBackbone(encoder.width // 2, crop.size_px, blocks=1)


def points_from_features(backbone: VectorBackbone, encoder: EncoderConfig, is_ours: bool) -> nn.Sequential:
    """Build the linear layer that reads the points from a vector of features."""
    linear = EqualizedLinear(backbone.size, 3 * encoder.points, scale=0.01 if is_ours else 1.0)
    if is_ours:
        start_points_in_the_body(linear)
    last = nn.ReLU() if encoder.relu_on_points else nn.Identity()
    return nn.Sequential(linear, nn.Dropout(encoder.dropout), last)


def start_points_in_the_body(linear: EqualizedLinear) -> None:
    """Begin with the points spread over an upright person's volume, so that splats meet gradients at once."""
    spread_m = torch.tensor([0.2, 0.45, 0.2])  # across, along and through an upright body, about its pelvis
    with torch.no_grad():
        linear.weight.mul_(0.3)  # the first points differ little between images: they begin where the bias puts them
        linear.bias.copy_((torch.randn(linear.out_features // 3, 3) * spread_m).flatten() / linear.scale)


@torch.no_grad()
def calibrate_batchnorm(network: EncoderDecoder, images: Float[Tensor, "N 3 H W"]) -> None:
    """Make a fair baseline of an untrained encoder: no residual branch switched off, statistics of real images."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.ones_(norm.weight)
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
    network.train()
    for some in images.split(64):
        network.encode_points(some)
    for norm in norms:
        norm.momentum = 0.1  # PyTorch's default


def build_encoder_decoder(config: EncDecConfig, is_pretrained: bool = True) -> EncoderDecoder:
    """Build stage 1's network from its settings.

    Args:
        is_pretrained: a backbone that begins with downloaded weights does so; else stored ones follow.
    """
    return EncoderDecoder(config, is_pretrained)


STAGE_1_STEP, STAGE_1_READS = "stage_1_step", "stage_1_reads"
"""Keys of the encoder's step, and of what it read, beside its settings; checkpoints of earlier versions lack them."""

READS_APPEARANCE_AND_DRAWS = ("appearance_backbone.", "to_appearance.", "refine.", "decoder.")
"""How the names of weights begin that the geometry does not need; `refine` is of an earlier version."""
UNKNOWN_STEP = -1
"""Stage 1's step where a checkpoint of stage 2, written by an earlier version, does not tell it."""


class StoredEncoder(NamedTuple):
    """Stage 1's network, its settings, and what it was made from."""

    network: EncoderDecoder
    """Its decoder is a `Refusal` where the file holds none that this version has."""
    config: EncDecConfig
    step: int
    """Stage 1's, also when read from a checkpoint of stage 2; UNKNOWN_STEP if that does not tell it."""
    reads: Reads
    """What stage 1 read, also when read from a checkpoint of stage 2."""


def settings_of_encoder(stored: dict[str, Any]) -> tuple[EncDecConfig, bool]:
    """Read stage 1's settings, and say whether this version has their decoder.

    One earlier version could draw with features of each point, at twice the resolution and against a discriminator
    (tests/benchmarks/LOG.md).  What it stored about the training is left out; what it stored about another decoder
    takes this version's values, and is then no description of the weights.
    """
    ours = {name: dict(part) if isinstance(part, dict) else part for name, part in stored.items() if name != "train"}
    encoder, decoder, loss = (ours.get(name, {}) for name in ("encoder", "decoder", "loss"))
    is_another = [bool(decoder.pop(name, False)) for name in ("fine", "refine", "point_features")]
    if encoder.get("appearance_at") == "each_point":
        encoder["appearance_at"] = "points"
        is_another.append(True)
    for name in ("adversarial", "critic_lr"):
        loss.pop(name, None)
    return config_from_dict(EncDecConfig, ours), not any(is_another)


def encoder_for(
    settings: dict[str, Any], weights: dict[str, Any], path: Path, prefix: str = ""
) -> tuple[EncoderDecoder, EncDecConfig, dict[str, Any]]:
    """Build stage 1's network for stored weights; give it with its settings and the weights that are to be loaded.

    Where the file holds no decoder that this version has, the network reads the geometry and refuses to draw.

    Args:
        prefix: how the names of the encoder's weights begin.
    """
    config, is_known = settings_of_encoder(settings)
    network = build_encoder_decoder(config, is_pretrained=False)
    if is_known and any(name.startswith(f"{prefix}decoder.") for name in weights):
        return network, config, weights
    crisp = (
        "(the option for crisp people is gone); geometry and heads are read, but to draw give "
        "models/assets/open_weights.pt, which has the same geometry as the committed file of that version, or train "
        "stage 1 anew"
    )
    alone = "(what finds joints is all that it holds); the pose is read"  # no run of stage 1 has an empty name
    why = crisp if config.name else alone
    network.keep_only_geometry(f"{path} holds no decoder that this version can draw with {why}")
    other = tuple(prefix + name for name in READS_APPEARANCE_AND_DRAWS)
    return network, config, {name: value for name, value in weights.items() if not name.startswith(other)}


def load_encoder_decoder(path: Path) -> StoredEncoder:
    """Rebuild stage 1's network, on the CPU and ready to train; see `load_encoder`.

    Raises:
        ValueError: the file holds no decoder that this version has.
    """
    stored = load_encoder(path)
    if isinstance(stored.network.decoder, Refusal):
        raise ValueError(stored.network.decoder.reason)
    return stored


def why_undrawn(config: EncDecConfig, path: Path) -> str:
    """Say why nothing is drawn of a checkpoint of stage 1, and how to get drawings; empty where its decoder is trained.

    A decoder that another run brought along is no exception: it was trained for points that masks have moved since.
    """
    if config.trains_decoder:
        return ""
    return (f"masks taught the points of {short(path)} and nothing taught its decoder, so no novel view is drawn; "
            f"sample/train_enc_dec.py with --preset novel_views --start-from {short(path)} trains one behind these "
            "points")  # fmt: skip


def more_points_from(old: int, new: int) -> list[int]:
    """Say which point each of more points begins as: pairs stay, more pairs behind them are copies spread over all."""
    extra = torch.linspace(0, old // 2 - 1, new // 2 - old // 2).round().long().tolist()
    pairs = [*range(old // 2), *extra]
    return [*pairs, *(pair + old // 2 for pair in pairs)]


@torch.no_grad()
def with_more_points(stored: StoredEncoder, config: EncDecConfig) -> EncoderDecoder:
    """Build the network of the settings, with what finds points as stored, more of them beginning as copies.

    What reads the appearance and what draws depend on the number of points and begin anew.
    """
    network, old = build_encoder_decoder(config), stored.network
    network.backbone.load_state_dict(old.backbone.state_dict())
    assert isinstance(network.to_points, PointsFromMaps) and isinstance(old.to_points, PointsFromMaps)
    came_from = torch.tensor(more_points_from(old.to_points.points, network.to_points.points))
    network.to_points.own_heat.copy_(old.to_points.own_heat[came_from])
    heat_and_depth = torch.cat([came_from, came_from + old.to_points.points])
    network.to_points.maps.weight.copy_(old.to_points.maps.weight[heat_and_depth])
    assert network.to_points.maps.bias is not None and old.to_points.maps.bias is not None
    network.to_points.maps.bias.copy_(old.to_points.maps.bias[heat_and_depth])
    return network


def begin_with(path: Path, config: EncDecConfig) -> StoredEncoder:
    """Take the weights of another run of the same network; one that masks taught may get more points.

    Raises:
        ValueError: its network is another one.
    """
    stored = load_encoder_decoder(path)
    more = replace(stored.config.encoder, points=config.encoder.points)
    both_by_masks = stored.config.teaching.by == config.teaching.by == "masks"
    gets_more = both_by_masks and more.points > stored.config.encoder.points
    if gets_more and more == config.encoder and stored.config.normalise == config.normalise:
        return stored._replace(network=with_more_points(stored, config))
    for name in ("encoder", "decoder", "normalise"):
        if getattr(stored.config, name) != getattr(config, name):
            raise ValueError(f"{path} has {name} {getattr(stored.config, name)}, this run {getattr(config, name)}; "
                             "give the same settings, or leave out --start-from")  # fmt: skip
    return stored


@rebuilds_from_checkpoint("enc_dec")
def load_encoder(path: Path) -> StoredEncoder:
    """Rebuild stage 1's network for those who need its geometry; where it can, it draws too.

    Args:
        path: a checkpoint of stage 1, or one of stage 2 whose encoder stayed frozen, as models/assets holds.
    """
    return encoder_in(path, load_checkpoint(path, "enc_dec", "pose"))


@rebuilds_from_checkpoint("enc_dec")
def encoder_in(path: Path, checkpoint: Checkpoint) -> StoredEncoder:
    """Rebuild stage 1's network from what was read from a file; see `load_encoder`."""
    weights, settings, step = checkpoint["states"]["model"], checkpoint["config"], checkpoint["step"]
    reads = stored_reads(checkpoint)
    if checkpoint["stage"] == "pose":
        if settings["mode"] not in ("frozen", "embeddings"):
            raise ValueError(f"{path} was trained with mode {settings['mode']}, which moves the encoder away from its "
                             "decoder; give the checkpoint of stage 1")  # fmt: skip
        told = weights["_extra_state"].get(STAGE_1_READS)
        reads = None if told is None else of_unknown_people(reads_from(told))
        settings, step = encoder_provenance(weights)
        weights = {name.removeprefix("encoder."): w for name, w in weights.items() if name.startswith("encoder.")}
    network, config, weights = encoder_for(settings, weights, path)
    load_weights(network, weights, path)
    return StoredEncoder(network, config, step, of_stage_1(config) if reads is None else reads)


def hash_of_geometry(weights: Mapping[str, Any]) -> str:
    """Name the weights that a head behind the encoder depends on: those that read the 3D points, in half precision."""
    digest = hashlib.sha256()
    geometry = {name: value for name, value in weights.items() if name.startswith(("backbone.", "to_points."))}
    # The backbone counts under its first name, `trunk`: heads that were exported with that hash stay valid.
    for name, value in sorted((name.replace("backbone.", "trunk.", 1), value) for name, value in geometry.items()):
        if value.is_floating_point():
            digest.update(name.encode() + value.half().cpu().numpy().tobytes())
    return digest.hexdigest()


def geometry_hash(encoder: EncoderDecoder) -> str:
    """Name the geometry of an encoder, see `hash_of_geometry`."""
    return hash_of_geometry(encoder.state_dict())


def encoder_provenance(weights: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Take stage 1's settings and step from the weights of stage 2."""
    settings = dict(weights["_extra_state"])
    settings.pop(STAGE_1_READS, None)
    step = settings.pop(STAGE_1_STEP, UNKNOWN_STEP)
    return settings, step
