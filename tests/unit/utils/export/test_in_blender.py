"""Rigs in Blender, as somebody opens them there: rest pose, bones, scale, axes, rate, skin."""

import importlib.util

import numpy as np
import pytest

from tests.helpers.blender_reads import in_blender
from tests.helpers.moving_body import lively_rig
from utils.export.about import About
from utils.export.bvh import write_bvh
from utils.export.fbx import write_fbx
from utils.export.gltf import write_animated_glb
from utils.export.rig import Y_UP_FROM_Z_UP, all_weights, four_weights, posed_joints, skinned_vertices_m
from utils.skeleton import SMPL_24, SMPL_24_PARENTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("bpy") is None,
        reason="Blender's package bpy is not installed (pip install bpy, where there is one for this Python)",
    ),
]
RATE, FRAMES = 25.0, (0, 5, 11)
TIMES_S = [frame / RATE for frame in FRAMES]
ABOUT = About("pixels + masks", "a" * 64, "b" * 64, "free")
OF_A_SIDE = (("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"), ("collar", "shoulder"), ("shoulder", "elbow"),
             ("elbow", "wrist"), ("wrist", "hand"))  # fmt: skip
LIMBS = [(f"{side}_{joint}", f"{side}_{end}") for side in ("left", "right") for joint, end in OF_A_SIDE]
LIMBS += [("spine1", "spine2"), ("spine2", "spine3"), ("neck", "head")]


@pytest.fixture(scope="module")
def moving():
    return lively_rig(12)[:2]


@pytest.fixture(scope="module")
def read(moving, tmp_path_factory):
    """What Blender finds in each format."""
    rig, motion = moving
    folder = tmp_path_factory.mktemp("rigs")
    write_animated_glb(folder / "body.glb", rig, motion, ABOUT)
    write_bvh(folder / "body.bvh", rig, motion)
    write_fbx(folder / "body.fbx", folder / "body.glb", RATE, ABOUT.header("y up", "metres"))
    return {"glb": in_blender(folder / "body.glb", TIMES_S), "bvh": in_blender(folder / "body.bvh", TIMES_S, 0.01),
            "fbx": in_blender(folder / "body.fbx", TIMES_S)}  # fmt: skip


def z_up(points_m) -> np.ndarray:
    return np.asarray(points_m) @ Y_UP_FROM_Z_UP


def farthest_mm(a, b) -> float:
    return 1000 * float(np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1).max())


@pytest.mark.parametrize("kind", ["glb", "bvh", "fbx"])
def test_the_rest_pose_is_the_bodys_t_pose_in_metres_with_z_up(read, moving, kind):
    rig, _ = moving
    heads_m = np.array([read[kind]["rest"][name][0] for name in SMPL_24])
    told = {SMPL_24[k]: SMPL_24[p] if p >= 0 else "" for k, p in enumerate(SMPL_24_PARENTS)}
    assert read[kind]["parents"] == told
    assert farthest_mm(heads_m - heads_m[0], z_up(rig.joints_m - rig.joints_m[0])) < 0.1
    place = dict(zip(SMPL_24, heads_m, strict=True))
    for side, sign in (("left", 1), ("right", -1)):
        arm_m = place[f"{side}_wrist"] - place[f"{side}_shoulder"]
        assert arm_m[0] * sign > 0.99 * np.linalg.norm(arm_m) > 0.4, "arms are spread, the left one along +x"
        leg_m = place[f"{side}_ankle"] - place[f"{side}_hip"]
        assert leg_m[2] < -0.99 * np.linalg.norm(leg_m), "legs hang"
        assert place[f"{side}_foot"][1] < place[f"{side}_ankle"][1] - 0.1, "toes point at the viewer, -y"


@pytest.mark.parametrize("kind", ["glb", "bvh", "fbx"])
def test_bones_lie_along_their_limbs(read, kind):
    rest = read[kind]["rest"]
    for bone, end in LIMBS:
        head, tail = (np.array(point) for point in rest[bone])
        limb = np.array(rest[end][0]) - head
        cos = (tail - head) @ limb / np.linalg.norm(tail - head) / np.linalg.norm(limb)
        off_deg = np.degrees(np.arccos(np.clip(cos, -1, 1)))
        assert off_deg < 0.2, f"{bone} is {off_deg:.1f} degrees off its limb"
        assert np.linalg.norm(tail - head) == pytest.approx(np.linalg.norm(limb), rel=0.01)


@pytest.mark.parametrize("kind", ["glb", "bvh", "fbx"])
def test_joints_move_as_ours_at_the_same_seconds(read, moving, kind):
    rig, motion = moving
    ours_m = z_up(posed_joints(rig, motion)[1])
    np.testing.assert_allclose(np.diff(read[kind]["keys_s"]), 1 / RATE, atol=1e-5)
    assert len(read[kind]["keys_s"]) == 12
    for frame, found in zip(FRAMES, read[kind]["frames"], strict=True):
        error_mm = farthest_mm([found["joints"][name] for name in SMPL_24], ours_m[frame])
        assert error_mm < 0.1, f"frame {frame}: {error_mm:.3f} mm"


def test_the_frame_rate_of_the_scene_is_the_files_where_the_format_tells_it(read):
    assert read["bvh"]["rate"] == read["fbx"]["rate"] == RATE


@pytest.mark.parametrize("kind", ["glb", "fbx"])
def test_the_skin_has_our_weights_and_bends_as_ours(read, moving, kind):
    rig, motion = moving
    kept = all_weights(*four_weights(rig.weights), 24)
    found = np.array([[vertex.get(name, 0.0) for name in SMPL_24] for vertex in read[kind]["weights"]])
    ours_m = z_up(skinned_vertices_m(rig, motion, kept))
    assert found.shape == kept.shape and np.abs(found - kept).max() < 1e-4
    for frame, seen in zip(FRAMES, read[kind]["frames"], strict=True):
        assert farthest_mm(seen["surface"], ours_m[frame]) < 0.2


@pytest.mark.parametrize("rate", [2.5, 29.97])
def test_an_fbx_keeps_rates_that_are_no_whole_numbers(moving, tmp_path, rate):
    rig, motion = moving[0], moving[1]._replace(frames_per_second=rate)
    write_animated_glb(tmp_path / "body.glb", rig, motion, ABOUT)
    write_fbx(tmp_path / "body.fbx", tmp_path / "body.glb", rate, {})
    found = in_blender(tmp_path / "body.fbx", [frame / rate for frame in FRAMES])
    np.testing.assert_allclose(np.diff(found["keys_s"]), 1 / rate, rtol=1e-4)
    assert found["rate"] == pytest.approx(rate, rel=1e-5)
    ours_m = z_up(posed_joints(rig, motion)[1])
    for frame, seen in zip(FRAMES, found["frames"], strict=True):
        assert farthest_mm([seen["joints"][name] for name in SMPL_24], ours_m[frame]) < 0.1


def test_an_fbx_says_where_it_comes_from(read):
    assert read["fbx"]["told"]["tier"] == "pixels + masks" and read["fbx"]["told"]["weights_sha256"] == "a" * 64
