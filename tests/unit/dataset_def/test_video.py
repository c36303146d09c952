"""Videos as phones and other programs write them: stamps, rotation, compression, names of any bytes."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset_def.multiview.custom_recording import common_rate
from dataset_def.multiview.settings import ImportMultiviewConfig
from dataset_def.photos.pictures import open_pictures
from dataset_def.video import open_video, probe, read_picture, read_stamps, video_frames
from tests.helpers.video_writers import turned, with_codec, with_durations, write_grey_video

LEVELS = [10 * number for number in range(20)]


def levels_of(path: Path) -> list[int]:
    return [int(frame[30:, :, 0].mean()) for frame in video_frames(path)]


def test_stamps_of_an_even_video_are_even(tmp_path):
    stamps = read_stamps(write_grey_video(tmp_path / "v.mp4", LEVELS))
    np.testing.assert_allclose(stamps.times_s, np.arange(20) / 10, atol=1e-3)
    assert not stamps.is_uneven and stamps.frames_per_second == pytest.approx(10, rel=1e-3)
    assert probe(tmp_path / "v.mp4").uneven == ""
    assert not read_stamps(with_durations(tmp_path / "v.mp4", [(10, 1), (1, 1.8), (9, 1)])).is_uneven


def test_a_variable_frame_rate_is_announced_by_predictions_and_refused_where_cameras_are_matched(tmp_path):
    path = with_durations(write_grey_video(tmp_path / "v.mp4", LEVELS), [(5, 1), (1, 10), (14, 1)])
    stamps = read_stamps(path)
    np.testing.assert_allclose(stamps.times_s[[5, 6, 19]], [0.5, 1.5, 2.8], atol=1e-3)
    with pytest.warns(UserWarning, match=r"variable frame rate: frame 7 is shown at 1\.50 s, even spacing .* 0\.88 s"):
        pictures = open_pictures(str(path))
    assert pictures.frames_per_second == pytest.approx(19 / 2.8, rel=1e-3)
    config = ImportMultiviewConfig(videos=(str(path),), calibration=(path,), to=tmp_path)
    with pytest.raises(ValueError, match=r"variable frame rate.* matched by frames; write it evenly .*ffmpeg"):
        common_rate({"a": probe(path)}, config)
    given = ImportMultiviewConfig(videos=(str(path),), calibration=(path,), to=tmp_path, frames_per_second=10)
    assert common_rate({"a": probe(path)}, given) == 10


def test_of_a_video_that_was_cut_short_as_many_frames_are_told_as_it_holds(tmp_path):
    """Its header tells of all; written by cameras whose card was full, or copied in part."""
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 96))
    noise = np.random.default_rng(0).integers(0, 255, (20, 96, 64, 3)).astype(np.uint8)
    for image in noise:
        writer.write(image)
    writer.release()
    assert probe(path).num_frames == 20
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    header = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)
    assert probe(path).num_frames in (len(list(video_frames(path))), len(list(video_frames(path))) + 1) and header > 15


def test_a_video_that_was_held_upright_is_turned(tmp_path):
    path = turned(write_grey_video(tmp_path / "v.mp4", LEVELS))
    info = probe(path)
    assert (info.width_px, info.height_px, info.num_frames) == (64, 96, 20)
    frame = next(iter(open_pictures(str(path)).frames())).rgb
    assert frame.shape == (96, 64, 3)
    assert frame[:, -4].mean() > 200 > 100 > frame[:, 4].mean(), "the bright top row is on the right now"
    with open_video(path) as reader:
        assert (reader.width_px, reader.height_px) == (64, 96)


@pytest.mark.parametrize(
    ("name", "words"),
    [(b"av01", r"is compressed as AV1, which the OpenCV installed here does not decode; convert it: ffmpeg -i v\.mp4"),
     (b"zzzz", r"compressed as 'zzzz',\) is not a video that OpenCV can read; copy it again, or convert it")],
)  # fmt: skip
def test_a_compression_that_is_not_decoded_is_named_with_the_way_to_convert(tmp_path, name, words):
    path = with_codec(write_grey_video(tmp_path / "v.mp4", LEVELS), name)
    for read in (probe, lambda path: open_pictures(str(path))):
        with pytest.raises(ValueError, match=words):
            read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"<!DOCTYPE html><html>", "it is a web page"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 80, "it is a PNG picture")],
)
def test_what_is_called_a_video_and_is_none_is_named(tmp_path, content, words):
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=f"is not a video that OpenCV can read: {words}"):
        probe(tmp_path / "v.mp4")


@pytest.mark.parametrize("name", [b"Vid\xe9o.mp4", b"12:30 walk.mp4", "Übung 100%.mp4".encode(), b"a b'c.m\xe9v"])
def test_names_of_any_bytes_are_opened(tmp_path, name):
    write_grey_video(tmp_path / "v.mp4", LEVELS)
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    os.rename(tmp_path / "v.mp4", path)
    assert np.abs(np.array(levels_of(path)) - LEVELS).max() <= 5


def test_relative_names_with_a_colon_and_bytes_end_no_process(tmp_path):
    """In a process of its own: what is tested ended it."""
    write_grey_video(tmp_path / "v.mp4", LEVELS)
    for name in (b"12:30 walk.mp4", b"Vid\xe9o.mp4"):
        os.link(tmp_path / "v.mp4", os.fsencode(tmp_path) + b"/" + name)
    code = "import os; from pathlib import Path; from dataset_def.video import probe\n" \
           "for name in sorted(os.listdir('.')): print(probe(Path(name)).num_frames)"  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout.split() == ["20"] * 3, done.stderr


def test_grey_of_16_bits_is_rounded_to_8(tmp_path):
    values = np.arange(0, 65536, 3, dtype=np.uint16)[:21840].reshape(168, 130)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png")[..., 0], np.round(values / 257).astype(np.uint8))


def test_a_head_cut_short_is_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content.replace(b"\0\0\0\x0dIHDR", b"\0\0\0\x04IHDR"))
    with pytest.raises(ValueError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")
