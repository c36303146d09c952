"""Backgrounds and masks of a recording; each helps the other.

With keypoints: first masks from keypoints alone on some frames, then the empty room, then the masks of all frames with
its help.  With masks (given, or from silhouettes.py): the room is what they leave.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from config import ImportMultiviewConfig
from dataset_def.h36m_files import background_path, image_path, mask_path
from dataset_def.multiview.empty_room import (
    INPAINTED,
    OTHER_PICTURE,
    complete,
    difference_from,
    masked_median,
    widened,
)
from dataset_def.multiview.person_mask import body_capsules, cut_out
from dataset_def.multiview.recording import RoomPicture, as_ideal_camera, room_picture
from dataset_def.multiview.take import Take
from dataset_def.multiview.video_frames import pinhole
from utils.artifacts import load_background, save_background, whole_file
from utils.camera import Camera
from utils.image import read_image, read_mask

ROOM_EVERY = 3
"""Every so many frames go into the median of a background."""
MOST_ROOM_FRAMES = 60
"""At most so many, spread evenly: they are held in memory at once."""
SOURCE_LEVELS = 100
"""Factor that makes the sources of background pixels visible as grey levels."""
PERSON_ABOVE = 128


class RoomJob(NamedTuple):
    """One camera whose background is wanted."""

    images: tuple[Path, ...]
    """Frames that the median is taken over."""
    camera: Camera
    """As calibrated, with its distortion."""
    points_world_m: tuple[Float[np.ndarray, "25 3"], ...]
    """One per frame; empty where there are masks instead."""
    masks: tuple[Path, ...]
    """One per frame; empty where there are keypoints instead."""
    other: RoomPicture | None
    """A picture of the room by the same camera at another time."""
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


class GivenMaskJob(NamedTuple):
    """One mask that the user gave."""

    given: Path
    camera: Camera
    """As calibrated, with its distortion."""
    mask: Path


def source_path(config: ImportMultiviewConfig, camera_number: int) -> Path:
    """Say where the sources of a background are noted."""
    return config.about_location / f"background_source_ca_{camera_number:02d}.png"


def room_jobs(config: ImportMultiviewConfig, take: Take) -> list[RoomJob]:
    """List the cameras; what the recording does not show of a room comes from another picture, if there is one."""
    every = max(ROOM_EVERY, -(-take.recording.num_instants // MOST_ROOM_FRAMES))
    if take.recording.num_instants < MOST_ROOM_FRAMES // ROOM_EVERY:
        every = 1
    chosen, labels = list(take.instants())[::every], take.labels
    keys = [[s.key(number, frame) for s, frame, _ in chosen] for number, _ in enumerate(take.recording.views, start=1)]
    return [
        RoomJob(
            images=tuple(image_path(config.paths, key) for key in keys[row]),
            camera=view.camera,
            points_world_m=() if labels is None else tuple(labels.points_world_m[instant] for _, _, instant in chosen),
            masks=tuple(mask_path(config.paths, key) for key in keys[row]) if labels is None or view.masks else (),
            other=view.room,
            backgrounds=tuple(background_path(config.paths, subject, row + 1) for subject in take.subjects),
            source=source_path(config, row + 1),
        )
        for row, view in enumerate(take.recording.views)
    ]


def mask_jobs(config: ImportMultiviewConfig, take: Take) -> list[MaskJob]:
    """List the masks of a take with keypoints."""
    assert take.labels is not None
    return [
        MaskJob(
            image=image_path(config.paths, sequence.key(number, frame)),
            camera=pinhole(view.camera),
            points_world_m=take.labels.points_world_m[instant],
            background=background_path(config.paths, sequence.subject, number),
            source=source_path(config, number),
            mask=mask_path(config.paths, sequence.key(number, frame)),
        )
        for number, view in enumerate(take.recording.views, start=1)
        for sequence, frame, instant in take.instants()
    ]


def given_mask_jobs(config: ImportMultiviewConfig, take: Take) -> list[GivenMaskJob]:
    """List the masks that the user gave."""
    return [
        GivenMaskJob(files[instant], view.camera, mask_path(config.paths, sequence.key(row + 1, frame)))
        for row, (view, files) in enumerate(
            (view, take.recording.mask_files(row)) for row, view in enumerate(take.recording.views)
        )
        for sequence, frame, instant in take.instants()
    ]


def write_room(job: RoomJob) -> None:
    """Write the background of one camera, unless it is there."""
    if all(path.exists() for path in (*job.backgrounds, job.source)):
        return
    images = np.stack([read_image(path) for path in job.images])
    if job.masks:
        masks = [read_mask(path) for path in job.masks]
    else:
        pairs = zip(images, job.points_world_m, strict=True)
        masks = [cut_out(image, body_capsules(pinhole(job.camera), points)) for image, points in pairs]
    median, known = masked_median(images, np.stack([widened(mask) for mask in masks]))
    room = complete(median, known, *room_picture(job.other, job.camera))
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


def write_given_mask(job: GivenMaskJob) -> None:
    """Write a mask of the user's as the ideal camera sees it."""
    colour = np.repeat(read_mask(job.given)[..., None], 3, axis=-1)
    write_whole(job.mask, np.where(as_ideal_camera(colour, job.camera)[..., 0] > PERSON_ABOVE, 255, 0).astype(np.uint8))


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
