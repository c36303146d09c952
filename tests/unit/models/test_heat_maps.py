import math

import pytest
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, JointMapsLoss
from models.encoder_decoder import build_encoder_decoder
from models.heat_maps import (
    FrozenImageNetMapBackbone,
    HeatMapBackbone,
    ImageNetMapBackbone,
    Maps,
    PointsFromMaps,
    places_m,
    points_of,
)
from models.perceptual import efficientnet_lite0
from models.pose_from_maps import (
    HEAT_SIGMA_M,
    PoseFromMaps,
    TrueJoints,
    gaussians,
    limb_maps,
    limbs_of,
    weights_by_term,
)
from utils.skeleton import H36M_17, H36M_17_PARENTS

SIDE_M = 2.0
PARENTS = (-1, 0, 1, 0)
"""A pelvis, a chain of two and a single joint."""


def head() -> PoseFromMaps:
    torch.manual_seed(0)
    return PoseFromMaps(8, 12, PARENTS, SIDE_M, hidden=16)


def some_maps(batch=3, px=8) -> Maps:
    return Maps(torch.randn(batch, 8, px, px), torch.randn(batch, 12, 1, 1))


def true_joints(batch=3, px=32) -> TrueJoints:
    joints_m = 0.3 * torch.randn(batch, 4, 3)
    return TrueJoints(joints_m - joints_m[:, :1], joints_m[..., :2], torch.ones(batch, 1, px, px), torch.ones(batch))


@pytest.mark.parametrize("backbone", [HeatMapBackbone, ImageNetMapBackbone, FrozenImageNetMapBackbone])
@pytest.mark.parametrize("size_px", [64, 96])
def test_maps_have_a_quarter_and_a_32nd_of_the_images_size(size_px, backbone):
    net = backbone(8, size_px).eval()
    maps = net(torch.rand(2, 3, size_px, size_px))
    assert maps.fine.shape == (2, net.channels, size_px // 4, size_px // 4) and net.map_px == size_px // 4
    assert maps.coarse.shape[2:] == (size_px // 32, size_px // 32) and maps.coarse[0].numel() == net.coarse_size


def test_an_imagenet_network_begins_at_its_weights_and_all_of_it_learns():
    net, original = ImageNetMapBackbone(8, 64), efficientnet_lite0()
    taken = [p for part in (net.stem, *net.down) for p in part.parameters()]
    theirs = [p for name, p in original.named_parameters() if not name.startswith(("_conv_head", "_bn1", "_fc"))]
    # the last three are those that narrow the coarsest map
    assert len(taken) == len(theirs) + 3
    assert all(torch.equal(mine, other) for mine, other in zip(taken, theirs, strict=False))
    maps = net(torch.rand(2, 3, 64, 64))
    (maps.fine.mean() + maps.coarse.square().mean()).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_frozen_imagenet_layers_see_as_the_original_ones_and_nothing_in_a_training_changes_them():
    torch.manual_seed(0)
    net, original = FrozenImageNetMapBackbone(8, 64), ImageNetMapBackbone(8, 64).eval()
    image = torch.rand(4, 3, 64, 64)
    stem, *finer = net.stem, *net.down[:2]
    theirs = original.down[1](original.down[0](original.stem(image)))
    net.train().requires_grad_(True)
    torch.testing.assert_close(finer[1](finer[0](stem(image))), theirs, rtol=1e-3, atol=1e-3)  # as in evaluation
    fixed = [part for part in (stem, *finer, *net.down[2][:-1])]
    before = [value.clone() for part in fixed for value in part.buffers()]
    maps = net(image)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    (maps.fine.mean() + maps.coarse.square().mean()).backward()
    assert all(p.grad is not None for p in net.parameters()), "all that learns takes part"
    optimizer.step()
    assert before and all(map(torch.equal, before, (value for part in fixed for value in part.buffers())))
    assert not any(True for part in fixed for _ in part.parameters())
    assert not torch.equal(net(image).fine, maps.fine)


def test_frozen_imagenet_layers_are_not_stored_and_only_the_same_ones_are_taken_again():
    net = FrozenImageNetMapBackbone(8, 64)
    stored = net.state_dict()
    assert sum(value.numel() for value in stored.values()) < 0.1 * sum(
        value.numel() for value in ImageNetMapBackbone(8, 64).state_dict().values()
    )
    other = FrozenImageNetMapBackbone(8, 64)
    other.load_state_dict(stored)
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(net.eval()(image).fine, other.eval()(image).fine)
    stored["original"] = stored["original"] + 1
    with pytest.raises(RuntimeError, match="behind other frozen ImageNet weights"):
        other.load_state_dict(stored)


def test_the_network_of_the_recipe_has_its_size():
    count = sum(p.numel() for net in (HeatMapBackbone(32, 64), PoseFromMaps(32, 640, H36M_17_PARENTS, 2.25))
                for p in net.parameters())  # fmt: skip
    assert 1.7e6 < count < 1.8e6


def test_a_point_is_where_its_heat_is_and_as_deep_as_the_map_says_there():
    heat = torch.full((1, 2, 4, 4), -30.0)
    heat[0, 0, 1, 3] = heat[0, 1, 0, 0] = heat[0, 1, 0, 1] = 30.0  # rows down, columns across
    depth_m = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 2, 4, 4) / 10
    found = points_of(heat, depth_m, SIDE_M)
    assert torch.allclose(found.points_m[0, 0], torch.tensor([0.75, -0.25, 0.7]), atol=1e-5)
    assert torch.allclose(found.points_m[0, 1], torch.tensor([-0.5, -0.75, 0.05]), atol=1e-5)
    assert torch.allclose(found.spread_m[0, 1], torch.tensor([0.25, 0.0]), atol=2e-4)


def test_points_follow_a_person_who_stands_elsewhere():
    torch.manual_seed(1)
    blob = torch.zeros(1, 2, 16, 16)
    blob[0, :, 4:7, 5:8] = torch.randn(2, 3, 3) + 8
    moved = blob.roll((3, 2), dims=(2, 3))
    depth_m = torch.zeros_like(blob)
    apart = points_of(moved, depth_m, SIDE_M).points_m - points_of(blob, depth_m, SIDE_M).points_m
    step_m = SIDE_M / 16
    assert torch.allclose(apart[..., :2], torch.tensor([2 * step_m, 3 * step_m]).expand(1, 2, 2), atol=0.01)


def test_points_begin_apart_on_an_upright_body_and_every_map_gets_a_gradient():
    torch.manual_seed(0)
    read = PointsFromMaps(8, 40, 16, 2.25)
    points_m = read(Maps(torch.zeros(1, 8, 16, 16), torch.zeros(1))).view(1, 40, 3)
    assert points_m[0, :, 1].std() > 1.5 * points_m[0, :, 0].std() > 0.05
    read(Maps(torch.randn(1, 8, 16, 16), torch.zeros(1))).square().sum().backward()
    assert (read.maps.weight.grad.flatten(1).norm(dim=1) > 1e-4).all()


def test_a_gaussian_sums_to_one_and_has_its_spread():
    place = places_m(64, SIDE_M, torch.zeros(1))
    drawn = gaussians(torch.tensor([[[0.2, -0.1]]]), place)
    found = points_of(drawn.clamp_min(1e-30).log(), torch.zeros_like(drawn), SIDE_M)
    assert drawn.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(found.points_m[0, 0], torch.tensor([0.2, -0.1, 0]), atol=1e-3)
    assert torch.allclose(found.spread_m[0, 0], torch.full((2,), HEAT_SIGMA_M), rtol=0.01)


def test_a_limb_is_one_along_its_line_and_fades_beside_and_beyond_it():
    place = places_m(21, 2.1, torch.zeros(1))  # places at multiples of 0.1 m
    drawn = limb_maps(torch.tensor([[[-0.5, 0.0]]]), torch.tensor([[[0.5, 0.0]]]), place)[0, 0]
    row, column = (
        {at: 10 + round(10 * at) for at in (-0.1, 0.0, 0.1)},
        {at: 10 + round(10 * at) for at in (0.0, 0.5, 0.6)},
    )
    assert drawn[row[0.0], column[0.0]].item() == pytest.approx(1, abs=1e-4)
    beside = math.exp(-0.5 * (0.1 / 0.06) ** 2)
    for at in ((row[0.1], column[0.0]), (row[-0.1], column[0.0]), (row[0.0], column[0.6])):
        assert drawn[at].item() == pytest.approx(beside, abs=1e-4)
    point = limb_maps(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), place)
    assert torch.isfinite(point).all() and point.max().item() == pytest.approx(1)


def test_limbs_come_from_the_skeleton():
    assert limbs_of(PARENTS) == [(0, 1), (1, 2), (0, 3)]
    assert len(limbs_of(H36M_17_PARENTS)) == len(H36M_17) - 1


def test_the_head_begins_at_what_heat_maps_find_and_its_pelvis_is_the_origin():
    found = head()(some_maps())
    expected = found.points.points_m - found.points.points_m[:, :1]
    assert torch.allclose(found.joints_root_m, expected, atol=1e-6)
    assert found.joints_root_m[:, 0].abs().max() == 0
    assert found.limbs.shape == (3, 3, 8, 8) and found.directions.shape == (3, 3, 3, 8, 8)


def test_true_maps_have_the_smallest_loss_there_is():
    network, true = head(), true_joints(px=128)
    found = network(some_maps(px=32))
    place = places_m(32, SIDE_M, found.heat)
    heat = gaussians(true.seen_m, place).clamp_min(1e-12).log()
    perfect = found._replace(
        heat=heat, depth_m=true.joints_root_m[..., 2, None, None].expand_as(heat), joints_root_m=true.joints_root_m,
        mask=torch.full_like(found.mask, 20.0),
    )  # fmt: skip
    terms, others = (network.terms(one, true, JointMapsLoss()) for one in (perfect, found))
    assert terms.keys() == others.keys() == weights_by_term(JointMapsLoss()).keys()
    assert max(terms["depth_m"], terms["joints_m"], terms["mask"]) < 1e-6
    entropy = -(gaussians(true.seen_m, place) * heat).sum((2, 3)).mean()
    assert terms["heat"].item() == pytest.approx(entropy.item(), rel=1e-4)
    assert others["heat"] > terms["heat"] + 0.1


def test_rows_count_by_their_confidence_and_weights_of_zero_leave_terms_out():
    network, true = head(), true_joints()
    found = network(some_maps())
    both = [network.terms(found, true._replace(confidence=torch.tensor(c)), JointMapsLoss())["joints_m"]
            for c in ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0))]  # fmt: skip
    rows = (found.joints_root_m - true.joints_root_m).norm(dim=-1).mean(1)
    assert both[0].item() == pytest.approx(rows.mean().item()) and both[1].item() == pytest.approx(rows[0].item())
    few = network.terms(found, true, JointMapsLoss(limbs=0, directions=0, mask=0))
    assert few.keys() == {"heat", "depth_m", "joints_m", "points_m"}


def test_every_weight_of_the_head_learns():
    network, true = head(), true_joints()
    for _ in range(2):  # the last layers begin at zero, so the layer before learns from the second step on
        terms = network.terms(network(some_maps()), true, JointMapsLoss())
        network.zero_grad()
        sum(terms.values()).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.01 * parameter.grad
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_stage_1_draws_from_points_that_heat_maps_find():
    torch.manual_seed(0)
    encoder = EncoderConfig(kind="heatmaps", width=8, points=12, appearance=8, appearance_at="points")
    model = build_encoder_decoder(
        EncDecConfig(crop=Crop(size_px=32), encoder=encoder, decoder=DecoderConfig(width=8))
    ).train()
    image, R = torch.rand(2, 3, 32, 32), torch.eye(3).expand(2, 3, 3)
    drawn = model(image, image, R, image, torch.tensor([1, 0]))
    assert drawn.shape == (2, 4, 32, 32)
    drawn.square().sum().backward()
    assert model.to_points.own_heat.grad.abs().sum() > 0
    assert model.encode(image).points_crop.shape == (2, 12, 3)
    assert model.encode_points(image).abs().max() < model.to_points.side_m  # depths start small, too
