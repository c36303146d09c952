import numpy as np
import pytest
import torch

from utils.image_metrics import box_pixels, l1, person_boxes, psnr_db, ssim


def pictures(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    true = torch.rand(3, 3, 40, 48, generator=generator)
    return (true + 0.1 * torch.randn(true.shape, generator=generator)).clamp(0, 1), true


def test_all_three_agree_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    drawn, true = pictures()
    for row in range(3):
        a, b = (images[row].permute(1, 2, 0).double().numpy() for images in (drawn, true))
        expected = metrics.structural_similarity(
            a, b, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim(drawn, true)[row].item() == pytest.approx(expected, abs=1e-6)
        assert psnr_db(drawn, true)[row].item() == pytest.approx(metrics.peak_signal_noise_ratio(b, a), abs=1e-4)
        assert l1(drawn, true)[row].item() == pytest.approx(np.abs(a - b).mean(), abs=1e-6)


def test_only_the_box_counts_inside_the_box():
    _, true = pictures()
    drawn = true.clone()
    drawn[:, :, :5] = 0
    inside = box_pixels(torch.tensor([[10, 20, 30, 35]] * 3), 40, 48)
    assert l1(drawn, true, inside).max() == 0
    assert ssim(drawn, true, inside).min() == pytest.approx(1)
    drawn[:, :, 20:35, 10:30] = true[:, :, 20:35, 10:30] * 0.5
    expected = (0.5 * true[:, :, 20:35, 10:30]).mean(dim=(1, 2, 3))
    assert torch.allclose(l1(drawn, true, inside), expected)


def test_similarity_in_a_box_is_the_mean_of_scikit_images_map_in_that_box():
    metrics = pytest.importorskip("skimage.metrics")
    drawn, true = pictures()
    drawn[:, :, 25:] = true[:, :, 25:]
    inside = box_pixels(torch.tensor([[10, 15, 30, 33]] * 3), 40, 48)
    a, b = (images[0].permute(1, 2, 0).double().numpy() for images in (drawn, true))
    _, everywhere = metrics.structural_similarity(
        a, b, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert ssim(drawn, true, inside)[0].item() == pytest.approx(everywhere[15:33, 10:30].mean(), abs=1e-6)


def test_psnr_of_a_known_error():
    true = torch.full((1, 3, 16, 16), 0.5)
    assert psnr_db(true + 0.1, true).item() == pytest.approx(20, abs=1e-4)
    assert psnr_db(true, true).item() == 100


def test_the_box_of_a_mask_is_found_and_an_empty_mask_gives_the_image():
    mask = torch.zeros(2, 1, 20, 30)
    mask[0, 0, 4:9, 11:26] = 1
    assert person_boxes(mask).tolist() == [[11, 4, 26, 9], [0, 0, 30, 20]]
    assert person_boxes(mask, margin_px=5).tolist()[0] == [6, 0, 30, 14]
    assert box_pixels(person_boxes(mask)[:1], 20, 30)[0].sum() == 5 * 15


def test_a_box_outside_the_image_is_refused():
    with pytest.raises(ValueError, match=r"\[30, 0, 40, 9\] holds no pixel of a 30 x 20 px image"):
        box_pixels(torch.tensor([[0, 0, 9, 9], [30, 0, 40, 9]]), 20, 30)
