"""A recording with everything that is known about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dataset_def.multiview.labels import Labels
from dataset_def.multiview.write_layout import Sequence, VideoJob
from utils.camera import Camera


class Take(NamedTuple):
    """One recording on its way into the layout."""

    labels: Labels
    sequences: tuple[Sequence, ...]
    videos: tuple[Path, ...]
    """One per camera."""

    @property
    def subjects(self) -> list[int]:
        """Numbers that the recording gets: one person, but the last part may be kept apart."""
        return sorted({sequence.subject for sequence in self.sequences})

    def video_jobs(self, cameras: list[Camera], frames_location: Path) -> list[VideoJob]:
        """List what has to be written, a video at a time."""
        joints_world_m = self.labels.joints_world_m
        return [
            VideoJob(video, camera, view + 1, self.sequences, joints_world_m, frames_location)
            for view, (video, camera) in enumerate(zip(self.videos, cameras, strict=True))
        ]

    def instants(self) -> Iterator[tuple[Sequence, int, int]]:
        """Go through (sequence, its frame from 1, the recording's frame from 0)."""
        for sequence in self.sequences:
            for frame in range(1, sequence.num_frames + 1):
                yield sequence, frame, sequence.first + frame - 1
