"""Shadows on the person and on the floor: they darken only, where something is between a place and the light."""

import numpy as np
import pytest

from dataset_def.synthetic.scene.render import light_on, plain_floor_shadow
from dataset_def.synthetic.scene.room import Room, make_room
from dataset_def.synthetic.scene.shadows import (
    CELL_M,
    SHADOW_CELLS,
    cosine_directions,
    light_share,
    sky_and_lamp_share,
    soft_floor_shadow,
    sphere_directions,
)
from utils.draw_mesh import vertex_normals

UP = np.array([0.0, 0.0, 1.0])


def sheet(half_m: float, height_m: float, cells: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A square at a height, of small triangles that face upwards."""
    line = np.linspace(-half_m, half_m, cells + 1)
    x, y = np.meshgrid(line, line, indexing="xy")
    vertices = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, height_m)])
    first = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    right, above = first + 1, first + cells + 1
    return vertices, np.concatenate(
        [np.column_stack([first, right, above]), np.column_stack([right, above + 1, above])]
    )


def floor_under_a_table() -> tuple[np.ndarray, np.ndarray]:
    (floor, faces), (table, more) = sheet(1.0, 0.0), sheet(0.3, 0.5)
    return np.concatenate([floor, table]), np.concatenate([faces, more + len(floor)])


@pytest.fixture(scope="module")
def room() -> Room:
    return make_room(1, 0)


def test_directions_are_even_and_of_unit_length():
    for directions in (sphere_directions(40), cosine_directions(40, UP, 1.5)):
        np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(directions.mean(axis=0)[:2], 0, atol=0.05)
    assert abs(sphere_directions(40)[:, 2].mean()) < 1e-9
    assert cosine_directions(40, UP, 1.5)[:, 2].mean() == pytest.approx(2 / 3, abs=0.02), "the mean of Lambert's law"


def test_what_nothing_hides_has_all_its_light():
    vertices, faces = sheet(1.0, 0.0)
    share = light_share(vertices, vertex_normals(vertices, faces), faces, sphere_directions(20), np.ones(20))
    assert share.min() > 0.97, "light along a surface is shaded a little by the map's own pixels"


def test_a_table_takes_the_light_from_above_off_the_floor_below_it_only():
    vertices, faces = floor_under_a_table()
    share = light_share(vertices, vertex_normals(vertices, faces), faces, UP[None], np.ones(1))
    across = np.abs(vertices[:, :2]).max(axis=1)
    is_floor = vertices[:, 2] == 0
    assert share[is_floor & (across < 0.25)].max() < 0.05
    assert share[is_floor & (across > 0.35)].min() > 0.95
    assert share[~is_floor].min() > 0.95, "the table does not shade itself"


def test_slanting_light_moves_the_shadow_away_from_it():
    vertices, faces = floor_under_a_table()
    slanted = np.array([1.0, 0, 1.0]) / np.sqrt(2)
    share = light_share(vertices, vertex_normals(vertices, faces), faces, slanted[None], np.ones(1))
    is_floor = vertices[:, 2] == 0
    middle_x = np.average(vertices[is_floor, 0], weights=1 - share[is_floor])
    assert middle_x == pytest.approx(-0.5, abs=0.06), "height over the tangent of the light's height"


def test_shadows_darken_only(room):
    vertices, faces = floor_under_a_table()
    normals = vertex_normals(vertices, faces)
    sky, lamp = sky_and_lamp_share(vertices, normals, faces, room.towards_light)
    assert sky.min() >= 0 and sky.max() <= 1 and lamp.min() >= 0 and lamp.max() <= 1
    bright, dark = light_on(room, normals, vertices[:, 2]), light_on(room, normals, vertices[:, 2], sky, lamp)
    assert (dark <= bright + 1e-12).all() and dark.min() < 0.6 * bright.min()


def test_the_floor_is_dark_below_a_thing_and_untouched_away_from_it(room):
    low, high = sheet(0.2, 0.02)[0], sheet(0.2, 1.5)[0]
    near, far = (soft_floor_shadow(points, room.towards_light).dark for points in (low, high))
    plain = plain_floor_shadow(room, low).dark
    for dark in (near, far, plain):
        assert dark.shape == (SHADOW_CELLS, SHADOW_CELLS) and dark.min() >= 0 and dark.max() <= 1
    middle = SHADOW_CELLS // 2
    assert near[middle, middle] > 0.8 and plain[middle, middle] > 0.8, "contact"
    assert far.max() < 0.6 * near.max(), "a thing high above the floor leaves a faint shadow"
    rows, columns = np.indices(near.shape)
    away_m = CELL_M * np.hypot(rows - middle, columns - middle)
    assert near[away_m > 0.5].max() < 0.02 and plain[away_m > 0.9].max() < 0.02
