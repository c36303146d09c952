"""Compiled loops of numba_scan: which edges are contours, for many views at once; then the lines of each view.

All in one file, because numba's cache does not notice a change in another one.  Loops avoid branches that depend on
the data (a wrong guess costs more than the work), and indices are unsigned (numba then drops its test for negative
ones).  The formulas are those of torch_scan, in the same order, so the results are equal bit by bit.
"""

import numpy as np

from models.silhouette.torch_scan import STEPS
from utils.compiled import compiled

LANES = 16
"""Views of a block: one bit each in half a word."""
TILE = 64
"""Vertices laid out at a time: few enough to stay in the nearest cache."""
LONG = 64
"""Crossings on a line from which a general sort beats insertion."""
INDEX_BITS = 24
"""Keys end in the number of the contour edge, under one bit for ends and the place on the line."""
INDEX = (1 << INDEX_BITS) - 1
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)
U = np.uint32


@compiled()
def _lay_out(vertices):  # type: ignore[no-untyped-def]
    """Put the views of a vertex side by side: (V, 2, LANES), zero where there is no view."""
    views, count = vertices.shape[:2]
    points = np.empty((count, 2, LANES), np.float32)
    for start in range(0, count, TILE):
        for lane in range(LANES):
            for vertex in range(start, min(start + TILE, count)):
                points[vertex, 0, lane] = vertices[lane, vertex, 0] if lane < views else ZERO
                points[vertex, 1, lane] = vertices[lane, vertex, 1] if lane < views else ZERO
    return points


@compiled()
def _face_bits(points, faces):  # type: ignore[no-untyped-def]
    """Note the views in which a face turns clockwise on the screen (low half), and the other way (high half)."""
    bits = np.empty(faces.shape[0], np.uint32)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        word = U(0)
        for lane in range(LANES):
            ax, ay = points[a, 0, lane], points[a, 1, lane]
            area = (points[b, 0, lane] - ax) * (points[c, 1, lane] - ay)
            area -= (points[b, 1, lane] - ay) * (points[c, 0, lane] - ax)
            word |= (U(area > ZERO) | U(area < ZERO) << U(LANES)) << U(lane)
        bits[face] = word
    return bits


@compiled()
def _candidates(bits, edges, turns):  # type: ignore[no-untyped-def]
    """List the edges that are a contour in some view, with the bits of these views."""
    found, differs = np.empty(edges.shape[0], np.uint32), np.empty(edges.shape[0], np.uint32)
    count, half = 0, U(LANES)
    for edge in range(edges.shape[0]):
        against = bits[edges[edge, 3]]
        if turns[edge] != -1:
            against = (against >> half | against << half) if turns[edge] == 1 else U(0)
        differ = bits[edges[edge, 2]] ^ against
        found[count], differs[count] = edge, (differ | differ >> half) & U((1 << LANES) - 1)
        count += differ != 0
    return found[:count], differs[:count]


@compiled()
def _sign(word, lane):  # type: ignore[no-untyped-def]
    return np.int32(word >> U(lane) & U(1)) - np.int32(word >> U(lane + LANES) & U(1))


@compiled()
def _contour(xy, lane, found, differs, bits, edges, turns):  # type: ignore[no-untyped-def]
    """Collect one view's contour edges: their numbers, (4, M) x and y of both ends, and weights."""
    chosen, count = np.empty(found.shape[0] + 1, np.uint32), 0
    for i in range(found.shape[0]):
        chosen[count] = found[i]
        count += np.int64(differs[i] >> U(lane) & U(1))  # type: ignore[assignment]
    ends, weights = np.empty((4, count), np.float32), np.empty(count, np.int8)
    for i in range(count):
        edge = chosen[i]
        a, b = edges[edge, 0], edges[edge, 1]
        ends[0, i], ends[1, i], ends[2, i], ends[3, i] = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1]
        weights[i] = _sign(bits[edges[edge, 2]], lane) + turns[edge] * _sign(bits[edges[edge, 3]], lane)
    return chosen[:count], ends, weights


@compiled()
def _line_from(at, num_lines):  # type: ignore[no-untyped-def]
    """Give the first line at or after a place, which is in lines."""
    line = np.ceil(at)
    line = line if line > ZERO else ZERO
    return np.int32(line if line < np.float32(num_lines) else np.float32(num_lines))


@compiled()
def _count(ends, axis, num_lines, samples):  # type: ignore[no-untyped-def]
    """Find the lines that each edge crosses, the edges that cross any, and where each line's crossings start."""
    scale, count = np.float32(samples), ends.shape[1]
    firsts, lasts = np.empty(count, np.int32), np.empty(count, np.int32)
    for i in range(count):
        one = _line_from(ends[1 - axis, i] * scale - HALF, num_lines)
        two = _line_from(ends[3 - axis, i] * scale - HALF, num_lines)
        firsts[i], lasts[i] = min(one, two), max(one, two)
    starts, crossing, num_crossing = np.zeros(num_lines + 1, np.int32), np.empty(count + 1, np.int32), 0
    for i in range(count):
        starts[U(firsts[i])] += 1
        starts[U(lasts[i])] -= 1
        crossing[num_crossing] = i
        num_crossing += firsts[i] != lasts[i]
    open_edges = total = 0
    for line in range(num_lines):
        open_edges += starts[line]
        starts[line] = total
        total += open_edges
    starts[num_lines] = total
    return firsts, lasts, starts, crossing[:num_crossing]


@compiled()
def _upwards(ends, i, axis, scale):  # type: ignore[no-untyped-def]
    """Turn an edge along the lines' normal: low and high end in lines, both positions along the lines, goes_up."""
    at_start, at_end = ends[1 - axis, i] * scale - HALF, ends[3 - axis, i] * scale - HALF
    start_px, end_px = ends[axis, i], ends[2 + axis, i]
    goes_up = at_start < at_end
    return (
        at_start if goes_up else at_end,
        at_end if goes_up else at_start,
        start_px if goes_up else end_px,
        end_px if goes_up else start_px,
        goes_up,
    )


@compiled()
def _fill(ends, weights, axis, length, samples, firsts, lasts, starts, crossing):  # type: ignore[no-untyped-def]
    """Give the key of every crossing, line after line, and what each edge adds to k."""
    keys, jumps = np.empty(starts[-1] + 1, np.int64), np.empty(ends.shape[1], np.int8)
    free, scale, limit = starts.copy(), np.float32(samples), np.float32(length)
    for i in crossing:
        at_low, at_high, low_px, high_px, goes_up = _upwards(ends, i, axis, scale)
        jump = -weights[i] if goes_up == (axis == 0) else weights[i]
        jumps[i] = jump
        # At one place stretches start before others end, so that parts which touch have no seam.
        tail = np.int64(jump < 0) << INDEX_BITS | np.int64(i)
        per_line, across_px = ONE / (at_high - at_low), high_px - low_px
        for line in range(firsts[i], lasts[i]):
            place_px = low_px + (np.float32(line) - at_low) * per_line * across_px
            place_px = place_px if place_px > ZERO else ZERO
            place_px = place_px if place_px < limit else limit
            keys[U(free[U(line)])] = np.int64(place_px * np.float32(STEPS)) << (INDEX_BITS + 1) | tail
            free[U(line)] += 1
    return keys, jumps


@compiled()
def _sort(keys, starts):  # type: ignore[no-untyped-def]
    for line in range(starts.shape[0] - 1):
        begin, finish = starts[line], starts[line + 1]
        if finish - begin > LONG:
            keys[begin:finish].sort()
            continue
        for slot in range(begin + 1, finish):
            key, place = keys[U(slot)], slot
            while place > begin and keys[U(place - 1)] > key:
                keys[U(place)] = keys[U(place - 1)]
                place -= 1
            keys[U(place)] = key


@compiled()
def _visible(keys, jumps, starts):  # type: ignore[no-untyped-def]
    """Keep the crossings at which k leaves zero or comes back to it; gives keys, lines, and 1 or -1."""
    kept, lines, signs = np.empty_like(keys), np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    count = 0
    for line in range(starts.shape[0] - 1):
        k = 0
        for slot in range(starts[line], starts[line + 1]):
            key, was_covered = keys[U(slot)], k > 0
            k += jumps[key & INDEX]
            kept[count], lines[count], signs[count] = key, line, 1 if k > 0 else -1
            count += (k > 0) != was_covered
    return kept[:count], lines[:count], signs[:count]


@compiled()
def _add_changes(keys, lines, signs, axis, samples, change):  # type: ignore[no-untyped-def]
    """Note in the pixels of the visible crossings how much the coverage changes there."""
    for i in range(keys.shape[0]):
        place, normal = keys[i] >> (INDEX_BITS + 1), U(lines[i] // samples)
        along, part = U(place // STEPS), np.int32(place % STEPS)
        if axis == 0:
            change[normal, along] += signs[i] * (STEPS - part)
            change[normal, along + U(1)] += signs[i] * part
        else:
            change[along, normal] += signs[i] * (STEPS - part)
            change[along + U(1), normal] += signs[i] * part


@compiled()
def _record(keys, lines, signs, axis, shape, samples, chosen, ends, edges, whole, real, count):  # type: ignore[no-untyped-def]
    """Write the fields of torch_scan.Crossings for the visible crossings of one view; gives the number of all."""
    height, width = shape
    limit, scale = (width if axis == 0 else height) * STEPS, np.float32(samples)
    for i in range(keys.shape[0]):
        edge, place = keys[i] & INDEX, keys[i] >> (INDEX_BITS + 1)
        at_low, at_high, low_px, high_px, goes_up = _upwards(ends, edge, axis, scale)
        per_line, across_px = ONE / (at_high - at_low), high_px - low_px
        along, normal = place // STEPS, lines[i] // samples
        start, end = edges[chosen[edge], 0], edges[chosen[edge], 1]
        whole[count, 0] = normal * width + along if axis == 0 else along * width + normal
        whole[count, 1] = start if goes_up else end
        whole[count, 2] = end if goes_up else start
        whole[count, 3] = axis
        real[count, 0] = (np.float32(lines[i]) - at_low) * per_line
        real[count, 1] = across_px * per_line * scale
        real[count, 2] = -np.float32(signs[i]) / scale
        x_px, y_px = abs(ends[2, edge] - ends[0, edge]), abs(ends[3, edge] - ends[1, edge])
        count += ((y_px >= x_px) == (axis == 0)) & (place > 0) & (place < limit)
    return count


@compiled()
def _finish(by_row, by_column, coverage, scale):  # type: ignore[no-untyped-def]
    """Sum the changes along rows and down columns, and clear them for the next view."""
    height, width = coverage.shape
    down = np.zeros(width, np.int32)
    for y in range(height):
        along = np.int32(0)
        for x in range(width):
            along += by_row[y, x]
            by_row[y, x] = along
        for x in range(width):
            down[x] += by_column[y, x]
            coverage[y, x] = np.float32(np.int32(by_row[y, x] + down[x])) * scale
    by_row[:] = 0
    by_column[:] = 0


@compiled()
def _room(rows, needed):  # type: ignore[no-untyped-def]
    """Give the array, or a copy with room for more rows."""
    if needed <= rows.shape[0]:
        return rows
    larger = np.empty((2 * needed, rows.shape[1]), rows.dtype)
    larger[: rows.shape[0]] = rows
    return larger


@compiled()
def scan_block(vertices, faces, edges, turns, samples, coverage):  # type: ignore[no-untyped-def]
    """Measure the coverage of up to LANES views.

    Gives the fields of torch_scan.Crossings, whole numbers and real ones, with vertices and pixels counted within
    the view, and the place in them at which each view ends.
    """
    bits = _face_bits(_lay_out(vertices), faces)
    found, differs = _candidates(bits, edges, turns)
    height, width = coverage.shape[1:]
    change = np.zeros((2, height + 2, width + 2), np.int32)
    whole, real, count = np.empty((1024, 4), np.int32), np.empty((1024, 3), np.float32), 0
    view_ends = np.zeros(vertices.shape[0], np.int32)
    for view in range(vertices.shape[0]):
        chosen, ends, weights = _contour(vertices[view], view, found, differs, bits, edges, turns)
        for axis in range(2):
            pixels, length = (width, height) if axis else (height, width)
            firsts, lasts, starts, crossing = _count(ends, axis, pixels * samples, samples)
            keys, jumps = _fill(ends, weights, axis, length, samples, firsts, lasts, starts, crossing)
            _sort(keys, starts)
            keys, lines, signs = _visible(keys, jumps, starts)
            _add_changes(keys, lines, signs, axis, samples, change[axis])
            whole, real = _room(whole, count + len(keys) + 1), _room(real, count + len(keys) + 1)
            shape = (height, width)
            count = _record(keys, lines, signs, axis, shape, samples, chosen, ends, edges, whole, real, count)
        _finish(change[0], change[1], coverage[view], np.float32(1 / (2 * samples * STEPS)))
        view_ends[view] = count
    return whole[:count].copy(), real[:count].copy(), view_ends


@compiled()
def pull_block(gradient, whole, real, view_ends, pulled):  # type: ignore[no-untyped-def]
    """Turn the gradients of a block's coverage into those of its vertices: the silhouette's gradient on the CPU.

    Every visible crossing of an edge with a scan line pulls the edge's two ends along the line by the gradient at its
    pixel, each by its share, and across it by the slope.  Columns of `whole`: pixel, lower and higher vertex, axis
    of the line; of `real`: share of the higher vertex, slope, strength.  `torch_scan.pull` says the same in five lines.
    """
    begin = 0
    for view in range(gradient.shape[0]):
        image, vertices = gradient[view].ravel(), pulled[view]
        vertices[:] = ZERO
        for i in range(begin, view_ends[view]):
            low, high, axis = U(whole[i, 1]), U(whole[i, 2]), U(whole[i, 3])
            share, slope = real[i, 0], real[i, 1]
            strength = image[U(whole[i, 0])] * real[i, 2]
            vertices[low, axis] += strength * (ONE - share)
            vertices[high, axis] += strength * share
            vertices[low, U(1) - axis] -= strength * (ONE - share) * slope
            vertices[high, U(1) - axis] -= strength * share * slope
        begin = view_ends[view]
