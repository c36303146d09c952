"""People before several calibrated cameras, read from clips and from evidence: keypoints and masks, given or found.

Clips, calibration, keypoints and masks are read as dataset_def/import_multiview.py reads them.  A recording is brought
into step where that is asked for, its calibration is judged on whom it shows, cameras are turned where that helps, and
evidence that was given is compared with whom a detector sees.  What bodies are made of it: sample/bodies_in_cameras.py.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float

from config import ASSETS, Paths, ranged, setting
from dataset_def.h36m_files import mask_path
from dataset_def.multiview.check_calibration import consistency, consistency_problems, raise_or_warn, rig_problems
from dataset_def.multiview.custom_recording import Span, cameras_of, common_rate, custom_recording, named_videos
from dataset_def.multiview.custom_recording import people_of as keypoints_of_clips
from dataset_def.multiview.evidence import evidence_problems, looked_at, looks_at_masks, looks_of, not_judged
from dataset_def.multiview.geometry import refine_rotations
from dataset_def.multiview.import_custom import custom_config, judged, people_table, silhouettes
from dataset_def.multiview.offsets import found_offsets
from dataset_def.multiview.people_in_views import (
    LEAST_CONFIDENCE,
    SURE_CONFIDENCE,
    PersonInViews,
    ViewMask,
    Views,
    detected_people,
    followed,
    given_masks,
    given_people,
    person_in_views,
    sightings_of,
    view_mask,
    with_detected_masks,
    without_keypoints,
)
from dataset_def.multiview.recording import MultiviewRecording, RecordedView
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import pinhole
from dataset_def.multiview.write_layout import label_recording, write_video
from dataset_def.photos.blazepose import KEYPOINTS_REMEDY, is_available
from dataset_def.video import probe
from utils.camera import Camera
from utils.image import read_mask
from utils.person_box import mask_fault
from utils.processes import for_each

Evidence = Literal["both", "keypoints", "masks"]
REFINED_HELPS = 0.7
"""Cameras are turned, where the user leaves it open, if keypoints then lie nearer than this share of before."""


@dataclass(frozen=True)
@ranged()
class CamerasConfig:
    """Of several calibrated cameras: how their recording is read, and what bodies are read from."""

    calibration: tuple[Path, ...] = ()
    """Makes the input a folder of synchronised clips, one per camera: any calibration that
    dataset_def/import_multiview.py reads, in whose world the bodies are then given."""
    evidence: Evidence = "both"
    """What bodies are fitted to: keypoints and masks, or one of them."""
    calibration_unit: Literal["", "m", "cm", "mm"] = ""
    """Of the lengths in the calibration; needed where neither the format nor the file tells (OpenCV's)."""
    up: Literal["z", "-z", "y", "-y", "x", "-x"] = "z"
    """The axis of the calibration's world that points up."""
    offsets: tuple[str, ...] = ()
    """Cameras that started earlier, as NAME=FRAMES: so many frames at the beginning of a clip come before frame 0."""
    find_offsets: bool = False
    """The clips are not synchronised: find by how many frames they are apart from how a person's keypoints move, and
    refuse where that does not tell."""
    most_offset: int = setting(120, low=1)
    """Frames that are tried either way."""
    every: int = setting(1, low=1)
    """Take every n-th frame."""
    frames_per_second: float = setting(0.0, low=0)
    """Of the clips; 0 takes what they say themselves.  Folders of pictures say nothing."""
    video_size: Literal["exact", "scaled", "letterboxed"] = "exact"
    """How clips may differ in size from their calibration: not at all, scaled evenly, or shrunk between black bars."""
    masks: Path | None = None
    """Person masks: a folder per camera with a picture per frame, the person above 128."""
    cut_out: Literal["auto", "detector", "movement", "segmentation"] = "auto"
    """Where masks come from if none are given: the keypoints extra's detector, which gives one with every person; what
    differs from the picture of the background, or from the median over time; or the network of the segmentation extra.
    auto: the detector where it is installed, else movement."""
    backgrounds: Path | None = None
    """Pictures of the background without people, one per camera and named as it, for movement."""
    keypoint_names: Path | None = None
    """For tables whose keypoints are not known by their names: a file with lines `name in the table,left_wrist`."""
    person: int = setting(1, low=0)
    """Whose body: 1 is whom most cameras see in most frames, 2 the next, 0 everybody in at least half of the frames."""
    accept_calibration: bool = False
    """Go on although the calibration does not fit what the cameras see."""
    accept_evidence: bool = False
    """Go on although given keypoints, or masks, lie on nobody whom the detector sees."""
    largest_error: float = setting(0.06, low=0.001, high=10)
    """A calibration fits if keypoints lie this near to where the other cameras see them: median distance over the
    height of the person in the picture."""
    refine_cameras: bool | None = None
    """Turn the cameras by the small angles that the keypoints ask for; their places stay.  If not given, they are
    turned where that brings the keypoints much nearer, and it is told."""
    outlier_px: float = setting(0.0, low=0)
    """Keypoints farther than this from where the other cameras see the joint do not count; 0 takes the 48th part of
    the picture's longer side."""
    smooth_hz: float = setting(6.0, low=0)
    """Movements faster than this are taken for noise; 0 leaves them."""
    teacher: Path = ASSETS / "open_teacher.pt"
    """checkpoint_best.pt of sample/train_SMPL_from_masks.py, trained with --cameras any."""
    processes: int = setting(0, low=0)
    """Processes that look for people in the clips; 0 takes one per core."""

    def __post_init__(self) -> None:
        if self.masks is not None and self.cut_out != "auto":
            raise ValueError(f"masks are given, and cut_out {self.cut_out} would make them anew; leave one away")
        if self.find_offsets and self.offsets:
            raise ValueError("offsets are given, and find_offsets would find them anew; leave one away")
        if self.evidence == "keypoints" and (self.masks is not None or self.cut_out != "auto"):
            raise ValueError("evidence is keypoints, which reads no masks; leave masks and cut_out away, or take both")


class AskedPeople(Protocol):
    """Which people are asked for, of which clips; Task of sample/predict_cameras.py is one."""

    @property
    def clips(self) -> str: ...  # noqa: D102
    @property
    def cameras(self) -> CamerasConfig: ...  # noqa: D102
    @property
    def out(self) -> Path: ...  # noqa: D102
    @property
    def keypoints(self) -> Path | None: ...  # noqa: D102
    @property
    def skeleton(self) -> str: ...  # noqa: D102
    @property
    def frames(self) -> int: ...  # noqa: D102
    @property
    def detector(self) -> str: ...  # noqa: D102
    @property
    def detector_location(self) -> Path: ...  # noqa: D102


def import_settings(task: AskedPeople) -> ImportMultiviewConfig:
    """Give the settings with which the import's own readers read the recording."""
    config = task.cameras
    return ImportMultiviewConfig(
        videos=(task.clips,), calibration=config.calibration, calibration_unit=config.calibration_unit, up=config.up,
        offsets=config.offsets, frames=(0, task.frames) if task.frames else None, every=config.every,
        frames_per_second=config.frames_per_second, video_size=config.video_size, keypoints=task.keypoints,
        skeleton=task.skeleton, keypoint_names=config.keypoint_names,  # type: ignore[arg-type]
        accept_calibration=config.accept_calibration, largest_error=config.largest_error,
        outlier_px=config.outlier_px, to=task.out, smooth_hz=config.smooth_hz, masks=config.masks,
        backgrounds=config.backgrounds, processes=config.processes,
        cut_out="segmentation" if config.cut_out == "segmentation" else "auto",
    )  # fmt: skip


def masks_alone(task: AskedPeople) -> bool:
    """Tell whether bodies are read from masks that no detector of people takes part in."""
    config = task.cameras
    is_there = is_available(task.detector_location, task.detector)
    return config.evidence == "masks" and (config.masks is not None or config.cut_out in ("movement", "segmentation")
                                           or (config.cut_out == "auto" and not is_there))  # fmt: skip


def people_of(task: AskedPeople) -> tuple[MultiviewRecording, list[PersonInViews], dict[str, Any]]:
    """Read the recording through the import's readers, and gather what all views see of those who are asked for.

    Returns:
        numbers for cameras.json, too; `unchecked` says what was not compared with the pictures.
    Raises:
        FileNotFoundError, ValueError: something is missing or does not fit, in words.
    """
    settings, config = import_settings(task), task.cameras
    if config.find_offsets:
        settings = in_step(task, settings)
    recording = custom_recording(settings)
    settings = custom_config(settings, recording)
    raise_or_warn(rig_problems(recording.names, recording.cameras), settings.accept_calibration)
    if masks_alone(task):
        cameras = [pinhole(camera) for camera in recording.cameras]
        person = without_keypoints(cameras, masks_of(task, recording, settings))
        return recording, [person], {"unchecked": check_evidence(task, recording, person, None)}
    views, detected = views_and_detected(task, recording)
    first = config.person or 1
    recording, person, numbers = people_found(recording, views, settings, first, config.refine_cameras)
    if has_own_masks(task):
        person = person._replace(masks=masks_of(task, recording, settings))
    is_own = task.keypoints is not None or has_own_masks(task)
    numbers["unchecked"] = check_evidence(task, recording, person, detected) if is_own else ""
    people = [person]
    often = [number for number, one in enumerate(numbers["people"], start=1)
             if number != first and one["frames"] >= SEEN_SHARE * recording.num_instants]  # fmt: skip
    if config.person == 0:
        people += [people_found(recording, views, settings, number, False)[1] for number in often]
    elif often:
        print(f"{len(often)} more people are seen by two cameras or more in most frames; --person chooses another "
              "(cameras.json lists them), --person 0 takes all")  # fmt: skip
    return recording, people, numbers


def in_step(task: AskedPeople, settings: ImportMultiviewConfig) -> ImportMultiviewConfig:
    """Find by how many frames clips are apart, and settle which of them are read.

    Raises:
        ValueError: what the person does does not tell it.
    """
    videos = {name: probe(path) for name, path in named_videos(settings.videos).items()}
    cameras = cameras_of(settings, videos)
    lengths = [one.num_frames for one in videos.values()]
    clips = tuple(RecordedView(name, camera, one.path)
                  for (name, one), camera in zip(videos.items(), cameras, strict=True))  # fmt: skip
    rate = common_rate(videos, settings)
    whole = MultiviewRecording(clips, max(lengths), 1, rate, None, settings.video_size)
    if task.keypoints is not None:
        every_frame = replace(settings, every=1)
        whole = whole._replace(people=keypoints_of_clips(every_frame, videos, Span((0,) * len(clips), max(lengths))))
        views = given_people(whole)
    else:
        views = detected_people(whole, task.detector_location, task.detector, task.cameras.processes, may_end=True)
    ideal = [pinhole(camera) for camera in cameras]
    found = found_offsets(list(videos), ideal, views, task.cameras.most_offset)
    offsets = tuple(f"{name}={frames}" for name, frames in zip(videos, found.frames.tolist(), strict=True))
    print(f"offsets found: {', '.join(offsets)} ({found.told})")
    common = min(length - frames for length, frames in zip(lengths, found.frames.tolist(), strict=True))
    return replace(settings, offsets=offsets, frames=(0, min(task.frames or common, common)))


def has_own_masks(task: AskedPeople) -> bool:
    """Tell whether masks come from elsewhere than from the detector."""
    config = task.cameras
    return config.evidence != "keypoints" and (
        config.masks is not None or config.cut_out in ("movement", "segmentation")
    )


def views_and_detected(task: AskedPeople, recording: MultiviewRecording) -> tuple[Views, Views | None]:
    """Gather everybody in all views: those whose keypoints are given, or whom the detector finds; and the latter.

    Raises:
        ValueError: nothing gives keypoints or masks.
    """
    is_there = is_available(task.detector_location, task.detector)
    wants_masks = task.cameras.evidence != "keypoints" and not has_own_masks(task)
    if recording.people is not None and not (wants_masks and is_there):
        if wants_masks:
            raise ValueError(f"evidence {task.cameras.evidence} needs masks: give --masks or --cut-out movement, take "
                             f"--evidence keypoints, or install the keypoints extra ({KEYPOINTS_REMEDY})")  # fmt: skip
        return given_people(recording), None
    detected = detected_people(recording, task.detector_location, task.detector, task.cameras.processes)
    if recording.people is None:
        return detected, detected
    return with_detected_masks(given_people(recording), detected), detected


def check_evidence(
    task: AskedPeople, recording: MultiviewRecording, person: PersonInViews, detected: Views | None
) -> str:
    """Compare evidence that was given, or cut out of what moves, with whom the detector sees in the pictures.

    Without the detector keypoints are compared with the masks, which lie on one person, or apart.

    Returns:
        what was not compared with the pictures, in words; empty if all was.
    Raises:
        ValueError: it lies on nobody.
    """
    uses_keypoints = task.keypoints is not None and not masks_alone(task)
    kinds = ["keypoints"] * uses_keypoints + ["masks"] * (has_own_masks(task) or masks_alone(task))
    if detected is None and not is_available(task.detector_location, task.detector):
        agree = ""
        if len(kinds) == 2:
            there = recording.names, person, looks_at_masks(person), "keypoints"
            apart = evidence_problems(*there, "the masks")
            judged_evidence(task, apart)
            agree = "" if apart or not_judged(*there) else "; they lie on each other, as of the same moments"
        unchecked = f"whether {' and '.join(kinds)} lie on somebody in the pictures was not checked{agree}"
        print(f"{unchecked}; the keypoints extra checks it ({KEYPOINTS_REMEDY})")
        return unchecked
    looks = looks_of(detected) if detected is not None else looked_at(
        recording, task.detector_location, task.detector, task.cameras.processes
    )  # fmt: skip
    judged_evidence(task, [one for what in kinds for one in evidence_problems(recording.names, person, looks, what)])
    unknown = sorted({name for what in kinds for name in not_judged(recording.names, person, looks, what)})
    if not unknown:
        return ""
    unchecked = f"whether {' and '.join(kinds)} of {', '.join(unknown)} lie on somebody is not known"
    print(f"warning: {unchecked}, as the detector sees nobody there")
    return unchecked


def judged_evidence(task: AskedPeople, problems: list[str]) -> None:
    """Refuse evidence that lies on nobody, or warn where it is accepted.

    Raises:
        ValueError: with the cameras, and what may be the cause.
    """
    if problems and not task.cameras.accept_evidence:
        raise ValueError(f"{'; '.join(problems)}: the evidence may be of another recording, camera or moment, or of "
                         "something else that moves; --accept-evidence goes on all the same")  # fmt: skip
    if problems:
        print(f"warning: {'; '.join(problems)}")


SEEN_SHARE = 0.5
"""Of the instants, from which on somebody is one of the recording's people."""


def cut_out_masks(
    config: ImportMultiviewConfig, recording: MultiviewRecording, folder: Path
) -> list[list[ViewMask | None]]:
    """Cut out what moves, or what the segmentation network finds, and check the calibration on it.

    Args:
        folder: empty; pictures and masks are written into it on the way.
    Returns:
        by instant, then by camera; None where the person is not seen.
    Raises:
        ValueError: nobody is found by two cameras that agree; the sentence says what to give.
    """
    there = replace(config, paths=Paths.under(folder), report_location=folder / "about", keypoints=None)
    (folder / "about").mkdir(parents=True)
    length = max(2, recording.num_instants)
    labelled = label_recording(recording._replace(people=None), None, config.subject, config.action, length, 0)
    for_each(write_video, labelled.video_jobs(there.paths.h36m_location), config.processes, "frames")
    _, sightings = silhouettes(there, labelled)
    judged(there, recording, sightings)
    found: list[list[ViewMask | None]] = []
    for sequence, frame, _ in labelled.instants():
        keys = [sequence.key(number, frame) for number in range(1, len(recording.views) + 1)]
        masks = [read_mask(mask_path(there.paths, key)) for key in keys]
        found.append([None if mask_fault(mask) else view_mask(mask) for mask in masks])
    return found


def masks_of(
    task: AskedPeople, recording: MultiviewRecording, settings: ImportMultiviewConfig
) -> list[list[ViewMask | None]]:
    """Read the given masks, or cut them out."""
    if task.cameras.masks is not None:
        return given_masks(recording)
    with TemporaryDirectory() as folder:
        return cut_out_masks(settings, recording, Path(folder) / "recording")


def people_found(recording: MultiviewRecording, views: Views, settings: ImportMultiviewConfig, number: int,
                 refine: bool | None) -> tuple[MultiviewRecording, PersonInViews, dict[str, Any]]:  # fmt: skip
    """Follow one person through all views, check the calibration on them, and turn the cameras where that helps.

    Raises:
        ValueError: no two cameras agree on somebody, or the calibration does not fit.
    """
    cameras = [pinhole(camera) for camera in recording.cameras]
    everybody = followed(cameras, views, settings.outlier_px, recording.frames_per_second)
    if number > len(everybody):
        raise ValueError(f"person {number} is not there: two cameras agree on {len(everybody)} people (to --outlier-px "
                         f"{settings.outlier_px:g}); check the calibration, or choose another --person")  # fmt: skip
    person = person_in_views(cameras, views, everybody, number - 1, settings.outlier_px)
    sightings = sightings_of(person, recording.every)
    found = consistency(cameras, sightings)
    raise_or_warn(consistency_problems(recording.names, cameras, sightings, found, settings.largest_error),
                  settings.accept_calibration)  # fmt: skip
    numbers: dict[str, Any] = {"people": people_table(everybody), "median_error_px": rounded(person.errors_px())}
    if refine is not False:
        turned = turned_by(person)
        again = person_in_views(turned, views, everybody, number - 1, settings.outlier_px)
        is_better = np.nanmean(again.errors_px()) < REFINED_HELPS * np.nanmean(person.errors_px())
        if refine or is_better:
            numbers["median_error_refined_px"] = rounded(again.errors_px())
            numbers["turned_rad"] = [round(turn_rad(a, b), 5) for a, b in zip(cameras, turned, strict=True)]
            recording = recording.with_cameras([
                one._replace(R_cam_from_world=other.R_cam_from_world)
                for one, other in zip(recording.cameras, turned, strict=True)
            ])  # fmt: skip
            person = again
    numbers["used_share"] = rounded(person.is_used.sum(axis=(0, 2)) / (
        person.keypoints_px[..., 2] >= LEAST_CONFIDENCE).sum(axis=(0, 2)).clip(1))  # fmt: skip
    numbers["sides_exchanged"] = person.is_exchanged.sum(axis=0).tolist()
    return recording, person, numbers


def rounded(values: Float[np.ndarray, "V"]) -> list[float | None]:
    """Write numbers of cameras; None for a camera that does not see the person."""
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


def turn_rad(before: Camera, after: Camera) -> float:
    """Measure the angle between two orientations of a camera."""
    cosine = (np.trace(before.R_cam_from_world.T @ after.R_cam_from_world) - 1) / 2
    return float(np.arccos(np.clip(cosine, -1, 1)))


def turned_by(person: PersonInViews) -> list[Camera]:
    """Turn cameras so that a person's keypoints agree."""
    V = len(person.cameras)
    flat = np.moveaxis(person.keypoints_px, 1, 0).reshape(V, -1, 3)
    sure = np.where(flat[..., 2] >= SURE_CONFIDENCE, flat[..., 2], 0.0)
    return refine_rotations(person.cameras, flat[..., :2], sure, person.points_world_m.reshape(-1, 3))
