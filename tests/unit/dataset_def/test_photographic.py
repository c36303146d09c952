"""What cameras do to pictures: JPEG beside OpenCV's, lines of blur, what is hidden and what lies beyond the frame."""

import cv2
import numpy as np
import pytest
import torch

from dataset_def import photographic
from dataset_def.photographic import (
    beyond_the_frame,
    compressed,
    cosines,
    line_kernels,
    partly_hidden,
    photographed,
    quantised,
    shapes,
)


def picture(size_px: int = 64) -> torch.Tensor:
    """A smooth picture with edges, RGB in [0, 1]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size_px), torch.linspace(0, 1, size_px), indexing="ij")
    image = torch.stack([x, y, (x - y).abs()])
    image[:, 20:40, 10:30] = torch.tensor([0.9, 0.3, 0.2])[:, None, None]
    return image[None]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("quality", [40, 60, 95])
def test_compression_loses_what_a_jpeg_loses(quality):
    image = picture()
    found = compressed(image, torch.tensor([float(quality)]))
    bgr = (255 * image[0].permute(1, 2, 0).numpy()[..., ::-1]).round().astype(np.uint8)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = torch.from_numpy(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].copy()).permute(2, 0, 1) / 255
    lost, apart = (decoded - image[0]).abs().mean(), (decoded - found[0]).abs().mean()
    assert apart < 0.5 * lost + 0.002, "closer to the file's picture than that is to the original"


def test_the_cosine_transform_is_orthonormal_and_fine_steps_lose_nothing():
    transform = cosines()
    assert torch.allclose(transform @ transform.T, torch.eye(8), atol=1e-6)
    assert torch.allclose(transform[0], torch.full((8,), 8**-0.5))
    levels = 255 * picture()[:, :1] - 128
    assert torch.allclose(quantised(levels, torch.full((1, 8, 8), 1e-3), transform), levels, atol=2e-2)


def test_a_line_of_no_length_is_a_point_and_others_lie_along_their_angle():
    kernels = line_kernels(torch.tensor([0.0, 4, 4])[:, None, None], torch.tensor([0.3, 0, np.pi / 2])[:, None, None])
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(3))
    assert kernels[1, 3, 1:6].sum() == pytest.approx(1) and kernels[2, 1:6, 3].sum() == pytest.approx(1)
    assert kernels[0, 3, 3] > 0.5


def test_no_strength_changes_nothing_and_full_strength_every_image_of_its_own():
    images = picture().expand(6, -1, -1, -1)
    assert photographed(images, 0, generator()) is images
    found = photographed(images, 1, generator())
    assert found.shape == images.shape and found.min() >= 0 and found.max() <= 1
    assert len({round(one.mean().item(), 5) for one in found}) == 6
    assert torch.equal(found, photographed(images, 1, generator()))


def test_what_is_hidden_leaves_the_mask_and_the_rest_stays():
    images, masks = torch.rand(40, 3, 32, 32, generator=generator()), torch.ones(40, 1, 32, 32)
    seen, left = partly_hidden(images, masks, 1.0, generator())
    is_same = (seen == images).all(1, keepdim=True)
    assert is_same[left > 0].all() and 0.02 < (left == 0).float().mean() < 0.4
    assert not is_same[left == 0].any() or is_same[left == 0].float().mean() < 0.05
    nothing = partly_hidden(images, masks, 0, generator())
    assert nothing[0] is images and nothing[1] is masks


def test_shapes_lie_everywhere_and_are_no_larger_than_said():
    found = shapes(400, 64, generator()).float()
    assert found.amax((1, 2, 3)).mean() > 0.95 and found.mean((1, 2, 3)).max() <= 4 * 0.25 * 0.12 + 0.02
    assert (found.mean(0)[0] > 0).float().mean() > 0.95


def test_beyond_the_frame_it_is_black_at_one_side_of_each():
    images, masks = torch.ones(60, 3, 32, 32), torch.ones(60, 1, 32, 32)
    seen, left = beyond_the_frame(images, masks, 1.0, generator())
    assert torch.equal(seen[:, :1], left)
    black = 1 - left[:, 0]
    sides = {"left": black[:, 16, 0], "right": black[:, 16, -1], "top": black[:, 0, 16], "bottom": black[:, -1, 16]}
    assert all(0.1 < side.mean() < 0.45 for side in sides.values())
    assert (sum(sides.values()) <= 1).all() and black.mean((1, 2)).max() <= 1 / 3 + 1 / 32


def test_every_effect_is_seen_alone(monkeypatch):
    """Each of the four makes a difference of its own size; none is switched off by another."""
    image = picture().expand(4, -1, -1, -1)
    for name in ("exposed", "moved", "noisy"):
        assert (getattr(photographic, name)(image, 1.0, generator()) - image).abs().mean() > 1e-3
