"""A teacher for points that no label names: where the masks of all views want them, in closed form.

The points of one instant, as the views believe them, are drawn to the person's masks: in each view the mask's mass is
transported to the projected points, so each point gets the middle of its share of the mask; the least squares of these
middles over the views, and of the belief, give the point's new place.  A few such steps make a target, taken as if it
were a label.  No 3D label, no body model and no gradient through a drawing is used: points that were taught by
gradients of drawn blobs all ended on the body's axis (a trial, tests/benchmarks/LOG.md).

Points lie about what the crops look at, one place for all views of an instant (crop.centre pelvis or masks).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from models.heat_maps import places_m


class MaskViews(NamedTuple):
    """What the calibrated cameras of an instant see of the person."""

    mask: Float[Tensor, "G V h w"]
    """Coverage in [0, 1]."""
    R_crop_from_world: Float[Tensor, "G V 3 3"]
    distance_m: Float[Tensor, "G V"]
    """From the camera to what its crop is centred on."""
    side_m: float
    """Of the crops at that distance."""


class Belief(NamedTuple):
    """Where the views together believe each point: a Gaussian in the world's axes."""

    mean_m: Float[Tensor, "G K 3"]
    precision: Float[Tensor, "G K 3 3"]
    """Inverse covariance, 1 / square metres."""


class Transport(NamedTuple):
    """How masks draw points."""

    sigma_m: float = 0.09
    """Reach of a point: the Gaussian that couples it with pixels.  It falls to 0.05 while points settle."""
    balance: float = 1.0
    """1: every point takes the same mass of the mask.  Less: a point may stay with little, such as one on a thin limb;
    falls to 0.3 while points settle."""
    mask_weight: float = 400.0
    """Precision of a middle of mass, 1 / square metres (5 cm), beside that of the belief."""
    steps: int = 4
    rounds: int = 4
    """Of Sinkhorn's algorithm in every step; masses are then equal to a few percent."""


SMALLEST_SPREAD_M = (0.05, 0.2)
"""Heat maps are never trusted beyond this, in the image and in depth."""


def agreed(
    points_crop_m: Float[Tensor, "G V K 3"],
    spread_m: Float[Tensor, "G V K 2"],
    R_crop_from_world: Float[Tensor, "G V 3 3"],
) -> Belief:
    """Join what every view sees: the mean, weighted by how sharp heat maps are, less along the line of sight.

    Args:
        points_crop_m: about what the crops look at, in their axes (`unprojected` gives them from seen places).
        spread_m: standard deviations of the heat along x and y.
    """
    variance = spread_m.square().mean(-1)
    in_image, in_depth = (1 / (variance + smallest**2) for smallest in SMALLEST_SPREAD_M)
    sight = R_crop_from_world[:, :, None, 2]  # the camera's axis, in the world
    along = sight[..., :, None] * sight[..., None, :]
    across = torch.eye(3).to(along) - along
    precisions = in_image[..., None, None] * across + in_depth[..., None, None] * along
    points_world_m = points_crop_m @ R_crop_from_world
    precision = precisions.sum(1)
    pulled = (precisions @ points_world_m[..., None]).sum(1)
    return Belief(torch.linalg.solve(precision, pulled)[..., 0], precision)


def unprojected(seen_m: Float[Tensor, "*n K 3"], distance_m: Float[Tensor, "*n"]) -> Float[Tensor, "*n K 3"]:
    """Turn places in the plane through the crop's centre, with depths, into points: what is behind lies farther out."""
    nearer = 1 + seen_m[..., 2:] / distance_m[..., None, None]
    return torch.cat([seen_m[..., :2] * nearer, seen_m[..., 2:]], dim=-1)


def projected(
    points_world_m: Float[Tensor, "G K 3"], views: MaskViews
) -> tuple[Float[Tensor, "G V K 2"], Float[Tensor, "G V K 1"]]:
    """Say where every view sees points, in the plane through the crop's centre, and how much larger they appear."""
    points_crop_m = points_world_m[:, None] @ views.R_crop_from_world.mT
    distance_m = views.distance_m[:, :, None, None]
    # A point at the camera would be infinitely large; targets never lie there, beliefs of an untrained network may.
    larger = distance_m / (distance_m + points_crop_m[..., 2:]).clamp_min(1.0)
    return points_crop_m[..., :2] * larger, larger


def shares_of_mask(
    seen_m: Float[Tensor, "N K 2"], mask: Float[Tensor, "N h w"], side_m: float, transport: Transport
) -> tuple[Float[Tensor, "N K 2"], Float[Tensor, "N K"]]:
    """Transport the mask's mass to the points; give the middle of each point's share, and its mass, 1 on average.

    The coupling is a Gaussian of the distance, which is separable, so a step costs two small matrix products.
    Source: Cuturi, Sinkhorn distances, 2013; Chizat et al., Scaling algorithms for unbalanced transport, 2018, for
    exponents below one; centroids of the coupling: own derivation, test_points_from_masks.py.
    """
    place = places_m(mask.shape[-1], side_m, mask)
    mass = mask / mask.sum((1, 2), keepdim=True).clamp_min(1e-6)
    across, down = (
        torch.exp(-0.5 * ((place - seen_m[..., axis, None]) / transport.sigma_m) ** 2) + 1e-9  # none is out of reach
        for axis in (0, 1)
    )
    points = seen_m.shape[1]
    scale = torch.ones_like(seen_m[..., 0])
    for left in reversed(range(transport.rounds)):
        per_pixel = mass / ((down * scale[..., None]).mT @ across).clamp_min(1e-20)
        rows = down @ per_pixel
        received = (rows * across).sum(-1)
        if left:  # the last round leaves the pixels' masses exact
            scale = (1 / points / received.clamp_min(1e-20)) ** transport.balance
    x = (rows * across * place).sum(-1)
    y = (down * place * (across @ per_pixel.mT)).sum(-1)
    middle_m = torch.stack([x, y], dim=-1) / received[..., None].clamp_min(1e-12)
    return middle_m, scale * received * points


def taught(start: Belief, views: MaskViews, transport: Transport) -> Float[Tensor, "G K 3"]:
    """Draw points to where all masks want them, without leaving what is believed; give their places in the world.

    Args:
        start: its mean is where the points begin.
    """
    groups, count = views.mask.shape[:2]
    points = start.mean_m.shape[1]
    sight = views.R_crop_from_world[:, :, 2]
    across = torch.eye(3).to(sight) - sight[..., :, None] * sight[..., None, :]  # what a view tells: not the depth
    believed = (start.precision @ start.mean_m[..., None])[..., 0]
    points_m = start.mean_m
    for _ in range(transport.steps):
        seen_m, larger = projected(points_m, views)
        middle_m, mass = shares_of_mask(seen_m.flatten(0, 1), views.mask.flatten(0, 1), views.side_m, transport)
        # Mass beyond twice the usual is a mask with too few points, not a better known place.
        weight = transport.mask_weight * mass.clamp(0, 2).view(groups, count, points)
        in_crop_m = torch.nn.functional.pad(middle_m.view(groups, count, points, 2) / larger, (0, 1))
        pulled = weight[..., None] * (in_crop_m @ views.R_crop_from_world)
        precision = start.precision + (weight[..., None, None] * across[:, :, None]).sum(1)
        points_m = torch.linalg.solve(precision, (believed + pulled.sum(1))[..., None])[..., 0]
    return points_m


def partners_apart(
    points_world_m: Float[Tensor, "G K 3"], left_world: Float[Tensor, "G 3"], least_m: float
) -> Float[Tensor, "G K 3"]:
    """Push mirror partners, points k and k + K/2, apart along the person's left until they are so far from each other.

    Without it points stay on the body's axis, or become "front leg, back leg" as a camera sees them.

    Args:
        left_world: unit vectors, horizontal.
    """
    left_m, right_m = points_world_m.chunk(2, dim=1)
    apart_m = left_m - right_m
    lacking_m = (least_m - (apart_m * left_world[:, None]).sum(-1, keepdim=True)).clamp_min(0)
    moved = lacking_m / 2 * left_world[:, None]
    return torch.cat([left_m + moved, right_m - moved], dim=1)
