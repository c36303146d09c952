"""Clips that started apart: found from how somebody moves, refused where nobody does."""

import numpy as np
import pytest

from dataset_def.multiview.offsets import found_offsets, pair_offset
from dataset_def.multiview.people_in_views import SeenSomebody
from tests.helpers.tiny_h36m import looking_camera
from utils.camera import project, to_camera

CAMERAS = [looking_camera(number, 400, 400) for number in (1, 2, 3, 4)]
NAMES = ["a", "b", "c", "d"]
LENGTH = 60


def dancing_m(frames: int, speed: float = 1.0) -> np.ndarray:
    """25 points that swing each in its own way."""
    rng = np.random.default_rng(3)
    place = rng.uniform([-0.3, -0.3, 0.2], [0.3, 0.3, 1.7], (25, 3))
    phase, rate = rng.uniform(0, 6, (25, 3)), rng.uniform(0.1, 0.4, (25, 3))
    times = np.arange(frames)[:, None, None]
    return place + 0.25 * speed * np.sin(times * rate + phase)


def clips(starts: list[int], speed: float = 1.0, noise_px: float = 1.0, shift_px: float = 4.0):
    """What each camera sees that began `start` frames before the last one; a constant shift is a lens that is off."""
    rng = np.random.default_rng(0)
    points_m = dancing_m(LENGTH + max(starts), speed)
    views = []
    for camera, start in zip(CAMERAS, starts, strict=True):
        begins = max(starts) - start
        seen = [project(camera, to_camera(camera, frame)) + rng.normal(0, noise_px, (25, 2)) + shift_px
                for frame in points_m[begins : begins + LENGTH]]  # fmt: skip
        views.append([[SeenSomebody(np.column_stack([one, np.full(25, 0.9)]))] for one in seen])
    return views


def test_clips_that_started_apart_are_brought_into_step():
    found = found_offsets(NAMES, CAMERAS, clips([0, 3, 7, 2]), 12)
    assert found.frames.tolist() == [0, 3, 7, 2] and "b-c +4 (" in found.told
    assert found_offsets(NAMES, CAMERAS, clips([0, 0, 0, 0]), 12).frames.tolist() == [0, 0, 0, 0]


def test_clips_of_other_lengths_are_compared_where_they_overlap():
    views = clips([0, 5, 0, 0])
    views[1], views[2] = views[1][:48], views[2][4:]
    assert found_offsets(NAMES, CAMERAS, views, 10).frames.tolist() == [4, 9, 0, 4]


def test_somebody_who_stands_still_tells_nothing():
    with pytest.raises(ValueError, match="how far the clips are apart cannot be told: a-b"):
        found_offsets(NAMES, CAMERAS, clips([0, 3, 0, 0], speed=0.002), 10)


def test_cameras_that_contradict_each_other_are_refused():
    views = clips([0, 0, 0, 0])
    views[3] = clips([0, 0, 0, 0])[3][::-1]  # that clip runs backwards
    with pytest.raises(ValueError, match=r"cannot be told|contradict each other"):
        found_offsets(NAMES, CAMERAS, views, 10)


def test_an_offset_is_that_of_the_second_camera():
    seen = [np.stack([people[0].keypoints_px for people in view]) for view in clips([0, 4, 0, 0])]
    found = pair_offset((CAMERAS[0], CAMERAS[1]), seen[0], seen[1], 8)
    assert found.frames == 4 and found.clarity > 2
    assert pair_offset((CAMERAS[1], CAMERAS[0]), seen[1], seen[0], 8).frames == -4
