"""The lifter: 2D keypoints of one person in one view -> rotations in the camera's axes, and shape.

Keypoints are seen by a virtual camera that looks at the middle of their box, so that a person at the picture's edge
looks like one in its middle; how large the box is tells how strong the perspective is.  No translation is learned: it
follows from the keypoints and the body, in closed form.  The network reads the body once, and looks again at where
the body's own keypoints would be seen.
"""

from pathlib import Path
from typing import Any, NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import KeypointsConfig, KeypointsNetwork
from models.kinematics import relative_to_parent
from models.smpl import Body, load_body
from utils.artifacts import file_hash, load_checkpoint, load_weights, rebuilds_from_checkpoint, stored_reads
from utils.settings import config_from_dict
from utils.skeleton import KEYPOINTS_25, SMPL_24, SMPL_24_PARENTS
from utils.tiers import Reads, of_poses

START_SCALE = 0.1
"""The last layers start with so much of their usual weights, so that a training begins near the resting body."""
NEAREST_M = 0.3
"""No part of a body is nearer to the camera's plane."""
FACING_CAMERA = (1.0, -1.0, -1.0)
"""A resting body (y up, facing z) that stands in a camera's axes (y down, z away) and faces the camera."""
WEIGHINGS = 3
"""Rounds in which keypoints that lie far off lose their weight, when a body is placed."""
FAR_OFF = 0.1
"""Half boxes from which on a keypoint counts little when a body is placed."""

ON_BODY: dict[str, tuple[str, str, tuple[float, float, float]]] = {
    "nose": ("head", "head", (0.0, 0.022, 0.095)),
    "eye": ("head", "head", (0.022, 0.054, 0.074)),
    "ear": ("head", "head", (0.046, 0.038, 0.032)),
    "shoulder": ("shoulder", "collar", (-0.010, 0.036, -0.012)),
    "elbow": ("elbow", "shoulder", (-0.026, 0.001, 0.006)),
    "wrist": ("wrist", "elbow", (0.009, -0.003, 0.009)),
    "index": ("wrist", "wrist", (0.091, -0.011, 0.018)),
    "pinky": ("wrist", "wrist", (0.080, -0.006, -0.009)),
    "hip": ("hip", "pelvis", (-0.016, -0.003, 0.032)),
    "knee": ("knee", "hip", (-0.010, -0.007, -0.006)),
    "ankle": ("ankle", "knee", (-0.003, 0.026, 0.005)),
    "heel": ("ankle", "ankle", (-0.005, -0.040, -0.037)),
    "toe": ("foot", "ankle", (0.005, 0.002, 0.032)),
}  # fmt: skip
"""Where a keypoint is on the body: beside this joint, in metres along the axes of that one, of the left side.
Source: BlazePose's points before rendered people whose bodies are known (tests/benchmarks/keypoint_noise.py)."""


class BoxedKeypoints(NamedTuple):
    """Keypoints seen by a camera that looks at the middle of their box."""

    points: Float[Tensor, "B K 2"]
    """Right and down from the middle, over half the box's longer side; anything where the confidence is 0."""
    confidence: Float[Tensor, "B K"]
    half: Float[Tensor, "B"]
    """Half of the longer side at depth one: the tangent of the angle under which it is seen."""
    R_box_from_cam: Float[Tensor, "B 3 3"]

    @property
    def seen(self) -> Float[Tensor, "B K 2"]:
        """Give the points at depth one."""
        return self.points * self.half[:, None, None]


class LiftedBodies(NamedTuple):
    """What the lifter says, in the axes of the boxes' cameras."""

    totals: Float[Tensor, "B J 3 3"]
    """Of every joint, from its rest to the camera; not relative to the parent."""
    betas: Float[Tensor, "B n"]
    root_m: Float[Tensor, "B 3"]
    """Where the root joint is, seen from the camera."""

    @property
    def rotations(self) -> Float[Tensor, "B J 3 3"]:
        """Give the rotations as the body model takes them: the root first, then each relative to its parent."""
        return relative_to_parent(self.totals)


def side_of(keypoint: str) -> tuple[str, str]:
    """Split a keypoint's name into side (empty in the middle) and part."""
    side, _, part = keypoint.rpartition("_")
    return side, part


class KeypointsOfBody(nn.Module):
    """Joints and keypoints of a body about its root joint; no surface is needed."""

    offset_m: Float[Tensor, "K 3"]
    rest_m: Float[Tensor, "J 3"]
    shape_m: Float[Tensor, "n J*3"]
    is_ancestor: Float[Tensor, "J J"]

    def __init__(self, body: Body) -> None:
        super().__init__()
        if body.parents != SMPL_24_PARENTS:
            raise ValueError(f"keypoints are known on a body with SMPL's 24 joints, and this one has "
                             f"{len(body.parents)}; give --paths.models-smpl-location such a body")  # fmt: skip
        beside, axes, offsets = [], [], []
        for name in KEYPOINTS_25:
            side, part = side_of(name)
            *joints, offset = ON_BODY[part]
            own = [f"{side}_{joint}" if f"{side}_{joint}" in SMPL_24 else joint for joint in joints]
            beside.append(SMPL_24.index(own[0]))
            axes.append(SMPL_24.index(own[1]))
            offsets.append([offset[0] * (-1 if side == "right" else 1), *offset[1:]])
        self.beside, self.axes, self.parents = beside, axes, list(body.parents[1:])
        lineage = torch.eye(len(body.parents))
        for child, parent in enumerate(body.parents[1:], start=1):
            lineage[child] += lineage[parent]
        lineage[:, 0] = 0
        kept = {"offset_m": torch.tensor(offsets), "rest_m": body.rest_template_joints_m,
                "shape_m": body.shape_of_joints, "is_ancestor": lineage}  # fmt: skip
        for key, value in kept.items():
            self.register_buffer(key, value.detach().clone(), persistent=False)

    def forward(
        self, totals: Float[Tensor, "B J 3 3"], betas: Float[Tensor, "B n"]
    ) -> tuple[Float[Tensor, "B J 3"], Float[Tensor, "B K 3"]]:
        """Place joints and keypoints."""
        rest_m = self.rest_m + (betas @ self.shape_m[: betas.shape[1]]).unflatten(1, self.rest_m.shape)
        bones_m = rest_m[:, 1:] - rest_m[:, self.parents]
        turned_m = (totals[:, self.parents] @ bones_m[..., None])[..., 0]
        joints_m = self.is_ancestor[:, 1:] @ turned_m
        return joints_m, joints_m[:, self.beside] + (totals[:, self.axes] @ self.offset_m[..., None])[..., 0]


def look_rotations(direction: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 3"]:
    """Turn cameras so that their axes meet directions before them, without rolling them.

    Source: Rodrigues' formula, as dataset_def.crop.look_rotation; test_SMPL_from_keypoints.py compares them.
    """
    x, y, z = nn.functional.normalize(direction, dim=1).unbind(1)
    a = 1 / (1 + z)
    rows = ([1 - a * x * x, -a * x * y, -x], [-a * x * y, 1 - a * y * y, -y], [x, y, z])
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def boxed(rays: Float[Tensor, "B K 2"], confidence: Float[Tensor, "B K"]) -> BoxedKeypoints:
    """Look at the middle of the box around keypoints.

    Args:
        rays: x / z and y / z in the picture's camera.
    """
    is_there = (confidence > 0)[..., None]
    low = torch.where(is_there, rays, torch.inf).amin(dim=1)
    high = torch.where(is_there, rays, -torch.inf).amax(dim=1)
    middle = (low + high) / 2
    R = look_rotations(torch.cat([middle, torch.ones_like(middle[:, :1])], dim=1))
    whole = torch.cat([torch.where(is_there, rays, middle[:, None]), torch.ones_like(rays[..., :1])], dim=-1) @ R.mT
    turned = whole[..., :2] / whole[..., 2:]
    half = (turned.amax(dim=1) - turned.amin(dim=1)).amax(dim=1) / 2
    return BoxedKeypoints(turned / half[:, None, None], confidence, half, R)


def placed_by_keypoints(points_m: Float[Tensor, "B K 3"], boxed: BoxedKeypoints) -> Float[Tensor, "B 3"]:
    """Find the translation at which points of a body are seen where the keypoints are.

    Keypoints that lie far off lose their weight; the body stays before the camera.
    Source: least squares over x + tx = u (z + tz), own derivation, test_SMPL_from_keypoints.py.
    """
    uv, weight = boxed.seen, boxed.confidence
    x, y, z = points_m.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    across = torch.cat([torch.stack([one, zero, -uv[..., 0]], -1), torch.stack([zero, one, -uv[..., 1]], -1)], dim=1)
    goal = torch.cat([uv[..., 0] * z - x, uv[..., 1] * z - y], dim=1)
    least_m = NEAREST_M - z.amin(dim=1)
    usual_m = 0.85 / boxed.half  # half a person, where nothing else tells the depth
    for _ in range(WEIGHINGS):
        both = weight.repeat(1, 2)[..., None]
        left = across.mT @ (across * both) + 1e-6 * torch.eye(3, device=x.device)
        right = (across.mT @ (goal[..., None] * both))[..., 0]
        right = right + 1e-6 * torch.stack([torch.zeros_like(usual_m), torch.zeros_like(usual_m), usual_m], dim=1)
        root_m = torch.linalg.solve(left, right)
        root_m = torch.cat([root_m[:, :2], torch.maximum(root_m[:, 2], least_m)[:, None]], dim=1)
        off = (seen_at(points_m, root_m) - uv).norm(dim=-1) / boxed.half[:, None]
        weight = boxed.confidence / (1 + (off / FAR_OFF).square()).square()
    return root_m


def seen_at(points_m: Float[Tensor, "B K 3"], root_m: Float[Tensor, "B 3"]) -> Float[Tensor, "B K 2"]:
    """Give where points are seen, at depth one."""
    placed_m = points_m + root_m[:, None]
    return placed_m[..., :2] / placed_m[..., 2:].clamp_min(NEAREST_M / 2)


class _Reader(nn.Module):
    """Residual layers from numbers to numbers."""

    def __init__(self, inputs: int, outputs: int, config: KeypointsNetwork) -> None:
        super().__init__()
        width = config.hidden
        self.first = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU())
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width))
            for _ in range(config.blocks)
        )
        linear = nn.Linear(width, outputs)
        with torch.no_grad():
            linear.weight.mul_(START_SCALE)
            linear.bias.zero_()
        self.last = nn.Sequential(nn.LayerNorm(width), linear)

    def forward(self, numbers: Float[Tensor, "B I"]) -> Float[Tensor, "B O"]:
        found = self.first(numbers)
        for block in self.blocks:
            found = found + block(found)
        return self.last(found)


class BodyFromKeypoints(nn.Module):
    """Reads bodies off keypoints.

    Args:
        body: whose keypoints are looked at; only its skeleton is used.
        provenance: plain settings and the hash of the body that travel with the weights.
    """

    def __init__(self, body: Body, config: KeypointsNetwork, provenance: dict[str, Any]) -> None:
        super().__init__()
        self.body, self.config, self.provenance = KeypointsOfBody(body), config, provenance
        self.parents, self.num_betas = body.parents, body.num_betas
        numbers, told = 6 * len(self.parents) + self.num_betas, 3 * len(KEYPOINTS_25) + 1
        self.reader = _Reader(told, numbers, config)
        self.again = _Reader(told + numbers + 2 * len(KEYPOINTS_25) + 3, numbers, config) if config.looks else None

    def get_extra_state(self) -> dict[str, Any]:
        """Give settings and the body's hash to the state_dict; plain types only."""
        return self.provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take settings and the body's hash from a state_dict."""
        self.provenance = state

    def forward(self, boxed: BoxedKeypoints) -> list[LiftedBodies]:
        """Read bodies; each reading changes the one before it and passes it no gradient; the best comes last."""
        count, there = len(boxed.half), (boxed.confidence > 0)[..., None]
        told = [torch.where(there, boxed.points, 0.0).flatten(1), boxed.confidence, boxed.half.log()[:, None]]
        facing = torch.diag(boxed.half.new_tensor(FACING_CAMERA))[:, :2]
        columns = facing.expand(count, len(self.parents), 3, 2)
        betas = boxed.half.new_zeros(count, self.num_betas)
        readings = [self._changed(columns, betas, self.reader(torch.cat(told, dim=1)), boxed)]
        for _ in range(self.config.looks):
            before = LiftedBodies(*(value.detach() for value in readings[-1]))
            assert self.again is not None
            with torch.no_grad():
                points_m = self.body(before.totals, before.betas)[1]
                off = (boxed.seen - seen_at(points_m, before.root_m)) / boxed.half[:, None, None]
                off = torch.where(there, off, 0.0).clamp(-2, 2)
                columns = before.totals[..., :2]
                root = before.root_m * boxed.half[:, None]
            known = [columns.flatten(1), before.betas, off.flatten(1), root]
            change = self.again(torch.cat([*told, *known], dim=1))
            readings.append(self._changed(columns, before.betas, change, boxed))
        return readings

    def _changed(
        self, columns: Float[Tensor, "B J 3 2"], betas: Tensor, numbers: Float[Tensor, "B N"], boxed: BoxedKeypoints
    ) -> LiftedBodies:
        """Change bodies by numbers, and put them where their keypoints are seen."""
        joints = len(self.parents)
        totals = roma.special_gramschmidt(columns + numbers[:, : 6 * joints].unflatten(1, (joints, 3, 2)))
        betas = betas + numbers[:, 6 * joints :]
        return LiftedBodies(totals, betas, placed_by_keypoints(self.body(totals, betas)[1], boxed))


def keypoints_terms(
    found: LiftedBodies, true: LiftedBodies, boxed: BoxedKeypoints, body: KeypointsOfBody
) -> dict[str, Float[Tensor, ""]]:
    """Compare bodies with the true ones, term by term."""
    (joints_m, points_m), (true_joints_m, true_points_m) = (body(one.totals, one.betas) for one in (found, true))
    apart_m = torch.cat([joints_m - true_joints_m, points_m - true_points_m], dim=1).norm(dim=-1)
    off = seen_at(points_m, found.root_m) - seen_at(true_points_m, true.root_m)
    return {
        "points": apart_m.mean(),
        "rotations": (found.totals - true.totals).square().sum(dim=(2, 3)).mean(),
        "betas": (found.betas - true.betas).square().mean(),
        "seen": (off.norm(dim=-1) / boxed.half[:, None]).clamp_max(2).mean(),
    }


class Lifter(NamedTuple):
    """A trained lifter, and what it is."""

    network: BodyFromKeypoints
    hash: str
    reads: Reads


@rebuilds_from_checkpoint("lifter")
def load_lifter(path: Path, body_location: Path) -> Lifter:
    """Read a lifter for evaluation.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another kind, or trained on another body.
    """
    checkpoint = load_checkpoint(path, "lifter")
    states = checkpoint["states"]["model"]
    provenance = states["_extra_state"]
    if provenance["body_hash"] != file_hash(body_location):
        command = f"python sample/train_SMPL_from_keypoints.py --paths.models-smpl-location {body_location}"
        raise ValueError(f"{path} was trained on another body than {body_location}; train one for it with: {command}")
    settings = config_from_dict(KeypointsNetwork, provenance["network"])
    network = BodyFromKeypoints(load_body(body_location), settings, provenance)
    load_weights(network, states, path)
    network.eval().requires_grad_(False)
    return Lifter(network, file_hash(path), lifter_reads(path))


@rebuilds_from_checkpoint("lifter")
def lifter_reads(path: Path) -> Reads:
    """Say what a lifter was made from."""
    checkpoint = load_checkpoint(path, "lifter")
    return stored_reads(checkpoint) or of_poses(config_from_dict(KeypointsConfig, checkpoint["config"]).bank)
