"""Reads 2D keypoints of other programs, and turns their skeletons into Human3.6M's 17 joints.

Every skeleton is read as BODY_25B's 25 names; names that a skeleton does not have get no confidence, and the head's
are estimated in space afterwards (`with_head`).  A camera's keypoints are a folder with a .json per frame (OpenPose of
any version, COCO, MMPose, AlphaPose), or one file of the whole video (keypoint_tables.py reads tables).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.calibration.camera_values import PIXEL_CENTRE_PX
from dataset_def.frame_files import files_in, frame_numbers, natural
from utils.skeleton import H36M_17

BODY_25B: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "neck", "head_top", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
)  # fmt: skip
"""Source: OpenPose's BODY_25B model; left joints have odd numbers."""
BODY_25: tuple[str, ...] = (
    "nose", "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe",
    "right_heel",
)  # fmt: skip
"""Source: OpenPose's BODY_25 model.  Its neck is the middle of the shoulders and its hip that of the hips: not used."""
COCO_17 = BODY_25B[:17]
"""Source: the COCO keypoint format."""
HALPE_26: tuple[str, ...] = (
    *COCO_17, "head_top", "neck", "", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
    "left_heel", "right_heel",
)  # fmt: skip
"""Source: the HALPE 26 format, which Pose2Sim writes by default."""
COCO_18: tuple[str, ...] = (
    "nose", "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip
"""Source: OpenPose's COCO model, which its first versions wrote; the neck is the middle of the shoulders: not used."""
MPI_15: tuple[str, ...] = (
    "head_top", "", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "",
)  # fmt: skip
"""Source: OpenPose's MPI model; its last point is the chest."""
MPII_16: tuple[str, ...] = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "", "", "neck", "head_top",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
"""Source: the MPII format, whose upper neck is our neck."""
COCO_WHOLEBODY: tuple[str, ...] = (
    *COCO_17, "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
    *[""] * 110,
)  # fmt: skip
"""Source: the COCO-WholeBody format; face and hands are not used."""
SKELETONS = {
    "body_25": BODY_25, "body_25b": BODY_25B, "coco_17": COCO_17, "halpe_26": HALPE_26, "coco_18": COCO_18,
    "mpi_15": MPI_15, "mpii_16": MPII_16, "coco_wholebody": COCO_WHOLEBODY, "halpe_136": (*HALPE_26, *[""] * 110),
}  # fmt: skip

MIDDLES: dict[str, tuple[str, ...]] = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "spine": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
}
"""Joints of Human3.6M that a keypoint detector does not name: the mean of others."""
HEAD_OVER_EARS = {"head_top": 1.92, "neck": 0.32}
"""Along the line from the middle of the shoulders (0) to that of the ears (1)."""


def skeleton_of(count: int, skeleton: str, name: str) -> tuple[str, ...]:
    """Find the names of so many keypoints.

    Raises:
        ValueError: no skeleton has so many, the one that the user named has another number, or several have it.
    """
    fitting = [key for key, names in SKELETONS.items() if len(names) == count]
    if skeleton and skeleton not in fitting:
        raise ValueError(
            f"{name} holds {count} keypoints per person; {skeleton} has {len(SKELETONS[skeleton])}"
            + (f", but {' and '.join(fitting)} would fit (--skeleton)" if fitting else "")
        )
    if not fitting:
        raise ValueError(f"{name} holds {count} keypoints per person; those that are read: "
                         f"{', '.join(f'{key} ({len(names)})' for key, names in SKELETONS.items())}")  # fmt: skip
    if not skeleton and len(fitting) > 1:
        raise ValueError(f"{name} holds {count} keypoints per person, as {' and '.join(fitting)} both do; say which "
                         "with --skeleton")  # fmt: skip
    return SKELETONS[skeleton or fitting[0]]


def _numbers(person: Any) -> list[Any]:
    """Find the numbers of one person: flat, or points with their scores beside them."""
    for key in ("pose_keypoints_2d", "pose_keypoints", "joints"):
        if key in person:
            return person[key]
    points, scores = person["keypoints"], person.get("keypoint_scores")
    if scores is None and isinstance(points, dict):
        raise ValueError("keypoints by name; write them as lists")
    return np.column_stack([points, scores]).ravel().tolist() if scores is not None else points


def _by_image(entries: list[Any], key: str, names: dict[Any, str]) -> dict[str, list[Any]]:
    """Sort the people of a whole video by their pictures."""
    frames: dict[str, list[Any]] = {}
    for entry in entries:
        frames.setdefault(names.get(entry[key], str(entry[key])), []).append(_numbers(entry))
    return frames


def _frames(content: Any) -> dict[str, list[Any]]:
    """Find the people of every picture in what a keypoint program wrote; the name is empty for a file of one frame."""
    if isinstance(content, dict) and "people" in content:  # OpenPose
        return {"": [_numbers(person) for person in content["people"]]}
    if isinstance(content, dict) and content and all(isinstance(v, dict) and "bodies" in v for v in content.values()):
        return {name: [_numbers(person) for person in value["bodies"]] for name, value in content.items()}  # AlphaPose
    names = {}
    if isinstance(content, dict) and "annotations" in content and isinstance(content.get("images"), list):
        names = {image["id"]: str(image.get("file_name", image["id"])) for image in content["images"]}
    for key in ("annotations", "instance_info", "instances"):
        content = content[key] if isinstance(content, dict) and key in content else content
    if not isinstance(content, list):
        raise ValueError("neither people, annotations nor a list of people")
    if content and all(isinstance(entry, dict) and "instances" in entry for entry in content):  # MMPose, whole video
        return {str(entry.get("frame_id", row)): [_numbers(one) for one in entry["instances"]]
                for row, entry in enumerate(content)}  # fmt: skip
    if content and all(isinstance(entry, dict) and "image_id" in entry for entry in content):
        frames = {name: [] for name in names.values()} | _by_image(content, "image_id", names)
        return frames if len(frames) > 1 else {"": next(iter(frames.values()))}
    return {"": [_numbers(person) for person in content]}


def _loaded(name: str, text: str) -> dict[str, list[Any]]:
    """Read a .json of keypoints.

    Raises:
        ValueError: no keypoint file of a program that is known.
    """
    try:
        return _frames(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"{name} is no keypoint file of OpenPose, COCO, MMPose or AlphaPose ({error}); for other "
                         "programs write a table (--keypoint-names)") from error  # fmt: skip


def as_body_25b(name: str, people: list[Any], skeleton: str) -> Float[np.ndarray, "_ 25 3"]:
    """Give the people of one frame BODY_25B's keypoints, in pixels of ours; NaN and null are 'not seen'."""
    try:
        values = [np.array(person, dtype=float).ravel() for person in people]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is no keypoint file: a person is no list of numbers ({error})") from error
    values = [value for value in values if len(value)]  # some programs list a lost person without keypoints
    keypoints = np.zeros((len(values), len(BODY_25B), 3))
    for person, value in zip(keypoints, values, strict=True):
        if len(value) % 3 or np.isinf(value).any():
            raise ValueError(f"{name} holds {len(value)} numbers for a person; x, y and confidence are needed, finite")
        found = value.reshape(-1, 3)
        found = np.where(np.isnan(found).any(axis=1, keepdims=True), 0.0, found)
        names = skeleton_of(len(found), skeleton, name)
        here = [number for number, key in enumerate(names) if key]
        person[[BODY_25B.index(names[number]) for number in here]] = found[here]
    keypoints[..., :2] += PIXEL_CENTRE_PX
    return keypoints


def read_people(name: str, text: str, skeleton: str = "") -> Float[np.ndarray, "_ 25 3"]:
    """Read the people of one frame: x, y in pixels of ours, and confidence; zero confidence is 'not seen'.

    Args:
        skeleton: empty to tell it from the number of keypoints.
    Raises:
        ValueError: no keypoint file, one of several frames, or another skeleton.
    """
    frames = _loaded(name, text)
    if list(frames) != [""]:
        raise ValueError(f"{name} holds {len(frames)} frames, and there are other files beside it; give a camera one "
                         "file of all frames, or one file per frame")  # fmt: skip
    return as_body_25b(name, frames[""], skeleton)


class CameraKeypoints(NamedTuple):
    """What one camera saw."""

    path: Path
    people: list[Float[np.ndarray, "_ 25 3"]]
    """Everybody, by frame."""
    numbers: tuple[int, ...] | None
    """The frames' numbers, in order; None if only their order is known."""
    begins: int | None = None
    """Number of a video's first frame, where the program that wrote this always counts from there."""


def _sorted_frames(path: Path, frames: dict[str, list[Any]], skeleton: str) -> CameraKeypoints:
    """Put the frames of a file of a whole video in order."""
    places = sorted((Path(name) for name in frames), key=natural)
    numbers = frame_numbers(places)
    if numbers is None:
        raise ValueError(f"{path} names its frames {', '.join(map(str, places[:2]))}, ..., which tell no "
                         "number; number them")  # fmt: skip
    people = [as_body_25b(f"{path}, frame {place}", frames[str(place)], skeleton) for place in places]
    return CameraKeypoints(path, people, numbers)


Tables = Callable[[Path], CameraKeypoints]


def read_camera_keypoints(path: Path, skeleton: str, read_table: Tables) -> CameraKeypoints:
    """Read the keypoints of one camera: a folder with a .json per frame, or one file of the whole video.

    Args:
        read_table: reads .csv and .h5 files.
    Raises:
        FileNotFoundError, ValueError: nothing there, or no keypoint file that is known.
    """
    files = files_in(path, (".json",)) if path.is_dir() else [path]
    if not files and path.is_dir():
        files = files_in(path, (".csv", ".h5"))
        if len(files) > 1:
            raise ValueError(f"{path} holds {len(files)} tables of keypoints; a camera has one: leave {files[0].name}")
    if not files:
        raise FileNotFoundError(f"{path} holds no keypoints (*.json, one per frame, or one file for all frames)")
    if files[0].suffix.lower() in (".csv", ".h5"):
        return read_table(files[0])
    if len(files) == 1:
        frames = _loaded(str(files[0]), files[0].read_text(encoding="utf-8-sig", errors="replace"))
        if list(frames) != [""]:
            return _sorted_frames(files[0], frames, skeleton)
    people = [
        read_people(str(file), file.read_text(encoding="utf-8-sig", errors="replace"), skeleton) for file in files
    ]
    return CameraKeypoints(path, people, frame_numbers(files))


def with_head(points_m: Float[np.ndarray, "T 25 3"]) -> Float[np.ndarray, "T 25 3"]:
    """Estimate neck and head top where no frame has them, from shoulders and ears.

    Source: the mean proportions of the person of a real recording whose keypoints have both, test_keypoint_files.py.
    """
    filled = points_m.copy()
    shoulders, ears = (
        points_m[:, [BODY_25B.index(f"{side}_{part}") for side in ("left", "right")]].mean(axis=1)
        for part in ("shoulder", "ear")
    )
    for name, place in HEAD_OVER_EARS.items():
        row = BODY_25B.index(name)
        if np.isnan(points_m[:, row]).all():
            filled[:, row] = shoulders + place * (ears - shoulders)
    return filled


def h36m_from_body_25b(points: Float[np.ndarray, "*n 25 d"]) -> Float[np.ndarray, "*n 17 d"]:
    """Pick or average the 17 joints of Human3.6M from triangulated keypoints."""
    rows = [[BODY_25B.index(name) for name in MIDDLES.get(joint, (joint,))] for joint in H36M_17]
    return np.stack([points[..., row, :].mean(axis=-2) for row in rows], axis=-2)
