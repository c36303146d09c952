"""Stage 4 from the index to a trained mesh network, on a tiny data set of disc people."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from config import (
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    ImageAugmentation,
    Loop,
    MeshConfig,
    MeshHeadConfig,
    MeshLoss,
    Optim,
    PreprocessConfig,
    Subjects,
)
from dataset_def import h36m_preprocess
from dataset_def.h36m_files import mask_path
from dataset_def.h36m_index import load_table
from models import SMPL_from_latent
from models.encoder_decoder import build_encoder_decoder, load_encoder_decoder
from models.SMPL_from_latent import load_body_of, load_mesh
from sample import train_SMPL_from_enc
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import load_checkpoint, save_checkpoint
from utils.history import load_history
from utils.image import write_image
from utils.settings import to_plain

SUBJECTS = Subjects(train=(1, 5), labelled=(1,), test=(9,), held_out=((4, 1),))
STAGE_1 = EncDecConfig(
    crop=Crop(size_px=32), encoder=EncoderConfig(width=8, points=12, appearance=8), decoder=DecoderConfig(width=8),
    subjects=SUBJECTS,
)  # fmt: skip
LOOP = Loop(workers=0, log_every=2, validate_every=4, checkpoint_every=2)
CPU = torch.device("cpu")


class Workplace:
    """A tiny data set and a stage-1 checkpoint."""

    def __init__(self, root: Path) -> None:
        self.paths = write_tiny_h36m(root, subjects=(1, 5), actions=(2, 3, 4), frames=2, size_px=96)
        self.preprocess = PreprocessConfig(paths=self.paths, pack_px=96, processes=1)
        h36m_preprocess.main(self.preprocess)
        self.encoder = root / "stage_1" / "checkpoint_best.pt"
        torch.manual_seed(0)
        save_checkpoint(
            self.encoder, "enc_dec", 7, to_plain(STAGE_1), {"model": build_encoder_decoder(STAGE_1).state_dict()}
        )

    def config(self, name: str, **changes) -> MeshConfig:
        settings = MeshConfig(
            encoder=self.encoder, name=name, paths=self.paths, subjects=SUBJECTS, silhouettes_of=(1, 5), device="cpu",
            batch=4, silhouette_batch=2, mask_px=32, loop=LOOP, loss=MeshLoss(prior=0.0),
            head=MeshHeadConfig(hidden=32, dropout=0.1),
            optim=Optim(steps=4, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False),
        )  # fmt: skip
        return replace(settings, **changes)

    def run(self, name: str) -> Path:
        return self.paths.runs_location / "mesh" / name

    def states(self, name: str) -> dict:
        return load_checkpoint(self.run(name) / "checkpoint_last.pt", "mesh")["states"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path_factory.mktemp("stage4"))


def test_the_losses_fall_and_the_next_stage_can_read_the_checkpoint(place, capsys):
    steps = Optim(steps=100, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False)
    loop = Loop(workers=0, log_every=20, validate_every=100, checkpoint_every=100)
    train_SMPL_from_enc.main(place.config("falls", optim=steps, loop=loop, augment=ImageAugmentation(roll_rad=0.0)))
    assert "L_pose" in capsys.readouterr().out
    records = load_history(place.run("falls") / "history.jsonl")
    terms = {"pose_m", "soft_iou", "mesh_to_mask_m", "mask_to_mesh_m", "betas"}
    assert terms | {"held_out_mpjpe_17_mm", "held_out_iou_percent"} <= records[-1].keys()
    joints_m = [record["pose_m"] for record in records]
    assert joints_m[-1] < 0.9 * joints_m[0], joints_m
    path = place.run("falls") / "checkpoint_best.pt"
    stored = load_mesh(path, CPU)
    assert to_plain(stored.config) == to_plain(STAGE_1) and stored.encoder_step == 7
    assert len(load_body_of(stored, path, place.paths).template_m) == stored.num_vertices
    assert not stored.network.training and not any(p.requires_grad for p in stored.network.parameters())
    stage_1 = load_encoder_decoder(place.encoder).network.state_dict()
    same = {name: torch.equal(value, stage_1[name]) for name, value in stored.network.encoder.state_dict().items()}
    assert all(same.values()), "the encoder is as stage 1 left it"


def test_a_resumed_run_equals_an_uninterrupted_one_also_when_the_weights_were_balanced(place):
    whole = place.config("whole", loss=MeshLoss(prior=0.0, balance=True, soft_iou_after=0.0, distances_end=1.0))
    train_SMPL_from_enc.main(whole)
    part = replace(whole, name="part", optim=replace(whole.optim, steps=2))
    train_SMPL_from_enc.main(part)
    train_SMPL_from_enc.main(replace(part, optim=whole.optim, loop=replace(LOOP, resume=True)))
    first, second = place.states("whole"), place.states("part")
    assert (first["factors"]["factors"] != 1).any(), "balanced"
    for kind in ("model", "factors"):
        weights = {name: value for name, value in first[kind].items() if name != "_extra_state"}
        assert all(torch.equal(value, second[kind][name]) for name, value in weights.items())


def test_training_on_joints_alone_needs_no_masks_in_its_loss(place):
    loss = MeshLoss(prior=0.0, soft_iou=0.0, mesh_to_mask=0.0, mask_to_mesh=0.0)
    train_SMPL_from_enc.main(place.config("joints", loss=loss))
    last = load_history(place.run("joints") / "history.jsonl")[-1]
    assert "pose_m" in last and not {"soft_iou", "mesh_to_mask_m", "mask_to_mesh_m"} & last.keys()


def test_the_predecessors_head_trains_too(place):
    train_SMPL_from_enc.main(place.config("seed", head=MeshHeadConfig(kind="seed", hidden=8)))
    assert load_mesh(place.run("seed") / "checkpoint_best.pt", CPU).network.head.kind == "seed"


def test_a_body_file_with_other_vertices_or_other_content_is_refused(place, tmp_path):
    train_SMPL_from_enc.main(place.config("bodies"))
    path = place.run("bodies") / "checkpoint_best.pt"
    stored = load_mesh(path, CPU)
    with np.load(place.paths.models_smpl_location) as file:
        arrays = dict(file)
    other = tmp_path / "other.npz"
    np.savez(other, **{**arrays, "v_template": arrays["v_template"] * 1.01})
    with pytest.raises(ValueError, match=r"other\.npz is another body .* than .*checkpoint_best"):
        load_body_of(stored, path, replace(place.paths, models_smpl_location=other))
    with pytest.raises(ValueError, match="was trained with a body of 123;"):
        load_body_of(stored._replace(num_vertices=123), path, place.paths)


def test_a_network_that_is_no_longer_finite_stops_the_run_and_names_a_frame(place, monkeypatch):
    start = SMPL_from_latent.MeshFromLatent

    def broken(*arguments):
        head = start(*arguments)
        torch.nn.init.constant_(head.last.bias, torch.nan)
        return head

    monkeypatch.setattr(SMPL_from_latent, "MeshFromLatent", broken)
    with pytest.raises(ValueError, match=r"estimated bodies are NaN or infinite \(first: subject 1, action"):
        train_SMPL_from_enc.main(place.config("nan"))


def test_an_inverted_mask_stops_the_script_before_it_writes_anything(tmp_path):
    bad = Workplace(tmp_path)
    path = mask_path(bad.paths, load_table(bad.paths).key(3))
    write_image(path, 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    (bad.paths.index_location / "index.npz").unlink()
    for file in (bad.paths.index_location / "crops_masks").iterdir():
        file.unlink()
    h36m_preprocess.main(bad.preprocess)
    with pytest.raises(ValueError, match=f"{path.name} .*seems inverted"):
        train_SMPL_from_enc.main(bad.config("never"))
    assert not bad.run("never").exists()


def test_a_missing_prior_and_test_subjects_among_the_masks_are_refused(place):
    with pytest.raises(ValueError, match="prior names no discriminator"):
        place.config("none", loss=MeshLoss(prior=0.1), prior=None)
    with pytest.raises(ValueError, match=r"subjects \[9\] are in silhouettes_of"):
        place.config("none", silhouettes_of=(1, 9))
