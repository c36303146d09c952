"""Frames to be turned on the page: the image, the skeletons, and the mesh in few bytes."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from utils.report.frames import Frames, best_and_worst, frame_name
from utils.report.measures import Measure, headlines, measure_of, written_number
from utils.report.pictures import address
from utils.skeleton import H36M, Skeleton

LARGEST_INT16 = 32767
"""Largest number of a signed 16-bit integer."""
MOST_VERTICES = 65535
EXAMPLE_IMAGES = {"example_row": "example_image", "extreme_row": "extreme_image"}
"""Where a test script stores rows of frames and their images."""
THUMB_M = 1.15
"""Half the side of a thumbnail's view."""


class SolidFrames(NamedTuple):
    """Meshes of some frames, all with the same faces."""

    vertices_root_m: Float[np.ndarray, "K V 3"]
    """Axes of the crop camera, about the pelvis."""
    faces: Int[np.ndarray, "F 3"]


class DrawnBone(NamedTuple):
    """A line of a small drawing."""

    side: str
    """left, right or middle."""
    x1: float
    y1: float
    x2: float
    y2: float


class Card(NamedTuple):
    """One frame: what the camera saw, what was predicted."""

    row: int
    name: str
    measured: list[str]
    """The first measures, written out."""
    image: str
    """Address, or empty where the test script stored none."""
    predicted: list[DrawnBone]
    true: list[DrawnBone]


class Group(NamedTuple):
    """Frames that are shown together."""

    title: str
    cards: list[Card]


def choose_rows(found: Frames, arrays: Mapping[str, np.ndarray], count: int) -> dict[str, list[int]]:
    """Choose frames: spread over all, the best and the worst by the first measure."""
    first = headlines([measure_of(key) for key in found.errors])[0]
    low, high = best_and_worst(found.errors[first.key], found.frames, count)
    best, worst = (high, low) if first.better == "higher" else (low, high)
    stored = arrays.get("example_row")
    spread = np.linspace(0, len(found.frames) - 1, min(count, len(found.frames))).round() if stored is None else stored
    names = {"Spread over the test frames": spread[:count].astype(int).tolist()}
    return names | {f"Best by {first.name}": best, f"Worst by {first.name}": worst}


def frame_groups(found: Frames, arrays: Mapping[str, np.ndarray], rows: Mapping[str, list[int]]) -> list[Group]:
    """Describe the chosen frames."""
    images = images_by_row(arrays)
    shown = headlines([measure_of(key) for key in found.errors])[:2]
    return [Group(title, [card(found, row, images, shown) for row in chosen]) for title, chosen in rows.items()]


def images_by_row(arrays: Mapping[str, np.ndarray]) -> dict[int, str]:
    """Find the stored images of frames."""
    addresses: dict[int, str] = {}
    for rows, images in EXAMPLE_IMAGES.items():
        if rows in arrays and images in arrays:
            pairs = zip(arrays[rows].tolist(), arrays[images], strict=True)
            addresses |= {row: address(image) for row, image in pairs if row not in addresses}
    return addresses


def card(found: Frames, row: int, images: Mapping[int, str], shown: list[Measure]) -> Card:
    """Describe one frame."""
    measured = [
        f"{one.name} {written_number(found.errors[one.key][row], one.decimals)} {one.unit}".strip() for one in shown
    ]
    predicted_m, true_m = found.predicted_root_m, found.true_root_m
    poses = ((), ()) if predicted_m is None or true_m is None else (predicted_m[row], true_m[row])
    return Card(
        row,
        frame_name(found.frames[row]),
        measured,
        images.get(row, ""),
        *(bones(pose, found.skeleton) for pose in poses),
    )


def bones(pose_m: Any, skeleton: Skeleton = H36M) -> list[DrawnBone]:
    """Draw a skeleton as the camera sees it, into a square of side 100."""
    if not len(pose_m):
        return []
    xy = 50 + 50 * np.asarray(pose_m)[:, :2] / THUMB_M
    sides = skeleton.sides()
    return [
        DrawnBone(sides[joint] or "middle", *map(lambda value: round(float(value), 1), (*xy[parent], *xy[joint])))
        for joint, parent in skeleton.bones()
    ]


def described(skeleton: Skeleton) -> dict[str, Any]:
    """Describe the bones for the page's script: pairs of joints and their sides."""
    sides, bones = skeleton.sides(), skeleton.bones()
    return {
        "bones": [(parent, joint) for joint, parent in bones],
        "sides": [sides[joint] or "middle" for joint, _ in bones],
    }


def quantised(values_m: Float[np.ndarray, "V 3"]) -> tuple[str, float]:
    """Write coordinates as 16-bit integers in base64, and give the metres of one step."""
    step_m = max(float(np.abs(values_m).max()), 1e-6) / LARGEST_INT16
    return base64.b64encode(np.round(values_m / step_m).astype("<i2").tobytes()).decode(), step_m


def scene(found: Frames, rows: list[int], body: SolidFrames | None) -> dict[str, Any]:
    """Put everything that the page's script turns into plain types.

    Raises:
        ValueError: the mesh has more vertices than 16 bits can count.
    """
    if body is not None and body.vertices_root_m.shape[1] > MOST_VERTICES:
        raise ValueError(f"the body has {body.vertices_root_m.shape[1]} vertices; the page draws at most "
                         f"{MOST_VERTICES}: give --body a coarser one")  # fmt: skip
    shown = {str(row): frame_scene(found, row, None if body is None else body.vertices_root_m[place])
             for place, row in enumerate(rows)}  # fmt: skip
    faces = "" if body is None else base64.b64encode(body.faces.astype("<u2").tobytes()).decode()
    return {"faces": faces, "skeleton": described(found.skeleton), "frames": shown}


def frame_scene(found: Frames, row: int, vertices_root_m: Float[np.ndarray, "V 3"] | None) -> dict[str, Any]:
    """Describe one frame in numbers: skeletons in metres, the way up, the mesh."""
    up = (0.0, -1.0, 0.0) if found.R_crop_from_world is None else found.R_crop_from_world[row][:, 2].tolist()
    content: dict[str, Any] = {"name": frame_name(found.frames[row]), "up": [round(value, 4) for value in up]}
    for name, poses in (("predicted", found.predicted_root_m), ("true", found.true_root_m)):
        content[name] = [] if poses is None else [round(value, 3) for value in poses[row].flatten().tolist()]
    vertices, step_m = ("", 0.0) if vertices_root_m is None else quantised(vertices_root_m)
    return content | {"vertices": vertices, "step_m": step_m}
