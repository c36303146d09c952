"""Converts one video with its poses and masks to one folder of frames, one of masks, and h36m_meta.mat.

A folder is complete or absent: it is written beside its place and then renamed, the frames last.

Checks that poses, calibration, video and masks of one recording belong together.
"""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from dataset_def.h36m_writer import is_full, not_writable, write_meta
from dataset_def.official.files import OfficialRecording
from dataset_def.official.ground_truth import Masks, open_masks, read_joints_world_m, read_points_px
from dataset_def.official.metadata import Metadata, read_camera
from dataset_def.official.settings import ConvertConfig
from dataset_def.video import VideoReader, open_video
from utils.artifacts import atomic_folder, atomic_write
from utils.camera import Camera, project, resized, to_camera
from utils.image import write_image
from utils.skeleton import H36M_17

WRONG_PX = 2.0
"""Human3.6M's own projections differ by less than 0.2 pixels from ours; another camera's by hundreds."""
ON_MASK = 0.5
"""Share of the joints that lie on the mask where label and picture belong together (usually nearly all)."""


def joints_px(camera: Camera, joints_world_m: Float[np.ndarray, "N 17 3"], about: str) -> Float[np.ndarray, "N 17 2"]:
    """Project the joints of a recording, and check that the camera sees the person.

    Raises:
        ValueError: joints lie behind the camera, or the pelvis is mostly outside of the picture.
    """
    points_cam_m = to_camera(camera, joints_world_m)
    if (points_cam_m[..., 2] <= 0).any():
        raise ValueError(f"{about}: joints lie behind the camera; metadata.xml and the poses do not belong together")
    points_px = project(camera, points_cam_m)
    pelvis_px = points_px[:, H36M_17.index("pelvis")]
    is_seen = np.asarray(((pelvis_px >= 0) & (pelvis_px < [camera.width_px, camera.height_px])).all(axis=1))
    if is_seen.mean() < ON_MASK:
        raise ValueError(f"{about}: the pelvis is outside of the picture in {(~is_seen).sum()} of {len(is_seen)} "
                         "frames; metadata.xml and the poses do not belong together")  # fmt: skip
    return points_px


def projection_error_px(
    ours_px: Float[np.ndarray, "N 17 2"], theirs_px: Float[np.ndarray, "M 17 2"], path: Path
) -> float:
    """Compare with the download's own projections; gives the median distance.

    Raises:
        ValueError: another number of frames, or other places in the picture.
    """
    if len(ours_px) != len(theirs_px):
        raise ValueError(f"{path} has {len(theirs_px)} frames, the 3D poses of the same recording {len(ours_px)}; "
                         "download both again")  # fmt: skip
    median_px = float(np.median(np.linalg.norm(ours_px - theirs_px, axis=-1)))
    if not median_px <= WRONG_PX:
        raise ValueError(f"{path} has the joints {median_px:.1f} pixels away from where metadata.xml projects the 3D "
                         "poses; the files do not belong together")  # fmt: skip
    return median_px


def is_on_mask(points_px: Float[np.ndarray, "17 2"], mask: UInt8[np.ndarray, "H W"]) -> bool:
    """Tell whether most joints of a frame lie on its mask."""
    x, y = np.floor(points_px).astype(int).T
    is_inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    return bool((mask[y[is_inside], x[is_inside]] > 0).sum() >= ON_MASK * len(points_px))


def usable_frames(poses: int, video: int, masks: int | None, allowed: int, names: tuple[Path, Path | None]) -> int:
    """Count the frames for which everything is there: a video may go on after the last pose, but not end before.

    Args:
        video: frames that the video's header promises.
        names: of the video and of the masks, for the message.
    Raises:
        ValueError: a part ends more than `allowed` frames too early, or there are more masks than pictures.
    """
    if poses - video > allowed:
        raise ValueError(f"{names[0]} has {video} frames, but there are {poses} poses; download it again, or allow "
                         f"frames without picture at the end with --missing-frames {poses - video}")  # fmt: skip
    if masks is None:
        return min(poses, video)
    if poses - masks > allowed:
        raise ValueError(f"{names[1]} has {masks} masks, but there are {poses} poses; download it again, or allow "
                         f"frames without mask at the end with --missing-frames {poses - masks}")  # fmt: skip
    if masks > max(video, poses):
        raise ValueError(f"{names[1]} has {masks} masks, but the video has {video} frames and there are {poses} poses; "
                         "the files do not belong together")  # fmt: skip
    return min(poses, video, masks)


class Outcome(NamedTuple):
    """What became of one recording."""

    folder: str
    problem: str
    """Why it could not be converted; empty if it was."""


class Place(NamedTuple):
    """Where a folder's parts go; masks is None if none are converted."""

    frames: Path
    masks: Path | None
    note: Path


def place_of(config: ConvertConfig, folder: str) -> Place:
    """Say where the parts of a folder go."""
    masks = config.paths.masks_location / folder if config.masks else None
    return Place(config.paths.h36m_location / folder, masks, config.report_location / "folders" / f"{folder}.json")


def is_folder_complete(config: ConvertConfig, folder: str) -> bool:
    """Tell whether all of a folder is there."""
    place = place_of(config, folder)
    return place.frames.is_dir() and (place.masks is None or place.masks.is_dir())


def shrunk_camera(camera: Camera, width_px: int) -> Camera:
    """Scale a camera to pictures of another width, in proportion; 0 keeps it.

    Raises:
        ValueError: the pictures would grow.
    """
    if width_px > camera.width_px:
        raise ValueError(f"size_px is {width_px}, but the videos are {camera.width_px} wide; use less, or 0 to keep it")
    if width_px in (0, camera.width_px):
        return camera
    return resized(camera, width_px, round(camera.height_px * width_px / camera.width_px))


def shrunk_to_camera(image: UInt8[np.ndarray, "H W *c"], camera: Camera) -> UInt8[np.ndarray, "h w *c"]:
    """Scale a picture to its camera's size."""
    if image.shape[:2] == (camera.height_px, camera.width_px):
        return image
    return cv2.resize(image, (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA)


def convert_recording(config: ConvertConfig, metadata: Metadata, recording: OfficialRecording) -> Outcome:
    """Convert one recording; damage of its own files is reported, so that the others go on.

    Raises:
        ValueError: nothing can be written any more.
    """
    try:
        write_recording(config, metadata, recording)
    except OSError as error:
        if is_full(error):
            raise not_writable(recording.folder, error) from error
        return Outcome(recording.folder, str(error))
    except ValueError as error:
        return Outcome(recording.folder, str(error))
    return Outcome(recording.folder, "")


def write_recording(config: ConvertConfig, metadata: Metadata, recording: OfficialRecording) -> None:
    """Write frames, masks, h36m_meta.mat and the note of one recording."""
    subject, _, _, number = recording.key
    place = place_of(config, recording.folder)
    joints_world_m = read_joints_world_m(recording.poses)
    opened_masks = open_masks(recording.masks) if config.masks and recording.masks else nullcontext()
    with open_video(recording.video) as video, opened_masks as masks:
        camera = read_camera(metadata, subject, number, video.width_px, video.height_px)
        points_px = joints_px(camera, joints_world_m, f"{recording.poses}, camera {number}")
        note: dict[str, Any] = {"recording": f"S{subject} {recording.name}", "poses": len(joints_world_m)}
        if recording.points is not None:
            note["projection_error_px"] = projection_error_px(
                points_px, read_points_px(recording.points), recording.points
            )
        to = shrunk_camera(camera, config.size_px)
        with atomic_folder(*(folder for folder in (place.masks, place.frames) if folder is not None)) as partials:
            note |= write_frames(config, recording, video, masks, points_px, to, partials)
            write_meta(partials[-1] / "h36m_meta.mat", to, joints_world_m[: note["usable_frames"]])
            with atomic_write(place.note) as partial:
                partial.write_text(json.dumps(note, indent=1) + "\n")


def write_frames(
    config: ConvertConfig,
    recording: OfficialRecording,
    video: VideoReader,
    masks: Masks | None,
    points_px: Float[np.ndarray, "N 17 2"],
    to: Camera,
    partials: list[Path],
) -> dict[str, Any]:
    """Write the pictures of one video; gives what was counted."""
    poses, num_masks = len(points_px), masks.num_masks if masks else None
    names = (recording.video, recording.masks)
    last = usable_frames(poses, video.header_frames, num_masks, config.missing_frames, names)
    num_written = num_off_mask = 0
    for frame, image in video.frames(config.every, last):
        stem = f"{recording.folder}_{frame:06d}"
        if masks is not None:
            mask = masks.read(frame - 1)
            if mask.shape != image.shape[:2]:
                raise ValueError(f"{recording.masks}: mask {frame} is {mask.shape[1]} x {mask.shape[0]}, the video "
                                 f"{image.shape[1]} x {image.shape[0]}; download both again")  # fmt: skip
            num_off_mask += not is_on_mask(points_px[frame - 1], mask)
            write_image(partials[0] / f"{stem}.png", shrunk_to_camera(mask, to))
        write_image(partials[-1] / f"{stem}.{config.image}", shrunk_to_camera(image, to), config.quality)
        num_written += 1
    decoded = video.header_frames if video.num_passed == last else video.num_passed
    usable_frames(poses, decoded, num_masks, config.missing_frames, names)
    counted = {"frames": num_written, "usable_frames": video.num_passed, "video_frames": video.header_frames}
    return counted | ({} if masks is None else {"frames_off_mask": num_off_mask})
