import pytest
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, PoseHeadConfig
from models.encoder_decoder import build_encoder_decoder
from models.pose_from_latent import PoseFromImage, PoseFromLatent
from utils.skeleton import H36M_17

HEAD = PoseHeadConfig(hidden=16, layers=2)


def small_encoder():
    torch.manual_seed(0)
    return build_encoder_decoder(
        EncDecConfig(crop=Crop(size_px=32), encoder=EncoderConfig(width=8, points=12), decoder=DecoderConfig(width=8))
    )


def statistics(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.named_buffers()}


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("batch", [1, 5])
def test_joints_come_out_for_any_batch_and_depth(batch, layers):
    head = PoseFromLatent(12, PoseHeadConfig(hidden=16, layers=layers)).eval()
    assert head(torch.randn(batch, 12, 3)).shape == (batch, 17, 3)


def test_a_head_whose_scores_are_zero_predicts_the_mean_pose():
    labels = torch.randn(50, 17, 3)
    labels -= labels[:, :1].clone()
    head = PoseFromLatent(12, HEAD).eval()
    head.set_label_statistics(labels)
    torch.nn.init.zeros_(head.layers[-1].weight)
    torch.nn.init.zeros_(head.layers[-1].bias)
    assert torch.allclose(head(torch.randn(3, 12, 3)), labels.mean(dim=0).expand(3, 17, 3))


def test_the_pelvis_stays_at_the_origin_whatever_the_weights():
    labels = torch.randn(50, 17, 3)
    labels -= labels[:, :1].clone()
    head = PoseFromLatent(12, HEAD).eval()
    head.set_label_statistics(labels)
    assert head(torch.randn(3, 12, 3))[:, H36M_17.index("pelvis")].abs().max() == 0


def test_the_papers_loss_is_the_mean_square_of_z_scores():
    head = PoseFromLatent(12, PoseHeadConfig(hidden=16, loss="zscored_mse"))
    head.set_label_statistics(torch.randn(200, 17, 3) * 0.25 + 1)
    true = torch.randn(4, 17, 3)
    off = head.joints_std_m.expand(4, 17, 3)
    assert head.loss_of(true + 2 * off, true).item() == pytest.approx(4, rel=1e-4)
    assert PoseFromLatent(12, HEAD).loss_of(true + 0.1, true).item() == pytest.approx(0.1 * 3**0.5, rel=1e-4)


def test_statistics_travel_with_the_weights():
    head, other = PoseFromLatent(12, HEAD), PoseFromLatent(12, HEAD)
    head.set_label_statistics(torch.randn(20, 17, 3))
    other.load_state_dict(head.state_dict(), strict=True)
    assert torch.equal(other.joints_std_m, head.joints_std_m)


def test_training_moves_nothing_of_a_frozen_encoder_not_even_batch_norm_statistics():
    network = PoseFromImage(small_encoder(), PoseFromLatent(12, HEAD), is_encoder_frozen=True, encoder_settings={})
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    head_before = statistics(network.head)
    network.train()
    network(torch.rand(6, 3, 32, 32)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert any(not torch.equal(value, head_before[name]) for name, value in statistics(network.head).items())


def test_training_end_to_end_reaches_every_parameter_that_reads_the_pose_and_no_other():
    network = PoseFromImage(small_encoder(), PoseFromLatent(12, HEAD), is_encoder_frozen=False, encoder_settings={})
    before = statistics(network.encoder.backbone)
    network(torch.rand(6, 3, 32, 32)).square().sum().backward()
    for name, parameter in network.encoder.named_parameters():
        reads_the_pose = name.startswith(("backbone.", "to_points."))
        assert (parameter.grad is not None) == reads_the_pose == parameter.requires_grad, name
    assert any(not torch.equal(value, before[name]) for name, value in statistics(network.encoder.backbone).items())


def test_in_evaluation_a_picture_does_not_depend_on_its_neighbours():
    network = PoseFromImage(
        small_encoder(), PoseFromLatent(12, HEAD), is_encoder_frozen=False, encoder_settings={}
    ).eval()
    images = torch.rand(4, 3, 32, 32)
    assert torch.allclose(network(images)[:1], network(images[:1]), atol=1e-6)


@pytest.mark.parametrize("loss", ["joint_distance", "zscored_mse"])
def test_rows_count_by_their_confidence(loss):
    head = PoseFromLatent(12, PoseHeadConfig(hidden=16, layers=2, loss=loss))
    predicted, true = torch.randn(3, 17, 3), torch.randn(3, 17, 3)
    plain = head.loss_of(predicted, true)
    assert torch.isclose(plain, head.loss_of(predicted, true, torch.full((3,), 0.4)))
    only_first = head.loss_of(predicted, true, torch.tensor([1.0, 0.0, 0.0]))
    assert torch.isclose(only_first, head.loss_of(predicted[:1], true[:1]))
