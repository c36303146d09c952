"""Draw the moving picture on top of the README: what the committed weights make of each frame of one test sequence.

    python sample/tools/moving_picture.py
    python sample/tools/moving_picture.py --sequence 9 2 1 3 --output runs/figures/directions.webp

Every frame is read by itself, from one picture and the box of its mask; nothing is smoothed.  From left to right: the
picture; the body over it; the 17 joints, and the body, from a camera that walks round the person.

Reads   the index, frames and masks; models/assets/open_body_maps.pt, or another checkpoint of stage 4
Writes  an animated .webp (images/moving.webp)
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from config import ASSETS, ROOT, Paths
from dataset_def.h36m_crops import load_image, load_mask
from dataset_def.h36m_index import FrameTable, load_table
from dataset_def.photos.crop import photo_camera
from dataset_def.photos.pictures import Picture
from sample.predict import Person, Predictor
from utils.artifacts import atomic_write
from utils.draw_mesh import overlay, turned_view
from utils.figures.common import bone_colour
from utils.person_box import SMALLEST_BOX_PX, Box, box_of_mask
from utils.settings import start
from utils.skeleton import H36M_17, H36M_17_PARENTS
from utils.views import turned_about_vertical

BONE_PX = 4
FINE = 2
"""Skeletons are drawn so many times as large, and shrunk."""
SHIFT = 4
"""Bits of a fraction of a pixel in OpenCV's coordinates."""


@dataclass(frozen=True)
class MovingPictureConfig:
    """sample/tools/moving_picture.py: the moving picture on top of the README."""

    sequence: tuple[int, int, int, int] = (9, 14, 1, 1)
    """Subject, action, sub-action and camera."""
    mesh: Path = ASSETS / "open_body_maps.pt"
    """checkpoint_best.pt of stage 4."""
    panel_px: int = 168
    """Side of each of the four pictures."""
    side_m: float = 1.9
    """What a panel shows of the person."""
    frame_ms: int = 100
    quality: int = 75
    """Of the .webp, up to 100."""
    output: Path = ROOT / "images" / "moving.webp"
    paths: Paths = field(default_factory=Paths)


class Read(NamedTuple):
    """One frame, and what the network makes of it."""

    picture: UInt8[np.ndarray, "H W 3"]
    focal_px: float
    box: Box
    """Of the mask."""
    person: Person
    R_cam_from_world: Float[np.ndarray, "3 3"]


def rows_of(config: MovingPictureConfig, table: FrameTable) -> list[int]:
    """Find the frames of the sequence.

    Raises:
        ValueError: there is no such sequence.
    """
    rows = np.flatnonzero((table.frames[:, :4] == config.sequence).all(axis=1)).tolist()
    if not rows:
        raise ValueError(f"the index has no frames of subject, action, sub-action, camera {config.sequence}; choose "
                         "another --sequence")  # fmt: skip
    return rows


def read(config: MovingPictureConfig) -> tuple[list[Read], Predictor]:
    """Predict the person in every frame of the sequence, in the box of the mask."""
    table, predictor = load_table(config.paths), Predictor(config.mesh, device="cpu", paths=config.paths)
    found = []
    for row in rows_of(config, table):
        camera = table.camera(row)
        picture = load_image(config.paths, table.key(row), camera)
        box = box_of_mask(load_mask(config.paths, table.key(row), camera), table.key(row).stem)
        box = Box(box.left_px, box.top_px, *(max(side_px, SMALLEST_BOX_PX) for side_px in box[2:]))
        focal_px = float(camera.focal_px.mean())
        found.append(Read(picture, focal_px, box, predictor(picture, box, focal_px), camera.R_cam_from_world))
    return found, predictor


def about(picture: UInt8[np.ndarray, "H W 3"], one: Read, side_px: float, panel_px: int) -> UInt8[np.ndarray, "P P 3"]:
    """Cut a square about the middle of the box and make it as large as a panel."""
    left, top = (one.box[axis] + one.box[axis + 2] / 2 - side_px / 2 for axis in (0, 1))
    scale = panel_px / side_px
    to_panel = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return np.asarray(cv2.warpAffine(picture, to_panel, (panel_px, panel_px), flags=cv2.INTER_CUBIC,
                                     borderMode=cv2.BORDER_REPLICATE))  # fmt: skip


def skeleton(joints_root_m: Float[np.ndarray, "17 3"], side_px: int, side_m: float) -> UInt8[np.ndarray, "P P 3"]:
    """Draw a pose on white, left and right in their colours, near bones over far ones."""
    panel = np.full((FINE * side_px, FINE * side_px, 3), 255, np.uint8)
    at = np.rint((joints_root_m[:, :2] / side_m + 0.5) * FINE * side_px * 2**SHIFT).astype(int)
    bones = [(joint, parent) for joint, parent in enumerate(H36M_17_PARENTS) if parent >= 0]
    for joint, parent in sorted(bones, key=lambda bone: -joints_root_m[list(bone), 2].mean()):
        rgb = tuple(int(bone_colour(H36M_17[joint])[place : place + 2], 16) for place in (1, 3, 5))
        cv2.line(panel, at[parent].tolist(), at[joint].tolist(), rgb, FINE * BONE_PX, cv2.LINE_AA, SHIFT)
    return np.asarray(cv2.resize(panel, (side_px, side_px), interpolation=cv2.INTER_AREA))


def panels(config: MovingPictureConfig) -> UInt8[np.ndarray, "T P W 3"]:
    """Read every frame and put the four pictures side by side, forth and back through the sequence."""
    frames, predictor = read(config)
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    drawn = []
    for number, row in enumerate(order):
        one, yaw_rad = frames[row], 2 * math.pi * number / len(order)
        K = photo_camera(Picture("frame", one.picture), one.focal_px).K
        pelvis_m = one.person.joints_cam_m[0]
        side_px, side_m = config.side_m * one.focal_px / pelvis_m[2], config.side_m
        with_body = overlay(one.picture, one.person.vertices_cam_m, predictor.faces, K)
        joints_m, vertices_m = (turned(points_m - pelvis_m, one.R_cam_from_world, yaw_rad)
                                for points_m in (one.person.joints_cam_m, one.person.vertices_cam_m))  # fmt: skip
        drawn.append(np.concatenate([
            *(about(picture, one, side_px, config.panel_px) for picture in (one.picture, with_body)),
            skeleton(joints_m, config.panel_px, side_m),
            turned_view(vertices_m, predictor.faces, "camera", config.panel_px, side_m),
        ], axis=1))  # fmt: skip
    return np.stack(drawn)


def turned(
    points_m: Float[np.ndarray, "N 3"], R_cam_from_world: Float[np.ndarray, "3 3"], yaw_rad: float
) -> Float[np.ndarray, "N 3"]:
    """Turn points about the pelvis, about the world's vertical."""
    points, R = (torch.from_numpy(np.asarray(part, np.float32))[None] for part in (points_m, R_cam_from_world))
    return np.asarray(turned_about_vertical(points, R, yaw_rad)[0].numpy())


def main(config: MovingPictureConfig) -> Path:
    """Draw, write and say where."""
    first, *others = (Image.fromarray(frame) for frame in panels(config))
    with atomic_write(config.output) as partial:
        first.save(partial, format="webp", save_all=True, append_images=others, duration=config.frame_ms, loop=0,
                   quality=config.quality, method=6)  # fmt: skip
    print(f"{config.output}: {len(others) + 1} frames, {config.output.stat().st_size / 1000:.0f} kB")
    return config.output


if __name__ == "__main__":
    start(main, MovingPictureConfig)
