import cv2
import numpy as np
import pytest

from utils.person_box import (
    Box,
    box_of_mask,
    box_of_movement,
    camera_moves,
    check_box,
    empty_scene,
    evenly_spaced_frames,
    jumps_of,
    overlap_of_boxes,
    smooth_between_jumps,
    smooth_boxes,
)


def test_a_box_of_a_mask_goes_round_its_pixels():
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 20:25] = 255
    assert box_of_mask(mask, "m") == Box(20, 10, 5, 20)


@pytest.mark.parametrize(("value", "words"), [(0, "no person in it"), (255, "inverted")])
def test_an_empty_and_an_inverted_mask_are_refused(value, words):
    with pytest.raises(ValueError, match=words):
        box_of_mask(np.full((20, 20), value, np.uint8), "m.png")


@pytest.mark.parametrize("box", [Box(700, 10, 50, 100), Box(-90, 10, 100, 100), Box(0, 481, 10, 10)])
def test_a_box_outside_of_the_picture_is_refused(box):
    with pytest.raises(ValueError, match="outside of p"):
        check_box(box, 640, 480, "p")


def test_a_box_without_size_or_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="is not finite"):
        check_box(Box(float("nan"), 0, 40, 100), 640, 480, "p")
    with pytest.raises(ValueError, match="smaller than 8 pixels"):
        check_box(Box(0, 0, 4, 100), 640, 480, "p")


def moving_square(number: int) -> np.ndarray:
    picture = np.random.default_rng(0).integers(60, 120, (240, 320, 3)).astype(np.uint8)
    picture[80:160, 20 + 20 * number : 60 + 20 * number] = (220, 30, 30)
    return picture


def test_what_moves_is_found_to_a_few_pixels_also_when_the_exposure_changes():
    scene = empty_scene(moving_square(number) for number in range(12))
    for gain in (1.0, 1.5):
        picture = (moving_square(5) * gain).clip(0, 255).astype(np.uint8)
        box = box_of_movement(picture, scene)
        assert box is not None
        assert np.abs(np.array(box) - (120, 80, 40, 80)).max() <= 6, box


def test_a_scene_in_which_nothing_moves_has_no_box():
    scene = empty_scene(moving_square(3) for _ in range(3))
    assert box_of_movement(moving_square(3), scene) is None


def test_boxes_of_large_pictures_are_in_their_own_pixels():
    frames = [np.kron(moving_square(number), np.ones((4, 4, 1), np.uint8)) for number in range(8)]
    box = box_of_movement(frames[4], empty_scene(frames))
    assert box is not None and np.abs(np.array(box) - (400, 320, 160, 320)).max() <= 24, box


def test_a_wild_box_and_a_missing_one_are_bridged():
    boxes = np.tile([10.0, 20.0, 30.0, 40.0], (15, 1))
    boxes[:, 0] += np.arange(15)
    boxes[4] = (500, 500, 5, 5)
    boxes[9] = np.nan
    smooth = smooth_boxes(boxes)
    assert np.isfinite(smooth).all()
    np.testing.assert_allclose(smooth[4:11, 0], 10 + np.arange(4, 11), atol=1.01)
    np.testing.assert_allclose(smooth[:, 2], 30)


def test_no_box_at_all_is_refused():
    with pytest.raises(ValueError, match="no frame has a box"):
        smooth_boxes(np.full((3, 4), np.nan))


def test_few_frames_are_kept_of_a_video_of_any_length():
    for length, kept in ((3, [0, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 2, 4]), (17, [0, 8, 16]), (40, [0, 16, 32])):
        frames = (np.full((6, 8, 3), number, np.uint8) for number in range(length))
        assert [int(frame[0, 0, 0]) for frame in evenly_spaced_frames(frames, 4)] == kept


def two_part_person(number: int) -> np.ndarray:
    """Bare chest and shins, and between them shorts of the wall's own colour."""
    picture = np.random.default_rng(0).integers(60, 70, (240, 320, 3)).astype(np.uint8)
    left = 20 + 20 * number
    picture[60:110, left : left + 40] = picture[125:175, left : left + 30] = (200, 150, 120)
    return picture


def test_clothes_of_the_walls_colour_do_not_halve_a_person():
    scene = empty_scene(two_part_person(number) for number in range(12))
    box = box_of_movement(two_part_person(5), scene)
    assert box is not None and np.abs(np.array(box) - (120, 60, 40, 115)).max() <= 6, box


def test_a_shadow_is_not_of_the_person():
    scene = empty_scene(moving_square(number) for number in range(12))
    picture = moving_square(5)
    picture[160:180, 120:240] -= 20
    box = box_of_movement(picture, scene)
    assert box is not None and np.abs(np.array(box) - (120, 80, 40, 80)).max() <= 6, box


def test_who_hardly_moves_is_kept_out_of_the_scene_where_people_are_known():
    def stay(number: int) -> np.ndarray:
        return moving_square(4 if number < 8 else 9)

    def people(rgb: np.ndarray) -> np.ndarray:
        return rgb[..., 0] > 200

    plain, cleared = (empty_scene((stay(number) for number in range(12)), who) for who in (None, people))
    assert plain[120, 120].tolist() == [220, 30, 30]
    assert (cleared[..., 0] < 130).all() and cleared.shape == plain.shape
    box = box_of_movement(stay(2), cleared)
    assert box is not None and np.abs(np.array(box) - (100, 80, 40, 80)).max() <= 6, box
    always = empty_scene((moving_square(3) for _ in range(4)), people)
    np.testing.assert_array_equal(always, moving_square(3))


def textured(height=270, width=480, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (height // 6, width // 6, 3)).astype(np.uint8), (width, height))


def test_a_camera_that_pans_moves_and_one_before_a_walker_does_not():
    wide = textured(width=900)
    panned = [wide[:, 8 * number : 480 + 8 * number] for number in range(10)]
    assert camera_moves(panned) is True
    still = []
    for number in range(10):
        frame = wide[:, :480].copy()
        frame[60:250, 30 + 30 * number : 110 + 30 * number] = (220, 40, 40)
        still.append(frame)
    assert camera_moves(still) is False


def test_a_slow_pan_adds_up_and_a_trembling_hand_does_not():
    wide = textured(width=900)
    assert camera_moves([wide[:, 2 * number : 480 + 2 * number] for number in range(12)]) is True
    assert camera_moves([wide[:, 50 + 3 * (number % 2) : 530 + 3 * (number % 2)] for number in range(12)]) is False


def test_a_bare_wall_does_not_tell_whether_the_camera_moved():
    assert camera_moves([np.full((270, 480, 3), 120, np.uint8)] * 5) is None
    assert camera_moves([textured()]) is None


def test_boxes_are_smoothed_between_jumps_and_not_across():
    boxes = np.array([[10.0 + n, 20, 40, 80] for n in range(12)] + [[300.0 + n, 20, 40, 80] for n in range(12)])
    boxes[5] = np.nan
    assert jumps_of(boxes) == [12]
    smooth = smooth_between_jumps(boxes)
    assert smooth[:12, 0].max() < 25 and smooth[12:, 0].min() > 295 and np.isfinite(smooth).all()


def test_overlap_of_boxes_by_hand():
    assert overlap_of_boxes(Box(0, 0, 10, 10), Box(5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap_of_boxes(Box(0, 0, 10, 10), Box(10, 0, 10, 10)) == 0
    assert overlap_of_boxes(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0
