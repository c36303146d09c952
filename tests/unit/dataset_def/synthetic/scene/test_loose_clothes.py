"""Cloth that stands off the body: outlines, falling, and that it hides what it covers in every pose."""

import numpy as np
import pytest
import torch

from config import Paths
from dataset_def.synthetic.scene import clothes
from dataset_def.synthetic.scene.appearance import Outfit, Wardrobe, make_outfit, make_person
from dataset_def.synthetic.scene.loose_clothes import (
    Tube,
    crossed_edges,
    hanging_m,
    posed_cloth,
    ring_around,
    tube_faces,
)
from dataset_def.synthetic.scene.render import render_staged, stage_person
from dataset_def.synthetic.scene.room import make_room
from models.smpl import Body, load_body
from tests.unit.dataset_def.synthetic.scene.test_render import FRONT, standing_m
from utils.draw_mesh import vertex_normals


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(Paths().models_smpl_location)


def pipe(centre_x_m: float, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
    """An upright pipe along y, 0 to 1 m, of 48 sides."""
    ring = [centre_x_m, 0, 0] + radius_m * all_around(48)
    up = np.array([0.0, 1.0, 0.0])
    return np.concatenate([ring + height * up for height in (0.0, 0.47, 1.0)]), tube_faces(3, 48)


def two_legs() -> tuple[np.ndarray, np.ndarray]:
    (left, faces), (right, more) = pipe(0.1, 0.06), pipe(-0.1, 0.06)
    return np.concatenate([left, right]), np.concatenate([faces, more + len(left)])


def ring_m(points_m: np.ndarray, faces: np.ndarray, tube: Tube, level_m: float) -> np.ndarray:
    corners, shares, _ = ring_around(points_m, faces, tube, level_m)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-9)
    return np.einsum("pkc,pk->pc", points_m[corners], shares)


def all_around(points: int) -> np.ndarray:
    """Directions across y, evenly spread."""
    angle = 2 * np.pi * np.arange(points) / points
    return np.column_stack([np.cos(angle), np.zeros(points), np.sin(angle)])


def test_a_cut_lies_at_its_height_on_the_mesh():
    points_m, faces = two_legs()
    edges, share = crossed_edges(points_m, faces, 1, 0.3)
    ends = points_m[edges[..., 0]] * (1 - share)[..., None] + points_m[edges[..., 1]] * share[..., None]
    np.testing.assert_allclose(ends[..., 1], 0.3, atol=1e-9)
    assert len(edges) == 2 * 2 * 48, "two triangles of every side of both pipes"


def test_a_ring_goes_around_one_leg_or_bridges_both():
    points_m, faces = two_legs()
    left = faces[(points_m[faces][..., 0] > 0).all(axis=1)]
    one = ring_m(points_m, left, Tube(1, 1, 0, 1, 24), 0.3)
    np.testing.assert_allclose(one, [0.1, 0.3, 0] + 0.06 * all_around(24), atol=2e-4)
    both = ring_m(points_m, faces, Tube(1, 1, 0, 0, 40), 0.3)
    out_m = np.hypot(both[:, 0], both[:, 2])
    np.testing.assert_allclose(both - [0, 0.3, 0], out_m[:, None] * all_around(40), atol=1e-6)
    assert both[:, 0].max() == pytest.approx(0.16, abs=1e-3)
    between = np.abs(both[:, 0]) < 0.08
    np.testing.assert_allclose(np.abs(both[between, 2]), 0.06, atol=1e-3, err_msg="straight from leg to leg")
    assert between.sum() >= 6


def test_cloth_falls_from_where_the_body_is_widest():
    radii_m = np.array([[0.1], [0.2], [0.1], [0.05]])
    straight = hanging_m(radii_m, np.full(4, 0.01), 0.1, 0.0)
    np.testing.assert_allclose(straight[:, 0], [0.01, 0.01, 0.11, 0.16])
    flared = hanging_m(radii_m, np.full(4, 0.01), 0.1, 0.3)
    assert (flared >= straight - 1e-12).all() and flared[-1, 0] == pytest.approx(0.01 + 0.2 + 0.06 - 0.05)
    assert hanging_m(radii_m, np.full(4, 0.01), 0.1, -9.0)[:, 0] == pytest.approx(0.01), "close everywhere"


def outfits(body: Body, number: int = 12) -> list[Outfit]:
    person = make_person(1, 0, body)
    return [make_outfit(person, outfit, 0, body, Wardrobe(loose=1.0, dull=1.0)) for outfit in range(number)]


def test_what_a_wardrobe_leaves_as_it_is_equals_the_outfit_without_one(body):
    person = make_person(1, 0, body)
    plain = [make_outfit(person, number, 0, body) for number in range(30)]
    mixed = [make_outfit(person, number, 0, body, Wardrobe(loose=0.5, dull=0.5)) for number in range(30)]
    assert all(one.cloth is None for one in plain)
    close = [(one, other) for one, other in zip(plain, mixed, strict=True) if other.cloth is None]
    bright = [(one, other) for one, other in close if np.array_equal(one.materials, other.materials)]
    assert 8 <= len(close) <= 22 and 1 <= len(bright) < len(close)
    for one, other in close:
        np.testing.assert_array_equal(one.cuts, other.cuts)
        np.testing.assert_array_equal(one.offsets_m, other.offsets_m)
    for one, other in bright:
        np.testing.assert_array_equal(one.colours, other.colours)


def test_dull_clothes_have_less_hue_and_skin_and_hair_stay(body):
    person = make_person(1, 0, body)
    spread = []
    for wardrobe in (Wardrobe(), Wardrobe(dull=1.0)):
        rows = [make_outfit(person, outfit, 0, body, wardrobe).materials for outfit in range(8)]
        colours = np.stack(rows)[:, :, clothes.FIRST : clothes.FIRST + 3]
        spread.append(np.ptp(colours[:, [clothes.SHIRT, clothes.TROUSERS]], axis=-1).mean())
        assert colours.min() >= 0 and colours.max() <= 1
        np.testing.assert_allclose(colours[:, clothes.SKIN], np.broadcast_to(person.skin, (8, 3)))
    assert spread[1] < 0.5 * spread[0]


def test_cloth_lies_outside_the_body_at_rest(body):
    for outfit in outfits(body):
        assert outfit.cloth is not None
        outwards = vertex_normals(standing_m(body), body.faces.numpy())
        dressed_m = standing_m(body) + outfit.offsets_m[:, None] * outwards
        points_m, normals = posed_cloth(outfit.cloth, dressed_m)
        base_m = np.einsum("pkc,pk->pc", dressed_m[outfit.cloth.corners], outfit.cloth.shares)
        off_m = np.linalg.norm(points_m - base_m, axis=1)
        assert off_m.min() >= 0.002 and off_m.max() < 0.35, f"{off_m.min():.3f} to {off_m.max():.3f} m"
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
        away = np.einsum("pc,pkc,pk->p", points_m - base_m, outwards[outfit.cloth.corners], outfit.cloth.shares)
        assert (away > 0).mean() > 0.9, "but between the legs of a skirt, where skins look at each other"


def test_masks_of_loose_clothes_contain_the_body(body):
    room, background = make_room(1, 0), np.full((128, 128, 3), 120, np.uint8)
    seated = torch.eye(3).repeat(1, 24, 1, 1)
    bend = torch.tensor([[1.0, 0, 0], [0, 0.2, 0.9798], [0, -0.9798, 0.2]])
    seated[0, 0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    seated[0, 1] = seated[0, 2] = bend
    seated[0, 4] = seated[0, 5] = bend.T
    sitting_m = body(seated, torch.zeros(1, 10), torch.zeros(1, 3)).vertices_m[0].double().numpy()
    sitting_m = sitting_m - [0, 0, sitting_m[:, 2].min()]
    for vertices_m in (standing_m(body), sitting_m):
        for outfit in outfits(body, 6):
            masks = []
            for worn in (outfit._replace(cloth=None), outfit):
                staged = stage_person(room, vertices_m, body.faces.numpy(), worn)
                masks.append(render_staged(background, room, FRONT, staged, worn, np.random.default_rng(0))[1])
            assert (masks[1] >= masks[0]).all()
            assert (masks[1] > 128).sum() > (masks[0] > 128).sum()
