"""One motion of one body, written in the formats that are asked for.

    write_motion_files(folder, motion, ("glb", "amass", "trc"))

writes motion.glb, motion_amass.npz and motion.trc, and about.json with the header of each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from utils.body_file import has_smpl_joints
from utils.export.about import About, write_about
from utils.export.amass import Person, write_amass
from utils.export.bvh import CENTIMETRES, write_bvh
from utils.export.fbx import needs_blender, write_fbx
from utils.export.gltf import FRAME, write_animated_glb
from utils.export.marker_files import needs_ezc3d, write_c3d, write_trc
from utils.export.markers import Markers, joint_marker, marker_blocks_m, marker_places_m, marker_vertices
from utils.export.opensim import BodyMarker, write_mot, write_osim
from utils.export.rig import BodyModel, Rig, RigMotion, blocks, motion_of, rig_of, skinned_vertices_m

MotionFormat = Literal["glb", "bvh", "amass", "trc", "c3d", "mot", "fbx"]
Gender = Literal["neutral", "female", "male"]
WITH_MARKERS = ("trc", "c3d", "mot")
FILE_NAMES: dict[MotionFormat, str] = {"amass": "motion_amass.npz"}
"""Names that are not motion.<format>."""


class World(NamedTuple):
    """The frame of a motion in words, as files with y up and files with z up say it."""

    y_up: str
    z_up: str


OF_CAMERA = World(
    FRAME, "x right, y along the camera's view, which is taken as level, z up; the camera is at the origin"
)
OF_RECORDING = World("y up: the recording's world (x, y, z), whose z is up, as (x, z, -y)",
                     "the recording's world, z up")  # fmt: skip


class BodyMotion(NamedTuple):
    """A body of one shape that moves, with all that the formats want to know."""

    rig: Rig
    motion: RigMotion
    betas: Float[np.ndarray, "n"]
    gender: Gender
    markers: Markers | None
    """None where no format wants them."""
    world: World
    about: About


def markers_of(body: BodyModel) -> Markers:
    """Choose the markers of a body on its mean shape.

    Raises:
        ValueError: its skeleton has other names, or a marker meets no surface.
    """
    mean = rig_of(body, body.pose_of_vertices.new_zeros(1))
    chosen = marker_vertices(mean)
    rows = np.array(list(chosen.values()))
    directions_m = body.pose_of_vertices.cpu().double().numpy().reshape(-1, len(mean.vertices_m), 3)[:, rows]
    return Markers(tuple(joint_marker(name) for name in mean.names), tuple(chosen), rows, directions_m)


def check_formats(formats: Sequence[MotionFormat]) -> None:
    """Stop, before anything is computed, where a format needs a package that is not installed."""
    if "c3d" in formats:
        needs_ezc3d()
    if "fbx" in formats:
        needs_blender()


OF_PEOPLE = ("amass", "trc", "c3d", "mot")
"""Formats whose content is about SMPL's joints: AMASS's poses, and markers that are named for people."""


def check_skeleton(formats: Sequence[MotionFormat], body: BodyModel) -> None:
    """Stop, before anything is computed, where a format is about people's joints and the body has others.

    Raises:
        ValueError: naming the formats, and those that take any skeleton.
    """
    wrong = [form for form in formats if form in OF_PEOPLE]
    if wrong and not has_smpl_joints(body.parents, body.names):
        raise ValueError(f"the body has {len(body.parents)} joints that are not SMPL's 24, which {', '.join(wrong)} "
                         "files are about; ask for glb, bvh or fbx, which take any skeleton")  # fmt: skip


def on_the_ground(moving: BodyMotion) -> BodyMotion:
    """Move a motion up or down as a whole, so that the lowest point of its surface is at height zero."""
    lowest_m, rig, motion = np.inf, moving.rig, moving.motion
    for rows in blocks(len(motion.pelvis_m)):
        part = RigMotion(motion.rotations[rows], motion.pelvis_m[rows], motion.frames_per_second)
        lowest_m = min(lowest_m, skinned_vertices_m(rig, part, rig.weights)[..., 1].min())
    world = World(*(f"{words}; then moved by {-lowest_m:.4f} m upwards" for words in moving.world))
    return moving._replace(motion=motion._replace(pelvis_m=motion.pelvis_m - [0, lowest_m, 0]), world=world)


def body_markers(rig: Rig, markers: Markers) -> list[BodyMarker]:
    """Stick each marker to the body of the joint that its vertex hangs on most; a joint's own lies at its origin."""
    at_joints = [BodyMarker(name, joint, np.zeros(3)) for joint, name in enumerate(markers.joint_names)]
    on = rig.weights[markers.vertices].argmax(axis=1)
    places_m = rig.vertices_m[markers.vertices] - rig.joints_m[on]
    rows = zip(markers.surface_names, on.tolist(), places_m, strict=True)
    return at_joints + [BodyMarker(name, joint, place_m) for name, joint, place_m in rows]


def write_one(path: Path, form: MotionFormat, moving: BodyMotion, bvh_units: float) -> dict[str, str]:
    """Write one file and give its header."""
    rig, motion, about, world = moving.rig, moving.motion, moving.about, moving.world
    rate = motion.frames_per_second
    if form == "glb":
        write_animated_glb(path, rig, motion, about, world.y_up)
        return about.header(world.y_up, "metres")
    if form == "bvh":
        write_bvh(path, rig, motion, bvh_units)
        unit = {CENTIMETRES: "centimetres", 1.0: "metres"}.get(bvh_units, f"1/{bvh_units:g} metre")
        return about.header(world.y_up, f"{unit}, degrees")
    if form == "amass":
        header = about.header(world.z_up, "metres, radians")
        write_amass(path, rig, motion, Person(moving.betas, moving.gender), header)
        return header
    if form == "fbx":
        header = about.header(world.y_up, "metres")
        with TemporaryDirectory(dir=path.parent) as scratch:
            glb = Path(scratch) / "motion.glb"
            write_animated_glb(glb, rig, motion, about, world.y_up)
            write_fbx(path, glb, rate, header)
        return header
    assert moving.markers is not None
    if form == "mot":
        header = about.header(world.y_up, "metres, degrees")
        write_osim(path.with_suffix(".osim"), rig, body_markers(rig, moving.markers), header)
        write_mot(path, rig, motion, header)
        return header
    names = moving.markers.names
    if form == "trc":
        places_m = marker_blocks_m(rig, motion, moving.markers)
        write_trc(path, names, places_m, len(motion.pelvis_m), rate)
        return about.header(world.y_up, "metres")
    every_m = marker_places_m(rig, motion, moving.markers)
    write_c3d(path, names, every_m, rate, about.header(world.z_up, "millimetres"))
    return about.header(world.z_up, "millimetres")


def write_motion_files(
    folder: Path, moving: BodyMotion, formats: Sequence[MotionFormat], bvh_units: float = CENTIMETRES,
    others: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Path]:  # fmt: skip
    """Write a motion in some formats, and about.json; return the paths.

    Args:
        others: headers of files beside them that carry no words, by name.
    Raises:
        ValueError: a format needs a package that is not installed, or a skeleton that the body has not.
    """
    check_formats(formats)
    headers: dict[str, dict[str, str]] = {}
    for form in formats:
        name = FILE_NAMES.get(form, f"motion.{form}")
        headers[name] = write_one(folder / name, form, moving, bvh_units)
    write_about(folder, {**(others or {}), **headers})
    return [folder / name for name in headers]


class MovingBody(NamedTuple):
    """What a body model takes for every frame of a motion."""

    rotations: Float[np.ndarray, "T J 3 3"]
    betas: Float[np.ndarray, "n"]
    """One shape for all frames."""
    root_joint_m: Float[np.ndarray, "T 3"]
    frames_per_second: float
    R_y_up: Float[np.ndarray, "3 3"]
    """Takes the frame of the rotations to one with y up."""


def bridged(
    numbers: Sequence[int], rotations: Float[np.ndarray, "T J 3 3"], places_m: Float[np.ndarray, "T 3"]
) -> tuple[Float[np.ndarray, "F J 3 3"], Float[np.ndarray, "F 3"]]:
    """Fill the frames that a motion leaves out: turned and moved evenly from the one before to the one after.

    Args:
        numbers: of the frames, rising.
    """
    known = np.asarray(numbers)
    every = np.arange(known[0], known[-1] + 1)
    if len(every) == len(known):
        return rotations, places_m
    after = np.searchsorted(known, every)
    before = np.maximum(after - (known[after] != every), 0)
    share = (every - known[before]) / np.maximum(known[after] - known[before], 1)
    turned = rotations[before].copy()
    for row in np.flatnonzero(before != after):
        ends = (torch.from_numpy(rotations[one].astype(np.float64)) for one in (before[row], after[row]))
        turned[row] = roma.rotmat_slerp(*ends, torch.tensor(share[row])).numpy()
    return turned, places_m[before] + share[:, None] * (places_m[after] - places_m[before])


MOST_GAPS = 20
"""That are listed one by one."""


def told_gaps(numbers: Sequence[int]) -> str:
    """Say where a motion begins in its recording and which frames `bridged` fills; empty where it changes nothing.

    Args:
        numbers: of the predicted frames, rising, from 0.
    """
    known = np.asarray(numbers)
    before = np.flatnonzero(np.diff(known) > 1)
    runs = list(zip((known[before] + 1).tolist(), (known[before + 1] - 1).tolist(), strict=True))
    begins = [f"begins at frame {known[0]} of the recording, counted from 0"] * bool(known[0])
    if not runs:
        return "".join(begins)
    listed = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in runs[:MOST_GAPS])
    more = f" and {len(runs) - MOST_GAPS} more gaps" if len(runs) > MOST_GAPS else ""
    count = sum(last - first + 1 for first, last in runs)
    told = f"{count} of its {known[-1] - known[0] + 1} frames show nobody and are bridged evenly: {listed}{more}"
    return "; ".join([*begins, told])


def body_motion(
    body: BodyModel, taken: MovingBody, world: World, about: About, gender: Gender, formats: Sequence[MotionFormat]
) -> BodyMotion:
    """Put a body of one shape where each frame's root joint is."""
    shape: Tensor = torch.from_numpy(taken.betas).to(body.pose_of_vertices)
    rig = rig_of(body, shape)
    places_m = taken.root_joint_m - rig.joints_m[0]
    motion = motion_of(rig, taken.rotations, places_m, taken.frames_per_second, taken.R_y_up)
    markers = markers_of(body) if set(formats) & set(WITH_MARKERS) else None
    return BodyMotion(rig, motion, taken.betas, gender, markers, world, about)
