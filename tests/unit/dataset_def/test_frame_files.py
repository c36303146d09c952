"""Files of frames are matched by the numbers in their names, on a recording whose joints are known: 0.0 mm."""

from pathlib import Path

import numpy as np
import pytest

from dataset_def.frame_files import check_same_frames, files_in, frame_numbers, missing_between
from dataset_def.multiview.custom_recording import custom_recording
from dataset_def.video import images_in
from tests.helpers.keypoint_writers import openpose
from tests.helpers.small_recording import FRAMES, NAMES, SmallRecording, small_recording
from utils.image import write_image

TRUE_MM = 0.01


@pytest.fixture
def recording(tmp_path) -> SmallRecording:
    return small_recording(tmp_path)


def write_masks(recording: SmallRecording) -> None:
    """A person in the middle of every picture, under the pictures' own names."""
    mask = np.zeros((96, 96), np.uint8)
    mask[20:80, 30:60] = 255
    for path in (recording.root / "images").rglob("*.png"):
        write_image(recording.root / "masks" / path.parent.name / path.name, mask)


def paths(*names: str) -> list[Path]:
    return [Path("folder") / name for name in names]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("0.json", "2.json", "10.json"), (0, 2, 10)),
        (("cam1_000000000007_keypoints.json", "cam1_000000000008_keypoints.json"), (7, 8)),
        (("IMG_120501_003.JPG", "img_120502_004.jpg"), (3, 4)),
        (("s2_b1_0001.png", "s2_b1_0002.png", "s2_b1_0003.png"), (1, 2, 3)),
        (("left.png", "right.png"), None),
        (("one.png",), None),
    ],
)
def test_the_number_that_differs_is_the_frame(names, numbers):
    assert frame_numbers(paths(*names)) == numbers


def test_stray_files_and_two_files_of_a_frame_are_named():
    with pytest.raises(ValueError, match=r"background\.png lies among 3 files that are named as 1\.png"):
        frame_numbers(paths("1.png", "2.png", "3.png", "background.png"))
    with pytest.raises(ValueError, match=r"two files of frame 1, 1\.jpg and 01\.png"):
        frame_numbers(paths("1.jpg", "01.png", "2.jpg"))
    assert missing_between((0, 5, 15, 20)) == [10] and missing_between((3, 4, 5)) == []


def test_hidden_files_do_not_count_and_endings_have_any_case(tmp_path):
    for name in ("2.JPG", "10.jpg", "1.Jpeg", "._1.jpg", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in images_in(tmp_path)] == ["1.Jpeg", "2.JPG", "10.jpg"]
    assert [path.name for path in files_in(tmp_path, (".db",))] == ["Thumbs.db"]


@pytest.mark.parametrize(
    ("name", "first"),
    [("{}_keypoints.json", 0), ("{:012d}.json", 0), ("{:06d}.json", 1), ("cam_7_{}.json", 0), ("{}.json", 4)],
)
def test_keypoints_are_matched_by_number_whatever_surrounds_it(recording, name, first):
    openpose(recording, name=name, first=first)
    for camera in NAMES:
        (recording.root / "keypoints" / camera / "._0.json").write_bytes(b"\0\5\x16\7")
        (recording.root / "keypoints" / "._x").write_bytes(b"\0\5\x16\7")
    assert recording.error_mm() < TRUE_MM


@pytest.mark.parametrize("lost", [(0,), (7,), (3, 7, 8, 11)])
def test_a_frame_without_keypoints_shows_nobody_and_shifts_no_other(recording, lost):
    openpose(recording, name="{}.json")
    for frame in lost:
        (recording.root / "keypoints" / "cam2" / f"{frame}.json").unlink()
    with pytest.warns(UserWarning, match=rf"cam2 has no keypoints of {len(lost)} frames \(first: frame {lost[0] + 1}"):
        assert recording.error_mm() < TRUE_MM


def test_keypoints_named_as_their_pictures_belong_to_them_though_the_first_is_missing_everywhere(recording):
    openpose(recording, name="{:06d}.json", first=1)
    for camera in NAMES:
        (recording.root / "keypoints" / camera / "000001.json").unlink()
    with pytest.warns(UserWarning, match=rf"no keypoints of 1 frames \(first: frame 1 of {FRAMES}"):
        places = custom_recording(recording.config()).people
    assert places is not None and [len(found) for found in places[0]] == [0] + [1] * (FRAMES - 1)


def test_numbers_that_tell_no_frame_are_refused(recording):
    openpose(recording, name="{}.json", first=30)
    (recording.root / "keypoints" / "cam1" / "33.json").unlink()
    with pytest.raises(ValueError, match="begin with number 30 and leave numbers out"):
        recording.error_mm()


@pytest.mark.parametrize(
    ("lost", "words"),
    [(("000005",), "cam3 has no picture number 5, so that all later ones"),
     (("000005", "000006"), "no picture number 5 and 1 more"),
     (("000001",), r"cam3 begins with number 2, .*cam1 with 1; .* --offsets cam1=1")],
)  # fmt: skip
def test_a_picture_that_one_camera_lacks_is_named(recording, lost, words):
    openpose(recording)
    for stem in lost:
        (recording.root / "images" / "cam3" / f"{stem}.png").unlink()
    with pytest.raises(ValueError, match=words):
        recording.error_mm()


def test_cameras_that_count_for_themselves_are_matched_in_order(recording):
    openpose(recording)
    for path in sorted((recording.root / "images" / "cam3").iterdir()):
        path.rename(path.with_name(f"IMG_{int(path.stem) + 4710}.PNG"))
    assert recording.error_mm() < TRUE_MM


def test_pictures_removed_from_all_cameras_are_no_hole(recording):
    openpose(recording, name="{:06d}.json", first=1)
    for camera in NAMES:
        (recording.root / "images" / camera / "000012.png").unlink()
        (recording.root / "keypoints" / camera / "000012.json").unlink()
        (recording.root / "images" / camera / "000001.png").unlink()
        (recording.root / "keypoints" / camera / "000001.json").unlink()
    recording.points_m = recording.points_m[1:-1]
    assert recording.error_mm() < TRUE_MM
    check_same_frames({}, ())


def test_a_mask_that_is_missing_is_named_by_its_frame(recording):
    openpose(recording)
    write_masks(recording)
    (recording.root / "masks" / "cam2" / "000004.png").unlink()
    with pytest.raises(ValueError, match=r"cam2 has no mask of frame 4 \(1 of 12 are missing"):
        recording.error_mm(masks=recording.root / "masks")
    write_image(recording.root / "masks" / "cam2" / "extra.png", recording.joints_m[0, :, :1].astype("uint8"))
    with pytest.raises(ValueError, match=r"extra\.png lies among 11 files"):
        recording.error_mm(masks=recording.root / "masks")


def test_pictures_that_leave_numbers_out_in_all_cameras_are_matched_by_number(recording):
    openpose(recording, name="{:06d}.json", first=1)
    for camera in NAMES:
        (recording.root / "images" / camera / "000007.png").unlink()
    recording.points_m = np.delete(recording.points_m, 6, axis=0)
    assert recording.error_mm() < TRUE_MM
    for camera in NAMES:
        for path in (recording.root / "keypoints" / camera).iterdir():
            path.rename(path.with_name(f"x{path.name}"))
        for path in sorted((recording.root / "keypoints" / camera).iterdir()):
            path.rename(path.with_name(f"{int(path.stem[1:]) + 400}.json"))
    with pytest.raises(ValueError, match=r"leave numbers out, and the keypoints in .* are numbered otherwise"):
        recording.error_mm()


def test_masks_of_other_numbers_than_the_pictures_are_refused(recording):
    openpose(recording, name="{:06d}.json", first=1)
    write_masks(recording)
    for camera in NAMES:
        (recording.root / "images" / camera / "000007.png").unlink()
        (recording.root / "masks" / camera / "000004.png").unlink()
    with pytest.raises(ValueError, match=r"cam1 has a mask number 5, and .* no picture of that number; number both"):
        recording.error_mm(masks=recording.root / "masks")
