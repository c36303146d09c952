import json

import pytest
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, PreprocessConfig, Subjects
from dataset_def import h36m_preprocess
from models.encoder_decoder import build_encoder_decoder
from sample.tools import probe_points
from sample.tools.probe_points import ProbeConfig, about_first, fit, weighted_means
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import save_checkpoint
from utils.settings import to_plain


def test_weights_that_made_the_joints_are_found_and_ridge_keeps_them_small():
    torch.manual_seed(0)
    points_m, true = torch.randn(50, 6, 3), torch.randn(17, 6)
    joints_m = true @ points_m
    assert torch.allclose(fit(points_m, joints_m, 1e-7), true, atol=1e-4)
    assert fit(points_m, joints_m, 500.0).norm() < 0.5 * true.norm()
    assert fit(points_m, joints_m, 1e9, "nothing").norm() < 1e-3 * true.norm()
    twice = torch.cat([points_m, points_m], dim=1)
    assert torch.isfinite(fit(twice, joints_m, 0.15)).all(), "points that lie together"


def test_few_images_are_helped_by_what_joints_are_weighted_means_of_points():
    """Two images of 6 points tell 6 of the 6 weights of a joint; a prior of the right kind finds those of the truth."""
    torch.manual_seed(0)
    true = torch.zeros(4, 6)
    true[0, 0], true[1, 1], true[2, 2:4], true[3, 5] = 1, 1, 0.5, 1
    points_m, seen_m = torch.randn(200, 6, 3), torch.randn(1, 6, 3)
    points_m, seen_m = (one - one.mean(1, keepdim=True) for one in (points_m, seen_m))
    joints_m, told_m = (about_first(true) @ one for one in (points_m, seen_m))
    error_m = [(fit(seen_m, told_m, worth) @ points_m - joints_m).norm(dim=-1).mean() for worth in (1e-6, 100.0)]
    alone = ridge_alone(seen_m, told_m)
    assert (alone @ points_m - joints_m).norm(dim=-1).mean() > 2 * error_m[1] and error_m[1] < 0.5
    squares, both = torch.eye(6).double(), true.double()
    means = weighted_means(squares, about_first(both), steps=3000)
    assert torch.allclose(means[1:] + 0, about_first(true).double()[1:], atol=0.02), "a problem whose answer is known"


def ridge_alone(points_m: torch.Tensor, joints_m: torch.Tensor) -> torch.Tensor:
    """The smallest weights that make the joints: what there is without a prior."""
    flat, target = points_m.transpose(1, 2).reshape(-1, points_m.shape[1]), joints_m.transpose(1, 2).reshape(-1, 4)
    return (torch.linalg.pinv(flat) @ target).T


def test_what_is_read_turns_with_the_points():
    torch.manual_seed(0)
    points_m, joints_m = torch.randn(50, 6, 3), torch.randn(50, 17, 3)
    R = torch.linalg.qr(torch.randn(3, 3))[0]
    turned = fit(points_m @ R.T, joints_m @ R.T, 0.15)
    assert torch.allclose(turned, fit(points_m, joints_m, 0.15), atol=1e-5)


@pytest.mark.parametrize("kind", ["compact", "heatmaps"])
def test_an_encoders_points_are_probed_with_all_labels_and_with_few(tmp_path, kind):
    torch.manual_seed(0)
    paths = write_tiny_h36m(tmp_path, actions=(2, 3, 4), frames=2, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=48, processes=1))
    encoder = EncoderConfig(kind=kind, width=8, points=12, appearance=8)
    settings = EncDecConfig(crop=Crop(size_px=32), encoder=encoder, decoder=DecoderConfig(width=8))
    checkpoint = tmp_path / "checkpoint_best.pt"
    save_checkpoint(
        checkpoint, "enc_dec", 1, to_plain(settings), {"model": build_encoder_decoder(settings).state_dict()}
    )
    who = Subjects(train=(1,), labelled=(1,), test=(9,), held_out=((4, 1),))
    rows = probe_points.main(
        ProbeConfig(checkpoint, paths=paths, subjects=who, sequences=(0, 1), every=1, device="cpu")
    )
    assert list(rows) == ["all labels", "1 sequences"]
    stored = json.loads((tmp_path / "probe.json").read_text())
    assert stored["rows"] == rows and "12 points" in stored["protocol"]
    assert {"n_mpjpe_17_mm", "wrist_mm"} <= rows["all labels"].keys()
