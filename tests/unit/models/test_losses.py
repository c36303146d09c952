"""The image loss: by hand, frozen features, weights that must be named."""

import pytest
import torch

from config import ImageLoss
from models.losses import ImageDifference, weighted_mean, weighted_sum
from models.perceptual import efficientnet_lite0, fold_batch_norms, imagenet_normalised


def with_opacity(rgb: torch.Tensor, opacity: torch.Tensor) -> torch.Tensor:
    return torch.cat([rgb, opacity], dim=1)


def test_a_half_opaque_person_costs_log_two():
    compare = ImageDifference(ImageLoss(features=0.0))
    true = torch.rand(1, 3, 32, 32)
    drawn = with_opacity(true, torch.full((1, 1, 32, 32), 0.5))
    assert compare(drawn, true, torch.ones(1, 1, 32, 32))["opacity"].item() == pytest.approx(0.6931, abs=1e-3)


def test_weighted_mean_by_hand():
    error = torch.tensor([[[[1.0, 3.0]], [[5.0, 7.0]]]])  # two channels of a 1 x 2 image
    assert weighted_mean(error, torch.ones(1, 1, 1, 2)) == 4.0
    assert weighted_mean(error, torch.tensor([[[[3.0, 1.0]]]])) == pytest.approx((3 * 6 + 10) / 8)


def test_equal_images_cost_nothing_and_person_pixels_weigh_more():
    compare = ImageDifference(ImageLoss(person=4.0))
    true, mask = torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    same = compare(with_opacity(true, mask), true, mask)
    assert same["pixels"] == 0
    assert same["features"] == 0
    assert same["opacity"] < 1e-3
    wrong_person, wrong_room = true + 0.1 * mask, true + 0.1 * (1 - mask)
    costs = [compare(with_opacity(image, mask), true, mask)["pixels"] for image in (wrong_person, wrong_room)]
    ratio = costs[0] / costs[1]
    assert ratio == pytest.approx(4 / 3, rel=1e-3)  # the person covers a quarter


def test_features_are_frozen_and_stay_in_evaluation():
    compare = ImageDifference(ImageLoss()).train()
    before = {name: value.clone() for name, value in compare.state_dict().items()}
    drawn = torch.rand(2, 4, 64, 64, requires_grad=True)
    compare(drawn, torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64))["features"].backward()
    assert drawn.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in compare.parameters())
    assert all(torch.equal(before[name], value) for name, value in compare.state_dict().items())


def test_folding_batch_norms_changes_nothing_but_the_time():
    image = imagenet_normalised(torch.rand(1, 3, 64, 64))
    plain, folded = efficientnet_lite0().eval(), fold_batch_norms(efficientnet_lite0())
    with torch.no_grad():
        for net in (plain, folded):
            net.seen = torch.nn.functional.relu6(net._bn0(net._conv_stem(image)))
            for block in net._blocks[:5]:
                net.seen = block(net.seen)
    torch.testing.assert_close(plain.seen, folded.seen, atol=1e-3, rtol=1e-3)


def test_a_term_without_weight_is_refused():
    with pytest.raises(ValueError, match="features"):
        weighted_sum({"pixels": torch.ones(()), "features": torch.ones(())}, {"pixels": 1.0})


def test_a_drawing_that_is_no_number_gives_a_term_that_is_none_and_others_stay():
    compare = ImageDifference(ImageLoss(features=0.0))
    predicted, true, mask = torch.rand(2, 4, 8, 8), torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    expected = torch.nn.functional.binary_cross_entropy(predicted[:, 3:].clamp(1e-4, 1 - 1e-4), mask)
    assert torch.equal(compare(predicted, true, mask)["opacity"], expected)
    predicted[1, 3, 4, 4] = torch.nan
    assert compare(predicted, true, mask)["opacity"].isnan()
