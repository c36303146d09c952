"""Networks that decode an image from rotated latent points, an appearance vector and a background."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from config import Crop, DecoderConfig, EncoderConfig
from models.baselines import PaperDecoder, ThesisDecoder
from models.layers import ConvBlock, ResidualBlock, opaque


def product_dtype(device: torch.device) -> torch.dtype:
    """Say in which numbers matrices are multiplied: bfloat16 where autocast is on."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32


class PointSplat(nn.Module):
    """Lay every latent point into a feature map at the place where it projects.

    A point carries learned features, modulated by the appearance, and a learned extent.  Two maps, one for points in
    front of the body's middle and one for those behind it, let the decoder tell what hides what.
    Source: own derivation; a Gaussian is separable, so that the map is one matrix product per image
    (test_encoder_decoder.py compares it with the plain sum).
    """

    def __init__(self, points: int, appearance: int, features: int, side_m: float, map_px: int) -> None:
        super().__init__()
        self.side_m, self.map_px, self.features = side_m, map_px, features
        self.own_features = nn.Parameter(torch.randn(points, features) * 0.5)
        self.from_appearance = nn.Linear(appearance, points * features)
        self.raw_extent_m = nn.Parameter(torch.full((points,), -2.2))  # softplus: about 0.1 m
        self.out_channels = 2 * (features + 1)

    def forward(
        self, points_crop_m: Float[Tensor, "B P 3"], appearance: Float[Tensor, "B A"]
    ) -> Float[Tensor, "B C h w"]:
        """Splat the points into the two feature maps."""
        batch, points, _ = points_crop_m.shape
        colours = self.own_features + self.from_appearance(appearance).view(batch, points, self.features)
        values = torch.cat([torch.tanh(colours.float()), torch.ones_like(colours[..., :1], dtype=torch.float32)], -1)
        across, down, is_front = self.footprints(points_crop_m.float())
        layers = torch.stack([values * is_front, values * (1 - is_front)], dim=-1).flatten(2)  # B P C
        small = product_dtype(across.device)  # the large product below is made where it is multiplied, without a copy
        weighted = across.to(small)[..., None] * layers.to(small)[:, :, None]  # B P w C
        maps = torch.bmm(down.to(small).transpose(1, 2), weighted.flatten(2))  # B h (w C)
        maps = maps.float().view(batch, self.map_px, self.map_px, -1, 2)
        return maps.flatten(3).permute(0, 3, 1, 2)

    def footprints(
        self, points_crop_m: Float[Tensor, "B P 3"]
    ) -> tuple[Float[Tensor, "B P w"], Float[Tensor, "B P h"], Float[Tensor, "B P 1"]]:
        """Give each point's Gaussian along x and along y, and how much it lies in front."""
        pixel_m = self.side_m / self.map_px
        centres_m = (torch.arange(self.map_px, device=points_crop_m.device) + 0.5) * pixel_m - self.side_m / 2
        # A Gaussian narrower than about 0.4 pixels falls between the pixel centres, and the point gets no gradient.
        extent_m = (softplus(self.raw_extent_m) + 0.4 * pixel_m)[:, None]
        across = torch.exp(-0.5 * ((centres_m - points_crop_m[..., 0:1]) / extent_m) ** 2)
        down = torch.exp(-0.5 * ((centres_m - points_crop_m[..., 1:2]) / extent_m) ** 2)
        is_front = torch.sigmoid(
            -points_crop_m[..., 2:] / 0.1
        )  # soft over 0.1 m about the middle: depth has a gradient
        return across, down, is_front


class CompactDecoder(nn.Module):
    """Splat the points into a coarse map and refine it to colours and an opacity with a small U-Net."""

    def __init__(self, config: DecoderConfig, points: int, appearance: int, crop: Crop) -> None:
        super().__init__()
        width = config.width
        self.composite = config.composite
        self.splat = PointSplat(points, appearance, width // 4, side_m=crop.side_m, map_px=crop.size_px // 2)
        self.appearance = nn.Linear(appearance, 3 * width)
        self.enter = ConvBlock(self.splat.out_channels + 3, width)
        self.down = nn.Sequential(ConvBlock(width, 3 * width, stride=2), ResidualBlock(3 * width))
        self.middle = nn.Sequential(ConvBlock(3 * width, 3 * width, stride=2), ResidualBlock(3 * width))
        self.middle_up = nn.Conv2d(3 * width, 12 * width, 1)
        self.after = ResidualBlock(3 * width)
        self.up = nn.Conv2d(3 * width, 4 * width, 1)
        self.leave = nn.Sequential(ResidualBlock(width), ConvBlock(width, width))
        self.out = nn.Conv2d(width, 16, 3, padding=1)

    def forward(
        self,
        points_crop_m: Float[Tensor, "B P 3"],
        appearance: Float[Tensor, "B A"],
        background: Float[Tensor, "B 3 H W"],
    ) -> Float[Tensor, "B 4 H W"]:
        """Decode RGB; the fourth channel is the person's opacity (ones where the decoder does not composite)."""
        coarse_background = torch.nn.functional.avg_pool2d(background, 2) - 0.5
        fine = self.enter(torch.cat([self.splat(points_crop_m, appearance), coarse_background], dim=1))
        coarse = self.down(fine)
        middle = self.middle(coarse) + self.appearance(appearance)[:, :, None, None]
        shuffle = torch.nn.functional.pixel_shuffle
        coarse = self.after(coarse + shuffle(self.middle_up(middle), 2))
        fine = self.leave(fine + shuffle(self.up(coarse), 2))
        rgb_opacity = torch.sigmoid(shuffle(self.out(fine), 2).float())
        rgb, opacity = rgb_opacity[:, :3], rgb_opacity[:, 3:]
        if not self.composite:
            return opaque(rgb)
        return torch.cat([opacity * rgb + (1 - opacity) * background, opacity], dim=1)


Decoder = CompactDecoder | PaperDecoder | ThesisDecoder


def build_decoder(config: DecoderConfig, encoder: EncoderConfig, crop: Crop) -> Decoder:
    """Build the network that the settings name."""
    points, appearance = encoder.points, encoder.appearance
    if config.kind == "compact":
        return CompactDecoder(config, points, appearance, crop)
    if config.kind == "paper":
        return PaperDecoder(config, points, appearance, crop.size_px)
    return ThesisDecoder(points, appearance, crop.size_px)
