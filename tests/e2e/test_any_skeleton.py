"""A body with a skeleton of its own goes through every stage: as a data set, from masks, and from one image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config import (
    ASSETS,
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    GanConfig,
    GanNetworkConfig,
    ImageAugmentation,
    ImageLoss,
    Loop,
    MasksConfig,
    MasksNetwork,
    MeshConfig,
    MeshHeadConfig,
    MeshLoss,
    Optim,
    Paths,
    PointsTeaching,
    PoseConfig,
    PoseSources,
    PreprocessConfig,
    Subjects,
    UnpairedPoses,
    UntrainedEncoder,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.ground_truth_bodies import load_bodies
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import load_table
from dataset_def.synthetic import make_moving_body, make_quadruped
from dataset_def.synthetic.make_moving_body import MovingBodyConfig
from dataset_def.synthetic.make_quadruped import QuadrupedConfig
from models.GAN import load_prior_for
from models.masks_fit import MasksFitSteps
from models.pose_from_latent import load_pose
from models.smpl import load_body, rotations_from_theta
from sample import (
    fit_SMPL,
    make_figures,
    report,
    train_3d_pose_from_enc,
    train_enc_dec,
    train_GAN,
    train_SMPL_from_enc,
    train_SMPL_from_masks,
)
from sample import test_GAN as gan_test
from sample import test_pose as pose_test
from sample import test_SMPL as mesh_test
from sample import test_SMPL_from_masks as masks_test
from sample.fit_SMPL import FitConfig
from sample.make_figures import FiguresConfig
from sample.report import ReportConfig
from sample.test_GAN import TestGanConfig as GanTestConfig
from sample.test_pose import TestPoseConfig as PoseTestConfig
from sample.test_SMPL import TestMeshConfig as MeshTestConfig
from sample.test_SMPL_from_masks import TestMasksConfig as MasksTestConfig
from utils.artifacts import load_predictions
from utils.history import load_history
from utils.image import read_image
from utils.reference_poses import headings_world_rad

SUBJECTS = Subjects(train=(1,), labelled=(1,), test=(9,), held_out=((3, 1),))


def moving(paths: Paths) -> MovingBodyConfig:
    return MovingBodyConfig(paths, size_px=96, frames=2, subjects=(1, 9), actions=(2, 3), processes=1)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("animal")
    body = make_quadruped.main(QuadrupedConfig(root / "body.npz"))
    paths = replace(Paths.under(root / "data"), models_smpl_location=body, runs_location=root / "runs")
    make_moving_body.main(moving(paths))
    h36m_preprocess.main(PreprocessConfig(paths, pack_px=48, pack_side_m=2.4, processes=1))
    h36m_get_background.main(BackgroundConfig(paths, processes=1))
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
    config = moving(paths)
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


CROP = Crop(size_px=32, side_m=1.6)
CHANGED = ImageAugmentation(roll_rad=0.3, shift_m=0.05, colour=0.5, scale=0.1, mirror=0.5, background=0.5)
LOOP = Loop(workers=0, log_every=3, validate_every=3, checkpoint_every=3, pictures=2)
OPTIM = Optim(steps=6, bf16=False, schedule="constant", warmup_steps=0)


def test_the_index_keeps_its_joints_and_what_is_left_and_right_of_it(paths):
    table, body = load_table(paths), load_body(paths.models_smpl_location)
    assert table.skeleton.names == body.names and table.skeleton.parents == body.parents
    assert table.skeleton.heading_pairs == (("left_ear", "right_ear"), ("left_hip", "right_hip"),
                                            ("left_shoulder", "right_shoulder"))  # fmt: skip
    bodies = load_bodies(paths.truth_location / "s_01_act_02_subact_01.npz")
    rotations = rotations_from_theta(torch.from_numpy(bodies.theta))
    out = body(rotations, torch.from_numpy(bodies.betas).expand(2, -1), torch.from_numpy(bodies.translation_m))
    assert table.joints_world_m[:2] == pytest.approx(out.joints_m.numpy(), abs=1e-4), "labels are the true joints"
    along = table.joints_world_m[0, body.names.index("spine3")] - table.joints_world_m[0, 0]
    heading = headings_world_rad(torch.from_numpy(table.joints_world_m[:1]), table.skeleton).item()
    apart = heading - np.arctan2(along[1], along[0])
    assert abs(np.arctan2(np.sin(apart), np.cos(apart))) < 0.4, "it faces where its trunk points"


@pytest.fixture(scope="module")
def points(paths) -> Path:
    train_enc_dec.main(EncDecConfig(
        name="points", device="cpu", paths=paths, subjects=SUBJECTS, groups=2, crop=CROP,
        encoder=EncoderConfig(kind="heatmaps", width=8, points=8, appearance=8), decoder=DecoderConfig(width=8),
        teaching=PointsTeaching(by="masks", heading="labels", labelled_sequences=1, heading_at=(0.5,)),
        loss=ImageLoss(features=0.0), augment=replace(CHANGED, background=0.0), optim=OPTIM, loop=LOOP,
    ))  # fmt: skip
    return paths.runs_location / "enc_dec" / "points" / "checkpoint_best.pt"


def pose_settings(paths: Paths, name: str, **changes) -> PoseConfig:
    start = PoseConfig(encoder=None, mode="scratch", name=name, device="cpu", paths=paths, subjects=SUBJECTS, batch=4,
                       untrained=UntrainedEncoder(CROP, EncoderConfig(kind="heatmaps", width=8, points=8)),
                       augment=CHANGED, optim=OPTIM, loop=LOOP)  # fmt: skip
    return replace(start, **changes)


@pytest.mark.parametrize("kind", ["maps", "points"])
def test_its_joints_are_found_in_one_image_and_measured_by_their_own_names(paths, points, kind):
    changes = {} if kind == "maps" else {"encoder": points, "mode": "frozen", "augment": replace(CHANGED, background=0)}
    train_3d_pose_from_enc.main(pose_settings(paths, kind, **changes))
    run = paths.runs_location / "pose" / kind
    stored = load_pose(run / "checkpoint_best.pt", torch.device("cpu"))
    assert stored.network.skeleton == load_table(paths).skeleton
    metrics = pose_test.main(PoseTestConfig(run / "checkpoint_best.pt", paths=paths, subjects=(9,), mirror=True))
    overall = metrics["overall"]
    assert {"mpjpe_30_mm", "n_mpjpe_30_mm", "p_mpjpe_30_mm", "yaw_error_degrees"} <= overall.keys()
    assert not {"wrist_mm", "mpjpe_17_mm"} & overall.keys() and "apart_30_mm" in metrics["with_mirrored"]["overall"]
    predictions = load_predictions(run / "predictions.npz", "the test")[1]
    apart_m = np.linalg.norm(predictions["predicted_root_m"] - predictions["true_root_m"], axis=-1)
    assert overall["mpjpe_30_mm"]["mean"] == pytest.approx(1000 * apart_m.mean(), rel=1e-4)
    assert metrics["constant_pose_true_heading"]["mpjpe_30_mm"]["mean"] < metrics["mean_pose"]["mpjpe_30_mm"]["mean"]
    assert make_figures.main(FiguresConfig(pose=run, paths=paths)) and list((run / "pictures").iterdir())
    assert report.main(ReportConfig(runs=(run,), paths=paths, out=run / "report.html")).stat().st_size > 1000


@pytest.fixture(scope="module")
def prior(paths) -> Path:
    network = GanNetworkConfig(joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6)
    train_GAN.main(GanConfig(
        name="animal", device="cpu", paths=paths, data=PoseSources(sequences=6, frames=8), network=network, batch=8,
        optim=OPTIM, loop=LOOP, generator_every=2,
    ))  # fmt: skip
    return paths.runs_location / "gan" / "animal" / "checkpoint_best.pt"


def test_a_prior_over_its_poses_is_trained_tested_and_drawn(paths, prior):
    metrics = gan_test.main(GanTestConfig(prior, paths=paths, device="cpu", examples=3))
    assert set(metrics["generator"]["auc"]["plausibility"]) == {"shuffled", "outside_limits", "mean"}
    scores = load_predictions(prior.parent / "predictions.npz", "the test")[1]["generator_real_scores"]
    assert scores.shape[1] == 2 * 29 + 2, "alone and in context, for each joint below the root; pose; shape"
    assert make_figures.main(FiguresConfig(gan=prior.parent, paths=paths))
    with pytest.raises(ValueError, match=r"prior of a skeleton of 30 joints, but the body .* has 24; train one"):
        load_prior_for(prior, ASSETS / "open_body.npz")
    with pytest.raises(ValueError, match=r"prior of a skeleton of 24 joints, but the body .* has 30; train one"):
        load_prior_for(ASSETS / "open_prior.pt", paths.models_smpl_location)


def mesh_settings(paths: Paths, name: str, **changes) -> MeshConfig:
    unpaired = UnpairedPoses(steps=3, batch=4, bank=PoseSources(sequences=4, frames=6))
    start = MeshConfig(
        encoder=None, mode="scratch", name=name, device="cpu", paths=paths, subjects=SUBJECTS, silhouettes_of=(1,),
        untrained=UntrainedEncoder(CROP, EncoderConfig(kind="heatmaps", width=8, points=8)), unpaired=unpaired, batch=4,
        silhouette_batch=2, mask_px=32, head=MeshHeadConfig(hidden=16, dropout=0.1), loss=MeshLoss(prior=0.0),
        augment=CHANGED, optim=replace(OPTIM, gradient_clip=5.0), loop=LOOP,
    )  # fmt: skip
    return replace(start, **changes)


@pytest.mark.parametrize("kind", ["maps", "points"])
def test_its_body_is_read_from_one_image_and_measured_by_its_own_joints(paths, points, prior, kind):
    changes = {"prior": prior, "loss": MeshLoss(prior=0.1)}
    if kind == "points":
        changes = {"encoder": points, "mode": "frozen", "augment": replace(CHANGED, background=0)}
    train_SMPL_from_enc.main(mesh_settings(paths, kind, **changes))
    run = paths.runs_location / "mesh" / kind
    assert "held_out_mpjpe_30_mm" in load_history(run / "history.jsonl")[-1]
    metrics = mesh_test.main(MeshTestConfig(run / "checkpoint_best.pt", paths=paths, subjects=(9,)))
    assert {"mpjpe_30_mm", "p_mpjpe_30_mm", "vertex_mm", "iou_all_views_percent"} <= metrics["overall"].keys()
    assert metrics["by_posture"] == {}, "nobody knows when it sits"
    predictions = load_predictions(run / "predictions.npz", "the test")[1]
    assert predictions["rotations_crop"].shape[1:] == (30, 3, 3)
    apart_m = np.linalg.norm(predictions["predicted_root_m"] - predictions["true_root_m"], axis=-1)
    assert metrics["overall"]["mpjpe_30_mm"]["mean"] == pytest.approx(1000 * apart_m.mean(), rel=1e-4)
    assert make_figures.main(FiguresConfig(mesh=run, paths=paths)) and list((run / "pictures").iterdir())
    assert report.main(ReportConfig(runs=(run,), paths=paths, out=run / "report.html")).stat().st_size > 1000


def test_a_body_with_other_joints_than_the_data_is_refused_before_a_run_begins(paths):
    people = replace(paths, models_smpl_location=ASSETS / "open_body.npz")
    with pytest.raises(ValueError, match=r"30 joints, .*open_body.npz is measured by 17, .* are spine1 and right_hip"):
        train_SMPL_from_enc.main(mesh_settings(people, "people"))
    assert not (paths.runs_location / "mesh" / "people").exists()


def test_another_skeletons_network_is_refused_on_it(paths):
    with pytest.raises(ValueError, match=r"finds 17 joints .* but the data set has 30 \(pelvis, spine1"):
        pose_test.own_joints(
            ASSETS / "open_pose.pt", load_pose(ASSETS / "open_pose.pt", torch.device("cpu")), load_table(paths)
        )


def test_joints_of_people_are_refused_for_it(paths):
    config = FitConfig(name="labels", device="cpu", paths=paths, people=SUBJECTS, subjects=(1,), joints="labels")
    with pytest.raises(ValueError, match=r"does not tell where the 17 joints of Human3.6M are, which --joints labels"):
        fit_SMPL.main(config)
