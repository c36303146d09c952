"""The networks of the paper and of the thesis: encoders' backbones, decoders, and how the thesis reads its numbers."""

import itertools

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from config import DecoderConfig
from models.layers import ConvBlock, double_conv, opaque
from models.perceptual import imagenet_normalised


def beside_appearance(
    features: Float[Tensor, "B F"], appearance: Float[Tensor, "B A"], side: int
) -> Float[Tensor, "B C s s"]:
    """Fold features into a square map, and tile the appearance beside them."""
    folded = features.unflatten(1, (-1, side, side))
    return torch.cat([folded, appearance[:, :, None, None].expand(-1, -1, side, side)], dim=1)


class PaperDecoder(nn.Module):
    """The paper's decoder: points to a 1/8 map, appearance tiled beside it, three bilinear up-blocks.

    Source: Rhodin et al. 2018, section 3.  The target's background passes one block and joins the last up-block.
    """

    def __init__(self, config: DecoderConfig, points: int, appearance: int, size_px: int) -> None:
        super().__init__()
        width, self.side = config.width, size_px // 8
        self.from_points = nn.Sequential(
            nn.Linear(3 * points, 4 * width * self.side**2), nn.Dropout(config.dropout), nn.ReLU()
        )
        widths = [4 * width + appearance, 4 * width, 2 * width, width]
        last = ConvBlock(2 * width + width, width)  # the background's features join here
        self.ups = nn.ModuleList([*(ConvBlock(a, b) for a, b in itertools.pairwise(widths[:-1])), last])
        self.background = ConvBlock(3, width)
        self.out = nn.Conv2d(width, 3, 1)

    def forward(
        self,
        points_crop_m: Float[Tensor, "B P 3"],
        appearance: Float[Tensor, "B A"],
        background: Float[Tensor, "B 3 H W"],
    ) -> Float[Tensor, "B 4 H W"]:
        """Decode RGB; the fourth channel is ones."""
        features = beside_appearance(self.from_points(points_crop_m.flatten(1)), appearance, self.side)
        for level, up in enumerate(self.ups):
            features = interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            if level == 2:
                features = torch.cat([features, self.background(imagenet_normalised(background))], dim=1)
            features = up(features)
        rgb = self.out(features).float() + 0.5  # starts at grey
        return opaque(rgb)


class ThesisDecoder(nn.Module):
    """The thesis' decoder: no normalisation, the raw background joins the last 1x1 convolution."""

    def __init__(self, points: int, appearance: int, size_px: int) -> None:
        super().__init__()
        self.side = size_px // 8
        self.from_points = nn.Sequential(nn.Linear(3 * points, 128 * self.side**2), nn.ReLU())
        layers: list[nn.Module] = []
        for inputs, outputs in ((128 + appearance, 128), (128, 64), (64, 32)):
            layers += [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)]
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.out = nn.Conv2d(32 + 3, 3, 1)

    def forward(
        self,
        points_crop_m: Float[Tensor, "B P 3"],
        appearance: Float[Tensor, "B A"],
        background: Float[Tensor, "B 3 H W"],
    ) -> Float[Tensor, "B 4 H W"]:
        """Decode RGB; the fourth channel is ones."""
        features = beside_appearance(self.from_points(points_crop_m.flatten(1)), appearance, self.side)
        rgb = self.out(torch.cat([self.layers(features), background], dim=1)).float()
        return opaque(rgb)


class UNetBackbone(nn.Module):
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


class ResNet50Backbone(nn.Module):
    """ImageNet ResNet-50 with conv1 to layer2 frozen, then a narrow layer4.  Source: Rhodin et al., variant B.

    Where stored weights follow, it begins at random: nothing is downloaded.
    """

    def __init__(self, size_px: int, is_pretrained: bool = True) -> None:
        super().__init__()
        from torchvision.models import ResNet50_Weights, resnet50  # downloads weights: only where asked for
        from torchvision.models.resnet import Bottleneck

        net = resnet50(weights=ResNet50_Weights.IMAGENET1K_V1 if is_pretrained else None)
        self.frozen = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2)
        self.frozen.requires_grad_(False)
        self.layer3 = net.layer3
        self.layer4 = nn.Sequential(*[Bottleneck(1024, 256) for _ in range(3)])  # 256 planes, stride 1
        self.squeeze = nn.Sequential(
            nn.Conv2d(1024, 512, 3, padding=1), nn.Conv2d(512, 128, 5, stride=2, padding=2), nn.BatchNorm2d(128)
        )
        self.size = 128 * ((size_px // 16 + 1) // 2) ** 2

    def train(self, mode: bool = True) -> "ResNet50Backbone":
        """Switch to training, but for the frozen layers, whose statistics must not move."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image."""
        return torch.sigmoid(self.squeeze(self.layer4(self.layer3(self.frozen(image))))).flatten(1)


class ThesisBackbone(nn.Module):
    """The thesis' encoder: no normalisation, 64 to 512 channels, a wide fully connected layer."""

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
        """Compute features of a BGR image divided by 256, as the thesis fed it."""
        return self.full(self.layers(image).flatten(1))


def thesis_normalised(image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Bring RGB in [0, 1] to the scale that the thesis fed: BGR divided by 256."""
    return image.flip(1) * (255 / 256)


def thesis_rotations(numbers: Float[Tensor, "B 72"], base: Float[Tensor, "24 3 3"]) -> Float[Tensor, "B 24 3 3"]:
    """Read axis-angle through tanh, about a base; no angle from it beyond 99 degrees can be reached."""
    return base @ roma.rotvec_to_rotmat(numbers.tanh().unflatten(1, (24, 3)))
