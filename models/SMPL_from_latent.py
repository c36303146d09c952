"""Stage 4's networks: latent 3D points, or joints that heat maps find, -> rotations and shape of the body model."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from config import EncDecConfig, MeshConfig, MeshHeadConfig, Paths
from models.baselines import thesis_rotations
from models.encoder_decoder import (
    STAGE_1_STEP,
    EncoderDecoder,
    StoredEncoder,
    build_encoder_decoder,
    encoder_for,
    geometry_hash,
    load_encoder,
)
from models.heat_maps import HeatMapBackbone
from models.kinematics import along_the_tree, relative_to_parent, rotations_of_columns, upright_rotations
from models.pose_from_latent import joints_behind, parted, start_behind, untrained_encoder
from models.pose_from_maps import PoseFromMaps
from models.smpl import Body, load_body
from models.SMPL_from_joints import FACING_CAMERA, BodyEstimate
from models.SMPL_from_maps import BodyFromMaps, MeshFromMaps, build_body_from_maps
from utils.artifacts import Checkpoint, file_hash, load_checkpoint, load_weights, rebuilds_from_checkpoint, stored_reads
from utils.body_file import NUM_BETAS
from utils.settings import config_from_dict, to_plain
from utils.skeleton import H36M, SMPL_24_PARENTS, Skeleton
from utils.tiers import Reads, of_stage_1, of_stage_4

POSE_START_SCALE = 0.1
"""The last layer starts with so much of its usual weights, so that a training begins near the standing person."""


JOINT_PARENTS, BODY_PARENTS, NUM_SHAPES = "joint_parents", "body_parents", "num_betas"
"""Keys in the provenance of a network that finds joints by heat maps, or of another body than SMPL's: what builds it
beside the encoder's settings."""
ENCODER_FILE, GEOMETRY_HASH = "encoder_file", "geometry_hash"
"""Keys in the provenance of a mesh head that was exported alone: the encoder's file beside it, and its geometry."""


def base_rotations(parents: tuple[int, ...], is_standing: bool = True) -> Float[Tensor, "J 3 3"]:
    """Give a body that faces the camera: a person who stands with hanging arms, or one at rest, as any other body."""
    if parents == SMPL_24_PARENTS and is_standing:
        return upright_rotations()
    rotations = torch.eye(3).repeat(len(parents), 1, 1)
    rotations[0] = torch.diag(torch.tensor(FACING_CAMERA))
    return rotations


class MeshFromLatent(nn.Module):
    """A multi-layer perceptron on the flattened points.

    kind crop: every joint's rotation is read in the axes of the crop camera, as two of its columns, and then expressed
    relative to the parent.  The latent lives in these axes too, and joint positions are linear in these rotations.
    kind parent: two columns of each rotation relative to the parent.
    kind seed: axis-angle through tanh, about a body that faces the camera, at rest unless `base` says otherwise; no
    angle beyond 99 degrees can be reached.
    Source: Zhou et al., On the continuity of rotation representations, CVPR 2019, section 4.2 (two columns).
    """

    start: Tensor

    def __init__(
        self, points: int, config: MeshHeadConfig, parents: tuple[int, ...] = SMPL_24_PARENTS,
        num_betas: int = NUM_BETAS,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, self.parents, self.num_betas = config.kind, parents, num_betas
        if config.kind == "seed" and parents != SMPL_24_PARENTS:
            raise ValueError(f"head.kind is seed, which is about SMPL's 24 joints, and the body has {len(parents)}; "
                             "use crop or parent")  # fmt: skip
        sizes = [3 * points] + [config.hidden] * config.layers
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(nn.Flatten(), *layers)
        per_joint = 3 if config.kind == "seed" else 6
        self.last = nn.Linear(sizes[-1], len(parents) * per_joint + num_betas)
        with torch.no_grad():
            self.last.weight.mul_(POSE_START_SCALE)
            self.last.bias.zero_()
        base = base_rotations(parents, config.base == "standing" or (config.base == "auto" and config.kind != "seed"))
        start = along_the_tree(base[None], parents)[0] if config.kind == "crop" else base
        start = start if config.kind == "seed" else start[:, :, :2].contiguous()
        self.register_buffer("start", start, persistent=False)

    def forward(self, points_crop: Float[Tensor, "B P 3"]) -> BodyEstimate:
        """Read the body; float32 whatever the layers run in."""
        numbers = self.last(self.layers(points_crop)).float()
        pose, betas = numbers[:, : -self.num_betas], numbers[:, -self.num_betas :]
        with torch.autocast(numbers.device.type, enabled=False):  # it would round what is multiplied
            if self.kind == "seed":
                return BodyEstimate(thesis_rotations(pose, self.start), betas.tanh())
            rotations = rotations_of_columns(self.start + pose.unflatten(1, (len(self.parents), 3, 2)))
            is_total = self.kind == "crop"
            return BodyEstimate(relative_to_parent(rotations, self.parents) if is_total else rotations, betas)


class MeshFromImage(nn.Module):
    """Stage 1's encoder with a mesh head on its points.

    A frozen encoder takes no gradients, and its BatchNorm statistics do not move.  The settings that build the encoder
    and the body that the head was trained with travel with the weights, so that one checkpoint is enough to predict.
    """

    def __init__(
        self, encoder: EncoderDecoder, head: MeshFromLatent, provenance: dict[str, Any], is_encoder_frozen: bool = True
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.provenance = encoder, head, provenance
        self.is_encoder_frozen = is_encoder_frozen
        encoder.requires_grad_(False)
        for part in (encoder.backbone, encoder.to_points):
            part.requires_grad_(not is_encoder_frozen)
        self.train()

    def get_extra_state(self) -> dict[str, Any]:
        """Give the settings of the encoder and the body's hash to the state_dict; plain types only."""
        return self.provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the settings of the encoder and the body's hash from a state_dict."""
        self.provenance = state

    def train(self, mode: bool = True) -> "MeshFromImage":
        """Switch to training, but for a frozen encoder."""
        super().train(mode)
        self.encoder.train(mode and not self.is_encoder_frozen)
        return self

    def forward(self, seen: Float[Tensor, "B 3 H W"] | Float[Tensor, "B P 3"]) -> BodyEstimate:
        """Read the body from RGB images in [0, 1], or from points that the encoder has read already."""
        if seen.ndim == 3:
            return self.head(seen)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_encoder_frozen):
            points_crop = self.encoder.encode_points(seen)
        return self.head(points_crop)


class MeshStart(NamedTuple):
    """What a network of stage 4 begins with."""

    stage_1: StoredEncoder
    joints: PoseFromMaps | None
    """Heat maps of the joints behind the encoder, where stage 2 has trained both."""
    head: BodyFromMaps | None = None
    """What reads bodies from them, where stage 4 has trained all."""


def start_of(config: MeshConfig) -> MeshStart:
    """Read the encoder of stage 1, encoder and heat maps of stage 2, or all of stage 4; else build an encoder."""
    if config.encoder is None:
        return MeshStart(untrained_encoder(config), None)
    checkpoint = load_checkpoint(config.encoder, "enc_dec", "pose", "mesh")
    if checkpoint["stage"] == "mesh":
        return start_of_stage_4(config.encoder, checkpoint, config)
    begin = start_behind(config.encoder, checkpoint)
    if begin.joints is not None and config.head.reads == "points":
        raise ValueError(f"head.reads is points, but {config.encoder} finds joints by heat maps, for which "
                         "its points were given up; give a checkpoint of stage 1")  # fmt: skip
    if begin.joints is not None and config.mode == "embeddings":
        raise ValueError(f"{config.encoder} finds joints by heat maps, and stored latents are the points of "
                         "stage 1; give a checkpoint of stage 1, or set --mode frozen")  # fmt: skip
    return MeshStart(begin.stage_1, begin.joints if config.mode != "scratch" else None)


def start_of_stage_4(path: Path, checkpoint: Checkpoint, config: MeshConfig) -> MeshStart:
    """Read all of a network of stage 4 with heat maps.

    Raises:
        ValueError: it reads points, or the training would not go on from it.
    """
    stored = mesh_in(path, checkpoint)
    if not isinstance(stored.network, MeshFromMaps):
        raise ValueError(f"{path} is of stage 4 and reads the points of its encoder; give that encoder's checkpoint")
    if config.mode != "finetune":
        raise ValueError(f"{path} is of stage 4, and mode is {config.mode}; set --mode finetune to go on from it")
    stage_1 = StoredEncoder(stored.network.encoder, stored.config, stored.encoder_step, stored.reads)
    return MeshStart(stage_1, stored.network.joints, stored.network.head)


def reads_joints(config: MeshConfig, start: MeshStart) -> bool:
    """Say whether the head reads joints that heat maps find, or the encoder's points; see `MeshHeadConfig.reads`.

    Raises:
        ValueError: the encoder has no maps, or none that were taught to find joints.
    """
    encoder, wanted = start.stage_1.config.encoder, config.head.reads
    trains, has_maps = config.mode in ("finetune", "scratch"), encoder.has_maps
    if wanted == "auto":
        return start.joints is not None or (has_maps and trains)
    if wanted == "maps" and not has_maps:
        raise ValueError(f"head.reads is maps, but the encoder is of kind {encoder.kind}, which gives none; train one "
                         "of kind heatmaps, give --encoder none --mode scratch, or set "
                         "--head.reads points")  # fmt: skip
    if wanted == "maps" and not trains and start.joints is None:
        raise ValueError(f"head.reads is maps and mode is {config.mode}, but {config.encoder} was not taught to find "
                         "joints; give a checkpoint of stage 2 with heat maps, or set --mode finetune")  # fmt: skip
    return wanted == "maps"


def build_mesh_network(
    config: MeshConfig, start: MeshStart, body: Body, skeleton: Skeleton = H36M, is_pretrained: bool = True
) -> MeshFromImage | MeshFromMaps:
    """Put a mesh head behind what a training begins with.

    Args:
        skeleton: the joints of the data set, which the body is measured by.
        is_pretrained: an encoder that begins with downloaded weights does so; else those of a checkpoint follow.
    """
    stage_1, reads = start.stage_1, reads_joints(config, start)
    is_anew = config.mode == "scratch"
    encoder = build_encoder_decoder(stage_1.config, is_pretrained) if is_anew else stage_1.network
    if config.encoder is None:
        encoder.keep_only_geometry("the encoder was trained without stage 1, so nothing draws behind it; train stage 1")
    is_frozen = config.mode in ("frozen", "embeddings")
    provenance = mesh_provenance(stage_1, config.paths.models_smpl_location, body)
    if not reads:
        if not body.has_smpl_joints:
            provenance |= {BODY_PARENTS: list(body.parents), NUM_SHAPES: min(NUM_BETAS, body.num_betas)}
        head = points_head(stage_1.config, config.head, provenance)
        return MeshFromImage(encoder, head, provenance, is_frozen)
    joints = start.joints or joints_behind(encoder, skeleton.parents, stage_1.config.crop.side_m)
    provenance |= {JOINT_PARENTS: list(joints.parents), BODY_PARENTS: list(body.parents), NUM_SHAPES: body.num_betas}
    network = maps_network(encoder, joints, config.head, is_frozen, provenance)
    if network.head.shape is not None:
        network.head.shape.take_body(body)
    if start.head is not None and config.encoder is not None:
        load_weights(network.head.from_joints, start.head.from_joints.state_dict(), config.encoder)
        load_weights(network.head.from_features, start.head.from_features.state_dict(), config.encoder)
    return network


def points_head(encoder: EncDecConfig, config: MeshHeadConfig, provenance: dict[str, Any]) -> MeshFromLatent:
    """Build a head on an encoder's points, for SMPL's joints or those that the provenance names."""
    parents = tuple(provenance.get(BODY_PARENTS, SMPL_24_PARENTS))
    return MeshFromLatent(encoder.encoder.points, config, parents, provenance.get(NUM_SHAPES, NUM_BETAS))


def maps_network(
    encoder: EncoderDecoder, joints: PoseFromMaps, head: MeshHeadConfig, is_frozen: bool, provenance: dict[str, Any]
) -> MeshFromMaps:
    """Put a body behind the joints that an encoder's maps find."""
    assert isinstance(encoder.backbone, HeatMapBackbone)
    body = build_body_from_maps(encoder.backbone, joints, tuple(provenance[BODY_PARENTS]), provenance[NUM_SHAPES], head)
    return MeshFromMaps(encoder, joints, body, is_frozen, provenance)


def mesh_parameter_groups(
    network: MeshFromImage | MeshFromMaps, config: MeshConfig, has_joints: bool
) -> list[dict[str, Any]]:
    """Give what was trained before a step size of its own; biases and norms behind maps do not decay.

    Args:
        has_joints: whether the heat maps of the joints were trained before.
    """
    before: list[nn.Module] = [network.encoder] if config.mode == "finetune" else []
    if isinstance(network, MeshFromMaps) and has_joints and config.mode == "finetune":
        before.append(network.joints)
    known = {parameter for part in before for parameter in part.parameters()}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    lr = config.optim.lr * config.encoder_lr_factor
    groups: list[dict[str, Any]] = [{"params": [p for p in trained if p not in known]},
                                    {"params": [p for p in trained if p in known], "lr": lr}]  # fmt: skip
    groups = [group for group in groups if group["params"]]
    return parted(groups) if isinstance(network, MeshFromMaps) else groups


class RootedBody(NamedTuple):
    """Bodies with their first measured joint, Human3.6M's pelvis, at the origin, in the axes of the crop camera."""

    vertices_root_m: Float[Tensor, "B V 3"]
    joints_root_m: Float[Tensor, "B E 3"]
    """The joints that bodies are measured by: Human3.6M's of people, read off the surface."""


def rooted_body(body: Body, estimate: BodyEstimate) -> RootedBody:
    """Build the estimated bodies about their pelvis, or what is the first joint that they are measured by.

    Raises:
        ValueError: the body has SMPL's joints, and no regressor for Human3.6M's.
    """
    zero = estimate.betas.new_zeros(len(estimate.betas), 3)
    vertices_m, own_m = body(estimate.rotations_crop, estimate.betas, zero)
    is_person = body.has_h36m_joints or body.has_smpl_joints
    joints_m = body.h36m_joints_m(vertices_m) if is_person else body.evaluated_joints_m(vertices_m, own_m)
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


class StoredMesh(NamedTuple):
    """Stage 4's network, in evaluation and without gradients, with the settings of both stages and its body."""

    network: MeshFromImage | MeshFromMaps
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

    A head that reads points and was exported alone takes its encoder from the file beside it that it names.
    """
    stored = mesh_in(path, load_checkpoint(path, "mesh"))
    stored.network.to(device)
    return stored


@rebuilds_from_checkpoint("mesh")
def mesh_in(path: Path, checkpoint: Checkpoint) -> StoredMesh:
    """Rebuild encoder and mesh head, on the CPU, from what was read from a file; see `load_mesh`."""
    weights = checkpoint["states"]["model"]
    provenance = weights["_extra_state"]
    if ENCODER_FILE in provenance:
        stage_1 = encoder_beside(path, provenance)
        provenance = provenance | {"encoder": to_plain(stage_1.config), STAGE_1_STEP: stage_1.step}
        encoder_weights = {f"encoder.{name}": value for name, value in stage_1.network.state_dict().items()}
        weights = weights | encoder_weights | {"_extra_state": provenance}
    mesh_config = config_from_dict(MeshConfig, checkpoint["config"])
    encoder, encoder_config, weights = encoder_for(provenance["encoder"], weights, path, "encoder.")
    network: MeshFromImage | MeshFromMaps
    if JOINT_PARENTS in provenance:
        joints = joints_behind(encoder, tuple(provenance[JOINT_PARENTS]), encoder_config.crop.side_m)
        network = maps_network(encoder, joints, mesh_config.head, True, provenance)
    else:
        head = points_head(encoder_config, mesh_config.head, provenance)
        network = MeshFromImage(encoder, head, provenance)
    load_weights(network, weights, path)
    network.eval().requires_grad_(False)
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
