"""Random crops of whole batches: roll, size, shift and mirror image by one warp, another room behind the person before,
and what cameras do to pictures after.

Images, masks and joints come from one crop camera each, so labels stay exact.  A wide crop holds the margin; what lies
beyond it is black, as beyond the border of an image.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from config import Crop, ImageAugmentation
from dataset_def.photographic import beyond_the_frame, partly_hidden, photographed
from utils.image import jitter_colours
from utils.new_cameras import Changes, NewCameras, in_new_axes, new_cameras, seen_at
from utils.whole_batch import Draws, rand, shuffled


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


def dealt_anew(wide: WideCrops, generator: Draws) -> WideCrops:
    """Deal the empty rooms of a batch to its images anew, so that crops that are kept in memory meet all rooms."""
    return wide._replace(room=shuffled(wide.room.flatten(end_dim=-4), generator).view_as(wide.room))


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


def random_changes(count: int, augment: ImageAugmentation, strength: float, generator: Draws) -> Changes:
    """Draw changes; roll falls with the strength, the others stay.

    Source: a network whose shifts fell towards the end of the training read people 0.1 m beside the middle at 131 mm
    instead of 94 (a trial), so shifts do not fall.
    """

    def uniform(*shape: int) -> Tensor:
        return 2 * rand((count, *shape), generator) - 1

    angle, length = torch.pi * uniform(), augment.shift_m * uniform().abs()
    return Changes(
        roll_rad=augment.roll_rad * strength * uniform(),
        size=(torch.log1p(torch.tensor(augment.scale)) * uniform()).exp(),
        shift_m=torch.stack([angle.cos(), angle.sin()], dim=-1) * length[:, None],
        is_mirrored=uniform() < 2 * augment.mirror - 1,
    )


def with_other_rooms(
    wide: WideCrops, is_swapped: Bool[Tensor, "B"]
) -> tuple[Float[Tensor, "B 3 S S"], Float[Tensor, "B 1 S S"]]:
    """Lay the person over another room, in some images; give images and masks in [0, 1]."""
    image, mask, room = (part.float() / 255 for part in (wide.image, wide.mask[:, None], wide.room))
    behind = (1 - mask) * is_swapped[:, None, None, None]
    return torch.lerp(image, room, behind), mask


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
    joints_m = in_new_axes(wide.joints_m, cameras, wide.distance_m, mirrored_rows)
    seen_m = seen_at(joints_m, cameras)
    return (joints_m - joints_m[:, :1]) / size[:, None, None], seen_m / size[:, None, None]


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
    generator: Draws,
) -> ChangedCrops:
    """Cut random crops, with other rooms and colours.

    Args:
        done: share of the training that is over; roll and colours fall to `augment.end` of their strength.  The share
            of other rooms falls half as far: with few of them to the end, the room tells the camera, and the camera
            which way somebody faces.
    """
    strength = 1 + (augment.end - 1) * done
    share = augment.background * (1 + strength) / 2
    return changed_at_random(wide, augment, strength, share, crop, mirrored_rows, generator)[0]


def changed_at_random(
    wide: WideCrops,
    augment: ImageAugmentation,
    strength: float,
    rooms: float,
    crop: Crop,
    mirrored_rows: list[int],
    generator: Draws,
) -> tuple[ChangedCrops, Changes]:
    """Cut random crops, and say how they were changed.

    Args:
        strength: of roll and colours, 1 for what the settings say.
        rooms: share of images whose room is another.
    Source: ranges of the saturation by trial.
    """
    count = len(wide.image)
    changes = random_changes(count, augment, strength, generator)
    swapped = rand((count,), generator) < rooms
    crops = cut_changed(wide, changes, swapped, crop, mirrored_rows)
    image, mask = partly_hidden(crops.image, crops.mask, augment.occluders, generator)
    image = resaturated(image, augment.saturation * strength, generator)
    image = jitter_colours(image, augment.colour * strength, augment.permute_channels, generator)
    image, mask = beyond_the_frame(photographed(image, augment.photo, generator), mask, augment.border, generator)
    return crops._replace(image=image, mask=mask), changes


def resaturated(images: Float[Tensor, "B 3 H W"], strength: float, generator: Draws) -> Float[Tensor, "B 3 H W"]:
    """Make every image paler or a little more colourful: clothes of other colours look alike in grey."""
    drawn = rand((len(images),), generator).to(images)
    saturation = 1 + strength * (0.9 * drawn - 0.7)[:, None, None, None]
    grey = images.mean(dim=1, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 1)
