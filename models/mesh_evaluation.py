"""Bodies against what is known about them: true joints, true vertices, the masks of all views, a prior.

Also stage 4's network over all test frames: what it predicts, how far it is off, and what figures show of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.kinematics import along_the_tree
from models.mesh_losses import MeshObjective, Scores, coverage_in_views
from models.silhouette import Topology
from models.smpl import Body
from models.SMPL_from_joints import BodyEstimate
from models.SMPL_from_latent import RootedBody, StoredMesh, check_finite, rooted_body
from utils.batches import to_device
from utils.engine import mixed_precision
from utils.image import to_picture
from utils.metrics import (
    MM_PER_M,
    iou_percent,
    mean_rotations,
    pa_vertex_error_mm,
    pose_errors,
    surface_error_mm,
    twist_error_degrees,
    vertex_error_mm,
)
from utils.report.summaries import stacked_batches
from utils.skeleton import H36M, Skeleton
from utils.views import (
    CropCentre,
    MeshViews,
    mask_middles_px,
    placed_in_views,
    turned_to_world,
    vertex_surface_share,
)


def own_view(R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews) -> Int[Tensor, "B"]:
    """Find the view that each image was cut from: the one whose camera is turned likewise."""
    apart = (views.R_crop_from_world - R_crop_from_world[:, None]).abs().sum(dim=(2, 3))
    return apart.argmin(dim=1)


def row_of_each(values: Float[Tensor, "B V *rest"], row: Int[Tensor, "B"]) -> Float[Tensor, "B *rest"]:
    """Take one row of each item."""
    return values[torch.arange(len(row), device=row.device), row]


LEAST_BONE_M = 0.05
"""A shorter bone has no direction that a twist could be measured about."""


MOVES_OVER_MASK = 3
"""The first brings a body to within a tenth of the way; perspective and the crop's edge leave that."""


class BonesAtRest(NamedTuple):
    """The bones of a body whose twist can be told: of joints with a single child that is far enough."""

    rows: list[int]
    bones_m: Float[Tensor, "J 3"]
    """From every joint to its child; zero where it has none or several."""


def bones_at_rest(body: Body) -> BonesAtRest:
    """Find the bones of a body at rest."""
    children: dict[int, list[int]] = {}
    for child, parent in enumerate(body.parents):
        children.setdefault(parent, []).append(child)
    joints_m = body.rest_template_joints_m
    bones_m = torch.zeros_like(joints_m)
    for joint, below in children.items():
        if joint > 0 and len(below) == 1:
            bones_m[joint] = joints_m[below[0]] - joints_m[joint]
    return BonesAtRest((bones_m.norm(dim=-1) > LEAST_BONE_M).nonzero().flatten().tolist(), bones_m)


class MeshMeasure:
    """Measures bodies about their pelvis; nothing here takes gradients.

    Args:
        crop_centre: what the crops are centred on, which decides where a mesh stands in the views.
        samples: scan lines per pixel of the silhouettes.
        skeleton: the joints that bodies are measured by.
    """

    def __init__(
        self, body: Body, crop_centre: CropCentre, prior: Scores | None = None, samples: int = 4,
        skeleton: Skeleton = H36M,
    ) -> None:  # fmt: skip
        self.body, self.crop_centre, self.prior, self.samples = body, crop_centre, prior, samples
        self.skeleton = skeleton
        self.quick, self.topology = body.joints_only(), Topology(body.faces)
        self.vertex_share = vertex_surface_share(body.template_m, body.faces)
        self.bones = bones_at_rest(body)

    @torch.no_grad()
    def coverage(
        self, vertices_root_m: Float[Tensor, "B N 3"], R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews
    ) -> Float[Tensor, "B V S S"]:
        """Draw the silhouettes of bodies, given in the axes of their own crop, in all views of their instant."""
        vertices_world_m = turned_to_world(vertices_root_m, R_crop_from_world)
        vertices_px = placed_in_views(vertices_world_m, views, self.crop_centre, self.vertex_share)
        return coverage_in_views(vertices_px, self.topology, views.mask.shape[-1], self.samples)

    @torch.no_grad()
    def iou_errors(
        self, coverage: Float[Tensor, "B V S S"], R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews
    ) -> dict[str, Float[Tensor, "B"]]:
        """Average the IoU over all views, over those that the network did not see, and give that of its own view."""
        iou = iou_percent(coverage, views.mask).masked_fill(~views.exists, torch.nan)
        own = own_view(R_crop_from_world, views)
        others = iou.scatter(1, own[:, None], torch.nan)
        return {
            "iou_all_views_percent": iou.nanmean(dim=1),
            "iou_own_view_percent": row_of_each(iou, own),
            "iou_other_views_percent": others.nanmean(dim=1),
        }

    @torch.no_grad()
    def errors(
        self,
        estimate: BodyEstimate,
        mesh: RootedBody,
        true_joints_root_m: Float[Tensor, "B E 3"],
        truth: BodyEstimate | None,
        true: RootedBody | None,
        R_crop_from_world: Float[Tensor, "B 3 3"],
        views: MeshViews,
    ) -> dict[str, Float[Tensor, "B"]]:
        """Measure every body in every way that the truth allows; unknown truth (NaN) gives NaN."""
        errors = pose_errors(mesh.joints_root_m, true_joints_root_m, R_crop_from_world, self.skeleton)
        if truth is not None and true is not None:
            errors["vertex_mm"] = vertex_error_mm(mesh.vertices_root_m, true.vertices_root_m)
            errors["pa_vertex_mm"] = aligned_where_known(mesh.vertices_root_m, true.vertices_root_m)
            errors["surface_mm"] = surface_error_mm(mesh.vertices_root_m, true.vertices_root_m, self.vertex_share)
            errors["twist_degrees"] = self.twist_degrees(estimate, truth)
            errors |= self.shape_errors(estimate.betas, truth.betas)
        coverage = self.coverage(mesh.vertices_root_m, R_crop_from_world, views)
        return errors | self.prior_scores(estimate) | self.iou_errors(coverage, R_crop_from_world, views)

    @torch.no_grad()
    def prior_scores(self, estimate: BodyEstimate) -> dict[str, Float[Tensor, "B"]]:
        """Ask the prior, where there is one, how real bodies are: the mean of its scores, and their plausibility."""
        if self.prior is None:
            return {}
        rotations, betas = estimate.rotations_crop[:, 1:], estimate.betas
        plausibility = self.prior.plausibility(self.prior.open_scores(rotations, betas))
        return {"prior_score": self.prior.scores(rotations, betas).mean(dim=1), "prior_plausibility": plausibility}

    @torch.no_grad()
    def twist_degrees(self, estimate: BodyEstimate, truth: BodyEstimate) -> Float[Tensor, "B"]:
        """Measure the twist of limbs; NaN where the true body is not known."""
        found, true = (along_the_tree(one.rotations_crop, self.body.parents) for one in (estimate, truth))
        known = true.isfinite().flatten(1).all(dim=1)
        error = torch.full_like(true[:, 0, 0, 0], torch.nan)
        if known.any():
            error[known] = twist_error_degrees(found[known], true[known], self.bones.bones_m, self.bones.rows)
        return error

    @torch.no_grad()
    def shape_errors(
        self, betas: Float[Tensor, "B n"], true_betas: Float[Tensor, "B m"]
    ) -> dict[str, Float[Tensor, "B"]]:
        """Compare bodies at rest, both about the middle of their surface, and their heights."""
        found_m, true_m = (self.body.shaped_vertices_m(one) for one in (betas, true_betas))
        middles = [one - torch.einsum("n,bnk->bk", self.vertex_share, one)[:, None] for one in (found_m, true_m)]
        tall, true_tall = (one[..., 1].amax(dim=1) - one[..., 1].amin(dim=1) for one in (found_m, true_m))
        return {
            "shape_mm": surface_error_mm(middles[0], middles[1], self.vertex_share),
            "height_mm": MM_PER_M * (tall - true_tall).abs(),
        }

    @torch.no_grad()
    def all_errors(
        self,
        estimate: BodyEstimate,
        mean: BodyEstimate | None,
        truth: BodyEstimate | None,
        true_joints_root_m: Float[Tensor, "B E 3"],
        R_crop_from_world: Float[Tensor, "B 3 3"],
        views: MeshViews,
    ) -> dict[str, dict[str, Float[Tensor, "B"]]]:
        """Measure the predicted body, the mean body and the mean shape (one for all), and the true body by itself."""
        true = None if truth is None else rooted_body(self.body, truth)
        common = (true_joints_root_m, truth, true, R_crop_from_world, views)
        errors = {"predicted": self.errors(estimate, rooted_body(self.body, estimate), *common)}
        if mean is not None:
            count = len(true_joints_root_m)
            same = BodyEstimate(*(value.expand(count, *value.shape[1:]) for value in mean))
            mesh = RootedBody(*(value.expand(count, -1, -1) for value in rooted_body(self.body, mean)))
            errors["mean body"] = self.errors(same, mesh, *common)
        if truth is not None and true is not None:
            errors["mean shape"] = self.shape_errors(torch.zeros_like(truth.betas), truth.betas)
            rendered = self.coverage(true.vertices_root_m.nan_to_num(), R_crop_from_world, views)
            known = true.joints_root_m.isfinite().flatten(1).all(dim=1)
            found = self.iou_errors(rendered, R_crop_from_world, views) | self.prior_scores(truth)
            errors["true body"] = {name: value.masked_fill(~known, torch.nan) for name, value in found.items()}
        return errors

    @torch.no_grad()
    def pictured(
        self, mesh: RootedBody, R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews
    ) -> dict[str, Float[Tensor, "B *rest"]]:
        """Give what figures need of a mesh: its vertices as its own crop camera has them, and its silhouettes.

        Where crops are centred on masks or boxes nothing tells exactly where a body stands; for the picture it is moved
        over the mask of its own view, which no number sees.
        """
        own = own_view(R_crop_from_world, views)
        target_world_m, centre_world_m = (
            row_of_each(place, own) for place in (views.target_world_m, views.centre_world_m)
        )
        place_crop_m = torch.einsum("bij,bj->bi", R_crop_from_world, target_world_m - centre_world_m)
        if self.crop_centre != "pelvis":
            place_crop_m = place_crop_m - torch.einsum("n,bnk->bk", self.vertex_share, mesh.vertices_root_m)
        coverage = self.coverage(mesh.vertices_root_m, R_crop_from_world, views)
        vertices_crop_m = mesh.vertices_root_m + place_crop_m[:, None]
        if self.crop_centre != "pelvis":
            mask, focal_px = (row_of_each(part, own) for part in (views.mask, views.focal_px))
            vertices_crop_m = self.moved_over_mask(vertices_crop_m, mask, focal_px)
        return {"vertices_crop_m": vertices_crop_m, "coverage": coverage}

    def moved_over_mask(
        self, vertices_crop_m: Float[Tensor, "B N 3"], mask: Float[Tensor, "B S S"], focal_px: Float[Tensor, "B"]
    ) -> Float[Tensor, "B N 3"]:
        """Move bodies across the picture, at their depth, until the middle of their silhouette is that of the mask.

        A body without a mask stays where it is.
        """
        side_px, has_mask = mask.shape[-1], mask.sum(dim=(1, 2)) > 1
        wanted_px = torch.cat(mask_middles_px(mask[:, None]), dim=1)
        for _ in range(MOVES_OVER_MASK):
            depth_m = vertices_crop_m[..., 2:]
            xy_px = vertices_crop_m[..., :2] / depth_m * focal_px[:, None, None] + side_px / 2
            covered = coverage_in_views(
                torch.cat([xy_px, depth_m], dim=-1)[:, None], self.topology, side_px, self.samples
            )
            off_px = (wanted_px - torch.cat(mask_middles_px(covered), dim=1)) * has_mask[:, None]
            m_per_px = torch.einsum("n,bnk->bk", self.vertex_share, depth_m) / focal_px[:, None]
            move_m = torch.cat([off_px * m_per_px, torch.zeros_like(m_per_px)], dim=1)
            vertices_crop_m = vertices_crop_m + move_m[:, None]
        return vertices_crop_m


def aligned_where_known(
    predicted_root_m: Float[Tensor, "B N 3"], true_root_m: Float[Tensor, "B N 3"]
) -> Float[Tensor, "B"]:
    """Measure the aligned vertex error where the true vertices are known; NaN elsewhere."""
    known = true_root_m.isfinite().flatten(1).all(dim=1)
    error_mm = torch.full_like(known, torch.nan, dtype=predicted_root_m.dtype)
    if known.any():
        error_mm[known] = pa_vertex_error_mm(predicted_root_m[known], true_root_m[known])
    return error_mm


@torch.no_grad()
def in_crop_axes(
    rotations_world: Float[Tensor, "B J 3 3"], betas: Float[Tensor, "B n"], R_crop_from_world: Float[Tensor, "B 3 3"]
) -> BodyEstimate:
    """Turn bodies from the world into the axes of crop cameras; what is not known (NaN) stays so."""
    root = R_crop_from_world @ rotations_world[:, 0]
    return BodyEstimate(torch.cat([root[:, None], rotations_world[:, 1:]], dim=1), betas)


BROKEN_WEIGHTS = ", so the checkpoint's weights are broken; train it again, with a lower --optim.lr"
"""A picture alone cannot make a predicted body infinite."""


class Sample(Protocol):
    """What is read of a batch; dataset_def.h36m_SMPL_data.MeshSample has it."""

    image: Tensor
    frames: Tensor
    joints_root_m: Tensor
    R_crop_from_world: Tensor
    views: MeshViews


class FittedSample(Protocol):
    """What is read of a batch; dataset_def.mesh_batches.LabelledBody has it."""

    image: Tensor
    rotations_crop: Tensor
    betas: Tensor


@torch.no_grad()
def held_out_errors(
    network: nn.Module, objective: MeshObjective, samples: Iterable[Any], fitted: Iterable[FittedSample],
    device: torch.device, bf16: bool,
) -> dict[str, float]:  # fmt: skip
    """Measure joints of the labelled and silhouettes of all, images as they are, and the surface of fitted bodies.

    What nobody has a truth for is left out.
    """
    network.eval()
    parts, surface_mm = [], []
    for on_cpu in samples:
        sample = to_device(on_cpu, device)
        with mixed_precision(device, bf16):
            estimate = network(sample.image)
        parts.append(objective.errors(estimate, sample.joints_root_m, sample.is_labelled, sample.R_crop_from_world,
                                      sample.views))  # fmt: skip
    for on_cpu in fitted:
        sample = to_device(on_cpu, device)
        with mixed_precision(device, bf16):
            estimate = network(sample.image)
        true = BodyEstimate(sample.rotations_crop, sample.betas)
        surface_mm.append(objective.fitted_errors_mm(estimate, true))
    network.train()
    joints_mm, iou_percent = (torch.cat(values) for values in zip(*parts, strict=True))
    joints = (
        {f"held_out_mpjpe_{len(objective.body.evaluated_names)}_mm": joints_mm.mean().item()} if len(joints_mm) else {}
    )
    found = joints | {"held_out_iou_percent": iou_percent.mean().item()}
    return found | ({"held_out_surface_mm": torch.cat(surface_mm).mean().item()} if surface_mm else {})


def chosen_by(errors: Mapping[str, float]) -> float:
    """Give what the best checkpoint has least of: of the surface of fitted bodies, else of joints of the labelled.

    Where nobody is labelled and no fit is held out it is what body and mask do not share, in percent.
    """
    joints_mm = [value for name, value in errors.items() if name.startswith("held_out_mpjpe_")]
    if "held_out_surface_mm" in errors:
        return errors["held_out_surface_mm"]
    return joints_mm[0] if joints_mm else 100.0 - errors["held_out_iou_percent"]


class TestedBodies(NamedTuple):
    """All frames: what was predicted and, per predictor and measure, how far it is off."""

    rotations_crop: Float[Tensor, "N J 3 3"]
    betas: Float[Tensor, "N n"]
    joints_root_m: Float[Tensor, "N E 3"]
    true_joints_root_m: Float[Tensor, "N E 3"]
    R_crop_from_world: Float[Tensor, "N 3 3"]
    errors: dict[str, dict[str, np.ndarray]]


def mean_body(
    rotations_world: Float[Tensor, "N J 3 3"], betas: Float[Tensor, "N n"], R_crop_from_world: Float[Tensor, "N 3 3"]
) -> BodyEstimate:
    """Average the bodies that are known: rotations in crop axes, as matrices, and shape numbers."""
    known = betas.isfinite().all(dim=1)
    bodies = in_crop_axes(rotations_world[known], betas[known], R_crop_from_world[known])
    return BodyEstimate(mean_rotations(bodies.rotations_crop)[None], bodies.betas.mean(dim=0, keepdim=True))


@torch.no_grad()
def run_over(
    samples: Iterable[Sample],
    stage_4: StoredMesh,
    measure: MeshMeasure,
    truth: tuple[Float[Tensor, "N J 3 3"], Float[Tensor, "N n"]] | None,
    mean: BodyEstimate | None,
) -> TestedBodies:
    """Predict and measure every frame, beside the mean body and the true one.

    Args:
        truth: rotations in the world and shapes of all frames, in their order; NaN where they are not known.
    """
    columns: list[list[Tensor]] = []
    errors, first, device = [], 0, measure.vertex_share.device
    for on_cpu in samples:
        sample = to_device(on_cpu, device)
        with mixed_precision(device, stage_4.mesh_config.optim.bf16):
            estimate = stage_4.network(sample.image)
        check_finite(estimate, sample.frames, "predicted bodies", BROKEN_WEIGHTS)
        R, own = sample.R_crop_from_world, slice(first, first := first + len(sample.image))
        true = None if truth is None else in_crop_axes(truth[0][own].to(device), truth[1][own].to(device), R)
        joints_root_m = rooted_body(measure.quick, estimate).joints_root_m
        errors.append(measure.all_errors(estimate, mean, true, sample.joints_root_m, R, sample.views))
        columns.append([part.cpu() for part in (*estimate, joints_root_m, sample.joints_root_m, R)])
    rotations_crop, betas, joints_root_m, true_root_m, R = (torch.cat(rows) for rows in zip(*columns, strict=True))
    all_errors = {name: stacked_batches([part[name] for part in errors]) for name in errors[0]}
    return TestedBodies(rotations_crop, betas, joints_root_m, true_root_m, R, all_errors)


@torch.no_grad()
def mesh_examples(sample: Sample, stage_4: StoredMesh, measure: MeshMeasure) -> dict[str, np.ndarray]:
    """Store some frames with their meshes and masks, for the figures."""
    mesh = rooted_body(measure.body, stage_4.network(sample.image))
    found = measure.pictured(mesh, sample.R_crop_from_world, sample.views)
    own = own_view(sample.R_crop_from_world, sample.views)
    arrays = {
        "vertices_crop_m": found["vertices_crop_m"],
        "coverage": (255 * found["coverage"]).round().to(torch.uint8),
        "mask": (255 * sample.views.mask).round().to(torch.uint8),
        "exists": sample.views.exists,
        "own_view": own,
        "focal_per_side": row_of_each(sample.views.focal_px, own) / sample.views.mask.shape[-1],
    }
    pictures = {"example_image": np.stack([to_picture(image) for image in sample.image])}
    faces = {"faces": measure.body.faces.cpu().numpy().astype(np.int32),
             "placed_by": np.array("pelvis" if measure.crop_centre == "pelvis" else "mask")}  # fmt: skip
    return pictures | faces | {f"example_{name}": value.cpu().numpy() for name, value in arrays.items()}
