"""The losses of stage 4: joints against labels, silhouettes against masks, bodies against the prior.

Every term is a mean over the rows that it is known for, in a unit of its own, and finite when there are none.  The
terms are put together from estimated bodies, and weighted over time and against the shares of the gradient that they
are meant to have.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from config import MeshLoss
from models.body_surface import opposite_joints
from models.GAN import FlatDiscriminator
from models.kinematics import unchanged
from models.losses import weighted_sum
from models.silhouette import Backend, Topology, silhouette
from models.smpl import Body
from models.SMPL_from_joints import FACING_CAMERA, BodyEstimate, SurfaceSample, body_rows
from models.SMPL_from_latent import check_finite, rooted_body
from utils.metrics import MM_PER_M, iou_percent, mpjpe_mm
from utils.skeleton import H36M_17
from utils.views import CropCentre, MeshViews, placed_in_views, turned_to_world, vertex_surface_share
from utils.whole_batch import averaged, known_in_share

HIPS = tuple(row for row, name in enumerate(H36M_17) if "hip" in name)
MASK_CELLS = 16
"""A mask is divided into so many cells per side; each that holds part of the person must be near the mesh."""
NEAR_VERTICES = 8
"""Every n-th vertex stands for the surface where distances are measured."""
EVERY_NEAR_VERTEX = 3
"""Every n-th of these is compared with the mask's cells: still denser than they, and it costs as much as the rest."""


def mean_of(
    values: Float[Tensor, "*n"], is_known: Bool[Tensor, "*n"] | Float[Tensor, "*n"]
) -> Float[Tensor, ""]:  # fmt: skip
    """Average the known values, or all by how far they are known; zero if there are none."""
    return (values * is_known).sum() / known_in_share(is_known.sum(), 1)


def joint_distance_m(
    predicted_root_m: Float[Tensor, "B J 3"],
    true_root_m: Float[Tensor, "B J 3"],
    is_labelled: Bool[Tensor, "B"] | Float[Tensor, "B"],
    hips: bool = True,
) -> Float[Tensor, ""]:
    """Average the joint distance of the labelled rows; without people's hips, as in the thesis, where `hips` is off."""
    kept = [row for row in range(predicted_root_m.shape[1]) if hips or row not in HIPS]
    return mean_of((predicted_root_m - true_root_m)[:, kept].norm(dim=-1).mean(dim=1), is_labelled)


def soft_iou_loss(
    coverage: Float[Tensor, "B V S S"], mask: Float[Tensor, "B V S S"], exists: Bool[Tensor, "B V"]
) -> Float[Tensor, ""]:
    """Give one minus the shared area over the union; zero where coverage and mask are equal, half-covered pixels too.

    Products of soft masks would not do: a border pixel that is half covered in both would count as a quarter shared.
    Source: Jaccard's index of fractions, sum of minima over sum of maxima; own derivation, test_mesh_losses.py.
    """
    shared = torch.minimum(coverage, mask).sum(dim=(2, 3))
    union = torch.maximum(coverage, mask).sum(dim=(2, 3))
    return mean_of(1 - shared / union.clamp_min(1e-6), exists)


def mesh_to_mask_loss_m(
    xy_px: Float[Tensor, "B V N 2"],
    distance_to_mask_m: Float[Tensor, "B V S S"],
    exists: Bool[Tensor, "B V"],
    m_per_px: float,
) -> Float[Tensor, ""]:
    """Average how far vertices are from the mask (half of a Chamfer distance): limbs outside move towards the person.

    A vertex beyond the crop counts from the crop's border on.
    """
    size = distance_to_mask_m.shape[-1]
    inside_px = xy_px.clamp(0.5, size - 0.5)
    beyond_m = (xy_px - inside_px).norm(dim=-1) * m_per_px
    grid = (inside_px / size * 2 - 1).flatten(0, 1)[:, None]
    sampled = nn.functional.grid_sample(distance_to_mask_m.flatten(0, 1)[:, None], grid, align_corners=False)
    return mean_of((sampled[:, 0, 0].unflatten(0, exists.shape) + beyond_m).mean(dim=2), exists)


def mask_to_mesh_loss_m(
    xy_px: Float[Tensor, "B V N 2"], mask: Float[Tensor, "B V S S"], exists: Bool[Tensor, "B V"], m_per_px: float
) -> Float[Tensor, ""]:
    """Average how far the mask's pixels are from the nearest vertex: the mesh moves to what it does not cover.

    Pixels are taken in MASK_CELLS x MASK_CELLS cells.  The gradient goes to the nearest vertex of each cell.
    Source: the other half of a Chamfer distance; own derivation, test_mesh_losses.py.
    """
    size = mask.shape[-1]
    weight = nn.functional.adaptive_avg_pool2d(mask, MASK_CELLS).flatten(2)
    middle = (torch.arange(MASK_CELLS, dtype=mask.dtype, device=mask.device) + 0.5) * (size / MASK_CELLS)
    cells_px = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), dim=-1).reshape(-1, 2)
    with torch.no_grad():
        nearest = torch.cdist(cells_px, xy_px).argmin(dim=3)
    nearest_px = xy_px.gather(2, nearest[..., None].expand(-1, -1, -1, 2))
    apart_px = (nearest_px - cells_px + 1e-6).norm(dim=-1)
    return mean_of((apart_px * weight).sum(dim=2) / weight.sum(dim=2).clamp_min(1e-6), exists) * m_per_px


class Scores(Protocol):
    """What a prior must do; models.GAN.Discriminator does."""

    def scores(self, rotations: Float[Tensor, "B 23 3 3"], betas: Float[Tensor, "B n"]) -> Float[Tensor, "B K"]: ...  # noqa: D102
    def open_scores(self, rotations: Tensor, betas: Tensor) -> Float[Tensor, "B K"]: ...  # noqa: D102
    def plausibility(self, scores: Float[Tensor, "B K"]) -> Float[Tensor, "B"]: ...  # noqa: D102


def prior_loss(prior: Scores, estimate: BodyEstimate, loss: MeshLoss) -> Float[Tensor, ""]:
    """Measure how unreal bodies are: how far their plausibility is below a margin, or all scores from one.

    Plausibility is a soft minimum over the joints, so one joint out of place counts fully; beyond the margin, which
    most true bodies reach, there is no gradient.
    Source of all_real: least squares, Mao et al. 2017, as the generator's loss: a real body has the score one.
    """
    rotations = estimate.rotations_crop[:, 1:]
    if loss.prior_sees_root:
        facing = torch.diag(rotations.new_tensor(FACING_CAMERA))
        rotations = torch.cat([facing @ estimate.rotations_crop[:, :1], rotations], dim=1)
    if loss.prior_asks == "all_real":
        return (1 - prior.scores(rotations, estimate.betas)).square().mean()
    plausibility = prior.plausibility(prior.open_scores(rotations, estimate.betas))
    return (loss.prior_margin - plausibility).clamp_min(0).mean()


def coverage_in_views(
    vertices_px: Float[Tensor, "B V N 3"], topology: Topology, size_px: int, samples: int, backend: Backend = "auto"
) -> Float[Tensor, "B V S S"]:
    """Draw the silhouettes of bodies in all their views, `size_px` wide.

    Args:
        samples: scan lines per pixel.
    """
    flat = silhouette(vertices_px.flatten(0, 1), topology, size_px, size_px, samples, backend)
    return flat.unflatten(0, vertices_px.shape[:2])


class Batch(Protocol):
    """What is read of a batch; dataset_def.mesh_batches.MeshBatch has it."""

    joints_root_m: Tensor
    confidence: Tensor
    frames: Tensor
    rotations_crop: Tensor
    betas: Tensor
    body_confidence: Tensor
    R_crop_from_world: Tensor
    views: MeshViews
    R_new_from_plain: Tensor | None
    is_mirrored: Tensor | None


class MaskSettings(NamedTuple):
    """The masks that silhouettes are compared with, and how silhouettes are drawn for that."""

    size_px: int
    side_m: float
    """Side of the crops at the distance of their targets."""
    crop_centre: CropCentre
    """What the crops are centred on, which decides where a mesh stands in them."""
    samples: int = 2
    """Scan lines per pixel."""
    backend: Backend = "auto"


class MeshObjective(nn.Module):
    """Measures estimated bodies by labels, masks and the prior."""

    vertex_share: Tensor

    def __init__(self, body: Body, prior: nn.Module | None, loss: MeshLoss, masks: MaskSettings) -> None:
        super().__init__()
        if not loss.hips and not body.has_h36m_joints:
            raise ValueError("loss.hips is off, which leaves out the hips of people, and the body is measured by other "
                             "joints; leave it on")  # fmt: skip
        if loss.prior_sees_root and loss.prior and prior is not None and not isinstance(prior, FlatDiscriminator):
            raise ValueError("loss.prior_sees_root is on, and the prior knows joints below the root alone; give one "
                             "of preset seed (sample/train_GAN.py --preset seed), or switch it off")  # fmt: skip
        self.body, self.joints_body, self.prior = body, body.joints_only(), prior
        self.loss, self.masks, self.m_per_px = loss, masks, masks.side_m / masks.size_px
        self.topology = Topology(body.faces)
        self.register_buffer("vertex_share", vertex_surface_share(body.template_m, body.faces))
        self.surface = SurfaceSample(body) if loss.uses_bodies else None

    def joints_root_m(self, estimate: BodyEstimate) -> Float[Tensor, "B E 3"]:
        """Give the measured joints of the estimated bodies, the first at the origin, axes of the crop camera."""
        return rooted_body(self.joints_body, estimate).joints_root_m

    def in_crop_m(self, estimate: BodyEstimate) -> Float[Tensor, "B N 3"]:
        """Give the estimated surfaces about what their crops are centred on, as a picture of the crop shows them."""
        vertices_m = rooted_body(self.body, estimate).vertices_root_m
        if self.masks.crop_centre == "pelvis":
            return vertices_m
        return vertices_m - (self.vertex_share @ vertices_m)[:, None]

    def in_views(
        self, estimate: BodyEstimate, R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews
    ) -> Float[Tensor, "B V N 3"]:
        """Put the estimated bodies into all views."""
        vertices_world_m = turned_to_world(rooted_body(self.body, estimate).vertices_root_m, R_crop_from_world)
        return placed_in_views(vertices_world_m, views, self.masks.crop_centre, self.vertex_share)

    def coverage(self, vertices_px: Float[Tensor, "B V N 3"]) -> Float[Tensor, "B V S S"]:
        """Draw the silhouettes of bodies in their views."""
        masks = self.masks
        return coverage_in_views(vertices_px, self.topology, masks.size_px, masks.samples, masks.backend)

    def verts_terms(
        self, estimate: BodyEstimate, R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews
    ) -> dict[str, Float[Tensor, ""]]:
        """Compare bodies with the masks of all views."""
        loss = self.loss
        vertices_px = self.in_views(estimate, R_crop_from_world, views)
        xy_px = vertices_px[:, :, ::NEAR_VERTICES, :2]
        terms = {}
        if loss.soft_iou:
            terms["soft_iou"] = soft_iou_loss(self.coverage(vertices_px), views.mask, views.exists)
        if loss.mesh_to_mask:
            terms["mesh_to_mask_m"] = mesh_to_mask_loss_m(xy_px, views.distance_to_mask_m, views.exists, self.m_per_px)
        if loss.mask_to_mesh:
            terms["mask_to_mesh_m"] = mask_to_mesh_loss_m(
                xy_px[:, :, ::EVERY_NEAR_VERTEX], views.mask, views.exists, self.m_per_px
            )
        return terms

    def body_terms(self, estimate: BodyEstimate) -> dict[str, Float[Tensor, ""]]:
        """Measure bodies by themselves: what the prior says of them, and unusual shapes."""
        terms = {}
        if self.prior is not None and self.loss.prior:
            terms["prior"] = prior_loss(cast(Scores, self.prior), estimate, self.loss)
        if self.loss.betas:
            terms["betas"] = estimate.betas.square().mean()
        return terms

    def pose_term(
        self,
        estimate: BodyEstimate,
        joints_root_m: Float[Tensor, "B E 3"],
        is_labelled: Bool[Tensor, "B"] | Float[Tensor, "B"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Compare joints with the labels of the rows that have them."""
        if not self.loss.pose:
            return {}
        found = self.joints_root_m(estimate)
        return {"pose_m": joint_distance_m(found, joints_root_m, is_labelled, self.loss.hips)}

    def terms(
        self,
        estimate: BodyEstimate,
        joints_root_m: Float[Tensor, "B E 3"],
        is_labelled: Bool[Tensor, "B"] | Float[Tensor, "B"],
        R_crop_from_world: Float[Tensor, "M 3 3"],
        views: MeshViews,
    ) -> dict[str, Float[Tensor, ""]]:
        """Measure a batch in every way that has a weight; only its last M rows have views."""
        found = self.pose_term(estimate, joints_root_m, is_labelled) | self.body_terms(estimate)
        if not self.loss.uses_masks:
            return found
        seen = BodyEstimate(*(part[-len(R_crop_from_world) :] for part in estimate))
        return found | self.verts_terms(seen, R_crop_from_world, views)

    def fitted_terms(
        self, estimate: BodyEstimate, fitted: BodyEstimate, confidence: Float[Tensor, "B"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Compare bodies with fitted ones, where there are any, in every way that has a weight."""
        weight = full_weights(self.loss)
        rows = {} if self.surface is None else body_rows(estimate, fitted, self.surface)
        return {name: mean_of(row, confidence) for name, row in rows.items() if weight[name]}

    def in_plain_axes(self, estimate: BodyEstimate, batch: "Batch") -> BodyEstimate:
        """Undo for bodies what was done to the crops that they were read from."""
        if batch.R_new_from_plain is None or batch.is_mirrored is None:
            return estimate
        opposite = opposite_joints(self.body.rest_template_joints_m)
        rotations = unchanged(estimate.rotations_crop, batch.R_new_from_plain, batch.is_mirrored, opposite)
        return BodyEstimate(rotations, estimate.betas)

    def batch_terms(self, found: BodyEstimate, batch: "Batch") -> dict[str, Float[Tensor, ""]]:
        """Measure the bodies of a batch in every way that has a weight and something to compare with."""
        check_finite(found, batch.frames)
        estimate = self.in_plain_axes(found, batch)
        terms = self.terms(estimate, batch.joints_root_m, batch.confidence, batch.R_crop_from_world, batch.views)
        first = BodyEstimate(*(part[: len(batch.betas)] for part in estimate))
        if batch.rotations_crop.shape[1:] != first.rotations_crop.shape[1:]:
            return terms  # no body was fitted to anybody
        fitted = BodyEstimate(batch.rotations_crop, batch.betas)
        return terms | self.fitted_terms(first, fitted, batch.body_confidence)

    @torch.no_grad()
    def fitted_errors_mm(self, estimate: BodyEstimate, fitted: BodyEstimate) -> Float[Tensor, "B"]:
        """Give the distance from the surface of fitted bodies, averaged over it."""
        assert self.surface is not None
        return MM_PER_M * body_rows(estimate, fitted, self.surface)["vertices_m"]

    @torch.no_grad()
    def errors(
        self,
        estimate: BodyEstimate,
        joints_root_m: Float[Tensor, "B E 3"],
        is_labelled: Bool[Tensor, "B"],
        R_crop_from_world: Float[Tensor, "B 3 3"],
        views: MeshViews,
    ) -> tuple[Float[Tensor, "L"], Float[Tensor, "K"]]:
        """Give the joint error (mm) of every labelled row, and the IoU (percent) of every view that exists."""
        coverage = self.coverage(self.in_views(estimate, R_crop_from_world, views))
        apart_mm = mpjpe_mm(self.joints_root_m(estimate), joints_root_m)
        return apart_mm[is_labelled], iou_percent(coverage, views.mask)[views.exists]


GROUPS = {
    "pose": ("pose_m", "vertices_m", "rotations", "shape"),
    "verts": ("soft_iou", "mesh_to_mask_m", "mask_to_mesh_m"),
    "prior": ("prior", "betas"),
}
"""Which terms make up L_pose (joints, and bodies that were fitted), L_verts and L_gan."""
FAR_OFF = 3.0
"""A share is far off if it is so many times larger or smaller than intended."""


def full_weights(loss: MeshLoss) -> dict[str, float]:
    """Give the weight of every term as the settings have it."""
    return {
        "pose_m": loss.pose,
        "vertices_m": loss.vertices,
        "rotations": loss.rotations,
        "shape": loss.shape,
        "soft_iou": loss.soft_iou,
        "mesh_to_mask_m": loss.mesh_to_mask,
        "mask_to_mesh_m": loss.mask_to_mesh,
        "prior": loss.prior,
        "betas": loss.betas,
    }


def annealed(weights: Mapping[str, float], loss: MeshLoss, progress: float) -> dict[str, float]:
    """Change the weights with time, `progress` from 0 at the start to 1 at the end.

    The soft IoU has a gradient only at limbs that touch the mask, the distances at all: so these come first and fade.
    """
    rise = min(1.0, progress / loss.soft_iou_after) if loss.soft_iou_after else 1.0
    fall = 1 - (1 - loss.distances_end) * progress
    now = {"soft_iou": rise, "mesh_to_mask_m": fall, "mask_to_mesh_m": fall}
    return {name: weight * now.get(name, 1.0) for name, weight in weights.items()}


class GradientShare(NamedTuple):
    """How large the gradient of one group of terms is on the parameters."""

    norm: float
    """Norm of the gradient of the group's weighted sum."""
    share: float
    """The norm over the sum of all groups' norms."""
    intended: float

    @property
    def is_far_off(self) -> bool:
        """Whether the share is far from the intended one."""
        return not self.intended / FAR_OFF <= self.share <= self.intended * FAR_OFF


def gradient_shares(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Sequence[nn.Parameter], loss: MeshLoss
) -> dict[str, GradientShare]:
    """Measure each group's gradient on the parameters; keeps the graph.

    Intended shares are those of the groups that have a term, brought to a sum of one.
    """
    intended = {"pose": loss.pose_share, "verts": loss.verts_share, "prior": loss.prior_share}
    norms = {}
    for group, names in GROUPS.items():
        present = {name: terms[name] for name in names if name in terms}
        if present and intended[group]:
            total = weighted_sum(present, dict(weights))
            found = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
            norms[group] = float(torch.stack([averaged(part).norm() for part in found if part is not None]).norm())
    target, all_norms = sum(intended[group] for group in norms), sum(norms.values())
    return {group: GradientShare(norm, norm / all_norms, intended[group] / target) for group, norm in norms.items()}


class GroupFactors(nn.Module):
    """Factors on the groups' weights, one unless `loss.balance` sets them; a module, so that checkpoints hold them."""

    factors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", torch.ones(len(GROUPS)))

    def check(self, terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], loss: MeshLoss) -> str:
        """Compare the shares of the gradient with the intended ones, as lines; balance them if the settings say so."""
        shares = gradient_shares(terms, full_weights(loss), parameters, loss)
        if loss.balance:
            self.balance(shares)
        return share_table(shares)

    def balance(self, shares: Mapping[str, GradientShare]) -> None:
        """Set the factors so that the shares become the intended ones; that of the first group stays one."""
        target = {group: share.intended / max(share.norm, 1e-12) for group, share in shares.items()}
        first = next(iter(target.values()))
        for row, group in enumerate(GROUPS):
            self.factors[row] = target.get(group, first) / first

    def apply_to(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Multiply the weights of every group by its factor."""
        factor = {name: float(self.factors[row]) for row, names in enumerate(GROUPS.values()) for name in names}
        return {name: weight * factor[name] for name, weight in weights.items()}


def share_table(shares: Mapping[str, GradientShare]) -> str:
    """Write the shares as lines, with a warning at those far off."""
    lines = ["gradient on the head's parameters at the start:"]
    for group, share in shares.items():
        warning = "  WARNING: far off; change the weights, or set --loss.balance" if share.is_far_off else ""
        lines.append(
            f"  L_{group:<6} norm {share.norm:8.4f}   share {share.share:4.0%}, intended {share.intended:4.0%}{warning}"
        )
    return "\n".join(lines)
