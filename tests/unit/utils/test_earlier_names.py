"""Files and commands of earlier versions: weights and settings that had another name."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from config import ASSETS, ROOT, DiscriminatorLoss, MeshConfig, MeshLoss
from dataset_def.convert_labels_h5 import ConvertLabelsConfig
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.official.settings import ConvertConfig
from models.encoder_decoder import load_encoder_decoder
from models.GAN import load_gan
from models.masks_fit import MasksFitLoss
from models.SMPL_from_latent import load_mesh
from sample.tools import upgrade_checkpoint as tool
from sample.tools.export_weights import ExportConfig
from utils.artifacts import (
    CHECKPOINT_FORMAT,
    RENAMED_WEIGHTS,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    upgrade_checkpoint,
    upgraded,
)
from utils.settings import RENAMED, config_from_dict, parse, to_plain

FILES = ("open_weights", "open_prior", "open_mesh")
FORMAT_1 = json.loads((ROOT / "tests" / "golden" / "format_1.json").read_text())
"""Stage, names of weights in order, and settings of the three committed files, as format 1 had them."""
KINDS = (
    MeshLoss,
    MasksFitLoss,
    DiscriminatorLoss,
    ImportMultiviewConfig,
    ConvertConfig,
    ConvertLabelsConfig,
    ExportConfig,
)
ORIGINAL = {new: old for old, new in RENAMED_WEIGHTS.items()}


def in_format_1(name: str, folder: Path) -> Path:
    """Write a committed file as it was in format 1: the stored names and settings over today's numbers."""
    path, then = folder / f"{name}.pt", FORMAT_1[name]
    content: Any = torch.load(ASSETS / f"{name}.pt", map_location="cpu", weights_only=True)
    by_old_name = {
        ".".join(ORIGINAL.get(part, part) for part in key.split(".")): value
        for key, value in content["states"]["model"].items()
    }
    assert set(by_old_name) == set(then["weights"]), "every name of format 1 has one name today"
    weights = {key: by_old_name[key] for key in then["weights"]}
    torch.save(content | {"format": 1, "states": {"model": weights}, "config": then["config"]}, path)
    return path


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("format_1")
    for name in FILES:
        in_format_1(name, folder)
    return folder


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Compare two state_dicts bit for bit."""
    pairs = [(ours[name], theirs.get(name)) for name in ours]
    return ours.keys() == theirs.keys() and all(torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in pairs)


@pytest.mark.parametrize("name", FILES)
def test_the_committed_files_of_format_1_are_read_as_todays(name: str, earlier: Path):
    stage = FORMAT_1[name]["stage"]
    then, now = load_checkpoint(earlier / f"{name}.pt", stage), load_checkpoint(ASSETS / f"{name}.pt", stage)
    assert then["format"] == now["format"] == CHECKPOINT_FORMAT
    assert same(now["states"]["model"], then["states"]["model"])
    assert then["config"] == now["config"]


def test_networks_of_format_1_are_built_and_a_head_finds_its_encoder(earlier: Path):
    ours = load_encoder_decoder(ASSETS / "open_weights.pt").network.state_dict()
    assert same(ours, load_encoder_decoder(earlier / "open_weights.pt").network.state_dict())
    cpu = torch.device("cpu")
    mesh, today = load_mesh(earlier / "open_mesh.pt", cpu), load_mesh(ASSETS / "open_mesh.pt", cpu)
    assert same(today.network.state_dict(), mesh.network.state_dict()) and mesh.mesh_config == today.mesh_config
    assert mesh.mesh_config.loss.mesh_to_mask == FORMAT_1["open_mesh"]["config"]["loss"]["outside"]
    prior = load_gan(earlier / "open_prior.pt", ASSETS / "open_body.npz")
    assert prior.config.loss.generated == FORMAT_1["open_prior"]["config"]["loss"]["invented"]


def test_an_upgraded_file_keeps_its_stored_numbers_and_is_left_alone_the_second_time(earlier: Path, tmp_path: Path):
    path = Path(shutil.copy(earlier / "open_mesh.pt", tmp_path))
    before = read_checkpoint(path, "mesh")
    assert upgrade_checkpoint(path)
    after = read_checkpoint(path, "mesh")
    assert (after["format"], after["step"]) == (CHECKPOINT_FORMAT, before["step"])
    packed = [name for name, value in before["states"]["model"].items() if isinstance(value, dict) and "rows" in value]
    assert packed, "shared files hold packed tables, which must not be unpacked"
    for name in packed:
        assert same(before["states"]["model"][name], after["states"]["model"][name])
    first = path.read_bytes()
    assert not upgrade_checkpoint(path) and path.read_bytes() == first


def test_the_tool_upgrades_files_and_what_is_told_about_them(earlier: Path, tmp_path: Path):
    for name in FILES:
        shutil.copy(earlier / f"{name}.pt", tmp_path)
    told = {"about": "a mesh", "stage_4": {"steps": 1, "settings": FORMAT_1["open_mesh"]["config"]}}
    (tmp_path / "open_mesh.json").write_text(json.dumps(told))
    paths = tuple(tmp_path / f"{name}.pt" for name in FILES)
    assert tool.main(tool.UpgradeConfig(checkpoints=paths)) == 3
    described = json.loads((tmp_path / "open_mesh.json").read_text())
    assert described["description"] == "a mesh" and "about" not in described
    assert described["stage_4"]["settings"]["loss"]["soft_iou"] == 0.03
    assert described["resaved"]["format"] == CHECKPOINT_FORMAT and len(described["resaved"]["sha256_before"]) == 64
    assert tool.main(tool.UpgradeConfig(checkpoints=paths)) == 0
    load_mesh(tmp_path / "open_mesh.pt", torch.device("cpu"))


def test_a_run_of_format_1_goes_on_with_its_best_value_and_settings(tmp_path: Path):
    config = to_plain(MeshConfig(encoder=Path("a.pt")))
    loss = config["loss"]
    for old, new in RENAMED["MeshLoss"].items():
        loss[old] = loss.pop(new)
    path = tmp_path / "checkpoint_last.pt"
    save_checkpoint(path, "mesh", 7, config, {}, {"best": 1.5, "looks_without_gain": 3})
    content = torch.load(path, weights_only=True)
    torch.save(content | {"format": 1}, path)
    found = load_checkpoint(path, "mesh")
    assert found["progress"] == {"best": 1.5, "evals_since_best": 3}
    assert config_from_dict(MeshConfig, found["config"]) == MeshConfig(encoder=Path("a.pt"))
    assert upgraded(found) is found


def test_every_earlier_name_leads_to_a_setting():
    kinds = {kind.__name__: kind for kind in KINDS}
    assert kinds.keys() == RENAMED.keys()
    for name, kind in kinds.items():
        settings = set(kind.__dataclass_fields__)
        assert settings >= set(RENAMED[name].values()) and not settings & set(RENAMED[name]), name


@pytest.mark.parametrize("words", [["--loss.overlap", "0.1"], ["--loss.overlap=0.1"]])
def test_an_earlier_flag_is_refused_with_todays(words: list[str]):
    with pytest.raises(ValueError, match=r"^--loss\.overlap is called --loss\.soft-iou now; use that name$"):
        parse(MeshConfig, ["--encoder", "a.pt", *words])
    with pytest.raises(ValueError, match=r"^--about-location is called --report-location now"):
        parse(ConvertConfig, ["--official", "a", "--about_location", "b"])
