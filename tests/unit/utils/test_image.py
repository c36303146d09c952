import errno

import numpy as np
import pytest
import torch

from utils.image import jitter_colours, read_image, read_mask, to_picture, to_unit_rgb, write_image

RED = np.full((40, 50, 3), (220, 20, 30), np.uint8)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_red_stays_red_through_a_file(tmp_path, ending):
    write_image(tmp_path / f"shirt.{ending}", RED)
    read = read_image(tmp_path / f"shirt.{ending}")
    assert np.abs(read.astype(int) - RED).max() <= 6
    unit = to_unit_rgb(read)
    assert unit[0].mean() > 0.8 and unit[2].mean() < 0.2


def test_the_picture_of_a_tensor_is_the_picture():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    assert np.array_equal(to_picture(to_unit_rgb(image)), image)


def test_a_mask_comes_back_exactly(tmp_path):
    mask = np.random.default_rng(0).integers(0, 256, (17, 12)).astype(np.uint8)
    write_image(tmp_path / "mask.png", mask)
    assert np.array_equal(read_mask(tmp_path / "mask.png"), mask)


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.98])
def test_a_truncated_file_is_refused(tmp_path, ending, share):
    path = tmp_path / f"noise.{ending}"
    write_image(path, np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=" is truncated"):
        read_image(path)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_what_a_phone_appends_to_a_picture_does_no_harm_and_a_thumbnail_is_no_end(tmp_path, ending):
    path = tmp_path / f"noise.{ending}"
    write_image(path, np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8))
    whole, read = path.read_bytes(), read_image(path)
    path.write_bytes(whole + b"SEFH" + bytes(5000))
    np.testing.assert_array_equal(read_image(path), read)
    if ending == "jpg":
        thumbnail = b"\xff\xe1" + (2 + 60).to_bytes(2, "big") + b"Exif\xff\xd8 small \xff\xd9".ljust(60, b"\0")
        path.write_bytes(whole[:2] + thumbnail + whole[2:-2000])
        with pytest.raises(ValueError, match=" is truncated"):
            read_image(path)


def test_a_picture_that_cannot_be_written_whole_leaves_the_one_before_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "shirt.png"
    write_image(path, RED)

    def full(where, content):
        with open(where, "wb") as stream:
            stream.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError) as raised:
        write_image(path, 255 - RED)
    assert raised.value.filename == str(path)
    assert [one.name for one in tmp_path.iterdir()] == ["shirt.png"]
    assert np.array_equal(read_image(path), RED)


def test_a_missing_file_and_a_damaged_one_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_image(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_bytes(b"no image \xff\xd9")
    with pytest.raises(ValueError, match=" is damaged"):
        read_image(tmp_path / "text.jpg")


def noise(count=4):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def jittered(images, strength, permute, seed=0):
    return jitter_colours(images, strength, permute, torch.Generator().manual_seed(seed))


def test_no_strength_changes_nothing():
    assert torch.equal(jittered(noise(), 0.0, False), noise())


def test_permuting_alone_only_moves_channels():
    images = noise(16)
    permuted = jittered(images, 0.0, True)
    assert torch.equal(permuted.sort(1).values, images.sort(1).values)
    assert len({tuple(int(np.argmax([torch.equal(a, b) for b in image])) for a in result)
                for image, result in zip(images, permuted, strict=True)}) > 2  # fmt: skip


def test_jitter_stays_in_range_differs_between_images_and_repeats_with_the_seed():
    images = noise(1).expand(8, 3, 16, 16)
    first = jittered(images, 1.0, True)
    assert first.min() >= 0 and first.max() <= 1
    assert all((first[0] - other).abs().mean() > 0.01 for other in first[1:])
    assert torch.equal(first, jittered(images, 1.0, True)) and not torch.equal(first, jittered(images, 1.0, True, 1))


def test_a_stronger_jitter_changes_more_and_no_image_is_no_error():
    images = noise(64)
    changes = [(jittered(images, strength, False) - images).abs().mean() for strength in (0.1, 0.5, 1.0)]
    assert changes[0] < changes[1] < changes[2]
    assert jittered(images[:0], 1.0, True).shape == (0, 3, 16, 16)
