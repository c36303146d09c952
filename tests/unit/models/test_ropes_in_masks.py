import itertools
import math

import pytest
import torch

from config import Ropes
from models.points_from_masks import MaskViews, projected
from models.ropes_in_masks import (
    CHANGE_WEIGHT,
    Explained,
    RopeKind,
    Sighted,
    anchors_of,
    evidence_of,
    find_limbs,
    followed_by,
    hypotheses,
    learned_kind,
    likeliest,
    pair_scores,
    radii_m,
    rope_places,
    searched,
    sphere,
    steadiness,
)

SIDE_M, PX, AZIMUTHS = 3.5, 112, (0.3, 1.9, 3.2, 5.0)
R_VIEWS = torch.stack([
    torch.tensor([[-math.sin(a), math.cos(a), 0.0], [0.0, 0.0, -1.0], [-math.cos(a), -math.sin(a), 0.0]])
    for a in AZIMUTHS
])  # fmt: skip
TRUNK_M = torch.tensor([[0.0, 0.08, 0.5], [0.0, 0.08, 0.25], [0.0, 0.08, 0.0], [0.0, 0.08, -0.25]])
SHOULDER_M = torch.tensor([[0.0, 0.2, 0.45]])
MIRROR = torch.tensor([1.0, -1.0, 1.0])
"""The left is at +y."""
UPPER_M, FORE_M = 0.3, 0.25


def turned(angles: torch.Tensor, length_m: float) -> torch.Tensor:
    """Links that hang down at 0, swung sideways and forward."""
    side, front = angles[:, 0], angles[:, 1]
    return length_m * torch.stack([side.cos() * front.sin(), side.sin(), -side.cos() * front.cos()], dim=-1)


def drawn(balls_m: torch.Tensor, radius_m: torch.Tensor) -> MaskViews:
    """Masks of balls in four views."""
    count = len(balls_m)
    views = MaskViews(
        torch.zeros(count, 4, PX, PX), R_VIEWS.expand(count, -1, -1, -1), torch.full((count, 4), 5.0), SIDE_M
    )
    seen_m, larger = projected(balls_m, views)
    place = ((torch.arange(PX) + 0.5) / PX - 0.5) * SIDE_M
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)
    mask = torch.zeros(count, 4, PX, PX, dtype=torch.bool)
    for ball in range(balls_m.shape[1]):
        apart_m = (grid - seen_m[:, :, ball, None, None]).norm(dim=-1)
        mask |= apart_m < radius_m[ball] * larger[:, :, ball, None]
    return views._replace(mask=mask)


@pytest.fixture(scope="module")
def people() -> tuple[Sighted, torch.Tensor]:
    """Twelve instants of a trunk with two arms in four views, and the arms' true elbows and hands (T 2 2 3)."""
    torch.manual_seed(3)
    count = 12
    arms = []
    for side in (1.0, -1.0):
        angles = torch.rand(count, 2) * torch.tensor([1.2, 1.4]) + torch.tensor([0.15, -0.3])
        elbow_m = SHOULDER_M + turned(angles, UPPER_M)
        hand_m = elbow_m + turned(angles + torch.tensor([0.0, 0.6]), FORE_M)
        arms.append(torch.stack([elbow_m, hand_m], dim=1) * torch.tensor([1.0, side, 1.0]))
    arms_m = torch.stack(arms, dim=1)
    body_m = torch.cat([TRUNK_M, SHOULDER_M])
    points_m = torch.cat([body_m, body_m * MIRROR]).expand(count, -1, -1)
    points_m = points_m + 0.005 * torch.randn_like(points_m)
    balls_m, radius_m = [points_m], [0.14] * 4 + [0.07] + [0.14] * 4 + [0.07]
    for side in (0, 1):
        begin_m = points_m[:, 4 + 5 * side]
        for link in (0, 1):
            end_m = arms_m[:, side, link]
            balls_m.append(torch.stack([begin_m + s * (end_m - begin_m) for s in torch.linspace(0, 1.1, 8)], dim=1))
            radius_m += [0.045] * 8
            begin_m = end_m
    views = drawn(torch.cat(balls_m, dim=1), torch.tensor(radius_m))
    return Sighted(points_m, views, torch.zeros(count - 1)), arms_m


ARMS = RopeKind(4, (UPPER_M, FORE_M), 0.05)


def explained(sighted: Sighted) -> Explained:
    return Explained((0, 1, 2, 3, 4), radii_m(sighted))


def test_arms_are_found_where_they_are_and_on_their_own_side(people):
    sighted, arms_m = people
    found = searched(sighted, explained(sighted), ARMS, torch.Generator().manual_seed(0), lambda done: None)
    apart_m = (found.joints_m - arms_m).norm(dim=-1)
    assert apart_m[:, :, 1].median() < 0.06 and apart_m.mean() < 0.09, f"{1000 * apart_m.mean():.0f} mm"
    lengths_m = (found.joints_m[:, :, 1] - found.joints_m[:, :, 0]).norm(dim=-1)
    assert torch.allclose(lengths_m, torch.tensor(FORE_M), atol=1e-4)
    assert found.share.median() > 0.3 and (found.share > 0.1).all() and (found.share <= 1).all()


def test_where_limbs_hang_and_how_long_they_are_is_learned_from_the_masks(people):
    sighted, _ = people
    settings = Ropes(kinds=1, lengths_m=(0.2, 0.4))
    kind = learned_kind(sighted, explained(sighted), steadiness(sighted.points_m), [], settings,
                        torch.Generator().manual_seed(0), lambda done: None)  # fmt: skip
    assert kind.anchor == 4
    assert kind.lengths_m == pytest.approx((UPPER_M, FORE_M), abs=0.08)


def test_limbs_teach_points_that_are_near_and_none_that_they_hang_from(people):
    sighted, arms_m = people
    settings, done = Ropes(kinds=1, lengths_m=(0.3,)), []
    limbs = find_limbs(sighted, settings, torch.Generator().manual_seed(0), done.append)
    places_m, sure = rope_places(limbs, sighted.points_m, beyond=1.0)
    assert places_m.shape == (12, 8, 3) and sure.shape == (12, 8) and sum(done) > 24
    points = followed_by(places_m, (4,), sighted.points_m)
    assert len(set(points.tolist())) == 8 and not {4, 9} & set(points.tolist())
    assert torch.equal(points[4:], points[:4] + 5)
    near_m = torch.cat([sighted.points_m[:, :4], arms_m[:, 0], sighted.points_m[:, 5:9], arms_m[:, 1]], dim=1)
    assert followed_by(arms_m.flatten(1, 2), (0,), near_m).tolist() == [4, 5, 10, 11]


def test_what_a_point_explains_is_no_evidence_and_what_is_outside_costs(people):
    sighted, _ = people
    views = sighted.views
    far = torch.full((12, 1, 3), 5.0)
    whole = evidence_of(views, far, torch.tensor([0.01]))
    assert torch.equal(whole.unexplained, views.mask.float())
    less = evidence_of(views, sighted.points_m, radii_m(sighted))
    assert less.unexplained.sum() < 0.6 * whole.unexplained.sum()
    assert (whole.outside[views.mask] == 0).all() and whole.outside.max() == 1
    inside, outside = (whole.value()[where.flatten(2)] for where in (views.mask, whole.outside == 1))
    assert inside.median() == 1 and (outside < -5).all(), "six places inside do not outweigh one outside"


def test_two_ropes_on_one_arm_bring_less_than_one_on_each(people):
    sighted, _ = people
    evidence = explained(sighted).evidence(slice(0, 12), sighted)
    value, anchors_m = evidence.value(), anchors_of(sighted, ARMS)
    sides = tuple(hypotheses(value, evidence.views, anchors_m[:, side], ARMS.lengths_m, None) for side in (0, 1))
    apart = pair_scores(value, evidence.views, sides, anchors_m, 0.05)
    same = pair_scores(value, evidence.views, (sides[0], sides[0]), anchors_m[:, [0, 0]], 0.05)
    twice = 2 * sides[0].score[:, 0]
    assert (same[:, 0, 0] < 0.75 * twice).all()
    assert (apart[:, 0, 0] > 0.8 * (sides[0].score[:, 0] + sides[1].score[:, 0])).all()


def test_the_likeliest_way_is_the_best_of_all_ways():
    torch.manual_seed(0)
    score, joints_m = torch.randn(5, 3), (torch.rand(5, 3, 2, 3) * 0.3,)
    follows = torch.tensor([1.0, 1.0, 0.0, 1.0])

    def total(way: tuple[int, ...]) -> float:
        brings = sum(score[t, k].item() for t, k in enumerate(way))
        moves = sum(
            (joints_m[0][t, way[t]] - joints_m[0][t + 1, way[t + 1]]).norm(dim=-1).clamp_max(0.35).sum().item()
            for t in range(4)
            if follows[t]
        )
        return brings - CHANGE_WEIGHT * moves

    best = max(itertools.product(range(3), repeat=5), key=total)
    assert likeliest(score, joints_m, follows).tolist() == list(best)


def test_points_of_the_body_are_steady_whichever_way_it_turns(people):
    sighted, arms_m = people
    points_m = torch.cat([sighted.points_m[:, :5], arms_m[:, 0, 1:], sighted.points_m[:, 5:], arms_m[:, 1, 1:]], dim=1)
    turn = torch.linalg.qr(torch.randn(12, 3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turn = turn * torch.det(turn).sign()[:, None, None]
    steady = steadiness(points_m @ turn)
    assert steady.spread_m[:5].max() < 0.02 < 0.1 < steady.spread_m[5]
    assert torch.allclose(steady.spread_m[:5], steadiness(points_m).spread_m[:5], atol=5e-3)
    assert 5 not in steady.explaining(1.25) and 4 in steady.anchors() and 5 not in steady.anchors()
    assert steady.apart_m[0] == pytest.approx(0.16, abs=0.01)


def test_directions_are_spread_evenly():
    directions = sphere(110)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(110), atol=1e-6)
    nearest = (directions @ directions.T - 2 * torch.eye(110)).amax(1).acos()
    assert nearest.min() > 0.24 and nearest.max() < 0.4
    assert directions.mean(0).norm() < 0.01
