"""Cameras of crops that are cut from wider ones, and points on the way between the two.

A new crop is rolled, looks beside what the wide one looks at, is larger or smaller, or its mirror image; both cameras
stand at the same place, so all of it is exact.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Changes(NamedTuple):
    """How crops differ from the plain ones."""

    roll_rad: Float[Tensor, "B"]
    size: Float[Tensor, "B"]
    """Of the crop over the plain one's: the person appears smaller by it."""
    shift_m: Float[Tensor, "B 2"]
    """Of what the camera looks at, right and down in the wide crop."""
    is_mirrored: Bool[Tensor, "B"]


def no_changes(count: int) -> Changes:
    """Give plain crops."""
    return Changes(torch.zeros(count), torch.ones(count), torch.zeros(count, 2), torch.zeros(count, dtype=torch.bool))


def look_rotations(towards: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 3"]:
    """Turn axes by the smallest rotation that brings each direction onto z; the batch of `crop.look_rotation`."""
    x, y, z = torch.nn.functional.normalize(towards, dim=-1).unbind(-1)
    a = 1 / (1 + z)
    rows = [1 - a * x * x, -a * x * y, -x, -a * x * y, 1 - a * y * y, -y, x, y, z]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def rolls(roll_rad: Float[Tensor, "B"]) -> Float[Tensor, "B 3 3"]:
    """Turn axes about z, as `crop.crop_camera` rolls its camera."""
    cos, sin, zero, one = roll_rad.cos(), roll_rad.sin(), torch.zeros_like(roll_rad), torch.ones_like(roll_rad)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))


class NewCameras(NamedTuple):
    """The cameras of crops that are cut from wide ones."""

    R_crop_from_wide: Float[Tensor, "B 3 3"]
    distance_m: Float[Tensor, "B"]
    """To what they look at."""
    side_m: Float[Tensor, "B"]
    """Of the crop at that distance."""
    flip: Float[Tensor, "B"]
    """-1 where the picture is mirrored, else 1."""


def new_cameras(distance_m: Float[Tensor, "B"], changes: Changes, side_m: float) -> NewCameras:
    """Let cameras look beside the centres of wide crops, rolled, nearer or farther."""
    target_m = torch.cat([changes.shift_m, distance_m[:, None]], dim=-1)
    R = rolls(changes.roll_rad) @ look_rotations(target_m)
    return NewCameras(R, target_m.norm(dim=-1), side_m * changes.size, 1 - 2 * changes.is_mirrored.float())


def in_new_axes(
    points_m: Float[Tensor, "B P 3"],
    cameras: NewCameras,
    wide_distance_m: Float[Tensor, "B"],
    mirrored_rows: list[int],
) -> Float[Tensor, "B P 3"]:
    """Turn points about wide crops' centres into the axes of new cameras, as far from these as they are.

    Args:
        mirrored_rows: for every point, the row of its counterpart on the other side of the body.
    """
    ahead_m = torch.stack([torch.zeros_like(wide_distance_m), torch.zeros_like(wide_distance_m), wide_distance_m], -1)
    points_m = (points_m + ahead_m[:, None]) @ cameras.R_crop_from_wide.mT
    flip = torch.stack([cameras.flip, torch.ones_like(cameras.flip), torch.ones_like(cameras.flip)], dim=-1)
    points_m = points_m * flip[:, None]
    return torch.where((cameras.flip < 0)[:, None, None], points_m[:, mirrored_rows], points_m)


def seen_at(points_m: Float[Tensor, "B P 3"], cameras: NewCameras) -> Float[Tensor, "B P 2"]:
    """Say where new cameras see points in their axes: metres about the centre, in the plane through it."""
    return points_m[..., :2] / points_m[..., 2:] * cameras.distance_m[:, None, None]


def points_in_new(
    points_m: Float[Tensor, "B P 3"],
    cameras: NewCameras,
    size: Float[Tensor, "B"],
    wide_distance_m: Float[Tensor, "B"],
    mirrored_points: list[int],
) -> Float[Tensor, "B P 3"]:
    """Say where points about wide crops' centres are seen in new ones, and how far behind these' centres they lie.

    The way back is `points_in_wide`; both are as large as the picture makes them.
    """
    in_crop_m = in_new_axes(points_m, cameras, wide_distance_m, mirrored_points)
    behind_m = in_crop_m[..., 2:] - cameras.distance_m[:, None, None]
    return torch.cat([seen_at(in_crop_m, cameras), behind_m], dim=-1) / size[:, None, None]


def points_in_wide(
    points_m: Float[Tensor, "B P 3"],
    cameras: NewCameras,
    size: Float[Tensor, "B"],
    wide_distance_m: Float[Tensor, "B"],
    mirrored_points: list[int],
) -> Float[Tensor, "B P 3"]:
    """Undo the changes for points that were found in new crops; give them about the wide crop's centre, in its axes.

    Args:
        points_m: x and y where they are seen, in the plane through the new crop's centre, z the depth behind it.
        mirrored_points: for every point, its mirror partner.
    """
    found_m = points_m * size[:, None, None]
    ahead_m = found_m[..., 2:] + cameras.distance_m[:, None, None]
    across_m = found_m[..., :2] * ahead_m / cameras.distance_m[:, None, None]
    is_mirrored = (cameras.flip < 0)[:, None, None]
    in_crop_m = torch.cat([across_m[..., :1] * cameras.flip[:, None, None], across_m[..., 1:], ahead_m], dim=-1)
    in_crop_m = torch.where(is_mirrored, in_crop_m[:, mirrored_points], in_crop_m)
    in_wide_m = in_crop_m @ cameras.R_crop_from_wide
    return torch.cat([in_wide_m[..., :2], in_wide_m[..., 2:] - wide_distance_m[:, None, None]], dim=-1)
