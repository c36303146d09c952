"""Reads and writes the cameras of Qualisys Track Manager: .qca.txt, an XML file, in millimetres."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dataset_def.calibration.camera_values import (
    PIXEL_CENTRE_PX,
    Calibration,
    StoredCamera,
    finite_number,
    proper_rotation,
    speaks_of_lens,
    text_of,
)
from utils.artifacts import atomic_write
from utils.camera import Camera

MM_PER_M = 1e3
SUBPIXELS = 64
"""Qualisys writes its intrinsics in 1/64 of a pixel."""
OURS_FROM_QUALISYS = np.diag([1.0, -1.0, -1.0])
"""Qualisys' camera looks along -z with y up; ours along +z with y down."""
RADIAL, TANGENTIAL = ("radialDistortion1", "radialDistortion2", "radialDistortion3"), (
    "tangentalDistortion1", "tangentalDistortion2",
)  # fmt: skip
"""The spelling is Qualisys'."""


def read_qualisys(path: Path) -> Calibration:
    """Read the active cameras of a Qualisys file, by serial.

    Source: own derivation, checked by the reprojection of a real recording's keypoints.
    """
    try:
        root = ElementTree.fromstring(text_of(path))
    except ElementTree.ParseError as error:
        raise ValueError(
            f"{path} is not the XML that Qualisys writes ({error}); export the calibration again"
        ) from error
    tags = [tag for tag in root.iter("camera") if tag.get("active", "1") == "1"]
    cameras = {tag.get("serial", ""): _camera(f"{path}, camera {tag.get('serial')}", tag) for tag in tags}
    if len(cameras) < len(tags):
        raise ValueError(f"{path} has two cameras with the same serial; give every camera its own")
    return Calibration(str(path), cameras, "mm")


def _camera(where: str, tag: ElementTree.Element) -> StoredCamera:
    """Read one `<camera>`."""
    video, transform, intrinsic = (_child(tag, part, where) for part in ("fov_video", "transform", "intrinsic"))
    rotation = np.array([[_value(transform, f"r{i}{j}", where) for j in (1, 2, 3)] for i in (1, 2, 3)])
    left_px, top_px, right_px, bottom_px = (_value(video, side, where) for side in ("left", "top", "right", "bottom"))
    for name in intrinsic:
        if speaks_of_lens(name) and name not in (*RADIAL, *TANGENTIAL) and _value(intrinsic, name, where):
            raise ValueError(f"{where}: {name} seems to say how the lens bends, and is not undone here; undistort the "
                             "videos first")  # fmt: skip
    centre_px = [_value(intrinsic, f"centerPoint{axis}", where) / SUBPIXELS for axis in "UV"]
    return StoredCamera(
        R_cam_from_world=OURS_FROM_QUALISYS @ proper_rotation(rotation, where),
        centre_world=np.array([_value(transform, axis, where) for axis in "xyz"]),
        focal_px=np.array([_value(intrinsic, f"focalLength{axis}", where) for axis in "UV"]) / SUBPIXELS,
        centre_px=np.array(centre_px) - [left_px, top_px] + PIXEL_CENTRE_PX,
        size_px=(int(right_px - left_px) + 1, int(bottom_px - top_px) + 1),
        k=np.array([_value(intrinsic, name, where) for name in RADIAL]),
        p=np.array([_value(intrinsic, name, where) for name in TANGENTIAL]),
    )


def _child(tag: ElementTree.Element, part: str, where: str) -> Mapping[str, str]:
    """Find the attributes of a part of a camera."""
    found = tag.find(part)
    if found is None:
        raise ValueError(f"{where}: <{part}> is missing; export the calibration again")
    return found.attrib


def _value(attributes: Mapping[str, str], key: str, where: str) -> float:
    """Read one finite number of a part."""
    return finite_number(attributes.get(key), f"{where}: {key}")


def write_qualisys(folder: Path, cameras: Mapping[str, Camera]) -> list[Path]:
    """Write Calib.qca.txt.

    Raises:
        ValueError: a lens that the format cannot describe.
    """
    root = ElementTree.Element("calibration", source="pose-from-views")
    listed = ElementTree.SubElement(root, "cameras")
    for name, camera in cameras.items():
        if len(camera.k) > 3 or (camera.distortion == "h36m" and np.any(camera.p)):
            raise ValueError(f"camera {name} has a lens that Qualisys' file cannot describe; use another format")
        tag = ElementTree.SubElement(listed, "camera", active="1", serial=name, model="none")
        size = {"left": 0, "top": 0, "right": camera.width_px - 1, "bottom": camera.height_px - 1}
        rotation = OURS_FROM_QUALISYS @ camera.R_cam_from_world
        pose = {f"r{i + 1}{j + 1}": rotation[i, j] for i in range(3) for j in range(3)}
        pose |= dict(zip("xyz", camera.centre_world_m * MM_PER_M, strict=True))
        picture = np.concatenate([camera.focal_px, camera.centre_px - PIXEL_CENTRE_PX]) * SUBPIXELS
        optics = dict(zip(("focalLengthU", "focalLengthV", "centerPointU", "centerPointV"), picture, strict=True))
        optics |= dict(zip((*RADIAL, *TANGENTIAL), (*camera.k, *camera.p), strict=True))
        for part, values in (("fov_video", size), ("transform", pose), ("intrinsic", optics)):
            ElementTree.SubElement(tag, part, {key: repr(float(value)) for key, value in values.items()})
    path = folder / "Calib.qca.txt"
    with atomic_write(path) as partial:
        ElementTree.ElementTree(root).write(partial)
    return [path]
