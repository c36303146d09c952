"""What cameras, frames and other things do to pictures of people: exposure, blur, noise, compression, things in front.

Whole batches on the device that trains.  Joints do not move; masks lose what is hidden.
"""

from math import pi

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from utils.whole_batch import Draws, rand, randn, shuffled

BLUR_PX = 7
"""Side of the kernel of motion blur, odd."""
BLOCK_PX = 8
"""Side of what JPEG compresses by itself."""
JPEG_QUALITY = (40.0, 95.0)
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)
"""Steps of the coefficients at quality 50.  Source: ITU-T T.81, tables K.1 and K.2."""
YCC_FROM_RGB = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Source: JFIF 1.02."""

Images = Float[Tensor, "B 3 H W"]


def drawn(count: int, low: float, high: float, generator: Draws) -> Float[Tensor, "B 1 1 1"]:
    """Draw one uniform number for every image."""
    return low + (high - low) * rand((count, 1, 1, 1), generator)


def middles(size_px: int, generator: Draws) -> Float[Tensor, "S"]:
    """Give the middles of the pixels of a row, as shares of its length."""
    return (torch.arange(size_px, device=generator.device) + 0.5) / size_px


def exposed(images: Images, strength: float, generator: Draws) -> Images:
    """Expose by up to a stop more or less, bend the tones, and warm or cool the light; what is too bright is cut."""
    count = len(images)
    gain = torch.exp2(drawn(count, -strength, strength, generator))
    tones = torch.exp2(drawn(count, -0.7 * strength, 0.7 * strength, generator))
    warmth = drawn(count, -0.25 * strength, 0.25 * strength, generator)
    balance = torch.cat([warmth, torch.zeros_like(warmth), -warmth], dim=1).exp()
    return (images.clamp_min(0) * gain * balance).clamp(0, 1) ** tones


def line_kernels(
    length_px: Float[Tensor, "B 1 1"], angle_rad: Float[Tensor, "B 1 1"]
) -> Float[Tensor, "B BLUR_PX BLUR_PX"]:
    """Draw a line through the middle of each kernel, as what moves while the shutter is open leaves it."""
    place = torch.arange(BLUR_PX, device=length_px.device) - BLUR_PX // 2.0
    y, x = torch.meshgrid(place, place, indexing="ij")
    along = x * angle_rad.cos() + y * angle_rad.sin()
    beside = y * angle_rad.cos() - x * angle_rad.sin()
    line = (length_px / 2 + 0.5 - along.abs()).clamp(0, 1) * (1 - beside.abs()).clamp_min(0)
    return line / line.sum((1, 2), keepdim=True)


def moved(images: Images, strength: float, generator: Draws) -> Images:
    """Blur along a line, half of the images, by up to 5 pixels; others lose up to half of their resolution."""
    count = len(images)
    length = drawn(count, -5 * strength, 5 * strength, generator).clamp_min(0)
    kernels = line_kernels(length[..., 0], drawn(count, 0, pi, generator)[..., 0])
    border = BLUR_PX // 2
    around = pad(images, (border,) * 4, mode="replicate").flatten(0, 1)[None]
    blurred = conv2d(around, kernels.to(images).repeat_interleave(3, 0)[:, None], groups=3 * count)[0].unflatten(
        0, (count, 3)
    )
    coarse = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear", align_corners=False)
    coarseness = drawn(count, -strength, strength, generator).clamp_min(0).to(images)
    return torch.where(length.to(images) > 0, blurred, torch.lerp(images, coarse, coarseness))


def noisy(images: Images, strength: float, generator: Draws) -> Images:
    """Add noise, grey and coloured, of up to 15 of 255 levels."""
    spread = drawn(len(images), 0, 0.06 * strength, generator)
    coloured, grey = randn(images.shape, generator), randn(images[:, :1].shape, generator)
    return (images + (spread * (coloured + grey) / 2**0.5).to(images)).clamp(0, 1)


def cosines() -> Float[Tensor, "8 8"]:
    """Give the orthonormal cosine transform of 8 numbers, DCT-II."""
    n = torch.arange(BLOCK_PX, dtype=torch.float64)
    table = torch.cos((2 * n[None] + 1) * n[:, None] * pi / (2 * BLOCK_PX)) * (2 / BLOCK_PX) ** 0.5
    table[0] /= 2**0.5
    return table.float()


def quantised(
    channel: Float[Tensor, "B C H W"], steps: Float[Tensor, "B 8 8"], transform: Float[Tensor, "8 8"]
) -> Float[Tensor, "B C H W"]:
    """Round the coefficients of every block of 8 x 8 pixels, levels about zero, to multiples of their steps."""
    blocks = channel.unflatten(3, (-1, BLOCK_PX)).unflatten(2, (-1, BLOCK_PX)).transpose(3, 4)
    found = transform @ blocks @ transform.T
    rounded = (found / steps[:, None, None, None]).round() * steps[:, None, None, None]
    return (transform.T @ rounded @ transform).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def compressed(images: Images, quality: Float[Tensor, "B"]) -> Images:
    """Compress as JPEG does, colour at half the resolution; sides are multiples of 16.

    Source: ITU-T T.81, annexes A and K; quality as the Independent JPEG Group's library scales the tables.
    """
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None].to(images)
    steps = [
        ((images.new_tensor(table) * scale + 50) / 100).floor().clamp(1, 255) for table in (LUMINANCE, CHROMINANCE)
    ]
    turn, transform = images.new_tensor(YCC_FROM_RGB), cosines().to(images)
    levels = torch.einsum("ij,bjhw->bihw", turn, 255 * images)
    bright = quantised(levels[:, :1] - 128, steps[0], transform) + 128
    colour = quantised(avg_pool2d(levels[:, 1:], 2), steps[1], transform)
    colour = interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(turn), torch.cat([bright, colour], dim=1))
    return (rgb / 255).clamp(0, 1)


def photographed(images: Images, strength: float, generator: Draws) -> Images:
    """Let a camera take the pictures: light, movement, resolution, noise and compression, each image's by chance.

    Args:
        strength: 0 leaves them as they are; at 1 the ranges are those of the functions above.
    """
    if strength == 0:
        return images
    images = moved(exposed(images, strength, generator), strength, generator)
    images = noisy(images, strength, generator)
    low, high = JPEG_QUALITY
    quality = drawn(len(images), high - strength * (high - low), high, generator)[:, 0, 0, 0]
    return compressed(images, quality)


def shapes(count: int, size_px: int, generator: Draws) -> Bool[Tensor, "B 1 H W"]:
    """Draw one rectangle or ellipse for every image, anywhere, turned, a tenth to half of the image long."""
    place = middles(size_px, generator)
    x, y = (place - drawn(count, 0, 1, generator)[..., 0] for _ in range(2))
    x, y = x[:, None, None, 0], y[:, None, None, 0].transpose(2, 3)
    angle = drawn(count, 0, pi, generator)
    half_long, half_wide = drawn(count, 0.05, 0.25, generator), drawn(count, 0.03, 0.12, generator)
    along, beside = (x * angle.cos() + y * angle.sin()) / half_long, (y * angle.cos() - x * angle.sin()) / half_wide
    is_round = drawn(count, -1, 1, generator) > 0
    return torch.where(is_round, along.square() + beside.square() < 1, (along.abs() < 1) & (beside.abs() < 1))


def partly_hidden(
    images: Images, masks: Float[Tensor, "B 1 H W"], share: float, generator: Draws
) -> tuple[Images, Float[Tensor, "B 1 H W"]]:
    """Put things before some images, up to two each: a part of another image, or something of one colour."""
    if share == 0:
        return images, masks
    count, size_px = len(images), images.shape[-1]
    for _ in range(2):
        is_hit = (drawn(count, 0, 1, generator) < share) & (drawn(count, 0, 1, generator) < 0.7)
        covered = shapes(count, size_px, generator) & is_hit
        other = shuffled(images, generator).flip(-2)
        flat = rand((count, 3, 1, 1), generator).expand_as(images)
        thing = torch.where(drawn(count, 0, 1, generator) < 0.5, flat.to(images), other)
        images, masks = torch.where(covered, thing, images), masks * ~covered
    return images, masks


def beyond_the_frame(
    images: Images, masks: Float[Tensor, "B 1 H W"], share: float, generator: Draws
) -> tuple[Images, Float[Tensor, "B 1 H W"]]:
    """Let some crops look beyond a side of their picture, where it is black, by up to a third of the crop."""
    if share == 0:
        return images, masks
    count, size_px = len(images), images.shape[-1]
    place = middles(size_px, generator)
    depth = drawn(count, 0, 1 / 3, generator) * (drawn(count, 0, 1, generator) < share)
    side = (4 * drawn(count, 0, 1, generator)).long().clamp_max(3)
    across = torch.where(side % 2 == 0, place[None, None, None], place[None, None, :, None])
    is_beyond = torch.where(side < 2, across, 1 - across) < depth
    return images * ~is_beyond, masks * ~is_beyond
