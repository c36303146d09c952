"""Fit bodies to 2D keypoints: move what the lifter says until the body's keypoints are seen where they were found.

Everything is in the axes of the picture's camera, with its true perspective.  Keypoints that lie far off lose their
weight.  Frames of a video are fitted together: one shape, and steady motion; a frame without keypoints is bridged by
its neighbours.
"""

from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from config import ranged, setting
from models.kinematics import relative_to_parent
from models.masks_fit import joint_axis_error, rounded_distance_m
from models.mesh_losses import Scores
from models.SMPL_from_keypoints import KeypointsOfBody, LiftedBodies, seen_at

HEADING_STAYS = 0.5
"""Weight of the root's rotation over the mean of all joints': keypoints beside the model's own would turn bodies."""
LAST_LR = 0.1
"""The step size falls to this share of its start, so that a fit comes to rest."""


@dataclass(frozen=True)
@ranged("fit")
class KeypointsFitConfig:
    """How a body is fitted to keypoints; a weight of 0 leaves a term out."""

    steps: int = setting(60, low=0)
    lr: float = setting(0.02, low=1e-6, high=1)
    """Adam's step size, for rotations (6D), shape numbers and, of the distance, for the root."""
    seen: float = setting(150.0, low=0)
    """Distance of the keypoints in the picture, half boxes, by confidence; squared up to `far_off`, then ever less."""
    far_off: float = setting(0.1, low=1e-4)
    joints: float = setting(1.0, low=0)
    """Mean distance of the joints from the lifter's, metres, about the root."""
    turned: float = setting(0.2, low=0)
    """Mean squared difference of the joints' rotation matrices from the lifter's."""
    joint_axis: float = setting(0.02, low=0)
    """Mean squared deviation of the axes of knees and elbows from the one they bend about."""
    betas: float = setting(0.01, low=0)
    """Mean squared difference of the shape from the lifter's mean over the frames."""
    prior: float = setting(0.0, low=0)
    """Mean squared distance of the discriminator's scores from 1; only where a prior is given."""
    steady: float = setting(0.002, low=0)
    """Of a video: mean squared acceleration of the joints, (m/s2)^2."""


class FoundKeypoints(NamedTuple):
    """Keypoints of the frames of one person, in the picture's camera."""

    rays: Float[Tensor, "T K 2"]
    """At depth one."""
    confidence: Float[Tensor, "T K"]
    """0 where a keypoint was not found; a frame without any is bridged."""
    half: Float[Tensor, "T"]
    """Half the longer side of the keypoints' box, at depth one; anything where there are none."""


class KeypointsFit:
    """Fits bodies to keypoints.

    Args:
        prior: scores rotations without the root, and shapes; None for none.
    """

    def __init__(self, body: KeypointsOfBody, config: KeypointsFitConfig, prior: Scores | None = None) -> None:
        self.body, self.config, self.prior = body, config, prior

    def fit(
        self, start: LiftedBodies, found: FoundKeypoints, frames_per_second: float | None = None,
        fixed: Bool[Tensor, "T"] | None = None,
    ) -> LiftedBodies:  # fmt: skip
        """Fit bodies; frames of one video have one shape.

        Args:
            start: in the picture's camera.
            frames_per_second: of a video; None for pictures that have nothing to do with each other.
            fixed: frames that were fitted before and only tell where the motion comes from.
        """
        is_video = frames_per_second is not None and len(start.betas) > 1
        betas = start.betas.mean(dim=0, keepdim=True) if is_video else start.betas
        guess = LiftedBodies(start.totals, betas.expand_as(start.betas), start.root_m)
        guess_m = self.body(guess.totals, guess.betas)[0]
        columns = start.totals[..., :2].clone().requires_grad_()
        shape, root = betas.clone().requires_grad_(), torch.zeros_like(start.root_m).requires_grad_()
        depth_m = start.root_m[:, 2:]
        optimizer = torch.optim.Adam([columns, shape, root])
        moves = torch.ones(len(root), 1, 1, 1) if fixed is None else (~fixed).float()[:, None, None, None]

        def bodies() -> LiftedBodies:
            free = start.totals[..., :2] + (columns - start.totals[..., :2]) * moves
            place_m = start.root_m + root * depth_m * moves[..., 0, 0]
            return LiftedBodies(roma.special_gramschmidt(free), shape.expand_as(start.betas), place_m)

        for step in range(1, self.config.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * LAST_LR ** (step / self.config.steps)
            optimizer.zero_grad(set_to_none=True)
            now = bodies()
            total = self._of_frames(now, guess, guess_m, found).sum()
            if is_video and frames_per_second is not None:
                total = total + self._of_motion(now, frames_per_second)
            total.backward()
            optimizer.step()
        with torch.no_grad():
            return LiftedBodies(*(value.detach() for value in bodies()))

    def _of_frames(
        self, now: LiftedBodies, guess: LiftedBodies, guess_m: Float[Tensor, "T J 3"], found: FoundKeypoints
    ) -> Float[Tensor, "T"]:
        """Weigh every frame by itself."""
        config = self.config
        joints_m, points_m = self.body(now.totals, now.betas)
        off = (seen_at(points_m, now.root_m) - found.rays).norm(dim=-1) / found.half[:, None]
        off = torch.where(found.confidence > 0, off, 0.0)
        robust = config.far_off**2 / 2 * (1 + (off / config.far_off).square()).log()
        terms = config.seen * (robust * found.confidence).mean(dim=1)
        terms = terms + config.joints * rounded_distance_m(joints_m - guess_m).mean(dim=1)
        relative = relative_to_parent(now.totals)
        usual = relative_to_parent(guess.totals)
        apart = (relative - usual).square().sum(dim=(2, 3))
        terms = terms + config.turned * (apart.mean(dim=1) + HEADING_STAYS * apart[:, 0])
        terms = terms + config.joint_axis * joint_axis_error(relative)
        terms = terms + config.betas * (now.betas - guess.betas).square().mean(dim=1)
        if self.prior is not None and config.prior > 0:
            terms = terms + config.prior * (self.prior.scores(relative[:, 1:], now.betas) - 1).square().mean(dim=1)
        return terms

    def _of_motion(self, now: LiftedBodies, frames_per_second: float) -> Float[Tensor, ""]:
        """Weigh how much the joints and the root jerk."""
        joints_m = self.body(now.totals, now.betas)[0]
        total = joints_m.new_zeros(())
        for places_m in (joints_m, now.root_m[:, None]):
            if len(places_m) > 2:
                bend = (places_m[2:] - 2 * places_m[1:-1] + places_m[:-2]) * frames_per_second**2
                total = total + self.config.steady * bend.square().sum(dim=-1).mean(dim=1).sum()
        return total


def in_picture(bodies: LiftedBodies, R_box_from_cam: Float[Tensor, "B 3 3"]) -> LiftedBodies:
    """Turn bodies from the axes of their boxes' cameras to those of the picture's."""
    back = R_box_from_cam.mT
    return LiftedBodies(back[:, None] @ bodies.totals, bodies.betas, (back @ bodies.root_m[..., None])[..., 0])
