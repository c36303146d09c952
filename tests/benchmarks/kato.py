"""The silhouette and the hand-made gradient of the Neural 3D Mesh Renderer, slow and plain: a row of the benchmark.

Forward: the nearest face at the centre of every sample, n x n samples a pixel.  Backward: a vertex that moves along x
takes an edge of its face along the rows of samples with it; where that edge would reach the centre of a sample after a
movement dx and change its colour by dI, the derivative is taken as dI / dx, if the loss wants that change, else zero.
The same along y.  An edge counts where its face is the one that is drawn beside it.
Source: Kato, Ushiku, Harada, Neural 3D Mesh Renderer, CVPR 2018, section 3.2 (equations 1 to 5 and the paragraph on
several faces), for a picture that is 1 on the mesh and 0 beside it; the loops are our own.  test_kato.py.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

SAMPLES = 2
"""Along each side of a pixel, as many as our scan lines."""
NEAREST = 1e-3
"""In samples: a movement that brings an edge to a centre counts at least so much.  The paper divides by any."""


@numba.njit(cache=True)
def nearest_faces(points, faces, height, width):  # type: ignore[no-untyped-def]
    """Number the face that is seen at every sample; -1 for none.  Depths are linear on the screen."""
    seen, depth = np.full((height, width), -1, np.int32), np.full((height, width), np.inf, np.float32)
    for f in range(faces.shape[0]):
        a, b, c = points[faces[f, 0]], points[faces[f, 1]], points[faces[f, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0:
            continue
        top, bottom = min(a[1], b[1], c[1]), max(a[1], b[1], c[1])
        left, right = min(a[0], b[0], c[0]), max(a[0], b[0], c[0])
        for row in range(max(int(np.ceil(top - 0.5)), 0), min(int(np.floor(bottom - 0.5)) + 1, height)):
            for column in range(max(int(np.ceil(left - 0.5)), 0), min(int(np.floor(right - 0.5)) + 1, width)):
                x, y = column + 0.5, row + 0.5
                of_a = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / area
                of_b = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / area
                of_c = 1 - of_a - of_b
                z = of_a * a[2] + of_b * b[2] + of_c * c[2]
                if of_a >= 0 and of_b >= 0 and of_c >= 0 and z < depth[row, column]:
                    seen[row, column], depth[row, column] = f, z
    return seen


@numba.njit(cache=True)
def pull_lines(points, faces, seen, gradient, axis, pulled):  # type: ignore[no-untyped-def]
    """Add the gradient of movements along one axis: 0 for x, whose lines are rows, 1 for y."""
    lines, length = seen.shape
    for f in range(faces.shape[0]):
        for side in range(3):
            a, b, c = faces[f, side], faces[f, (side + 1) % 3], faces[f, (side + 2) % 3]
            at_a, at_b, x_a, x_b = points[a, 1 - axis], points[b, 1 - axis], points[a, axis], points[b, axis]
            first = max(int(np.ceil(min(at_a, at_b) - 0.5)), 0)
            for line in range(first, min(int(np.ceil(max(at_a, at_b) - 0.5)), lines)):
                of_b = (line + 0.5 - at_a) / (at_b - at_a)
                crossing = x_a + of_b * (x_b - x_a)
                on_c = x_a + (points[c, 1 - axis] - at_a) / (at_b - at_a) * (x_b - x_a)
                step = 1 if points[c, axis] > on_c else -1  # from the edge into the face
                within = int(np.ceil(crossing - 0.5)) if step > 0 else int(np.ceil(crossing - 0.5)) - 1
                if not 0 <= within < length or seen[line, within] != f:
                    continue
                place, pull = within - step, 0.0
                is_bare_beside = 0 <= place < length and seen[line, place] < 0
                while 0 <= place < length:  # samples beside the face would become 1
                    if seen[line, place] < 0 and gradient[line, place] < 0:
                        pull += gradient[line, place] / _apart(place + 0.5 - crossing, -step)
                    place -= step
                place = within
                while is_bare_beside and 0 <= place < length and seen[line, place] == f:  # of the face would become 0
                    if gradient[line, place] > 0:
                        pull -= gradient[line, place] / _apart(place + 0.5 - crossing, step)
                    place += step
                pulled[a, axis] += pull * (1 - of_b)
                pulled[b, axis] += pull * of_b


@numba.njit(cache=True)
def _apart(movement, way):  # type: ignore[no-untyped-def]
    return movement if abs(movement) > NEAREST else way * NEAREST


class _Kato(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices_px: Tensor, faces: Tensor, height: int, width: int, samples: int) -> Tensor:
        points = vertices_px.detach().numpy() * np.array([samples, samples, 1], np.float32)
        seen = [nearest_faces(view, faces.numpy(), height * samples, width * samples) for view in points]
        ctx.points, ctx.faces, ctx.seen, ctx.samples = points, faces.numpy(), seen, samples
        covered = torch.from_numpy(np.stack(seen) >= 0).float()
        return covered.unflatten(2, (width, samples)).unflatten(1, (height, samples)).mean((2, 4))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        n = ctx.samples
        fine = gradient.repeat_interleave(n, 1).repeat_interleave(n, 2).numpy() / n**2
        pulled = np.zeros_like(ctx.points)
        for view, seen in enumerate(ctx.seen):
            pull_lines(ctx.points[view], ctx.faces, seen, fine[view], 0, pulled[view])
            pull_lines(ctx.points[view], ctx.faces, seen.T.copy(), fine[view].T.copy(), 1, pulled[view])
        return torch.from_numpy(pulled * np.array([n, n, 0], np.float32)), None, None, None, None


def kato(vertices_px: Tensor, faces: Tensor, height: int, width: int, samples: int = SAMPLES) -> Tensor:
    """Draw the silhouettes (B, H, W) of meshes, given x, y in pixels and depth."""
    return _Kato.apply(vertices_px, faces, height, width, samples)
