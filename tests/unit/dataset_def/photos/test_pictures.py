import signal
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset_def.photos.pictures import open_pictures, until_interrupted
from dataset_def.video import read_given_mask, read_picture


def write_video(path, count: int, size=(64, 48)) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, size)
    for number in range(count):
        writer.write(np.full((size[1], size[0], 3), (0, 0, 20 + 10 * number), np.uint8))  # BGR: red grows
    writer.release()


def test_a_video_gives_its_frames_in_order_as_rgb_and_begins_anew(tmp_path):
    write_video(tmp_path / "v.mp4", 8)
    pictures = open_pictures(str(tmp_path / "v.mp4"))
    assert (pictures.kind, pictures.num_frames, pictures.frames_per_second) == ("video", 8, 20.0)
    for _ in range(2):
        frames = list(pictures.frames())
        reds = [frame.rgb[..., 0].mean() for frame in frames]
        assert [frame.name for frame in frames[:2]] == ["frame_000001", "frame_000002"] and len(frames) == 8
        assert [frame.number for frame in frames] == list(range(8))
        assert (np.diff(reds) > 5).all() and frames[3].rgb[..., 2].mean() < 20


def test_only_so_many_frames_as_asked_for(tmp_path):
    write_video(tmp_path / "v.mp4", 8)
    pictures = open_pictures(str(tmp_path / "v.mp4"), longest=3)
    assert pictures.num_frames == 3 and len(list(pictures.frames())) == 3


def test_a_folder_is_read_in_the_order_of_names_and_equal_stems_stay_apart(tmp_path):
    for name, red in (("b.png", 200), ("a.jpg", 100), ("b.jpg", 50)):
        Image.fromarray(np.full((10, 12, 3), (red, 0, 0), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    frames = list(open_pictures(str(tmp_path)).frames())
    assert [frame.name for frame in frames] == ["a", "b_jpg", "b_png"]
    assert [int(frame.rgb[0, 0, 0]) // 10 * 10 for frame in frames] == [100, 50, 200]


def test_a_photo_that_was_taken_upright_is_turned(tmp_path):
    picture = Image.fromarray(np.zeros((10, 30, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    picture.save(tmp_path / "p.jpg", exif=exif)
    assert read_picture(tmp_path / "p.jpg").shape == (30, 10, 3)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jpg", b"", r"0 bytes\) is no image"),
        ("text.png", b"not a picture at all", "is no image"),
        ("empty.mp4", b"", r"0 bytes\) is not a video"),
        ("noise.mp4", b"\0\0\0\x18ftypmp42" + b"\7" * 500, "is not a video"),
        ("paper.pdf", b"%PDF", "is neither an image"),
    ],
)
def test_files_that_are_no_pictures_are_refused_by_name(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        list(open_pictures(str(tmp_path / name)).frames())


def test_a_truncated_photo_is_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)).save(tmp_path / "p.jpg")
    content = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "p.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        read_picture(tmp_path / "p.jpg")


@pytest.mark.filterwarnings("error")
def test_a_picture_of_a_hundred_megapixels_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match="has 100 megapixels; shrink it to at most 60"):
        read_picture(tmp_path / "huge.png")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_pictures(str(tmp_path / "nothing.jpg"))
    with pytest.raises(ValueError, match="holds no image"):
        open_pictures(str(tmp_path))


@pytest.fixture
def terminal():
    """Let Ctrl-C interrupt, as in a terminal: a shell starts what runs in its background without Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_ends_a_camera_after_the_frame_in_hand_and_is_itself_again_afterwards():
    seen = []
    for number in until_interrupted(iter(range(100))):
        seen.append(number)
        if number == 3:
            signal.raise_signal(signal.SIGINT)
    assert seen == [0, 1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("terminal")
def test_a_second_ctrl_c_stops_everything():
    with pytest.raises(KeyboardInterrupt):
        for _ in until_interrupted(iter(range(100))):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)


def test_hidden_files_are_no_pictures_and_names_of_pictures_are_unique(tmp_path):
    for number, name in enumerate(("a.jpg", "a.png", "a_jpg.png", "A.PNG", "._a.jpg")):
        if number < 4:
            Image.fromarray(np.full((10, 12, 3), 50 * number, np.uint8)).save(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(b"\0\5\x16\7")
    names = [frame.name for frame in open_pictures(str(tmp_path)).frames()]
    assert len(names) == 4 and len({name.lower() for name in names}) == 4 and "a_jpg" in names


def test_sixteen_bits_are_brought_to_eight_and_other_depths_are_refused_or_read_as_they_are(tmp_path):
    grey = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    for name in ("deep.png", "deep.tif"):
        cv2.imwrite(str(tmp_path / name), grey.astype(np.uint16) * 257)
        np.testing.assert_array_equal(read_picture(tmp_path / name), np.repeat(grey[..., None], 3, -1))
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png")[..., 0], grey)
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "float.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "float.tif")[..., 1], grey)
    for name, values in (("unit.tif", grey.astype(np.float32) / 255), ("depth.tif", grey.astype(np.int32) * 1000)):
        Image.fromarray(values).save(tmp_path / name)
        with pytest.raises(ValueError, match=r"grey levels of 32 bits .* save it with 8 or 16 bits"):
            read_picture(tmp_path / name)


def with_hidden_part(folder: Path, person: int) -> list[Path]:
    """Write pictures whose left half is grey of a value, and whose right half is transparent over another colour."""
    rgba = np.zeros((6, 8, 4), np.uint8)
    rgba[:, :4] = (person, person, person, 255)
    rgba[:, 4:] = (250, 30, 200, 0)
    places = [folder / name for name in ("a.png", "a.webp", "grey.png", "palette.png")]
    Image.fromarray(rgba).save(places[0])
    Image.fromarray(rgba).save(places[1], lossless=True, exact=True)
    Image.fromarray(rgba[..., [0, 3]], "LA").save(places[2])
    Image.fromarray((rgba[..., 3] == 0).astype(np.uint8), "P").save(places[3])
    palette = Image.open(places[3])
    palette.putpalette([person, person, person, 250, 30, 200])
    palette.save(places[3], transparency=1)
    return places


def test_what_is_hidden_behind_transparency_is_seen_in_no_picture_and_is_nobody_in_a_mask(tmp_path):
    for path in with_hidden_part(tmp_path, 90):
        halves = [read_picture(path)[:, part].reshape(-1, 3).tolist() for part in (slice(4), slice(4, 8))]
        assert halves == [[[90] * 3] * 24, [[255] * 3] * 24], path.name
    for path in with_hidden_part(tmp_path, 255):
        np.testing.assert_array_equal(read_given_mask(path), np.repeat([[255, 0]], 4, axis=1).repeat(6, axis=0))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_of_several_pictures_in_a_file_the_first_is_read_and_it_is_told(tmp_path, name):
    first, second = (Image.fromarray(np.full((6, 8, 3), level, np.uint8)) for level in (40, 200))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match=rf"{name} holds 2 pictures, of which the first is read; .* \(ffmpeg "):
        assert abs(read_picture(tmp_path / name).astype(int) - 40).max() < 4
    first.save(tmp_path / name)
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[second])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(tmp_path / name).shape == read_picture(tmp_path / "phone.jpg").shape == (6, 8, 3)


def test_what_a_picture_is_decides_and_not_its_ending(tmp_path):
    Image.fromarray(np.full((10, 12, 3), 90, np.uint8)).save(tmp_path / "p.png")
    (tmp_path / "p.jpg").write_bytes((tmp_path / "p.png").read_bytes())
    assert read_picture(tmp_path / "p.jpg")[0, 0].tolist() == [90, 90, 90]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x24ftypheic" + b"\0" * 60, r"it is a HEIC picture; convert it, .* `magick photo.heic photo.jpg`"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 60, "it is an MP4 or MOV video; give it the ending of a video"),
        (b"<!DOCTYPE html><html>log in</html>", "it is a web page .html.*; download it again"),
        (b"%PDF-1.7", "it is a PDF; give a picture instead"),
        (b"\xff\x0a" + b"\0" * 60, "it is a JPEG XL picture"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
    ],
)
def test_sound_files_of_another_kind_are_called_by_it(tmp_path, content, words):
    (tmp_path / "p.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_picture(tmp_path / "p.jpg")


def test_sound_files_with_another_ending_are_read_and_others_named(tmp_path):
    Image.fromarray(np.full((10, 12, 3), 90, np.uint8)).save(tmp_path / "p.png")
    (tmp_path / "p.jfif").write_bytes((tmp_path / "p.png").read_bytes())
    assert open_pictures(str(tmp_path / "p.jfif")).kind == "image"
    write_video(tmp_path / "v.mp4", 3)
    (tmp_path / "v.3gp").write_bytes((tmp_path / "v.mp4").read_bytes())
    assert open_pictures(str(tmp_path / "v.3gp")).kind == "video"
    (tmp_path / "p.heic").write_bytes(b"\0\0\0\x24ftypheic" + b"\0" * 60)
    with pytest.raises(ValueError, match=r"p\.heic is no image that can be read: it is a HEIC picture; convert it"):
        open_pictures(str(tmp_path / "p.heic"))
