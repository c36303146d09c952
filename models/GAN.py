"""Stage 3's networks: discriminators that tell real bodies from others, and the generator they are trained against.

Stage 4 uses the discriminator alone, read from stage 3's checkpoint: its `scores` say for every part of a body how real
it is, one for real.
"""

import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from config import GanConfig, GanNetworkConfig
from models.body_surface import tree_of
from models.kinematics import (
    SMPL_TREE,
    BodyTree,
    num_whole_features,
    placed_pose,
    rotations_of_columns,
    whole_features,
    with_root,
)
from models.pose_noise import mirror_pose
from models.smpl import load_body
from utils.artifacts import Checkpoint, file_hash, load_checkpoint, load_weights, rebuilds_from_checkpoint, stored_reads
from utils.settings import config_from_dict
from utils.skeleton import SMPL_24
from utils.tiers import Reads, of_poses
from utils.whole_batch import Draws, averaged, randn

BELOW = len(SMPL_24) - 1
"""Joints of SMPL without the root."""
JOINTS_ALONE, IN_CONTEXT = slice(0, BELOW), slice(BELOW, 2 * BELOW)
WHOLE, SHAPE = 2 * BELOW, 2 * BELOW + 1
"""Places of the scores of a body with SMPL's joints."""
SHARPNESS = 10.0
"""Steepness of the soft minimum over joints: one joint with a score of 0 among ones brings a pose to about 0.3."""
SLOPE = 0.2
"""Slope of the leaky rectifiers below zero, the usual one of GAN discriminators."""
SCORE_START_SCALE = 0.3
"""The last layers start with so much of their usual weights, so that first scores lie between 0 and 1."""
SMALLEST_STD = 0.05
"""Inputs whose standard deviation is smaller are divided by this instead: noise is not blown up."""


def scored_parts(names: tuple[str, ...]) -> tuple[str, ...]:
    """Name what a discriminator scores: each joint below the root alone, then in its context, pose and shape."""
    return (*names[1:], *(f"{name} in context" for name in names[1:]), "whole pose", "shape")


SCORED_PARTS = scored_parts(SMPL_24)


class PosesAndShapes(NamedTuple):
    """Poses and shapes."""

    rotations: Float[Tensor, "B J 3 3"]
    """Relative to the parent; the root's is in any frame."""
    betas: Float[Tensor, "B n"]


class ScoreTarget(NamedTuple):
    """What the discriminator's scores should be, and how much each of them counts."""

    score: Float[Tensor, "B K"]
    weight: Float[Tensor, "B K"]


class BatchedMLP(nn.Module):
    """Several small networks of the same size, each with inputs of its own, as one batched matrix product per layer."""

    def __init__(self, count: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(torch.randn(count, a, b) * (2 / a) ** 0.5 for a, b in pairs)
        self.biases = nn.ParameterList(torch.zeros(count, 1, b) for _, b in pairs)
        with torch.no_grad():
            self.weights[-1].mul_(SCORE_START_SCALE)

    def forward(self, inputs: Float[Tensor, "B count a"]) -> Float[Tensor, "B count b"]:
        """Run every network on its own inputs."""
        values = inputs.transpose(0, 1)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, nn.functional.leaky_relu(values, SLOPE) if number else values, weight)
        return values.transpose(0, 1)


def perceptron(*sizes: int) -> nn.Sequential:
    """Stack linear layers with leaky rectifiers between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.LeakyReLU(SLOPE), nn.Linear(inputs, outputs)]
    with torch.no_grad():
        layers[-1].weight.mul_(SCORE_START_SCALE)  # type: ignore[operator]
    return nn.Sequential(*layers[1:])


class Standardised(nn.Module):
    """Brings inputs to mean 0 and standard deviation 1 over real bodies; both are stored with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(*shape))
        self.register_buffer("std", torch.ones(*shape))

    @torch.no_grad()
    def fit(self, inputs: Float[Tensor, "B *shape"]) -> None:
        """Take mean and standard deviation from real inputs."""
        self.mean.copy_(inputs.mean(dim=0))
        self.std.copy_(inputs.std(dim=0).clamp(min=SMALLEST_STD))

    def forward(self, inputs: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        """Subtract the mean and divide by the standard deviation."""
        return (inputs - self.mean) / self.std


class Discriminator(nn.Module):
    """Least-squares discriminators of parts: each joint alone, each joint in its context, the whole pose, the shape.

    None sees the root's rotation.  A small network per joint knows its own rotation only; one larger network sees the
    whole pose and says of every joint whether it belongs there, and of the pose whether it is real.
    Source: Kanazawa et al., HMR, CVPR 2018, section 3.3 (one per joint, one for all, one for the shape); Mao et al.,
    Least squares GAN, ICCV 2017; joints in context: own choice, after Clark et al., ELECTRA, ICLR 2020.
    """

    rest_joints_m: Tensor
    real_bodies_vary = True
    """It learns that recordings of the same pose differ a little, and takes none of them for unreal."""

    def __init__(
        self, config: GanNetworkConfig, num_betas: int, rest_joints_m: Float[Tensor, "J 3"], provenance: dict[str, Any],
        tree: BodyTree = SMPL_TREE,
    ) -> None:  # fmt: skip
        super().__init__()
        self.provenance, self.tree, self.parts = provenance, tree, scored_parts(tree.names)
        below, features = len(tree.names) - 1, num_whole_features(len(tree.names))
        self.in_context = slice(below, 2 * below)
        small, large = config.joint_hidden, config.pose_hidden
        self.register_buffer("rest_joints_m", rest_joints_m.clone(), persistent=False)
        self.standardised_joints, self.standardised_pose = (
            Standardised(below, 9),
            Standardised(features),
        )
        self.of_joints = BatchedMLP(below, (9, small, small, 1))
        self.of_pose = perceptron(features, *[large] * config.pose_layers, below + 1)
        self.of_shape = perceptron(num_betas, small, small, 1)

    def get_extra_state(self) -> dict[str, Any]:
        """Give what the checkpoint says of skeleton and body; plain types only."""
        return self.provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.provenance = state

    def fit_standardisation(self, real: PosesAndShapes) -> None:
        """Standardise the inputs by real bodies; called once, before the training."""
        pose = placed_pose(real.rotations, self.rest_joints_m, self.tree)
        self.standardised_joints.fit(pose.relative[:, 1:].flatten(2))
        self.standardised_pose.fit(whole_features(pose))

    def forward(self, bodies: PosesAndShapes) -> Float[Tensor, "B K"]:
        """Score bodies as they are, for the training."""
        pose = placed_pose(bodies.rotations, self.rest_joints_m, self.tree)
        alone = self.of_joints(self.standardised_joints(pose.relative[:, 1:].flatten(2)))[..., 0]
        whole = self.of_pose(self.standardised_pose(whole_features(pose)))
        return torch.cat([alone, whole, self.of_shape(bodies.betas)], dim=1)

    def scores(self, rotations: Float[Tensor, "B P 3 3"], betas: Float[Tensor, "B n"]) -> Float[Tensor, "B K"]:
        """Score bodies; what is above one counts as one: nobody has to be more real than real.

        The gradient is zero there.
        """
        return self.open_scores(rotations, betas).clamp(max=1)

    def open_scores(self, rotations: Float[Tensor, "B P 3 3"], betas: Float[Tensor, "B n"]) -> Float[Tensor, "B K"]:
        """Score bodies by themselves and by their mirror image, so that both get the same scores, sides swapped."""
        posed, below = with_root(rotations), len(self.tree.names) - 1
        swapped = [row - 1 for row in self.tree.opposite[1:]]
        order = [*swapped, *(below + row for row in swapped), 2 * below, 2 * below + 1]
        mirrored = self(PosesAndShapes(mirror_pose(posed, self.tree), betas))[:, order]
        return (self(PosesAndShapes(posed, betas)) + mirrored) / 2

    def plausibility(self, scores: Float[Tensor, "B K"]) -> Float[Tensor, "B"]:
        """Sum up how real a pose is: a soft minimum of what is said of its joints in context.

        One joint that does not belong makes a pose unreal; several make it more so.  It takes open scores, so that
        real poses differ too.
        """
        in_context = scores[:, self.in_context]
        return -torch.logsumexp(-SHARPNESS * in_context, dim=1).sub(math.log(in_context.shape[1])) / SHARPNESS

    def target_of_generated(self, count: int, like: Tensor) -> ScoreTarget:
        """Ask for zeros on generated bodies; no joint of theirs is wrong by itself: joints in context do not count."""
        weight = like.new_ones(count, len(self.parts))
        weight[:, self.in_context] = 0
        return ScoreTarget(torch.zeros_like(weight), weight)

    def target_of_noise(self, is_changed: Bool[Tensor, "B P"]) -> ScoreTarget:
        """Ask for zeros on perturbed joints, whole pose and shape, and in context for ones on the other joints."""
        changed = is_changed.float()
        rest = changed.new_ones(len(changed), 2)
        target = torch.cat([torch.zeros_like(changed), 1 - changed, 0 * rest], dim=1)
        few = averaged(changed.mean(dim=0)).clamp(min=1e-3)  # perturbed joints are few and count as much as the others
        weight = torch.cat([changed / few, 1 - changed + changed / few, rest], dim=1)
        return ScoreTarget(target, weight)


class FlatDiscriminator(nn.Module):
    """The thesis' discriminator: one network on 72 axis-angle numbers, the root's with them, and 10 shape numbers."""

    parts = ("body",)
    real_bodies_vary = False

    def __init__(
        self, config: GanNetworkConfig, num_betas: int, rest_joints_m: Float[Tensor, "J 3"], provenance: dict[str, Any],
        tree: BodyTree = SMPL_TREE,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tree = tree
        if tree != SMPL_TREE:
            raise ValueError(f"network.kind is seed, which is about SMPL's 24 joints, and the body has "
                             f"{len(tree.names)}; use parts")  # fmt: skip
        self.provenance = provenance
        self.layers = perceptron(72 + num_betas, *[config.pose_hidden] * config.pose_layers, 1)

    def get_extra_state(self) -> dict[str, Any]:
        """Give what the checkpoint says of skeleton and body; plain types only."""
        return self.provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.provenance = state

    def fit_standardisation(self, real: PosesAndShapes) -> None:
        """Do nothing: it takes its inputs as they are."""

    def forward(self, bodies: PosesAndShapes) -> Float[Tensor, "B 1"]:
        """Score bodies."""
        theta = roma.rotmat_to_rotvec(bodies.rotations).flatten(1)
        return self.layers(torch.cat([theta, bodies.betas], dim=1))

    def scores(self, rotations: Float[Tensor, "B P 3 3"], betas: Float[Tensor, "B n"]) -> Float[Tensor, "B 1"]:
        """Score bodies; without a root, it is at rest in the frame of the real ones: nobody knows how it is turned."""
        whole = rotations if rotations.shape[1] == len(self.tree.names) else with_root(rotations)
        return self(PosesAndShapes(whole, betas))

    def open_scores(self, rotations: Float[Tensor, "B P 3 3"], betas: Float[Tensor, "B n"]) -> Float[Tensor, "B 1"]:
        """Give the same, which nothing bounds."""
        return self.scores(rotations, betas)

    def plausibility(self, scores: Float[Tensor, "B 1"]) -> Float[Tensor, "B"]:
        """Give the only score."""
        return scores[:, 0]

    def target_of_generated(self, count: int, like: Tensor) -> ScoreTarget:
        """Ask for zeros on generated bodies."""
        return ScoreTarget(like.new_zeros(count, 1), like.new_ones(count, 1))

    def target_of_noise(self, is_changed: Bool[Tensor, "B P"]) -> ScoreTarget:
        """Ask for zeros on perturbed bodies."""
        zero = torch.zeros(len(is_changed), 1, device=is_changed.device)
        return ScoreTarget(zero, zero + 1)


AnyDiscriminator = Discriminator | FlatDiscriminator


def make_discriminator(
    config: GanNetworkConfig, num_betas: int, rest_joints_m: Float[Tensor, "J 3"], provenance: dict[str, Any],
    tree: BodyTree = SMPL_TREE,
) -> AnyDiscriminator:  # fmt: skip
    """Build the discriminator that the settings name."""
    kind = FlatDiscriminator if config.kind == "seed" else Discriminator
    return kind(config, num_betas, rest_joints_m, provenance, tree)


class Generator(nn.Module):
    """Generates bodies from random numbers.

    Rotations leave it as two columns; the root is at rest.  kind seed: 72 axis-angle numbers, the root with them.
    Source: Zhou et al., On the continuity of rotation representations, CVPR 2019, section 4.2 (two columns).
    """

    def __init__(self, config: GanNetworkConfig, num_betas: int, joints: int = len(SMPL_24)) -> None:
        super().__init__()
        self.is_seed, self.num_betas, self.latent = config.kind == "seed", num_betas, config.latent
        self.below = joints - 1
        hidden, count = config.generator_hidden, 72 if self.is_seed else 6 * self.below
        self.layers = perceptron(config.latent, hidden, hidden, count)
        self.shape_layers = perceptron(config.latent, hidden // 4, num_betas)
        if not self.is_seed:
            with torch.no_grad():  # starts near the T-pose
                self.layers[-1].bias.copy_(torch.eye(3)[:, :2].expand(self.below, 3, 2).flatten())  # type: ignore[operator]

    def random_numbers(self, count: int, generator: Draws) -> Float[Tensor, "B Z"]:
        """Sample what so many bodies are generated from."""
        return randn((count, self.latent), generator)

    def forward(self, noise: Float[Tensor, "B Z"]) -> PosesAndShapes:
        """Generate bodies."""
        numbers, betas = self.layers(noise), self.shape_layers(noise)
        if self.is_seed:
            return PosesAndShapes(roma.rotvec_to_rotmat(numbers.unflatten(1, (24, 3))), betas)
        return PosesAndShapes(with_root(rotations_of_columns(numbers.unflatten(1, (self.below, 3, 2)))), betas)


RETRAIN = "train one for this body: python sample/train_GAN.py --paths.models-smpl-location"


class StoredGan(NamedTuple):
    """Stage 3's networks, in evaluation and without gradients, with their settings."""

    discriminator: AnyDiscriminator
    generate: Generator | None
    """Nothing where the file holds the prior only."""
    config: GanConfig
    step: int


def prior_provenance(body_location: Path, num_betas: int, names: tuple[str, ...] = SMPL_24) -> dict[str, Any]:
    """Say what a prior is made for: joints and body; plain types only."""
    return {"joints": list(names), "num_betas": num_betas, "body_hash": file_hash(body_location)}


def check_provenance(path: Path, provenance: dict[str, Any], body_location: Path, names: tuple[str, ...]) -> None:
    """Refuse a prior of another skeleton or body.

    Args:
        names: of the body's joints.

    Raises:
        ValueError: naming the difference and the remedy.
    """
    joints = provenance["joints"]
    if len(joints) != len(names):
        raise ValueError(f"{path} is a prior of a skeleton of {len(joints)} joints, but the body {body_location} has "
                         f"{len(names)}; {RETRAIN} {body_location}")  # fmt: skip
    wrong = [f"{theirs} instead of {ours}" for theirs, ours in zip(joints, names, strict=True) if theirs != ours]
    if wrong:
        raise ValueError(f"{path} is a prior of another skeleton: it has {wrong[0]} ({len(wrong)} joints differ from "
                         f"those of {body_location}); {RETRAIN} {body_location}")  # fmt: skip
    found = file_hash(body_location)
    if found != provenance["body_hash"]:
        then = provenance["body_hash"][:8]
        raise ValueError(f"{path} is a prior over the shapes of another body (hash {then}) than {body_location} (hash "
                         f"{found[:8]}); give that body, or {RETRAIN} {body_location}")  # fmt: skip


def fill(network: torch.nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Put stored weights into a network that is used as it is from here on."""
    load_weights(network, weights, path)
    network.eval().requires_grad_(False)


@rebuilds_from_checkpoint("gan")
def load_gan(path: Path, body_location: Path) -> StoredGan:
    """Rebuild stage 3's networks from its checkpoint alone, on the CPU.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another stage, skeleton or body; with the remedy.
    """
    checkpoint: Checkpoint = load_checkpoint(path, "gan")
    states, config = checkpoint["states"], config_from_dict(GanConfig, checkpoint["config"])
    provenance = states["model"]["_extra_state"]
    body = load_body(body_location)
    check_provenance(path, provenance, body_location, body.names)
    num_betas, tree = provenance["num_betas"], tree_of(body)
    discriminator = make_discriminator(config.network, num_betas, body.rest_template_joints_m, provenance, tree)
    fill(discriminator, states["model"], path)
    if "generator" not in states:
        return StoredGan(discriminator, None, config, checkpoint["step"])
    generate = Generator(config.network, num_betas, len(tree.names))
    fill(generate, states["generator"], path)
    return StoredGan(discriminator, generate, config, checkpoint["step"])


@rebuilds_from_checkpoint("gan")
def prior_reads(path: Path) -> Reads:
    """Say what poses a prior was trained on."""
    checkpoint = load_checkpoint(path, "gan")
    return stored_reads(checkpoint) or of_poses(config_from_dict(GanConfig, checkpoint["config"]).data)


def load_prior_for(path: Path, body_location: Path) -> AnyDiscriminator:
    """Rebuild a prior for a body, frozen and in evaluation: `scores(rotations without the root, betas)`."""
    return load_gan(path, body_location).discriminator
