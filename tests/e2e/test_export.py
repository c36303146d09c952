"""Checkpoints of stage 2 tell where they come from, and so do the weights exported from them."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from config import ROOT, MeshConfig, MeshHeadConfig
from dataset_def import h36m_get_background
from dataset_def.h36m_get_background import BackgroundConfig
from models.encoder_decoder import UNKNOWN_STEP, build_encoder_decoder, load_encoder, load_encoder_decoder
from models.pose_from_latent import load_pose
from models.smpl import load_body
from models.SMPL_from_latent import MeshFromImage, MeshFromLatent, load_mesh, mesh_provenance
from sample import save_embeddings, train_3d_pose_from_enc
from sample.save_embeddings import EmbeddingsConfig
from sample.tools import export_weights
from sample.tools.export_weights import ExportConfig
from tests.e2e.test_stage2 import CHANGED, HEATMAPS, STAGE_1, Workplace
from utils.artifacts import load_checkpoint, save_checkpoint
from utils.settings import to_plain


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path_factory.mktemp("export"))


def test_a_pose_checkpoint_tells_the_step_of_stage_1_and_an_old_one_still_opens(place, tmp_path):
    train_3d_pose_from_enc.main(place.config("step"))
    checkpoint = load_checkpoint(place.run("step") / "checkpoint_best.pt", "pose")
    assert load_encoder_decoder(place.run("step") / "checkpoint_best.pt").step == 1 != checkpoint["step"]
    del checkpoint["states"]["model"]["_extra_state"]["stage_1_step"]
    old = tmp_path / "old.pt"
    save_checkpoint(old, "pose", checkpoint["step"], checkpoint["config"], checkpoint["states"])
    assert load_encoder_decoder(old).step == UNKNOWN_STEP
    assert load_pose(old, torch.device("cpu")).step == checkpoint["step"]


def test_exported_weights_are_half_as_large_and_predict_the_same(place, tmp_path):
    train_3d_pose_from_enc.main(place.config("shared"))
    checkpoint, small = place.run("shared") / "checkpoint_best.pt", tmp_path / "small.pt"
    export_weights.main(ExportConfig(checkpoint=checkpoint, output=small, description="a test"))
    assert small.stat().st_size < 0.6 * checkpoint.stat().st_size
    assert str(place.paths.h36m_location) not in small.with_suffix(".json").read_text()
    image = torch.rand(3, 3, 32, 32)
    poses = [load_pose(path, torch.device("cpu")).network(image) for path in (checkpoint, small)]
    assert (poses[0] - poses[1]).norm(dim=-1).max() < 0.01, "metres"
    encoder = load_encoder_decoder(small).network.eval()
    expected = load_encoder_decoder(place.encoder).network.eval()
    assert torch.allclose(encoder.encode_points(image), expected.encode_points(image), atol=1e-2)


def texts(value: object) -> list[str]:
    if isinstance(value, (dict, list)):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in texts(item)]
    return [value] if isinstance(value, str) else []


def test_exported_weights_tell_how_they_were_made_but_not_in_which_folders(place, tmp_path, monkeypatch):
    run, latents = place.paths.runs_location / "enc_dec" / "told", tmp_path / "latents.pkl"
    encoder = place.write_encoder(run / "checkpoint_best.pt", seed=0)
    start = {"command": [str(ROOT / "sample" / "train_enc_dec.py"), f"--x={run}/y", "--z", "/else/w"], "commit": "c"}
    (run / "config.json").write_text(json.dumps({"starts": [start]}))
    save_embeddings.main(EmbeddingsConfig(checkpoint=encoder, paths=place.paths, subjects=(1,), device="cpu")).rename(
        latents
    )
    monkeypatch.setattr(sys, "argv", [str(ROOT / "sample" / "train_3d_pose_from_enc.py"), "--encoder", str(encoder)])
    train_3d_pose_from_enc.main(place.config("told", encoder=encoder, mode="embeddings", embeddings=latents))
    overall = place.test("told")["overall"]
    settings = ExportConfig(
        checkpoint=place.run("told") / "checkpoint_best.pt", output=tmp_path / "small.pt", stage_1_run=run,
        metrics=(place.run("told") / "metrics.json",),
    )  # fmt: skip
    export_weights.main(settings)
    about = json.loads((tmp_path / "small.json").read_text())
    commands = [[start["command"] for start in about[stage]["starts"]] for stage in ("stage_1", "stage_2")]
    assert commands == [
        ["python sample/train_enc_dec.py --x=runs/enc_dec/told/y --z w"],
        ["python sample/train_3d_pose_from_enc.py --encoder runs/enc_dec/told/checkpoint_best.pt"],
    ]
    assert about["stage_1"]["steps"] == 1 and about["stage_1"]["starts"][0]["commit"] == "c"
    assert about["stage_2"]["steps"] == 10 and about["stage_2"]["settings"]["embeddings"] == "embeddings.pkl"
    reported = about["metrics"]["pose/told/metrics.json"]
    assert reported["metrics"]["overall"] == overall and "per_action" not in reported["metrics"]
    rooted = [text for text in texts(about) for word in re.split(r"[\s='\"]", text) if word.startswith("/")]
    assert rooted == []
    assert load_encoder_decoder(tmp_path / "small.pt").step == 1

    place.write_encoder(run / "checkpoint_best.pt", seed=1)
    with pytest.raises(ValueError, match="the encoder is not that of"):
        export_weights.main(settings)


@pytest.mark.parametrize("mode", ["scratch", "finetune"])
def test_an_exported_pose_network_with_heat_maps_finds_the_same_joints_and_draws_nothing(place, tmp_path, mode):
    h36m_get_background.main(BackgroundConfig(paths=place.paths, processes=1))
    stage_1, encoder = replace(STAGE_1, encoder=HEATMAPS.encoder), tmp_path / "stage_1.pt"
    save_checkpoint(encoder, "enc_dec", 1, to_plain(stage_1), {"model": build_encoder_decoder(stage_1).state_dict()})
    before = {"mode": mode, "encoder": encoder if mode == "finetune" else None}
    config = place.config(f"maps_{mode}", untrained=HEATMAPS, augment=CHANGED, **before)
    train_3d_pose_from_enc.main(config)
    checkpoint, small = place.run(config.name) / "checkpoint_best.pt", tmp_path / "open_pose.pt"
    export_weights.main(ExportConfig(checkpoint=checkpoint, output=small, description="a test"))
    assert small.stat().st_size < 0.6 * checkpoint.stat().st_size
    found, expected = (load_pose(path, torch.device("cpu")) for path in (small, checkpoint))
    image = torch.rand(3, 3, 32, 32)
    assert (found.network(image) - expected.network(image)).norm(dim=-1).max() < 0.01, "metres"
    assert found.reads == expected.reads and found.step == expected.step
    about = json.loads(small.with_suffix(".json").read_text())
    assert about["tier"] == found.reads.tier and about["stage_2"]["starts"]
    assert [text for text in texts(about) if text.startswith("/")] == []
    with pytest.raises(ValueError, match="what finds joints is all that it holds"):
        found.network.encoder.decoder(torch.zeros(1))


def write_mesh(path: Path, encoder: Path) -> Path:
    """An untrained mesh head behind the encoder of a file."""
    stage_1, config = load_encoder(encoder), MeshConfig(encoder=encoder, head=MeshHeadConfig(hidden=8))
    location = config.paths.models_smpl_location
    provenance = mesh_provenance(stage_1, location, load_body(location))
    head = MeshFromLatent(stage_1.config.encoder.points, config.head)
    states = {"model": MeshFromImage(stage_1.network, head, provenance).state_dict()}
    save_checkpoint(path, "mesh", 5, to_plain(config), states)
    (path.parent / "config.json").write_text(json.dumps({"starts": []}))
    return path


def test_an_exported_mesh_head_takes_its_encoder_from_the_file_beside_it(place, tmp_path):
    train_3d_pose_from_enc.main(place.config("under_a_mesh"))
    encoder, small = tmp_path / "open_weights.pt", tmp_path / "open_mesh.pt"
    trained = place.run("under_a_mesh") / "checkpoint_best.pt"
    export_weights.main(ExportConfig(checkpoint=trained, output=encoder, description="first"))
    trained = write_mesh(tmp_path / "run" / "checkpoint_best.pt", encoder)
    export_weights.main(ExportConfig(checkpoint=trained, output=small, encoder=encoder))
    assert small.stat().st_size < 0.2 * trained.stat().st_size
    cpu, image = torch.device("cpu"), torch.rand(3, 3, 32, 32)
    found, expected = (load_mesh(path, cpu) for path in (small, trained))
    for ours, theirs in zip(found.network(image), expected.network(image), strict=True):
        torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=0)
    assert found.step == 5 and found.encoder_step == 1 and found.config == expected.config

    save_looks(place.paths.runs_location / "enc_dec" / "looks", encoder)
    later = place.paths.runs_location / "enc_dec" / "looks" / "checkpoint_best.pt"
    export_weights.main(ExportConfig(checkpoint=encoder, output=encoder, appearance_of=later, description="second"))
    torch.testing.assert_close(load_mesh(small, cpu).network(image).betas, found.network(image).betas)
    assert load_encoder_decoder(encoder).config.encoder.appearance_at == "points"
    reported = json.loads(encoder.with_suffix(".json").read_text())
    assert (
        reported["geometry"]["steps"] == 1
        and reported["geometry"]["description"] == "first"
        and reported["description"] == "second"
    )
    export_weights.main(ExportConfig(checkpoint=encoder, output=encoder, appearance_of=later))
    assert json.loads(encoder.with_suffix(".json").read_text())["geometry"] == reported["geometry"]

    other = place.write_encoder(tmp_path / "other.pt", seed=3)
    encoder.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=r"open_weights.pt is another encoder than .*open_mesh.pt was trained with"):
        load_mesh(small, cpu)
    with pytest.raises(ValueError, match="was trained behind another encoder"):
        export_weights.main(ExportConfig(checkpoint=trained, output=small, encoder=other))


def save_looks(run: Path, encoder: Path) -> None:
    """An exported file with the geometry of an encoder, and appearance and decoder of its own."""
    stored = load_encoder_decoder(encoder)
    config = replace(stored.config, encoder=replace(stored.config.encoder, appearance_at="points"))
    network = build_encoder_decoder(config)
    network.backbone, network.to_points = stored.network.backbone, stored.network.to_points
    save_checkpoint(run / "checkpoint_best.pt", "enc_dec", 9, to_plain(config), {"model": network.state_dict()})
