from dataclasses import replace

import numpy as np
import pytest
import torch

from config import Crop, ImageAugmentation, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.augmentation import WideCrops, augmented, cut_changed, dealt_anew, resaturated
from dataset_def.crop import crop_camera, look_rotation
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import PoseData, WidePoseData, wide_crop
from tests.helpers.tiny_h36m import COLOURS, looking_camera, wall, write_tiny_h36m
from utils.artifacts import save_background
from utils.batches import in_order
from utils.image import to_unit_rgb
from utils.new_cameras import Changes, look_rotations, new_cameras, no_changes, points_in_wide, rolls
from utils.skeleton import H36M_17, mirrored

CROP = Crop(size_px=64, side_m=2.25)
MIRRORED = mirrored(H36M_17)
FRAMES = FrameChoice((1,))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    paths = write_tiny_h36m(tmp_path_factory.mktemp("wide"), frames=2, size_px=400, actions=(2,))
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1, pack_px=128))
    for camera in (1, 2, 3, 4):
        for subject in (1, 9):
            room = wall(subject, camera, 400, 400 + 2 * (camera in (1, 4)))
            save_background(paths.backgrounds_location / f"s_{subject:02d}_ca_{camera:02d}.npy", room)
    return paths


@pytest.fixture(scope="module")
def wide(paths) -> WideCrops:
    return next(iter(in_order(WidePoseData(paths, FRAMES, CROP, seed=0), 8)))


def changes(count=8, roll=0.0, size=1.0, shift=(0.0, 0.0), mirror=False) -> Changes:
    plain = no_changes(count)
    return Changes(
        plain.roll_rad + roll, plain.size * size, plain.shift_m + torch.tensor(shift), plain.is_mirrored | mirror
    )


def cut(wide: WideCrops, **how):
    return cut_changed(wide, changes(**how), torch.zeros(8, dtype=torch.bool), CROP, MIRRORED)


def test_crops_without_changes_are_the_plain_ones(paths, wide):
    plain = next(iter(in_order(PoseData(paths, FRAMES, CropSettings(CROP)), 8)))
    found = cut_changed(wide, no_changes(8), torch.zeros(8, dtype=torch.bool), CROP, MIRRORED)
    assert torch.allclose(found.joints_root_m, plain.joints_root_m, atol=1e-5)
    assert (found.image - plain.image).abs().mean() < 0.004, "two ways to interpolate"


@pytest.mark.parametrize("how", [dict(), dict(roll=0.5), dict(size=1.3), dict(shift=(0.2, -0.15)), dict(mirror=True),
                                 dict(roll=-0.4, size=0.8, shift=(-0.2, 0.1), mirror=True)])  # fmt: skip
def test_every_joint_is_seen_where_its_disc_is(wide, how):
    found = cut(wide, **how)
    pixels = ((found.seen_m / CROP.side_m + 0.5) * CROP.size_px - 0.5).round().long()
    apart = []
    for name in ("head_top", "left_wrist", "right_wrist", "left_ankle", "right_ankle"):
        joint = H36M_17.index(name)
        # A mirrored person's left wrist is drawn in the colour of what was the right one.
        drawn = H36M_17[MIRRORED[joint]] if how.get("mirror") else name
        colour = torch.tensor(COLOURS[drawn] / 255).float()
        x, y = pixels[:, joint].unbind(-1)
        inside = (x >= 0) & (y >= 0) & (x < CROP.size_px) & (y < CROP.size_px)
        seen = found.image[inside.nonzero()[:, 0], :, y[inside], x[inside]]
        apart.append((seen - colour).abs().amax(-1))
    apart = torch.cat(apart)
    assert len(apart) > 25 and (apart < 0.08).float().mean() > 0.7, "the others are hidden by discs in front of them"


def test_size_and_roll_of_joints_are_those_of_the_picture(wide):
    plain, larger = cut(wide), cut(wide, size=1.25)
    assert torch.allclose(larger.joints_root_m * 1.25, plain.joints_root_m, atol=1e-5)
    assert torch.allclose(larger.seen_m * 1.25, plain.seen_m, atol=1e-5)
    rolled = cut(wide, roll=0.3)
    assert torch.allclose(rolled.joints_root_m, plain.joints_root_m @ rolls(torch.tensor([0.3]))[0].T, atol=1e-5)
    mirror = cut(wide, mirror=True)
    by_hand = (plain.joints_root_m * torch.tensor([-1.0, 1.0, 1.0]))[:, MIRRORED]
    assert torch.allclose(mirror.joints_root_m, by_hand, atol=1e-5)
    assert torch.allclose(mirror.image, plain.image.flip(-1), atol=1e-5)
    assert torch.allclose(mirror.mask, plain.mask.flip(-1), atol=1e-5)


def test_changes_are_undone_for_points_that_new_crops_show(wide):
    how = changes(roll=-0.4, size=0.8, shift=(-0.2, 0.1))
    how = how._replace(is_mirrored=torch.arange(8) % 2 == 0)
    cameras = new_cameras(wide.distance_m, how, CROP.side_m)
    found = cut_changed(wide, how, torch.zeros(8, dtype=torch.bool), CROP, MIRRORED)
    ahead_m = wide.joints_m + torch.nn.functional.pad(wide.distance_m[:, None, None], (2, 0))
    depth_m = (ahead_m @ cameras.R_crop_from_wide.mT)[..., 2:] - cameras.distance_m[:, None, None]
    depth_m = torch.where(how.is_mirrored[:, None, None], depth_m[:, MIRRORED], depth_m) / how.size[:, None, None]
    points_m = torch.cat([found.seen_m, depth_m], dim=-1)
    back_m = points_in_wide(points_m, cameras, how.size, wide.distance_m, MIRRORED)
    assert torch.allclose(back_m, wide.joints_m, atol=1e-5)


def test_a_shifted_camera_is_the_crop_camera_of_the_shifted_target():
    camera = looking_camera(1, 400, 400)
    target_m = np.array([0.3, -0.2, 0.9])
    straight = crop_camera(camera, target_m, 64, 2.25)
    direction = torch.tensor([[0.2, -0.1, 5.0], [-0.4, 0.3, 4.0]])
    for row, R in zip(direction, look_rotations(direction), strict=True):
        assert np.allclose(R.numpy(), look_rotation(row.double().numpy()), atol=1e-6)
    rolled = crop_camera(camera, target_m, 64, 2.25, 0.3)
    assert np.allclose(
        rolls(torch.tensor([0.3]))[0].numpy() @ straight.R_cam_from_world, rolled.R_cam_from_world, atol=1e-6
    )


def test_another_room_changes_what_is_behind_and_not_the_person(paths):
    data = WidePoseData(paths, FRAMES, CROP, seed=0)
    data.open_rooms((1, 9), is_needed=True, are_masks_needed=True)
    wide = next(iter(in_order(data, 8)))
    assert set(data.poses.table.frames[data.room_rows, 0]) == {1, 9} and set(
        data.poses.table.frames[data.poses.rows, 0]
    ) == {1}
    both = [cut_changed(wide, no_changes(8), torch.full((8,), swapped), CROP, MIRRORED) for swapped in (False, True)]
    apart = (both[0].image - both[1].image).abs().mean(1, keepdim=True)
    assert apart[both[0].mask == 1].max() < 1e-6
    assert apart[both[0].mask == 0].mean() > 0.05
    assert torch.equal(both[0].joints_root_m, both[1].joints_root_m)


def test_random_changes_repeat_stay_in_their_ranges_and_fall_but_for_the_shift(wide):
    augment = ImageAugmentation(roll_rad=0.3, shift_m=0.2, scale=0.3, mirror=0.5, end=0.0)

    def drawn(done: float):
        return augmented(wide, augment, done, CROP, MIRRORED, torch.Generator().manual_seed(1))

    first, again, last = drawn(0.0), drawn(0.0), drawn(1.0)
    assert torch.equal(first.image, again.image)
    pelvis_m = last.seen_m[:, 0].norm(dim=-1)
    assert 0.01 < pelvis_m.max() <= 0.2 * 1.3 + 1e-4, "crops about the pelvis: what is left is the shift"
    up = first.joints_root_m[:, H36M_17.index("head_top")], last.joints_root_m[:, H36M_17.index("head_top")]
    lean = [torch.atan2(one[:, 0], -one[:, 1]).abs().max().item() for one in up]
    assert 0.1 < lean[0] < 0.36 and lean[1] < 0.08


def test_saturation_changes_colours_and_not_their_mean():
    image = torch.rand(20, 3, 4, 4) * 0.5 + 0.25
    found = resaturated(image, 1.0, torch.Generator().manual_seed(0))
    assert torch.allclose(found.mean(1), image.mean(1), atol=1e-6)
    factor = (found - found.mean(1, keepdim=True)).norm(dim=1) / (image - image.mean(1, keepdim=True)).norm(dim=1)
    each = factor.flatten(1)
    assert torch.allclose(each, each[:, :1].expand_as(each), atol=1e-3), "one factor for each image"
    assert 0.29 < each.min() < 0.45 and 1.0 < each.max() < 1.21
    assert torch.allclose(resaturated(image, 0.0, torch.Generator().manual_seed(0)), image, atol=1e-6)


def test_wide_crops_are_the_packed_ones_or_larger_than_the_crop(paths, tmp_path):
    assert wide_crop(paths, CROP) == Crop(128, 3.0)
    assert wide_crop(replace(paths, index_location=tmp_path), CROP) == Crop(80, 3.0)


def test_a_data_set_without_masks_is_refused_where_they_are_needed(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=1, size_px=96, with_masks=False)
    h36m_preprocess.main(PreprocessConfig(paths=paths, processes=1, pack_px=96, centre="pelvis"))
    data = WidePoseData(paths, FRAMES, replace(CROP, centre="pelvis"), seed=0)
    data.open_rooms((1, 9), is_needed=False, are_masks_needed=False)
    with pytest.raises(ValueError, match=r"no masks.*--maps-loss.mask 0"):
        data.open_rooms((1, 9), is_needed=False, are_masks_needed=True)
    assert to_unit_rgb(data[0, 0].image.permute(1, 2, 0).numpy()).shape == (3, 96, 96)


def test_rooms_are_dealt_to_other_images_and_none_is_lost(wide):
    numbered = wide._replace(room=torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand_as(wide.room))
    first, again, other = (dealt_anew(numbered, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    order = first.room[:, 0, 0, 0].tolist()
    assert sorted(order) == list(range(8)) and order != list(range(8))
    assert torch.equal(first.room, again.room) and not torch.equal(first.room, other.room)
    assert torch.equal(first.image, wide.image)


def test_rooms_of_several_views_are_dealt_to_all_views_of_all_instants():
    numbers = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 3, 2, 2)
    images, scalars = numbers.unflatten(0, (3, 4)), torch.ones(3, 4)
    views = WideCrops(images, images[:, :, 0], images, torch.zeros(3, 4, 0, 3), scalars, scalars, scalars)
    dealt = dealt_anew(views, torch.Generator().manual_seed(1))
    assert dealt.room.shape == images.shape and torch.equal(dealt.image, images)
    came_from = dealt.room[:, :, 0, 0, 0].flatten().long()
    assert sorted(came_from.tolist()) == list(range(12))
    assert ((came_from - torch.arange(12)) % 4).any()
