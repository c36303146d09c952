import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from models.smpl import Body
from tests.helpers.moving_body import FACING_THE_CAMERA, bent_stick, lively_rig, open_body, stick_motion, turn
from tests.unit.models.test_smpl import small_file
from utils.export.rig import (
    RigMotion,
    all_weights,
    four_weights,
    motion_of,
    names_for_files,
    posed_joints,
    quaternions,
    rig_of,
    skinned_vertices_m,
    to_y_up,
)
from utils.skeleton import SMPL_24


def farthest_mm(a, b) -> float:
    return 1000 * float(np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1).max())


def test_names_that_formats_cannot_hold_are_written_with_underscores_and_none_twice():
    assert names_for_files(("Left Hip", "a/b", "knee.R", "tail-1")) == ("Left_Hip", "a_b", "knee.R", "tail-1")
    with pytest.raises(ValueError, match=r"joints \['a b', 'a/b'\] of the body would both be called 'a_b'"):
        names_for_files(("a b", "c", "a/b"))


def test_a_right_angle_in_the_middle_joint_lays_the_last_bone_flat():
    rig, motion = bent_stick(), stick_motion({1: turn("z", 90)}, pelvis_m=(0, 0, 2))
    R, joints_m = posed_joints(rig, motion)
    # y turns to -x about z: the bone of half a metre lies to the left of the upright one.
    np.testing.assert_allclose(joints_m[0], [[0, 0, 2], [0, 1, 2], [-0.5, 1, 2]], atol=1e-12)
    np.testing.assert_allclose(R[0, 2], turn("z", 90), atol=1e-12)
    vertices_m = skinned_vertices_m(rig, motion, rig.weights)
    # The last square, 0.1 m to the sides of (0, 1.5, 0), now stands upright around (-0.5, 1, 2).
    np.testing.assert_allclose(vertices_m[0, 8], [-0.5, 1.1, 2], atol=1e-12)
    np.testing.assert_allclose(vertices_m[0, 9], [-0.5, 1, 1.9], atol=1e-12)


def test_a_person_facing_the_camera_upright_is_unrotated_in_the_exported_world():
    rig = rig_of(open_body(), torch.zeros(10).double())
    rotations = np.tile(np.eye(3), (1, 24, 1, 1))
    rotations[:, 0] = FACING_THE_CAMERA
    motion = motion_of(rig, rotations, np.array([[0.2, 0.3, 4.0]]), 25.0)
    np.testing.assert_allclose(motion.rotations, np.tile(np.eye(3), (1, 24, 1, 1)), atol=1e-12)
    pelvis_cam_m = rig.joints_m[0] + [0.2, 0.3, 4.0]
    np.testing.assert_allclose(motion.pelvis_m[0], pelvis_cam_m * [1, -1, -1])
    _, joints_m = posed_joints(rig, motion)
    head, foot = (joints_m[0, SMPL_24.index(name)] for name in ("head", "left_foot"))
    assert head[1] > foot[1] + 1, "up is y"
    assert foot[2] > joints_m[0, SMPL_24.index("left_ankle"), 2], "toes point at the viewer, z"


def test_half_a_turn_about_x_keeps_hands_and_lengths():
    points = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(to_y_up(points), points @ turn("x", 180).T, atol=1e-12)


def test_joints_and_surface_agree_with_the_body_model():
    rig, motion, vertices_cam_m, joints_cam_m = lively_rig(3)
    assert farthest_mm(posed_joints(rig, motion)[1], to_y_up(joints_cam_m)) < 1e-6
    assert farthest_mm(skinned_vertices_m(rig, motion, rig.weights), to_y_up(vertices_cam_m)) < 1e-3


def test_a_body_with_directions_that_follow_the_pose_says_so():
    assert not rig_of(open_body(), torch.zeros(10).double()).has_pose_offsets
    assert rig_of(Body(small_file()), torch.zeros(10)).has_pose_offsets


def test_the_four_largest_weights_are_kept_and_sum_to_one():
    weights = np.array([[0.05, 0.1, 0.3, 0.25, 0.1, 0.2], [0, 0, 0, 0, 0, 1.0]])
    joints, kept = four_weights(weights)
    assert joints.tolist() == [[2, 3, 5, 1], [5, 0, 0, 0]]
    assert four_weights(np.array([[0.25, 0.75]]))[0].tolist() == [[1, 0, 0, 0]]
    np.testing.assert_allclose(kept, [np.array([0.3, 0.25, 0.2, 0.1]) / 0.85, [1, 0, 0, 0]])
    np.testing.assert_allclose(all_weights(joints, kept, 6)[0] * 0.85, [0, 0.1, 0.3, 0.25, 0, 0.2])


def test_quaternions_are_x_y_z_w():
    half = 0.5**0.5
    motion = stick_motion({0: turn("x", 90), 1: turn("y", 90), 2: turn("z", 90)})
    np.testing.assert_allclose(
        quaternions(motion.rotations)[0], [[half, 0, 0, half], [0, half, 0, half], [0, 0, half, half]], atol=1e-12
    )


def test_quaternions_do_not_jump_through_two_whole_turns_but_the_rotations_stay():
    degrees = np.arange(0, 730, 10)
    motion = stick_motion(*({1: turn("y", angle)} for angle in degrees))
    found = quaternions(motion.rotations)
    steps = np.linalg.norm(np.diff(found, axis=0), axis=-1)
    assert steps.max() < 0.09, "10 degrees are 2 sin(2.5 degrees) = 0.087"
    np.testing.assert_allclose(found[36, 1], [0, 0, 0, -1], atol=1e-6)  # after one turn, the other sign
    np.testing.assert_allclose(Rotation.from_quat(found[:, 1]).as_matrix(), motion.rotations[:, 1], atol=1e-9)


def test_the_first_quaternions_turn_the_short_way_from_rest():
    R = Rotation.random(300, rng=np.random.default_rng(0)).as_matrix()
    assert (quaternions(R[None])[0, :, 3] >= 0).all()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda R, t: (R[:0], t[:0]), "at least one"),
        (lambda R, t: (R * 1.01, t), "frame 0, joint 0"),
        (lambda R, t: (R * [1, 1, -1], t), "no rotation"),
        (lambda R, t: (R * np.nan, t), "no rotation"),
        (lambda R, t: (R, t * np.nan), "not finite"),
    ],
)
def test_what_is_no_motion_is_refused(broken, words):
    rotations, translation_m = np.tile(np.eye(3), (2, 3, 1, 1)), np.zeros((2, 3))
    with pytest.raises(ValueError, match=words):
        motion_of(bent_stick(), *broken(rotations, translation_m), 25.0)
    with pytest.raises(ValueError, match="frames_per_second"):
        motion_of(bent_stick(), rotations, translation_m, 0.0)


def test_a_motion_of_one_frame_is_enough():
    motion = stick_motion({})
    assert quaternions(motion.rotations).shape == (1, 3, 4)
    assert isinstance(motion, RigMotion)
