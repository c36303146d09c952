"""The conversion of the official Human3.6M download, on files of its form made from a data set that is known."""

import json
import resource
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.helpers.tiny_h36m import looking_camera, write_tiny_h36m

pytest.importorskip("cdflib")
pytest.importorskip("h5py")
from config import Paths
from dataset_def.convert_h36m import main
from dataset_def.h36m_files import FrameKey, find_folders, load_image, load_mask, load_meta, meta_path
from dataset_def.official import report as disk_space
from dataset_def.official.convert import is_on_mask, shrunk_camera, usable_frames
from dataset_def.official.files import plain_stem
from dataset_def.official.ground_truth import count_poses, open_masks, read_joints_world_m, read_points_px
from dataset_def.official.metadata import read_camera, read_metadata, rotation
from dataset_def.official.report import estimate, on_disk
from dataset_def.official.settings import ConvertConfig
from dataset_def.video import open_video
from tests.helpers.official_h36m import (
    frames_of,
    recording_name,
    write_cdf,
    write_masks_5,
    write_masks_73,
    write_metadata,
    write_official,
    write_poses,
    write_video,
)
from utils.camera import project, to_camera
from utils.image import read_image

K, P = (-0.2071, 0.2478, -0.0031), (-0.00142, -0.00098)
FRAMES = 7
VIEW = "Directions 1.54138969"
FIRST = "s_01_act_02_subact_01_ca_01"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Paths:
    """Two subjects, one recording each, with lens distortion; cameras 1 and 4 are two rows higher."""
    root = tmp_path_factory.mktemp("source")
    return write_tiny_h36m(root, actions=(2,), frames=FRAMES, size_px=96, ending="png", k=K, p=P)


@pytest.fixture(scope="module")
def download(source, tmp_path_factory) -> Path:
    return write_official(tmp_path_factory.mktemp("official") / "h36m", source)


@pytest.fixture
def copied(download, tmp_path) -> Path:
    shutil.copytree(download, tmp_path / "official")
    return tmp_path / "official"


def settings(official: Path, root: Path, **changes) -> ConvertConfig:
    """Settings that convert everything without loss."""
    paths = Paths(
        h36m_location=root / "frames",
        masks_location=root / "masks",
        index_location=root / "index",
        backgrounds_location=root / "backgrounds",
    )
    config = ConvertConfig(
        official=official,
        paths=paths,
        report_location=root / "about",
        subjects=(1, 9),
        actions=(2,),
        subactions=(1,),
        every=1,
        image="png",
        keep_free_gb=0,
        processes=1,
    )
    return replace(config, **changes)


@pytest.fixture(scope="module")
def converted(download, tmp_path_factory) -> ConvertConfig:
    config = settings(download, tmp_path_factory.mktemp("converted"))
    main(config)
    return config


def report_of(config: ConvertConfig) -> dict:
    return json.loads((config.report_location / "report.json").read_text())


def pictures_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in (".png", ".jpg", ".partial"))


# ------------------------------------------------------------------------------------------------------------ readers


def test_the_rotation_is_about_z_first_then_y_then_x():
    right = np.pi / 2
    np.testing.assert_allclose(rotation(np.array([right, right, right])) @ [1, 0, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation(np.array([right, 0, 0])) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation(np.array([0, right, 0])) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    angles = np.array([0.3, -1.1, 2.0])
    np.testing.assert_allclose(rotation(angles), Rotation.from_euler("XYZ", angles).as_matrix(), atol=1e-12)


def test_cameras_are_read_to_a_billionth(download, source):
    metadata = read_metadata(download / "metadata.xml")
    for key in find_folders(source):
        true = load_meta(meta_path(source, key)).camera
        camera = read_camera(metadata, key[0], key[3], true.width_px, true.height_px)
        for ours, theirs in zip(camera[:-1], true[:-1], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
        np.testing.assert_allclose(to_camera(camera, true.centre_world_m), 0, atol=1e-9)


def test_w0_is_ordered_by_camera_and_then_by_subject(tmp_path):
    numbers = " ".join(str(value) for value in range(1, 301))
    path = tmp_path / "metadata.xml"
    path.write_text(f"<m><mapping><tr><td/><td/><td>S1</td></tr><tr><td>2</td><td>1</td><td>a</td></tr></mapping>"
                    f"<w0>[{numbers}]</w0></m>")  # fmt: skip
    camera = read_camera(read_metadata(path), subject=7, camera=3, width_px=1000, height_px=1000)
    first = (2 * 11 + 6) * 6 + 1
    np.testing.assert_allclose(camera.centre_world_m * 1000, [first + 3, first + 4, first + 5])
    np.testing.assert_allclose([*camera.focal_px, *camera.centre_px, *camera.k, *camera.p], np.arange(283, 292))


def test_names_come_from_the_table(download):
    names = read_metadata(download / "metadata.xml").names
    assert names[1, 12, 1] == "TakingPhoto 1" and names[5, 12, 2] == "Photo" and names[1, 15, 2] == "WalkingDog"
    assert len(names) == 11 * 32


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<m><mapping><tr><td>S1</td></tr></mapping></m>", "has no w0"),
        ("<m><w0>[1 2 3]</w0><mapping/></m>", "holds 3 values, expected 300"),
        ("<m><w0>[one two]</w0></m>", "something else than numbers"),
        ("<m><w0>[" + "1 " * 299 + "nan]</w0></m>", "300 finite numbers"),
        ("<m><w0>[" + "1 " * 300 + "]</w0></m>", "no table `mapping`"),
        ("<m><mapping><tr><td>a</td></tr></mapping><w0>[" + "1 " * 300 + "]</w0></m>", "names no recording"),
        ("<m><w0>[1 2", "cannot be read as xml"),
    ],
)
def test_a_damaged_metadata_file_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "metadata.xml"
    path.write_text(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_metadata(path)
    assert str(path) in str(caught.value) and "--metadata" in str(caught.value)


def test_a_subject_without_calibration_is_refused(tmp_path):
    write_metadata(tmp_path / "m.xml", {(1, 1): looking_camera(1, 100, 100)})
    with pytest.raises(ValueError, match="no calibration of camera 2 for subject 1"):
        read_camera(read_metadata(tmp_path / "m.xml"), 1, 2, 100, 100)


def test_17_of_the_32_joints_are_kept_in_metres(tmp_path):
    of_32 = np.arange(32)[None, :, None] * 100 + np.arange(3)
    write_cdf(tmp_path / "a.cdf", np.repeat(of_32, 5, axis=0).reshape(5, 96))
    joints_m = read_joints_world_m(tmp_path / "a.cdf")
    target = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    assert joints_m.shape == (5, 17, 3) and count_poses(tmp_path / "a.cdf") == 5
    np.testing.assert_allclose(joints_m[3, :, 0], np.array(target) / 10, atol=1e-6)
    np.testing.assert_allclose(joints_m[3, :, 2] - joints_m[3, :, 0], 0.002, atol=1e-6)


def test_cut_or_changed_pose_files_are_one_sentence(tmp_path):
    path = tmp_path / "whole.cdf"
    write_cdf(path, np.random.default_rng(0).normal(0, 500, (20, 96)))
    content = path.read_bytes()
    cut = tmp_path / "cut.cdf"
    for size in (0, 7, 300, 1000, len(content) // 2, len(content) - 500):
        cut.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut.cdf is damaged or no .cdf file of poses"):
            read_joints_world_m(cut)
    rng = np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(content)
        for place in rng.integers(0, 1500, 3):
            changed[place] = rng.integers(256)
        cut.write_bytes(bytes(changed))
        try:
            assert read_joints_world_m(cut).shape[1:] == (17, 3)
        except ValueError as error:
            assert "cut.cdf" in str(error)


def test_poses_of_another_kind_are_refused(tmp_path):
    write_cdf(tmp_path / "2d.cdf", np.ones((4, 64)))
    with pytest.raises(ValueError, match="64 numbers per frame, expected 32 joints x 3"):
        read_joints_world_m(tmp_path / "2d.cdf")
    write_cdf(tmp_path / "far.cdf", np.full((4, 96), 2e8))
    with pytest.raises(ValueError, match="not in millimetres"):
        read_joints_world_m(tmp_path / "far.cdf")
    assert read_points_px(tmp_path / "2d.cdf").shape == (4, 17, 2)


@pytest.mark.parametrize("write", [write_masks_73, write_masks_5])
def test_masks_of_both_matlab_formats_are_upright(tmp_path, write):
    masks = [np.zeros((6, 9), np.uint8) for _ in range(3)]
    masks[1][2, 5] = 255
    write(tmp_path / "m.mat", masks)
    with open_masks(tmp_path / "m.mat") as found:
        assert found.num_masks == 3
        for row, mask in enumerate(masks):
            assert np.array_equal(found.read(row), mask)


@pytest.mark.parametrize("write", [write_masks_73, write_masks_5])
def test_damaged_mask_files_are_one_sentence(tmp_path, write):
    path = tmp_path / "m.mat"
    rng = np.random.default_rng(0)
    write(path, [(rng.random((40, 50)) > 0.5).astype(np.uint8) * 255 for _ in range(20)])
    content = path.read_bytes()
    for size in (0, 100, 600, len(content) // 2):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"m.mat is damaged or holds no cell Masks"), open_masks(path) as masks:
            masks.read(19)


def test_only_wanted_frames_of_a_video_are_given(tmp_path):
    images = [np.full((32, 48, 3), 10 * number, np.uint8) for number in range(12)]
    write_video(tmp_path / "v.mkv", iter(images))
    with open_video(tmp_path / "v.mkv") as video:
        given = list(video.frames(5, last=11))
        assert [frame for frame, _ in given] == [1, 6, 11] and video.num_passed == 11
    assert [int(image[0, 0, 0]) for _, image in given] == [0, 50, 100]
    with open_video(tmp_path / "v.mkv") as video:
        assert len(list(video.frames(1, last=99))) == 12 and video.num_passed == 12


# --------------------------------------------------------------------------------------------------------- conversion


def test_pictures_and_masks_are_right_to_the_pixel(converted, source):
    folders = find_folders(source)
    assert find_folders(converted.paths) == folders and len(folders) == 8
    for key in folders:
        meta = load_meta(meta_path(converted.paths, key))
        assert meta.camera.height_px - meta.camera.width_px == (2 if key[3] in (1, 4) else 0)
        for frame in range(1, FRAMES + 1):
            frame_key = FrameKey(*key, frame)
            ours, true = (load_image(paths, frame_key, meta.camera) for paths in (converted.paths, source))
            assert np.array_equal(ours, true)
            mask, true_mask = (load_mask(paths, frame_key, meta.camera) for paths in (converted.paths, source))
            assert np.array_equal(mask > 128, true_mask > 128) and set(np.unique(mask)) == {0, 255}


def test_joints_and_cameras_are_right(converted, source):
    for key in find_folders(source):
        meta, true = (load_meta(meta_path(paths, key)) for paths in (converted.paths, source))
        assert np.abs(meta.joints_world_m - true.joints_world_m).max() < 1e-4
        for ours, theirs in zip(meta.camera[:-1], true.camera[:-1], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
        assert meta.camera.is_distorted and meta.camera.distortion == "h36m"


def test_the_report_tells_what_was_measured(converted):
    report = report_of(converted)
    assert report["frames"] == 8 * FRAMES and not report["problems"] and not report["missing"]
    note = report["folders"][FIRST]
    assert note["recording"] == "S1 Directions 1" and note["video_frames"] == note["poses"] == FRAMES
    assert note["projection_error_px"] < 1e-3 and note["frames_off_mask"] == 0


def test_a_second_run_writes_nothing_and_a_lost_folder_comes_back(copied, tmp_path):
    config = settings(copied, tmp_path / "out", subjects=(1,))
    main(config)
    before = {path: path.stat().st_mtime_ns for path in pictures_below(tmp_path / "out")}
    main(config)
    assert {path: path.stat().st_mtime_ns for path in pictures_below(tmp_path / "out")} == before
    assert not report_of(config)["new"] and report_of(config)["frames"] == 4 * FRAMES
    shutil.rmtree(config.paths.masks_location / FIRST)
    half = config.paths.h36m_location / "s_01_act_02_subact_01_ca_02"
    half.rename(half.with_name(half.name + ".partial"))
    main(config)
    assert report_of(config)["new"] == [FIRST, half.name] and len(pictures_below(tmp_path / "out")) == len(before)


def test_every_third_frame_keeps_its_number(download, tmp_path):
    config = settings(download, tmp_path, subjects=(9,), cameras=(3,), every=3)
    main(config)
    folder = "s_09_act_02_subact_01_ca_03"
    names = [path.stem for path in pictures_below(config.paths.h36m_location)]
    assert names == [f"{folder}_{frame:06d}" for frame in (1, 4, 7)]
    assert len(load_meta(config.paths.h36m_location / folder / "h36m_meta.mat").joints_world_m) == FRAMES


def test_shrunk_frames_come_with_a_shrunk_calibration(download, source, tmp_path):
    config = settings(download, tmp_path, subjects=(1,), cameras=(1,), size_px=48)
    main(config)
    meta, true = (load_meta(meta_path(paths, (1, 2, 1, 1))) for paths in (config.paths, source))
    assert (meta.camera.width_px, meta.camera.height_px) == (48, 49)
    points_px, true_px = (project(one.camera, to_camera(one.camera, true.joints_world_m)) for one in (meta, true))
    np.testing.assert_allclose(points_px, true_px / 2, atol=1e-6)
    image = load_image(config.paths, FrameKey(1, 2, 1, 1, 3), meta.camera).astype(int)
    large = load_image(source, FrameKey(1, 2, 1, 1, 3), true.camera).astype(int)
    assert np.abs(image - large.reshape(49, 2, 48, 2, 3).mean((1, 3))).max() <= 1
    with pytest.raises(ValueError, match="size_px is 200, but the videos are 96 wide"):
        shrunk_camera(true.camera, 200)


def test_an_mp4_is_converted_with_the_losses_of_its_codec(source, tmp_path):
    official = write_official(tmp_path / "mp4", source, ending="mp4", with_points=False)
    config = settings(official, tmp_path, subjects=(1,), cameras=(2,), image="jpg")
    main(config)
    camera = load_meta(meta_path(source, (1, 2, 1, 2))).camera
    for frame in range(1, FRAMES + 1):
        ours, true = (load_image(paths, FrameKey(1, 2, 1, 2, frame), camera) for paths in (config.paths, source))
        assert np.abs(ours.astype(int) - true).mean() < 6, "mean difference of 6 grey levels"


def test_names_that_are_spelled_otherwise_are_found(copied, tmp_path, capsys):
    rename(copied / "S1", "Directions 1", "directions_1")
    config = settings(copied, tmp_path / "out", subjects=(1,))
    main(config)
    assert len(report_of(config)["spelled_otherwise"]) == 4 + 1  # views, and the poses of all
    assert "5 names are spelled otherwise" in capsys.readouterr().out
    assert plain_stem("TakingPhoto 1") == plain_stem("Photo_1") and plain_stem("WalkingDog") == plain_stem(
        "WalkDog"
    ) != plain_stem("Walking")


def rename(folder: Path, old: str, new: str) -> None:
    for path in sorted(folder.rglob(f"{old}.*")):
        path.rename(path.with_name(path.name.replace(old, new)))


def test_the_poses_are_also_found_in_their_older_place(copied, tmp_path):
    (copied / "S1" / "MyPoseFeatures").mkdir()
    (copied / "S1" / "Poses_D3_Positions").rename(copied / "S1" / "MyPoseFeatures" / "D3_Positions")
    main(settings(copied, tmp_path / "out", subjects=(1,), cameras=(1,)))


def test_what_is_missing_is_told_and_the_rest_converted(copied, tmp_path, capsys):
    (copied / "S9" / "Videos" / "Directions 1.55011271.mkv").unlink()
    (copied / "S9" / "MySegmentsMat" / "ground_truth_bs" / "Directions 1.58860488.mat").unlink()
    config = settings(copied, tmp_path / "out", subjects=(1, 5, 9))
    main(config)
    report = report_of(config)
    assert report["missing"]["s_09_act_02_subact_01_ca_02"].startswith("there is no Directions 1.55011271.mp4")
    assert "no masks" in report["skipped"]["s_09_act_02_subact_01_ca_03"] and len(report["folders"]) == 6
    printed = capsys.readouterr().out
    assert "missing     4 (s_05_act_02_subact_01_ca_01): there is no folder" in printed and "--every 1" in printed
    main(settings(copied, tmp_path / "bare", subjects=(9,), masks=False))
    assert (
        not (tmp_path / "bare" / "masks").exists() and (tmp_path / "bare/frames/s_09_act_02_subact_01_ca_03").exists()
    )


def test_the_broken_folder_is_skipped_and_s9_s_labels_are_pointed_at(tmp_path, capsys):
    source = write_tiny_h36m(tmp_path / "src", subjects=(9, 11), actions=(2, 5), subactions=(2,), cameras=(1, 2),
                             frames=2, size_px=64, ending="png")  # fmt: skip
    official = write_official(tmp_path / "official", source)
    write_video(official / "S11" / "Videos" / "Directions.54138969.mkv", iter([np.zeros((64, 64, 3), np.uint8)] * 2))
    config = settings(official, tmp_path / "out", subjects=(9, 11), actions=(2, 5), subactions=(2,), cameras=(1, 2))
    main(config)
    report = report_of(config)
    assert report["skipped"] == {"s_11_act_02_subact_02_ca_01": "its video is damaged in the original"}
    assert report["known_misplaced_labels"] == [f"s_09_act_05_subact_02_ca_0{camera}" for camera in (1, 2)]
    assert "2 folders of S9" in capsys.readouterr().out


def test_labels_beside_the_person_are_noticed(copied, source, tmp_path, capsys):
    meta = load_meta(meta_path(source, (1, 2, 1, 1)))
    shifted_mm = meta.joints_world_m * 1000 + np.array([450.0, 0, 0])
    write_poses(copied / "S1" / "Poses_D3_Positions" / "Directions 1.cdf", shifted_mm)
    shutil.rmtree(copied / "S1" / "Poses_D2_Positions")
    config = settings(copied, tmp_path / "out", subjects=(1,))
    main(config)
    assert report_of(config)["many_frames_off_mask"][FIRST] > FRAMES / 2
    assert f"look at {FIRST}: in" in capsys.readouterr().out


def test_most_joints_on_the_mask_are_enough():
    mask = np.zeros((20, 30), np.uint8)
    mask[5:10, 4:8] = 255
    points_px = np.full((17, 2), -3.0)
    points_px[:9] = [7.9, 9.9]
    assert is_on_mask(points_px, mask)
    points_px[0] = [8.0, 9.9]
    assert not is_on_mask(points_px, mask)


# ---------------------------------------------------------------------------------------------------------- bad input


def refused(config: ConvertConfig, words: str) -> str:
    """Run, expect one sentence, and nothing of the folder left behind; gives the sentence."""
    with pytest.raises(ValueError, match=words) as caught:
        main(config)
    assert not [path for path in pictures_below(config.report_location.parent) if FIRST in str(path)]
    assert not list(config.report_location.parent.rglob("*.partial"))
    return str(caught.value)


def test_a_truncated_pose_file_stops_its_folders_only(copied, tmp_path):
    path = copied / "S1" / "Poses_D3_Positions" / "Directions 1.cdf"
    path.write_bytes(path.read_bytes()[:-2000])
    config = settings(copied, tmp_path / "out")
    said = refused(config, "4 of 8 folders could not be converted, and nothing of them was written")
    assert "Directions 1.cdf is damaged" in said and len(report_of(config)["folders"]) == 4


def test_a_video_shorter_than_its_poses_is_refused(copied, source, tmp_path):
    key = (1, 2, 1, 1)
    images = list(frames_of(source, key, load_meta(meta_path(source, key))))
    write_video(copied / "S1" / "Videos" / f"{VIEW}.mkv", iter(images[:-2]))
    config = settings(copied, tmp_path / "out", subjects=(1,))
    refused(config, f"{VIEW}.mkv has 5 frames, but there are 7 poses; .* --missing-frames 2")
    allowed = settings(copied, tmp_path / "allowed", subjects=(1,), missing_frames=2)
    main(allowed)
    assert len(load_meta(meta_path(allowed.paths, key)).joints_world_m) == 5
    assert len(load_meta(meta_path(allowed.paths, (1, 2, 1, 2))).joints_world_m) == 7


def test_a_longer_video_is_cut_to_the_poses(copied, source, tmp_path):
    key = (1, 2, 1, 1)
    images = list(frames_of(source, key, load_meta(meta_path(source, key))))
    write_video(copied / "S1" / "Videos" / f"{VIEW}.mkv", iter(images + images[:3]))
    config = settings(copied, tmp_path / "out", subjects=(1,), cameras=(1,))
    main(config)
    assert report_of(config)["frames"] == FRAMES and report_of(config)["folders"][FIRST]["video_frames"] == FRAMES + 3


@pytest.mark.parametrize(("count", "words"), [(FRAMES - 1, "has 6 masks, but there are 7 poses"),
                                              (FRAMES + 4, "has 11 masks, but the video has 7 frames")])  # fmt: skip
def test_another_number_of_masks_is_refused(copied, tmp_path, count, words):
    masks = [np.zeros((98, 96), np.uint8)] * count
    write_masks_73(copied / "S1" / "MySegmentsMat" / "ground_truth_bs" / f"{VIEW}.mat", masks)
    refused(settings(copied, tmp_path / "out", subjects=(1,)), words)


def test_masks_of_another_size_are_refused(copied, tmp_path):
    masks = [np.zeros((49, 48), np.uint8)] * FRAMES
    write_masks_73(copied / "S1" / "MySegmentsMat" / "ground_truth_bs" / f"{VIEW}.mat", masks)
    refused(settings(copied, tmp_path / "out", subjects=(1,)), "mask 1 is 48 x 49, the video 96 x 98")


def test_frames_that_can_be_used():
    names = (Path("v.mp4"), Path("m.mat"))
    assert usable_frames(10, 12, 11, 0, names) == 10 and usable_frames(10, 9, 10, 1, names) == 9
    assert usable_frames(10, 12, None, 0, names) == 10 and usable_frames(10, 11, 8, 2, names) == 8


def test_a_calibration_of_other_recordings_is_refused(copied, source, tmp_path):
    cameras = {(key[0], key[3]): load_meta(meta_path(source, key)).camera for key in find_folders(source)}
    swapped = cameras | {(1, 1): cameras[1, 2], (1, 2): cameras[1, 1]}
    write_metadata(copied / "metadata.xml", swapped)
    refused(settings(copied, tmp_path / "out", subjects=(1,)), "pixels away from where metadata.xml projects")
    away = cameras[1, 1]._replace(R_cam_from_world=np.diag([1.0, -1.0, -1.0]) @ cameras[1, 1].R_cam_from_world)
    write_metadata(copied / "metadata.xml", cameras | {(1, 1): away})
    refused(settings(copied, tmp_path / "away", subjects=(1,)), "joints lie behind the camera")
    aside = cameras[1, 1]._replace(centre_px=np.array([900.0, 50.0]))
    write_metadata(copied / "metadata.xml", cameras | {(1, 1): aside, (9, 1): aside})
    refused(settings(copied, tmp_path / "aside", subjects=(1,)), "the pelvis is outside of the picture in 7 of 7")


def test_something_that_is_no_video_is_refused(copied, tmp_path):
    (copied / "S1" / "Videos" / f"{VIEW}.mkv").write_bytes(b"not a video" * 100)
    refused(settings(copied, tmp_path / "out", subjects=(1,)), "is damaged or no video")


def test_a_folder_without_a_download_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metadata.xml does not exist; take metadata.xml from"):
        main(settings(tmp_path / "nowhere", tmp_path / "out"))
    write_metadata(tmp_path / "metadata.xml", {(1, 1): looking_camera(1, 100, 100)})
    (tmp_path / "Videos_S1.tgz").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*S1; Videos_S1.tgz is still packed: tar -xzf"):
        main(settings(tmp_path, tmp_path / "out"))
    (tmp_path / "S1" / "Poses_D3_Positions_mono").mkdir(parents=True)
    name = recording_name(1, 2, 1)
    write_video(tmp_path / "S1" / "Videos" / f"{name}.54138969.mkv", iter([np.zeros((32, 32, 3), np.uint8)]))
    with pytest.raises(FileNotFoundError, match=r"no \.cdf files in .*Poses_D3_Positions_mono is of another kind"):
        main(settings(tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_other_settings_or_foreign_frames_are_refused(download, source, tmp_path):
    config = settings(download, tmp_path / "out", subjects=(1,), cameras=(1,), every=3)
    main(config)
    with pytest.raises(
        ValueError, match="was begun with every 3, and this run has every 2; use the same settings, or delete"
    ):
        main(replace(config, every=2, cameras=(1, 2)))
    foreign = replace(config.paths, h36m_location=source.h36m_location)
    with pytest.raises(ValueError, match="holds data that this script did not make"):
        main(replace(config, paths=foreign, subjects=(9,), actions=(2,), masks=True))


@pytest.mark.parametrize("name", ["cdflib", "h5py"])
def test_a_missing_package_is_named_with_its_command(download, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=f"needs the package {name}; install it with: pip install cdflib h5py"):
        main(settings(download, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_disk_without_room_is_refused_with_the_numbers(download, tmp_path, monkeypatch):
    config = settings(download, tmp_path / "out", keep_free_gb=1.5)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    with pytest.raises(ValueError, match=r"about 0.00 GB are needed for 56 frames of \d+ kB, and 1.50 GB shall remain"):
        main(config)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(ValueError, match="raise --every, set --size-px"):
        main(replace(config, keep_free_gb=0))


def test_the_estimate_is_near_what_is_written(converted, download, tmp_path):
    config = settings(download, tmp_path)
    metadata = read_metadata(download / "metadata.xml")
    todo = disk_space_recordings(config, metadata)
    found = estimate(config, metadata, todo)
    images = pictures_below(converted.paths.h36m_location)
    true_bytes = sum(on_disk(path.stat().st_size) for path in images) / len(images)
    assert found.frames == len(images) == 56 and found.image_bytes == pytest.approx(true_bytes, rel=0.1)
    assert on_disk(1) == 4096 and on_disk(8192) == 8192


def disk_space_recordings(config, metadata):
    from dataset_def.official.files import find_recordings

    return find_recordings(config, metadata).recordings


def test_a_disk_that_becomes_full_leaves_no_half_folder(download, tmp_path):
    """A limit on the size of files stands for the full disk: larger pictures cannot be written."""
    config = settings(download, tmp_path / "out", subjects=(1,))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))
    try:
        refused(config, rf"{FIRST} cannot be written \(File too large\); what was finished is kept: make space")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not pictures_below(tmp_path / "out")
    main(config)
    assert len(pictures_below(tmp_path / "out")) == 2 * 4 * FRAMES


def test_several_processes_write_the_same(converted, download, tmp_path):
    config = settings(download, tmp_path, processes=2)
    main(config)
    names = [path.relative_to(tmp_path) for path in pictures_below(tmp_path)]
    assert len(names) == 2 * 8 * FRAMES
    for name in names[::9]:
        assert np.array_equal(read_image(tmp_path / name), read_image(converted.report_location.parent / name))
