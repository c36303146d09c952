import numpy as np
import roma
import torch

from utils.one_euro import OneEuro, SmoothRotations


def test_a_signal_at_rest_stays_and_a_step_is_reached_without_overshoot():
    smooth = OneEuro(50.0, least_cutoff_hz=2.0, speed_factor=0.0)
    found = [float(smooth(np.array([value]))[0]) for value in [1.0] * 10 + [3.0] * 100]
    assert found[:10] == [1.0] * 10
    assert (np.diff(found[9:]) >= 0).all() and abs(found[-1] - 3.0) < 1e-3


def test_the_first_step_by_hand():
    smooth = OneEuro(10.0, least_cutoff_hz=1.0, speed_factor=0.5)
    smooth(np.array([0.0]))
    r = 2 * np.pi * 0.1  # of 1 Hz at 10 frames per second
    speed = r / (r + 1) * 10.0  # of a step of one in a tenth of a second
    s = 2 * np.pi * (1.0 + 0.5 * speed) * 0.1
    np.testing.assert_allclose(smooth(np.array([1.0])), [s / (s + 1)], rtol=1e-12)


def test_noise_at_rest_shrinks_and_a_quick_movement_is_followed():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (200, 1))
    calm = OneEuro(25.0, 1.0, 0.0)
    assert np.std([calm(value) for value in noise][20:]) < 0.5 * noise.std()
    ramp = np.arange(50)[:, None] * 0.4  # 10 per second
    slow, quick = OneEuro(25.0, 1.0, 0.0), OneEuro(25.0, 1.0, 1.0)
    lag = [abs(float((follow(value) - value)[0])) for follow in (slow, quick) for value in ramp]
    assert lag[-1] < 0.2 * lag[49]


def test_rotations_stay_rotations_across_the_sign_of_quaternions():
    turns = torch.linspace(0, 4 * torch.pi, 80)  # two whole turns: the quaternion changes sign on the way
    rotations = roma.rotvec_to_rotmat(torch.stack([torch.zeros(80), turns, torch.zeros(80)], 1)).double().numpy()
    smooth = SmoothRotations(25.0, 2.0, 1.0)
    found = np.stack([smooth(R[None])[0] for R in rotations])
    np.testing.assert_allclose(found @ found.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (80, 3, 3)), atol=1e-12)
    angles = roma.rotmat_geodesic_distance(torch.from_numpy(found), torch.from_numpy(rotations))
    assert np.degrees(angles.max()) < 25
