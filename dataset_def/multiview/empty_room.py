"""The empty room behind a person who hardly moves: a median of what the masks leave, completed from other pictures."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

LEAST_VIEWS = 3
"""Times that a pixel must have been free of the person."""
MARGIN = 1 / 160
"""The masks are widened by this part of the picture's longer side (12 px of 1920): soft edges and shadows."""
BLEND_PX = 40
"""Over this distance the brightness of another picture is fitted to the median beside it."""
BAND_ROWS = 64


class Room(NamedTuple):
    """A background, and where it comes from."""

    image: UInt8[np.ndarray, "H W 3"]
    source: UInt8[np.ndarray, "H W"]
    """One of the numbers below."""


OWN, OTHER_PICTURE, INPAINTED = 0, 1, 2


def widened(mask: UInt8[np.ndarray, "H W"], margin: float = MARGIN) -> Bool[np.ndarray, "H W"]:
    """Grow a mask by a disc, of at least two pixels."""
    by_px = max(2, round(margin * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1, 2 * by_px + 1))
    return cv2.dilate(mask, disc) > 128


def masked_median(
    images: UInt8[np.ndarray, "T H W 3"], is_person: Bool[np.ndarray, "T H W"]
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Compute the median over the frames without the person, a band of rows at a time, and where it is known."""
    median = np.zeros(images.shape[1:], np.uint8)
    count = (~is_person).sum(axis=0)
    for top in range(0, images.shape[1], BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        values = images[:, band].astype(np.int16)
        values[is_person[:, band]] = 256
        values.sort(axis=0)
        middle = np.maximum(count[band] - 1, 0) // 2
        median[band] = np.take_along_axis(values, middle[None, ..., None], axis=0)[0].clip(0, 255)
    return median, count >= LEAST_VIEWS


def blurred_where(values: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """Blur known values only (normalised convolution), at a quarter of the size; zero far from them."""
    weight = known.astype(np.float32)
    size = (max(1, known.shape[1] // 4), max(1, known.shape[0] // 4))
    small = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (values * weight[..., None], weight)]
    total, share = (cv2.GaussianBlur(part, (0, 0), BLEND_PX / 4) for part in small)
    return cv2.resize(total / (share[..., None] + 1e-3), known.shape[::-1], interpolation=cv2.INTER_LINEAR)


def complete(
    image: UInt8[np.ndarray, "H W 3"],
    known: Bool[np.ndarray, "H W"],
    other: UInt8[np.ndarray, "H W 3"],
    other_known: Bool[np.ndarray, "H W"],
) -> Room:
    """Fill what is not known from another picture of the same camera, its brightness fitted, and inpaint the rest."""
    difference = image.astype(np.float32) - other
    both = known & other_known & (np.abs(difference).max(axis=-1) < 40)
    fitted = np.clip(other + blurred_where(difference, both), 0, 255).astype(np.uint8)
    source = np.where(known, OWN, np.where(other_known, OTHER_PICTURE, INPAINTED)).astype(np.uint8)
    filled = np.where((source == OTHER_PICTURE)[..., None], fitted, image)
    if (source == INPAINTED).any():
        filled = cv2.inpaint(filled, (source == INPAINTED).astype(np.uint8), 5, cv2.INPAINT_TELEA)
    return Room(filled, source)


def outside_boxes(shape: tuple[int, int], boxes: tuple[tuple[int, int, int, int], ...]) -> Bool[np.ndarray, "H W"]:
    """Mark the pixels outside of all (left, top, right, bottom) boxes."""
    outside = np.ones(shape, dtype=bool)
    for left, top, right, bottom in boxes:
        outside[top:bottom, left:right] = False
    return outside


def difference_from(
    room: UInt8[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"], image: UInt8[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"]:
    """Measure how far a picture differs from the empty room, 0 to 255, slightly blurred; NaN where not known."""
    changed = cv2.absdiff(room, image).max(axis=-1).astype(np.float32)
    changed = cv2.GaussianBlur(changed, (0, 0), 2.0)
    changed[~known] = np.nan
    return changed
