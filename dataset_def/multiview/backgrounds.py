"""Backgrounds and masks of a recording; each helps the other.

With keypoints: first masks from keypoints alone on some frames, then the background, then the masks of all frames with
its help.  With masks (given, or from masks_from_motion.py): the background is what they leave.  Behind a person who
hardly moves it is a median of what the masks leave, completed from other pictures.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from dataset_def.h36m_files import background_path, image_path, mask_path
from dataset_def.multiview.masks_from_keypoints import body_capsules, cut_out
from dataset_def.multiview.recording import BackgroundPicture, as_ideal_camera, background_picture
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.multiview.write_layout import LabelledRecording
from dataset_def.video import read_given_mask
from utils.artifacts import atomic_write, load_background, save_background
from utils.camera import Camera
from utils.image import PERSON_ABOVE, read_image, read_mask

LEAST_VIEWS = 3
"""Times that a pixel must have been free of the person."""
MASK_MARGIN = 1 / 160
"""The masks are widened by this part of the picture's longer side (12 px of 1920): soft edges and shadows."""
BLEND_PX = 40
"""The brightness of another picture is fitted to the median beside it over this distance."""
BAND_ROWS = 64


class CompletedBackground(NamedTuple):
    """A background, and where it comes from."""

    image: UInt8[np.ndarray, "H W 3"]
    source: UInt8[np.ndarray, "H W"]
    """One of the numbers below."""


OWN, OTHER_PICTURE, INPAINTED = 0, 1, 2


def widened(mask: UInt8[np.ndarray, "H W"], margin: float = MASK_MARGIN) -> Bool[np.ndarray, "H W"]:
    """Grow a mask by a disc, of at least two pixels."""
    by_px = max(2, round(margin * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1, 2 * by_px + 1))
    return cv2.dilate(mask, disc) > 128


def masked_median(
    images: UInt8[np.ndarray, "T H W 3"], is_person: Bool[np.ndarray, "T H W"]
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Compute the median over the frames without the person, a band of rows at a time, and where it is known."""
    median = np.zeros(images.shape[1:], np.uint8)
    count = (~is_person).sum(axis=0)
    for top in range(0, images.shape[1], BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        values = images[:, band].astype(np.int16)
        values[is_person[:, band]] = 256
        values.sort(axis=0)
        middle = np.maximum(count[band] - 1, 0) // 2
        median[band] = np.take_along_axis(values, middle[None, ..., None], axis=0)[0].clip(0, 255)
    return median, count >= LEAST_VIEWS


def blurred_where(values: Float32[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W 3"]:
    """Blur known values only (normalised convolution), at a quarter of the size; zero far from them."""
    weight = known.astype(np.float32)
    size = (max(1, known.shape[1] // 4), max(1, known.shape[0] // 4))
    small = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (values * weight[..., None], weight)]
    total, share = (cv2.GaussianBlur(part, (0, 0), BLEND_PX / 4) for part in small)
    return cv2.resize(total / (share[..., None] + 1e-3), known.shape[::-1], interpolation=cv2.INTER_LINEAR)


def complete(
    image: UInt8[np.ndarray, "H W 3"],
    known: Bool[np.ndarray, "H W"],
    other: UInt8[np.ndarray, "H W 3"],
    other_known: Bool[np.ndarray, "H W"],
) -> CompletedBackground:
    """Fill what is not known from another picture of the same camera, its brightness fitted, and inpaint the rest."""
    difference = image.astype(np.float32) - other
    both = known & other_known & (np.abs(difference).max(axis=-1) < 40)
    fitted = np.clip(other + blurred_where(difference, both), 0, 255).astype(np.uint8)
    source = np.where(known, OWN, np.where(other_known, OTHER_PICTURE, INPAINTED)).astype(np.uint8)
    filled = np.where((source == OTHER_PICTURE)[..., None], fitted, image)
    if (source == INPAINTED).any():
        filled = cv2.inpaint(filled, (source == INPAINTED).astype(np.uint8), 5, cv2.INPAINT_TELEA)
    return CompletedBackground(filled, source)


def difference_from(
    background: UInt8[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"], image: UInt8[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"]:
    """Measure how far a picture differs from the background, 0 to 255, slightly blurred; NaN where not known."""
    changed = cv2.absdiff(background, image).max(axis=-1).astype(np.float32)
    changed = cv2.GaussianBlur(changed, (0, 0), 2.0)
    changed[~known] = np.nan
    return changed


BACKGROUND_EVERY = 3
"""Every so many frames go into the median of a background."""
MOST_BACKGROUND_FRAMES = 60
"""At most so many frames go into it, evenly spaced: they are held in memory at once."""
SOURCE_LEVELS = 100
"""Factor that makes the sources of background pixels visible as grey levels."""


class BackgroundJob(NamedTuple):
    """One camera whose background is to be made."""

    images: tuple[Path, ...]
    """Frames that the median is taken over."""
    camera: Camera
    """The camera as calibrated, with its distortion."""
    points_world_m: tuple[Float[np.ndarray, "25 3"], ...]
    """Keypoints of each frame; empty where there are masks instead."""
    masks: tuple[Path, ...]
    """Mask of each frame; empty where there are keypoints instead."""
    other: BackgroundPicture | None
    """A picture of the background by the same camera at another time."""
    backgrounds: tuple[Path, ...]
    """Files to write, one per subject with the same content."""
    source: Path
    """Where every background pixel comes from, as a picture."""


class MaskJob(NamedTuple):
    """One frame whose mask is to be made."""

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
    """The camera as calibrated, with its distortion."""
    mask: Path


def source_path(config: ImportMultiviewConfig, camera_number: int) -> Path:
    """Say where the sources of a background are noted."""
    return config.report_location / f"background_source_ca_{camera_number:02d}.png"


def background_jobs(config: ImportMultiviewConfig, labelled: LabelledRecording) -> list[BackgroundJob]:
    """List the cameras; what a recording does not show of the background comes from another picture, where given."""
    every = max(BACKGROUND_EVERY, -(-labelled.recording.num_instants // MOST_BACKGROUND_FRAMES))
    if labelled.recording.num_instants < MOST_BACKGROUND_FRAMES // BACKGROUND_EVERY:
        every = 1
    chosen, labels = list(labelled.instants())[::every], labelled.labels
    keys = [
        [s.key(number, frame) for s, frame, _ in chosen] for number, _ in enumerate(labelled.recording.views, start=1)
    ]
    has_masks = labels is None or not config.cuts_by_keypoints
    return [
        BackgroundJob(
            images=tuple(image_path(config.paths, key) for key in keys[row]),
            camera=view.camera,
            points_world_m=() if labels is None else tuple(labels.points_world_m[instant] for _, _, instant in chosen),
            masks=tuple(mask_path(config.paths, key) for key in keys[row]) if has_masks else (),
            other=view.background,
            backgrounds=tuple(background_path(config.paths, subject, row + 1) for subject in labelled.subjects),
            source=source_path(config, row + 1),
        )
        for row, view in enumerate(labelled.recording.views)
    ]


def mask_jobs(config: ImportMultiviewConfig, labelled: LabelledRecording) -> list[MaskJob]:
    """List the masks of a recording with keypoints."""
    assert labelled.labels is not None
    return [
        MaskJob(
            image=image_path(config.paths, sequence.key(number, frame)),
            camera=pinhole(view.camera),
            points_world_m=labelled.labels.points_world_m[instant],
            background=background_path(config.paths, sequence.subject, number),
            source=source_path(config, number),
            mask=mask_path(config.paths, sequence.key(number, frame)),
        )
        for number, view in enumerate(labelled.recording.views, start=1)
        for sequence, frame, instant in labelled.instants()
    ]


def given_mask_jobs(config: ImportMultiviewConfig, labelled: LabelledRecording) -> list[GivenMaskJob]:
    """List the masks that the user gave."""
    return [
        GivenMaskJob(files[instant], view.camera, mask_path(config.paths, sequence.key(row + 1, frame)))
        for row, (view, files) in enumerate(
            (view, labelled.recording.mask_files(row)) for row, view in enumerate(labelled.recording.views)
        )
        for sequence, frame, instant in labelled.instants()
    ]


def write_background(job: BackgroundJob) -> None:
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
    background = complete(median, known, *background_picture(job.other, job.camera))
    write_whole(job.source, (background.source * SOURCE_LEVELS).astype(np.uint8))
    for path in job.backgrounds:
        save_background(path, background.image)


def write_mask(job: MaskJob) -> None:
    """Write the mask of one frame, unless it is there."""
    if job.mask.exists():
        return
    image, known = read_image(job.image), sources(job.source) != INPAINTED
    difference = difference_from(load_background(job.background), known, image)
    write_whole(job.mask, cut_out(image, body_capsules(job.camera, job.points_world_m), difference))


def write_given_mask(job: GivenMaskJob) -> None:
    """Write a mask of the user's as the ideal camera sees it."""
    colour = np.repeat(read_given_mask(job.given)[..., None], 3, axis=-1)
    write_whole(job.mask, np.where(as_ideal_camera(colour, job.camera)[..., 0] > PERSON_ABOVE, 255, 0).astype(np.uint8))


def sources(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read where every background pixel comes from."""
    return read_mask(path) // SOURCE_LEVELS


def write_whole(path: Path, image: UInt8[np.ndarray, "H W"]) -> None:
    """Write a .png so that half a file never exists."""
    encoded_well, content = cv2.imencode(".png", image)
    assert encoded_well
    with atomic_write(path) as partial:
        partial.write_bytes(content.tobytes())


def num_filled_px(config: ImportMultiviewConfig, num_cameras: int) -> dict[str, list[int]]:
    """Count the background pixels per camera that the recording itself does not show."""
    found = [sources(source_path(config, view + 1)) for view in range(num_cameras)]
    names = {"from_another_picture": OTHER_PICTURE, "inpainted": INPAINTED}
    return {name: [int((source == number).sum()) for source in found] for name, number in names.items()}
