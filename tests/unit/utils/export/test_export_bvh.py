import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.helpers.moving_body import bent_stick, lively_rig, open_body, stick_motion, turn
from utils.export.bvh import continuous, write_bvh, zxy_angles_rad
from utils.export.rig import RigMotion, posed_joints, to_y_up
from utils.skeleton import SMPL_24


def rows_of(path) -> np.ndarray:
    lines = path.read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Frame Time"))
    return np.array([[float(word) for word in line.split()] for line in lines[start + 1 :]])


def test_a_stick_with_a_right_angle_is_written_as_by_hand(tmp_path):
    motion = stick_motion({}, {0: turn("y", 30), 1: turn("z", 90), 2: turn("x", -45)}, pelvis_m=(1, 2, 3))
    write_bvh(tmp_path / "stick.bvh", bent_stick(), motion)
    head = " ".join((tmp_path / "stick.bvh").read_text().split()).split("MOTION")[0]
    rotation = "Zrotation Xrotation Yrotation"
    assert head == (
        "HIERARCHY ROOT a { OFFSET 0.000000 0.000000 0.000000 "
        f"CHANNELS 6 Xposition Yposition Zposition {rotation} "
        f"JOINT b {{ OFFSET 0.000000 100.000000 0.000000 CHANNELS 3 {rotation} "
        f"JOINT c {{ OFFSET 0.000000 50.000000 0.000000 CHANNELS 3 {rotation} "
        "End Site { OFFSET 0.000000 0.000000 0.000000 } } } } "
    )
    assert "Frames: 2\nFrame Time: 0.100000000\n" in (tmp_path / "stick.bvh").read_text()
    np.testing.assert_allclose(
        rows_of(tmp_path / "stick.bvh"),
        [[100, 200, 300] + [0] * 9, [100, 200, 300, 0, 0, 30, 90, 0, 0, 0, -45, 0]], atol=1e-5,
    )  # fmt: skip


def test_metres_can_be_asked_for(tmp_path):
    write_bvh(tmp_path / "a.bvh", bent_stick(), stick_motion({}, pelvis_m=(1, 2, 3)), units_per_metre=1.0)
    assert "OFFSET 0.000000 0.500000 0.000000" in (tmp_path / "a.bvh").read_text()
    assert rows_of(tmp_path / "a.bvh")[0, :3].tolist() == [1, 2, 3]


def test_angles_are_those_of_scipy_and_make_the_rotation_again():
    R = Rotation.random(200, rng=np.random.default_rng(0))
    angles_rad = zxy_angles_rad(R.as_matrix())
    np.testing.assert_allclose(Rotation.from_euler("ZXY", angles_rad).as_matrix(), R.as_matrix(), atol=1e-12)
    is_principal = np.abs(angles_rad[:, 1]) < np.pi / 2
    assert is_principal.all()
    np.testing.assert_allclose(angles_rad, R.as_euler("ZXY"), atol=1e-9)


@pytest.mark.parametrize("off_by_rad", [0.0, 1e-12, 1e-7, 1e-4])
def test_a_knee_at_a_right_angle_keeps_its_rotation_also_in_single_precision(off_by_rad):
    # x at a right angle: z and y turn about the same axis, and only their sum is known.
    R = Rotation.from_euler("ZXY", [0.3, np.pi / 2 - off_by_rad, -0.8]).as_matrix()
    for single in (R, R.astype(np.float32).astype(np.float64)):
        again = Rotation.from_euler("ZXY", zxy_angles_rad(single)).as_matrix()
        assert np.abs(again - R).max() < 1e-6


def test_angles_go_on_smoothly_beyond_a_right_angle_and_beyond_half_a_turn():
    degrees = np.arange(0, 400, 5)
    for axis in "xyz":
        R = np.stack([turn(axis, angle) for angle in degrees])[:, None]
        angles_rad = continuous(zxy_angles_rad(R))
        np.testing.assert_allclose(np.degrees(angles_rad[:, 0, "zxy".index(axis)]), degrees, atol=1e-6)
        np.testing.assert_allclose(Rotation.from_euler("ZXY", angles_rad[:, 0]).as_matrix(), R[:, 0], atol=1e-9)


def test_a_bone_without_children_ends_in_the_surface_that_hangs_on_it(tmp_path):
    rig, motion, *_ = lively_rig(1)
    write_bvh(tmp_path / "body.bvh", rig, motion)
    ends = re.findall(r"JOINT (\w+)\s*\{\s*OFFSET[^\n]*\s*CHANNELS[^\n]*\s*End Site\s*\{\s*OFFSET ([^\n]*)",
                      (tmp_path / "body.bvh").read_text())  # fmt: skip
    found = {name: np.array(text.split(), float) for name, text in ends}
    assert set(found) == {"head", "left_hand", "right_hand", "left_foot", "right_foot"}
    assert found["head"][1] > 2, "centimetres upwards"
    assert found["left_hand"][0] > 1 > -1 > found["right_hand"][0]
    assert found["left_foot"][2] > 0


def test_another_reader_finds_our_joints_to_a_tenth_of_a_millimetre(tmp_path):
    bvhio = pytest.importorskip("bvhio", reason="bvhio is not installed (pip install -e '.[dev]')")
    rig, motion, _, joints_cam_m = lively_rig(40)
    write_bvh(tmp_path / "body.bvh", rig, motion)
    root = bvhio.readAsHierarchy(str(tmp_path / "body.bvh"))
    joints = {joint.Name: joint for joint, _, _ in root.layout()}
    assert set(SMPL_24) <= set(joints)
    for frame in range(40):
        root.loadPose(frame, recursive=True)
        theirs_m = np.array([list(joints[name].PositionWorld) for name in SMPL_24]) / 100
        error_mm = 1000 * np.linalg.norm(theirs_m - to_y_up(joints_cam_m[frame]), axis=1).max()
        assert error_mm < 0.1, f"frame {frame}: {error_mm:.3f} mm"


def test_bones_at_rest_are_the_bodys_own(tmp_path):
    bvhio = pytest.importorskip("bvhio", reason="bvhio is not installed (pip install -e '.[dev]')")
    rig, motion, *_ = lively_rig(2)
    write_bvh(tmp_path / "body.bvh", rig, motion)
    read = bvhio.readAsBvh(str(tmp_path / "body.bvh"))
    assert read.FrameCount == 2 and read.FrameTime == pytest.approx(1 / 25)
    offsets = {joint.Name: np.array(list(joint.Offset)) for joint, _, _ in read.Root.layout()}
    assert offsets["pelvis"].tolist() == [0, 0, 0], "some readers add it to the position, others do not"
    for joint, parent in enumerate(open_body().parents[1:], start=1):
        bone_m = rig.joints_m[joint] - rig.joints_m[parent]
        np.testing.assert_allclose(offsets[SMPL_24[joint]], 100 * bone_m, atol=1e-4)


def test_a_body_that_stands_still_makes_equal_lines(tmp_path):
    rig, motion, *_ = lively_rig(1)
    still = RigMotion(np.repeat(motion.rotations, 3, axis=0), np.repeat(motion.pelvis_m, 3, axis=0), 25.0)
    write_bvh(tmp_path / "still.bvh", rig, still)
    rows = rows_of(tmp_path / "still.bvh")
    np.testing.assert_array_equal(rows, rows[[0, 0, 0]])
    assert len(posed_joints(rig, still)[1]) == 3
