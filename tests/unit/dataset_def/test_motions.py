import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dataset_def.ground_truth_bodies import EMBEDDED, SequenceBodies, save_bodies
from dataset_def.motions import read_motions
from tests.helpers.moving_body import lively
from utils.artifacts import PseudoLabels, save_pseudo_labels
from utils.export.about import About
from utils.export.tables import write_body_parameters


def theta_of(rotations: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(len(rotations), 72)


def test_a_prediction_comes_back_as_it_was_written(tmp_path):
    rotations, betas, places_m = lively(3)
    about = About("pixels + masks", "w", "b", "free")
    write_body_parameters(tmp_path / "video" / "body.npz", rotations, np.tile(betas, (3, 1)), places_m, about, 29.97)
    [read] = read_motions(tmp_path / "video" / "body.npz")
    np.testing.assert_allclose(read.rotations, rotations, atol=1e-6)
    np.testing.assert_allclose(read.translation_m, places_m, atol=1e-6)
    assert (read.name, read.frames_per_second, read.is_z_up, read.every) == ("video", 29.97, False, 1)
    assert (read.tier, read.weights_sha256, read.body_sha256, read.licence) == ("pixels + masks", "w", "b", "free")


def pseudo_labels(frames: list[tuple[int, int, int, int]]) -> PseudoLabels:
    rotations, betas, places_m = lively(len(frames))
    return PseudoLabels(
        np.array(frames, np.int32), theta_of(rotations).astype(np.float32),
        np.tile(betas, (len(frames), 1)).astype(np.float32), places_m.astype(np.float32),
        np.zeros((len(frames), 17, 3), np.float32), np.ones(len(frames), np.float32), json.dumps({"tier": "masks"}),
        "b", "t", "i",
    )  # fmt: skip


def test_fits_come_back_sequence_by_sequence_with_their_step(tmp_path):
    labels = pseudo_labels([(5, 2, 1, 1), (5, 2, 1, 4), (5, 2, 1, 7), (6, 3, 2, 2), (6, 3, 2, 3)])
    save_pseudo_labels(tmp_path / "pseudo_labels.npz", labels, (9,))
    first, second = read_motions(tmp_path / "pseudo_labels.npz")
    assert (first.name, first.every, len(first.rotations)) == ("s_05_act_02_subact_01", 3, 3)
    assert (second.name, second.every) == ("s_06_act_03_subact_02", 1)
    assert first.is_z_up and first.frames_per_second is None
    assert (first.tier, first.weights_sha256, first.body_sha256) == ("masks", "t", "b")
    np.testing.assert_allclose(theta_of(first.rotations), labels.theta[:3], atol=1e-5)


def test_fits_with_a_gap_are_refused_with_its_frames(tmp_path):
    labels = pseudo_labels([(5, 2, 1, 1), (5, 2, 1, 4), (5, 2, 1, 10)])
    save_pseudo_labels(tmp_path / "pseudo_labels.npz", labels, (9,))
    with pytest.raises(ValueError, match="missing between frame 4 and frame 10, and a motion needs one at every step"):
        read_motions(tmp_path / "pseudo_labels.npz")


def test_bodies_of_a_sequence_are_read_without_the_frames_between(tmp_path):
    rotations, betas, places_m = lively(7)
    theta = theta_of(rotations)
    theta[[0, 2, 4, 6]] = np.nan
    save_bodies(tmp_path / "s_09_act_02_subact_01.npz", SequenceBodies(theta, betas, places_m, EMBEDDED, "b"))
    [read] = read_motions(tmp_path / "s_09_act_02_subact_01.npz")
    assert (len(read.rotations), read.every, read.tier) == (3, 2, EMBEDDED)
    np.testing.assert_allclose(read.translation_m, places_m[[1, 3, 5]], atol=1e-6)
    save_bodies(tmp_path / "none.npz", SequenceBodies(theta * np.nan, betas, places_m, EMBEDDED, "b"))
    with pytest.raises(ValueError, match="holds no frame with a body"):
        read_motions(tmp_path / "none.npz")


def amass_like(path, **changes) -> None:
    arrays = {"poses": np.full((4, 156), 0.1), "trans": np.ones((4, 3)), "betas": np.arange(16) / 10,
              "gender": np.array(b"female"), "mocap_framerate": np.array(120.0)} | changes  # fmt: skip
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def test_a_motion_of_amass_is_read_with_its_older_key_and_bytes(tmp_path):
    amass_like(tmp_path / "walk_poses.npz")
    [read] = read_motions(tmp_path / "walk_poses.npz")
    assert (read.name, read.gender, read.frames_per_second, read.is_z_up) == ("walk_poses", "female", 120.0, True)
    assert read.betas.shape == (4, 10) and read.rotations.shape == (4, 24, 3, 3)
    np.testing.assert_allclose(theta_of(read.rotations)[:, 66:], 0, atol=1e-12, err_msg="fingers are no hands of SMPL")
    np.testing.assert_allclose(theta_of(read.rotations)[:, :66], 0.1, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mocap_framerate": None}, "lacks mocap_frame_rate"),
        ({"trans": None, "betas": None}, "lacks trans, betas"),
        ({"poses": np.zeros((4, 165))}, r"poses of shape \(4, 165\).*SMPL-H \(156\) are read"),
        ({"trans": np.zeros((3, 3))}, r"trans of shape \(3, 3\)"),
        ({"poses": None, "image": np.zeros(3)}, "holds betas, gender, image, .*, which is no motion; give body.npz"),
    ],
)
def test_what_is_no_whole_motion_is_refused_in_words(tmp_path, changes, words):
    amass_like(tmp_path / "a.npz", **changes)
    with pytest.raises(ValueError, match=words):
        read_motions(tmp_path / "a.npz")


def test_files_that_are_missing_or_no_archives_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz does not exist; give body\.npz"):
        read_motions(tmp_path / "none.npz")
    (tmp_path / "a.npz").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"a\.npz is no motion that can be read"):
        read_motions(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes() + b"PK")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"b\.npy is no motion that can be read"):
        read_motions(tmp_path / "b.npy")
