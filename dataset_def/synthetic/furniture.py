"""What stands in the room, made of turned boxes: windows, radiators, screen, chairs, tables, shelves, tripods."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from dataset_def.synthetic import raycast as kinds

Boxes = list[Float[np.ndarray, "24"]]
RGB = tuple[float, float, float]
METAL: RGB = (0.12, 0.12, 0.13)


def box(
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
    return box(tuple(middle), (thick_m, thick_m, float(np.linalg.norm(way))), colour, turn=turn)


def placed(parts: Boxes, x_m: float, y_m: float, heading_rad: float) -> Boxes:
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
    legs = [box((sx * 0.19, sy * 0.19, 0.22), (0.035, 0.035, 0.44), METAL) for sx in (-1, 1) for sy in (-1, 1)]
    seat = box((0, 0, 0.46), (0.45, 0.45, 0.06), colour, kinds.CUSHION)
    posts = [box((sx * 0.19, -0.21, 0.62), (0.03, 0.03, 0.36), METAL) for sx in (-1, 1)]
    return [*legs, seat, *posts, box((0, -0.22, 0.76), (0.44, 0.04, 0.32), colour, kinds.CUSHION)]


def table(colour: RGB, screen_colour: RGB) -> Boxes:
    """Make a desk with a computer screen on it."""
    legs = [box((sx * 0.62, sy * 0.3, 0.35), (0.05, 0.05, 0.7), METAL) for sx in (-1, 1) for sy in (-1, 1)]
    top = box((0, 0, 0.72), (1.4, 0.72, 0.04), colour, kinds.WOOD)
    screen = box((0.1, 0.12, 1.0), (0.56, 0.03, 0.34), screen_colour, kinds.POSTER, (0.05, 0.08, 0.2))
    return [*legs, top, screen, box((0.1, 0.14, 0.78), (0.2, 0.12, 0.08), METAL)]


def tripod(height_m: float) -> Boxes:
    """Make a camera on three legs."""
    top = np.array([0.0, 0, height_m - 0.35])
    feet = [np.array([0.42 * np.cos(a), 0.42 * np.sin(a), 0.0]) for a in (0.3, 2.4, 4.5)]
    legs = [stick(foot, top, 0.035, METAL) for foot in feet]
    column = box((0, 0, height_m - 0.2), (0.04, 0.04, 0.34), METAL)
    return [*legs, column, box((0, 0, height_m), (0.14, 0.22, 0.12), (0.08, 0.08, 0.09))]


def cabinet(colour: RGB, seed: int) -> Boxes:
    """Make a shelf full of books."""
    inner = box((0, 0, 1.0), (1.2, 0.34, 1.98), colour, kinds.SHELF, seed=seed)
    sides = [box((sx * 0.62, 0, 1.0), (0.04, 0.37, 2.0), colour, kinds.WOOD) for sx in (-1, 1)]
    return [inner, *sides, box((0, 0, 2.01), (1.28, 0.37, 0.04), colour, kinds.WOOD)]


def crate(colour: RGB, size_m: float) -> Boxes:
    """Make a box with a lid."""
    body = box((0, 0, 0.35 * size_m), (size_m, 0.8 * size_m, 0.7 * size_m), colour, kinds.WOOD)
    return [body, box((0, 0, 0.73 * size_m), (1.05 * size_m, 0.85 * size_m, 0.06 * size_m), colour)]


def wall_piece(kind: int, along_m: float, height_m: float, wide_m: float, tall_m: float, colour: RGB, second: RGB,
               seed: int = 1, deep_m: float = 0.05) -> Float[np.ndarray, "24"]:  # fmt: skip
    """Make a flat piece that hangs on the wall y = 0, its back on the wall; `height_m` is of its centre."""
    return box((along_m, -0.5 * deep_m, height_m), (wide_m, deep_m, tall_m), colour, kind, second, seed=seed)


def window(along_m: float, curtain: RGB) -> Boxes:
    """Make a window with a radiator below and a curtain at each side."""
    frame = (0.88, 0.88, 0.86)
    pane = wall_piece(kinds.WINDOW, along_m, 1.75, 1.9, 1.5, (0.93, 0.97, 1.0), frame)
    radiator = wall_piece(kinds.RADIATOR, along_m, 0.45, 1.6, 0.6, (0.9, 0.9, 0.88), frame, deep_m=0.12)
    cloth = [
        wall_piece(kinds.CURTAIN, along_m + side * 1.12, 1.5, 0.45, 2.4, curtain, curtain, deep_m=0.12)
        for side in (-1, 1)
    ]
    sill = box((along_m, -0.1, 0.96), (2.0, 0.2, 0.04), (0.85, 0.84, 0.8))
    return [pane, radiator, sill, *cloth]


def door(along_m: float, colour: RGB) -> Boxes:
    """Make a door with its frame and handle."""
    frame = wall_piece(kinds.PLAIN, along_m, 1.05, 1.06, 2.1, (0.82, 0.8, 0.76), METAL, deep_m=0.04)
    leaf = wall_piece(kinds.WOOD, along_m, 1.02, 0.9, 2.02, colour, METAL, deep_m=0.06)
    return [frame, leaf, box((along_m + 0.36, -0.08, 1.05), (0.13, 0.05, 0.03), (0.7, 0.7, 0.7))]
