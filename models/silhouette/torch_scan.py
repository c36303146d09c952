"""The silhouette in pure PyTorch, on any device: one sort and one running sum over all scan lines at once.

The number k of faces over a point is the sum of the weights of the contour edges crossed on the way to it along a
line; the mesh covers the point where k > 0.  A crossing is visible where k leaves zero or comes back to it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.silhouette.topology import EdgeTable, Topology

STEPS = 1 << 20
"""Grid steps per pixel: places on a scan line and coverage are whole numbers of them, so that sums are exact."""


class Crossings(NamedTuple):
    """Visible crossings that carry a gradient: those of each edge with the lines across its longer side."""

    pixel: Int[Tensor, "N"]
    """Index into the flat (B, H, W) image."""
    low: Int[Tensor, "N"]
    """Vertex at the edge's lower end along the lines' normal, in the flat (B, V) list."""
    high: Int[Tensor, "N"]
    axis: Int[Tensor, "N"]
    """Axis of the scan line: 0 for a row (the crossing moves in x), 1 for a column."""
    share: Float[Tensor, "N"]
    """How far from low to high the crossing lies."""
    slope: Float[Tensor, "N"]
    """Slope of the edge against the lines' normal; within -1 and 1."""
    strength: Float[Tensor, "N"]
    """Area gained per pixel of movement: positive where the covered stretch ends, negative where it starts."""


class ContourEdges(NamedTuple):
    """Edges whose faces look different ways, of all views."""

    view: Int[Tensor, "M"]
    start: Int[Tensor, "M"]
    """Vertex in the flat (B, V) list."""
    end: Int[Tensor, "M"]
    weight: Int[Tensor, "M"]


class Spans(NamedTuple):
    """Contour edges as one family of lines (all rows, or all columns) sees them."""

    view: Int[Tensor, "M"]
    low: Int[Tensor, "M"]
    high: Int[Tensor, "M"]
    jump: Int[Tensor, "M"]
    """What crossing the edge adds to k."""
    at_low: Float[Tensor, "M"]
    """Lower end along the lines' normal, in lines."""
    first: Int[Tensor, "M"]
    last: Int[Tensor, "M"]
    """The lines from first up to, and without, last cross the edge."""
    from_px: Float[Tensor, "M"]
    """Position of the lower end along the lines."""
    across_px: Float[Tensor, "M"]
    """Distance from the lower to the higher end, along the lines."""
    per_line: Float[Tensor, "M"]
    """Share of the edge between two lines."""
    is_major: Bool[Tensor, "M"]
    """These lines run across the edge's longer side."""


class Lines(NamedTuple):
    """One family of scan lines, all rows or all columns, of every view."""

    axis: int
    """0 for rows, 1 for columns."""
    height: int
    width: int
    samples: int

    @property
    def pixels(self) -> int:
        """Rows or columns of pixels."""
        return self.width if self.axis else self.height

    @property
    def length(self) -> int:
        """Pixels along a line."""
        return self.height if self.axis else self.width


def contour_edges(xy_px: Float[Tensor, "B V 2"], table: EdgeTable) -> ContourEdges:
    """Find the edges of non-zero weight in every view.

    Source: own derivation: a face turns with the sign of its screen area, and an edge sums the turns of its faces.
    """
    a, b, c = (xy_px[:, table.faces[:, i]] for i in range(3))
    area = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    sign = (area > 0).to(torch.int8) - (area < 0).to(torch.int8)
    weight = sign[:, table.edges[:, 2]] + table.turns * sign[:, table.edges[:, 3]]
    view, edge = weight.nonzero(as_tuple=True)
    first = view * xy_px.shape[1]
    return ContourEdges(view, first + table.edges[edge, 0], first + table.edges[edge, 1], weight[view, edge])


def spans(points_px: Float[Tensor, "N 2"], contour: ContourEdges, lines: Lines) -> Spans:
    """Lay the contour edges out along the normal of the lines."""
    axis, num_lines = lines.axis, lines.pixels * lines.samples
    at_start = points_px[contour.start, 1 - axis] * lines.samples - 0.5
    at_end = points_px[contour.end, 1 - axis] * lines.samples - 0.5
    goes_up = at_start < at_end
    low, high = torch.where(goes_up, contour.start, contour.end), torch.where(goes_up, contour.end, contour.start)
    at_low, at_high = torch.minimum(at_start, at_end), torch.maximum(at_start, at_end)
    # A vertex belongs to the first line at or after it: edges are half open, and every line's weights sum to zero.
    first, last = (at.ceil().clamp(0, num_lines).long() for at in (at_low, at_high))
    difference_px = (points_px[high] - points_px[low]).abs()
    longer = difference_px[:, 1] >= difference_px[:, 0]
    return Spans(
        view=contour.view,
        low=low,
        high=high,
        jump=torch.where(goes_up == (axis == 0), -contour.weight, contour.weight).long(),
        at_low=at_low,
        first=first,
        last=last,
        from_px=points_px[low, axis],
        across_px=points_px[high, axis] - points_px[low, axis],
        per_line=1 / (at_high - at_low),
        is_major=longer if axis == 0 else ~longer,
    )


def scan(
    vertices_px: Float[Tensor, "B V 3"], topology: Topology, height: int, width: int, samples: int
) -> tuple[Float[Tensor, "B H W"], Crossings]:
    """Measure the covered share of every pixel along rows and along columns, and average the two."""
    views, xy_px = len(vertices_px), vertices_px[..., :2]
    contour = contour_edges(xy_px, topology.on(xy_px.device))
    covered, crossings = [], []
    for axis in (0, 1):
        lines = Lines(axis, height, width, samples)
        steps, visible = _scan_lines(spans(xy_px.reshape(-1, 2), contour, lines), lines, views)
        covered.append(steps.transpose(1, 2) if axis else steps)
        crossings.append(visible)
    coverage = (covered[0] + covered[1]).float() / (2 * samples * STEPS)
    return coverage, Crossings(*(torch.cat(both) for both in zip(*crossings, strict=True)))


def _scan_lines(edges: Spans, lines: Lines, views: int) -> tuple[Int[Tensor, "B K L"], Crossings]:
    """Rasterise one family of scan lines; gives the covered steps of each pixel (rows of pixels along the lines)."""
    counts = edges.last - edges.first
    edge = torch.repeat_interleave(counts)
    within = torch.arange(len(edge), device=edge.device) - (counts.cumsum(0) - counts)[edge]
    line = edges.first[edge] + within
    share = (line - edges.at_low[edge]) * edges.per_line[edge]
    place_px = edges.from_px[edge] + share * edges.across_px[edge]
    place = (place_px.clamp(0, lines.length) * STEPS).long()
    line_of_all, jump = edges.view[edge] * lines.pixels * lines.samples + line, edges.jump[edge]
    # At one place stretches start before others end, so that parts which touch have no seam.
    order = ((line_of_all << 40) | (place << 1) | (jump < 0)).argsort(stable=True)
    k = jump[order].cumsum(0)
    sign = (k > 0).long() - (k > jump[order]).long()
    seen, sign = order[sign != 0], sign[sign != 0]
    steps = _covered_steps(line_of_all[seen] // lines.samples, place[seen], sign, views * lines.pixels, lines.length)
    inside = edges.is_major[edge[seen]] & (place[seen] > 0) & (place[seen] < lines.length * STEPS)
    seen, sign = seen[inside], sign[inside]
    edge, along, normal = edge[seen], place[seen] // STEPS, line[seen] // lines.samples
    y, x = (along, normal) if lines.axis else (normal, along)
    crossings = Crossings(
        pixel=(edges.view[edge] * lines.height + y) * lines.width + x,
        low=edges.low[edge],
        high=edges.high[edge],
        axis=torch.full_like(edge, lines.axis),
        share=share[seen],
        slope=edges.across_px[edge] * edges.per_line[edge] * lines.samples,
        strength=-sign.float() / lines.samples,
    )
    return steps.reshape(views, lines.pixels, lines.length), crossings


def _covered_steps(
    row: Int[Tensor, "N"], place: Int[Tensor, "N"], sign: Int[Tensor, "N"], num_rows: int, length: int
) -> Int[Tensor, "R L"]:
    """Sum the stretches behind the starts, less those behind the ends, in each pixel of each row."""
    change = torch.zeros(num_rows * (length + 2), dtype=torch.int32, device=row.device)
    pixel, part = row * (length + 2) + place // STEPS, place % STEPS
    change.index_add_(0, pixel, (sign * (STEPS - part)).int())
    change.index_add_(0, pixel + 1, (sign * part).int())
    return change.unflatten(0, (num_rows, length + 2)).cumsum(1, dtype=torch.int32)[:, :length]


def pull(gradient: Float[Tensor, "B H W"], crossings: Crossings, shape: torch.Size) -> Float[Tensor, "B V 3"]:
    """Turn the gradient of the coverage into that of the vertices, by the movement of the visible crossings.

    Each edge is summed over the lines across its longer side only: an unbiased quadrature of the derivative of the
    covered area, which differentiating both families of lines is not.
    Source: own derivation (Reynolds' transport theorem on the outline); test_silhouette.py.
    """
    pulled = torch.zeros(shape, dtype=torch.float32, device=gradient.device)
    flat = pulled.view(-1)
    strength = gradient.reshape(-1)[crossings.pixel] * crossings.strength
    for vertex, share in ((crossings.low, 1 - crossings.share), (crossings.high, crossings.share)):
        flat.index_add_(0, vertex * 3 + crossings.axis, strength * share)
        flat.index_add_(0, vertex * 3 + 1 - crossings.axis, -strength * share * crossings.slope)
    return pulled
