"""Crops with a labels.h5: directions and joints stay, places are found; contradictions are refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tiny_h36m import wall, write_tiny_h36m

pytest.importorskip("h5py")
from config import Paths, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.convert_labels_h5 import ConvertLabelsConfig, main
from dataset_def.crop import crop_camera, cut
from dataset_def.h36m_files import FrameKey, find_folders, load_image, load_meta, meta_path
from dataset_def.h36m_index import load_table
from dataset_def.labels_h5.label_file import read_labels
from dataset_def.labels_h5.place_people import meet
from tests.helpers.labels_h5 import SIDE_M, SIZE_PX, save_labels, write_labels_h5
from utils.artifacts import load_background
from utils.camera import project, to_camera
from utils.image import read_image

FRAMES = 8


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Paths:
    root = tmp_path_factory.mktemp("source")
    return write_tiny_h36m(root, subjects=(1,), actions=(2, 3), frames=FRAMES, size_px=128, ending="png")


@pytest.fixture(scope="module")
def made(source, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("crops")
    backgrounds = {(1, camera): wall(1, camera, 128, 130 if camera in (1, 4) else 128) for camera in (1, 2, 3, 4)}
    return folder, write_labels_h5(folder, source, backgrounds)


def settings(crops: Path, root: Path, **changes) -> ConvertLabelsConfig:
    paths = Paths(
        h36m_location=root / "frames",
        masks_location=root / "masks",
        backgrounds_location=root / "backgrounds",
        index_location=root / "index",
    )
    config = ConvertLabelsConfig(
        crops=crops, paths=paths, report_location=root / "about", side_m=SIDE_M, image="png", processes=1
    )
    return replace(config, **changes)


@pytest.fixture(scope="module")
def converted(made, tmp_path_factory) -> ConvertLabelsConfig:
    config = settings(made[0], tmp_path_factory.mktemp("converted"))
    main(config)
    return config


@pytest.fixture
def changed(made, tmp_path):
    """Write the crops again with other labels."""

    def write(**arrays: np.ndarray) -> ConvertLabelsConfig:
        folder = tmp_path / "crops"
        shutil.copytree(made[0], folder)
        save_labels(folder, {name: a for name, a in (made[1] | arrays).items() if a is not None})
        return settings(folder, tmp_path / "out")

    return write


def test_poses_and_places_are_those_of_the_recording(converted, source):
    """All but the world's origin on the floor is found again: distances, cameras, people, joints."""
    shifts = []
    for key in find_folders(source):
        meta, true = (load_meta(meta_path(paths, key)) for paths in (converted.paths, source))
        rooted, true_rooted = (m.joints_world_m - m.joints_world_m[:, :1] for m in (meta, true))
        assert np.abs(rooted - true_rooted).max() < 1e-4
        shifts += [*(meta.joints_world_m[:, 0] - true.joints_world_m[:, 0])]
        shifts.append(meta.camera.centre_world_m - true.camera.centre_world_m)
    assert np.abs(np.array(shifts) - shifts[0]).max() < 1e-3, "one shift, to a millimetre, for cameras and people"
    assert abs(shifts[0][2]) < 0.01


def test_the_same_crop_shows_the_same_picture(converted, source, made):
    """Cutting the crop out of the fixed picture again gives the crop, but for being resampled twice."""
    for key in find_folders(source)[::3]:
        meta = load_meta(meta_path(converted.paths, key))
        for frame in (1, FRAMES):
            image = load_image(converted.paths, FrameKey(*key, frame), meta.camera)
            crop = crop_camera(meta.camera, meta.joints_world_m[frame - 1, 0], SIZE_PX, SIDE_M)
            again = cut(image, meta.camera, crop).astype(float)
            path = made[0] / f"seq_{key[1]:03d}" / f"cam_{key[3]:02d}" / f"img_crop_{5 * frame:06d}.png"
            differs = np.abs(again - read_image(path))[2:-2, 2:-2]
            assert differs.mean() < 2.5, f"{differs.mean():.1f} grey levels, expected below 2.5"


def test_outside_of_the_crop_the_background_goes_on(converted):
    meta = load_meta(meta_path(converted.paths, (1, 2, 1, 1)))
    room = load_background(converted.paths.backgrounds_location / "s_01_ca_01.npy")
    image = load_image(converted.paths, FrameKey(1, 2, 1, 1, 1), meta.camera).astype(int)
    head_px = project(meta.camera, to_camera(meta.camera, meta.joints_world_m[0]))[0]
    far = np.hypot(*(np.indices(room.shape[:2])[::-1] - head_px[:, None, None])) > 1.1 * SIZE_PX
    assert np.abs(image - room)[far].max() <= 1 and (room.max(-1) > 0).mean() > 0.5


def test_the_next_script_reads_it(converted):
    h36m_preprocess.main(PreprocessConfig(paths=converted.paths, pack_px=48, processes=1, centre="pelvis"))
    table = load_table(converted.paths)
    assert len(table.frames) == 2 * 4 * FRAMES and not table.has_masks


def test_frames_are_numbered_anew_and_the_report_keeps_their_numbers(converted):
    about = json.loads((converted.report_location / "report.json").read_text())
    found = about["subjects"]["1"]
    assert found["frames"]["3"] == [5 * frame for frame in range(1, FRAMES + 1)]
    assert about["joints"] == "as they are, in metres" and found["crops_are_centred_on"] == "pelvis"
    assert found["miss_m"] < 1e-3


def test_a_second_run_writes_nothing_and_other_settings_are_refused(converted):
    before = {path: path.stat().st_mtime_ns for path in converted.report_location.parent.rglob("*.png")}
    main(converted)
    assert {path: path.stat().st_mtime_ns for path in converted.report_location.parent.rglob("*.png")} == before
    with pytest.raises(ValueError, match=r"was begun with detail 1.25"):
        main(replace(converted, detail=2.0))


def test_lines_of_sight_meet_at_the_people():
    rng = np.random.default_rng(0)
    centres = rng.uniform(-5, 5, (3, 3))
    people, offset = rng.uniform(-1, 1, (6, 3)), rng.normal(0, 0.1, (6, 3, 3))
    away = people[:, None] + offset - centres
    distance = np.linalg.norm(away, axis=-1)
    found, where, miss = meet(away / distance[..., None], offset, distance)
    shift = found[0] - centres[0]
    np.testing.assert_allclose(found, centres + shift, atol=1e-9)
    np.testing.assert_allclose(where, people + shift, atol=1e-9)
    assert miss < 1e-9
    _, _, miss = meet(away / distance[..., None], 0 * offset, distance)
    assert miss > 0.02, "without the offsets the lines do not meet"


def test_a_single_camera_gets_the_assumed_distance():
    along = np.array([[[0.0, 0, 1]], [[0.6, 0, 0.8]]])
    centres, people, _ = meet(along, np.zeros((2, 1, 3)), np.array([[4.0], [5.0]]))
    np.testing.assert_allclose(people - centres[0], [[0, 0, 4], [3, 0, 4]], atol=1e-9)


@pytest.mark.parametrize("kind", ["millimetres", "scaled", "units of the side"])
def test_what_the_arrays_hold_is_recognised(changed, made, kind):
    joints = made[1]["3D"]
    mean, std = joints.mean(0), joints.std(0) + 0.01
    arrays = {
        "millimetres": {"3D": joints * 1000},
        "scaled": {"3D": (joints - mean) / std, "pose_mean": mean, "pose_std": std},
        "units of the side": {"intrinsic_crop": made[1]["intrinsic_crop"] / np.array([SIZE_PX] * 6 + [1] * 3)},
    }[kind]
    config = changed(**arrays)
    labels, true = (read_labels(folder / "labels.h5", SIZE_PX) for folder in (config.crops, made[0]))
    np.testing.assert_allclose(labels.joints_crop_m, true.joints_crop_m, atol=1e-5)
    np.testing.assert_allclose(labels.focal, true.focal, rtol=1e-5)
    assert kind.split()[0] in labels.joints_were or kind == "units of the side"


def world_joints(arrays: dict) -> np.ndarray:
    R = arrays["extrinsic_rot"].reshape(-1, 3, 3)
    return (arrays["3D"].reshape(-1, 17, 3) @ R).reshape(-1, 51)


def elastic(arrays: dict) -> np.ndarray:
    """Joints of a person whose size changes from frame to frame, thighs 0.31 to 0.59 m."""
    joints = arrays["3D"].reshape(-1, 17, 3)
    thighs_m = np.linalg.norm(joints[:, 2] - joints[:, 1], axis=-1)
    wanted_m = np.random.default_rng(0).uniform(0.31, 0.59, len(joints))
    return (joints * (wanted_m / thighs_m)[:, None, None]).reshape(-1, 51)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"3D": None}, "has no 3D"),
        (lambda a: {"3D": a["3D"] * 0.2}, "no person in metres or millimetres"),
        (lambda a: {"3D": elastic(a)}, "no person in metres or millimetres"),
        (lambda a: {"3D": a["3D"][:-1]}, "expected 64 rows of 51 finite numbers"),
        (lambda a: {"3D": world_joints(a)}, "must be in that camera's axes"),
        (lambda a: {"3D": a["3D"] * np.tile([-1, 1, 1], 17)}, "differ by .* between cameras; 3D must be in the axes"),
        (lambda a: {"extrinsic_rot": a["extrinsic_rot"] * 1.1}, "no rotations"),
        (lambda a: {"extrinsic_rot_inv": a["extrinsic_rot"]}, "is not the inverse of extrinsic_rot"),
        (
            lambda a: {"extrinsic_rot": a["extrinsic_rot_inv"], "extrinsic_rot_inv": a["extrinsic_rot"]},
            "z must point up",
        ),
        (
            lambda a: {"intrinsic_crop": a["intrinsic_crop"] * 0 + np.diag([1e5, 1e5, 1]).ravel()},
            "no pixels of crops",
        ),
        (lambda a: {"intrinsic_crop": -a["intrinsic_crop"]}, "no matrix of a camera"),
        (lambda a: {"frame": a["frame"] * 0}, "name a picture twice"),
    ],
)
def test_a_contradiction_is_one_sentence_and_writes_nothing(changed, made, change, words):
    config = changed(**change(made[1]))
    with pytest.raises(ValueError, match=words):
        main(config)
    assert not config.report_location.parent.exists()


def test_damaged_files_are_one_sentence(changed, tmp_path):
    config = changed()
    crop = config.crops / "seq_003" / "cam_02" / "img_crop_000020.png"
    crop.write_bytes(crop.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"img_crop_000020.png is truncated"):
        main(config)
    assert not list(tmp_path.rglob("*.partial")) and not list((tmp_path / "out").rglob("s_01_act_03_subact_01_ca_02"))
    path = config.crops / "labels.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"labels.h5 is damaged or no HDF5 file"):
        main(config)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"labels.h5 does not exist"):
        main(config)
    with pytest.raises(FileNotFoundError, match=r"give the folder with labels.h5 with --crops"):
        main(replace(config, crops=tmp_path / "nowhere"))
