"""Fit bodies: move each until its silhouettes cover the masks, many frames at once.

A fit begins with what the teacher reads, or where joints are known, with somebody who is bent until they are met.
Joints and 2D keypoints are optional.  The shape belongs to a person, not to a frame; what stands off the skin, cloth
and hair, is a thickness of its own for each part, so that bodies do not grow stout to fill clothes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from config import ranged, setting
from models.body_surface import pelvis_m, vertex_normals
from models.kinematics import along_the_tree, rotations_of_columns, upright_rotations
from models.mesh_losses import Scores
from models.silhouette import Topology
from models.smpl import Body
from models.SMPL_from_keypoints import KeypointsOfBody
from models.SMPL_from_masks import USUAL_CLOTH_M, EstimatedBodies, covered
from utils.skeleton import SMPL_24, joint_rows
from utils.views import MeshViews, placed_in_views

SAMPLES = 2
LAST_LR = 0.1
"""The step size falls to this share of its start, so that a fit comes to rest."""
ROUND_M = 0.005
"""Joint distances count linearly from about here on, and squared below."""
JOINT_AXES = {"knee": 0, "elbow": 1}
"""Joints that bend about one axis only: x for the knees of the T-pose, y for the elbows."""
TORSO_JOINTS = joint_rows(("pelvis", "right_hip", "left_hip", "spine", "thorax", "left_shoulder", "right_shoulder"))
JOINT_LR = 0.05
"""Adam's step size while a body is bent towards joints; falls likewise.  At 0.015 bodies come less near in 150 steps
(9.5 instead of 5.4 mm)."""
STIFF = {"foot": 10.0, "hand": 10.0, "ankle": 3.0, "wrist": 3.0}
"""Joints that no joint tells about stay nearer to a standing person's, by this factor."""
LESS_BY = 0.04
"""A frame that covers its masks by so much less than a neighbour begins again in the neighbour's pose; one that covers
them by so much less than the middle frame does so next to any better neighbour."""
BETTER_BY = 0.01
"""And keeps what comes of it if the overlap is higher by this."""
SITTING_RAD = {"hip": -1.4, "knee": 1.6}
"""Bends of the sitting start, about x."""


@dataclass(frozen=True)
@ranged("loss")
class MasksFitLoss:
    """What a body is pulled by when it is fitted to masks; the weight 0 leaves a term out."""

    soft_iou: float = setting(1.0, low=0)
    """One minus intersection over union of the silhouettes, mean over the views."""
    teacher: float = setting(2.0, low=0)
    """Mean distance of the joints from the teacher's, metres; falls to a tenth in the course of a fit."""
    turned: float = setting(0.05, low=0)
    """Mean squared difference of the joints' rotation matrices from the teacher's."""
    joint_axis: float = setting(0.1, low=0)
    """Mean squared deviation of the axes of knees and elbows from the one they bend about (SMPL's skeleton only)."""
    joints: float = setting(10.0, low=0)
    """Mean distance of the 17 joints from those that are known, metres, by confidence."""
    keypoints: float = setting(10.0, low=0)
    """Mean distance of the 17 joints from 2D keypoints, metres at the depth of the crop's target, by confidence."""
    pose: float = setting(0.003, low=0)
    """Mean squared difference of the joints' rotation matrices from a standing person's; only while a body that
    begins at joints is bent towards them."""
    prior: float = setting(0.02, low=0)
    """Mean squared distance of the discriminator's scores from 1; only where a prior is given."""
    shape: float = setting(0.002, low=0)
    """Mean squared shape number."""
    cloth: float = setting(2.0, low=0)
    """Mean distance of the thickness of each part from what cloth usually has, metres."""


@dataclass(frozen=True)
@ranged("steps")
class MasksFitSteps:
    """How a fit proceeds."""

    steps: int = setting(60, low=0)
    """Of each frame's pose."""
    joint_steps: int = setting(150, low=1)
    """Towards the joints alone, from each of two poses; only for bodies that begin at joints."""
    shape_steps: int = setting(80, low=0)
    """Of a person's shape and clothes, together with the poses of some frames."""
    lr: float = setting(0.05, low=1e-06, high=1)
    """Adam's step size for rotations (6D) and metres; falls to a tenth."""
    shape_lr: float = setting(0.03, low=1e-06, high=1)
    neighbour_rounds: int = setting(40, low=0)
    """Rounds in which a frame that covers its masks less than the frame before or after it begins again in that one's
    pose, and keeps the better end; 0 for none."""
    usual_cloth_m: float = setting(USUAL_CLOTH_M, low=0, high=0.2)
    """Thickness that a part's cloth is held at."""


class MasksObservations(NamedTuple):
    """What is known about the frames of a batch."""

    views: MeshViews
    joints_root_m: Float[Tensor, "T 17 3"]
    """About the pelvis, world axes."""
    joints_confidence: Float[Tensor, "T 17"]
    """0 where a joint is not known."""
    pelvis_world_m: Float[Tensor, "T 3"]
    """Where the pelvis is known to be, about the crops' target; looked at only by a fit that is told so, and by one
    that begins at joints."""
    keypoints_px: Float[Tensor, "T V K 2"]
    """In the crops: the 17 joints, or the keypoints that a fit's `landmarks` are about."""
    keypoints_confidence: Float[Tensor, "T V K"]


class Person(NamedTuple):
    """What stays the same in all frames of somebody."""

    betas: Float[Tensor, "n"]
    cloth_m: Float[Tensor, "J"]
    """How far the surface of each part stands off the skin."""


class MasksFitted(NamedTuple):
    """Bodies after a fit."""

    rotations_world: Float[Tensor, "T J 3 3"]
    pelvis_world_m: Float[Tensor, "T 3"]
    """About the crops' target."""
    overlap: Float[Tensor, "T V"]
    """Intersection over union in each view; NaN where there is none."""


def no_joints(views: MeshViews) -> MasksObservations:
    """Give observations that consist of masks alone."""
    frames, width = views.exists.shape
    return MasksObservations(
        views, views.mask.new_zeros(frames, 17, 3), views.mask.new_zeros(frames, 17), views.mask.new_zeros(frames, 3),
        views.mask.new_zeros(frames, width, 17, 2), views.mask.new_zeros(frames, width, 17),
    )  # fmt: skip


def take(observations: MasksObservations, rows: Tensor | slice) -> MasksObservations:
    """Take some frames."""
    views = MeshViews(*(value[rows] for value in observations.views))
    return MasksObservations(views, *(value[rows] for value in observations[1:]))


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


def starting_poses() -> Float[Tensor, "S 24 3 3"]:
    """Give the poses that a body may begin in, with the root at rest: standing, and sitting with bent knees.

    From a standing start a squatting person's knee may end up bent to the wrong side.
    """
    standing = upright_rotations()
    standing[0] = torch.eye(3)
    sitting = standing.clone()
    for part, rad in SITTING_RAD.items():
        turned = roma.rotvec_to_rotmat(torch.tensor([rad, 0.0, 0.0]))
        sitting[joint_rows((f"left_{part}", f"right_{part}"), SMPL_24)] = turned
    return torch.stack([standing, sitting])


class JointsStart:
    """Bends bodies until they meet known joints: what a fit begins with where there is no teacher.

    Args:
        body: with SMPL's 24 joints.
    Raises:
        ValueError: another skeleton, whose knees and elbows are not known.
    """

    def __init__(self, body: Body, loss: MasksFitLoss, config: MasksFitSteps) -> None:
        if not body.has_smpl_joints:
            raise ValueError(f"only a body with SMPL's 24 joints can begin at joints, and this one has "
                             f"{len(body.parents)}; begin with a teacher (--start teacher)")  # fmt: skip
        self.quick, self.loss, self.config = body.joints_only(), loss, config
        self.starts = starting_poses().to(body.template_m)
        self.standing, self.stiffness = self.starts[0, 1:], stiffness().to(body.template_m)

    def bodies(self, joints_m: Float[Tensor, "T 17 3"], betas: Float[Tensor, "n"] | None = None) -> EstimatedBodies:
        """Find bodies that meet the joints, each from the better of two starts.

        Args:
            joints_m: about the crops' target.
            betas: the person's shape; None fits one for all frames.
        """
        shape = joints_m.new_zeros(min(10, self.quick.num_betas)) if betas is None else betas
        shape = shape.clone().requires_grad_(betas is None)
        with torch.no_grad():
            guesses = [self._put(joints_m, shape, pose) for pose in self.starts]
        columns = torch.cat([rotations[..., :2] for rotations, _ in guesses]).requires_grad_()
        place_m = torch.cat([place for _, place in guesses]).requires_grad_()
        goal_m = joints_m.repeat(len(guesses), 1, 1)
        optimizer = torch.optim.Adam([columns, place_m] + ([shape] if betas is None else []))
        for step in range(1, self.config.joint_steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = JOINT_LR * LAST_LR ** (step / self.config.joint_steps)
            optimizer.zero_grad(set_to_none=True)
            self._terms(rotations_of_columns(columns), shape, place_m, goal_m)[0].sum().backward()
            optimizer.step()
        check_finite("bent towards their joints", rotations=columns, places=place_m, shape=shape)
        with torch.no_grad():
            rotations = rotations_of_columns(columns)
            terms, found_m = self._terms(rotations, shape, place_m, goal_m)
            best = terms.unflatten(0, (len(guesses), -1)).argmin(dim=0)
            rows = best * len(joints_m) + torch.arange(len(best), device=best.device)
        return EstimatedBodies(rotations[rows], shape.detach().expand(len(rows), -1), found_m[rows, 0])

    def _put(
        self, joints_m: Float[Tensor, "T 17 3"], betas: Float[Tensor, "n"], pose: Float[Tensor, "24 3 3"]
    ) -> tuple[Float[Tensor, "T 24 3 3"], Float[Tensor, "T 3"]]:
        """Put a person in this pose where the torso is, turned as the torso is.

        Source: Umeyama, IEEE PAMI 13(4), 1991, on the joints of the torso, as roma.rigid_points_registration.
        """
        rotations, zero = pose.expand(len(joints_m), -1, -1, -1).clone(), joints_m.new_zeros(len(joints_m), 3)
        rest_m = self._joints_m(rotations, betas, zero)
        rotations[:, 0] = roma.rigid_points_registration(rest_m[:, TORSO_JOINTS], joints_m[:, TORSO_JOINTS])[0]
        turned_m = self._joints_m(rotations, betas, zero)
        return rotations, (joints_m - turned_m)[:, TORSO_JOINTS].mean(dim=1)

    def _joints_m(self, rotations: Tensor, betas: Tensor, place_m: Tensor) -> Float[Tensor, "T 17 3"]:
        return self.quick.h36m_joints_m(self.quick(rotations, betas.expand(len(rotations), -1), place_m).vertices_m)

    def _terms(
        self, rotations: Float[Tensor, "T 24 3 3"], betas: Tensor, place_m: Tensor, goal_m: Float[Tensor, "T 17 3"]
    ) -> tuple[Float[Tensor, "T"], Float[Tensor, "T 17 3"]]:
        """Weigh, frame by frame, how far a body is from its joints and from an ordinary pose; and give its joints."""
        found_m = self._joints_m(rotations, betas, place_m)
        bent = (rotations[:, 1:] - self.standing).square().sum(dim=(2, 3))
        terms = self.loss.joints * rounded_distance_m(found_m - goal_m).mean(dim=1)
        terms = terms + self.loss.pose * (bent * self.stiffness).mean(dim=1)
        terms = terms + self.loss.joint_axis * joint_axis_error(rotations)
        return terms + self.loss.shape * betas.square().mean(), found_m


def overlap_of(
    coverage: Float[Tensor, "T V S S"], mask: Float[Tensor, "T V S S"], exists: Bool[Tensor, "T V"]
) -> Float[Tensor, "T V"]:
    """Give intersection over union of fractions in each view; NaN where there is no mask."""
    shared = torch.minimum(coverage, mask).sum(dim=(2, 3))
    union = torch.maximum(coverage, mask).sum(dim=(2, 3)).clamp_min(1e-6)
    return (shared / union).masked_fill(~exists, torch.nan)


def middle_shape(betas: Float[Tensor, "T n"]) -> Float[Tensor, "n"]:
    """Take the median of shapes, number by number.

    PyTorch's median of a tensor that `expand` made reads memory which does not belong to it (2.14 on a CPU, with stride
    0 along the median's axis): what came out was chance, now and then no number.  So it gets a copy.
    """
    return betas.contiguous().median(dim=0).values


def check_finite(done: str, **moved: Tensor) -> None:
    """Stop a fit at the step that breaks it: one number that is not finite soon makes all of them so.

    Args:
        done: what was done to the bodies.
    Raises:
        ValueError: naming what broke.
    """
    for name, value in moved.items():
        if not value.isfinite().all():
            raise ValueError(f"{name} became infinite or no number when bodies were {done}; check cameras and joints "
                             "of these people, or try a smaller step (--steps.lr)")  # fmt: skip


class _Moving(nn.Module):
    """What Adam moves."""

    def __init__(self, start: EstimatedBodies, person: Person, is_root_known: bool, fits_person: bool) -> None:
        super().__init__()
        self.columns = nn.Parameter(start.rotations_world[..., :2].clone())
        self.pelvis_m = nn.Parameter(start.pelvis_world_m.clone(), requires_grad=not is_root_known)
        self.betas = nn.Parameter(person.betas.clone(), requires_grad=fits_person)
        self.cloth_m = nn.Parameter(person.cloth_m.clone(), requires_grad=fits_person)

    def rotations(self) -> Float[Tensor, "T J 3 3"]:
        return rotations_of_columns(self.columns)


class MasksFit:
    """Fits bodies to masks.

    Args:
        body: with a coarse surface (models.body_surface.coarse_body).
        is_root_known: bodies stay where observations.pelvis_world_m is.
        prior: scores rotations without the root, and shapes; None for none.
        landmarks: where a detector's keypoints lie on the body; None compares 2D keypoints with the 17 joints.
    """

    def __init__(
        self, body: Body, loss: MasksFitLoss, config: MasksFitSteps, is_root_known: bool, prior: Scores | None = None,
        landmarks: KeypointsOfBody | None = None,
    ) -> None:  # fmt: skip
        self.body, self.loss, self.config, self.is_root_known, self.prior = body, loss, config, is_root_known, prior
        self.landmarks, self.topology = landmarks, Topology(body.faces)
        self.has_hinges = body.has_smpl_joints

    def usual_person(self, betas: Float[Tensor, "n"]) -> Person:
        """Dress somebody of this shape as people usually are."""
        return Person(betas, self.body.template_m.new_full((len(self.body.parents),), self.config.usual_cloth_m))

    def person(self, start: EstimatedBodies, observations: MasksObservations) -> Person:
        """Find shape and clothes of somebody from some frames; it begins at the median of the teacher's shapes."""
        person = self.usual_person(middle_shape(start.betas))
        if self.config.shape_steps == 0:
            return person
        moving = self._moved(start, observations, person, self.config.shape_steps, True)
        return Person(moving.betas.detach(), moving.cloth_m.detach())

    def fit(self, start: EstimatedBodies, observations: MasksObservations, person: Person) -> MasksFitted:
        """Fit the poses of some frames of somebody."""
        moving = self._moved(start, observations, person, self.config.steps, False)
        with torch.no_grad():
            rotations, pelvis = moving.rotations(), moving.pelvis_m
            surface_m = self.surface(rotations, person, pelvis)[0]
            coverage = covered(surface_m, observations.views, self.topology, SAMPLES)
            overlap = overlap_of(coverage, observations.views.mask, observations.views.exists)
        return MasksFitted(rotations.detach(), pelvis.detach(), overlap)

    def fit_in_time(self, start: EstimatedBodies, observations: MasksObservations, person: Person) -> MasksFitted:
        """Fit the poses of frames that follow each other, and let those that went wrong learn from their neighbours.

        What a fit begins with is wrong now and then, most often in poses that the teacher has not seen; next to such a
        frame there is often one that went right.  From there the right pose spreads, a frame per round.
        """
        found = self.fit(start, observations, person)
        tried: dict[tuple[int, int], float] = {}
        for _ in range(self.config.neighbour_rounds):
            score = found.overlap.nanmean(dim=1).tolist()
            usual = sorted(score)[len(score) // 2]
            pairs = [(row, other) for row in range(len(score)) for other in (row - 1, row + 1)
                     if 0 <= other < len(score) and score[other] > tried.get((row, other), 0.0) + BETTER_BY
                     and score[other] > score[row] + (LESS_BY if score[row] > usual - LESS_BY else 0)]  # fmt: skip
            if not pairs:
                break
            tried |= {(row, other): score[other] for row, other in pairs}
            rows, others = (torch.tensor(part, device=found.overlap.device) for part in zip(*pairs, strict=True))
            found = self._with_better(
                found, rows, self.fit(*self._moved_over(found, observations, person, rows, others))
            )
        return found

    def _moved_over(
        self, found: MasksFitted, observations: MasksObservations, person: Person, rows: Tensor, others: Tensor
    ) -> tuple[EstimatedBodies, MasksObservations, Person]:
        """Give frames the poses of others, where these stand in the world, as the start of a fit."""
        target_m = observations.views.target_world_m[:, 0]
        pelvis_m = found.pelvis_world_m[others] + target_m[others] - target_m[rows]
        start = EstimatedBodies(found.rotations_world[others], person.betas.expand(len(rows), -1), pelvis_m)
        return start, take(observations, rows), person

    def _with_better(self, found: MasksFitted, rows: Int[Tensor, "R"], again: MasksFitted) -> MasksFitted:
        """Put in those frames that cover their masks better now; a frame may come more than once."""
        parts = [value.clone() for value in found]
        for place, row in enumerate(rows.tolist()):
            if again.overlap[place].nanmean() > parts[2][row].nanmean() + BETTER_BY:
                for part, value in zip(parts, again, strict=True):
                    part[row] = value[place]
        return MasksFitted(*parts)

    def _moved(
        self, start: EstimatedBodies, observations: MasksObservations, person: Person, steps: int, fits_person: bool
    ) -> _Moving:
        """Let Adam move poses, and the person if asked; the step size falls to a tenth."""
        place = observations.pelvis_world_m if self.is_root_known else start.pelvis_world_m
        start = start._replace(pelvis_world_m=place)
        moving = _Moving(start, person, self.is_root_known, fits_person)
        with torch.no_grad():
            guess_m = self.surface(start.rotations_world, person, place)[1]
        slow = [moving.betas, moving.cloth_m] if fits_person else []
        fast = [moving.columns] if self.is_root_known else [moving.columns, moving.pelvis_m]
        groups = [{"params": fast, "base": self.config.lr}, {"params": slow[:1], "base": self.config.shape_lr},
                  {"params": slow[1:], "base": self.config.shape_lr / 20}]  # fmt: skip
        optimizer = torch.optim.Adam([group for group in groups if group["params"]])
        for step in range(1, steps + 1):
            share = step / steps
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * LAST_LR**share
            optimizer.zero_grad(set_to_none=True)
            self._total(moving, observations, start.rotations_world, guess_m, share, fits_person).backward()
            optimizer.step()
            check_finite(f"moved by step {step} of {steps}", rotations=moving.columns, places=moving.pelvis_m,
                         shape=moving.betas, clothes=moving.cloth_m)  # fmt: skip
        return moving

    def _total(
        self,
        moving: _Moving,
        observations: MasksObservations,
        guess: Tensor,
        guess_m: Tensor,
        share: float,
        fits_person: bool,
    ) -> Float[Tensor, ""]:
        """Add all terms, as a sum over frames: no frame's step depends on how many others there are."""
        weights = self.loss
        rotations, person = moving.rotations(), Person(moving.betas, moving.cloth_m)
        dressed_m, joints_m, points_m = self.surface(rotations, person, moving.pelvis_m)
        terms = weights.teacher * 0.1**share * rounded_distance_m(joints_m - guess_m).mean(dim=1)
        terms = terms + weights.turned * (rotations - guess).square().sum(dim=(2, 3)).mean(dim=1)
        if self.has_hinges:
            terms = terms + weights.joint_axis * joint_axis_error(rotations)
        if weights.soft_iou:
            views = observations.views
            overlap = overlap_of(covered(dressed_m, views, self.topology, SAMPLES), views.mask, views.exists)
            terms = terms + weights.soft_iou * (1 - overlap).nan_to_num(0).sum(dim=1) / views.exists.sum(
                dim=1
            ).clamp_min(1)
        if self.prior is not None and weights.prior > 0:
            scores = self.prior.scores(rotations[:, 1:], person.betas.expand(len(rotations), -1))
            terms = terms + weights.prior * (scores - 1).square().mean(dim=1)
        terms = terms + self._joint_terms(points_m, observations)
        seen_m = points_m if self.landmarks is None else self._landmarks_m(rotations, person.betas, joints_m)
        terms = terms + self._keypoint_terms(seen_m, moving.pelvis_m, observations)
        total = terms.sum()
        if fits_person:
            usual = (moving.cloth_m - self.config.usual_cloth_m).abs().mean()
            total = total + len(terms) * (weights.shape * moving.betas.square().mean() + weights.cloth * usual)
        return total

    def _joint_terms(
        self, points_m: Float[Tensor, "T 17 3"] | None, observations: MasksObservations
    ) -> Float[Tensor, "T"] | float:
        """Compare with known joints; nothing where none are known."""
        if points_m is None or not observations.joints_confidence.any():
            return 0.0
        apart_m = rounded_distance_m(points_m - observations.joints_root_m)
        return self.loss.joints * (apart_m * observations.joints_confidence).mean(dim=1)

    def _landmarks_m(
        self, rotations: Float[Tensor, "T 24 3 3"], betas: Float[Tensor, "n"], joints_m: Float[Tensor, "T 24 3"]
    ) -> Float[Tensor, "T K 3"]:
        """Place the detector's keypoints, about the pelvis as the joints are."""
        assert self.landmarks is not None
        totals = along_the_tree(rotations, self.body.parents)
        return self.landmarks(totals, betas.expand(len(rotations), -1))[1] + joints_m[:, :1]

    def _keypoint_terms(
        self, seen_m: Float[Tensor, "T K 3"] | None, pelvis_world_m: Tensor, observations: MasksObservations
    ) -> Float[Tensor, "T"] | float:
        """Compare with 2D keypoints; nothing where none are known."""
        if seen_m is None or not observations.keypoints_confidence.any():
            return 0.0
        views = observations.views
        seen_px = placed_in_views(seen_m + pelvis_world_m[:, None], views, "pelvis")[..., :2]
        m_per_px = (views.target_world_m - views.centre_world_m).norm(dim=-1) / views.focal_px
        apart_m = (seen_px - observations.keypoints_px).norm(dim=-1) * m_per_px[..., None]
        weight = observations.keypoints_confidence
        return self.loss.keypoints * (apart_m * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp_min(1)

    def surface(
        self, rotations: Float[Tensor, "T J 3 3"], person: Person, pelvis_world_m: Float[Tensor, "T 3"]
    ) -> tuple[Float[Tensor, "T N 3"], Float[Tensor, "T J 3"], Float[Tensor, "T 17 3"] | None]:
        """Place bodies: the dressed surface about the crops' target, the body's joints and the 17 about the pelvis."""
        count = len(rotations)
        vertices_m, joints_m = self.body(rotations, person.betas.expand(count, -1), rotations.new_zeros(count, 3))
        root_m = pelvis_m(self.body, vertices_m, joints_m)
        points_m = self.body.h36m_joints_m(vertices_m) - root_m if self.body.has_h36m_joints else None
        thick_m = self.body.weights @ person.cloth_m
        dressed_m = vertices_m + vertex_normals(vertices_m, self.body.faces) * thick_m[:, None]
        return dressed_m - root_m + pelvis_world_m[:, None], joints_m - root_m, points_m


def shape_frames(count: int, most: int) -> Tensor:
    """Choose frames of a person, spread over all of them, that decide the shape."""
    return torch.linspace(0, count - 1, min(count, most)).round().long().unique()
