"""Writes videos, cameras and joints as Human3.6M folders (the README's layout), cut into short sequences."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
from jaxtyping import Float

from dataset_def.h36m_files import METRES_PER_MILLIMETRE, FrameKey, folder_name
from dataset_def.multiview.video_frames import check_bars, ideal_image, letterbox, pinhole, sampling_map, video_frames
from utils.camera import Camera
from utils.image import write_image

JPG_QUALITY = 92


class Sequence(NamedTuple):
    """A stretch of a recording that becomes one sub-action."""

    subject: int
    action: int
    subaction: int
    first: int
    """Frame of the recording that becomes frame 1; counts from 0."""
    num_frames: int

    def key(self, camera_number: int, frame: int) -> FrameKey:
        """Name frame 1, 2, ... of this sequence."""
        return FrameKey(self.subject, self.action, self.subaction, camera_number, frame)


class VideoJob(NamedTuple):
    """One video, and what its folders need."""

    video: Path
    camera: Camera
    """As calibrated, with its distortion; turned if cameras are refined."""
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


def write_meta(path: Path, camera: Camera, joints_world_m: Float[np.ndarray, "N 17 3"]) -> None:
    """Write h36m_meta.mat of one folder, in millimetres; the frames beside it are free of distortion."""
    size = np.ones((len(joints_world_m), 1))
    content = {
        "pose3d_world": joints_world_m / METRES_PER_MILLIMETRE,
        "R": camera.R_cam_from_world,
        "T": camera.centre_world_m[None] / METRES_PER_MILLIMETRE,
        "f": camera.focal_px[None],
        "c": camera.centre_px[None],
        "img_height": size * camera.height_px,
        "img_width": size * camera.width_px,
    }
    scipy.io.savemat(path, content)


def write_video(job: VideoJob) -> None:
    """Write the folders of one video; folders that exist are kept, a half-written one is made again."""
    folders = [job.frames_location / folder_name(*s.key(job.camera_number, 1)[:4]) for s in job.sequences]
    if all(folder.is_dir() for folder in folders):
        return
    images, where = video_frames(job.video), None
    for sequence, folder in zip(job.sequences, folders, strict=True):
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for frame in range(1, sequence.num_frames + 1):
            image = next(images, None)
            if image is None:
                raise ValueError(f"{job.video} ends before frame {sequence.first + frame}; copy it again")
            if where is None:
                check_bars(str(job.video), image, job.camera)
                where = sampling_map(job.camera, letterbox(job.camera, image.shape[1], image.shape[0]))
            if not folder.is_dir():
                path = partial / f"{sequence.key(job.camera_number, frame).stem}.jpg"
                write_image(path, ideal_image(image, where), JPG_QUALITY)
        if not folder.is_dir():
            rows = slice(sequence.first, sequence.first + sequence.num_frames)
            write_meta(partial / "h36m_meta.mat", pinhole(job.camera), job.joints_world_m[rows])
            partial.rename(folder)
