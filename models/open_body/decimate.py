"""Makes a triangle mesh coarser by collapsing edges onto vertices that stay, so that per-vertex data survives."""

import heapq

import numpy as np
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

EVENNESS = 2e-4
"""Weight of squared edge length times area beside squared plane distance times area: keeps triangles of flat parts
small enough to bend."""

STEEPEST = 0.2
"""Smallest cosine between a triangle's normal before and after a collapse."""


class _Mesh:
    """A closed or open mesh that knows the faces around every vertex."""

    def __init__(self, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> None:
        self.vertices = vertices
        self.faces: dict[int, tuple[int, int, int]] = {i: tuple(face) for i, face in enumerate(faces.tolist())}
        self.around: list[set[int]] = [set() for _ in vertices]
        for number, face in self.faces.items():
            for vertex in face:
                self.around[vertex].add(number)
        corners = vertices[faces]
        self.quadrics = np.zeros((len(vertices), 4, 4))
        self.areas = np.zeros(len(vertices))
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        areas = np.linalg.norm(normals, axis=1)
        normals /= areas[:, None]
        planes = np.concatenate([normals, -(normals * corners[:, 0]).sum(axis=1, keepdims=True)], axis=1)
        for corner in range(3):
            np.add.at(self.quadrics, faces[:, corner], areas[:, None, None] * planes[:, :, None] * planes[:, None])
            np.add.at(self.areas, faces[:, corner], areas)

    def neighbours(self, vertex: int) -> set[int]:
        """Give the vertices that share a face with this one."""
        return {other for face in self.around[vertex] for other in self.faces[face]} - {vertex}

    def cost(self, gone: int, kept: int) -> float:
        """Give the squared distance, weighted by area, that a collapse moves the surface."""
        point = np.append(self.vertices[kept], 1.0)
        length = float(((self.vertices[gone] - self.vertices[kept]) ** 2).sum())
        quadric = self.quadrics[gone] + self.quadrics[kept]
        return float(point @ quadric @ point) + EVENNESS * length * float(self.areas[gone] + self.areas[kept])

    def collapse(self, gone: int, kept: int) -> None:
        """Move every face of one vertex to the other."""
        for number in list(self.around[gone]):
            face = self.faces[number]
            for vertex in face:
                self.around[vertex].discard(number)
            if kept in face:
                del self.faces[number]
                continue
            moved = tuple(kept if vertex == gone else vertex for vertex in face)
            self.faces[number] = (moved[0], moved[1], moved[2])
            for vertex in moved:
                self.around[vertex].add(number)
        self.quadrics[kept] += self.quadrics[gone]
        self.areas[kept] += self.areas[gone]

    def flips(self, gone: int, kept: int) -> bool:
        """Whether a collapse would turn or flatten a triangle."""
        for number in self.around[gone]:
            face = self.faces[number]
            if kept in face:
                continue
            before = self.vertices[list(face)]
            after = self.vertices[[kept if vertex == gone else vertex for vertex in face]]
            old, new = (np.cross(c[1] - c[0], c[2] - c[0]) for c in (before, after))
            if old @ new <= STEEPEST * np.linalg.norm(old) * np.linalg.norm(new):
                return True
        return False


def decimate(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], locked: Bool[np.ndarray, "V"], num_vertices: int
) -> Int[np.ndarray, "G 3"]:
    """Collapse edges until so many vertices are in use, and give the faces that remain.

    Args:
        locked: vertices that stay where they are, such as a border; no new edge joins two of them.
    Source: Garland and Heckbert, Surface simplification using quadric error metrics, 1997, with end-point placement.
    """
    mesh = _Mesh(vertices, faces)
    queue = [(mesh.cost(a, b), a, b) for a in range(len(vertices)) if not locked[a] for b in mesh.neighbours(a)]
    heapq.heapify(queue)
    left = len(np.unique(faces))
    bar = tqdm(total=left - num_vertices, desc="decimating", disable=None)
    while left > num_vertices and queue:
        cost, gone, kept = heapq.heappop(queue)
        if not mesh.around[gone] or kept not in mesh.neighbours(gone) or cost < mesh.cost(gone, kept) - 1e-15:
            continue
        if not _is_allowed(mesh, locked, gone, kept):
            continue
        mesh.collapse(gone, kept)
        left -= 1
        bar.update()
        for other in mesh.neighbours(kept):
            for a, b in ((other, kept), (kept, other)):
                if not locked[a]:
                    heapq.heappush(queue, (mesh.cost(a, b), a, b))
    bar.close()
    return np.array([mesh.faces[number] for number in sorted(mesh.faces)])


def _is_allowed(mesh: _Mesh, locked: Bool[np.ndarray, "V"], gone: int, kept: int) -> bool:
    """Keep the surface a surface: the link condition, no bridge between locked vertices, no turned triangle."""
    around_gone, around_kept = mesh.neighbours(gone), mesh.neighbours(kept)
    if len(around_gone & around_kept) != 2:
        return False
    if locked[kept] and any(locked[other] for other in around_gone - around_kept - {kept}):
        return False
    return not mesh.flips(gone, kept)
