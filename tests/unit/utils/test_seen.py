"""What a picture shows of a body, joint by joint and over its surface."""

import numpy as np
import pytest

from tests.helpers.tiny_h36m import looking_camera
from utils.seen import outside_of_picture, seen_joints, seen_surface, told_guessed
from utils.skeleton import H36M_17, KEYPOINTS_25, SMPL_24


def without(*hidden: str) -> np.ndarray:
    return np.array([0.0 if name in hidden else 1.0 for name in KEYPOINTS_25])


def guessed(joints: np.ndarray) -> set[str]:
    return {name for name, one in zip(H36M_17, joints, strict=True) if one < 0.5}


def test_joints_are_seen_where_their_keypoints_are():
    assert guessed(seen_joints(without())) == set()
    assert guessed(seen_joints(without("left_wrist"))) == {"left_wrist"}
    half = seen_joints(without(*(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle"))))
    assert half[H36M_17.index("spine")] == 0.5 and half[H36M_17.index("thorax")] == 1
    assert guessed(half) == {"pelvis"} | {f"{s}_{part}" for s in ("left", "right") for part in ("hip", "knee", "ankle")}
    assert seen_joints(np.ones((3, 4, 25))).shape == (3, 4, 17)


def test_a_surface_is_seen_up_to_the_last_joint_that_is():
    seen = seen_surface(seen_joints(without("left_wrist", "right_ankle")), np.eye(24))
    parts = {name for name, one in zip(SMPL_24, seen, strict=True) if one < 1}
    assert parts == {"left_elbow", "left_wrist", "left_hand", "right_knee", "right_ankle", "right_foot"}
    assert (seen_surface(np.full(17, np.nan), np.eye(24)) == 1).all(), "nothing is known to be guessed"
    faint = np.where(np.array(H36M_17) == "left_wrist", 0.45, 1.0)
    assert seen_surface(faint, np.eye(24))[SMPL_24.index("left_hand")] == pytest.approx(0.5)


def test_a_joint_beyond_the_edge_was_not_seen():
    camera = looking_camera(1, 400, 300)
    joints_m = np.tile([0.0, 0, 4], (17, 1))
    joints_m[3] = 0, 4 * 300 / camera.focal_px[1], 4
    found = outside_of_picture(joints_m, camera)
    assert found[3] == 0 and np.isnan(np.delete(found, 3)).all()


def test_what_was_guessed_in_most_frames_is_told_by_name():
    values = np.ones((4, 17))
    values[:3, H36M_17.index("left_ankle")] = 0.1
    values[:2, H36M_17.index("nose")] = 0.1
    assert told_guessed(values) == "left ankle"
    assert told_guessed(np.full((2, 17), np.nan)) == ""
