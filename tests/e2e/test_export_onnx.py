"""Encoder and heads as one .onnx, by the script, from small untrained checkpoints."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, MeshHeadConfig, PoseConfig, PoseHeadConfig
from models.encoder_decoder import build_encoder_decoder
from models.pose_from_latent import PoseFromImage, PoseFromLatent
from models.pose_from_maps import PoseFromMaps
from models.SMPL_from_latent import MeshFromLatent, StoredMesh, load_mesh
from sample.tools import export_onnx
from sample.tools.export_onnx import ImageToBody, OnnxConfig, write_onnx
from tests.helpers.untrained_mesh import write_untrained_mesh
from utils.artifacts import save_checkpoint
from utils.settings import to_plain
from utils.skeleton import H36M_17_PARENTS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return write_untrained_mesh(tmp_path_factory.mktemp("onnx") / "mesh.pt")


def need_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f'{name} is not installed (pip install -e ".[onnx]")')


def write_pose_behind(stored: StoredMesh, path: Path) -> Path:
    """Write a checkpoint of stage 2 with the same encoder."""
    config = PoseConfig(encoder=Path("none.pt"), head=PoseHeadConfig(hidden=16))
    head = PoseFromLatent(stored.config.encoder.points, config.head)
    network = PoseFromImage(stored.network.encoder, head, True, to_plain(stored.config), 1)
    save_checkpoint(path, "pose", 1, to_plain(config), {"model": network.state_dict()})
    return path


def test_both_heads_behind_one_encoder_make_one_file(mesh, tmp_path, capsys):
    need_packages()
    import onnx

    pose = write_pose_behind(load_mesh(mesh, CPU), tmp_path / "pose.pt")
    settings = OnnxConfig(pose=pose, mesh=mesh, output=tmp_path / "out" / "body.onnx", repeats=2)
    differences = export_onnx.main(settings)
    assert list(differences) == ["joints_root_m", "rotations_crop", "betas"] and max(differences.values()) < 1e-4
    model = onnx.load(settings.output)
    assert [one.name for one in model.graph.input] == ["image"]
    assert [one.name for one in model.graph.output] == list(differences)
    about = {one.key: one.value for one in model.metadata_props}
    assert "64 x 64 pixels: 2.3 m" in about["image"] and len(about["pose_checkpoint_sha256"]) == 64
    printed = capsys.readouterr().out
    assert "1 thread(s), median of 2" in printed and "onnxruntime" in printed and "PyTorch" in printed
    assert [path.name for path in settings.output.parent.iterdir()] == ["body.onnx"]


def test_joints_found_by_heat_maps_agree_too(tmp_path):
    need_packages()
    torch.manual_seed(0)
    encoder = EncoderConfig(kind="heatmaps", width=8, points=4)
    settings = EncDecConfig(crop=Crop(size_px=32), encoder=encoder, decoder=DecoderConfig(width=8))
    network = build_encoder_decoder(settings)
    backbone = network.backbone
    head = PoseFromMaps(backbone.channels, backbone.coarse_size, H36M_17_PARENTS, settings.crop.side_m, hidden=8)
    both = ImageToBody(network, head, None).eval()
    _, differences = write_onnx(tmp_path / "a.onnx", both, 32, both.outputs, {}, 1e-4)
    assert list(differences) == ["joints_root_m"] and differences["joints_root_m"] < 1e-4


@pytest.mark.parametrize("kind", ["parent", "seed"])
def test_the_other_kinds_of_mesh_head_agree_too(tmp_path, kind):
    need_packages()

    class Only(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = MeshFromLatent(16, MeshHeadConfig(kind=kind, hidden=8))

        def forward(self, image):
            return tuple(self.head(4 * image.flatten(1).unflatten(1, (16, -1))[:, :, :3]))

    network = Only().eval()
    torch.nn.init.normal_(network.head.last.weight)
    _, differences = write_onnx(tmp_path / "a.onnx", network, 16, ("rotations_crop", "betas"), {}, 1e-4)
    assert max(differences.values()) < 1e-4


def test_heads_of_different_encoders_are_refused_and_nothing_is_written(mesh, tmp_path):
    need_packages()
    other = write_untrained_mesh(tmp_path / "other.pt", seed=1)
    pose = write_pose_behind(load_mesh(other, CPU), tmp_path / "pose.pt")
    settings = OnnxConfig(pose=pose, mesh=mesh, output=tmp_path / "body.onnx")
    with pytest.raises(ValueError, match="different encoders"):
        export_onnx.main(settings)
    with pytest.raises(ValueError, match="more than tolerance"):
        export_onnx.main(replace(settings, pose=None, tolerance=0.0))
    assert not settings.output.exists()


def test_settings_without_a_checkpoint_are_refused():
    with pytest.raises(ValueError, match="give --pose, --mesh, or both"):
        OnnxConfig()
    with pytest.raises(ValueError, match="threads is 0"):
        OnnxConfig(pose=Path("a"), threads=0)
