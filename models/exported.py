"""What is shared of a trained network: small weights, and its settings without the folders of one machine."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from config import ExportConfig
from models.encoder_decoder import (
    STAGE_1_STEP,
    UNKNOWN_STEP,
    StoredEncoder,
    encoder_origin,
    geometry_hash,
    hash_of_geometry,
    load_encoder,
    load_encoder_decoder,
)
from models.SMPL_from_latent import ENCODER_FILE, GEOMETRY_HASH
from utils.artifacts import load_checkpoint
from utils.settings import to_plain, without_folders
from utils.small_weights import packed


class Parts(NamedTuple):
    """What an exported file holds, and what the text beside it tells about stage 1."""

    weights: dict[str, Any]
    settings: dict[str, Any]
    stage_1: dict[str, Any]


def require_same_encoder(stage_1: StoredEncoder, run: Path) -> int:
    """Refuse a run of stage 1 that made another encoder; return its step."""
    best = load_encoder(run / "checkpoint_best.pt")
    weights = best.network.state_dict()
    if not all(torch.equal(value, weights[name]) for name, value in stage_1.network.state_dict().items()):
        raise ValueError(f"the encoder is not that of {run}/checkpoint_best.pt; give the --stage-1-run that made it")
    return best.step


def settled(settings: dict[str, Any], **names: str | None) -> dict[str, Any]:
    """Leave out where files lay: it says nothing to others, and empty paths take the defaults of whoever reads them."""
    return without_folders(settings | {"paths": {}}) | names


def with_looks_of(path: Path, weights: dict[str, Any], stage_1: StoredEncoder) -> dict[str, Any]:
    """Put appearance and decoder of another file into the weights of stage 2; the geometry must be the same."""
    other = load_encoder_decoder(path)
    if geometry_hash(other.network) != geometry_hash(stage_1.network):
        raise ValueError(f"{path} reads the geometry with other weights than the checkpoint, so its decoder does not "
                         "fit; give a file with the same geometry, or leave out --looks-of")  # fmt: skip
    head = {name: value for name, value in weights.items() if name.startswith("head.")}
    encoder = {f"encoder.{name}": value for name, value in other.network.state_dict().items()}
    return head | encoder | {"_extra_state": to_plain(other.config) | {STAGE_1_STEP: other.step}}


def pose_parts(config: ExportConfig, starts: list[dict[str, Any]] | None) -> Parts:
    """Give encoder, decoder and pose head, and what is told about stage 1; `starts` are those of its run."""
    checkpoint = load_checkpoint(config.checkpoint, "pose")
    stage_1 = load_encoder(config.checkpoint)  # refuses a checkpoint whose encoder moved
    weights, run = checkpoint["states"]["model"], config.stage_1_run
    if config.looks_of is not None:
        weights = with_looks_of(config.looks_of, weights, stage_1)
        stage_1 = load_encoder_decoder(config.looks_of)
    step = stage_1.step if run is None else require_same_encoder(stage_1, run)
    weights = packed(weights)
    origin = settled(encoder_origin(weights)[0])
    weights["_extra_state"] = origin | ({} if step == UNKNOWN_STEP else {STAGE_1_STEP: step})
    plain = checkpoint["config"]
    settings = settled(plain, encoder="stage_1.pt", embeddings=plain["embeddings"] and "embeddings.pkl")
    return Parts(weights, settings, {"steps": step, "starts": starts, "settings": origin})


def mesh_parts(config: ExportConfig) -> Parts:
    """Give the weights of stage 4's head alone, its settings, and the file with its encoder."""
    checkpoint = load_checkpoint(config.checkpoint, "mesh")
    stage_1, weights = load_encoder(config.encoder), checkpoint["states"]["model"]
    trained = {name.removeprefix("encoder."): w for name, w in weights.items() if name.startswith("encoder.")}
    found = geometry_hash(stage_1.network)
    if hash_of_geometry(trained) != found:
        raise ValueError(f"{config.checkpoint} was trained behind another encoder than {config.encoder}; train it with "
                         f"--encoder {config.encoder}")  # fmt: skip
    head = packed({name: w for name, w in weights.items() if name.startswith("head.")})
    origin = {name: weights["_extra_state"][name] for name in ("body_hash", "num_vertices")}
    head["_extra_state"] = origin | {ENCODER_FILE: config.encoder.name, GEOMETRY_HASH: found}
    prior = checkpoint["config"]["prior"] and "open_prior.pt"
    settings = settled(checkpoint["config"], encoder=config.encoder.name, prior=prior)
    return Parts(head, settings, {"file": config.encoder.name})


def prior_parts(config: ExportConfig) -> Parts:
    """Give the weights of stage 3 and its settings."""
    checkpoint = load_checkpoint(config.checkpoint, "gan")
    return Parts(packed(checkpoint["states"]["model"]), settled(checkpoint["config"]), {})
