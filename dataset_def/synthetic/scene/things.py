"""What a person sits on and holds: a chair below who sits, and a box, a ball, a stick or a bag in a hand.

A chair stands where nothing else carries the body: its weight is behind its feet, its knees are up and its thighs lie.
A held thing moves as the hand does (a bag hangs).  Both hide what is behind them and are in no mask of the person.
"""

import math
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from dataset_def.synthetic.scene.loose_clothes import joined, tube_faces
from dataset_def.synthetic.scene.raycast import AXES, CENTRE, COLOUR, HALF
from dataset_def.synthetic.scene.room import RGB, Boxes, furniture_box, moved_furniture
from utils.skeleton import SMPL_24

CELL_M = 0.05
"""Sides of boxes are cut this finely, as light is found at vertices."""
METAL: RGB = (0.16, 0.16, 0.17)
COVERS: tuple[RGB, ...] = (
    (0.12, 0.12, 0.13), (0.30, 0.31, 0.33), (0.20, 0.24, 0.34), (0.42, 0.30, 0.20), (0.60, 0.45, 0.28),
    (0.72, 0.70, 0.66), (0.36, 0.14, 0.13), (0.20, 0.29, 0.22),
)  # fmt: skip
"""Black, grey, blue, brown, wood, white, red, green."""


class Mesh(NamedTuple):
    """Closed surfaces in one colour each."""

    points_m: Float[np.ndarray, "Q 3"]
    normals: Float[np.ndarray, "Q 3"]
    colours: Float[np.ndarray, "Q 3"]
    faces: Int[np.ndarray, "H 3"]
    """Turned outwards."""


class BodyParts(NamedTuple):
    """Vertices of a body by what they belong to."""

    seat: Int[np.ndarray, "n"]
    """Pelvis and thighs."""
    trunk: Int[np.ndarray, "n"]
    hands: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]
    """Left, right."""


class Chair(NamedTuple):
    """A kind of seat; it turns with who sits on it."""

    kind: str
    """`legs`, `swivel` or `block`."""
    has_back: bool
    colour: RGB


class Held(NamedTuple):
    """A thing in a hand."""

    kind: str
    """`box`, `ball`, `stick` or `bag`."""
    half_m: tuple[float, float, float]
    """Half its sizes: across the hand, off the palm, along the grip."""
    shift_m: float
    """How far its middle is along the grip."""
    colour: RGB
    is_left: bool


class Props(NamedTuple):
    """What stays the same through a sequence."""

    chair: Chair | None
    held: Held | None


def parts_of(weights: Float[np.ndarray, "V 24"]) -> BodyParts:
    """Sort a body's vertices by the joint that moves them most."""
    most = weights.argmax(axis=1)

    def moved_by(*names: str) -> Int[np.ndarray, "n"]:
        return np.flatnonzero(np.isin(most, [SMPL_24.index(name) for name in names]))

    return BodyParts(
        moved_by("pelvis", "left_hip", "right_hip"),
        moved_by("pelvis", "spine1", "spine2", "spine3"),
        (moved_by("left_wrist", "left_hand"), moved_by("right_wrist", "right_hand")),
    )


def choose_props(rng: np.random.Generator, chairs: float, held: float) -> Props:
    """Draw a sequence's chair and held thing; `chairs` and `held` are the shares of sequences that have one."""
    has_chair, has_held = rng.random() < chairs, rng.random() < held
    cover, other = (COVERS[int(rng.integers(len(COVERS)))] for _ in range(2))
    chair = Chair(str(rng.choice(["legs", "swivel", "block"], p=[0.5, 0.35, 0.15])), bool(rng.random() < 0.75), cover)
    kind = str(rng.choice(["box", "ball", "stick", "bag"]))
    radius_m = rng.uniform(0.035, 0.12)
    sizes = {
        "box": tuple(rng.uniform([0.04, 0.03, 0.05], [0.14, 0.11, 0.16])),
        "ball": (radius_m, radius_m, radius_m),
        "stick": (rng.uniform(0.008, 0.018), rng.uniform(0.008, 0.018), rng.uniform(0.2, 0.6)),
        "bag": (rng.uniform(0.03, 0.08), rng.uniform(0.13, 0.2), rng.uniform(0.1, 0.18)),
    }
    shift_m = rng.uniform(-0.7, 0.7) * sizes[kind][2] if kind == "stick" else 0.0
    thing = Held(kind, sizes[kind], shift_m, other, bool(rng.random() < 0.4))
    return Props(chair if has_chair else None, thing if has_held else None)


def is_seated(joints_world_m: Float[np.ndarray, "24 3"], vertices_world_m: Float[np.ndarray, "V 3"]) -> bool:
    """Tell whether a body would fall backwards without a seat.

    Its weight is behind its ankles, its thighs lie, and neither knees nor pelvis are at the floor.
    """
    place = {name: joints_world_m[SMPL_24.index(name)] for name in SMPL_24}
    hips, knees, ankles = (np.stack([place[f"{side}_{name}"] for side in ("left", "right")])
                           for name in ("hip", "knee", "ankle"))  # fmt: skip
    thighs = knees - hips
    ahead = thighs[:, :2].sum(axis=0)
    lying = np.linalg.norm(thighs[:, :2], axis=1) / np.linalg.norm(thighs, axis=1)
    behind_m = (ankles[:, :2].mean(axis=0) - vertices_world_m[:, :2].mean(axis=0)) @ ahead / np.linalg.norm(ahead)
    return bool(
        0.34 < place["pelvis"][2] < 0.85 and knees[:, 2].min() > 0.25 and lying.min() > 0.65 and behind_m > BEHIND_M
    )


BEHIND_M = 0.06
"""A heel reaches about this far behind the ankle: weight behind it is carried by something else."""


def box_mesh(row: Float[np.ndarray, "24"]) -> Mesh:
    """Give a box of furniture as a mesh of small triangles."""
    centre, half, colour = row[CENTRE : CENTRE + 3], row[HALF : HALF + 3], row[COLOUR : COLOUR + 3]
    R_world_from_box = row[AXES : AXES + 9].reshape(3, 3).T
    points, normals, faces, count = [], [], [], 0
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        cells = [max(1, math.ceil(2 * half[k] / CELL_M)) for k in (u, v)]
        line_u, line_v = (np.linspace(-half[k], half[k], n + 1) for k, n in zip((u, v), cells, strict=True))
        grid_u, grid_v = np.meshgrid(line_u, line_v, indexing="ij")
        corner = (np.arange(cells[0])[:, None] * (cells[1] + 1) + np.arange(cells[1])).ravel()
        across, along = corner + cells[1] + 1, corner + 1
        quads = np.concatenate([np.stack([corner, across, along], 1), np.stack([across, across + 1, along], 1)])
        for side in (-1, 1):
            place = np.zeros((grid_u.size, 3))
            place[:, axis], place[:, u], place[:, v] = side * half[axis], grid_u.ravel(), grid_v.ravel()
            points.append(place)
            normals.append(np.broadcast_to(side * np.eye(3)[axis], place.shape))
            faces.append((quads if side > 0 else quads[:, ::-1]) + count)
            count += len(place)
    return Mesh(
        np.concatenate(points) @ R_world_from_box.T + centre, np.concatenate(normals) @ R_world_from_box.T,
        np.broadcast_to(colour, (count, 3)), np.concatenate(faces),
    )  # fmt: skip


def ball_mesh(centre_m: Float[np.ndarray, "3"], radius_m: float, colour: RGB, rings: int = 12) -> Mesh:
    """Give a ball; its poles are rings of no width."""
    down, around = np.meshgrid(np.linspace(0, math.pi, rings + 1), 2 * math.pi * np.arange(2 * rings) / (2 * rings),
                               indexing="ij")  # fmt: skip
    normals = np.stack([np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)], -1).reshape(-1, 3)
    return Mesh(centre_m + radius_m * normals, normals, np.broadcast_to(colour, normals.shape),
                tube_faces(rings + 1, 2 * rings))  # fmt: skip


def chair_boxes(chair: Chair, top_m: float, back_m: float, middle_m: float) -> Boxes:
    """Build a chair that faces +y about the origin.

    Args:
        top_m: height of the seat.
        back_m: where its back is, along y; `middle_m` the middle of the seat.
    """
    if chair.kind == "block":
        return [furniture_box((0, middle_m, 0.5 * top_m), (0.44, 0.42, top_m), chair.colour)]
    parts = [furniture_box((0, middle_m, top_m - 0.03), (0.45, 0.44, 0.06), chair.colour)]
    if chair.kind == "swivel":
        parts.append(furniture_box((0, middle_m, 0.5 * top_m), (0.06, 0.06, top_m - 0.08), METAL))
        for turn in (0.0, 0.5 * math.pi):
            foot = furniture_box((0, 0, 0.05), (0.6, 0.05, 0.04), METAL)
            parts += moved_furniture([foot], 0, middle_m, turn + 0.4)
    else:
        parts += [furniture_box((x, middle_m + y, 0.5 * top_m - 0.03), (0.035, 0.035, top_m - 0.06), METAL)
                  for x in (-0.2, 0.2) for y in (-0.19, 0.19)]  # fmt: skip
    if chair.has_back:
        parts.append(furniture_box((0, back_m, top_m + 0.34), (0.42, 0.035, 0.3), chair.colour))
        parts += [furniture_box((x, back_m - 0.02, top_m + 0.14), (0.03, 0.025, 0.4), METAL) for x in (-0.17, 0.17)]
    return parts


def chair_below(
    chair: Chair,
    parts: BodyParts,
    vertices_world_m: Float[np.ndarray, "V 3"],
    joints_world_m: Float[np.ndarray, "24 3"],
) -> Mesh:
    """Put a chair under a body: its seat as high as what rests on it, its back where the trunk's is."""
    place = {name: joints_world_m[SMPL_24.index(name)] for name in ("left_hip", "right_hip", "left_knee", "right_knee")}
    hips_m = 0.5 * (place["left_hip"] + place["right_hip"])
    ahead = (0.5 * (place["left_knee"] + place["right_knee"]) - hips_m)[:2]
    ahead /= np.linalg.norm(ahead)
    side = np.array([ahead[1], -ahead[0]])
    along_m = (vertices_world_m[:, :2] - hips_m[:2]) @ np.column_stack([side, ahead])
    resting = parts.seat[(np.abs(along_m[parts.seat]) < (0.22, 0.2)).all(axis=1)]
    top_m = float(vertices_world_m[resting, 2].min()) + 0.01
    height_m = vertices_world_m[parts.trunk, 2] - top_m
    leaning = parts.trunk[(height_m > 0.15) & (height_m < 0.5)]
    back_m = float(along_m[leaning, 1].min()) - 0.03 if len(leaning) else -0.2
    reachable = chair._replace(has_back=chair.has_back and back_m > -0.34)
    back_m = float(np.clip(back_m, -0.34, -0.16))
    rows = chair_boxes(reachable, top_m, back_m, back_m + 0.22)
    heading_rad = math.atan2(-ahead[0], ahead[1])
    return joined([box_mesh(row) for row in moved_furniture(rows, hips_m[0], hips_m[1], heading_rad)])


def turned_from(rest_m: Float[np.ndarray, "n 3"], posed_m: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 3"]:
    """Find the rotation that takes points nearest to others.  Source: Kabsch 1976."""
    together = (posed_m - posed_m.mean(0)).T @ (rest_m - rest_m.mean(0))
    return roma.special_procrustes(torch.from_numpy(together)).numpy()


def thing_in_hand(held: Held, rest_m: Float[np.ndarray, "n 3"], hand_world_m: Float[np.ndarray, "n 3"]) -> Mesh:
    """Put a thing against a palm.

    Args:
        rest_m: the hand's vertices in the T-pose, palm down; `hand_world_m` the same in the world.
    """
    R_world_from_rest = turned_from(rest_m, hand_world_m)
    palm_m = 0.5 * float(np.ptp(rest_m[:, 1]))
    off_m = np.array([0.0, -palm_m - held.half_m[1] + 0.012, held.shift_m])
    middle_m = hand_world_m.mean(axis=0) + R_world_from_rest @ off_m
    if held.kind == "bag":
        middle_m = hand_world_m.mean(axis=0) - (0, 0, held.half_m[1] + 0.05)
        grip = R_world_from_rest[:, 2] * (1, 1, 0)
        grip = grip / np.linalg.norm(grip) if np.linalg.norm(grip) > 1e-3 else np.array([1.0, 0, 0])
        up = np.array([0.0, 0, 1.0])
        R_world_from_rest = np.column_stack([np.cross(up, grip), up, grip])
    if held.kind == "ball":
        mesh = ball_mesh(middle_m, held.half_m[0], held.colour)
    else:
        row = furniture_box((0, 0, 0), (2 * held.half_m[0], 2 * held.half_m[1], 2 * held.half_m[2]), held.colour)
        row[CENTRE : CENTRE + 3], row[AXES : AXES + 9] = middle_m, R_world_from_rest.T.ravel()
        mesh = box_mesh(row)
    # What would reach below the floor stands on it.
    return mesh._replace(points_m=np.maximum(mesh.points_m, (-np.inf, -np.inf, 0.004)))


def things_at(
    props: Props, parts: BodyParts, template_m: Float[np.ndarray, "V 3"], vertices_world_m: Float[np.ndarray, "V 3"],
    joints_world_m: Float[np.ndarray, "24 3"],
) -> Mesh | None:  # fmt: skip
    """Give what there is beside the person at one instant."""
    meshes = []
    if props.chair is not None and is_seated(joints_world_m, vertices_world_m):
        meshes.append(chair_below(props.chair, parts, vertices_world_m, joints_world_m))
    if props.held is not None:
        hand = parts.hands[0 if props.held.is_left else 1]
        meshes.append(thing_in_hand(props.held, template_m[hand], vertices_world_m[hand]))
    return joined(meshes) if meshes else None
