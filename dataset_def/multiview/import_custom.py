"""Imports a custom recording: checks it, writes it beside the final folder, and moves it there."""

import sys
import warnings
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from config import Paths
from dataset_def.h36m_files import find_folders, folder_name, load_camera, meta_path
from dataset_def.h36m_writer import atomic_data_set
from dataset_def.multiview.backgrounds import (
    background_jobs,
    given_mask_jobs,
    mask_jobs,
    num_filled_px,
    write_background,
    write_given_mask,
    write_mask,
)
from dataset_def.multiview.check_calibration import (
    Consistency,
    Sightings,
    consistency,
    consistency_problems,
    consistency_table,
    raise_or_warn,
    rig_problems,
)
from dataset_def.multiview.custom_recording import custom_recording
from dataset_def.multiview.evidence import evidence_problems, looked_at
from dataset_def.multiview.joints import (
    PlacedJoints,
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
    component_sightings,
    find_components,
    mask_sightings,
    with_lone_patches,
    write_silhouettes,
)
from dataset_def.multiview.people import TrackedPerson
from dataset_def.multiview.people_in_views import PersonInViews
from dataset_def.multiview.recording import MultiviewRecording, as_ideal_camera
from dataset_def.multiview.report import rig_and_reprojection, write_json, write_keypoints
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.multiview.write_layout import LabelledRecording, label_recording, write_video
from dataset_def.photos.blazepose import KEYPOINT_NETWORKS, KEYPOINTS_REMEDY, is_available
from dataset_def.video import read_given_mask
from utils.artifacts import commit
from utils.camera import Camera, project, to_camera
from utils.image import PERSON_ABOVE
from utils.processes import for_each

SAME = 1e-3
"""Cameras of two recordings are the same if nothing differs by more (metres, pixels)."""


def check_place(config: ImportMultiviewConfig, labelled: LabelledRecording) -> None:
    """Stop if the data set has this recording already, or its subjects with other cameras.

    Raises:
        ValueError: with the settings to change.
    """
    assert config.to is not None
    paths = Paths.under(config.to)
    there = find_folders(paths) if paths.h36m_location.is_dir() and any(paths.h36m_location.iterdir()) else []
    planned = {
        sequence.key(number, 1)[:4]
        for sequence in labelled.sequences
        for number in range(1, len(labelled.recording.views) + 1)
    }
    twice = sorted(planned & set(there))
    if twice:
        raise ValueError(f"{paths.h36m_location} has {folder_name(*twice[0])} already; delete it, or give this import "
                         "another --subject or --action")  # fmt: skip
    for key in (key for key in there if key[0] in labelled.subjects):
        number, known = key[3], load_camera(meta_path(paths, key))
        views = labelled.recording.views
        if number > len(views) or not _same(known, pinhole(views[number - 1].camera)):
            raise ValueError(f"subject {key[0]} in {config.to} was filmed by other cameras; a subject has one set of "
                             "cameras and backgrounds: give the recording another --subject")  # fmt: skip


def _same(known: Camera, camera: Camera) -> bool:
    """Tell whether two undistorted cameras are the same."""
    pairs = [(getattr(known, name), getattr(camera, name)) for name in Camera._fields[:6]]
    return all(np.abs(np.asarray(a, float) - np.asarray(b, float)).max() < SAME for a, b in pairs)


def judged(config: ImportMultiviewConfig, recording: MultiviewRecording, sightings: Sightings) -> Consistency:
    """Measure whether the views agree on the person, and stop if they do not.

    Raises:
        ValueError: what is wrong, and what it may be.
    """
    cameras = [pinhole(camera) for camera in recording.cameras]
    found = consistency(cameras, sightings)
    raise_or_warn(
        consistency_problems(recording.names, cameras, sightings, found, config.largest_error),
        config.accept_calibration,
    )
    return found


def place_person(
    config: ImportMultiviewConfig, recording: MultiviewRecording
) -> tuple[MultiviewRecording, PlacedJoints, dict[str, Any]]:
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
    numbers: dict[str, Any] = {
        "agreement": consistency_table(recording.names, found),
        "people": people_table(everybody),
    }
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


LEAST_INSIDE = 0.5
"""Share of a person's joints that a mask must cover, in the median over time; thin limbs lie at its edge."""
MASK_REACH = 0.03
"""Joints count as inside if a mask is so near, over the longer side of the picture."""


def check_masks_show_person(recording: MultiviewRecording, labels: PlacedJoints) -> None:
    """Stop if the given masks lie elsewhere than the joints that the keypoints give.

    Raises:
        ValueError: with the camera, and what may be the cause.
    """
    rows = np.unique(np.linspace(0, recording.num_instants - 1, min(recording.num_instants, 16)).astype(int))
    for number, view in enumerate(recording.views):
        files, shares = recording.mask_files(number), []
        reach_px = max(1, round(MASK_REACH * max(view.camera.width_px, view.camera.height_px)))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
        for row in rows if files else ():
            points_m = labels.joints_world_m[row][np.isfinite(labels.joints_world_m[row]).all(axis=-1)]
            in_front_m = to_camera(view.camera, points_m)
            in_front_m = in_front_m[in_front_m[:, 2] > 0]
            mask = cv2.dilate(read_given_mask(files[row]), disc) > PERSON_ABOVE
            mask = as_ideal_camera(np.repeat(mask[..., None], 3, -1).astype(np.uint8), view.camera)[..., 0] > 0
            x, y = project(pinhole(view.camera), in_front_m).astype(int).T
            seen = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
            if seen.any() and mask.any():
                shares.append(mask[y[seen], x[seen]].mean())
        if shares and np.median(shares) < LEAST_INSIDE:
            raise ValueError(f"--masks: those of camera {view.name} cover {np.median(shares):.0%} of the joints that "
                             "the keypoints give; they may be inverted, mirrored, of another camera or person, or out "
                             "of step")  # fmt: skip


def check_keypoints_show_person(
    config: ImportMultiviewConfig, recording: MultiviewRecording, labels: PlacedJoints
) -> str:
    """Stop if the keypoints lie on nobody whom the keypoints extra's detector sees.

    Returns:
        what was not compared with the pictures, as the detector is not installed, in words; empty if all was.
    Raises:
        ValueError: with the cameras, and what may be the cause.
    """
    if not is_available(KEYPOINT_NETWORKS):
        return f"whether the keypoints lie on somebody in the pictures was not checked: {KEYPOINTS_REMEDY}"
    track = labels.track
    T, V = track.keypoints_px.shape[:2]
    person = PersonInViews([pinhole(camera) for camera in recording.cameras], track.keypoints_px, track.is_used,
                           track.points_world_m, [[None] * V] * T, np.zeros((T, V), bool))  # fmt: skip
    looks = looked_at(recording, KEYPOINT_NETWORKS, "full", config.processes)
    problems = evidence_problems(recording.names, person, looks, "keypoints")
    if problems and not config.accept_keypoints:
        raise ValueError(f"{'; '.join(problems)}: they may be of another recording, camera or moment "
                         "(--accept-keypoints imports them all the same)")  # fmt: skip
    if problems:
        warnings.warn(f"the keypoints are accepted although {'; '.join(problems)}", stacklevel=2)
    return ""


def people_table(everybody: list[TrackedPerson], most: int = 5) -> list[dict[str, Any]]:
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


def write_labelled_recording(config: ImportMultiviewConfig, labelled: LabelledRecording) -> dict[str, Any]:
    """Write frames, masks and backgrounds to the (preliminary) places of the settings, and check what masks tell."""
    for_each(write_video, labelled.video_jobs(config.paths.h36m_location), config.processes, "frames")
    numbers: dict[str, Any] = {}
    if config.masks is not None:
        for_each(write_given_mask, given_mask_jobs(config, labelled), config.processes, "masks")
    by_keypoints = labelled.labels is not None and config.cuts_by_keypoints
    if config.masks is None and not by_keypoints:
        everybody, sightings = silhouettes(config, labelled)
        numbers["people"] = people_table(everybody)
    elif labelled.labels is None:
        sightings = mask_sightings(config, labelled)
    if labelled.labels is None:
        numbers["agreement"] = consistency_table(
            labelled.recording.names, judged(config, labelled.recording, sightings)
        )
    for_each(write_background, background_jobs(config, labelled), config.processes, "backgrounds")
    if by_keypoints:
        for_each(write_mask, mask_jobs(config, labelled), config.processes, "masks")
    return numbers | {"background_px": num_filled_px(config, len(labelled.recording.views))}


def silhouettes(config: ImportMultiviewConfig, labelled: LabelledRecording) -> tuple[list[TrackedPerson], Sightings]:
    """Write masks of the moving person; where there is none, say first what the calibration has to do with it."""
    components = find_components(config, labelled)
    try:
        everybody = write_silhouettes(config, labelled, components)
    except ValueError:
        judged(
            replace(config, accept_calibration=False), labelled.recording, component_sightings(components, config.every)
        )
        raise
    return everybody, with_lone_patches(mask_sightings(config, labelled), components)


def recording_name(config: ImportMultiviewConfig) -> str:
    """Name what belongs to one recording of a data set."""
    return f"s_{config.subject:02d}_act_{config.action:02d}"


def custom_config(config: ImportMultiviewConfig, recording: MultiviewRecording) -> ImportMultiviewConfig:
    """Fill in what the settings leave open for custom recordings."""
    largest_px = max(max(camera.width_px, camera.height_px) for camera in recording.cameras)
    outlier_px = config.outlier_px or OUTLIER * largest_px
    return replace(config, outlier_px=outlier_px, refine_cameras=bool(config.refine_cameras))


OUTLIER = 1 / 48
"""The outlier distance over the longer side of the picture, where none is given; pose2sim's 40 px of 1920."""


def import_custom(config: ImportMultiviewConfig) -> Paths:
    """Import a custom recording; nothing is left behind if it cannot be imported.

    Raises:
        FileNotFoundError, ValueError: in words that name the file, the camera, the setting.
    """
    to = config.to
    assert to is not None
    recording = custom_recording(config)
    config = custom_config(config, recording)
    raise_or_warn(rig_problems(recording.names, recording.cameras), config.accept_calibration)
    labels: PlacedJoints | None = None
    numbers: dict[str, Any] = {}
    if recording.people is not None:
        recording, labels, numbers = place_person(config, recording)
        check_masks_show_person(recording, labels)
        numbers["unchecked"] = check_keypoints_show_person(config, recording, labels)
    labelled = label_recording(
        recording, labels, config.subject, config.action, config.sequence_frames, config.test_frames
    )
    check_place(config, labelled)
    with atomic_data_set(to, recording_name(config)) as stage:
        metadata_folder = stage / "about" / recording_name(config)
        metadata_folder.mkdir(parents=True)
        there = replace(config, paths=Paths.under(stage), report_location=metadata_folder)
        numbers |= write_labelled_recording(there, labelled)
        rig_and_reprojection(there, labelled)
        write_keypoints(stage / "keypoints", recording_name(config), labelled)
        write_json(metadata_folder / "report.json", provenance(config, recording) | numbers)
    return Paths.under(to)


def provenance(config: ImportMultiviewConfig, recording: MultiviewRecording) -> dict[str, Any]:
    """Say what was imported, and how: command, commit, files, cameras."""
    return {
        "command": " ".join(sys.argv),
        "commit": commit(),
        "calibration": [str(path) for path in config.calibration],
        "cameras": recording.names,
        "first_frames": [view.first for view in recording.views],
        "instants": recording.num_instants,
        "instants_per_second": recording.frames_per_second,
    }
