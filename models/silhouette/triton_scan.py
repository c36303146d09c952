"""The silhouette on CUDA: the same lines and the same numbers as torch_scan, in Triton kernels.

Instead of sorting a line, every crossing sums the weights of those before it: lines are short, and the order in which
atomic operations fill them does not matter.  Imported only where Triton is installed.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from models.silhouette.topology import EdgeTable, Topology
from models.silhouette.torch_scan import STEPS

GRID_STEPS = tl.constexpr(STEPS)
EDGE_BITS, EDGE_MASK = tl.constexpr(24), tl.constexpr((1 << 24) - 1)
"""Keys end in the number of the edge: up to 16 million edges, and lines of 2^18 pixels."""
FACES, EDGES, SLOTS = 256, 256, 32
"""How many of each a program works on at a time."""


@triton.jit
def _face_signs(points, faces, signs, num_points, num_faces, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    view = tl.program_id(1).to(tl.int64)
    face = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = face < num_faces
    first = points + view * num_points * 3
    a = first + tl.load(faces + face * 3, mask=there, other=0) * 3
    b = first + tl.load(faces + face * 3 + 1, mask=there, other=0) * 3
    c = first + tl.load(faces + face * 3 + 2, mask=there, other=0) * 3
    ax, ay = tl.load(a, mask=there, other=0), tl.load(a + 1, mask=there, other=0)
    bx, by = tl.load(b, mask=there, other=0), tl.load(b + 1, mask=there, other=0)
    cx, cy = tl.load(c, mask=there, other=0), tl.load(c + 1, mask=there, other=0)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    sign = (area > 0).to(tl.int8) - (area < 0).to(tl.int8)
    tl.store(signs + view * num_faces + face, sign, mask=there)


@triton.jit
def _span(points, start, end, weight, there, num_lines, samples, AXIS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Turn edges along the lines' normal; gives the fields of torch_scan.Spans that both passes need."""
    at_start = tl.load(points + start * 3 + 1 - AXIS, mask=there, other=0) * samples - 0.5
    at_end = tl.load(points + end * 3 + 1 - AXIS, mask=there, other=0) * samples - 0.5
    goes_up = at_start < at_end
    low, high = tl.where(goes_up, start, end), tl.where(goes_up, end, start)
    at_low, at_high = tl.minimum(at_start, at_end), tl.maximum(at_start, at_end)
    limit = num_lines * 1.0
    first = tl.minimum(tl.maximum(tl.ceil(at_low), 0.0), limit).to(tl.int32)
    last = tl.minimum(tl.maximum(tl.ceil(at_high), 0.0), limit).to(tl.int32)
    jump = tl.where(goes_up == (AXIS == 0), -weight, weight)
    return low, high, jump, at_low, at_high, first, tl.where(there, last, first)


@triton.jit
def _cross(
    points, edges, turns, signs, filled, lines, keys, jumps, num_points, num_faces, num_edges, height, width, samples,
    AXIS: tl.constexpr, FILL: tl.constexpr, BLOCK: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Count the crossings of each line, or (FILL) write each into the next free slot of its line."""
    view = tl.program_id(1).to(tl.int64)
    edge = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = edge < num_edges
    start, end = tl.load(edges + edge * 4, mask=there, other=0), tl.load(edges + edge * 4 + 1, mask=there, other=0)
    one, two = tl.load(edges + edge * 4 + 2, mask=there, other=0), tl.load(edges + edge * 4 + 3, mask=there, other=0)
    weight = tl.load(signs + view * num_faces + one, mask=there, other=0).to(tl.int32)
    turn = tl.load(turns + edge, mask=there, other=0).to(tl.int32)
    weight += turn * tl.load(signs + view * num_faces + two, mask=there, other=0).to(tl.int32)
    there = there & (weight != 0)
    points += view * num_points * 3
    num_lines, length = (height * samples, width) if AXIS == 0 else (width * samples, height)
    low, high, jump, at_low, at_high, first, last = _span(points, start, end, weight, there, num_lines, samples, AXIS)
    first_line = view * (height + width) * samples + AXIS * height * samples
    filled += first_line
    if FILL:
        from_px = tl.load(points + low * 3 + AXIS, mask=there, other=0)
        across_px = tl.load(points + high * 3 + AXIS, mask=there, other=0) - from_px
        per_line = tl.div_rn(1.0, tl.where(first < last, at_high - at_low, 1.0))
    for step in range(tl.max(last - first)):
        line = first + step
        crossed = line < last
        slot = tl.atomic_add(filled + line, 1, mask=crossed)
        if FILL:
            place = from_px + (line.to(tl.float32) - at_low) * per_line * across_px
            place = tl.minimum(tl.maximum(place, 0.0), length * 1.0)
            key = ((place * GRID_STEPS).to(tl.int64) << 1) | (jump < 0).to(tl.int64)
            tl.store(keys + slot, (key << EDGE_BITS) | edge, mask=crossed)
            tl.store(jumps + slot, jump.to(tl.int8), mask=crossed)
            tl.store(lines + slot, (first_line + line).to(tl.int32), mask=crossed)


@triton.jit
def _walk(
    starts, keys, jumps, signs, change, height, width, samples, BLOCK: tl.constexpr
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Sum the weights before every crossing of one line: the sign of the visible ones, and the change of coverage."""
    view = tl.program_id(1).to(tl.int64)
    line = tl.program_id(0)
    place_of_line = starts + view * (height + width) * samples + line
    begin, finish = tl.load(place_of_line), tl.load(place_of_line + 1)
    is_column = line >= height * samples
    normal = tl.where(is_column, line - height * samples, line) // samples
    change += (view * 2 + is_column.to(tl.int64)) * (height + 2) * (width + 2)
    cell = change + tl.where(is_column, normal, normal * (width + 2))
    step = tl.where(is_column, width + 2, 1)
    for chunk in range(begin, finish, BLOCK):
        slot = chunk + tl.arange(0, BLOCK)
        there = slot < finish
        key, jump = tl.load(keys + slot, mask=there, other=0), tl.load(jumps + slot, mask=there, other=0).to(tl.int32)
        before = tl.zeros([BLOCK], tl.int32)
        for other in range(begin, finish, BLOCK):
            another = other + tl.arange(0, BLOCK)
            its_key = tl.load(keys + another, mask=another < finish, other=0)
            its_jump = tl.load(jumps + another, mask=another < finish, other=0).to(tl.int32)
            before += tl.sum(tl.where(its_key[None, :] < key[:, None], its_jump[None, :], 0), axis=1)
        sign = (before + jump > 0).to(tl.int32) - (before > 0).to(tl.int32)
        tl.store(signs + slot, sign.to(tl.int8), mask=there)
        place = key >> (EDGE_BITS + 1)
        along, part = place // GRID_STEPS, (place % GRID_STEPS).to(tl.int32)
        tl.atomic_add(cell + along * step, sign * (GRID_STEPS - part), mask=there & (sign != 0))
        tl.atomic_add(cell + (along + 1) * step, sign * part, mask=there & (sign != 0))


@triton.jit
def _pull(
    points, edges, lines, keys, signs, gradient, pulled, num_slots, num_points, height, width, samples,
    BLOCK: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Add the gradient of the visible crossings to the vertices, as torch_scan.pull does."""
    slot = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = slot < num_slots
    sign = tl.load(signs + slot, mask=there, other=0).to(tl.float32)
    key, line = tl.load(keys + slot, mask=there, other=0), tl.load(lines + slot, mask=there, other=0)
    num_lines = (height + width) * samples
    view = (line // num_lines).to(tl.int64)
    line = line % num_lines
    axis = (line >= height * samples).to(tl.int32)
    line -= axis * height * samples
    edge, place = (key & EDGE_MASK).to(tl.int32), key >> (EDGE_BITS + 1)
    seen = (sign != 0) & (place > 0) & (place < tl.where(axis == 0, width, height).to(tl.int64) * GRID_STEPS)
    start = view * num_points * 3 + tl.load(edges + edge * 4, mask=seen, other=0) * 3
    end = view * num_points * 3 + tl.load(edges + edge * 4 + 1, mask=seen, other=0) * 3
    at_start = tl.load(points + start + 1 - axis, mask=seen, other=0)
    at_end = tl.load(points + end + 1 - axis, mask=seen, other=1)
    low, high = tl.where(at_start < at_end, start, end), tl.where(at_start < at_end, end, start)
    along = tl.abs(at_end - at_start)
    across = tl.load(points + high + axis, mask=seen, other=0) - tl.load(points + low + axis, mask=seen, other=0)
    seen = seen & tl.where(axis == 0, tl.abs(across) <= along, tl.abs(across) < along)
    on_line, of_line = place // GRID_STEPS, line // samples
    row, column = tl.where(axis == 0, of_line, on_line), tl.where(axis == 0, on_line, of_line)
    strength = tl.load(gradient + (view * height + row) * width + column, mask=seen, other=0) * -sign / samples
    share = (line - (tl.minimum(at_start, at_end) * samples - 0.5)) / (along * samples)
    slope = across / along
    tl.atomic_add(pulled + low + axis, strength * (1 - share), mask=seen)
    tl.atomic_add(pulled + high + axis, strength * share, mask=seen)
    tl.atomic_add(pulled + low + 1 - axis, -strength * (1 - share) * slope, mask=seen)
    tl.atomic_add(pulled + high + 1 - axis, -strength * share * slope, mask=seen)


class Slots(NamedTuple):
    """All crossings, line after line (rows, then columns, of each view), in any order within a line."""

    vertices_px: Float[Tensor, "B V 3"]
    edges: Int[Tensor, "E 4"]
    lines: Int[Tensor, "N"]
    keys: Int[Tensor, "N"]
    """Place on the line, whether a covered stretch ends, and edge, in bits."""
    signs: Int[Tensor, "N"]
    """1 where a covered stretch starts, -1 where it ends, 0 where the crossing is hidden."""


def scan(
    vertices_px: Float[Tensor, "B V 3"], topology: Topology, height: int, width: int, samples: int
) -> tuple[Float[Tensor, "B H W"], Slots]:
    """Measure the covered share of every pixel along rows and along columns, and average the two."""
    views, device = len(vertices_px), vertices_px.device
    change = torch.zeros((views, 2, height + 2, width + 2), dtype=torch.int32, device=device)
    starts, slots, jumps = _crossings(vertices_px, topology.on(device), height, width, samples)
    if len(slots.keys):
        grid = ((height + width) * samples, views)
        _walk[grid](starts, slots.keys, jumps, slots.signs, change, height, width, samples, SLOTS)
    by_row, by_column = change[:, 0, :height, :width], change[:, 1, :height, :width]
    covered = by_row.cumsum(2, dtype=torch.int32) + by_column.cumsum(1, dtype=torch.int32)
    return covered.float() / (2 * samples * STEPS), slots


def _crossings(
    vertices_px: Tensor, table: EdgeTable, height: int, width: int, samples: int
) -> tuple[Tensor, Slots, Tensor]:
    """Find all crossings: where each line's start, the slots (signs still zero), and what each adds to k."""
    views, num_points = vertices_px.shape[:2]
    num_faces, num_edges, device = len(table.faces), len(table.edges), vertices_px.device
    turned = torch.empty((views, num_faces), dtype=torch.int8, device=device)
    counts = torch.zeros(views * (height + width) * samples + 1, dtype=torch.int32, device=device)

    def cross(filled: Tensor, slots: Slots, jumps: Tensor, fill: bool) -> None:
        for axis in (0, 1):
            _cross[triton.cdiv(num_edges, EDGES), views](
                vertices_px, table.edges, table.turns, turned, filled, slots.lines, slots.keys, jumps,
                num_points, num_faces, num_edges, height, width, samples, axis, fill, EDGES, enable_fp_fusion=False,
            )  # fmt: skip

    def room(count: int) -> tuple[Slots, Tensor]:
        lines, keys = counts.new_empty(count), counts.new_empty(count, dtype=torch.int64)
        return Slots(vertices_px, table.edges, lines, keys, turned.new_zeros(count)), turned.new_empty(count)

    if not views or not num_edges:
        return counts, *room(0)
    grid = (triton.cdiv(num_faces, FACES), views)
    _face_signs[grid](vertices_px, table.faces, turned, num_points, num_faces, FACES, enable_fp_fusion=False)
    cross(counts[1:], *room(0), False)
    starts = counts.cumsum(0, dtype=torch.int32)
    slots, jumps = room(int(starts[-1]))
    cross(starts.clone(), slots, jumps, True)
    return starts, slots, jumps


def pull(gradient: Float[Tensor, "B H W"], slots: Slots, samples: int) -> Float[Tensor, "B V 3"]:
    """Turn the gradient of the coverage into that of the vertices, as torch_scan.pull does."""
    pulled, num_slots = torch.zeros_like(slots.vertices_px), len(slots.keys)
    if num_slots:
        _pull[(triton.cdiv(num_slots, EDGES),)](
            slots.vertices_px, slots.edges, slots.lines, slots.keys, slots.signs, gradient.contiguous(), pulled,
            num_slots, pulled.shape[1], *gradient.shape[1:], samples, EDGES,
        )  # fmt: skip
    return pulled
