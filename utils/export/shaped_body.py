"""From the body model to what is exported: the only place where exports meet it."""

from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from utils.export.rig import Rig
from utils.skeleton import SMPL_24


class BodyModel(Protocol):
    """What is read of a body (models/smpl.py)."""

    faces: Tensor
    weights: Tensor
    pose_of_vertices: Tensor
    parents: tuple[int, ...]

    def shaped_vertices_m(self, betas: Tensor) -> Tensor: ...  # noqa: D102
    def rest_joints_m(self, betas: Tensor) -> Tensor: ...  # noqa: D102


def rig_of(body: BodyModel, betas: Float[Tensor, "n"]) -> Rig:
    """Take one shape of a body out of the model; the shape's directions are baked into surface and joints."""
    device = body.faces.device
    shape = betas.detach()[None].to(device)
    return Rig(
        vertices_m=body.shaped_vertices_m(shape)[0].cpu().double().numpy(),
        faces=body.faces.cpu().numpy(),
        joints_m=body.rest_joints_m(shape)[0].cpu().double().numpy(),
        weights=body.weights.cpu().double().numpy(),
        parents=body.parents,
        names=SMPL_24,
        has_pose_offsets=len(body.pose_of_vertices) > 0,
    )
