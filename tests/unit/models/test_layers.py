"""The linear layer that Adam moves gently, and a random encoder made fair."""

import torch

from config import Crop, EncDecConfig, EncoderConfig
from models.encoder_decoder import build_encoder_decoder, calibrate_batchnorm
from models.layers import EqualizedLinear


def largest_step(layer: torch.nn.Linear) -> float:
    """How far one step of Adam moves the outputs."""
    features = torch.rand(8, 4096)
    before = layer(features).detach()
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    layer(features).sum().backward()
    optimizer.step()
    return (layer(features) - before).abs().max().item()


def test_adam_moves_the_outputs_by_its_scale():
    plain, quiet = largest_step(torch.nn.Linear(4096, 3)), largest_step(EqualizedLinear(4096, 3, scale=0.01))
    assert plain > 1.5, "metres, which is why the layer exists"
    assert 0.005 < quiet / plain < 0.02


def test_it_starts_as_the_plain_layer():
    torch.manual_seed(0)
    plain = torch.nn.Linear(50, 4)
    torch.manual_seed(0)
    quiet = EqualizedLinear(50, 4, scale=0.02)
    features = torch.randn(6, 50)
    torch.testing.assert_close(quiet(features), plain(features), atol=1e-5, rtol=1e-5)


def test_a_settled_random_encoder_has_the_statistics_of_its_images():
    network = build_encoder_decoder(EncDecConfig(crop=Crop(size_px=32), encoder=EncoderConfig(width=8, points=5)))
    images = torch.rand(40, 3, 32, 32)
    before = network.eval().encode_points(images)
    calibrate_batchnorm(network, images)
    network.train()
    in_training = network.encode_points(images)
    in_evaluation = network.eval().encode_points(images)
    torch.testing.assert_close(in_evaluation, in_training, atol=0.05, rtol=0.1)
    assert not torch.allclose(before, in_evaluation, atol=0.01)
