"""Acclaim files: a skeleton of two bones by hand, and real recordings when they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from config import ROOT
from dataset_def.acclaim import (
    BONE_OF_JOINT,
    BONE_TARGETS,
    Clip,
    Skeleton,
    about_axes,
    arm_turn,
    clip_files,
    place_bones,
    read_amc,
    read_asf,
    shortest_turn,
    to_body,
)
from dataset_def.synthetic.motion.cmu import cmu_motion
from dataset_def.synthetic.motion.limbs import REST_JOINTS_M, joint, place_joints, subject_style

CMU = ROOT.parent / "shared" / "data" / "cmu"
needs_cmu = pytest.mark.skipif(not CMU.is_dir(), reason=f"no motion capture files in {CMU}")

ASF = """:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
:bonedata
  begin
     id 1
     name upper
     direction 0 -1 0
     length 9
     axis 0 0 90 XYZ
     dof rx ry rz
  end
  begin
     id 2
     name lower
     direction 0 -1 0
     length 4.5
     axis 0 0 0 XYZ
     dof rz
  end
:hierarchy
  begin
    root upper
    upper lower
  end
"""
AMC = ":DEGREES\n1\nroot 0 45 0 0 0 0\nupper 0 0 0\nlower 0\n2\nroot 0 45 0 0 90 0\nupper 90 0 0\nlower 90\n"
UNIT_M = 0.0254 / 0.45


@pytest.fixture
def two_bones(tmp_path: Path):
    (tmp_path / "09.asf").write_text(ASF)
    (tmp_path / "09_01.amc").write_text(AMC)
    return tmp_path


def test_a_skeleton_by_hand(two_bones):
    [(motion, skeleton_file)] = clip_files(two_bones)
    skeleton = read_asf(skeleton_file)
    placed = place_bones(skeleton, read_amc(motion, skeleton))
    np.testing.assert_allclose(placed.ends_m["lower"][0], [0, (45 - 13.5) * UNIT_M, 0], atol=1e-12)
    # Second frame: the upper bone's own x axis is the world's y (axis z by 90), so it does not move, but carries the
    # lower one: root 90 about y and upper 90 about y turn the lower bone's swing to the side (+x at rest) to -x.
    np.testing.assert_allclose(placed.ends_m["upper"][1], [0, 36 * UNIT_M, 0], atol=1e-12)
    np.testing.assert_allclose(placed.ends_m["lower"][1], [-4.5 * UNIT_M, 36 * UNIT_M, 0], atol=1e-12)


def test_angles_turn_about_fixed_axes_x_first():
    turned = about_axes(np.radians([90.0, 0.0, 90.0])) @ np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(turned, [0.0, 0.0, 1.0], atol=1e-12)


def test_bad_files_are_refused_by_name(two_bones):
    (two_bones / "09_02.amc").write_text(AMC.replace("lower 90\n", "lower 90 3\n"))
    skeleton = read_asf(two_bones / "09.asf")
    with pytest.raises(ValueError, match=r"09_02\.amc"):
        read_amc(two_bones / "09_02.amc", skeleton)
    (two_bones / "08.asf").write_text("nothing")
    with pytest.raises(ValueError, match=r"08\.asf"):
        read_asf(two_bones / "08.asf")
    (two_bones / "07_01.amc").write_text(AMC)
    with pytest.raises(FileNotFoundError, match=r"07\.asf"):
        clip_files(two_bones)
    with pytest.raises(FileNotFoundError, match=r"no \.amc"):
        clip_files(two_bones / "nowhere")


def test_shortest_turn_of_known_directions():
    np.testing.assert_allclose(
        shortest_turn(np.array([1.0, 0, 0]), np.array([0, 2.0, 0])) @ [1, 0, 0], [0, 1, 0], atol=1e-12
    )
    np.testing.assert_allclose(shortest_turn(np.array([1.0, 0, 0]), np.array([3.0, 0, 0])), np.eye(3), atol=1e-12)


@needs_cmu
def test_a_skeleton_at_rest_becomes_a_t_pose_with_spread_legs():
    skeleton = read_asf(CMU / "01.asf")
    still = Clip(np.zeros((1, 3)), {name: np.eye(3)[None] for name in ("root", *skeleton.bones)})
    rotations = to_body(skeleton, place_bones(skeleton, still), REST_JOINTS_M)
    joints_m, _ = place_joints(rotations[0], REST_JOINTS_M[0], REST_JOINTS_M)
    for side, sign in (("left", 1), ("right", -1)):
        arm = joints_m[joint(f"{side}_wrist")] - joints_m[joint(f"{side}_shoulder")]
        leg = joints_m[joint(f"{side}_ankle")] - joints_m[joint(f"{side}_hip")]
        np.testing.assert_allclose(arm / np.linalg.norm(arm), [sign, 0, 0], atol=0.02)
        np.testing.assert_allclose(leg / np.linalg.norm(leg), [0.342 * sign, -0.94, 0], atol=0.02)


@needs_cmu
@pytest.mark.parametrize("clip", ["01_02", "02_01", "02_05", "03_03"])
def test_limbs_point_where_the_recorded_ones_point(clip):
    skeleton = read_asf(CMU / f"{clip[:2]}.asf")
    placed = place_bones(skeleton, read_amc(CMU / f"{clip}.amc", skeleton))
    joints_m, _ = place_joints(to_body(skeleton, placed, REST_JOINTS_M), placed.ends_m["root"], REST_JOINTS_M)
    for start, end in BONE_TARGETS.items():
        mine = joints_m[:, joint(end)] - joints_m[:, joint(start)]
        bone = BONE_OF_JOINT[start]
        theirs = placed.ends_m[bone] - placed.ends_m[skeleton.bones[bone].parent]
        cosine = (mine * theirs).sum(-1) / np.linalg.norm(mine, axis=-1) / np.linalg.norm(theirs, axis=-1)
        degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1))).max()
        assert degrees < 3, f"{start}: {degrees:.1f} degrees off, expected below 3"


@needs_cmu
def test_recorded_elbows_and_knees_bend_the_body_s_way():
    skeleton = read_asf(CMU / "02.asf")
    placed = place_bones(skeleton, read_amc(CMU / "02_01.amc", skeleton))
    rotations = to_body(skeleton, placed, REST_JOINTS_M)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shank = rotations[:, joint(f"{side}_knee")] @ np.array([0.0, -1.0, 0.0])
        assert np.median(shank[:, 2]) < 0
        forearm = rotations[:, joint(f"{side}_elbow")] @ np.array([sign, 0.0, 0.0])
        assert np.median(forearm[:, 2]) > 0.1


@needs_cmu
def test_a_motion_from_clips_is_deterministic_and_stays_near():
    clips = clip_files(CMU)[-4:]
    first, again = (cmu_motion(clips, np.random.default_rng(2), 10, 2.5, 30.0, subject_style(1, 0)) for _ in range(2))
    np.testing.assert_array_equal(first.rotations, again.rotations)
    assert first.rotations.shape == (10, 24, 3, 3) and np.abs(first.pelvis_world_m[:, :2]).max() < 0.91
    assert (first.lift_m >= 0).all()


@needs_cmu
def test_recorded_elbows_bend_about_the_axis_that_the_body_s_bend_about():
    skeleton = read_asf(CMU / "01.asf")
    placed = place_bones(skeleton, read_amc(CMU / "01_02.amc", skeleton))
    rotations = to_body(skeleton, placed, REST_JOINTS_M)
    for side in ("left", "right"):
        kept = rotations[:, joint(f"{side}_elbow")] @ np.array([0.0, 1.0, 0.0])
        assert np.degrees(np.arccos(kept[:, 1].min())) < 6, f"the {side} elbow's axis moves"


def test_an_elbow_that_turns_about_several_axes_tells_no_hinge(two_bones):
    free = read_asf(two_bones / "09.asf")
    bones = {name: free.bones["upper"]._replace(direction=np.array([1.0, 0, 0])) for name in ("lradius", "rradius")}
    np.testing.assert_array_equal(arm_turn(free._replace(bones=bones), "left"), np.eye(3))
    tilted = bones["lradius"]._replace(channels=("rx",), R_rest_from_bone=about_axes(np.radians([0.0, 0.0, 90.0])))
    hinge = Skeleton({"lradius": tilted}, (), 1.0, 1.0)
    np.testing.assert_allclose(arm_turn(hinge, "left"), np.eye(3), atol=1e-12)  # its x axis is the world's y already
    turned = tilted._replace(R_rest_from_bone=about_axes(np.radians([30.0, 0.0, 0.0])) @ tilted.R_rest_from_bone)
    R = arm_turn(Skeleton({"lradius": turned}, (), 1.0, 1.0), "left")
    np.testing.assert_allclose(R @ [0, 1, 0], [0, np.cos(np.pi / 6), np.sin(np.pi / 6)], atol=1e-12)


def test_a_skeleton_of_no_unit_is_refused_with_its_name(tmp_path):
    (tmp_path / "a.asf").write_text(ASF.replace("length 0.45", "length 0"))
    with pytest.raises(ValueError, match=r"a\.asf is no Acclaim skeleton"):
        read_asf(tmp_path / "a.asf")
