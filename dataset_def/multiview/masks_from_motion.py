"""Masks without keypoints: foreground components, the person among them, and GrabCut for the edge.

The foreground differs from the background, which is a picture of it, or the median over time: then the person must
leave every place most of the time.  Or a segmentation network tells it, frame by frame.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from dataset_def.h36m_files import image_path, mask_path
from dataset_def.mask_centres import mask_shape
from dataset_def.multiview.backgrounds import difference_from, write_whole
from dataset_def.multiview.check_calibration import Sightings
from dataset_def.multiview.masks_from_keypoints import GRAB_PX, Window, segmented
from dataset_def.multiview.people import TrackedPerson, tracked_people
from dataset_def.multiview.recording import BackgroundPicture, MultiviewRecording, background_picture
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.multiview.write_layout import LabelledRecording
from dataset_def.photos.segmentation import SEGMENTATION_NETWORK, PersonSegmenter
from utils.artifacts import load_background, save_background
from utils.camera import Camera
from utils.image import PERSON_ABOVE, read_image, read_mask
from utils.processes import for_each

MOST_MEDIAN_FRAMES = 60
"""Frames behind the median, spread over the recording."""
SMALL_PX = 480
"""Components are found in pictures of this longer side."""
CHANGED = 22.0
"""Grey levels by which a person differs from the background, of 255."""
SMALLEST_COMPONENT = 0.0015
"""Components smaller than this share of the picture are no person."""
END_SHARE = 0.06
"""Top and bottom of a component are the means of its pixels in this share of its height."""
COMPONENT_OUTLIER = 0.05
"""Tops, centres and bottoms in two views are of one person up to this part of the picture's longer side."""
STILL = ("; or the silhouettes are wrong, because the person hardly moves or other things move: give --keypoints, "
         "--masks, or pictures of the background without people (--backgrounds)")  # fmt: skip
"""What else may explain views that do not agree on silhouettes."""
SEGMENTED_LEVELS = 2 * CHANGED
"""A pixel that is a person for sure counts like so many grey levels; one that is as likely as not, like CHANGED."""
SEEN_SHARE = 0.5
"""A moving person must be found in so many of the instants."""


class ViewJob(NamedTuple):
    """One camera whose moving people are to be found."""

    images: tuple[Path, ...]
    """The picture of each instant."""
    camera: Camera
    """The camera as calibrated, with its distortion."""
    background: BackgroundPicture | None
    first_background: Path
    """File for the background that the foreground components are found with."""
    known: Path
    """File that tells where a picture shows that background."""
    network: Path | None
    """Of the segmentation extra, where it tells the foreground that no picture of the background does."""


class SilhouetteJob(NamedTuple):
    """One frame whose mask is to be made."""

    image: Path
    first_background: Path
    known: Path
    network: Path | None
    component: int
    """Which of the frame's foreground components is the person; -1 for none."""
    mask: Path


def view_jobs(config: ImportMultiviewConfig, labelled: LabelledRecording) -> list[ViewJob]:
    """List the cameras of a recording."""
    return [
        ViewJob(
            tuple(image_path(config.paths, sequence.key(number, frame)) for sequence, frame, _ in labelled.instants()),
            view.camera,
            view.background,
            config.report_location / f"first_room_ca_{number:02d}.npy",
            config.report_location / f"first_room_known_ca_{number:02d}.png",
            SEGMENTATION_NETWORK if config.cut_out == "segmentation" else None,
        )
        for number, view in enumerate(labelled.recording.views, start=1)
    ]


def first_background(job: ViewJob) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Read the picture of the background, and where it shows that; elsewhere, take the median over time."""
    picture, known = background_picture(job.background, job.camera)
    if known.all():
        return picture, known
    rows = np.linspace(0, len(job.images) - 1, min(len(job.images), MOST_MEDIAN_FRAMES)).round().astype(int)
    stack = np.stack([read_image(job.images[row]) for row in rows])
    stack.partition(len(stack) // 2, axis=0)
    return np.where(known[..., None], picture, stack[len(stack) // 2]), known


@lru_cache(maxsize=1)
def segmenter(network: Path) -> PersonSegmenter:
    """Load the segmentation network once in each process."""
    return PersonSegmenter(network)


def foreground(
    image: UInt8[np.ndarray, "H W 3"],
    background: UInt8[np.ndarray, "H W 3"],
    known: Bool[np.ndarray, "H W"] | None,
    network: Path | None,
) -> Float32[np.ndarray, "H W"]:
    """Tell how far each pixel is from the background, or how likely it is a person: 0 to 255.

    Args:
        known: where a picture shows the background; looked at where a network tells the rest.
    """
    changed = difference_from(background, np.ones(background.shape[:2], dtype=bool), image)
    if network is None or known is None:
        return changed
    likely = (SEGMENTED_LEVELS * segmenter(network).closely(image)).astype(np.float32)
    return np.where(known, changed, likely)


def patches(changed: Float32[np.ndarray, "H W"]) -> tuple[Int[np.ndarray, "h w"], list[int], float]:
    """Find patches of a person's size in a shrunk difference: (numbered pixels, their numbers, scale)."""
    scale = min(1.0, SMALL_PX / max(changed.shape))
    size = (round(changed.shape[1] * scale), round(changed.shape[0] * scale))
    small = (cv2.resize(changed, size, interpolation=cv2.INTER_AREA) > CHANGED).astype(np.uint8)
    across = max(3, round(0.008 * max(size))) | 1
    opened = cv2.morphologyEx(small, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    joined = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((2 * across + 1, across), np.uint8))
    _, numbered, stats, _ = cv2.connectedComponentsWithStats(joined)
    large = [n for n in range(1, len(stats)) if stats[n, cv2.CC_STAT_AREA] >= SMALLEST_COMPONENT * small.size]
    return numbered, sorted(large, key=lambda n: -int(stats[n, cv2.CC_STAT_AREA])), scale


def outline_points(patch: Bool[np.ndarray, "h w"], scale: float) -> Float[np.ndarray, "3 3"]:
    """Give top, centre and bottom of a patch in pixels of the whole picture; no confidence where the border cuts."""
    y, x = np.nonzero(patch)
    height = max(1.0, END_SHARE * (y.max() - y.min() + 1))
    parts = [y <= y.min() + height, np.ones(len(y), dtype=bool), y >= y.max() - height]
    points = [((x[part].mean() + 0.5) / scale, (y[part].mean() + 0.5) / scale, 1.0 + patch.mean()) for part in parts]
    found = np.array(points)
    found[0, 2] *= y.min() > 0
    found[2, 2] *= y.max() < len(patch) - 1
    return found


def find_people(job: ViewJob) -> list[Float[np.ndarray, "_ 3 3"]]:
    """Store the background of one camera, and find what may be people in all its frames."""
    background, known = first_background(job)
    save_background(job.first_background, background)
    write_whole(job.known, np.where(known, 255, 0).astype(np.uint8))
    everybody = []
    for path in job.images:
        numbered, numbers, scale = patches(foreground(read_image(path), background, known, job.network))
        points = [outline_points(numbered == number, scale) for number in numbers]
        everybody.append(np.array(points).reshape(-1, 3, 3))
    return everybody


def chosen_person(
    recording: MultiviewRecording, components: list[list[Float[np.ndarray, "_ 3 3"]]], person: int
) -> tuple[TrackedPerson, list[TrackedPerson]]:
    """Choose whom most views see, with the least error, and give everybody.

    Raises:
        ValueError: nobody moves before two cameras that agree on him; the sentence says what to give.
    """
    cameras = [pinhole(camera) for camera in recording.cameras]
    outlier_px = COMPONENT_OUTLIER * max(max(camera.width_px, camera.height_px) for camera in cameras)
    everybody = tracked_people(
        cameras, [list(views) for views in zip(*components, strict=True)], outlier_px, recording.frames_per_second
    )
    chosen = everybody[person - 1] if person <= len(everybody) else None
    share = 0.0 if chosen is None else float(np.isfinite(chosen.position_world_m[:, 0]).mean())
    if chosen is None or share < SEEN_SHARE:
        unseen = [name for name, found in zip(recording.names, components, strict=True) if not any(map(len, found))]
        where = f"; nothing moves in {', '.join(unseen)}" if unseen else ""
        raise ValueError(
            f"a moving person was found by two cameras together in {share:.0%} of the frames only{where}: he may "
            "hardly move, so that the median over time shows him, other things may move, or the calibration may be "
            "wrong; give --keypoints, --masks, or pictures of the background without people (--backgrounds)"
        )
    return chosen, everybody


def silhouette_jobs(
    config: ImportMultiviewConfig, labelled: LabelledRecording, jobs: list[ViewJob], chosen: TrackedPerson
) -> list[SilhouetteJob]:
    """List the masks of the chosen person."""
    return [
        SilhouetteJob(
            image=image_path(config.paths, sequence.key(number, frame)),
            first_background=job.first_background,
            known=job.known,
            network=job.network,
            component=int(chosen.members[instant, number - 1]),
            mask=mask_path(config.paths, sequence.key(number, frame)),
        )
        for number, job in enumerate(jobs, start=1)
        for sequence, frame, instant in labelled.instants()
    ]


def write_silhouette(job: SilhouetteJob) -> None:
    """Write the mask of one frame; empty where the person is not seen."""
    image = read_image(job.image)
    if job.component < 0:
        write_whole(job.mask, np.zeros(image.shape[:2], np.uint8))
        return
    known = None if job.network is None else read_mask(job.known) > PERSON_ABOVE
    changed = foreground(image, load_background(job.first_background), known, job.network)
    numbered, numbers, _ = patches(changed)
    patch = (numbered == numbers[job.component]).astype(np.uint8)
    whole = cv2.resize(patch, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    write_whole(job.mask, cut_patch(image, changed, whole))


def cut_patch(
    image: UInt8[np.ndarray, "H W 3"], changed: Float32[np.ndarray, "H W"], patch: UInt8[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W"]:
    """Find the exact edge of a person from a rough patch: 255 inside, 0 outside."""
    left, top, width, height = cv2.boundingRect(patch)
    margin = max(4, round(0.15 * max(width, height)))
    low = [max(0, left - margin), max(0, top - margin)]
    high = [min(patch.shape[1], left + width + margin), min(patch.shape[0], top + height + margin)]
    window = Window(low, high, min(1.0, GRAB_PX / max(width, height)))
    near, difference = window.thinned(patch), window.thinned(changed)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(2, round(0.02 * near.shape[0])) + 1,) * 2)
    around = cv2.dilate(near, disc) > 0
    labels = np.full(near.shape, cv2.GC_BGD, np.uint8)
    labels[around] = cv2.GC_PR_BGD
    labels[around & (difference > CHANGED)] = cv2.GC_PR_FGD
    labels[(near > 0) & (difference > 2 * CHANGED)] = cv2.GC_FGD
    labels[difference < CHANGED / 3] = cv2.GC_BGD
    if not (labels == cv2.GC_FGD).any():
        labels[labels == cv2.GC_PR_FGD] = cv2.GC_FGD
    return window.pasted(segmented(window.shrunk(image), labels), patch.shape)


def find_components(
    config: ImportMultiviewConfig, labelled: LabelledRecording
) -> list[list[Float[np.ndarray, "_ 3 3"]]]:
    """Find what may be people, by camera, then by instant."""
    return for_each(find_people, view_jobs(config, labelled), config.processes, "people")


def component_sightings(components: list[list[Float[np.ndarray, "_ 3 3"]]], every: int) -> Sightings:
    """Give the centre of the largest patch of every view and frame, where views do not agree on anybody."""
    nobody = np.full((3, 3), np.nan)
    largest = np.stack([[found[0] if len(found) else nobody for found in frames] for frames in components], axis=1)
    return Sightings(largest[:, :, 1:2, :2], largest[:, :, 2, 1] - largest[:, :, 0, 1], "moving patches", every, STILL)


def write_silhouettes(
    config: ImportMultiviewConfig, labelled: LabelledRecording, components: list[list[Float[np.ndarray, "_ 3 3"]]]
) -> list[TrackedPerson]:
    """Choose the moving person in all views and write his masks; give everybody who was found."""
    jobs = view_jobs(config, labelled)
    chosen, everybody = chosen_person(labelled.recording, components, config.person)
    for_each(write_silhouette, silhouette_jobs(config, labelled, jobs, chosen), config.processes, "masks")
    for job in jobs:
        job.first_background.unlink()
        job.known.unlink()
    return everybody


def with_lone_patches(masks: Sightings, components: list[list[Float[np.ndarray, "_ 3 3"]]]) -> Sightings:
    """Add what is alone in a view but agrees with no other view, so that a wrong calibration is judged by that, too."""
    points_px, extent_px = masks.points_px.copy(), masks.extent_px.copy()
    for view, frames in enumerate(components):
        for time, found in enumerate(frames):
            if len(found) == 1 and np.isnan(extent_px[time, view]) and (found[0, :, 2] > 0).all():
                top_px, middle_px, bottom_px = found[0, :, :2]
                points_px[time, view, 0], extent_px[time, view] = middle_px, bottom_px[1] - top_px[1]
    return Sightings(points_px, extent_px, "middles of the silhouettes", masks.every, STILL)


def mask_sightings(config: ImportMultiviewConfig, labelled: LabelledRecording) -> Sightings:
    """Give the centres of written masks that no border cuts, for the check of a calibration."""
    num_views = len(labelled.recording.views)
    centres_px = np.full((labelled.recording.num_instants, num_views, 1, 2), np.nan)
    extent_px = np.full((labelled.recording.num_instants, num_views), np.nan)
    for row, camera in enumerate(labelled.recording.cameras):
        for sequence, frame, instant in labelled.instants():
            shape = mask_shape(read_mask(mask_path(config.paths, sequence.key(row + 1, frame))))
            left, top, right, bottom = shape.box_px
            if left > 0 and top > 0 and right < camera.width_px and bottom < camera.height_px:
                centres_px[instant, row, 0] = shape.centroid_px
                extent_px[instant, row] = max(right - left, bottom - top)
    return Sightings(centres_px, extent_px, "mask centres", labelled.recording.every)
