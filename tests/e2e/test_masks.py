"""Bodies from masks: the teacher is trained, resumed, fitted with and measured, on a tiny data set of drawn people."""

import os
import shutil
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
import torch

from config import Loop, MasksConfig, MasksNetwork, Optim, PoseSources, PreprocessConfig, Subjects
from dataset_def import h36m_preprocess
from dataset_def.calibration.files import write_calibration
from dataset_def.h36m_files import folder_name
from models.masks_fit import MasksFitSteps
from models.SMPL_from_masks import load_teacher
from sample import fit_SMPL, make_figures, report, train_SMPL_from_masks
from sample import test_SMPL_from_masks as masks_test
from sample.fit_SMPL import FitConfig
from sample.make_figures import FiguresConfig
from sample.test_SMPL_from_masks import TestMasksConfig as MasksTestConfig
from tests.helpers.children import done_by_two_ranks
from tests.helpers.drawn_people import drawn_people
from tests.helpers.own_clips import write_recording
from tests.helpers.readme_commands import commands_of, module_of, settings_of
from utils.artifacts import PseudoLabels, load_checkpoint, load_metrics, load_predictions, load_pseudo_labels
from utils.history import load_history

SUBJECTS = Subjects(train=(1,), labelled=(1,), test=(9,), held_out=((9, 1),))
LOOP = Loop(workers=0, log_every=2, validate_every=3, checkpoint_every=2)


class Workplace:
    """Two people in two actions, two instants each, and a teacher after some steps."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = drawn_people(root)
        self.train_config = MasksConfig(
            name="whole", device="cpu", paths=self.paths, subjects=SUBJECTS, batch=6, loop=LOOP, held_out_bodies=4,
            bank=PoseSources(sequences=4, frames=6, cache_location=root / "poses", processes=1),
            network=MasksNetwork(size_px=32, width=8, features=12, hidden=32), 
            optim=Optim(steps=6, bf16=False, schedule="constant", warmup_steps=0),
        )  # fmt: skip
        train_SMPL_from_masks.main(self.train_config)
        self.teacher = self.run("whole") / "checkpoint_best.pt"

    def run(self, name: str) -> Path:
        return self.paths.runs_location / "masks" / name

    def fit_config(self, name: str, **changes) -> FitConfig:
        settings = FitConfig(
            name=name, teacher=self.teacher, device="cpu", paths=self.paths, people=SUBJECTS, subjects=(1,), every=1,
            steps=MasksFitSteps(steps=3, shape_steps=3), batch=2, processes=1,
        )  # fmt: skip
        return replace(settings, **changes)

    def fits(self, name: str) -> Path:
        return self.paths.runs_location / "fit" / name


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path_factory.mktemp("masks"))


@pytest.fixture
def agreeing(monkeypatch):
    """Leave out the check of cameras, which an untrained teacher does not pass."""
    monkeypatch.setattr(fit_SMPL, "check_cameras", lambda *_: None)


def test_a_training_leaves_its_history_pictures_and_a_teacher_that_can_be_opened(place):
    records = load_history(place.run("whole") / "history.jsonl")
    assert {"points", "rotations", "betas", "pelvis", "held_out_points_mm"} <= records[-1].keys()
    assert (place.run("whole") / "figures" / "damage.png").is_file()
    assert list((place.run("whole") / "pictures").iterdir())
    teacher = load_teacher(place.teacher, place.paths.models_smpl_location)
    assert (teacher.centre, teacher.size_px, teacher.side_m) == ("masks", 32, 2.6)
    assert not teacher.network.training


def test_a_resumed_training_equals_an_uninterrupted_one_and_one_with_a_worker(place):
    part = replace(place.train_config, name="part", optim=replace(place.train_config.optim, steps=4))
    train_SMPL_from_masks.main(part)
    resumed = replace(LOOP, resume=True, workers=1)
    train_SMPL_from_masks.main(replace(part, optim=place.train_config.optim, loop=resumed))
    first, second = (load_checkpoint(place.run(name) / "checkpoint_last.pt", "masks") for name in ("whole", "part"))
    assert first["step"] == second["step"] == 6
    for name, value in first["states"]["model"].items():
        assert not torch.is_tensor(value) or torch.equal(value, second["states"]["model"][name]), name


def test_fits_go_on_where_they_stopped_and_become_pseudo_labels(place, agreeing):
    labels = fit_SMPL.main(place.fit_config("one"))
    stored = load_pseudo_labels(place.fits("one") / "pseudo_labels.npz", place.paths.index_location / "index.npz", (9,))
    assert np.array_equal(stored.frames, labels.frames) and stored.frames.tolist()[0] == [1, 2, 1, 1]
    assert (
        len(stored.frames) == 4
        and stored.theta.shape == (4, 72)
        and stored.reads.tier == "cameras + masks + unpaired poses"
    )
    parts = sorted((place.fits("one") / "parts").iterdir())
    times = {path: path.stat().st_mtime_ns for path in parts}
    parts[0].unlink()
    again = fit_SMPL.main(place.fit_config("one"))
    assert [path.stat().st_mtime_ns == times[path] for path in parts] == [False, True]
    assert np.allclose(again.theta, labels.theta, atol=1e-4)
    with pytest.raises(ValueError, match=r"was begun with every 1, and this run has every 2"):
        fit_SMPL.main(place.fit_config("one", every=2))


def fit_as_rank(number: int, config: FitConfig, noted: Path, start: Barrier) -> None:
    """Fit as one of two processes that torchrun would start, and note which parts this one fitted."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_RANK": str(number)}
    torch.set_num_threads(1)
    fit_SMPL.check_cameras = lambda *_: None
    fit_part, is_first = fit_SMPL.fit_part, [True]

    def noting(item: tuple[fit_SMPL.Part, Any], *others: Any) -> None:
        if is_first.pop():
            start.wait(300)  # until the other one has a part, too
        is_first.append(False)
        (noted / f"{item[0].name}_by_{number}").touch(exist_ok=False)
        fit_part(item, *others)

    fit_SMPL.fit_part = noting
    fit_SMPL.main(config)


def test_two_processes_of_torchrun_fit_each_part_once_and_what_one_fits(place, agreeing, monkeypatch, tmp_path):
    alone = fit_SMPL.main(place.fit_config("alone", subjects=(1, 9)))
    config = place.fit_config("shared", subjects=(1, 9))
    by = done_by_two_ranks(fit_as_rank, config, tmp_path)
    assert [name for name, _ in by] == [f"s_{who}_part_00{number}" for who in ("01", "09") for number in (0, 1)]
    assert {number for _, number in by} == {"0", "1"}
    index = place.paths.index_location / "index.npz"
    one, other = (
        load_pseudo_labels(place.fits(name) / "pseudo_labels.npz", index, (9,)) for name in ("alone", "shared")
    )
    equal_fits(one, other)

    parts = sorted((place.fits("shared") / "parts").glob("*.npz"))
    times = [path.stat().st_mtime_ns for path in parts]
    parts[1].unlink()
    for name, value in (("RANK", "2"), ("WORLD_SIZE", "3"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    again = fit_SMPL.main(config)
    assert [path.stat().st_mtime_ns == time for path, time in zip(parts, times, strict=True)] == [
        True,
        False,
        True,
        True,
    ]
    equal_fits(alone, again)


def equal_fits(one: PseudoLabels, other: PseudoLabels) -> None:
    """Compare fits of one process with those of several: equal on one kind of processor, close on others."""
    assert np.array_equal(one.frames, other.frames)
    for name in ("theta", "betas", "translation_m", "joints_world_m", "confidence"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4, err_msg=name)


def test_what_means_nothing_where_processes_share_a_folder_is_refused(place, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    for changes, told in (
        ({"overwrite": True}, "overwrite would delete what other processes"),
        ({"processes": 4}, "processes is 4, but torchrun gives the processes; .*--nproc-per-node 4"),
    ):
        with pytest.raises(ValueError, match=told):
            fit_SMPL.main(place.fit_config("refused_shared", **changes))
    assert not place.fits("refused_shared").exists()


def test_test_subjects_get_fits_to_measure_but_no_pseudo_labels(place, agreeing):
    fit_SMPL.main(place.fit_config("tested", subjects=(1, 9)))
    stored = load_pseudo_labels(
        place.fits("tested") / "pseudo_labels.npz", place.paths.index_location / "index.npz", ()
    )
    assert set(stored.frames[:, 0].tolist()) == {1}
    rows = masks_test.main(MasksTestConfig(fits=place.fits("tested"), paths=place.paths, worst=3))
    assert rows["fit"]["num_frames"] == 8 and rows["fit"]["vertices_mm"] > 0
    assert load_metrics(place.fits("tested") / "metrics.json", "the test")["metrics"]["fit"] == rows["fit"]
    _, predictions = load_predictions(place.fits("tested") / "predictions.npz", "the test")
    assert predictions["worst_fit"].shape == predictions["worst_mask"].shape == (3, 4, 32, 32)
    assert predictions["example_overlay"].shape == (3, 4, 192, 192, 3)
    figures = FiguresConfig(fits=place.fits("tested"), masks=place.run("whole"), folder=place.root / "images")
    drawn = {path.name for path in make_figures.main(figures)}
    assert drawn == {"damage.png", "masks_loss.png", "fits.png", "fits_worst.png"}
    report.main(report.ReportConfig(runs=(place.fits("tested"),)))
    page = (place.fits("tested") / "report.html").read_text()
    assert "Bodies fitted to masks" in page and "joints" in page and "is damaged" not in page
    report.main(report.ReportConfig(runs=(place.run("whole"),)))
    page = (place.run("whole") / "report.html").read_text()
    assert "sample/fit_SMPL.py --teacher" in page, "a teacher is measured by what it leads to"
    fit_SMPL.main(place.fit_config("only_tested", subjects=(9,)))
    assert not (place.fits("only_tested") / "pseudo_labels.npz").exists()


def test_joints_of_labelled_people_pull_the_fits(place, agreeing):
    steps = MasksFitSteps(steps=40, shape_steps=3)
    errors = {}
    for joints in ("none", "labels"):
        fit_SMPL.main(place.fit_config(f"with_{joints}", joints=joints, steps=steps))
        rows = masks_test.main(MasksTestConfig(fits=place.fits(f"with_{joints}"), paths=place.paths, worst=1))
        errors[joints] = rows["fit"]["joints_mm"]
    assert errors["labels"] < 0.5 * errors["none"], errors


def test_masks_that_do_not_fit_their_cameras_are_refused_before_anything_is_written(place, monkeypatch):
    monkeypatch.setattr(fit_SMPL, "WORST_OVERLAP", 0.99)
    with pytest.raises(ValueError, match="no body fits the masks of subject 1"):
        fit_SMPL.main(place.fit_config("refused"))
    assert not place.fits("refused").exists()


def test_one_camera_is_not_enough(place):
    with pytest.raises(ValueError, match="two calibrated views or more"):
        fit_SMPL.main(place.fit_config("one_camera", cameras=(2,)))
    with pytest.raises(ValueError, match=r"no frames of cameras \[7\]"):
        fit_SMPL.main(place.fit_config("no_camera", cameras=(2, 7)))
    assert not place.fits("one_camera").exists()


def of_another_skeleton(place: Workplace, joints: int) -> Path:
    """Write the open body with its first joints alone."""
    with np.load(place.paths.models_smpl_location, allow_pickle=False) as stored:
        body = {name: stored[name] for name in stored.files}
    weights = body["weights"][:, :joints] + 1e-3
    body |= {
        "kintree_table": body["kintree_table"][:, :joints], "J_regressor": body["J_regressor"][:joints],
        "weights": weights / weights.sum(axis=1, keepdims=True), "posedirs": body["posedirs"][:, :, : 9 * (joints - 1)],
    }  # fmt: skip
    path = place.root / f"body_of_{joints}.npz"
    np.savez(path, **body)
    return path


def test_a_teacher_of_another_skeleton_is_refused_before_anything_is_written(place):
    paths = replace(place.paths, models_smpl_location=of_another_skeleton(place, 20))
    with pytest.raises(ValueError, match=r"was trained on another body than .*body_of_20"):
        fit_SMPL.main(place.fit_config("skeleton", paths=paths))
    assert not place.fits("skeleton").exists()


def test_an_empty_mask_is_left_out_and_a_single_one_left_over_is_named(place, agreeing):
    masks = place.paths.masks_location
    changed = {
        masks / folder_name(1, 2, 1, camera) / f"{folder_name(1, 2, 1, camera)}_000001.png" for camera in (1, 2, 3)
    }
    before = {path: path.read_bytes() for path in changed}
    try:
        first = sorted(changed)[0]
        cv2.imwrite(str(first), np.zeros((96, 96), np.uint8))
        labels = fit_SMPL.main(place.fit_config("empty"))
        assert len(labels.frames) == 4
        for path in changed:
            cv2.imwrite(str(path), np.zeros((96, 96), np.uint8))
        with pytest.raises(ValueError, match=r"1 instants have fewer than two usable masks.*is empty"):
            fit_SMPL.main(place.fit_config("empty_three"))
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def test_no_joint_is_needed_for_pseudo_labels(place, agreeing):
    before = fit_SMPL.main(place.fit_config("labelled"))
    blind = place.root / "blind"
    paths = replace(place.paths, h36m_location=blind / "frames", index_location=blind / "index")
    shutil.copytree(place.paths.h36m_location, paths.h36m_location)
    for meta in sorted(paths.h36m_location.glob("*/h36m_meta.mat")):
        content = {name: value for name, value in scipy.io.loadmat(meta).items() if name[0] != "_"}
        scipy.io.savemat(meta, content | {"pose3d_world": np.full_like(content["pose3d_world"], np.nan)})
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1, centre="masks"))
    after = fit_SMPL.main(place.fit_config("blind", paths=paths))
    assert np.array_equal(after.frames, before.frames) and np.array_equal(after.theta, before.theta)
    config = replace(place.train_config, name="blind", paths=paths, optim=Optim(steps=2, bf16=False))
    train_SMPL_from_masks.main(config)
    with pytest.raises(ValueError, match="root is pelvis, but subject 1 has frames without labels"):
        fit_SMPL.main(place.fit_config("rooted", paths=paths, root="pelvis"))
    found = masks_test.main(MasksTestConfig(fits=place.fits("blind"), paths=paths, worst=1))
    assert set(found) == {"fit"} and set(found["fit"]) == {"num_frames", "overlap_percent"}
    with pytest.raises(ValueError, match="joints is labels, but subject 1 has none"):
        fit_SMPL.main(place.fit_config("jointed", paths=paths, joints="labels"))


def test_a_recording_without_keypoints_leads_to_bodies_by_the_commands_that_are_printed(
    place, agreeing, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    cameras = write_recording(place.paths, (1, 2, 1), tmp_path / "clips", (1, 2, 3))
    for number, name in enumerate(cameras, start=1):
        folder = tmp_path / "clips" / "masks" / name
        folder.mkdir(parents=True)
        for path in sorted((place.paths.masks_location / folder_name(1, 2, 1, number)).iterdir()):
            (folder / path.name).write_bytes(path.read_bytes())
    [calibration] = write_calibration("pose2sim", tmp_path, cameras)
    line = (f"python dataset_def/import_multiview.py --videos clips/videos --calibration {calibration} "
            "--masks clips/masks --to mine --test-frames 0 --sequence-frames 2")  # fmt: skip
    flags = {
        "dataset_def/import_multiview.py": ("--processes 1", "--frames-per-second 1"),
        "dataset_def/h36m_preprocess.py": ("--no-pack", "--processes 1", "--paths.runs-location runs"),
        "sample/fit_SMPL.py": (f"--teacher {place.teacher}", "--steps.steps 2", "--steps.shape-steps 2", "--every 1",
                               "--device cpu", "--processes 1"),
    }  # fmt: skip
    ran = []
    while line:
        [command] = commands_of(f"```\n{line}\n```")
        ran.append(command.script)
        module_of(command.script).main(settings_of(command, flags.get(command.script, ())))
        printed = [said for said in capsys.readouterr().out.splitlines() if said.startswith("next: ")]
        line = printed[0].removeprefix("next: ") if printed else ""
    assert ran == ["dataset_def/import_multiview.py", "dataset_def/h36m_preprocess.py", "sample/fit_SMPL.py",
                   "sample/test_SMPL_from_masks.py", "sample/make_figures.py"]  # fmt: skip
    assert (tmp_path / "runs" / "figures" / "fits.png").is_file()
    labels = load_pseudo_labels(tmp_path / "runs/fit/demo/pseudo_labels.npz", tmp_path / "mine/index/index.npz", (9,))
    assert labels.frames.tolist() == [[20, 14, 1, 1], [20, 14, 1, 2]]
