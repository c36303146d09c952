"""Draw the moving picture on top of the README: what the committed weights make of each frame of one test sequence.

    python sample/tools/moving_picture.py
    python sample/tools/moving_picture.py --sequence 9 2 1 3 --output runs/figures/directions.webp

Every frame is read by itself, nothing is smoothed.  From left to right: the picture; what the decoder renders for a
camera that walks round the person; the 17 joints and the body, seen from there.

Reads   the index, crops and backgrounds; models/assets/open_weights.pt and open_mesh.pt, or other checkpoints
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
from torch import Tensor

from config import ASSETS, ROOT, Crop, Paths
from dataset_def.crop import crop_camera
from dataset_def.h36m_crops import CropReader, CropSettings, FramePictures
from dataset_def.h36m_index import load_table
from models.encoder_decoder import load_encoder_decoder
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import load_body_of, load_mesh, rooted_body
from utils.artifacts import atomic_write
from utils.draw_mesh import turned_view
from utils.figures.common import bone_colour
from utils.image import to_picture, to_unit_rgb
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
    pose: Path = ASSETS / "open_weights.pt"
    """checkpoint_best.pt of stage 2 with the decoder of stage 1, as sample/tools/export_weights.py writes it."""
    mesh: Path = ASSETS / "open_mesh.pt"
    """checkpoint_best.pt of stage 4."""
    panel_px: int = 168
    """Side of each of the four pictures."""
    side_m: float = 1.9
    """What a panel shows at the person's distance; at most what the networks see."""
    frame_ms: int = 100
    quality: int = 75
    """Of the .webp, up to 100."""
    output: Path = ROOT / "images" / "moving.webp"
    paths: Paths = field(default_factory=Paths)


class Frames(NamedTuple):
    """All frames of one sequence and camera."""

    shown: UInt8[np.ndarray, "T P P 3"]
    """For the eye."""
    image: Float[Tensor, "T 3 S S"]
    """For the networks."""
    background: Float[Tensor, "T 3 S S"]
    R_crop_from_world: Float[Tensor, "T 3 3"]


def read_frames(config: MovingPictureConfig, crop: Crop) -> Frames:
    """Cut the crops of the sequence twice: as the networks see them, and larger.

    Raises:
        ValueError: there is no such sequence.
    """
    table = load_table(config.paths)
    rows = np.flatnonzero((table.frames[:, :4] == config.sequence).all(axis=1)).tolist()
    if not rows:
        raise ValueError(f"the index has no frames of subject, action, sub-action, camera {config.sequence}; choose "
                         "another --sequence")  # fmt: skip
    reader = CropReader(config.paths, table, CropSettings(crop))
    cuts = [reader.read(row) for row in rows]
    R = np.stack([one.camera.R_cam_from_world for one in cuts]).astype(np.float32)
    return Frames(
        shown=np.stack([shown(config, reader, row) for row in rows]),
        image=torch.stack([to_unit_rgb(one.image) for one in cuts]),
        background=torch.stack([to_unit_rgb(one.background) for one in cuts]),
        R_crop_from_world=torch.from_numpy(R),
    )


def shown(config: MovingPictureConfig, reader: CropReader, row: int) -> UInt8[np.ndarray, "P P 3"]:
    """Cut a crop out of the frame itself, finer than packed crops are."""
    frame = FramePictures(config.paths, reader.table.key(row), reader.table.camera(row))
    return frame.image(crop_camera(frame.camera, reader.targets_m[row], config.panel_px, config.side_m))


def middle_of(image: UInt8[np.ndarray, "S S 3"], share: float, side_px: int) -> UInt8[np.ndarray, "P P 3"]:
    """Enlarge the middle of a picture to the size of a panel."""
    whole_px = round(side_px / share)
    whole = cv2.resize(image, (whole_px, whole_px), interpolation=cv2.INTER_CUBIC)
    edge = (whole_px - side_px) // 2
    return np.asarray(whole[edge : edge + side_px, edge : edge + side_px])


def skeleton(joints_root_m: Float[np.ndarray, "17 3"], side_px: int, side_m: float) -> UInt8[np.ndarray, "P P 3"]:
    """Draw a pose on white, left and right in their colours, near bones over far ones."""
    panel = np.full((FINE * side_px, FINE * side_px, 3), 255, np.uint8)
    at = np.rint((joints_root_m[:, :2] / side_m + 0.5) * FINE * side_px * 2**SHIFT).astype(int)
    bones = [(joint, parent) for joint, parent in enumerate(H36M_17_PARENTS) if parent >= 0]
    for joint, parent in sorted(bones, key=lambda bone: -joints_root_m[list(bone), 2].mean()):
        rgb = tuple(int(bone_colour(H36M_17[joint])[place : place + 2], 16) for place in (1, 3, 5))
        cv2.line(panel, at[parent].tolist(), at[joint].tolist(), rgb, FINE * BONE_PX, cv2.LINE_AA, SHIFT)
    return np.asarray(cv2.resize(panel, (side_px, side_px), interpolation=cv2.INTER_AREA))


@torch.no_grad()
def panels(config: MovingPictureConfig) -> UInt8[np.ndarray, "T P W 3"]:
    """Run the networks on every frame and put the four pictures side by side, forth and back through the sequence."""
    cpu = torch.device("cpu")
    stage_1, stage_2 = load_encoder_decoder(config.pose), load_pose(config.pose, cpu)
    stage_4 = load_mesh(config.mesh, cpu)
    body, crop = load_body_of(stage_4, config.mesh, config.paths), stage_1.config.crop
    faces = body.faces.numpy()
    frames = read_frames(config, crop)
    points, appearance = stage_1.network.eval().encode(frames.image)
    joints_m = stage_2.network(frames.image)
    vertices_m = rooted_body(body, stage_4.network(frames.image)).vertices_root_m
    order = [*range(len(points)), *range(len(points) - 2, 0, -1)]
    drawn = []
    for number, row in enumerate(order):
        one, yaw_rad = slice(row, row + 1), 2 * math.pi * number / len(order)
        R = frames.R_crop_from_world[one]
        there, joints, vertices = (
            turned_about_vertical(part[one], R, yaw_rad) for part in (points, joints_m, vertices_m)
        )
        view = stage_1.network.decode(there, appearance[one], frames.background[one])
        side_px, side_m = config.panel_px, config.side_m
        drawn.append(np.concatenate([
            frames.shown[row], middle_of(to_picture(view[0, :3]), side_m / crop.side_m, side_px),
            skeleton(joints[0].numpy(), side_px, side_m),
            turned_view(vertices[0].numpy(), faces, "camera", side_px, side_m),
        ], axis=1))  # fmt: skip
    return np.stack(drawn)


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
