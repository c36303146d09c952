"""The committed pose network with heat maps reads a person whom it has never seen, wherever the crop's middle is."""

from dataclasses import replace

import pytest
import torch

from config import ASSETS, Paths, PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import PoseData
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import TEST_PEOPLE, SyntheticConfig
from models.pose_from_latent import load_pose
from models.pose_from_maps import PoseFromMaps
from utils.batches import in_order
from utils.metrics import pose_errors

FILE = ASSETS / "open_pose.pt"
LARGEST_BYTES = 3_000_000
UNSEEN = 101


@pytest.fixture(scope="module")
def stored():
    return load_pose(FILE, torch.device("cpu"))


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    paths = Paths.under(tmp_path_factory.mktemp("unseen"))
    make_h36m.main(SyntheticConfig(paths=paths, frames=3, subjects=(UNSEEN,), actions=(2, 8, 14), processes=1))
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    return paths


def test_it_is_small_and_says_what_it_read(stored):
    assert FILE.stat().st_size <= LARGEST_BYTES
    assert isinstance(stored.network.head, PoseFromMaps) and stored.encoder_config.crop.centre == "masks"
    assert stored.reads.tier == "pixels + cameras + masks + unpaired poses + S1's joints"
    assert not stored.reads.pixels & set(TEST_PEOPLE) and stored.reads.joints == {1}


@pytest.mark.parametrize(("centre", "limit_mm"), [("masks", 120), ("box", 130), ("pelvis", 120)])
def test_it_reads_an_unseen_person(stored, paths, centre, limit_mm):
    data = PoseData(paths, FrameChoice((UNSEEN,)), CropSettings(replace(stored.encoder_config.crop, centre=centre)))
    errors = []
    for sample in in_order(data, 24):
        found_m = stored.network(sample.image)
        errors.append(pose_errors(found_m, sample.joints_root_m, sample.R_crop_from_world)["n_mpjpe_17_mm"])
    assert len(torch.cat(errors)) == 72 and torch.cat(errors).mean() < limit_mm
