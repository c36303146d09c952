"""Masks that cannot be masks are refused wherever they are read, in the same words."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from config import PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_files import folder_name
from dataset_def.multiview.custom_recording import custom_recording
from dataset_def.multiview.import_custom import check_masks_show_person, custom_config, place_person
from dataset_def.photos.person import make_finder
from dataset_def.photos.pictures import open_pictures
from tests.helpers.keypoint_writers import openpose
from tests.helpers.small_recording import FRAMES, SmallRecording, small_recording
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.image import read_mask, write_image
from utils.person_box import NO_PERSON, mask_fault, series_fault

WRONG: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "labels 0 and 1": (lambda mask: mask // 255, "its highest value is 1; labels 0 and 1 must become 0 and 255"),
    "grey": (lambda mask: mask // 4, "its highest value is 63; the person must become 255"),
    "empty": (lambda mask: mask * 0, "no pixel above 128"),
    "full": (lambda mask: mask * 0 + 255, "may be inverted: the person must be white"),
    "inverted": (lambda mask: 255 - mask, "may be inverted: the person must be white"),
}


def person_mask(recording: SmallRecording, camera: str, frame: int) -> np.ndarray:
    mask = np.zeros((96, 96), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(recording.keypoints_px(camera)[frame, :, :2].astype(np.int32)), 255)
    return mask


def write_masks(recording: SmallRecording, change: Callable[[np.ndarray], np.ndarray], ending: str = "png") -> dict:
    for camera in recording.cameras:
        (recording.root / "masks" / camera).mkdir(parents=True)
        for frame in range(FRAMES):
            mask = change(person_mask(recording, camera, frame))
            cv2.imwrite(str(recording.root / "masks" / camera / f"{frame}.{ending}"), mask)
    openpose(recording)
    return {"masks": recording.root / "masks"}


@pytest.mark.parametrize("which", WRONG)
def test_an_import_refuses_them(tmp_path, which):
    recording, (change, words) = small_recording(tmp_path), WRONG[which]
    with pytest.raises(ValueError, match=f"--masks: what lies in .*masks/cam1.*{words}"):
        recording.error_mm(**write_masks(recording, change))


@pytest.mark.parametrize("which", WRONG)
def test_the_index_refuses_them(tmp_path, which):
    paths, (change, words) = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,)), WRONG[which]
    for path in paths.masks_location.rglob("*.png"):
        write_image(path, change((read_mask(path) > 128).astype(np.uint8) * np.uint8(255)))
    with pytest.raises(ValueError, match=words):
        h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    assert not (paths.index_location / "index.npz").exists()


@pytest.mark.parametrize("which", WRONG)
def test_a_prediction_refuses_them(tmp_path, which):
    recording, (change, words) = small_recording(tmp_path), WRONG[which]
    write_image(tmp_path / "m.png", change(person_mask(recording, "cam1", 0)))
    pictures = open_pictures(str(tmp_path / "images" / "cam1" / "000001.png"))
    with pytest.raises(ValueError, match=rf"mask .*m\.png .*{words}"):
        make_finder(pictures, None, tmp_path / "m.png", "auto", tmp_path).box(0, next(iter(pictures.frames())))


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "JPG"])
def test_masks_of_any_usual_kind_and_some_empty_ones_are_taken(tmp_path, ending):
    recording = small_recording(tmp_path)
    masks = write_masks(recording, lambda mask: mask, ending)
    for frame in range(4):
        cv2.imwrite(str(tmp_path / "masks" / "cam2" / f"{frame}.{ending}"), np.zeros((96, 96), np.uint8))
    assert recording.error_mm(**masks) < 0.01


def test_masks_far_from_the_keypoints_are_named_by_their_camera(tmp_path):
    recording = small_recording(tmp_path)
    masks = write_masks(recording, lambda mask: mask)
    config = recording.config(**masks)
    placed = custom_recording(config)
    _, labels, _ = place_person(custom_config(config, placed), placed)
    check_masks_show_person(placed, labels)
    for frame in range(FRAMES):
        path = tmp_path / "masks" / "cam3" / f"{frame}.png"
        write_image(path, np.roll(read_mask(path), 40, axis=1))
    with pytest.raises(ValueError, match=r"those of camera cam3 cover .*% of the joints"):
        check_masks_show_person(placed, labels)


def test_a_near_person_is_a_mask_and_a_few_odd_frames_are_no_series():
    near = np.zeros((40, 40), np.uint8)
    near[4:, 6:34] = 255
    assert mask_fault(near) == ""
    assert series_fault(["", NO_PERSON, "is person nearly everywhere"]) == "" and series_fault([]) == ""
    assert series_fault([NO_PERSON] * 3) == NO_PERSON
    assert series_fault(["", "odd", "odd"]) == "odd"


def test_one_folder_of_wrong_masks_is_named(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,))
    folder = paths.masks_location / folder_name(1, 2, 1, 3)
    for path in folder.glob("*.png"):
        write_image(path, 255 - read_mask(path))
    with pytest.raises(ValueError, match=r"s_01_act_02_subact_01_ca_03.*may be inverted"):
        h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
