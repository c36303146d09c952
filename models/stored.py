"""Networks as checkpoints hold them: built from the settings stored with the weights, loaded strictly."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from config import EncDecConfig, MeshConfig, Paths, PoseConfig
from models.encoder_decoder import EncoderDecoder, Refusal, build
from models.pose_from_latent import STAGE_1_STEP, PoseFromImage, PoseFromLatent
from models.prior_file import load_prior_for as load_prior_for
from models.smpl import Body, load_body
from models.SMPL_from_latent import MeshFromImage, MeshFromLatent
from utils.artifacts import file_hash, load_checkpoint, load_weights
from utils.settings import config_from_dict, to_plain

READS_APPEARANCE_AND_DRAWS = ("appearance_trunk.", "to_appearance.", "refine.", "decoder.")
"""How the names of weights begin that the geometry does not need; `refine` is of an earlier version."""
ENCODER_FILE, GEOMETRY_HASH = "encoder_file", "geometry_hash"
"""In the origin of a mesh head that was exported without its encoder: where that lies, beside it, and which it is."""
UNKNOWN_STEP = -1
"""Stage 1's step where a checkpoint of stage 2, written by an earlier version, does not tell it."""


class StoredEncoder(NamedTuple):
    """Stage 1's network and its settings."""

    network: EncoderDecoder
    """Its decoder is a `Refusal` where the file holds none that this version has."""
    config: EncDecConfig
    step: int
    """Stage 1's, also when read from a checkpoint of stage 2; UNKNOWN_STEP if that does not tell it."""


class StoredPose(NamedTuple):
    """Stage 2's network, in evaluation and without gradients, with the settings of both stages."""

    network: PoseFromImage
    encoder_config: EncDecConfig
    config: PoseConfig
    step: int


class StoredMesh(NamedTuple):
    """Stage 4's network, in evaluation and without gradients, with the settings of both stages and its body."""

    network: MeshFromImage
    config: EncDecConfig
    mesh_config: MeshConfig
    step: int
    encoder_step: int
    body_hash: str
    """Of the body file that the network was trained with; its shape numbers mean nothing on another."""
    num_vertices: int


def settings_of_encoder(stored: dict[str, Any]) -> tuple[EncDecConfig, bool]:
    """Read stage 1's settings, and say whether this version has their decoder.

    One earlier version could draw with features of each point, at twice the resolution and against a discriminator
    (tests/benchmarks/LOG.md).  What it stored about the training is left out; what it stored about another decoder
    takes this version's values, and is then no description of the weights.
    """
    ours = {name: dict(part) if isinstance(part, dict) else part for name, part in stored.items() if name != "train"}
    encoder, decoder, loss = (ours.get(name, {}) for name in ("encoder", "decoder", "loss"))
    is_another = [bool(decoder.pop(name, False)) for name in ("fine", "refine", "point_features")]
    if encoder.get("appearance_at") == "each_point":
        encoder["appearance_at"] = "points"
        is_another.append(True)
    for name in ("adversarial", "critic_lr"):
        loss.pop(name, None)
    return config_from_dict(EncDecConfig, ours), not any(is_another)


def encoder_for(
    settings: dict[str, Any], weights: dict[str, Any], path: Path, prefix: str = ""
) -> tuple[EncoderDecoder, EncDecConfig, dict[str, Any]]:
    """Build stage 1's network for stored weights; give it with its settings and the weights that are to be loaded.

    Where the file holds no decoder that this version has, the network reads the geometry and refuses to draw.

    Args:
        prefix: how the names of the encoder's weights begin.
    """
    config, is_known = settings_of_encoder(settings)
    network = build(config)
    if is_known and any(name.startswith(f"{prefix}decoder.") for name in weights):
        return network, config, weights
    network.keep_only_geometry(
        f"{path} holds no decoder that this version can draw with (the option for crisp people is gone); geometry and "
        "heads are read, but to draw give models/assets/open_weights.pt, which has the same geometry as the committed "
        "file of that version, or train stage 1 anew"
    )
    other = tuple(prefix + name for name in READS_APPEARANCE_AND_DRAWS)
    return network, config, {name: value for name, value in weights.items() if not name.startswith(other)}


def load_encoder_decoder(path: Path) -> StoredEncoder:
    """Rebuild stage 1's network, on the CPU and ready to train; see `load_encoder`.

    Raises:
        ValueError: the file holds no decoder that this version has.
    """
    stored = load_encoder(path)
    if isinstance(stored.network.decoder, Refusal):
        raise ValueError(stored.network.decoder.reason)
    return stored


def load_encoder(path: Path) -> StoredEncoder:
    """Rebuild stage 1's network for those who need its geometry; where it can, it draws too.

    Args:
        path: a checkpoint of stage 1, or one of stage 2 whose encoder stayed frozen, as models/assets holds.
    """
    checkpoint = load_checkpoint(path, "enc_dec", "pose")
    weights, settings, step = checkpoint["states"]["model"], checkpoint["config"], checkpoint["step"]
    if checkpoint["stage"] == "pose":
        if settings["mode"] not in ("frozen", "embeddings"):
            raise ValueError(f"{path} was trained with mode {settings['mode']}, which moves the encoder away from its "
                             "decoder; give the checkpoint of stage 1")  # fmt: skip
        settings, step = encoder_origin(weights)
        weights = {name.removeprefix("encoder."): w for name, w in weights.items() if name.startswith("encoder.")}
    network, config, weights = encoder_for(settings, weights, path)
    load_weights(network, weights, path)
    return StoredEncoder(network, config, step)


def load_pose(path: Path, device: torch.device) -> StoredPose:
    """Rebuild encoder and pose head from stage 2's checkpoint alone."""
    checkpoint = load_checkpoint(path, "pose")
    weights = checkpoint["states"]["model"]
    config = config_from_dict(PoseConfig, checkpoint["config"])
    encoder, encoder_config, weights = encoder_for(encoder_origin(weights)[0], weights, path, "encoder.")
    head = PoseFromLatent(encoder_config.encoder.points, config.head)
    network = PoseFromImage(encoder, head, is_encoder_frozen=True, encoder_settings={})
    load_weights(network, weights, path)
    network.to(device).eval().requires_grad_(False)
    return StoredPose(network, encoder_config, config, checkpoint["step"])


def mesh_origin(stage_1: StoredEncoder, config: MeshConfig, body: Body) -> dict[str, Any]:
    """Say what a mesh network is made from: stage 1's settings and step, and the body; plain types only."""
    return {
        "encoder": to_plain(stage_1.config),
        STAGE_1_STEP: stage_1.step,
        "body_hash": file_hash(config.paths.models_smpl_location),
        "num_vertices": len(body.template_m),
    }


def load_mesh(path: Path, device: torch.device) -> StoredMesh:
    """Rebuild encoder and mesh head from stage 4's checkpoint; `load_body_of` gives the body they belong to.

    A head that was exported alone takes its encoder from the file beside it that it names.
    """
    checkpoint = load_checkpoint(path, "mesh")
    weights = checkpoint["states"]["model"]
    origin = weights["_extra_state"]
    if ENCODER_FILE in origin:
        weights = weights | encoder_beside(path, origin)
    mesh_config = config_from_dict(MeshConfig, checkpoint["config"])
    encoder, encoder_config, weights = encoder_for(origin["encoder"], weights, path, "encoder.")
    head = MeshFromLatent(encoder_config.encoder.points, mesh_config.head)
    network = MeshFromImage(encoder, head, origin)
    load_weights(network, weights, path)
    network.to(device).eval().requires_grad_(False)
    return StoredMesh(network, encoder_config, mesh_config, checkpoint["step"], origin[STAGE_1_STEP],
                      origin["body_hash"], origin["num_vertices"])  # fmt: skip


def hash_of_geometry(weights: Mapping[str, Any]) -> str:
    """Name the weights that a head behind the encoder depends on: those that read the 3D points, in half precision."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        if name.startswith(("trunk.", "to_points.")) and value.is_floating_point():
            digest.update(name.encode() + value.half().cpu().numpy().tobytes())
    return digest.hexdigest()


def geometry_hash(encoder: EncoderDecoder) -> str:
    """Name the geometry of an encoder, see `hash_of_geometry`."""
    return hash_of_geometry(encoder.state_dict())


def encoder_beside(path: Path, origin: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Read the encoder's weights from the file that an exported head names, and put its settings into the origin.

    Raises:
        ValueError: the file holds another encoder than the head was trained with.
    """
    beside = path.parent / origin[ENCODER_FILE]
    stage_1 = load_encoder(beside)
    if geometry_hash(stage_1.network) != origin[GEOMETRY_HASH]:
        raise ValueError(f"{beside} is another encoder than {path} was trained with; take both files from one version "
                         "of this program, or train the head again")  # fmt: skip
    origin["encoder"], origin[STAGE_1_STEP] = to_plain(stage_1.config), stage_1.step
    return {f"encoder.{name}": value for name, value in stage_1.network.state_dict().items()}


def load_body_of(stored: StoredMesh, checkpoint: Path, paths: Paths) -> Body:
    """Read the body file of the settings, and refuse another than the mesh network was trained with.

    Args:
        checkpoint: where `stored` was read from, for the message.
    """
    location = paths.models_smpl_location
    body = load_body(location, h36m_regressor=paths.h36m_regressor_location)
    remedy = "give the body file it was trained with as --paths.models-smpl-location, or train again with this one"
    if len(body.template_m) != stored.num_vertices:
        raise ValueError(f"{location} has {len(body.template_m)} vertices, but {checkpoint} was trained with a body of "
                         f"{stored.num_vertices}; {remedy}")  # fmt: skip
    found = file_hash(location)
    if found != stored.body_hash:
        raise ValueError(f"{location} is another body (hash {found[:8]}) than {checkpoint} was trained with (hash "
                         f"{stored.body_hash[:8]}); {remedy}")  # fmt: skip
    return body


def encoder_origin(weights: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Take stage 1's settings and step from the weights of stage 2."""
    settings = dict(weights["_extra_state"])
    step = settings.pop(STAGE_1_STEP, UNKNOWN_STEP)
    return settings, step
