"""The parts of the import of a real recording, on cameras and pictures whose answer is known."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from config import DATASET, Paths
from dataset_def.calibration.camera_values import our_camera
from dataset_def.calibration.files import read_calibration
from dataset_def.h36m_files import load_meta
from dataset_def.h36m_writer import write_meta
from dataset_def.import_multiview import lock_import, place_session_person
from dataset_def.multiview import masks_from_motion, pose2sim_session
from dataset_def.multiview.backgrounds import INPAINTED, OTHER_PICTURE, OWN, complete, masked_median
from dataset_def.multiview.custom_recording import named_videos
from dataset_def.multiview.geometry import refine_rotations, triangulate, turned_camera
from dataset_def.multiview.joints import fill_gaps, smoothed
from dataset_def.multiview.keypoint_files import BODY_25B, h36m_from_body_25b, read_people
from dataset_def.multiview.masks_from_keypoints import CAPSULE_LIMBS, body_capsules, cut_out
from dataset_def.multiview.people import picked, tracked_people
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.multiview.undistort import check_bars, ideal_image, letterbox, pinhole, sampling_map, undistorted_px
from dataset_def.multiview.write_layout import cut_into_sequences
from utils.camera import Camera, distort, project, resized, to_camera
from utils.skeleton import H36M_17

WHEEL = Path(os.environ.get("POSE2SIM_WHEEL", DATASET.parent / "downloads" / "pose2sim-0.7.0-py3-none-any.whl"))
QUALISYS = """<?xml version='1.0' encoding='ASCII'?>
<calibration><cameras>
  <camera active="1" serial="cam_01">
    <fov_video bottom="1919" left="0" right="1087" top="0"/>
    <transform r11="0" r12="1" r13="0" r21="0" r22="0" r23="1" r31="1" r32="0" r33="0" x="3000" y="0" z="1500"/>
    <intrinsic centerPointU="34816" centerPointV="61440" focalLengthU="107520" focalLengthV="107520"
      radialDistortion1="-0.05" radialDistortion2="0.1" radialDistortion3="0"
      tangentalDistortion1="0.001" tangentalDistortion2="0.002"/>
  </camera>
  <camera active="1" serial="cam_02">
    <fov_video bottom="1919" left="0" right="1087" top="0"/>
    <transform r11="0" r12="-1" r13="0" r21="0" r22="0" r23="1" r31="-1" r32="0" r33="0" x="-3000" y="0" z="1500"/>
    <intrinsic centerPointU="34816" centerPointV="61440" focalLengthU="107520" focalLengthV="107520"
      radialDistortion1="0" radialDistortion2="0" radialDistortion3="0"
      tangentalDistortion1="0" tangentalDistortion2="0"/>
  </camera>
</cameras></calibration>"""


def looking_at_origin(angle_rad: float, distance_m: float = 4.0) -> Camera:
    """A camera on a circle 1.5 m above the floor, looking at a point 1 m above the world's origin."""
    centre = np.array([distance_m * np.cos(angle_rad), distance_m * np.sin(angle_rad), 1.5])
    forward = np.array([0, 0, 1.0]) - centre
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    return Camera(R, centre, np.array([800.0, 800.0]), np.array([270.0, 480.0]), 540, 960)


CAMERAS = [looking_at_origin(angle) for angle in (0.1, 1.5, 3.3, 4.7)]


def pixels_of(points_world_m: np.ndarray, cameras: list[Camera] = CAMERAS) -> np.ndarray:
    return np.stack([project(camera, to_camera(camera, points_world_m)) for camera in cameras])


def some_points(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).uniform([-0.8, -0.8, 0], [0.8, 0.8, 2], (count, 3))


def standing_man() -> np.ndarray:
    """Keypoints of a man at the origin who faces +x (his left is +y), arms out."""
    heights = {"nose": 1.65, "neck": 1.5, "head_top": 1.8, "eye": 1.68, "ear": 1.66, "shoulder": 1.45, "elbow": 1.4,
               "wrist": 1.35, "hip": 0.95, "knee": 0.5, "ankle": 0.1, "big_toe": 0.02, "small_toe": 0.02,
               "heel": 0.02}  # fmt: skip
    across = {"shoulder": 0.2, "elbow": 0.45, "wrist": 0.7, "hip": 0.1, "knee": 0.15, "ankle": 0.2, "big_toe": 0.2,
              "small_toe": 0.25, "heel": 0.2, "eye": 0.03, "ear": 0.07}  # fmt: skip
    points = []
    for name in BODY_25B:
        side, _, part = name.partition("_")
        sign = {"left": 1, "right": -1}.get(side, 0)
        part = part if sign else name
        forward = 0.15 if part.endswith("toe") else 0.0
        points.append([forward, sign * across.get(part, 0.0), heights[part]])
    return np.array(points)


def test_qualisys_camera_looks_along_its_own_minus_z_with_y_up(tmp_path):
    (tmp_path / "Calib.qca.txt").write_text(QUALISYS)
    found = read_calibration([tmp_path / "Calib.qca.txt"])
    camera = our_camera(found.cameras["cam_01"], found.unit, (0, 0))
    np.testing.assert_allclose(camera.centre_world_m, [3, 0, 1.5])
    ahead_cam_m = to_camera(camera, np.array([[0, 0, 1.5], [0, 0.5, 1.5], [0, 0, 2.0]]))
    np.testing.assert_allclose(ahead_cam_m[0], [0, 0, 3], atol=1e-12)
    np.testing.assert_allclose(ahead_cam_m[1], [0.5, 0, 3], atol=1e-12)
    np.testing.assert_allclose(ahead_cam_m[2], [0, -0.5, 3], atol=1e-12)
    np.testing.assert_allclose(camera.focal_px, 1680)
    np.testing.assert_allclose(camera.centre_px, [544.5, 960.5])
    assert (camera.width_px, camera.height_px, camera.distortion) == (1088, 1920, "opencv")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('r12="1" r13="0"', 'r12="-1" r13="0"', "no rotation"),
        ('x="3000"', 'x="far"', "instead of a number"),
        ("<intrinsic ", "<other ", "<intrinsic> is missing"),
        ("</calibration>", "", "is not the XML"),
        ('active="1" serial="cam_02"', 'active="0" serial="cam_02"', "at least 2"),
    ],
)
def test_a_bad_calibration_is_refused_in_words(tmp_path, old, new, words):
    (tmp_path / "Calib.qca.txt").write_text(QUALISYS.replace(old, new, 1))
    with pytest.raises(ValueError, match=words):
        read_calibration([tmp_path / "Calib.qca.txt"])


def test_exact_pixels_give_exact_points():
    points = some_points()
    found = triangulate(CAMERAS, pixels_of(points), np.ones((4, len(points))), outlier_px=20.0)
    assert np.abs(found.points_world_m - points).max() < 1e-6
    assert found.is_used.all()


def test_one_camera_that_saw_something_else_does_no_harm():
    points, rng = some_points(), np.random.default_rng(1)
    pixels = pixels_of(points)
    wrong = rng.integers(4, size=len(points))
    pixels[wrong, np.arange(len(points))] += rng.choice([-1, 1], (len(points), 2)) * rng.uniform(
        60, 200, (len(points), 2)
    )
    found = triangulate(CAMERAS, pixels, np.ones((4, len(points))), outlier_px=20.0)
    assert np.abs(found.points_world_m - points).max() < 1e-6
    assert not found.is_used[wrong, np.arange(len(points))].any()
    assert (found.error_px[wrong, np.arange(len(points))] > 60).all()


def test_two_cameras_are_enough_and_one_is_not():
    points = some_points(2)
    confidence = np.array([[1, 1], [1, 0], [0, 0], [0, 0.0]])
    found = triangulate(CAMERAS, pixels_of(points), confidence, outlier_px=20.0)
    assert np.abs(found.points_world_m[0] - points[0]).max() < 1e-6
    assert np.isnan(found.points_world_m[1]).all()
    assert np.isnan(found.error_px[2:]).all()


def test_noise_is_averaged_over_cameras():
    points, rng = some_points(200), np.random.default_rng(2)
    pixels = pixels_of(points) + rng.normal(0, 2, (4, 200, 2))
    all_four = triangulate(CAMERAS, pixels, np.ones((4, 200)), 40.0).points_world_m
    two = triangulate(CAMERAS[:2], pixels[:2], np.ones((2, 200)), 40.0).points_world_m
    error_m = [np.linalg.norm(found - points, axis=1).mean() for found in (all_four, two)]
    assert error_m[0] < 0.8 * error_m[1]


def test_turned_cameras_are_turned_back():
    points, rng = some_points(60), np.random.default_rng(3)
    pixels = pixels_of(points)
    skewed = [turned_camera(camera, rng.normal(0, 0.008, 3)) for camera in CAMERAS]
    first = triangulate(skewed, pixels, np.ones((4, 60)), 60.0)
    found = refine_rotations(skewed, pixels, np.ones((4, 60)), first.points_world_m)
    before, after = (
        [
            Rotation.from_matrix(a.R_cam_from_world @ b.R_cam_from_world.T).magnitude()
            for a, b in zip(c, CAMERAS, strict=True)
        ]
        for c in (skewed, found)
    )
    assert max(after) < 0.15 * max(before), f"{before} rad became {after}"
    again = triangulate(found, pixels, np.ones((4, 60)), 60.0)
    assert np.nanmedian(again.error_px) < 0.2 * np.nanmedian(first.error_px)


def test_keypoints_become_the_17_joints():
    joints = dict(zip(H36M_17, h36m_from_body_25b(standing_man()), strict=True))
    np.testing.assert_allclose(joints["pelvis"], [0, 0, 0.95])
    np.testing.assert_allclose(joints["thorax"], [0, 0, 1.45])
    np.testing.assert_allclose(joints["spine"], [0, 0, 1.2])
    np.testing.assert_allclose(joints["left_wrist"], [0, 0.7, 1.35])
    np.testing.assert_allclose(joints["right_knee"], [0, -0.15, 0.5])
    np.testing.assert_allclose(joints["head_top"], [0, 0, 1.8])


def test_the_same_person_is_found_among_bystanders():
    man, other = standing_man(), standing_man() + np.array([0.0, 1.5, 0.0])
    wrong = other.copy()
    wrong[:, 2] += 0.3 * np.sin(np.arange(25))
    seen = [np.concatenate([pixels, np.ones((25, 1))], axis=1) for pixels in pixels_of(man)]
    bystander = [np.concatenate([pixels, np.full((25, 1), 2.0)], axis=1) for pixels in pixels_of(wrong)]
    people = [np.stack([bystander[0], seen[0]]), np.stack([seen[1], bystander[1]]), seen[2][None], seen[3][None]]
    first = tracked_people(CAMERAS, [people], 40.0, 25.0)[0]
    np.testing.assert_allclose(picked([people], first)[0], np.stack(seen))


def test_openpose_files_of_another_skeleton_are_refused():
    with pytest.raises(ValueError, match="holds 18 keypoints per person; body_25b has 25"):
        read_people("a.json", '{"people": [{"pose_keypoints_2d": ' + str([0.0] * 54) + "}]}", "body_25b")
    with pytest.raises(ValueError, match="is no keypoint file"):
        read_people("a.json", '{"persons": []}')
    assert read_people("a.json", '{"people": []}').shape == (0, 25, 3)


def test_gaps_are_interpolated_and_what_was_never_seen_stays_unknown():
    points = np.tile(np.arange(5.0)[:, None, None], (1, 2, 3))
    points[1:3, 0] = np.nan
    points[:, 1] = np.nan
    filled = fill_gaps(points)
    np.testing.assert_allclose(filled[:, 0, 0], np.arange(5.0))
    assert np.isnan(filled[:, 1]).all()


def test_smoothing_halves_the_power_at_the_cutoff():
    times_s = np.arange(600) / 60
    wave = np.sin(2 * np.pi * 6 * times_s)[:, None, None] * np.ones((1, 1, 3))
    ratio = smoothed(wave, 60.0, 6.0)[100:500].std() / wave[100:500].std()
    assert ratio == pytest.approx(np.sqrt(0.5), rel=0.02)
    assert smoothed(wave, 60.0, 0.0) is wave


def test_undistorting_pixels_inverts_the_lens():
    camera = CAMERAS[0]._replace(k=np.array([-0.05, 0.14, 0.0]), p=np.array([0.001, -0.0005]), distortion="opencv")
    ideal_px = np.random.default_rng(4).uniform([0, 0], [540, 960], (50, 2))
    lens_px = distort(camera, (ideal_px - camera.centre_px) / camera.focal_px) * camera.focal_px + camera.centre_px
    assert np.abs(lens_px - ideal_px).max() > 1
    assert np.abs(undistorted_px(camera, lens_px) - ideal_px).max() < 0.01


def test_a_letterboxed_video_is_put_back_to_the_calibrated_size():
    camera = CAMERAS[0]._replace(width_px=544, height_px=960, k=np.zeros(3))
    rows, columns = np.mgrid[:960, :544]
    waves = [127 + 100 * np.sin(columns / 20), 127 + 100 * np.sin(rows / 20), np.full(rows.shape, 90)]
    picture = np.stack(waves, axis=-1).astype(np.uint8)
    box = letterbox(camera, 540, 960)
    assert box.scale == 540 / 544 and box.left_px == 0
    assert box.top_px == pytest.approx(960 * (1 - 540 / 544) / 2)
    video = np.zeros((960, 540, 3), np.uint8)
    small = cv2.resize(picture, (540, 953), interpolation=cv2.INTER_AREA)
    video[3:956] = small[:953]
    check_bars("video", video, camera)
    back = ideal_image(video, sampling_map(camera, box))
    assert back.shape == (960, 544, 3)
    inside = np.abs(back[20:-20, 5:-5].astype(int) - picture[20:-20, 5:-5])
    assert inside.max() <= 6, f"{inside.max()} levels; a row more or less makes 5, the bar of 3.5 rows makes 17"
    with pytest.raises(ValueError, match="no black bars explain"):
        check_bars("video", np.full((960, 540, 3), 120, np.uint8), camera)


def is_toe() -> list[bool]:
    return [name.endswith("toe") for name in BODY_25B]


def picture_of_a_man(camera: Camera = CAMERAS[0], long_feet: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An orange man of capsules before a grey-blue textured wall; the picture, the wall and his true mask."""
    rng = np.random.default_rng(5)
    size = (camera.width_px, camera.height_px)
    wall = cv2.resize(rng.integers(90, 140, (60, 34, 3), dtype=np.uint8), size, interpolation=cv2.INTER_CUBIC)
    man_m = standing_man()
    man_m[is_toe(), 0] += 0.08 * long_feet
    capsules = body_capsules(camera, man_m)
    body = np.zeros(size[::-1], np.uint8)
    for ends, radius in zip(capsules.ends_px, capsules.radius_px, strict=True):
        cv2.line(body, *[tuple(int(v) for v in end) for end in ends], 255, int(1.4 * radius))
    image = np.where(body[..., None] > 0, np.array([220, 120, 60], np.uint8), wall)
    noisy = image + rng.normal(0, 4, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), wall, body


def test_the_mask_is_the_man():
    image, wall, body = picture_of_a_man()
    difference = np.abs(image.astype(np.float32) - wall).max(axis=-1)
    for known in (None, difference):
        mask = cut_out(image, body_capsules(CAMERAS[0], standing_man()), known)
        assert set(np.unique(mask)) == {0, 255}
        overlap = ((mask > 0) & (body > 0)).sum() / ((mask > 0) | (body > 0)).sum()
        assert overlap > 0.9, f"overlap {overlap:.3f}, expected above 0.9"


def test_a_man_of_60_pixels_is_cut_out_as_well():
    camera = resized(CAMERAS[0], 90, 160)
    image, wall, body = picture_of_a_man(camera)
    difference = np.abs(image.astype(np.float32) - wall).max(axis=-1)
    mask = cut_out(image, body_capsules(camera, standing_man()), difference)
    overlap = ((mask > 0) & (body > 0)).sum() / ((mask > 0) | (body > 0)).sum()
    assert overlap > 0.95, f"overlap {overlap:.3f}, expected above 0.95"


def test_feet_are_in_the_mask_though_the_keypoints_end_at_the_ankles():
    image, wall, body = picture_of_a_man(CAMERAS[1], long_feet=True)
    man_m = standing_man()
    man_m[[name.endswith(("heel", "toe")) for name in BODY_25B]] = np.nan
    difference = np.abs(image.astype(np.float32) - wall).max(axis=-1)
    mask = cut_out(image, body_capsules(CAMERAS[1], man_m), difference)
    feet = slice(int(np.nonzero(body.any(axis=1))[0][-1]) - 30, None)
    share = (mask[feet] > 0)[body[feet] > 0].mean()
    assert share > 0.8, f"{share:.2f} of the feet, expected above 0.8"


def test_limbs_are_as_wide_as_perspective_makes_them():
    camera = CAMERAS[0]._replace(R_cam_from_world=np.eye(3), centre_world_m=np.zeros(3))
    capsules = body_capsules(camera, np.tile([0.0, 0.0, 4.0], (25, 1)))
    shin = [limb[:2] for limb in CAPSULE_LIMBS].index(("left_knee", "left_ankle"))
    assert CAPSULE_LIMBS[shin][2] == 0.075
    assert capsules.radius_px[shin] == pytest.approx(0.075 * 800 / 4)
    np.testing.assert_allclose(capsules.ends_px[shin], [[270, 480]] * 2)


def test_a_man_who_cannot_be_placed_has_an_empty_mask():
    image, _, _ = picture_of_a_man()
    assert not cut_out(image, body_capsules(CAMERAS[0], np.full((25, 3), np.nan))).any()


@pytest.mark.parametrize("away_m", [[0.0, 8.0, 0.0], [10.0, 0.0, 0.0]], ids=["beside the picture", "behind the camera"])
def test_a_man_outside_of_a_picture_has_an_empty_mask_in_it(away_m):
    image, wall, _ = picture_of_a_man()
    capsules = body_capsules(CAMERAS[0], standing_man() + away_m)
    assert not cut_out(image, capsules).any()
    assert not cut_out(image, capsules, np.abs(image.astype(np.float32) - wall).max(axis=-1)).any()


def test_the_room_is_what_the_masks_leave():
    rng = np.random.default_rng(6)
    room = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
    images, person = np.repeat(room[None], 9, axis=0), np.zeros((9, 40, 30), dtype=bool)
    for frame in range(9):
        images[frame, 10:30, frame : frame + 15] = 0
        person[frame, 10:30, frame : frame + 15] = True
    person[:3], images[:3] = False, room
    images[:, 5, 5], person[:, 5, 5] = 0, True
    median, known = masked_median(images, person)
    assert person.mean(axis=0).max() > 0.6
    assert not known[5, 5] and known.sum() == known.size - 1
    np.testing.assert_array_equal(median[known], room[known])


def test_holes_come_from_another_picture_with_its_brightness_fitted_and_then_from_inpainting():
    room = np.full((80, 80, 3), 100, np.uint8)
    known, other_known = np.ones((80, 80), dtype=bool), np.ones((80, 80), dtype=bool)
    known[30:40, 30:50] = False
    other_known[30:40, 40:50] = False
    image = np.where(known[..., None], room, 0).astype(np.uint8)
    filled = complete(image, known, room - 15, other_known)
    assert np.abs(filled.image.astype(int) - 100).max() <= 2
    assert filled.source[35, 35] == OTHER_PICTURE and filled.source[35, 45] == INPAINTED and filled.source[0, 0] == OWN


def test_sequences_cover_the_recording_once():
    sequences = cut_into_sequences(20, 14, range(10, 51), 15)
    assert [(s.subaction, s.first, s.num_frames) for s in sequences] == [(1, 10, 15), (2, 25, 15), (3, 40, 11)]
    assert [s.num_frames for s in cut_into_sequences(20, 14, range(47), 15)] == [15, 15, 17]
    assert [s.num_frames for s in cut_into_sequences(20, 14, range(4), 15)] == [4]


def test_what_is_written_is_read_back(tmp_path):
    joints_m = np.random.default_rng(7).normal(size=(3, 17, 3))
    write_meta(tmp_path / "h36m_meta.mat", pinhole(CAMERAS[1]), joints_m)
    meta = load_meta(tmp_path / "h36m_meta.mat")
    np.testing.assert_allclose(meta.joints_world_m, joints_m, atol=1e-12)
    np.testing.assert_allclose(meta.camera.centre_world_m, CAMERAS[1].centre_world_m)
    assert (meta.camera.width_px, meta.camera.height_px) == (540, 960)
    assert scipy.io.loadmat(tmp_path / "h36m_meta.mat")["img_height"].shape == (3, 1)


def test_a_bad_wheel_gets_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; leave --wheel away"):
        pose2sim_session.fetched_wheel(tmp_path / "no.whl", tmp_path)
    (tmp_path / "bad.whl").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="is not a wheel"):
        pose2sim_session.fetched_wheel(tmp_path / "bad.whl", tmp_path)


def test_other_settings_do_not_mix_with_what_is_there(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"x")
    lock_import(ImportMultiviewConfig(report_location=tmp_path / "about"), tmp_path / "a.whl")
    lock_import(ImportMultiviewConfig(report_location=tmp_path / "about", processes=2), tmp_path / "a.whl")
    with pytest.raises(ValueError, match=r"begun with smooth_hz 6.0, and this run has smooth_hz 0.0"):
        lock_import(ImportMultiviewConfig(report_location=tmp_path / "about", smooth_hz=0.0), tmp_path / "a.whl")


BEAM_PX = {
    "corner, 0, right": {1: (580, 1530), 2: (318, 1349), 4: (844, 950)},
    "corner, 0, left": {1: (833, 1443), 3: (135, 1138), 4: (626, 1008)},
    "corner, -2 m, right": {1: (118, 982), 3: (990, 1331), 4: (715, 1591)},
    "corner, -2 m, left": {2: (716, 1002), 3: (828, 1496), 4: (387, 1620)},
    "beam, 0, top": {1: (720, 1459), 2: (473, 1334), 3: (222, 1073), 4: (731, 964)},
    "beam, -2 m, top": {1: (227, 952), 2: (621, 980), 3: (922, 1381), 4: (524, 1580)},
}
"""Corners of the board with the beam in the calibration's pictures of the room, found by eye to about 3 px."""


@pytest.mark.skipif(not WHEEL.is_file(), reason=f"no pose2sim wheel at {WHEEL} (or $POSE2SIM_WHEEL)")
def test_refined_cameras_agree_on_things_that_did_not_refine_them(tmp_path):
    session = pose2sim_session.unpack(WHEEL, tmp_path)
    calibrated = pose2sim_session.load_cameras(session)
    config = ImportMultiviewConfig(paths=Paths(h36m_location=tmp_path), report_location=tmp_path)
    recording = pose2sim_session.load_recording(session)
    turned_recording, labels, numbers = place_session_person(pose2sim_session.with_defaults(config), recording)
    refined = turned_recording.cameras
    pixels, seen = np.zeros((4, len(BEAM_PX), 2)), np.zeros((4, len(BEAM_PX)))
    for point, views in enumerate(BEAM_PX.values()):
        for number, place in views.items():
            pixels[number - 1, point] = undistorted_px(calibrated[number - 1], np.array(place, dtype=float))
            seen[number - 1, point] = 1
    errors_px = [
        np.nanmedian(triangulate([pinhole(c) for c in cameras], pixels, seen, 1000.0).error_px)
        for cameras in (calibrated, refined)
    ]
    assert errors_px[0] > 7 and errors_px[1] < 5, f"{errors_px} px, expected above 7 and below 5"
    assert max(numbers["median_error_refined_px"]) < 10 < max(numbers["median_error_as_calibrated_px"])
    lengths_m = np.linalg.norm(labels.joints_world_m[:, 2] - labels.joints_world_m[:, 3], axis=-1)
    assert 0.35 < np.median(lengths_m) < 0.5 and lengths_m.std() < 0.02


def test_the_difference_tells_the_person_where_a_picture_shows_the_empty_room_elsewhere_the_network(
    tmp_path, monkeypatch
):
    class SeesTheRight:
        """A network that takes the right half of every picture for a person."""

        def closely(self, rgb: np.ndarray) -> np.ndarray:
            return np.tile(np.arange(rgb.shape[1]) >= rgb.shape[1] // 2, (len(rgb), 1)).astype(float)

    monkeypatch.setattr(masks_from_motion, "segmenter", lambda _: SeesTheRight())
    room, known = np.full((40, 60, 3), 90, np.uint8), np.zeros((40, 60), bool)
    known[:20] = True
    image = room.copy()
    image[:, :15] = 200
    plain = masks_from_motion.foreground(image, room, known, None)
    both = masks_from_motion.foreground(image, room, known, tmp_path / "network")
    assert np.array_equal(both[:20], plain[:20]) and (plain[:20, :5] > 100).all() and (plain[:, 40:] < 1).all()
    assert (both[20:, 30:] == masks_from_motion.SEGMENTED_LEVELS).all() and (both[20:, :30] == 0).all()


def test_means_of_cutting_out_that_contradict_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cut_out movement would make them anew"):
        ImportMultiviewConfig(videos=("a",), calibration=(tmp_path,), to=tmp_path, masks=tmp_path, cut_out="movement")
    with pytest.raises(ValueError, match="cut_out is keypoints, but there are none"):
        ImportMultiviewConfig(videos=("a",), calibration=(tmp_path,), to=tmp_path, cut_out="keypoints")


def test_clips_that_are_missing_or_alone_are_told_in_words_of_who_gave_a_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("one", "two/a", "two/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "front.mp4").write_bytes(b"")
    for clips, words in (
        (("none",), r"none do not exist; give the folder with every camera's video or pictures"),
        (("empty",), r"empty hold neither videos nor images"),
        (("one",), r"the clip of one camera alone \(.*one\); bodies in space need two at least"),
        (("two/a", "two/b"), r"several clips are called front; name each after its camera in the calibration"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            named_videos([str(tmp_path / one) for one in clips])
