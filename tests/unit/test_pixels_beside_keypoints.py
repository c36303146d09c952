import numpy as np
import pytest
import roma
import torch

from config import Crop
from dataset_def.photos.blazepose import BLAZEPOSE, Region, SeenPerson
from dataset_def.photos.crop import photo_crop
from dataset_def.photos.pictures import Picture
from tests.benchmarks.pixels_beside_keypoints import WHOLE, Known, Said, Settings, beside, is_whole, shown_px
from utils.person_box import Box
from utils.skeleton import H36M_17

PICTURE = Picture("street", np.zeros((300, 400, 3), np.uint8))


def standing() -> np.ndarray:
    """Somebody who faces the camera, with arms and legs apart."""
    rng, joints_m = np.random.default_rng(0), np.zeros((17, 3))
    for row, name in enumerate(H36M_17):
        side = 1 if name.startswith("left") else -1 if name.startswith("right") else 0
        joints_m[row] = (0.3 * side, rng.uniform(-0.8, 0.8), 3 + rng.uniform(-0.2, 0.2))
    return joints_m


def test_bodies_alike_are_nowhere_apart_and_turned_ones_by_their_turn():
    joints_m = standing()
    joints_px = 100 * joints_m[:, :2] + 150
    known = [Known(PICTURE, Box(100, 50, 100, 200), joints_m, joints_px)]
    same = beside(Said(joints_m[None], joints_px[None]), known)
    assert same["pck_10_percent"] == 100 and max(same["n_mpjpe_mm"], same["yaw_median_deg"]) < 0.1
    up_cam = torch.tensor([0.0, -1.0, 0.0]).double()
    turn = roma.rotvec_to_rotmat(up_cam * np.radians(120)).numpy()
    turned = beside(Said((joints_m @ turn.T)[None], joints_px[None] + [[0, 21]]), known)
    assert turned["yaw_mean_deg"] == pytest.approx(120, abs=0.5) and turned["beyond_90_percent"] == 100
    assert turned["p_mpjpe_mm"] < 0.1 < 50 < turned["n_mpjpe_mm"]
    assert turned["pck_10_percent"] == 0, "a tenth of the box's 200 pixels is 20"


def test_a_point_of_the_crop_is_shown_where_the_crop_was_cut():
    crop = photo_crop(PICTURE, Box(300, 20, 60, 180), Crop(size_px=64, side_m=2.25), None, 1.8)
    middle, above = shown_px(crop, np.array([[0.0, 0.0], [0.0, -0.9]]))
    assert middle == pytest.approx([330, 110], abs=0.01)
    assert above[1] == pytest.approx(20, abs=3), "half of the 1.8 m above the middle, at an oblique angle"


def test_who_is_cut_off_or_hidden_or_small_is_left_out():
    points_px = np.random.default_rng(0).uniform(50, 250, (len(BLAZEPOSE), 2))
    region = Region(np.zeros(2), 1.0, 0.0)
    seen = SeenPerson(points_px, np.ones(len(BLAZEPOSE)), np.zeros((33, 3)), 1.0, region, np.zeros((256, 256)), region)
    settings = Settings(pictures=("street.png",))
    assert is_whole(seen, PICTURE, settings)
    hidden = seen.confidence.copy()
    hidden[WHOLE[0]] = 0.2
    assert not is_whole(seen._replace(confidence=hidden), PICTURE, settings)
    for axis, beyond_px in ((0, -1), (0, 401), (1, -1), (1, 301)):
        outside = points_px.copy()
        outside[WHOLE[-1], axis] = beyond_px
        assert not is_whole(seen._replace(points_px=outside), PICTURE, settings)
    assert not is_whole(seen, PICTURE, Settings(pictures=("street.png",), least_px=300))
