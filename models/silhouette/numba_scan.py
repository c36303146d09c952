"""The silhouette on the CPU: the same lines and the same numbers as torch_scan, one view at a time in compiled loops.

Views are shared out to threads of our own: numba's parallel loops are unsafe beside forked data loaders.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.silhouette.topology import Topology
from models.silhouette.torch_scan import STEPS, Crossings


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Keep the threads; a forked process does not inherit them, so it asks with another number."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"silhouette-{process}")


def scan(
    vertices_px: Float[Tensor, "B V 3"], topology: Topology, height: int, width: int, samples: int
) -> tuple[Float[Tensor, "B H W"], Crossings]:
    """Measure the covered share of every pixel along rows and along columns, and average the two."""
    vertices = vertices_px.detach().numpy()
    views = len(vertices)
    coverage = np.empty((views, height, width), dtype=np.float32)

    def work(view: int) -> tuple[np.ndarray, np.ndarray]:
        return _scan_view(vertices, view, topology.faces, topology.edges, topology.turns, samples, coverage)

    threads = max(min(torch.get_num_threads(), views), 1)
    found = list(_pool(os.getpid(), threads).map(work, range(views)) if threads > 1 else map(work, range(views)))
    whole = torch.from_numpy(np.concatenate([np.zeros((0, 4), np.int64)] + [one[0] for one in found]))
    real = torch.from_numpy(np.concatenate([np.zeros((0, 3), np.float32)] + [one[1] for one in found]))
    return torch.from_numpy(coverage), Crossings(*whole.unbind(1), *real.unbind(1))


@numba.njit(nogil=True, cache=True)
def _face_signs(xy, faces):  # type: ignore[no-untyped-def]
    signs = np.empty(faces.shape[0], np.int8)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        area = (xy[b, 0] - xy[a, 0]) * (xy[c, 1] - xy[a, 1]) - (xy[b, 1] - xy[a, 1]) * (xy[c, 0] - xy[a, 0])
        signs[face] = np.int8(area > 0) - np.int8(area < 0)
    return signs


@numba.njit(nogil=True, cache=True)
def _contour(signs, edges, turns):  # type: ignore[no-untyped-def]
    """List the edges of non-zero weight: from, to, weight."""
    found = np.empty((edges.shape[0], 3), np.int32)
    count = 0
    for edge in range(edges.shape[0]):
        weight = signs[edges[edge, 2]] + turns[edge] * signs[edges[edge, 3]]
        if weight != 0:
            found[count, 0], found[count, 1], found[count, 2] = edges[edge, 0], edges[edge, 1], weight
            count += 1
    return found[:count]


@numba.njit(nogil=True, cache=True, inline="always")
def _line(at, num_lines):  # type: ignore[no-untyped-def]
    """Give the first line at or after a place, which is in lines."""
    return np.int32(min(max(np.ceil(at), np.float32(0)), np.float32(num_lines)))


@numba.njit(nogil=True, cache=True)
def _sorted_lines(xy, contour, axis, num_lines, length, samples):  # type: ignore[no-untyped-def]
    """List the crossings of every line in order: bits of place, whether it is an end, and contour edge."""
    half, scale = np.float32(0.5), np.float32(samples)
    starts = np.zeros(num_lines + 1, np.int32)
    for i in range(contour.shape[0]):
        one = _line(xy[contour[i, 0], 1 - axis] * scale - half, num_lines)
        two = _line(xy[contour[i, 1], 1 - axis] * scale - half, num_lines)
        for line in range(min(one, two), max(one, two)):
            starts[line + 1] += 1
    for line in range(num_lines):
        starts[line + 1] += starts[line]
    filled = starts[:-1].copy()
    keys = np.empty(starts[-1], np.int64)
    for i in range(contour.shape[0]):
        low, high, weight = contour[i, 0], contour[i, 1], contour[i, 2]
        jump = -weight if axis == 0 else weight
        at_low, at_high = xy[low, 1 - axis] * scale - half, xy[high, 1 - axis] * scale - half
        if not at_low < at_high:
            low, high, at_low, at_high, jump = high, low, at_high, at_low, -jump
        contour[i, 0], contour[i, 1], contour[i, 2] = low, high, (-jump if axis == 0 else jump)
        first, last = _line(at_low, num_lines), _line(at_high, num_lines)
        if first == last:
            continue
        per_line = np.float32(1) / (at_high - at_low)
        across = xy[high, axis] - xy[low, axis]
        for line in range(first, last):
            share = (np.float32(line) - at_low) * per_line
            place = min(max(xy[low, axis] + share * across, np.float32(0)), np.float32(length))
            key = (np.int64(place * np.float32(STEPS)) << 25 | np.int64(jump < 0) << 24) | i
            slot = filled[line]
            filled[line] += 1
            while slot > starts[line] and keys[slot - 1] > key:
                keys[slot] = keys[slot - 1]
                slot -= 1
            keys[slot] = key
    return starts, keys


@numba.njit(nogil=True, cache=True)
def _scan_lines(xy, contour, axis, num_lines, length, samples, change):  # type: ignore[no-untyped-def]
    """Walk along each line; adds to the change of coverage, and gives the fields of Crossings, whole and real."""
    half, scale = np.float32(0.5), np.float32(samples)
    starts, keys = _sorted_lines(xy, contour, axis, num_lines, length, samples)
    whole, real, count = np.empty((len(keys), 4), np.int64), np.empty((len(keys), 3), np.float32), 0
    for line in range(num_lines):
        k = 0
        normal = line // samples
        for slot in range(starts[line], starts[line + 1]):
            i = keys[slot] & 0xFFFFFF
            before = k
            k += -contour[i, 2] if axis == 0 else contour[i, 2]
            if (k > 0) == (before > 0):
                continue
            sign = 1 if k > 0 else -1
            place = keys[slot] >> 25
            along, part = place // STEPS, place % STEPS
            if axis == 0:
                change[normal, along] += sign * (STEPS - part)
                change[normal, along + 1] += sign * part
            else:
                change[along, normal] += sign * (STEPS - part)
                change[along + 1, normal] += sign * part
            low, high = contour[i, 0], contour[i, 1]
            across, along_px = xy[high, axis] - xy[low, axis], xy[high, 1 - axis] - xy[low, 1 - axis]
            is_major = abs(across) <= along_px if axis == 0 else abs(across) < along_px
            if not is_major or place == 0 or place == length * STEPS:
                continue
            at_low, at_high = xy[low, 1 - axis] * scale - half, xy[high, 1 - axis] * scale - half
            per_line = np.float32(1) / (at_high - at_low)
            whole[count, 0] = normal * length + along if axis == 0 else along * (num_lines // samples) + normal
            whole[count, 1], whole[count, 2], whole[count, 3] = low, high, axis
            real[count, 0] = (np.float32(line) - at_low) * per_line
            real[count, 1] = across * per_line * scale
            real[count, 2] = np.float32(-sign) / scale
            count += 1
    return whole[:count], real[:count]


@numba.njit(nogil=True, cache=True)
def _scan_view(vertices, view, faces, edges, turns, samples, coverage):  # type: ignore[no-untyped-def]
    height, width = coverage.shape[1:]
    xy = vertices[view]
    contour = _contour(_face_signs(xy, faces), edges, turns)
    change = np.zeros((2, height + 2, width + 2), np.int32)
    whole_0, real_0 = _scan_lines(xy, contour, 0, height * samples, width, samples, change[0])
    whole_1, real_1 = _scan_lines(xy, contour, 1, width * samples, height, samples, change[1])
    scale = np.float32(1 / (2 * samples * STEPS))
    for y in range(height):
        by_row = 0
        for x in range(width):
            by_row += change[0, y, x]
            change[1, y + 1, x] += change[1, y, x]
            coverage[view, y, x] = np.float32(by_row + change[1, y, x]) * scale
    whole, real = np.concatenate((whole_0, whole_1)), np.concatenate((real_0, real_1))
    whole[:, 0] += view * height * width
    whole[:, 1:3] += view * xy.shape[0]
    return whole, real
