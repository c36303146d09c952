from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch

from config import Crop, Paths, PointsTeaching, PreprocessConfig
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_instants_data import InstantData
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.batches import in_order
from utils.camera import project, to_camera
from utils.image import PERSON_ABOVE

FRAMES = FrameChoice((1, 5), "train", ((4, 1),))
CROP = Crop(size_px=32, side_m=2.25)
TEACHING = PointsTeaching(by="masks")


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    """Four instants of each of three actions; S5 has no label."""
    written = write_tiny_h36m(tmp_path_factory.mktemp("instants"), (1, 5), (2, 3, 4), frames=4, size_px=96)
    for meta in written.h36m_location.glob("s_05_*/h36m_meta.mat"):
        content = {name: value for name, value in scipy.io.loadmat(meta).items() if name[0] != "_"}
        scipy.io.savemat(meta, content | {"pose3d_world": np.full_like(content["pose3d_world"], np.nan)})
    h36m_preprocess.main(PreprocessConfig(paths=written, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=written, processes=1))
    return written


@pytest.fixture
def data(paths) -> InstantData:
    return InstantData(paths, FRAMES, CROP, TEACHING, seed=0)


def test_every_instant_has_all_views_and_people_without_labels_are_read_as_well(data):
    assert len(data) == 2 * 2 * 4
    batch = next(iter(in_order(data, 3)))
    assert batch.wide.image.shape == (3, 4, 3, 96, 96) and batch.R_wide_from_world.shape == (3, 4, 3, 3)
    assert batch.wide.joints_m.shape == (3, 4, 0, 3)
    assert all(torch.isfinite(part.float()).all() for part in (*batch.wide, *batch[1:]))
    assert data.reads().tier == "pixels + cameras + masks" and data.reads().masks == {1, 5}


def test_wide_crops_and_their_cameras_belong_together(data):
    """The head of a labelled person, turned by the sample's rotation, is on the person's mask in every view."""
    index = int(np.flatnonzero(np.isfinite(data.table.joints_world_m[data.instants]).all((1, 2)))[0])
    sample, centre_m = data[0, index], data.table.masks_world_m[data.instants[index]]
    head_m = torch.from_numpy(data.table.joints_world_m[data.instants[index], 10] - centre_m).float()
    for view in range(4):
        x, y, behind = (sample.R_wide_from_world[view] @ head_m).tolist()
        distance, side = sample.wide.distance_m[view].item(), sample.wide.side_m[view].item()
        column, row = (int((place * distance / (distance + behind) / side + 0.5) * 96) for place in (x, y))
        assert sample.wide.mask[view, row, column] > PERSON_ABOVE
    row = int(data.rows[index][0])
    in_image = project(data.table.camera(row), to_camera(data.table.camera(row), (head_m.numpy() + centre_m)[None]))
    assert np.isfinite(in_image).all()


def test_movements_are_in_the_order_of_time_and_sequences_do_not_touch(data):
    order, centres_m, follows = data.movements()
    frames = data.table.frames[[data.rows[place][0] for place in order]]
    assert (np.diff(frames[:, 4])[follows.numpy() == 1] == 1).all() and follows.sum() == 4 * 3
    assert torch.allclose(
        centres_m.double(), torch.from_numpy(data.table.masks_world_m[data.instants[order]]), atol=1e-5
    )


def test_joints_of_the_labelled_sequences_alone_are_given(data):
    joints_m = data.labelled_joints_m((1,), 1)
    assert torch.isfinite(joints_m).all((1, 2)).sum() == 4
    assert data.reads().tier == "pixels + cameras + masks + S1's joints"


def test_instants_of_known_heading_take_the_place_of_others_most_often_at_first(paths):
    data = InstantData(paths, FRAMES, CROP, replace(TEACHING, known_share=(0.9, 0.0)), seed=0)
    is_known = torch.zeros(len(data))
    is_known[3] = 1
    data.tell_headings(torch.nn.functional.pad(is_known[:, None], (0, 1)), is_known)
    shares = [np.mean([data[epoch, index].is_known.item() for index in range(len(data))]) for epoch in (0, 1, 2)]
    assert shares[0] > 0.6 and shares[1:] == [1 / 16, 1 / 16]
    spread = data.spread(8)
    assert 3 in spread and len(spread) == len(set(spread)) == 8
    is_known[:10] = 1  # 10 of 16: a third of 8 at most may be known, and no more than 8 are read
    data.tell_headings(torch.nn.functional.pad(is_known[:, None], (0, 1)), is_known)
    spread = data.spread(8)
    assert len(spread) == len(set(spread)) == 8 and sum(index < 10 for index in spread) == 2


def test_a_sample_depends_on_seed_epoch_and_index_only(paths, data):
    again = InstantData(paths, FRAMES, CROP, TEACHING, seed=0)
    other = InstantData(paths, FRAMES, CROP, TEACHING, seed=1)
    data[0, 2]
    one, same, changed = (which[1, 5].wide.room for which in (data, again, other))
    assert torch.equal(one, same) and not torch.equal(one, changed)


def test_fewer_cameras_than_views_are_refused(paths):
    with pytest.raises(ValueError, match=r"no instant is seen by 5 cameras, at most by 4; lower --teaching.views"):
        InstantData(paths, FRAMES, CROP, replace(TEACHING, views=5), seed=0)
    fewer = InstantData(paths, FRAMES, CROP, replace(TEACHING, views=2), seed=0)
    assert {fewer[epoch, 0].wide.distance_m[0].item() for epoch in range(12)} > {fewer[0, 0].wide.distance_m[0].item()}
