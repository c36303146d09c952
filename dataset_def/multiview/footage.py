"""Videos and folders of images as streams of RGB frames, and what is known of them before they are read."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from dataset_def.pictures import IMAGES, VIDEOS, read_picture
from dataset_def.quiet_video import opened_video


class Footage(NamedTuple):
    """One camera's pictures."""

    path: Path
    """A video, or a folder of images."""
    num_frames: int
    frames_per_second: float
    """0 where it is not known."""
    width_px: int
    height_px: int


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort names with numbers as people do: frame_2 before frame_10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name) if part]


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder, in order."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGES), key=natural)


def is_footage(path: Path) -> bool:
    """Tell whether a path is a video by its name, or a folder with images."""
    return bool(images_in(path)) if path.is_dir() else path.suffix.lower() in VIDEOS


def probe(path: Path) -> Footage:
    """Find out how long and how large a camera's pictures are.

    Raises:
        FileNotFoundError, ValueError: missing, empty, or nothing that can be read.
    """
    if path.is_dir():
        images = images_in(path)
        if not images:
            raise FileNotFoundError(f"{path} holds no images ({', '.join(IMAGES)})")
        height_px, width_px = read_picture(images[0]).shape[:2]
        return Footage(path, len(images), 0.0, width_px, height_px)
    if not path.is_file():
        raise FileNotFoundError(f"video {path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"video {path} is empty (0 bytes); copy it again")
    height_px, width_px = next(video_frames(path)).shape[:2]
    video = opened_video(path)
    num_frames, frames_per_second = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), float(video.get(cv2.CAP_PROP_FPS))
    video.release()
    if num_frames < 1:  # some containers do not tell
        num_frames = sum(1 for _ in video_frames(path))
    return Footage(path, num_frames, frames_per_second if 0 < frames_per_second < 1000 else 0.0, width_px, height_px)


def video_frames(path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Read the RGB frames of a video.

    Raises:
        ValueError: the file is no video that OpenCV can read.
    """
    video = opened_video(path)
    is_read, bgr = video.read()
    if not is_read:
        raise ValueError(f"{path} is not a video that OpenCV can read; copy it again")
    while is_read:
        yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        is_read, bgr = video.read()
    video.release()


def frames_of(path: Path, first: int, every: int) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Read every n-th frame of a video or of a folder of images, from a first one on."""
    if path.is_dir():
        return (read_picture(image) for image in images_in(path)[first::every])
    return islice(video_frames(path), first, None, every)
