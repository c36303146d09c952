"""Motion files as they circulate: AMASS in parts and of SMPL-X, archives as they unpack, Acclaim's variants."""

from pathlib import Path

import numpy as np
import pytest

from config import Paths
from dataset_def.acclaim import BONE_OF_JOINT, about_axes, clip_files, read_amc, read_asf
from dataset_def.checks.sources import check_amass, check_cmu
from dataset_def.poses.readers import find_amass, read_amass, read_cmu, rest_joints_m


def written(path: Path, **arrays) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def some_poses(numbers: int = 156) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, (9, numbers))


def test_poses_in_parts_are_joined(tmp_path):
    poses = some_poses()
    parts = {"root_orient": poses[:, :3], "pose_body": poses[:, 3:66], "pose_hand": poses[:, 66:], "betas": np.ones(16)}
    split, whole = written(tmp_path / "a.npz", **parts), written(tmp_path / "b.npz", poses=poses, betas=np.ones(16))
    first, second = (read_amass(path, tmp_path, 100) for path in (split, whole))
    np.testing.assert_array_equal(first.theta, second.theta)
    np.testing.assert_array_equal(first.betas, second.betas)
    assert check_amass(tmp_path)[0].mark == "ok"


@pytest.mark.parametrize("model", [{"surface_model_type": "smplx"}, {"surface_model_type": "smplx_locked_head"}, {}])
def test_shapes_of_smplx_are_none_of_smpl(tmp_path, model):
    path = written(tmp_path / "CMU" / "01" / "01_01_stageii.npz", poses=some_poses(165), betas=np.ones(16), **model)
    written(tmp_path / "CMU" / "01" / "neutral_stagei.npz", betas=np.ones(16))
    found = read_amass(path, tmp_path, 100)
    assert found.betas is None and found.theta.shape == (9, 72)
    assert find_amass(tmp_path)[1] == 1 and check_amass(tmp_path)[0].mark == "ok"


def test_a_motion_without_a_shape_is_taken_and_hidden_files_are_none(tmp_path):
    written(tmp_path / "a.NPZ.npz", poses=some_poses())
    (tmp_path / "._a.npz").write_bytes(b"\0\5\x16\7")
    assert check_amass(tmp_path)[0].found.startswith("1 motions")
    assert read_amass(tmp_path / "a.NPZ.npz", tmp_path, 100).betas is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!doctype html><title>Log in</title>", "it is a web page"),
        (b"\x80\x02}q\x01.", "it is a pickle"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 20, "it is an HDF5 file"),
    ],
)
def test_what_is_no_motion_is_named_by_reader_and_check_alike(tmp_path, content, words):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=words) as refused:
        read_amass(tmp_path / "a.npz", tmp_path, 100)
    assert check_amass(tmp_path)[0].found == str(refused.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [({"trans": np.zeros((4, 3))}, r"holds no poses of 66 .*it has trans.*root_orient and pose_body"),
     ({"poses": np.zeros((4, 63))}, r"shape \(4, 63\)"),
     ({"poses": np.zeros((4, 156)), "betas": np.zeros(3)}, "holds 3 shape numbers"),
     ({"poses": np.full((4, 156), np.nan)}, "not finite")],
)  # fmt: skip
def test_the_check_refuses_what_training_refuses(tmp_path, arrays, words):
    path = written(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=words) as refused:
        read_amass(path, tmp_path, 100)
    assert check_amass(tmp_path)[0].found == str(refused.value)


PARENTS = {"lowerback": "root", "upperback": "lowerback", "thorax": "upperback", "lowerneck": "thorax",
           "head": "lowerneck", **{f"{s}{bone}": f"{s}{parent}" if parent in ("femur", "tibia", "foot", "clavicle",
           "humerus", "radius") else parent for s in "lr" for bone, parent in (
           ("femur", "root"), ("tibia", "femur"), ("foot", "tibia"), ("toes", "foot"), ("clavicle", "thorax"),
           ("humerus", "clavicle"), ("radius", "humerus"), ("hand", "radius"))}}  # fmt: skip
DIRECTIONS = {"femur": "0 -1 0", "tibia": "0 -1 0", "foot": "0 0 1", "toes": "0 0 1"}


def asf(root: str = "", unit: str = "deg") -> str:
    """A skeleton with CMU's names."""
    head = f":units\n mass 1\n length 0.45\n angle {unit}\n:root\n order TX TY TZ RX RY RZ\n axis XYZ\n{root}"
    bones = []
    for name in PARENTS:
        side = {"l": "1 0 0", "r": "-1 0 0"}.get(name[0], "0 1 0") if name[1:] in (
            "clavicle", "humerus", "radius", "hand") else "0 1 0"  # fmt: skip
        direction = DIRECTIONS.get(name[1:], side)
        bones.append(f"begin\n name {name}\n direction {direction}\n length 3\n axis 0 0 0 XYZ\n dof rx ry rz\nend")
    tree = "\n".join(f" {parent} {name}" for name, parent in PARENTS.items())
    return f"{head}:bonedata\n" + "\n".join(bones) + f"\n:hierarchy\nbegin\n{tree}\nend\n"


def amc(head: str = ":DEGREES", scale: float = 1.0, frames: int = 4) -> str:
    lines = [":FULLY-SPECIFIED", head]
    for frame in range(frames):
        lines += [str(frame + 1), f"root 0 15 0 0 {10 * frame * scale} 0"]
        lines += [f"{name} {5 * scale} {frame * scale} 0" for name in PARENTS]
    return "\n".join(lines) + "\n"


def test_the_skeleton_by_hand_has_all_bones_that_are_needed(tmp_path):
    assert set(BONE_OF_JOINT.values()) - {"root"} <= set(PARENTS)


@pytest.mark.parametrize(
    ("skeleton", "motion"),
    [("subjects/01/01.asf", "subjects/01/01_01.amc"), ("HDM_bd.asf", "HDM_bd_01-01_01_120.amc"),
     ("01.ASF", "01_02.AMC"), ("skeleton.asf", "walk.amc"), ("all/35.asf", "all/35_1.amc")],
)  # fmt: skip
def test_archives_are_read_as_they_unpack(tmp_path, skeleton, motion):
    for place, text in ((skeleton, asf()), (motion, amc())):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    (tmp_path / Path(motion).parent / "._x.amc").write_bytes(b"\0\5\x16\7")
    assert clip_files(tmp_path) == [(tmp_path / motion, tmp_path / skeleton)]
    assert check_cmu(tmp_path)[0].mark == "ok"
    recording = read_cmu(tmp_path / motion, tmp_path / skeleton, rest_joints_m(Paths().models_smpl_location), 4)
    assert recording.theta.shape == (4, 72)


def test_a_motions_own_unit_of_angles_is_heeded(tmp_path):
    (tmp_path / "01.asf").write_text(asf())
    (tmp_path / "01_01.amc").write_text(amc())
    (tmp_path / "01_02.amc").write_text(amc(":RADIANS", np.pi / 180))
    (tmp_path / "02.asf").write_text(asf(unit="rad"))
    (tmp_path / "02_01.amc").write_text(amc(":DEGREES"))
    clips = [read_amc(motion, read_asf(skeleton)) for motion, skeleton in clip_files(tmp_path)]
    for clip in clips[1:]:
        np.testing.assert_allclose(clip.rotations["root"], clips[0].rotations["root"], atol=1e-12)
        np.testing.assert_allclose(clip.rotations["lfemur"], clips[0].rotations["lfemur"], atol=1e-12)
    np.testing.assert_allclose(clips[0].rotations["root"][3], about_axes(np.radians([0.0, 30.0, 0.0])), atol=1e-12)


@pytest.mark.parametrize(
    ("root", "words"),
    [(" axis ZYX\n", "the root turns about axes in the order ZYX; only XYZ is known"),
     (" orientation 0 90 0\n", "the root has the orientation 0 90 0, which is not undone here")],
)  # fmt: skip
def test_a_root_with_other_axes_is_refused(tmp_path, root, words):
    (tmp_path / "01.asf").write_text(asf(root))
    with pytest.raises(ValueError, match=words):
        read_asf(tmp_path / "01.asf")
    (tmp_path / "01.asf").write_text(asf(" position 0 0 0\n orientation 0 0 0\n"))
    assert len(read_asf(tmp_path / "01.asf").bones) == len(PARENTS)


def test_a_skeleton_with_other_names_is_refused_by_reader_and_check_alike(tmp_path):
    (tmp_path / "01.asf").write_text(asf().replace("lfemur", "left_thigh"))
    (tmp_path / "01_01.amc").write_text(amc().replace("lfemur", "left_thigh"))
    with pytest.raises(ValueError, match="has no bones lfemur; only skeletons with CMU's names") as refused:
        read_cmu(tmp_path / "01_01.amc", tmp_path / "01.asf", np.zeros((24, 3)), 4)
    assert check_cmu(tmp_path)[0].found == str(refused.value)
