"""The fit to keypoints: it reaches what it is given, keeps what nothing tells, and is steady over time."""

import pytest
import torch

from config import KeypointNoise, KeypointViews, Paths, PoseVariation
from models.drawn_keypoints import KeypointDrawing, draw, quiet
from models.keypoints_fit import FoundKeypoints, KeypointsFit, KeypointsFitConfig, in_picture
from models.kinematics import upright_rotations
from models.smpl import load_body
from models.SMPL_from_keypoints import KeypointsOfBody, LiftedBodies, placed_by_keypoints, seen_at


@pytest.fixture(scope="module")
def points():
    return KeypointsOfBody(load_body(Paths().models_smpl_location))


@pytest.fixture(scope="module")
def drawn(points):
    upright = upright_rotations()[None].repeat(4, 1, 1, 1)
    upright[:, 0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    drawing = KeypointDrawing(
        points, upright, torch.zeros(4, 10), PoseVariation(), KeypointViews(), quiet(KeypointNoise())
    )
    return draw(drawing, 8, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def start(points, drawn):
    """The true bodies, with all joints turned a little."""
    import roma

    turn = roma.rotvec_to_rotmat(0.15 * torch.randn(8, 24, 3, generator=torch.Generator().manual_seed(1)))
    totals = drawn.true.totals @ turn
    root_m = placed_by_keypoints(points(totals, drawn.true.betas)[1], drawn.boxed)
    return LiftedBodies(totals, drawn.true.betas, root_m)


def found_of(drawn) -> FoundKeypoints:
    return FoundKeypoints(drawn.boxed.seen, drawn.boxed.confidence, drawn.boxed.half)


def off(points, bodies, found) -> torch.Tensor:
    seen = seen_at(points(bodies.totals, bodies.betas)[1], bodies.root_m)
    return (seen - found.rays).norm(dim=-1) / found.half[:, None]


def test_the_body_comes_to_its_keypoints(points, drawn, start):
    found = found_of(drawn)
    fitted = KeypointsFit(points, KeypointsFitConfig()).fit(start, found)
    before, after = (off(points, bodies, found).mean() for bodies in (start, fitted))
    assert after < 0.45 * before, (before, after)
    joints = [points(bodies.totals, bodies.betas)[0] for bodies in (start, fitted, drawn.true)]
    assert (joints[1] - joints[2]).norm(dim=-1).mean() < (joints[0] - joints[2]).norm(dim=-1).mean()


def test_a_frame_without_keypoints_stays_as_it_was_read(points, drawn, start):
    found = found_of(drawn)
    found.confidence[3:] = 0
    fitted = KeypointsFit(points, KeypointsFitConfig()).fit(start, found)
    assert (fitted.totals[3:] - start.totals[3:]).abs().max() < 0.1
    assert (fitted.root_m[3:] - start.root_m[3:]).abs().max() < 1e-4


def test_frames_of_a_video_have_one_shape_and_fixed_ones_stay(points, drawn, start):
    start = start._replace(betas=torch.randn(8, 10, generator=torch.Generator().manual_seed(2)))
    fixed = torch.arange(8) < 3
    fitted = KeypointsFit(points, KeypointsFitConfig(steps=10)).fit(start, found_of(drawn), 30.0, fixed)
    assert (fitted.betas - fitted.betas[:1]).abs().max() < 1e-6
    assert torch.allclose(fitted.totals[:3], start.totals[:3], atol=1e-5)
    assert torch.equal(fitted.root_m[:3], start.root_m[:3])
    assert (fitted.totals[3:] - start.totals[3:]).abs().max() > 1e-3


def test_motion_becomes_steady(points, drawn):
    first = LiftedBodies(*(value[:1].repeat(12, *[1] * (value.ndim - 1)) for value in drawn.true))
    rays = seen_at(points(first.totals, first.betas)[1], first.root_m)
    noise = 0.03 * drawn.boxed.half[0] * torch.randn(rays.shape, generator=torch.Generator().manual_seed(3))
    found = FoundKeypoints(rays + noise, torch.ones(12, 25), drawn.boxed.half[:1].repeat(12))
    jerk = []
    for rate in (None, 30.0):
        fitted = KeypointsFit(points, KeypointsFitConfig(turned=0, joints=0)).fit(first, found, rate)
        joints_m = points(fitted.totals, fitted.betas)[0]
        jerk.append((joints_m[2:] - 2 * joints_m[1:-1] + joints_m[:-2]).norm(dim=-1).mean())
    assert jerk[1] < 0.4 * jerk[0], jerk


def test_bodies_turn_from_the_box_to_the_picture(points, drawn):
    inside = in_picture(drawn.true, drawn.boxed.R_box_from_cam)
    R = drawn.boxed.R_box_from_cam
    assert torch.allclose(R @ inside.root_m[..., None], drawn.true.root_m[..., None], atol=1e-5)
    assert torch.allclose(R[:, None] @ inside.totals, drawn.true.totals, atol=1e-5)
