"""Pictures of a training: points, skeletons and bodies lie where they should."""

import numpy as np
import pytest

from config import Paths
from models.smpl import load_body
from utils.figures.training import (
    CELL_PX,
    POINT_COLOUR,
    SIDE_COLOURS,
    TITLE_PX,
    bodies_picture,
    body_cells,
    novel_views_picture,
    points_over,
    poses_picture,
    prior_picture,
    skeleton_cells,
)
from utils.skeleton import H36M_17

SIDE_M = 2.0


def middle_px(cell: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Middle (x, y) of the pixels of a colour, in pixels."""
    rows, columns = np.nonzero((np.abs(cell.astype(int) - colour) < 40).all(axis=2))
    return np.array([columns.mean(), rows.mean()]) + 0.5


def test_a_latent_point_is_drawn_where_the_decoder_places_it():
    black = np.zeros((1, 32, 32, 3), np.uint8)
    for x_m, y_m in ((0.0, 0.0), (-0.5, 0.25), (0.7, -0.9)):
        cell = points_over(black, np.array([[[x_m, y_m, 0.3]]]), SIDE_M)[0]
        expected_px = (np.array([x_m, y_m]) / SIDE_M + 0.5) * CELL_PX
        assert np.abs(middle_px(cell, POINT_COLOUR) - expected_px).max() < 0.6, "pixels of a cell"
    assert black.max() == 0, "the images are not drawn on"


def test_left_limbs_are_blue_and_lie_where_the_joints_are():
    joints_m = np.zeros((1, 17, 3))
    joints_m[0, H36M_17.index("left_wrist")] = 0.5, 0.0, 0.0
    joints_m[0, H36M_17.index("right_wrist")] = 0.0, 0.0, -0.5
    front = skeleton_cells(joints_m, joints_m, SIDE_M)[0]
    assert middle_px(front, SIDE_COLOURS["left"])[0] == pytest.approx((0.25 / SIDE_M + 0.5) * CELL_PX, abs=3)
    side = skeleton_cells(joints_m, joints_m, SIDE_M, axes=(2, 1))[0]
    assert middle_px(side, SIDE_COLOURS["right"])[0] == pytest.approx((-0.25 / SIDE_M + 0.5) * CELL_PX, abs=3)


def test_a_body_is_as_large_as_the_crop_says():
    body = load_body(Paths().models_smpl_location)
    upright_m = body.template_m.numpy()[None] * (1, -1, -1)
    centred_m = upright_m - (upright_m.max(axis=1, keepdims=True) + upright_m.min(axis=1, keepdims=True)) / 2
    ink = body_cells(centred_m, body.faces.numpy(), 2.5)[0].min(axis=2) < 200
    tall_px = np.flatnonzero(ink.any(axis=1))
    assert np.ptp(tall_px) + 1 == pytest.approx(np.ptp(centred_m[0, :, 1]) / 2.5 * CELL_PX, rel=0.06)


def test_what_is_nearer_to_the_camera_is_left_when_seen_from_the_right():
    body, image = load_body(Paths().models_smpl_location), np.zeros((1, 32, 32, 3), np.uint8)
    vertices_m, faces = body.template_m.numpy()[None] * (0.3, -0.3, 0.3) - (0, 0, 0.6), body.faces.numpy()
    cell = bodies_picture(image, vertices_m, faces, SIDE_M)[TITLE_PX:, -CELL_PX:]
    assert np.nonzero(cell.min(axis=2) < 200)[1].mean() < 0.3 * CELL_PX
    joints_m = np.zeros((1, 17, 3))
    joints_m[0, H36M_17.index("left_wrist"), 2] = -0.6
    side = skeleton_cells(joints_m, joints_m, SIDE_M, axes=(2, 1))[0]
    assert middle_px(side, SIDE_COLOURS["left"])[0] < 0.4 * CELL_PX, "the skeleton agrees"


def test_every_picture_has_a_row_per_example_and_a_title_per_column():
    body, image = load_body(Paths().models_smpl_location), np.zeros((3, 32, 32, 3), np.uint8)
    points_m, joints_m = np.zeros((3, 12, 3)), np.zeros((3, 17, 3))
    vertices_m, faces = body.template_m.numpy()[None].repeat(3, axis=0), body.faces.numpy()
    drawn = {
        4: novel_views_picture(image, points_m, image, image, SIDE_M),
        3: bodies_picture(image, vertices_m, faces, SIDE_M),
        2: prior_picture(vertices_m, vertices_m, faces),
    }
    for columns, picture in drawn.items():
        assert picture.shape == (TITLE_PX + 3 * CELL_PX, columns * CELL_PX, 3) and picture.dtype == np.uint8
    assert poses_picture(image, joints_m, joints_m, SIDE_M).shape[1] == 3 * CELL_PX
    assert poses_picture(None, joints_m, joints_m, SIDE_M).shape[1] == 2 * CELL_PX
