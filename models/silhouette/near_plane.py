"""What of a mesh lies before the camera: faces that reach behind it are cut at a near plane, before lines are drawn.

A perspective division puts points behind the camera on the wrong side of the picture, as if they were seen.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEAREST = 0.01
"""Depth of the near plane in the unit of the vertices' depth: one centimetre where that is the metre."""


class CutMesh(NamedTuple):
    """One view of a mesh, none of whose faces reaches behind the near plane."""

    points_px: Float[Tensor, "N 3"]
    """The vertices as they were, then one point for every edge that was cut."""
    faces: Int[np.ndarray, "G 3"]


def views_behind(vertices_px: Float[Tensor, "B V 3"], nearest: float) -> Int[np.ndarray, "K"]:
    """List the views in which some vertex is nearer than the near plane, or behind the camera.

    A view whose depths are all exactly zero has no perspective (none could have divided by them) and is not listed.
    """
    depth = vertices_px.detach()[..., 2]
    is_flat = (depth == 0).all(dim=1)
    return ((depth < nearest).any(dim=1) & ~is_flat).nonzero()[:, 0].cpu().numpy()


def cut_faces(
    faces: Int[np.ndarray, "F 3"], is_before: Bool[np.ndarray, "V"]
) -> tuple[Int[np.ndarray, "G 3"], Int[np.ndarray, "C 2"]]:
    """Cut faces whose vertices lie on both sides of a plane; leave out those that lie behind it.

    Returns:
        Faces, and the edges that were cut (vertex before the plane, vertex behind it).  Edge number k is cut at a new
        vertex, which the faces name V + k.  Faces keep the way round they had, and neighbours share their new vertices.
    """
    num_before = is_before[faces].sum(axis=1)
    tips, bases = (_turned_to(faces[num_before == count], is_before, first) for count, first in ((1, True), (2, False)))
    (a, b, c), (d, e, f) = tips.T, bases.T
    pairs = np.concatenate([np.stack(pair, axis=1) for pair in ((a, b), (a, c), (e, d), (f, d))])
    edges, number = np.unique(pairs, axis=0, return_inverse=True)
    new = number.reshape(-1) + len(is_before)
    ab, ac, ed, fd = np.split(new, np.cumsum([len(a), len(a), len(d)]))
    parts = [(a, ab, ac), (e, f, fd), (e, fd, ed)]
    return np.concatenate([faces[num_before == 3], *(np.stack(part, axis=1) for part in parts)]), edges


def _turned_to(faces: np.ndarray, is_before: np.ndarray, first: bool) -> np.ndarray:
    """Turn every face so that it begins with its one vertex that is before the plane, or with the one that is not."""
    place = (is_before[faces] == first).argmax(axis=1)
    return np.take_along_axis(faces, (place[:, None] + np.arange(3)) % 3, axis=1)


def cut_mesh(vertices_px: Float[Tensor, "V 3"], faces: Int[np.ndarray, "F 3"], nearest: float) -> CutMesh:
    """Cut one view of a mesh at the near plane, with gradients to all three coordinates of the vertices.

    Source: x times depth, y times depth and depth are linear along an edge in space; own derivation,
    test_silhouette.py.
    """
    depth = vertices_px[:, 2:]
    is_before = (depth.detach() >= nearest)[:, 0].cpu().numpy()
    kept, edges = cut_faces(faces, is_before)
    ends = torch.from_numpy(edges).to(vertices_px.device)
    before, behind = (torch.cat([vertices_px[:, :2] * depth, depth], dim=1)[ends[:, side]] for side in (0, 1))
    share = (before[:, 2:] - nearest) / (before[:, 2:] - behind[:, 2:])
    met = torch.lerp(before[:, :2], behind[:, :2], share)
    cuts = torch.cat([met / nearest, torch.full_like(share, nearest)], dim=1)
    return CutMesh(torch.cat([vertices_px, cuts]), kept)
