"""Each corruption changes what it says and nothing else."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataset_def.poses.corruptions import (
    CORRUPTIONS,
    DEEPER_M,
    LIMBS,
    LIMITS,
    TWISTS,
    outside_ranges,
    placed_joints,
    rotation_about,
    row,
    shortest_turns,
)
from dataset_def.synthetic.motion.generate import generate_motion
from dataset_def.synthetic.motion.limbs import REST_JOINTS_M, overlap_m, subject_style
from utils.skeleton import JOINTS_23, SMPL_24


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    parts = [generate_motion(a, np.random.default_rng([3, a]), 8, 2.5, subject_style(60, 0)).rotations
             for a in (2, 7, 9, 14)]  # fmt: skip
    return np.concatenate(parts)[:, 1:].astype(np.float64)


def spoil(name: str, real: np.ndarray, seed: int = 0) -> np.ndarray:
    return CORRUPTIONS[name](real, np.random.default_rng(seed))


def degrees_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    turn = (first.swapaxes(-1, -2) @ second).reshape(-1, 3, 3)
    return np.degrees(Rotation.from_matrix(turn).magnitude()).reshape(first.shape[:-2])


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_what_comes_out_are_rotations_that_depend_on_the_seed_alone_and_leave_the_input_alone(name, real):
    before = real.copy()
    perturbed = spoil(name, real)
    np.testing.assert_array_equal(real, before)
    np.testing.assert_array_equal(perturbed, spoil(name, real))
    assert (perturbed != spoil(name, real, seed=1)).any()
    np.testing.assert_allclose(
        perturbed @ perturbed.swapaxes(-1, -2), np.broadcast_to(np.eye(3), perturbed.shape), atol=1e-5
    )
    assert (np.linalg.det(perturbed) > 0.99).all() and (perturbed != real).any(axis=(1, 2, 3)).all()


def test_shuffled_joints_are_the_same_ones_in_other_frames(real):
    perturbed = spoil("shuffled", real)
    for joint in range(23):
        there, here = (sorted(map(tuple, part[:, joint].reshape(-1, 9))) for part in (perturbed, real))
        assert there == here
    stays = (perturbed == real).all(axis=(2, 3))
    assert stays.mean() < 0.5, "most joints come from another frame"


def test_a_mirrored_limb_has_the_other_sides_rotations_as_they_are(real):
    perturbed = spoil("mirrored_limb", real)
    seen = set()
    for before, after in zip(real, perturbed, strict=True):
        changed = {JOINTS_23[j] for j in np.flatnonzero((before != after).any(axis=(1, 2)))}
        [(side, limb)] = [(s, limb) for s in ("left", "right") for limb, joints in LIMBS.items()
                          if changed <= {f"{s}_{joint}" for joint in joints}]  # fmt: skip
        other = "right" if side == "left" else "left"
        for joint in LIMBS[limb]:
            np.testing.assert_array_equal(after[row(f"{side}_{joint}")], before[row(f"{other}_{joint}")])
        seen.add((side, limb))
    assert len(seen) == 4, "both arms and both legs"


def test_a_joint_outside_its_limits_is_20_to_60_degrees_beyond_one_of_them(real):
    perturbed = spoil("outside_limits", real)
    for before, after in zip(real, perturbed, strict=True):
        changed = [JOINTS_23[j] for j in np.flatnonzero((before != after).any(axis=(1, 2)))]
        total = Rotation.from_matrix(after[[row(name) for name in changed]]).as_rotvec(degrees=True).sum(axis=0)
        name = changed[0].split("_")[-1]
        kind = {"spine1": "spine", "neck": "throat"}.get(name, name)
        sign = np.array([1, -1, -1]) if changed[0].startswith("right") else np.ones(3)
        beyond = [sign * total @ np.array(axis) - limit for joint, axis, limit in LIMITS if joint == kind]
        if kind in ("spine", "throat"):  # leans to both sides
            beyond += [-total @ np.array(axis) - limit for joint, axis, limit in LIMITS if joint == kind and axis[2]]
        assert any(19.99 < angle < 60.01 for angle in beyond), (changed, total)


def test_an_over_twisted_joint_keeps_its_bone_where_it_was(real):
    perturbed = spoil("over_twisted", real)
    for before, after in zip(real, perturbed, strict=True):
        [joint] = np.flatnonzero((before != after).any(axis=(1, 2)))
        name = JOINTS_23[joint]
        bare = name.split("_")[-1]
        [(end, limit)] = [(end, limit) for joint_name, end, limit in TWISTS if joint_name == bare]
        side = name.split("_")[0] + "_" if "_" in name else ""
        bone = REST_JOINTS_M[SMPL_24.index(side + end)] - REST_JOINTS_M[SMPL_24.index(name)]
        bone /= np.linalg.norm(bone)
        np.testing.assert_allclose(after[joint] @ bone, before[joint] @ bone, atol=1e-6)
        x, y, z, w = Rotation.from_matrix(after[joint]).as_quat()
        twist = abs((np.degrees(2 * np.arctan2(bone @ (x, y, z), w)) + 180) % 360 - 180)
        assert min(limit + 29.9, 360 - limit - 90.1) < twist, (name, twist)


def test_an_interpenetrating_limb_lies_deep_in_the_body_and_only_its_first_joint_turned(real):
    perturbed = spoil("interpenetrating", real)
    changed = (real != perturbed).any(axis=(2, 3))
    assert (changed.sum(axis=1) == 1).all()
    assert {JOINTS_23[j].split("_")[1] for j in np.flatnonzero(changed.any(axis=0))} == {"shoulder", "hip"}
    deeper_m = overlap_m(*placed_joints(perturbed)) - overlap_m(*placed_joints(real))
    assert np.mean(deeper_m > DEEPER_M) > 0.9, f"{100 * np.mean(deeper_m > DEEPER_M):.0f} percent lie deep enough"


def test_shortest_turns_of_known_directions():
    x, y = np.array([[2.0, 0, 0]]), np.array([[0, 3.0, 0]])
    np.testing.assert_allclose(
        shortest_turns(x, y)[0], rotation_about(np.array([0, 0, 1.0]), np.array(np.pi / 2)), atol=1e-12
    )


def test_an_arm_that_is_not_mirrored_is_far_from_one_that_is_and_a_leg_is_not(real):
    """Why no prior tells this corruption in every pose: a leg that only swings forward is its own mirror image."""
    S = np.diag([-1.0, 1, 1])
    far = {}
    for name in ("shoulder", "hip"):
        both = np.concatenate([real[:, row(f"{side}_{name}")] for side in ("left", "right")])
        far[name] = np.median(degrees_apart(both, S @ both @ S))
    assert far["shoulder"] > 90 and far["hip"] < 45, far


def test_a_joint_of_any_skeleton_is_turned_beyond_what_its_file_says():
    ranges_rad = np.radians([[[0, 0]] * 3, [[-10, 20], [0, 0], [0, 0]], [[0, 0]] * 3])  # the first below the root turns
    poses = np.tile(np.eye(3), (40, 2, 1, 1))
    changed = outside_ranges(poses, ranges_rad, np.random.default_rng(0))
    assert np.array_equal(changed[:, 1], poses[:, 1]), "a joint that turns about no axis stays"
    angles = np.degrees(Rotation.from_matrix(changed[:, 0]).as_euler("XYZ"))
    assert np.abs(angles[:, 1:]).max() < 1e-6
    beyond = np.where(angles[:, 0] > 0, angles[:, 0] - 20, -10 - angles[:, 0])
    assert beyond.min() >= 20 and beyond.max() <= 60 and len(set(angles[:, 0] > 0)) == 2
