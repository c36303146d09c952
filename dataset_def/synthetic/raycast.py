"""Look along rays into a room of textured boxes: hit, texture, light and shadow, in numba.

A box is one row of 24 numbers (made in furniture.py); the room itself is the first row, seen from inside.
"""

import math

import numba

from dataset_def.synthetic.patterns import cycle, lattice, value_noise

CENTRE, HALF, AXES, COLOUR, SECOND, KIND, SEED, REACH = 0, 3, 6, 15, 18, 21, 22, 23
"""First column of each part of a box's row; AXES are the rows of R_box_from_world, REACH is (half diagonal)²."""
PLAIN, CARPET, WALL, WINDOW, RADIATOR, SCREEN, WOOD, CURTAIN, POSTER, SHELF, CUSHION = range(11)
"""The kinds of surface."""


@numba.njit(nogil=True, cache=True)
def enter_box(box, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Give the distances at which a ray enters and leaves a box; enter > leave if it misses.

    Source: Kay and Kajiya 1986, slabs.
    """
    near, far = -1e30, 1e30
    rx, ry, rz = ox - box[CENTRE], oy - box[CENTRE + 1], oz - box[CENTRE + 2]
    for k in range(3):
        ax, ay, az = box[AXES + 3 * k], box[AXES + 3 * k + 1], box[AXES + 3 * k + 2]
        start = rx * ax + ry * ay + rz * az
        slope = dx * ax + dy * ay + dz * az
        if abs(slope) < 1e-12:
            slope = 1e-12
        low, high = (-box[HALF + k] - start) / slope, (box[HALF + k] - start) / slope
        near, far = max(near, min(low, high)), min(far, max(low, high))
    return near, far


@numba.njit(nogil=True, cache=True)
def comes_near(box, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Tell cheaply whether a ray of unit direction comes near enough to a box to be worth testing."""
    rx, ry, rz = box[CENTRE] - ox, box[CENTRE + 1] - oy, box[CENTRE + 2] - oz
    along = rx * dx + ry * dy + rz * dz
    return rx * rx + ry * ry + rz * rz - along * along <= box[REACH]


@numba.njit(nogil=True, cache=True)
def first_hit(boxes, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Find the nearest surface along a ray: its distance and row; row 0 is the room's shell."""
    best, row = enter_box(boxes[0], ox, oy, oz, dx, dy, dz)[1], 0
    for i in range(1, boxes.shape[0]):
        if not comes_near(boxes[i], ox, oy, oz, dx, dy, dz):
            continue
        near, far = enter_box(boxes[i], ox, oy, oz, dx, dy, dz)
        if near < far and 1e-4 < near < best:
            best, row = near, i
    return best, row


@numba.njit(nogil=True, cache=True)
def is_shadowed(boxes, ox, oy, oz, dx, dy, dz, reach):  # type: ignore[no-untyped-def]
    """Tell whether a box lies within `reach` along a ray."""
    for i in range(1, boxes.shape[0]):
        if not comes_near(boxes[i], ox, oy, oz, dx, dy, dz):
            continue
        near, far = enter_box(boxes[i], ox, oy, oz, dx, dy, dz)
        if near < far and 1e-4 < near < reach:
            return True
    return False


@numba.njit(nogil=True, cache=True)
def carpet_share(x: float, y: float, marks) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Give the brightness of the carpet at a floor point, and whether a white tape mark lies there."""
    pile = 0.82 + 0.22 * value_noise(x * 60, y * 60, 3) + 0.16 * value_noise(x * 9, y * 9, 5)
    worn = 0.9 + 0.2 * value_noise(x * 0.8, y * 0.8, 7)
    for i in range(marks.shape[0]):
        dx, dy = x - marks[i, 0], y - marks[i, 1]
        along = dx * marks[i, 2] + dy * marks[i, 3]
        across = -dx * marks[i, 3] + dy * marks[i, 2]
        if abs(along) < marks[i, 4] and abs(across) < marks[i, 5]:
            return 1.0, 1.0
    return pile * worn, 0.0


@numba.njit(nogil=True, cache=True)
def framed(u: float, v: float, a: float, b: float, width: float) -> bool:
    """Tell whether a point of a panel of half sizes a, b lies on its frame."""
    return abs(u) > a - width or abs(v) > b - width


@numba.njit(nogil=True, cache=True)
def surface_share(kind: int, u: float, v: float, a: float, b: float, seed: int) -> tuple[float, float]:
    """Give brightness and share of the second colour on a face of half sizes a, b; u sideways, v upwards (metres)."""
    if kind == WINDOW:
        bar = framed(u, v, a, b, 0.06) or abs(cycle(u / 1.1 + 0.5) - 0.5) < 0.022 or abs(v - 0.3 * b) < 0.025
        return (0.95, 1.0) if bar else (1.25 + 0.25 * v / b, 0.0)
    if kind == RADIATOR:
        return 0.78 + 0.22 * abs(math.sin(u * 55)), 0.0
    if kind == SCREEN:
        return (1.0, 1.0) if framed(u, v, a, b, 0.07) else (1.06, 0.0)
    if kind == WOOD:
        ring = value_noise(u * 3, v * 45, seed) * 0.6 + value_noise(u * 1.2, v * 9, seed + 1) * 0.4
        return 0.82 + 0.3 * ring, 0.0
    if kind == CURTAIN:
        fold = math.sin(u * 24 + 2.5 * value_noise(u * 2, v * 0.4, seed))
        return 0.85 + 0.2 * fold, 0.0
    if kind == POSTER:
        if framed(u, v, a, b, 0.03):
            return 1.1, 0.0
        band = lattice(math.floor(v / (0.3 * b)), math.floor(u / (0.55 * a)), seed)
        return 0.8 + 0.35 * band, 1.0 if band > 0.35 else 0.0
    return 0.97 + 0.06 * value_noise(u * 5, v * 5, seed), 0.0


@numba.njit(nogil=True, cache=True)
def shelf_colour(u: float, v: float, b: float, seed: int) -> tuple[float, float, float]:
    """Draw a shelf full of books: boards, and spines of random width, height and colour."""
    board = 0.34
    level = math.floor((v + b) / board)
    height = (v + b) - level * board
    if height < 0.025:
        return 0.42, 0.33, 0.25
    book = math.floor(u / 0.05 + 0.6 * value_noise(u * 14, level * 7.3, seed))
    if height > 0.2 + 0.1 * lattice(book, level, seed) or lattice(book, level, seed + 9) < 0.1:
        return 0.13, 0.1, 0.08
    tint, light = lattice(book, level, seed + 1), 0.25 + 0.55 * lattice(book, level, seed + 2)
    return (
        light * (0.6 + 0.4 * math.cos(6.28 * tint)),
        light * (0.55 + 0.35 * math.cos(6.28 * tint - 2.1)),
        light * (0.55 + 0.4 * math.cos(6.28 * tint + 2.1)),
    )
