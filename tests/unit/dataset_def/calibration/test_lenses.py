"""Distortion and lens models under whatever key a program writes them: read, or refused, and never dropped.

Each case is a whole recording whose keypoints a bent lens has shown: the joints come out true (0.0 mm), or one
sentence says why not.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from dataset_def.calibration.camera_values import matching
from dataset_def.calibration.files import read_calibration, write_calibration
from dataset_def.multiview.undistort import letterbox, pinhole, sampling_map
from tests.helpers.keypoint_writers import openpose
from tests.helpers.small_recording import SmallRecording, small_recording
from utils.camera import Camera, project, to_rays

TRUE_MM = 0.01
BENT = {"k": np.array([-0.25, 0.1, -0.01]), "p": np.array([0.002, -0.001])}
FISHEYE = {"k": np.array([-0.05, 0.02, -0.004, 0.001])}


def opencv_values(camera: Camera) -> dict[str, Any]:
    """K, the coefficients and the pose as OpenCV has them."""
    K = camera.K
    K[:2, 2] -= 0.5
    dist = camera.k if camera.distortion == "fisheye" else [*camera.k[:2], *camera.p, camera.k[2]]
    T = -camera.R_cam_from_world @ camera.centre_world_m
    return {"K": K.tolist(), "dist": [float(value) for value in dist], "R": camera.R_cam_from_world.tolist(),
            "T": T.tolist(), "size": [camera.width_px, camera.height_px]}  # fmt: skip


def bent_recording(root: Path) -> SmallRecording:
    recording = small_recording(root, **BENT)
    openpose(recording)
    return recording


def fisheye_recording(root: Path) -> SmallRecording:
    recording = small_recording(root)
    recording.cameras = {name: c._replace(distortion="fisheye", **FISHEYE) for name, c in recording.cameras.items()}
    openpose(recording)
    return recording


def written_json(recording: SmallRecording, lens: Callable[[dict], dict]) -> tuple[Path]:
    """cams.json, a list of cameras whose lens is written in some way."""
    listed = []
    for name, camera in recording.cameras.items():
        values = opencv_values(camera)
        listed.append({"name": name} | {key: values[key] for key in ("K", "R", "T")} | lens(values))
    path = recording.root / "cams.json"
    path.write_text(json.dumps({"unit": "m", "cameras": listed}))
    return (path,)


def by_name(values: dict) -> dict:
    return dict(zip(("k1", "k2", "p1", "p2", "k3"), values["dist"], strict=True))


@pytest.mark.parametrize(
    "lens",
    [
        *(lambda values, key=key: {key: values["dist"]} for key in (
            "distortion_coeffs", "distCoef", "distCoeff", "distCoeffs", "distortion", "Distortion_Coefficients", "D",
            "distortions", "dist_coefs", "distortionParams")),
        lambda values: {"dist": [values["dist"]]},
        lambda values: {"dist": [[value] for value in values["dist"]]},
        lambda values: {"distortion_coefficients": {"rows": 1, "cols": 5, "data": values["dist"]},
                        "distortion_model": "plumb_bob"},
        lambda values: {"distortion": {"model": "radtan", "coefficients": values["dist"]}},
        lambda values: {"distortion": by_name(values)},
        by_name,
        lambda values: {"dist": values["dist"], "model": "GoPro Hero 9", "fisheye": False},
    ],
)  # fmt: skip
def test_distortion_is_read_under_whatever_key_and_in_whatever_form(tmp_path, lens):
    recording = bent_recording(tmp_path)
    assert recording.error_mm(calibration=written_json(recording, lens)) < TRUE_MM
    assert recording.error_mm(calibration=written_json(recording, lambda values: {})) > 5, "the lens matters here"


@pytest.mark.parametrize(
    ("lens", "words"),
    [
        (lambda v: {"lens_correction": v["dist"]}, "cams.json, camera cam1: lens_correction seems to say how the lens"),
        (lambda v: {"radial": v["dist"][:2]}, "radial seems to say how the lens bends, and is not understood"),
        (lambda v: {"dist": v["dist"], "D": v["dist"]}, "dist and D are both there; leave one away"),
        (lambda v: {"dist": v["dist"], "distortion_model": "double_sphere"}, "'double_sphere', a lens model that is"),
        (lambda v: {"dist": v["dist"], "camera_model": "omni"}, "'omni', a lens model that is not undone here"),
        (lambda v: {"dist": v["dist"], "fisheye": True}, "a fisheye lens with 5 distortion coefficients"),
        (lambda v: {"dist": v["dist"][:4], "fisheye": True, "distortion_model": "plumb_bob"}, "contradict each other"),
        (lambda v: {"dist": v["dist"][:2]}, "holds 2 numbers, expected 4 or 5"),
        (lambda v: {"distortion": by_name(v) | {"k7": 0.5}}, "coefficients k7 are not undone here"),
        (lambda v: {"dist": v["dist"], "fisheye": "perhaps"}, "fisheye is 'perhaps'; use true or false"),
    ],
)
def test_what_is_not_understood_about_a_lens_is_refused(tmp_path, lens, words):
    recording = bent_recording(tmp_path)
    with pytest.raises(ValueError, match=words):
        read_calibration(written_json(recording, lens))


@pytest.mark.parametrize("said", [{"fisheye": True}, {"distortion_model": "equidistant"}, {"model": "OPENCV_FISHEYE"},
                                  {"camera_model": "kannala_brandt"}])  # fmt: skip
def test_a_fisheye_is_undone_however_it_is_said(tmp_path, said):
    recording = fisheye_recording(tmp_path)
    files = written_json(recording, lambda values: {"dist": values["dist"]} | said)
    assert recording.error_mm(calibration=files) < TRUE_MM


def test_what_stands_above_all_cameras_holds_for_each(tmp_path):
    recording = fisheye_recording(tmp_path)
    (path,) = written_json(recording, lambda values: {"dist": values["dist"]})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"distortion_model": "fisheye"}))
    assert recording.error_mm(calibration=(path,)) < TRUE_MM


def test_the_fisheye_is_opencvs_and_its_pictures_become_flat():
    camera = Camera(np.eye(3), np.zeros(3), np.array([300.0, 310.0]), np.array([200.5, 150.5]), 400, 300,
                    np.array([-0.05, 0.02, -0.004, 0.001]), np.zeros(2), "fisheye")  # fmt: skip
    points_m = np.random.default_rng(0).uniform([-2, -2, 0.8], [2, 2, 3], (50, 3))
    K = camera.K
    K[:2, 2] -= 0.5
    theirs = cv2.fisheye.projectPoints(points_m[:, None], np.zeros(3), np.zeros(3), K, camera.k)[0][:, 0] + 0.5
    ours = project(camera, points_m)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(to_rays(camera, ours), points_m / points_m[:, 2:], atol=1e-6)
    assert np.linalg.norm(project(pinhole(camera), points_m) - ours, axis=1).max() > 20
    ideal = project(pinhole(camera), points_m)
    inside = ((ideal > 1) & (ideal < [399, 299])).all(axis=1)
    rows, columns = (ideal[inside, axis].astype(int) for axis in (1, 0))
    where = sampling_map(camera, letterbox(camera, 400, 300))[rows, columns] + 0.5
    assert np.abs(where - ours[inside]).max() < 1.5


def caliscope(recording: SmallRecording) -> str:
    lines = ["[cameras]"]
    for number, camera in enumerate(recording.cameras.values(), start=1):
        values = opencv_values(camera)
        rotation = Rotation.from_matrix(camera.R_cam_from_world).as_rotvec().tolist()
        lines += [f"[cameras.{number}]", f"cam_id = {number}", f"size = {values['size']}", "rotation_count = 0",
                  "error = 0.4", f"matrix = {values['K']}", f"distortions = {values['dist']}",
                  f"translation = {values['T']}", f"rotation = {rotation}", "grid_count = 20",
                  f"fisheye = {str(camera.distortion == 'fisheye').lower()}", ""]  # fmt: skip
    return "\n".join([*lines, "[cameras.9]", "cam_id = 9", "size = [96, 96]", "ignore = true"])


@pytest.mark.parametrize("make", [bent_recording, fisheye_recording])
def test_caliscopes_own_file_is_read_and_a_camera_without_a_matrix_is_an_ignored_one(tmp_path, make):
    recording = make(tmp_path)
    path = tmp_path / "camera_array.toml"
    path.write_text(caliscope(recording))
    assert sorted(read_calibration([path]).cameras) == ["cam_1", "cam_2", "cam_3", "cam_4"]
    assert recording.error_mm(calibration=(path,)) < TRUE_MM


@pytest.mark.parametrize(
    ("unit", "factor"), [("mm", 1000.0), ("cm", 100.0)]
)  # fmt: skip
def test_a_toml_in_another_unit_is_asked_for_it(tmp_path, unit, factor):
    """anipose and FreeMoCap write the unit of their board."""
    recording = bent_recording(tmp_path)
    far = {name: c._replace(centre_world_m=c.centre_world_m * factor) for name, c in recording.cameras.items()}
    (path,) = write_calibration("pose2sim", tmp_path, far)
    with pytest.raises(ValueError, match=rf"does not say in which unit .* {unit} \(10\.\d m\)"):
        recording.error_mm(calibration=(path,))
    assert recording.error_mm(calibration=(path,), calibration_unit=unit) < TRUE_MM


def panoptic(recording: SmallRecording) -> str:
    """CMU Panoptic's file: centimetres, R and t by rows."""
    cameras = []
    for number, camera in enumerate(recording.cameras.values(), start=1):
        values = opencv_values(camera)
        cameras.append({"name": f"00_{number:02d}", "type": "hd", "resolution": values["size"], "panel": 0,
                        "node": number, "K": values["K"], "distCoef": values["dist"], "R": values["R"],
                        "t": [[100 * value] for value in values["T"]]})  # fmt: skip
    return json.dumps({"calibDataSource": "160422_calib_norm", "cameras": cameras})


def test_cmu_panoptics_file_is_read_in_centimetres(tmp_path):
    recording = bent_recording(tmp_path)
    path = tmp_path / "calibration_160422.json"
    path.write_text(panoptic(recording))
    videos = tuple(f"00_{n:02d}={tmp_path / 'images' / f'cam{n}'}" for n in range(1, 5))
    for number in range(1, 5):
        (tmp_path / "keypoints" / f"cam{number}").rename(tmp_path / "keypoints" / f"00_{number:02d}")
    assert recording.error_mm(calibration=(path,), videos=videos) < TRUE_MM


ENCODINGS = {"utf-8": "utf-8", "with a mark": "utf-8-sig", "UTF-16": "utf-16", "UTF-16 without a mark": "utf-16-le"}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["opencv", "opencv_json", "pose2sim", "qualisys", "easymocap"])
def test_text_in_any_encoding_is_read(tmp_path, kind, encoding):
    recording = bent_recording(tmp_path)
    files = write_calibration(kind, tmp_path / "calibration", recording.cameras)
    for path in files:
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode(ENCODINGS[encoding]))
    assert recording.error_mm(calibration=tuple(files)) < TRUE_MM


@pytest.mark.parametrize("flow", [None, False, True])
def test_yaml_as_pyyaml_writes_it_and_names_without_quotes_are_read(tmp_path, flow):
    recording = bent_recording(tmp_path)
    cameras = [{"name": f"0{number}"} | opencv_values(camera)
               for number, camera in enumerate(recording.cameras.values(), start=1)]  # fmt: skip
    path = tmp_path / "cams.yaml"
    path.write_text(yaml.safe_dump({"unit": "m", "cameras": cameras}, default_flow_style=flow).replace("'", ""))
    assert list(read_calibration([path]).cameras) == ["01", "02", "03", "04"]
    assert recording.error_mm(calibration=(path,)) < TRUE_MM


def test_a_calibration_of_another_size_that_tells_none_says_what_to_add(tmp_path):
    recording = bent_recording(tmp_path)
    double = {name: c._replace(focal_px=2 * c.focal_px, centre_px=2 * c.centre_px, width_px=192, height_px=192)
              for name, c in recording.cameras.items()}  # fmt: skip
    intri, extri = write_calibration("easymocap", tmp_path / "double", double)
    whole = intri.read_text()
    intri.write_text("\n".join(line for line in whole.split("\n") if not line.startswith(("W_", "H_"))))
    with pytest.raises(ValueError, match=r"perhaps 192 x 192, write that .* W_cam1 and H_cam1 .* --video-size scaled"):
        recording.error_mm(calibration=(intri, extri))
    intri.write_text(whole)
    with pytest.raises(ValueError, match=r"its calibration is for 192 x 192.*--video-size scaled"):
        recording.error_mm(calibration=(intri, extri))
    openpose_at_half = recording.error_mm(calibration=(intri, extri), video_size="scaled")
    assert openpose_at_half < 1.0, "the principal point moves by a quarter pixel with the size"


def test_a_video_that_is_turned_by_a_quarter_is_called_so(tmp_path):
    recording = bent_recording(tmp_path)
    turned = {name: c._replace(width_px=54, height_px=96) for name, c in recording.cameras.items()}
    (path,) = write_calibration("pose2sim", tmp_path / "turned", turned)
    for picture in (tmp_path / "images").rglob("*.png"):
        cv2.imwrite(str(picture), np.zeros((54, 96, 3), np.uint8))
    with pytest.raises(ValueError, match="one of them is turned by a quarter; turn the video back"):
        recording.error_mm(calibration=(path,))


@pytest.mark.parametrize("kind", ["opencv", "opencv_json", "pose2sim", "anipose", "caliscope", "colmap", "nerfstudio"])
def test_a_fisheye_comes_back_from_formats_that_have_it_and_is_refused_by_others(tmp_path, kind):
    cameras = fisheye_recording(tmp_path).cameras
    stored = read_calibration(write_calibration(kind, tmp_path, cameras)).cameras
    found = stored[matching(["cam2"], stored, kind)[0]]
    assert found.distortion == "fisheye"
    np.testing.assert_allclose(found.k, FISHEYE["k"], atol=1e-12)
    for other in ("qualisys", "easymocap", "h36m", "panoptic"):
        with pytest.raises(ValueError, match="cannot describe"):
            write_calibration(other, tmp_path, cameras)


def colmap(recording: SmallRecording, folder: Path, model: str) -> tuple[Path, Path]:
    """cameras.txt and images.txt as COLMAP writes them: comments, points, two pictures per camera."""
    lenses, images = ["# Camera list with one line of data per camera:"], ["# Image list with two lines of data"]
    for number, (name, c) in enumerate(recording.cameras.items(), start=1):
        focal = [c.focal_px[0]] if model.startswith("SIMPLE") else list(c.focal_px)
        bent = {"OPENCV": [*c.k[:2], *c.p], "FULL_OPENCV": [*c.k[:2], *c.p, c.k[2], 0, 0, 0], "PINHOLE": []}[model]
        parts = [*focal, *c.centre_px, *bent]
        lenses.append(f"{number} {model} {c.width_px} {c.height_px} {' '.join(repr(float(v)) for v in parts)}")
        w, x, y, z = Rotation.from_matrix(c.R_cam_from_world).as_quat(scalar_first=True)
        T = -c.R_cam_from_world @ c.centre_world_m
        for frame in (1, 2):
            images += [f"{2 * number + frame} {w} {x} {y} {z} {T[0]} {T[1]} {T[2]} {number} {name}/{frame:04d}.jpg",
                       "12.5 7.25 -1 30.0 4.0 17"]  # fmt: skip
    folder.mkdir()
    (folder / "cameras.txt").write_text("\n".join(lenses))
    (folder / "images.txt").write_text("\n".join(images))
    return folder / "cameras.txt", folder / "images.txt"


@pytest.mark.parametrize("model", ["FULL_OPENCV", "PINHOLE"])
@pytest.mark.parametrize("given", ["folder", "files"])
def test_colmaps_model_as_text_is_read(tmp_path, model, given):
    recording = bent_recording(tmp_path) if model == "FULL_OPENCV" else small_recording(tmp_path)
    openpose(recording)
    files = colmap(recording, tmp_path / "sparse", model)
    calibration = (tmp_path / "sparse",) if given == "folder" else files
    with pytest.raises(ValueError, match=r"does not say in which unit its lengths are"):
        recording.error_mm(calibration=calibration)
    assert recording.error_mm(calibration=calibration, calibration_unit="m") < TRUE_MM


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("FULL_OPENCV", "THIN_PRISM_FISHEYE", "its model THIN_PRISM_FISHEYE is not undone here"),
        ("FULL_OPENCV", "OPENCV", "OPENCV has 8 parameters, the file gives 12"),
        (" cam2/0002", " cam1/0003", "camera cam1 is at several places; cameras that move are not read"),
        (" 3 cam3/", " 7 cam3/", "has no camera 7; export both files together"),
    ],
)
def test_a_model_of_colmap_that_is_not_understood_is_refused(tmp_path, old, new, words):
    files = colmap(bent_recording(tmp_path), tmp_path / "sparse", "FULL_OPENCV")
    for path in files:
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=words):
        read_calibration(files)
    (tmp_path / "cameras.bin").write_bytes(b"1")
    with pytest.raises(ValueError, match="binary model; write it as text: colmap model_converter"):
        read_calibration([tmp_path / "cameras.bin"])


def nerfstudio(recording: SmallRecording, shared: dict) -> str:
    """transforms.json of pictures by one and the same lens: it stands above all frames."""
    frames = []
    for name, c in recording.cameras.items():
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = c.R_cam_from_world.T @ np.diag([1.0, -1.0, -1.0]), c.centre_world_m
        frames.append({"file_path": f"images/{name}.png", "transform_matrix": pose.tolist(), "colmap_im_id": 1})
    c = recording.cameras["cam1"]
    lens = {"w": c.width_px, "h": c.height_px, "fl_x": c.focal_px[0], "fl_y": c.focal_px[1], "cx": c.centre_px[0],
            "cy": c.centre_px[1]}  # fmt: skip
    return json.dumps(lens | shared | {"applied_scale": 1.0, "frames": frames})


def test_nerfstudios_file_is_read(tmp_path):
    recording = bent_recording(tmp_path)
    path = tmp_path / "transforms.json"
    k, p = BENT["k"], BENT["p"]
    lens = {"camera_model": "OPENCV", "k1": k[0], "k2": k[1], "k3": k[2], "p1": p[0], "p2": p[1]}
    path.write_text(nerfstudio(recording, lens))
    assert recording.error_mm(calibration=(path,), calibration_unit="m") < TRUE_MM
    path.write_text(nerfstudio(recording, lens | {"k4": 0.1}))
    with pytest.raises(ValueError, match=r"its lens \(OPENCV, k4 0\.1\) is not undone here"):
        read_calibration([path])
    path.write_text(nerfstudio(recording, {"camera_model": "EQUIRECTANGULAR"}))
    with pytest.raises(ValueError, match="EQUIRECTANGULAR"):
        read_calibration([path])
    recording = fisheye_recording(tmp_path / "fisheye")
    lens = {"camera_model": "OPENCV_FISHEYE"} | dict(zip(("k1", "k2", "k3", "k4"), FISHEYE["k"], strict=True))
    path.write_text(nerfstudio(recording, lens))
    assert recording.error_mm(calibration=(path,), calibration_unit="m") < TRUE_MM
