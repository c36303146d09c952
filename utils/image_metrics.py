"""How far a predicted image is from the true one: over the image, or inside a box.  RGB in [0, 1]."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5


def box_pixels(boxes_px: Int[Tensor, "B 4"], height: int, width: int) -> Bool[Tensor, "B H W"]:
    """Mark the pixels of boxes given as left, top, right, bottom; right and bottom are not part of the box.

    Raises:
        ValueError: a box holds no pixel of the image.
    """
    left, top, right, bottom = boxes_px[:, :, None, None].unbind(dim=1)
    y = torch.arange(height, device=boxes_px.device)[None, :, None]
    x = torch.arange(width, device=boxes_px.device)[None, None, :]
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    empty = (~inside.flatten(1).any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"box {boxes_px[empty[0]].tolist()} holds no pixel of a {width} x {height} px image")
    return inside


def person_boxes(mask: Float[Tensor, "B 1 H W"], margin_px: int = 0) -> Int[Tensor, "B 4"]:
    """Give the smallest box (left, top, right, bottom) around each mask; the whole image where a mask is empty."""
    height, width = mask.shape[-2:]
    person = mask[:, 0] > 0.5
    person = person | ~person.flatten(1).any(dim=1)[:, None, None]
    edges = []
    for along, size in ((person.any(dim=1), width), (person.any(dim=2), height)):
        first = along.int().argmax(dim=1)
        last = size - along.flip(1).int().argmax(dim=1)
        edges.append(((first - margin_px).clamp_min(0), (last + margin_px).clamp_max(size)))
    return torch.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], dim=1)


def mean_inside(values: Float[Tensor, "B H W"], inside: Bool[Tensor, "B H W"] | None) -> Float[Tensor, "B"]:
    """Average the values of each image over the marked pixels, or over all."""
    if inside is None:
        return values.flatten(1).mean(dim=1)
    weight = inside.to(values.dtype)
    return (values * weight).flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1)


def l1(
    predicted: Float[Tensor, "B 3 H W"], true: Float[Tensor, "B 3 H W"], inside: Bool[Tensor, "B H W"] | None = None
) -> Float[Tensor, "B"]:
    """Average the absolute difference of RGB."""
    return mean_inside((predicted - true).abs().mean(dim=1), inside)


def psnr_db(
    predicted: Float[Tensor, "B 3 H W"], true: Float[Tensor, "B 3 H W"], inside: Bool[Tensor, "B H W"] | None = None
) -> Float[Tensor, "B"]:
    """Measure the peak signal-to-noise ratio in decibels; at most 100, which stands for equal images."""
    squared = mean_inside((predicted - true).square().mean(dim=1), inside)
    return -10 * squared.clamp_min(1e-10).log10()


def ssim(
    predicted: Float[Tensor, "B 3 H W"], true: Float[Tensor, "B 3 H W"], inside: Bool[Tensor, "B H W"] | None = None
) -> Float[Tensor, "B"]:
    """Measure structural similarity where the window lies fully inside the image.

    Source: Wang et al., IEEE TIP 13(4), 2004, equation 13, Gaussian window of 11 pixels, sigma 1.5, K 0.01 and 0.03.
    """
    similarity = similarity_map(predicted, true)
    border = SSIM_WINDOW_PX // 2
    return mean_inside(similarity, None if inside is None else inside[:, border:-border, border:-border])


def similarity_map(x: Float[Tensor, "B 3 H W"], y: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w"]:
    """Compute SSIM at every position of the window, averaged over the colours."""
    # float64: the variances are differences of nearly equal numbers.
    x, y = x.double(), y.double()
    mean_x, mean_y = blurred(x), blurred(y)
    variance_x = blurred(x * x) - mean_x**2
    variance_y = blurred(y * y) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    C1, C2 = 0.01**2, 0.03**2
    brightness = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    return (brightness * structure).mean(dim=1).float()


def blurred(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 h w"]:
    """Average over a Gaussian window, only where it fits into the image."""
    away = torch.arange(SSIM_WINDOW_PX, dtype=images.dtype, device=images.device) - SSIM_WINDOW_PX // 2
    window = torch.exp(-(away**2) / (2 * SSIM_SIGMA_PX**2))
    window = (window / window.sum()).repeat(3, 1, 1, 1)
    down = functional.conv2d(images, window.mT, groups=3)
    return functional.conv2d(down, window, groups=3)


def image_errors(
    predicted: Float[Tensor, "B 3 H W"], true: Float[Tensor, "B 3 H W"], mask: Float[Tensor, "B 1 H W"]
) -> dict[str, Float[Tensor, "B"]]:
    """Measure every image inside the person's box (2 px wider than the mask) and over the image."""
    inside = box_pixels(person_boxes(mask, margin_px=2), *mask.shape[-2:])
    errors = {}
    for name, measure in (("l1", l1), ("psnr_db", psnr_db), ("ssim", ssim)):
        errors[f"{name}_in_box"] = measure(predicted, true, inside)
        errors[f"{name}_image"] = measure(predicted, true)
    return errors
