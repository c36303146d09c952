"""Networks as checkpoints hold them: built from the settings stored with the weights, loaded strictly."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from config import EncDecConfig, PoseConfig
from models.encoder_decoder import EncoderDecoder, build
from models.pose_from_latent import STAGE_1_STEP, PoseFromImage, PoseFromLatent
from utils.artifacts import load_checkpoint
from utils.settings import config_from_dict

UNKNOWN_STEP = -1
"""Stage 1's step where a checkpoint of stage 2, written by an earlier version, does not tell it."""


class StoredEncoder(NamedTuple):
    """Stage 1's network and its settings."""

    network: EncoderDecoder
    config: EncDecConfig
    step: int
    """Stage 1's, also when read from a checkpoint of stage 2; UNKNOWN_STEP if that does not tell it."""


class StoredPose(NamedTuple):
    """Stage 2's network, in evaluation and without gradients, with the settings of both stages."""

    network: PoseFromImage
    encoder_config: EncDecConfig
    config: PoseConfig
    step: int


def load_encoder_decoder(path: Path) -> StoredEncoder:
    """Rebuild stage 1's network, on the CPU and ready to train.

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
    config = config_from_dict(EncDecConfig, settings)
    network = build(config)
    load_weights(network, weights, path)
    return StoredEncoder(network, config, step)


def load_pose(path: Path, device: torch.device) -> StoredPose:
    """Rebuild encoder and pose head from stage 2's checkpoint alone."""
    checkpoint = load_checkpoint(path, "pose")
    weights = checkpoint["states"]["model"]
    config = config_from_dict(PoseConfig, checkpoint["config"])
    encoder_config = config_from_dict(EncDecConfig, encoder_origin(weights)[0])
    head = PoseFromLatent(encoder_config.encoder.points, config.head)
    network = PoseFromImage(build(encoder_config), head, is_encoder_frozen=True, encoder_settings={})
    load_weights(network, weights, path)
    network.to(device).eval().requires_grad_(False)
    return StoredPose(network, encoder_config, config, checkpoint["step"])


def encoder_origin(weights: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Take stage 1's settings and step from the weights of stage 2."""
    settings = dict(weights["_extra_state"])
    step = settings.pop(STAGE_1_STEP, UNKNOWN_STEP)
    return settings, step


def load_weights(network: torch.nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Put stored weights into a network that must have exactly these."""
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network its settings describe; it comes from another version of "
                         f"this program ({str(error).splitlines()[1].strip()[:200]})") from error  # fmt: skip
