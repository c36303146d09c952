"""Estimates how much space the converted frames take, from a sample, before anything is written."""

import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from config import ConvertConfig
from dataset_def.official.cdf_poses import count_poses
from dataset_def.official.download_files import Recording
from dataset_def.official.mask_files import open_masks
from dataset_def.official.metadata_xml import Metadata, read_camera
from dataset_def.official.video_reader import open_video
from dataset_def.official.write_view import shrunk, shrunk_camera
from utils.image import encode

SAMPLED_RECORDINGS = 4
SAMPLED_FRAMES = 3
FRAMES_APART = 25
BLOCK_BYTES = 4096
"""Disks hand out space in pieces of this size."""
MARGIN = 1.1
GB = 1e9


class Estimate(NamedTuple):
    """What is still to be written."""

    frames: int
    image_bytes: float
    """Per frame."""
    mask_bytes: float


def on_disk(num_bytes: int) -> int:
    """Round a file's size up to what it takes on the disk."""
    return -(-num_bytes // BLOCK_BYTES) * BLOCK_BYTES


def sample_bytes(config: ConvertConfig, metadata: Metadata, recording: Recording) -> list[tuple[int, int]]:
    """Encode some frames of one recording; gives (picture, mask) bytes for each."""
    subject, _, _, number = recording.key
    opened_masks = open_masks(recording.masks) if config.masks and recording.masks else nullcontext()
    sizes = []
    with open_video(recording.video) as video, opened_masks as masks:
        camera = read_camera(metadata, subject, number, video.width_px, video.height_px)
        to = shrunk_camera(camera, config.size_px)
        for frame, image in video.frames(FRAMES_APART, 1 + FRAMES_APART * (SAMPLED_FRAMES - 1)):
            mask_bytes = 0
            if masks is not None and frame <= masks.num_masks:
                mask_bytes = on_disk(len(encode(shrunk(masks.read(frame - 1), to), ".png")))
            picture = encode(shrunk(image, to), f".{config.image}", config.quality)
            sizes.append((on_disk(len(picture)), mask_bytes))
    return sizes


def count_frames(todo: list[Recording], every: int) -> int:
    """Count the frames to be written; recordings whose poses cannot be read count as none."""
    counts: dict[Path, int] = {}
    for recording in todo:
        if recording.poses not in counts:
            try:
                counts[recording.poses] = -(-count_poses(recording.poses) // every)
            except (ValueError, FileNotFoundError):
                counts[recording.poses] = 0
    return sum(counts[recording.poses] for recording in todo)


def estimate(config: ConvertConfig, metadata: Metadata, todo: list[Recording]) -> Estimate:
    """Count the frames to be written and encode a few of them.

    Raises:
        ValueError: none of the sampled recordings can be read.
    """
    sizes: list[tuple[int, int]] = []
    problem = None
    for row in np.linspace(0, len(todo) - 1, min(SAMPLED_RECORDINGS, len(todo))).astype(int):
        try:
            sizes += sample_bytes(config, metadata, todo[row])
        except (ValueError, FileNotFoundError) as error:
            problem = error
    if problem is not None and not sizes:
        raise problem
    image_bytes, mask_bytes = np.mean(sizes, axis=0)
    return Estimate(count_frames(todo, config.every), float(image_bytes), float(mask_bytes))


def existing(path: Path) -> Path:
    """Give the nearest folder above a place that exists."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.is_dir())


def check_space(config: ConvertConfig, found: Estimate) -> None:
    """Stop if the frames would not fit.

    Raises:
        ValueError: with the numbers.
    """
    needs = [(config.paths.h36m_location, found.image_bytes), (config.paths.masks_location, found.mask_bytes)]
    for place, _ in needs:
        disk = os.stat(existing(place)).st_dev
        together = sum(each for other, each in needs if os.stat(existing(other)).st_dev == disk)
        needed_gb = MARGIN * found.frames * together / GB
        free_gb = shutil.disk_usage(existing(place)).free / GB
        if needed_gb + config.keep_free_gb > free_gb:
            raise ValueError(
                f"about {needed_gb:.2f} GB are needed for {found.frames} frames of {together / 1000:.0f} kB, and "
                f"{config.keep_free_gb:.2f} GB shall remain (keep_free_gb), but {existing(place)} has {free_gb:.2f} GB "
                "free; raise --every, set --size-px, name fewer --subjects, or give other --paths"
            )
