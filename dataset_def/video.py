"""Videos and folders of images as streams of RGB frames, and what is known of them before they are read.

Frames come in order, and only those that are asked for are decoded to colours.  OpenCV and FFmpeg are kept from burying
our own sentence about a damaged video under their messages.
"""

import mmap
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from dataset_def.frame_files import files_in, frame_numbers, is_hidden
from utils.file_kinds import kind_of

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
LARGEST_MEGAPIXELS = 60
"""Larger pictures are refused: decoded, this many take 180 MB."""


CONVERSIONS = {
    "HEIC": "convert it, for example with `magick photo.heic photo.jpg`, or export it as JPEG on the phone",
    "AVIF": "convert it, for example with `magick photo.avif photo.png`",
    "JPEG XL": "convert it, for example with `djxl photo.jxl photo.png`",
    "video": "give it the ending of a video",
    "picture": "save it as PNG or JPEG",
    "html": "download it again",
}
"""What to do with a file of another kind, by a word of what it is."""


def not_a_picture(path: Path) -> ValueError:
    """Describe a file that no picture can be read from, by what it is."""
    kind = kind_of(path)
    if not kind or kind in ("an empty file", "text"):
        return ValueError(f"{path} ({path.stat().st_size} bytes) is no image that can be read; copy it again")
    remedy = next((todo for word, todo in CONVERSIONS.items() if word in kind), "give a picture instead")
    return ValueError(f"{path} is no image that can be read: it is {kind}; {remedy}")


def _opaque(picture: Image.Image, behind: int) -> Image.Image:
    """Lay a picture over grey of a value, as what it hides behind transparency is not meant to be seen."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    ground = Image.new("RGBA", picture.size, (behind, behind, behind, 255))
    return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")


def _warn_of_more(path: Path, opened: Image.Image) -> None:
    """Say that a file holds several pictures; what phones put beside a JPEG (its depth, say) is none."""
    count = getattr(opened, "n_frames", 1)
    if count > 1 and opened.format in SEVERAL_PICTURES:
        warnings.warn(f"{path} holds {count} pictures, of which the first is read; give each as a file of its own, or "
                      "all as a video (ffmpeg -i IN OUT.mp4)", stacklevel=3)  # fmt: skip


SEVERAL_PICTURES = ("GIF", "PNG", "WEBP", "TIFF")


def _eight_bits(path: Path, picture: Image.Image) -> Image.Image:
    """Bring grey levels of more than 8 bits to 8, and refuse those whose range is not known."""
    if picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        return Image.fromarray((values // 257 + (values % 257 > 128)).astype(np.uint8))  # rounded; no tie is possible
    if picture.mode in ("I", "F"):
        values = np.asarray(picture)
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and 1 < high <= 255):  # also if a value is no number
            raise ValueError(f"{path} has grey levels of 32 bits from {low:g} to {high:g}, so that black and white are "
                             "not known; save it with 8 or 16 bits")  # fmt: skip
    return picture


def read_picture(path: Path, behind: int = 255) -> UInt8[np.ndarray, "H W 3"]:
    """Read any usual image file as RGB, turned as its camera says; what it is decides, not its ending.

    Args:
        behind: what shows through transparent parts; white, as in most programs.
    Raises:
        FileNotFoundError, ValueError: missing, empty, truncated, no image (said what it is), or too large.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of an image, a folder or a video")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            opened = Image.open(path)
        with opened:
            megapixels = opened.width * opened.height / 1e6
            if megapixels > LARGEST_MEGAPIXELS:
                raise ValueError(f"{path} has {megapixels:.0f} megapixels; shrink it to at most {LARGEST_MEGAPIXELS}")
            _warn_of_more(path, opened)
            return np.asarray(_opaque(_eight_bits(path, ImageOps.exif_transpose(opened)), behind))
    except UnidentifiedImageError:
        raise not_a_picture(path) from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} is too large; shrink it to at most {LARGEST_MEGAPIXELS} megapixels") from None
    except (OSError, SyntaxError, ValueError, MemoryError) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path} is damaged ({error}); copy it again") from None


def read_given_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a mask of the user's from any usual image file; the person is above 128, and not where it is transparent.

    Raises:
        FileNotFoundError, ValueError: as `read_picture`.
    """
    return cv2.cvtColor(read_picture(path, behind=0), cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


FFMPEG_QUIET = "-8"
"""FFmpeg's AV_LOG_QUIET; OpenCV reads it when the first video is opened, and a user's own choice is kept."""


CODECS = {
    "av01": "AV1", "vp09": "VP9", "vp90": "VP9", "vp80": "VP8", "hev1": "HEVC (H.265)", "hvc1": "HEVC (H.265)",
    "hevc": "HEVC (H.265)", "dvh1": "HEVC (Dolby Vision)", "apcn": "Apple ProRes", "apch": "Apple ProRes",
    "apcs": "Apple ProRes", "apco": "Apple ProRes", "ap4h": "Apple ProRes", "avdn": "DNxHD", "cfhd": "CineForm",
    "vvc1": "VVC (H.266)", "crcc": "Cinepak",
}  # fmt: skip
"""Names of compressions that not every OpenCV decodes, by the four letters in the file."""
TO_H264 = "ffmpeg -i {source} -c:v libx264 -crf 18 {target}"


@contextmanager
def plain_path(path: Path) -> Iterator[str]:
    """Give a name that OpenCV takes: absolute (a colon means a protocol else) and UTF-8 (other bytes end it)."""
    name = os.path.abspath(path)
    if is_utf8(name):
        yield name
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / f"video{path.suffix if is_utf8(path.suffix) else ''}"
        link.symlink_to(name)
        yield str(link)


def is_utf8(name: str) -> bool:
    """Tell whether a file's name is text; on Linux it may be any bytes."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def opened_video(path: Path, backend: int = cv2.CAP_ANY, settings: Sequence[int] = ()) -> cv2.VideoCapture:
    """Open a video; whether that worked is to be asked of what is returned."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        with plain_path(path) as name:
            return cv2.VideoCapture(name, backend, list(settings))
    finally:
        cv2.utils.logging.setLogLevel(before)


def codec_of(path: Path, video: cv2.VideoCapture) -> str:
    """Name a video's compression by its four letters, from the decoder or from the file itself; empty if unknown."""
    code = int(video.get(cv2.CAP_PROP_FOURCC)) if video.isOpened() else 0
    if code > 0:
        return code.to_bytes(4, "little").decode("latin1").strip("\0 ")
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(b"stsd")  # the description of an MP4's samples: version, count, size, name
        found = content[place + 16 : place + 20] if place >= 0 else b""
    return found.decode("latin1") if found.isalnum() else ""


def not_a_video(path: Path, video: cv2.VideoCapture) -> ValueError:
    """Describe a file of which no frame can be read: what it is, or how it is compressed, and what to do."""
    size = path.stat().st_size
    kind = kind_of(path)
    if size and kind and "video" not in kind and kind != "text":
        return ValueError(f"{path} is not a video that OpenCV can read: it is {kind}")
    codec = codec_of(path, video) if size else ""
    if codec and codec.lower() in CODECS:
        convert = TO_H264.format(source=path.name, target=f"{path.stem}_h264.mp4")
        return ValueError(f"{path} is compressed as {CODECS[codec.lower()]}, which the OpenCV installed here does not "
                          f"decode; convert it: {convert}")  # fmt: skip
    compressed = f", compressed as {codec!r}," if codec else ""
    return ValueError(f"{path} ({size} bytes{compressed}) is not a video that OpenCV can read; copy it again, or "
                      f"convert it: {TO_H264.format(source=path.name, target='new.mp4')}")  # fmt: skip


class Stamps(NamedTuple):
    """When the frames of a video were taken, as the file says."""

    times_s: Float[np.ndarray, "n"]
    """From the first frame; empty where the file does not tell."""
    num_stored: int = 0
    """How many frames lie in the file, whole or cut short; 0 where that is not known."""

    @property
    def frames_per_second(self) -> float:
        """The mean rate; 0 if it is not known."""
        return (len(self.times_s) - 1) / self.times_s[-1] if len(self.times_s) > 1 else 0.0

    @property
    def worst(self) -> int:
        """The frame that is farthest from where even spacing would have it."""
        even_s = np.arange(len(self.times_s)) / max(self.frames_per_second, 1e-9)
        return int(np.abs(self.times_s - even_s).argmax()) if len(self.times_s) else 0

    @property
    def is_uneven(self) -> bool:
        """Whether a frame is more than the time of one away from even spacing: a variable frame rate."""
        rate = self.frames_per_second
        return rate > 0 and abs(self.times_s[self.worst] - self.worst / rate) * rate > 1.0

    def described(self, path: Path) -> str:
        """Say it with the frame where it shows most."""
        row, rate = self.worst, self.frames_per_second
        return (f"{path} has a variable frame rate: frame {row + 1} is shown at {self.times_s[row]:.2f} s, even "
                f"spacing at its mean rate of {rate:.2f} would have it at {row / rate:.2f} s")  # fmt: skip


def read_stamps(path: Path) -> Stamps:
    """Read the times of all frames without decoding them."""
    video = opened_video(path, cv2.CAP_FFMPEG)
    times = []
    if video.isOpened() and video.set(cv2.CAP_PROP_FORMAT, -1):  # packets as they are, in the order of decoding
        while video.grab():
            times.append(video.get(cv2.CAP_PROP_POS_MSEC) / 1e3)
    video.release()
    ordered = np.sort(np.array(times))
    is_told = len(ordered) > 2 and bool((np.diff(ordered) > 0).all())
    return Stamps(ordered - ordered[0] if is_told else np.zeros(0), len(times))


class VideoInfo(NamedTuple):
    """One camera's pictures."""

    path: Path
    """A video, or a folder of images."""
    num_frames: int
    frames_per_second: float
    """0 where it is not known."""
    width_px: int
    height_px: int
    numbers: tuple[int, ...] | None = None
    """Of images, as their names tell them."""
    uneven: str = ""
    """Where the frame rate is variable, a sentence that says so."""


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder, in order."""
    return files_in(folder, IMAGE_ENDINGS)


def clips_in(folder: Path) -> list[Path]:
    """List the videos of a folder, in order."""
    return files_in(folder, VIDEOS)


def is_video_or_folder(path: Path) -> bool:
    """Tell whether a path is a video by its name, or a folder with images."""
    if is_hidden(path):
        return False
    return bool(images_in(path)) if path.is_dir() else path.suffix.lower() in VIDEOS


def probe(path: Path) -> VideoInfo:
    """Find out how long and how large a camera's pictures are.

    Raises:
        FileNotFoundError, ValueError: missing, empty, or nothing that can be read.
    """
    if path.is_dir():
        images = images_in(path)
        if not images:
            raise FileNotFoundError(f"{path} holds no images ({', '.join(IMAGE_ENDINGS)})")
        height_px, width_px = read_picture(images[0]).shape[:2]
        return VideoInfo(path, len(images), 0.0, width_px, height_px, frame_numbers(images))
    if not path.is_file():
        raise FileNotFoundError(f"video {path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"video {path} is empty (0 bytes); copy it again")
    height_px, width_px = next(video_frames(path)).shape[:2]
    video, stamps = opened_video(path), read_stamps(path)
    num_frames, frames_per_second = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), float(video.get(cv2.CAP_PROP_FPS))
    video.release()
    if num_frames < 1:  # some containers do not tell
        num_frames = sum(1 for _ in video_frames(path))
    if stamps.num_stored:  # others tell what was meant to be written, or what the length makes likely
        num_frames = min(num_frames, stamps.num_stored)
    rate = frames_per_second if 0 < frames_per_second < 1000 else 0.0
    uneven = stamps.described(path) if stamps.is_uneven else ""
    return VideoInfo(path, num_frames, rate, width_px, height_px, uneven=uneven)


def video_frames(path: Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Read the RGB frames of a video.

    Raises:
        ValueError: the file is no video that OpenCV can read.
    """
    video = opened_video(path)
    is_read, bgr = video.read()
    if not is_read:
        raise not_a_video(path, video)
    while is_read:
        yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        is_read, bgr = video.read()
    video.release()


def frames_of(path: Path, first: int, every: int) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Read every n-th frame of a video or of a folder of images, from a first one on."""
    if path.is_dir():
        return (read_picture(image) for image in images_in(path)[first::every])
    return islice(video_frames(path), first, None, every)


class VideoReader:
    """An open video, and how many of its frames have been passed."""

    def __init__(self, path: Path):
        self.path = path
        self.video = opened_video(path, cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
        self.width_px = int(self.video.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height_px = int(self.video.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.header_frames = int(self.video.get(cv2.CAP_PROP_FRAME_COUNT))
        """Number of frames that the file's header states; the number that can be decoded may be smaller."""
        self.num_passed = 0

    def frames(self, every: int, last: int) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
        """Give (number, RGB picture) of frames 1, 1 + every, ... up to `last`; ends early where the video does."""
        while self.num_passed < last and self.video.grab():
            self.num_passed += 1
            if (self.num_passed - 1) % every == 0:
                is_decoded, bgr = self.video.retrieve()
                if not is_decoded:
                    raise ValueError(f"frame {self.num_passed} of {self.path} cannot be decoded; download it again")
                yield self.num_passed, np.ascontiguousarray(bgr[..., ::-1])


@contextmanager
def open_video(path: Path) -> Iterator[VideoReader]:
    """Open a video.

    Raises:
        FileNotFoundError, ValueError: missing, or nothing that OpenCV can decode.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; unpack the download's videos there")
    reader = VideoReader(path)
    try:
        if not reader.video.isOpened() or reader.width_px < 1 or reader.height_px < 1:
            raise ValueError(f"{not_a_video(path, reader.video)}; or download it again: it is damaged or no video")
        yield reader
    finally:
        reader.video.release()
