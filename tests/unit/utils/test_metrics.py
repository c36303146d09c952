import math

import pytest
import roma
import torch

from utils.metrics import (
    auc_percent,
    heading_rad,
    mpjpe_mm,
    n_mpjpe_mm,
    pa_mpjpe_mm,
    pa_vertex_error_mm,
    pck_percent,
    pose_errors,
    yaw_error_degrees,
)
from utils.skeleton import H36M_17


def random_poses(count: int = 4, seed: int = 0) -> torch.Tensor:
    pose = 0.4 * torch.randn(count, 17, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return pose - pose[:, :1]


def about_z(degrees: float) -> torch.Tensor:
    return roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, math.radians(degrees)], dtype=torch.float64))


def standing_facing_minus_y() -> torch.Tensor:
    """Hips and shoulders of a person whose left is towards +x: with z up it faces -y."""
    pose = torch.zeros(1, 17, 3, dtype=torch.float64)
    for name, x, z in (("left_hip", 0.13, 0.0), ("right_hip", -0.13, 0.0), ("left_shoulder", 0.15, 0.5),
                       ("right_shoulder", -0.15, 0.5), ("head_top", 0.0, 0.75)):  # fmt: skip
        pose[0, H36M_17.index(name)] = torch.tensor([x, 0.0, z])
    return pose


def test_one_joint_30_mm_away_costs_30_over_17():
    true = random_poses(1)
    predicted = true.clone()
    predicted[0, 5, 1] += 0.030
    assert mpjpe_mm(predicted, true).item() == pytest.approx(30 / 17)
    errors = pose_errors(predicted, true, torch.eye(3, dtype=torch.float64)[None])
    assert errors["mpjpe_16_mm"].item() == pytest.approx(30 / 16)
    assert errors["mpjpe_14_mm"].item() == pytest.approx(30 / 14)


def test_wrists_are_measured_apart():
    true = random_poses()
    predicted = true.clone()
    predicted[:, H36M_17.index("left_wrist"), 2] += 0.2
    errors = pose_errors(predicted, true, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    assert errors["wrist_mm"].tolist() == pytest.approx([100.0] * 4)
    assert errors["mpjpe_17_mm"].tolist() == pytest.approx([200 / 17] * 4)


def test_a_shift_of_the_whole_pose_costs_nothing():
    true = random_poses()
    moved = true + torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64)
    for measure in (mpjpe_mm, n_mpjpe_mm, pa_mpjpe_mm):
        assert measure(moved, true).max() < 1e-9


def test_poses_of_14_joints_are_taken_as_they_come():
    true = random_poses()[:, :14]
    assert torch.allclose(mpjpe_mm(true + 0.010, true), torch.tensor(10 * math.sqrt(3), dtype=torch.float64))


def test_n_mpjpe_removes_a_known_scale_and_mpjpe_does_not():
    true = random_poses()
    assert n_mpjpe_mm(0.8 * true, true).max() < 1e-9
    expected_mm = 1000 * (0.2 * true).norm(dim=-1).mean(dim=-1)
    assert torch.allclose(mpjpe_mm(0.8 * true, true), expected_mm)


def test_n_mpjpe_scale_is_the_least_squares_one():
    predicted, true = random_poses(1, seed=1), random_poses(1, seed=2) + random_poses(1, seed=1)
    scales = torch.linspace(0.2, 2.5, 4001, dtype=torch.float64)
    squared = ((scales[:, None, None] * predicted - true) ** 2).sum(dim=(1, 2))
    best = scales[squared.argmin()]
    assert n_mpjpe_mm(predicted, true).item() == pytest.approx(mpjpe_mm(best * predicted, true).item(), abs=0.5)


def test_p_mpjpe_removes_a_known_rotation_scale_and_shift_and_n_mpjpe_does_not():
    true = random_poses()
    R = roma.random_rotmat(4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    predicted = 1.7 * true @ R.mT + 0.2
    assert pa_mpjpe_mm(predicted, true).max() < 1e-6
    assert n_mpjpe_mm(predicted, true).min() > 20


def test_alignment_does_not_remove_a_mirror():
    true = random_poses()
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert pa_mpjpe_mm(true * mirror, true).min() > 50


def test_alignment_agrees_with_roma_also_on_mirrored_poses():
    predicted, true = random_poses(seed=1), random_poses(seed=2)
    predicted[2:] = true[2:] * torch.tensor([1.0, -1.0, 1.0]) + 0.1 * predicted[2:]
    R, t, s = roma.rigid_points_registration(predicted, true, compute_scaling=True)
    aligned = s[:, None, None] * predicted @ R.mT + t[:, None]
    expected_mm = 1000 * (aligned - true).norm(dim=-1).mean(dim=-1)
    assert torch.allclose(pa_mpjpe_mm(predicted, true), expected_mm)


def test_no_other_alignment_has_a_smaller_squared_error():
    from utils.metrics import aligned_m

    predicted, true = random_poses(1, seed=5), random_poses(1, seed=6)
    best = (aligned_m(predicted, true) - true).square().sum()
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        R = roma.rotvec_to_rotmat(0.05 * torch.randn(3, generator=generator, dtype=torch.float64))
        s = 1 + 0.05 * torch.randn(1, generator=generator, dtype=torch.float64)
        t = 0.02 * torch.randn(3, generator=generator, dtype=torch.float64)
        assert (s * aligned_m(predicted, true) @ R.mT + t - true).square().sum() >= best


def test_a_collapsed_prediction_is_as_wrong_as_the_pose_is_large():
    true = random_poses()
    nothing = torch.zeros_like(true)
    size_mm = 1000 * true.norm(dim=-1).mean(dim=-1)
    assert torch.allclose(n_mpjpe_mm(nothing, true), size_mm)
    about_centroid_mm = 1000 * (true - true.mean(dim=1, keepdim=True)).norm(dim=-1).mean(dim=-1)
    assert torch.allclose(pa_mpjpe_mm(nothing, true), about_centroid_mm)


def test_pck_and_auc_of_known_distances():
    true = random_poses(1)
    predicted = true.clone()
    predicted[0, 1:9, 0] += 0.0975
    predicted[0, 9:, 0] += 0.200
    assert pck_percent(predicted, true).item() == pytest.approx(100 * 9 / 17)
    # 97.5 mm is within the thresholds 100, 105, ..., 150: 11 of 30.
    assert auc_percent(predicted, true).item() == pytest.approx(100 * (1 + 8 * 11 / 30) / 17)


@pytest.mark.parametrize("degrees", [-170.0, -15.0, 0.0, 15.0, 90.0, 179.0])
def test_yaw_error_of_a_pose_turned_about_the_vertical_is_the_turn(degrees):
    R_crop_from_world = roma.random_rotmat(1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    true = standing_facing_minus_y() @ R_crop_from_world.mT
    predicted = standing_facing_minus_y() @ about_z(degrees).T @ R_crop_from_world.mT
    assert yaw_error_degrees(predicted, true, R_crop_from_world).item() == pytest.approx(abs(degrees), abs=1e-6)
    errors = pose_errors(predicted, true, R_crop_from_world)
    assert errors["p_mpjpe_17_mm"].item() == pytest.approx(0, abs=1e-6)


def test_heading_of_a_person_whose_left_is_towards_x_is_minus_y():
    heading = heading_rad(standing_facing_minus_y(), torch.eye(3, dtype=torch.float64)[None]).item()
    assert (math.cos(heading), math.sin(heading)) == pytest.approx((0, -1), abs=1e-9)


def test_leaning_forwards_is_no_yaw_error():
    true = standing_facing_minus_y()
    lean = roma.rotvec_to_rotmat(torch.tensor([0.7, 0.0, 0.0], dtype=torch.float64))
    assert yaw_error_degrees(true @ lean.T, true, torch.eye(3, dtype=torch.float64)[None]).item() < 1e-6


def test_fifteen_degrees_of_yaw_alone_cost_tens_of_millimetres():
    true = random_poses(1) * torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64)
    predicted = true @ about_z(15).T
    away_m = true[..., :2].norm(dim=-1)
    assert mpjpe_mm(predicted, true).item() == pytest.approx(
        (1000 * 2 * math.sin(math.radians(7.5)) * away_m).mean().item()
    )


def test_empty_batches_give_empty_errors():
    nothing = torch.zeros(0, 17, 3)
    errors = pose_errors(nothing, nothing, torch.zeros(0, 3, 3))
    assert {value.shape for value in errors.values()} == {(0,)}


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_poses_that_are_no_places_are_refused_in_one_sentence(value):
    true, eye = random_poses(3), torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    predicted = true.clone()
    predicted[1, 4, 2] = value
    for measure in (pa_mpjpe_mm, pa_vertex_error_mm, lambda *poses: pose_errors(*poses, eye)):
        with pytest.raises(ValueError, match=r"1 of 3 predicted poses .* \(first: row 1\); give other weights"):
            measure(predicted, true)
        with pytest.raises(ValueError, match=r"true poses are NaN, infinite .* make the labels again"):
            measure(true, predicted)


@pytest.mark.parametrize("pose", ["a point", "a line", "a plane", "the true one", "its mirror image"])
def test_degenerate_poses_have_errors_and_gradients_that_are_numbers(pose):
    true, eye = random_poses(3), torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    flat = {"a point": [0, 0, 0], "a line": [0, 1, 0], "a plane": [1, 0, 1], "the true one": [1, 1, 1],
            "its mirror image": [-1, 1, 1]}  # fmt: skip
    degenerate = true * torch.tensor(flat[pose], dtype=torch.float64)
    for predicted, against in ((degenerate, true), (true, degenerate), (degenerate, degenerate)):
        for dtype in (torch.float32, torch.float64):
            moved, still = predicted.to(dtype).detach().clone().requires_grad_(), against.to(dtype)
            errors = pose_errors(moved.detach(), still, eye.to(dtype))
            assert all(values.isfinite().all() for values in errors.values()), errors
            assert pa_vertex_error_mm(moved.detach(), still).isfinite().all()
            (mpjpe_mm(moved, still) + n_mpjpe_mm(moved, still)).sum().backward()
            assert moved.grad is not None and moved.grad.isfinite().all()
