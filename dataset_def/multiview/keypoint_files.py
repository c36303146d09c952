"""Reads 2D keypoints of other programs, and turns their skeletons into Human3.6M's 17 joints."""

import json

import numpy as np
from jaxtyping import Float

from dataset_def.multiview.calibration_files import PIXEL_CENTRE_PX
from utils.skeleton import H36M_17

BODY_25B: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "neck", "head_top", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
)  # fmt: skip
"""Source: OpenPose's BODY_25B model; left joints have odd numbers."""

MIDDLES: dict[str, tuple[str, ...]] = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "spine": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
}
"""Joints of Human3.6M that a keypoint detector does not name: the mean of others."""


def read_openpose(name: str, text: str) -> Float[np.ndarray, "_ 25 3"]:
    """Read the people of one OpenPose file: x, y in pixels of ours, and confidence; zero confidence is 'not seen'.

    Raises:
        ValueError: no OpenPose file, or another skeleton than BODY_25B.
    """
    try:
        people = json.loads(text)["people"]
        values = [np.array(person["pose_keypoints_2d"], dtype=float) for person in people]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{name} is not a keypoint file of OpenPose ({error})") from error
    wrong = [len(value) for value in values if len(value) != 3 * len(BODY_25B)]
    if wrong:
        raise ValueError(f"{name} holds {wrong[0]} numbers per person; BODY_25B has {3 * len(BODY_25B)}")
    keypoints = np.array(values).reshape(-1, len(BODY_25B), 3)
    keypoints[..., :2] += PIXEL_CENTRE_PX
    return keypoints


def h36m_from_body_25b(points: Float[np.ndarray, "*n 25 d"]) -> Float[np.ndarray, "*n 17 d"]:
    """Pick or average the 17 joints of Human3.6M from triangulated keypoints."""
    rows = [[BODY_25B.index(name) for name in MIDDLES.get(joint, (joint,))] for joint in H36M_17]
    return np.stack([points[..., row, :].mean(axis=-2) for row in rows], axis=-2)
