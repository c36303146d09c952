import numpy as np
import pytest

from utils.person_box import Box, placed_at_joints, placed_in_box

K = np.array([[1000.0, 0, 640], [0, 1000.0, 360], [0, 0, 1]])


def box_of(points: np.ndarray) -> Box:
    at = points[:, :2] / points[:, 2:] * 1000 + K[:2, 2]
    (left, top), (right, bottom) = at.min(0), at.max(0)
    return Box(left, top, right - left, bottom - top)


@pytest.mark.parametrize("pelvis", [(0.0, 0.0, 4.0), (1.2, -0.4, 5.5), (-2.0, 0.6, 3.0)])
def test_a_projected_body_is_put_back_where_it_was(pelvis):
    body = np.random.default_rng(0).normal(0, 1, (500, 3)) * (0.2, 0.45, 0.15)
    found = placed_in_box(body, box_of(body + pelvis), K, start_depth_m=6.0)
    np.testing.assert_allclose(found, pelvis, atol=2e-3)


def test_a_person_lying_down_is_placed_by_the_width():
    body = np.random.default_rng(0).normal(0, 1, (500, 3)) * (0.45, 0.15, 0.2)
    found = placed_in_box(body, box_of(body + np.array([0.3, 0.8, 4.0])), K, start_depth_m=9.0)
    np.testing.assert_allclose(found, (0.3, 0.8, 4.0), atol=2e-3)


def test_who_stands_does_not_fill_the_width_of_a_box_that_the_pictures_edge_cut_off():
    body = np.random.default_rng(0).uniform(-1, 1, (500, 3)) * (0.25, 0.85, 0.0)
    found = placed_in_box(body, Box(340, 160, 600, 400), K, start_depth_m=4.0)
    assert found[2] == pytest.approx(1000 * np.ptp(body[:, 1]) / 400, rel=0.01)


def test_a_box_that_no_distance_can_fill_is_refused():
    body = np.random.default_rng(0).normal(0, 1, (500, 3)) * 0.3
    with pytest.raises(ValueError, match="no place before the camera"):
        placed_in_box(body, Box(-9e5, -9e5, 2e6, 2e6), K, start_depth_m=4.0)


def test_joints_on_their_rays_tell_where_a_body_is_and_a_wrong_one_of_no_weight_does_not_matter():
    rng = np.random.default_rng(0)
    joints_m, pelvis_m = rng.normal(size=(17, 3)) * 0.4, np.array([0.7, -0.4, 4.5])
    joints_m[0] = 0
    rays, weight = (joints_m + pelvis_m) * rng.uniform(0.1, 3, (17, 1)), np.ones(17)
    assert np.allclose(placed_at_joints(joints_m, rays, weight), pelvis_m, atol=1e-9)
    rays[5], weight[5] = (*(rays[5, :2] / rays[5, 2] + 0.1), 1.0), 0.0
    assert np.allclose(placed_at_joints(joints_m, rays, weight), pelvis_m, atol=1e-9)
    weight[5] = 1.0
    assert not np.allclose(placed_at_joints(joints_m, rays, weight), pelvis_m, atol=0.01)


def test_joints_that_all_lie_in_one_point_of_the_picture_place_nobody_beside_the_camera():
    joints_m = np.random.default_rng(0).normal(size=(17, 3)) * 0.4
    backwards = -(joints_m + np.array([0, 0, 4.0]))  # a ray is a line
    assert np.allclose(placed_at_joints(joints_m, backwards, np.ones(17)), (0, 0, 4.0))
    assert placed_at_joints(joints_m, np.stack([joints_m[:, 0] * 9, joints_m[:, 1] * 9, np.ones(17)], axis=1),
                            np.ones(17)) is None  # fmt: skip
