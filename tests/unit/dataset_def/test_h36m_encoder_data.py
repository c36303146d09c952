from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from config import Crop, Pairing, PreprocessConfig
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_encoder_data import EncoderData, ViewGroup, choose_appearances, choose_targets
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import FrameChoice
from tests.helpers.tiny_h36m import COLOURS, write_tiny_h36m
from utils.camera import project, to_camera
from utils.skeleton import H36M_17

CROP = Crop(size_px=64, side_m=2.3)


def prepared(root, **kind):
    pack, centre = kind.pop("pack", True), kind.pop("centre", "masks")
    paths = write_tiny_h36m(root, **kind)
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1, pack=pack, centre=centre))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    return paths


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("groups"), subjects=(1, 9), actions=(2, 3), frames=6, size_px=192)


def data(paths, subjects=(1,), part="all", held_out=(), pairing=None, roll_rad=0.35, shift_m=0.0, seed=0, crop=CROP):
    frames = FrameChoice(subjects, part, held_out)
    return EncoderData(paths, frames, CropSettings(crop, roll_rad, shift_m, seed), pairing or Pairing())


def same(first: ViewGroup, second: ViewGroup) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_group_has_the_shapes_it_promises(paths):
    def check(
        image: Float[Tensor, "4 3 64 64"],
        background: Float[Tensor, "4 3 64 64"],
        mask: Float[Tensor, "4 1 64 64"],
        R_crop_from_world: Float[Tensor, "4 3 3"],
        target_view: Int[Tensor, "4"],
        appearance_view: Int[Tensor, "4"],
        frames: Int[Tensor, "4 5"],
    ) -> None:
        assert image.min() >= 0 and image.max() <= 1 and mask.min() >= 0 and mask.max() == 1
        assert torch.allclose(R_crop_from_world @ R_crop_from_world.mT, torch.eye(3).expand(4, 3, 3), atol=1e-6)

    from beartype import beartype
    from jaxtyping import jaxtyped

    jaxtyped(typechecker=beartype)(check)(*data(paths)[(0, 0)])


def test_a_sample_depends_on_seed_epoch_and_index_only(paths):
    first, second = data(paths), data(paths)
    second[(3, 5)]
    assert same(first[(2, 4)], second[(2, 4)])
    assert not same(first[(2, 4)], first[(1, 4)]) and not same(first[(2, 4)], first[(2, 5)])
    assert not same(first[(2, 4)], data(paths, seed=1)[(2, 4)])


def test_a_group_is_two_cameras_at_each_of_two_instants_of_one_sequence(paths):
    groups = data(paths)
    assert len(groups) == 2 * 6
    for index in range(len(groups)):
        frames = groups[(0, index)].frames
        assert frames[:, :3].unique(dim=0).shape[0] == 1
        assert frames[0, 4] == frames[1, 4] != frames[2, 4] == frames[3, 4]
        assert frames[0, 3] != frames[1, 3] and frames[2, 3] != frames[3, 3]
    assert {tuple(groups[(0, index)].frames[0, [1, 4]].tolist()) for index in range(12)} == {
        (action, frame) for action in (2, 3) for frame in range(1, 7)
    }


def test_every_camera_and_every_pair_occurs(paths):
    groups = data(paths, roll_rad=0.0)
    pairs = {tuple(groups[(epoch, 0)].frames[:2, 3].tolist()) for epoch in range(80)}
    assert len(pairs) == 4 * 3


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (1.0, 1, 1), (0.5, 0.45, 0.55)])
def test_the_share_of_targets_that_are_the_view_itself(share, low, high):
    rng = np.random.default_rng(0)
    targets = np.array([choose_targets(share, rng) for _ in range(2000)])
    assert low <= (targets == np.arange(4)).mean() <= high
    assert (targets // 2 == [0, 0, 1, 1]).all()  # always at the same instant
    assert (np.sort(targets, axis=1) == np.arange(4)).all()


def test_appearance_comes_from_the_other_instant_or_from_the_image_itself():
    rng = np.random.default_rng(0)
    rows = np.array([choose_appearances("other_time", rng) for _ in range(200)])
    assert (rows // 2 == [1, 1, 0, 0]).all() and {tuple(row) for row in rows[:, :2].tolist()} == {(2, 3), (3, 2)}
    assert choose_appearances("same_image", rng).tolist() == [0, 1, 2, 3]


def test_the_other_action_is_another_sequence_of_the_same_subject(paths):
    groups = data(paths, subjects=(1, 9), pairing=Pairing(appearance_from="other_action"))
    for index in range(len(groups)):
        frames = groups[(0, index)].frames
        assert (frames[:, 0] == frames[0, 0]).all() and frames[0, 1] != frames[2, 1]


def test_another_subaction_of_the_same_action_is_not_another_action(tmp_path):
    paths = prepared(tmp_path, subjects=(1,), actions=(2, 3), subactions=(1, 2), frames=2)
    groups = data(paths, pairing=Pairing(appearance_from="other_action"))
    for epoch in range(5):
        for index in range(len(groups)):
            frames = groups[(epoch, index)].frames
            assert frames[0, 1] != frames[2, 1], f"both of action {frames[0, 1]}"
    with pytest.raises(ValueError, match="'other_action' finds no other instant for s_01_act_02"):
        data(paths, part="train", held_out=((3, 1), (3, 2)), pairing=Pairing(appearance_from="other_action"))


def test_pairings_that_find_no_partner_are_refused(paths, tmp_path):
    with pytest.raises(ValueError, match="'other_action' finds no other instant for s_01_act_02"):
        data(paths, part="held_out", held_out=((2, 1),), pairing=Pairing(appearance_from="other_action"))
    still = prepared(tmp_path, subjects=(1,), actions=(2,), frames=1)
    with pytest.raises(ValueError, match="'other_time' finds no other instant"):
        data(still)


def test_held_out_sequences_are_not_trained_on(paths):
    held_out = ((3, 1),)
    train, kept_back = (data(paths, part=part, held_out=held_out) for part in ("train", "held_out"))
    assert {int(train[(0, index)].frames[0, 1]) for index in range(len(train))} == {2}
    assert {int(kept_back[(0, index)].frames[0, 1]) for index in range(len(kept_back))} == {3}


def body_pixels(groups, group, view, name):
    """Find where a joint of one view must be: by the true joints and the matrix in the group alone."""
    frame = group.frames[view].tolist()
    row = int(np.flatnonzero((groups.table.frames == frame).all(1))[0])
    joints_m = groups.table.joints_world_m[groups.table.row_instant[row]]
    camera = groups.reader.camera(row)._replace(R_cam_from_world=group.R_crop_from_world[view].double().numpy())
    return project(camera, to_camera(camera, joints_m[H36M_17.index(name)])).astype(int)


@pytest.mark.parametrize("pack", [True, False], ids=["packed", "from frames"])
def test_image_mask_and_matrix_of_a_rolled_crop_agree(paths, pack, tmp_path):
    here = paths
    if not pack:
        here = replace(paths, index_location=tmp_path)
        h36m_preprocess.main(PreprocessConfig(paths=here, processes=1, pack=False))
    groups = data(here, subjects=(1, 9))
    for index in range(0, len(groups), 2):
        group = groups[(0, index)]
        for view in range(4):
            x, y = body_pixels(groups, group, view, "right_wrist")  # drawn last, so never hidden
            expected = torch.tensor(COLOURS["right_wrist"] / 255, dtype=torch.float32)
            assert (group.image[view, :, y, x] - expected).abs().max() < 0.2
            assert group.mask[view, 0, y, x] > 0.8


def test_packed_crops_and_frames_give_nearly_the_same_group(paths, tmp_path):
    raw = replace(paths, index_location=tmp_path)
    h36m_preprocess.main(PreprocessConfig(paths=raw, processes=1, pack=False))
    packed_group, raw_group = data(paths)[(0, 3)], data(raw)[(0, 3)]
    assert torch.equal(packed_group.frames, raw_group.frames)
    assert (packed_group.image - raw_group.image).abs().mean() < 0.01
    assert torch.equal(packed_group.background, raw_group.background)


def test_away_from_the_person_the_image_is_the_background(paths):
    groups = data(paths, subjects=(1, 9))
    for index in range(0, len(groups), 3):
        group = groups[(0, index)]
        away = (torch.nn.functional.max_pool2d(group.mask, 5, 1, 2) == 0).expand_as(group.image)
        difference = (group.image - group.background).abs()
        assert difference[away].mean() < 0.02 and difference[~away].mean() > 0.1


def test_rotations_of_the_two_views_take_joints_of_one_crop_into_the_other(paths):
    groups = data(paths)
    group = groups[(0, 1)]
    R_1_from_0 = group.R_crop_from_world[1] @ group.R_crop_from_world[0].T
    row = int(np.flatnonzero((groups.table.frames == group.frames[0].numpy()).all(1))[0])
    joints = torch.from_numpy(groups.table.joints_world_m[groups.table.row_instant[row]]).float()
    root = joints - joints[0]
    in_0, in_1 = (root @ group.R_crop_from_world[view].T for view in (0, 1))
    assert torch.allclose(in_0 @ R_1_from_0.T, in_1, atol=1e-5)


def test_a_red_shirt_is_red(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.helpers.tiny_h36m.COLOURS", dict.fromkeys(H36M_17, np.array([230, 20, 20])))
    groups = data(prepared(tmp_path, subjects=(1,), actions=(2,), frames=5))
    group = groups[(0, 0)]
    red, green, blue = (group.image[:, channel][group.mask[:, 0] > 0.95].mean() for channel in range(3))
    assert red > 0.8 and green < 0.2 and blue < 0.2


@pytest.mark.parametrize("cameras", [(1, 3), (2, 3, 4)])
def test_two_and_three_cameras_are_enough(tmp_path, cameras):
    groups = data(prepared(tmp_path, subjects=(1,), actions=(2,), frames=2, cameras=cameras))
    seen = {int(camera) for epoch in range(20) for camera in groups[(epoch, 0)].frames[:, 3]}
    assert seen == set(cameras)


def test_one_camera_is_not_enough(tmp_path):
    one = prepared(tmp_path, subjects=(1,), actions=(2,), frames=2, cameras=(1,), centre="pelvis")
    with pytest.raises(ValueError, match="at least two"):
        data(one, crop=replace(CROP, centre="pelvis"))
    with pytest.raises(ValueError, match="masks needs masks in two views"):
        data(one)


def test_without_masks_everything_counts_as_person(tmp_path):
    bare = prepared(tmp_path, subjects=(1,), actions=(2,), frames=2, with_masks=False, centre="pelvis")
    groups = data(bare, crop=replace(CROP, centre="pelvis"))
    assert (groups[(0, 0)].mask == 1).all()


def test_without_labels_the_masks_are_enough(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, labels=False)
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1, centre="masks"))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    group = data(paths, crop=Crop(centre="masks"))[(0, 0)]
    assert (group.mask[:, 0, 24:40, 24:40] > 0.5).any((1, 2)).all()
    with pytest.raises(ValueError, match="pelvis needs 3D labels"):
        data(paths, crop=Crop(centre="pelvis"))


def test_bent_lenses_give_straight_images_and_backgrounds_that_match(tmp_path):
    lens = {"k": (-0.2071, 0.2478, -0.0031), "p": (-0.00142, -0.00098)}
    groups = data(prepared(tmp_path, subjects=(1,), actions=(2,), frames=5, size_px=256, **lens))
    group = groups[(0, 0)]
    for view in range(4):
        x, y = body_pixels(groups, group, view, "right_wrist")
        assert group.mask[view, 0, y, x] > 0.8
    away = (torch.nn.functional.max_pool2d(group.mask, 5, 1, 2) == 0).expand_as(group.image)
    assert (group.image - group.background).abs()[away].mean() < 0.02


def test_missing_backgrounds_are_said(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2)
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1))
    with pytest.raises(FileNotFoundError, match=r"h36m_get_background\.py"):
        data(paths)[(0, 0)]


def test_a_moved_crop_looks_at_one_point_beside_the_person_in_all_cameras_of_an_instant(tmp_path):
    paths = prepared(tmp_path, subjects=(1,), actions=(2,), frames=3, size_px=192, pack=False)
    groups = data(paths, shift_m=0.4)
    table = groups.table
    keys = [tuple(key) for key in table.frames.tolist()]
    moved_m = []
    for epoch in range(5):
        sample = groups[(epoch, 0)]
        for first, second in ((0, 1), (2, 3)):
            rows = [keys.index(tuple(sample.frames[view].tolist())) for view in (first, second)]
            centres = np.stack([table.camera(row).centre_world_m for row in rows])
            axes = sample.R_crop_from_world[[first, second], 2].double().numpy()
            # where the two lines of sight meet: the point nearest to both
            depths_m, gap_m, *_ = np.linalg.lstsq(np.stack([axes[0], -axes[1]], 1), centres[1] - centres[0], rcond=None)
            assert gap_m.sum() < 1e-8
            met = centres[0] + depths_m[0] * axes[0]
            moved_m.append(np.linalg.norm(met - groups.reader.targets_m[rows[0]]))
    assert max(moved_m) <= 0.4 + 1e-5 and max(moved_m) > 0.2 and min(moved_m) < 0.2


def test_crops_that_move_need_a_wider_pack(paths):
    with pytest.raises(ValueError, match=r"moved by up to 0\.3 m; pack again with: .* --pack-side-m 3\.55"):
        data(paths, shift_m=0.3)
