"""One room per subject: the same in all four views, because it is a model in three dimensions that is looked into.

The person walks within about 1.7 m of the origin; nothing stands nearer than 2.5 m, so nothing hides the person.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from dataset_def.synthetic import furniture as make
from dataset_def.synthetic import raycast as kinds
from dataset_def.synthetic.room_light import cast_room
from utils.camera import Camera

HALF_WIDTH_M, HALF_LENGTH_M, HEIGHT_M = 5.0, 7.0, 3.1
CARPETS: tuple[make.RGB, ...] = (
    (0.46, 0.12, 0.12), (0.40, 0.16, 0.15), (0.24, 0.27, 0.34), (0.50, 0.17, 0.12), (0.30, 0.33, 0.28),
    (0.38, 0.11, 0.16), (0.36, 0.31, 0.27),
)  # fmt: skip
WALLS: tuple[make.RGB, ...] = ((0.93, 0.92, 0.89), (0.88, 0.90, 0.93), (0.93, 0.89, 0.80), (0.86, 0.90, 0.86))
CURTAINS: tuple[make.RGB, ...] = ((0.30, 0.38, 0.52), (0.58, 0.50, 0.36), (0.45, 0.22, 0.22), (0.35, 0.45, 0.36))
WOODS: tuple[make.RGB, ...] = ((0.62, 0.44, 0.27), (0.45, 0.30, 0.19), (0.76, 0.64, 0.46), (0.78, 0.77, 0.74))
CHAIRS: tuple[make.RGB, ...] = ((0.16, 0.24, 0.45), (0.13, 0.13, 0.14), (0.45, 0.13, 0.12), (0.15, 0.35, 0.25))


class Room(NamedTuple):
    """Everything that does not move."""

    boxes: Float[np.ndarray, "N 24"]
    """The shell first, seen from inside, then the furniture; columns as in raycast.py."""
    marks_world_m: Float[np.ndarray, "M 6"]
    """White tape on the carpet: centre x, y, direction x, y, half length, half width."""
    lights_world_m: Float[np.ndarray, "L 4"]
    """Lamps: position and strength."""
    towards_light: Float[np.ndarray, "3"]
    """Direction from the person to the strongest light, for the person's own shading; unit length."""
    tint: Float[np.ndarray, "3"]
    """Colour of the light."""


def _choose(rng: np.random.Generator, colours: tuple[make.RGB, ...]) -> make.RGB:
    """Pick a colour and vary it a little."""
    colour = np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 0.02, 3)
    red, green, blue = np.clip(colour, 0.03, 0.97)
    return float(red), float(green), float(blue)


def _tape(rng: np.random.Generator) -> Float[np.ndarray, "M 6"]:
    """Stick crosses and corners of white tape onto the carpet around the capture area."""
    places = [(sx * 1.9, sy * 1.9) for sx in (-1, 1) for sy in (-1, 1)] + [(0.0, 0.0), (0.0, 2.6), (0.0, -2.6)]
    rows = []
    for x, y in places:
        x, y = x + rng.uniform(-0.15, 0.15), y + rng.uniform(-0.15, 0.15)
        angle = rng.uniform(0, np.pi)
        for turn in (0, np.pi / 2):
            rows.append([x, y, np.cos(angle + turn), np.sin(angle + turn), 0.16, 0.028])
    return np.array(rows)


def _short_walls(rng: np.random.Generator) -> make.Boxes:
    """Furnish the two walls that the cameras look at most: a screen and a door here, windows there."""
    frame = (0.06, 0.06, 0.06)
    side = float(rng.choice([-1, 1]))
    screen = make.wall_piece(kinds.SCREEN, 0.9 * side, 1.75, 2.7, 2.0, (0.97, 0.97, 0.97), frame)
    front = [screen, *make.door(-2.9 * side, _choose(rng, WOODS))]
    curtain = _choose(rng, CURTAINS)
    back = [*make.window(-2.2, curtain), *make.window(1.6, curtain)]
    if rng.random() < 0.5:
        front, back = back, front
    return make.placed(front, 0, HALF_LENGTH_M, 0) + make.placed(back, 0, -HALF_LENGTH_M, np.pi)


def _long_walls(rng: np.random.Generator) -> make.Boxes:
    """Furnish the two side walls with windows, radiators and posters."""
    parts: make.Boxes = []
    for heading, x in ((-np.pi / 2, HALF_WIDTH_M), (np.pi / 2, -HALF_WIDTH_M)):
        curtain = _choose(rng, CURTAINS)
        for along in (-3.6, 0.2, 3.8):
            if rng.random() < 0.45:
                piece = make.window(along, curtain)
            else:
                ink, paper = rng.uniform(0.1, 0.8, 3), rng.uniform(0.6, 0.95, 3)
                seed = int(rng.integers(1000))
                wide = rng.uniform(0.8, 1.3)
                piece = [make.wall_piece(kinds.POSTER, along, 1.6, wide, 1.1, tuple(paper), tuple(ink), seed, 0.02)]
            parts += make.placed(piece, x, 0, heading)
    return parts


def _standing(rng: np.random.Generator) -> make.Boxes:
    """Put chairs, desks, shelves and boxes along the sides, and a tripod behind each camera's place."""
    parts: make.Boxes = []
    for side in (-1, 1):
        slots = rng.permutation([-3.0, -1.0, 1.0, 3.0])
        inwards = np.pi / 2 * side
        wood, seat = _choose(rng, WOODS), _choose(rng, CHAIRS)
        parts += make.placed(make.table(wood, (0.3, 0.45, 0.6)), side * 4.5, slots[0], -inwards)
        parts += make.placed(make.chair(seat), side * 3.75, slots[0] + 0.2, inwards + rng.uniform(-2.2, -0.9) * side)
        parts += make.placed(make.cabinet(wood, int(rng.integers(1000))), side * 4.78, slots[1], -inwards)
        parts += make.placed(make.chair(seat), side * 3.9, slots[2], inwards + rng.uniform(-0.5, 0.5))
        for _ in range(2):
            colour = tuple(rng.uniform(0.15, 0.75, 3))
            x, y = side * rng.uniform(3.3, 4.5), slots[3] + rng.uniform(-0.6, 0.6)
            parts += make.placed(make.crate(colour, rng.uniform(0.35, 0.65)), x, y, rng.uniform(0, 3))
        for end in (-1, 1):
            x, y = side * rng.uniform(2.6, 3.0), end * rng.uniform(5.6, 6.1)
            parts += make.placed(make.tripod(rng.uniform(1.4, 1.65)), x, y, rng.uniform(0, 6))
    return parts


def make_room(subject: int, seed: int) -> Room:
    """Furnish the room of one subject; the same for the same numbers."""
    rng = np.random.default_rng([seed, subject, 71])
    size = (2 * HALF_WIDTH_M, 2 * HALF_LENGTH_M, HEIGHT_M)
    shell = make.box((0, 0, HEIGHT_M / 2), size, _choose(rng, WALLS), kinds.WALL, _choose(rng, CARPETS))
    boxes = np.stack([shell, *_short_walls(rng), *_long_walls(rng), *_standing(rng)])
    lights = np.array([[x, y, HEIGHT_M - 0.1, 0.62] for x in (-2.4, 2.4) for y in (-3.0, 3.0)])
    lights[:, 3] *= rng.uniform(0.7, 1.3, 4)
    towards = np.array([*rng.uniform(-0.8, 0.8, 2), 1.0])
    tint = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.04, 0.04) * np.array([1.0, 0.0, -1.0])
    return Room(boxes, _tape(rng), lights, towards / np.linalg.norm(towards), tint)


def draw_room(room: Room, camera: Camera) -> UInt8[np.ndarray, "H W 3"]:
    """Draw what a camera sees of the empty room, antialiased.

    It is drawn once for each subject and camera.

    Raises:
        ValueError: the lens is distorted.
    """
    if camera.is_distorted:
        raise ValueError(f"rooms are drawn with straight rays; the lens is distorted: k {camera.k} and p {camera.p}")
    origin, R = camera.centre_world_m.astype(np.float64), camera.R_cam_from_world.astype(np.float64)
    linear = cast_room(
        room.boxes, room.marks_world_m, room.lights_world_m, origin, R, camera.K, camera.height_px, camera.width_px
    )  # fmt: skip
    return (np.clip(1.2 * linear * room.tint, 0, 1) * 255 + 0.5).astype(np.uint8)
