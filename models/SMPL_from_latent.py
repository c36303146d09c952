"""Stage 4's network: latent 3D points -> 24 rotations and 10 shape numbers of the body model."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from config import EncDecConfig, MeshConfig, MeshHeadConfig, Paths
from models.baselines import thesis_rotations
from models.encoder_decoder import STAGE_1_STEP, EncoderDecoder, StoredEncoder, encoder_for, geometry_hash, load_encoder
from models.kinematics import along_the_tree, relative_to_parent, rotations_of_columns, upright_rotations
from models.smpl import Body, load_body
from utils.artifacts import file_hash, load_checkpoint, load_weights, rebuilds_from_checkpoint, stored_reads
from utils.body_file import NUM_BETAS
from utils.settings import config_from_dict, to_plain
from utils.tiers import Reads, of_stage_1, of_stage_4

POSE_START_SCALE = 0.1
"""The last layer starts with so much of its usual weights, so that a training begins near the standing person."""


class BodyEstimate(NamedTuple):
    """What the network says about the body, in the axes of the crop camera."""

    rotations_crop: Float[Tensor, "B 24 3 3"]
    """The root first, R_crop_from_body; then each joint relative to its parent."""
    betas: Float[Tensor, "B 10"]


class MeshFromLatent(nn.Module):
    """A multi-layer perceptron on the flattened points.

    kind crop: every joint's rotation is read in the axes of the crop camera, as two of its columns, and then expressed
    relative to the parent.  The latent lives in these axes too, and joint positions are linear in these rotations.
    kind parent: two columns of each rotation relative to the parent.
    kind seed: axis-angle through tanh, the root's about facing the camera; no angle beyond 99 degrees can be reached.
    Source: Zhou et al., On the continuity of rotation representations, CVPR 2019, section 4.2 (two columns).
    """

    start: Tensor

    def __init__(self, points: int, config: MeshHeadConfig) -> None:
        super().__init__()
        self.kind = config.kind
        sizes = [3 * points] + [config.hidden] * config.layers
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(nn.Flatten(), *layers)
        per_joint = 3 if config.kind == "seed" else 6
        self.last = nn.Linear(sizes[-1], 24 * per_joint + NUM_BETAS)
        with torch.no_grad():
            self.last.weight.mul_(POSE_START_SCALE)
            self.last.bias.zero_()
        upright = upright_rotations()[None]
        start = along_the_tree(upright) if config.kind == "crop" else upright
        self.register_buffer("start", start[0, :, :, :2].contiguous(), persistent=False)

    def forward(self, points_crop: Float[Tensor, "B P 3"]) -> BodyEstimate:
        """Read the body; float32 whatever the layers run in."""
        numbers = self.last(self.layers(points_crop)).float()
        pose, betas = numbers[:, :-NUM_BETAS], numbers[:, -NUM_BETAS:]
        if self.kind == "seed":
            return BodyEstimate(thesis_rotations(pose), betas.tanh())
        rotations = rotations_of_columns(self.start + pose.unflatten(1, (24, 3, 2)))
        return BodyEstimate(relative_to_parent(rotations) if self.kind == "crop" else rotations, betas)


class MeshFromImage(nn.Module):
    """Stage 1's encoder, frozen, with a mesh head behind it.

    The encoder takes no gradients, and its BatchNorm statistics do not move.  The settings that build the encoder and
    the body that the head was trained with travel with the weights, so that one checkpoint is enough to predict.
    """

    def __init__(self, encoder: EncoderDecoder, head: MeshFromLatent, provenance: dict[str, Any]) -> None:
        super().__init__()
        self.encoder, self.head, self.provenance = encoder, head, provenance
        encoder.requires_grad_(False)
        self.train()

    def get_extra_state(self) -> dict[str, Any]:
        """Give the settings of the encoder and the body's hash to the state_dict; plain types only."""
        return self.provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the settings of the encoder and the body's hash from a state_dict."""
        self.provenance = state

    def train(self, mode: bool = True) -> "MeshFromImage":
        """Switch the head to training; the encoder stays in evaluation."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, seen: Float[Tensor, "B 3 H W"] | Float[Tensor, "B P 3"]) -> BodyEstimate:
        """Read the body from RGB images in [0, 1], or from points that the encoder has read already."""
        if seen.ndim == 3:
            return self.head(seen)
        with torch.no_grad():
            points_crop = self.encoder.encode_points(seen)
        return self.head(points_crop)


class RootedBody(NamedTuple):
    """Bodies with Human3.6M's pelvis at the origin, in the axes of the crop camera."""

    vertices_root_m: Float[Tensor, "B V 3"]
    joints_root_m: Float[Tensor, "B 17 3"]
    """Human3.6M's joints, read off the surface."""


def rooted_body(body: Body, estimate: BodyEstimate) -> RootedBody:
    """Build the estimated bodies about their pelvis."""
    zero = estimate.betas.new_zeros(len(estimate.betas), 3)
    vertices_m = body(estimate.rotations_crop, estimate.betas, zero).vertices_m
    joints_m = body.h36m_joints_m(vertices_m)
    return RootedBody(vertices_m - joints_m[:, :1], joints_m - joints_m[:, :1])


def check_finite(
    estimate: BodyEstimate,
    frames: Int[Tensor, "B 5"],
    bodies: str = "estimated bodies",
    remedy: str = "; lower --optim.lr, or set --optim.gradient-clip 1",
) -> None:
    """Stop if a body is not finite.

    Args:
        bodies: what they are called in the message.
        remedy: how the message ends.
    Raises:
        ValueError: naming the first such frame.
    """
    broken = ~torch.cat([estimate.rotations_crop.flatten(1), estimate.betas], dim=1).isfinite().all(dim=1)
    if broken.any():
        subject, action, subaction, camera, frame = frames[broken][0].tolist()
        raise ValueError(
            f"{int(broken.sum())} of {len(broken)} {bodies} are NaN or infinite (first: subject {subject}, "
            f"action {action}, sub-action {subaction}, camera {camera}, frame {frame}){remedy}"
        )


ENCODER_FILE, GEOMETRY_HASH = "encoder_file", "geometry_hash"
"""Keys in the provenance of a mesh head that was exported alone: the encoder's file beside it, and its geometry."""


class StoredMesh(NamedTuple):
    """Stage 4's network, in evaluation and without gradients, with the settings of both stages and its body."""

    network: MeshFromImage
    config: EncDecConfig
    mesh_config: MeshConfig
    step: int
    encoder_step: int
    body_hash: str
    """Hash of the body file that the network was trained with; its shape numbers mean nothing on another."""
    num_vertices: int
    reads: Reads
    """What all stages read."""


def mesh_provenance(stage_1: StoredEncoder, body_location: Path, body: Body) -> dict[str, Any]:
    """Say what a mesh network is made from: stage 1's settings and step, and the body; plain types only."""
    return {
        "encoder": to_plain(stage_1.config),
        STAGE_1_STEP: stage_1.step,
        "body_hash": file_hash(body_location),
        "num_vertices": len(body.template_m),
    }


@rebuilds_from_checkpoint("mesh")
def load_mesh(path: Path, device: torch.device) -> StoredMesh:
    """Rebuild encoder and mesh head from stage 4's checkpoint; `load_body_of` gives the body they belong to.

    A head that was exported alone takes its encoder from the file beside it that it names.
    """
    checkpoint = load_checkpoint(path, "mesh")
    weights = checkpoint["states"]["model"]
    provenance = weights["_extra_state"]
    if ENCODER_FILE in provenance:
        stage_1 = encoder_beside(path, provenance)
        provenance = provenance | {"encoder": to_plain(stage_1.config), STAGE_1_STEP: stage_1.step}
        encoder_weights = {f"encoder.{name}": value for name, value in stage_1.network.state_dict().items()}
        weights = weights | encoder_weights | {"_extra_state": provenance}
    mesh_config = config_from_dict(MeshConfig, checkpoint["config"])
    encoder, encoder_config, weights = encoder_for(provenance["encoder"], weights, path, "encoder.")
    head = MeshFromLatent(encoder_config.encoder.points, mesh_config.head)
    network = MeshFromImage(encoder, head, provenance)
    load_weights(network, weights, path)
    network.to(device).eval().requires_grad_(False)
    return StoredMesh(
        network,
        encoder_config,
        mesh_config,
        checkpoint["step"],
        provenance[STAGE_1_STEP],
        provenance["body_hash"],
        provenance["num_vertices"],
        stored_reads(checkpoint) or of_stage_4(mesh_config, encoder_config.crop, of_stage_1(encoder_config)),
    )


def encoder_beside(path: Path, provenance: dict[str, Any]) -> StoredEncoder:
    """Read the encoder from the file that an exported head names.

    Raises:
        ValueError: the file holds another encoder than the head was trained with.
    """
    beside = path.parent / provenance[ENCODER_FILE]
    stage_1 = load_encoder(beside)
    if geometry_hash(stage_1.network) != provenance[GEOMETRY_HASH]:
        raise ValueError(f"{beside} is another encoder than {path} was trained with; take both files from one version "
                         "of this program, or train the head again")  # fmt: skip
    return stage_1


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
