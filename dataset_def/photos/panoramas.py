"""Reads panoramas (equirectangular, twice as wide as high) and says what lies where in them."""

import base64
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from dataset_def.frame_files import files_in
from utils.image import read_image

ENDINGS = (".jpg", ".jpeg", ".png", ".hdr", ".exr", ".js")
MIDDLE_GREY = 0.18
"""What the middle of a panorama's tones is exposed to, in linear light.  Source: the grey card of photographers."""


def exr_linear(path: Path, named: Path | None = None) -> Float[np.ndarray, "H W 3"]:
    """Read an .exr.

    Args:
        named: the file that the user gave, where this one was taken out of it.
    Raises:
        ValueError: the package that reads them is missing, or the file is damaged or without colours.
    """
    named = named or path
    try:
        import OpenEXR  # type: ignore[import-not-found]
    except ImportError:
        raise ValueError(f"{named} is an .exr, which needs a package: pip install OpenEXR") from None
    try:
        with OpenEXR.File(str(path)) as file:
            found = {name: channel.pixels for name, channel in file.channels().items()}
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{named} is damaged or no .exr ({error}); fetch it again") from None
    for name in ("RGB", "RGBA"):
        if name in found:
            return found[name][..., :3].astype(np.float32)
    if not {"R", "G", "B"} <= found.keys():
        raise ValueError(f"{named} has channels {', '.join(found)} and no colours; take another panorama")
    return np.stack([found[name] for name in "RGB"], axis=-1).astype(np.float32)


def exr_in_script(path: Path) -> Float[np.ndarray, "H W 3"]:
    """Read an .exr that a script carries as text, `'data:...;base64,...'`.

    Raises:
        ValueError: there is no such text, it is damaged, or no .exr.
    """
    try:
        text = path.read_text().partition("base64,")[2].rpartition("'")[0]
        content = base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:  # binascii's and Unicode's errors are such
        raise ValueError(f"{path} is damaged ({error}); fetch it again") from None
    if not content:
        raise ValueError(f"{path} carries no picture as base64 text between quotation marks; take another panorama")
    with TemporaryDirectory() as folder:
        inner = Path(folder) / "panorama.exr"
        inner.write_bytes(content)
        return exr_linear(inner, path)


def read_linear(path: Path) -> Float[np.ndarray, "H W 3"]:
    """Read a panorama in linear light.

    Raises:
        ValueError: it is damaged, or no panorama.
    """
    if path.suffix.lower() == ".js":
        image = exr_in_script(path)
    elif path.suffix.lower() == ".exr":
        image = exr_linear(path)
    elif path.suffix.lower() == ".hdr":
        bgr = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if bgr is None or bgr.ndim != 3:
            raise ValueError(f"{path} is damaged and cannot be decoded; fetch it again")
        image = bgr[..., ::-1].astype(np.float32)
    else:
        image = (read_image(path).astype(np.float32) / 255) ** 2.2
    if image.shape[1] != 2 * image.shape[0]:
        raise ValueError(f"{path} is {image.shape[1]} x {image.shape[0]} pixels; a panorama is twice as wide as high")
    return np.nan_to_num(image, nan=0.0, posinf=1e4, neginf=0.0).clip(0, 1e4)


def exposed(linear: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Expose the middle of the tones to middle grey, and bend them as displays need it."""
    middle = np.exp(np.log(linear.mean(axis=-1) + 1e-6).mean())
    return (255 * (linear * MIDDLE_GREY / middle).clip(0, 1) ** (1 / 2.2)).round().astype(np.uint8)


def place_of(
    longitude_rad: Float[np.ndarray, "*n"], latitude_rad: Float[np.ndarray, "*n"], panorama_px: tuple[int, int]
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Say where in a panorama (height, width) directions lie: longitude to the right of its middle, latitude downwards.

    Returns:
        Columns and rows, in pixels.
    """
    height, width = panorama_px
    columns = np.mod(longitude_rad / (2 * np.pi) + 0.5, 1) * width - 0.5
    return columns.astype(np.float32), ((latitude_rad / np.pi + 0.5) * height - 0.5).astype(np.float32)


class Panorama(NamedTuple):
    """An exposed panorama to cut pictures from."""

    around: UInt8[np.ndarray, "H w 3"]
    """With a column more at each side, where it closes."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the panorama itself."""
        return self.around.shape[0], self.around.shape[1] - 2

    def seen(self, columns: Float[np.ndarray, "h w"], rows: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        """Cut a picture: give what is seen at these places of the panorama."""
        return cv2.remap(self.around, columns + 1, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def read_panorama(path: Path) -> Panorama:
    """Read and expose a panorama.

    Raises:
        ValueError: it is damaged, or no panorama.
    """
    return Panorama(cv2.copyMakeBorder(exposed(read_linear(path)), 0, 0, 1, 1, cv2.BORDER_WRAP))


def panoramas_in(folder: Path) -> list[Path]:
    """List the panoramas of a folder by their endings.

    Raises:
        FileNotFoundError: there is none.
    """
    files = files_in(folder, ENDINGS) if folder.is_dir() else []
    if not files:
        raise FileNotFoundError(f"{folder} holds no panoramas ({', '.join(ENDINGS)}); give their folder")
    return files
