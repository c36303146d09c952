"""A checkpoint of stage 4 whose network is small and untrained: everything after it can be tried in seconds."""

from pathlib import Path

import torch

from config import DecoderConfig, EncDecConfig, EncoderConfig, MeshConfig, MeshHeadConfig, MeshLoss
from models.encoder_decoder import StoredEncoder, build_encoder_decoder
from models.smpl import load_body
from models.SMPL_from_latent import MeshFromImage, MeshFromLatent, mesh_provenance
from utils.artifacts import save_checkpoint
from utils.settings import to_plain
from utils.tiers import of_stage_1


def write_untrained_mesh(path: Path, seed: int = 0) -> Path:
    """Write the checkpoint and return its path; the body is the embedded one."""
    torch.manual_seed(seed)
    encoder_config = EncDecConfig(
        encoder=EncoderConfig(width=4, points=10, appearance=8), decoder=DecoderConfig(width=4)
    )
    mesh_config = MeshConfig(encoder=Path("none.pt"), head=MeshHeadConfig(hidden=16), loss=MeshLoss(prior=0.0))
    stage_1 = StoredEncoder(build_encoder_decoder(encoder_config), encoder_config, 1, of_stage_1(encoder_config))
    location = mesh_config.paths.models_smpl_location
    provenance = mesh_provenance(stage_1, location, load_body(location))
    network = MeshFromImage(
        stage_1.network, MeshFromLatent(encoder_config.encoder.points, mesh_config.head), provenance
    )
    save_checkpoint(path, "mesh", 1, to_plain(mesh_config), {"model": network.state_dict()})
    return path
