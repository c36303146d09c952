"""Reads the frames of one video in order, decoding to colours only those that are wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from dataset_def.quiet_video import opened_video


class VideoReader:
    """An open video, and how many of its frames have been passed."""

    def __init__(self, path: Path):
        self.path = path
        self.video = opened_video(path, cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
        self.width_px = int(self.video.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height_px = int(self.video.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.header_frames = int(self.video.get(cv2.CAP_PROP_FRAME_COUNT))
        """As the file says; the number that can be decoded may be smaller."""
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
