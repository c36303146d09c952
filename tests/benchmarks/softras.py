"""The silhouette formula of SoftRas, in compiled loops with culling: what the benchmark compares our scan lines with.

Every face near a pixel makes it a little more covered: C = 1 - prod(1 - sigmoid(+- d^2 / sigma)), d the distance of the
pixel's centre to the face's border, + inside and - outside.  Threads are shared out as in models/silhouette/numba_scan.
Source: Liu et al., Soft Rasterizer, 2019, equations 1 and 3; the gradient is our own derivation; test_softras.py.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

SIGMA_PX2 = 0.41
"""Softness: 1e-4 in the units of an image that is 2 wide, at 128 pixels."""
FAINTEST = 1e-4
"""Faces that cover a pixel by less are left out: this sets how far around its bounding box a face is looked for."""
COVERED = 1e-7
"""A pixel that is less uncovered than this is passed over, where that is asked for."""


@numba.njit(nogil=True, cache=True)
def _box(points, face, reach, height, width):  # type: ignore[no-untyped-def]
    """Give the pixels whose centres may lie within reach of a face: first and last row, first and last column."""
    a, b, c = face[0], face[1], face[2]
    half = points.dtype.type(0.5)
    left = min(points[a, 0], points[b, 0], points[c, 0]) - reach - half
    right = max(points[a, 0], points[b, 0], points[c, 0]) + reach - half
    top = min(points[a, 1], points[b, 1], points[c, 1]) - reach - half
    bottom = max(points[a, 1], points[b, 1], points[c, 1]) + reach - half
    return (
        max(int(np.ceil(top)), 0),
        min(int(np.floor(bottom)) + 1, height),
        max(int(np.ceil(left)), 0),
        min(int(np.floor(right)) + 1, width),
    )


@numba.njit(nogil=True, cache=True)
def _sides(points, face):  # type: ignore[no-untyped-def]
    """Lay out the three sides of a face: x and y of the start, of the direction, and 1 / squared length."""
    sides = np.empty((3, 5), points.dtype)
    one, zero = points.dtype.type(1), points.dtype.type(0)
    for i in range(3):
        start, end = face[i], face[(i + 1) % 3]
        x, y = points[end, 0] - points[start, 0], points[end, 1] - points[start, 1]
        length = x * x + y * y
        sides[i, 0], sides[i, 1], sides[i, 2], sides[i, 3] = points[start, 0], points[start, 1], x, y
        sides[i, 4] = one / length if length > zero else zero
    return sides


@numba.njit(nogil=True, cache=True)
def _nearest(sides, x, y):  # type: ignore[no-untyped-def]
    """Give the squared distance to the border, the nearest side, the place on it, and whether the point is inside."""
    zero, one = sides.dtype.type(0), sides.dtype.type(1)
    best, side, place, left, right = sides.dtype.type(np.inf), 0, zero, 0, 0
    for i in range(3):
        from_x, from_y = x - sides[i, 0], y - sides[i, 1]
        t = min(max((from_x * sides[i, 2] + from_y * sides[i, 3]) * sides[i, 4], zero), one)
        off_x, off_y = from_x - t * sides[i, 2], from_y - t * sides[i, 3]
        squared = off_x * off_x + off_y * off_y
        if squared < best:
            best, side, place = squared, i, t
        turn = sides[i, 2] * from_y - sides[i, 3] * from_x
        left += turn > zero
        right += turn < zero
    return best, side, place, left == 3 or right == 3


@numba.njit(nogil=True, cache=True)
def draw_view(points, faces, sigma, faintest, covered, uncovered):  # type: ignore[no-untyped-def]
    """Multiply the uncovered shares of all faces, pixel by pixel."""
    of_type, half = points.dtype.type, points.dtype.type(0.5)
    one, limit, per_sigma = of_type(1), of_type(sigma * np.log(1 / faintest - 1)), of_type(1 / sigma)
    height, width = uncovered.shape
    uncovered[:] = one
    for f in range(faces.shape[0]):
        top, bottom, left, right = _box(points, faces[f], np.sqrt(limit), height, width)
        sides = _sides(points, faces[f])
        for row in range(top, bottom):
            for column in range(left, right):
                if uncovered[row, column] < covered:
                    continue
                squared, _, _, inside = _nearest(sides, of_type(column) + half, of_type(row) + half)
                if inside or squared < limit:
                    uncovered[row, column] /= one + np.exp((squared if inside else -squared) * per_sigma)


@numba.njit(nogil=True, cache=True)
def pull_view(points, faces, sigma, faintest, covered, uncovered, gradient, pulled):  # type: ignore[no-untyped-def]
    """Turn the gradient of the coverage into that of x and y of the vertices."""
    of_type, half = points.dtype.type, points.dtype.type(0.5)
    one, two, limit = of_type(1), of_type(2), of_type(sigma * np.log(1 / faintest - 1))
    per_sigma, (height, width) = of_type(1 / sigma), uncovered.shape
    pulled[:] = of_type(0)
    for f in range(faces.shape[0]):
        top, bottom, left, right = _box(points, faces[f], np.sqrt(limit), height, width)
        sides = _sides(points, faces[f])
        for row in range(top, bottom):
            for column in range(left, right):
                if uncovered[row, column] < covered:
                    continue
                x, y = of_type(column) + half, of_type(row) + half
                squared, i, t, inside = _nearest(sides, x, y)
                if not (inside or squared < limit):
                    continue
                share = one / (one + np.exp((-squared if inside else squared) * per_sigma))
                strength = gradient[row, column] * uncovered[row, column] * share * per_sigma * two
                strength = -strength if inside else strength
                off_x, off_y = x - sides[i, 0] - t * sides[i, 2], y - sides[i, 1] - t * sides[i, 3]
                start, end = faces[f, i], faces[f, (i + 1) % 3]
                pulled[start, 0] += strength * (one - t) * off_x
                pulled[start, 1] += strength * (one - t) * off_y
                pulled[end, 0] += strength * t * off_x
                pulled[end, 1] += strength * t * off_y


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _for_each(work: Any, views: int) -> None:
    """Do every view, on as many threads as PyTorch uses."""
    threads = torch.get_num_threads()
    if threads == 1:
        for view in range(views):
            work(view)
    else:
        list(_pool(threads).map(work, range(views)))


class _SoftRas(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices_px: Tensor, faces: Tensor, height: int, width: int, covered: float) -> Tensor:
        points, triangles = vertices_px.detach().numpy(), faces.numpy()
        uncovered = np.empty((len(points), height, width), points.dtype)
        settings = (SIGMA_PX2, FAINTEST, covered)
        _for_each(lambda i: draw_view(points[i], triangles, *settings, uncovered[i]), len(points))
        ctx.save_for_backward(vertices_px, faces, torch.from_numpy(uncovered))
        ctx.settings = settings
        return 1 - torch.from_numpy(uncovered)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        points, triangles, uncovered = (tensor.detach().numpy() for tensor in ctx.saved_tensors)
        image, pulled = gradient.contiguous().numpy(), np.empty_like(points)
        _for_each(
            lambda i: pull_view(points[i], triangles, *ctx.settings, uncovered[i], image[i], pulled[i]), len(points)
        )
        return torch.from_numpy(pulled), None, None, None, None


def softras(vertices_px: Tensor, faces: Tensor, height: int, width: int, pass_over_covered: bool = False) -> Tensor:
    """Draw the soft silhouettes (B, H, W) of meshes; float32 or float64, as the vertices are.

    Args:
        pass_over_covered: leave pixels out once they are covered but for COVERED; faster, the same to seven digits.
    """
    return _SoftRas.apply(vertices_px, faces, height, width, COVERED if pass_over_covered else 0.0)
