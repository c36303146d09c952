"""Reads `metadata.xml` of the official Human3.6M: names of the recordings, and the calibration of every camera.

The table `mapping` names the recording of each action, sub-action and subject.  `w0` holds 300 numbers in brackets:
4 cameras x 11 subjects x (rx, ry, rz, tx, ty, tz), camera by camera, then 4 cameras x (fx, fy, cx, cy, k1, k2, k3, p1,
p2).  Angles are radians, (tx, ty, tz) is the camera's centre in millimetres, not a translation.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dataset_def.h36m_files import METRES_PER_MILLIMETRE
from utils.camera import Camera

SERIALS = ("54138969", "55011271", "58860488", "60457274")
"""Serial numbers of cameras 1 to 4, as in the names of the videos."""
NUM_SUBJECTS = 11
EXTRINSICS = ("rx", "ry", "rz", "tx", "ty", "tz")
LENS = ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "p1", "p2")
NUM_PLACES = len(SERIALS) * NUM_SUBJECTS * len(EXTRINSICS)
NUM_VALUES = NUM_PLACES + len(SERIALS) * len(LENS)
METADATA_REMEDY = "take metadata.xml from the download's program code (Release-v1.x/H36M) and give it with --metadata"


class Metadata(NamedTuple):
    """What metadata.xml says."""

    path: Path
    names: dict[tuple[int, int, int], str]
    """Name of the recording of (subject, action, sub-action), such as `Directions 1`."""
    places: Float[np.ndarray, "4 11 6"]
    """Camera, subject: angles (radians) and centre (millimetres)."""
    lenses: Float[np.ndarray, "4 9"]


def read_metadata(path: Path) -> Metadata:
    """Read names and calibration.

    Raises:
        FileNotFoundError, ValueError: missing, not that file, or with another number of values.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {METADATA_REMEDY}")
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as xml ({error}); {METADATA_REMEDY}") from error
    values = _values(path, root)
    return Metadata(
        path=path,
        names=_names(path, root),
        places=values[:NUM_PLACES].reshape(len(SERIALS), NUM_SUBJECTS, len(EXTRINSICS)),
        lenses=values[NUM_PLACES:].reshape(len(SERIALS), len(LENS)),
    )


def _values(path: Path, root: ElementTree.Element) -> Float[np.ndarray, "300"]:
    """Take the numbers of w0."""
    element = root.find(".//w0")
    if element is None or not element.text:
        raise ValueError(f"{path} has no w0, which holds the calibration of the cameras; {METADATA_REMEDY}")
    words = element.text.strip().strip("[]").replace(",", " ").replace(";", " ").split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise ValueError(f"w0 of {path} holds something else than numbers ({error}); {METADATA_REMEDY}") from error
    if len(values) != NUM_VALUES or not np.isfinite(values).all():
        raise ValueError(
            f"w0 of {path} holds {len(values)} values, expected {NUM_VALUES} finite numbers; {METADATA_REMEDY}"
        )
    return values


def _names(path: Path, root: ElementTree.Element) -> dict[tuple[int, int, int], str]:
    """Read the table of recordings: the first row lists the subjects, each other row names one action for all."""
    rows = [[(cell.text or "").strip() for cell in row] for row in (root.find(".//mapping") or ())]
    if not rows:
        raise ValueError(f"{path} has no table `mapping`, which names the recordings; {METADATA_REMEDY}")
    subjects = [int(cell[1:]) if cell[:1] == "S" and cell[1:].isdigit() else 0 for cell in rows[0]]
    names = {}
    for row in rows[1:]:
        if len(row) < 3 or not (row[0].isdigit() and row[1].isdigit()):
            continue
        for subject, name in zip(subjects, row, strict=False):
            if subject and name:
                names[subject, int(row[0]), int(row[1])] = name
    if not names:
        raise ValueError(f"the table `mapping` of {path} names no recording; {METADATA_REMEDY}")
    return names


def rotation(angles_rad: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Multiply the rotations about x, y and z, in this order; gives R_cam_from_world.

    Source: Human3.6M's own order, Rx(rx) Ry(ry) Rz(rz); test_convert_h36m.py.
    """
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def read_camera(metadata: Metadata, subject: int, camera: int, width_px: int, height_px: int) -> Camera:
    """Give the calibration of one camera (1 to 4) while it filmed one subject (1 to 11).

    Raises:
        ValueError: w0 holds nothing for it, or a focal length that is none.
    """
    place, lens = metadata.places[camera - 1, subject - 1], metadata.lenses[camera - 1]
    if not place[3:].any() or (lens[:2] <= 0).any():
        raise ValueError(
            f"w0 of {metadata.path} holds no calibration of camera {camera} for subject {subject}; {METADATA_REMEDY}"
        )
    return Camera(
        R_cam_from_world=rotation(place[:3]),
        centre_world_m=place[3:] * METRES_PER_MILLIMETRE,
        focal_px=lens[:2],
        centre_px=lens[2:4],
        width_px=width_px,
        height_px=height_px,
        k=lens[4:7],
        p=lens[7:9],
    )
