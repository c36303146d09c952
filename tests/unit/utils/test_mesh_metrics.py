import math

import pytest
import roma
import torch

from utils.metrics import (
    facing_bin,
    facing_rad,
    iou_percent,
    is_away,
    is_front,
    is_sitting,
    mean_rotations,
    pa_vertex_error_mm,
    surface_error_mm,
    twist_error_degrees,
    vertex_error_mm,
)
from utils.skeleton import H36M_17

TOWARDS_MINUS_X = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""R_crop_from_world of a level camera on the x axis that looks back along it."""


def about_vertical(degrees: float) -> torch.Tensor:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def person_world(degrees: float, knee: tuple[float, float, float] = (0.0, 0.0, 0.5)) -> torch.Tensor:
    """Hips, shoulders and legs of somebody who faces the camera on the x axis, then turned to his left."""
    pose = torch.zeros(17, 3)
    for side, y in (("left", 0.15), ("right", -0.15)):
        pose[H36M_17.index(f"{side}_hip")] = torch.tensor([0.0, y, 1.0])
        pose[H36M_17.index(f"{side}_shoulder")] = torch.tensor([0.1, y, 1.5])
        pose[H36M_17.index(f"{side}_knee")] = torch.tensor(knee) + torch.tensor([0.0, y, 0.0])
        pose[H36M_17.index(f"{side}_ankle")] = torch.tensor([knee[0], y, knee[2] - 0.5])
    pose[H36M_17.index("pelvis")] = torch.tensor([0.0, 0.0, 1.0])
    return pose @ about_vertical(degrees).T


def seen(pose_world: torch.Tensor, R: torch.Tensor = TOWARDS_MINUS_X) -> tuple[torch.Tensor, torch.Tensor]:
    return (pose_world @ R.T)[None], R[None]


@pytest.mark.parametrize(
    ("degrees", "number"),
    [(0, 0), (22, 0), (23, 1), (30, 1), (90, 2), (150, 3), (180, 4), (-30, 7), (-90, 6), (-157, 5), (-158, 4)],
)
def test_a_body_turned_by_so_many_degrees_lands_in_its_bin(degrees, number):
    facing = facing_rad(*seen(person_world(degrees)))
    assert math.cos(facing.item() - math.radians(degrees)) == pytest.approx(1, abs=1e-6)
    assert facing_bin(facing).item() == number


@pytest.mark.parametrize("camera_degrees", [0, 40, 170])
def test_facing_is_relative_to_the_camera_and_ignores_its_tilt(camera_degrees):
    tilt = torch.tensor([[1, 0, 0], [0, math.cos(0.4), -math.sin(0.4)], [0, math.sin(0.4), math.cos(0.4)]])
    R = tilt @ TOWARDS_MINUS_X @ about_vertical(-camera_degrees)
    assert facing_rad(*seen(person_world(camera_degrees + 30), R)).rad2deg().item() == pytest.approx(30, abs=1e-3)


def test_front_and_away_are_mirror_images_and_leave_the_sides_out():
    facing = torch.deg2rad(torch.tensor([0.0, 67.0, 68.0, 112.0, 113.0, 180.0, -67.0, -90.0, -113.0]))
    assert is_front(facing).tolist() == [True, True, False, False, False, False, True, False, False]
    assert is_away(facing).tolist() == [False, False, False, False, True, True, False, False, True]


def test_who_stands_sits_squats_or_lies_is_told_by_the_height_of_the_pelvis():
    stands = person_world(20)
    sits = person_world(20, knee=(0.5, 0.0, 1.0))
    bends_a_knee = person_world(20, knee=(0.25, 0.0, 0.57))
    lies = person_world(20) @ torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]).T
    found = [is_sitting(*seen(pose)).item() for pose in (stands, sits, bends_a_knee, lies)]
    assert found == [False, True, False, True]


def test_a_body_moved_by_10_mm_has_a_vertex_error_of_10_mm_and_none_when_aligned():
    body = torch.randn(2, 500, 3)
    moved = body + torch.tensor([0.006, 0.0, 0.008])
    assert vertex_error_mm(moved, body).tolist() == pytest.approx([10, 10], abs=1e-3)
    assert pa_vertex_error_mm(moved, body).max() < 0.01
    half = body.clone()
    half[:, :250] += torch.tensor([0.0, 0.01, 0.0])
    assert vertex_error_mm(half, body).tolist() == pytest.approx([5, 5], abs=1e-3)


def test_alignment_undoes_rotation_scale_and_translation_but_no_mirror():
    body = torch.randn(3, 200, 3)
    copy = 1.3 * body @ about_vertical(70).T + torch.tensor([1.0, 2, 3])
    assert vertex_error_mm(copy, body).min() > 500
    assert pa_vertex_error_mm(copy, body).max() < 0.01
    assert pa_vertex_error_mm(body * torch.tensor([-1.0, 1, 1]), body).min() > 100


def test_iou_by_hand():
    true = torch.zeros(3, 4, 4)
    true[0, :2] = 1
    true[1, :, :2] = 1
    drawn = torch.zeros(3, 4, 4)
    drawn[0, :2] = 1
    drawn[1, 0, :] = 1
    drawn[1, 1, 0] = 0.4
    assert iou_percent(drawn, true)[:2].tolist() == pytest.approx([100, 100 * 2 / 10])
    assert iou_percent(drawn, true)[2].isnan()
    assert iou_percent(1 - true[:2], true[:2]).tolist() == [0, 0]
    assert iou_percent(torch.zeros(2, 4, 4), true[:2]).tolist() == [0, 0]


def test_the_mean_of_two_rotations_about_one_axis_is_half_way():
    mean = mean_rotations(torch.stack([about_vertical(20), about_vertical(80)])[:, None])
    assert torch.allclose(mean[0], about_vertical(50), atol=1e-6)


def test_a_surface_counts_by_its_area_and_not_by_its_vertices():
    true = torch.zeros(1, 4, 3)
    predicted = true.clone()
    predicted[:, :3, 0] = 0.2  # three vertices of a hand, which have little of the surface
    share = torch.tensor([0.01, 0.01, 0.01, 0.97])
    assert surface_error_mm(predicted, true, share).item() == pytest.approx(6)
    assert vertex_error_mm(predicted, true).item() == pytest.approx(150)


@pytest.mark.parametrize("bone", [(1.0, 0.0, 0.0), (0.0, -3.0, 4.0)])
def test_twist_is_the_turn_about_the_bone_and_a_swing_is_none(bone):
    axis = torch.nn.functional.normalize(torch.tensor(bone), dim=0)
    across = torch.nn.functional.normalize(torch.linalg.cross(axis, torch.tensor([0.3, 0.5, 0.7])), dim=0)
    rest = roma.random_rotmat(1)
    turns = ((0.5, axis), (0.9, across), (6.0, axis))
    twisted, swung, turned_right_round = ((rest @ roma.rotvec_to_rotmat(angle * about))[None] for angle, about in turns)
    bones_m = torch.tensor([[0.0, 0, 0], list(bone)])

    def error(predicted):
        pair = torch.cat([torch.eye(3)[None, None], predicted], dim=1)
        return twist_error_degrees(pair, torch.cat([torch.eye(3)[None, None], rest[None]], dim=1), bones_m, [1]).item()

    assert error(rest[None]) == pytest.approx(0, abs=0.05)
    assert error(twisted) == pytest.approx(math.degrees(0.5), abs=0.05)
    assert error(swung) == pytest.approx(0, abs=0.05)
    assert error(turned_right_round) == pytest.approx(math.degrees(2 * math.pi - 6.0), abs=0.05)
