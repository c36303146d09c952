from pathlib import Path

import numpy as np
import pytest
import scipy.io

from config import Paths
from dataset_def.h36m_files import (
    FrameKey,
    background_path,
    find_folders,
    folder_key,
    folder_name,
    image_path,
    load_image,
    load_mask,
    load_meta,
    mask_path,
)
from tests.helpers.tiny_h36m import looking_camera, standing_joints_m, write_meta, write_tiny_h36m
from utils.camera import project, to_camera
from utils.image import write_image

KEY = FrameKey(1, 2, 1, 3, 7)
JOINTS_M = np.array([standing_joints_m(0.3, 0.1, 1.0), standing_joints_m(-0.3, 0.4, 2.0)])
LENS = {"k": (-0.2071, 0.2478, -0.0031), "p": (-0.00142, -0.00098)}


def test_names_are_those_of_the_layout():
    paths = Paths(h36m_location=Path("/h"), masks_location=Path("/m"), backgrounds_location=Path("/b"))
    assert folder_name(1, 2, 1, 3) == "s_01_act_02_subact_01_ca_03"
    assert folder_key("s_11_act_16_subact_02_ca_04") == (11, 16, 2, 4)
    assert folder_key("s_11_act_16_subact_02_ca_04_old") is None
    assert str(image_path(paths, KEY)) == "/h/s_01_act_02_subact_01_ca_03/s_01_act_02_subact_01_ca_03_000007.jpg"
    assert str(mask_path(paths, KEY)) == "/m/s_01_act_02_subact_01_ca_03/s_01_act_02_subact_01_ca_03_000007.png"
    assert str(background_path(paths, 1, 2)) == "/b/s_01_ca_02.npy"


def test_the_broken_folder_and_foreign_folders_are_skipped(tmp_path):
    for name in ("s_11_act_02_subact_02_ca_01", "s_11_act_02_subact_02_ca_02", "s_05_act_03_subact_01_ca_04", "notes"):
        (tmp_path / name).mkdir()
    assert find_folders(Paths(h36m_location=tmp_path)) == [(5, 3, 1, 4), (11, 2, 2, 2)]


def test_no_data_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"make_h36m\.py"):
        find_folders(Paths(h36m_location=tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="holds no folder like"):
        find_folders(Paths(h36m_location=tmp_path))


@pytest.mark.parametrize("number_type", [np.float32, np.float64])
def test_millimetres_become_metres_and_T_is_the_camera_centre(tmp_path, number_type):
    camera = looking_camera(2, 1000, 1000)
    write_meta(tmp_path / "h36m_meta.mat", camera, JOINTS_M, pose3d_world=(JOINTS_M * 1000).astype(number_type))
    meta = load_meta(tmp_path / "h36m_meta.mat")
    assert np.abs(meta.joints_world_m - JOINTS_M).max() < 1e-6 and meta.joints_world_m.dtype == np.float64
    raw = scipy.io.loadmat(tmp_path / "h36m_meta.mat")
    point_mm = raw["R"] @ (raw["pose3d_world"][0, 5].astype(float) - raw["T"][0])  # x_cam = R (x_world - T)
    expected_px = point_mm[:2] / point_mm[2] * raw["f"][0] + raw["c"][0]
    found_px = project(meta.camera, to_camera(meta.camera, meta.joints_world_m[0, 5]))
    assert np.abs(found_px - expected_px).max() < 1e-3
    assert not meta.camera.is_distorted and (meta.camera.width_px, meta.camera.height_px) == (1000, 1000)


def test_distortion_is_read_when_present(tmp_path):
    camera = looking_camera(1, 1000, 1002, **LENS)
    write_meta(tmp_path / "a.mat", camera, JOINTS_M)
    write_meta(tmp_path / "b.mat", camera, JOINTS_M, distortion="opencv")
    assert np.allclose(load_meta(tmp_path / "a.mat").camera.k, LENS["k"])
    assert load_meta(tmp_path / "a.mat").camera.distortion == "h36m"
    assert load_meta(tmp_path / "b.mat").camera.distortion == "opencv"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"T": None}, "has no field T"),
        ({"pose3d_world": np.zeros((4, 32, 3))}, r"pose3d_world is \(4, 32, 3\)"),
        ({"R": np.diag([1.0, 1.0, -1.0])}, "not a rotation"),
        ({"R": np.eye(3) * 2}, "not a rotation"),
        ({"f": np.array([[np.nan, 1145.0]])}, "f holds"),
        ({"c": np.array([[500.0]])}, "c holds"),
        ({"img_height": np.array([[1000.0], [1002.0]])}, "img_height changes"),
        ({"img_width": np.array([[np.nan]])}, "img_width is nan"),
        ({"distortion": "fisheye"}, "fisheye"),
    ],
)
def test_impossible_meta_files_are_refused(tmp_path, changes, sentence):
    write_meta(tmp_path / "h36m_meta.mat", looking_camera(1, 100, 102), JOINTS_M, **changes)
    with pytest.raises(ValueError, match=sentence):
        load_meta(tmp_path / "h36m_meta.mat")


def test_unreadable_meta_files_are_refused(tmp_path):
    path = tmp_path / "h36m_meta.mat"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_meta(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        load_meta(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match=r"MATLAB 7\.3"):
        load_meta(path)


def test_a_meta_file_cut_off_anywhere_is_refused_by_name(tmp_path):
    path = tmp_path / "h36m_meta.mat"
    write_meta(path, looking_camera(1, 100, 102), JOINTS_M)
    whole = path.read_bytes()
    for length in range(0, len(whole), 23):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=str(path)):
            load_meta(path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_h36m(tmp_path_factory.mktemp("files"), subjects=(1,), actions=(2,), frames=1, ending="png")


def test_frames_may_be_png_and_1002_rows_high(tiny):
    camera = load_meta(tiny.h36m_location / "s_01_act_02_subact_01_ca_01" / "h36m_meta.mat").camera
    assert load_image(tiny, FrameKey(1, 2, 1, 1, 1), camera).shape == (130, 128, 3)
    assert load_mask(tiny, FrameKey(1, 2, 1, 1, 1), camera).shape == (130, 128)


def test_wrong_sizes_and_missing_files_are_said(tiny, tmp_path):
    camera = load_meta(tiny.h36m_location / "s_01_act_02_subact_01_ca_02" / "h36m_meta.mat").camera
    with pytest.raises(ValueError, match=r"128 x 130 pixels, but its h36m_meta\.mat describes 128 x 128"):
        load_image(tiny, FrameKey(1, 2, 1, 1, 1), camera)
    with pytest.raises(FileNotFoundError, match=r"_000009\.jpg does not exist"):
        load_image(tiny, FrameKey(1, 2, 1, 2, 9), camera)
    with pytest.raises(FileNotFoundError, match=r"mask .*_000009\.png does not exist"):
        load_mask(tiny, FrameKey(1, 2, 1, 2, 9), camera)
    paths = Paths(masks_location=tmp_path)
    write_image(mask_path(paths, FrameKey(1, 2, 1, 2, 1)), np.zeros((64, 64), np.uint8))
    with pytest.raises(ValueError, match="64 x 64"):
        load_mask(paths, FrameKey(1, 2, 1, 2, 1), camera)
