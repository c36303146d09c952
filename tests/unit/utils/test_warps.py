"""Without OpenCV pictures are cut as with it, to a grey level or two; missing packages say so when they are used."""

import importlib

import numpy as np
import pytest

from utils import optional, warps
from utils.optional import is_installed, later
from utils.warps import area_shares, remapped, sampled, shrunk, warped


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (14, 18, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((6, 5, 1), np.uint8))


@pytest.fixture
def without_opencv(monkeypatch):
    monkeypatch.setattr(warps, "is_installed", lambda package: False)


def both(monkeypatch, work) -> tuple[np.ndarray, np.ndarray]:
    """What OpenCV gives, and what NumPy gives."""
    first = work()
    monkeypatch.setattr(warps, "is_installed", lambda package: False)
    return first.astype(int), work().astype(int)


def test_a_place_between_four_pixels_is_their_mean_and_the_border_is_black():
    image = np.array([[0, 100], [200, 60]], np.uint8)
    x, y = np.array([[0.5, 0.25, -0.5, 5.0]]), np.array([[0.5, 0.0, 0.0, 1.0]])
    assert sampled(image, x, y).tolist() == [[90, 25, 0, 0]]
    assert sampled(image, np.array([[1.5]]), np.array([[0.0]])).tolist() == [[50]], "half of it beyond the border"


@pytest.mark.parametrize("channels", [3, None])
def test_warps_equal_opencvs_to_what_it_rounds_places_to(monkeypatch, picture, channels):
    image = picture if channels else picture[..., 0].copy()
    homography = np.array([[0.9, -0.2, 8.3], [0.15, 1.1, -3.7], [1e-4, -2e-4, 1.0]])
    opencvs, numpys = both(monkeypatch, lambda: warped(image, homography, 60, 50))
    assert opencvs.shape == numpys.shape
    # A thirty-second of a pixel along both axes, at edges of up to 255 levels.
    assert np.abs(opencvs - numpys).max() <= 17 and np.abs(opencvs - numpys).mean() < 0.6


def test_remaps_equal_opencvs(monkeypatch, picture):
    x, y = np.meshgrid(np.linspace(-3, 95, 40), np.linspace(-2, 90, 30))
    x, y = (x + 0.02 * np.abs(y) ** 1.5).astype(np.float32), y.astype(np.float32)
    opencvs, numpys = both(monkeypatch, lambda: remapped(picture, x, y))
    assert np.abs(opencvs - numpys).max() <= 17 and np.abs(opencvs - numpys).mean() < 0.6


def test_cutting_a_picture_as_it_is_changes_nothing(picture, without_opencv):
    assert np.array_equal(warped(picture, np.eye(3), picture.shape[1], picture.shape[0]), picture)


@pytest.mark.parametrize("size", [(30, 28), (45, 42), (41, 23)])
def test_areas_equal_opencvs(monkeypatch, picture, size):
    opencvs, numpys = both(monkeypatch, lambda: shrunk(picture, *size))
    assert np.abs(opencvs - numpys).max() <= 1


def test_shares_of_areas_are_those_of_a_ruler():
    assert area_shares(4, 2).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    assert np.allclose(area_shares(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])


def test_a_package_is_imported_when_something_of_it_is_asked_for():
    asked = later("json.tool")
    assert asked.main is importlib.import_module("json.tool").main
    absent = later("no_such_package.part")
    with pytest.raises(ModuleNotFoundError, match=r"this needs the package no_such_package, .* pip install no_such_pa"):
        _ = absent.anything
    assert is_installed("json") and not is_installed("no_such_package")


def test_pips_name_of_opencv_is_told(monkeypatch):
    monkeypatch.setattr(optional, "is_installed", lambda package: False)
    optional._imported.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="pip install opencv-python-headless"):
        _ = later("cv2").resize
    optional._imported.cache_clear()
