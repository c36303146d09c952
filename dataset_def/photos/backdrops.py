"""Pictures without people, to lie behind people in training: squares cut from them at random."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from dataset_def.frame_files import files_in
from utils.image import read_image
from utils.optional import later

cv2 = later("cv2")

ENDINGS = (".jpg", ".jpeg", ".png")
MOST = 400
"""Pictures that are kept in memory, spread evenly over the folder's; two squares' worth of pixels each."""
LEAST_SHARE = 0.4
"""Side of the smallest square over the shorter side of its picture."""


class Backdrops:
    """Pictures of a folder, shrunk to what their squares need."""

    def __init__(self, folder: Path, size_px: int) -> None:
        """Read the pictures.

        Args:
            size_px: side of the squares.
        Raises:
            FileNotFoundError, ValueError: there is no such folder, no picture in it, or a damaged one.
        """
        if not folder.is_dir():
            raise FileNotFoundError(f"augment.pictures is {folder}, which is no folder; give one with pictures (.jpg, "
                                    ".png) that show no person")  # fmt: skip
        files = files_in(folder, ENDINGS)
        if not files:
            raise ValueError(f"{folder} (augment.pictures) holds no .jpg or .png; put pictures without people there")
        chosen = np.unique(np.linspace(0, len(files) - 1, num=min(MOST, len(files))).round().astype(int))
        self.size_px = size_px
        self.pictures = [self._shrunk(read_image(files[number])) for number in chosen]

    def _shrunk(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Make a picture no larger than its smallest squares need."""
        factor = self.size_px / LEAST_SHARE / min(image.shape[:2])
        return image if factor >= 1 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)

    def square(self, rng: np.random.Generator) -> UInt8[np.ndarray, "S S 3"]:
        """Cut a random square of a random picture, mirrored or not."""
        picture = self.pictures[int(rng.integers(len(self.pictures)))]
        height, width = picture.shape[:2]
        side = max(1, round(float(rng.uniform(LEAST_SHARE, 1)) * min(height, width)))
        top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
        cut = picture[top : top + side, left : left + side]
        mirrored = cut[:, :: -1 if rng.random() < 0.5 else 1]
        return cv2.resize(np.ascontiguousarray(mirrored), (self.size_px, self.size_px), interpolation=cv2.INTER_AREA)
