"""Videos and folders of images as streams of RGB frames, and what is known of them before they are read.

Frames come in order, and only those that are asked for are decoded to colours.  OpenCV and FFmpeg are kept from burying
our own sentence about a damaged video under their messages.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from dataset_def.frame_files import files_in, frame_numbers, is_hidden

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
LARGEST_MEGAPIXELS = 60
"""Larger pictures are refused: decoded, this many take 180 MB."""


def read_picture(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read any usual image file as RGB, turned as its camera says.

    Raises:
        FileNotFoundError, ValueError: missing, empty, truncated, no image, or too large.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of an image, a folder or a video")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            opened = Image.open(path)
        with opened:
            megapixels = opened.width * opened.height / 1e6
            if megapixels > LARGEST_MEGAPIXELS:
                raise ValueError(f"{path} has {megapixels:.0f} megapixels; shrink it to at most {LARGEST_MEGAPIXELS}")
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"{path} ({path.stat().st_size} bytes) is no image that can be read; copy it again") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} is too large; shrink it to at most {LARGEST_MEGAPIXELS} megapixels") from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} is damaged ({error}); copy it again") from None


FFMPEG_QUIET = "-8"
"""FFmpeg's AV_LOG_QUIET; OpenCV reads it when the first video is opened, and a user's own choice is kept."""


def opened_video(path: Path, backend: int = cv2.CAP_ANY, settings: Sequence[int] = ()) -> cv2.VideoCapture:
    """Open a video; whether that worked is to be asked of what is returned."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.VideoCapture(str(path), backend, list(settings))
    finally:
        cv2.utils.logging.setLogLevel(before)


class VideoInfo(NamedTuple):
    """One camera's pictures."""

    path: Path
    """A video, or a folder of images."""
    num_frames: int
    frames_per_second: float
    """0 where it is not known."""
    width_px: int
    height_px: int
    numbers: tuple[int, ...] | None = None
    """Of images, as their names tell them."""


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder, in order."""
    return files_in(folder, IMAGE_ENDINGS)


def is_video_or_folder(path: Path) -> bool:
    """Tell whether a path is a video by its name, or a folder with images."""
    return bool(images_in(path)) if path.is_dir() else path.suffix.lower() in VIDEOS and not is_hidden(path)


def probe(path: Path) -> VideoInfo:
    """Find out how long and how large a camera's pictures are.

    Raises:
        FileNotFoundError, ValueError: missing, empty, or nothing that can be read.
    """
    if path.is_dir():
        images = images_in(path)
        if not images:
            raise FileNotFoundError(f"{path} holds no images ({', '.join(IMAGE_ENDINGS)})")
        height_px, width_px = read_picture(images[0]).shape[:2]
        return VideoInfo(path, len(images), 0.0, width_px, height_px, frame_numbers(images))
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
    return VideoInfo(path, num_frames, frames_per_second if 0 < frames_per_second < 1000 else 0.0, width_px, height_px)


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


class VideoReader:
    """An open video, and how many of its frames have been passed."""

    def __init__(self, path: Path):
        self.path = path
        self.video = opened_video(path, cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
        self.width_px = int(self.video.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height_px = int(self.video.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.header_frames = int(self.video.get(cv2.CAP_PROP_FRAME_COUNT))
        """Number of frames that the file's header states; the number that can be decoded may be smaller."""
        self.num_passed = 0

    def frames(self, every: int, last: int) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
        """Give (number, RGB picture) of frames 1, 1 + every, ... up to `last`; ends early where the video does."""
        while self.num_passed < last and self.video.grab():
            self.num_passed += 1
            if (self.num_passed - 1) % every == 0:
                is_decoded, bgr = self.video.retrieve()
                if not is_decoded:
                    raise ValueError(f"frame {self.num_passed} of {self.path} cannot be decoded; download it again")
                yield self.num_passed, np.ascontiguousarray(bgr[..., ::-1])


@contextmanager
def open_video(path: Path) -> Iterator[VideoReader]:
    """Open a video.

    Raises:
        FileNotFoundError, ValueError: missing, or nothing that OpenCV can decode.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; unpack the download's videos there")
    reader = VideoReader(path)
    try:
        if not reader.video.isOpened() or reader.width_px < 1 or reader.height_px < 1:
            raise ValueError(f"{path} is damaged or no video ({path.stat().st_size} bytes); download it again")
        yield reader
    finally:
        reader.video.release()
