"""Casts rays into a room of textured boxes: hit, texture, light and shadow, in numba.

A box is one row of 24 numbers (made in room.py); the room itself is the first row, seen from inside.  Its colour where
a ray meets it comes from texture, ceiling lamps with shadows, and soft darkening in corners.
"""

import math

import numpy as np
from jaxtyping import Float, Float32

from dataset_def.synthetic.scene.patterns import cycle, lattice, value_noise
from utils.camera import Camera, to_rays
from utils.compiled import compiled

CENTRE, HALF, AXES, COLOUR, SECOND, KIND, SEED, REACH = 0, 3, 6, 15, 18, 21, 22, 23
"""First column of each part of a box's row; AXES are the rows of R_box_from_world, REACH is (half diagonal)²."""
PLAIN, CARPET, WALL, WINDOW, RADIATOR, SCREEN, WOOD, CURTAIN, POSTER, SHELF, CUSHION = range(11)
"""The kinds of surface."""


@compiled()
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


@compiled()
def comes_near(box, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Tell cheaply whether a ray of unit direction comes near enough to a box to be worth testing."""
    rx, ry, rz = box[CENTRE] - ox, box[CENTRE + 1] - oy, box[CENTRE + 2] - oz
    along = rx * dx + ry * dy + rz * dz
    return rx * rx + ry * ry + rz * rz - along * along <= box[REACH]


@compiled()
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


@compiled()
def is_shadowed(boxes, ox, oy, oz, dx, dy, dz, reach):  # type: ignore[no-untyped-def]
    """Tell whether a box lies within `reach` along a ray."""
    for i in range(1, boxes.shape[0]):
        if not comes_near(boxes[i], ox, oy, oz, dx, dy, dz):
            continue
        near, far = enter_box(boxes[i], ox, oy, oz, dx, dy, dz)
        if near < far and 1e-4 < near < reach:
            return True
    return False


@compiled()
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


@compiled()
def framed(u: float, v: float, a: float, b: float, width: float) -> bool:
    """Tell whether a point of a panel of half sizes a, b lies on its frame."""
    return abs(u) > a - width or abs(v) > b - width


@compiled()
def shaded_surface(kind: int, u: float, v: float, a: float, b: float, seed: int) -> tuple[float, float]:
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


@compiled()
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


AMBIENT = 0.5
EDGE = 0.25
"""Spread of R + G + B within a pixel that calls for more rays."""


@compiled()
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


@compiled()
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


@compiled()
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
    bright, mix = shaded_surface(kind, u, v, a, b, int(box[SEED]))
    red = bright * (box[COLOUR] * (1 - mix) + box[SECOND] * mix)
    green = bright * (box[COLOUR + 1] * (1 - mix) + box[SECOND + 1] * mix)
    return red, green, bright * (box[COLOUR + 2] * (1 - mix) + box[SECOND + 2] * mix)


@compiled()
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


@compiled()
def _look_through(boxes, marks, lights, origin, R, px, py):  # type: ignore[no-untyped-def]
    """Give what is seen along one ray of the camera (px, py, 1), no brighter than a sensor can tell."""
    dx = px * R[0, 0] + py * R[1, 0] + R[2, 0]
    dy = px * R[0, 1] + py * R[1, 1] + R[2, 1]
    dz = px * R[0, 2] + py * R[1, 2] + R[2, 2]
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    ray = (dx / length, dy / length, dz / length)
    red, green, blue = look(boxes, marks, lights, origin[0], origin[1], origin[2], ray[0], ray[1], ray[2])
    return min(red, 1.0), min(green, 1.0), min(blue, 1.0)


@compiled()
def _average(pixel, boxes, marks, lights, origin, R, rays):  # type: ignore[no-untyped-def]
    """Fill one pixel from its rays and return how much their brightness spreads."""
    red, green, blue, low, high = 0.0, 0.0, 0.0, 1e9, -1e9
    for i in range(len(rays)):
        r, g, b = _look_through(boxes, marks, lights, origin, R, rays[i, 0], rays[i, 1])
        red, green, blue = red + r, green + g, blue + b
        low, high = min(low, r + g + b), max(high, r + g + b)
    pixel[0] = red / len(rays)
    pixel[1] = green / len(rays)
    pixel[2] = blue / len(rays)
    return high - low


@compiled()
def _fill_row(pixels, boxes, marks, lights, origin, R, coarse, fine):  # type: ignore[no-untyped-def]
    for column in range(pixels.shape[0]):
        spread = _average(pixels[column], boxes, marks, lights, origin, R, coarse[column])
        if spread > EDGE:
            _average(pixels[column], boxes, marks, lights, origin, R, fine[column])


def rays_of_row(camera: Camera, row: int, samples: int) -> Float[np.ndarray, "W n 2"]:
    """Give the rays (at depth 1) of samples x samples places in every pixel of a row, through the lens."""
    place = np.arange(samples * samples)
    x_px = np.arange(camera.width_px)[:, None] + (place % samples + 0.5) / samples
    y_px = np.broadcast_to(row + (place // samples + 0.5) / samples, x_px.shape)
    return to_rays(camera, np.stack([x_px, y_px], axis=-1))[..., :2]


def cast_room(
    boxes: Float[np.ndarray, "N 24"],
    marks: Float[np.ndarray, "M 6"],
    lights: Float[np.ndarray, "L 4"],
    camera: Camera,
) -> Float32[np.ndarray, "H W 3"]:
    """Look along four rays per pixel into the room and average them, sixteen where they differ."""
    image = np.zeros((camera.height_px, camera.width_px, 3), dtype=np.float32)
    origin, R = camera.centre_world_m.astype(np.float64), camera.R_cam_from_world.astype(np.float64)
    for row in range(camera.height_px):
        coarse, fine = rays_of_row(camera, row, 2), rays_of_row(camera, row, 4)
        _fill_row(image[row], boxes, marks, lights, origin, R, coarse, fine)
    return image
