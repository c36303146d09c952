"""Building blocks that several networks share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut.  Source: He et al., Deep residual learning, 2016, Fig. 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)  # starts as the identity, which lets a short training get going
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm)

    def forward(self, features: Tensor) -> Tensor:
        """Add a correction to the features."""
        return torch.relu(features + self.second(self.first(features)))


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Build the U-Net's step: two convolution blocks."""
    return nn.Sequential(ConvBlock(inputs, outputs), ConvBlock(outputs, outputs))


def residual_stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    """Build a strided convolution followed by residual blocks."""
    return nn.Sequential(ConvBlock(inputs, outputs, stride), *[ResidualBlock(outputs) for _ in range(blocks)])


class EqualizedLinear(nn.Linear):
    """A linear layer with an equalized learning rate: its weights are stored larger and its output is scaled down.

    Adam moves every weight by about the step size, so an output that adds up thousands of inputs jumps by far more:
    with 4,096 inputs and a step size of 0.001, latent points would jump by metres.  At the start it is nn.Linear.
    Source: Karras et al., Progressive growing of GANs, ICLR 2018, section 4.1; there the factor follows from the number
    of inputs (He's constant), here it is given.
    """

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__(inputs, outputs)
        self.scale = scale
        with torch.no_grad():
            self.weight.div_(scale)
            self.bias.div_(scale)

    def forward(self, features: Tensor) -> Tensor:
        """Multiply, add, and scale down."""
        return super().forward(features) * self.scale


def opaque(rgb: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 4 H W"]:
    """Add an opacity of one."""
    return torch.cat([rgb, torch.ones_like(rgb[:, :1])], dim=1)
