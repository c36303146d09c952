"""Groups of views as one flat batch: which image is predicted from which, and the rotation between their cameras.

Also bodies seen by the crop cameras of one instant: which view shows which mask, and where vertices project to.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
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


CropCentre = Literal["pelvis", "masks", "box"]
NEAREST_VERTEX_M = 0.1
"""A vertex nearer to the camera's plane than this has no place in the picture."""


class MeshViews(NamedTuple):
    """All views of one instant: crop cameras without roll or lens, and what their masks say."""

    mask: Float[Tensor, "*batch V S S"]
    """1 where the person is."""
    distance_to_mask_m: Float[Tensor, "*batch V S S"]
    """Distance of each pixel from the mask, at the depth of the crop's target; 0 on the person."""
    exists: Bool[Tensor, "*batch V"]
    """False for the padding of an instant that fewer cameras saw."""
    R_crop_from_world: Float[Tensor, "*batch V 3 3"]
    centre_world_m: Float[Tensor, "*batch V 3"]
    focal_px: Float[Tensor, "*batch V"]
    target_world_m: Float[Tensor, "*batch V 3"]
    """The point on the crop camera's axis."""


def turned_to_world(points_crop_m: Float[Tensor, "B N 3"], R_crop_from_world: Float[Tensor, "B 3 3"]) -> Tensor:
    """Turn points from the axes of a crop camera to those of the world."""
    return points_crop_m @ R_crop_from_world


def placed_in_views(
    vertices_world_m: Float[Tensor, "B N 3"],
    views: MeshViews,
    crop_centre: CropCentre,
    vertex_share: Float[Tensor, "N"] | None = None,
) -> Float[Tensor, "B V N 3"]:
    """Project a mesh into every view: x and y in the crop's pixels, and the depth in metres.

    Where the mesh stands follows from what the crops are centred on, because no network predicts it:
    pelvis: vertices are about the pelvis, which is the target.
    masks: the middle of the surface is at the target, the triangulated centroid of the masks.
    box: likewise, and then every view is moved so that the box of the vertices is centred in the crop, as the mask's.

    Args:
        vertices_world_m: about the pelvis, in the world's axes.
        vertex_share: share of the surface that belongs to each vertex; needed unless crops are centred on the pelvis.
    Raises:
        ValueError: a vertex lies at or behind a camera that exists.
    """
    if crop_centre != "pelvis":
        assert vertex_share is not None
        vertices_world_m = vertices_world_m - torch.einsum("n,bnk->bk", vertex_share, vertices_world_m)[:, None]
    R = views.R_crop_from_world
    target_cam_m = torch.einsum("bvij,bvj->bvi", R, views.target_world_m - views.centre_world_m)
    vertices_cam_m = torch.einsum("bvij,bnj->bvni", R, vertices_world_m) + target_cam_m[:, :, None]
    depth_m = vertices_cam_m[..., 2:]
    if bool(((depth_m < NEAREST_VERTEX_M).any(dim=(2, 3)) & views.exists).any()):
        raise ValueError("a vertex lies at or behind a camera that should see the person; check the calibration, or "
                         "what the crops are centred on")  # fmt: skip
    half_px = views.mask.shape[-1] / 2
    xy_px = vertices_cam_m[..., :2] / depth_m.clamp_min(NEAREST_VERTEX_M) * views.focal_px[..., None, None] + half_px
    if crop_centre == "box":
        middle_px = (xy_px.amin(dim=2, keepdim=True) + xy_px.amax(dim=2, keepdim=True)) / 2
        xy_px = xy_px - middle_px + half_px
    return torch.cat([xy_px, depth_m], dim=-1)


def vertex_surface_share(vertices_m: Float[Tensor, "N 3"], faces: Tensor) -> Float[Tensor, "N"]:
    """Give the share of a mesh's surface that belongs to each vertex: a third of every face at it."""
    a, b, c = vertices_m[faces].unbind(dim=1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    share = torch.zeros_like(vertices_m[:, 0]).index_add_(0, faces.flatten(), area.repeat_interleave(3))
    return share / share.sum()


STEEP = 1e-3
"""Horizontal length of a unit viewing direction below which the camera looks straight up or down."""


def mask_middles_px(mask: Float[Tensor, "B V S S"]) -> tuple[Float[Tensor, "B V"], Float[Tensor, "B V"]]:
    """Give the centroid of every mask, right and down from the crop's middle."""
    place = torch.arange(mask.shape[-1], device=mask.device) + 0.5 - mask.shape[-1] / 2
    weight = mask.sum(dim=(2, 3)).clamp_min(1e-6)
    return (mask.sum(dim=2) @ place) / weight, (mask.sum(dim=3) @ place) / weight


def level_rotation(offset_world_m: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """Turn the world (z up) into a camera (x right, y down, z forward) at this offset from what it looks at.

    A camera exactly above or below its target has the world's x to its right.
    Source: own derivation, test_level_views.py.
    """
    forward = -torch.nn.functional.normalize(offset_world_m, dim=-1)
    flat = torch.stack([forward[..., 1], -forward[..., 0], torch.zeros_like(forward[..., 0])], dim=-1)
    is_steep = flat.norm(dim=-1, keepdim=True) < STEEP
    flat = torch.where(is_steep, forward.new_tensor([1.0, 0.0, 0.0]), flat)
    right = torch.nn.functional.normalize(flat, dim=-1)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)


def azimuth_rad(R_crop_from_world: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
    """Give the angle of a level camera's right about the world's up; of a level forward it is that minus a quarter."""
    return torch.atan2(R_crop_from_world[..., 0, 1], R_crop_from_world[..., 0, 0])


def about_up(angle_rad: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3 3"]:
    """Turn about the world's up, counter-clockwise seen from above."""
    c, s, zero, one = angle_rad.cos(), angle_rad.sin(), torch.zeros_like(angle_rad), torch.ones_like(angle_rad)
    rows = [torch.stack(row, dim=-1) for row in ((c, -s, zero), (s, c, zero), (zero, zero, one))]
    return torch.stack(rows, dim=-2)
