"""Whose keypoints are read: names, boxes, one person followed, other programs' files."""

import json

import numpy as np
import pytest

from dataset_def.multiview.keypoint_files import BODY_25B
from dataset_def.photos.blazepose import BLAZEPOSE, Region, SeenPerson
from dataset_def.photos.keypoints import (
    FollowedPerson,
    apart,
    box_of_person,
    given_keypoints,
    keypoints_of,
    settled_sides,
)
from dataset_def.photos.pictures import Picture, Pictures
from utils.person_box import Box
from utils.skeleton import KEYPOINTS_25, mirrored

RGB = np.zeros((200, 400, 3), np.uint8)


def seen(left: float, height: float = 100.0, presence: float = 1.0) -> SeenPerson:
    """Somebody whose points lie on a diagonal."""
    points = np.linspace((left, 20.0), (left + 40, 20 + height), len(BLAZEPOSE))
    middle = Region(points.mean(axis=0), height, 0.0)
    return SeenPerson(points, np.ones(33), np.zeros((33, 3)), presence, middle, np.zeros((256, 256)), middle)


class Networks:
    """A detector that sees listed people, frame by frame; it follows whoever is nearest."""

    def __init__(self, frames: list[list[SeenPerson]]):
        self.frames, self.number, self.searches, self.mirrored, self.apart = frames, -1, 0, 0, 0.02

    def read(self, rgb, region):
        there = self.frames[self.number]
        nearest = min(there, key=lambda one: np.linalg.norm(one.following.centre_px - region.centre_px), default=None)
        return seen(0, presence=0.0) if nearest is None else nearest

    def people(self, rgb):
        self.searches += 1
        return self.frames[self.number]

    def in_mirror(self, rgb, person):
        self.mirrored += 1
        return 1.0, self.apart

    def person_in(self, rgb, box):
        return min(self.frames[self.number], key=lambda one: apart(one.box, box), default=None)


def follow(frames, is_sequence=True, box_of=None):
    networks = Networks(frames)
    person = FollowedPerson(networks, is_sequence, box_of)
    found = []
    for networks.number in range(len(frames)):
        found.append(person(networks.number, Picture(f"frame_{networks.number}", RGB)))
    return found, person, networks


def test_the_largest_is_taken_and_followed_while_a_larger_one_comes():
    frames = [[seen(100), seen(250, 60)], [seen(105), seen(240, 150)], [seen(110), seen(230, 150)]]
    found, person, networks = follow(frames)
    assert [round(one.box.left_px) for one in found] == [100, 105, 110]
    assert [one.is_new for one in found] == [True, False, False]
    assert networks.searches == 1 and person.num_others == 1


def test_who_is_lost_is_found_again_near_by_but_nobody_else_is_taken():
    frames = [[seen(100)], [seen(330)], [], [seen(120)]]
    found, person, _ = follow(frames)
    assert found[0] is not None and found[1] is None and found[2] is None
    assert found[3] is not None and found[3].is_new and person.num_lost == 2


def test_pictures_of_a_folder_have_nothing_to_do_with_each_other():
    found, _, networks = follow([[seen(100)], [seen(330)]], is_sequence=False)
    assert [round(one.box.left_px) for one in found] == [100, 330] and networks.searches == 2


def test_a_picture_whose_mirror_shows_another_body_is_doubtful_and_videos_are_not_looked_at_twice():
    for is_apart, is_sequence in ((False, False), (True, False), (True, True)):
        networks = Networks([[seen(100)]])
        networks.number, networks.apart = 0, 0.15 if is_apart else 0.02
        person = FollowedPerson(networks, is_sequence)
        found = person(0, Picture("street", RGB))
        assert found.is_doubtful == (is_apart and not is_sequence)
        assert person.doubtful == ["street"] * found.is_doubtful and networks.mirrored == (not is_sequence)


def test_a_given_box_chooses_and_leads_back():
    frames = [[seen(100), seen(250, 60)], [seen(100), seen(250, 60)]]
    found, _, _ = follow(frames, box_of=lambda *_: Box(240, 20, 50, 70))
    assert [round(one.box.left_px) for one in found] == [250, 250]


def test_too_few_points_are_no_body_and_names_decide_the_order():
    assert keypoints_of(np.arange(66.0).reshape(33, 2), np.r_[np.ones(5), np.zeros(28)], BLAZEPOSE, True) is None
    points = np.arange(50.0).reshape(25, 2)
    found = keypoints_of(points, np.ones(25), BODY_25B, False)
    assert found.points_px[KEYPOINTS_25.index("left_toe")].tolist() == points[BODY_25B.index("left_big_toe")].tolist()
    assert found.confidence[KEYPOINTS_25.index("left_pinky")] == 0
    assert box_of_person(None) is None
    assert box_of_person(found).height_px > found.box.height_px


def pictures(count: int, kind="folder") -> Pictures:
    frames = [Picture(f"p{number}", RGB) for number in range(count)]
    return Pictures(kind, "pictures", count, None if kind == "folder" else 30.0, lambda: iter(frames))


def openpose(left: float, height=100.0) -> dict:
    points = np.linspace((left, 20.0), (left + 40, 20 + height), 25)
    return {"pose_keypoints_2d": np.column_stack([points, np.full(25, 0.9)]).ravel().tolist()}


def test_openpose_files_of_a_video_are_followed_by_their_boxes(tmp_path):
    for number, people in enumerate([[openpose(100), openpose(250, 60)], [openpose(240, 150), openpose(104)], []]):
        (tmp_path / f"v_{number:03d}_keypoints.json").write_text(json.dumps({"people": people}))
    finder = given_keypoints(tmp_path, "body_25", pictures(3, "video"), None)
    found = [finder.person(number, Picture("p", RGB)) for number in range(3)]
    assert [one and round(one.box.left_px) for one in found] == [100, 104, None]
    other = given_keypoints(tmp_path, "body_25", pictures(3, "video"), Box(240, 20, 40, 60))
    assert round(other.person(0, Picture("p", RGB)).box.left_px) == 250


def test_coco_of_one_picture_is_read_and_another_number_of_pictures_refused(tmp_path):
    points = np.column_stack([np.linspace((100, 20), (140, 120), 17), np.full(17, 2)]).ravel().tolist()
    path = tmp_path / "coco.json"
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "keypoints": points, "score": 0.9}]))
    found = given_keypoints(path, "", pictures(1), None).person(0, Picture("p", RGB))
    assert (found.confidence > 0).sum() == 17 and found.confidence.max() == 1
    with pytest.raises(ValueError, match="1 frames, and pictures has 2"):
        given_keypoints(path, "", pictures(2), None)
    with pytest.raises(FileNotFoundError, match="do not exist"):
        given_keypoints(tmp_path / "none.json", "", pictures(1), None)


def walking(count: int) -> np.ndarray:
    """Somebody whose left is at the right of the picture, and who moves a little."""
    rng = np.random.default_rng(0)
    rest = np.array([[(60 if "left" in name else 20 if "right" in name else 40), 10 * n] for n, name in
                     enumerate(KEYPOINTS_25)], float)  # fmt: skip
    rest[:, 1] = (rest[:, 1] + rest[mirrored(KEYPOINTS_25), 1]) / 2
    return rest + np.arange(count)[:, None, None] * (2.0, 0.5) + rng.normal(0, 1, (count, 25, 2))


def test_frames_with_exchanged_sides_are_outvoted():
    straight, sure = walking(12), np.ones((12, 25))
    sure[:, KEYPOINTS_25.index("left_pinky")] = 0
    exchanged = straight.copy()
    for now in (0, 5, 6, 11):
        exchanged[now] = straight[now][mirrored(KEYPOINTS_25)]
    assert not settled_sides(straight, sure, False).any()
    assert np.flatnonzero(settled_sides(exchanged, sure, False)).tolist() == [0, 5, 6, 11]
    known = settled_sides(exchanged, sure, True)  # the first frame is believed, so all others are turned to it
    assert not known[0] and known[1:5].all() and not known[5]
    assert not settled_sides(exchanged, np.zeros((12, 25)), False).any()


@pytest.mark.parametrize("first", [0, 1])
def test_a_file_that_leaves_out_empty_frames_of_a_video_shifts_nobody(tmp_path, first):
    people = []
    for number in (0, 1, 4):
        points = np.linspace((100 + 10 * number, 20), (140 + 10 * number, 120), 17)
        keypoints = np.column_stack([points, np.full(17, 0.9)]).ravel().tolist()
        people.append({"image_id": f"{number + first}.jpg", "category_id": 1, "keypoints": keypoints, "score": 2.5})
    path = tmp_path / "alphapose-results.json"
    path.write_text(json.dumps(people))
    finder = given_keypoints(path, "", pictures(5, "video"), None)
    found = [finder.person(number, Picture("p", RGB)) for number in range(5)]
    assert [one and int(one.box.left_px) for one in found] == [100, 110, None, None, 140]


def test_keypoints_of_another_video_or_not_in_pixels_are_refused(tmp_path):
    for number in range(9):
        (tmp_path / f"v_{number:03d}_keypoints.json").write_text(json.dumps({"people": [openpose(100)]}))
    assert given_keypoints(tmp_path, "body_25", pictures(8, "video"), None).how, "headers may be wrong by two frames"
    with pytest.raises(ValueError, match="of 9 frames, and pictures has 5"):
        given_keypoints(tmp_path, "body_25", pictures(5, "video"), None)
    finder = given_keypoints(tmp_path, "body_25", pictures(5, "video"), None, True)
    assert finder.person(4, Picture("p", RGB)) is not None, "the first five were asked for"
    assert given_keypoints(tmp_path, "body_25", pictures(4), None, True).person(3, Picture("p", RGB)) is not None
    shares = np.column_stack([np.linspace((0.2, 0.1), (0.3, 0.6), 17), np.full(17, 0.9)]).ravel().tolist()
    path = tmp_path / "shares.json"
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "keypoints": shares, "score": 0.9}]))
    with pytest.raises(ValueError, match="are shares of the picture's width and height; write them in pixels"):
        given_keypoints(path, "", pictures(1), None)
