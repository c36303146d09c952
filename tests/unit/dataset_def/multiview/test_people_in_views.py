"""Who is who in several views: sides that one view takes for each other, detections that lie, masks in crops."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset_def.masks_data import level_camera
from dataset_def.multiview import people_in_views
from dataset_def.multiview.keypoint_files import BODY_25B
from dataset_def.multiview.people_in_views import (
    SeenSomebody,
    centre_px,
    crop_of_mask,
    detected_people,
    exchanged,
    followed,
    person_in_views,
    targets_world_m,
    view_mask,
)
from dataset_def.multiview.recording import MultiviewRecording, RecordedView
from tests.helpers.small_recording import walking_m
from tests.helpers.tiny_h36m import looking_camera
from utils.camera import project, to_camera
from utils.skeleton import KEYPOINTS_25

CAMERAS = [looking_camera(number, 400, 400) for number in (1, 2, 3, 4)]
FRAMES, OUTLIER_PX = 6, 20.0


def points_m() -> np.ndarray:
    """A stick man who walks, in the order of KEYPOINTS_25; his hands are not known."""
    named = walking_m(FRAMES)
    found = np.full((FRAMES, 25, 3), np.nan)
    for row, name in enumerate(KEYPOINTS_25):
        theirs = name.replace("_toe", "_big_toe")
        if theirs in BODY_25B:
            found[:, row] = named[:, BODY_25B.index(theirs)]
    return found


POINTS_M = points_m()


def seen_by(camera, shift_px: float = 0.0) -> list[list[SeenSomebody]]:
    """Everybody in one view: the man alone."""
    frames = []
    for time in range(FRAMES):
        seen = np.zeros((25, 3))
        known = np.isfinite(POINTS_M[time, :, 0])
        seen[known, :2] = project(camera, to_camera(camera, POINTS_M[time, known])) + shift_px
        seen[known, 2] = 0.9
        frames.append([SeenSomebody(seen)])
    return frames


def test_a_clip_that_ends_early_is_named_unless_it_may(monkeypatch):
    """It may have fewer frames that can be decoded than lie in it."""
    clips = tuple(RecordedView(f"cam{number}", camera, Path(f"cam{number}.mp4"), first=number)
                  for number, camera in enumerate(CAMERAS[:2]))  # fmt: skip
    recording = MultiviewRecording(clips, FRAMES, 3, 5.0, None, "exact")
    monkeypatch.setattr(people_in_views, "detected_in_view", lambda job: [[]] * (FRAMES - 2 * job.view.first))
    with pytest.raises(ValueError, match=rf"cam1\.mp4 ends before frame {1 + 3 * (FRAMES - 2) + 1}; copy it again"):
        detected_people(recording, Path("networks"), "full", 1)
    found = detected_people(recording, Path("networks"), "full", 1, may_end=True)
    assert [len(frames) for frames in found] == [FRAMES, FRAMES - 2]


def gathered(views):
    everybody = followed(CAMERAS, views, OUTLIER_PX, 5.0)
    return person_in_views(CAMERAS, views, everybody, 0, OUTLIER_PX)


def worst_mm(person) -> float:
    known = np.isfinite(POINTS_M[..., 0])
    return float(1000 * np.linalg.norm(person.points_world_m - POINTS_M, axis=-1)[known].max())


def test_what_all_views_see_is_found_in_space():
    person = gathered([seen_by(camera) for camera in CAMERAS])
    assert worst_mm(person) < 0.1 and person.is_used[..., : KEYPOINTS_25.index("left_index")].all()
    assert np.nanmax(person.errors_px()) < 1e-3 and not person.is_exchanged.any()


def test_a_view_that_takes_left_for_right_is_set_right_by_the_others():
    views = [seen_by(camera) for camera in CAMERAS]
    wrong = (1, 2, 4)
    for time in wrong:
        views[2][time] = [SeenSomebody(exchanged(views[2][time][0].keypoints_px, True))]
    person = gathered(views)
    assert np.argwhere(person.is_exchanged).tolist() == [[time, 2] for time in wrong]
    assert worst_mm(person) < 0.1 and person.is_used[:, 2, :17].all()


def test_a_view_that_always_takes_left_for_right_is_set_right_too():
    views = [seen_by(camera) for camera in CAMERAS]
    views[1] = [[SeenSomebody(exchanged(one.keypoints_px, True)) for one in people] for people in views[1]]
    person = gathered(views)
    assert person.is_exchanged[:, 1].all() and not person.is_exchanged[:, [0, 2, 3]].any()
    assert worst_mm(person) < 0.1


def test_a_keypoint_that_one_view_sees_elsewhere_does_not_count():
    views, wrist = [seen_by(camera) for camera in CAMERAS], KEYPOINTS_25.index("left_wrist")
    views[0][3][0].keypoints_px[wrist, :2] += 45.0
    person = gathered(views)
    assert worst_mm(person) < 0.1
    assert not person.is_used[3, 0, wrist] and person.is_used[3, 1:, wrist].all()


def test_somebody_else_whom_one_view_sees_is_not_taken_for_the_person():
    views = [seen_by(camera) for camera in CAMERAS]
    views[3] = seen_by(CAMERAS[3], 120.0)
    person = gathered(views)
    assert not person.keypoints_px[:, 3].any() and worst_mm(person) < 0.1


def disc(centre: tuple[float, float], radius_px: float, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    cv2.circle(mask, (round(centre[0] * 256), round(centre[1] * 256)), round(radius_px * 256), 255, -1, cv2.LINE_AA, 8)
    return mask


def test_a_mask_lies_in_its_crop_where_the_camera_sees_it():
    camera, target_m = CAMERAS[0], np.array([0.2, -0.1, 0.9])
    at_px = project(camera, to_camera(camera, target_m[None]))[0]
    to = level_camera(camera, target_m, 64, 2.6)
    radius_px = 0.5 * camera.focal_px[0] / to_camera(camera, target_m[None])[0, 2]
    whole = view_mask(disc(tuple(at_px - 0.5), radius_px, (400, 400)))
    cut = crop_of_mask(whole, camera, to)
    inside = (cut > 128).sum()
    assert inside == pytest.approx(np.pi * (0.5 * 64 / 2.6) ** 2, rel=0.04)
    y, x = np.mgrid[:64, :64] + 0.5
    middle = (x * cut).sum() / cut.sum(), (y * cut).sum() / cut.sum()
    assert middle == pytest.approx((32, 32), abs=0.05), "half a pixel of the picture is 0.13 here"


def test_a_mask_of_a_turned_region_is_the_same_mask():
    camera, target_m = CAMERAS[1], np.array([0.1, 0.1, 1.0])
    at_px = project(camera, to_camera(camera, target_m[None]))[0] + (7, -4)
    whole = view_mask(disc(tuple(at_px - 0.5), 30, (400, 400)))
    angle, side_px = 0.7, 160.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * side_px / 256
    to_picture = np.column_stack([turn, at_px - turn @ (128, 128)])
    region = view_mask(disc((127.5, 127.5), 30 * 256 / side_px, (256, 256)), to_picture)
    to = level_camera(camera, target_m, 64, 2.6)
    one, other = (crop_of_mask(mask, camera, to).astype(float) for mask in (whole, region))
    assert np.abs(one - other).mean() < 1.5 and one.max() == 255
    assert centre_px(region) == pytest.approx(at_px, abs=0.2) and centre_px(whole) == pytest.approx(at_px, abs=0.2)


def test_crops_look_at_the_masks_or_at_the_trunk():
    views = [seen_by(camera) for camera in CAMERAS]
    person = gathered(views)
    hips_m = np.nanmean(POINTS_M[:, [KEYPOINTS_25.index(f"{side}_{part}") for side in ("left", "right")
                                     for part in ("hip", "shoulder")]], axis=1)  # fmt: skip
    assert targets_world_m(person) == pytest.approx(hips_m, abs=1e-3)
    place_m = np.array([0.5, 0.2, 1.1])
    masks = [view_mask(disc(tuple(project(one, to_camera(one, place_m[None]))[0] - 0.5), 9, (400, 400)))
             for one in CAMERAS]  # fmt: skip
    with_masks = person._replace(masks=[masks] * FRAMES)
    assert targets_world_m(with_masks) == pytest.approx(np.tile(place_m, (FRAMES, 1)), abs=0.01)
