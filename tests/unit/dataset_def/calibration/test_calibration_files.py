"""Calibrations of other programs: written and read back, checked by OpenCV's own projection, refused in words."""

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataset_def.calibration.camera_values import StoredCamera, matching, our_camera, up_rotation
from dataset_def.calibration.files import read_calibration, write_calibration
from utils.camera import Camera, project, to_camera

UNITS = {"opencv": "m", "opencv_json": "m", "pose2sim": "m", "qualisys": "mm", "easymocap": "m", "h36m": "mm",
         "anipose": "mm", "caliscope": "m", "panoptic": "cm", "colmap": "m", "nerfstudio": "m"}  # fmt: skip
"""Of every format, the unit of its lengths."""
UNTOLD = ("anipose", "colmap", "nerfstudio")
"""Formats whose files do not tell it."""
POINTS_WORLD_M = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 3))


def some_camera(seed: int) -> Camera:
    """A camera 4 m from the origin that sees it, with a bent lens."""
    rng = np.random.default_rng(seed)
    R = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    return Camera(R, -4 * R[2], rng.uniform(900, 1000, 2), np.array([540.3, 955.2]), 1088, 1920,
                  rng.normal(0, 0.05, 3), rng.normal(0, 0.001, 2), "opencv")  # fmt: skip


CAMERAS = {f"cam{seed:02d}": some_camera(seed) for seed in range(1, 4)}


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("num_cameras", [2, 3])
def test_cameras_come_back_from_every_format(tmp_path, kind, num_cameras):
    cameras = dict(list(CAMERAS.items())[:num_cameras])
    found = read_calibration(write_calibration(kind, tmp_path, cameras))
    assert matching(list(cameras), found.cameras, "") == list(found.cameras)
    assert found.unit == ("" if kind in UNTOLD else UNITS[kind])
    for camera, key in zip(cameras.values(), found.cameras, strict=True):
        back = our_camera(found.cameras[key], UNITS[kind], (0, 0))
        assert back.distortion == "opencv"
        for field in Camera._fields[:8]:
            np.testing.assert_allclose(getattr(back, field), getattr(camera, field), atol=1e-9, err_msg=field)


def projected_by_opencv(rotvec, translation, K, dist) -> np.ndarray:
    """OpenCV counts pixels by their centres; ours start at their edge."""
    return cv2.projectPoints(POINTS_WORLD_M, np.array(rotvec), np.array(translation), K, dist)[0][:, 0] + 0.5


def test_written_numbers_mean_to_opencv_what_they_mean_to_us(tmp_path):
    camera = CAMERAS["cam01"]
    ours_px = project(camera, to_camera(camera, POINTS_WORLD_M))
    (toml,) = write_calibration("pose2sim", tmp_path, CAMERAS)
    table = tomllib.loads(toml.read_text())["cam01"]
    theirs_px = projected_by_opencv(
        table["rotation"], table["translation"], np.array(table["matrix"]), np.array(table["distortions"])
    )
    np.testing.assert_allclose(theirs_px, ours_px, atol=1e-6)
    intri, extri = (cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
                    for path in write_calibration("easymocap", tmp_path, CAMERAS))  # fmt: skip
    values = [extri.getNode("R_cam01").mat(), extri.getNode("T_cam01").mat(), intri.getNode("K_cam01").mat(),
              intri.getNode("dist_cam01").mat()]  # fmt: skip
    np.testing.assert_allclose(projected_by_opencv(*values), ours_px, atol=1e-6)


def test_the_rational_lens_is_opencvs(tmp_path):
    bent = CAMERAS["cam01"]._replace(k=np.array([-0.1, 0.05, -0.01, 0.02, -0.03, 0.004]))
    files = write_calibration("opencv", tmp_path, {"a": bent, "b": CAMERAS["cam02"]})
    found = read_calibration(files).cameras["a"]
    np.testing.assert_allclose(found.k, bent.k, atol=1e-12)
    K, dist = bent.K, np.array([*bent.k[:2], *bent.p, *bent.k[2:]])
    K[:2, 2] -= 0.5
    rotvec, T = Rotation.from_matrix(bent.R_cam_from_world).as_rotvec(), -bent.R_cam_from_world @ bent.centre_world_m
    ours_px = project(bent, to_camera(bent, POINTS_WORLD_M))
    np.testing.assert_allclose(projected_by_opencv(rotvec, T, K, dist), ours_px, atol=1e-6)
    with pytest.raises(ValueError, match="Qualisys' file cannot describe"):
        write_calibration("qualisys", tmp_path, {"a": bent})


def test_opencvs_stereo_files_and_keys_with_names_are_read(tmp_path):
    head = "%YAML:1.0\n---\n"
    K = "!!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: [ 900., 0., 320., 0., 900., 240., 0., 0., 1. ]\n"
    (tmp_path / "intrinsics.yml").write_text(f"{head}M1: {K}M2: {K}")
    (tmp_path / "extrinsics.yml").write_text(f"{head}R: [ 0., 0., 0. ]\nT: [ -0.5, 0., 0. ]\n")
    found = read_calibration([tmp_path / "intrinsics.yml", tmp_path / "extrinsics.yml"])
    assert found.unit == ""
    np.testing.assert_allclose(found.cameras["2"].centre_world, [0.5, 0, 0])
    keys = "".join(
        f"K_{n}: {K}rvec_{n}: [ 0., 0., 0. ]\ntvec_{n}: [ {x}, 0., 0. ]\n" for n, x in (("a", 0), ("b", -700))
    )
    (tmp_path / "both.yml").write_text(f'{head}unit: "mm"\n{keys}')
    found = read_calibration([tmp_path / "both.yml"])
    np.testing.assert_allclose(our_camera(found.cameras["b"], found.unit, (640, 480)).centre_world_m, [0.7, 0, 0])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "x = ", "is no TOML file"),
        ("a.toml", "x = 1", "has no camera"),
        ("a.yml", "K: [1,2", "cannot be read as YAML"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", '{"a": 1}', "has no camera"),
        ("a.toml", "", "is empty"),
        ("a.csv", "1", "there is no reader"),
    ],
)
def test_files_that_are_no_calibration_get_one_sentence(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        read_calibration([tmp_path / name])


def test_a_fisheye_lens_and_a_missing_file_are_refused(tmp_path):
    (path,) = write_calibration("pose2sim", tmp_path, CAMERAS)
    path.write_text(path.read_text().replace("fisheye = false", "fisheye = true", 1))
    with pytest.raises(ValueError, match="fisheye"):
        read_calibration([path])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_calibration([Path("nowhere.toml")])


def test_a_table_without_distortions_is_refused_though_it_says_whether_it_is_a_fisheye(tmp_path):
    (path,) = write_calibration("pose2sim", tmp_path, CAMERAS)
    kept = [line for line in path.read_text().splitlines() if not line.startswith("distortions")]
    path.write_text("\n".join(kept))
    assert "fisheye = false" in path.read_text()
    with pytest.raises(ValueError, match="distortions is missing"):
        read_calibration([path])


def test_names_match_but_for_case_and_separators():
    assert matching(["cam01", "CAM-2"], {"cam_01": 0, "cam2": 0}, "x") == ["cam_01", "cam2"]
    with pytest.raises(ValueError, match="has no camera cam03"):
        matching(["cam03"], {"cam_01": 0}, "x")


@pytest.mark.parametrize(("up", "axis"), [("-y", [0, -1, 0]), ("y", [0, 1, 0]), ("x", [1, 0, 0]), ("-z", [0, 0, -1])])
def test_another_axis_can_point_up_and_pictures_stay_the_same(up, axis):
    np.testing.assert_allclose(up_rotation(up) @ axis, [0, 0, 1])
    assert np.linalg.det(up_rotation(up)) == pytest.approx(1)
    camera = CAMERAS["cam02"]
    stored = StoredCamera(*camera[:4], (1088, 1920), camera.k, camera.p, "opencv")
    moved = our_camera(stored, "m", (0, 0), up)
    before = project(camera, to_camera(camera, POINTS_WORLD_M))
    np.testing.assert_allclose(project(moved, to_camera(moved, POINTS_WORLD_M @ up_rotation(up).T)), before, atol=1e-6)
