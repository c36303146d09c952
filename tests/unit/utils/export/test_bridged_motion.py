"""Frames that a prediction leaves out keep their time in motions."""

import numpy as np
import pytest
import roma
import torch

from dataset_def.motions import read_motions
from utils.export.about import About
from utils.export.motion import bridged, told_gaps
from utils.export.tables import WORLD_FRAME, write_body_parameters

NUMBERS = [3, 4, 7]
YAW_RAD = np.array([0.0, 0.1, 0.4])


def turned(yaw_rad: np.ndarray) -> np.ndarray:
    """A body that turns about its vertical, its joints at rest."""
    rotations = np.tile(np.eye(3), (len(yaw_rad), 24, 1, 1))
    rotvec = torch.tensor([[0.0, 0.0, yaw] for yaw in yaw_rad], dtype=torch.float64)
    rotations[:, 0] = roma.rotvec_to_rotmat(rotvec).numpy()
    return rotations


def test_a_gap_is_turned_and_moved_through_evenly():
    rotations, places_m = bridged(NUMBERS, turned(YAW_RAD), np.array([[0.0, 0, 1], [0, 0, 1], [0.3, 0, 1]]))
    np.testing.assert_allclose(rotations, turned(np.array([0.0, 0.1, 0.2, 0.3, 0.4])), atol=1e-9)
    assert places_m[:, 0] == pytest.approx([0, 0, 0.1, 0.2, 0.3])


def test_a_motion_without_gaps_stays_as_it_is():
    rotations = turned(YAW_RAD)
    assert bridged([5, 6, 7], rotations, np.zeros((3, 3)))[0] is rotations


def test_what_predict_wrote_is_read_with_its_gaps_bridged(tmp_path):
    places_m = np.array([[0.0, 0, 1], [0, 0, 1], [0.3, 0, 1]])
    betas = np.tile(np.linspace(0, 1, 10), (3, 1))
    write_body_parameters(tmp_path / "body.npz", turned(YAW_RAD), betas, places_m, About(), 10.0, WORLD_FRAME, NUMBERS)
    [stored] = read_motions(tmp_path / "body.npz")
    assert len(stored.rotations) == len(stored.betas) == 5 and stored.is_z_up and stored.every == 1
    np.testing.assert_allclose(stored.rotations, turned(np.array([0.0, 0.1, 0.2, 0.3, 0.4])), atol=1e-6)
    with np.load(tmp_path / "body.npz", allow_pickle=False) as content:
        assert content["frame_numbers"].tolist() == NUMBERS and "rotations_cam" not in content.files
        assert content["times_s"] == pytest.approx([0.3, 0.4, 0.7])
    assert stored.gaps == told_gaps(NUMBERS)


def test_what_was_bridged_is_told():
    assert told_gaps([0, 1, 2]) == "" and told_gaps([4, 5]) == "begins at frame 4 of the recording, counted from 0"
    assert told_gaps([0, 2, 3, 7]) == "4 of its 8 frames show nobody and are bridged evenly: 1, 4 to 6"
    assert told_gaps(NUMBERS) == ("begins at frame 3 of the recording, counted from 0; 2 of its 5 frames show nobody "
                                  "and are bridged evenly: 5 to 6")  # fmt: skip
    many = told_gaps(range(0, 60, 2))
    assert many.endswith(", 39 and 9 more gaps") and many.startswith("29 of its 59 frames")
    assert About(gaps=told_gaps([0, 2])).header("f", "u")["gaps"] and "gaps" not in About().header("f", "u")
