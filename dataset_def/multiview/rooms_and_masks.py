"""Backgrounds and masks of an imported recording; each helps the other.

First masks from keypoints alone on some frames, then the empty room, then the masks of all frames with its help.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from config import ImportMultiviewConfig
from dataset_def.h36m_files import background_path, image_path, mask_path
from dataset_def.multiview.empty_room import (
    INPAINTED,
    OTHER_PICTURE,
    complete,
    difference_from,
    masked_median,
    outside_boxes,
    widened,
)  # fmt: skip
from dataset_def.multiview.person_mask import body_capsules, cut_out
from dataset_def.multiview.pose2sim_session import CAMERAS, PEOPLE_IN_ROOM_PICTURES, room_picture_path
from dataset_def.multiview.take import Take
from dataset_def.multiview.video_frames import ideal_image, letterbox, pinhole, sampling_map
from utils.artifacts import load_background, save_background, whole_file
from utils.camera import Camera
from utils.image import read_image, read_mask

ROOM_EVERY = 3
"""Every so many frames go into the median of a background."""
SOURCE_LEVELS = 100
"""Factor that makes the sources of background pixels visible as grey levels."""


class RoomJob(NamedTuple):
    """One camera whose background is wanted."""

    images: tuple[Path, ...]
    """Frames that the median is taken over."""
    camera: Camera
    """As calibrated, with its distortion."""
    points_world_m: tuple[Float[np.ndarray, "25 3"], ...]
    """One per frame."""
    other: Path
    """A picture of the room by the same camera at another time, not yet undistorted."""
    other_known: Bool[np.ndarray, "H W"]
    backgrounds: tuple[Path, ...]
    """One per subject; they are the same."""
    source: Path
    """Where every background pixel comes from, as a picture."""


class MaskJob(NamedTuple):
    """One frame whose mask is wanted."""

    image: Path
    camera: Camera
    points_world_m: Float[np.ndarray, "25 3"]
    background: Path
    source: Path
    mask: Path


def source_path(config: ImportMultiviewConfig, camera_number: int) -> Path:
    """Say where the sources of a background are noted."""
    return config.about_location / f"background_source_ca_{camera_number:02d}.png"


def room_jobs(config: ImportMultiviewConfig, cameras: list[Camera], take: Take, session: Path) -> list[RoomJob]:
    """List the cameras; what the recording does not show of a room comes from the calibration's picture of it."""
    chosen = list(take.instants())[::ROOM_EVERY]
    return [
        RoomJob(
            images=tuple(image_path(config.paths, sequence.key(view + 1, frame)) for sequence, frame, _ in chosen),
            camera=camera,
            points_world_m=tuple(take.labels.points_world_m[row] for _, _, row in chosen),
            other=room_picture_path(session, view),
            other_known=outside_boxes((camera.height_px, camera.width_px), PEOPLE_IN_ROOM_PICTURES[CAMERAS[view]]),
            backgrounds=tuple(background_path(config.paths, subject, view + 1) for subject in take.subjects),
            source=source_path(config, view + 1),
        )
        for view, camera in enumerate(cameras)
    ]


def mask_jobs(config: ImportMultiviewConfig, cameras: list[Camera], take: Take) -> list[MaskJob]:
    """List the masks of a take."""
    return [
        MaskJob(
            image=image_path(config.paths, sequence.key(view + 1, frame)),
            camera=pinhole(camera),
            points_world_m=take.labels.points_world_m[row],
            background=background_path(config.paths, sequence.subject, view + 1),
            source=source_path(config, view + 1),
            mask=mask_path(config.paths, sequence.key(view + 1, frame)),
        )
        for view, camera in enumerate(cameras)
        for sequence, frame, row in take.instants()
    ]


def other_picture(job: RoomJob) -> UInt8[np.ndarray, "H W 3"]:
    """Read the other picture of the room as the ideal camera sees it."""
    image = read_image(job.other)
    where = sampling_map(job.camera, letterbox(job.camera, image.shape[1], image.shape[0]))
    return ideal_image(image, where)


def write_room(job: RoomJob) -> None:
    """Write the background of one camera, unless it is there."""
    if all(path.exists() for path in (*job.backgrounds, job.source)):
        return
    ideal = pinhole(job.camera)
    images = np.stack([read_image(path) for path in job.images])
    masks = [
        cut_out(image, body_capsules(ideal, points)) for image, points in zip(images, job.points_world_m, strict=True)
    ]
    median, known = masked_median(images, np.stack([widened(mask) for mask in masks]))
    room = complete(median, known, other_picture(job), job.other_known)
    write_whole(job.source, (room.source * SOURCE_LEVELS).astype(np.uint8))
    for path in job.backgrounds:
        save_background(path, room.image)


def write_mask(job: MaskJob) -> None:
    """Write the mask of one frame, unless it is there."""
    if job.mask.exists():
        return
    image, known = read_image(job.image), sources(job.source) != INPAINTED
    difference = difference_from(load_background(job.background), known, image)
    write_whole(job.mask, cut_out(image, body_capsules(job.camera, job.points_world_m), difference))


def sources(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read where every background pixel comes from."""
    return read_mask(path) // SOURCE_LEVELS


def write_whole(path: Path, image: UInt8[np.ndarray, "H W"]) -> None:
    """Write a .png so that half a file never exists."""
    encoded_well, content = cv2.imencode(".png", image)
    assert encoded_well
    with whole_file(path) as partial:
        partial.write_bytes(content.tobytes())


def num_filled_px(config: ImportMultiviewConfig, num_cameras: int) -> dict[str, list[int]]:
    """Count the background pixels per camera that the recording itself does not show."""
    found = [sources(source_path(config, view + 1)) for view in range(num_cameras)]
    names = {"from_another_picture": OTHER_PICTURE, "inpainted": INPAINTED}
    return {name: [int((source == number).sum()) for source in found] for name, number in names.items()}
