import shutil
from dataclasses import replace

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from config import Crop, Paths, PreprocessConfig
from dataset_def.crop import crop_camera
from dataset_def.h36m_crops import CropReader, CropSettings, FramePictures, pack_folder
from dataset_def.h36m_files import load_meta
from dataset_def.h36m_index import index_path, load_table, targets_world_m
from dataset_def.h36m_preprocess import main
from tests.helpers.tiny_h36m import COLOURS, looking_camera, standing_joints_m, write_meta, write_tiny_h36m
from utils.artifacts import load_index
from utils.camera import project, to_camera
from utils.skeleton import H36M_17


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    paths = write_tiny_h36m(
        tmp_path_factory.mktemp("whole"), subjects=(1, 11), actions=(2, 3), subactions=(1, 2), frames=2
    )
    main(PreprocessConfig(paths=paths, processes=1, centre="pelvis"))
    return paths


@pytest.fixture
def small(tmp_path):
    return write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=3)


def test_the_index_lists_every_frame_but_those_of_the_broken_folder(whole):
    frames = load_index(index_path(whole)).frames
    assert len(frames) == 2 * 2 * 2 * 4 * 2 - 2
    assert frames[0].tolist() == [1, 2, 1, 1, 1] and frames[-1].tolist() == [11, 3, 2, 4, 2]
    of_broken_instant = frames[(frames[:, [0, 1, 2, 4]] == (11, 2, 2, 1)).all(1)]
    assert of_broken_instant[:, 3].tolist() == [2, 3, 4]


def test_the_table_says_what_the_meta_files_say(whole):
    table = load_table(whole)
    for row in (0, 17, len(table.frames) - 1):
        key = table.key(row)
        meta = load_meta(whole.h36m_location / key.folder / "h36m_meta.mat")
        assert np.array_equal(table.joints_world_m[table.row_instant[row]], meta.joints_world_m[key.frame - 1])
        for ours, theirs in zip(table.camera(row), meta.camera, strict=True):
            assert np.array_equal(ours, theirs)


def test_a_packed_crop_shows_each_joint_in_its_colour_where_its_camera_projects_it(whole):
    table = load_table(whole)
    images = open_memmap(pack_folder(whole, "pelvis") / "images.npy", "r")
    masks = open_memmap(pack_folder(whole, "pelvis") / "masks.npy", "r")
    assert images.shape == (len(table.frames), 96, 96, 3) and images.dtype == np.uint8
    for row in range(0, len(table.frames), 7):
        joints_m = table.joints_world_m[table.row_instant[row]]
        camera = crop_camera(table.camera(row), targets_world_m(table, "pelvis")[row], 96, 3.0)
        for name in ("right_wrist", "left_knee", "nose"):  # some joints may hide behind later ones
            x, y = project(camera, to_camera(camera, joints_m[H36M_17.index(name)])).astype(int)
            assert masks[row, y, x] > 200
        x, y = project(camera, to_camera(camera, joints_m[-1])).astype(int)  # drawn last, so never hidden
        assert np.abs(images[row, y, x].astype(int) - COLOURS["right_wrist"]).max() < 60


def test_a_second_run_with_the_same_settings_writes_nothing(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.index_location.rglob("*") if path.is_file()}
    assert len(before) == 5
    main(PreprocessConfig(paths=whole, processes=1, centre="pelvis"))
    assert before == {path: path.stat().st_mtime_ns for path in whole.index_location.rglob("*") if path.is_file()}


def test_two_processes_write_the_same_as_one(whole, tmp_path):
    other = replace(whole, index_location=tmp_path)
    main(PreprocessConfig(paths=other, processes=2, centre="pelvis"))
    for path in whole.index_location.rglob("*.np*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(whole.index_location)).read_bytes(), path.name


def test_every_second_frame(small):
    main(PreprocessConfig(paths=small, every=2, pack=False, processes=1))
    assert np.unique(load_index(index_path(small)).frames[:, 4]).tolist() == [1, 3]
    (small.h36m_location / "s_01_act_02_subact_01_ca_02" / "s_01_act_02_subact_01_ca_02_000002.jpg").unlink()
    main(PreprocessConfig(paths=replace(small, index_location=small.index_location / "b"), every=2, processes=1))


def test_other_settings_make_the_index_and_the_crops_again(small):
    main(PreprocessConfig(paths=small, processes=1))
    main(PreprocessConfig(paths=small, processes=1, every=2, pack_px=112))
    assert len(load_index(index_path(small)).frames) == 4 * 2
    assert open_memmap(pack_folder(small, "masks") / "images.npy", "r").shape == (8, 112, 112, 3)


def test_crops_of_an_older_index_are_refused(small):
    main(PreprocessConfig(paths=small, processes=1))
    main(PreprocessConfig(paths=small, processes=1, every=2, pack=False))
    with pytest.raises(ValueError, match="not made from this index"):
        CropReader(small, load_table(small), CropSettings(Crop()))


def test_missing_frames_are_counted_and_named_and_nothing_is_written(small):
    for frame in (2, 3):
        folder = small.h36m_location / "s_01_act_02_subact_01_ca_03"
        (folder / f"s_01_act_02_subact_01_ca_03_{frame:06d}.jpg").unlink()
    with pytest.raises(ValueError, match=r"describes 3 frames, but 2 of the 3 needed .*_000002\.jpg"):
        main(PreprocessConfig(paths=small, processes=1))
    assert not small.index_location.exists()


def test_a_missing_mask_is_named(small):
    (small.masks_location / "s_01_act_02_subact_01_ca_03" / "s_01_act_02_subact_01_ca_03_000002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"mask .*_000002\.png does not exist"):
        main(PreprocessConfig(paths=small, processes=1))
    assert not small.index_location.exists()


def test_a_truncated_image_is_named_and_leaves_no_crops(small):
    image = small.h36m_location / "s_01_act_02_subact_01_ca_04" / "s_01_act_02_subact_01_ca_04_000003.jpg"
    image.write_bytes(image.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"_000003\.jpg is truncated"):
        main(PreprocessConfig(paths=small, processes=1))
    assert not (pack_folder(small, "pelvis") / "about.npz").exists()
    assert not (pack_folder(small, "pelvis") / "images.npy").exists()


def test_an_index_of_other_data_is_refused(small):
    main(PreprocessConfig(paths=small, processes=1, pack=False))
    meta = small.h36m_location / "s_01_act_02_subact_01_ca_02" / "h36m_meta.mat"
    joints_m = load_meta(meta).joints_world_m
    joints_m[0, 3, 1] += 0.001
    write_meta(meta, looking_camera(2, 128, 128), joints_m)
    with pytest.raises(ValueError, match=r"made from other data.*h36m_preprocess\.py"):
        load_table(small)


def test_an_index_stays_good_when_equal_meta_files_are_written_again(small):
    main(PreprocessConfig(paths=small, processes=1, pack=False))
    meta = small.h36m_location / "s_01_act_02_subact_01_ca_02" / "h36m_meta.mat"
    content = meta.read_bytes()
    meta.write_bytes(b"MATLAB 5.0 MAT-file, Created on: another day".ljust(116) + content[116:])
    assert meta.read_bytes() != content
    load_table(small)


def test_joints_that_differ_between_cameras_are_refused(small):
    meta = small.h36m_location / "s_01_act_02_subact_01_ca_02" / "h36m_meta.mat"
    write_meta(meta, looking_camera(2, 128, 128), np.array([standing_joints_m(0, 0, 0)] * 3))
    with pytest.raises(ValueError, match=r"ca_02 differs from that of another camera"):
        main(PreprocessConfig(paths=small, processes=1))


def test_the_masks_and_the_box_find_the_person_without_labels(whole):
    table = load_table(whole)
    pelvis_m = targets_world_m(table, "pelvis")
    for centre, limit_m in (("masks", 0.35), ("box", 0.5)):
        off_m = np.linalg.norm(targets_world_m(table, centre)[:, :2] - pelvis_m[:, :2], axis=1)
        assert off_m.max() < limit_m, f"{centre}: {off_m.max():.2f} m off"


def test_data_without_labels_and_without_masks(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, labels=False, with_masks=False)
    with pytest.raises(ValueError, match="box needs masks, pelvis needs 3D labels"):
        main(PreprocessConfig(paths=paths, processes=1, centre="pelvis"))
    with pytest.raises(ValueError, match="without masks"):
        main(PreprocessConfig(paths=paths, processes=1, centre="masks"))


def test_data_without_labels_is_cropped_by_its_masks(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, labels=False)
    main(PreprocessConfig(paths=paths, processes=1, centre="masks"))
    masks = open_memmap(pack_folder(paths, "masks") / "masks.npy", "r")
    assert (masks[:, 32:64, 32:64] > 128).any((1, 2)).all()


def test_crops_for_two_centres_live_side_by_side(small):
    main(PreprocessConfig(paths=small, processes=1))
    main(PreprocessConfig(paths=small, processes=1, centre="pelvis"))
    assert pack_folder(small, "pelvis").is_dir() and pack_folder(small, "masks").is_dir()
    CropReader(small, load_table(small), CropSettings(Crop(centre="masks"), roll_rad=0.35))


def test_an_interrupted_packing_is_done_again(small, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FramePictures, "image", stop)
        with pytest.raises(KeyboardInterrupt):
            main(PreprocessConfig(paths=small, processes=1))
    with pytest.raises(FileNotFoundError):
        open_memmap(pack_folder(small, "masks") / "images.npy", "r")
    main(PreprocessConfig(paths=small, processes=1))
    assert open_memmap(pack_folder(small, "masks") / "images.npy", "r").any((1, 2, 3)).all()
    assert not list(small.index_location.rglob("*.partial"))


def test_packed_crops_that_are_too_small_or_too_coarse_are_refused_with_settings_that_work(small):
    main(PreprocessConfig(paths=small, processes=1))
    table = load_table(small)
    with pytest.raises(ValueError, match=r"--pack-side-m 3\.2 --pack-px 96"):
        CropReader(small, table, CropSettings(Crop(), roll_rad=0.6))
    with pytest.raises(ValueError, match=r"--pack-side-m 3 --pack-px 176"):
        CropReader(small, table, CropSettings(Crop(size_px=128)))
    main(PreprocessConfig(paths=small, processes=1, pack_px=176))
    CropReader(small, table, CropSettings(Crop(size_px=128)))
    main(PreprocessConfig(paths=small, processes=1, pack_side_m=3.2, pack_px=96))
    CropReader(small, table, CropSettings(Crop(), roll_rad=0.6))


def test_a_test_cuts_crops_that_are_too_fine_for_the_packed_ones_out_of_the_frames_and_says_so(small, capsys):
    fine = CropSettings(Crop(size_px=128), or_frames=True)
    main(PreprocessConfig(paths=small, processes=1, pack=False))
    capsys.readouterr()
    from_frames = CropReader(small, load_table(small), fine).read(3).image
    assert not capsys.readouterr().out  # nothing is packed, so nothing is to be said
    main(PreprocessConfig(paths=small, processes=1))
    capsys.readouterr()
    reader, again = (CropReader(small, load_table(small), fine) for _ in range(2))
    said = capsys.readouterr().out
    assert said.count("cut out of the frames") == 1 and "--pack-px 176" in said
    np.testing.assert_array_equal(reader.read(3).image, from_frames)
    np.testing.assert_array_equal(again.read(3).image, from_frames)
    (small.h36m_location).rename(small.h36m_location.with_name("elsewhere"))
    with pytest.raises(ValueError, match="--pack-px 176"):
        CropReader(small, load_table(small), fine)


def test_packed_crops_are_enough_where_the_frames_are_gone(small):
    main(PreprocessConfig(paths=small, processes=1))
    shutil.rmtree(small.h36m_location)
    table = load_table(small)
    reader = CropReader(small, table, CropSettings(Crop()))
    assert reader.read(0).image.any()
    with pytest.raises(FileNotFoundError, match="neither frames"):
        CropReader(small, table, CropSettings(Crop(centre="pelvis")))


def test_a_data_set_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        main(PreprocessConfig(paths=Paths(h36m_location=tmp_path / "none")))
    with pytest.raises(FileNotFoundError, match=r"h36m_preprocess\.py"):
        load_table(Paths(h36m_location=tmp_path, index_location=tmp_path))
