import math
from dataclasses import replace

import pytest
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, PointsTeaching
from models.encoder_decoder import build_encoder_decoder
from models.heat_maps import places_m
from models.points_from_masks import MaskViews, Transport, projected
from models.ropes_in_masks import RopePoints
from models.taught_points import (
    SETTLED,
    PointMaps,
    PointsReader,
    ReadBeside,
    ReadInstants,
    SeenInstants,
    closed_form_heading,
    consensus,
    headings_of,
    held_out_mm,
    left_of,
    pair_products,
    taught_terms,
    transport_at,
    uncovered_m,
    weights_of,
    whole_masks,
)
from utils.new_cameras import Changes, new_cameras, points_in_new

SIDE_M, WIDE_M, PX = 2.25, 3.5, 56
R_LEVEL = torch.stack([
    torch.tensor([[-math.sin(a), math.cos(a), 0.0], [0.0, 0.0, -1.0], [-math.cos(a), -math.sin(a), 0.0]])
    for a in (0.3, 1.9, 3.2, 5.0)
])[None]  # fmt: skip
DISTANCE_M = torch.tensor([[4.0, 5.0, 4.5, 6.0]])
BODY_M = torch.tensor([[0.0, 0.3, 0.5], [0.1, 0.2, -0.4], [0.0, 0.0, 0.1], [0.0, -0.3, 0.5], [0.1, -0.2, -0.4],
                       [0.0, 0.05, 0.15]])  # fmt: skip
"""Three pairs of a person who faces along x: the first of each pair on the left, which is +y."""
CHANGES = Changes(
    roll_rad=torch.tensor([0.0, 0.25, -0.2, 0.1]),
    size=torch.tensor([1.0, 1.1, 0.9, 1.05]),
    shift_m=torch.tensor([[0.0, 0.0], [0.1, -0.05], [0.05, 0.1], [-0.1, 0.0]]),
    is_mirrored=torch.tensor([False, True, False, True]),
)
PLAIN = Changes(torch.zeros(4), torch.ones(4), torch.zeros(4, 2), torch.zeros(4, dtype=torch.bool))


@pytest.fixture
def reader() -> PointsReader:
    torch.manual_seed(0)
    encoder = EncoderConfig(kind="heatmaps", width=8, points=6, appearance=8)
    config = EncDecConfig(crop=Crop(size_px=64, side_m=SIDE_M), encoder=encoder, decoder=DecoderConfig(width=8),
                          teaching=PointsTeaching(by="masks"))  # fmt: skip
    return PointsReader(build_encoder_decoder(config))


def seen_by(changes: Changes = CHANGES) -> SeenInstants:
    """Four views of the body; masks are balls about its points."""
    views = MaskViews(torch.zeros(1, 4, PX, PX), R_LEVEL, DISTANCE_M, WIDE_M)
    seen_m, _ = projected(BODY_M[None], views)
    place = places_m(PX, WIDE_M, seen_m)
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)
    mask = ((grid[None, None, None] - seen_m[:, :, :, None, None]).norm(dim=-1) < 0.12).any(2).float()
    cameras = new_cameras(DISTANCE_M[0], changes, SIDE_M)
    known = torch.tensor([[1.0, 0.0]]), torch.ones(1)
    return SeenInstants(cameras, changes.size, views._replace(mask=mask), *known)


def maps_of(seen: SeenInstants, reader: PointsReader, body_m: torch.Tensor = BODY_M) -> PointMaps:
    """What a perfect network tells: every point where the crops show it, mirror images with the sides exchanged."""
    in_wide_m = body_m @ R_LEVEL[0].mT
    found_m = points_in_new(in_wide_m, seen.cameras, seen.size, DISTANCE_M[0], reader.partners)
    place = places_m(16, SIDE_M, found_m)
    apart = (place - found_m[..., :1])[..., None, :] ** 2 + (place - found_m[..., 1:2])[..., :, None] ** 2
    depth_m = found_m[..., 2, None, None].expand(4, 6, 16, 16)
    flip = seen.cameras.flip
    in_crop = torch.stack([R_LEVEL[0, :, 0, 0] * flip, R_LEVEL[0, :, 2, 0]], dim=-1)  # world's x, right and forward
    return PointMaps(-0.5 * apart / 0.1**2, depth_m, torch.zeros(4, 16, 16), torch.zeros(4, 1), in_crop)


@pytest.mark.parametrize("changes", [PLAIN, CHANGES], ids=["plain", "rolled, moved, resized, mirrored"])
def test_what_views_see_is_undone_and_joined_in_the_world(reader, changes):
    seen = seen_by(changes)
    found = consensus(maps_of(seen, reader), seen, reader, sharpness=1.0)
    assert (found.found_world_m - BODY_M).norm(dim=-1).max() < 0.02
    assert (found.belief.mean_m[0] - BODY_M).norm(dim=-1).max() < 0.01


def test_a_point_at_the_border_of_a_crop_counts_less(reader):
    seen = seen_by(PLAIN)
    maps = maps_of(seen, reader)
    place, found = places_m(16, SIDE_M, maps.heat), []
    for x in (0.7, 1.05):
        one = -0.5 * ((place - x)[None, :] ** 2 + place[:, None] ** 2) / 0.1**2
        heat = one.expand_as(maps.heat)
        found.append(consensus(maps._replace(heat=heat), seen, reader, 1.0).belief.precision[0, 0].diagonal().sum())
    assert found[1] < 0.5 * found[0]


def test_left_is_left_of_where_people_face_and_mirror_images_say_the_same(reader):
    seen = seen_by()
    headings = headings_of(maps_of(seen, reader), seen)
    unit = torch.nn.functional.normalize(headings.each_world, dim=-1)
    assert torch.allclose(unit, torch.tensor([1.0, 0.0]).expand(1, 4, 2), atol=1e-6)
    assert headings.agreement.item() == pytest.approx(1)
    assert torch.allclose(left_of(headings.each_world), torch.tensor([[0.0, 1.0, 0.0]]), atol=1e-6)
    four = torch.tensor([[[1.0, 0], [-1, 0], [0, 1], [0, -1]], [[1.0, 0], [1, 0], [1, 0], [0, 1]]])
    assert pair_products(four).tolist() == pytest.approx([-1 / 3, 1 / 2])


def terms_of(maps, seen, reader, done=0.5):
    torch.manual_seed(0)
    return taught_terms(maps, seen, torch.ones(4, 1, 64, 64), reader, PointsTeaching(by="masks"), done)


def test_points_that_are_right_cost_little_and_every_term_has_a_weight(reader):
    seen = seen_by()
    right = terms_of(maps_of(seen, reader), seen, reader)
    wrong = terms_of(maps_of(seen, reader, BODY_M.flip(0)), seen, reader)
    moved = terms_of(maps_of(seen, reader, BODY_M + torch.tensor([0.0, 0.0, 0.25])), seen, reader)
    assert right.keys() == weights_of(PointsTeaching()).keys()
    assert right["points_m"] < 0.06 < 0.08 < moved["points_m"]
    assert right["known_heading"] < 1e-5 and abs(wrong["points_m"] - right["points_m"]) < 0.05, "masks know no left"


def test_partners_are_pushed_apart_once_headings_are_believed(reader):
    seen = seen_by()
    middle_m = (BODY_M + BODY_M[[3, 4, 5, 0, 1, 2]]) / 2  # all points on the body's axis
    maps = maps_of(seen, reader, middle_m)
    unsure = terms_of(maps, seen, reader, done=0.0)["points_m"]
    reader.beside.agreement.fill_(0.9)
    sure = terms_of(maps, seen, reader, done=0.4)["points_m"]
    late = terms_of(maps, seen, reader, done=0.9)["points_m"]
    assert sure > unsure + 0.01 and late < sure - 0.01


def test_settling_is_counted_from_when_headings_are_first_believed(reader):
    teaching, beside = PointsTeaching(by="masks", believed_from=0.5), reader.beside
    assert beside.settling(teaching, 0.2) < 0
    beside.agreement.fill_(0.6)
    assert beside.settling(teaching, 0.4) == 0, "not a rounding below it"
    beside.agreement.fill_(0.1)
    assert beside.settling(teaching, 0.7) == pytest.approx(0.5) and beside.settling(teaching, 1.0) == pytest.approx(1)
    beside.believed_at.fill_(-1)
    assert beside.settling(replace(teaching, heading="none"), 0.25) == pytest.approx(0.25)


def test_agreement_and_known_headings_are_remembered(reader):
    seen = seen_by()
    for _ in range(200):
        terms_of(maps_of(seen, reader), seen, reader)
    assert reader.beside.agreement.item() == pytest.approx(1, abs=0.01)
    assert reader.beside.known_cosine.item() == pytest.approx(1, abs=0.01)
    unknown = seen._replace(is_known=torch.zeros(1), forward_world=torch.zeros(1, 2))
    before = reader.beside.known_cosine.clone()
    assert terms_of(maps_of(seen, reader), unknown, reader)["known_heading"] == 0
    assert torch.equal(reader.beside.known_cosine, before)


def test_a_gradient_reaches_all_that_is_trained_and_nothing_else(reader):
    maps = reader(torch.rand(4, 3, 64, 64))
    reader.beside.known_cosine.fill_(0.5)
    seen = seen_by()
    terms = terms_of(maps, seen, reader)
    sum(terms.values()).backward()
    assert [name for name, p in reader.named_parameters() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in reader.parameters())
    groups = reader.parameter_groups()
    assert sum(len(group["params"]) for group in groups) == len(list(reader.parameters()))
    assert any(p is reader.to_points.own_heat for p in groups[1]["params"])


def test_masks_draw_far_at_first_and_near_at_last():
    assert transport_at(0.0, 0.75) == Transport()
    assert transport_at(0.75, 0.75) == transport_at(1.0, 0.75) == pytest.approx(SETTLED)
    middle = transport_at(0.375, 0.75)
    assert (middle.sigma_m, middle.balance, middle.steps) == pytest.approx((0.07, 0.65, 3))


def test_uncovered_is_the_distance_from_the_masks_to_the_points():
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 1, 3] = 1  # 0.75 m right and 0.25 m up of the middle of 2 m
    views = MaskViews(mask, R_LEVEL[:, :1], DISTANCE_M[:, :1], 2.0)
    points_world_m = torch.tensor([[0.75, 0.15, 0.0], [0.0, 0.9, 0.0]]) @ R_LEVEL[0, 0]
    assert uncovered_m(points_world_m[None, None], views) == pytest.approx(0.4, abs=1e-4)


def test_right_points_have_a_small_held_out_error_and_points_in_a_heap_do_not(reader):
    seen = seen_by(PLAIN)
    right = held_out_mm(maps_of(seen, reader), seen, reader, 3.0)
    heap = held_out_mm(maps_of(seen, reader, 0 * BODY_M), seen, reader, 3.0)
    assert right.to_target_mm < 60 and right.uncovered_mm < 80
    assert heap.to_target_mm + heap.uncovered_mm > 1.5 * sum(right)


def test_masks_keep_their_mass_at_another_resolution():
    wide = torch.zeros(1, 2, 112, 112, dtype=torch.uint8)
    wide[:, :, 20:60, 30:50] = 255
    mask, side_m = whole_masks(wide, torch.full((1, 2), 3.5), 48)
    assert mask.shape == (1, 2, 56, 56) and side_m == 3.5
    assert mask.sum().item() == pytest.approx(2 * 40 * 20 / 4, rel=1e-5)


def test_the_closed_form_replaces_a_map_on_which_views_agree_less(reader):
    torch.manual_seed(0)
    angle = torch.rand(300) * 2 * math.pi
    forward = torch.stack([angle.cos(), angle.sin()], -1)
    axes = torch.stack([R_LEVEL[0, :, 0, :2], R_LEVEL[0, :, 2, :2]], -1).expand(300, 4, 2, 2)
    in_crop = torch.linalg.solve(axes, forward[:, None].expand(-1, 4, 2)[..., None])[..., 0]
    size = reader.beside.heading.in_features
    told = torch.cat([in_crop, torch.randn(300, 4, 6)], -1) @ torch.randn(8, size)
    read = ReadInstants(told, axes, forward, (torch.arange(300) % 10 == 0).float())
    parts = [ReadInstants(*(value[rows] for value in read)) for rows in (slice(0, 100), slice(100, None))]
    found = closed_form_heading(parts, reader.beside)
    assert found.is_taken and found.agreement > 0.9 > found.before
    each = torch.nn.functional.normalize((axes @ reader.beside.heading(told)[..., None])[..., 0], dim=-1)
    assert (each * forward[:, None]).sum(-1).mean() > 0.9
    again = closed_form_heading(parts, reader.beside)
    assert again.before == pytest.approx(found.agreement, abs=0.02)


def test_points_begin_in_pairs_on_the_bodys_axis():
    encoder = EncoderConfig(kind="heatmaps", width=8, points=6, appearance=8)
    config = EncDecConfig(crop=Crop(size_px=64, side_m=SIDE_M), encoder=encoder, decoder=DecoderConfig(width=8))
    pairs = replace(config, teaching=PointsTeaching(by="masks"))
    heat = [build_encoder_decoder(one).to_points.own_heat.detach() for one in (pairs, config)]
    assert torch.equal(heat[0][:3], heat[0][3:]) and not torch.equal(heat[1][:3], heat[1][3:])
    assert torch.allclose(heat[0], heat[0].flip(-1), atol=1e-5)


@pytest.mark.parametrize("shares", [(), (1.0,), (0.5, -0.1)])
def test_shares_of_known_headings_that_make_no_sense_are_refused(shares):
    with pytest.raises(ValueError, match=r"known_share is .*; give one share or several"):
        PointsTeaching(known_share=shares)


def test_points_on_limbs_are_taught_where_the_limb_is_as_far_as_it_is_sure(reader):
    seen, moved_m = seen_by(), BODY_M.clone()
    moved_m[[1, 4]] += torch.tensor([0.3, 0.0, 0.2])
    places_m = moved_m[None, [1, 4]]

    def apart(body_m: torch.Tensor, sure: float) -> float:
        ropes = RopePoints(torch.tensor([1, 4]), places_m, torch.full((1, 2), sure))
        return terms_of(maps_of(seen, reader, body_m), seen._replace(ropes=ropes), reader)["points_m"].item()

    assert apart(moved_m, 1.0) < 0.06 < 0.1 < apart(BODY_M, 1.0)
    assert apart(BODY_M, 0.5) == pytest.approx(apart(BODY_M, 1.0) - importance_of_two() * 0.5 * 0.36 / 3, abs=0.02)
    assert apart(BODY_M, 0.0) < 0.06


def importance_of_two() -> float:
    """Two of six points that count twice."""
    return 2 / (8 / 6)


def test_points_on_limbs_need_not_be_where_masks_want_them_to_be_held_out_well(reader):
    seen, moved_m = seen_by(PLAIN), BODY_M.clone()
    moved_m[[1, 4]] += torch.tensor([0.3, 0.0, 0.2])
    maps = maps_of(seen, reader, moved_m)
    assert held_out_mm(maps, seen, reader, 3.0, [1, 4]).to_target_mm < held_out_mm(maps, seen, reader, 3.0).to_target_mm


def test_a_heading_is_read_as_before_when_points_become_more():
    torch.manual_seed(0)
    few, more = ReadBeside(8, 20, 6), ReadBeside(8, 20, 10)
    more.go_on_from({"beside": few.state_dict()})
    features = torch.randn(3, 20 + 8 * 10)
    coarse, left, right = features.split([20, 40, 40], dim=1)
    old = torch.cat([coarse, left[:, :24], right[:, :24]], dim=1)
    assert torch.allclose(few.heading(old), more.heading(features), atol=1e-5)
