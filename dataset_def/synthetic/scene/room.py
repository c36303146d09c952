"""One room per subject: the same in all four views, because it is a model in three dimensions.

The person walks within about 1.7 m of the origin; nothing stands nearer than 2.5 m, so nothing hides the person.
Furniture is made of turned boxes: windows, radiators, screen, chairs, tables, shelves, tripods.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from dataset_def.synthetic.scene import raycast as kinds
from dataset_def.synthetic.scene.raycast import cast_room
from utils.camera import Camera

Boxes = list[Float[np.ndarray, "24"]]
RGB = tuple[float, float, float]
METAL: RGB = (0.12, 0.12, 0.13)


def furniture_box(
    centre_m: tuple[float, float, float],
    size_m: tuple[float, float, float],
    colour: RGB,
    kind: int = kinds.PLAIN,
    second: RGB = (0.2, 0.2, 0.2),
    turn: Rotation | None = None,
    seed: int = 1,
) -> Float[np.ndarray, "24"]:
    """Make one box of the room; `turn` is R_world_from_box."""
    axes = (turn or Rotation.identity()).as_matrix().T.ravel()
    half = [0.5 * s for s in size_m]
    reach = sum(h * h for h in half)
    return np.array([*centre_m, *half, *axes, *colour, *second, kind, seed, reach], dtype=np.float64)


def stick(start_m: np.ndarray, end_m: np.ndarray, thick_m: float, colour: RGB) -> Float[np.ndarray, "24"]:
    """Make a thin bar between two points."""
    way = end_m - start_m
    turn, _ = Rotation.align_vectors(way[None] / np.linalg.norm(way), np.array([[0.0, 0, 1]]))
    middle = 0.5 * (start_m + end_m)
    return furniture_box(tuple(middle), (thick_m, thick_m, float(np.linalg.norm(way))), colour, turn=turn)


def moved_furniture(parts: Boxes, x_m: float, y_m: float, heading_rad: float) -> Boxes:
    """Turn a piece of furniture about its upright axis and move it."""
    R = Rotation.from_euler("z", heading_rad).as_matrix()
    moved = []
    for part in parts:
        new = part.copy()
        new[kinds.CENTRE : kinds.CENTRE + 3] = R @ part[kinds.CENTRE : kinds.CENTRE + 3] + (x_m, y_m, 0)
        new[kinds.AXES : kinds.AXES + 9] = (part[kinds.AXES : kinds.AXES + 9].reshape(3, 3) @ R.T).ravel()
        moved.append(new)
    return moved


def chair(colour: RGB) -> Boxes:
    """Make an office chair with four legs, facing +y."""
    legs = [
        furniture_box((sx * 0.19, sy * 0.19, 0.22), (0.035, 0.035, 0.44), METAL) for sx in (-1, 1) for sy in (-1, 1)
    ]
    seat = furniture_box((0, 0, 0.46), (0.45, 0.45, 0.06), colour, kinds.CUSHION)
    posts = [furniture_box((sx * 0.19, -0.21, 0.62), (0.03, 0.03, 0.36), METAL) for sx in (-1, 1)]
    return [*legs, seat, *posts, furniture_box((0, -0.22, 0.76), (0.44, 0.04, 0.32), colour, kinds.CUSHION)]


def desk(colour: RGB, screen_colour: RGB) -> Boxes:
    """Make a desk with a computer screen on it."""
    legs = [furniture_box((sx * 0.62, sy * 0.3, 0.35), (0.05, 0.05, 0.7), METAL) for sx in (-1, 1) for sy in (-1, 1)]
    top = furniture_box((0, 0, 0.72), (1.4, 0.72, 0.04), colour, kinds.WOOD)
    screen = furniture_box((0.1, 0.12, 1.0), (0.56, 0.03, 0.34), screen_colour, kinds.POSTER, (0.05, 0.08, 0.2))
    return [*legs, top, screen, furniture_box((0.1, 0.14, 0.78), (0.2, 0.12, 0.08), METAL)]


def tripod(height_m: float) -> Boxes:
    """Make a camera on three legs."""
    top = np.array([0.0, 0, height_m - 0.35])
    feet = [np.array([0.42 * np.cos(a), 0.42 * np.sin(a), 0.0]) for a in (0.3, 2.4, 4.5)]
    legs = [stick(foot, top, 0.035, METAL) for foot in feet]
    column = furniture_box((0, 0, height_m - 0.2), (0.04, 0.04, 0.34), METAL)
    return [*legs, column, furniture_box((0, 0, height_m), (0.14, 0.22, 0.12), (0.08, 0.08, 0.09))]


def cabinet(colour: RGB, seed: int) -> Boxes:
    """Make a shelf full of books."""
    inner = furniture_box((0, 0, 1.0), (1.2, 0.34, 1.98), colour, kinds.SHELF, seed=seed)
    sides = [furniture_box((sx * 0.62, 0, 1.0), (0.04, 0.37, 2.0), colour, kinds.WOOD) for sx in (-1, 1)]
    return [inner, *sides, furniture_box((0, 0, 2.01), (1.28, 0.37, 0.04), colour, kinds.WOOD)]


def crate(colour: RGB, size_m: float) -> Boxes:
    """Make a box with a lid."""
    body = furniture_box((0, 0, 0.35 * size_m), (size_m, 0.8 * size_m, 0.7 * size_m), colour, kinds.WOOD)
    return [body, furniture_box((0, 0, 0.73 * size_m), (1.05 * size_m, 0.85 * size_m, 0.06 * size_m), colour)]


def wall_piece(kind: int, along_m: float, height_m: float, wide_m: float, tall_m: float, colour: RGB, second: RGB,
               seed: int = 1, deep_m: float = 0.05) -> Float[np.ndarray, "24"]:  # fmt: skip
    """Make a flat piece that hangs on the wall y = 0, its back on the wall; `height_m` is of its centre."""
    return furniture_box((along_m, -0.5 * deep_m, height_m), (wide_m, deep_m, tall_m), colour, kind, second, seed=seed)


def window(along_m: float, curtain: RGB) -> Boxes:
    """Make a window with a radiator below and a curtain at each side."""
    frame = (0.88, 0.88, 0.86)
    pane = wall_piece(kinds.WINDOW, along_m, 1.75, 1.9, 1.5, (0.93, 0.97, 1.0), frame)
    radiator = wall_piece(kinds.RADIATOR, along_m, 0.45, 1.6, 0.6, (0.9, 0.9, 0.88), frame, deep_m=0.12)
    cloth = [
        wall_piece(kinds.CURTAIN, along_m + side * 1.12, 1.5, 0.45, 2.4, curtain, curtain, deep_m=0.12)
        for side in (-1, 1)
    ]
    sill = furniture_box((along_m, -0.1, 0.96), (2.0, 0.2, 0.04), (0.85, 0.84, 0.8))
    return [pane, radiator, sill, *cloth]


def door(along_m: float, colour: RGB) -> Boxes:
    """Make a door with its frame and handle."""
    frame = wall_piece(kinds.PLAIN, along_m, 1.05, 1.06, 2.1, (0.82, 0.8, 0.76), METAL, deep_m=0.04)
    leaf = wall_piece(kinds.WOOD, along_m, 1.02, 0.9, 2.02, colour, METAL, deep_m=0.06)
    return [frame, leaf, furniture_box((along_m + 0.36, -0.08, 1.05), (0.13, 0.05, 0.03), (0.7, 0.7, 0.7))]


HALF_WIDTH_M, HALF_LENGTH_M, HEIGHT_M = 5.0, 7.0, 3.1
CARPETS: tuple[RGB, ...] = (
    (0.46, 0.12, 0.12), (0.40, 0.16, 0.15), (0.24, 0.27, 0.34), (0.50, 0.17, 0.12), (0.30, 0.33, 0.28),
    (0.38, 0.11, 0.16), (0.36, 0.31, 0.27),
)  # fmt: skip
WALLS: tuple[RGB, ...] = ((0.93, 0.92, 0.89), (0.88, 0.90, 0.93), (0.93, 0.89, 0.80), (0.86, 0.90, 0.86))
CURTAINS: tuple[RGB, ...] = ((0.30, 0.38, 0.52), (0.58, 0.50, 0.36), (0.45, 0.22, 0.22), (0.35, 0.45, 0.36))
WOODS: tuple[RGB, ...] = ((0.62, 0.44, 0.27), (0.45, 0.30, 0.19), (0.76, 0.64, 0.46), (0.78, 0.77, 0.74))
CHAIRS: tuple[RGB, ...] = ((0.16, 0.24, 0.45), (0.13, 0.13, 0.14), (0.45, 0.13, 0.12), (0.15, 0.35, 0.25))


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


def _choose(rng: np.random.Generator, colours: tuple[RGB, ...]) -> RGB:
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


def _short_walls(rng: np.random.Generator) -> Boxes:
    """Furnish the two walls that the cameras look at most: a screen and a door here, windows there."""
    frame = (0.06, 0.06, 0.06)
    side = float(rng.choice([-1, 1]))
    screen = wall_piece(kinds.SCREEN, 0.9 * side, 1.75, 2.7, 2.0, (0.97, 0.97, 0.97), frame)
    front = [screen, *door(-2.9 * side, _choose(rng, WOODS))]
    curtain = _choose(rng, CURTAINS)
    back = [*window(-2.2, curtain), *window(1.6, curtain)]
    if rng.random() < 0.5:
        front, back = back, front
    return moved_furniture(front, 0, HALF_LENGTH_M, 0) + moved_furniture(back, 0, -HALF_LENGTH_M, np.pi)


def _long_walls(rng: np.random.Generator) -> Boxes:
    """Furnish the two side walls with windows, radiators and posters."""
    parts: Boxes = []
    for heading, x in ((-np.pi / 2, HALF_WIDTH_M), (np.pi / 2, -HALF_WIDTH_M)):
        curtain = _choose(rng, CURTAINS)
        for along in (-3.6, 0.2, 3.8):
            if rng.random() < 0.45:
                piece = window(along, curtain)
            else:
                ink, paper = rng.uniform(0.1, 0.8, 3), rng.uniform(0.6, 0.95, 3)
                seed = int(rng.integers(1000))
                wide = rng.uniform(0.8, 1.3)
                piece = [wall_piece(kinds.POSTER, along, 1.6, wide, 1.1, tuple(paper), tuple(ink), seed, 0.02)]
            parts += moved_furniture(piece, x, 0, heading)
    return parts


def _standing(rng: np.random.Generator) -> Boxes:
    """Put chairs, desks, shelves and boxes along the sides, and a tripod behind each camera's place."""
    parts: Boxes = []
    for side in (-1, 1):
        slots = rng.permutation([-3.0, -1.0, 1.0, 3.0])
        inwards = np.pi / 2 * side
        wood, seat = _choose(rng, WOODS), _choose(rng, CHAIRS)
        parts += moved_furniture(desk(wood, (0.3, 0.45, 0.6)), side * 4.5, slots[0], -inwards)
        parts += moved_furniture(chair(seat), side * 3.75, slots[0] + 0.2, inwards + rng.uniform(-2.2, -0.9) * side)
        parts += moved_furniture(cabinet(wood, int(rng.integers(1000))), side * 4.78, slots[1], -inwards)
        parts += moved_furniture(chair(seat), side * 3.9, slots[2], inwards + rng.uniform(-0.5, 0.5))
        for _ in range(2):
            colour = tuple(rng.uniform(0.15, 0.75, 3))
            x, y = side * rng.uniform(3.3, 4.5), slots[3] + rng.uniform(-0.6, 0.6)
            parts += moved_furniture(crate(colour, rng.uniform(0.35, 0.65)), x, y, rng.uniform(0, 3))
        for end in (-1, 1):
            x, y = side * rng.uniform(2.6, 3.0), end * rng.uniform(5.6, 6.1)
            parts += moved_furniture(tripod(rng.uniform(1.4, 1.65)), x, y, rng.uniform(0, 6))
    return parts


def make_room(subject: int, seed: int) -> Room:
    """Furnish the room of one subject; the same for the same numbers."""
    rng = np.random.default_rng([seed, subject, 71])
    size = (2 * HALF_WIDTH_M, 2 * HALF_LENGTH_M, HEIGHT_M)
    shell = furniture_box((0, 0, HEIGHT_M / 2), size, _choose(rng, WALLS), kinds.WALL, _choose(rng, CARPETS))
    boxes = np.stack([shell, *_short_walls(rng), *_long_walls(rng), *_standing(rng)])
    lights = np.array([[x, y, HEIGHT_M - 0.1, 0.62] for x in (-2.4, 2.4) for y in (-3.0, 3.0)])
    lights[:, 3] *= rng.uniform(0.7, 1.3, 4)
    towards = np.array([*rng.uniform(-0.8, 0.8, 2), 1.0])
    tint = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.04, 0.04) * np.array([1.0, 0.0, -1.0])
    return Room(boxes, _tape(rng), lights, towards / np.linalg.norm(towards), tint)


def draw_room(room: Room, camera: Camera) -> UInt8[np.ndarray, "H W 3"]:
    """Draw what a camera sees of the empty room, antialiased.

    It is rendered once for each subject and camera.
    """
    linear = cast_room(room.boxes, room.marks_world_m, room.lights_world_m, camera)
    return (np.clip(1.2 * linear * room.tint, 0, 1) * 255 + 0.5).astype(np.uint8)
