"""Videos as phones write them: MP4 files by OpenCV whose boxes are changed afterwards."""

import struct
from pathlib import Path

import cv2
import numpy as np

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")


def write_grey_video(
    path: Path, levels: list[int], frames_per_second: float = 10.0, size: tuple[int, int] = (96, 64)
) -> Path:
    """Write frames of one grey level each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second, size)
    for level in levels:
        picture = np.full((size[1], size[0], 3), level, np.uint8)
        picture[:8] = 255
        writer.write(picture)
    writer.release()
    return path


def rebuilt(content: bytes, changes: dict[bytes, object]) -> bytes:
    """Write an MP4 again with the bodies of some boxes changed by functions; what is before `moov` stays there."""
    parts, place = [], 0
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        body = content[place + 8 : place + size]
        if kind in CONTAINERS:
            body = rebuilt(body, changes)
        elif kind in changes:
            body = changes[kind](body)  # type: ignore[operator]
        parts.append(struct.pack(">I4s", len(body) + 8, kind) + body)
        place += size
    return b"".join(parts)


def with_durations(path: Path, durations: list[tuple[int, float]]) -> Path:
    """Show frames for other times: (number of frames, how many usual times each)."""

    def times(body: bytes) -> bytes:
        usual = struct.unpack(">I", body[12:16])[0]
        entries = b"".join(struct.pack(">II", count, round(factor * usual)) for count, factor in durations)
        return body[:4] + struct.pack(">I", len(durations)) + entries

    def whole(body: bytes) -> bytes:
        return body[:8] + struct.pack(">I", 2**31 - 1) + body[12:]  # the edit list would cut what now lasts longer

    path.write_bytes(rebuilt(path.read_bytes(), {b"stts": times, b"elst": whole}))
    return path


def turned(path: Path) -> Path:
    """Say in the header that the camera was held upright: pictures are shown turned by a quarter, clockwise."""

    def matrix(body: bytes) -> bytes:
        start = 40 if body[0] == 0 else 52
        quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
        return body[:start] + quarter + body[start + 36 :]

    path.write_bytes(rebuilt(path.read_bytes(), {b"tkhd": matrix}))
    return path


def with_codec(path: Path, name: bytes) -> Path:
    """Call the compression otherwise, so that there is no decoder for it."""
    content = path.read_bytes()
    place = content.rindex(b"mp4v")
    path.write_bytes(content[:place] + name + content[place + 4 :].replace(b"esds", b"free"))
    return path
