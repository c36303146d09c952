"""Fit the body model to the masks of all cameras and the joints of a frame, many frames at once, without a network.

Where no mesh is known (real recordings) the fits stand in for the truth; their own error is measured on data with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from config import Device, Paths, ranged, setting
from models.kinematics import upright_rotations
from models.mesh_evaluation import aligned_where_known
from models.mesh_losses import Scores, coverage_in_views, mesh_to_mask_loss_m, soft_iou_loss
from models.silhouette import Topology
from models.smpl import Body
from utils.metrics import iou_percent, mpjpe_mm, vertex_error_mm
from utils.skeleton import SMPL_24, joint_rows
from utils.views import MeshViews, placed_in_views


@dataclass(frozen=True)
@ranged("loss")
class FitLoss:
    """The terms of a fit and their weights; the weight 0 leaves a term out."""

    joints: float = setting(10.0, low=0)
    """Mean distance of the 17 joints, metres."""
    soft_iou: float = setting(1.0, low=0)
    """One minus intersection over union of the silhouettes, mean over the views."""
    mesh_to_mask: float = setting(5.0, low=0)
    """Mean distance from the mesh's vertices to the masks, metres; its weight falls to zero in the course of a fit."""
    pose: float = setting(0.003, low=0)
    """Mean squared difference of the joints' rotation matrices from a standing person's."""
    joint_axis: float = setting(0.1, low=0)
    """Mean squared deviation of the axes of knees and elbows from the one they bend about."""
    shape: float = setting(0.002, low=0)
    """Mean squared shape number."""
    prior: float = setting(0.02, low=0)
    """Mean squared distance of the discriminator's scores from 1; only where a prior is given."""


@dataclass(frozen=True)
@ranged()
class FitConfig:
    """sample/fit_SMPL.py: bodies fitted to the masks of all cameras and the joints of a frame."""

    name: str = "demo"
    """The folder: runs/fit/<name>; its truth/ can be given to sample/test_SMPL.py as paths.truth_location."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: tuple[int, ...] = (9, 11)
    every: int = setting(4, low=1)
    """Fit every n-th frame."""
    sequences: int = setting(0, low=0)
    """Sequences per subject, spread over the actions; 0 for all."""
    mask_px: int = setting(128, low=16, high=1024)
    """Side of the masks; they are cut from the frames, not from packed crops."""
    side_m: float = 2.3
    """Side of the crops in metres."""
    batch: int = setting(20, low=1)
    """Frames fitted together; the first batch of a sequence, spread over it, decides the shape for all of it."""
    joint_steps: int = setting(150, low=1)
    """Steps towards the joints alone, from each of two starts."""
    mask_steps: int = setting(150, low=0)
    """Steps towards joints and masks."""
    lr: float = setting(0.05, low=1e-06, high=1)
    """Adam's step size for rotations (6D), shape and metres; falls to a tenth."""
    loss: FitLoss = field(default_factory=FitLoss)
    prior: Path | None = None
    """checkpoint_best.pt of stage 3."""
    overwrite: bool = False
    """Fit anew what a run of the same name has fitted."""
    result: Path | None = None
    """A .json that also gets the error against the embedded data's truth, with protocol and hardware."""


TORSO_JOINTS = joint_rows(("pelvis", "right_hip", "left_hip", "spine", "thorax", "left_shoulder", "right_shoulder"))
ROUND_M = 0.005
"""Joint distances count linearly from about here on, and squared below."""
JOINT_AXES = {"knee": 0, "elbow": 1}
"""Joints that bend about one axis only: x for the knees of the T-pose, y for the elbows."""
STIFF = {"foot": 10.0, "hand": 10.0, "ankle": 3.0, "wrist": 3.0}
"""Joints that nothing but a silhouette tells about stay nearer to a standing person's, by this factor."""
SITTING_RAD = {"hip": -1.4, "knee": 1.6}
"""Bends of the sitting start, about x."""
SAMPLES = 2
LAST_LR = 0.1
"""The step size falls to this share of its start, so that a fit comes to rest."""
SPREAD_VERTICES = 4
"""Every n-th vertex counts for the distance from the mesh to the masks."""


class FrameObservations(NamedTuple):
    """What is known about the frames of a batch."""

    joints_world_m: Float[Tensor, "T 17 3"]
    views: MeshViews
    """Crops centred on the true pelvis."""


class FittedBodies(NamedTuple):
    """Bodies in the world, as the body layer takes them."""

    rotations_world: Float[Tensor, "T 24 3 3"]
    betas: Float[Tensor, "n"] | Float[Tensor, "T n"]
    """One shape for all frames, or one per frame."""
    translation_m: Float[Tensor, "T 3"]


class Pose(nn.Module):
    """What is optimised: two columns of every rotation, the shape shared by all frames, and where each body stands."""

    def __init__(self, rotations: Float[Tensor, "T 24 3 3"], betas: Float[Tensor, "n"], place_m: Float[Tensor, "T 3"]):
        super().__init__()
        self.columns = nn.Parameter(rotations[..., :2].clone())
        self.betas = nn.Parameter(betas.clone())
        self.place_m = nn.Parameter(place_m.clone())

    def bodies(self) -> FittedBodies:
        """Give the bodies that the parameters stand for."""
        return FittedBodies(roma.special_gramschmidt(self.columns), self.betas, self.place_m)


def detached(pose: Pose) -> FittedBodies:
    """Give the bodies without gradients."""
    return FittedBodies(*(value.detach() for value in pose.bodies()))


def starting_poses() -> Float[Tensor, "S 24 3 3"]:
    """Give the poses that a fit may start from, with the root at rest: standing, and sitting with bent knees.

    From a standing start a squatting person's knee may end up bent to the wrong side.
    """
    standing = upright_rotations()
    standing[0] = torch.eye(3)
    sitting = standing.clone()
    for part, rad in SITTING_RAD.items():
        turned = roma.rotvec_to_rotmat(torch.tensor([rad, 0.0, 0.0]))
        sitting[joint_rows((f"left_{part}", f"right_{part}"), SMPL_24)] = turned
    return torch.stack([standing, sitting])


def first_guess(
    body: Body, joints_world_m: Float[Tensor, "T 17 3"], betas: Float[Tensor, "n"], pose: Float[Tensor, "24 3 3"]
) -> FittedBodies:
    """Put a person in this pose where the torso is, turned as the torso is.

    Source: Umeyama, IEEE PAMI 13(4), 1991, on the joints of the torso, as roma.rigid_points_registration.
    """
    count = len(joints_world_m)
    rotations = pose.to(joints_world_m).expand(count, -1, -1, -1).clone()
    shape, zero = betas.expand(count, -1), joints_world_m.new_zeros(count, 3)
    rest_m = body.h36m_joints_m(body(rotations, shape, zero).vertices_m)
    rotations[:, 0] = roma.rigid_points_registration(rest_m[:, TORSO_JOINTS], joints_world_m[:, TORSO_JOINTS])[0]
    turned_m = body.h36m_joints_m(body(rotations, shape, zero).vertices_m)
    return FittedBodies(rotations, betas, (joints_world_m - turned_m)[:, TORSO_JOINTS].mean(dim=1))


def rounded_distance_m(apart_m: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """Measure distances with a round bottom, so that the gradient does not jump at zero."""
    return (apart_m.square().sum(dim=-1) + ROUND_M**2).sqrt() - ROUND_M


def joint_axis_error(rotations: Float[Tensor, "T 24 3 3"]) -> Float[Tensor, "T"]:
    """Average, frame by frame, how far knees and elbows carry off the axis they turn about (squared, unit vectors)."""
    errors = []
    for part, axis in JOINT_AXES.items():
        rows = joint_rows((f"left_{part}", f"right_{part}"), SMPL_24)
        unit = torch.eye(3, dtype=rotations.dtype, device=rotations.device)[axis]
        errors.append((rotations[:, rows, :, axis] - unit).square().sum(dim=-1).mean(dim=1))
    return torch.stack(errors).mean(dim=0)


def stiffness() -> Float[Tensor, "23"]:
    """List how strongly each joint but the root is held at a standing person's rotation."""
    return torch.tensor([STIFF.get(name.split("_")[-1], 1.0) for name in SMPL_24[1:]])


class Fit:
    """Fits bodies to the observations of frames.

    Args:
        prior: scores rotations without the root, and shapes; None for none.
    """

    def __init__(self, body: Body, config: FitConfig, prior: Scores | None = None) -> None:
        self.body, self.config, self.prior = body, config, prior
        self.quick = body.joints_only()
        self.topology = Topology(body.faces)
        self.starts = starting_poses().to(body.template_m)
        self.standing = self.starts[0, 1:]
        self.stiffness = stiffness().to(body.template_m)

    def fit(self, observations: FrameObservations, betas: Float[Tensor, "n"] | None = None) -> Iterator[FittedBodies]:
        """Fit a batch of frames of one person, giving the bodies after every step towards the masks.

        Args:
            betas: the person's shape; None fits it, one for all frames.
        """
        with torch.no_grad():
            start = self.body.template_m.new_zeros(min(10, self.body.num_betas)) if betas is None else betas
            guesses = [first_guess(self.quick, observations.joints_world_m, start, pose) for pose in self.starts]
        pose = Pose(*(torch.cat([guess[part] for guess in guesses]) if part != 1 else start for part in range(3)))
        pose.betas.requires_grad_(betas is None)
        repeated = observations.joints_world_m.repeat(len(guesses), 1, 1)
        for _ in self._steps(pose, self.config.joint_steps, 1.0, lambda _: self.joint_loss(pose.bodies(), repeated)):
            pass
        pose = self._best_start(pose, repeated, len(guesses))
        yield detached(pose)
        for _ in self._steps(
            pose,
            self.config.mask_steps,
            LAST_LR,
            lambda share: self.mask_loss(pose.bodies(), observations, annealed=1 - share),
        ):
            yield detached(pose)

    def _steps(
        self, pose: Pose, steps: int, lr_share: float, loss_at: Callable[[float], Float[Tensor, ""]]
    ) -> Iterator[None]:
        """Let Adam move the parameters; the step size falls to a tenth.  The loss is told the share of steps done."""
        optimizer = torch.optim.Adam([p for p in pose.parameters() if p.requires_grad])
        for step in range(1, steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * lr_share * LAST_LR ** (step / steps)
            optimizer.zero_grad(set_to_none=True)
            loss_at(step / steps).backward()
            optimizer.step()
            yield

    @torch.no_grad()
    def _best_start(self, pose: Pose, joints_world_m: Float[Tensor, "ST 17 3"], starts: int) -> Pose:
        """Keep for every frame the start that came nearest."""
        best = self.frame_terms(pose.bodies(), joints_world_m)[0].unflatten(0, (starts, -1)).argmin(dim=0)
        rows = best * (len(joints_world_m) // starts) + torch.arange(len(best), device=best.device)
        kept = Pose(pose.bodies().rotations_world[rows], pose.betas, pose.place_m[rows])
        kept.betas.requires_grad_(pose.betas.requires_grad)
        return kept

    def joint_loss(self, bodies: FittedBodies, joints_world_m: Float[Tensor, "T 17 3"]) -> Float[Tensor, ""]:
        """Add what needs no picture, as a sum over frames: no frame's step depends on how many others there are."""
        return self.frame_terms(bodies, joints_world_m)[0].sum()

    def mask_loss(self, bodies: FittedBodies, observations: FrameObservations, annealed: float) -> Float[Tensor, ""]:
        """Add all terms.

        Args:
            annealed: 1 at the start, 0 at the end; weighs the distance from the mesh to the masks.
        """
        terms, vertices_m = self.frame_terms(bodies, observations.joints_world_m, with_surface=True)
        return terms.sum() + len(terms) * self.mask_terms(vertices_m, observations.views, annealed)

    def frame_terms(
        self, bodies: FittedBodies, joints_world_m: Float[Tensor, "T 17 3"], with_surface: bool = False
    ) -> tuple[Float[Tensor, "T"], Float[Tensor, "T N 3"]]:
        """Weigh, frame by frame, how far a body is from its joints and from an ordinary pose; and give its vertices."""
        weights, shape = self.config.loss, bodies.betas.expand(len(joints_world_m), -1)
        layer = self.body if with_surface else self.quick
        vertices_m = layer(bodies.rotations_world, shape, bodies.translation_m).vertices_m
        bent = (bodies.rotations_world[:, 1:] - self.standing).square().sum(dim=(2, 3))
        terms = weights.joints * rounded_distance_m(layer.h36m_joints_m(vertices_m) - joints_world_m).mean(dim=1)
        terms = terms + weights.pose * (bent * self.stiffness).mean(dim=1)
        terms = (
            terms
            + weights.joint_axis * joint_axis_error(bodies.rotations_world)
            + weights.shape * bodies.betas.square().mean()
        )
        if self.prior is not None and weights.prior > 0:
            scores = self.prior.scores(bodies.rotations_world[:, 1:], shape)
            terms = terms + weights.prior * (scores - 1).square().mean(dim=1)
        return terms, vertices_m

    def mask_terms(
        self, vertices_world_m: Float[Tensor, "T N 3"], views: MeshViews, annealed: float
    ) -> Float[Tensor, ""]:
        """Compare silhouettes with masks: soft IoU, and the distance of vertices outside."""
        size, weights = views.mask.shape[-1], self.config.loss
        vertices_px = placed_in_views(vertices_world_m - views.target_world_m[:, :1], views, "pelvis")
        coverage = coverage_in_views(vertices_px, self.topology, size, SAMPLES)
        term = weights.soft_iou * soft_iou_loss(coverage, views.mask, views.exists)
        if weights.mesh_to_mask * annealed > 0:
            some_px = vertices_px[:, :, ::SPREAD_VERTICES, :2]
            mesh_to_mask_m = mesh_to_mask_loss_m(
                some_px, views.distance_to_mask_m, views.exists, self.config.side_m / size
            )
            term = term + weights.mesh_to_mask * annealed * mesh_to_mask_m
        return term


def fitted_vertices_m(body: Body, bodies: FittedBodies) -> Float[Tensor, "T N 3"]:
    """Give the surfaces of bodies in the world."""
    shape = bodies.betas.expand(len(bodies.translation_m), -1)
    return body(bodies.rotations_world, shape, bodies.translation_m).vertices_m


@torch.no_grad()
def fitted_coverage(body: Body, topology: Topology, bodies: FittedBodies, views: MeshViews) -> Float[Tensor, "T V S S"]:
    """Draw fitted bodies in all views of their frames."""
    about_target_m = fitted_vertices_m(body, bodies) - views.target_world_m[:, :1]
    vertices_px = placed_in_views(about_target_m, views, "pelvis")
    return coverage_in_views(vertices_px, topology, views.mask.shape[-1], 2 * SAMPLES)


@torch.no_grad()
def fit_errors(
    body: Body, fitted: FittedBodies, true: FittedBodies | None, observations: FrameObservations
) -> dict[str, Float[Tensor, "T"]]:
    """Measure fits against joints and masks and, where they are known, against the true meshes."""
    vertices_m = fitted_vertices_m(body, fitted)
    joints_m = body.h36m_joints_m(vertices_m)
    topology = Topology(body.faces)
    iou = iou_percent(fitted_coverage(body, topology, fitted, observations.views), observations.views.mask)
    errors = {
        "mpjpe_17_mm": mpjpe_mm(joints_m, observations.joints_world_m),
        "iou_all_views_percent": iou.masked_fill(~observations.views.exists, torch.nan).nanmean(dim=1),
    }
    if true is not None:
        true_m = fitted_vertices_m(body, true)
        predicted_root_m, true_root_m = (
            surface - body.h36m_joints_m(surface)[:, :1] for surface in (vertices_m, true_m)
        )
        of_true = iou_percent(fitted_coverage(body, topology, true, observations.views), observations.views.mask)
        errors["iou_true_body_percent"] = of_true.masked_fill(~observations.views.exists, torch.nan).nanmean(dim=1)
        errors["vertex_mm"] = vertex_error_mm(predicted_root_m, true_root_m)
        errors["pa_vertex_mm"] = aligned_where_known(predicted_root_m, true_root_m)
    return errors
