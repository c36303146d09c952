"""Writes videos, cameras and joints as Human3.6M folders (the README's layout), cut into short sequences."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from jaxtyping import Float, UInt8

from dataset_def.h36m_files import METRES_PER_MILLIMETRE, FrameKey, folder_name
from dataset_def.multiview.footage import frames_of
from dataset_def.multiview.recording import View
from dataset_def.multiview.video_frames import check_bars, ideal_image, letterbox, pinhole, sampling_map
from utils.camera import Camera
from utils.image import write_image

JPG_QUALITY = 92


class Sequence(NamedTuple):
    """A stretch of a recording that becomes one sub-action."""

    subject: int
    action: int
    subaction: int
    first: int
    """Instant of the recording that becomes frame 1; counts from 0."""
    num_frames: int

    def key(self, camera_number: int, frame: int) -> FrameKey:
        """Name frame 1, 2, ... of this sequence."""
        return FrameKey(self.subject, self.action, self.subaction, camera_number, frame)


class VideoJob(NamedTuple):
    """One video, and what its folders need."""

    view: View
    every: int
    """Frames of the video from one instant to the next."""
    camera_number: int
    """Counts from 1."""
    sequences: tuple[Sequence, ...]
    joints_world_m: Float[np.ndarray, "T 17 3"]
    frames_location: Path


def cut_into_sequences(subject: int, action: int, frames: range, length: int) -> tuple[Sequence, ...]:
    """Cut a stretch of a recording into sequences; a rest shorter than half of the length joins the last one."""
    count = max(1, int(len(frames) / length + 0.5))
    firsts = [frames.start + length * i for i in range(count)]
    ends = [*firsts[1:], frames.stop]
    return tuple(
        Sequence(subject, action, i + 1, first, end - first)
        for i, (first, end) in enumerate(zip(firsts, ends, strict=True))
    )


def camera_fields(camera: Camera, num_frames: int = 1) -> dict[str, Any]:
    """Give a camera as the fields of h36m_meta.mat, in millimetres."""
    size = np.ones((num_frames, 1))
    return {
        "R": camera.R_cam_from_world,
        "T": camera.centre_world_m[None] / METRES_PER_MILLIMETRE,
        "f": camera.focal_px[None],
        "c": camera.centre_px[None],
        "img_height": size * camera.height_px,
        "img_width": size * camera.width_px,
    }


def write_meta(path: Path, camera: Camera, joints_world_m: Float[np.ndarray, "N 17 3"]) -> None:
    """Write h36m_meta.mat of one folder; the frames beside it are free of distortion."""
    joints = {"pose3d_world": joints_world_m / METRES_PER_MILLIMETRE}
    scipy.io.savemat(path, joints | camera_fields(camera, len(joints_world_m)))


def checked_frames(job: VideoJob) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Read the instants of one view as the ideal camera sees them.

    Raises:
        ValueError: the frames change their size, or do not fit the calibration.
    """
    camera, first = job.view.camera, None
    for image in frames_of(job.view.footage, job.view.first, job.every):
        if first is None:
            first = image.shape
            check_bars(str(job.view.footage), image, camera)
            where = sampling_map(camera, letterbox(camera, image.shape[1], image.shape[0]))
        if image.shape != first:
            raise ValueError(f"{job.view.footage} has pictures of {first[1]} x {first[0]} and of {image.shape[1]} x "
                             f"{image.shape[0]} pixels; they must be alike")  # fmt: skip
        yield ideal_image(image, where)


def write_video(job: VideoJob) -> None:
    """Write the folders of one video; folders that exist are kept, a half-written one is made again."""
    folders = [job.frames_location / folder_name(*s.key(job.camera_number, 1)[:4]) for s in job.sequences]
    if all(folder.is_dir() for folder in folders):
        return
    images = checked_frames(job)
    for sequence, folder in zip(job.sequences, folders, strict=True):
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for frame in range(1, sequence.num_frames + 1):
            image = next(images, None)
            if image is None:
                wanted = job.view.first + job.every * (sequence.first + frame - 1) + 1
                raise ValueError(f"{job.view.footage} ends before frame {wanted}; copy it again")
            if not folder.is_dir():
                write_image(partial / f"{sequence.key(job.camera_number, frame).stem}.jpg", image, JPG_QUALITY)
        if not folder.is_dir():
            rows = slice(sequence.first, sequence.first + sequence.num_frames)
            write_meta(partial / "h36m_meta.mat", pinhole(job.view.camera), job.joints_world_m[rows])
            partial.rename(folder)
