"""Stage 1's networks: shapes of every variant, the splat against its plain sum, what flows where."""

from dataclasses import replace

import pytest
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, ImageAugmentation, full, rhodin, seed
from models.decoders import PointSplat
from models.encoder_decoder import EncoderDecoder, build
from models.layers import PointRefinement


def small(encoder: EncoderConfig, decoder: DecoderConfig, size_px: int = 64) -> EncDecConfig:
    return EncDecConfig(crop=Crop(size_px=size_px), encoder=encoder, decoder=decoder, augment=ImageAugmentation())


VARIANTS = {
    "compact": small(EncoderConfig(width=8), DecoderConfig(width=16)),
    "compact, appearance at points": small(EncoderConfig(width=8, appearance_at="points"), DecoderConfig(width=16)),
    "compact, looks of each point": small(
        EncoderConfig(width=8, appearance_at="each_point", appearance=6), DecoderConfig(width=16, fine=True, refine=8)
    ),
    "compact at 128 px": small(EncoderConfig(width=8), DecoderConfig(width=16), 128),
    "efficientnet": small(EncoderConfig(kind="efficientnet_lite0"), DecoderConfig(width=16)),
    "paper": replace(rhodin().enc_dec, crop=Crop(size_px=64)),
    "full": replace(full().enc_dec, crop=Crop(size_px=64)),
    "seed": replace(seed().enc_dec, crop=Crop(size_px=32), encoder=replace(seed().enc_dec.encoder, width=4)),
}


def drawn_by(model: EncoderDecoder, image: torch.Tensor) -> torch.Tensor:
    rows = torch.arange(len(image))
    return model(image, image, torch.eye(3).expand(len(image), 3, 3), image, rows.flip(0))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_draws_an_image_of_the_input_size(name):
    config = VARIANTS[name]
    image = torch.rand(4, 3, config.crop.size_px, config.crop.size_px)
    model = build(config)
    drawn = drawn_by(model, image)
    assert drawn.shape == (4, 4, config.crop.size_px, config.crop.size_px)
    drawn[:, :3].mean().backward()
    assert model.to_points[0].weight.grad.abs().sum() > 0
    latent = model.eval().encode(image)
    assert latent.points_crop.shape == (4, 200, 3)
    each = config.encoder.appearance_at == "each_point"
    assert latent.appearance.shape == (4, 200 * 6 if each else 128)
    torch.testing.assert_close(latent.points_crop, model.encode_points(image))


def test_the_seed_network_has_the_160_million_parameters_of_the_predecessor():
    with torch.device("meta"):
        model = build(seed().enc_dec)
    full = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    total = sum(p.numel() for p in model.parameters())
    in_full = sum(p.numel() for m in full for p in m.parameters())
    assert total == pytest.approx(160e6, rel=0.02)
    assert in_full / total == pytest.approx(0.97, abs=0.01)


def test_the_default_network_has_at_most_8_million_parameters():
    assert sum(p.numel() for p in build(EncDecConfig()).parameters()) < 8e6


def test_splat_equals_the_plain_sum_of_gaussians():
    splat = PointSplat(points=7, appearance=5, features=3, side_m=2.0, map_px=6)
    points, appearance = torch.randn(2, 7, 3) * 0.4, torch.rand(2, 5)
    maps = splat(points, appearance)
    extent = torch.nn.functional.softplus(splat.raw_extent_m) + 0.4 * 2.0 / 6
    values = torch.tanh(splat.own_features + splat.from_appearance(appearance).view(2, 7, 3))
    for b in range(2):
        for row in range(6):
            for column in range(6):
                x, y = (column + 0.5) * 2 / 6 - 1, (row + 0.5) * 2 / 6 - 1
                expected = torch.zeros(4, 2)
                for p in range(7):
                    away2 = (points[b, p, 0] - x) ** 2 + (points[b, p, 1] - y) ** 2
                    weight = torch.exp(-0.5 * away2 / extent[p] ** 2)
                    front = torch.sigmoid(-points[b, p, 2] / 0.1)
                    value = torch.cat([values[b, p], torch.ones(1)])
                    expected += weight * value[:, None] * torch.stack([front, 1 - front])
                torch.testing.assert_close(maps[b, :, row, column], expected.flatten(), atol=1e-4, rtol=1e-3)


def test_with_looks_of_each_point_the_map_holds_the_mean_of_the_points_and_how_many_there_are():
    splat = PointSplat(points=7, appearance=4, features=3, side_m=2.0, map_px=6, each_point=True)
    points, looks = torch.randn(2, 7, 3) * 0.4, torch.rand(2, 7 * 4)
    across, down, front = splat.footprints(points)
    values = torch.tanh(splat.own_features + splat.from_appearance(looks.view(2, 7, 4)))
    maps = splat(points, looks).unflatten(1, (4, 2))
    for layer, share in enumerate((front, 1 - front)):
        weight = down[:, :, :, None] * across[:, :, None] * share[..., None]  # B P h w
        density = weight.sum(1)
        mean = torch.einsum("bphw,bpc->bchw", weight, values) / (density + 0.2)[:, None]
        torch.testing.assert_close(maps[:, :3, layer], mean, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(maps[:, 3, layer], torch.log1p(density), atol=1e-4, rtol=1e-3)


def test_each_point_is_drawn_in_its_own_looks_and_in_no_other_points():
    splat = PointSplat(points=2, appearance=3, features=3, side_m=2.0, map_px=16, each_point=True)
    points = torch.tensor([[[-0.6, 0.0, -1.0], [0.6, 0.0, -1.0]]])
    looks = torch.zeros(1, 2, 3)
    plain = splat(points, looks.flatten(1))
    looks[0, 1] = 3
    changed = (splat(points, looks.flatten(1)) - plain).abs().sum(1)[0]
    assert changed[:, 12].sum() > 0.1 and changed[:, :4].max() < 1e-4


def test_half_and_full_numbers_draw_the_same_map_up_to_their_rounding():
    splat = PointSplat(points=40, appearance=5, features=3, side_m=2.0, map_px=16)
    points, appearance = torch.randn(2, 40, 3) * 0.4, torch.rand(2, 5)
    with torch.autocast("cpu", torch.bfloat16):
        half = splat(points, appearance)
    full = splat(points, appearance)
    assert half.dtype == torch.float32
    assert (half - full).abs().max() < 0.02 * full.abs().max()


def test_refined_points_begin_where_the_latent_has_them_and_learn_to_move():
    torch.manual_seed(0)
    refine = PointRefinement(points=5, hidden=8)
    points, wanted = torch.randn(16, 5, 3), torch.randn(16, 5, 3)
    torch.testing.assert_close(refine(points), points)
    optimizer = torch.optim.Adam(refine.parameters(), 0.01)
    before = (refine(points) - wanted).square().mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        loss = (refine(points) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * before


def test_looks_are_read_and_drawn_at_the_refined_points():
    model = build(VARIANTS["compact, looks of each point"]).eval()
    image, background = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    points = model.encode_points(image)
    looks = model.encode_appearance(image, points)
    drawn = model.decode(points, looks, background)
    torch.nn.init.constant_(model.refine.move.bias, 2.0)  # 0.2 m
    assert not torch.equal(model.encode_appearance(image, points), looks)
    torch.testing.assert_close(model.encode_appearance(image, points - 0.2), looks)
    torch.testing.assert_close(model.decode(points - 0.2, looks, background), drawn)


def test_a_point_moved_to_the_right_lands_further_right():
    splat = PointSplat(points=1, appearance=2, features=2, side_m=2.0, map_px=16)
    centre_px = []
    for x_m in (-0.5, 0.5):
        density = splat(torch.tensor([[[x_m, 0.0, -1.0]]]), torch.zeros(1, 2))[0, -2]
        centre_px.append(((density.sum(0) * torch.arange(16)).sum() / density.sum()).item())
    assert centre_px[1] - centre_px[0] == pytest.approx(8.0, abs=0.3)


def test_appearance_comes_from_the_clean_image_and_geometry_from_the_other():
    model = build(VARIANTS["compact"]).eval()
    pose, clean, rows = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64), torch.arange(2)
    eye = torch.eye(3).expand(2, 3, 3)
    points = model.encode_points(pose)
    appearance = model.encode_appearance(clean, points)
    expected = model.decode(points, appearance, clean)
    torch.testing.assert_close(model(pose, clean, eye, clean, rows), expected)


def test_without_a_person_the_composite_is_the_background():
    model = build(VARIANTS["compact"]).eval()
    torch.nn.init.zeros_(model.decoder.out.weight)
    with torch.no_grad():
        model.decoder.out.bias.fill_(-30)  # opacity zero
    background = torch.rand(2, 3, 64, 64)
    drawn = model.decode(torch.zeros(2, 200, 3), torch.zeros(2, 128), background)
    torch.testing.assert_close(drawn[:, :3], background)


def test_contradicting_settings_are_refused():
    with pytest.raises(ValueError, match="own_appearance_encoder"):
        EncDecConfig(encoder=EncoderConfig(own_appearance_encoder=False))
    with pytest.raises(ValueError, match="appearance_at"):
        EncoderConfig(own_appearance_encoder=False, appearance_at="points")
    with pytest.raises(ValueError, match="composite"):
        DecoderConfig(kind="paper")


@pytest.mark.parametrize("name", ["compact, appearance at points", "compact, looks of each point"])
def test_appearance_sends_no_gradient_to_the_geometry(name):
    model = build(VARIANTS[name])
    image = torch.rand(2, 3, 64, 64)
    model.encode_appearance(image, model.encode_points(image)).sum().backward()
    assert model.to_points[0].weight.grad is None
    assert model.appearance_trunk.layers[1][0][0].weight.grad.abs().sum() > 0


def test_a_frozen_geometry_does_not_move_in_training():
    model = build(VARIANTS["compact, appearance at points"])
    model.freeze_geometry()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    drawn_by(model, torch.rand(4, 3, 64, 64)).mean().backward()
    after, geometry = model.state_dict(), ("trunk.", "to_points.")
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(geometry))
    assert not torch.equal(before["decoder.enter.1.running_mean"], after["decoder.enter.1.running_mean"])
    assert all((p.grad is None) == name.startswith(geometry) for name, p in model.named_parameters())
