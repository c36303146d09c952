import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from config import PoseSources
from dataset_def.poses.any_skeleton import STANDING, cycle_at, free_motion
from dataset_def.smpl_params_data import open_bank
from tests.unit.models.test_smpl import small_file

PARENTS = (-1, 0, 1, 0, 3)


def body(**changes):
    return small_file(parents=PARENTS)._replace(**changes)


def angles_of(rotations: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler("XYZ").reshape(*rotations.shape[:2], 3)


def test_joints_stay_within_the_ranges_of_the_file_and_use_them():
    ranges = np.zeros((5, 3, 2))
    ranges[1, 0], ranges[2, 1], ranges[4, 2] = (-0.2, 0.9), (0.3, 0.5), (-0.4, 0)
    seen = [angles_of(free_motion(body(ranges_rad=ranges), np.random.default_rng(seed), 40, 5.0).rotations)[:, 1:]
            for seed in range(20)]  # fmt: skip
    low, high = np.concatenate(seen).min(axis=0), np.concatenate(seen).max(axis=0)
    assert (low >= ranges[1:, :, 0] - 1e-9).all() and (high <= ranges[1:, :, 1] + 1e-9).all()
    used = (high - low)[ranges[1:, :, 0] < ranges[1:, :, 1]] / np.ptp(ranges[1:], axis=2)[
        np.ptp(ranges[1:], axis=2) > 0
    ]
    assert used.min() > 0.6


def test_motions_are_smooth_upright_and_belong_to_their_random_numbers():
    one, again = (free_motion(body(), np.random.default_rng(3), 30, 10.0) for _ in range(2))
    np.testing.assert_array_equal(one.rotations, again.rotations)
    step = Rotation.from_matrix((one.rotations[:-1].swapaxes(-1, -2) @ one.rotations[1:]).reshape(-1, 3, 3)).magnitude()
    assert step.max() < 0.35
    assert (one.rotations[:, 0, 2, 1] > 0.9).all()  # y of the body is up


def test_a_body_goes_where_it_faces_while_its_cycle_plays():
    cycle = np.zeros((8, 5, 3))
    cycle[:, 1, 0] = np.sin(2 * np.pi * np.arange(8) / 8)
    went = 0
    for seed in range(12):
        found = free_motion(body(cycle_rad=cycle, ranges_rad=np.zeros((5, 3, 2))), np.random.default_rng(seed), 30, 5.0)
        step_m = np.diff(found.path_world_m, axis=0)
        swing = np.ptp(angles_of(found.rotations)[:, 1, 0])
        assert (swing > 1) == (np.abs(step_m).max() > 1e-3)
        if swing > 1:
            forward = found.rotations[1:, 0, :2, 2]
            cosine = (step_m * forward).sum(axis=1) / np.linalg.norm(step_m, axis=1) / np.linalg.norm(forward, axis=1)
            assert cosine.min() > 0.99
            went += 1
    assert 5 <= went <= 11


def test_a_cycle_closes_and_is_read_between_its_frames():
    cycle = np.arange(12.0).reshape(4, 1, 3)
    found = cycle_at(cycle, np.array([0.0, 0.125, 0.25, 0.875, 1.0, -0.25]))
    np.testing.assert_allclose(found[:, 0, 0], [0, 1.5, 3, 4.5, 0, 9])


def saved(tmp_path, **changes):
    file = body()
    np.savez(tmp_path / "body.npz", v_template=file.v_template, shapedirs=file.shapedirs, posedirs=file.posedirs,
             J_regressor=file.J_regressor, weights=file.weights, f=file.faces,
             kintree_table=np.array([PARENTS, range(5)]), **changes)  # fmt: skip
    return tmp_path / "body.npz"


def test_the_bank_of_a_body_with_a_skeleton_of_its_own_holds_some_motions_back(tmp_path):
    path = saved(tmp_path)
    config = PoseSources(sequences=6, frames=4, held_out=0.34)
    train, held_out = (open_bank(config, path, part) for part in ("train", "held_out"))
    assert len(train.rotations) == 16 and len(held_out.rotations) == 8 and train.betas.shape == (16, 10)
    assert train.betas.isnan().all() and train.reads.poses == {"generator"}
    apart = (train.rotations[:, None] - held_out.rotations[None]).abs().amax(dim=(2, 3, 4))
    assert apart.min() > 1e-3
    assert np.allclose(STANDING @ [0, 1, 0], [0, 0, 1])


def test_recordings_of_people_are_refused_for_it(tmp_path):
    with pytest.raises(ValueError, match=r"is a model of .* 5 joints.; .* needed for poses of people"):
        open_bank(PoseSources(cmu=tmp_path, generator=False), saved(tmp_path), "train")
