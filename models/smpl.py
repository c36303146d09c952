"""The body: shape and pose to a mesh and its joints, for any file in SMPL's format (utils/body_file.py)."""

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from utils.body_file import (
    BodyFile,
    check_smpl_joints,
    dense,
    has_smpl_joints,
    read_body_file,
    read_h36m_regressor,
)
from utils.skeleton import H36M_17, default_names


class BodyOutput(NamedTuple):
    """A batch of posed bodies."""

    vertices_m: Float[Tensor, "B V 3"]
    joints_m: Float[Tensor, "B J 3"]


def rotations_from_theta(theta: Float[Tensor, "B axis_angles"]) -> Float[Tensor, "B J 3 3"]:
    """Turn axis-angle numbers, SMPL's 72 or another body's, into rotation matrices, the root first."""
    return roma.rotvec_to_rotmat(theta.unflatten(1, (-1, 3)))


class Body(nn.Module):
    """SMPL's function from rotations, shape and translation to vertices and joints, in metres.

    theta = 0 is the body at rest (the T-pose of people), y up, facing +z.  The root turns about its own rest position,
    which is not the origin.  The joints are those of the file, named by `names`.
    The arrays are non-persistent buffers: no checkpoint carries a (possibly licensed) body.
    Source: Loper et al., SMPL, 2015, equations 2 to 12.
    """

    faces: Int[Tensor, "F 3"]
    template_m: Float[Tensor, "V 3"]
    weights: Float[Tensor, "V J"]
    rest_template_joints_m: Float[Tensor, "J 3"]
    shape_of_vertices: Float[Tensor, "n V*3"]
    shape_of_joints: Float[Tensor, "n J*3"]
    pose_of_vertices: Float[Tensor, "rows V*3"]
    evaluated_regressor: Float[Tensor, "E used"]
    evaluated_vertices: Int[Tensor, "used"]

    def __init__(self, file: BodyFile, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.parents: tuple[int, ...] = tuple(int(parent) for parent in file.parents)
        self.names: tuple[str, ...] = file.names or default_names(self.parents)
        num_vertices = len(file.v_template)
        regressor = dense(file.J_regressor)
        shape_of_joints = np.einsum("jv,vcn->njc", regressor, file.shapedirs)

        def keep(name: str, value: np.ndarray) -> None:
            self.register_buffer(name, torch.tensor(np.ascontiguousarray(value), dtype=dtype), persistent=False)

        keep("template_m", file.v_template)
        keep("weights", file.weights)
        keep("rest_template_joints_m", regressor @ file.v_template)
        keep("shape_of_vertices", file.shapedirs.transpose(2, 0, 1).reshape(-1, num_vertices * 3))
        keep("shape_of_joints", shape_of_joints.reshape(-1, 3 * len(self.parents)))
        keep("pose_of_vertices", pose_directions(file.posedirs))
        self.register_buffer("faces", torch.tensor(file.faces, dtype=torch.int64), persistent=False)
        self.has_h36m_joints = file.J_regressor_h36m is not None
        of_surface = file.J_regressor_h36m if self.has_h36m_joints else file.J_regressor_evaluated
        self.has_evaluated_regressor = of_surface is not None
        self.evaluated_names: tuple[str, ...] = H36M_17 if self.has_h36m_joints else file.evaluated_names or self.names
        if of_surface is not None:
            used = np.flatnonzero(dense(of_surface).any(axis=0))
            keep("evaluated_regressor", dense(of_surface)[:, used])
            self.register_buffer("evaluated_vertices", torch.tensor(used), persistent=False)

    @property
    def num_betas(self) -> int:
        """How many shape directions the file has."""
        return int(self.shape_of_vertices.shape[0])

    @property
    def has_smpl_joints(self) -> bool:
        """Whether the joints are SMPL's 24, which hinges, a prior over poses and names of other programs are about."""
        return has_smpl_joints(self.parents, self.names)

    def forward(
        self,
        rotations: Float[Tensor, "B J 3 3"],
        betas: Float[Tensor, "B n"],
        translation_m: Float[Tensor, "B 3"],
    ) -> BodyOutput:
        """Shape, pose and move a batch of bodies.

        Args:
            rotations: each joint relative to its parent; the root relative to the world.
            betas: may be fewer than the file's directions; the missing ones are zero.
        """
        shaped_m = self.shaped_vertices_m(betas)
        posed_m = shaped_m + self.pose_offsets_m(rotations)
        turned, joints_m = self._chain(rotations, self.rest_joints_m(betas))
        vertices_m = self._skin(posed_m, turned)
        return BodyOutput(vertices_m + translation_m[:, None], joints_m + translation_m[:, None])

    def shaped_vertices_m(self, betas: Float[Tensor, "B n"]) -> Float[Tensor, "B V 3"]:
        """Give the bodies of these shapes at rest."""
        offsets_m = betas @ self.shape_of_vertices[: self._known(betas)]
        return self.template_m + offsets_m.unflatten(-1, (-1, 3))

    def rest_joints_m(self, betas: Float[Tensor, "B n"]) -> Float[Tensor, "B J 3"]:
        """Give the joints of these shapes at rest."""
        offsets_m = betas @ self.shape_of_joints[: self._known(betas)]
        return self.rest_template_joints_m + offsets_m.unflatten(-1, (-1, 3))

    def pose_offsets_m(self, rotations: Float[Tensor, "B J 3 3"]) -> Float[Tensor, "B V 3"] | Float[Tensor, ""]:
        """Give what the pose adds to the surface before it is skinned; a single zero where the file has nothing."""
        if not len(self.pose_of_vertices):
            return self.template_m.new_zeros(())
        eye = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        feature = (rotations[:, 1:] - eye).flatten(1)
        return (feature @ self.pose_of_vertices).unflatten(-1, (-1, 3))

    def h36m_joints_m(self, vertices_m: Float[Tensor, "B V 3"]) -> Float[Tensor, "B 17 3"]:
        """Read Human3.6M's 17 joints off the surface.

        Raises:
            ValueError: the body file has no 17-joint regressor.
        """
        if not self.has_h36m_joints:
            raise ValueError(
                "this body file has no J_regressor_h36m; give load_body the path of J_regressor_h36m_correct.npy "
                "(setting paths.h36m_regressor_location)"
            )
        return self.evaluated_regressor @ vertices_m[:, self.evaluated_vertices]

    def evaluated_joints_m(
        self, vertices_m: Float[Tensor, "B V 3"], joints_m: Float[Tensor, "B J 3"]
    ) -> Float[Tensor, "B E 3"]:
        """Give the joints that bodies are measured by: read off the surface where the file tells how, else its own.

        Their names are `evaluated_names`: Human3.6M's 17 for people.
        """
        if not self.has_evaluated_regressor:
            return joints_m
        return self.evaluated_regressor @ vertices_m[:, self.evaluated_vertices]

    def joints_only(self) -> "Body":
        """Make the same body with only the vertices that its measured joints are read off: some forty times faster.

        Its faces are empty, because most of their vertices are gone; where joints are not read off any, one is left.
        Raises:
            ValueError: the body has SMPL's joints, and no regressor for Human3.6M's.
        """
        if not self.has_h36m_joints and self.has_smpl_joints:
            self.h36m_joints_m(self.template_m[None])  # says what is missing
        kept = self.evaluated_vertices if self.has_evaluated_regressor else self.faces.new_zeros(1)
        rows = (kept[:, None] * 3 + torch.arange(3, device=kept.device)).flatten()
        part = copy.deepcopy(self)
        part.template_m, part.weights = self.template_m[kept], self.weights[kept]
        part.shape_of_vertices, part.pose_of_vertices = self.shape_of_vertices[:, rows], self.pose_of_vertices[:, rows]
        part.faces = self.faces[:0]
        if self.has_evaluated_regressor:
            part.evaluated_vertices = torch.arange(len(kept), device=kept.device)
        return part

    def _known(self, betas: Tensor) -> int:
        if betas.shape[1] > self.num_betas:
            raise ValueError(f"{betas.shape[1]} betas were given, but the body file has {self.num_betas} directions")
        return betas.shape[1]

    def _chain(self, rotations: Tensor, rest_joints_m: Tensor) -> tuple[Float[Tensor, "B J 3 4"], Tensor]:
        """Walk down the skeleton; gives the map of each joint from the body at rest, and the posed joints."""
        R, joints_m = [rotations[:, 0]], [rest_joints_m[:, 0]]
        for child, parent in enumerate(self.parents[1:], start=1):
            bone_m = rest_joints_m[:, child] - rest_joints_m[:, parent]
            joints_m.append(joints_m[parent] + (R[parent] @ bone_m[..., None])[..., 0])
            R.append(R[parent] @ rotations[:, child])
        R_all, posed_m = torch.stack(R, dim=1), torch.stack(joints_m, dim=1)
        shift_m = posed_m[..., None] - R_all @ rest_joints_m[..., None]
        return torch.cat([R_all, shift_m], dim=-1), posed_m

    def _skin(self, vertices_m: Tensor, from_rest: Float[Tensor, "B J 3 4"]) -> Float[Tensor, "B V 3"]:
        """Mix the joints' maps at each vertex.  Coordinates come before vertices: long rows are fastest on a CPU."""
        blended = (from_rest.flatten(2).transpose(1, 2) @ self.weights.T).unflatten(1, (3, 4))
        turned = (blended[:, :, :3] * vertices_m.transpose(1, 2)[:, None]).sum(dim=2)
        return (turned + blended[:, :, 3]).transpose(1, 2).contiguous()


def pose_directions(posedirs: Float[np.ndarray, "V 3 P"]) -> Float[np.ndarray, "rows V*3"]:
    """Lay the pose directions out for one product; no rows at all where they are zero, which costs nothing then."""
    if not posedirs.any():
        return np.zeros((0, posedirs.shape[0] * 3))
    return posedirs.reshape(-1, posedirs.shape[2]).T


def load_body(
    path: Path | str,
    dtype: torch.dtype = torch.float32,
    h36m_regressor: Path | str | None = None,
    needs_smpl_joints: str = "",
) -> Body:
    """Read a body file and build its layer.

    Args:
        h36m_regressor: a (17, V) .npy that replaces the file's own; SMPL's files have none.
        needs_smpl_joints: what the body is for, where only SMPL's skeleton serves; nothing takes any skeleton.
    Raises:
        ValueError: the body has another skeleton than it needs; and what `read_body_file` raises.
    """
    file = read_body_file(Path(path))
    if needs_smpl_joints:
        check_smpl_joints(Path(path), file, needs_smpl_joints)
    if h36m_regressor is not None:
        file = file._replace(J_regressor_h36m=read_h36m_regressor(Path(h36m_regressor), len(file.v_template)))
        file = file._replace(J_regressor_evaluated=None, evaluated_names=())
    return Body(file, dtype)
