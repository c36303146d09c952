"""Draw triangle meshes: a z-buffer with perspective-correct values, and the shading that all mesh figures share.

Vertices are snapped to 1/256 pixel; edge functions are then exact in float64, so a pixel centre on a shared edge
belongs to exactly one of its two triangles.  A predicted body is laid over its photo, and seen from the side and above.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from utils.compiled import compiled
from utils.seen import GUESSED_OPACITY, GUESSED_RGB

SUBPIXEL_STEPS = 256.0
"""Grid steps per pixel."""


@compiled(inline="always")
def _owns_edge(dx: float, dy: float) -> bool:
    """Tell whether pixel centres exactly on this edge belong to the triangle (the top-left rule)."""
    return dy < 0 or (dy == 0 and dx > 0)


@compiled()
def _draw_triangle(image, depth, covered, corners, colours, a, b, c):  # type: ignore[no-untyped-def]
    """Fill one triangle whose corners a, b, c turn clockwise on the screen."""
    height, width, channels = image.shape
    ax, ay, bx, by = corners[a, 0], corners[a, 1], corners[b, 0], corners[b, 1]
    cx, cy = corners[c, 0], corners[c, 1]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    left = max(int(np.ceil((min(ax, bx, cx) - SUBPIXEL_STEPS / 2) / SUBPIXEL_STEPS)), 0)
    right = min(int(np.floor((max(ax, bx, cx) - SUBPIXEL_STEPS / 2) / SUBPIXEL_STEPS)), width - 1)
    top = max(int(np.ceil((min(ay, by, cy) - SUBPIXEL_STEPS / 2) / SUBPIXEL_STEPS)), 0)
    bottom = min(int(np.floor((max(ay, by, cy) - SUBPIXEL_STEPS / 2) / SUBPIXEL_STEPS)), height - 1)
    own_a, own_b, own_c = _owns_edge(cx - bx, cy - by), _owns_edge(ax - cx, ay - cy), _owns_edge(bx - ax, by - ay)
    near_a, near_b, near_c = 1 / (corners[a, 2] * area), 1 / (corners[b, 2] * area), 1 / (corners[c, 2] * area)
    for row in range(top, bottom + 1):
        y = row * SUBPIXEL_STEPS + SUBPIXEL_STEPS / 2
        for column in range(left, right + 1):
            x = column * SUBPIXEL_STEPS + SUBPIXEL_STEPS / 2
            edge_a = (cx - bx) * (y - by) - (cy - by) * (x - bx)
            edge_b = (ax - cx) * (y - cy) - (ay - cy) * (x - cx)
            edge_c = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
            if edge_a < 0 or edge_b < 0 or edge_c < 0:
                continue
            if (edge_a == 0 and not own_a) or (edge_b == 0 and not own_b) or (edge_c == 0 and not own_c):
                continue
            share_a, share_b, share_c = edge_a * near_a, edge_b * near_b, edge_c * near_c
            distance = 1 / (share_a + share_b + share_c)
            if distance < depth[row, column]:
                depth[row, column] = distance
                covered[row, column] = True
                for k in range(channels):
                    value = share_a * colours[a, k] + share_b * colours[b, k] + share_c * colours[c, k]
                    image[row, column, k] = value * distance


@compiled()
def _draw_triangles(image, depth, covered, corners, faces, colours, cull):  # type: ignore[no-untyped-def]
    for i in range(faces.shape[0]):
        a, b, c = faces[i, 0], faces[i, 1], faces[i, 2]
        area = (corners[b, 0] - corners[a, 0]) * (corners[c, 1] - corners[a, 1])
        area -= (corners[b, 1] - corners[a, 1]) * (corners[c, 0] - corners[a, 0])
        if area > 0 and not cull:
            _draw_triangle(image, depth, covered, corners, colours, a, b, c)
        elif area < 0:
            _draw_triangle(image, depth, covered, corners, colours, a, c, b)


def draw_mesh(
    image: Float32[np.ndarray, "H W C"],
    depth: Float32[np.ndarray, "H W"],
    vertices_px: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    colours: Float[np.ndarray, "V C"],
    cull: bool = False,
) -> Bool[np.ndarray, "H W"]:
    """Draw a mesh over an image where it is nearer than `depth`, changing both, and tell which pixels it took.

    Args:
        depth: start with infinity; in the unit of the vertices' third column.
        vertices_px: x, y in pixels, and the depth along the camera's axis.
        colours: any number of channels, interpolated with perspective.
        cull: leave out faces seen from behind (outside faces turn counter-clockwise, as SMPL's do).
    Raises:
        ValueError: a vertex is at or behind the camera.
    Source: Pineda 1988 (edge functions); perspective by interpolating value / depth; test_draw_mesh.py.
    """
    is_behind = ~(vertices_px[:, 2] > 0)
    if is_behind.any():
        raise ValueError(f"{int(is_behind.sum())} vertices are behind the camera; move the mesh forward")
    corners = np.ascontiguousarray(vertices_px, dtype=np.float64).copy()
    corners[:, :2] = np.floor(corners[:, :2] * SUBPIXEL_STEPS + 0.5)
    covered = np.zeros(depth.shape, dtype=np.bool_)
    _draw_triangles(image, depth, covered, corners, faces, np.ascontiguousarray(colours, dtype=np.float32), cull)
    return covered


@compiled()
def _add_face_normals(normals, vertices, faces):  # type: ignore[no-untyped-def]
    for i in range(faces.shape[0]):
        a, b, c = faces[i, 0], faces[i, 1], faces[i, 2]
        ux, uy = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1]
        uz, wz = vertices[b, 2] - vertices[a, 2], vertices[c, 2] - vertices[a, 2]
        wx, wy = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1]
        x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for k in (a, b, c):
            normals[k, 0] += x
            normals[k, 1] += y
            normals[k, 2] += z


def vertex_normals(vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Average the normals of the faces around each vertex, weighted by area; zero for a vertex of no face."""
    normals = np.zeros(vertices_m.shape)
    _add_face_normals(normals, vertices_m, faces)
    lengths = np.sqrt(np.einsum("vc,vc->v", normals, normals))
    return normals / np.maximum(lengths, 1e-30)[:, None]


def shade(
    normals: Float[np.ndarray, "V 3"],
    towards_light: Float[np.ndarray, "3"],
    ambient: float = 0.45,
) -> Float[np.ndarray, "V"]:
    """Light surfaces by a constant part and a directional one; 1 where the surface faces the light.

    Source: Lambert's cosine law.
    """
    direction = towards_light / np.linalg.norm(towards_light)
    return ambient + (1 - ambient) * np.maximum(normals @ direction, 0.0)


def resolve(
    image: Float32[np.ndarray, "HS WS C"], covered: Bool[np.ndarray, "HS WS"], samples: int
) -> tuple[Float32[np.ndarray, "H W C"], Float32[np.ndarray, "H W"]]:
    """Average the covered samples of every pixel, and give the share of its samples that are covered."""
    height, width = covered.shape[0] // samples, covered.shape[1] // samples
    weight = covered.astype(np.float32)
    blocks = (image * weight[..., None]).reshape(height, samples, width, samples, -1).sum((1, 3))
    count = weight.reshape(height, samples, width, samples).sum((1, 3))
    return blocks / np.maximum(count, 1)[..., None], count / np.float32(samples**2)


def plain(height: int, width: int, rgb: tuple[int, int, int] = (255, 255, 255)) -> UInt8[np.ndarray, "H W 3"]:
    """Make a background of one colour; white unless said otherwise."""
    return np.full((height, width, 3), rgb, np.uint8)


def render_mesh(
    vertices_cam_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    colours: Float[np.ndarray, "V 3"],
    K: Float[np.ndarray, "3 3"],
    background: UInt8[np.ndarray, "H W 3"],
    samples: int = 2,
    opacity: Float[np.ndarray, "V"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw one lit, antialiased mesh over a background, as all mesh figures do.

    Args:
        colours: RGB in [0, 1] before shading.
        opacity: of each vertex; below 1 the background is seen through it, not what lies behind it of the mesh.
        K: pixels of the background; camera x right, y down, z forward.
        samples: samples per pixel and side.
    """
    light = shade(vertex_normals(vertices_cam_m, faces), np.array([-0.4, -0.7, -0.8]))
    vertices_px = vertices_cam_m.copy()
    vertices_px[:, :2] = (vertices_cam_m[:, :2] / vertices_cam_m[:, 2:]) @ K[:2, :2].T + K[:2, 2]
    vertices_px[:, :2] *= samples
    height, width = background.shape[:2]
    lit = colours * light[:, None]
    lit = lit if opacity is None else np.column_stack([lit, opacity])
    image = np.zeros((height * samples, width * samples, lit.shape[1]), dtype=np.float32)
    depth = np.full(image.shape[:2], np.inf, dtype=np.float32)
    covered = draw_mesh(image, depth, vertices_px, faces, lit)
    rendered, coverage = resolve(image, covered, samples)
    behind = np.asarray(background, dtype=np.float32) / 255
    share = coverage if opacity is None else coverage * rendered[..., 3]
    mixed = behind + (rendered[..., :3] - behind) * share[..., None]
    return (np.clip(mixed, 0, 1) * 255 + 0.5).astype(np.uint8)


SKIN = np.array([0.93, 0.62, 0.45])
FAR_M = 40.0
"""Distance of the side and top views' camera; so far away that they are nearly orthographic."""
MARGIN_PX = 4
FROM: dict[str, np.ndarray] = {
    "camera": np.eye(3),
    "side": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),  # what was towards the camera is now to the right
    "top": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),  # what was far is now up
}
"""R_view_from_cam."""


def skin(count: int, seen: Float[np.ndarray, "V"] | None) -> Float[np.ndarray, "V 3"]:
    """Colour a body: skin where it was seen, grey where it was guessed."""
    if seen is None:
        return np.broadcast_to(SKIN, (count, 3))
    return seen[:, None] * SKIN + (1 - seen[:, None]) * np.array(GUESSED_RGB)


def overlay(
    picture: UInt8[np.ndarray, "H W 3"],
    vertices_cam_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    K: Float[np.ndarray, "3 3"],
    seen: Float[np.ndarray, "V"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a body over the picture it was seen in; only the part of the picture that it covers is worked on.

    Args:
        seen: 0 to 1, of each vertex; what was guessed is grey, and the picture is seen through it.
    """
    height, width = picture.shape[:2]
    points_px = vertices_cam_m[:, :2] / vertices_cam_m[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
    left, top = np.clip(np.floor(points_px.min(0)).astype(int) - MARGIN_PX, 0, (width, height))
    right, bottom = np.clip(np.ceil(points_px.max(0)).astype(int) + MARGIN_PX, 0, (width, height))
    rendered = picture.copy()
    if right <= left or bottom <= top:
        return rendered
    K_part = K.copy()
    K_part[:2, 2] -= (left, top)
    part = picture[top:bottom, left:right]
    opacity = None if seen is None else GUESSED_OPACITY + (1 - GUESSED_OPACITY) * seen
    rendered[top:bottom, left:right] = render_mesh(
        vertices_cam_m.astype(float), faces, skin(len(vertices_cam_m), seen), K_part, background=part, opacity=opacity
    )
    return rendered


def turned_view(
    vertices_root_cam_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    seen_from: Literal["camera", "side", "top"],
    size_px: int,
    side_m: float = 2.3,
    seen: Float[np.ndarray, "V"] | None = None,
) -> UInt8[np.ndarray, "S S 3"]:
    """Draw a body on white as the camera sees it, from the right-hand side of the picture, or from above.

    Args:
        vertices_root_cam_m: in the camera's axes, about the pelvis.
        side_m: what the picture's side shows.
        seen: 0 to 1, of each vertex; what was guessed is grey.
    """
    points = vertices_root_cam_m @ FROM[seen_from].T + (0, 0, FAR_M)
    focal_px = size_px * FAR_M / side_m
    K = np.array([[focal_px, 0, size_px / 2], [0, focal_px, size_px / 2], [0, 0, 1.0]])
    return render_mesh(points.astype(float), faces, skin(len(points), seen), K, plain(size_px, size_px))
