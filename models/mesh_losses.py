"""What stage 4 makes small: joints against labels, silhouettes against masks, bodies against the prior.

Every term is a mean over the rows that it is known for, in a unit of its own, and finite when there are none.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from utils.skeleton import H36M_17

HIPS = tuple(row for row, name in enumerate(H36M_17) if "hip" in name)
CELLS = 16
"""A mask is looked at as so many cells per side, where each must be near the mesh."""
NEAR_VERTICES = 8
"""Every n-th vertex stands for the surface where distances are measured."""
REACHING = 3
"""Every n-th of these must be near the mask's cells; still denser than the cells, and it costs as much as the rest."""


def mean_of(values: Float[Tensor, "*n"], is_known: Bool[Tensor, "*n"]) -> Float[Tensor, ""]:
    """Average the known values; zero if there are none."""
    return (values * is_known).sum() / is_known.sum().clamp_min(1)


def joint_distance_m(
    predicted_root_m: Float[Tensor, "B 17 3"],
    true_root_m: Float[Tensor, "B 17 3"],
    is_labelled: Bool[Tensor, "B"],
    hips: bool = True,
) -> Float[Tensor, ""]:
    """Average the joint distance of the labelled rows; without the hips as the predecessor did, if told so."""
    kept = [row for row in range(len(H36M_17)) if hips or row not in HIPS]
    return mean_of((predicted_root_m - true_root_m)[:, kept].norm(dim=-1).mean(dim=1), is_labelled)


def overlap_loss(
    coverage: Float[Tensor, "B V S S"], mask: Float[Tensor, "B V S S"], exists: Bool[Tensor, "B V"]
) -> Float[Tensor, ""]:
    """Give one minus the shared area over the union; zero where coverage and mask are equal, half-covered pixels too.

    Products of soft masks would not do: a border pixel that is half covered in both would count as a quarter shared.
    Source: Jaccard's index of fractions, sum of minima over sum of maxima; own derivation, test_mesh_losses.py.
    """
    shared = torch.minimum(coverage, mask).sum(dim=(2, 3))
    union = torch.maximum(coverage, mask).sum(dim=(2, 3))
    return mean_of(1 - shared / union.clamp_min(1e-6), exists)


def outside_loss_m(
    xy_px: Float[Tensor, "B V N 2"], outside_m: Float[Tensor, "B V S S"], exists: Bool[Tensor, "B V"], m_per_px: float
) -> Float[Tensor, ""]:
    """Average how far vertices are from the mask; it pulls every limb that lies outside towards the person.

    A vertex beyond the crop counts from the crop's border on.
    """
    size = outside_m.shape[-1]
    inside_px = xy_px.clamp(0.5, size - 0.5)
    beyond_m = (xy_px - inside_px).norm(dim=-1) * m_per_px
    grid = (inside_px / size * 2 - 1).flatten(0, 1)[:, None]
    sampled = nn.functional.grid_sample(outside_m.flatten(0, 1)[:, None], grid, align_corners=False)
    return mean_of((sampled[:, 0, 0].unflatten(0, exists.shape) + beyond_m).mean(dim=2), exists)


def reach_loss_m(
    xy_px: Float[Tensor, "B V N 2"], mask: Float[Tensor, "B V S S"], exists: Bool[Tensor, "B V"], m_per_px: float
) -> Float[Tensor, ""]:
    """Average how far the person's pixels are from the nearest vertex; it pulls the mesh to what it does not cover.

    Pixels are taken in CELLS x CELLS cells.  The gradient goes to the nearest vertex of each cell.
    Source: the second half of a Chamfer distance; own derivation, test_mesh_losses.py.
    """
    size = mask.shape[-1]
    weight = nn.functional.adaptive_avg_pool2d(mask, CELLS).flatten(2)
    middle = (torch.arange(CELLS, dtype=mask.dtype, device=mask.device) + 0.5) * (size / CELLS)
    cells_px = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), dim=-1).reshape(-1, 2)
    with torch.no_grad():
        nearest = torch.cdist(cells_px, xy_px).argmin(dim=3)
    nearest_px = xy_px.gather(2, nearest[..., None].expand(-1, -1, -1, 2))
    apart_px = (nearest_px - cells_px + 1e-6).norm(dim=-1)
    return mean_of((apart_px * weight).sum(dim=2) / weight.sum(dim=2).clamp_min(1e-6), exists) * m_per_px
