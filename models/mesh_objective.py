"""The terms of stage 4 put together: from estimated bodies to numbers in units of their own."""

from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from config import MeshConfig
from models.mesh_losses import NEAR_VERTICES, REACHING, joint_distance_m, outside_loss_m, overlap_loss, reach_loss_m
from models.mesh_measure import Scores
from models.silhouette import Topology, silhouette
from models.smpl import Body
from models.SMPL_from_latent import BodyEstimate, rooted_body
from utils.metrics import iou_percent, mpjpe_mm
from utils.views import Anchor, MeshViews, placed_in_views, surface_share


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


class MeshObjective(nn.Module):
    """Measures estimated bodies by labels, masks and the prior."""

    vertex_share: Tensor

    def __init__(self, body: Body, prior: nn.Module | None, config: MeshConfig, anchor: Anchor, side_m: float) -> None:
        super().__init__()
        self.body, self.joints_body, self.prior = body, body.joints_only(), prior
        self.config, self.anchor, self.m_per_px = config, anchor, side_m / config.mask_px
        self.topology = Topology(body.faces)
        self.register_buffer("vertex_share", surface_share(body.template_m, body.faces))

    def joints_root_m(self, estimate: BodyEstimate) -> Float[Tensor, "B 17 3"]:
        """Read Human3.6M's joints of the estimated bodies, pelvis at the origin, axes of the crop camera."""
        return rooted_body(self.joints_body, estimate).joints_root_m

    def in_views(
        self, estimate: BodyEstimate, R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews
    ) -> Float[Tensor, "B V N 3"]:
        """Put the estimated bodies into all views."""
        vertices_root_m = rooted_body(self.body, estimate).vertices_root_m
        return placed_in_views(vertices_root_m @ R_crop_from_world, views, self.anchor, self.vertex_share)

    def coverage(self, vertices_px: Float[Tensor, "B V N 3"]) -> Float[Tensor, "B V S S"]:
        """Draw the silhouettes of bodies in their views."""
        size = self.config.mask_px
        flat = silhouette(
            vertices_px.flatten(0, 1), self.topology, size, size, self.config.samples, self.config.backend
        )
        return flat.unflatten(0, vertices_px.shape[:2])

    def verts_terms(
        self, estimate: BodyEstimate, R_crop_from_world: Float[Tensor, "B 3 3"], views: MeshViews
    ) -> dict[str, Float[Tensor, ""]]:
        """Compare bodies with the masks of all views."""
        loss = self.config.loss
        vertices_px = self.in_views(estimate, R_crop_from_world, views)
        xy_px = vertices_px[:, :, ::NEAR_VERTICES, :2]
        terms = {}
        if loss.overlap:
            terms["overlap"] = overlap_loss(self.coverage(vertices_px), views.mask, views.exists)
        if loss.outside:
            terms["outside_m"] = outside_loss_m(xy_px, views.outside_m, views.exists, self.m_per_px)
        if loss.reach:
            terms["reach_m"] = reach_loss_m(xy_px[:, :, ::REACHING], views.mask, views.exists, self.m_per_px)
        return terms

    def body_terms(self, estimate: BodyEstimate) -> dict[str, Float[Tensor, ""]]:
        """Judge bodies by themselves: what the discriminator says of their pose and shape, and unusual shapes.

        Source: least squares, Mao et al. 2017, as the generator's loss: a real body has the score one.
        """
        terms = {}
        if self.prior is not None and self.config.loss.prior:
            scores = cast(Scores, self.prior).scores(estimate.rotations_crop[:, 1:], estimate.betas)
            terms["prior"] = (1 - scores).square().mean()
        if self.config.loss.betas:
            terms["betas"] = estimate.betas.square().mean()
        return terms

    def pose_term(
        self, estimate: BodyEstimate, joints_root_m: Float[Tensor, "B 17 3"], is_labelled: Bool[Tensor, "B"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Compare joints with the labels of the rows that have them."""
        if not self.config.loss.pose:
            return {}
        found = self.joints_root_m(estimate)
        return {"pose_m": joint_distance_m(found, joints_root_m, is_labelled, self.config.loss.hips)}

    def terms(
        self,
        estimate: BodyEstimate,
        joints_root_m: Float[Tensor, "B 17 3"],
        is_labelled: Bool[Tensor, "B"],
        R_crop_from_world: Float[Tensor, "M 3 3"],
        views: MeshViews,
    ) -> dict[str, Float[Tensor, ""]]:
        """Measure a batch in every way that has a weight; only its last M rows have views."""
        found = self.pose_term(estimate, joints_root_m, is_labelled) | self.body_terms(estimate)
        if not self.config.loss.uses_masks:
            return found
        seen = BodyEstimate(*(part[-len(R_crop_from_world) :] for part in estimate))
        return found | self.verts_terms(seen, R_crop_from_world, views)

    @torch.no_grad()
    def errors(
        self,
        estimate: BodyEstimate,
        joints_root_m: Float[Tensor, "B 17 3"],
        is_labelled: Bool[Tensor, "B"],
        R_crop_from_world: Float[Tensor, "B 3 3"],
        views: MeshViews,
    ) -> tuple[Float[Tensor, "L"], Float[Tensor, "K"]]:
        """Give the joint error (mm) of every labelled row, and the overlap (percent) of every view that exists."""
        coverage = self.coverage(self.in_views(estimate, R_crop_from_world, views))
        apart_mm = mpjpe_mm(self.joints_root_m(estimate), joints_root_m)
        return apart_mm[is_labelled], iou_percent(coverage, views.mask)[views.exists]
