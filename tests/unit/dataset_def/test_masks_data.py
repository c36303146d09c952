"""Masks and 2D keypoints of instants: in which crops they are, and what is refused."""

import numpy as np
import pytest
import torch

from config import Paths, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_files import folder_name, mask_path
from dataset_def.h36m_index import load_table
from dataset_def.masks_data import Instant, KeypointReader, MaskReader
from dataset_def.multiview.joints import joints_px
from dataset_def.multiview.keypoint_files import BODY_25B
from sample.fit_SMPL import check_masks
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import Keypoints, load_keypoints, save_keypoints
from utils.camera import project, to_camera
from utils.image import read_mask, write_image
from utils.skeleton import H36M_17
from utils.views import placed_in_views


@pytest.fixture
def paths(tmp_path) -> Paths:
    found = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), subactions=(1,), frames=3, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=found, pack=False, processes=1, centre="masks"))
    return found


def reader_of(paths: Paths) -> tuple[MaskReader, list[Instant]]:
    reader = MaskReader(paths, "masks", 48, 2.6)
    return reader, reader.choose(np.arange(len(reader.table.frames)), 1)


def true_keypoints(paths: Paths) -> Keypoints:
    """The true joints, seen in every frame's picture."""
    table = load_table(paths)
    seen = [project(table.camera(row), to_camera(table.camera(row), table.joints_world_m[table.row_instant[row]]))
            for row in range(len(table.frames))]  # fmt: skip
    sure = np.full((len(seen), 17), 0.5, np.float32)
    return Keypoints(table.frames.astype(np.int32), np.array(seen, np.float32), sure)


def test_keypoints_come_back_and_lie_where_the_crops_show_the_joints(paths, tmp_path):
    save_keypoints(tmp_path / "keypoints" / "one.npz", true_keypoints(paths))
    stored = load_keypoints(tmp_path / "keypoints" / "one.npz")
    assert np.array_equal(stored.keypoints_px, true_keypoints(paths).keypoints_px)
    reader, instants = reader_of(paths)
    views = reader.read(instants)
    found_px, sure = KeypointReader((tmp_path / "keypoints" / "one.npz",), reader.table).read(instants, views)
    joints_m = torch.from_numpy(np.stack([reader.table.joints_world_m[reader.table.row_instant[one.rows[0]]]
                                          for one in instants])).float()  # fmt: skip
    expected_px = placed_in_views(joints_m - views.target_world_m[:, :1], views, "pelvis")[..., :2]
    assert (found_px - expected_px).abs().max() < 0.01 and (sure == 0.5).all()


def test_keypoints_that_are_missing_have_no_confidence_and_foreign_ones_are_refused(paths, tmp_path):
    whole = true_keypoints(paths)
    save_keypoints(tmp_path / "part.npz", Keypoints(*(value[:-1] for value in whole)))
    reader, instants = reader_of(paths)
    _, sure = KeypointReader((tmp_path / "part.npz",), reader.table).read(instants, reader.read(instants))
    assert (sure == 0).sum() == 17 and (sure[-1, -1] == 0).all()
    save_keypoints(tmp_path / "other.npz", whole._replace(frames=whole.frames + np.array([4, 0, 0, 0, 0], np.int32)))
    with pytest.raises(ValueError, match=r"keypoints of no frame of this data set, only of subjects \[5\]"):
        KeypointReader((tmp_path / "other.npz",), reader.table)
    with pytest.raises(FileNotFoundError, match="import_multiview"):
        load_keypoints(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="not finite"):
        save_keypoints(tmp_path / "bad.npz", whole._replace(keypoints_px=whole.keypoints_px * np.nan))
    np.savez(tmp_path / "cut.npz", frames=whole.frames)
    with pytest.raises(ValueError, match=r"cut\.npz holds"):
        load_keypoints(tmp_path / "cut.npz")


def test_a_mean_of_keypoints_is_as_sure_as_the_least_sure_of_them():
    seen = np.zeros((25, 3))
    for name, x, sure in (("left_hip", 10, 0.9), ("right_hip", 20, 0.4), ("left_knee", 12, 1.3)):
        seen[BODY_25B.index(name)] = x, 2 * x, sure
    found_px, sure = joints_px(seen)
    pelvis, knee, spine = (H36M_17.index(name) for name in ("pelvis", "left_knee", "spine"))
    assert found_px[pelvis].tolist() == [15, 30] and sure[pelvis] == 0.4
    assert sure[knee] == 1 and sure[spine] == 0 and found_px[spine].tolist() == [0, 0], "no shoulder is seen"


def change_masks(paths: Paths, camera: int, change) -> None:
    for frame in (1, 2, 3):
        folder = folder_name(1, 2, 1, camera)
        path = paths.masks_location / folder / f"{folder}_{frame:06d}.png"
        write_image(path, change(read_mask(path)))


def test_masks_are_looked_at_before_anything_is_fitted(paths):
    check_masks(1, reader_of(paths)[1], reader_of(paths)[0])
    change_masks(paths, 2, lambda mask: np.roll(mask, 25, axis=1))
    reader, instants = reader_of(paths)
    with pytest.raises(ValueError, match=r"do not see subject 1 in one place .*2: 1\.\d+ m.*mirrored"):
        check_masks(1, instants, reader)
    for camera in (1, 2, 3):
        change_masks(paths, camera, np.zeros_like)
    reader, instants = reader_of(paths)
    first = mask_path(paths, reader.table.key(0))
    with pytest.raises(
        ValueError, match=f"3 instants have fewer than two usable masks .*{first.name} is empty"
    ) as said:
        check_masks(1, instants, reader)
    assert "\n" not in str(said.value)
