"""Keypoints as other programs write them give the joints that are true (0.0 mm), or are named."""

import json
from functools import partial

import numpy as np
import pytest

from dataset_def.multiview.custom_recording import custom_recording
from dataset_def.multiview.import_custom import custom_config, place_person
from dataset_def.multiview.keypoint_files import BODY_25B, SKELETONS, read_people
from dataset_def.multiview.keypoint_tables import our_name
from tests.helpers.keypoint_writers import (
    WHOLE_VIDEO,
    deeplabcut_csv,
    deeplabcut_h5,
    of_skeleton,
    openpose,
    sleap_csv,
    sleap_h5,
    write_csv,
    write_frames,
)
from tests.helpers.small_recording import NAMES, SmallRecording, small_recording
from utils.skeleton import H36M_17

TRUE_MM = 0.01
USED = [name for name in BODY_25B if "eye" not in name]


@pytest.fixture
def recording(tmp_path) -> SmallRecording:
    return small_recording(tmp_path)


def used(seen: np.ndarray) -> np.ndarray:
    return seen[:, [BODY_25B.index(name) for name in USED]]


@pytest.mark.parametrize("skeleton", sorted(SKELETONS))
def test_every_skeleton_gives_the_joints_that_it_has(recording, skeleton):
    openpose(recording, skeleton)
    config = recording.config(skeleton=skeleton)
    placed = custom_recording(config)
    _, labels, _ = place_person(custom_config(config, placed), placed)
    there = [row for row, name in enumerate(H36M_17) if name in SKELETONS[skeleton]]
    there += [H36M_17.index(name) for name in ("pelvis", "thorax", "spine")]
    apart_mm = 1e3 * np.linalg.norm(labels.joints_world_m - recording.joints_m, axis=-1)[:, there]
    assert apart_mm.max() < TRUE_MM, f"{apart_mm.max():.3f} mm, expected 0"


def test_openposes_first_version_has_another_key(recording):
    openpose(recording, "body_25", "pose_keypoints")
    assert recording.config().keypoints is not None
    people = read_people("a", json.dumps({"people": [{"pose_keypoints": [1.0, 2.0, 0.5] * 18}]}))
    np.testing.assert_allclose(people[0, BODY_25B.index("nose")], [1.5, 2.5, 0.5])


@pytest.mark.parametrize("program", sorted(WHOLE_VIDEO))
@pytest.mark.parametrize("in_folder", [True, False])
def test_one_file_of_a_whole_video_is_read_by_its_numbers(recording, program, in_folder):
    for camera in NAMES:
        content = WHOLE_VIDEO[program](recording.keypoints_px(camera), "halpe_26")
        name = f"{camera}/results_{camera}.json" if in_folder else f"{camera}.json"
        path = recording.root / "keypoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    assert recording.error_mm() < TRUE_MM


def test_people_that_alphapose_lost_leave_their_frame_empty(recording):
    for camera in NAMES:
        content = WHOLE_VIDEO["alphapose_list"](recording.keypoints_px(camera), "halpe_26")
        write_frames(recording.root / "keypoints", [None])
        kept = [one for one in content if camera != "cam2" or one["image_id"] not in ("3.jpg", "4.jpg")]
        (recording.root / "keypoints" / f"{camera}.json").write_text(json.dumps(kept[::-1]))
    with pytest.warns(UserWarning, match=r"no keypoints of 2 frames \(first: frame 4 of 12"):
        assert recording.error_mm() < TRUE_MM


@pytest.mark.parametrize("nothing", ["NaN", "null"])
def test_nan_and_null_are_points_that_are_not_seen(recording, nothing):
    openpose(recording)
    wrist = 3 * SKELETONS["halpe_26"].index("left_wrist")
    for path in (recording.root / "keypoints" / "cam2").iterdir():
        content = json.loads(path.read_text())
        content["people"][0]["pose_keypoints_2d"][wrist : wrist + 3] = ["x", "x", "x"]
        path.write_text(json.dumps(content).replace('"x"', nothing))
    assert recording.error_mm() < TRUE_MM


@pytest.mark.parametrize(
    "write", [deeplabcut_csv, partial(deeplabcut_csv, individuals=("mouse1", "mouse2")), sleap_csv],
    ids=["deeplabcut", "deeplabcut of several", "sleap"],
)  # fmt: skip
def test_tables_of_points_with_names_are_read(recording, write):
    for camera in NAMES:
        write(recording.root / "keypoints" / f"{camera}.csv", used(recording.keypoints_px(camera)), USED)
    assert recording.error_mm() < TRUE_MM


@pytest.mark.parametrize("write", [sleap_h5, deeplabcut_h5])
def test_h5_files_of_points_with_names_are_read(recording, write):
    for camera in NAMES:
        write(recording.root / "keypoints" / camera / "tracks.h5", used(recording.keypoints_px(camera)), USED)
    assert recording.error_mm() < TRUE_MM


def test_frames_that_sleap_leaves_out_are_empty(recording):
    for camera in NAMES:
        lost = (0, 1, 6) if camera == "cam3" else ()
        sleap_csv(recording.root / "keypoints" / f"{camera}.csv", used(recording.keypoints_px(camera)), USED, lost)
    with pytest.warns(UserWarning, match=r"no keypoints of 3 frames \(first: frame 1 of 12"):
        assert recording.error_mm() < TRUE_MM


def test_names_that_are_not_known_are_asked_for_and_the_users_table_is_heeded(recording):
    names = ["paw_l" if name == "left_wrist" else "tail" if name == "left_ear" else name for name in USED]
    for camera in NAMES:
        deeplabcut_csv(recording.root / "keypoints" / f"{camera}.csv", used(recording.keypoints_px(camera)), names)
    with pytest.raises(ValueError, match=r"has keypoints .*tail.*paw_l.*which are not known; give --keypoint-names"):
        recording.error_mm()
    table = recording.root / "names.csv"
    write_csv(table, [["paw_l", "left_wrist"], ["tail", ""]])
    assert recording.error_mm(keypoint_names=table) < TRUE_MM
    write_csv(table, [["paw_l", "left_hand"]])
    with pytest.raises(ValueError, match="left_hand is no keypoint of ours"):
        recording.error_mm(keypoint_names=table)


@pytest.mark.parametrize(
    ("name", "ours"),
    [("LWrist", "left_wrist"), ("wrist_left", "left_wrist"), ("Right Big Toe", "right_big_toe"), ("rHip", "right_hip"),
     ("lhip", "left_hip"), ("HeadTop", "head_top"), ("neck", "neck"), ("paw1", ""), ("wrist", ""), ("r l knee", "")],
)  # fmt: skip
def test_names_in_other_words(name, ours):
    assert our_name(name) == ours


@pytest.mark.parametrize(
    ("content", "words"),
    [({"persons": []}, "neither people, annotations nor a list"),
     ([{"image_id": "1.jpg", "keypoints": [1, 2, 3]}, {"image_id": "2.jpg", "keypoints": [1, 2, 3]}], "holds 2 frames"),
     ({"people": [{"pose_keypoints_2d": [1.0] * 51 + [2.0]}]}, "holds 52 numbers for a person"),
     ({"people": [{"pose_keypoints_2d": ["a"] * 51}]}, "a person is no list of numbers"),
     ({"people": [{"pose_keypoints_2d": [1.0] * 30}]}, "holds 10 keypoints per person; those that are read")],
)  # fmt: skip
def test_what_is_not_understood_is_refused_in_words(content, words):
    with pytest.raises(ValueError, match=words):
        read_people("a.json", json.dumps(content))


def test_a_table_of_something_else_is_refused(tmp_path):
    recording = small_recording(tmp_path)
    for camera in NAMES:
        write_csv(recording.root / "keypoints" / f"{camera}.csv", [["time", "x"], [0, 1]])
    with pytest.raises(ValueError, match="is no table of keypoints"):
        recording.error_mm()
    assert of_skeleton(recording.keypoints_px("cam1")[0], "coco_17").shape == (17, 3)
