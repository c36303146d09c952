"""Stage 4 from the index to a trained mesh network, on a tiny data set of disc people."""

import json
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
    PoseConfig,
    PoseSources,
    PreprocessConfig,
    Subjects,
    UnpairedPoses,
    UntrainedEncoder,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_files import mask_path
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import load_table
from models import SMPL_from_latent
from models.encoder_decoder import build_encoder_decoder, load_encoder_decoder
from models.heat_maps import FrozenImageNetMapBackbone
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import StoredMesh, load_body_of, load_mesh
from models.SMPL_from_maps import MeshFromMaps
from sample import save_embeddings, train_3d_pose_from_enc, train_SMPL_from_enc
from sample import test_SMPL as mesh_test
from sample.save_embeddings import EmbeddingsConfig
from sample.test_SMPL import TestMeshConfig as MeshTestConfig
from sample.tools import export_weights
from sample.tools.export_weights import ExportConfig
from tests.helpers.downloads import check_that_a_resumed_training_asks_for_nothing
from tests.helpers.opened_files import files_opened
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import PseudoLabels, file_hash, load_checkpoint, save_checkpoint, save_pseudo_labels
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


def test_a_resumed_training_of_a_pretrained_kind_asks_for_no_download(place, monkeypatch):
    check_that_a_resumed_training_asks_for_nothing(train_SMPL_from_enc.main, place.config, monkeypatch)


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


HEATMAPS = UntrainedEncoder(
    Crop(size_px=32, side_m=2.25), EncoderConfig(kind="heatmaps", width=8, points=6, appearance=8)
)
CHANGED = ImageAugmentation(colour=0.5, scale=0.2, shift_m=0.1, mirror=0.5, background=0.5, end=0.2)


@pytest.fixture(scope="module")
def fits(place) -> Path:
    """Standing bodies, fitted to all instants of a person without labels; and the empty rooms."""
    h36m_get_background.main(BackgroundConfig(paths=place.paths, processes=1))
    table = load_table(place.paths)
    frames = np.unique(table.frames[table.frames[:, 0] == 5][:, [0, 1, 2, 4]], axis=0).astype(np.int32)
    count, path = len(frames), place.paths.runs_location / "fit" / "pseudo_labels.npz"
    theta = np.zeros((count, 72), np.float32)
    theta[:, 0] = np.pi / 2  # the body's y is up in the world's z
    instants = [int(table.row_instant[(table.frames[:, [0, 1, 2, 4]] == key).all(1)][0]) for key in frames]
    labels = PseudoLabels(
        frames, theta, np.full((count, 10), 0.5, np.float32), np.zeros((count, 3), np.float32),
        table.joints_world_m[instants].astype(np.float32), np.full(count, 0.9, np.float32), "{}",
        file_hash(place.paths.models_smpl_location), "teacher", file_hash(place.paths.index_location / "index.npz"),
    )  # fmt: skip
    save_pseudo_labels(path, labels, SUBJECTS.test)
    return path


def heatmaps_config(place, name: str, fits: Path, **changes) -> MeshConfig:
    bank = PoseSources(sequences=3, frames=4, cache_location=place.paths.runs_location / "poses", processes=1)
    settings = place.config(name, pseudo_labels=fits, augment=CHANGED, unpaired=UnpairedPoses(4, 8, bank=bank))
    return replace(settings, **changes)


def test_bodies_are_learned_from_images_alone_and_one_checkpoint_is_enough_to_test(place, fits, tmp_path, capsys):
    steps = Optim(steps=40, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False)
    config = heatmaps_config(place, "images", fits, encoder=None, mode="scratch", untrained=HEATMAPS, optim=steps)
    train_SMPL_from_enc.main(config)
    assert "bodies behind joints: 8 poses of 2 sequences of generator" in capsys.readouterr().out
    history = load_history(place.run("images") / "history.jsonl")
    first, last = (history[place]["vertices_m"] for place in (0, -1))
    assert last < 0.8 * first, (first, last)
    terms = {"pose_m", "soft_iou", "rotations", "shape", "heat", "depth_m", "limbs", "mask", "held_out_surface_mm"}
    assert terms <= history[-1].keys()
    path = place.run("images") / "checkpoint_best.pt"
    stored = load_mesh(path, CPU)
    assert isinstance(stored.network, MeshFromMaps) and stored.reads.tier.endswith("unpaired poses + S1's joints")
    paths = write_tiny_h36m(
        place.paths.runs_location / "of_test", subjects=(1, 9), actions=(2, 4), frames=2, size_px=96
    )
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    found = mesh_test.main(MeshTestConfig(checkpoint=path, paths=paths, subjects=(9,), device="cpu", examples=2))
    assert found["overall"]["mpjpe_17_mm"]["mean"] > 0 and "iou_all_views_percent" in found["overall"]
    exported_alike(path, stored, tmp_path / "open_body_maps.pt")


def test_without_labelled_people_fits_or_masks_choose_the_best_checkpoint(place, fits):
    nobody = replace(SUBJECTS, labelled=())
    train_SMPL_from_enc.main(heatmaps_config(place, "fits_choose", fits, encoder=None, mode="scratch",
                                             untrained=HEATMAPS, subjects=nobody))  # fmt: skip
    last = load_history(place.run("fits_choose") / "history.jsonl")[-1]
    assert {"held_out_surface_mm", "held_out_iou_percent"} <= last.keys() and "held_out_mpjpe_17_mm" not in last
    loss = MeshLoss(prior=0.0, vertices=0.0, rotations=0.0, shape=0.0)
    train_SMPL_from_enc.main(place.config("masks_choose", pseudo_labels=fits, subjects=nobody, loss=loss))
    history = load_history(place.run("masks_choose") / "history.jsonl")
    shared = [record["held_out_iou_percent"] for record in history if "held_out_iou_percent" in record]
    best = load_checkpoint(place.run("masks_choose") / "checkpoint_best.pt", "mesh")["progress"]["best"]
    assert best == pytest.approx(100 - max(shared), abs=1e-3)
    with pytest.raises(ValueError, match=r"subjects.labelled is empty and pseudo_labels is none.*--pseudo-labels"):
        place.config("never", subjects=nobody)


def exported_alike(checkpoint: Path, stored: StoredMesh, small: Path) -> None:
    """A small file holds all of the network, says what it read, and names no folder."""
    export_weights.main(ExportConfig(checkpoint=checkpoint, output=small, description="a test"))
    again, image = load_mesh(small, CPU), torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = (one.network(image) for one in (again, stored))
    assert (ours.rotations_crop - theirs.rotations_crop).abs().max() < 0.05, "8 bits"
    assert (again.reads, again.step, again.body_hash) == (stored.reads, stored.step, stored.body_hash)
    told = json.loads(small.with_suffix(".json").read_text())
    assert told["tier"] == stored.reads.tier and told["stage_4"]["settings"]["pseudo_labels"] == "pseudo_labels.npz"
    assert small.stat().st_size < 0.6 * checkpoint.stat().st_size
    assert "/tmp" not in small.with_suffix(".json").read_text()


def stage_2_with_maps(place: Workplace, name: str, untrained: UntrainedEncoder) -> Path:
    """Train two steps of stage 2 with heat maps, without stage 1; give the checkpoint."""
    pose = PoseConfig(
        encoder=None, mode="scratch", untrained=untrained, name=name, paths=place.paths, subjects=SUBJECTS,
        augment=CHANGED, device="cpu", batch=4, loop=LOOP, optim=Optim(steps=2, bf16=False),
    )  # fmt: skip
    train_3d_pose_from_enc.main(pose)
    return place.paths.runs_location / "pose" / name / "checkpoint_best.pt"


def test_from_stage_2_on_the_joints_are_kept_or_trained_with_the_body(place, fits):
    """Frozen, what stage 2 learned stays as it is; fine-tuned, encoder and heat maps move."""
    encoder = stage_2_with_maps(place, "maps", HEATMAPS)
    before = load_checkpoint(encoder, "pose")["states"]["model"]
    for mode in ("frozen", "finetune"):
        config = heatmaps_config(place, f"from_2_{mode}", fits, encoder=encoder, mode=mode, in_memory=mode == "frozen")
        train_SMPL_from_enc.main(config)
        after = place.states(config.name)["model"]
        for old, new in (("encoder.backbone.", "encoder.backbone."), ("head.", "joints.")):
            names = [name.removeprefix(old) for name in before if name.startswith(old)]
            is_kept = all(torch.equal(after[new + name], before[old + name]) for name in names)
            assert names and is_kept == (mode == "frozen"), (new, mode)
        assert isinstance(load_mesh(place.run(config.name) / "checkpoint_best.pt", CPU).network, MeshFromMaps)


def test_frozen_imagenet_layers_stay_bit_for_bit_in_stages_2_and_4_and_their_files_leave_them_out(
    place, fits, tmp_path
):
    frozen = replace(HEATMAPS, encoder=replace(HEATMAPS.encoder, kind="heatmaps_imagenet_frozen"))
    encoder = stage_2_with_maps(place, "lite0", frozen)
    train_SMPL_from_enc.main(heatmaps_config(place, "lite0", fits, encoder=encoder, mode="finetune"))
    path = place.run("lite0") / "checkpoint_best.pt"
    stored, untouched = load_mesh(path, CPU), FrozenImageNetMapBackbone(HEATMAPS.encoder.width, 32)
    second, fourth = load_pose(encoder, CPU).network.encoder.backbone, stored.network.encoder.backbone
    names = [name for name, _ in untouched.named_buffers() if name not in untouched.state_dict()]
    assert len(names) > 50
    for name in names:
        assert torch.equal(second.get_buffer(name), untouched.get_buffer(name)), name
        assert torch.equal(fourth.get_buffer(name), untouched.get_buffer(name)), name
    assert not any(name.endswith(tuple(names)) for name in place.states("lite0")["model"] if ".backbone." in name)
    moved = "up.0.from_coarse.weight"
    assert not torch.equal(second.get_parameter(moved), fourth.get_parameter(moved)), "what goes up trains"
    exported_alike(path, stored, tmp_path / "open_body_maps.pt")


def test_stage_4_goes_on_from_stage_4_and_reads_the_shape_off_bones(place, fits, monkeypatch):
    train_SMPL_from_enc.main(heatmaps_config(place, "first", fits, encoder=None, mode="scratch", untrained=HEATMAPS))
    first = place.run("first") / "checkpoint_best.pt"
    head = MeshHeadConfig(hidden=32, shape="bones")
    on = heatmaps_config(place, "on", fits, encoder=first, mode="finetune", head=head, optim=Optim(steps=1, lr=1e-9))
    opened = files_opened(monkeypatch)
    train_SMPL_from_enc.main(on)
    assert opened.count(first) == 1, "the checkpoint is read once"
    before, after = (load_mesh(place.run(name) / "checkpoint_best.pt", CPU).network for name in ("first", "on"))
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one, other = before.maps(image), after.maps(image)
    assert (one.body.rotations_crop - other.body.rotations_crop).abs().max() < 0.02, "but for BatchNorm's statistics"
    torch.testing.assert_close(other.body.betas, after.head.shape(other.joints.joints_root_m))
    with pytest.raises(ValueError, match="is of stage 4, and mode is frozen"):
        train_SMPL_from_enc.main(heatmaps_config(place, "never", fits, encoder=first))


def test_behind_heat_maps_a_resumed_run_equals_an_uninterrupted_one(place, fits):
    steady = MeshLoss(prior=0.0, soft_iou_after=0.0, distances_end=1.0)  # weights depend on the share that is done
    whole = heatmaps_config(place, "maps_whole", fits, encoder=None, mode="scratch", untrained=HEATMAPS, loss=steady,
                            augment=replace(CHANGED, end=1.0))  # fmt: skip
    part = replace(whole, name="maps_part", optim=replace(whole.optim, steps=2))
    train_SMPL_from_enc.main(whole)
    train_SMPL_from_enc.main(part)
    train_SMPL_from_enc.main(replace(part, optim=whole.optim, loop=replace(LOOP, resume=True)))
    first, second = (place.states(name)["model"] for name in ("maps_whole", "maps_part"))
    assert all(torch.equal(first[name], second[name]) for name in first if name != "_extra_state")


def test_stored_latents_stand_in_for_images(place):
    file = save_embeddings.main(
        EmbeddingsConfig(checkpoint=place.encoder, device="cpu", paths=place.paths, subjects=(1, 5), copies=2)
    )
    train_SMPL_from_enc.main(place.config("stored", mode="embeddings", embeddings=file))
    stored = load_mesh(place.run("stored") / "checkpoint_best.pt", CPU)
    assert stored.mesh_config.mode == "embeddings"
    last = load_history(place.run("stored") / "history.jsonl")[-1]
    assert {"pose_m", "soft_iou", "held_out_mpjpe_17_mm"} <= last.keys()


def test_modes_and_heads_that_contradict_each_other_are_refused(place, fits, tmp_path):
    with pytest.raises(ValueError, match="mode is frozen, but encoder is none"):
        place.config("never", encoder=None)
    with pytest.raises(ValueError, match="pseudo_labels need images, and mode embeddings has none"):
        place.config("never", mode="embeddings", embeddings=tmp_path / "embeddings.pkl", pseudo_labels=fits)
    with pytest.raises(ValueError, match=r"head\.reads is maps, but the encoder is of kind compact"):
        train_SMPL_from_enc.main(place.config("never", mode="finetune", head=MeshHeadConfig(reads="maps")))
    other = tmp_path / "pseudo_labels.npz"
    with np.load(fits) as file:
        np.savez(other, **{**file, "_body_hash": np.array("0" * 64)})
    with pytest.raises(ValueError, match=r"was fitted with another body than .*--loss\.vertices 0"):
        train_SMPL_from_enc.main(heatmaps_config(place, "never", other, mode="finetune"))
    assert not place.run("never").exists()
