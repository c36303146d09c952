"""Random crops of whole batches: roll, size, shift and mirror image by one warp, another room behind the person before.

Images, masks and joints come from one crop camera each, so labels stay exact.  A wide crop holds the margin; what lies
beyond it is black, as beyond the border of an image.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from config import Crop, ImageAugmentation
from utils.image import jitter_colours


class WideCrops(NamedTuple):
    """Crops with a margin, to cut others from; a batch, or one without its first axis."""

    image: UInt8[Tensor, "*batch 3 S S"]
    mask: UInt8[Tensor, "*batch S S"]
    room: UInt8[Tensor, "*batch 3 S S"]
    """An empty room as some camera saw it."""
    joints_m: Float[Tensor, "*batch J 3"]
    """About what the crop is centred on, in the axes of its camera."""
    distance_m: Float[Tensor, "*batch"]
    """From the camera to what the crop is centred on."""
    side_m: Float[Tensor, "*batch"]
    """Of the crop at that distance."""
    confidence: Float[Tensor, "*batch"]


def dealt_anew(wide: WideCrops, generator: torch.Generator) -> WideCrops:
    """Deal the empty rooms of a batch to its images anew, so that crops that are kept in memory meet all rooms."""
    order = torch.randperm(len(wide.room), generator=generator, device=generator.device)
    return wide._replace(room=wide.room[order])


class ChangedCrops(NamedTuple):
    """Crops as the networks see them, and what belongs to them."""

    image: Float[Tensor, "B 3 H W"]
    """RGB in [0, 1]."""
    joints_root_m: Float[Tensor, "B J 3"]
    """About the first joint, the pelvis, in the axes of the crop's camera; as large as the picture makes them."""
    seen_m: Float[Tensor, "B J 2"]
    """Where joints are seen: metres about the crop's centre, in the plane through it."""
    mask: Float[Tensor, "B 1 H W"]
    confidence: Float[Tensor, "B"]


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


def random_changes(count: int, augment: ImageAugmentation, strength: float, generator: torch.Generator) -> Changes:
    """Draw changes; roll falls with the strength, the others stay.

    Source: a network whose shifts fell towards the end of the training read people 0.1 m beside the middle at 131 mm
    instead of 94 (a trial), so shifts do not fall.
    """

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(count, *shape, generator=generator, device=generator.device) - 1

    angle, length = torch.pi * uniform(), augment.shift_m * uniform().abs()
    return Changes(
        roll_rad=augment.roll_rad * strength * uniform(),
        size=(torch.log1p(torch.tensor(augment.scale)) * uniform()).exp(),
        shift_m=torch.stack([angle.cos(), angle.sin()], dim=-1) * length[:, None],
        is_mirrored=uniform() < 2 * augment.mirror - 1,
    )


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


def with_other_rooms(
    wide: WideCrops, is_swapped: Bool[Tensor, "B"]
) -> tuple[Float[Tensor, "B 3 S S"], Float[Tensor, "B 1 S S"]]:
    """Lay the person over another room, in some images; give images and masks in [0, 1]."""
    image, mask, room = (part.float() / 255 for part in (wide.image, wide.mask[:, None], wide.room))
    behind = (1 - mask) * is_swapped[:, None, None, None]
    return torch.lerp(image, room, behind), mask


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


def sampling_grid(cameras: NewCameras, wide: WideCrops, size_px: int) -> Float[Tensor, "B H W 2"]:
    """Say where in a wide crop every pixel of a new one looks, in grid_sample's units.

    Source: Hartley and Zisserman, Multiple View Geometry, 8.4.2, for two cameras at one place.
    """
    place = (torch.arange(size_px, device=wide.side_m.device) + 0.5) / size_px * 2 - 1
    half_width = cameras.side_m / (2 * cameras.distance_m)
    x = (half_width * cameras.flip)[:, None, None] * place[None, None, :].expand(1, size_px, size_px)
    y = half_width[:, None, None] * place[None, :, None].expand(1, size_px, size_px)
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ cameras.R_crop_from_wide[:, None]  # R^T on each ray
    return rays[..., :2] / rays[..., 2:] * (2 * wide.distance_m / wide.side_m)[:, None, None, None]


def joints_in(
    cameras: NewCameras, wide: WideCrops, size: Float[Tensor, "B"], mirrored_rows: list[int]
) -> tuple[Float[Tensor, "B J 3"], Float[Tensor, "B J 2"]]:
    """Give joints about the pelvis and where they are seen, in the axes and the size of new crops."""
    ahead_m = torch.stack([torch.zeros_like(wide.distance_m), torch.zeros_like(wide.distance_m), wide.distance_m], -1)
    joints_m = (wide.joints_m + ahead_m[:, None]) @ cameras.R_crop_from_wide.mT
    flip = torch.stack([cameras.flip, torch.ones_like(cameras.flip), torch.ones_like(cameras.flip)], dim=-1)
    joints_m = joints_m * flip[:, None]
    joints_m = torch.where((cameras.flip < 0)[:, None, None], joints_m[:, mirrored_rows], joints_m)
    seen_m = joints_m[..., :2] / joints_m[..., 2:] * cameras.distance_m[:, None, None]
    return (joints_m - joints_m[:, :1]) / size[:, None, None], seen_m / size[:, None, None]


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


def cut_changed(
    wide: WideCrops, changes: Changes, is_swapped: Bool[Tensor, "B"], crop: Crop, mirrored_rows: list[int]
) -> ChangedCrops:
    """Cut crops out of wide ones, all by one warp.

    A crop that is larger in metres shows a smaller person.  One image does not tell the size of what it shows, so
    joints are as large as they seem in a crop of `crop.side_m`.

    Args:
        mirrored_rows: for every joint, the row of its counterpart on the other side of the body.
    """
    images, masks = with_other_rooms(wide, is_swapped)
    cameras = new_cameras(wide.distance_m, changes, crop.side_m)
    grid = sampling_grid(cameras, wide, crop.size_px)
    cut = grid_sample(torch.cat([images, masks], dim=1), grid, align_corners=False)
    joints_root_m, seen_m = joints_in(cameras, wide, changes.size, mirrored_rows)
    return ChangedCrops(cut[:, :3], joints_root_m, seen_m, cut[:, 3:], wide.confidence)


def augmented(
    wide: WideCrops,
    augment: ImageAugmentation,
    done: float,
    crop: Crop,
    mirrored_rows: list[int],
    generator: torch.Generator,
) -> ChangedCrops:
    """Cut random crops, with other rooms and colours.

    Args:
        done: share of the training that is over; roll and colours fall to `augment.end` of their strength.  The share
            of other rooms falls half as far: with few of them to the end, the room tells the camera, and the camera
            which way somebody faces.
    Source: ranges of the saturation by trial.
    """
    strength = 1 + (augment.end - 1) * done
    count = len(wide.image)
    changes = random_changes(count, augment, strength, generator)
    share = augment.background * (1 + strength) / 2
    swapped = torch.rand(count, generator=generator, device=generator.device) < share
    crops = cut_changed(wide, changes, swapped, crop, mirrored_rows)
    image = resaturated(crops.image, augment.saturation * strength, generator)
    image = jitter_colours(image, augment.colour * strength, augment.permute_channels, generator)
    return crops._replace(image=image)


def resaturated(
    images: Float[Tensor, "B 3 H W"], strength: float, generator: torch.Generator
) -> Float[Tensor, "B 3 H W"]:
    """Make every image paler or a little more colourful: clothes of other colours look alike in grey."""
    drawn = torch.rand(len(images), generator=generator, device=generator.device).to(images)
    saturation = 1 + strength * (0.9 * drawn - 0.7)[:, None, None, None]
    grey = images.mean(dim=1, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 1)
