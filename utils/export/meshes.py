"""Posed meshes as .obj, .ply and .glb, one file each; metres, y up (utils/export/rig.py, to_y_up).

The first two are a page of text and a header before numbers, written here, so that trimesh can judge them in the tests.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from utils.artifacts import whole_file
from utils.export.gltf import FRAME, SKIN_RGB, write_static_glb

MeshEnding = Literal["obj", "ply", "glb"]


def write_obj(path: Path, vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> None:
    """Write a mesh as text; vertices to a hundredth of a millimetre or better."""
    with whole_file(path) as partial, open(partial, "w") as stream:
        stream.write(f"# {FRAME}\no body\n")
        stream.writelines(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices_m.tolist())
        stream.writelines(f"f {a} {b} {c}\n" for a, b, c in (faces + 1).tolist())


def write_ply(
    path: Path,
    vertices_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    rgb: tuple[float, float, float] = SKIN_RGB,
) -> None:
    """Write a mesh as binary, little-endian .ply in one colour."""
    coloured = np.empty(len(vertices_m), np.dtype([("at", "<f4", 3), ("rgb", "u1", 3)]))
    coloured["at"], coloured["rgb"] = vertices_m, np.round(np.array(rgb) * 255)
    triangles = np.empty(len(faces), np.dtype([("corners", "u1"), ("at", "<i4", 3)]))
    triangles["corners"], triangles["at"] = 3, faces
    columns = [f"property float {name}" for name in "xyz"] + [f"property uchar {n}" for n in ("red", "green", "blue")]
    head = ["ply", "format binary_little_endian 1.0", f"comment {FRAME}", f"element vertex {len(vertices_m)}",
            *columns, f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]  # fmt: skip
    with whole_file(path) as partial, open(partial, "wb") as stream:
        stream.write(("\n".join(head) + "\n").encode() + coloured.tobytes() + triangles.tobytes())


def write_mesh(path: Path, vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> None:
    """Write a mesh as the ending of the path says.

    Raises:
        ValueError: another ending, or a vertex that is not finite.
    """
    writers = {".obj": write_obj, ".ply": write_ply, ".glb": write_static_glb}
    if path.suffix not in writers:
        raise ValueError(f"{path} ends in {path.suffix!r}; meshes are written as {', '.join(writers)}")
    if not np.isfinite(vertices_m).all():
        raise ValueError(f"{path}: a vertex is not finite; leave out the frames without a person")
    writers[path.suffix](path, vertices_m, faces)


def write_mesh_frames(
    folder: Path,
    vertices_m: Iterable[Float[np.ndarray, "V 3"]],
    faces: Int[np.ndarray, "F 3"],
    ending: MeshEnding = "glb",
) -> int:
    """Write the surface of every frame, as it comes, to frame_000001.<ending> and on; return how many."""
    count = 0
    for count, frame_m in enumerate(vertices_m, start=1):
        write_mesh(folder / f"frame_{count:06d}.{ending}", frame_m, faces)
    return count
