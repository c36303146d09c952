"""Opens videos so that OpenCV and FFmpeg do not bury our own sentence about a damaged one under their messages."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2

QUIET = "-8"
"""FFmpeg's AV_LOG_QUIET; OpenCV reads it when the first video is opened, and a user's own choice is kept."""


def opened_video(path: Path, backend: int = cv2.CAP_ANY, settings: Sequence[int] = ()) -> cv2.VideoCapture:
    """Open a video; whether that worked is to be asked of what is returned."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", QUIET)
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.VideoCapture(str(path), backend, list(settings))
    finally:
        cv2.utils.logging.setLogLevel(before)
