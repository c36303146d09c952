import io

import numpy as np
import pytest

from utils.figures.bodies import (
    BOTH,
    ONLY_PREDICTED,
    ONLY_TRUE,
    MeshExamples,
    body_grid,
    facing_polar,
    mesh_pictures,
    silhouette_grid,
    silhouette_overlay,
    turned_about_middle,
)


def box_examples(count: int) -> MeshExamples:
    """Boxes of 0.4 x 1.6 x 0.2 m whose middle is 0.5 m right of the axis, 5 m before a camera that sees 2.3 m."""
    corners = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.8, 0.8) for z in (-0.1, 0.1)])
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                      [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])  # fmt: skip
    mask = np.zeros((count, 3, 8, 8), np.uint8)
    mask[:, :, 2:6, 2:6] = 255
    exists = np.ones((count, 3), bool)
    exists[0, 2] = False
    return MeshExamples(
        np.zeros((count, 16, 16, 3), np.uint8), np.tile(corners + np.array([0.5, 0, 5]), (count, 1, 1)), faces,
        np.full(count, 5 / 2.3), mask, np.roll(mask, 1, axis=3), exists, np.full(count, 1),
        np.arange(5 * count).reshape(count, 5),
    )  # fmt: skip


def test_the_mesh_is_drawn_where_the_camera_sees_it():
    drawn = mesh_pictures(box_examples(1), None)[0].any(axis=-1)
    columns, rows = np.flatnonzero(drawn.any(axis=0)), np.flatnonzero(drawn.any(axis=1))
    # Its near side, at 4.9 m, spans 0.3 to 0.7 m to the right of the middle, and 0.8 m up and down.
    per_m = 256 / 2.3 * 5 / 4.9
    assert (columns[0], columns[-1]) == pytest.approx((128 + 0.3 * per_m * 4.9 / 5.1, 128 + 0.7 * per_m), abs=2)
    assert (rows[0], rows[-1]) == pytest.approx((128 - 0.8 * per_m, 128 + 0.8 * per_m), abs=2)


def test_a_quarter_turn_brings_the_left_of_the_picture_to_the_front():
    box = np.array([[-1.0, 0, 5], [1, 0, 5], [0, 0.5, 4], [0, 0, 6]])
    turned = turned_about_middle(box, 90)
    assert turned[:, 2].argmin() == 0
    assert np.allclose(turned[:, 1], box[:, 1])
    assert np.allclose(turned_about_middle(turned, 270), box)


def test_agreement_is_coloured_by_hand():
    found = silhouette_overlay(
        np.array([[255, 255, 0, 0]], np.uint8)[None], np.array([[255, 0, 255, 0]], np.uint8)[None]
    )
    assert [tuple(pixel) for pixel in found[0, 0].tolist()] == [BOTH, ONLY_PREDICTED, ONLY_TRUE, (255, 255, 255)]


def test_the_own_view_comes_first_and_views_without_frame_are_grey():
    examples = box_examples(2)
    examples.mask[:, 1] = 0
    axes = silhouette_grid(examples, "data").axes
    assert [one.get_title() for one in axes[:4]] == ["input", "its own view", "other view 1", "other view 2"]
    own, second = (np.asarray(axes[column].images[0].get_array()) for column in (1, 2))
    assert not (own == BOTH).all(axis=-1).any(), "its mask is empty"
    assert (second == 235).all(), "camera 3 has no frame of the first example"


def test_another_run_is_drawn_beside_the_first_only_on_the_same_frames():
    examples = box_examples(2)
    titles = [one.get_title() for one in body_grid(examples, {"seed": examples}, "data").axes[:6]]
    assert titles == ["input", "mesh", "from the side", "from behind", "seed: mesh", "seed: side"]
    with pytest.raises(ValueError, match="run seed was tested on other example frames"):
        body_grid(examples, {"seed": examples._replace(frames=examples.frames + 1)}, "data")


def test_the_polar_plot_puts_each_direction_at_its_angle_with_the_camera_below():
    cell = {"mean": 50.0, "low": 40.0, "high": 60.0}
    table = {key: {"mpjpe_17_mm": cell | {"mean": 50.0 + int(key)}} for key in ("0", "90", "180")}
    lines = {name: {key: line | {"p_mpjpe_17_mm": cell, "yaw_error_degrees": cell} for key, line in table.items()}
             for name in ("ours", "mean body")}  # fmt: skip
    figure = facing_polar(lines, "data")
    first = figure.axes[0]
    assert first.get_theta_offset() == pytest.approx(-np.pi / 2 % (2 * np.pi)) or first.get_theta_offset() < 0
    angle, radius = first.lines[0].get_data()
    assert np.allclose(np.rad2deg(angle), [0, 90, 180, 360]) and np.allclose(radius, [50, 140, 230, 50])
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=30)
    assert written.getvalue().startswith(b"\x89PNG")
