"""The crop of any frame with everything that belongs to it, from packed crops or from the frames themselves.

Crops cut once and kept in two memory-mapped arrays, so that training decodes no image.

`<index_location>/crops_<centre>/` holds images.npy, masks.npy (if there are masks) and about.npz, written last.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.lib.format import open_memmap

from config import Crop, ImageAugmentation, Paths
from dataset_def.crop import crop_camera, cut, undistorted
from dataset_def.h36m_files import FrameKey, background_path, load_image, load_mask, told_by_keypoints
from dataset_def.h36m_index import Centre, FrameTable, check_backgrounds, subjects_of, targets_world_m
from utils.artifacts import COMMANDS, damaged, load_arrays, load_background, save_arrays
from utils.camera import Camera, resized
from utils.tiers import Reads, of_crops, of_people
from utils.warps import shrunk


class PackMetadata(NamedTuple):
    """What the packed crops were made from, and how."""

    fingerprint: str
    every: int
    has_masks: bool
    size_px: int
    side_m: float


PACK_KINDS = {"fingerprint": "U", "every": "i", "has_masks": "b", "size_px": "i", "side_m": "f"}
"""Kinds of what a pack's file holds; a side in whole metres is a whole number."""


def pack_folder(paths: Paths, centre: Centre) -> Path:
    """Say where the crops with this centre lie."""
    return paths.index_location / f"crops_{centre}"


def load_metadata(folder: Path) -> PackMetadata | None:
    """Read how the crops in a folder were made; None if there are none."""
    if not (folder / "about.npz").exists():
        return None
    stored = load_arrays(folder / "about.npz", "crops", COMMANDS["index"])
    kinds = {name: stored[name].dtype.kind for name in PackMetadata._fields if name in stored and not stored[name].ndim}
    if kinds | {"side_m": "f"} != PACK_KINDS or kinds.get("side_m") not in ("f", "i"):
        raise damaged(folder / "about.npz", COMMANDS["index"])
    return PackMetadata(
        str(stored["fingerprint"]),
        int(stored["every"]),
        bool(stored["has_masks"]),
        int(stored["size_px"]),
        float(stored["side_m"]),
    )


def start_pack(folder: Path, num_frames: int, metadata: PackMetadata) -> None:
    """Make empty arrays; from here on until `finish_pack` the folder holds no crops."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "about.npz").unlink(missing_ok=True)
    (folder / "masks.npy").unlink(missing_ok=True)
    shape = (num_frames, metadata.size_px, metadata.size_px)
    open_memmap(folder / "images.npy.partial", "w+", np.uint8, (*shape, 3)).flush()
    if metadata.has_masks:
        open_memmap(folder / "masks.npy.partial", "w+", np.uint8, shape).flush()


def write_rows(
    folder: Path, first: int, images: UInt8[np.ndarray, "n S S 3"], masks: UInt8[np.ndarray, "n S S"] | None
) -> None:
    """Fill neighbouring rows; several processes may do so at once."""
    open_memmap(folder / "images.npy.partial", "r+")[first : first + len(images)] = images
    if masks is not None:
        open_memmap(folder / "masks.npy.partial", "r+")[first : first + len(masks)] = masks


def finish_pack(folder: Path, metadata: PackMetadata) -> None:
    """Give the arrays their names, and write what they are."""
    os.replace(folder / "images.npy.partial", folder / "images.npy")
    if metadata.has_masks:
        os.replace(folder / "masks.npy.partial", folder / "masks.npy")
    save_arrays(folder / "about.npz", "crops", **{name: np.array(value) for name, value in metadata._asdict().items()})


class PackedCrops:
    """Packed crops, opened on first use in each process."""

    def __init__(self, paths: Paths, centre: Centre, table: FrameTable, metadata: PackMetadata):
        self.folder = pack_folder(paths, centre)
        self.metadata = metadata
        if (metadata.fingerprint, metadata.every, metadata.has_masks) != (
            table.fingerprint,
            table.every,
            table.has_masks,
        ):
            raise ValueError(f"{self.folder} was not made from this index; make it again with: {COMMANDS['index']} "
                             f"--centre {centre}")  # fmt: skip
        self.shape = (len(table.frames), metadata.size_px, metadata.size_px)
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


COARSER_BY = 1.05
"""Packed crops may be so much coarser than the crops cut from them."""


def check_pack(metadata: PackMetadata, crop: Crop, roll_rad: float, shift_m: float = 0.0) -> None:
    """Stop if packed crops are too small or too coarse for the crops that are cut from them."""
    needed_m = crop.side_m * (np.cos(roll_rad) + np.sin(roll_rad)) + 2 * shift_m
    needed_px = crop.size_px / crop.side_m * max(metadata.side_m, needed_m) / COARSER_BY
    if metadata.side_m < needed_m - 1e-6 or metadata.size_px < needed_px:
        raise ValueError(
            f"the packed crops ({metadata.size_px} px, {metadata.side_m} m) are too small or too coarse for crops of "
            f"{crop.size_px} px, {crop.side_m} m, rolled by up to {roll_rad} rad, moved by up to {shift_m} m; "
            f"pack again with: {COMMANDS['index']} --centre {crop.centre} "
            f"--pack-side-m {max(metadata.side_m, np.ceil(needed_m * 20) / 20):g} "
            f"--pack-px {16 * int(np.ceil(needed_px * 1.05 * COARSER_BY / 16))}"
        )


class FramePictures(NamedTuple):
    """Image and mask of one frame as its files hold them, to cut crops from."""

    paths: Paths
    key: FrameKey
    camera: Camera

    def image(self, to: Camera) -> UInt8[np.ndarray, "S S 3"]:
        """Cut what another camera at the same place sees."""
        return cut(load_image(self.paths, self.key, self.camera), self.camera, to)

    def mask(self, to: Camera) -> UInt8[np.ndarray, "S S"]:
        """Cut the mask that another camera at the same place sees."""
        return cut(load_mask(self.paths, self.key, self.camera), self.camera, to)


class PackedPictures(NamedTuple):
    """Image and mask of one frame as they were packed, to cut crops from."""

    packed: PackedCrops
    row: int
    camera: Camera
    """Of the packed crop."""

    def image(self, to: Camera) -> UInt8[np.ndarray, "S S 3"]:
        """Cut what another camera at the same place sees."""
        return cut(self.packed.image(self.row), self.camera, to)

    def mask(self, to: Camera) -> UInt8[np.ndarray, "S S"]:
        """Cut the mask that another camera at the same place sees."""
        return cut(self.packed.mask(self.row), self.camera, to)


def pictures_of(
    paths: Paths, table: FrameTable, row: int, packed: PackedCrops | None, target_world_m: Float[np.ndarray, "3"]
) -> FramePictures | PackedPictures:
    """Give the pictures that crops of a frame are cut from: as packed about a target, or as its files hold them."""
    camera = table.camera(row)
    if packed is None:
        return FramePictures(paths, table.key(row), camera)
    px, side_m = packed.metadata.size_px, packed.metadata.side_m
    return PackedPictures(packed, row, crop_camera(camera, target_world_m, px, side_m))


class CropSettings(NamedTuple):
    """How a data set cuts its crops: their size and centre, and how far random ones differ from that."""

    crop: Crop
    roll_rad: float = 0.0
    """Largest roll in the image plane."""
    shift_m: float = 0.0
    """Largest distance of the crop's centre from its target."""
    seed: int = 0
    or_frames: bool = False
    """Cut crops out of the frames, and say so, where packed ones are too small or too coarse; else such are refused.
    For tests, which see every image once."""

    def roll_and_shift(self, rng: np.random.Generator) -> tuple[float, Float[np.ndarray, "3"] | None]:
        """Draw roll and shift of one crop."""
        return rng.uniform(-self.roll_rad, self.roll_rad), random_shift(rng, self.shift_m)


def crops_of(crop: Crop, augment: ImageAugmentation, seed: int, is_training: bool) -> CropSettings:
    """Roll and shift the crops that are trained on; all others are cut as they are."""
    return CropSettings(crop, augment.roll_rad, augment.shift_m, seed) if is_training else CropSettings(crop, seed=seed)


def random_shift(rng: np.random.Generator, largest_m: float) -> Float[np.ndarray, "3"] | None:
    """Draw how far a crop's centre is moved off: any direction, all lengths up to the largest equally often."""
    if largest_m == 0:
        return None
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction) * rng.uniform(0, largest_m)


@lru_cache
def say_once(sentence: str) -> None:
    """Print a sentence the first time that a process has it to say."""
    print(sentence)


class CropReader:
    """Cuts crops of a data set's frames: out of its packed crops where there are any, else out of the frames."""

    def __init__(self, paths: Paths, table: FrameTable, settings: CropSettings) -> None:
        crop = settings.crop
        self.paths, self.table, self.crop = paths, table, crop
        self.targets_m = targets_world_m(table, crop.centre)
        self.packed: PackedCrops | None = None
        self.backgrounds: dict[tuple[int, int], tuple[np.ndarray, Camera]] = {}
        metadata = load_metadata(pack_folder(paths, crop.centre))
        if metadata is not None:
            self.packed = PackedCrops(paths, crop.centre, table, metadata)
            try:
                check_pack(metadata, crop, settings.roll_rad, settings.shift_m)
            except ValueError as error:
                if not settings.or_frames or not paths.h36m_location.is_dir():
                    raise
                say_once(f"crops are cut out of the frames, which is slower: {error}")
                self.packed = None
        elif not paths.h36m_location.is_dir():
            raise FileNotFoundError(f"neither frames ({paths.h36m_location}) nor packed crops "
                                    f"({pack_folder(paths, crop.centre)}) exist")  # fmt: skip

    def camera(self, row: int, roll_rad: float = 0.0, shift_world_m: Float[np.ndarray, "3"] | None = None) -> Camera:
        """Give the virtual camera of a frame's crop, rolled, and looking beside its target if it is to."""
        target_m = self.targets_m[row] if shift_world_m is None else self.targets_m[row] + shift_world_m
        return crop_camera(self.table.camera(row), target_m, self.crop.size_px, self.crop.side_m, roll_rad)

    def read(self, row: int, roll_rad: float = 0.0, shift_world_m: Float[np.ndarray, "3"] | None = None) -> "FrameCrop":
        """Give the crop of a frame, rolled in the image plane and moved off the centre."""
        return FrameCrop(self, row, self.camera(row, roll_rad, shift_world_m), self._source(row))

    def reads(self, rows: Int[np.ndarray, "n"]) -> Reads:
        """Say whose data the crops of some rows read."""
        who = subjects_of(self.table, rows)
        return self.traced(of_crops(self.crop, who)) | of_people(self.table.people, who)

    def traced(self, reads: Reads) -> Reads:
        """Trace labels of the data set back to 2D keypoints, where they were triangulated from some."""
        return reads.triangulated(told_by_keypoints(self.paths, reads.root | reads.joints))

    def _source(self, row: int) -> FramePictures | PackedPictures:
        """Give the pictures that crops of a frame are cut from."""
        return pictures_of(self.paths, self.table, row, self.packed, self.targets_m[row])

    def read_backgrounds(self, rows: Int[np.ndarray, "n"]) -> None:
        """Read the backgrounds of frames now, so that a missing one stops a script before it writes anything."""
        check_backgrounds(self.paths, self.table)
        for row in np.unique(self.table.frames[rows][:, [0, 3]], axis=0, return_index=True)[1]:
            self.background(int(rows[row]))

    def background(self, row: int) -> tuple[UInt8[np.ndarray, "H W 3"], Camera]:
        """Give the median image of a frame's subject and camera, and the camera without lens that shows it."""
        key, camera = self.table.key(row), self.table.camera(row)
        who = (key.subject, key.camera)
        if who not in self.backgrounds:
            self.backgrounds[who] = self._prepared_background(who, camera)
        image, straight = self.backgrounds[who]
        return image, straight._replace(R_cam_from_world=camera.R_cam_from_world, centre_world_m=camera.centre_world_m)

    def _prepared_background(self, who: tuple[int, int], camera: Camera) -> tuple[np.ndarray, Camera]:
        """Read a background, remove its distortion and shrink it as far as crops do anyway (it is cut often)."""
        path = background_path(self.paths, *who)
        loaded = load_background(path)
        if loaded.shape[:2] != (camera.height_px, camera.width_px):
            raise ValueError(
                f"{path} is {loaded.shape[1]} x {loaded.shape[0]} pixels, its camera {camera.width_px} x "
                f"{camera.height_px}; delete it and run: {COMMANDS['background']}"
            )
        image, straight = undistorted(loaded, camera)
        is_here = (self.table.frames[:, [0, 3]] == who).all(1) & np.isfinite(self.targets_m).all(1)
        farthest_m = np.linalg.norm(self.targets_m[is_here] - camera.centre_world_m, axis=1).max()
        finest_px = self.crop.size_px * farthest_m / self.crop.side_m
        shrink = max(1, int(straight.focal_px.min() / finest_px))
        smaller = resized(straight, straight.width_px // shrink, straight.height_px // shrink)
        return shrunk(image, smaller.width_px, smaller.height_px), smaller


class FrameCrop(NamedTuple):
    """The crop of one frame; its parts show the same piece of the world, and are cut when they are asked for."""

    reader: CropReader
    row: int
    camera: Camera
    """The crop's own."""
    source: FramePictures | PackedPictures
    """What image and mask are cut from."""

    @property
    def image(self) -> UInt8[np.ndarray, "S S 3"]:
        """The RGB crop."""
        return self.source.image(self.camera)

    @property
    def mask(self) -> UInt8[np.ndarray, "S S"]:
        """The person's mask; all person where the data set has no masks."""
        if not self.reader.table.has_masks:
            return np.full((self.camera.height_px, self.camera.width_px), 255, np.uint8)
        return self.source.mask(self.camera)

    @property
    def background(self) -> UInt8[np.ndarray, "S S 3"]:
        """What the camera sees without the person."""
        return cut(*self.reader.background(self.row), self.camera)
