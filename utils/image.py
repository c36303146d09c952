"""Read, write and change images.  Colour is RGB here and everywhere; only this file knows that BGR exists."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from utils.artifacts import atomic_write
from utils.optional import later
from utils.whole_batch import Draws, rand

cv2 = later("cv2")

PERSON_ABOVE = 128
"""A pixel of a mask shows the person above this value; masks from JPEG or resizing have all values between."""
TAIL = {"jpg": b"\xff\xd9", "png": b"IEND"}
"""What a complete file has within its last bytes; OpenCV itself fills the missing part of a .jpg with grey."""


def ends_inside(content: bytes, kind: str) -> bool:
    """Tell whether a picture ends well before its file does: phones and programs append data of their own.

    The end of a .jpg is looked for behind the header, as a small picture may lie in that, whole.
    """
    if kind == "png":
        return content.rfind(b"IEND") > 0
    place = 2
    while content[place : place + 1] == b"\xff" and place + 4 <= len(content):
        if content[place + 1] == JPG_START_OF_SCAN:
            return content.find(TAIL["jpg"], place) > 0
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return False


JPG_START_OF_SCAN = 0xDA


def read_bytes(path: Path, what: str) -> UInt8[np.ndarray, "n"]:
    """Read a whole image file and check that it is there and complete."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{what} {path} does not exist; copy it there, or run the script that made it"
        ) from None
    kind = "png" if content[:4] == b"\x89PNG" else "jpg"
    if TAIL[kind] not in content[-1024:] and not ends_inside(content, kind):
        raise ValueError(f"{what} {path} is truncated or no {kind} ({len(content)} bytes); copy it again")
    return np.frombuffer(content, np.uint8)


def decode(path: Path, what: str, flag: int) -> np.ndarray:
    """Decode an image file, or say that it is damaged."""
    content = read_bytes(path, what)
    try:
        image = cv2.imdecode(content, flag)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"{what} {path} is damaged and cannot be decoded; copy it again")
    return image


def read_image(path: Path | str) -> UInt8[np.ndarray, "H W 3"]:
    """Read a .jpg or .png as RGB.

    Raises:
        FileNotFoundError, ValueError: missing, truncated or damaged.
    """
    return decode(Path(path), "image", cv2.IMREAD_COLOR_RGB)


def read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a person mask; the person is above 128.

    Raises:
        FileNotFoundError, ValueError: missing, truncated or damaged.
    """
    return decode(path, "mask", cv2.IMREAD_GRAYSCALE)


def encode(image: UInt8[np.ndarray, "H W *c"], ending: str, quality: int = 95) -> bytes:
    """Turn an RGB image or a grey mask into the content of a .jpg or .png."""
    bgr = image[..., ::-1] if image.ndim == 3 else image
    options = [] if ending == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    encoded_well, content = cv2.imencode(ending, np.ascontiguousarray(bgr), options)
    assert encoded_well
    return content.tobytes()


def write_image(path: Path, image: UInt8[np.ndarray, "H W *c"], quality: int = 95) -> None:
    """Write an RGB image or a grey mask as .jpg or .png, by the ending of the path; none where it cannot be whole."""
    content = encode(image, path.suffix, quality)
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def to_unit_rgb(image: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "3 H W"]:
    """Turn an RGB picture into a tensor in [0, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) * np.float32(1 / 255))


def to_pictures(images: Float[Tensor, "N C H W"]) -> UInt8[np.ndarray, "N H W 3"]:
    """Turn tensors in [0, 1] (RGB, or RGB and opacity) into RGB pictures."""
    return np.stack([to_picture(image[:3]) for image in images])


def to_picture(image: Float[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Turn a tensor in [0, 1] into an RGB picture; what lies outside is cut off."""
    scaled = image.detach().float().clamp(0, 1) * 255
    return scaled.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _draw(shape: tuple[int, ...], low: float, high: float, generator: Draws, like: Tensor) -> Tensor:
    """Draw uniform numbers on the generator's device and move them to the images."""
    return (low + (high - low) * rand(shape, generator)).to(like)


def _permute_channels(images: Tensor, generator: Draws) -> Tensor:
    """Shuffle the colour channels of every image on its own."""
    order = rand(images.shape[:2], generator).argsort(1).to(images.device)
    return images.gather(1, order[:, :, None, None].expand_as(images))


def jitter_colours(
    images: Float[Tensor, "B 3 H W"], strength: float, permute: bool, generator: Draws
) -> Float[Tensor, "B 3 H W"]:
    """Change gain, offset, contrast and sharpness of every image at random, as another room and other clothes would.

    At strength 1 the gain of a channel is 0.67 to 1.5, the offset up to 0.2, the contrast 0.6 to 1.67 about the
    channel's mean, the blur up to a full 3 x 3 mean.  The result stays in [0, 1]; the gradient is zero where it is cut.
    """
    if permute:
        images = _permute_channels(images, generator)
    if strength == 0:
        return images
    per_channel = (len(images), 3, 1, 1)
    gain = _draw(per_channel, -0.4 * strength, 0.4 * strength, generator, images).exp()
    offset = _draw(per_channel, -0.2 * strength, 0.2 * strength, generator, images)
    contrast = _draw(per_channel, -0.5 * strength, 0.5 * strength, generator, images).exp()
    blur = _draw((len(images), 1, 1, 1), 0.0, strength, generator, images)
    mean = images.mean((2, 3), keepdim=True)
    smooth = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    images = torch.lerp(images, smooth, blur)
    return ((images - mean) * contrast + mean * gain + offset).clamp(0, 1)
