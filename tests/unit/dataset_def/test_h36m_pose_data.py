import pickle

import numpy as np
import pytest
import torch

from config import Crop, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import PoseData, joints_root_m
from tests.helpers.tiny_h36m import COLOURS, write_tiny_h36m
from utils.artifacts import PseudoLabels
from utils.skeleton import H36M_17

CROP = Crop(size_px=64, side_m=2.3)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    paths = write_tiny_h36m(
        tmp_path_factory.mktemp("poses"), actions=(2, 3, 4), subactions=(1, 2), frames=3, size_px=192
    )
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1))
    return paths


def data(paths, subjects=(1,), part="all", held_out=(), sequences=0, every=1, crop=CROP, pseudo_labels=None, **more):
    frames = FrameChoice(subjects, part, held_out, sequences, every)
    return PoseData(paths, frames, CropSettings(crop, **more), pseudo_labels)


def test_joints_about_the_pelvis_are_turned_each_by_its_own_rotation():
    rng = np.random.default_rng(0)
    joints_world_m, (R, _) = rng.normal(size=(5, 17, 3)), np.linalg.qr(rng.normal(size=(5, 3, 3)))
    found = joints_root_m(joints_world_m, R)
    pelvis, wrist = H36M_17.index("pelvis"), H36M_17.index("left_wrist")
    assert np.abs(found[:, pelvis]).max() == 0
    for row in range(5):
        by_hand = R[row] @ (joints_world_m[row, wrist] - joints_world_m[row, pelvis])
        assert np.allclose(found[row, wrist], by_hand, atol=1e-12)
        assert np.allclose(joints_root_m(joints_world_m[row], R[row]), found[row], atol=1e-12)


def test_every_frame_is_a_sample_in_the_order_of_the_index(paths):
    poses = data(paths)
    assert len(poses) == 6 * 4 * 3
    frames = np.array([poses[(0, index)].frames.numpy() for index in range(len(poses))])
    assert np.array_equal(frames, poses.table.frames[poses.table.frames[:, 0] == 1])


def test_joints_are_the_world_joints_turned_and_moved_to_the_pelvis(paths):
    poses = data(paths, roll_rad=0.3)
    sample = poses[(0, 11)]
    world_m = torch.from_numpy(poses.table.joints_world_m[poses.table.row_instant[poses.rows[11]]]).float()
    assert sample.joints_root_m[0].abs().max() == 0
    back_m = sample.joints_root_m @ sample.R_crop_from_world
    assert torch.allclose(back_m, world_m - world_m[0], atol=1e-5)


def test_an_upright_person_has_the_head_above_the_pelvis_in_the_picture(paths):
    sample = data(paths)[(0, 0)]
    head, ankle = (sample.joints_root_m[H36M_17.index(name)] for name in ("head_top", "left_ankle"))
    assert head[1] < -0.5 and ankle[1] > 0.5  # y points down


@pytest.mark.parametrize("roll_rad", [0.0, 0.35])
def test_joints_land_on_the_body_in_the_picture(paths, roll_rad):
    poses = data(paths, roll_rad=roll_rad)
    wrist = H36M_17.index("right_wrist")
    for index in range(0, len(poses), 5):
        sample = poses[(0, index)]
        row = int(poses.rows[index])
        distance_m = np.linalg.norm(poses.reader.targets_m[row] - poses.table.camera(row).centre_world_m)
        focal_px = 64 * distance_m / 2.3
        x_m, y_m, z_m = sample.joints_root_m[wrist].tolist()
        x, y = 32 + focal_px * x_m / (distance_m + z_m), 32 + focal_px * y_m / (distance_m + z_m)
        expected = torch.tensor(COLOURS["right_wrist"] / 255, dtype=torch.float32)
        assert (sample.image[:, int(y), int(x)] - expected).abs().max() < 0.2


def test_a_sample_depends_on_seed_epoch_and_index_only(paths):
    first, second = data(paths, roll_rad=0.3), data(paths, roll_rad=0.3)
    second[(7, 3)]
    assert torch.equal(first[(1, 2)].image, second[(1, 2)].image)
    assert not torch.equal(first[(1, 2)].image, first[(2, 2)].image)
    assert not torch.equal(first[(1, 2)].image, data(paths, roll_rad=0.3, seed=1)[(1, 2)].image)
    assert torch.equal(data(paths)[(0, 2)].image, data(paths, seed=5)[(9, 2)].image)  # nothing is drawn without roll


def test_parts_sequences_and_every(paths):
    held_out = ((3, 1),)
    train, kept_back = data(paths, part="train", held_out=held_out), data(paths, part="held_out", held_out=held_out)
    assert len(train) == 5 * 12 and len(kept_back) == 12
    few = data(paths, part="train", held_out=held_out, sequences=2)
    assert len(few) == 24 and set(few.rows.tolist()) <= set(train.rows.tolist())
    assert len(data(paths, every=2)) == 6 * 4 * 2


def test_missing_labels_are_said(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, labels=False)
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1, centre="masks"))
    with pytest.raises(
        ValueError, match=r"8 of 8 frames have no 3D labels \(first: s_01_act_02_subact_01_ca_01_000001"
    ):
        data(paths, crop=Crop(centre="masks"))


def test_a_used_data_set_travels_to_another_process_without_its_crops(paths):
    poses = data(paths)
    before = len(pickle.dumps(poses))
    poses[(0, 0)]
    assert len(pickle.dumps(poses)) == before
    assert torch.equal(pickle.loads(pickle.dumps(poses))[(0, 5)].image, poses[(0, 5)].image)


def test_the_test_crop_without_labels_is_near_the_one_with_labels(paths):
    by_masks = data(paths, crop=Crop(centre="masks"))
    by_box = data(paths, crop=Crop(centre="box"))
    for poses in (by_masks, by_box):
        assert len(poses) == 72
        sample = poses[(0, 0)]
        assert torch.allclose(sample.joints_root_m, data(paths)[(0, 0)].joints_root_m, atol=0.15)


def pseudo_labels_of(paths, subject: int, frames: list[tuple[int, int, int]]) -> PseudoLabels:
    """Skeletons on a line, one for each (action, sub-action, frame)."""
    count = len(frames)
    rng = np.random.default_rng(0)
    joints_m = rng.normal(size=(count, 17, 3)).astype(np.float32)
    zeros = np.zeros((count, 3), np.float32)
    told = np.array([[subject, *frame] for frame in frames], np.int32)
    return PseudoLabels(told, np.zeros((count, 72), np.float32), zeros, zeros, joints_m,
                        np.linspace(0.25, 1, count, dtype=np.float32), "{}", "", "", "")  # fmt: skip


def test_pseudo_labels_stand_beside_labels_with_their_confidence(paths):
    labels = pseudo_labels_of(paths, 9, [(2, 1, 1), (3, 2, 3)])
    poses = data(paths, pseudo_labels=labels)
    plain = data(paths)
    assert len(poses) == len(plain) + 2 * 4
    mine = [poses[0, index] for index in range(len(poses)) if poses[0, index].frames[0] == 9]
    assert {tuple(sample.frames[[1, 2, 4]].tolist()) for sample in mine} == {(2, 1, 1), (3, 2, 3)}
    for sample in mine:
        place = 0 if sample.frames[1] == 2 else 1
        world_m = torch.from_numpy(labels.joints_world_m[place])
        back_m = sample.joints_root_m @ sample.R_crop_from_world
        assert torch.allclose(back_m, world_m - world_m[0], atol=1e-4)
        assert sample.confidence == labels.confidence[place]
    others = [poses[0, index] for index in range(0, len(poses), 9) if poses[0, index].frames[0] == 1]
    assert all(sample.confidence == 1 for sample in others)


def test_labels_win_over_pseudo_labels_and_nobody_need_be_labelled(paths):
    labels = pseudo_labels_of(paths, 1, [(2, 1, 1), (4, 1, 2)])
    both, plain = data(paths, pseudo_labels=labels), data(paths)
    assert len(both) == len(plain) and torch.equal(both[0, 0].joints_root_m, plain[0, 0].joints_root_m)
    alone = data(paths, (), pseudo_labels=labels)
    assert len(alone) == 2 * 4 and not torch.equal(alone[0, 0].joints_root_m, plain[0, 0].joints_root_m)
    held_out = data(paths, (), "held_out", ((4, 1),), pseudo_labels=labels)
    assert len(held_out) == 4 and len(data(paths, (), "train", ((4, 1),), pseudo_labels=labels)) == 4
