import numpy as np
import pytest

from config import ROOT
from dataset_def.photos.person import SegmentationConfig
from dataset_def.photos.segmentation import SEGMENTATION_REMEDY, PersonSegmenter, is_available
from utils.image import read_image
from utils.person_box import box_of_mask


@pytest.fixture(scope="module")
def segmenter() -> PersonSegmenter:
    network = SegmentationConfig().network
    if not is_available(network):
        pytest.skip(f"the segmentation extra is not here: {SEGMENTATION_REMEDY}")
    return PersonSegmenter(network)


def test_the_person_of_a_photo_is_found_and_the_floor_is_not(segmenter):
    photo = read_image(ROOT / "images" / "predict_photo.png")[:330, :297]
    mask = segmenter.mask(photo)
    assert mask.shape == photo.shape[:2] and set(np.unique(mask)) >= {0, 255}
    assert mask[100, 163] > 128, "his chest"
    assert mask[300, 30] == 0, "the mats"
    box = box_of_mask(mask, "photo")
    assert abs(box.top_px + box.height_px - 272) < 25 and 100 < box.left_px + box.width_px / 2 < 200, box
    people = segmenter.people(photo)
    assert people[mask > 200].mean() > 0.99 and people.mean() < 0.4


def test_without_the_network_the_remedy_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"pip install -e \.\[video\]"):
        PersonSegmenter(tmp_path / "none.tflite")
