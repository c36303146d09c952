"""What is judged when a recording of one's own is imported: who counts, and what is said when little can be seen."""

import subprocess
import sys

import numpy as np

from dataset_def.multiview.check_calibration import Sightings, consistency, consistency_problems
from dataset_def.multiview.geometry import points_nearest_to_rays, projection_matrices
from dataset_def.multiview.joints import PersonTrack, PlacedJoints, median_errors_px, never_placed, told_apart
from dataset_def.multiview.keypoint_files import BODY_25B
from dataset_def.multiview.masks_from_motion import with_lone_patches
from dataset_def.multiview.people import TrackedPerson
from tests.helpers.own_clips import write_video
from tests.helpers.tiny_h36m import looking_camera
from utils.image import write_image

CAMERAS = [looking_camera(number, 256, 256) for number in (1, 2, 3)]
NOWHERE_M = np.zeros((2, 3))


def detection(x: float) -> np.ndarray:
    """25 keypoints at one place, all seen."""
    return np.tile([x, 100.0, 1.0], (25, 1))


def test_whoever_is_alone_in_a_view_judges_the_calibration_too():
    """View 0: the tracked person; view 1: alone but not tracked; view 2: two people, none of them tracked."""
    people = [[np.stack([detection(50)])] * 2, [np.stack([detection(60)])] * 2,
              [np.stack([detection(70), detection(80)])] * 2]  # fmt: skip
    tracked_px = np.zeros((2, 3, 25, 3))
    tracked_px[:, 0] = detection(50)
    me = TrackedPerson(np.array([[0, -1, -1]] * 2), 1.0, 1.0, NOWHERE_M)
    seen_px = told_apart(CAMERAS, people, tracked_px, [me], person=1)
    np.testing.assert_allclose(seen_px[:, :2, 0, 0], [[50, 60]] * 2)
    assert not seen_px[:, 2].any() and not tracked_px[:, 1].any()


def test_somebody_else_who_is_followed_does_not_judge_the_calibration():
    people = [[np.stack([detection(50)])] * 2] * 3
    me = TrackedPerson(np.array([[0, -1, -1]] * 2), 1.0, 1.0, NOWHERE_M)
    other = TrackedPerson(np.array([[-1, 0, -1]] * 2), 0.5, 1.0, NOWHERE_M)
    seen_px = told_apart(CAMERAS, people, np.zeros((2, 3, 25, 3)), [me, other], person=1)
    assert seen_px[:, 2].any() and not seen_px[:, 1].any()
    briefly = other._replace(position_world_m=np.full((2, 3), np.nan))
    assert told_apart(CAMERAS, people, np.zeros((2, 3, 25, 3)), [me, briefly], person=1)[:, 1].any()


def test_a_camera_that_does_not_see_the_person_has_no_error():
    keypoints_px = np.zeros((2, 3, 25, 3))
    keypoints_px[:, :2] = detection(50)
    track = PersonTrack(keypoints_px, np.zeros((2, 25, 3)), np.zeros((2, 3, 25)), np.zeros((2, 3, 25), dtype=bool))
    found = median_errors_px(CAMERAS, PlacedJoints(track, np.zeros((2, 25, 3)), 0))
    assert found[2] is None and found[0] is not None and found[0] > 0


def test_joints_that_no_two_cameras_see_are_named():
    points_m = np.zeros((2, 25, 3))
    points_m[:, BODY_25B.index("left_hip")] = np.nan
    track = PersonTrack(np.zeros((2, 3, 25, 3)), points_m, np.zeros((2, 3, 25)), np.zeros((2, 3, 25), dtype=bool))
    assert never_placed(PlacedJoints(track, points_m, 0)) == ["pelvis", "left_hip", "spine"]
    assert never_placed(PlacedJoints(track, np.zeros((2, 25, 3)), 0)) == []


def test_no_point_is_no_error():
    assert points_nearest_to_rays(projection_matrices(CAMERAS), np.zeros((3, 0, 2)), np.zeros((3, 0))).shape == (0, 3)
    nobody = Sightings(np.full((5, 3, 1, 2), np.nan), np.full((5, 3), np.nan), "keypoints")
    names = ["a", "b", "c"]
    assert consistency_problems(names, CAMERAS, nobody, consistency(CAMERAS, nobody), 0.06) == []


def test_a_lone_patch_that_agrees_with_no_other_view_is_judged():
    whole, cut = (
        np.array([[[9, 5, 1.0], [10, 20, 1.0], [11, 45, 1.0]]]),
        np.array([[[9, 0, 0.0], [9, 9, 1], [9, 20, 1]]]),
    )
    masks = Sightings(np.full((2, 3, 1, 2), np.nan), np.full((2, 3), np.nan), "mask centres")
    judged = with_lone_patches(masks, [[whole, np.zeros((0, 3, 3))], [cut, whole], [np.concatenate([whole] * 2)] * 2])
    np.testing.assert_allclose(judged.points_px[[0, 1], [0, 1], 0], [[10, 20]] * 2)
    np.testing.assert_allclose(judged.extent_px[[0, 1], [0, 1]], 40)
    assert np.isfinite(judged.extent_px).sum() == 2 and np.isnan(masks.extent_px).all()
    assert "hardly moves" in judged.other_cause


def test_a_damaged_video_is_refused_without_the_decoders_own_messages(tmp_path):
    """In a process of its own, since FFmpeg asks once how much it may say."""
    path = tmp_path / "cam01.mp4"
    images = [tmp_path / f"{number}.png" for number in range(3)]
    for image in images:
        write_image(image, np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(write_video(path, images).read_bytes()[:3000])
    code = f"from pathlib import Path; from dataset_def.video import probe; probe(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("Traceback") and "is not a video that OpenCV can read" in done.stderr
    assert "moov" not in done.stderr and "moov" not in done.stdout
