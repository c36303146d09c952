"""A recording with everything that is known about it, cut into sequences."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.multiview.labels import Labels
from dataset_def.multiview.recording import Recording
from dataset_def.multiview.write_layout import Sequence, VideoJob, cut_into_sequences


class Take(NamedTuple):
    """One recording on its way into the layout."""

    recording: Recording
    labels: Labels | None
    """None without keypoints: the joints are then not known."""
    sequences: tuple[Sequence, ...]

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

    def instants(self) -> Iterator[tuple[Sequence, int, int]]:
        """Go through (sequence, its frame from 1, the recording's instant from 0)."""
        for sequence in self.sequences:
            for frame in range(1, sequence.num_frames + 1):
                yield sequence, frame, sequence.first + frame - 1


def make_take(
    recording: Recording, labels: Labels | None, subject: int, action: int, sequence_frames: int, test_frames: int
) -> Take:
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
    return Take(recording, labels, tuple(sequences))
