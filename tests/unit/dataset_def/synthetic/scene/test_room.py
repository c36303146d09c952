import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataset_def.synthetic.scene.raycast import enter_box, first_hit
from dataset_def.synthetic.scene.room import (
    HALF_LENGTH_M,
    HALF_WIDTH_M,
    Room,
    draw_room,
    furniture_box,
    make_room,
    moved_furniture,
    stick,
)
from utils.camera import Camera, project, to_camera


def looking_camera(centre_world_m: tuple[float, float, float], size_px: int = 96) -> Camera:
    """Look from a place of the room at the person's waist."""
    centre = np.array(centre_world_m)
    z = np.array([0, 0, 0.9]) - centre
    z /= np.linalg.norm(z)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    focal = np.full(2, 1.147 * size_px)
    return Camera(np.stack([x, np.cross(z, x), z]), centre, focal, np.full(2, size_px / 2), size_px, size_px)


CAMERAS = [looking_camera(c) for c in ((1.8, 5.0, 1.6), (1.8, -5.1, 1.6), (-1.8, 5.2, 1.5), (-1.8, -3.7, 1.6))]


def test_a_ray_enters_and_leaves_a_turned_box_where_geometry_says():
    cube = furniture_box((3, 0, 0), (2, 2, 2), (1, 1, 1), turn=Rotation.from_euler("z", np.pi / 4))
    near, far = enter_box(cube, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    assert (near, far) == pytest.approx((3 - np.sqrt(2), 3 + np.sqrt(2)))
    near, far = enter_box(cube, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0)
    assert near > far


def test_the_first_of_two_boxes_is_hit():
    shell = furniture_box((0, 0, 0), (20, 20, 20), (1, 1, 1))
    boxes = np.stack(
        [shell, furniture_box((5, 0, 0), (1, 1, 1), (1, 1, 1)), furniture_box((3, 0, 0), (1, 1, 1), (1, 1, 1))]
    )
    assert first_hit(boxes, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0) == pytest.approx((2.5, 2))
    assert first_hit(boxes, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0) == pytest.approx((10, 0))


def test_a_stick_reaches_from_end_to_end():
    start, end = np.array([1.0, 2, 0]), np.array([2.0, 2.5, 1.4])
    bar = stick(start, end, 0.02, (1, 1, 1))
    way = (end - start) / np.linalg.norm(end - start)
    near, far = enter_box(bar, *(start - way), *way)
    assert (near, far) == pytest.approx((1, 1 + np.linalg.norm(end - start)))


def test_placing_furniture_turns_its_position_and_its_axes():
    piece = moved_furniture([furniture_box((1, 0, 0.5), (0.4, 0.2, 1), (1, 1, 1))], 2, 3, np.pi / 2)[0]
    np.testing.assert_allclose(piece[:3], [2, 4, 0.5], atol=1e-12)
    # Its long side, 0.4 m, now lies along y.
    near, far = enter_box(piece, 2.0, 0.0, 0.5, 0.0, 1.0, 0.0)
    assert (near, far) == pytest.approx((3.8, 4.2))
    # Turned by 30 degrees, a ray along the turned long side crosses all of it.
    piece = moved_furniture([furniture_box((0, 0, 0.5), (0.4, 0.2, 1), (1, 1, 1))], 0, 0, np.pi / 6)[0]
    near, far = enter_box(piece, 0.0, 0.0, 0.5, np.cos(np.pi / 6), np.sin(np.pi / 6), 0.0)
    assert (near, far) == pytest.approx((-0.2, 0.2))


BENT = {"k": np.array([-0.2, 0.05, -0.002]), "p": np.array([0.001, -0.0015])}


def window_around(room: Room, camera: Camera, place_world_m: np.ndarray) -> np.ndarray:
    """Draw the 5 x 5 pixels around a place on the floor."""
    corner = np.floor(project(camera, to_camera(camera, place_world_m))) - 2
    return draw_room(room, camera._replace(centre_px=camera.centre_px - corner, width_px=5, height_px=5)).astype(int)


@pytest.mark.parametrize("subject", [1, 9])
@pytest.mark.parametrize("centre_world_m", [(1.8, 5.0, 1.6), (-1.8, -3.7, 1.6)])
@pytest.mark.parametrize("lens", [{}, BENT])
def test_tape_on_the_floor_is_white_where_each_camera_projects_it(subject: int, centre_world_m: tuple, lens: dict):
    room, camera = make_room(subject, 0), looking_camera(centre_world_m, 1000)._replace(**lens)
    for x, y, along_x, along_y, *_ in room.marks_world_m[::2]:
        if to_camera(camera, np.array([x, y, 0]))[2] < 1:
            continue
        tape, carpet = np.array([x, y, 0]), np.array([x + 0.1 * (along_x - along_y), y + 0.1 * (along_y + along_x), 0])
        assert window_around(room, camera, tape)[2, 2].min() > 130, f"no tape at {x:.2f}, {y:.2f} m"
        # Between the arms of the cross, 14 cm from its middle, there is carpet.
        assert window_around(room, camera, carpet)[2, 2].min() < 110


def test_nothing_stands_where_the_person_walks_or_a_camera_looks():
    for subject in (1, 5, 6, 7, 8, 9, 11):
        boxes = make_room(subject, 0).boxes
        for camera in CAMERAS:
            for x, y in [(0, 0), (1.7, 0), (-1.7, 0), (0, 1.7), (0, -1.7), (1.2, 1.2), (-1.2, -1.2)]:
                for z in (0.05, 1.0, 1.9):
                    way = np.array([x, y, z]) - camera.centre_world_m
                    reach = np.linalg.norm(way)
                    assert first_hit(boxes, *camera.centre_world_m, *(way / reach))[0] > reach


def test_the_room_is_ten_by_fourteen_metres_and_furniture_stays_inside():
    room = make_room(1, 0)
    np.testing.assert_allclose(room.boxes[0, 3:5], [HALF_WIDTH_M, HALF_LENGTH_M])
    assert (np.abs(room.boxes[1:, 0]) < HALF_WIDTH_M).all()
    assert (np.abs(room.boxes[1:, 1]) < HALF_LENGTH_M).all()


def test_a_room_repeats_for_its_numbers_and_differs_between_subjects():
    first, again, other = (
        draw_room(make_room(1, 0), CAMERAS[0]),
        draw_room(make_room(1, 0), CAMERAS[0]),
        make_room(5, 0),
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - draw_room(other, CAMERAS[0])).mean() > 8


@pytest.mark.parametrize(("k1", "middle_px", "low_px"), [(0.0, 100.0, 100.0), (-0.2, 97.5, 95.9)])
def test_a_straight_post_bends_as_the_lens_says(k1: float, middle_px: float, low_px: float):
    """A post at x = 0.5 of its depth: in the middle row 0.5 (1 - 0.2 0.25) = 0.475 of the focal length of 100 px from
    the middle at 50 px; where y = 0.4, r2 is 0.41 and it lies at 0.5 (1 - 0.2 0.41) = 0.459, in row 50 + 36.7.
    """
    shell = furniture_box((0, 0, 1.5), (20, 20, 12), (0.1, 0.1, 0.1), second=(0.1, 0.1, 0.1))
    post = furniture_box((2, 2, 1.5), (0.08, 0.01, 8), (1, 1, 1))
    room = make_room(1, 0)._replace(boxes=np.stack([shell, post]), marks_world_m=np.zeros((0, 6)))
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    camera = Camera(R, np.array([0, -2, 1.5]), np.full(2, 100.0), np.full(2, 50.0), 110, 100, np.array([k1, 0, 0]))
    image = draw_room(room, camera).astype(float).sum(axis=-1)
    for row, expected_px in ((50, middle_px), (86, low_px)):
        light = np.clip(image[row, 80:] - 200, 0, None)
        found_px = 80.5 + (light * np.arange(30)).sum() / light.sum()
        assert found_px == pytest.approx(expected_px, abs=0.3), f"row {row}"
