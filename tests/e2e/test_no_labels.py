"""With every joint of the people without labels unknown, all stages train, on every frame of theirs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from config import (
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    GanConfig,
    GanNetworkConfig,
    Loop,
    MasksConfig,
    MasksNetwork,
    MeshConfig,
    MeshHeadConfig,
    Optim,
    PoseConfig,
    PoseHeadConfig,
    PoseSources,
    PreprocessConfig,
    Subjects,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import select_rows
from dataset_def.h36m_SMPL_data import MeshData
from dataset_def.masks_data import MaskReader
from dataset_def.mesh_batches import open_mesh_data
from models.encoder_decoder import load_encoder
from models.masks_fit import MasksFitSteps
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import load_mesh
from models.SMPL_from_masks import teacher_reads
from sample import (
    fit_SMPL,
    train_3d_pose_from_enc,
    train_enc_dec,
    train_GAN,
    train_SMPL_from_enc,
    train_SMPL_from_masks,
)
from sample.fit_SMPL import FitConfig
from tests.helpers.tiny_h36m import write_tiny_h36m

UNLABELLED = (5, 6, 7, 8)
PEOPLE = (1, *UNLABELLED)
ACTIONS, FRAMES, CAMERAS = (2, 3, 4), 2, 4
TRAINED = 2 * FRAMES
"""Instants of each person that are trained on: of two actions, as the third is held out."""
SUBJECTS = Subjects(train=PEOPLE, labelled=(1,), test=(9,), held_out=((4, 1),))
LOOP = Loop(workers=0, threads=1, log_every=1, validate_every=2, checkpoint_every=2, pictures=0)
OPTIM = Optim(steps=2, warmup_steps=0, bf16=False)
CPU = torch.device("cpu")


class Place:
    """The tiny data set, its labels of everybody but S1 removed, and what the default settings make of it."""

    def __init__(self, root: Path) -> None:
        self.paths = write_tiny_h36m(root, subjects=PEOPLE, actions=ACTIONS, frames=FRAMES, size_px=96, ending="png")
        metas = [path for who in UNLABELLED for path in self.paths.h36m_location.glob(f"s_{who:02d}_*/h36m_meta.mat")]
        assert len(metas) == len(UNLABELLED) * len(ACTIONS) * CAMERAS
        for meta in metas:
            content = {name: value for name, value in scipy.io.loadmat(meta).items() if name[0] != "_"}
            scipy.io.savemat(meta, content | {"pose3d_world": np.full_like(content["pose3d_world"], np.nan)})
        h36m_preprocess.main(PreprocessConfig(paths=self.paths, processes=1))
        h36m_get_background.main(BackgroundConfig(paths=self.paths, processes=1))
        bank = PoseSources(sequences=4, frames=6, held_out=0.4, cache_location=root / "poses", processes=1)
        self.stage_1 = EncDecConfig(
            device="cpu", paths=self.paths, subjects=SUBJECTS, groups=2, crop=Crop(size_px=32), optim=OPTIM, loop=LOOP,
            encoder=EncoderConfig(width=8, points=12, appearance=8), decoder=DecoderConfig(width=8),
        )  # fmt: skip
        self.prior = GanConfig(
            device="cpu", paths=self.paths, data=bank, batch=8, optim=OPTIM, loop=LOOP,
            network=GanNetworkConfig(joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6),
        )  # fmt: skip
        self.stage_2 = PoseConfig(
            encoder=self.trained("enc_dec"), device="cpu", paths=self.paths, subjects=SUBJECTS, batch=4, optim=OPTIM,
            loop=LOOP, head=PoseHeadConfig(hidden=16),
        )  # fmt: skip
        self.stage_4 = MeshConfig(
            encoder=self.trained("enc_dec"), prior=self.trained("gan"), device="cpu", paths=self.paths, batch=4,
            subjects=SUBJECTS, silhouette_batch=2, mask_px=32, optim=OPTIM, loop=LOOP, head=MeshHeadConfig(hidden=16),
        )  # fmt: skip
        self.teacher = MasksConfig(
            device="cpu", paths=self.paths, subjects=SUBJECTS, bank=bank, batch=4, held_out_bodies=4, optim=OPTIM,
            loop=LOOP, network=MasksNetwork(size_px=32, width=8, features=12, hidden=32),
        )  # fmt: skip

    def trained(self, stage: str) -> Path:
        return self.paths.runs_location / stage / "demo" / "checkpoint_best.pt"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    torch.set_num_threads(1)
    made = Place(tmp_path_factory.mktemp("no_labels"))
    train_enc_dec.main(made.stage_1)
    train_GAN.main(made.prior)
    return made


def test_stage_1_trains_on_every_instant_and_reads_no_label(place):
    data = train_enc_dec.make_data(place.stage_1, "train")
    assert len(data) == TRAINED * len(PEOPLE)
    assert load_encoder(place.trained("enc_dec")).reads.tier == "pixels + cameras + masks"


def test_about_the_true_pelvis_it_would_train_on_the_labelled_person_alone(place):
    by_pelvis = replace(place.stage_1, crop=replace(place.stage_1.crop, centre="pelvis"))
    with pytest.warns(UserWarning, match=r"64 of 80 frames have no crop centre of kind 'pelvis'"):
        data = train_enc_dec.make_data(by_pelvis, "train")
    assert len(data) == TRAINED and data.reads(uses_masks=False).root == {1}


def test_stage_2_reads_the_joints_of_the_labelled_person(place):
    train_3d_pose_from_enc.main(place.stage_2)
    assert load_pose(place.trained("pose"), CPU).reads.tier == "pixels + cameras + masks + S1's joints"


def test_stage_4_compares_every_frame_with_its_masks_and_reads_joints_of_the_labelled_person_alone(place):
    seen = open_mesh_data(place.stage_4, load_encoder(place.trained("enc_dec")).config.crop, False).seen
    assert isinstance(seen, MeshData)
    assert len(seen) == TRAINED * len(PEOPLE) * CAMERAS
    sample = seen[0, len(seen) - 1]
    assert sample.frames[0] == 8 and not sample.is_labelled and sample.views.target_world_m.isfinite().all()
    train_SMPL_from_enc.main(place.stage_4)
    reads = load_mesh(place.trained("mesh"), CPU).reads
    assert reads.tier == "pixels + cameras + masks + unpaired poses + S1's joints"
    assert reads.masks == frozenset(PEOPLE) and reads.joints == {1} and not reads.root


def test_the_teacher_and_its_fits_use_every_instant_and_read_no_label(place, monkeypatch):
    train_SMPL_from_masks.main(place.teacher)
    assert teacher_reads(place.trained("masks")).tier == "cameras + masks + unpaired poses"
    reader = MaskReader(place.paths, place.teacher.centre, place.teacher.network.size_px, place.teacher.side_m)
    rows = select_rows(reader.table, SUBJECTS.train, "train", SUBJECTS.held_out)
    assert len(reader.choose(rows, 1)) == TRAINED * len(PEOPLE)
    monkeypatch.setattr(fit_SMPL, "check_cameras", lambda *_: None)  # a teacher of two steps fits nothing
    labels = fit_SMPL.main(FitConfig(
        teacher=place.trained("masks"), device="cpu", paths=place.paths, people=SUBJECTS, subjects=(5,), every=1,
        steps=MasksFitSteps(steps=1, shape_steps=1), processes=1,
    ))  # fmt: skip
    assert len(labels.frames) == FRAMES * len(ACTIONS) and np.isfinite(labels.joints_world_m).all()
    assert labels.reads.tier == "cameras + masks + unpaired poses" and not labels.reads.joints
