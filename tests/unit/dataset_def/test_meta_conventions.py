"""Meta files in other units or conventions are named with the cause, by index and check_data in the same words."""

import numpy as np
import pytest
import scipy.io

from config import Paths, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.checks.layout import check_layout
from dataset_def.h36m_files import load_meta, meta_path
from tests.helpers.tiny_h36m import write_tiny_h36m


@pytest.fixture
def paths(tmp_path) -> Paths:
    return write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=3, size_px=64)


def metre(content: dict) -> dict:
    return {"pose3d_world": content["pose3d_world"] / 1000, "T": content["T"] / 1000}


def centimetre(content: dict) -> dict:
    return {"pose3d_world": content["pose3d_world"] / 10, "T": content["T"] / 10}


def translation(content: dict) -> dict:
    return {"T": (-content["R"] @ content["T"].T).T}


def transposed(content: dict) -> dict:
    return {"R": content["R"].T}


def transposed_translation(content: dict) -> dict:
    """What x_world = R^T x_cam + C is, written the other way round."""
    return {"R": content["R"].T, "T": (-content["R"] @ content["T"].T).T}


def camera_frame(content: dict) -> dict:
    joints = content["pose3d_world"] - content["T"][0]
    return {"pose3d_world": joints @ content["R"].T}


def only_t_in_metres(content: dict) -> dict:
    return {"T": content["T"] / 1000}


CASES = {
    metre: r"pose3d_world is 1\.\d+ mm large, and \d\.\d+ mm from the camera: the lengths seem to be metres",
    centimetre: r"the lengths seem to be centimetres; write pose3d_world and T in millimetres, 10 times as much",
    translation: r"T seems to be the translation -R C; it must be the camera's centre C = -R\^T T",
    transposed: "R seems to be transposed; it must take the world's axes to the camera's",
    transposed_translation: "R seems to be transposed, and T to be a translation",
    camera_frame: "pose3d_world seems to be in the camera's own frame",
    only_t_in_metres: "T seems to be in metres",
}


@pytest.mark.parametrize("change", CASES, ids=lambda change: change.__name__)
def test_they_are_named_everywhere_in_the_same_words(paths, change):
    for path in paths.h36m_location.glob("*/h36m_meta.mat"):
        content = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
        scipy.io.savemat(path, content | change(content))
    first = meta_path(paths, (1, 2, 1, 2 if change in (transposed, transposed_translation) else 1))
    with pytest.raises(ValueError, match=CASES[change]) as refused:
        load_meta(first)
    assert str(first) in str(refused.value)
    with pytest.raises(ValueError, match=r"the lengths seem to be|as R and T stand") as at_index:
        h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    [line] = check_layout("data", paths, is_asked=True)
    assert line.mark == "bad" and line.is_asked and line.found == str(at_index.value)


def test_what_is_right_is_taken_also_where_one_camera_sees_nobody(paths):
    path = meta_path(paths, (1, 2, 1, 2))
    content = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
    away = np.diag([-1.0, 1.0, -1.0]) @ content["R"]
    scipy.io.savemat(path, content | {"R": away})
    assert load_meta(path).camera.R_cam_from_world == pytest.approx(away)
    scipy.io.savemat(path, content | {"pose3d_world": content["pose3d_world"] * np.nan})
    assert np.isnan(load_meta(path).joints_world_m).all()


@pytest.mark.parametrize("digits", [5, 4, 7])
def test_frame_numbers_of_another_width_are_named_at_the_index_and_by_the_check(paths, digits):
    for path in paths.h36m_location.rglob("*.jpg"):
        path.rename(path.with_name(f"{path.parent.name}_{int(path.stem[-6:]):0{digits}d}.jpg"))
    words = rf"_0*[123]\.jpg has a frame number of {digits} digits; rename the images to 6 digits, as .*_00000[123]"
    with pytest.raises(ValueError, match=words):
        h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    [line] = check_layout("data", paths, is_asked=True)
    assert line.mark == "bad" and f"has a frame number of {digits} digits" in line.found


def test_endings_in_capitals_are_read(paths):
    for path in (*paths.h36m_location.rglob("*.jpg"), *paths.masks_location.rglob("*.png")):
        path.rename(path.with_suffix(path.suffix.upper()))
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=32, processes=1))
    assert {line.mark for line in check_layout("data", paths, is_asked=True)[:2]} == {"ok"}


def test_the_check_refuses_masks_as_the_index_does(paths):
    for path in paths.masks_location.rglob("*.png"):
        path.write_bytes(next(iter(paths.masks_location.rglob("*.png"))).read_bytes()[:60])
    masks = check_layout("data", paths, is_asked=True)[1]
    assert masks.mark == "bad" and "is truncated" in masks.found
