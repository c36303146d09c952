"""Motions as OpenSim takes them: a model of the body's own skeleton (.osim) and its joint angles over time (.mot).

OpenSim's angles belong to a model.  This one has a body per joint with its axes as the T-pose has them, a joint of
three turns about z, x and y (as the .bvh has them), and the markers of the .trc, so that its inverse kinematics runs on
the .trc, too.  It is for kinematics: masses are placeholders, as nothing here tells them.
Source: OpenSim 4 documentation, OpenSim Models, and Storage (.sto) and Motion (.mot) Files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from utils.artifacts import atomic_write
from utils.export.bvh import channels_of
from utils.export.rig import Rig, RigMotion

TURNS = (("z", "0 0 1"), ("x", "1 0 0"), ("y", "0 1 0"))
"""In the order in which they are multiplied, as in utils/export/bvh.py."""
MOVES = (("tx", "1 0 0"), ("ty", "0 1 0"), ("tz", "0 0 1"))
PLACEHOLDER_KG = "1"


class BodyMarker(NamedTuple):
    """A marker that sticks to a joint's body."""

    name: str
    joint: int
    place_m: Float[np.ndarray, "3"]
    """From the joint, in the T-pose's axes."""


def element(above: ElementTree.Element, tag: str, text: str = "", **attributes: str) -> ElementTree.Element:
    """Append an element."""
    made = ElementTree.SubElement(above, tag, attributes)
    made.text = text or None
    return made


def numbers(values: Sequence[float] | np.ndarray) -> str:
    """Write numbers with a blank between them."""
    return " ".join(f"{value:.9g}" for value in values)


def add_axes(joint: ElementTree.Element, name: str, is_root: bool) -> None:
    """Let a joint turn about z, x and y, and the root move, too."""
    coordinates = element(joint, "coordinates")
    moves = [(f"{name}_{move}", axis) for move, axis in MOVES]
    turns = [(f"{name}_{turn}", axis) for turn, axis in TURNS]
    for coordinate, _ in turns + moves * is_root:
        element(coordinates, "Coordinate", name=coordinate)
    transform = element(joint, "SpatialTransform")
    for kind, axes in (("rotation", turns), ("translation", moves)):
        for number, (coordinate, direction) in enumerate(axes, start=1):
            axis = element(transform, "TransformAxis", name=f"{kind}{number}")
            is_free = kind == "rotation" or is_root
            element(axis, "coordinates", coordinate if is_free else "")
            element(axis, "axis", direction)
            if is_free:
                element(element(axis, "LinearFunction", name="function"), "coefficients", "1 0")
            else:
                element(element(axis, "Constant", name="function"), "value", "0")


def add_joint(joints: ElementTree.Element, rig: Rig, row: int) -> None:
    """Hang a body on its parent's, or the root on the ground."""
    name, parent = rig.names[row], rig.parents[row]
    place_m = np.zeros(3) if parent < 0 else rig.joints_m[row] - rig.joints_m[parent]
    above = "/ground" if parent < 0 else f"/bodyset/{rig.names[parent]}"
    joint = element(joints, "CustomJoint", name=f"{name}_joint")
    element(joint, "socket_parent_frame", f"{name}_above")
    element(joint, "socket_child_frame", f"{name}_here")
    frames = element(joint, "frames")
    for frame, of, translation in (
        (f"{name}_above", above, place_m),
        (f"{name}_here", f"/bodyset/{name}", np.zeros(3)),
    ):
        offset = element(frames, "PhysicalOffsetFrame", name=frame)
        element(offset, "socket_parent", of)
        element(offset, "translation", numbers(translation))
        element(offset, "orientation", "0 0 0")
    add_axes(joint, name, parent < 0)


def write_osim(path: Path, rig: Rig, markers: Sequence[BodyMarker], header: Mapping[str, str]) -> None:
    """Write the skeleton of a rig as a model, y up, metres."""
    root = ElementTree.Element("OpenSimDocument", Version="40000")
    model = element(root, "Model", name="body")
    element(model, "credits", "; ".join(f"{name}: {text}" for name, text in header.items())
            + "; for kinematics only, masses are placeholders")  # fmt: skip
    element(model, "length_units", "meters")
    element(model, "force_units", "N")
    bodies = element(element(model, "BodySet", name="bodyset"), "objects")
    joints = element(element(model, "JointSet", name="jointset"), "objects")
    places = element(element(model, "MarkerSet", name="markerset"), "objects")
    for row, name in enumerate(rig.names):
        body = element(bodies, "Body", name=name)
        element(body, "mass", PLACEHOLDER_KG)
        element(body, "mass_center", "0 0 0")
        element(body, "inertia", "1 1 1 0 0 0")
        add_joint(joints, rig, row)
    for marker in markers:
        place = element(places, "Marker", name=marker.name)
        element(place, "socket_parent_frame", f"/bodyset/{rig.names[marker.joint]}")
        element(place, "location", numbers(marker.place_m))
        element(place, "fixed", "true")
    ElementTree.indent(root)
    with atomic_write(path) as partial:
        ElementTree.ElementTree(root).write(partial, encoding="UTF-8", xml_declaration=True)


def coordinate_names(rig: Rig) -> list[str]:
    """Give the columns of a .mot after the time: the root's moves, then the turns of all joints."""
    root = rig.names[0]
    return [f"{root}_{move}" for move, _ in MOVES] + [f"{name}_{turn}" for name in rig.names for turn, _ in TURNS]


def write_mot(path: Path, rig: Rig, motion: RigMotion, header: Mapping[str, str]) -> None:
    """Write the coordinates of the model that `write_osim` makes, over time; metres and degrees."""
    names = coordinate_names(rig)
    lines = ["Coordinates", "version=1", f"nRows={len(motion.pelvis_m)}", f"nColumns={1 + len(names)}", "inDegrees=yes"]
    lines += [f"{name}={text}" for name, text in header.items()]
    with atomic_write(path) as partial, open(partial, "w") as stream:
        stream.write("\n".join([*lines, "endheader", "\t".join(["time", *names])]) + "\n")
        for number, row in enumerate(channels_of(motion, list(range(len(rig.names))), 1.0)):
            values = "\t".join(f"{value:.6f}" for value in row)
            stream.write(f"{number / motion.frames_per_second:.6f}\t{values}\n")
