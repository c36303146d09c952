"""Imports a recording by one's own cameras: checks it, writes it beside the final folder, and moves it there."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from config import Paths
from dataset_def.h36m_files import find_folders, folder_name, load_camera, meta_path
from dataset_def.h36m_writer import staged
from dataset_def.multiview.backgrounds import (
    given_mask_jobs,
    mask_jobs,
    num_filled_px,
    room_jobs,
    write_given_mask,
    write_mask,
    write_room,
)
from dataset_def.multiview.check_calibration import (
    Agreement,
    Sightings,
    agreement,
    agreement_complaints,
    rig_complaints,
    settle,
    table,
)
from dataset_def.multiview.joints import (
    Labels,
    foremost,
    keypoint_sightings,
    label,
    median_errors_px,
    never_placed,
    refined,
    told_apart,
    track,
)
from dataset_def.multiview.masks_from_motion import (
    blob_sightings,
    find_blobs,
    mask_sightings,
    with_lone_patches,
    write_silhouettes,
)
from dataset_def.multiview.own_recording import own_recording
from dataset_def.multiview.people import Somebody
from dataset_def.multiview.recording import Recording
from dataset_def.multiview.report import rig_and_reprojection, write_json
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.multiview.write_layout import Take, make_take, write_video
from utils.artifacts import commit
from utils.camera import Camera
from utils.processes import for_each

SAME = 1e-3
"""Cameras of two recordings are the same if nothing differs by more (metres, pixels)."""


def check_place(config: ImportMultiviewConfig, take: Take) -> None:
    """Stop if the data set has this recording already, or its subjects with other cameras.

    Raises:
        ValueError: with the settings to change.
    """
    assert config.to is not None
    paths = Paths.under(config.to)
    there = find_folders(paths) if paths.h36m_location.is_dir() and any(paths.h36m_location.iterdir()) else []
    wanted = {sequence.key(number, 1)[:4] for sequence in take.sequences
              for number in range(1, len(take.recording.views) + 1)}  # fmt: skip
    twice = sorted(wanted & set(there))
    if twice:
        raise ValueError(f"{paths.h36m_location} has {folder_name(*twice[0])} already; delete it, or give this import "
                         "another --subject or --action")  # fmt: skip
    for key in (key for key in there if key[0] in take.subjects):
        number, known = key[3], load_camera(meta_path(paths, key))
        views = take.recording.views
        if number > len(views) or not _same(known, pinhole(views[number - 1].camera)):
            raise ValueError(f"subject {key[0]} in {config.to} was filmed by other cameras; a subject has one room and "
                             "one set of cameras: give the recording another --subject")  # fmt: skip


def _same(known: Camera, camera: Camera) -> bool:
    """Tell whether two undistorted cameras are the same."""
    pairs = [(getattr(known, name), getattr(camera, name)) for name in Camera._fields[:6]]
    return all(np.abs(np.asarray(a, float) - np.asarray(b, float)).max() < SAME for a, b in pairs)


def judged(config: ImportMultiviewConfig, recording: Recording, sightings: Sightings) -> Agreement:
    """Measure whether the views agree on the person, and stop if they do not.

    Raises:
        ValueError: what is wrong, and what it may be.
    """
    cameras = [pinhole(camera) for camera in recording.cameras]
    found = agreement(cameras, sightings)
    settle(agreement_complaints(recording.names, cameras, sightings, found, config.largest_error),
           config.accept_calibration)  # fmt: skip
    return found


def place_person(config: ImportMultiviewConfig, recording: Recording) -> tuple[Recording, Labels, dict[str, Any]]:
    """Find one person by the keypoints, check the calibration on them, and place the joints."""
    assert recording.people is not None
    rate, outlier_px = recording.frames_per_second, config.outlier_px
    try:
        tracked, everybody = track(recording.cameras, recording.people, outlier_px, rate, config.person)
    except ValueError:
        likely = keypoint_sightings(foremost(recording.people, recording.cameras), recording.every)
        judged(replace(config, accept_calibration=False), recording, likely)
        raise
    seen_px = told_apart(recording.cameras, recording.people, tracked.keypoints_px, everybody, config.person)
    found = judged(config, recording, keypoint_sightings(seen_px, recording.every))
    numbers: dict[str, Any] = {"agreement": table(recording.names, found), "people": people_table(everybody)}
    labels = label(recording.cameras, tracked, outlier_px, rate, config.smooth_hz)
    numbers["median_error_px"] = median_errors_px(recording.cameras, labels)
    if config.refine_cameras:
        recording = recording.with_cameras(refined(recording.cameras, tracked))
        labels = label(recording.cameras, tracked, outlier_px, rate, config.smooth_hz)
        numbers["median_error_refined_px"] = median_errors_px(recording.cameras, labels)
    numbers["used_share"] = labels.track.is_used.mean(axis=(0, 2)).round(3).tolist()
    numbers["interpolated_keypoints"] = labels.num_filled
    numbers["joints_never_placed"] = never_placed(labels)
    return recording, labels, numbers


def people_table(everybody: list[Somebody], most: int = 5) -> list[dict[str, Any]]:
    """List who was seen, the first as --person 1, and where he was most of the time."""
    return [
        {
            "frames": one.num_frames,
            "cameras": round(one.num_sightings / max(1, one.num_frames), 2),
            "error_px": round(one.error_px, 2),
            "place_world_m": np.nanmedian(one.position_world_m, axis=0).round(2).tolist(),
        }
        for one in everybody[:most]
    ]


def write_take(config: ImportMultiviewConfig, take: Take) -> dict[str, Any]:
    """Write frames, masks and backgrounds to the (preliminary) places of the settings, and check what masks tell."""
    for_each(write_video, take.video_jobs(config.paths.h36m_location), config.processes, "frames")
    numbers: dict[str, Any] = {}
    if config.masks is not None:
        for_each(write_given_mask, given_mask_jobs(config, take), config.processes, "masks")
    if take.labels is None:
        if config.masks is not None:
            sightings = mask_sightings(config, take)
        else:
            everybody, sightings = silhouettes(config, take)
            numbers["people"] = people_table(everybody)
        numbers["agreement"] = table(take.recording.names, judged(config, take.recording, sightings))
    for_each(write_room, room_jobs(config, take), config.processes, "rooms")
    if config.masks is None and take.labels is not None:
        for_each(write_mask, mask_jobs(config, take), config.processes, "masks")
    return numbers | {"background_px": num_filled_px(config, len(take.recording.views))}


def silhouettes(config: ImportMultiviewConfig, take: Take) -> tuple[list[Somebody], Sightings]:
    """Write masks of the moving person; where there is none, say first what the calibration has to do with it."""
    blobs = find_blobs(config, take)
    try:
        everybody = write_silhouettes(config, take, blobs)
    except ValueError:
        judged(replace(config, accept_calibration=False), take.recording, blob_sightings(blobs, config.every))
        raise
    return everybody, with_lone_patches(mask_sightings(config, take), blobs)


def about_name(config: ImportMultiviewConfig) -> str:
    """Name what belongs to one recording of a data set."""
    return f"s_{config.subject:02d}_act_{config.action:02d}"


def own_config(config: ImportMultiviewConfig, recording: Recording) -> ImportMultiviewConfig:
    """Fill in what a setting leaves open for own recordings."""
    largest_px = max(max(camera.width_px, camera.height_px) for camera in recording.cameras)
    outlier_px = config.outlier_px or OUTLIER * largest_px
    return replace(config, outlier_px=outlier_px, refine_cameras=bool(config.refine_cameras))


OUTLIER = 1 / 48
"""The outlier distance over the longer side of the picture, where none is given; pose2sim's 40 px of 1920."""


def import_own(config: ImportMultiviewConfig) -> Paths:
    """Import a recording of the user's own; nothing is left behind if it cannot be.

    Raises:
        FileNotFoundError, ValueError: in words that name the file, the camera, the setting.
    """
    to = config.to
    assert to is not None
    recording = own_recording(config)
    config = own_config(config, recording)
    settle(rig_complaints(recording.names, recording.cameras), config.accept_calibration)
    labels: Labels | None = None
    numbers: dict[str, Any] = {}
    if recording.people is not None:
        recording, labels, numbers = place_person(config, recording)
    take = make_take(recording, labels, config.subject, config.action, config.sequence_frames, config.test_frames)
    check_place(config, take)
    with staged(to, about_name(config)) as stage:
        about = stage / "about" / about_name(config)
        about.mkdir(parents=True)
        there = replace(config, paths=Paths.under(stage), about_location=about)
        numbers |= write_take(there, take)
        rig_and_reprojection(there, take)
        write_json(about / "report.json", origin(config, recording) | numbers)
    return Paths.under(to)


def origin(config: ImportMultiviewConfig, recording: Recording) -> dict[str, Any]:
    """Say what was imported, and how."""
    return {
        "command": " ".join(sys.argv),
        "commit": commit(),
        "calibration": [str(path) for path in config.calibration],
        "cameras": recording.names,
        "first_frames": [view.first for view in recording.views],
        "instants": recording.num_instants,
        "instants_per_second": recording.frames_per_second,
    }
