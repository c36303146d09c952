"""Files of the version that drew crisp people: geometry and heads are read, drawing is refused in one sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from config import EncDecConfig, Loop, Optim
from models.encoder_decoder import Refusal, geometry_hash, load_encoder, load_encoder_decoder
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import load_mesh
from sample import save_embeddings, train_3d_pose_from_enc, train_enc_dec
from sample import test_enc_dec as enc_dec_test
from sample.save_embeddings import EmbeddingsConfig
from sample.test_enc_dec import TestEncDecConfig as EncDecTestConfig
from sample.tools import export_weights
from sample.tools.export_weights import ExportConfig
from tests.e2e.test_export import write_mesh
from tests.e2e.test_stage2 import STAGE_1, Workplace
from utils.artifacts import load_checkpoint, save_checkpoint
from utils.settings import check_same_settings, to_plain
from utils.small_weights import packed

CPU = torch.device("cpu")
REFUSAL = (
    r"^[^.]*\.pt holds no decoder that this version can draw with \(the option for crisp people is gone\); geometry "
    r"and heads are read, but to draw give models/assets/open_weights.pt, which has the same geometry as the committed "
    r"file of that version, or train stage 1 anew$"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def plain(place, tmp_path_factory) -> Path:
    """Weights of stage 2 as this version exports them."""
    train_3d_pose_from_enc.main(place.config("plain"))
    path = tmp_path_factory.mktemp("plain") / "open_weights.pt"
    export_weights.main(ExportConfig(checkpoint=place.run("plain") / "checkpoint_best.pt", output=path))
    return path


def as_that_version_told(settings: dict[str, Any], is_crisp: bool) -> dict[str, Any]:
    """Stage 1's settings with those that only that version had."""
    encoder = settings["encoder"] | ({"appearance_at": "each_point", "appearance": 16} if is_crisp else {})
    decoder = settings["decoder"] | {"fine": is_crisp, "refine": 8 * is_crisp, "point_features": 4 * is_crisp}
    loss = settings["loss"] | {"adversarial": 0.05, "critic_lr": 2e-4}
    return settings | {"train": "looks", "encoder": encoder, "decoder": decoder, "loss": loss}


@pytest.fixture(scope="module")
def crisp(plain, tmp_path_factory) -> Path:
    """The same geometry and head, exported by that version: it drew with tables that this version does not know."""
    checkpoint = load_checkpoint(plain, "pose")
    weights = {
        name: value
        for name, value in checkpoint["states"]["model"].items()
        if not name.startswith(("encoder.appearance_backbone.", "encoder.to_appearance."))
    }
    weights["encoder.decoder.out.weight"] = torch.rand(4, 8, 3, 3)
    for name in (
        "appearance_backbone.own",
        "appearance_backbone.gazes.0.tell.weight",
        "refine.move.weight",
        "decoder.fine.halved.0.weight",
    ):
        weights[f"encoder.{name}"] = torch.rand(70, 70)
    weights["_extra_state"] = as_that_version_told(weights["_extra_state"], is_crisp=True)
    path = tmp_path_factory.mktemp("crisp") / "open_weights.pt"
    save_checkpoint(path, "pose", checkpoint["step"], checkpoint["config"], {"model": packed(weights)})
    path.with_suffix(".json").write_text(plain.with_suffix(".json").read_text())
    return path


def test_its_geometry_and_its_head_are_read(crisp, plain):
    image = torch.rand(3, 3, 32, 32)
    before, after = load_encoder(plain), load_encoder(crisp)
    assert isinstance(after.network.decoder, Refusal) and not isinstance(before.network.decoder, Refusal)
    assert geometry_hash(after.network) == geometry_hash(before.network) and after.step == before.step
    assert after.config.crop == before.config.crop
    poses = [load_pose(path, CPU).network(image) for path in (plain, crisp)]
    assert torch.equal(*poses)


def test_heads_are_trained_behind_it_and_read_again(crisp, place, tmp_path):
    train_3d_pose_from_enc.main(place.config("behind", encoder=crisp))
    later = place.run("behind") / "checkpoint_best.pt"
    image = torch.rand(2, 3, 32, 32)
    expected = load_encoder(crisp).network.eval().encode_points(image)
    for path in (later, write_mesh(tmp_path / "checkpoint_best.pt", later)):
        load = load_pose if path == later else load_mesh
        torch.testing.assert_close(load(path, CPU).network.encoder.encode_points(image), expected)
    assert place.test("behind")["overall"]["mpjpe_17_mm"]["mean"] > 0
    with pytest.raises(ValueError, match=REFUSAL):
        load_encoder_decoder(later)


def test_an_exported_mesh_head_finds_it_beside(crisp, tmp_path):
    trained = write_mesh(tmp_path / "run" / "checkpoint_best.pt", crisp)
    small = crisp.with_name("open_mesh.pt")
    export_weights.main(ExportConfig(checkpoint=trained, output=small, encoder=crisp))
    image = torch.rand(2, 3, 32, 32)
    for ours, theirs in zip(load_mesh(small, CPU).network(image), load_mesh(trained, CPU).network(image), strict=True):
        torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=0)


DRAWERS: dict[str, Callable[[Path, Workplace, Path], Any]] = {
    "test": lambda path, place, out: enc_dec_test.main(
        EncDecTestConfig(checkpoint=path, paths=place.paths, subjects=(9,), device="cpu", out=out)
    ),
    "training": lambda path, place, out: train_enc_dec.begin_with(path, EncDecConfig()),
    "latents": lambda path, place, out: save_embeddings.main(
        EmbeddingsConfig(checkpoint=path, paths=place.paths, subjects=(1,), device="cpu")
    ),
    "export": lambda path, place, out: export_weights.main(
        ExportConfig(checkpoint=path, appearance_of=path, output=out / "small.pt")
    ),
}


@pytest.mark.parametrize("what", DRAWERS)
def test_drawing_is_refused_in_one_sentence_before_anything_is_written(crisp, place, tmp_path, what):
    before = sorted(crisp.parent.iterdir())
    with pytest.raises(ValueError, match=REFUSAL):
        DRAWERS[what](crisp, place, tmp_path)
    assert list(tmp_path.iterdir()) == [] and sorted(crisp.parent.iterdir()) == before


def test_its_drawing_part_is_replaced_by_that_of_a_file_with_the_same_geometry(crisp, plain, tmp_path):
    export_weights.main(ExportConfig(checkpoint=crisp, appearance_of=plain, output=tmp_path / "small.pt"))
    found, expected = (load_checkpoint(path, "pose")["states"]["model"] for path in (tmp_path / "small.pt", plain))
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items() if torch.is_tensor(value))


def test_the_same_decoder_draws_on_whatever_that_version_told_about_its_training(place, tmp_path):
    checkpoint, old = load_checkpoint(place.encoder, "enc_dec"), tmp_path / "old.pt"
    reported = as_that_version_told(to_plain(STAGE_1), is_crisp=False)
    save_checkpoint(old, "enc_dec", 1, reported, checkpoint["states"])
    found, expected = load_encoder_decoder(old), load_encoder_decoder(place.encoder)
    assert found.config == expected.config == STAGE_1
    weights = found.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in expected.network.state_dict().items())


def test_a_run_of_that_version_goes_on_unless_its_settings_changed_something():
    config = replace(STAGE_1, optim=Optim(steps=5), loop=Loop(workers=0))
    reported = as_that_version_told(to_plain(config), is_crisp=False)
    plain = reported | {"train": "all", "loss": reported["loss"] | {"adversarial": 0.0}}
    check_same_settings(to_plain(config), plain)
    for other, name in (
        (plain | {"train": "looks"}, "train"),
        (plain | {"loss": reported["loss"]}, "loss.adversarial"),
    ):
        with pytest.raises(ValueError, match=rf"--{name} is None, but the run was started with"):
            check_same_settings(to_plain(config), other)
