"""The pictures that a user has: an image, a folder of images, a video file or a camera, one RGB frame after another."""

import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Literal, NamedTuple, TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8

from dataset_def.video import IMAGE_ENDINGS, VIDEOS, images_in, not_a_video, opened_video, read_picture, read_stamps
from utils.file_kinds import kind_of


class Picture(NamedTuple):
    """One frame."""

    name: str
    """Unique among the frames of one input; names of files are made from it."""
    rgb: UInt8[np.ndarray, "H W 3"]
    number: int = 0
    """Of a video: its place among the frames, from 0."""


class Pictures(NamedTuple):
    """Where frames come from.  `frames()` begins anew at each call (not for a camera); one frame is held at a time."""

    kind: Literal["image", "folder", "video", "camera"]
    source: str
    num_frames: int | None
    """How many there are as far as the file tells; None for a camera."""
    frames_per_second: float | None
    frames: Callable[[], Iterator[Picture]]

    @property
    def is_sequence(self) -> bool:
        """Whether neighbouring frames show the same scene a moment later."""
        return self.kind in ("video", "camera")


def open_pictures(source: str, longest: int = 0) -> Pictures:
    """Open an image, a folder of images, a video file or a camera by its number.

    Args:
        longest: stop after so many frames; 0 reads all.
    Raises:
        FileNotFoundError, ValueError: nothing there, nothing readable, or a kind of file that is not known.
    """
    path = Path(source)
    if source.isdigit() and not path.exists():
        return _camera(int(source), longest)
    if path.is_dir():
        return _folder(path, longest)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of an image, a folder or a video")
    kind = kind_of(path)
    if path.suffix.lower() in VIDEOS or (path.suffix.lower() not in IMAGE_ENDINGS and "video" in kind):
        return _video(path, longest)
    if path.suffix.lower() in IMAGE_ENDINGS or "picture" in kind:
        picture = Picture(readable(path.stem), read_picture(path))
        return Pictures("image", source, 1, None, lambda: iter([picture]))
    what = f": it is {kind}" if kind and kind != "text" else ""
    raise ValueError(f"{path} is neither an image ({', '.join(IMAGE_ENDINGS)}) nor a video ({', '.join(VIDEOS)}){what}")


def unique_names(files: Sequence[Path]) -> list[str]:
    """Name pictures after their files: the stem, with the ending where two have the same, always all different."""
    stems = Counter(readable(path.stem).lower() for path in files)
    names: list[str] = []
    taken: set[str] = {stem for stem, times in stems.items() if times == 1}
    for path in files:
        name = readable(path.stem)
        if stems[name.lower()] > 1:
            name, number = readable(path.name).replace(".", "_"), 1
            base = name
            while name.lower() in taken:
                number += 1
                name = f"{base}_{number}"
            taken.add(name.lower())
        names.append(name)
    return names


def readable(name: str) -> str:
    """Give a file's name as text that can be printed and stored, whatever bytes it has."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _folder(folder: Path, longest: int) -> Pictures:
    """List the images of a folder, in the order of their names."""
    paths = images_in(folder)
    if not paths:
        raise ValueError(f"{folder} holds no image ({', '.join(IMAGE_ENDINGS)})")
    return chosen_pictures(folder, list(zip(unique_names(paths), paths, strict=True))[: longest or None])


def chosen_pictures(folder: Path, chosen: Sequence[tuple[str, Path]]) -> Pictures:
    """Give some pictures of a folder, under their names."""
    return Pictures("folder", str(folder), len(chosen), None,
                    lambda: (Picture(name, read_picture(path)) for name, path in chosen))  # fmt: skip


def _video(path: Path, longest: int) -> Pictures:
    """Open a video file; its own count of frames is an estimate."""
    video = opened_video(path)
    count, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
    if not video.read()[0]:
        raise not_a_video(path, video)
    video.release()
    stamps = read_stamps(path)
    if stamps.is_uneven:
        warnings.warn(
            f"{stamps.described(path)}; motion is written at the mean rate, so that it is not timed as it was: convert "
            "the video first (ffmpeg -i IN -fps_mode cfr -r 30 OUT)",
            stacklevel=2,
        )
    rate = stamps.frames_per_second if stamps.is_uneven else rate if 0 < rate < 1000 else 25.0
    known = max(count, 1)
    return Pictures("video", str(path), min(known, longest or known), rate,
                    lambda: _numbered(_captured(opened_video(path)), longest))  # fmt: skip


def _camera(number: int, longest: int) -> Pictures:
    """Open a camera of this machine."""
    video = cv2.VideoCapture(number)
    if not video.isOpened():
        raise ValueError(f"camera {number} cannot be opened; give another number, or the path of a picture or a video")
    rate = video.get(cv2.CAP_PROP_FPS)
    return Pictures("camera", f"camera {number}", longest or None, rate if 0 < rate < 1000 else 25.0,
                    lambda: _numbered(until_interrupted(_captured(video)), longest))  # fmt: skip


Item = TypeVar("Item")


def until_interrupted(items: Iterable[Item]) -> Iterator[Item]:
    """Hand items on until Ctrl-C, which then only ends them, as a camera has no end of its own; a second stops all."""
    asked: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        for item in items:
            yield item
            if asked:
                return
    finally:
        signal.signal(signal.SIGINT, before)


def _captured(video: cv2.VideoCapture) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Read frames until there are no more, or nobody wants them."""
    try:
        is_read, bgr = video.read()
        while is_read:
            yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            is_read, bgr = video.read()
    finally:
        video.release()


def _numbered(frames: Iterator[UInt8[np.ndarray, "H W 3"]], longest: int) -> Iterator[Picture]:
    """Name the frames of a video by their numbers, from 1."""
    for number, rgb in enumerate(frames, start=1):
        if longest and number > longest:
            return
        yield Picture(f"frame_{number:06d}", rgb, number - 1)
