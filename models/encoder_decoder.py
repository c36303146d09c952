"""Stage 1's network: image -> 3D points and appearance -> the same person seen by another camera."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from config import Crop, EncDecConfig, EncoderConfig
from models.decoders import build_decoder
from models.encoders import AppearanceAtPoints, CompactTrunk, build_trunk
from models.layers import QuietLinear
from models.perceptual import imagenet_normalised
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

    def __init__(self, config: EncDecConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.normalise, self.points = config.normalise, encoder.points
        self.trunk = build_trunk(encoder, config.crop.size_px)
        is_ours = config.decoder.kind == "compact"
        linear = QuietLinear(self.trunk.size, 3 * encoder.points, scale=0.01 if is_ours else 1.0)
        if is_ours:
            start_points_in_the_body(linear)
        last = nn.ReLU() if encoder.relu_on_points else nn.Identity()
        self.to_points = nn.Sequential(linear, nn.Dropout(encoder.dropout), last)
        own_trunk = build_appearance_trunk(encoder, config.crop)
        size = self.trunk.size if own_trunk is None else own_trunk.size
        to_appearance = QuietLinear(size, encoder.appearance, scale=0.05 if is_ours else 1.0)
        self.appearance_trunk: nn.Module | None = own_trunk
        self.to_appearance: nn.Module = nn.Sequential(to_appearance, nn.Dropout(encoder.dropout), nn.ReLU())
        self.decoder: nn.Module = build_decoder(config.decoder, encoder, config.crop)

    def keep_only_geometry(self, reason: str) -> None:
        """Put a refusal in the place of what reads the appearance and of what draws; the geometry is read as before."""
        self.appearance_trunk, self.to_appearance = Refusal(reason), nn.Identity()
        self.decoder = Refusal(reason)

    def normalised(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Bring RGB in [0, 1] to the scale that the encoder expects."""
        if self.normalise == "imagenet":
            return imagenet_normalised(image)
        if self.normalise == "seed":
            return image.flip(1) * (255 / 256)  # BGR, divided by 256
        return image

    def encode_points(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P 3"]:
        """Read the geometry from an RGB image in [0, 1]; float32 whatever the trunk runs in."""
        return self.to_points(self.trunk(self.normalised(image))).float().unflatten(1, (-1, 3))

    def encode_appearance(
        self, image: Float[Tensor, "B 3 H W"], points_crop: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B A"]:
        """Read the appearance from an RGB image in [0, 1] whose geometry is known; none flows back to the geometry."""
        normalised = self.normalised(image)
        if isinstance(self.appearance_trunk, AppearanceAtPoints):
            return self.to_appearance(self.appearance_trunk(normalised, points_crop.detach()))
        trunk = self.trunk if self.appearance_trunk is None else self.appearance_trunk
        return self.to_appearance(trunk(normalised))

    def encode(self, image: Float[Tensor, "B 3 H W"]) -> Latent:
        """Read both latents from one image."""
        if self.appearance_trunk is not None:
            points = self.encode_points(image)
            return Latent(points, self.encode_appearance(image, points))
        features = self.trunk(self.normalised(image))
        return Latent(self.to_points(features).float().unflatten(1, (-1, 3)), self.to_appearance(features))

    def decode(
        self,
        points_target: Float[Tensor, "B P 3"],
        appearance: Float[Tensor, "B A"],
        background: Float[Tensor, "B 3 H W"],
    ) -> Float[Tensor, "B 4 H W"]:
        """Draw RGB and opacity from points in the target camera's axes and the target's background."""
        return self.decoder(points_target, appearance, background)

    def forward(
        self,
        pose_image: Float[Tensor, "B 3 H W"],
        clean_image: Float[Tensor, "B 3 H W"],
        R_target_from_source: Float[Tensor, "B 3 3"],
        background: Float[Tensor, "B 3 H W"],
        appearance_row: Int[Tensor, "B"],
    ) -> Float[Tensor, "B 4 H W"]:
        """Draw each image's target view, with the appearance read from row `appearance_row` of the batch.

        Args:
            pose_image: what the geometry is read from (may have changed colours).
            clean_image: what the appearance is read from.
            background: of the target views.
        """
        if self.appearance_trunk is None:
            points, appearance = self.encode(pose_image)
        else:
            points = self.encode_points(pose_image)
            appearance = self.encode_appearance(clean_image, points)
        points_target = turned(R_target_from_source, points)
        return self.decode(points_target, appearance[appearance_row], background)


def build_appearance_trunk(encoder: EncoderConfig, crop: Crop) -> CompactTrunk | AppearanceAtPoints | None:
    """Build the network that the appearance is read with; None where that is the geometry's."""
    if not encoder.own_appearance_encoder:
        return None
    if encoder.appearance_at == "points":
        return AppearanceAtPoints(encoder.width, encoder.points, crop.side_m)
    return CompactTrunk(encoder.width // 2, crop.size_px, blocks=1)


def start_points_in_the_body(linear: QuietLinear) -> None:
    """Begin with the points spread over an upright person's volume, so that splats meet gradients at once."""
    spread_m = torch.tensor([0.2, 0.45, 0.2])
    with torch.no_grad():
        linear.weight.mul_(0.3)
        linear.bias.copy_((torch.randn(linear.out_features // 3, 3) * spread_m).flatten() / linear.scale)


@torch.no_grad()
def settle_random(network: EncoderDecoder, images: Float[Tensor, "N 3 H W"]) -> None:
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
        norm.momentum = 0.1


def build(config: EncDecConfig) -> EncoderDecoder:
    """Build stage 1's network from its settings."""
    return EncoderDecoder(config)
