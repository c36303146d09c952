"""Predictions for other programs: joints as JSON, body parameters as .npz, posed meshes as .obj, .ply and .glb.

Numbers are in the camera's frame, not turned; meshes are in metres, y up (utils/export/rig.py, to_y_up).  The first two
mesh formats are a page of text and a header before numbers, written here, so that trimesh can judge them in the tests.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from utils.artifacts import atomic_write
from utils.export.about import About
from utils.export.gltf import FRAME, SKIN_RGB, write_static_glb
from utils.export.rig import blocks, refuse_other_than_rotations
from utils.seen import SeenJoints
from utils.skeleton import H36M_17, SMPL_24

CAMERA_FRAME = "camera: x right, y down, z forward, origin at the camera's centre"
WORLD_FRAME = "world: the calibration's, z up, origin where the calibration has it"
ROOT_FRAME = "root: the camera's axes (x right, y down, z forward), origin at the pelvis"


def write_joints_json(
    path: Path,
    joints_m: Float[np.ndarray, "T J 3"],
    names: tuple[str, ...] = H36M_17,
    frame: str = CAMERA_FRAME,
    frames_per_second: float | None = None,
    sources: Sequence[str] | None = None,
    numbers: Sequence[int] | None = None,
    about: About = About(),
    seen: SeenJoints | None = None,
) -> None:
    """Write joints by name, one record per frame, each on a line of its own; a joint that is not finite is null.

    Args:
        frame: CAMERA_FRAME, ROOT_FRAME, or another description of the axes and the origin.
        frames_per_second: of a video; records then have a time.
        sources: one name per frame, such as the picture's.
        numbers: of the frames in the video, from 0, where some are left out.
        seen: which of Human3.6M's joints were seen, and which were guessed; None says nothing of it.
    """
    if joints_m.shape[1] != len(names) or (sources is not None and len(sources) != len(joints_m)):
        raise ValueError(f"{path}: joints have shape {joints_m.shape}, with {len(names)} names of joints and "
                         f"{len(joints_m) if sources is None else len(sources)} names of frames")  # fmt: skip
    metadata: dict[str, Any] = {"format": 1, "kind": "joints"} | about.header(frame, "metres") | {"joints": list(names)}
    metadata |= {} if frames_per_second is None else {"frames_per_second": frames_per_second}
    metadata |= {} if seen is None else {seen.name: seen.meaning}

    def records() -> Iterator[dict[str, Any]]:
        for row, pose in enumerate(joints_m):
            places = [point.round(5).tolist() if np.isfinite(point).all() else None for point in pose.astype(float)]
            number = row if numbers is None else numbers[row]
            time = {} if frames_per_second is None else {"time_s": round(number / frames_per_second, 6)}
            source = {} if sources is None else {"source": sources[row]}
            there = {} if seen is None else {seen.name: dict(zip(names, plain_numbers(seen.values[row]), strict=True))}
            yield source | time | {"joints_m": dict(zip(names, places, strict=True))} | there

    with atomic_write(path) as partial, open(partial, "w") as stream:
        stream.write(json.dumps(metadata)[:-1] + ', "frames": [')
        for row, record in enumerate(records()):
            stream.write(("," if row else "") + "\n" + json.dumps(record, allow_nan=False))
        stream.write("\n]}\n")


def plain_numbers(values: Float[np.ndarray, "n"]) -> list[float | None]:
    """Round numbers to hundredths, whole ones without a point; None for NaN."""
    return [None if np.isnan(one) else int(one) if one == int(one) else round(one, 2) for one in values.tolist()]


def write_body_parameters(
    path: Path,
    rotations_cam: Float[np.ndarray, "T 24 3 3"],
    betas: Float[np.ndarray, "T n"],
    translation_cam_m: Float[np.ndarray, "T 3"],
    about: About,
    frames_per_second: float | None = None,
    frame: str = CAMERA_FRAME,
    numbers: Sequence[int] | None = None,
) -> None:
    """Write what the body model takes, as matrices and as SMPL's axis-angle numbers, so that it gives the same bodies.

    Args:
        rotations_cam: the root first, R_cam_from_body; of WORLD_FRAME R_world_from_body, stored as rotations_world.
        frame: CAMERA_FRAME, or WORLD_FRAME, whose place is then likewise the world's.
        translation_cam_m: as `body(rotations, betas, translation_m)` takes it.
        numbers: of the frames in the video, from 0; with the rate, they tell the frames' times, too.
    """
    refuse_other_than_rotations(rotations_cam)
    theta = np.empty((len(rotations_cam), rotations_cam.shape[1] * 3), np.float32)
    for rows in blocks(len(theta)):
        theta[rows] = roma.rotmat_to_rotvec(torch.from_numpy(rotations_cam[rows].astype(np.float64))).flatten(1).numpy()
    arrays: dict[str, Any] = {  # NumPy takes array names and its own switch through the same door
        "rotations_world" if frame == WORLD_FRAME else "rotations_cam": rotations_cam.astype(np.float32, copy=False),
        "poses": theta,
        "betas": betas.astype(np.float32),
        "trans": translation_cam_m.astype(np.float32),
        "joint_names": np.array(SMPL_24),
        "body_hash": np.array(about.body_sha256),
    }
    arrays |= {name: np.array(text) for name, text in about.header(frame, "metres, radians").items()}
    arrays |= {} if numbers is None else {"frame_numbers": np.array(numbers, np.int32)}
    if numbers is not None and frames_per_second is not None:
        arrays["times_s"] = np.array(numbers) / frames_per_second
    rate = np.array(frames_per_second)
    arrays |= {} if frames_per_second is None else {"mocap_frame_rate": rate, "mocap_framerate": rate}
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


MeshEnding = Literal["obj", "ply", "glb"]


def write_obj(
    path: Path, vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], about: About = About()
) -> None:
    """Write a mesh as text; vertices to a hundredth of a millimetre or better."""
    with atomic_write(path) as partial, open(partial, "w") as stream:
        stream.writelines(f"# {name}: {text}\n" for name, text in about.header(FRAME, "metres").items())
        stream.write("o body\n")
        stream.writelines(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices_m.tolist())
        stream.writelines(f"f {a} {b} {c}\n" for a, b, c in (faces + 1).tolist())


def write_ply(
    path: Path,
    vertices_m: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    about: About = About(),
    rgb: tuple[float, float, float] = SKIN_RGB,
) -> None:
    """Write a mesh as binary, little-endian .ply in one colour."""
    coloured = np.empty(len(vertices_m), np.dtype([("at", "<f4", 3), ("rgb", "u1", 3)]))
    coloured["at"], coloured["rgb"] = vertices_m, np.round(np.array(rgb) * 255)
    triangles = np.empty(len(faces), np.dtype([("corners", "u1"), ("at", "<i4", 3)]))
    triangles["corners"], triangles["at"] = 3, faces
    columns = [f"property float {name}" for name in "xyz"] + [f"property uchar {n}" for n in ("red", "green", "blue")]
    comments = [f"comment {name}: {text}" for name, text in about.header(FRAME, "metres").items()]
    head = ["ply", "format binary_little_endian 1.0", *comments, f"element vertex {len(vertices_m)}", *columns,
            f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]  # fmt: skip
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        stream.write(("\n".join(head) + "\n").encode() + coloured.tobytes() + triangles.tobytes())


def write_mesh(
    path: Path, vertices_m: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], about: About = About()
) -> None:
    """Write a mesh as the ending of the path says.

    Raises:
        ValueError: another ending, or a vertex that is not finite.
    """
    writers = {".obj": write_obj, ".ply": write_ply, ".glb": write_static_glb}
    if path.suffix not in writers:
        raise ValueError(f"{path} ends in {path.suffix!r}; meshes are written as {', '.join(writers)}")
    if not np.isfinite(vertices_m).all():
        raise ValueError(f"{path}: a vertex is not finite; leave out the frames without a person")
    writers[path.suffix](path, vertices_m, faces, about)


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
