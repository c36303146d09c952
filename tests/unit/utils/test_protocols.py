"""Each protocol of Human3.6M on poses whose errors can be worked out by hand, and what it takes of an index."""

from math import sqrt
from typing import get_args

import numpy as np
import pytest
import torch

from utils.metrics import mpjpe_mm, n_mpjpe_mm, pa_mpjpe_mm
from utils.protocols import PROTOCOLS, ProtocolName, frame_step, protocol_errors
from utils.skeleton import H36M_17

X, Y, Z = torch.eye(3)
AXES = torch.stack([X, -X, X, -X, X, -X, X, -X, Y, -Y, Y, -Y, Z, -Z, Z, -Z])
"""Ends of 16 limbs of a metre: eight along x, four along y, four along z; they balance each other."""
QUARTER = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""A quarter turn about z."""


def pose(limbs: torch.Tensor) -> torch.Tensor:
    """A pose whose pelvis, the first joint, is at the origin."""
    return torch.cat([torch.zeros(1, 3), limbs])[None]


def measured(name: str, predicted: torch.Tensor, true: torch.Tensor) -> dict[str, float]:
    return {key: error.item() for key, error in protocol_errors(name, predicted, true).items()}


def test_rhodin_takes_seventeen_sixteenths_of_the_mean_over_seventeen_joints():
    """All true limbs end at z = 1 m, predicted ones at y = z = 1 m: s = 16 / 32, what is left is (0, 0.5, -0.5)."""
    true, predicted = pose(Z.expand(16, 3)), pose((Y + Z).expand(16, 3))
    found = measured("rhodin", predicted, true)
    assert found["n_mpjpe_16_mm"] == pytest.approx(500 * sqrt(2), abs=0.01)
    assert found["n_mpjpe_16_mm"] == pytest.approx(17 / 16 * n_mpjpe_mm(predicted, true).item(), abs=0.01)
    assert found["mpjpe_16_mm"] == pytest.approx(1000, abs=0.01)
    moved = pose(2 * AXES @ QUARTER.T + X)
    assert measured("rhodin", moved, pose(AXES))["p_mpjpe_16_mm"] == pytest.approx(0, abs=0.1)


def test_the_thesis_turns_and_mirrors_but_does_not_resize():
    true = pose(AXES * torch.tensor([1.0, 0.9, 0.8]) + torch.linspace(0, 0.3, 16)[:, None])
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    for same in (true @ QUARTER.T, true @ mirror, true @ mirror @ QUARTER.T):
        assert measured("seed", same, true)["rotated_mpjpe_17_mm"] == pytest.approx(0, abs=0.1)
        assert measured("seed", same, true)["mpjpe_17_mm"] > 100
    assert pa_mpjpe_mm(true @ mirror, true).item() > 10, "an alignment without mirrors keeps this error"
    twice = measured("seed", pose(2 * AXES @ QUARTER.T), pose(AXES))
    assert twice["rotated_mpjpe_17_mm"] == pytest.approx(1000 * 16 / 17, abs=0.1), "a metre too long, 16 of 17 joints"
    assert twice["mpjpe_17_mm"] == pytest.approx(1000 * (12 * sqrt(5) + 4) / 17, abs=0.1)


def test_epipolar_scales_by_the_similarity_and_keeps_the_pelvis_in_place():
    """Twice as large and a quarter turn about z: the scale is 1/2 whatever the turn, which the error then shows."""
    found = measured("epipolar", pose(2 * AXES @ QUARTER.T), pose(AXES))
    assert found["mpjpe_17_mm"] == pytest.approx(1000 * (12 * sqrt(5) + 4) / 17, abs=0.1)
    assert found["similarity_scaled_mpjpe_17_mm"] == pytest.approx(1000 * 12 * sqrt(2) / 17, abs=0.1)
    assert found["p_mpjpe_on_pelvis_17_mm"] == pytest.approx(0, abs=0.1)


def test_epipolar_puts_an_aligned_pose_back_onto_the_pelvis():
    """Limbs d = 0.17 m beside the pelvis: by symmetry nothing turns, c = 16 / (16 + d^2 16/17), and c (g - d) stays."""
    d, true = 0.17, pose(AXES)
    found = measured("epipolar", pose(AXES - d * X), true)["p_mpjpe_on_pelvis_17_mm"]
    c = 16 / (16 + d**2 * 16 / 17)
    ends = [abs(c * (1 - d) - 1)] * 4 + [abs(c * (1 + d) - 1)] * 4 + [sqrt((c * d) ** 2 + (1 - c) ** 2)] * 8
    assert found == pytest.approx(1000 * sum(ends) / 17, abs=0.05) and 159 < found < 160
    assert pa_mpjpe_mm(pose(AXES - d * X), true).item() < 30, "the alignment's own error"


@pytest.mark.parametrize("name", ["spin_p1", "spin_p2"])
def test_spin_counts_fourteen_joints(name):
    """A wrist 0.14 m off is 10 mm of 14 joints; spine and nose may be anywhere."""
    true = pose(AXES * torch.tensor([1.0, 0.9, 0.8]) + torch.linspace(0, 0.3, 16)[:, None])
    elsewhere = true.clone()
    elsewhere[:, [H36M_17.index("spine"), H36M_17.index("nose")]] += 1.0
    assert max(measured(name, elsewhere, true).values()) < 0.1
    wrist = true.clone()
    wrist[:, H36M_17.index("left_wrist")] += 0.14 * X
    found = measured(name, wrist, true)
    assert found["p_mpjpe_14_mm"] > 1
    assert found.keys() == {"mpjpe_14_mm", "p_mpjpe_14_mm"} - ({"mpjpe_14_mm"} if name == "spin_p2" else set())
    if name == "spin_p1":
        assert found["mpjpe_14_mm"] == pytest.approx(10, abs=0.01)
    assert measured(name, 2 * true @ QUARTER.T, true)["p_mpjpe_14_mm"] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_tells_what_it_measures_and_a_turn_of_both_poses_changes_nothing(name):
    told = PROTOCOLS[name].told
    assert "open choice" in told and f"{PROTOCOLS[name].every}th frame" in told
    rng = torch.Generator().manual_seed(3)
    predicted, true = (pose(torch.randn(16, 3, generator=rng)) for _ in range(2))
    turned = measured(name, predicted @ QUARTER.T, true @ QUARTER.T)
    assert turned == pytest.approx(measured(name, predicted, true), rel=1e-4)
    assert all(np.isfinite(list(turned.values()))) and mpjpe_mm(predicted, true).item() > 100


def test_the_command_line_knows_every_protocol():
    assert tuple(PROTOCOLS) == get_args(ProtocolName)


def test_frames_that_an_index_lacks_and_other_skeletons_are_refused():
    assert (frame_step("rhodin", 1), frame_step("rhodin", 5), frame_step("epipolar", 2)) == (5, 1, 32)
    with pytest.raises(ValueError, match="protocol epipolar takes every 64th frame, and the index holds every 5th"):
        frame_step("epipolar", 5)
    with pytest.raises(ValueError, match="about the 17 joints of people, and these poses have 30"):
        protocol_errors("seed", torch.zeros(1, 30, 3), torch.zeros(1, 30, 3))
