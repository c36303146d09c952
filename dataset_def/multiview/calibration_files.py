"""Reads the cameras of a recording from the files of calibration programs: one reader per format.

Every reader gives cameras by name, in metres, with pixels counted as this project does (utils/camera.py).
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from utils.camera import Camera

M_FROM_MM = 1e-3
SUBPIXELS = 64
"""Qualisys writes its intrinsics in 1/64 of a pixel."""
PIXEL_CENTRE_PX = 0.5
"""Qualisys and OpenPose number pixels by their centres (a picture spans 0 .. width - 1); ours start at their edge."""
FLIP = np.diag([1.0, -1.0, -1.0])
"""Qualisys' camera looks along -z with y up; ours along +z with y down."""


def read_calibration(name: str, text: str) -> dict[str, Camera]:
    """Read all cameras of a calibration file; its format follows from the end of its name.

    Raises:
        ValueError: a format without a reader, or a file without what its format promises.
    """
    if name.endswith(".qca.txt"):
        return read_qualisys(name, text)
    raise ValueError(f"{name}: there is no reader for this kind of calibration file; use Qualisys' .qca.txt")


def read_qualisys(name: str, text: str) -> dict[str, Camera]:
    """Read the cameras of a Qualisys .qca.txt file (XML), by serial.

    Source: own derivation, checked by the reprojection of the recording's own keypoints.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(
            f"{name} is not the XML that Qualisys writes ({error}); export the calibration again"
        ) from error
    tags = [tag for tag in root.iter("camera") if tag.get("active", "1") == "1"]
    if len(tags) < 2:
        raise ValueError(f"{name} has {len(tags)} active cameras; triangulation needs at least 2")
    return {tag.get("serial", ""): qualisys_camera(name, tag) for tag in tags}


def qualisys_camera(name: str, tag: ElementTree.Element) -> Camera:
    """Turn one `<camera>` of a Qualisys file into a camera of ours."""
    where = f"{name}, camera {tag.get('serial')}"
    video, transform, intrinsic = (child(tag, part, where) for part in ("fov_video", "transform", "intrinsic"))
    rotation = np.array([[number(transform, f"r{i}{j}", where) for j in (1, 2, 3)] for i in (1, 2, 3)])
    left_px, top_px, right_px, bottom_px = (number(video, side, where) for side in ("left", "top", "right", "bottom"))
    centre_px = [number(intrinsic, f"centerPoint{axis}", where) / SUBPIXELS for axis in "UV"]
    return Camera(
        R_cam_from_world=FLIP @ proper_rotation(rotation, where),
        centre_world_m=np.array([number(transform, axis, where) for axis in "xyz"]) * M_FROM_MM,
        focal_px=np.array([number(intrinsic, f"focalLength{axis}", where) for axis in "UV"]) / SUBPIXELS,
        centre_px=np.array(centre_px) - [left_px, top_px] + PIXEL_CENTRE_PX,
        width_px=int(right_px - left_px) + 1,
        height_px=int(bottom_px - top_px) + 1,
        k=np.array([number(intrinsic, f"radialDistortion{i}", where) for i in (1, 2, 3)]),
        p=np.array([number(intrinsic, f"tangentalDistortion{i}", where) for i in (1, 2)]),
        distortion="opencv",
    )


def child(tag: ElementTree.Element, part: str, where: str) -> Mapping[str, str]:
    """Find the attributes of a part of a camera."""
    found = tag.find(part)
    if found is None:
        raise ValueError(f"{where}: <{part}> is missing; export the calibration again")
    return found.attrib


def number(attributes: Mapping[str, str], key: str, where: str) -> float:
    """Read one finite number."""
    try:
        value = float(attributes[key])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{where}: {key} is {attributes.get(key)!r} instead of a number") from error
    if not np.isfinite(value):
        raise ValueError(f"{where}: {key} is {value}")
    return value


def proper_rotation(rotation: Float[np.ndarray, "3 3"], where: str) -> Float[np.ndarray, "3 3"]:
    """Accept a rotation matrix up to the rounding of a text file, and make it exact.

    Raises:
        ValueError: the matrix mirrors, scales or shears.
    """
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > 1e-3 or np.linalg.det(rotation) < 0:
        raise ValueError(
            f"{where}: its matrix is no rotation (R R^T is {error:.2g} away from 1, "
            f"determinant {np.linalg.det(rotation):.3f}); rows and columns may be swapped or a sign lost"
        )
    U, _, Vt = np.linalg.svd(rotation)
    return U @ Vt
