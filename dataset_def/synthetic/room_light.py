"""Colour of the room where a ray meets it: texture, ceiling lamps with shadows, and soft darkening in corners."""

import math

import numba
import numpy as np
from jaxtyping import Float, Float32

from dataset_def.synthetic.patterns import cycle
from dataset_def.synthetic.raycast import (
    AXES,
    CARPET,
    CENTRE,
    COLOUR,
    CUSHION,
    HALF,
    KIND,
    SECOND,
    SEED,
    SHELF,
    WALL,
    carpet_share,
    first_hit,
    is_shadowed,
    shelf_colour,
    surface_share,
)  # fmt: skip

AMBIENT = 0.5
EDGE = 0.25
"""Spread of R + G + B within a pixel that calls for more rays."""


@numba.njit(nogil=True, cache=True)
def _lamp_light(boxes, lights, x, y, z, nx, ny, nz):  # type: ignore[no-untyped-def]
    """Add up the lamps that a surface point sees, by Lambert's law with the inverse square."""
    total = 0.0
    for i in range(lights.shape[0]):
        dx, dy, dz = lights[i, 0] - x, lights[i, 1] - y, lights[i, 2] - z
        reach = math.sqrt(dx * dx + dy * dy + dz * dz)
        facing = (dx * nx + dy * ny + dz * nz) / reach
        if facing > 0:
            start = 0.003
            ox, oy, oz = x + nx * start, y + ny * start, z + nz * start
            if not is_shadowed(boxes, ox, oy, oz, dx / reach, dy / reach, dz / reach, reach):
                total += lights[i, 3] * facing / (1 + reach * reach * 0.12)
    return total


@numba.njit(nogil=True, cache=True)
def _openness(boxes, x, y, z, is_floor):  # type: ignore[no-untyped-def]
    """Give the share of the surroundings' light that reaches a point: less in corners and beside furniture."""
    share = 1.0
    for k in range(2):
        position = x if k == 0 else y
        share *= 1 - 0.22 * math.exp(-(boxes[0, HALF + k] - abs(position)) / 0.3)
    if not is_floor:
        return share * (1 - 0.25 * math.exp(-z / 0.18))
    for i in range(1, boxes.shape[0]):
        if boxes[i, CENTRE + 2] - boxes[i, HALF + 2] > 0.05:
            continue
        rx, ry = x - boxes[i, CENTRE], y - boxes[i, CENTRE + 1]
        across = abs(rx * boxes[i, AXES] + ry * boxes[i, AXES + 1]) - boxes[i, HALF]
        along = abs(rx * boxes[i, AXES + 3] + ry * boxes[i, AXES + 4]) - boxes[i, HALF + 1]
        gap = max(across, 0.0) + max(along, 0.0)
        share *= 1 - 0.45 * math.exp(-gap / 0.1)
    return share


@numba.njit(nogil=True, cache=True)
def _texture(box, marks, axis, u, v, a, b, x, y, z, is_shell, nz):  # type: ignore[no-untyped-def]
    """Give the colour of a surface point before light."""
    kind = int(box[KIND])
    if is_shell:
        kind = CARPET if nz > 0.5 else WALL
    if kind == CARPET:
        share, mark = carpet_share(x, y, marks)
        if mark > 0:
            return 0.93, 0.92, 0.86
        return share * box[SECOND], share * box[SECOND + 1], share * box[SECOND + 2]
    if kind == WALL and z < 0.09:
        return 0.42, 0.38, 0.35
    if kind == SHELF and axis != 2:
        return shelf_colour(u, v, b, int(box[SEED]))
    # Frames and ribs belong to the two large faces only.
    if kind not in (WALL, SHELF, CUSHION) and min(a, b) < 0.1:
        kind = 0
    bright, mix = surface_share(kind, u, v, a, b, int(box[SEED]))
    red = bright * (box[COLOUR] * (1 - mix) + box[SECOND] * mix)
    green = bright * (box[COLOUR + 1] * (1 - mix) + box[SECOND + 1] * mix)
    return red, green, bright * (box[COLOUR + 2] * (1 - mix) + box[SECOND + 2] * mix)


@numba.njit(nogil=True, cache=True)
def look(boxes, marks, lights, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Give the linear RGB that a ray sees."""
    distance, row = first_hit(boxes, ox, oy, oz, dx, dy, dz)
    box = boxes[row]
    x, y, z = ox + distance * dx, oy + distance * dy, oz + distance * dz
    rx, ry, rz = x - box[CENTRE], y - box[CENTRE + 1], z - box[CENTRE + 2]
    p0 = rx * box[AXES] + ry * box[AXES + 1] + rz * box[AXES + 2]
    p1 = rx * box[AXES + 3] + ry * box[AXES + 4] + rz * box[AXES + 5]
    p2 = rx * box[AXES + 6] + ry * box[AXES + 7] + rz * box[AXES + 8]
    gap0, gap1, gap2 = box[HALF] - abs(p0), box[HALF + 1] - abs(p1), box[HALF + 2] - abs(p2)
    if gap2 <= gap0 and gap2 <= gap1:
        axis, side, u, v, a, b = 2, p2, p0, p1, box[HALF], box[HALF + 1]
    elif gap0 <= gap1:
        axis, side, u, v, a, b = 0, p0, p1, p2, box[HALF + 1], box[HALF + 2]
    else:
        axis, side, u, v, a, b = 1, p1, p0, p2, box[HALF], box[HALF + 2]
    sign = 1.0 if (side > 0) != (row == 0) else -1.0
    nx, ny, nz = sign * box[AXES + 3 * axis], sign * box[AXES + 3 * axis + 1], sign * box[AXES + 3 * axis + 2]
    red, green, blue = _texture(box, marks, axis, u, v, a, b, x, y, z, row == 0, nz)
    around = _openness(boxes, x, y, z, row == 0 and nz > 0.5)
    if z > boxes[0, CENTRE + 2] + boxes[0, HALF + 2] - 0.01:
        panel = abs(cycle(x / 2.4 + 0.5) - 0.5) < 0.13 and abs(cycle(y / 1.8) - 0.5) < 0.34
        joint = cycle(x / 0.6) < 0.025 or cycle(y / 0.6) < 0.025
        bright = 1.0 if panel else (0.6 if joint else 0.72)
        return bright, bright, bright
    light = AMBIENT * (0.8 + 0.2 * nz) * around + _lamp_light(boxes, lights, x, y, z, nx, ny, nz) * (0.4 + 0.6 * around)
    return red * light, green * light, blue * light


@numba.njit(nogil=True, cache=True)
def _look_through(boxes, marks, lights, origin, R, K, x_px, y_px):  # type: ignore[no-untyped-def]
    """Give what is seen at one point of the image, no brighter than a sensor can tell."""
    px, py = (x_px - K[0, 2]) / K[0, 0], (y_px - K[1, 2]) / K[1, 1]
    dx = px * R[0, 0] + py * R[1, 0] + R[2, 0]
    dy = px * R[0, 1] + py * R[1, 1] + R[2, 1]
    dz = px * R[0, 2] + py * R[1, 2] + R[2, 2]
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    ray = (dx / length, dy / length, dz / length)
    red, green, blue = look(boxes, marks, lights, origin[0], origin[1], origin[2], ray[0], ray[1], ray[2])
    return min(red, 1.0), min(green, 1.0), min(blue, 1.0)


@numba.njit(nogil=True, cache=True)
def _average(image, boxes, marks, lights, origin, R, K, row, column, samples):  # type: ignore[no-untyped-def]
    """Fill one pixel from samples x samples rays and return how much their brightness spreads."""
    red, green, blue, low, high = 0.0, 0.0, 0.0, 1e9, -1e9
    for i in range(samples * samples):
        x_px, y_px = column + (i % samples + 0.5) / samples, row + (i // samples + 0.5) / samples
        r, g, b = _look_through(boxes, marks, lights, origin, R, K, x_px, y_px)
        red, green, blue = red + r, green + g, blue + b
        low, high = min(low, r + g + b), max(high, r + g + b)
    image[row, column, 0] = red / samples**2
    image[row, column, 1] = green / samples**2
    image[row, column, 2] = blue / samples**2
    return high - low


@numba.njit(nogil=True, cache=True)
def _fill(image, boxes, marks, lights, origin, R, K):  # type: ignore[no-untyped-def]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            spread = _average(image, boxes, marks, lights, origin, R, K, row, column, 2)
            if spread > EDGE:
                _average(image, boxes, marks, lights, origin, R, K, row, column, 4)


def cast_room(
    boxes: Float[np.ndarray, "N 24"],
    marks: Float[np.ndarray, "M 6"],
    lights: Float[np.ndarray, "L 4"],
    origin_world_m: Float[np.ndarray, "3"],
    R_cam_from_world: Float[np.ndarray, "3 3"],
    K: Float[np.ndarray, "3 3"],
    height: int,
    width: int,
) -> Float32[np.ndarray, "H W 3"]:
    """Look along four rays per pixel into the room and average them, sixteen where they differ."""
    image = np.zeros((height, width, 3), dtype=np.float32)
    _fill(image, boxes, marks, lights, origin_world_m, R_cam_from_world, K)
    return image
