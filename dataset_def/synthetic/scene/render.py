"""Renders the dressed person into the room as a camera would record it: light, contact shadow, sensor."""

import math
from typing import NamedTuple

import cv2
import numba
import numpy as np
from jaxtyping import Float, Int, UInt8

from dataset_def.synthetic.scene.appearance import Outfit
from dataset_def.synthetic.scene.cameras import Sensor
from dataset_def.synthetic.scene.clothes import colour_at
from dataset_def.synthetic.scene.loose_clothes import posed_cloth
from dataset_def.synthetic.scene.room import Room
from dataset_def.synthetic.scene.shadows import (
    CELL_M,
    SHADOW_CELLS,
    FloorShadow,
    floor_cover,
    sky_and_lamp_share,
    soft_floor_shadow,
)
from dataset_def.synthetic.scene.things import Mesh
from utils.camera import Camera, project, to_camera, to_rays
from utils.compiled import compiled
from utils.draw_mesh import draw_mesh, resolve, vertex_normals

SAMPLES = 2


@compiled()
def _darken_floor(image, grid, low_x, low_y, origin, R, rays):  # type: ignore[no-untyped-def]
    """Multiply the floor's pixels by the light that the person leaves them."""
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            px, py = rays[row, column, 0], rays[row, column, 1]
            dz = px * R[0, 2] + py * R[1, 2] + R[2, 2]
            if dz > -1e-6:
                continue
            reach = -origin[2] / dz
            x = (origin[0] + reach * (px * R[0, 0] + py * R[1, 0] + R[2, 0]) - low_x) / CELL_M - 0.5
            y = (origin[1] + reach * (px * R[0, 1] + py * R[1, 1] + R[2, 1]) - low_y) / CELL_M - 0.5
            i, j = math.floor(y), math.floor(x)
            if i < 0 or j < 0 or i + 1 >= grid.shape[0] or j + 1 >= grid.shape[1]:
                continue
            v, u = y - i, x - j
            near = grid[i, j] * (1 - u) + grid[i, j + 1] * u
            far = grid[i + 1, j] * (1 - u) + grid[i + 1, j + 1] * u
            light = 1 - (near * (1 - v) + far * v)
            for k in range(3):
                image[row, column, k] *= light


def plain_floor_shadow(room: Room, vertices_world_m: Float[np.ndarray, "V 3"]) -> FloorShadow:
    """Darken the floor under the person: tight under the feet, wide and faint away from the light."""
    middle = vertices_world_m[:, :2].mean(axis=0)
    low_x, low_y = middle - 0.5 * SHADOW_CELLS * CELL_M
    contact = np.zeros((SHADOW_CELLS, SHADOW_CELLS), dtype=np.float32)
    floor_cover(contact, vertices_world_m, low_x, low_y, 0.0, 0.0, 0.9, 0.12)
    wide = np.zeros_like(contact)
    slant = 0.45 * room.towards_light[:2] / room.towards_light[2]
    floor_cover(wide, vertices_world_m, low_x, low_y, slant[0], slant[1], 0.7, 1.6)
    dark = 1 - (1 - cv2.GaussianBlur(contact, (0, 0), 0.9)) * (1 - cv2.GaussianBlur(wide, (0, 0), 3.0))
    return FloorShadow(dark, low_x, low_y)


def pixel_rays(camera: Camera, left: int, top: int, right: int, bottom: int) -> Float[np.ndarray, "h w 2"]:
    """Give the rays (at depth 1) through the middles of a box of pixels, through the lens."""
    x_px, y_px = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    return to_rays(camera, np.stack([x_px, y_px], axis=-1))[..., :2]


def cast_shadow(
    image: Float[np.ndarray, "H W 3"],
    camera: Camera,
    shadow: FloorShadow,
    rays: Float[np.ndarray, "H W 2"] | None = None,
) -> None:
    """Darken the floor of a picture in place.

    Args:
        rays: `pixel_rays` of the whole picture, which a bent lens makes slow to find; else they are found here.
    """
    corners = [
        [shadow.low_x_m + i * SHADOW_CELLS * CELL_M, shadow.low_y_m + j * SHADOW_CELLS * CELL_M, 0]
        for i in (0, 1) for j in (0, 1)
    ]  # fmt: skip
    corners_cam_m = to_camera(camera, np.array(corners))
    if (corners_cam_m[:, 2] < 0.1).any() or camera.is_distorted:  # a bent square is not inside the box of its corners
        left, top, right, bottom = 0, 0, camera.width_px, camera.height_px
    else:
        left, top, right, bottom = _box(project(camera, corners_cam_m), camera)
    rays = pixel_rays(camera, left, top, right, bottom) if rays is None else rays[top:bottom, left:right]
    _darken_floor(image[top:bottom, left:right], shadow.dark, shadow.low_x_m, shadow.low_y_m, camera.centre_world_m,
                  camera.R_cam_from_world, rays)  # fmt: skip


def _box(points_px: Float[np.ndarray, "N 2"], camera: Camera) -> tuple[int, int, int, int]:
    """Give left, top, right, bottom of the pixels around points, inside the image."""
    x, y = np.ascontiguousarray(points_px.T)
    left, right = (int(np.clip(v, 0, camera.width_px)) for v in (np.floor(x.min()) - 1, np.ceil(x.max()) + 1))
    top, bottom = (int(np.clip(v, 0, camera.height_px)) for v in (np.floor(y.min()) - 1, np.ceil(y.max()) + 1))
    return left, top, right, bottom


@compiled()
def _lay_over(image, mask, values, covered, cuts, materials, tint, left, top):  # type: ignore[no-untyped-def]
    """Colour the rasterised samples and lay their average over the image by the share of the pixel they cover."""
    for row in range(covered.shape[0] // SAMPLES):
        for column in range(covered.shape[1] // SAMPLES):
            red, green, blue, count = 0.0, 0.0, 0.0, 0
            for i in range(SAMPLES * SAMPLES):
                y, x = row * SAMPLES + i // SAMPLES, column * SAMPLES + i % SAMPLES
                if covered[y, x]:
                    r, g, b = colour_at(values[y, x, 0], values[y, x, 1], values[y, x, 2], cuts, materials)
                    light = values[y, x, 3]
                    red, green, blue, count = red + r * light, green + g * light, blue + b * light, count + 1
            if count == 0:
                continue
            share = 1.0 / (SAMPLES * SAMPLES)
            pixel = image[top + row, left + column]
            pixel[0] = pixel[0] * (1 - count * share) + 255 * share * red * tint[0]
            pixel[1] = pixel[1] * (1 - count * share) + 255 * share * green * tint[1]
            pixel[2] = pixel[2] * (1 - count * share) + 255 * share * blue * tint[2]
            mask[top + row, left + column] = int(255 * count * share)


@compiled()
def _record(image, out, gain, noise, seed):  # type: ignore[no-untyped-def]
    """Turn light into bytes: exposure, and sensor noise that grows with brightness."""
    state = numba.uint64(seed * 2 + 1)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for k in range(3):
                # xorshift*, whose four top bytes add up to nearly a normal number.
                state ^= state >> numba.uint64(12)
                state ^= state << numba.uint64(25)
                state ^= state >> numba.uint64(27)
                bits = (state * numba.uint64(2685821657736338717)) >> numba.uint64(32)
                total = (bits & numba.uint64(255)) + ((bits >> numba.uint64(8)) & numba.uint64(255))
                total += ((bits >> numba.uint64(16)) & numba.uint64(255)) + (bits >> numba.uint64(24))
                value = image[row, column, k] * gain
                normal = (float(total) - 510.0) / 147.8
                value += noise * normal * (0.5 + 0.5 * math.sqrt(max(value, 0.0) / 128))
                out[row, column, k] = int(min(max(value + 0.5, 0.0), 255.0))


def light_on(
    room: Room,
    normals: Float[np.ndarray, "V 3"],
    height_m: Float[np.ndarray, "V"],
    sky_share: Float[np.ndarray, "V"] | float = 1.0,
    lamp_share: Float[np.ndarray, "V"] | float = 1.0,
) -> Float[np.ndarray, "V"]:
    """Give the brightness of the person's surface: sky-like light from above and a lamp, a little less near the floor.

    Args:
        sky_share: what reaches the surface of the light from all sides; `lamp_share` of the lamp's.
    Source: Lambert's law for the lamp; a hemisphere for the surroundings.
    """
    around = 0.62 + 0.16 * normals[:, 2]
    lamp = 0.5 * np.maximum(normals @ room.towards_light, 0.0)
    return (around * sky_share + lamp * lamp_share) * (0.86 + 0.14 * np.clip(height_m / 0.8, 0, 1))


class Staged(NamedTuple):
    """A dressed person at one instant, lit: the same for every camera."""

    points_world_m: Float[np.ndarray, "P 3"]
    faces: Int[np.ndarray, "F 3"]
    """Of closed surfaces, seen from outside only."""
    attributes: Float[np.ndarray, "P 4"]
    """Where each point lies on the body in the T-pose, where its colour is looked up, and the light on it."""
    shadow: FloorShadow
    sheets: Int[np.ndarray, "G 3"]
    """Faces of cloth, seen from both sides."""
    things: Mesh | None = None
    """What the person sits on and holds, lit: it hides the person and is in no mask."""


def stage_person(
    room: Room,
    vertices_world_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    outfit: Outfit,
    shadows: float = 0.0,
    things: Mesh | None = None,
) -> Staged:
    """Dress and light the person.

    Args:
        shadows: how much of the shadows that it throws on itself is there, 0 to 1; with any the floor's are soft.
    """
    normals = vertex_normals(vertices_world_m, faces)
    points_m = vertices_world_m + outfit.offsets_m[:, None] * normals
    canonical_m, sheets = outfit.canonical_m, np.zeros((0, 3), dtype=faces.dtype)
    if outfit.cloth is not None:
        cloth_m, of_cloth = posed_cloth(outfit.cloth, points_m)
        sheets = outfit.cloth.faces + len(points_m)
        points_m, normals = np.concatenate([points_m, cloth_m]), np.concatenate([normals, of_cloth])
        canonical_m = np.concatenate([canonical_m, outfit.cloth.canonical_m])
    num_own, solid = len(points_m), np.concatenate([faces, sheets])
    if things is not None:
        solid = np.concatenate([solid, things.faces + num_own])
        points_m, normals = np.concatenate([points_m, things.points_m]), np.concatenate([normals, things.normals])
    if not shadows:
        light, shadow = light_on(room, normals, points_m[:, 2]), plain_floor_shadow(room, points_m)
    else:
        sky, lamp = sky_and_lamp_share(points_m, normals, solid, room.towards_light)
        light = light_on(room, normals, points_m[:, 2], 1 - shadows * (1 - sky), 1 - shadows * (1 - lamp))
        shadow = soft_floor_shadow(points_m, room.towards_light)
    if things is not None:
        things = things._replace(colours=things.colours * light[num_own:, None] * room.tint)
    attributes = np.column_stack([canonical_m, light[:num_own]])
    return Staged(points_m[:num_own], faces, attributes, shadow, sheets, things)


def render_staged(
    background: UInt8[np.ndarray, "H W 3"],
    room: Room,
    camera: Camera,
    staged: Staged,
    outfit: Outfit,
    rng: np.random.Generator,
    sensor: Sensor | None = None,
    rays: Float[np.ndarray, "H W 2"] | None = None,
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Draw a person that is dressed and lit into the view of the empty room, and its mask.

    Args:
        background: `draw_room(room, camera)`.
        rng: draws exposure, focus and noise, of each picture.
        sensor: exposure and colours of the camera, before those of the picture.
        rays: of the camera's pixels, as `cast_shadow` takes them.
    Raises:
        ValueError: a vertex is behind the camera, or the background has another size than the camera.
    """
    if background.shape[:2] != (camera.height_px, camera.width_px):
        raise ValueError(f"the background is {background.shape[:2]}, the camera {camera.height_px, camera.width_px}")
    image = background.astype(np.float32)
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    cast_shadow(image, camera, staged.shadow, rays)
    _draw_person(image, mask, room, camera, staged, outfit)
    if sensor is not None:
        image = (255 * np.clip(image / 255, 0, None) ** sensor.gamma * sensor.gains).astype(np.float32)
    return recorded(image, camera, rng), mask


def render_person(
    background: UInt8[np.ndarray, "H W 3"],
    room: Room,
    camera: Camera,
    vertices_world_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    outfit: Outfit,
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Dress a person and draw it into the view of the empty room, with none of what makes pictures hard."""
    return render_staged(background, room, camera, stage_person(room, vertices_world_m, faces, outfit), outfit, rng)


def recorded(image: Float[np.ndarray, "H W 3"], camera: Camera, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """Take a picture of what is there: focus, exposure and noise are drawn."""
    focus, gain, noise = rng.uniform(0.25, 0.5), rng.normal(1, 0.025), rng.uniform(1.2, 3.0)
    seen = np.asarray(cv2.GaussianBlur(image, (3, 3), focus * max(1.0, camera.height_px / 512)))
    out = np.empty(image.shape, np.uint8)
    _record(seen, out, gain, noise, int(rng.integers(1, 2**62)))
    return out


def render_bare(
    background: UInt8[np.ndarray, "H W 3"],
    room: Room,
    camera: Camera,
    vertices_world_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    colours: Float[np.ndarray, "V 3"],
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Draw a body without clothes, coloured at its vertices, into the view of the empty room, and its mask."""
    normals = vertex_normals(vertices_world_m, faces)
    image = background.astype(np.float32)
    cast_shadow(image, camera, plain_floor_shadow(room, vertices_world_m))
    points_cam_m = to_camera(camera, vertices_world_m)
    corners = np.column_stack([project(camera, points_cam_m) * SAMPLES, points_cam_m[:, 2]])
    values = np.zeros((SAMPLES * camera.height_px, SAMPLES * camera.width_px, 3), dtype=np.float32)
    depth = np.full(values.shape[:2], np.inf, dtype=np.float32)
    lit = colours * light_on(room, normals, vertices_world_m[:, 2])[:, None] * room.tint
    covered = draw_mesh(values, depth, corners, faces, lit, cull=True)
    seen, share = resolve(values, covered, SAMPLES)
    image += share[..., None] * (255 * seen - image)
    return recorded(image, camera, rng), (255 * share).astype(np.uint8)


def _draw_person(image, mask, room, camera, staged, outfit):  # type: ignore[no-untyped-def]
    """Draw the dressed mesh with SAMPLES x SAMPLES samples per pixel, inside its box only, and things before it."""
    points_m = staged.points_world_m if staged.things is None else np.concatenate(
        [staged.points_world_m, staged.things.points_m])  # fmt: skip
    points_cam_m = to_camera(camera, points_m)
    points_px = project(camera, points_cam_m)
    left, top, right, bottom = _box(points_px, camera)
    if left >= right or top >= bottom:
        return
    corners = np.column_stack([(points_px - (left, top)) * SAMPLES, points_cam_m[:, 2]])
    own, values = corners[: len(staged.points_world_m)], np.empty(
        (SAMPLES * (bottom - top), SAMPLES * (right - left), 4), dtype=np.float32)  # fmt: skip
    depth = np.full(values.shape[:2], np.inf, dtype=np.float32)
    covered = draw_mesh(values, depth, own, staged.faces, staged.attributes, cull=True)
    if len(staged.sheets):
        covered |= draw_mesh(values, depth, own, staged.sheets, staged.attributes)
    if staged.things is not None:
        seen = np.zeros((*depth.shape, 3), dtype=np.float32)
        before = draw_mesh(seen, depth, corners[len(own) :], staged.things.faces, staged.things.colours, cull=True)
        covered &= ~before
        colours, share = resolve(seen, before, SAMPLES)
        part = image[top:bottom, left:right]
        part += share[..., None] * (255 * colours - part)
    _lay_over(image, mask, values, covered, outfit.cuts, outfit.materials, room.tint, left, top)
