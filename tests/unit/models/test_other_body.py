import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from models.other_body import (
    Moved,
    distance_between,
    fitted_shape,
    for_other_body,
    in_world,
    joints_of,
    limb_rotations,
    posed,
    turned_onto,
)
from models.smpl import Body
from tests.helpers.foreign_body import foreign_file
from tests.helpers.moving_body import lively, open_body


@pytest.fixture(scope="module")
def foreign() -> Body:
    return Body(foreign_file(), torch.float64)


def a_motion(num_frames: int = 12, seed: int = 0) -> Moved:
    return Moved(*lively(num_frames, seed))


def test_a_single_direction_is_turned_by_the_smallest_rotation():
    R = turned_onto(np.array([[0.0, 2, 0]]), np.array([[0.3, 0, 0]]))
    np.testing.assert_allclose(R, Rotation.from_euler("z", -90, degrees=True).as_matrix(), atol=1e-12)
    with pytest.raises(ValueError, match="opposite to that of the other; both files must be of bodies in the T-pose"):
        turned_onto(np.array([[0.0, 1, 0]]), np.array([[0.0, -1, 0]]))


def test_several_directions_are_turned_together_and_never_mirrored():
    bones = np.random.default_rng(0).normal(size=(3, 3))
    R = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix()
    np.testing.assert_allclose(turned_onto(bones, bones @ R.T), R, atol=1e-9)
    assert np.linalg.det(turned_onto(bones, bones * [-1, 1, 1])) == pytest.approx(1)


def test_an_arm_that_hangs_is_lifted_with_all_below_it():
    # Shoulder, elbow, wrist, as a chain from the root: the upper arm turns by a right angle, and the forearm with it.
    rest_m = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    other_m = np.array([[0.0, 0, 0], [0, 1, 0], [0, 2, 0]])
    R = limb_rotations(rest_m, other_m, (-1, 0, 1))
    quarter = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    np.testing.assert_allclose(R, np.tile(quarter, (3, 1, 1)), atol=1e-12)


def test_joints_without_the_surface_are_the_bodys_joints():
    moved = a_motion(3)
    np.testing.assert_allclose(joints_of(open_body(), moved), posed(open_body(), moved)[1], atol=1e-9)


def test_a_body_said_for_itself_is_itself():
    moved = a_motion()
    again = for_other_body(open_body(), moved, open_body())
    apart = distance_between(open_body(), moved, open_body(), again)
    assert apart.joints_mm < 1 and apart.surface_95_mm < 2, apart
    turned_deg = np.degrees(Rotation.from_matrix(
        (np.swapaxes(again.rotations, -1, -2) @ moved.rotations).reshape(-1, 3, 3)).magnitude())  # fmt: skip
    assert turned_deg.max() < 0.5
    np.testing.assert_allclose(fitted_shape(open_body(), np.zeros(10), open_body()), 0, atol=1e-3)


def test_limbs_of_another_body_point_where_ours_do_and_its_joints_are_near(foreign):
    moved = a_motion()
    there = for_other_body(open_body(), moved, foreign)
    ours_m, theirs_m = joints_of(open_body(), moved), joints_of(foreign, there)
    for child in (4, 7, 18, 20):  # knee and ankle, elbow and wrist of the left side
        parent = open_body().parents[child]
        bones = [points[:, child] - points[:, parent] for points in (ours_m, theirs_m)]
        units = [bone / np.linalg.norm(bone, axis=1, keepdims=True) for bone in bones]
        assert np.degrees(np.arccos(np.clip((units[0] * units[1]).sum(axis=1), -1, 1))).max() < 0.01
    apart = distance_between(open_body(), moved, foreign, there)
    assert apart.joints_mm < 8 and apart.surface_mm < 4, apart
    unfitted = distance_between(open_body(), moved, foreign, there._replace(betas=np.zeros(10)))
    assert unfitted.joints_mm > 2 * apart.joints_mm, "the shape matters"
    as_it_is = distance_between(open_body(), moved, foreign, there._replace(rotations=moved.rotations))
    assert as_it_is.joints_mm > 2 * apart.joints_mm, "the rest pose matters"


def test_there_and_back_is_near_where_it_began(foreign):
    moved = a_motion()
    there = for_other_body(open_body(), moved, foreign)
    back = for_other_body(foreign, there, open_body())
    apart = distance_between(open_body(), moved, open_body(), back)
    assert apart.joints_mm < 5 and apart.surface_mm < 3, apart
    between = np.swapaxes(in_world(back.rotations, open_body().parents), -1, -2) @ in_world(
        moved.rotations, open_body().parents
    )
    assert np.degrees(Rotation.from_matrix(between.reshape(-1, 3, 3)).magnitude()).mean() < 1.5


def test_of_a_body_with_many_shape_directions_the_first_ten_are_taken():
    file = foreign_file()
    many = Body(file._replace(shapedirs=np.tile(file.shapedirs, (1, 1, 3))), torch.float64)
    assert fitted_shape(open_body(), np.zeros(10), many).shape == (10,)


def test_other_skeletons_are_refused(foreign):
    stick = Body(foreign_file(), torch.float64)
    stick.parents = (-1, 0, 1)
    with pytest.raises(ValueError, match="different skeletons"):
        for_other_body(open_body(), a_motion(2), stick)
