"""Pictures cut anew: bilinear warps and shrinking by areas, by OpenCV where it is installed and NumPy where it is not.

A training from packed crops runs without OpenCV.  The two agree to a grey level or two: OpenCV rounds places to a
thirty-second of a pixel.
"""

import numpy as np
from jaxtyping import Float, UInt8

from utils.optional import is_installed, later

cv2 = later("cv2")
Picture = UInt8[np.ndarray, "H W *c"]
NewPicture = UInt8[np.ndarray, "h w *c"]


def warped(image: Picture, from_new: Float[np.ndarray, "3 3"], width_px: int, height_px: int) -> NewPicture:
    """Draw a picture anew through a homography; what lies outside is black.

    Args:
        from_new: takes pixels of the new picture to those of the old one; centres of pixels are whole numbers.
    """
    if is_installed("cv2"):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(image, from_new, (width_px, height_px), flags=flags)
    x, y = np.meshgrid(np.arange(width_px, dtype=float), np.arange(height_px, dtype=float))
    place = np.stack([x, y, np.ones_like(x)], axis=-1) @ from_new.T
    return sampled(image, place[..., 0] / place[..., 2], place[..., 1] / place[..., 2])


def remapped(image: Picture, x_px: Float[np.ndarray, "h w"], y_px: Float[np.ndarray, "h w"]) -> NewPicture:
    """Draw a picture anew, given where every new pixel looks; centres of pixels are whole numbers."""
    if is_installed("cv2"):
        return cv2.remap(image, x_px, y_px, cv2.INTER_LINEAR)
    return sampled(image, x_px, y_px)


def sampled(image: Picture, x_px: Float[np.ndarray, "h w"], y_px: Float[np.ndarray, "h w"]) -> NewPicture:
    """Read a picture between its pixels, linearly along both axes; what lies outside is black."""
    height, width = image.shape[:2]
    framed = np.pad(image, [(1, 2), (1, 2), *[(0, 0)] * (image.ndim - 2)]).astype(np.float32)
    x, y = np.clip(x_px + 1, 0, width + 1), np.clip(y_px + 1, 0, height + 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    across, down = ((place - low).astype(np.float32).reshape(*place.shape, *[1] * (image.ndim - 2))
                    for place, low in ((x, left), (y, top)))  # fmt: skip
    upper = framed[top, left] * (1 - across) + framed[top, left + 1] * across
    lower = framed[top + 1, left] * (1 - across) + framed[top + 1, left + 1] * across
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)


def shrunk(image: Picture, width_px: int, height_px: int) -> NewPicture:
    """Make a picture smaller, each new pixel the mean of the area that it covers."""
    if is_installed("cv2"):
        return cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_AREA)
    flat = image.reshape(*image.shape[:2], -1).astype(np.float32)
    rows, columns = area_shares(image.shape[0], height_px), area_shares(image.shape[1], width_px)
    smaller = np.einsum("ij,jkc,lk->ilc", rows, flat, columns, optimize=True)
    return np.rint(smaller).astype(np.uint8).reshape(height_px, width_px, *image.shape[2:])


def area_shares(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Say which share of every new pixel along an axis each old one fills."""
    edges = np.arange(new + 1) * (old / new)
    first, last = edges[:-1, None], edges[1:, None]
    place = np.arange(old)
    overlap = np.minimum(last, place + 1) - np.maximum(first, place)
    return (np.clip(overlap, 0, None) * (new / old)).astype(np.float32)
