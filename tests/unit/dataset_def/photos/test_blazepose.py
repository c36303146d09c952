"""The detector's geometry without its files, and with them what it finds on a picture of a real man."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from config import ROOT
from dataset_def.photos.blazepose import (
    BLAZEPOSE,
    KEYPOINT_NETWORKS,
    KEYPOINTS_REMEDY,
    BlazePose,
    Region,
    SeenPerson,
    cut_region,
    detector_anchors,
    is_about,
    is_available,
    refined_by_heat,
    region_matrix,
    region_of,
    region_of_box,
    square_parts,
)
from utils.image import read_image
from utils.person_box import Box
from utils.skeleton import KEYPOINTS_25, mirrored


def test_anchors_lie_at_the_middles_of_the_cells():
    anchors = detector_anchors()
    assert anchors.shape == (2254, 2)
    assert anchors[0].tolist() == anchors[1].tolist() == [0.5 / 28, 0.5 / 28]
    assert anchors[2].tolist() == [1.5 / 28, 0.5 / 28]  # x runs first
    assert anchors[-6].tolist() == anchors[-1].tolist() == [6.5 / 7, 6.5 / 7]


def test_every_keypoint_but_none_else_is_known_by_its_name():
    assert len(BLAZEPOSE) == len(set(BLAZEPOSE)) == 33 and set(KEYPOINTS_25) <= set(BLAZEPOSE)


def test_a_region_stands_upright_as_the_person_does():
    upright = region_of(np.array([50.0, 60.0]), np.array([50.0, 20.0]))
    assert upright.side_px == pytest.approx(100) and upright.turn_rad == pytest.approx(0)
    lying = region_of(np.array([50.0, 60.0]), np.array([90.0, 60.0]))  # the head at the right
    assert lying.turn_rad == pytest.approx(np.pi / 2)
    top = region_matrix(lying, 100) @ np.array([50.0, 0.0, 1.0])
    assert top == pytest.approx([100.0, 60.0])  # the top of the cut-out is at the picture's right
    assert region_of_box(Box(10, 20, 40, 80)) == Region(pytest.approx([30, 60]), 100.0, 0.0)


def test_what_is_cut_out_is_what_lies_there():
    rgb = np.zeros((100, 100, 3), np.uint8)
    rgb[20:30, 60:70] = 200
    around = cut_region(rgb, Region(np.array([65.0, 25.0]), 20.0, 0.0), 40)
    assert around[12:28, 12:28].min() == 200 and around[:8].max() == 0 and around.mean() == pytest.approx(50, abs=3)
    turned = cut_region(rgb, Region(np.array([50.0, 50.0]), 100.0, np.pi / 2), 100)
    rows, columns = np.nonzero(turned[..., 0] > 100)
    assert abs(rows.mean() - 34.5) < 1 and abs(columns.mean() - 24.5) < 1  # clockwise: the picture's right is its top
    shrunk = cut_region(
        np.tile(np.uint8([[[0], [255]], [[255], [0]]]), (64, 64, 3)), Region(np.full(2, 64.0), 128, 0), 16
    )
    assert np.ptp(shrunk[2:-2, 2:-2]) < 30  # a chequered board becomes grey, not stripes


def test_heat_moves_points_and_faint_heat_does_not():
    heat = np.full((64, 64, 2), -20.0)
    heat[30, 40:42, 0] = 5.0
    heat[10, 10, 1] = -0.5
    found = refined_by_heat(np.array([[39.2, 29.4], [11.0, 10.0]]), heat)
    assert found[0] == pytest.approx([40.5, 30.0], abs=0.01) and found[1].tolist() == [11.0, 10.0]
    assert refined_by_heat(np.array([[-3.0, 70.0], [1.0, 1.0]]), heat)[0].tolist() == [-3.0, 70.0]


def test_parts_cover_a_wide_picture():
    parts = square_parts(np.zeros((100, 178, 3), np.uint8), 100.0)
    assert [one.centre_px.tolist() for one in parts] == [[50, 50], [89, 50], [128, 50]]
    assert len(square_parts(np.zeros((100, 100, 3), np.uint8), 100.0)) == 1


@pytest.mark.parametrize("shape", [(1, 500, 3), (60_000, 10, 3), (1, 1, 3), (1, 64, 3)])
def test_a_picture_that_is_hardly_more_than_a_line_is_not_looked_at_pixel_by_pixel(shape):
    rgb = np.zeros(shape, np.uint8)
    parts = square_parts(rgb, min(shape[:2]) / 2)
    assert len(parts) < 400
    centres, reach_px = np.array([part.centre_px for part in parts]), parts[0].side_px / 2
    assert (centres.min(axis=0) <= reach_px).all() and (centres.max(axis=0) >= np.array(shape[1::-1]) - reach_px).all()
    assert is_about(parts[0], parts[0]) and not is_about(parts[0], parts[1])


def test_without_the_extra_the_remedy_is_named(tmp_path):
    assert not is_available(tmp_path)
    for kind, flag in (("full", r"person\.py$"), ("heavy", r"person\.py --heavy$")):
        with pytest.raises(ValueError, match=r'pip install -e "\.\[keypoints\]" and python dataset_def/photos/' + flag):
            BlazePose(tmp_path, kind)


def person_at(left: float, top: float, width: float, height: float, presence: float) -> SeenPerson:
    corners = np.resize([[left, top], [left + width, top + height]], (33, 2))
    region = region_of_box(Box(left, top, width, height))
    return SeenPerson(corners, np.ones(33), np.zeros((33, 3)), presence, region, np.zeros((256, 256)), region)


def test_in_a_box_that_is_far_too_large_a_found_person_counts_for_more_than_a_guess(monkeypatch):
    guess, man, other = (person_at(*row) for row in (
        (100, 250, 170, 300, 0.99), (90, 220, 250, 360, 0.98), (600, 220, 250, 360, 0.98)))  # fmt: skip
    networks = BlazePose.__new__(BlazePose)
    monkeypatch.setattr(networks, "detect", lambda rgb, within: [])
    monkeypatch.setattr(networks, "read_twice", lambda rgb, region: guess)
    monkeypatch.setattr(networks, "people", lambda rgb: [other, man])
    rgb = np.zeros((960, 1000, 3), np.uint8)
    assert networks.person_in(rgb, Box(0, 0, 540, 960)) is man
    assert networks.person_in(rgb, Box(90, 240, 190, 320)) is guess
    monkeypatch.setattr(networks, "read_twice", lambda rgb, region: guess._replace(presence=0.1))
    assert networks.person_in(rgb, Box(0, 0, 90, 90)) is None


def spread_person(shift_px: float, presence: float, is_mirrored: bool = False) -> SeenPerson:
    """Somebody of 100 pixels whose points all lie apart; in the mirror of a picture 400 pixels wide."""
    points = np.column_stack([np.linspace(100, 160, 33) + shift_px, np.linspace(50, 150, 33)])
    points = np.column_stack([400 - points[:, 0], points[:, 1]])[mirrored(BLAZEPOSE)] if is_mirrored else points
    region = Region(np.array([130.0, 100]), 150.0, 0.3)
    return SeenPerson(points, np.ones(33), np.zeros((33, 3)), presence, region, np.zeros((256, 256)), region)


def people_where(monkeypatch, side_px: float, found: SeenPerson, again: SeenPerson) -> list[SeenPerson]:
    """Look for people in a picture of 400 x 300 pixels, in whose parts of so many pixels alone somebody is detected."""
    networks = BlazePose.__new__(BlazePose)
    monkeypatch.setattr(networks, "detect", lambda rgb, within=None: [found.region] if within is not None and
                        within.side_px == side_px else [])  # fmt: skip
    monkeypatch.setattr(networks, "read_twice", lambda rgb, region: found)

    def read(rgb: np.ndarray, region: Region) -> SeenPerson:
        assert region.centre_px.tolist() == [270, 100] and region.turn_rad == -0.3 and region.side_px == 150
        return again

    monkeypatch.setattr(networks, "read", read)
    return networks.people(np.zeros((300, 400, 3), np.uint8))


@pytest.mark.parametrize(
    ("presence", "in_mirror", "is_there"), [(0.99, 0.1, True), (0.8, 0.6, True), (0.8, 0.4, False)]
)
def test_whoever_is_doubtful_must_be_in_the_mirror_as_well(monkeypatch, presence, in_mirror, is_there):
    found, again = spread_person(0, presence), spread_person(50, in_mirror, True)
    assert people_where(monkeypatch, 300, found, again) == [found] * is_there


@pytest.mark.parametrize(("apart_px", "in_mirror", "is_there"), [
    (0, 0.99, True), (2, 0.99, True), (4, 0.99, False), (0, 0.8, False)])  # fmt: skip
def test_whoever_is_found_in_a_small_part_must_be_the_same_in_the_mirror(monkeypatch, apart_px, in_mirror, is_there):
    found, again = spread_person(0, 0.99), spread_person(apart_px, in_mirror, True)
    assert people_where(monkeypatch, 150, found, again) == [found] * is_there


@pytest.fixture(scope="module")
def networks() -> BlazePose:
    if not is_available(KEYPOINT_NETWORKS):
        pytest.skip(f"the keypoints extra is not here: {KEYPOINTS_REMEDY}")
    return BlazePose()


@pytest.fixture(scope="module")
def man() -> np.ndarray:
    return read_image(Path(ROOT / "images" / "predict_photo.png"))[:330, :297]


def test_a_man_is_found_and_his_left_is_left(networks, man):
    [found] = networks.people(man)
    place = dict(zip(BLAZEPOSE, found.points_px, strict=True))
    assert found.presence > 0.9 and abs(place["nose"][0] - 163) < 25
    assert place["left_ankle"][1] > place["left_knee"][1] > place["left_hip"][1] > place["left_shoulder"][1]
    flipped = networks.people(np.ascontiguousarray(man[:, ::-1]))[0]
    other = dict(zip(BLAZEPOSE, flipped.points_px, strict=True))
    assert abs(man.shape[1] - other["right_shoulder"][0] - place["left_shoulder"][0]) < 8


def test_a_lying_man_is_found_too_and_a_box_finds_him(networks, man):
    lying = np.ascontiguousarray(np.rot90(man))
    upright, turned = networks.people(man)[0], networks.people(lying)[0]
    hip = BLAZEPOSE.index("left_hip")
    x, y = turned.points_px[hip]
    assert np.hypot(man.shape[1] - y - upright.points_px[hip][0], x - upright.points_px[hip][1]) < 10
    again = networks.person_in(man, upright.box)
    assert np.abs(again.points_px - upright.points_px)[[11, 12, 23, 24]].max() < 8


def test_nobody_is_found_in_an_empty_room(networks):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    assert networks.people(cv2.GaussianBlur(noise, (9, 9), 3)) == []
