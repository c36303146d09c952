"""Chairs and held things: closed meshes where the body is, that hide it and are in no mask."""

import numpy as np
import pytest
import torch

from config import Paths
from dataset_def.synthetic.scene.appearance import make_outfit, make_person
from dataset_def.synthetic.scene.render import render_staged, stage_person
from dataset_def.synthetic.scene.room import furniture_box, make_room
from dataset_def.synthetic.scene.things import (
    Chair,
    Held,
    Mesh,
    Props,
    ball_mesh,
    box_mesh,
    chair_below,
    choose_props,
    is_seated,
    parts_of,
    thing_in_hand,
    things_at,
    turned_from,
)
from models.smpl import Body, load_body
from tests.unit.dataset_def.synthetic.scene.test_render import BACK, FRONT, UPRIGHT
from utils.draw_mesh import vertex_normals

CHAIR = Chair("legs", True, (0.1, 0.1, 0.9))
BALL = Held("ball", (0.08, 0.08, 0.08), 0.0, (0.9, 0.1, 0.1), True)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(Paths().models_smpl_location)


def posed(body: Body, hip_rad: float, knee_rad: float, lift_m: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Bend both hips and knees; the lowest point at `lift_m`, facing -y."""

    def about_x(angle: float) -> torch.Tensor:
        c, s = np.cos(angle), np.sin(angle)
        return torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float32)

    rotations = torch.eye(3).repeat(1, 24, 1, 1)
    rotations[0, 0] = UPRIGHT
    rotations[0, 1] = rotations[0, 2] = about_x(-hip_rad)
    rotations[0, 4] = rotations[0, 5] = about_x(knee_rad)
    out = body(rotations, torch.zeros(1, 10), torch.zeros(1, 3))
    vertices_m, joints_m = out.vertices_m[0].double().numpy(), out.joints_m[0].double().numpy()
    up = np.array([0, 0, lift_m - vertices_m[:, 2].min()])
    return vertices_m + up, joints_m + up


def volume_m3(mesh: Mesh) -> float:
    a, b, c = (mesh.points_m[mesh.faces[:, k]] for k in range(3))
    return float(np.einsum("fc,fc->", a, np.cross(b, c)) / 6)


def test_boxes_and_balls_are_closed_and_turn_outwards():
    box = box_mesh(furniture_box((1, 2, 3), (0.3, 0.4, 0.52), (0.5, 0.5, 0.5)))
    assert volume_m3(box) == pytest.approx(0.3 * 0.4 * 0.52)
    ball = ball_mesh(np.array([1.0, 2, 3]), 0.2, (0.5, 0.5, 0.5))
    assert volume_m3(ball) == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.06)
    for mesh in (box, ball):
        of_faces = vertex_normals(mesh.points_m, mesh.faces)
        assert np.einsum("qc,qc->q", of_faces, mesh.normals).min() > 0.9


def test_who_sits_is_told_from_who_stands_or_balances(body):
    for hip, knee, lift, seated in (
        (0.0, 0.0, 0.0, False),
        (1.5, 1.5, 0.0, True),
        (1.45, 0.9, 0.0, True),
        (1.5, 0.0, 0.0, False),  # on the floor, legs stretched
        (0.6, 1.2, 0.0, False),  # knees bent, thighs upright
    ):
        vertices_m, joints_m = posed(body, hip, knee, lift)
        assert is_seated(joints_m, vertices_m) == seated, f"hips {hip}, knees {knee}"
    vertices_m, joints_m = posed(body, 1.5, 1.5)
    ankles = joints_m[[7, 8], :2].mean(axis=0) - vertices_m[:, :2].mean(axis=0)
    joints_m[[7, 8], :2] -= ankles
    assert not is_seated(joints_m, vertices_m), "the weight is over the feet"


def test_a_chair_carries_the_body_and_stands_on_the_floor(body):
    parts = parts_of(body.weights.numpy())
    vertices_m, joints_m = posed(body, 1.5, 1.5)
    mesh = chair_below(CHAIR, parts, vertices_m, joints_m)
    lowest_m = vertices_m[parts.seat, 2].min()
    middle = np.abs(mesh.points_m[:, :2] - joints_m[[1, 2], :2].mean(axis=0)).max(axis=1) < 0.12
    assert mesh.points_m[middle, 2].max() == pytest.approx(lowest_m, abs=0.06)
    assert mesh.points_m[:, 2].min() == pytest.approx(0, abs=0.01)
    back_y = mesh.points_m[mesh.points_m[:, 2] > lowest_m + 0.2, 1]
    assert back_y.min() > vertices_m[parts.trunk, 1].mean(), "the body faces -y, its back is behind"


def test_a_thing_moves_with_the_hand(body):
    rest_m = body.template_m.double().numpy()[parts_of(body.weights.numpy()).hands[0]]
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(turned_from(rest_m, rest_m @ turn.T + 3), turn, atol=1e-9)
    stick = Held("stick", (0.01, 0.01, 0.4), 0.1, (0.5, 0.5, 0.5), True)
    up = np.array([0.0, 0, 5])  # far off the floor, which nothing goes through
    for held in (BALL, stick, stick._replace(kind="box")):
        here, there = (thing_in_hand(held, rest_m, points + up) for points in (rest_m, rest_m @ turn.T))
        expected = (here.points_m - up) @ turn.T + up
        if held.kind == "ball":  # round, and not turned
            np.testing.assert_allclose(there.points_m.mean(axis=0), expected.mean(axis=0), atol=1e-6)
        else:
            np.testing.assert_allclose(there.points_m, expected, atol=1e-6)
        palm = here.points_m.mean(axis=0) - up - rest_m.mean(axis=0)
        assert palm[1] < 0 and np.linalg.norm(palm) < 0.3, "below the palm, which looks down in the T-pose"
    bag = Held("bag", (0.05, 0.15, 0.12), 0.0, (0.5, 0.5, 0.5), True)
    for points in (rest_m + up, rest_m @ turn.T + up):
        hanging_m = thing_in_hand(bag, rest_m, points).points_m
        assert np.ptp(hanging_m[:, 2]) == pytest.approx(0.3), "upright, however the hand is turned"
        np.testing.assert_allclose(hanging_m.mean(axis=0), points.mean(axis=0) - (0, 0, 0.2), atol=1e-6)


def test_things_hide_the_person_and_are_in_no_mask(body):
    room, background = make_room(1, 0), np.full((128, 128, 3), 120, np.uint8)
    outfit = make_outfit(make_person(1, 0, body), 0, 0, body)
    vertices_m, joints_m = posed(body, 1.5, 1.5)
    things = things_at(Props(CHAIR, BALL), parts_of(body.weights.numpy()), body.template_m.double().numpy(),
                       vertices_m, joints_m)  # fmt: skip
    assert things is not None
    hidden = []
    for camera in (FRONT, BACK):
        drawn = [
            render_staged(background, room, camera, stage_person(room, vertices_m, body.faces.numpy(), outfit,
                          things=one), outfit, np.random.default_rng(0))
            for one in (None, things)
        ]  # fmt: skip
        (_, alone), (image, mask) = drawn
        assert (mask <= alone).all()
        hidden.append(int((alone > 128).sum() - (mask > 128).sum()))
        blue = (image[..., 2].astype(int) - image[..., 0] > 40) & (mask == 0)
        assert blue.sum() > 20, "the chair is seen, outside the mask"
    assert hidden[1] > 3 * hidden[0], "the chair's back hides the person from behind"


def test_props_follow_their_shares_and_repeat():
    def props(number: int, chairs: float, held: float) -> Props:
        return choose_props(np.random.default_rng(number), chairs, held)

    assert props(1, 0, 0) == Props(None, None)
    assert props(5, 1, 1) == props(5, 1, 1) != props(6, 1, 1)
    many = [props(number, 0.5, 1.0) for number in range(200)]
    assert 70 < sum(one.chair is not None for one in many) < 130
    assert {one.held.kind for one in many if one.held} == {"box", "ball", "stick", "bag"}
