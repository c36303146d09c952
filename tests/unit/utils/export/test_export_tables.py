import json

import numpy as np
import pytest
import torch

from models.smpl import rotations_from_theta
from tests.helpers.moving_body import lively, open_body
from utils.export.about import About
from utils.export.tables import CAMERA_FRAME, ROOT_FRAME, write_body_parameters, write_joints_json
from utils.skeleton import H36M_17, SMPL_24

ABOUT = About("pixels", "weights", "abc", "free")


def test_joints_have_names_a_frame_a_unit_and_a_time(tmp_path):
    joints_m = np.arange(2 * 17 * 3).reshape(2, 17, 3) / 100
    joints_m[1, 3, 2] = np.nan
    write_joints_json(tmp_path / "a.json", joints_m, frames_per_second=50.0, sources=["x.jpg", "y.jpg"])
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["frame"] == CAMERA_FRAME and read["unit"] == "metres" and read["joints"] == list(H36M_17)
    assert [(one["source"], one["time_s"]) for one in read["frames"]] == [("x.jpg", 0.0), ("y.jpg", 0.02)]
    assert read["frames"][0]["joints_m"]["left_wrist"] == [0.39, 0.4, 0.41]
    assert read["frames"][1]["joints_m"]["right_ankle"] is None
    assert list(read["frames"][0]["joints_m"]) == list(H36M_17)


def test_joints_and_parameters_say_what_they_are_made_from(tmp_path):
    write_joints_json(tmp_path / "a.json", np.zeros((1, 17, 3)), about=ABOUT)
    read = json.loads((tmp_path / "a.json").read_text())
    told = ABOUT.header(CAMERA_FRAME, "metres")
    assert {name: read[name] for name in told} == told
    assert (told["tier"], told["weights_sha256"], told["body_sha256"], told["licence"]) == tuple(ABOUT)[:4]
    assert "unchecked" not in told
    rotations, betas, places_m = lively(1)
    write_body_parameters(tmp_path / "a.npz", rotations, betas[None], places_m, ABOUT)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as stored:
        assert str(stored["tier"]) == "pixels" and str(stored["unit"]) == "metres, radians"


def test_pictures_have_no_time_and_other_skeletons_other_names(tmp_path):
    write_joints_json(tmp_path / "a.json", np.zeros((1, 24, 3), np.float32), SMPL_24, ROOT_FRAME)
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["frame"] == ROOT_FRAME and set(read["frames"][0]) == {"joints_m"} and "frames_per_second" not in read
    write_joints_json(tmp_path / "none.json", np.zeros((0, 17, 3)))
    assert json.loads((tmp_path / "none.json").read_text())["frames"] == []


def test_joints_without_their_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="17 names of joints"):
        write_joints_json(tmp_path / "a.json", np.zeros((1, 24, 3)))
    with pytest.raises(ValueError, match="2 names of frames"):
        write_joints_json(tmp_path / "a.json", np.zeros((1, 17, 3)), sources=["a", "b"])
    assert list(tmp_path.iterdir()) == []


def test_the_body_model_makes_the_same_bodies_from_the_stored_parameters(tmp_path):
    rotations, betas, translation_m = lively(3)
    write_body_parameters(tmp_path / "a.npz", rotations, np.tile(betas, (3, 1)), translation_m, ABOUT, 25.0)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as stored:
        read = {name: stored[name] for name in stored.files}
    assert str(read["frame"]) == CAMERA_FRAME and str(read["body_hash"]) == "abc" and read["mocap_framerate"] == 25
    assert tuple(read["joint_names"]) == SMPL_24
    from_theta = rotations_from_theta(torch.from_numpy(read["poses"]).double())
    rest = [torch.from_numpy(read[name]).double() for name in ("betas", "trans")]
    inputs = [torch.from_numpy(x) for x in (rotations, np.tile(betas, (3, 1)), translation_m)]
    expected_m = open_body()(*inputs).vertices_m
    for R in (from_theta, torch.from_numpy(read["rotations_cam"]).double()):
        assert (open_body()(R, *rest).vertices_m - expected_m).norm(dim=-1).max() < 1e-5


def test_matrices_that_are_no_rotations_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="no rotation"):
        write_body_parameters(tmp_path / "a.npz", np.zeros((1, 24, 3, 3)), np.zeros((1, 10)), np.zeros((1, 3)), ABOUT)
    assert list(tmp_path.iterdir()) == []
