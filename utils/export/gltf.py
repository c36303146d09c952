"""Bodies as glTF 2.0 in one binary file (.glb): a posed mesh, or a skeleton with a skin and an animation.

glTF is y up, in metres, quaternions (x, y, z, w), matrices by columns.  The file is written by hand: it is a piece of
JSON and a block of numbers, and trimesh, which reads it, writes neither skins nor animations.
Source: Khronos, glTF 2.0 specification, chapters 3 (concepts), 4 (binary form) and 5 (properties).
"""

import json
import struct
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from utils.artifacts import atomic_write
from utils.draw_mesh import vertex_normals
from utils.export.about import About
from utils.export.rig import (
    Rig,
    RigMotion,
    all_weights,
    bone_axes,
    four_weights,
    quaternions,
    relative_to_parents,
    skinned_vertices_m,
)

SKIN_RGB = (0.87, 0.69, 0.60)
"""Colour of exported bodies, as on screen (sRGB)."""
FRAME = "x right, y up, z towards the viewer; the camera is at the origin and looks along -z"
COMPONENT = {"float32": 5126, "uint32": 5125, "uint8": 5121}
ELEMENT_ARRAY, ARRAY = 34963, 34962
FRAMES_COMPARED = 16
"""Frames over which the loss by four weights is measured."""


class Binary:
    """The block of numbers, and the lists that say what lies where in it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(
        self,
        values: np.ndarray,
        kind: Literal["SCALAR", "VEC3", "VEC4", "MAT4"],
        target: int | None = None,
        with_limits: bool = False,
    ) -> int:
        """Append an array, one row per element, and give the number of its accessor; starts are multiples of 4."""
        content = np.ascontiguousarray(values).tobytes()
        view = {"buffer": 0, "byteOffset": self.length, "byteLength": len(content)}
        self.views.append(view | ({} if target is None else {"target": target}))
        accessor = {"bufferView": len(self.views) - 1, "componentType": COMPONENT[str(values.dtype)],
                    "count": len(values), "type": kind}  # fmt: skip
        if with_limits:
            rows = values.reshape(len(values), -1)
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self.accessors.append(accessor)
        self.parts.append(content + b"\0" * (-len(content) % 4))
        self.length += len(self.parts[-1])
        return len(self.accessors) - 1


class Skinned(NamedTuple):
    """The four weights of each vertex that a file holds, and what the others would have changed."""

    joints: Int[np.ndarray, "V 4"]
    weights: Float[np.ndarray, "V 4"]
    largest_change_m: float


def linear_rgb(rgb: tuple[float, float, float]) -> list[float]:
    """Turn a colour of the screen into the light that glTF's materials want.  Source: IEC 61966-2-1 (sRGB)."""
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb]


def add_surface(
    binary: Binary, vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> tuple[dict[str, int], int]:
    """Append vertices, normals and faces; gives the attributes and the accessor of the faces."""
    normals = vertex_normals(vertices_m.astype(np.float64), faces)
    normals[~normals.any(axis=1)] = (0, 1, 0)  # a vertex of no face; glTF wants unit vectors
    attributes = {
        "POSITION": binary.add(vertices_m.astype(np.float32), "VEC3", ARRAY, with_limits=True),
        "NORMAL": binary.add(normals.astype(np.float32), "VEC3", ARRAY),
    }
    return attributes, binary.add(faces.astype(np.uint32).reshape(-1), "SCALAR", ELEMENT_ARRAY)


def document(
    binary: Binary, attributes: dict[str, int], faces: int, rgb: tuple[float, float, float], metadata: dict[str, Any]
) -> dict[str, Any]:
    """Describe a scene of one mesh with one material."""
    material = {"name": "skin", "pbrMetallicRoughness": {
        "baseColorFactor": [*linear_rgb(rgb), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}}  # fmt: skip
    return {
        "asset": {"version": "2.0", "generator": "pose-from-views", "extras": metadata},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "body", "mesh": 0}],
        "meshes": [{"name": "body", "primitives": [{"attributes": attributes, "indices": faces, "material": 0}]}],
        "materials": [material],
        "accessors": binary.accessors,
        "bufferViews": binary.views,
        "buffers": [{"byteLength": binary.length}],
    }


def write_glb(path: Path, content: dict[str, Any], binary: Binary) -> None:
    """Write header, JSON and numbers; both parts are padded to multiples of 4 bytes."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        stream.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + binary.length))
        stream.write(struct.pack("<I4s", len(text), b"JSON") + text)
        stream.write(struct.pack("<I4s", binary.length, b"BIN\0"))
        for part in binary.parts:
            stream.write(part)


def write_static_glb(
    path: Path,
    vertices_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    about: About = About(),
    rgb: tuple[float, float, float] = SKIN_RGB,
) -> None:
    """Write one posed mesh; whatever the pose does to the surface is in it.

    Args:
        vertices_m: y up (utils/export/rig.py, to_y_up).
    """
    binary = Binary()
    attributes, faces_at = add_surface(binary, vertices_m, faces)
    write_glb(path, document(binary, attributes, faces_at, rgb, about.header(FRAME, "metres")), binary)


def skin_of(rig: Rig, motion: RigMotion) -> Skinned:
    """Choose four weights per vertex, and measure by how much that moves the surface in some frames of the motion."""
    joints, weights = four_weights(rig.weights)
    kept = all_weights(joints, weights, len(rig.parents))
    changed = np.flatnonzero(np.abs(kept - rig.weights).max(axis=1) > 1e-6)
    if not len(changed):
        return Skinned(joints, weights, 0.0)
    part = rig._replace(vertices_m=rig.vertices_m[changed])
    rows = np.unique(np.linspace(0, len(motion.pelvis_m) - 1, FRAMES_COMPARED).astype(int))
    some = RigMotion(motion.rotations[rows], motion.pelvis_m[rows], motion.frames_per_second)
    moved_m = skinned_vertices_m(part, some, kept[changed]) - skinned_vertices_m(part, some, rig.weights[changed])
    return Skinned(joints, weights, float(np.linalg.norm(moved_m, axis=-1).max()))


def add_skeleton(binary: Binary, rig: Rig, axes: Float[np.ndarray, "J 3 3"]) -> dict[str, Any]:
    """Append the bones, nodes 1 and after, at rest in the T-pose; gives the nodes and the skin.

    Args:
        axes: each bone's own at rest (`bone_axes`), so that programs that draw bones along y draw them along the limbs.
    """
    above = np.maximum(rig.parents, 0)
    offsets_m = np.einsum("jba,jb->ja", axes[above], rig.joints_m - rig.joints_m[above])
    offsets_m[0] = rig.joints_m[0]
    turns = quaternions(relative_to_parents(axes, rig.parents)[None])[0]
    nodes: list[dict[str, Any]] = [{"name": "body", "mesh": 0, "skin": 0}]
    for joint, name in enumerate(rig.names):
        children = [1 + child for child, parent in enumerate(rig.parents) if parent == joint]
        node = {"name": name, "translation": offsets_m[joint].tolist(), "rotation": turns[joint].tolist()}
        nodes.append(node | ({"children": children} if children else {}))
    to_rest = np.tile(np.eye(4, dtype=np.float32), (len(rig.names), 1, 1))
    to_rest[:, :3, :3] = axes  # by columns: this is the inverse of the bone's axes, and the shift is the last row
    to_rest[:, 3, :3] = -np.einsum("jba,jb->ja", axes, rig.joints_m)
    joints = list(range(1, 1 + len(rig.names)))
    skin = {"joints": joints, "skeleton": 1, "inverseBindMatrices": binary.add(to_rest, "MAT4")}
    return {"nodes": nodes, "skins": [skin], "scenes": [{"nodes": [0, 1]}]}


def add_animation(binary: Binary, rig: Rig, turns: Float[np.ndarray, "T J 4"], motion: RigMotion) -> dict[str, Any]:
    """Append the turns of all bones and the path of the root, mixed linearly between frames."""
    times_s = (np.arange(len(turns)) / motion.frames_per_second).astype(np.float32)
    times = binary.add(times_s, "SCALAR", with_limits=True)
    linear: dict[str, Any] = {"input": times, "interpolation": "LINEAR"}
    samplers = [linear | {"output": binary.add(motion.pelvis_m.astype(np.float32), "VEC3")}]
    channels: list[dict[str, Any]] = [{"sampler": 0, "target": {"node": 1, "path": "translation"}}]
    for joint in range(len(rig.names)):
        samplers.append(linear | {"output": binary.add(turns[:, joint].astype(np.float32), "VEC4")})
        channels.append({"sampler": 1 + joint, "target": {"node": 1 + joint, "path": "rotation"}})
    return {"animations": [{"name": "motion", "samplers": samplers, "channels": channels}]}


def write_animated_glb(
    path: Path,
    rig: Rig,
    motion: RigMotion,
    about: About = About(),
    frame: str = FRAME,
    rgb: tuple[float, float, float] = SKIN_RGB,
) -> float:
    """Write a body with its bones, skin and motion; return by how much the loss of weights moves the surface, metres.

    Two things of the body model do not fit into the format as viewers read it: more than four weights per vertex (the
    loss is measured and written into asset.extras), and directions of the surface that follow the pose, as SMPL's
    files have (left out; `write_mesh_frames` writes the surface of every frame with them).
    """
    binary, skin, axes = Binary(), skin_of(rig, motion), bone_axes(rig)
    turns = quaternions(motion.rotations, (axes, rig.parents))
    attributes, faces = add_surface(binary, rig.vertices_m, rig.faces)
    attributes["JOINTS_0"] = binary.add(skin.joints.astype(np.uint8), "VEC4", ARRAY)
    attributes["WEIGHTS_0"] = binary.add(skin.weights.astype(np.float32), "VEC4", ARRAY)
    metadata = about.header(frame, "metres") | {
        "frames_per_second": motion.frames_per_second,
        "four_weights_move_the_surface_by_at_most_m": skin.largest_change_m,
        "pose_blend_shapes": "left out" if rig.has_pose_offsets else "the body has none",
    }
    skeleton = add_skeleton(binary, rig, axes)
    animation = add_animation(binary, rig, turns, motion)
    write_glb(path, document(binary, attributes, faces, rgb, metadata) | skeleton | animation, binary)
    return skin.largest_change_m
