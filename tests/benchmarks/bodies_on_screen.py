"""Bodies for the silhouette benchmark: random poses seen from all around, and a finer mesh of the same body."""

from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.smpl import Body

DISTANCE_M = 5.0
"""From the camera to the body's middle."""
FILLS = 0.8
"""Share of the image's side that the larger side of the body's box fills."""


class Mesh(NamedTuple):
    """Vertices made from the body's own, and the faces between them."""

    parents: Int[np.ndarray, "N 2"]
    """Each vertex lies in the middle of two of the body's or of earlier ones; the body's own name themselves twice."""
    faces: Int[np.ndarray, "F 3"]


def own_mesh(body: Body) -> Mesh:
    """Give the body's mesh as it is."""
    return Mesh(np.repeat(np.arange(len(body.template_m))[:, None], 2, axis=1), body.faces.numpy())


def finer_mesh(body: Body, num_vertices: int) -> Mesh:
    """Halve the longest edges in rounds, each face at most once a round, until there are so many vertices."""
    vertices, (parents, faces) = body.template_m.double().numpy(), own_mesh(body)
    while len(vertices) < num_vertices:
        edges = _halved(vertices, faces, num_vertices - len(vertices))
        faces = _split(faces, edges, len(vertices))
        parents, vertices = np.concatenate([parents, edges]), np.concatenate([vertices, vertices[edges].mean(1)])
    return Mesh(parents, faces)


def _halved(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], most: int) -> Int[np.ndarray, "E 2"]:
    """Choose the longest edges that share no face with another chosen one."""
    faces_of: dict[tuple[int, int], list[int]] = {}
    for number, face in enumerate(faces.tolist()):
        for i in range(3):
            low, high = sorted((face[i], face[(i + 1) % 3]))
            faces_of.setdefault((low, high), []).append(number)
    edges = np.array(list(faces_of))
    longest_first = np.argsort(-np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1), kind="stable")
    taken, chosen = set[int](), []
    for low, high in edges[longest_first].tolist():
        if len(chosen) < most and not taken.intersection(faces_of[low, high]):
            taken.update(faces_of[low, high])
            chosen.append((low, high))
    return np.array(chosen)


def _split(faces: Int[np.ndarray, "F 3"], edges: Int[np.ndarray, "E 2"], first: int) -> Int[np.ndarray, "G 3"]:
    """Split the faces on both sides of each edge at its middle, which gets the numbers from first on."""
    middle = {tuple(edge): first + i for i, edge in enumerate(edges.tolist())}
    split = []
    for face in faces.tolist():
        sides = [(face[i], face[(i + 1) % 3]) for i in range(3)]
        found = [(a, b, middle[min(a, b), max(a, b)]) for a, b in sides if (min(a, b), max(a, b)) in middle]
        if not found:
            split.append(face)
            continue
        a, b, m = found[0]
        split += [[m if vertex == b else vertex for vertex in face], [m if vertex == a else vertex for vertex in face]]
    return np.array(split)


def bodies_px(body: Body, mesh: Mesh, count: int, size_px: int, seed: int) -> Float[Tensor, "B N 3"]:
    """Pose, shape and project bodies that turn once around in count views; x, y, and depth on the same scale."""
    generator = torch.Generator().manual_seed(seed)
    rotvec = 0.25 * torch.randn(count, 24, 3, generator=generator)
    rotvec[:, 0] = torch.tensor([0.0, 1, 0]) * (2 * torch.pi * torch.arange(count) / count + 0.3)[:, None]
    betas = torch.randn(count, body.num_betas, generator=generator)
    posed_m = body(roma.rotvec_to_rotmat(rotvec), betas, torch.zeros(count, 3)).vertices_m
    vertices_m = list(posed_m.unbind(1))
    for low, high in mesh.parents[len(vertices_m) :].tolist():
        vertices_m.append((vertices_m[low] + vertices_m[high]) / 2)
    all_m = torch.stack(vertices_m, 1)
    x, y, z = (all_m - (all_m.amax(1, keepdim=True) + all_m.amin(1, keepdim=True)) / 2).unbind(-1)
    xy = torch.stack([x, -y], -1) * (DISTANCE_M / (DISTANCE_M - z))[..., None]
    low, high = xy.amin(1, keepdim=True), xy.amax(1, keepdim=True)
    px_per_m = FILLS * size_px / (high - low).amax(-1, keepdim=True)
    return torch.cat([(xy - (low + high) / 2) * px_per_m + size_px / 2, (DISTANCE_M - z)[..., None] * px_per_m], -1)
