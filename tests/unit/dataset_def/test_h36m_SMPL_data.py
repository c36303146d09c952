import pickle
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from config import Crop, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_files import folder_name, mask_path
from dataset_def.h36m_index import FrameChoice, load_table
from dataset_def.h36m_pose_data import PoseData
from dataset_def.h36m_SMPL_data import MeshData, distance_to_mask_px, distance_without_scipy_px, mask_problem
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.batches import in_order
from utils.camera import project, to_camera
from utils.image import write_image
from utils.views import placed_in_views

CROP = Crop(size_px=32)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    paths = write_tiny_h36m(tmp_path_factory.mktemp("bodies"), subjects=(1, 5), actions=(2, 3), frames=2, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=96, pack_side_m=3.2, processes=1))
    return paths


def data(
    paths, subjects=(1, 5), labelled=(1,), part="all", held_out=(), crop=CROP, mask_px=48, every=1, **more
) -> MeshData:
    frames = FrameChoice(subjects, part, held_out, every=every)
    return MeshData(paths, frames, CropSettings(crop, **more), mask_px, labelled)


def test_every_frame_is_a_sample_with_the_masks_of_all_cameras(paths):
    bodies = data(paths)
    assert len(bodies) == 2 * 2 * 4 * 2
    sample = bodies[(0, 5)]
    assert sample.image.shape == (3, 32, 32) and sample.views.mask.shape == (4, 48, 48)
    assert sample.views.exists.all()
    alone = [bodies[(0, index)] for index in range(len(bodies))]
    same = [one for one in alone if torch.equal(one.frames[[0, 1, 2, 4]], sample.frames[[0, 1, 2, 4]])]
    assert sorted(one.frames[3].item() for one in same) == [1, 2, 3, 4], "once per input camera"
    assert all(torch.equal(one.views.mask, sample.views.mask) for one in same), "the masks are those of the instant"


def test_joints_come_with_labelled_subjects_only_and_are_those_of_stage_2(paths):
    bodies, poses = (
        data(paths, roll_rad=0.3, shift_m=0.1),
        PoseData(paths, FrameChoice((1,)), CropSettings(CROP, roll_rad=0.3, shift_m=0.1)),
    )
    for index in (0, 9):
        sample, pose = bodies[(2, index)], poses[(2, index)]
        assert sample.is_labelled and torch.equal(sample.frames, pose.frames)
        assert torch.equal(sample.joints_root_m, pose.joints_root_m) and torch.equal(sample.image, pose.image)
        assert torch.equal(sample.R_crop_from_world, pose.R_crop_from_world)
    other = bodies[(2, len(bodies) - 1)]
    assert other.frames[0] == 5 and not other.is_labelled and other.joints_root_m.abs().max() == 0
    assert data(paths, labelled=(1, 5))[(2, len(bodies) - 1)].is_labelled


@pytest.mark.parametrize("packed", [True, False])
def test_the_persons_joints_lie_on_the_masks_of_all_views(paths, tmp_path, packed):
    if not packed:
        paths = replace(paths, index_location=tmp_path)
        h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    bodies = data(paths, labelled=(1, 5), roll_rad=0.3, shift_m=0.1)
    for index in range(0, len(bodies), 7):
        sample = bodies[(1, index)]
        views = type(sample.views)(*(part[None] for part in sample.views))
        world_m = (sample.joints_root_m @ sample.R_crop_from_world)[None]
        xy_px = placed_in_views(world_m, views, "pelvis")[0, :, :, :2]
        for view in range(4):
            columns, rows = xy_px[view].long().unbind(dim=-1)
            assert sample.views.mask[view, rows, columns].min() > 0.5


@pytest.mark.parametrize("centre", ["masks", "box"])
def test_views_are_the_crop_cameras_of_their_own_frames(paths, centre):
    bodies = data(paths, crop=Crop(size_px=32, centre=centre))
    row = int(bodies.rows[3])
    views = bodies.views(row)
    for view, other in enumerate(bodies.instant_rows[int(bodies.table.row_instant[row])].tolist()):
        camera = bodies.mask_reader.camera(other)
        target_m = views.target_world_m[view].double().numpy()
        middle_px = project(camera, to_camera(camera, target_m[None]))[0]
        assert np.allclose(middle_px, [24, 24], atol=1e-3)
        assert np.allclose(views.R_crop_from_world[view], camera.R_cam_from_world, atol=1e-6)


def test_distance_from_the_person_by_hand():
    mask = np.zeros((5, 5), np.uint8)
    mask[2, 2] = 255
    found = distance_to_mask_px(mask)
    assert found[2, 2] == 0 and found[2, 4] == 2
    assert found[0, 0] == pytest.approx(8**0.5, abs=1e-3) and found[1, 2] == 1


def test_distance_from_the_person_is_exact_and_finite_where_nobody_is():
    mask = np.where(np.random.default_rng(0).random((20, 30)) > 0.98, 255, 0).astype(np.uint8)
    pixels = np.argwhere(np.ones(mask.shape, bool))
    apart_px = np.linalg.norm(pixels[:, None] - np.argwhere(mask > 128), axis=-1).min(1)
    assert distance_to_mask_px(mask).dtype == np.float32
    assert np.array_equal(distance_to_mask_px(mask).ravel(), apart_px.astype(np.float32))
    assert np.array_equal(distance_without_scipy_px(mask <= 128), distance_to_mask_px(mask))
    assert np.isfinite(distance_to_mask_px(np.zeros((20, 30), np.uint8))).all()
    assert distance_to_mask_px(np.zeros((20, 30), np.uint8)).min() > apart_px.max()


def test_distance_from_the_person_does_not_depend_on_where_the_mask_lies_in_memory():
    rows, columns = np.mgrid[:64, :64]
    mask = np.where(((columns - 32) / 13) ** 2 + ((rows - 32) / 21) ** 2 < 1, 255, 0).astype(np.uint8)
    answers, kept = set(), []
    for size in range(100):
        kept.append(np.ones(37 * size + 1, np.uint8))  # so that the next copy lies elsewhere
        answers.add(distance_to_mask_px(mask.copy()).tobytes())
    assert len(answers) == 1


def test_distances_are_in_metres_at_the_person(paths):
    views = data(paths).views(0)
    far = views.distance_to_mask_m[0].argmax()
    person = np.argwhere(views.mask[0].numpy() > 0.5)
    place = np.array(divmod(int(far), 48))
    nearest_px = np.linalg.norm(person - place, axis=1).min()
    assert views.distance_to_mask_m[0].max().item() == pytest.approx(nearest_px * 2.3 / 48, abs=0.03)


def test_instants_that_fewer_cameras_saw_are_padded(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2, 3), frames=2, size_px=96)
    for number in (3, 4):
        for place in (paths.h36m_location, paths.masks_location):
            folder = place / folder_name(1, 3, 1, number)
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=96, pack_side_m=3.2, processes=1))
    bodies = data(paths, subjects=(1,))
    assert bodies[(0, 0)].views.exists.tolist() == [True] * 4
    few = bodies[(0, len(bodies) - 1)]
    assert few.frames[1] == 3 and few.views.exists.tolist() == [True, True, False, False]
    assert len(next(iter(in_order(bodies, len(bodies)))).views.mask) == len(bodies)


def test_samples_depend_on_seed_epoch_and_index_only(paths):
    first, second = data(paths, roll_rad=0.3), data(paths, roll_rad=0.3)
    second[(7, 3)]
    assert torch.equal(first[(1, 2)].image, second[(1, 2)].image)
    assert not torch.equal(first[(1, 2)].image, first[(2, 2)].image)
    assert torch.equal(first[(1, 2)].views.mask, first[(2, 2)].views.mask), "masks are not augmented"
    assert torch.equal(pickle.loads(pickle.dumps(first))[(0, 5)].views.mask, first[(0, 5)].views.mask)


def test_parts_and_every_keep_all_views(paths):
    held_out = data(paths, part="held_out", held_out=((3, 1),), every=2)
    assert len(held_out) == 2 * 4 and held_out.num_views == 4


@pytest.mark.parametrize("problem, word", [("empty", "is empty"), ("inverted", "seems inverted")])
@pytest.mark.parametrize("packed", [True, False])
def test_masks_without_a_person_or_with_nothing_else_are_refused_by_name(tmp_path, problem, word, packed):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, size_px=96)
    table_of = PreprocessConfig(paths=paths, pack=packed, pack_px=96, pack_side_m=3.2, processes=1)
    h36m_preprocess.main(table_of)
    path = mask_path(paths, load_table(paths).key(3))
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    write_image(path, 255 - mask if problem == "inverted" else np.zeros_like(mask))
    shutil.rmtree(paths.index_location)  # packed crops of the same frames would be kept
    h36m_preprocess.main(table_of)
    with pytest.raises(ValueError, match=rf"{path.name} .*{word}"):
        data(paths, subjects=(1,))


def test_a_data_set_without_masks_is_refused(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, size_px=96, with_masks=False)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, centre="pelvis", processes=1))
    with pytest.raises(ValueError, match=r"made without masks.*put them into .*masks and make the index again$"):
        data(paths, subjects=(1,))


def test_ordinary_masks_have_no_fault():
    mask = np.zeros((40, 40), np.uint8)
    mask[0:40, 12:28] = 255  # a large person, cut at the top and the bottom
    assert mask_problem(mask) is None
    assert mask_problem(255 - mask) is not None
