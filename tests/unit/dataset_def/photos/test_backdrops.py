"""Pictures that lie behind people in training, and where they are cut from panoramas."""

import cv2
import numpy as np
import pytest

from dataset_def.photos import panorama_views
from dataset_def.photos.backdrops import Backdrops
from dataset_def.photos.panorama_views import PanoramasConfig, looks_at
from dataset_def.photos.panoramas import read_linear
from utils.image import read_image, write_image


def test_squares_come_from_all_pictures_and_stay_inside_them(tmp_path):
    for number, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250)]):
        picture = np.zeros((90, 140, 3), np.uint8) + np.uint8(colour)
        write_image(tmp_path / f"{number}.png", picture)
    found = Backdrops(tmp_path, 32)
    rng = np.random.default_rng(0)
    squares = [found.square(rng) for _ in range(40)]
    assert all(one.shape == (32, 32, 3) for one in squares)
    assert {tuple(one.reshape(-1, 3).mean(0).round().astype(int)) for one in squares} == {
        (250, 0, 0), (0, 250, 0), (0, 0, 250)}  # fmt: skip
    again = np.random.default_rng(0)
    assert all(np.array_equal(found.square(again), one) for one in squares)


def test_a_folder_without_pictures_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} .* holds no .jpg or .png"):
        Backdrops(tmp_path, 32)
    with pytest.raises(FileNotFoundError, match=r"augment.pictures is .*none, which is no folder"):
        Backdrops(tmp_path / "none", 32)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.png is truncated"):
        Backdrops(tmp_path, 32)


def test_a_view_looks_where_it_is_turned():
    columns, rows = looks_at(0.0, 0.0, np.pi / 2, 101, (400, 800))
    assert columns[50, 50] == pytest.approx(399.5) and rows[50, 50] == pytest.approx(199.5)
    edge = np.arctan(100 / 101)  # the middle of the outermost pixel
    assert columns[50, 100] == pytest.approx(399.5 + 800 * edge / (2 * np.pi), abs=1e-3)
    assert rows[100, 50] == pytest.approx(199.5 + 400 * edge / np.pi, abs=1e-3), "down is down"
    columns, rows = looks_at(np.pi / 2, np.pi / 6, np.pi / 2, 101, (400, 800))
    assert columns[50, 50] == pytest.approx(599.5) and rows[50, 50] == pytest.approx(199.5 + 400 / 6, abs=1e-3)


def test_pictures_are_cut_from_panoramas_and_what_is_none_is_refused(tmp_path):
    longitude = np.linspace(0, 255, 200).astype(np.uint8)
    panorama = np.repeat(np.repeat(longitude[None, :, None], 100, 0), 3, 2)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "street.png", panorama)
    linear = (panorama.astype(np.float32) / 255) ** 2.2
    cv2.imwrite(str(tmp_path / "in" / "light.hdr"), linear)
    config = PanoramasConfig(tmp_path / "in", tmp_path / "out", count=3, size_px=32)
    assert panorama_views.main(config) == 6
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{kind}_{number:03d}.jpg" for kind in ("light", "street") for number in range(3)]
    assert read_image(tmp_path / "out" / names[0]).shape == (32, 32, 3)
    assert np.abs(read_linear(tmp_path / "in" / "light.hdr") - linear).max() < 0.02
    write_image(tmp_path / "in" / "square.png", panorama[:, :100])
    with pytest.raises(ValueError, match=r"square\.png is 100 x 100 pixels; a panorama is twice as wide as high"):
        panorama_views.main(config)
    (tmp_path / "in" / "square.png").unlink()
    (tmp_path / "in" / "square.hdr").write_bytes(b"#?RADIANCE\n")
    with pytest.raises(ValueError, match=r"square\.hdr is damaged"):
        panorama_views.main(config)


@pytest.mark.parametrize(("text", "told"), [
    ("export default 'data:a/b;base64,abc!d'", "is damaged"),
    ("export default 'data:a/b;base64,abcde'", "is damaged"),
    ("export default 42", "carries no picture as base64 text"),
    ("export default 'data:a/b;base64,'", "carries no picture as base64 text"),
    ("export default 'data:a/b;base64,bm8gcGljdHVyZQ=='", r"(is damaged or no \.exr|needs a package)"),
])  # fmt: skip
def test_a_script_that_carries_no_panorama_is_refused_by_its_own_name(tmp_path, text, told):
    (tmp_path / "hall.exr.js").write_text(text)
    with pytest.raises(ValueError, match=rf"hall\.exr\.js {told}|hall\.exr\.js is an \.exr, which {told}"):
        read_linear(tmp_path / "hall.exr.js")
    assert [path.name for path in tmp_path.iterdir()] == ["hall.exr.js"]


def test_a_script_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "hall.exr.js").write_bytes(b"base64,\xff\xfe")
    with pytest.raises(ValueError, match=r"hall\.exr\.js is damaged"):
        read_linear(tmp_path / "hall.exr.js")
