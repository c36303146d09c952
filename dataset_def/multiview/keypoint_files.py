"""Reads 2D keypoints of other programs, and turns their skeletons into Human3.6M's 17 joints.

Every skeleton is read as BODY_25B's 25 names; names that a skeleton does not have get no confidence, and the head's
are estimated in space afterwards (`with_head`).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dataset_def.calibration.camera_values import PIXEL_CENTRE_PX
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
SKELETONS = {"body_25": BODY_25, "body_25b": BODY_25B, "coco_17": COCO_17, "halpe_26": HALPE_26}

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


def _people(content: Any) -> list[Any]:
    """Find the lists of numbers of all people in what a keypoint program wrote: OpenPose, COCO or MMPose."""
    if isinstance(content, dict) and "people" in content:
        return [person["pose_keypoints_2d"] for person in content["people"]]
    for key in ("annotations", "instance_info", "instances"):
        content = content[key] if isinstance(content, dict) and key in content else content
    if not isinstance(content, list):
        raise ValueError("neither people, annotations nor a list of people")
    scored = [(person["keypoints"], person.get("keypoint_scores")) for person in content]
    return [np.column_stack([points, scores]).ravel() if scores is not None else points for points, scores in scored]


def read_people(name: str, text: str, skeleton: str = "") -> Float[np.ndarray, "_ 25 3"]:
    """Read the people of one frame: x, y in pixels of ours, and confidence; zero confidence is 'not seen'.

    Args:
        skeleton: empty to tell it from the number of keypoints.
    Raises:
        ValueError: no keypoint file, or another skeleton.
    """
    try:
        values = [np.array(person, dtype=float).ravel() for person in _people(json.loads(text))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} is no keypoint file of OpenPose, COCO or MMPose ({error})") from error
    values = [value for value in values if len(value)]  # some programs list a lost person without keypoints
    keypoints = np.zeros((len(values), len(BODY_25B), 3))
    for person, value in zip(keypoints, values, strict=True):
        if len(value) % 3 or not np.isfinite(value).all():
            raise ValueError(f"{name} holds {len(value)} numbers for a person; x, y and confidence are needed, finite")
        found = value.reshape(-1, 3)
        names = skeleton_of(len(found), skeleton, name)
        here = [number for number, key in enumerate(names) if key]
        person[[BODY_25B.index(names[number]) for number in here]] = found[here]
    keypoints[..., :2] += PIXEL_CENTRE_PX
    return keypoints


def read_people_folder(folder: Path, skeleton: str = "") -> list[Float[np.ndarray, "_ 25 3"]]:
    """Read the keypoints of every frame of one camera: one .json per frame, in the order of their names."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no keypoints (*.json, one per frame)")
    return [read_people(str(path), path.read_text(errors="replace"), skeleton) for path in files]


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
