"""Crops cut once and kept in two memory-mapped arrays, so that training decodes no image.

`<index_location>/crops_<centre>/` holds images.npy, masks.npy (if there are masks) and about.npz, written last.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy.lib.format import open_memmap

from config import Paths
from dataset_def.h36m_index import Centre, FrameTable
from utils.artifacts import COMMANDS, damaged, load_arrays, save_arrays


class PackAbout(NamedTuple):
    """What the packed crops were made from, and how."""

    fingerprint: str
    every: int
    has_masks: bool
    size_px: int
    side_m: float


def pack_folder(paths: Paths, centre: Centre) -> Path:
    """Say where the crops with this centre lie."""
    return paths.index_location / f"crops_{centre}"


def load_about(folder: Path) -> PackAbout | None:
    """Read how the crops in a folder were made; None if there are none."""
    if not (folder / "about.npz").exists():
        return None
    stored = load_arrays(folder / "about.npz", "crops", COMMANDS["index"])
    return PackAbout(str(stored["fingerprint"]), int(stored["every"]), bool(stored["has_masks"]),
                     int(stored["size_px"]), float(stored["side_m"]))  # fmt: skip


def start_pack(folder: Path, num_frames: int, about: PackAbout) -> None:
    """Make empty arrays; from here on until `finish_pack` the folder holds no crops."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "about.npz").unlink(missing_ok=True)
    (folder / "masks.npy").unlink(missing_ok=True)
    shape = (num_frames, about.size_px, about.size_px)
    open_memmap(folder / "images.npy.partial", "w+", np.uint8, (*shape, 3)).flush()
    if about.has_masks:
        open_memmap(folder / "masks.npy.partial", "w+", np.uint8, shape).flush()


def write_rows(
    folder: Path, first: int, images: UInt8[np.ndarray, "n S S 3"], masks: UInt8[np.ndarray, "n S S"] | None
) -> None:
    """Fill neighbouring rows; several processes may do so at once."""
    open_memmap(folder / "images.npy.partial", "r+")[first : first + len(images)] = images
    if masks is not None:
        open_memmap(folder / "masks.npy.partial", "r+")[first : first + len(masks)] = masks


def finish_pack(folder: Path, about: PackAbout) -> None:
    """Give the arrays their names, and write what they are."""
    os.replace(folder / "images.npy.partial", folder / "images.npy")
    if about.has_masks:
        os.replace(folder / "masks.npy.partial", folder / "masks.npy")
    save_arrays(folder / "about.npz", "crops", **{name: np.array(value) for name, value in about._asdict().items()})


class PackedCrops:
    """Packed crops, opened on first use in each process."""

    def __init__(self, paths: Paths, centre: Centre, table: FrameTable, about: PackAbout):
        self.folder = pack_folder(paths, centre)
        self.about = about
        if (about.fingerprint, about.every, about.has_masks) != (table.fingerprint, table.every, table.has_masks):
            raise ValueError(f"{self.folder} was not made from this index; make it again with: {COMMANDS['index']} "
                             f"--centre {centre}")  # fmt: skip
        self.shape = (len(table.frames), about.size_px, about.size_px)
        self.arrays: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "arrays": {}}

    def _array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Open one array and check that it is complete."""
        if name not in self.arrays:
            path = self.folder / f"{name}.npy"
            try:
                self.arrays[name] = open_memmap(path, "r")
            except FileNotFoundError:
                raise FileNotFoundError(f"{path} does not exist; make it with: {COMMANDS['index']}") from None
            except (ValueError, OSError, EOFError) as error:
                raise damaged(path, COMMANDS["index"]) from error
            if self.arrays[name].shape != shape or self.arrays[name].dtype != np.uint8:
                raise damaged(path, COMMANDS["index"])
        return self.arrays[name]

    def image(self, row: int) -> UInt8[np.ndarray, "S S 3"]:
        """Give the packed RGB crop of a frame."""
        return np.asarray(self._array("images", (*self.shape, 3))[row])

    def mask(self, row: int) -> UInt8[np.ndarray, "S S"]:
        """Give the packed mask of a frame."""
        return np.asarray(self._array("masks", self.shape)[row])
