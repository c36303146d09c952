import numpy as np
import pytest
import torch

from config import Paths
from models.smpl import Body
from tests.helpers.moving_body import bent_stick, lively, lively_rig, open_body
from utils.body_file import read_body_file
from utils.export.markers import (
    LEFT_RAYS,
    MIDDLE_RAYS,
    joint_marker,
    leaves_at_m,
    marker_places_m,
    marker_vertices,
    starts_m,
)
from utils.export.motion import markers_of
from utils.export.rig import Rig, motion_of, rig_of, to_y_up
from utils.skeleton import SMPL_24


@pytest.fixture(scope="module")
def mean() -> Rig:
    return rig_of(open_body(), torch.zeros(10).double())


@pytest.fixture(scope="module")
def at_m(mean) -> dict[str, np.ndarray]:
    """Where each marker and each joint is on the mean body in its T-pose."""
    found = {name: mean.vertices_m[row] for name, row in marker_vertices(mean).items()}
    return found | dict(zip(SMPL_24, mean.joints_m, strict=True))


def box() -> np.ndarray:
    """The twelve triangles of a cube of 2 m about the origin."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return np.array([corners[list(part)] for a, b, c, d in quads for part in ((a, b, c), (a, c, d))])


def test_a_ray_leaves_a_cube_where_geometry_says():
    away = np.array([1.0, 0.5, 0]) / np.hypot(1, 0.5)
    np.testing.assert_allclose(leaves_at_m(np.array([0.0, 0.1, 0.2]), away, box()), [1, 0.6, 0.2], atol=1e-12)
    assert leaves_at_m(np.array([3.0, 0.1, 0.2]), np.array([1.0, 0, 0]), box()) is None, "it lies behind the ray"
    np.testing.assert_allclose(leaves_at_m(np.array([-3.0, 0.1, 0.2]), np.array([1.0, 0, 0]), box()), [1, 0.1, 0.2])


def test_left_markers_lie_on_the_left_and_mirror_the_right_ones(at_m):
    for name in LEFT_RAYS:
        left, right = at_m[name], at_m["R" + name[1:]]
        assert left[0] > 0 > right[0]
        assert 1000 * np.abs(left * [-1, 1, 1] - right).max() < 5, f"{name}: the body is symmetric, its faces are not"
    assert all(abs(at_m[name][0]) < 0.02 for name in MIDDLE_RAYS)


def test_markers_lie_where_anatomy_says(at_m):
    x, y, z = range(3)
    assert at_m["LASI"][z] > at_m["left_hip"][z] + 0.03 and at_m["LPSI"][z] < at_m["left_hip"][z] - 0.03
    assert at_m["left_hip"][y] < at_m["LASI"][y] < at_m["spine2"][y] and at_m["LASI"][x] > at_m["LPSI"][x]
    for joint, outer, inner in (("left_knee", "LKNE", "LKNEM"), ("left_ankle", "LANK", "LANKM")):
        assert at_m[outer][x] > at_m[joint][x] + 0.02 and at_m[inner][x] < at_m[joint][x] - 0.02
        assert abs(at_m[outer] - at_m[joint])[1:].max() < 0.03, "beside the joint, not above or behind"
    assert at_m["LELB"][y] > at_m["left_elbow"][y] > at_m["LELBM"][y], "palms down: the elbow's outer side is above"
    assert at_m["LWRA"][z] > at_m["left_wrist"][z] > at_m["LWRB"][z], "the thumb's side is in front"
    assert at_m["LHEE"][z] < at_m["left_ankle"][z] - 0.03 and at_m["LHEE"][y] < at_m["LANK"][y]
    assert at_m["LTOE"][z] > at_m["left_ankle"][z] + 0.1 and at_m["LSHO"][y] > at_m["left_shoulder"][y] + 0.02
    assert at_m["C7"][z] < at_m["neck"][z] < at_m["CLAV"][z] and at_m["T10"][z] < at_m["STRN"][z] - 0.1
    assert at_m["LFHD"][z] > at_m["LBHD"][z] and at_m["LFHD"][y] > at_m["head"][y]


def test_the_hips_lie_from_the_spines_as_the_regression_says(mean):
    """The way back, by hand: 14 % of the width inwards and 30 % down from the front spine is the hip."""
    places = starts_m(mean)
    width_m = places["left_front_spine"][0] - places["right_front_spine"][0]
    hip_m = places["left_front_spine"] - [0.14 * width_m, 0.30 * width_m, 0]
    np.testing.assert_allclose(hip_m, places["left_hip"], atol=1e-12)


def test_joints_have_the_names_of_markerless_programs():
    assert [joint_marker(name) for name in ("pelvis", "left_knee", "right_wrist", "spine1")] == [
        "Pelvis", "LKnee", "RWrist", "Spine1"]  # fmt: skip


def test_markers_move_with_the_bodys_own_surface_also_where_that_follows_the_pose():
    file = read_body_file(Paths().models_smpl_location)
    directions = np.random.default_rng(0).normal(0, 0.01, file.posedirs.shape)
    for body in (open_body(), Body(file._replace(posedirs=directions), torch.float64)):
        rotations, betas, translation_m = lively(4)
        rig, markers = rig_of(body, torch.from_numpy(betas)), markers_of(body)
        shapes = torch.from_numpy(betas).expand(4, -1)
        out = body(torch.from_numpy(rotations), shapes, torch.from_numpy(translation_m))
        expected_m = torch.cat([out.joints_m, out.vertices_m[:, markers.vertices]], dim=1).numpy()
        found_m = marker_places_m(rig, motion_of(rig, rotations, translation_m, 25.0), markers)
        assert 1000 * np.abs(found_m - to_y_up(expected_m)).max() < 0.01
        assert found_m.shape[1] == len(markers.names) == 24 + 44


def test_the_same_vertices_are_taken_for_every_shape():
    rig, *_ = lively_rig(1, seed=3)
    assert markers_of(open_body()).vertices.tolist() != []
    assert len(set(markers_of(open_body()).names)) == 68
    assert len(rig.vertices_m) > markers_of(open_body()).vertices.max()


def test_a_body_without_these_joints_or_without_a_surface_is_refused(mean):
    with pytest.raises(ValueError, match="no joints head, left_ankle"):
        marker_vertices(bent_stick())
    with pytest.raises(ValueError, match="the ray of marker LFHD meets no surface"):
        marker_vertices(mean._replace(faces=mean.faces[:0]))
