"""Finds all files of a custom recording that the settings describe, and checks that they fit together."""

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset_def.calibration.camera_values import (
    METRES,
    Calibration,
    StoredCamera,
    Unit,
    matching,
    our_camera,
    plain_name,
)
from dataset_def.calibration.files import read_calibration
from dataset_def.frame_files import (
    check_same_frames,
    frame_numbers,
    is_hidden,
    missing_between,
    numbered_folder,
    origin_of,
    rows_of,
)
from dataset_def.multiview.check_calibration import PRINCIPAL_POINT_RANGE, span_m
from dataset_def.multiview.keypoint_files import BODY_25B, CameraKeypoints, read_camera_keypoints
from dataset_def.multiview.keypoint_tables import read_names, read_table
from dataset_def.multiview.recording import BackgroundPicture, MultiviewRecording, People, RecordedView
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import check_size
from dataset_def.video import VideoInfo, images_in, is_video_or_folder, probe, read_given_mask, read_picture
from utils.camera import Camera, resized
from utils.person_box import NO_PERSON, mask_fault, series_fault

SHORTER_FRAMES = 2
SHORTER_SHARE = 0.01
"""Synchronised videos may differ by so many frames, or by this part, at their ends."""


class Span(NamedTuple):
    """Which frames of the videos are imported."""

    firsts: tuple[int, ...]
    """The frame of each video that shows instant 0."""
    num_instants: int


def named_videos(videos: Sequence[str]) -> dict[str, Path]:
    """Find the videos and image folders, by the name of their camera, in order.

    Raises:
        FileNotFoundError, ValueError: none there, fewer than two, or a name twice.
    """
    found: list[tuple[str, Path]] = []
    for text in videos:
        name, _, rest = text.partition("=")
        path = Path(rest) if rest and not Path(text).exists() else Path(text)
        if not path.exists():
            raise FileNotFoundError(f"clips {path} do not exist; give the folder with every camera's video or pictures")
        if path.is_dir() and not images_in(path):
            inside = sorted(inner for inner in path.iterdir() if is_video_or_folder(inner))
            if not inside:
                raise FileNotFoundError(f"clips {path} hold neither videos nor images nor folders of images; give the "
                                        "folder with every camera's video or pictures")  # fmt: skip
            found += [(inner.stem if inner.is_file() else inner.name, inner) for inner in inside]
        else:
            stem = path.name if path.is_dir() else path.stem
            found.append((name if path != Path(text) else stem, path))
    names = [plain_name(name) for name, _ in found]
    twice = [name for name, _ in found if names.count(plain_name(name)) > 1]
    if twice:
        raise ValueError(f"several clips are called {', '.join(sorted(set(twice)))}; name each after its camera in the "
                         "calibration (or --videos NAME=PATH of dataset_def/import_multiview.py)")  # fmt: skip
    if len(found) < 2:
        raise ValueError(f"there is the clip of one camera alone ({', '.join(videos)}); bodies in space need two at "
                         "least: give the folder that holds them all, one clip per camera")  # fmt: skip
    return dict(found)


def parsed_offsets(offsets: Iterable[str], names: Sequence[str]) -> list[int]:
    """Read NAME=FRAMES pairs: per camera, how many of its frames come before frame 0 of the recording."""
    found = dict.fromkeys(names, 0)
    for text in offsets:
        name, _, value = text.partition("=")
        try:
            frames = int(value)
        except ValueError:
            raise ValueError(f"--offsets {text}: use NAME=FRAMES with a whole number, as {names[0]}=3") from None
        found[matching([name], found, "--videos")[0]] = frames
    earliest = min(0, *found.values())
    return [frames - earliest for frames in found.values()]


def common_span(videos: dict[str, VideoInfo], config: ImportMultiviewConfig) -> Span:
    """Find the frames that all videos show.

    Raises:
        ValueError: videos of different lengths, or a range that they do not have.
    """
    offsets = parsed_offsets(config.offsets, list(videos))
    lengths = {name: one.num_frames - offset for (name, one), offset in zip(videos.items(), offsets, strict=True)}
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    allowed = max(SHORTER_FRAMES, round(SHORTER_SHARE * lengths[longest]))
    start, end = config.frames or (0, lengths[shortest])
    if config.frames is None and lengths[longest] - lengths[shortest] > allowed:
        raise ValueError(
            f"video {longest} has {lengths[longest]} frames, {shortest} has {lengths[shortest]} (after the offsets); "
            "synchronised videos are equally long: give --offsets if some started earlier (sample/predict.py ... "
            f"--find-offsets finds them), or --frames for the part that all have, from 0 to {lengths[shortest]} (of "
            f"sample/predict.py, --frames {lengths[shortest]})"
        )
    if not 0 <= start < end <= lengths[shortest]:
        raise ValueError(f"frames {start} to {end} are not in the recording, which all cameras show from 0 to "
                         f"{lengths[shortest]} (video {shortest}); change --frames")  # fmt: skip
    return Span(tuple(offset + start for offset in offsets), -(-(end - start) // config.every))


def common_rate(videos: dict[str, VideoInfo], config: ImportMultiviewConfig) -> float:
    """Find the frames per second of the videos.

    Raises:
        ValueError: they differ, or are needed and not known.
    """
    rates = {name: one.frames_per_second for name, one in videos.items() if one.frames_per_second}
    if config.frames_per_second:
        return config.frames_per_second
    uneven = next((one.uneven for one in videos.values() if one.uneven), "")
    if uneven:
        raise ValueError(
            f"{uneven}, and cameras are matched by frames; write it evenly (ffmpeg -i IN -fps_mode cfr -r 30 OUT), "
            "or say that its frames were taken evenly all the same with --frames-per-second"
        )
    if not rates:
        if config.keypoints is not None and config.smooth_hz:
            raise ValueError("images do not tell how fast they were taken, which smoothing the joints needs; give "
                             "--frames-per-second, or --smooth-hz 0")  # fmt: skip
        return 25.0
    slow, fast = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    if rates[fast] > 1.01 * rates[slow]:
        raise ValueError(
            f"video {slow} has {rates[slow]:g} frames per second, {fast} has {rates[fast]:g}; bring them to "
            "the same rate, or say that they are alike with --frames-per-second"
        )
    return rates[slow]


def unit_of(calibration: Calibration, given: Unit, cameras: list[Camera]) -> Unit:
    """Decide the unit of a calibration's lengths: the one given, else the format's or the file's own.

    Args:
        cameras: read as if the lengths were metres.
    """
    if given or calibration.unit:
        return given or calibration.unit
    span = span_m(cameras)
    sizes = ", ".join(f"{unit} ({span * metres:.3g} m)" for unit, metres in METRES.items())
    raise ValueError(f"{calibration.where} does not say in which unit its lengths are; give --calibration-unit, one of "
                     f"{sizes}, where the brackets tell how far the farthest cameras would be apart")  # fmt: skip


def check_middle(name: str, one: VideoInfo, camera: StoredCamera, where: str) -> None:
    """Stop if a calibration that tells no size of picture seems to be for another size.

    Raises:
        ValueError: with what to add to the file.
    """
    low, high = PRINCIPAL_POINT_RANGE
    middle = camera.centre_px / (one.width_px, one.height_px)
    if (middle < low).any() or (middle > high).any():
        factor = float(np.round(2 * 2 * middle.mean()) / 2)
        raise ValueError(f"{name}'s principal point ({camera.centre_px[0]:.0f}, {camera.centre_px[1]:.0f}) is far "
                         f"from the middle of its {one.width_px} x {one.height_px} picture, and {where} tells no size; "
                         f"if it was made at another size, perhaps {round(factor * one.width_px)} x "
                         f"{round(factor * one.height_px)}, write that into it (width and height; EasyMocap: "
                         f"W_{name} and H_{name} in intri.yml) and add --video-size scaled")  # fmt: skip


def cameras_of(config: ImportMultiviewConfig, videos: dict[str, VideoInfo]) -> list[Camera]:
    """Read the cameras of the videos, in metres and with z up, for the size that the videos have."""
    calibration = read_calibration(config.calibration)
    keys = matching(list(videos), calibration.cameras, f"the calibration ({calibration.where})")
    stored = [calibration.cameras[key] for key in keys]
    sizes = [(one.width_px, one.height_px) for one in videos.values()]
    as_metres = [our_camera(one, "m", size) for one, size in zip(stored, sizes, strict=True)]
    unit = unit_of(calibration, config.calibration_unit, as_metres)
    cameras = []
    for (name, one), camera in zip(videos.items(), stored, strict=True):
        if camera.size_px is None and not config.accept_calibration:
            check_middle(name, one, camera, calibration.where)
        found = our_camera(camera, unit, (one.width_px, one.height_px), config.up)
        check_size(f"{one.path} (camera {name})", one.width_px, one.height_px, found, config.video_size)
        cameras.append(resized(found, one.width_px, one.height_px) if config.video_size == "scaled" else found)
    return cameras


def in_folder(folder: Path, names: Sequence[str], what: str) -> list[Path]:
    """Find what belongs to every camera in a folder, by its name; endings such as `_json` do not count."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{what} {folder} is not a folder")
    inside = sorted(path for path in folder.iterdir() if not is_hidden(path))
    there = {path.name.split(".")[0].removesuffix("_json"): path for path in inside}
    return [there[key] for key in matching(names, there, f"{what} {folder}")]


def allowed_difference(num_frames: int) -> float:
    """Say by how many frames what belongs to a video may be longer or shorter."""
    return max(SHORTER_FRAMES, SHORTER_SHARE * num_frames)


def placed_by_number(found: CameraKeypoints, one: VideoInfo, name: str, origin: int | None) -> list[np.ndarray]:
    """Give the people of every frame of a camera; a frame without a file shows nobody.

    Raises:
        ValueError: keypoints of frames that are not there, or of too few.
    """
    assert found.numbers is not None
    rows = rows_of(found.numbers, one.numbers, origin)
    beyond = [number for number, row in zip(found.numbers, rows, strict=True) if row >= one.num_frames]
    if len(beyond) > allowed_difference(one.num_frames):
        raise ValueError(f"{found.path} has keypoints of {len(rows)} frames (the last is number {found.numbers[-1]}), "
                         f"video {name} has {one.num_frames}; they need one .json per frame")  # fmt: skip
    if len(rows) < LEAST_KEYPOINT_FILES * one.num_frames:
        raise ValueError(f"{found.path} has keypoints of {len(rows)} frames, video {name} has {one.num_frames}; they "
                         "need one .json per frame")  # fmt: skip
    people: list[np.ndarray] = [np.zeros((0, len(BODY_25B), 3))] * one.num_frames
    for row, everybody in zip(rows, found.people, strict=True):
        if 0 <= row < one.num_frames:
            people[row] = everybody
    absent = sorted(set(range(one.num_frames)) - set(rows))
    if absent:
        warnings.warn(f"{found.path} has no keypoints of {len(absent)} frames (first: frame {absent[0] + 1} of "
                      f"{one.num_frames}); nobody is seen in them", stacklevel=2)  # fmt: skip
    return people


LEAST_KEYPOINT_FILES = 0.5
"""Keypoints of fewer frames belong to a part of the video, or to another one."""


def people_of(config: ImportMultiviewConfig, videos: dict[str, VideoInfo], span: Span) -> People | None:
    """Read the keypoints of the instants that are imported."""
    if config.keypoints is None:
        return None
    places = in_folder(config.keypoints, list(videos), "--keypoints")
    table = partial(read_table, given=read_names(config.keypoint_names))
    found = {name: read_camera_keypoints(path, config.skeleton, table)
             for name, path in zip(videos, places, strict=True)}  # fmt: skip
    by_number = {name: one.numbers for name, one in found.items() if one.numbers is not None}
    origin = origin_of(by_number, {name: videos[name].numbers for name in by_number},
                       next(iter(found.values())).begins, f"the keypoints in {config.keypoints}")  # fmt: skip
    people: People = []
    for (name, one), first in zip(videos.items(), span.firsts, strict=True):
        if name in by_number:
            of_camera = placed_by_number(found[name], one, name, origin)
        else:
            of_camera = found[name].people
            if abs(len(of_camera) - one.num_frames) > allowed_difference(one.num_frames):
                raise ValueError(f"{found[name].path} has keypoints of {len(of_camera)} frames, video {name} has "
                                 f"{one.num_frames}; they need one .json per frame")  # fmt: skip
        people.append(of_camera[first :: config.every][: span.num_instants])
    return people


def check_masks(videos: VideoInfo, folder: Path) -> Path:
    """Stop unless there is a mask of the right size for every frame."""
    images = images_in(folder) if folder.is_dir() else []
    numbers = frame_numbers(images)
    if numbers is not None and videos.numbers is not None and set(numbers) < set(videos.numbers):
        absent = sorted(set(videos.numbers) - set(numbers))
        raise ValueError(f"--masks: {folder} has no mask of frame {absent[0]} ({len(absent)} of {videos.num_frames} "
                         "are missing); they need one per frame: add an empty one where nobody is seen")  # fmt: skip
    absent = missing_between(numbers) if numbers is not None and videos.numbers is None else []
    if len(images) != videos.num_frames:
        which = f" (number {absent[0]} is missing)" if absent else ""
        raise ValueError(
            f"--masks: {folder}{which} has {len(images)} masks, {videos.path} has {videos.num_frames} frames; "
            "they need one per frame"
        )
    if numbers is not None and videos.numbers is not None:
        shift = numbers[0] - videos.numbers[0]
        other = [number for number, frame in zip(numbers, videos.numbers, strict=True) if number - shift != frame]
        if other:
            raise ValueError(f"--masks: {folder} has a mask number {other[0]}, and {videos.path} no picture of that "
                             "number; number both alike")  # fmt: skip
    height_px, width_px = read_picture(images[0]).shape[:2]
    if (width_px, height_px) != (videos.width_px, videos.height_px):
        raise ValueError(
            f"--masks: {images[0]} is {width_px} x {height_px} pixels, {videos.path} "
            f"{videos.width_px} x {videos.height_px}; they must be alike"
        )
    fault = series_fault([mask_fault(read_given_mask(path)) for path in evenly_chosen(images)])
    if fault == NO_PERSON:  # it may be seen in some of the others
        fault = "" if any(not mask_fault(read_given_mask(path)) for path in images) else fault
    if fault:
        raise ValueError(f"--masks: what lies in {folder}, such as {images[len(images) // 2].name}, {fault}")
    return folder


MASKS_LOOKED_AT = 16


def evenly_chosen(images: list[Path]) -> list[Path]:
    """Choose some of many."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(len(images), MASKS_LOOKED_AT)).astype(int))
    return [images[row] for row in rows]


def custom_recording(config: ImportMultiviewConfig) -> MultiviewRecording:
    """Bring together the recording that the settings describe; nothing is written.

    Raises:
        FileNotFoundError, ValueError: something is missing or does not fit, in words.
    """
    videos = {name: probe(path) for name, path in named_videos(config.videos).items()}
    folders_of_images = {
        name: numbered_folder(one.path, one.numbers, images_in(one.path)[0])
        for name, one in videos.items()
        if one.numbers is not None
    }
    check_same_frames(folders_of_images, [text.partition("=")[0] for text in config.offsets])
    cameras = cameras_of(config, videos)
    span, rate, names = common_span(videos, config), common_rate(videos, config), list(videos)
    people = people_of(config, videos, span)
    backgrounds: list[BackgroundPicture | None] = [None] * len(names)
    if config.backgrounds is not None:
        backgrounds = [BackgroundPicture(path) for path in in_folder(config.backgrounds, names, "--backgrounds")]
    masks: list[Path | None] = [None] * len(names)
    if config.masks is not None:
        folders = in_folder(config.masks, names, "--masks")
        masks = [check_masks(one, folder) for one, folder in zip(videos.values(), folders, strict=True)]
    views = [
        RecordedView(name, camera, one.path, first, background, mask)
        for (name, one), camera, first, background, mask in zip(
            videos.items(), cameras, span.firsts, backgrounds, masks, strict=True
        )
    ]
    num_instants = min(span.num_instants, *(len(one) for one in people)) if people else span.num_instants
    size = "exact" if config.video_size == "scaled" else config.video_size
    return MultiviewRecording(tuple(views), num_instants, config.every, rate / config.every, people, size)
