"""The data check: what it finds, what it calls missing or damaged, and when it ends with an error."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.helpers.tiny_h36m import wall, write_tiny_h36m

pytest.importorskip("cdflib")
pytest.importorskip("h5py")
from config import ROOT, Paths, PreprocessConfig
from dataset_def import check_data, h36m_get_background, h36m_preprocess
from dataset_def.check_data import CheckDataConfig, everything, main
from dataset_def.checks.layout import MAX_COUNTED, CheckLine, check_layout, check_runs, printed
from dataset_def.checks.sources import MOST_REASONS, check_amass, check_cmu, check_surreal
from dataset_def.h36m_get_background import BackgroundConfig
from tests.helpers.labels_h5 import write_labels_h5
from tests.helpers.official_h36m import write_official
from utils.artifacts import Keypoints, save_checkpoint, save_keypoints


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Paths:
    """A data set with everything that is made from it."""
    paths = write_tiny_h36m(tmp_path_factory.mktemp("ready"), subjects=(1, 9), actions=(2, 3), frames=2, size_px=64)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=32, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    return paths


@pytest.fixture
def copied(ready, tmp_path) -> Paths:
    root = ready.h36m_location.parent
    shutil.copytree(root, tmp_path / "data")
    places = {name: tmp_path / "data" / path.relative_to(root) for name, path in vars(ready).items()
              if isinstance(path, Path) and path.is_relative_to(root)}  # fmt: skip
    return replace(ready, **places)


@pytest.fixture(autouse=True)
def no_other_data(monkeypatch, tmp_path):
    """Keep the check from looking at the data of this machine."""
    monkeypatch.setattr(check_data, "ROOT", tmp_path / "nowhere")


def by_name(lines: list[CheckLine]) -> dict[str, CheckLine]:
    return {line.what.removeprefix("data, "): line for line in lines}


def layout(paths: Paths) -> dict[str, CheckLine]:
    return by_name(check_layout("data", paths, is_asked=True))


def test_a_complete_data_set_is_all_right(ready):
    lines = layout(ready)
    assert {line.mark for line in lines.values()} == {"ok"}
    assert lines["frames"].found.startswith("32 frames in 16 folders of ")
    assert "64 x 66; subjects 1 9; actions 2 3; cameras 1-4" in lines["frames"].found
    assert lines["masks"].found == "for all 16 folders" and lines["backgrounds"].found == "all 8"
    assert lines["index"].found.startswith("32 frames (all)") and lines["packed crops"].found == "masks 32 px"


def test_what_is_missing_is_named_with_its_command(copied):
    shutil.rmtree(copied.index_location)
    (copied.backgrounds_location / "s_09_ca_03.npy").unlink()
    shutil.rmtree(copied.masks_location / "s_01_act_03_subact_01_ca_02")
    lines = layout(copied)
    where = f" --dataset {copied.h36m_location.parent}"
    assert lines["index"].remedy == f"python dataset_def/h36m_preprocess.py{where}"
    assert lines["backgrounds"].remedy.startswith("python dataset_def/h36m_get_background.py")
    assert lines["backgrounds"].found == "1 of 8 are missing" and lines["packed crops"].mark == "none"
    assert (
        lines["masks"].mark == "note" and "1 of 16 folders, first s_01_act_03_subact_01_ca_02" in lines["masks"].found
    )
    shutil.rmtree(copied.masks_location)
    assert layout(copied)["masks"].mark == "none" and "silhouettes" in layout(copied)["masks"].blocks


def test_an_index_or_backgrounds_of_other_data_are_noticed(copied):
    shutil.rmtree(copied.h36m_location / "s_09_act_03_subact_01_ca_04")
    lines = layout(copied)
    assert lines["index"].mark == "note" and "was made from other data" in lines["index"].found
    assert "not of this index" in lines["packed crops"].found
    h36m_preprocess.main(PreprocessConfig(paths=copied, pack_px=32, processes=1))
    assert layout(copied)["index"].mark == "ok"
    assert "made from other data than the index" in layout(copied)["backgrounds"].found


def test_unlabelled_data_are_told(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=1, size_px=64, labels=False)
    assert layout(paths)["joints"].blocks == "stage 2 and its tests"


def test_of_large_data_sets_only_some_folders_are_listed(copied, monkeypatch):
    """The number of frames is then an estimate."""
    first = copied.h36m_location / "s_01_act_02_subact_01_ca_01"
    for number in range(4, 604):
        shutil.copytree(first, copied.h36m_location / f"s_01_act_{number:02d}_subact_01_ca_01")
    for path in copied.h36m_location.glob("s_01_act_*_subact_01_ca_01"):
        for image in path.glob("*.jpg"):
            image.rename(path / f"{path.name}_{image.stem[-6:]}.jpg")
    listed = []
    monkeypatch.setattr("dataset_def.checks.layout.listed_frames", lambda path: listed.append(path) or {1, 2})
    found = layout(copied)["frames"].found
    assert "about 1232 frames in 616 folders" in found and len(listed) == MAX_COUNTED


def test_the_report_ends_well_when_nothing_was_asked_for(ready, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(check_data, "is_own_data", lambda _: False)
    main(CheckDataConfig(paths=replace(Paths(runs_location=tmp_path), h36m_location=tmp_path / "none")))
    printed_lines = capsys.readouterr().out.splitlines()
    assert printed_lines[0].startswith("[ok] there") and "[!!] missing or damaged" in printed_lines[0]
    assert printed_lines[1].startswith("[--] embedded data, frames") and "make_h36m.py" in printed_lines[1]
    assert sum(line.startswith("[ok] body model") for line in printed_lines) == 1
    assert any(line.startswith("[--] checkpoints") for line in printed_lines)


@pytest.mark.parametrize("name", ["official", "crops", "surreal", "amass", "cmu"])
def test_something_asked_for_that_is_not_there_is_an_error(ready, tmp_path, name):
    config = replace(CheckDataConfig(paths=ready), **{name: tmp_path / "nowhere"})
    with pytest.raises(ValueError, match=r"asked for, but missing or damaged: [^;]+; the lines"):
        main(config)
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(ValueError, match="asked for, but missing or damaged"):
        main(config)


def test_own_recordings_and_a_body_that_was_asked_for(ready, tmp_path):
    lines = everything(CheckDataConfig(paths=Paths(runs_location=tmp_path), own=(ready.h36m_location.parent,)))
    assert sum(line.what.startswith("recording ready") for line in lines) >= 5
    body = tmp_path / "SMPL_NEUTRAL.pkl"
    body.write_bytes(b"not a body")
    with pytest.raises(ValueError, match=r"missing or damaged: body model; the lines"):
        main(CheckDataConfig(paths=replace(ready, models_smpl_location=body)))
    with pytest.raises(ValueError, match="damaged: recording x, frames"):
        main(CheckDataConfig(paths=ready, own=(tmp_path / "x",)))


def test_a_body_without_17_joints_is_pointed_out(ready, tmp_path):
    with np.load(Paths().models_smpl_location) as content:
        arrays = {name: content[name] for name in content.files if name != "J_regressor_h36m"}
    np.savez(tmp_path / "body.npz", **arrays)
    paths = replace(ready, models_smpl_location=tmp_path / "body.npz")
    lines = by_name(everything(CheckDataConfig(paths=paths)))
    assert "6999 vertices, 24 joints, 10 shape directions" in lines["body model"].found
    assert (
        lines["17-joint regressor"].mark == "note" and "h36m-regressor-location" in lines["17-joint regressor"].remedy
    )
    np.save(tmp_path / "r.npy", np.zeros((17, 5)))
    with pytest.raises(ValueError, match="damaged: 17-joint regressor"):
        main(CheckDataConfig(paths=replace(paths, h36m_regressor_location=tmp_path / "r.npy")))


def test_the_official_download_is_counted(ready, tmp_path):
    official = write_official(tmp_path / "h36m", ready)
    (official / "S1" / "Videos" / "Eating.54138969.avi").write_bytes(b"")
    (official / "Videos_S5.tgz").write_bytes(b"")
    lines = everything(CheckDataConfig(paths=ready, official=official))
    found = by_name(lines)["official Human3.6M"]
    assert found.mark == "ok" and found.found.startswith("16 of 840 views with video and poses, 16 with masks")
    assert "2 frames 64 x 66, 2 poses" in found.found and found.remedy.endswith(
        f"convert_h36m.py --official {official}"
    )
    missing = [line.found for line in lines if line.what == "official Human3.6M, missing"]
    assert missing[0] == f"120 views: there is no folder {official / 'S5'}" and len(missing) == MOST_REASONS + 1
    assert sum(int(found.split()[0]) for found in missing) == 840 - 1 - 16 and "report.json names all" in missing[-1]
    assert f"tar -xzf {official / 'Videos_S5.tgz'} -C {official}" in by_name(lines)["official Human3.6M, packed"].remedy
    (official / "metadata.xml").write_text("<m/>")
    found = by_name(everything(CheckDataConfig(paths=ready, official=official)))["official Human3.6M"]
    assert found.mark == "bad" and "has no w0" in found.found


def test_crops_with_labels_are_counted(tmp_path, ready):
    backgrounds = {(s, c): wall(s, c, 64, 66 if c in (1, 4) else 64) for s in (1, 9) for c in (1, 2, 3, 4)}
    write_labels_h5(tmp_path, ready, backgrounds)
    found = by_name(everything(CheckDataConfig(paths=ready, crops=tmp_path)))["crops with labels.h5"]
    assert found.found == "32 crops of 64 px, subjects [1, 9], joints as they are, in metres"


def test_surreal_is_opened(tmp_path):
    place = tmp_path / "train" / "run0" / "01_01"
    place.mkdir(parents=True)
    scipy.io.savemat(place / "01_01_c0001_info.mat", {"pose": np.zeros((72, 4)), "shape": np.zeros((10, 4))})
    assert check_surreal(tmp_path)[0].found == "1 clips; 01_01_c0001_info.mat opens"
    scipy.io.savemat(place / "01_01_c0001_info.mat", {"pose": np.zeros((71, 4)), "shape": np.zeros((10, 4))})
    assert check_surreal(tmp_path)[0].mark == "bad"


def test_amass_is_opened(tmp_path):
    (tmp_path / "KIT" / "3").mkdir(parents=True)
    np.savez(tmp_path / "KIT" / "3" / "walk_poses.npz", poses=np.zeros((7, 156)))
    np.savez(tmp_path / "KIT" / "3" / "shape.npz", betas=np.zeros(16))
    assert check_amass(tmp_path)[0].found == "1 motions; walk_poses.npz has 7 frames"
    np.savez(tmp_path / "KIT" / "3" / "walk_poses.npz", trans=np.zeros((7, 3)))
    assert "holds no poses of 66" in check_amass(tmp_path)[0].found
    (tmp_path / "KIT" / "3" / "walk_poses.npz").write_bytes(b"PK\x03\x04")
    assert check_amass(tmp_path)[0].mark == "bad"


def test_a_motion_without_its_skeleton_is_damaged(tmp_path):
    (tmp_path / "01_01.amc").write_text("")
    assert check_cmu(tmp_path)[0].mark == "bad" and "needs the skeleton" in check_cmu(tmp_path)[0].found


def test_runs_are_listed_and_a_cut_checkpoint_is_noticed(tmp_path):
    place = tmp_path / "enc_dec" / "first"
    place.mkdir(parents=True)
    save_checkpoint(place / "checkpoint_best.pt", "enc_dec", 1, {}, {})
    paths = Paths(runs_location=tmp_path)
    assert check_runs(paths)[0].found.startswith("checkpoint_best.pt, ")
    content = (place / "checkpoint_best.pt").read_bytes()
    (place / "checkpoint_last.pt").write_bytes(content[: len(content) // 2])
    assert check_runs(paths)[0].found == "checkpoint_last.pt is damaged"


def test_fits_and_2d_keypoints_are_listed(tmp_path):
    (tmp_path / "runs" / "fit" / "mine" / "parts").mkdir(parents=True)
    (tmp_path / "runs" / "fit" / "mine" / "parts" / "one.npz").write_bytes(b"")
    paths = Paths(runs_location=tmp_path / "runs")
    assert [line.found for line in check_runs(paths)][1:] == ["1 parts"]
    (tmp_path / "runs" / "fit" / "mine" / "pseudo_labels.npz").write_bytes(b"PK no more")
    assert check_runs(paths)[1].found == "pseudo_labels.npz is damaged"
    own = write_tiny_h36m(tmp_path / "own", subjects=(1,), actions=(2,), frames=1, size_px=64)
    sure = np.zeros((1, 17), np.float32)
    sure[0, :9] = 0.8
    found = Keypoints(np.array([[1, 2, 1, 1, 1]], np.int32), np.zeros((1, 17, 2), np.float32), sure)
    save_keypoints(tmp_path / "own" / "keypoints" / "s_01.npz", found)
    (tmp_path / "own" / "keypoints" / "s_02.npz").write_bytes(b"PK no more")
    lines = [line for line in check_layout("own", own, True) if line.what == "own, 2D keypoints"]
    assert "1 frames in" in lines[0].found and "53% of the joints seen" in lines[0].found
    assert lines[1].mark == "note" and "is damaged" in lines[1].found


def test_every_line_is_one_line_of_plain_letters(ready):
    for line in everything(CheckDataConfig(paths=ready)):
        assert "\n" not in printed(line) and printed(line).isascii()
    assert printed(CheckLine("note", "a", "b", "c", "d")) == "[ !] a: b; blocks c; -> d"
    assert (ROOT / "dataset_def" / "check_data.py").is_file()
