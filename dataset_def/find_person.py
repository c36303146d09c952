"""Find the box of the person in every frame of a user's pictures, and say how it was found."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from config import PredictConfig
from dataset_def.person_segmentation import REMEDY, PersonSegmenter, is_available
from dataset_def.pictures import Picture, Pictures
from utils.image import read_mask
from utils.person_box import Box, box_of_mask, box_of_movement, check_box, empty_scene, smooth_boxes, spread

SCENE_FRAMES = 40
"""At most so many, and more than half of it, are behind the empty scene; a video may not tell its length."""
LEAST_FRAMES_WITH_MOVEMENT = 0.3
"""Share of a video's frames; below it, movement does not tell where the person is."""


class Finder(NamedTuple):
    """How boxes are found."""

    how: str
    """For the user to read."""
    box: Callable[[int, Picture], Box | None]
    """Number of the frame (from 0) and the frame -> the person's box, None if there is nobody."""


def make_finder(pictures: Pictures, config: PredictConfig) -> Finder:
    """Choose: the given box, the given masks, what moves in a video, or the segmentation network.

    Raises:
        ValueError: nothing tells where the person is; the sentence says what to give.
    """
    if config.box is not None:
        given = Box(*config.box)
        return Finder("the given box", lambda _, picture: _checked(given, picture))
    if config.mask is not None:
        return _by_masks(config.mask)
    if pictures.kind == "video" and config.find in ("auto", "movement"):
        segmenter = PersonSegmenter(config.segmentation) if is_available(config.segmentation) else None
        boxes = moving_boxes(pictures, segmenter)
        if np.isfinite(boxes).all(1).mean() >= LEAST_FRAMES_WITH_MOVEMENT:
            smooth = smooth_boxes(boxes)
            how = "what moves before the still camera" + (", the scene cleared by segmentation" if segmenter else "")
            return Finder(how, lambda number, _: Box(*smooth[number].tolist()))
        if config.find == "movement" or not is_available(config.segmentation):
            raise ValueError(f"nothing of a person's size moves in {pictures.source}; give --box X Y WIDTH HEIGHT or "
                             f"--mask, or install the segmentation extra: {REMEDY}")  # fmt: skip
    if config.find == "movement":
        raise ValueError(f"--find movement needs a video, and {pictures.source} is none; give --box or --mask")
    return _by_segmentation(pictures, config)


def _checked(box: Box, picture: Picture) -> Box:
    check_box(box, picture.rgb.shape[1], picture.rgb.shape[0], picture.name)
    return box


def _by_masks(place: Path) -> Finder:
    """Read masks: one file for all frames, or a folder with a mask of each frame's name."""
    if not place.exists():
        raise FileNotFoundError(f"mask {place} does not exist")

    def box(_: int, picture: Picture) -> Box:
        path = place / f"{picture.name}.png" if place.is_dir() else place
        mask = read_mask(path)
        if mask.shape != picture.rgb.shape[:2]:
            raise ValueError(f"mask {path} is {mask.shape[1]} x {mask.shape[0]} pixels, its picture "
                             f"{picture.rgb.shape[1]} x {picture.rgb.shape[0]}; make them the same size")  # fmt: skip
        return box_of_mask(mask, str(path))

    return Finder(f"masks ({place})", box)


def moving_boxes(pictures: Pictures, segmenter: PersonSegmenter | None = None) -> Float[np.ndarray, "N 4"]:
    """Find what moves in every frame of a video; NaN where nothing does.  Reads the video twice, a frame at a time.

    Args:
        segmenter: keeps people out of the empty scene, if it is there.
    """
    people = None if segmenter is None else segmenter.people
    scene = empty_scene(spread((picture.rgb for picture in pictures.frames()), SCENE_FRAMES), people)
    boxes = []
    for picture in tqdm(pictures.frames(), total=pictures.num_frames, desc="looking for movement", disable=None):
        box = box_of_movement(picture.rgb, scene)
        boxes.append([np.nan] * 4 if box is None else list(box))
    return np.array(boxes)


def _by_segmentation(pictures: Pictures, config: PredictConfig) -> Finder:
    """Use the segmentation network."""
    if not is_available(config.segmentation):
        raise ValueError(f"nothing tells where the person is in {pictures.source}; give --box X Y WIDTH HEIGHT or "
                         f"--mask, or install the segmentation extra: {REMEDY}")  # fmt: skip
    segmenter = PersonSegmenter(config.segmentation)

    def box(_: int, picture: Picture) -> Box | None:
        mask = segmenter.mask(picture.rgb)
        return box_of_mask(mask, picture.name) if 0.001 < (mask > 128).mean() <= 0.95 else None

    return Finder("the segmentation network", box)
