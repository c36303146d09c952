"""What follows from a body file alone: its limbs, its left and right, a coarse surface, normals.

Nothing here knows how many joints a body has or what they are called, so other skeletons follow.
"""

import copy
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.kinematics import SMPL_TREE, BodyTree
from models.open_body.decimate import decimate
from models.smpl import Body, load_body

COARSE_VERTICES = 1200
"""Of the surface that is drawn: at 64 pixels nobody sees the difference, and it is five times as fast."""


def limbs(parents: tuple[int, ...]) -> list[list[int]]:
    """List the chains of joints that end in a single tip, from where they leave the trunk to the tip.

    A chain begins below the last joint that branches: legs, arms and the neck with the head of a person.
    """
    children: dict[int, list[int]] = {}
    for child, parent in enumerate(parents):
        children.setdefault(parent, []).append(child)
    chains = []
    for tip in (joint for joint in range(len(parents)) if joint not in children):
        chain = [tip]
        while parents[chain[-1]] > 0 and len(children[parents[chain[-1]]]) == 1:
            chain.append(parents[chain[-1]])
        chains.append(chain[::-1])
    return chains


def opposite_joints(rest_joints_m: Float[Tensor, "J 3"]) -> Int[Tensor, "J"]:
    """Find for every joint the one that lies where its mirror image lies, x being the body's left.

    Raises:
        ValueError: the resting body is not symmetric, so that sides cannot be told.
    """
    mirrored_m = rest_joints_m * rest_joints_m.new_tensor([-1.0, 1.0, 1.0])
    other = torch.cdist(mirrored_m, rest_joints_m).argmin(dim=1)
    if not torch.equal(other[other], torch.arange(len(other), device=other.device)):
        raise ValueError("the resting joints of this body are not symmetric about x = 0, so left and right cannot be "
                         "told; give --paths.models-smpl-location a body whose T-pose is")  # fmt: skip
    return other


def tree_of(body: Body) -> BodyTree:
    """Give the joints of a body; which are on the other side is told by where they rest.

    Raises:
        ValueError: the resting body is not symmetric.
    """
    if body.has_smpl_joints:
        return SMPL_TREE
    return BodyTree(body.names, body.parents, tuple(opposite_joints(body.rest_template_joints_m).tolist()))


def paired_limbs(parents: tuple[int, ...], opposite: Int[Tensor, "J"]) -> list[list[list[int]]]:
    """Group limbs that are each other's mirror image: both legs, both arms, and the head alone."""
    groups: dict[tuple[int, ...], list[list[int]]] = {}
    for chain in limbs(parents):
        key = tuple(sorted({chain[-1], int(opposite[chain[-1]])}))
        groups.setdefault(key, []).append(chain)
    return list(groups.values())


def vertex_normals(vertices_m: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "B V 3"]:
    """Give outward unit normals, each the mean of the faces around a vertex by their area.

    A vertex of no face has the normal zero.
    """
    a, b, c = (vertices_m[:, faces[:, corner]] for corner in range(3))
    of_face = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices_m)
    for corner in range(3):
        total = total.index_add(1, faces[:, corner], of_face)
    return torch.nn.functional.normalize(total, dim=2)


def part_of_body(body: Body, kept: Int[Tensor, "n"]) -> Body:
    """Make the same body with some of its vertices and without faces; vertices that joints are read off are added."""
    if body.has_evaluated_regressor:
        kept = torch.unique(torch.cat([kept, body.evaluated_vertices]))
    rows = (kept[:, None] * 3 + torch.arange(3, device=kept.device)).flatten()
    part = copy.deepcopy(body)
    part.template_m, part.weights = body.template_m[kept], body.weights[kept]
    part.shape_of_vertices, part.pose_of_vertices = body.shape_of_vertices[:, rows], body.pose_of_vertices[:, rows]
    part.faces = body.faces[:0]
    if body.has_evaluated_regressor:
        part.evaluated_vertices = torch.searchsorted(kept, body.evaluated_vertices)
    return part


def coarse_body(body: Body, faces: Int[Tensor, "G 3"]) -> Body:
    """Make the same body with the few vertices that a coarser surface uses, and those that joints are read off.

    Args:
        faces: of the coarser surface, in the numbering of the full one (models.open_body.decimate).
    """
    used = torch.unique(faces)
    part = part_of_body(body, used)
    kept = torch.unique(torch.cat([used, body.evaluated_vertices])) if body.has_evaluated_regressor else used
    part.faces = torch.searchsorted(kept, faces.contiguous())
    return part


@lru_cache
def coarse_faces(location: Path) -> Int[Tensor, "G 3"]:
    """Choose the faces of a coarser surface of a body file; it takes some seconds."""
    body = load_body(location)
    if len(body.template_m) <= COARSE_VERTICES:
        return body.faces
    points_m, is_locked = body.template_m.double().numpy(), np.zeros(len(body.template_m), bool)
    return torch.from_numpy(decimate(points_m, body.faces.numpy(), is_locked, COARSE_VERTICES))


def spread_vertices(body: Body, count: int) -> Int[Tensor, "count"]:
    """Choose vertices far from each other on the resting body, one after the other the farthest from those chosen."""
    points_m = body.template_m
    chosen = [int(points_m[:, 1].argmax())]
    nearest_m = (points_m - points_m[chosen[0]]).norm(dim=1)
    for _ in range(count - 1):
        chosen.append(int(nearest_m.argmax()))
        nearest_m = torch.minimum(nearest_m, (points_m - points_m[chosen[-1]]).norm(dim=1))
    return torch.tensor(chosen, device=points_m.device)


def pelvis_m(
    body: Body, vertices_m: Float[Tensor, "B V 3"], joints_m: Float[Tensor, "B J 3"]
) -> Float[Tensor, "B 1 3"]:
    """Give the point that bodies are placed by: Human3.6M's pelvis where the file tells it, else the root joint."""
    return body.h36m_joints_m(vertices_m)[:, :1] if body.has_h36m_joints else joints_m[:, :1]
