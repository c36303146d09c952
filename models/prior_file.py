"""The prior as stage 3's checkpoint holds it, for the stages that use it."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from config import GanConfig
from models.GAN import AnyCritic, Generator, make_critic
from models.smpl import load_body
from utils.artifacts import Checkpoint, file_hash, load_checkpoint, load_weights
from utils.settings import config_from_dict
from utils.skeleton import SMPL_24

RETRAIN = "train one for this body: python sample/train_GAN.py --paths.models-smpl-location"


class StoredGan(NamedTuple):
    """Stage 3's networks, in evaluation and without gradients, with their settings."""

    critic: AnyCritic
    invent: Generator | None
    """Nothing where the file holds the prior only."""
    config: GanConfig
    step: int


def prior_origin(body_location: Path, num_betas: int) -> dict[str, Any]:
    """Say what a prior is made for: joints and body; plain types only."""
    return {"joints": list(SMPL_24), "num_betas": num_betas, "body_hash": file_hash(body_location)}


def check_origin(path: Path, origin: dict[str, Any], body_location: Path) -> None:
    """Refuse a prior of another skeleton or body.

    Raises:
        ValueError: naming the difference and the remedy.
    """
    joints = origin["joints"]
    if len(joints) != len(SMPL_24):
        raise ValueError(f"{path} is a prior of a skeleton of {len(joints)} joints, but the body {body_location} has "
                         f"{len(SMPL_24)}; {RETRAIN} {body_location}")  # fmt: skip
    wrong = [f"{theirs} instead of {ours}" for theirs, ours in zip(joints, SMPL_24, strict=True) if theirs != ours]
    if wrong:
        raise ValueError(f"{path} is a prior of another skeleton: it has {wrong[0]} ({len(wrong)} joints differ from "
                         f"those of {body_location}); {RETRAIN} {body_location}")  # fmt: skip
    found = file_hash(body_location)
    if found != origin["body_hash"]:
        then = origin["body_hash"][:8]
        raise ValueError(f"{path} is a prior over the shapes of another body (hash {then}) than {body_location} (hash "
                         f"{found[:8]}); give that body, or {RETRAIN} {body_location}")  # fmt: skip


def fill(network: torch.nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Put stored weights into a network that is used as it is from here on."""
    load_weights(network, weights, path)
    network.eval().requires_grad_(False)


def load_gan(path: Path, body_location: Path) -> StoredGan:
    """Rebuild stage 3's networks from its checkpoint alone, on the CPU.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another stage, skeleton or body; with the remedy.
    """
    checkpoint: Checkpoint = load_checkpoint(path, "gan")
    states, config = checkpoint["states"], config_from_dict(GanConfig, checkpoint["config"])
    origin = states["model"]["_extra_state"]
    check_origin(path, origin, body_location)
    critic = make_critic(config.network, origin["num_betas"], load_body(body_location).rest_template_joints_m, origin)
    fill(critic, states["model"], path)
    if "generator" not in states:
        return StoredGan(critic, None, config, checkpoint["step"])
    invent = Generator(config.network, origin["num_betas"])
    fill(invent, states["generator"], path)
    return StoredGan(critic, invent, config, checkpoint["step"])


def load_prior_for(path: Path, body_location: Path) -> AnyCritic:
    """Rebuild a prior for a body, frozen and in evaluation: `scores(rotations without the root, betas)`."""
    return load_gan(path, body_location).critic
