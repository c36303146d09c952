"""Which way people face, without a label: the direction in which they walk, and a linear map on which all views agree.

Points without labels need it: masks do not tell left from right.  A map from an encoder's features to a horizontal
vector is found in closed form; it follows the walkers where people walk, and says the same in the world from every
view and mirror image of everybody else.  Agreement alone is not enough where crops are about the masks' centre: the map
on which views agree best is then the body's lean (a trial, tests/benchmarks/LOG.md).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, pad

from utils.metrics import left_minus_right
from utils.skeleton import H36M, Skeleton


def moving_forward(
    centre_world_m: Float[Tensor, "T 3"], is_same_sequence: Float[Tensor, "S"], walks_from_m: float
) -> tuple[Float[Tensor, "T 2"], Float[Tensor, "T"]]:
    """Read headings off the movement of the masks' centre: people walk forward.  No label is read.

    Args:
        centre_world_m: instants in the order of time, sequence after sequence.
        is_same_sequence: of each neighbouring pair (T - 1), 1 or 0.
        walks_from_m: least movement between the instants before and after.
    Returns:
        Horizontal unit vectors, and 1 where they are known.
    """
    step_m = (centre_world_m[1:, :2] - centre_world_m[:-1, :2]) * is_same_sequence[:, None]
    step_m = torch.where(step_m.isfinite(), step_m, torch.zeros_like(step_m))  # a centre that no mask tells
    moved_m = pad(step_m, (0, 0, 0, 1)) + pad(step_m, (0, 0, 1, 0))
    length_m = moved_m.norm(dim=-1)
    return moved_m / length_m.clamp_min(1e-9)[:, None], (length_m > walks_from_m).to(moved_m)


def facing(
    joints_world_m: Float[Tensor, "T J 3"], skeleton: Skeleton = H36M
) -> tuple[Float[Tensor, "T 2"], Float[Tensor, "T"]]:
    """Read headings off labelled joints; the same as `moving_forward` returns, unknown where a joint is."""
    left = left_minus_right(joints_world_m, skeleton)[:, :2]
    is_known = left.isfinite().all(-1)
    left = torch.where(is_known[:, None], left, torch.zeros_like(left))
    return normalize(torch.stack([left[:, 1], -left[:, 0]], dim=-1), dim=-1), is_known.to(left)


def horizontal_axes(
    R_crop_from_world: Float[Tensor, "*n 3 3"], is_mirrored: Float[Tensor, "*n"]
) -> Float[Tensor, "*n 2 2"]:
    """Give the matrix from (right, forward) of a crop camera, or of its mirror image, to (x, y) of the world."""
    right, forward = R_crop_from_world[..., 0, :2], R_crop_from_world[..., 2, :2]
    return torch.stack([right * (1 - 2 * is_mirrored)[..., None], forward], dim=-1)


class Whitening(NamedTuple):
    """A linear change of features to few numbers of equal spread."""

    mean: Float[Tensor, "F"]
    matrix: Float[Tensor, "n F"]

    def __call__(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch n"]:
        """Whiten features; float64."""
        return (features.double() - self.mean) @ self.matrix.mT


def whitening(features: Float[Tensor, "N F"], count: int) -> Whitening:
    """Find the directions in which features vary most; what varies a thousandth of the most is not blown up."""
    features = features.double()
    mean = features.mean(0)
    spread, directions = torch.linalg.eigh((features - mean).mT @ (features - mean) / len(features))
    kept = slice(-min(count, len(spread)), None)
    return Whitening(mean, (directions[:, kept] / (spread[kept] + 1e-3 * spread[-1]).sqrt()).mT)


class HeadingMap(NamedTuple):
    """A linear map from whitened features to a vector (right, forward) in the axes of the crop camera."""

    weights: Float[Tensor, "2 m"]
    """The last column is added to all."""
    agreement: float
    """Mean cosine between unit vectors of two views of an instant: above 0.8 it was the heading, at 0.56 the lean."""


def contributions(features: Float[Tensor, "G W n"], axes: Float[Tensor, "G W 2 2"]) -> Float[Tensor, "G W 2 M"]:
    """Write each view's vector in the world as a linear function of the map's weights."""
    ones = pad(features, (0, 1), value=1.0)
    return torch.einsum("gwic,gwf->gwicf", axes.double(), ones.double()).flatten(3)


def seeded_heading(
    features: Float[Tensor, "G W n"],
    axes: Float[Tensor, "G W 2 2"],
    forward_world: Float[Tensor, "G 2"],
    is_known: Float[Tensor, "G"],
    agreement_weight: float = 1.0,
    ridge: float = 0.02,
) -> HeadingMap:
    """Find the map that tells known headings and on which the views (and mirror images) of every instant agree.

    Args:
        features: whitened, of W views and mirror images of G instants.
        axes: of the same, from `horizontal_axes`.
        is_known: weight of an instant's heading; 0 where it is unknown.
    Raises:
        ValueError: no heading is known.
    Source: linear least squares, own derivation, test_heading.py.
    """
    if not is_known.any():
        raise ValueError("no heading is known; take more frames, or label some sequences")
    each = contributions(features, axes)
    apart = each - each.mean(1, keepdim=True)
    disagreement = torch.einsum("gwia,gwib->ab", apart, apart) / apart[..., 0, 0].numel()
    weight = is_known.double() / (is_known.sum().double() * features.shape[1])
    told = torch.einsum("g,gwia,gwib->ab", weight, each, each)
    wanted = torch.einsum("g,gwia,gi->a", weight, each, forward_world.double())
    regular = ridge * torch.eye(len(wanted), dtype=told.dtype, device=told.device)
    solution = torch.linalg.solve(told + agreement_weight * disagreement + regular, wanted)
    unit = normalize(each @ solution, dim=-1)
    views = features.shape[1]
    cosine = (unit.sum(1).square().sum(-1) - views) / (views * (views - 1))
    return HeadingMap(solution.view(2, -1), cosine.mean().item())


def heading_of(
    features: Float[Tensor, "*batch n"], axes: Float[Tensor, "*batch 2 2"], found: HeadingMap
) -> Float[Tensor, "*batch 2"]:
    """Give each view's forward vector in the world, horizontal; its length says how sure it is."""
    in_crop = pad(features.double(), (0, 1), value=1.0) @ found.weights.mT
    return (axes.double() @ in_crop[..., None])[..., 0].float()
