"""Groups of views as one flat batch: which image is drawn from which, and the rotation between their cameras."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class FlatViews(NamedTuple):
    """Sources, targets and appearance of a batch of groups; row i of everything belongs to source image i."""

    image: Float[Tensor, "N 3 H W"]
    """Source images, RGB in [0, 1]."""
    R_target_from_source: Float[Tensor, "N 3 3"]
    target_image: Float[Tensor, "N 3 H W"]
    target_background: Float[Tensor, "N 3 H W"]
    target_mask: Float[Tensor, "N 1 H W"]
    target_row: Int[Tensor, "N"]
    appearance_row: Int[Tensor, "N"]
    """Row whose image shows the appearance to draw with."""


def flat_rows(view: Int[Tensor, "B V"]) -> Int[Tensor, "N"]:
    """Turn view numbers inside each group into row numbers of the flattened batch."""
    groups, views = view.shape
    return (view + views * torch.arange(groups, device=view.device)[:, None]).flatten()


def flat_views(
    image: Float[Tensor, "B V 3 H W"],
    background: Float[Tensor, "B V 3 H W"],
    mask: Float[Tensor, "B V 1 H W"],
    R_crop_from_world: Float[Tensor, "B V 3 3"],
    target_view: Int[Tensor, "B V"],
    appearance_view: Int[Tensor, "B V"],
) -> FlatViews:
    """Pair every image of the groups with its target view."""
    target_row = flat_rows(target_view)
    sources, R = image.flatten(0, 1), R_crop_from_world.flatten(0, 1)
    return FlatViews(
        image=sources,
        R_target_from_source=R[target_row] @ R.mT,
        target_image=sources[target_row],
        target_background=background.flatten(0, 1)[target_row],
        target_mask=mask.flatten(0, 1)[target_row],
        target_row=target_row,
        appearance_row=flat_rows(appearance_view),
    )


def turned(R: Float[Tensor, "B 3 3"], points: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P 3"]:
    """Turn every body's points by its rotation."""
    return torch.einsum("bij,bpj->bpi", R, points)


def turned_about_vertical(
    points_crop: Float[Tensor, "B P 3"], R_crop_from_world: Float[Tensor, "B 3 3"], yaw_rad: float
) -> Float[Tensor, "B P 3"]:
    """Turn points about the world's vertical, counter-clockwise seen from above."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    R_world = points_crop.new_tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return turned(R_crop_from_world @ R_world @ R_crop_from_world.mT, points_crop)
