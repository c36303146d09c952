"""Images as addresses that hold their content, and the picture rows that test scripts store."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from utils.artifacts import NOT_DRAWN
from utils.figures.training import points_in_views
from utils.image import encode, read_image

PICTURE_GROUPS = {
    "Novel views": {"grid_input": "input", "grid_target": "true other view", "grid_predicted": "predicted"},
    "One image, turned about the vertical": {"turntable_input": "input", "turntable": ""},
    "The pose of one, the appearance of another": {"swap_pose": "pose from", "swap_appearance": "appearance from",
                                             "swapped": "predicted"},
}  # fmt: skip
"""Picture arrays that belong together, in order, and what a reader calls them."""
POINTS = "The points of one image, there and turned to another camera"
OF_FRAMES = ("example_image", "extreme_image")
"""Shown with the frames they belong to."""
MOST_ROWS = 8
LARGEST_PICTURE_PX = 1600
QUALITY = 88


class Strip(NamedTuple):
    """Images in rows, with titles above or in front."""

    title: str
    columns: list[str]
    heads: list[str]
    """Titles of the rows, if the kinds of pictures stand below each other."""
    rows: list[list[str]]
    """Addresses of the images."""


class Figure(NamedTuple):
    """A picture file of the run."""

    name: str
    address: str
    width_px: int
    height_px: int


def address(image: UInt8[np.ndarray, "H W 3"], lossless: bool = True) -> str:
    """Write an image into an address of its own (data:)."""
    kind = "png" if lossless else "jpg"
    content = base64.b64encode(encode(image, f".{kind}", QUALITY)).decode()
    return f"data:image/{'png' if lossless else 'jpeg'};base64,{content}"


def is_pictures(values: np.ndarray) -> bool:
    """Tell whether an array holds pictures (N, H, W, 3), or several per example (N, K, H, W, 3)."""
    return values.dtype == np.uint8 and values.ndim in (4, 5) and values.shape[-1] == 3 and len(values) > 0


def strips(arrays: Mapping[str, np.ndarray]) -> list[Strip]:
    """Lay out all stored pictures, those that belong together side by side."""
    stored = {name: values for name, values in arrays.items() if is_pictures(values) and name not in OF_FRAMES}
    points = points_in_views(arrays)
    stored |= points
    groups = {POINTS: {name: name for name in points}} | PICTURE_GROUPS
    together = [
        (title, {name: names[name] for name in names if name in stored}) for title, names in groups.items()
        if NOT_DRAWN not in arrays or title == POINTS
    ]  # fmt: skip
    known = {name for names in groups.values() for name in names}
    others = [(name.replace("_", " "), {name: ""}) for name in stored if name not in known]
    return [strip(title, names, stored) for title, names in together + others if names]


def strip(title: str, names: Mapping[str, str], stored: Mapping[str, np.ndarray]) -> Strip:
    """Lay out pictures that belong together: a column per example, or, of those with many pictures, a row."""
    columns: list[str] = []
    blocks = []
    for name, shown in names.items():
        values = stored[name] if stored[name].ndim == 5 else stored[name][:, None]
        count = values.shape[1]
        columns += [shown] if count == 1 else [f"{360 * k / count:g}°" for k in range(count)]
        blocks.append(values[:MOST_ROWS])
    rows = [[address(image) for block in blocks for image in block[row]] for row in range(min(map(len, blocks)))]
    if len(columns) >= len(rows):
        return Strip(title, columns, [], rows)
    return Strip(
        title, [""] * len(rows), columns if any(columns) else [], [list(kind) for kind in zip(*rows, strict=True)]
    )


def figure(path: Path) -> Figure:
    """Take a picture file into the page, made smaller if it is very large."""
    image = read_image(path)
    shrink = LARGEST_PICTURE_PX / max(image.shape[:2])
    if shrink < 1:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    height_px, width_px = image.shape[:2]
    is_drawing = path.suffix == ".png" and len(np.unique(image[::7, ::7].reshape(-1, 3), axis=0)) < 2000
    return Figure(path.stem.replace("_", " "), address(image, lossless=is_drawing), width_px, height_px)
