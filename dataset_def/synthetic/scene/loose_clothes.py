"""Cloth that stands off the body: sleeves, trouser legs, shirts, coats and skirts as sheets that move with it.

A sheet is a tube of rings.  Each ring lies in a cut through the dressed body in the T-pose: around one limb, or around
the outline that spans both legs, so that a skirt or a coat bridges them in any pose.  Going down the tube, cloth falls
from where the body is widest instead of following it inwards, with folds along it.  Posed, a point of a ring is a mean
of the vertices around it, moved off the body along the sheet's own normals: little where it rests on the body, more
where it hangs below.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from jaxtyping import Float, Int

from dataset_def.synthetic.scene import clothes
from dataset_def.synthetic.scene.patterns import value_noise
from utils.draw_mesh import vertex_normals

RING_STEP_M = 0.03
START_M = 0.1
"""Cloth begins close to the body and has its full width this far along: no step shows where a sheet begins."""
CLOSE_M = 0.003
MOST_M = 0.16
"""No cloth is farther off the body before folds: a long and wide skirt would stand out like a bell."""


Surface = TypeVar("Surface", bound=tuple[np.ndarray, ...])


class Cloth(NamedTuple):
    """Sheets over a body's mesh."""

    corners: Int[np.ndarray, "P 4"]
    """Vertices that each point is a mean of."""
    shares: Float[np.ndarray, "P 4"]
    offsets_m: Float[np.ndarray, "P"]
    """How far each point stands off the dressed body, where the sheet is upright."""
    canonical_m: Float[np.ndarray, "P 3"]
    """Where the colour of each point is looked up on the body in the T-pose."""
    faces: Int[np.ndarray, "F 3"]


class Fit(NamedTuple):
    """How a sheet is cut."""

    ease_m: float
    """What it is wider than the body at its widest."""
    flare: float
    """Metres that it widens for each metre along; negative for cloth that follows the body inwards again."""
    folds: float
    """How much of its distance to the body folds take or add."""
    seed: int


class Tube(NamedTuple):
    """Which cut through the body a sheet goes around."""

    axis: int
    """0 for sleeves, which run along x; 1 for all that hangs down, along y."""
    start_m: float
    end_m: float
    side: int
    """1 left, -1 right, 0 around both legs."""
    points: int
    """Per ring."""
    above_m: float = -math.inf
    """Only what lies above this height is cut: a cut beside the shoulder would meet the hip, too."""


def crossed_edges(
    points_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], axis: int, level_m: float
) -> tuple[Int[np.ndarray, "S 2 2"], Float[np.ndarray, "S 2"]]:
    """Cut a mesh at one height: give the edge's vertices, and the second one's share, of both ends of every piece.

    Source: own derivation, test_loose_clothes.py.
    """
    height = points_m[:, axis] - level_m
    below = height[faces] < 0
    cut = faces[(below.sum(axis=1) % 3) != 0]
    below = height[cut] < 0
    alone = np.where(below.sum(axis=1) == 1, below.argmax(axis=1), (~below).argmax(axis=1))
    rows = np.arange(len(cut))
    tip = cut[rows, alone]
    ends = np.stack([cut[rows, (alone + 1) % 3], cut[rows, (alone + 2) % 3]], axis=1)
    edges = np.stack([np.broadcast_to(tip[:, None], ends.shape), ends], axis=2)
    share = height[edges[..., 0]] / (height[edges[..., 0]] - height[edges[..., 1]])
    return edges, share


def ring_around(
    points_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], tube: Tube, level_m: float
) -> tuple[Int[np.ndarray, "n 4"], Float[np.ndarray, "n 4"], Float[np.ndarray, "n"]]:
    """Find the convex outline at one level, seen from its middle: means of vertices, and the radii in metres.

    Around both legs it bridges them, and where they part it is closed though the body's own is not.
    """
    edges, share = crossed_edges(points_m, faces, tube.axis, level_m)
    across = [k for k in range(3) if k != tube.axis]
    places = points_m[edges[..., 0]][..., across] * (1 - share)[..., None]
    places = places + points_m[edges[..., 1]][..., across] * share[..., None]
    flat, flat_edges, flat_share = places.reshape(-1, 2), edges.reshape(-1, 2), share.ravel()
    hull = cv2.convexHull(flat.astype(np.float32), returnPoints=False).ravel()
    order = np.stack([hull, np.roll(hull, -1)], axis=1)
    places, edges, share = flat[order], flat_edges[order], flat_share[order]
    middle = 0.5 * (places.min(axis=(0, 1)) + places.max(axis=(0, 1)))
    angles = 2 * math.pi * np.arange(tube.points) / tube.points
    ray = np.column_stack([np.cos(angles), np.sin(angles)])
    first, way = places[:, 0] - middle, places[:, 1] - places[:, 0]
    slant = ray[:, None, 0] * way[:, 1] - ray[:, None, 1] * way[:, 0]
    slant = np.where(np.abs(slant) < 1e-12, 1e-12, slant)
    radius = (first[:, 0] * way[:, 1] - first[:, 1] * way[:, 0]) / slant
    along = (first[:, 0] * ray[:, None, 1] - first[:, 1] * ray[:, None, 0]) / slant
    hit = np.where((along >= -1e-6) & (along <= 1 + 1e-6) & (radius > 0), radius, -1.0)
    rows, piece = np.arange(tube.points), hit.argmax(axis=1)
    second = np.clip(along[rows, piece], 0, 1)[:, None]
    corners = edges[piece].reshape(-1, 4)
    parts = np.stack([1 - share[piece], share[piece]], axis=2)
    shares = np.concatenate([parts[:, 0] * (1 - second), parts[:, 1] * second], axis=1)
    return corners, shares, hit[rows, piece]


def hanging_m(
    radii_m: Float[np.ndarray, "rings n"], ease_m: Float[np.ndarray, "rings"], step_m: float, flare: float
) -> Float[np.ndarray, "rings n"]:
    """Let cloth fall: each ring is as wide as the body and its ease ask for, and as the ring above it lets it be."""
    wide = radii_m + ease_m[:, None]
    for row in range(1, len(wide)):
        wide[row] = np.maximum(wide[row], wide[row - 1] + flare * step_m)
    return wide - radii_m


def sheet(
    points_m: Float[np.ndarray, "V 3"], canonical_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"],
    tube: Tube, fit: Fit,
) -> Cloth:  # fmt: skip
    """Make one tube of cloth about the dressed body in the T-pose.

    Raises:
        ValueError: the body is nowhere at one of the tube's levels.
    """
    num_rings = max(2, round(abs(tube.end_m - tube.start_m) / RING_STEP_M) + 1)
    levels = np.linspace(tube.start_m, tube.end_m, num_rings)
    step_m = abs(levels[1] - levels[0])
    own = faces if tube.side == 0 else faces[(tube.side * points_m[faces][..., 0] > 0).all(axis=1)]
    own = own[(points_m[own][..., 1] > tube.above_m).all(axis=1)]
    if tube.axis == 1:  # arms in the T-pose reach over all of a cut at their height
        own = own[(np.abs(points_m[own][..., 0]) < REACH_M).all(axis=1)]
    if not ((levels > points_m[own][..., tube.axis].min()) & (levels < points_m[own][..., tube.axis].max())).all():
        raise ValueError(f"cloth from {tube.start_m:.2f} to {tube.end_m:.2f} m leaves the body; "
                         "leave --hard.loose out with this body file")  # fmt: skip
    rings = [ring_around(points_m, own, tube, level) for level in levels]
    corners, shares, radii_m = (np.concatenate([ring[k] for ring in rings]) for k in range(3))
    gone_m = step_m * np.arange(num_rings)
    ease_m = CLOSE_M + fit.ease_m * np.clip(gone_m / START_M, 0, 1)
    offsets_m = np.minimum(hanging_m(radii_m.reshape(num_rings, -1), ease_m, step_m, fit.flare), MOST_M)
    offsets_m = offsets_m + folded_m(offsets_m, gone_m, radii_m.reshape(num_rings, -1), fit)
    return Cloth(corners, shares, offsets_m.ravel(), np.einsum("pkc,pk->pc", canonical_m[corners], shares),
                 tube_faces(num_rings, tube.points))  # fmt: skip


REACH_M = 0.32
"""Trunk and legs lie within this of the middle, arms in the T-pose beyond."""


def folded_m(
    offsets_m: Float[np.ndarray, "rings n"], gone_m: Float[np.ndarray, "rings"],
    radii_m: Float[np.ndarray, "rings n"], fit: Fit,
) -> Float[np.ndarray, "rings n"]:  # fmt: skip
    """Give what folds add to the distance of each point: long ones down the tube, short ones across it."""
    num_rings, num_points = offsets_m.shape
    girth = 2 * math.pi * float(radii_m.mean())
    # The noise wraps around the ring: it is read on a circle of the girth.
    waves = max(2.0, girth / 0.11) / (2 * math.pi)
    folds = np.empty(offsets_m.shape)
    for row in range(num_rings):
        for column in range(num_points):
            angle = 2 * math.pi * column / num_points
            x, y = waves * math.cos(angle), waves * math.sin(angle)
            long = value_noise(x + 0.8 * gone_m[row] + 20, y + 1.1 * gone_m[row] + 20, fit.seed)
            short = value_noise(7 * gone_m[row] + 0.6 * x, 0.5 * y + 20, fit.seed + 1)
            folds[row, column] = 1.5 * (long - 0.5) + 0.7 * (short - 0.5)
    return fit.folds * folds * np.maximum(offsets_m - CLOSE_M, 0.0)


def joined(parts: Sequence[Surface]) -> Surface:
    """Make one surface of several, named tuples of arrays with a row per point, and the faces last."""
    kind: Any = type(parts[0])
    *of_points, faces = zip(*parts, strict=True)
    starts = np.cumsum([0, *(len(points) for points in of_points[0])])
    moved = [own + start for own, start in zip(faces, starts, strict=False)]
    return kind(*(np.concatenate(values) for values in of_points), np.concatenate(moved))


def tube_faces(num_rings: int, num_points: int) -> Int[np.ndarray, "F 3"]:
    """Join rings by triangles."""
    ring, point = np.meshgrid(np.arange(num_rings - 1), np.arange(num_points), indexing="ij")
    here, beside = ring * num_points + point, ring * num_points + (point + 1) % num_points
    below, opposite = here + num_points, beside + num_points
    return np.concatenate(
        [np.stack([here, below, beside], -1).reshape(-1, 3), np.stack([beside, below, opposite], -1).reshape(-1, 3)]
    )


def outwards(cloth: Cloth, points_m: Float[np.ndarray, "V 3"], axis: int) -> Cloth:
    """Turn a tube's faces so that their normals leave the body."""
    base_m = np.einsum("pkc,pk->pc", points_m[cloth.corners], cloth.shares)
    normals = vertex_normals(base_m, cloth.faces)
    from_middle = base_m - base_m.mean(axis=0)
    from_middle[:, axis] = 0
    return cloth if np.einsum("pc,pc->", normals, from_middle) > 0 else cloth._replace(faces=cloth.faces[:, ::-1])


def posed_cloth(
    cloth: Cloth, dressed_world_m: Float[np.ndarray, "V 3"]
) -> tuple[Float[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
    """Lay sheets over a posed body, z up: their points and normals.

    Cloth rests on what is below it and hangs off what is above: its distance is less on top of a limb, more under it.
    """
    base_m = np.einsum("pkc,pk->pc", dressed_world_m[cloth.corners], cloth.shares)
    normals = vertex_normals(base_m, cloth.faces)
    hanging = np.where(normals[:, 2] > 0, 1 - 0.75 * normals[:, 2], 1 - 0.35 * normals[:, 2])
    points_m = base_m + (CLOSE_M + (cloth.offsets_m - CLOSE_M) * hanging)[:, None] * normals
    return points_m, vertex_normals(points_m, cloth.faces)


class Cut(NamedTuple):
    """What a loose outfit is: chosen once, before its colours and parts are."""

    shirt: Fit
    sleeves: Fit
    legs: Fit
    has_skirt: bool
    has_coat: bool


def choose_cut(rng: np.random.Generator) -> Cut:
    """Draw how wide each garment is, and whether there is a skirt or a long coat."""
    kind = rng.random()
    has_skirt, has_coat = bool(kind < 0.2), bool(0.2 <= kind < 0.38)
    seeds = rng.integers(1, 10_000, 3).tolist()
    shirt = Fit(rng.uniform(0.008, 0.04), rng.uniform(-0.25, 0.05), rng.uniform(0.3, 0.8), seeds[0])
    sleeves = Fit(rng.uniform(0.008, 0.03), rng.uniform(-0.15, 0.08), rng.uniform(0.3, 0.8), seeds[1])
    legs = Fit(rng.uniform(0.008, 0.032), rng.uniform(-0.2, 0.06), rng.uniform(0.3, 0.8), seeds[2])
    if has_coat:
        shirt = shirt._replace(ease_m=rng.uniform(0.02, 0.05), flare=rng.uniform(0.0, 0.16))
    if has_skirt:
        legs = legs._replace(ease_m=rng.uniform(0.008, 0.03), flare=rng.uniform(0.02, 0.4), folds=rng.uniform(0.2, 0.6))
    return Cut(shirt, sleeves, legs, has_skirt, has_coat)


def lengthen(
    rng: np.random.Generator, cut: Cut, cuts: Float[np.ndarray, "28"], knee_m: float, ankle_m: float
) -> Float[np.ndarray, "28"]:
    """Let a skirt or a coat end where such things do; other clothes keep their lengths."""
    cuts = cuts.copy()
    hip_m = cuts[clothes.HIP_Y]
    if cut.has_skirt:
        cuts[clothes.TROUSERS_Y] = rng.choice(
            [0.45 * hip_m + 0.55 * knee_m, knee_m - 0.03, 0.35 * knee_m + 0.65 * ankle_m]
        )
        cuts[clothes.HEM_Y] = max(cuts[clothes.HEM_Y], hip_m - 0.06)
    if cut.has_coat:
        cuts[clothes.HEM_Y] = rng.choice([0.5 * (hip_m + knee_m), knee_m + 0.02, 0.6 * knee_m + 0.4 * ankle_m])
        cuts[clothes.TROUSERS_Y] = min(cuts[clothes.TROUSERS_Y], cuts[clothes.HEM_Y] - 0.02)
    return cuts


def make_cloth(
    cut: Cut, cuts: Float[np.ndarray, "28"], canonical_m: Float[np.ndarray, "V 3"],
    offsets_m: Float[np.ndarray, "V"], faces: Int[np.ndarray, "F 3"],
) -> Cloth:  # fmt: skip
    """Sew the sheets of an outfit about the mean body in the T-pose.

    Args:
        cuts: where parts end (clothes.py), with `lengthen` in them.
        offsets_m: how far the close-fitting clothes below stand off the skin.
    """
    dressed_m = canonical_m + offsets_m[:, None] * vertex_normals(canonical_m, faces)
    is_middle = (np.abs(canonical_m[:, 0]) < 0.012) & (canonical_m[:, 1] > cuts[clothes.HIP_Y] - 0.25)
    crotch_m = float(canonical_m[is_middle, 1].min())
    waist_m = cuts[clothes.HIP_Y] + 0.1
    tubes = [(Tube(1, cuts[clothes.ARM_Y] - 0.12, cuts[clothes.HEM_Y], 0, 40), cut.shirt)]
    for side in (1, -1):
        start, end = side * (cuts[clothes.SHOULDER_X] + 0.03), side * cuts[clothes.SLEEVE_X]
        tubes.append((Tube(0, start, end, side, 18, cuts[clothes.ARM_Y] - 0.11), cut.sleeves))
    if cut.has_skirt:
        tubes.append((Tube(1, waist_m, cuts[clothes.TROUSERS_Y], 0, 56), cut.legs))
    elif crotch_m - cuts[clothes.TROUSERS_Y] > 3 * RING_STEP_M:
        tubes += [(Tube(1, crotch_m - 0.015, cuts[clothes.TROUSERS_Y], side, 24), cut.legs) for side in (1, -1)]
    sheets = []
    for tube, fit in tubes:
        made = outwards(sheet(dressed_m, canonical_m, faces, tube, fit), dressed_m, tube.axis)
        place = made.canonical_m
        # Hems are where the next part begins; a rounding error below would show a line of its colour.
        if tube.axis == 0:
            place[:, 0] = np.clip(place[:, 0], -cuts[clothes.SLEEVE_X] + 1e-3, cuts[clothes.SLEEVE_X] - 1e-3)
        else:
            place[:, 1] = np.maximum(place[:, 1], tube.end_m + 1e-3)
        sheets.append(made)
    return joined(sheets)
