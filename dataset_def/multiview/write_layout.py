"""A labelled recording (views and joints), cut into sequences and written as Human3.6M folders.

The layout is that of dataset_def/README.md, "Your own data".
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from dataset_def.h36m_files import FROM_KEYPOINTS, FrameKey, folder_name
from dataset_def.h36m_writer import write_meta
from dataset_def.multiview.joints import PlacedJoints
from dataset_def.multiview.recording import MultiviewRecording, RecordedView
from dataset_def.multiview.undistort import check_bars, ideal_image, letterbox, pinhole, sampling_map
from dataset_def.video import frames_of
from utils.artifacts import atomic_folder
from utils.image import write_image

JPG_QUALITY = 92


class RecordedSequence(NamedTuple):
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

    view: RecordedView
    every: int
    """Frames of the video from one instant to the next."""
    camera_number: int
    """Counts from 1."""
    sequences: tuple[RecordedSequence, ...]
    joints_world_m: Float[np.ndarray, "T 17 3"]
    frames_location: Path


def cut_into_sequences(subject: int, action: int, frames: range, length: int) -> tuple[RecordedSequence, ...]:
    """Cut a stretch of a recording into sequences; a rest shorter than half of the length joins the last one."""
    count = max(1, int(len(frames) / length + 0.5))
    firsts = [frames.start + length * i for i in range(count)]
    ends = [*firsts[1:], frames.stop]
    return tuple(
        RecordedSequence(subject, action, i + 1, first, end - first)
        for i, (first, end) in enumerate(zip(firsts, ends, strict=True))
    )


def checked_frames(job: VideoJob) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Read the instants of one view as the ideal camera sees them.

    Raises:
        ValueError: the frames change their size, or do not fit the calibration.
    """
    camera, first = job.view.camera, None
    for image in frames_of(job.view.videos, job.view.first, job.every):
        if first is None:
            first = image.shape
            check_bars(str(job.view.videos), image, camera)
            where = sampling_map(camera, letterbox(camera, image.shape[1], image.shape[0]))
        if image.shape != first:
            raise ValueError(
                f"{job.view.videos} has pictures of {first[1]} x {first[0]} and of {image.shape[1]} x "
                f"{image.shape[0]} pixels; they must be alike"
            )
        yield ideal_image(image, where)


def write_video(job: VideoJob) -> None:
    """Write the folders of one video; folders that exist are kept, a half-written one is made again."""
    folders = [job.frames_location / folder_name(*s.key(job.camera_number, 1)[:4]) for s in job.sequences]
    if all(folder.is_dir() for folder in folders):
        return
    images = checked_frames(job)
    for sequence, folder in zip(job.sequences, folders, strict=True):
        own_images = islice(images, sequence.num_frames)
        if folder.is_dir():
            deque(own_images, maxlen=0)
            continue
        with atomic_folder(folder) as (partial,):
            frame = 0
            for frame, image in enumerate(own_images, start=1):
                write_image(partial / f"{sequence.key(job.camera_number, frame).stem}.jpg", image, JPG_QUALITY)
            if frame < sequence.num_frames:
                missing = job.view.first + job.every * (sequence.first + frame) + 1
                raise ValueError(f"{job.view.videos} ends before frame {missing}; copy it again")
            rows = slice(sequence.first, sequence.first + sequence.num_frames)
            write_meta(partial / "h36m_meta.mat", pinhole(job.view.camera), job.joints_world_m[rows])
            if np.isfinite(job.joints_world_m[rows]).any():
                (partial / FROM_KEYPOINTS).touch()


class LabelledRecording(NamedTuple):
    """One recording with its joints, cut into sequences."""

    recording: MultiviewRecording
    labels: PlacedJoints | None
    """None without keypoints: the joints are then not known."""
    sequences: tuple[RecordedSequence, ...]

    @property
    def subjects(self) -> list[int]:
        """Numbers that the recording gets: one person, but the last part may be kept apart."""
        return sorted({sequence.subject for sequence in self.sequences})

    @property
    def joints_world_m(self) -> Float[np.ndarray, "T 17 3"]:
        """The joints of every instant, NaN where they are not known."""
        if self.labels is None:
            return np.full((self.recording.num_instants, 17, 3), np.nan)
        return self.labels.joints_world_m

    def video_jobs(self, frames_location: Path) -> list[VideoJob]:
        """List what has to be written, a video at a time."""
        recording, joints_world_m = self.recording, self.joints_world_m
        return [
            VideoJob(view, recording.every, number, self.sequences, joints_world_m, frames_location)
            for number, view in enumerate(recording.views, start=1)
        ]

    def instants(self) -> Iterator[tuple[RecordedSequence, int, int]]:
        """Go through (sequence, its frame from 1, the recording's instant from 0)."""
        for sequence in self.sequences:
            for frame in range(1, sequence.num_frames + 1):
                yield sequence, frame, sequence.first + frame - 1


def label_recording(
    recording: MultiviewRecording,
    labels: PlacedJoints | None,
    subject: int,
    action: int,
    sequence_frames: int,
    test_frames: int,
) -> LabelledRecording:
    """Cut a recording into sequences, the last ones for a subject of their own.

    Raises:
        ValueError: nothing is left to train on.
    """
    num_instants = recording.num_instants
    first_test = num_instants - test_frames
    if first_test < 2:
        raise ValueError(f"test_frames is {test_frames}, but the recording has {num_instants} frames; use fewer")
    parts = [(subject, range(first_test)), (subject + 1, range(first_test, num_instants))]
    sequences = [
        sequence
        for number, instants in parts
        if len(instants)
        for sequence in cut_into_sequences(number, action, instants, sequence_frames)
    ]
    return LabelledRecording(recording, labels, tuple(sequences))
