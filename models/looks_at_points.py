"""Networks that read a person's looks from an image at the places of the latent points."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.layers import ConvBlock, silent, stage


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
    Source: own derivation, test_looks_at_points.py.
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


class LooksOfPoints(nn.Module):
    """Looks of every latent point, so that the decoder can lay a sleeve's own colour where the sleeve goes.

    Each point reads the image where it projects, as in `AppearanceAtPoints`, and knows which point it is and where it
    lies.  Then the points look around in the image and exchange what they saw, by turns: a hidden point has read what
    hides it, and a point that lies beside its limb finds it.
    Source: own derivation; the exchange is a mixer (Tolstikhin et al., MLP-Mixer, 2021) over points, looking around is
    attention (Vaswani et al., 2017) of points to cells of the image.
    """

    def __init__(self, width: int, points: int, side_m: float, per_point: int) -> None:
        super().__init__()
        self.side_m, wide = side_m, 2 * width
        self.layers = nn.Sequential(nn.PixelUnshuffle(2), stage(12, width, 2, stride=1), nn.Conv2d(width, wide, 1))
        self.cells = nn.Sequential(ConvBlock(wide, wide, stride=2), nn.Conv2d(wide, wide, 1))
        self.own = nn.Parameter(torch.randn(points, wide) * 0.1)
        self.place = PlaceCode(wide)
        self.gazes = nn.ModuleList([Gaze(wide, heads=2) for _ in range(2)])
        self.exchanges = nn.ModuleList([PointExchange(points, wide) for _ in range(2)])
        self.out = nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, per_point))
        self.size = points * per_point

    def forward(
        self, image: Float[Tensor, "B 3 H W"], points_crop_m: Float[Tensor, "B P 3"]
    ) -> Float[Tensor, "B size"]:
        """Compute the looks of points in metres about the crop's centre, from a normalised image."""
        features = self.layers(image)
        cells = self.cells(features).float()
        seen = cells.flatten(2).transpose(1, 2) + self.place(cell_centres_m(cells, self.side_m))
        tokens = features_at(features, points_crop_m, self.side_m) + self.own + self.place(points_crop_m)
        for gaze, exchange in zip(self.gazes, self.exchanges, strict=True):
            tokens = exchange(gaze(tokens, seen))
        colour = features_at(image, points_crop_m, self.side_m)
        looks = self.out(tokens).float()
        return torch.cat([looks[..., :3] + colour, looks[..., 3:]], dim=-1).flatten(1)


class PlaceCode(nn.Module):
    """A code of where something lies, near for near places.  Source: Tancik et al., Fourier features, 2020."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(3 * 8, width)

    def forward(self, places_m: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch C"]:
        """Code places in metres about the crop's centre: waves 4, 2, 1 and 0.5 m long."""
        angles = places_m[..., None] * places_m.new_tensor([1.0, 2.0, 4.0, 8.0]) * (torch.pi / 2)
        return self.mix(torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2))


def cell_centres_m(cells: Float[Tensor, "B C h w"], side_m: float) -> Float[Tensor, "cells 3"]:
    """Say where the middles of a map's cells lie about the crop's centre, as if at its depth."""
    across, down = (
        ((torch.arange(n, device=cells.device) + 0.5) / n - 0.5) * side_m for n in (cells.shape[-1], cells.shape[-2])
    )
    y_m, x_m = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([x_m, y_m, torch.zeros_like(x_m)], dim=-1).flatten(0, 1)


class Gaze(nn.Module):
    """Let every point look for its looks all over the image; begins as the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.before = heads, nn.LayerNorm(width)
        self.ask, self.show = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.tell = silent(nn.Linear(width, width))

    def forward(self, tokens: Float[Tensor, "B P C"], seen: Float[Tensor, "B cells C"]) -> Float[Tensor, "B P C"]:
        """Add what was found."""
        asked = self.ask(self.before(tokens)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        keys, values = self.show(seen).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        share = (asked / asked.shape[-1] ** 0.5 @ keys.mT).softmax(dim=-1)  # on a CPU faster than the fused one
        return tokens + self.tell((share.to(values.dtype) @ values).transpose(1, 2).flatten(2))


class PointExchange(nn.Module):
    """Mix among points, then within each; begins as the identity."""

    def __init__(self, points: int, width: int) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.among = silent(nn.Linear(points, points))
        self.within = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), silent(nn.Linear(2 * width, width)))

    def forward(self, tokens: Float[Tensor, "B P C"]) -> Float[Tensor, "B P C"]:
        """Add what the others know."""
        tokens = tokens + self.among(self.before(tokens).transpose(1, 2)).transpose(1, 2)
        return tokens + self.within(self.between(tokens))
