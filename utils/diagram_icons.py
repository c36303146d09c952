"""Small pictures for the diagrams: one person as a photo, as points, as a skeleton, as a surface."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from utils.draw_mesh import render_mesh

ICON_PX = 320
DISTANCE_M = 4.2
SEEN_M = 2.15
"""Height of the scene that an icon shows at the person's distance."""
PLAIN_RGB = (0.62, 0.74, 0.88)
NUM_POINTS = 200


class Person(NamedTuple):
    """A posed body about its pelvis; x right, y down, z away from the camera, which it faces."""

    vertices_m: Float[np.ndarray, "V 3"]
    joints_m: Float[np.ndarray, "17 3"]
    broken_m: Float[np.ndarray, "V 3"]
    """The same body in a pose that no person can take."""
    faces: Int[np.ndarray, "F 3"]
    colours: Float[np.ndarray, "V 3"]


def turned(points_m: Float[np.ndarray, "N 3"], degrees: float) -> Float[np.ndarray, "N 3"]:
    """Turn points about the vertical through the pelvis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points_m @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def in_frame(points_m: Float[np.ndarray, "N 3"], vertices_m: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "N 3"]:
    """Move points so that the body stands in the middle of an icon, before its camera."""
    middle_y_m = (vertices_m[:, 1].min() + vertices_m[:, 1].max()) / 2
    return points_m + np.array([0, -middle_y_m, DISTANCE_M])


def camera_matrix() -> Float[np.ndarray, "3 3"]:
    """Give K of an icon's camera."""
    focal_px = ICON_PX * DISTANCE_M / SEEN_M
    return np.array([[focal_px, 0, ICON_PX / 2], [0, focal_px, ICON_PX / 2], [0, 0, 1]])


def on_icon(points_m: Float[np.ndarray, "N 3"], vertices_m: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "N 2"]:
    """Project points to an icon, as shares of its side from the top left."""
    placed_m = in_frame(points_m, vertices_m)
    K = camera_matrix()
    return (placed_m[:, :2] / placed_m[:, 2:] * K[0, 0] + K[:2, 2]) / ICON_PX


def surface(
    vertices_m: Float[np.ndarray, "V 3"],
    person: Person,
    colours: Float[np.ndarray, "V 3"] | None = None,
    background: UInt8[np.ndarray, "H W 3"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a body, in one colour before white unless told otherwise."""
    paint = np.tile(np.array(PLAIN_RGB), (len(vertices_m), 1)) if colours is None else colours
    behind = np.full((ICON_PX, ICON_PX, 3), 255, np.uint8) if background is None else background
    return render_mesh(in_frame(vertices_m, vertices_m), person.faces, camera_matrix(), ICON_PX, ICON_PX, paint,
                       behind, samples=3)  # fmt: skip


def room(wall: tuple[int, int, int], window: float) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a wall with a window, and a red carpet."""
    picture = np.empty((ICON_PX, ICON_PX, 3), np.uint8)
    picture[:] = wall
    left, horizon = int(window * ICON_PX), int(0.68 * ICON_PX)
    picture[int(0.1 * ICON_PX) : int(0.42 * ICON_PX), left : left + int(0.27 * ICON_PX)] = (168, 196, 220)
    picture[int(0.25 * ICON_PX) : int(0.265 * ICON_PX), left : left + int(0.27 * ICON_PX)] = (245, 245, 245)
    fade = np.linspace(1.0, 0.8, ICON_PX - horizon)[:, None, None]
    picture[horizon:] = np.round(np.array([170, 74, 58]) * fade).astype(np.uint8)
    picture[horizon - 4 : horizon] = (245, 243, 238)
    return picture


def photo(person: Person, degrees: float) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the dressed person in a room, seen by a camera that stands elsewhere in it."""
    wall, window = ((219, 214, 203), 0.62) if degrees < 90 else ((203, 211, 205), 0.1)
    return surface(turned(person.vertices_m, degrees), person, person.colours, room(wall, window))


def cloud(person: Person, degrees: float) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, "P"]]:
    """Scatter points over the body; give their places on the icon and how near they are, 0 to 1."""
    chosen = np.random.default_rng(3).choice(len(person.vertices_m), NUM_POINTS, replace=False)
    vertices_m = turned(person.vertices_m, degrees)
    depth_m = vertices_m[chosen, 2]
    return on_icon(vertices_m[chosen], vertices_m), (depth_m.max() - depth_m) / np.ptp(depth_m)
