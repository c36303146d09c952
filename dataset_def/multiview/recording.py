"""A recording by calibrated cameras: who films, which frames belong to the same instant, what else is given."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from dataset_def.multiview.undistort import ideal_image, letterbox, sampling_map
from dataset_def.video import images_in, read_picture
from utils.camera import Camera


def outside_boxes(shape: tuple[int, int], boxes: tuple[tuple[int, int, int, int], ...]) -> Bool[np.ndarray, "H W"]:
    """Mark the pixels outside of all (left, top, right, bottom) boxes."""
    outside = np.ones(shape, dtype=bool)
    for left, top, right, bottom in boxes:
        outside[top:bottom, left:right] = False
    return outside


People = list[list[Float[np.ndarray, "_ 25 3"]]]
"""Keypoints of everybody, by camera, then by instant; pixels of the calibrated picture."""


class BackgroundPicture(NamedTuple):
    """A camera's picture of its background at another time."""

    path: Path
    people: tuple[tuple[int, int, int, int], ...] = ()
    """Left, top, right, bottom in pixels: what does not belong to the background."""


class RecordedView(NamedTuple):
    """One camera of a recording."""

    name: str
    camera: Camera
    """The camera as calibrated, with its distortion; turned if cameras are refined."""
    videos: Path
    first: int = 0
    """Frame of the video that shows instant 0."""
    background: BackgroundPicture | None = None
    masks: Path | None = None
    """Folder with a mask per frame of the video."""


class MultiviewRecording(NamedTuple):
    """Several views of the same instants."""

    views: tuple[RecordedView, ...]
    num_instants: int
    every: int
    """Frames of a video from one instant to the next."""
    frames_per_second: float
    """Instants per second."""
    people: People | None
    video_size: str
    """How videos may differ from the calibrated size: exact or letterboxed."""

    @property
    def names(self) -> list[str]:
        """Names of the cameras, in order."""
        return [view.name for view in self.views]

    @property
    def cameras(self) -> list[Camera]:
        """Cameras as calibrated, in order."""
        return [view.camera for view in self.views]

    def with_cameras(self, cameras: list[Camera]) -> "MultiviewRecording":
        """Exchange the cameras."""
        views = [view._replace(camera=camera) for view, camera in zip(self.views, cameras, strict=True)]
        return self._replace(views=tuple(views))

    def mask_files(self, view: int) -> list[Path]:
        """List the given masks of one view, one per instant; empty if none are given."""
        folder, first = self.views[view].masks, self.views[view].first
        return images_in(folder)[first :: self.every][: self.num_instants] if folder is not None else []


def as_ideal_camera(image: UInt8[np.ndarray, "H W *c"], camera: Camera) -> UInt8[np.ndarray, "h w *c"]:
    """Show a whole picture of a camera as the ideal camera sees it."""
    numbers = tuple(tuple(np.ravel(value).tolist()) if isinstance(value, np.ndarray) else value for value in camera)
    return ideal_image(image, _ideal_map(numbers, image.shape[1], image.shape[0]))


@lru_cache(maxsize=8)
def _ideal_map(numbers: tuple[Any, ...], width_px: int, height_px: int) -> Float32[np.ndarray, "H W 2"]:
    """Keep the maps of some cameras: one takes ten times as long as the picture that is shown through it.

    Args:
        numbers: a camera's, as tuples.
    """
    values = dict(zip(Camera._fields, numbers, strict=True))
    arrays = {name: np.array(value) for name, value in values.items() if isinstance(value, tuple)}
    camera = Camera(**(values | arrays))
    camera = camera._replace(R_cam_from_world=camera.R_cam_from_world.reshape(3, 3))
    return sampling_map(camera, letterbox(camera, width_px, height_px))


def background_picture(
    background: BackgroundPicture | None, camera: Camera
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Read what another picture shows of the background, as the ideal camera sees it; nothing if there is none."""
    shape = (camera.height_px, camera.width_px)
    if background is None:
        return np.zeros((*shape, 3), np.uint8), np.zeros(shape, dtype=bool)
    return as_ideal_camera(read_picture(background.path), camera), outside_boxes(shape, background.people)
