"""The pictures of stage 1: whose pose, whose looks and which room each of them shows."""

import numpy as np
import pytest
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, ImageAugmentation
from models.encoder_decoder import build_encoder_decoder
from sample.test_enc_dec import example_pictures, example_points
from utils.views import flat_views

GROUPS, VIEWS, SIDE_PX = 2, 4, 32


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = EncDecConfig(crop=Crop(size_px=SIDE_PX), encoder=EncoderConfig(width=4, points=9, appearance=6),
                          decoder=DecoderConfig(width=8), augment=ImageAugmentation())  # fmt: skip
    return build_encoder_decoder(config).eval()


def images() -> torch.Tensor:
    return torch.rand(GROUPS, VIEWS, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))


def drawn(network, image: torch.Tensor, background: torch.Tensor | None = None) -> dict[str, np.ndarray]:
    room = torch.full_like(image, 0.5) if background is None else background
    eye = torch.eye(3).expand(GROUPS, VIEWS, 3, 3)
    target, appearance = torch.tensor([[1, 0, 3, 2]] * GROUPS), torch.tensor([[2, 3, 0, 1]] * GROUPS)
    views = flat_views(image, room, torch.ones_like(image[:, :, :1]), eye, target, appearance)
    return example_points(network, views, VIEWS) | example_pictures(network, views, room, eye)


def changed(network, row: tuple[int, int]) -> set[str]:
    """Which pictures of the first group change with one of the images."""
    other = images()
    other[row] = 1 - other[row]
    before, after = drawn(network, images()), drawn(network, other)
    return {name for name in before if not np.array_equal(before[name][0], after[name][0])}


def test_a_novel_view_needs_one_image_and_no_other(network):
    own = {"grid_input", "grid_predicted", "turntable_input", "turntable", "swap_pose", "swapped"}
    assert changed(network, (0, 0)) == own
    assert changed(network, (0, 1)) == {"grid_target"}
    assert changed(network, (0, 2)) == changed(network, (0, 3)) == set()


def test_swapped_looks_are_those_of_the_next_group(network):
    assert changed(network, (1, 0)) == {"swap_appearance", "swapped"}


def test_a_novel_view_stands_in_the_targets_room_and_a_turntable_in_the_inputs(network):
    backgrounds = [torch.full_like(images(), 0.5) for _ in range(2)]
    backgrounds[1][0, 1] = 0.1
    before, after = (drawn(network, images(), room) for room in backgrounds)
    assert not np.array_equal(before["grid_predicted"][0], after["grid_predicted"][0])
    assert np.array_equal(before["turntable"][0], after["turntable"][0])
