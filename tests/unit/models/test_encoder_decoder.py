"""Stage 1's networks: shapes of every variant, the splat against its plain sum, what flows where."""

from dataclasses import replace

import pytest
import torch
from torchvision.models import resnet50

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, ImageAugmentation, full, rhodin, seed
from models.decoders import PointSplat
from models.encoder_decoder import EncoderDecoder, build_encoder_decoder, load_encoder_decoder
from utils.artifacts import save_checkpoint
from utils.settings import to_plain
from utils.tiers import NOTHING


def small(encoder: EncoderConfig, decoder: DecoderConfig, size_px: int = 64) -> EncDecConfig:
    return EncDecConfig(crop=Crop(size_px=size_px), encoder=encoder, decoder=decoder, augment=ImageAugmentation())


VARIANTS = {
    "compact": small(EncoderConfig(width=8), DecoderConfig(width=16)),
    "compact, appearance at points": small(EncoderConfig(width=8, appearance_at="points"), DecoderConfig(width=16)),
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
    model = build_encoder_decoder(config)
    drawn = drawn_by(model, image)
    assert drawn.shape == (4, 4, config.crop.size_px, config.crop.size_px)
    drawn[:, :3].mean().backward()
    assert model.to_points[0].weight.grad.abs().sum() > 0
    latent = model.eval().encode(image)
    assert latent.points_crop.shape == (4, 200, 3)
    assert latent.appearance.shape == (4, 128)
    torch.testing.assert_close(latent.points_crop, model.encode_points(image))


def test_the_seed_network_has_the_160_million_parameters_of_the_predecessor():
    with torch.device("meta"):
        model = build_encoder_decoder(seed().enc_dec)
    full = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    total = sum(p.numel() for p in model.parameters())
    in_full = sum(p.numel() for m in full for p in m.parameters())
    assert total == pytest.approx(160e6, rel=0.02)
    assert in_full / total == pytest.approx(0.97, abs=0.01)


def test_the_default_network_has_at_most_8_million_parameters():
    assert sum(p.numel() for p in build_encoder_decoder(EncDecConfig()).parameters()) < 8e6


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


def test_half_and_full_numbers_draw_the_same_map_up_to_their_rounding():
    splat = PointSplat(points=40, appearance=5, features=3, side_m=2.0, map_px=16)
    points, appearance = torch.randn(2, 40, 3) * 0.4, torch.rand(2, 5)
    with torch.autocast("cpu", torch.bfloat16):
        half = splat(points, appearance)
    full = splat(points, appearance)
    assert half.dtype == torch.float32
    assert (half - full).abs().max() < 0.02 * full.abs().max()


def test_a_point_moved_to_the_right_lands_further_right():
    splat = PointSplat(points=1, appearance=2, features=2, side_m=2.0, map_px=16)
    centre_px = []
    for x_m in (-0.5, 0.5):
        density = splat(torch.tensor([[[x_m, 0.0, -1.0]]]), torch.zeros(1, 2))[0, -2]
        centre_px.append(((density.sum(0) * torch.arange(16)).sum() / density.sum()).item())
    assert centre_px[1] - centre_px[0] == pytest.approx(8.0, abs=0.3)


def test_appearance_comes_from_the_clean_image_and_geometry_from_the_other():
    model = build_encoder_decoder(VARIANTS["compact"]).eval()
    pose, clean, rows = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64), torch.arange(2)
    eye = torch.eye(3).expand(2, 3, 3)
    points = model.encode_points(pose)
    appearance = model.encode_appearance(clean, points)
    expected = model.decode(points, appearance, clean)
    torch.testing.assert_close(model(pose, clean, eye, clean, rows), expected)


def test_without_a_person_the_composite_is_the_background():
    model = build_encoder_decoder(VARIANTS["compact"]).eval()
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


def test_appearance_sends_no_gradient_to_the_geometry():
    model = build_encoder_decoder(VARIANTS["compact, appearance at points"])
    image = torch.rand(2, 3, 64, 64)
    model.encode_appearance(image, model.encode_points(image)).sum().backward()
    assert model.to_points[0].weight.grad is None
    assert model.appearance_backbone.layers[1][0][0].weight.grad.abs().sum() > 0


def test_only_the_geometry_is_kept_where_there_is_nothing_to_draw_with():
    model, image = build_encoder_decoder(VARIANTS["compact, appearance at points"]).eval(), torch.rand(2, 3, 64, 64)
    points = model.encode_points(image)
    model.keep_only_geometry("a.pt holds no decoder")
    assert torch.equal(model.encode_points(image), points)
    appearance = torch.rand(2, 128)
    for use in (lambda: model.encode(image), lambda: model.decode(points, appearance, image)):
        with pytest.raises(ValueError, match=r"^a.pt holds no decoder$"):
            use()


RESNET = small(EncoderConfig("resnet50", points=12, appearance=4, width=4), DecoderConfig(width=4))


def test_a_stored_network_is_opened_without_the_weights_that_it_once_began_with(tmp_path, monkeypatch):
    config = RESNET
    weights = build_encoder_decoder(config, is_pretrained=False).state_dict()
    save_checkpoint(tmp_path / "checkpoint_best.pt", "enc_dec", 1, to_plain(config), {"model": weights}, reads=NOTHING)

    def forbidden(*_, **__):
        raise ConnectionError("a download was asked for")

    monkeypatch.setattr("torch.hub.download_url_to_file", forbidden)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", forbidden)
    with pytest.raises(ConnectionError):
        build_encoder_decoder(config)
    opened = load_encoder_decoder(tmp_path / "checkpoint_best.pt").network.state_dict()
    assert all(torch.equal(opened[name], one) for name, one in weights.items())


def test_what_is_drawn_does_not_depend_on_whether_weights_are_fetched_or_follow(monkeypatch):
    stored = resnet50().state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: stored)
    torch.manual_seed(3)
    fetched = build_encoder_decoder(RESNET).state_dict()
    torch.manual_seed(3)
    follows = build_encoder_decoder(RESNET, is_pretrained=False).state_dict()
    apart = {name for name, one in fetched.items() if not torch.equal(one, follows[name])}
    assert apart and all(name.startswith(("backbone.frozen", "backbone.layer3")) for name in apart)
