"""The motion generator: geometry of the limbs, joint limits, feet that stay, variety."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataset_def.synthetic.motion import hands, stances
from dataset_def.synthetic.motion.cmu import chosen_rows, kept_near, lift_over_floor_m
from dataset_def.synthetic.motion.generate import PLANS, generate_motion
from dataset_def.synthetic.motion.limbs import (
    REST_JOINTS_M,
    arm_to,
    joint,
    overlap_m,
    place_joints,
    segment_distance_m,
    solve_pose,
    subject_style,
    two_bones,
)
from dataset_def.synthetic.motion.walking import STANCE, foot, path, sample_gait

STANCES = (
    stances.stand, stances.stride, stances.stoop, stances.squat, stances.sit_chair, stances.sit_floor, stances.kneel,
)  # fmt: skip


def placed(motion):
    return place_joints(motion.rotations.astype(np.float64), motion.pelvis_world_m, REST_JOINTS_M)


def test_two_bones_reach_a_target_and_bend_to_the_pole():
    rng = np.random.default_rng(0)
    reach_m = rng.normal(size=(50, 3))
    reach_m *= rng.uniform(0.25, 0.7, (50, 1)) / np.linalg.norm(reach_m, axis=-1, keepdims=True)
    pole = rng.normal(size=(50, 3))
    first, second = two_bones(reach_m, pole, (0.4, 0.35), opens=1.0)
    middle_m = 0.4 * first[..., 0]
    np.testing.assert_allclose(middle_m + 0.35 * second[..., 0], reach_m, atol=1e-9)
    aside = pole - reach_m * (pole * reach_m).sum(-1, keepdims=True) / (reach_m**2).sum(-1, keepdims=True)
    assert ((middle_m * aside).sum(-1) > 0).all()


def test_a_target_out_of_reach_is_approached():
    first, second = two_bones(np.array([0.0, -2.0, 0.0]), np.array([0.0, 0.0, 1.0]), (0.4, 0.4), opens=1.0)
    end_m = 0.4 * first[:, 0] + 0.4 * second[:, 0]
    np.testing.assert_allclose(end_m, [0.0, -0.8, 0.0], atol=0.01)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_hand_comes_to_the_given_point_of_the_chest(side):
    sign = 1.0 if side == "left" else -1.0
    wrist_m = np.array([sign * 0.25, 1.25, 0.35])
    rotations = np.tile(np.eye(3), (24, 1, 1))
    arm = arm_to(wrist_m, np.array([sign, -1.0, 0.0]), side, REST_JOINTS_M)
    for name, matrix in zip(("collar", "shoulder", "elbow", "wrist"), arm, strict=True):
        rotations[joint(f"{side}_{name}")] = matrix
    joints_m, _ = place_joints(rotations, REST_JOINTS_M[0], REST_JOINTS_M)
    np.testing.assert_allclose(joints_m[joint(f"{side}_wrist")], wrist_m, atol=1e-6)


def test_theta_zero_is_the_rest_pose():
    joints_m, _ = place_joints(np.tile(np.eye(3), (24, 1, 1)), REST_JOINTS_M[0], REST_JOINTS_M)
    np.testing.assert_allclose(joints_m, REST_JOINTS_M, atol=1e-12)


@pytest.mark.parametrize("stance", [stances.stand, stances.squat, stances.sit_chair])
def test_ankles_are_where_the_stance_puts_them(stance):
    style = subject_style(1, 0)
    for seed in range(20):
        pose = stance(np.random.default_rng(seed), style)
        joints_m, _ = place_joints(solve_pose(pose, REST_JOINTS_M), pose.pelvis_floor_m, REST_JOINTS_M)
        ankles_m = joints_m[[joint("left_ankle"), joint("right_ankle")]]
        assert np.abs(ankles_m - pose.ankles_floor_m).max() < 0.01


def knee_and_elbow_bends(rotations):
    """Angles about the hinges, positive when they close as anatomy allows."""
    bends = []
    for side, sign in (("left", -1.0), ("right", 1.0)):
        knee = Rotation.from_matrix(rotations[..., joint(f"{side}_knee"), :, :].reshape(-1, 3, 3)).as_rotvec()
        elbow = rotations[..., joint(f"{side}_elbow"), :, :].reshape(-1, 3, 3)
        forearm = elbow @ np.array([-sign, 0.0, 0.0])
        bends += [knee[:, 0], np.arctan2(forearm[:, 2], -sign * forearm[:, 0])]
    return np.stack(bends)


@pytest.mark.parametrize("action", sorted(PLANS))
def test_knees_and_elbows_stay_within_their_limits(action):
    for seed in range(3):
        motion = generate_motion(action, np.random.default_rng(seed), 30, 5.0, subject_style(5, 0))
        bends = knee_and_elbow_bends(motion.rotations)
        assert bends.min() > np.radians(-12), f"bent {np.degrees(bends.min()):.0f} degrees the wrong way"
        assert bends.max() < np.radians(165), f"bent {np.degrees(bends.max()):.0f} degrees"


@pytest.mark.parametrize("action", sorted(PLANS))
def test_motions_are_rotations_deterministic_and_smooth(action):
    style = subject_style(6, 0)
    first, again = (generate_motion(action, np.random.default_rng(7), 100, 50.0, style) for _ in range(2))
    np.testing.assert_array_equal(first.rotations, again.rotations)
    np.testing.assert_array_equal(first.pelvis_world_m, again.pelvis_world_m)
    R = first.rotations
    assert R.shape == (100, 24, 3, 3) and R.dtype == np.float32
    assert np.abs(R @ R.swapaxes(-1, -2) - np.eye(3)).max() < 1e-5 and (np.linalg.det(R) > 0).all()
    joints_m, _ = placed(first)
    speed_m_per_s = np.linalg.norm(np.diff(joints_m, axis=0), axis=-1) * 50
    assert speed_m_per_s.max() < 9, f"a joint jumps at {speed_m_per_s.max():.1f} m/s"


def test_limbs_hardly_pass_through_the_body():
    style, overlaps_m = subject_style(7, 0), []
    for action in PLANS:
        for seed in range(4):
            motion = generate_motion(action, np.random.default_rng([action, seed]), 20, 2.5, style)
            overlaps_m.append(overlap_m(*placed(motion)))
    share = float((np.concatenate(overlaps_m) > 0.03).mean())
    assert share < 0.04, f"{100 * share:.1f} % of the frames overlap by more than 30 mm"


def test_an_arm_in_the_belly_is_noticed():
    style = subject_style(1, 0)
    inside = hands.HandGoal(np.array([0.0, 1.15, 0.0]), np.array([1.0, 0.0, 0.0]))
    standing = stances.stand(np.random.default_rng(0), style)
    pose = hands.place_arm(np.random.default_rng(0), style, standing, "left", lambda *_: inside)
    rotations = solve_pose(pose, style.rest_joints_m)
    assert overlap_m(*place_joints(rotations, pose.pelvis_floor_m, style.rest_joints_m)) > 0.05


def test_segment_distance_is_the_smallest_of_sampled_distances():
    rng = np.random.default_rng(1)
    a0, a1, b0, b1 = rng.normal(size=(4, 40, 3))
    shares = np.linspace(0, 1, 200)[:, None, None]
    on_a, on_b = a0 + shares * (a1 - a0), b0 + shares * (b1 - b0)
    sampled_m = np.linalg.norm(on_a[:, None] - on_b[None], axis=-1).min((0, 1))
    found_m = segment_distance_m(a0, a1, b0, b1)
    assert (found_m <= sampled_m + 1e-9).all() and (sampled_m - found_m).max() < 0.02


@pytest.mark.parametrize("action", [3, 9, 14])
def test_all_headings_occur(action):
    style = subject_style(8, 0)
    roots = [generate_motion(action, np.random.default_rng(seed), 1, 1.0, style).rotations[0, 0] for seed in range(40)]
    forward = np.stack(roots) @ [0.0, 0.0, 1.0]
    sectors = np.histogram(np.arctan2(forward[:, 1], forward[:, 0]), bins=8, range=(-np.pi, np.pi))[0]
    assert sectors.min() > 0, f"headings by sector: {sectors}"


def test_stances_differ_in_height_as_they_should():
    style = subject_style(1, 0)
    heights_m = {
        stance.__name__: np.median([stance(np.random.default_rng(s), style).pelvis_floor_m[1] for s in range(30)])
        for stance in STANCES
    }
    assert heights_m["stand"] > 0.85 and 0.4 < heights_m["sit_chair"] < 0.6 and heights_m["sit_floor"] < 0.2


def test_a_walking_foot_stays_where_it_is_set_down():
    rng, style = np.random.default_rng(3), subject_style(1, 0)
    gait = sample_gait(rng, style, on_the_spot=False)
    cycles = np.linspace(1.0, 1.0 + STANCE - 1e-6, 30)
    ankles_m, _ = foot(gait, style, cycles, sign=1.0)
    assert np.ptp(ankles_m[:, [0, 2]], axis=0).max() < 1e-9
    later_m, _ = foot(gait, style, cycles + 1.0, sign=1.0)
    assert np.linalg.norm(later_m[0] - ankles_m[0]) > gait.stride_m


def test_the_path_goes_as_far_as_it_says_and_looks_ahead():
    gait = sample_gait(np.random.default_rng(4), subject_style(1, 0), on_the_spot=False)
    place_m, heading = path(gait, np.linspace(0, 2, 400))
    steps_m = np.diff(place_m, axis=0)
    assert abs(np.linalg.norm(steps_m, axis=-1).sum() - 2) < 0.01
    turned = np.angle(np.exp(1j * (np.arctan2(steps_m[:, 0], steps_m[:, 1]) - heading[:-1])))
    assert np.abs(turned).max() < 0.05


def test_subjects_move_differently_and_always_the_same():
    assert subject_style(1, 0)[:8] == subject_style(1, 0)[:8] != subject_style(5, 0)[:8]


def test_an_unknown_action_is_refused():
    with pytest.raises(ValueError, match="2 to 16"):
        generate_motion(17, np.random.default_rng(0), 5, 2.5, subject_style(1, 0))


def test_jumps_are_told_from_standing_on_something():
    time_s = np.arange(0, 4, 1 / 30)
    jump_m = np.where(abs(time_s - 1) < 0.25, 0.4, 0.0)
    climb_m = np.where(time_s > 2, 0.5, 0.0)
    lift_m = lift_over_floor_m(jump_m + climb_m, 30.0)
    assert abs(lift_m[30] - 0.34) < 1e-9
    assert lift_m[time_s > 2.7].max() == 0


def test_a_short_clip_is_played_to_and_fro():
    rows = chosen_rows(np.random.default_rng(0), 4, 9, 1.0)
    np.testing.assert_array_equal(rows, [0, 1, 2, 3, 2, 1, 0, 1, 2])


def test_long_ways_are_drawn_in():
    way_m = np.stack([np.linspace(3, 9, 20), np.zeros(20), np.ones(20)], -1)
    near_m = kept_near(way_m)
    assert np.abs(near_m[:, :2]).max() <= 0.9 + 1e-9
