"""Write one sequence in Human3.6M's layout (frames, masks, h36m_meta.mat) and its truth.

A folder is complete or absent: it is written beside its place and then renamed, the frames last.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from config import Paths
from dataset_def.h36m_writer import write_meta
from dataset_def.synthetic.motion.performance import Performance
from utils.artifacts import atomic_folder, atomic_write
from utils.camera import Camera
from utils.image import write_image

CAMERAS = (1, 2, 3, 4)


class SyntheticSequence(NamedTuple):
    """Which sequence."""

    subject: int
    action: int
    subaction: int

    @property
    def name(self) -> str:
        """Name without the camera."""
        return f"s_{self.subject:02d}_act_{self.action:02d}_subact_{self.subaction:02d}"

    def folder(self, camera: int) -> str:
        """Name of a camera's folder."""
        return f"{self.name}_ca_{camera:02d}"


def is_sequence_complete(paths: Paths, sequence: SyntheticSequence) -> bool:
    """Tell whether all of a sequence is there."""
    folders = [paths.h36m_location / sequence.folder(camera) for camera in CAMERAS]
    folders += [paths.masks_location / sequence.folder(camera) for camera in CAMERAS]
    return all(folder.is_dir() for folder in folders) and (paths.truth_location / f"{sequence.name}.npz").is_file()


def write_truth(paths: Paths, sequence: SyntheticSequence, performance: Performance) -> None:
    """Save the body's parameters; no train script may read them."""
    with atomic_write(paths.truth_location / f"{sequence.name}.npz") as partial, open(partial, "wb") as stream:
        np.savez(
            stream,
            theta=performance.theta.astype(np.float32),
            betas=performance.betas.astype(np.float32),
            translation_m=performance.translation_m.astype(np.float32),
        )


def write_view(
    paths: Paths,
    sequence: SyntheticSequence,
    number: int,
    camera: Camera,
    joints_world_m: Float[np.ndarray, "T J 3"],
    images: list[UInt8[np.ndarray, "H W 3"]],
    masks: list[UInt8[np.ndarray, "H W"]],
    ending: str,
) -> None:
    """Write what one camera saw."""
    folder = sequence.folder(number)
    with atomic_folder(paths.masks_location / folder, paths.h36m_location / folder) as (silhouettes, frames):
        for row, (image, mask) in enumerate(zip(images, masks, strict=True), start=1):
            write_image(frames / f"{folder}_{row:06d}.{ending}", image)
            write_image(silhouettes / f"{folder}_{row:06d}.png", mask)
        write_meta(frames / "h36m_meta.mat", camera, joints_world_m)
