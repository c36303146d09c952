"""The edges of a mesh with the faces beside them: all that the silhouette needs to know about faces, built once."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


class EdgeTable(NamedTuple):
    """Faces and edges as tensors of one device."""

    faces: Int[Tensor, "F 3"]
    edges: Int[Tensor, "E 4"]
    """Start vertex, end vertex, a face that runs along the edge in this direction, and the face beside it."""
    turns: Int[Tensor, "E"]
    """How the second face runs along the edge: -1 against it, +1 along it, 0 there is none."""


class Topology:
    """The contour-edge table of a mesh of any kind: open, non-manifold, with doubled, flipped or degenerate faces.

    An edge of more than two faces has several rows of at most two faces each; their weights add up.
    """

    def __init__(self, faces: Int[Tensor, "F 3"] | Int[np.ndarray, "F 3"]) -> None:
        array = faces.detach().cpu().numpy() if isinstance(faces, Tensor) else np.asarray(faces)
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iu":
            raise ValueError(f"faces must be whole numbers of shape (F, 3), not {array.dtype} of shape {array.shape}")
        if array.size and array.min() < 0:
            raise ValueError(f"faces name vertex {array.min()}; vertices are counted from 0")
        self.num_vertices = int(array.max()) + 1 if array.size else 0
        self.faces = np.ascontiguousarray(array, dtype=np.int32)
        self.edges, self.turns = edge_table(self.faces)
        self._tables: dict[torch.device, EdgeTable] = {}

    def on(self, device: torch.device) -> EdgeTable:
        """Give the table as tensors of a device, which are kept."""
        if device not in self._tables:
            arrays = (self.faces, self.edges, self.turns)
            self._tables[device] = EdgeTable(*(torch.from_numpy(array).to(device) for array in arrays))
        return self._tables[device]


def edge_table(faces: Int[np.ndarray, "F 3"]) -> tuple[Int[np.ndarray, "E 4"], Int[np.ndarray, "E"]]:
    """Pair the faces along each edge: first those that run in opposite directions, then what is left over.

    Returns:
        The rows `edges` and `turns` of EdgeTable, in the order of the edges' vertices.
    Source: own derivation; test_silhouette.py.
    """
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    face = np.repeat(np.arange(len(faces), dtype=np.int32), 3)
    proper = start != end
    start, end, face = start[proper], end[proper], face[proper]
    low, high, runs_up = np.minimum(start, end), np.maximum(start, end), start < end
    order = np.lexsort((face, runs_up, high, low))
    rank = _place_in_group(low[order], high[order], runs_up[order])
    order = order[np.lexsort((~runs_up[order], rank, high[order], low[order]))]
    place = _place_in_group(low[order], high[order])
    first = np.flatnonzero(place % 2 == 0)
    second = np.minimum(first + 1, max(len(order) - 1, 0))
    has_second = place[second] % 2 == 1
    one, two = order[first], order[second]
    turns = np.where(has_second, np.where(runs_up[one] == runs_up[two], 1, -1), 0).astype(np.int8)
    other_face = np.where(has_second, face[two], face[one])
    return np.stack([start[one], end[one], face[one], other_face], axis=1).astype(np.int32), turns


def _place_in_group(*sorted_keys: np.ndarray) -> np.ndarray:
    """Count the rows before each one that have the same keys."""
    count = len(sorted_keys[0])
    is_new = np.ones(count, dtype=bool)
    is_new[1:] = np.any([key[1:] != key[:-1] for key in sorted_keys], axis=0)
    starts = np.flatnonzero(is_new)
    return np.arange(count) - np.repeat(starts, np.diff(starts, append=count))
