"""Joints of one view -> rotations and shape: what stage 4 begins with where heat maps find joints.

It is learned from poses that belong to nobody's picture: a body of any shape takes a pose of a bank, a camera anywhere
looks at it, and its joints are moved as a network that finds them would misplace them.  No image is read.  Counts,
parents and sides come from the body and its measured joints, so that any skeleton serves.
"""

from math import pi
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from config import UnpairedPoses
from models.body_surface import opposite_joints, paired_limbs, part_of_body, spread_vertices
from models.drawn_masks import uniform, varied_poses
from models.kinematics import along_the_tree, relative_to_parent, rotations_of_columns
from models.smpl import Body
from utils.engine import mixed_seed
from utils.views import vertex_surface_share

START_SCALE = 0.1
"""The last layer starts with so much of its usual weights, so that a training begins near the resting body."""
FACING_CAMERA = (1.0, -1.0, -1.0)
"""A resting body (y up, facing z) that stands in a camera's axes (y down, z away) and faces the camera."""
Z_UP_FROM_CAMERA = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
"""R_world_from_cam of a level camera, in a world whose z is up."""
SURFACE_POINTS = 300
"""Vertices that stand for the surface in losses: some 8 cm apart on a person, and 20 times as fast as all."""


class BodyEstimate(NamedTuple):
    """What a network says about the body, in the axes of the crop camera."""

    rotations_crop: Float[Tensor, "B J 3 3"]
    """The root first, R_crop_from_body; then each joint relative to its parent.  24 of people."""
    betas: Float[Tensor, "B n"]


class SurfaceSample(nn.Module):
    """Some vertices that stand for a body's surface, each with its share of it, and the joints that are measured."""

    share: Float[Tensor, "K"]
    rows: Int[Tensor, "K"]

    def __init__(self, body: Body, count: int = SURFACE_POINTS) -> None:
        super().__init__()
        chosen = spread_vertices(body, min(count, len(body.template_m)))
        kept = torch.unique(torch.cat([chosen, body.evaluated_vertices]) if body.has_evaluated_regressor else chosen)
        self.part = part_of_body(body, kept)
        nearest = torch.cdist(body.template_m, body.template_m[chosen]).argmin(dim=1)
        share = torch.zeros(len(chosen)).index_add_(0, nearest, vertex_surface_share(body.template_m, body.faces))
        self.register_buffer("share", share, persistent=False)
        self.register_buffer("rows", torch.searchsorted(kept, chosen), persistent=False)

    def forward(self, estimate: BodyEstimate) -> tuple[Float[Tensor, "B K 3"], Float[Tensor, "B E 3"]]:
        """Give surface points and measured joints, both about the first of these joints."""
        out = self.part(*estimate, estimate.betas.new_zeros(len(estimate.betas), 3))
        joints_m = self.part.evaluated_joints_m(out.vertices_m, out.joints_m)
        return out.vertices_m[:, self.rows] - joints_m[:, :1], joints_m - joints_m[:, :1]


def body_rows(
    found: BodyEstimate, true: BodyEstimate, surface: SurfaceSample
) -> dict[str, Float[Tensor, "B"]]:  # fmt: skip
    """Compare bodies with true ones row by row: the surface by its area, rotations in crop axes, and shape."""
    parents = surface.part.parents
    (vertices_m, _), (true_vertices_m, _) = surface(found), surface(true)
    apart = along_the_tree(found.rotations_crop, parents) - along_the_tree(true.rotations_crop, parents)
    return {
        "vertices_m": (vertices_m - true_vertices_m).norm(dim=-1) @ surface.share,
        "rotations": apart.square().sum(dim=(2, 3)).mean(dim=1),
        "shape": (found.betas - true.betas).square().mean(dim=1),
    }


class ShapeFromBones(nn.Module):
    """Reads the shape off the lengths between joints, in closed form: nobody's shape can be learned by heart.

    Lengths of the resting body are linear in its shape numbers, nearly; those are as small as their usual spread says.
    Source: ridge regression, a normal prior of spread one against lengths that are SPREAD_M off; own derivation,
        test_SMPL_from_joints.py.
    """

    usual_m: Float[Tensor, "L"]
    solve: Float[Tensor, "n L"]

    def __init__(self, joint_parents: tuple[int, ...], num_betas: int) -> None:
        super().__init__()
        self.joint_parents = joint_parents
        self.register_buffer("usual_m", torch.zeros(len(joint_parents) - 1))
        self.register_buffer("solve", torch.zeros(num_betas, len(joint_parents) - 1))

    def take_body(self, body: Body) -> None:
        """Measure how lengths follow from shape."""
        betas = torch.cat([torch.zeros(1, body.num_betas), torch.eye(body.num_betas)])
        rest = torch.eye(3).expand(len(betas), len(body.parents), 3, 3)
        out = body(rest, betas, torch.zeros(len(betas), 3))
        lengths_m = self.lengths_m(body.evaluated_joints_m(out.vertices_m, out.joints_m))
        by_beta = lengths_m[1:] - lengths_m[:1]
        self.usual_m.copy_(lengths_m[0])
        both = by_beta @ by_beta.T + SPREAD_M**2 * torch.eye(body.num_betas)
        self.solve.copy_(torch.linalg.solve(both, by_beta))

    def lengths_m(self, joints_m: Float[Tensor, "B E 3"]) -> Float[Tensor, "B L"]:
        """Measure the length from every joint to its parent."""
        child, parent = range(1, len(self.joint_parents)), self.joint_parents[1:]
        return (joints_m[:, list(child)] - joints_m[:, list(parent)]).norm(dim=-1)

    def forward(self, joints_m: Float[Tensor, "B E 3"]) -> Float[Tensor, "B n"]:
        """Read shapes; float32 whatever runs around it."""
        with torch.autocast(joints_m.device.type, enabled=False):
            return (self.lengths_m(joints_m.float()) - self.usual_m) @ self.solve.mT


SPREAD_M = 0.055
"""How far lengths between found joints are taken to be off.  0.055 m (ridge 0.003) was best of three on held-out
sequences."""


class BodyFromJoints(nn.Module):
    """A residual perceptron from joints about the pelvis, and the directions between them, to a body.

    Rotations are read in the axes of the crop camera, as two of their columns: joints live in these axes too.
    Source: Zhou et al., On the continuity of rotation representations, CVPR 2019, section 4.2 (two columns).

    Args:
        joint_parents: tree of the joints that are read; parents of the body's own joints come with the body.
    """

    def __init__(
        self, joint_parents: tuple[int, ...], body_parents: tuple[int, ...], num_betas: int, hidden: int, blocks: int
    ) -> None:
        super().__init__()
        self.joint_parents, self.body_parents = joint_parents, body_parents
        self.numbers = 6 * len(body_parents) + num_betas
        self.first = nn.Sequential(nn.Linear(6 * len(joint_parents) - 3, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, hidden))
            for _ in range(blocks)
        )
        linear = nn.Linear(hidden, self.numbers)
        with torch.no_grad():
            linear.weight.mul_(START_SCALE)
            linear.bias.zero_()
        self.last = nn.Sequential(nn.LayerNorm(hidden), linear)
        self.register_buffer("start", torch.diag(torch.tensor(FACING_CAMERA))[:, :2], persistent=False)

    def read(self, joints_root_m: Float[Tensor, "B E 3"]) -> Float[Tensor, "B N"]:
        """Read the numbers that make a body."""
        child, parent = range(1, len(self.joint_parents)), self.joint_parents[1:]
        bones_m = joints_root_m[:, list(child)] - joints_root_m[:, list(parent)]
        along = nn.functional.normalize(bones_m, dim=-1, eps=1e-3)
        found = self.first(torch.cat([joints_root_m, along], dim=1).flatten(1))
        for block in self.blocks:
            found = found + block(found)
        return self.last(found)

    def body_of(self, numbers: Float[Tensor, "B N"]) -> BodyEstimate:
        """Make a body of numbers; float32 whatever runs around it: matrices in bfloat16 are no rotations."""
        joints = len(self.body_parents)
        columns, betas = numbers.float().split([6 * joints, self.numbers - 6 * joints], dim=1)
        totals = rotations_of_columns(self.start + columns.unflatten(1, (joints, 3, 2)))
        with torch.autocast(numbers.device.type, enabled=False):
            return BodyEstimate(relative_to_parent(totals, self.body_parents), betas)

    def forward(self, joints_root_m: Float[Tensor, "B E 3"]) -> BodyEstimate:
        """Read bodies."""
        return self.body_of(self.read(joints_root_m))


class DrawnJoints(NamedTuple):
    """A batch of bodies that nobody has, and their joints as they might be found."""

    joints_root_m: Float[Tensor, "B E 3"]
    true: BodyEstimate


class JointDrawing(NamedTuple):
    """Everything that batches are drawn from but the random numbers."""

    surface: SurfaceSample
    joint_parents: tuple[int, ...]
    bank: Float[Tensor, "N J 3 3"]
    """The root in a world whose z is up."""
    config: UnpairedPoses


def misplaced(
    joints_root_m: Float[Tensor, "B E 3"], parents: tuple[int, ...], off: float, generator: torch.Generator
) -> Float[Tensor, "B E 3"]:
    """Move joints as networks misplace them: each about its parent, by a share of the length between them.

    A wrong shoulder carries elbow and wrist with it; bodies differ in how badly they are seen.
    """
    size = off * uniform((len(joints_root_m), 1), 0.3, 1.7, generator)
    noise = torch.randn(joints_root_m.shape, generator=generator)
    moved = [torch.zeros_like(joints_root_m[:, 0])]
    for child, parent in enumerate(parents[1:], start=1):
        length_m = (joints_root_m[:, child] - joints_root_m[:, parent]).norm(dim=-1, keepdim=True)
        moved.append(moved[parent] + noise[:, child] * size * length_m)
    return joints_root_m + torch.stack(moved, dim=1)


@torch.no_grad()
def drawn_joints(drawing: JointDrawing, count: int, generator: torch.Generator) -> DrawnJoints:
    """Draw bodies of any shape and heading before cameras, and joints that are found wrongly."""
    body, config = drawing.surface.part, drawing.config
    opposite = opposite_joints(body.rest_template_joints_m)
    groups = paired_limbs(body.parents, opposite)
    rotations = varied_poses(drawing.bank, count, groups, opposite, config.poses, generator)
    lean = torch.randn(count, 3, generator=generator) * (config.tilt_degrees * pi / 180)
    lean[:, 1] = 0  # about the vertical bodies face anywhere already
    R_cam_from_world = roma.rotvec_to_rotmat(lean) @ torch.tensor(Z_UP_FROM_CAMERA).mT
    root = R_cam_from_world @ rotations[:, 0]
    betas = torch.randn(count, body.num_betas, generator=generator)
    true = BodyEstimate(torch.cat([root[:, None], rotations[:, 1:]], dim=1), betas)
    joints_m = drawing.surface(true)[1]
    return DrawnJoints(misplaced(joints_m, drawing.joint_parents, config.off, generator), true)


UNPAIRED_WEIGHTS = {"vertices_m": 1.0, "rotations": 0.05, "shape": 0.01}
"""Rotations count little: they decide what the surface hardly tells, such as the turn of a forearm about itself."""


def learn_from_unpaired_poses(network: BodyFromJoints, drawing: JointDrawing, seed: int) -> float:
    """Teach bodies behind misplaced joints; give the mean distance of the surface, in metres, over the last batches.

    Every number follows from the seed.
    """
    config = drawing.config
    last: list[float] = []
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    network.train()
    for step in tqdm(range(config.steps), "unpaired poses", disable=None):
        drawn = drawn_joints(drawing, config.batch, torch.Generator().manual_seed(mixed_seed(seed, step, 606)))
        rows = body_rows(network(drawn.joints_root_m), drawn.true, drawing.surface)
        total = torch.stack([UNPAIRED_WEIGHTS[name] * row.mean() for name, row in rows.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        last = [*last[-49:], rows["vertices_m"].mean().item()]
    return sum(last) / max(1, len(last))
