"""The lifter's geometry and network: what follows from keypoints without learning, and what it refuses."""

import numpy as np
import pytest
import torch

from config import KeypointNoise, KeypointsNetwork, KeypointViews, Paths, PoseVariation
from dataset_def.crop import look_rotation
from models.drawn_keypoints import (
    DrawnKeypointBatches,
    KeypointDrawing,
    cut_points,
    draw,
    found_by_detector,
    quiet,
    rows_of,
    swapped_sides,
)
from models.kinematics import along_the_tree, mirrored_pose, upright_rotations
from models.smpl import load_body
from models.SMPL_from_keypoints import (
    BodyFromKeypoints,
    KeypointsOfBody,
    boxed,
    keypoints_terms,
    load_lifter,
    look_rotations,
    placed_by_keypoints,
    seen_at,
)
from utils.artifacts import file_hash, save_checkpoint
from utils.skeleton import KEYPOINTS_25, SMPL_24, mirrored

LOCATION = Paths().models_smpl_location


@pytest.fixture(scope="module")
def body():
    return load_body(LOCATION)


@pytest.fixture(scope="module")
def drawing(body):
    upright = upright_rotations()[None].repeat(6, 1, 1, 1)
    upright[:, 0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # z is up
    points = KeypointsOfBody(body)
    betas = torch.full((6, body.num_betas), torch.nan)
    return KeypointDrawing(points, upright, betas, PoseVariation(), KeypointViews(), KeypointNoise())


def some(drawing, count=32, seed=0):
    return draw(drawing, count, torch.Generator().manual_seed(seed))


def test_joints_are_where_the_whole_body_has_them(body, drawing):
    true = some(drawing).true
    whole = body(true.rotations, true.betas, torch.zeros(32, 3)).joints_m
    joints_m = KeypointsOfBody(body)(true.totals, true.betas)[0]
    assert (joints_m - (whole - whole[:, :1])).abs().max() < 1e-5


def test_keypoints_lie_on_the_surface_where_their_names_say(body):
    rotations = upright_rotations()[None]
    out = body(rotations, torch.zeros(1, 10), torch.zeros(1, 3))
    root = out.joints_m[:, :1]
    points_m = KeypointsOfBody(body)(along_the_tree(rotations), torch.zeros(1, 10))[1][0]
    place = dict(zip(KEYPOINTS_25, points_m, strict=True))
    surface = (out.vertices_m - root)[0]
    for name in ("nose", "left_ear", "right_heel", "left_toe", "right_index"):
        assert (surface - place[name]).norm(dim=1).min() < 0.035, name
    assert place["left_hip"][0] > 0.04 > -0.04 > place["right_hip"][0]  # the person's left is at the camera's right
    assert place["nose"][2] < place["left_ear"][2] - 0.02  # who faces the camera has the nose nearer to it
    assert place["left_toe"][2] < place["left_heel"][2] - 0.1


def test_keypoints_of_a_mirrored_body_are_mirrored(body, drawing):
    true = some(drawing).true
    points = KeypointsOfBody(body)
    opposite = torch.tensor(mirrored(SMPL_24))
    other = mirrored_pose(true.totals, opposite)
    zero = torch.zeros_like(true.betas)
    straight, turned = (points(totals, zero)[1] for totals in (true.totals, other))
    # the body itself is symmetric to a centimetre
    assert (turned[:, mirrored(KEYPOINTS_25)] * torch.tensor([-1.0, 1, 1]) - straight).norm(dim=-1).max() < 0.02


def test_cameras_turn_as_those_of_crops_do():
    directions = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    directions[:, 2] = directions[:, 2].abs() + 0.2
    found = look_rotations(directions)
    for one, R in zip(directions.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(R, look_rotation(one), atol=1e-12)


def test_a_box_is_looked_at_from_its_middle_whatever_lies_beside_it(drawing):
    seen = some(drawing).boxed
    there = (seen.confidence > 0)[..., None]
    low = torch.where(there, seen.points, torch.inf).amin(dim=1)
    high = torch.where(there, seen.points, -torch.inf).amax(dim=1)
    assert ((high - low).amax(dim=1) - 2).abs().max() < 1e-4
    assert (low + high).abs().median() < 0.03  # a turned box is nearly a box
    without = torch.rand(1, 25, 2)
    confidence = torch.ones(1, 25)
    confidence[:, 20:] = 0
    far = without.clone()
    far[:, 20:] = 99
    assert torch.equal(boxed(far, confidence).half, boxed(without, confidence).half)


def test_a_perfect_detector_places_bodies_where_they_are(drawing):
    drawn = some(drawing._replace(noise=quiet(KeypointNoise())))
    points_m = drawing.body(drawn.true.totals, drawn.true.betas)[1]
    off_m = (placed_by_keypoints(points_m, drawn.boxed) - drawn.true.root_m).norm(dim=1)
    assert (off_m / drawn.true.root_m[:, 2]).max() < 1e-2


def test_a_wild_keypoint_does_not_move_a_body(drawing):
    drawn = some(drawing._replace(noise=quiet(KeypointNoise())))
    points_m = drawing.body(drawn.true.totals, drawn.true.betas)[1]
    wild = drawn.boxed.points.clone()
    wild[:, rows_of(("wrist",), "left")] += 0.8
    off_m = (placed_by_keypoints(points_m, drawn.boxed._replace(points=wild)) - drawn.true.root_m).norm(dim=1)
    assert (off_m / drawn.true.root_m[:, 2]).median() < 0.02


def test_nobody_is_placed_behind_the_camera(drawing):
    drawn = some(drawing)
    points_m = drawing.body(drawn.true.totals, drawn.true.betas)[1]
    huge = drawn.boxed._replace(half=torch.full((32,), 20.0))
    assert ((points_m + placed_by_keypoints(points_m, huge)[:, None])[..., 2] > 0.29).all()


def test_batches_are_a_function_of_seed_and_place(drawing):
    batches = DrawnKeypointBatches(drawing, 4, seed=3)
    assert torch.equal(batches[0, 5].boxed.points, batches[0, 5].boxed.points)
    assert not torch.equal(batches[0, 5].boxed.points, batches[0, 6].boxed.points)
    assert not torch.equal(batches[0, 5].boxed.points, DrawnKeypointBatches(drawing, 4, seed=4)[0, 5].boxed.points)


def test_errors_have_the_sizes_that_were_measured(drawing):
    drawn = some(drawing._replace(noise=quiet(KeypointNoise())), count=2000)
    rays, noise = drawn.boxed.points, KeypointNoise(cut_off=0, missing=0, swapped_all=0, swapped_legs=0, swapped_arms=0)
    found = found_by_detector(rays, noise, torch.Generator().manual_seed(1))
    back = torch.cat([found.seen, torch.ones(2000, 25, 1)], dim=-1) @ found.R_box_from_cam
    off = (back[..., :2] / back[..., 2:] - rays).norm(dim=-1)
    shoulder, wrist = (off[:, rows_of((part,))].median() for part in ("shoulder", "wrist"))
    assert 0.8 * 0.028 < shoulder < 1.6 * 0.028
    is_hidden = found.confidence[:, rows_of(("wrist",))] < 0.5
    assert 0.27 < is_hidden.float().mean() < 0.35
    assert off[:, rows_of(("wrist",))][is_hidden].median() > 2 * wrist


def test_swapped_sides_are_swapped_and_nothing_else():
    points = torch.arange(50.0).reshape(1, 25, 2)
    everywhere = KeypointNoise(swapped_all=1, swapped_legs=0, swapped_arms=0)
    swapped = swapped_sides(points, everywhere, torch.Generator().manual_seed(0))
    assert torch.equal(swapped, points[:, mirrored(KEYPOINTS_25)])
    legs = KeypointNoise(swapped_all=0, swapped_legs=1, swapped_arms=0)
    swapped = swapped_sides(points, legs, torch.Generator().manual_seed(0))
    changed = {KEYPOINTS_25[row] for row in (swapped != points).any(dim=-1).nonzero()[:, 1].tolist()}
    assert changed == {
        f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "heel", "toe")
    }


def test_an_edge_leaves_enough_points_and_takes_whole_sides():
    points = torch.rand(500, 25, 2, generator=torch.Generator().manual_seed(0))
    noise = KeypointNoise(cut_off=1, invented=0)
    same, is_missing, is_invented = cut_points(points, torch.ones(500), noise, torch.Generator().manual_seed(1))
    assert torch.equal(same, points) and not is_invented.any()
    assert ((~is_missing).sum(dim=1) >= 6).all() and is_missing.any(dim=1).float().mean() > 0.9
    below = is_missing.any(dim=1)
    gone = torch.where(is_missing[..., None], points, torch.nan)
    kept = torch.where(is_missing[..., None], torch.nan, points)
    cut = [(gone[n, :, axis].nan_to_num(9).min() > kept[n, :, axis].nan_to_num(-9).max())
           or (gone[n, :, axis].nan_to_num(-9).max() < kept[n, :, axis].nan_to_num(9).min())
           for n in below.nonzero()[:, 0].tolist() for axis in (0, 1)]  # fmt: skip
    assert sum(cut) >= below.sum()


def test_what_is_not_seen_does_not_matter(body, drawing):
    network = BodyFromKeypoints(body, KeypointsNetwork(hidden=16, blocks=1, looks=1), {}).eval()
    seen = some(drawing).boxed
    other = torch.where((seen.confidence > 0)[..., None], seen.points, 7.0)
    with torch.no_grad():
        first, second = network(seen)[-1], network(seen._replace(points=other))[-1]
    assert torch.allclose(first.totals, second.totals, atol=1e-5)


def test_the_second_reading_passes_no_gradient_to_the_first(body, drawing):
    network = BodyFromKeypoints(body, KeypointsNetwork(hidden=16, blocks=1, looks=1), {})
    drawn = some(drawing)
    readings = network(drawn.boxed)
    keypoints_terms(readings[1], drawn.true, drawn.boxed, network.body)["points"].backward()
    assert all(p.grad is None for p in network.reader.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.again.parameters())


def test_the_true_body_costs_nothing(drawing):
    drawn = some(drawing)
    assert all(value < 1e-6 for value in keypoints_terms(drawn.true, drawn.true, drawn.boxed, drawing.body).values())


def test_stored_lifters_come_back_and_belong_to_their_body(body, tmp_path):
    settings = {"hidden": 16, "blocks": 0, "looks": 1}
    network = BodyFromKeypoints(
        body, KeypointsNetwork(**settings), {"body_hash": file_hash(LOCATION), "network": settings}
    )
    save_checkpoint(tmp_path / "lifter.pt", "lifter", 1, {"name": "a"}, {"model": network.state_dict()})
    lifter = load_lifter(tmp_path / "lifter.pt", LOCATION)
    assert lifter.reads.tier == "unpaired poses" and lifter.hash == file_hash(tmp_path / "lifter.pt")
    for one, other in zip(network.parameters(), lifter.network.parameters(), strict=True):
        assert torch.equal(one, other) and not other.requires_grad
    (tmp_path / "other.npz").write_bytes(LOCATION.read_bytes() + b" ")
    with pytest.raises(ValueError, match="trained on another body"):
        load_lifter(tmp_path / "lifter.pt", tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match=r"train_SMPL_from_keypoints\.py"):
        load_lifter(tmp_path / "none.pt", LOCATION)


def test_points_are_seen_where_they_project():
    points_m = torch.tensor([[[0.5, -0.5, 1.0]]])
    assert seen_at(points_m, torch.tensor([[0.0, 0.0, 1.0]]))[0, 0].tolist() == [0.25, -0.25]
