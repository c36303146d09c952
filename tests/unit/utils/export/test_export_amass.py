"""Motions of AMASS's form, read as that collection's users read them: poses, trans, betas, gender, rate."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dataset_def.poses.readers import read_amass
from models.smpl import rotations_from_theta
from tests.helpers.moving_body import bent_stick, lively, lively_rig, open_body, stick_motion
from utils.export.about import About
from utils.export.amass import HANDS, Person, write_amass
from utils.export.rig import RigMotion, rig_of

HEADER = About("pixels", "w", "b", "free").header("z up", "metres, radians")


def written(path, rig, motion, betas) -> dict[str, np.ndarray]:
    write_amass(path, rig, motion, Person(betas, "neutral"), HEADER)
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def joints_by_hand(poses, trans, rest_m, parents) -> np.ndarray:
    """Walk down the skeleton as AMASS's body models do: the root turns about its place at rest, trans comes on top."""
    frames = []
    for pose, move_m in zip(poses, trans, strict=True):
        R, places = [Rotation.from_rotvec(pose[:3]).as_matrix()], [rest_m[0]]
        for joint, parent in enumerate(parents[1:], start=1):
            places.append(places[parent] + R[parent] @ (rest_m[joint] - rest_m[parent]))
            R.append(R[parent] @ Rotation.from_rotvec(pose[3 * joint : 3 * joint + 3]).as_matrix())
        frames.append(np.stack(places) + move_m)
    return np.stack(frames)


def test_a_person_upright_at_a_known_place_is_written_as_by_hand(tmp_path):
    rig = rig_of(open_body(), torch.zeros(10).double())
    upright = RigMotion(np.tile(np.eye(3), (1, 24, 1, 1)), np.array([[1.0, 0.9, -4.0]]), 50.0)
    read = written(tmp_path / "a.npz", rig, upright, np.zeros(10))
    # y up becomes z up by a quarter turn about x, which is then the root's rotation; (1, 0.9, -4) lies at (1, 4, 0.9).
    np.testing.assert_allclose(read["poses"][0, :3], [np.pi / 2, 0, 0], atol=1e-7)
    assert np.abs(read["poses"][0, 3:]).max() < 1e-7
    np.testing.assert_allclose(read["trans"][0], np.array([1.0, 4.0, 0.9]) - rig.joints_m[0], atol=1e-9)
    assert abs(read["trans"][0] - [1.0, 4.0, 0.9]).max() > 0.2, (
        "trans is not the pelvis: the root lies at -0.22 at rest"
    )


def test_the_file_has_what_readers_of_amass_look_for(tmp_path):
    rig, motion, *_ = lively_rig(6)
    read = written(tmp_path / "a.npz", rig, motion, np.arange(10) / 10)
    assert read["poses"].shape == (6, 156) and read["trans"].shape == (6, 3) and read["dmpls"].shape == (6, 8)
    assert float(read["mocap_frame_rate"]) == read["mocap_framerate"].tolist() == 25.0
    assert read["gender"].item() == "neutral" and read["betas"].tolist() == (np.arange(10) / 10).tolist()
    assert not read["poses"][:, 66:].any(), "no fingers"
    assert float(read["mocap_time_length"]) == pytest.approx(6 / 25)
    assert {name: str(read[name]) for name in HEADER} == HEADER


def test_a_reader_of_amass_finds_our_joints_and_surface_with_z_up(tmp_path):
    rotations, betas, _ = lively(8)
    rig, motion, vertices_cam_m, joints_cam_m = lively_rig(8)
    read = written(tmp_path / "a.npz", rig, motion, betas)

    # camera: x right, y down, z forward.  z up: x right, y forward, z up.
    def expected_m(cam_m):
        return np.stack([cam_m[..., 0], cam_m[..., 2], -cam_m[..., 1]], axis=-1)

    found_m = joints_by_hand(read["poses"], read["trans"], rig.joints_m, rig.parents)
    assert 1000 * np.abs(found_m - expected_m(joints_cam_m)).max() < 0.01
    theta = np.concatenate([read["poses"][:, :66], read[HANDS]], axis=1)
    R = rotations_from_theta(torch.from_numpy(theta))
    shapes = torch.from_numpy(read["betas"]).expand(8, -1)
    surface_m = open_body()(R, shapes, torch.from_numpy(read["trans"])).vertices_m.numpy()
    assert 1000 * np.abs(surface_m - expected_m(vertices_cam_m)).max() < 0.01
    between = np.swapaxes(rotations[:, 1:], -1, -2) @ R.numpy()[:, 1:]
    assert np.degrees(Rotation.from_matrix(between.reshape(-1, 3, 3)).magnitude()).max() < 1e-4


def test_the_projects_own_reader_of_amass_takes_the_file(tmp_path):
    rig, motion, *_ = lively_rig(5)
    read = written(tmp_path / "walk_poses.npz", rig, motion, np.arange(10) / 10)
    found = read_amass(tmp_path / "walk_poses.npz", tmp_path, 1000)
    np.testing.assert_allclose(found.theta[:, :66], read["poses"][:, :66], atol=1e-6)
    np.testing.assert_allclose(found.betas, np.arange(10) / 10, atol=1e-6)


def test_other_skeletons_are_refused(tmp_path):
    with pytest.raises(ValueError, match="3 joints; AMASS's files are of SMPL's 24"):
        write_amass(tmp_path / "a.npz", bent_stick(), stick_motion({}), Person(np.zeros(10), "neutral"), HEADER)
    assert list(tmp_path.iterdir()) == []
