"""Compute the background of every subject and camera: the median over time, in bounded memory.

    python dataset_def/h36m_get_background.py

Reads   frames named in <index_location>/index.npz
Writes  <backgrounds_location>/s_01_ca_02.npy, uint8 RGB (files that exist are kept), made_from.npz
Next    sample/train_enc_dec.py
"""

import os
import tempfile
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from config import Paths, PointsTeaching, ranged, setting
from dataset_def.h36m_files import FrameKey, background_path, load_image
from dataset_def.h36m_index import FrameTable, backgrounds_provenance, check_backgrounds, load_table
from utils.artifacts import save_arrays, save_background
from utils.camera import Camera
from utils.processes import for_each
from utils.settings import Typed, next_command, start


@dataclass(frozen=True)
@ranged()
class BackgroundConfig:
    """dataset_def/h36m_get_background.py: the median image of each subject and camera."""

    paths: Paths = field(default_factory=Paths)
    max_frames: int = setting(200, low=1)
    """Frames per median, spread over all sequences of the subject and camera."""
    memory_mb: int = setting(512, low=1)
    """Upper bound for the stack of image rows held at once, in all processes together."""
    processes: int = setting(0, low=0)
    """Processes that work; 0 takes one per core."""


def evenly_spaced_rows(rows: np.ndarray, count: int) -> np.ndarray:
    """Choose at most so many rows, evenly."""
    return rows if len(rows) <= count else rows[((np.arange(count) + 0.5) * len(rows) / count).astype(int)]


def median_in_bands(stack: UInt8[np.ndarray, "T H W 3"], max_bytes: int) -> UInt8[np.ndarray, "H W 3"]:
    """Compute the median over time a band of image rows at a time.

    np.median would make floats; the middle element of a partition stays uint8 (the upper one of an even number).
    """
    num_frames, height, width, _ = stack.shape
    band = max(1, max_bytes // (2 * num_frames * width * 3))
    median = np.empty(stack.shape[1:], np.uint8)
    for top in range(0, height, band):
        rows = np.array(stack[:, top : top + band])
        rows.partition(num_frames // 2, axis=0)
        median[top : top + band] = rows[num_frames // 2]
    return median


class ToFind(NamedTuple):
    """The frames that one median is taken of."""

    keys: list[FrameKey]
    cameras: list[Camera]


def frames_of(table: FrameTable, who: tuple[int, int], count: int) -> ToFind:
    """Choose frames of one subject and camera, spread over all sequences."""
    rows = evenly_spaced_rows(np.flatnonzero((table.frames[:, [0, 3]] == who).all(1)), count)
    return ToFind([table.key(row) for row in rows], [table.camera(row) for row in rows])


def make_background(config: BackgroundConfig, share: int, todo: ToFind) -> None:
    """Write the median image of one subject and camera; frames wait in a temporary file, not in memory.

    Args:
        share: processes that share the memory.
    """
    first = todo.cameras[0]
    shape = (len(todo.keys), first.height_px, first.width_px, 3)
    with tempfile.TemporaryFile(dir=config.paths.backgrounds_location) as stream:
        stack = np.memmap(stream, np.uint8, "w+", shape=shape)  # type: ignore[call-overload]  # any open file
        for number, (key, camera) in enumerate(zip(todo.keys, todo.cameras, strict=True)):
            image = load_image(config.paths, key, camera)
            if image.shape != shape[1:]:
                raise ValueError(
                    f"{key.stem} is {image.shape[1]} x {image.shape[0]} pixels, other frames of the same "
                    f"subject and camera are {shape[2]} x {shape[1]}"
                )
            stack[number] = image
        median = median_in_bands(stack, config.memory_mb * 2**20 // share)
    save_background(background_path(config.paths, todo.keys[0].subject, todo.keys[0].camera), median)


def needed_settings(table: FrameTable) -> dict[str, Typed]:
    """Give the settings that stage 1 needs on this data: without masks, or with few cameras."""
    if not table.has_masks:
        return {"preset": "views", "crop__centre": "pelvis", "loss__opacity": "0"}
    views = int(np.bincount(table.row_instant).max())
    return {"teaching__views": views} if 1 < views < PointsTeaching().views else {}


def main(config: BackgroundConfig) -> None:
    """Write all backgrounds that are not there yet."""
    table = load_table(config.paths)
    everyone = [(int(subject), int(camera)) for subject, camera in np.unique(table.frames[:, [0, 3]], axis=0)]
    missing = [who for who in everyone if not background_path(config.paths, *who).exists()]
    check_backgrounds(config.paths, table)
    if len(missing) == len(everyone):
        save_arrays(backgrounds_provenance(config.paths), "backgrounds", fingerprint=np.array(table.fingerprint))
    processes = config.processes or os.cpu_count() or 1
    todo = [frames_of(table, who, config.max_frames) for who in missing]
    for_each(partial(make_background, config, processes), todo, processes, "median images")
    print(f"{len(everyone)} backgrounds in {config.paths.backgrounds_location}, {len(missing)} of them new")
    print(next_command("sample/train_enc_dec.py", config.paths, **needed_settings(table)))


if __name__ == "__main__":
    start(main, BackgroundConfig)
