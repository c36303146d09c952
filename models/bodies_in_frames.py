"""Bodies from crops of pictures, in the axes of the picture's camera; of a video filtered over time."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.smpl import Body
from models.SMPL_from_latent import MeshFromImage
from utils.one_euro import OneEuro, SmoothRotations

SHAPE_CUTOFF_HZ = 0.1
"""A person's shape does not move; only the first seconds change the filtered one."""


class BodyInFrame(NamedTuple):
    """One body in the camera's axes (x right, y down, z forward), as the body model gives it without translation."""

    rotations_cam: Float[np.ndarray, "24 3 3"]
    """The root first, R_cam_from_body."""
    betas: Float[np.ndarray, "10"]
    vertices_m: Float[np.ndarray, "V 3"]
    root_joint_m: Float[np.ndarray, "3"]
    joints_m: Float[np.ndarray, "17 3"]
    """Human3.6M's, the pelvis first."""


class BodiesInFrames:
    """Reads bodies off batches of crops, which must come in the order of their frames if they are filtered.

    Args:
        frames_per_second: of a video; None for pictures that have nothing to do with each other.
        smoothing: cutoff at rest in Hz and speed factor of the One-Euro filter; None for no filter.
    """

    def __init__(
        self,
        network: MeshFromImage,
        body: Body,
        frames_per_second: float | None,
        smoothing: tuple[float, float] | None,
    ):
        self.network, self.body = network, body
        self.is_smooth = smoothing is not None and frames_per_second is not None
        rate, filtering = frames_per_second or 1.0, smoothing or (1.0, 0.0)
        self.turn, self.shape = SmoothRotations(rate, *filtering), OneEuro(rate, SHAPE_CUTOFF_HZ, 0.0)

    @torch.no_grad()
    def __call__(
        self, images: Float[Tensor, "B 3 S S"], R_cam_from_crop: Float[np.ndarray, "B 3 3"]
    ) -> list[BodyInFrame]:
        """Read one body per crop.

        Raises:
            ValueError: the network gives numbers that are not finite.
        """
        device = next(self.network.parameters()).device
        estimate = self.network(images.to(device))
        rotations, betas = estimate.rotations_crop.cpu().double().numpy(), estimate.betas.cpu().double().numpy()
        if not (np.isfinite(rotations).all() and np.isfinite(betas).all()):
            raise ValueError("the network gives numbers that are not finite; its checkpoint is damaged, train it again")
        rotations[:, 0] = R_cam_from_crop @ rotations[:, 0]
        if self.is_smooth:
            rotations = np.stack([self.turn(frame) for frame in rotations])
            betas = np.stack([self.shape(frame) for frame in betas])
        nowhere = torch.zeros(len(betas), 3, device=device)
        as_tensors = [torch.from_numpy(values).float().to(device) for values in (rotations, betas)]
        out = self.body(*as_tensors, nowhere)
        joints_m = self.body.h36m_joints_m(out.vertices_m)
        found = [tensor.cpu().double().numpy() for tensor in (out.vertices_m, out.joints_m[:, 0], joints_m)]
        return [BodyInFrame(*row) for row in zip(rotations, betas, *found, strict=True)]
