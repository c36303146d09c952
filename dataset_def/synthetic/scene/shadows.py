"""Shadows that a body, its clothes and things throw on themselves, on each other and on the floor.

For every direction that light comes from, the nearest surfaces are drawn once (a map of depths without perspective); a
vertex that lies behind them gets none of that light.  Many directions are the light from all sides, a bundle is a lamp.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int

from utils.compiled import compiled
from utils.draw_mesh import draw_mesh

CELL_M = 0.04
SHADOW_CELLS = 80
"""The shadow is a square of CELLS x CELLS cells on the floor, around the person."""
MAP_PX = 144
"""Side of a map of depths: 1.5 cm a pixel for a standing person, about a triangle of its mesh."""
FAR_M = 50.0
"""A map's eye is so far away that z-buffers, which interpolate 1 / depth, are exact to a micrometre on small faces."""
OFF_M, BIAS_M = 0.012, 0.015
"""Vertices are looked up this far off their surface, and lie behind another only by more than this: a map's pixel on a
slanted surface would shade itself."""
SKY_DIRECTIONS, LAMP_DIRECTIONS, FLOOR_DIRECTIONS = 20, 5, 48
LAMP_RAD = 0.2
"""Half the angle that ceiling lamps are seen under, which softens their shadow."""


class FloorShadow(NamedTuple):
    """What a person leaves of the light on the floor around it."""

    dark: Float[np.ndarray, "rows columns"]
    """Share of the light that is lost."""
    low_x_m: float
    low_y_m: float
    """The corner of the first cell, in the world."""


def sphere_directions(number: int) -> Float[np.ndarray, "n 3"]:
    """Spread directions evenly over the sphere.  Source: golden spiral."""
    k = np.arange(number)
    z, turn = 1 - (2 * k + 1) / number, k * math.pi * (3 - math.sqrt(5))
    return np.column_stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z])


def cosine_directions(number: int, towards: Float[np.ndarray, "3"], half_angle_rad: float) -> Float[np.ndarray, "n 3"]:
    """Spread directions about one so that each stands for the same light on a surface that faces it.

    Source: Malley's method: even on the disc, lifted onto the sphere.
    """
    k = np.arange(number)
    radius, turn = math.sin(half_angle_rad) * np.sqrt((k + 0.5) / number), k * math.pi * (3 - math.sqrt(5))
    right, up = _across(towards)
    flat = (radius * np.cos(turn))[:, None] * right + (radius * np.sin(turn))[:, None] * up
    return flat + np.sqrt(1 - radius**2)[:, None] * towards


def _across(direction: Float[np.ndarray, "3"]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Give two directions that are square to one and to each other."""
    helper = np.array([1.0, 0, 0]) if abs(direction[0]) < 0.8 else np.array([0, 1.0, 0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    return right, np.cross(direction, right)


@compiled()
def _add_light(seen, possible, places, normals, depth, direction, weight):  # type: ignore[no-untyped-def]
    """Add the light of one direction to each vertex, by Lambert's law: what comes, and what nothing would hide."""
    for i in range(places.shape[0]):
        facing = normals[i, 0] * direction[0] + normals[i, 1] * direction[1] + normals[i, 2] * direction[2]
        if facing <= 0:
            continue
        x, y = places[i, 0] - 0.5, places[i, 1] - 0.5
        column, row = math.floor(x), math.floor(y)
        u, v = x - column, y - row
        share = 0.0
        for k in range(4):
            j, i_row = column + k % 2, row + k // 2
            inside = 0 <= j < depth.shape[1] and 0 <= i_row < depth.shape[0]
            if not inside or depth[i_row, j] > places[i, 2] - BIAS_M:
                share += (u if k % 2 else 1 - u) * (v if k // 2 else 1 - v)
        seen[i] += weight * facing * share
        possible[i] += weight * facing


def light_share(
    vertices_world_m: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    directions: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "V"]:
    """Give the share of the light from some directions that reaches each vertex, in [0, 1]."""
    seen, possible = np.zeros(len(vertices_world_m)), np.zeros(len(vertices_world_m))
    middle = 0.5 * (vertices_world_m.min(axis=0) + vertices_world_m.max(axis=0))
    around = vertices_world_m - middle
    scale = 0.49 * MAP_PX / float(np.linalg.norm(around, axis=1).max())
    for direction, weight in zip(directions, weights, strict=True):
        right, up = _across(direction)
        axes = np.column_stack([right * scale, -up * scale, -direction])
        places = around @ axes + (0.5 * MAP_PX, 0.5 * MAP_PX, FAR_M)
        depth = np.full((MAP_PX, MAP_PX), np.inf, dtype=np.float32)
        draw_mesh(np.zeros((MAP_PX, MAP_PX, 0), np.float32), depth, places, faces, np.zeros((len(places), 0)))
        _add_light(seen, possible, places + OFF_M * normals @ axes, normals, depth, direction, weight)
    return np.where(possible > 0, seen / np.maximum(possible, 1e-12), 1.0)


def sky_and_lamp_share(
    vertices_world_m: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    towards_light: Float[np.ndarray, "3"],
) -> tuple[Float[np.ndarray, "V"], Float[np.ndarray, "V"]]:
    """Give the shares of the light from all sides (ambient occlusion) and of the lamp's that reach each vertex."""
    around = sphere_directions(SKY_DIRECTIONS)
    lamp = cosine_directions(LAMP_DIRECTIONS, towards_light, LAMP_RAD)
    sky = light_share(vertices_world_m, normals, faces, around, 0.65 + 0.35 * around[:, 2])
    return sky, light_share(vertices_world_m, normals, faces, lamp, np.ones(len(lamp)))


@compiled()
def floor_cover(grid, vertices, low_x, low_y, slant_x, slant_y, strength, reach):  # type: ignore[no-untyped-def]
    """Mark the floor cells below the vertices, seen from the light; higher vertices count less."""
    for i in range(vertices.shape[0]):
        x = vertices[i, 0] - slant_x * vertices[i, 2] - low_x
        y = vertices[i, 1] - slant_y * vertices[i, 2] - low_y
        column, row = math.floor(x / CELL_M), math.floor(y / CELL_M)
        if 0 <= column < grid.shape[1] and 0 <= row < grid.shape[0]:
            dark = strength * math.exp(-max(vertices[i, 2], 0.0) / reach)
            grid[row, column] = max(grid[row, column], dark)


def lost_light(
    vertices_world_m: Float[np.ndarray, "V 3"], directions: Float[np.ndarray, "n 3"], low_x_m: float, low_y_m: float
) -> Float[np.ndarray, "rows columns"]:
    """Give the share of the light from some directions that the vertices keep from each cell of the floor."""
    lost = np.zeros((SHADOW_CELLS, SHADOW_CELLS), dtype=np.float32)
    for direction in directions:
        cover = np.zeros_like(lost)
        slant = direction[:2] / direction[2]
        floor_cover(cover, vertices_world_m, low_x_m, low_y_m, slant[0], slant[1], 1.0, 1e9)
        lost += cover / len(directions)
    return lost


def soft_floor_shadow(vertices_world_m: Float[np.ndarray, "V 3"], towards_light: Float[np.ndarray, "3"]) -> FloorShadow:
    """Darken the floor by what the person hides of the light from above: tight at the feet, faint beyond."""
    low_x_m, low_y_m = vertices_world_m[:, :2].mean(axis=0) - 0.5 * SHADOW_CELLS * CELL_M
    sky = lost_light(vertices_world_m, cosine_directions(FLOOR_DIRECTIONS, np.array([0, 0, 1.0]), 1.5),
                     low_x_m, low_y_m)  # fmt: skip
    lamp = lost_light(vertices_world_m, cosine_directions(2 * LAMP_DIRECTIONS, towards_light, LAMP_RAD),
                      low_x_m, low_y_m)  # fmt: skip
    dark = 0.6 * cv2.GaussianBlur(sky, (0, 0), 1.0) + 0.35 * cv2.GaussianBlur(lamp, (0, 0), 1.3)
    return FloorShadow(dark, float(low_x_m), float(low_y_m))
