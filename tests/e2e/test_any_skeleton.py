"""A body with a skeleton of its own: its data set is made, a teacher trained, bodies fitted to masks and measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from config import Loop, MasksConfig, MasksNetwork, Optim, Paths, PoseSources, PreprocessConfig, Subjects
from dataset_def import h36m_preprocess
from dataset_def.ground_truth_bodies import load_bodies
from dataset_def.synthetic import make_moving_body, make_quadruped
from dataset_def.synthetic.make_moving_body import MovingBodyConfig
from dataset_def.synthetic.make_quadruped import QuadrupedConfig
from models.masks_fit import MasksFitSteps
from models.smpl import load_body, rotations_from_theta
from sample import fit_SMPL, train_SMPL_from_masks
from sample import test_SMPL_from_masks as masks_test
from sample.fit_SMPL import FitConfig
from sample.test_SMPL_from_masks import TestMasksConfig as MasksTestConfig
from utils.image import read_image

SUBJECTS = Subjects(train=(1,), labelled=(1,), test=(9,), held_out=((3, 1),))


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("animal")
    body = make_quadruped.main(QuadrupedConfig(root / "body.npz"))
    paths = replace(Paths.under(root / "data"), models_smpl_location=body, runs_location=root / "runs")
    config = MovingBodyConfig(paths, size_px=96, frames=2, subjects=(1,), actions=(2, 3), processes=1)
    make_moving_body.main(config)
    h36m_preprocess.main(PreprocessConfig(paths, pack=False, processes=1))
    return paths


def test_its_masks_show_the_true_body_where_the_cameras_see_it(paths):
    bodies, body = (
        load_bodies(paths.truth_location / "s_01_act_02_subact_01.npz"),
        load_body(paths.models_smpl_location),
    )
    assert bodies.theta.shape == (2, 90)
    rotations = rotations_from_theta(torch.from_numpy(bodies.theta))
    betas = torch.from_numpy(bodies.betas).expand(2, -1)
    vertices_m = body(rotations, betas, torch.from_numpy(bodies.translation_m)).vertices_m
    assert vertices_m[..., 2].min() == pytest.approx(0, abs=1e-4), "its lowest foot stands on the floor"
    name = "s_01_act_02_subact_01_ca_01"
    mask = read_image(paths.masks_location / name / f"{name}_000001.png")
    assert 20 < (mask > 128).sum() < 2000


def test_a_second_run_makes_nothing_again_and_another_body_is_refused(paths, tmp_path):
    config = MovingBodyConfig(paths, size_px=96, frames=2, subjects=(1,), actions=(2, 3), processes=1)
    place = paths.truth_location / "s_01_act_02_subact_01.npz"
    before = place.stat().st_mtime_ns
    make_moving_body.main(config)
    assert place.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="seed"):
        make_moving_body.main(replace(config, seed=1))


def test_it_is_read_from_masks_fitted_and_measured_by_its_own_joints(paths, monkeypatch):
    monkeypatch.setattr(fit_SMPL, "check_cameras", lambda *_: None)  # a teacher of six steps covers no mask
    train_SMPL_from_masks.main(MasksConfig(
        name="animal", device="cpu", paths=paths, subjects=SUBJECTS, batch=4, held_out_bodies=4, side_m=1.6,
        loop=Loop(workers=0, log_every=2, validate_every=3, checkpoint_every=2),
        bank=PoseSources(sequences=4, frames=6), network=MasksNetwork(size_px=32, width=8, features=12, hidden=32),
        optim=Optim(steps=6, bf16=False, schedule="constant", warmup_steps=0),
    ))  # fmt: skip
    teacher = paths.runs_location / "masks" / "animal" / "checkpoint_best.pt"
    config = FitConfig(name="animal", teacher=teacher, device="cpu", paths=paths, people=SUBJECTS, subjects=(1,),
                       every=1, steps=MasksFitSteps(steps=3, shape_steps=3), batch=4, processes=1)  # fmt: skip
    labels = fit_SMPL.main(config)
    assert labels.theta.shape == (4, 90) and labels.joints_world_m.shape == (4, 30, 3)
    rows = masks_test.main(MasksTestConfig(paths.runs_location / "fit" / "animal", paths))
    body = load_body(paths.models_smpl_location)
    assert tuple(rows["fit"]["by_joint_mm"]) == body.names and rows["fit"]["by_joint_mm"]["pelvis"] < 1e-3
    assert rows["fit"]["error_over_median_pose"] == rows["fit"]["joints_mm"] / rows["fit"]["median_pose_joints_mm"] > 0
    assert np.isfinite(rows["fit"]["vertices_mm"])


def test_joints_of_people_are_refused_for_it(paths):
    config = FitConfig(name="labels", device="cpu", paths=paths, people=SUBJECTS, subjects=(1,), joints="labels")
    with pytest.raises(ValueError, match=r"does not tell where the 17 joints of Human3.6M are, which --joints labels"):
        fit_SMPL.main(config)
