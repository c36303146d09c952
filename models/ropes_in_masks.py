"""Limbs with an identity: ropes of stiff links that hang from a person's steady points, found in masks of all views.

Which point goes up a thin limb differs from instant to instant as long as masks alone draw points, so that no point
learns to follow one.  A rope has an identity by where it hangs (left or right, shoulder or hip) and by the length along
it.  It is searched over all directions of its links, so that in every view it lies inside the mask and covers what
other points do not explain; left and right are chosen together, and neighbouring frames should agree.  No label and no
image is read: the assumption is that so many pairs of limbs of so many links hang there.  Where they hang and how long
their links are is learned from the masks.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from config import Ropes
from models.points_from_masks import MaskViews, projected
from utils.optional import later

ndimage, optimize = later("scipy.ndimage"), later("scipy.optimize")

DIRECTIONS, BEAM, KEPT = 110, 45, 12
"""Directions of every link, 20 degrees apart; ropes kept after each link but the last; ropes kept for each side."""
APART_M = 0.12
"""Two ropes are two if a joint differs by more."""
OUTSIDE_WEIGHT, OUTSIDE_M = 6.0, 0.08
"""What a place outside a mask costs where an unexplained one inside brings 1, in full from this distance on: masks have
errors at their edge."""
FOLDED = -0.6
"""Least cosine between neighbouring links: a limb does not fold back on itself."""
BEYOND_M = 0.03
"""What a point explains reaches so far beyond its distance to the mask's edge, and ends as softly."""
HINT_WEIGHT = 12.0
"""Per metre between a rope's joint and the point that follows it.  A place of a rope brings 1 in each view."""
CHANGE_WEIGHT, CHANGE_MOST_M = 4.0, 0.35
"""Per metre that a joint moves between neighbouring frames, up to the most: limbs also swing."""
REFINED_RAD, TRIES = (0.25, 0.12), 160
"""How far, and how often, the chosen rope is then turned at random, in two rounds."""
SURE_FROM = 0.2
"""Share of the most that a rope can bring from which on it is believed in full."""
AT_ONCE = 8
"""Instants that are searched together: 200 MB."""


class RopeKind(NamedTuple):
    """One pair of limbs, left and right."""

    anchor: int
    """The point pair that it hangs from: points k and k + P/2."""
    lengths_m: tuple[float, ...]
    """Of the links, from the anchor out."""
    radius_m: float
    """Half the thickness of the limb."""
    followed_by: tuple[int, ...] = ()
    """Point pairs that lie near the ends of its links, if points do."""


class FoundRopes(NamedTuple):
    """Ropes of both sides."""

    joints_m: Float[Tensor, "T 2 L 3"]
    """Ends of the links, from the anchor out, left before right; about what the crops look at, world axes."""
    share: Float[Tensor, "T 2"]
    """What the rope brings, of the most that one could: 1 is inside every mask, where nothing else explains it."""


class Evidence(NamedTuple):
    """What masks say of ropes."""

    unexplained: Float[Tensor, "G V h w"]
    """Share of each pixel of the mask that nothing explains yet."""
    outside: Float[Tensor, "G V h w"]
    """0 in the mask, growing to 1 away from it."""
    views: MaskViews

    def value(self) -> Float[Tensor, "G V hw"]:
        """Say what a place of a rope brings in each view."""
        blurred = avg_pool2d(self.unexplained, 3, stride=1, padding=1)
        return (blurred - OUTSIDE_WEIGHT * self.outside).flatten(2)


class Sighted(NamedTuple):
    """What ropes are searched in: T instants in the order of time."""

    points_m: Float[Tensor, "T P 3"]
    """About what the crops look at, world axes."""
    views: MaskViews
    follows: Float[Tensor, "S"]
    """Of each neighbouring pair of instants (T - 1): 1 if they are of one sequence."""

    def some(self, chosen: Int[Tensor, "n"] | slice) -> "Sighted":
        """Take some instants, which then follow on nothing."""
        mask, R, distance_m, side_m = self.views
        points_m = self.points_m[chosen]
        none = points_m.new_zeros(max(0, len(points_m) - 1))
        return Sighted(points_m, MaskViews(mask[chosen], R[chosen], distance_m[chosen], side_m), none)

    def parts(self) -> Iterator[tuple[slice, "Sighted"]]:
        """Take a few instants at a time."""
        for begin in range(0, len(self.points_m), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            yield part, self.some(part)


def sphere(count: int) -> Float[Tensor, "n 3"]:
    """Spread unit vectors evenly (Fibonacci's lattice)."""
    place = torch.arange(count) + 0.5
    z, turn = 1 - 2 * place / count, torch.pi * (1 + 5**0.5) * place
    flat = (1 - z.square()).sqrt()
    return torch.stack([flat * turn.cos(), flat * turn.sin(), z], dim=-1)


def places_along(link: int, links: int) -> tuple[float, ...]:
    """Say where along a link masks are looked up, in its lengths; a hand or a foot lies beyond the last joint."""
    return (0.35, 0.7, 1.05) if link == links - 1 else (0.5, 1.0)


def places_of(joints_m: Float[Tensor, "G N L 3"], anchor_m: Float[Tensor, "G 3"]) -> Float[Tensor, "G N S 3"]:
    """Give the places of ropes at which masks are looked up."""
    places, begin_m = [], anchor_m[:, None]
    for link in range(joints_m.shape[2]):
        end_m = joints_m[:, :, link]
        places += [begin_m + share * (end_m - begin_m) for share in places_along(link, joints_m.shape[2])]
        begin_m = end_m
    return torch.stack(places, dim=2)


def covering(joints_m: Float[Tensor, "G L 3"], anchor_m: Float[Tensor, "G 3"]) -> Float[Tensor, "G S 3"]:
    """Give places close enough to cover a limb; the first link begins beyond the body, the last ends in a hand."""
    places, begin_m = [], anchor_m
    for link, end_m in enumerate(joints_m.unbind(1)):
        shares = (0.6, 0.8, 1.0) if link == 0 else (0.25, 0.5, 0.75, 1.0)
        places += [begin_m + share * (end_m - begin_m) for share in shares]
        last_m, begin_m = begin_m, end_m
    return torch.stack([*places, begin_m + 0.2 * (begin_m - last_m)], dim=1)


def pixels_of(points_m: Float[Tensor, "G K 3"], views: MaskViews) -> Int[Tensor, "G V K"]:
    """Find the pixel that each view sees a point at; of one beyond the border, the nearest."""
    seen_m, _ = projected(points_m, views)
    px = views.mask.shape[-1]
    place = ((seen_m / views.side_m + 0.5) * px).floor().long().clamp(0, px - 1)
    return place[..., 1] * px + place[..., 0]


def looked_up(
    maps: Float[Tensor, "G V hw"], points_m: Float[Tensor, "G K 3"], views: MaskViews
) -> Float[Tensor, "G K"]:
    """Read maps where views see points; the sum over views."""
    return maps.gather(2, pixels_of(points_m, views)).sum(1)


def distances_m(is_inside: Bool[Tensor, "G V h w"], side_m: float) -> Float[Tensor, "G V h w"]:
    """Measure from each pixel to the nearest one that is not inside."""
    flat = is_inside.flatten(0, 1).cpu().numpy()
    apart = torch.stack([torch.from_numpy(ndimage.distance_transform_edt(one)).float() for one in flat])
    return apart.view(is_inside.shape).to(is_inside.device) * (side_m / is_inside.shape[-1])


def depths_m(points_m: Float[Tensor, "G K 3"], views: MaskViews) -> Float[Tensor, "G K"]:
    """Measure how far inside the masks points lie: the least of all views."""
    inside_m = distances_m(views.mask.bool(), views.side_m).flatten(2)
    return inside_m.gather(2, pixels_of(points_m, views)).amin(1)


def radii_m(sighted: Sighted) -> Float[Tensor, "P"]:
    """Say how far what points explain reaches: how far inside the masks they usually lie, and a little more."""
    depth_m = torch.cat([depths_m(part.points_m, part.views) for _, part in sighted.parts()])
    radius_m = depth_m.median(0).values
    return (radius_m + radius_m.roll(len(radius_m) // 2)) / 2 + BEYOND_M


def left_by(
    unexplained: Float[Tensor, "G V h w"], points_m: Float[Tensor, "G K 3"], radius_m: Float[Tensor, "K"],
    views: MaskViews,
) -> Float[Tensor, "G V h w"]:  # fmt: skip
    """Take from what is unexplained what lies within points' radius."""
    seen_m, _ = projected(points_m, views)
    group, view, row, column = unexplained.gt(0.02).nonzero(as_tuple=True)
    px = unexplained.shape[-1]
    place_m = (torch.stack([column, row], dim=-1) + 0.5) * (views.side_m / px) - views.side_m / 2
    beyond_m = ((place_m[:, None] - seen_m[group, view]).norm(dim=-1) - radius_m).amin(-1).clamp_min(0)
    left = torch.zeros_like(unexplained)
    kept = 1 - torch.exp(-0.5 * (beyond_m / BEYOND_M) ** 2)
    left[group, view, row, column] = unexplained[group, view, row, column] * kept
    return left


def left_by_rope(
    unexplained: Float[Tensor, "G V h w"], joints_m: Float[Tensor, "G L 3"], anchor_m: Float[Tensor, "G 3"],
    radius_m: float, views: MaskViews,
) -> Float[Tensor, "G V h w"]:  # fmt: skip
    """Take from what is unexplained what a rope covers."""
    places_m = covering(joints_m, anchor_m)
    return left_by(unexplained, places_m, places_m.new_full((places_m.shape[1],), radius_m), views)


def evidence_of(
    views: MaskViews, points_m: Float[Tensor, "G K 3"], radius_m: Float[Tensor, "K"]
) -> Evidence:  # fmt: skip
    """Say what is left to ropes where points explain what is within their radius."""
    outside = (distances_m(~views.mask.bool(), views.side_m) / OUTSIDE_M).clamp(0, 1)
    return Evidence(left_by(views.mask.float(), points_m, radius_m, views), outside, views)


class Hypotheses(NamedTuple):
    """Ropes of one side that may be true, the best first."""

    joints_m: Float[Tensor, "G N L 3"]
    score: Float[Tensor, "G N"]


def hypotheses(
    value: Float[Tensor, "G V hw"], views: MaskViews, anchor_m: Float[Tensor, "G 3"], lengths_m: tuple[float, ...],
    hint_m: Float[Tensor, "G L 3"] | None,
) -> Hypotheses:  # fmt: skip
    """Try every direction of every link behind the best ropes so far; keep some that differ.

    Args:
        hint_m: where the ends of the links probably are.
    """
    groups, directions, links = len(anchor_m), sphere(DIRECTIONS).to(anchor_m), len(lengths_m)
    row = torch.arange(groups, device=anchor_m.device)[:, None]
    joints_m, total = (
        anchor_m[:, None, None],
        anchor_m.new_zeros(groups, 1),
    )  # the anchor is the first joint, until the end
    for link, length_m in enumerate(lengths_m):
        step_m = length_m * directions
        begin_m = joints_m[:, :, -1:]
        score = total[:, :, None].expand(-1, -1, DIRECTIONS)
        for share in places_along(link, links):
            score = score + looked_up(value, (begin_m + share * step_m).flatten(1, 2), views).view_as(score)
        if link:
            before = normalize(joints_m[:, :, -1] - joints_m[:, :, -2], dim=-1)
            score = score.masked_fill(before @ directions.T < FOLDED, -1e3)
        ends_m = begin_m + step_m
        if hint_m is not None:
            score = score - HINT_WEIGHT * (ends_m - hint_m[:, link, None, None]).norm(dim=-1)
        kept = min(BEAM if link < links - 1 else 400, score[0].numel())
        total, best = score.flatten(1).topk(kept, dim=1)
        rope, direction = best // DIRECTIONS, best % DIRECTIONS
        joints_m = torch.cat([joints_m[row, rope], ends_m[row, rope, direction][:, :, None]], dim=2)
    return differing(Hypotheses(joints_m[:, :, 1:], total))


def differing(all_of_them: Hypotheses) -> Hypotheses:
    """Keep the best rope, the best of those that differ from it, and so on."""
    joints_m, score = all_of_them
    row, left, chosen = torch.arange(len(score), device=score.device), score.clone(), []
    for _ in range(KEPT):
        best = left.argmax(1)
        chosen.append(best)
        apart_m = (joints_m - joints_m[row, best][:, None]).norm(dim=-1).amax(-1)
        left = left.masked_fill(apart_m < APART_M, -1e4)
    kept = torch.stack(chosen, dim=1)
    return Hypotheses(joints_m[row[:, None], kept], score[row[:, None], kept])


def pair_scores(
    value: Float[Tensor, "G V hw"], views: MaskViews, sides: tuple[Hypotheses, Hypotheses],
    anchors_m: Float[Tensor, "G 2 3"], radius_m: float,
) -> Float[Tensor, "G N N"]:  # fmt: skip
    """Score each left rope with each right one: what both cover in a view counts once."""
    seen_m, brings = [], []
    for side, one in enumerate(sides):
        places_m = places_of(one.joints_m, anchors_m[:, side])
        seen_m.append(projected(places_m.flatten(1, 2), views)[0])
        there = value.gather(2, pixels_of(places_m.flatten(1, 2), views)).clamp_min(0)
        brings.append(there.unflatten(2, places_m.shape[1:3]))
    near = torch.exp(-0.5 * (torch.cdist(seen_m[0], seen_m[1]) / radius_m) ** 2)
    near = near.unflatten(3, brings[1].shape[2:]).unflatten(
        2, brings[0].shape[2:]
    )  # G V, N S of the left, N S of the right
    shared = (brings[0][..., None] * near.amax(5)).sum((1, 3)) + (brings[1][:, :, None] * near.amax(3)).sum((1, 4))
    return sides[0].score[:, :, None] + sides[1].score[:, None] - shared / 2


def likeliest(
    score: Float[Tensor, "T N"], joints_m: tuple[Float[Tensor, "T N L 3"], ...], follows: Float[Tensor, "S"]
) -> Int[Tensor, "T"]:
    """Choose one rope (or pair) of each instant: those that score most and move least between neighbouring frames.

    Source: Viterbi's algorithm, 1967.
    """
    best, came_from = score[0], []
    for now in range(1, len(score)):
        if follows[now - 1]:
            change = sum(
                (one[now - 1][:, None] - one[now][None]).norm(dim=-1).clamp_max(CHANGE_MOST_M).sum(-1)
                for one in joints_m
            )
            reached, origin = (best[:, None] - CHANGE_WEIGHT * change).max(0)
        else:
            reached, origin = best.max().expand_as(best), best.argmax().expand(best.shape)
        came_from.append(origin)
        best = reached + score[now]
    chosen = [best.argmax()]
    for origin in reversed(came_from):
        chosen.append(origin[chosen[-1]])
    return torch.stack(chosen[::-1])


def refined(
    value: Float[Tensor, "G V hw"], views: MaskViews, anchor_m: Float[Tensor, "G 3"], joints_m: Float[Tensor, "G L 3"],
    hint_m: Float[Tensor, "G L 3"] | None, generator: torch.Generator,
) -> tuple[Float[Tensor, "G L 3"], Float[Tensor, "G"]]:  # fmt: skip
    """Turn the links of a rope a little; give also what each place and view brings on average."""
    ends_m = torch.cat([anchor_m[:, None], joints_m], dim=1)
    links_m = ends_m[:, 1:] - ends_m[:, :-1]
    length_m, turned = links_m.norm(dim=-1, keepdim=True), normalize(links_m, dim=-1)

    def tried(directions: Float[Tensor, "G N L 3"]) -> tuple[Tensor, Tensor]:
        joints_m = anchor_m[:, None, None] + (length_m[:, None] * directions).cumsum(2)
        places_m = places_of(joints_m, anchor_m)
        return joints_m, looked_up(value, places_m.flatten(1, 2), views).view(places_m.shape[:3]).sum(2)

    for spread in REFINED_RAD:
        noise = torch.randn((len(turned), TRIES, *turned.shape[1:]), generator=generator).to(turned)
        noise[:, 0] = 0
        directions = normalize(turned[:, None] + spread * noise, dim=-1)
        there_m, score = tried(directions)
        if hint_m is not None:
            score = score - HINT_WEIGHT * (there_m - hint_m[:, None]).norm(dim=-1).sum(-1)
        weight = (5 * (score - score.amax(1, keepdim=True))).exp()
        turned = normalize((weight[..., None, None] * directions).sum(1), dim=-1)
    found_m, score = tried(turned[:, None])
    places = places_of(found_m, anchor_m).shape[2] * views.mask.shape[1]
    return found_m[:, 0], score[:, 0] / places


class Explained(NamedTuple):
    """What explains the masks, so that ropes need not."""

    pairs: tuple[int, ...]
    """Point pairs."""
    radius_m: Float[Tensor, "P"]
    """Of all points."""
    ropes: tuple[tuple[RopeKind, FoundRopes], ...] = ()

    def some(self, chosen: Int[Tensor, "n"]) -> "Explained":
        """Take some instants."""
        ropes = tuple((kind, FoundRopes(*(values[chosen] for values in found))) for kind, found in self.ropes)
        return self._replace(ropes=ropes)

    def evidence(self, part: slice, sighted: Sighted) -> Evidence:
        """Say what is left for a few instants."""
        half = sighted.points_m.shape[1] // 2
        points = [pair + side for pair in self.pairs for side in (0, half)]
        evidence = evidence_of(sighted.views, sighted.points_m[:, points], self.radius_m[points])
        for kind, found in self.ropes:
            evidence = without(evidence, found.joints_m[part], sighted, kind)
        return evidence


def anchors_of(sighted: Sighted, kind: RopeKind) -> Float[Tensor, "G 2 3"]:
    """Give what ropes hang from, left and right."""
    return sighted.points_m[:, [kind.anchor, kind.anchor + sighted.points_m.shape[1] // 2]]


def hints_of(sighted: Sighted, kind: RopeKind) -> tuple[Float[Tensor, "G L 3"] | None, ...]:
    """Give the points that follow the ropes, left and right; None where none do."""
    if not kind.followed_by:
        return None, None
    half = sighted.points_m.shape[1] // 2
    return tuple(sighted.points_m[:, [pair + side for pair in kind.followed_by]] for side in (0, half))


def without(evidence: Evidence, joints_m: Float[Tensor, "G 2 L 3"], sighted: Sighted, kind: RopeKind) -> Evidence:
    """Take from what is unexplained what the ropes of both sides cover."""
    unexplained, anchors_m = evidence.unexplained, anchors_of(sighted, kind)
    for side in (0, 1):
        unexplained = left_by_rope(unexplained, joints_m[:, side], anchors_m[:, side], kind.radius_m, evidence.views)
    return evidence._replace(unexplained=unexplained)


class Pairs(NamedTuple):
    """Ropes of both sides that may be true, and what each left one scores with each right one."""

    sides: tuple[Hypotheses, Hypotheses]
    score: Float[Tensor, "G N N"]

    def best(self) -> Float[Tensor, "G 2 L 3"]:
        """Give the pair that scores most, instant by instant."""
        chosen = self.score.flatten(1).argmax(1)
        return self.at(chosen)

    def at(self, chosen: Int[Tensor, "G"]) -> Float[Tensor, "G 2 L 3"]:
        """Give chosen pairs."""
        count, row = self.score.shape[2], torch.arange(len(chosen), device=chosen.device)
        left, right = self.sides[0].joints_m[row, chosen // count], self.sides[1].joints_m[row, chosen % count]
        return torch.stack([left, right], dim=1)


def pairs_in(evidence: Evidence, sighted: Sighted, kind: RopeKind) -> Pairs:
    """Search the ropes of both sides."""
    value, anchors_m, hints_m = evidence.value(), anchors_of(sighted, kind), hints_of(sighted, kind)
    left, right = (hypotheses(value, evidence.views, anchors_m[:, side], kind.lengths_m, hints_m[side])
                   for side in (0, 1))  # fmt: skip
    score = pair_scores(value, evidence.views, (left, right), anchors_m, kind.radius_m)
    return Pairs((left, right), score)


def searched(
    sighted: Sighted, explained: Explained, kind: RopeKind, generator: torch.Generator, tell: Callable[[int], None]
) -> FoundRopes:
    """Search the ropes of all instants: both sides of one kind together, frame after frame, then each a little better.

    Args:
        tell: is given the number of instants that were done, twice for each.
    """
    parts = []
    for part, some in sighted.parts():
        parts.append(pairs_in(explained.evidence(part, some), some, kind))
        tell(len(some.points_m))
    both = tuple(Hypotheses(*(torch.cat(values) for values in zip(*(one.sides[side] for one in parts), strict=True)))
                 for side in (0, 1))  # fmt: skip
    pairs, anchors_m = Pairs(both, torch.cat([one.score for one in parts])), anchors_of(sighted, kind)  # type: ignore[arg-type]
    hang_m = [one.joints_m - anchors_m[:, side, None, None] for side, one in enumerate(both)]
    every_m = (hang_m[0].repeat_interleave(KEPT, 1), hang_m[1].repeat(1, KEPT, 1, 1))
    joints_m = pairs.at(likeliest(pairs.score.flatten(1), every_m, sighted.follows))
    found = []
    for part, some in sighted.parts():
        found.append(refined_both(explained.evidence(part, some), joints_m[part], some, kind, generator))
        tell(len(some.points_m))
    return FoundRopes(*(torch.cat(values) for values in zip(*found, strict=True)))


def refined_both(
    evidence: Evidence, joints_m: Float[Tensor, "G 2 L 3"], some: Sighted, kind: RopeKind, generator: torch.Generator
) -> FoundRopes:
    """Turn the ropes of each side a little, in what the other side's leave."""
    anchors_m, hints_m, new_m, shares = anchors_of(some, kind), hints_of(some, kind), [], []
    for side in (0, 1):
        other = 1 - side
        left = left_by_rope(evidence.unexplained, joints_m[:, other], anchors_m[:, other], kind.radius_m, some.views)
        value = evidence._replace(unexplained=left).value()
        one_m, share = refined(value, some.views, anchors_m[:, side], joints_m[:, side], hints_m[side], generator)
        new_m.append(one_m)
        shares.append(share)
    return FoundRopes(torch.stack(new_m, dim=1), torch.stack(shares, dim=1))


class Steadiness(NamedTuple):
    """How point pairs behave."""

    spread_m: Float[Tensor, "P2"]
    """Median distance from their usual place in the body's own axes."""
    apart_m: Float[Tensor, "P2"]
    """Mean distance between left and right."""

    def explaining(self, looseness: float) -> tuple[int, ...]:
        """Name the pairs of the body: steady, or near its axis; what is neither may lie on a limb."""
        is_steady = self.spread_m <= looseness * self.spread_m.median()
        is_body = is_steady | (self.apart_m < 0.5 * self.apart_m.max())
        return tuple(is_body.nonzero()[:, 0].tolist())

    def anchors(self) -> tuple[int, ...]:
        """Name the pairs that limbs may hang from: rather steady, and a left and a right one."""
        is_one = (self.spread_m <= 1.25 * self.spread_m.median()) & (self.apart_m > 0.25 * self.apart_m.max())
        return tuple(is_one.nonzero()[:, 0].tolist())


def steadiness(points_m: Float[Tensor, "T P 3"]) -> Steadiness:
    """Align all instants with their median, steady points first, and say how far points are from it.

    Source: generalised Procrustes analysis (Gower, 1975) with weights that fall with a point's spread; rotations by
        Kabsch, 1976.
    """
    points_m = points_m.double()
    half = points_m.shape[1] // 2
    weight, mean_m = points_m.new_ones(2 * half, 1), points_m[:1]
    for _ in range(20):
        about = [one - (weight * one).sum(1, keepdim=True) / weight.sum() for one in (points_m, mean_m)]
        left, _, right = torch.linalg.svd((about[0] * weight).mT @ about[1])
        proper = torch.ones_like(left[:, 0])
        proper[:, 2] = torch.det(left @ right)
        aligned_m = about[0] @ (left * proper[:, None] @ right)
        mean_m = aligned_m.median(0, keepdim=True).values
        spread_m = (aligned_m - mean_m).norm(dim=-1).median(0).values
        spread_m = (spread_m[:half] + spread_m[half:]) / 2
        weight = 1 / (spread_m.repeat(2)[:, None].square() + 0.02**2)  # no point is known better than to 2 cm
    apart_m = (points_m[:, :half] - points_m[:, half:]).norm(dim=-1).mean(0)
    return Steadiness(spread_m.float(), apart_m.float())


def cost_of(kind: RopeKind, sighted: Sighted, evidences: list[Evidence]) -> float:
    """Count the pixels of masks that ropes leave unexplained and those that they cover beside masks, per view."""
    pixels = 0.0
    for (_, some), evidence in zip(sighted.parts(), evidences, strict=True):
        joints_m = pairs_in(evidence, some, kind).best()
        pixels += without(evidence, joints_m, some, kind).unexplained.sum().item()
        for side, anchor_m in enumerate(anchors_of(some, kind).unbind(1)):
            places_m = covering(joints_m[:, side], anchor_m)
            size = sum(kind.lengths_m) / places_m.shape[1] * 2 * kind.radius_m
            per_place = size * (evidence.outside.shape[-1] / some.views.side_m) ** 2
            pixels += per_place * looked_up(evidence.outside.flatten(2), places_m, some.views).sum().item()
    return pixels / sighted.views.mask.shape[:2].numel()


def followers(found: FoundRopes, sighted: Sighted, among: list[int], kind: RopeKind) -> tuple[int, ...]:
    """Name the point pairs nearest to the ends of the links; none if one end has none within half its link."""
    half, named = sighted.points_m.shape[1] // 2, []
    for link, length_m in enumerate(kind.lengths_m):
        ends_m = found.joints_m[:, :, link]
        apart_m = torch.stack([
            torch.cat([(sighted.points_m[:, pair + side * half] - ends_m[:, side]).norm(dim=-1) for side in (0, 1)])
            for pair in among
        ]).median(1).values  # fmt: skip
        if apart_m.min() > length_m / 2:
            return ()
        named.append(among[int(apart_m.argmin())])
    return tuple(named) if len(set(named)) == len(named) else ()


def learned_kind(
    sighted: Sighted, explained: Explained, steady: Steadiness, taken: list[int], settings: Ropes,
    generator: torch.Generator, tell: Callable[[int], None],
) -> RopeKind:  # fmt: skip
    """Learn where ropes hang, how long and how thick they are: so that masks are explained best.

    Args:
        sighted: some instants, spread over all.
        taken: pairs that other ropes hang from, or that follow them.
    """
    evidences = [explained.evidence(part, some) for part, some in sighted.parts()]

    def better(kinds: list[RopeKind], best: tuple[float, RopeKind]) -> tuple[float, RopeKind]:
        for kind in kinds:
            best = min(best, (cost_of(kind, sighted, evidences), kind), key=lambda one: one[0])
            tell(len(sighted.points_m))
        return best

    links = settings.links
    anchors = [pair for pair in steady.anchors() if pair not in taken]
    if not anchors:
        raise ValueError(f"no steady pair of points is left that limbs could hang from; lower --teaching.ropes.kinds "
                         f"from {settings.kinds}, or train longer before --teaching.ropes.at")  # fmt: skip
    starts = [RopeKind(anchor, (length_m,) * links, settings.radius_m)
              for anchor in anchors for length_m in settings.lengths_m]  # fmt: skip
    best = better(starts, (float("inf"), starts[0]))
    others = [*explained.pairs, *taken, best[1].anchor]
    among = [pair for pair in range(len(steady.spread_m)) if pair not in others]
    for step_m in (0.05, 0.05, 0.025):
        pairs = [
            pairs_in(evidence, some, best[1]) for (_, some), evidence in zip(sighted.parts(), evidences, strict=True)
        ]
        found = FoundRopes(torch.cat([one.best() for one in pairs]), torch.zeros(0, 2))
        kind = best[1]._replace(followed_by=followers(found, sighted, among, best[1]) if among else ())
        best = better([kind], (float("inf"), kind))
        for link in range(links):
            best = better([changed_length(best[1], link, step) for step in (-step_m, step_m)], best)
    return best[1]


def changed_length(kind: RopeKind, link: int, step_m: float) -> RopeKind:
    """Make one link longer or shorter, no shorter than 5 cm."""
    lengths_m = list(kind.lengths_m)
    lengths_m[link] = max(0.05, lengths_m[link] + step_m)
    return kind._replace(lengths_m=tuple(lengths_m))


def instants_looked_at(sighted: Sighted, settings: Ropes) -> int:
    """Say how many instants are looked at in all, about, for a progress bar."""
    learned_from, anchors = (
        min(settings.learned_from, len(sighted.points_m)),
        len(steadiness(sighted.points_m).anchors()),
    )
    per_kind = learned_from * (anchors * len(settings.lengths_m) + 3 * (1 + 2 * settings.links))
    return settings.kinds * (per_kind + 2 * len(sighted.points_m))


def find_limbs(
    sighted: Sighted, settings: Ropes, generator: torch.Generator, tell: Callable[[int], None]
) -> tuple[tuple[RopeKind, FoundRopes], ...]:
    """Learn the kinds of limbs one after the other, those first that explain most, and find them in all instants.

    Args:
        tell: is given the number of instants that were looked at, every time.
    """
    steady = steadiness(sighted.points_m)
    taken: list[int] = []
    explained = Explained(steady.explaining(1.0), radii_m(sighted))
    chosen = torch.linspace(0, len(sighted.points_m) - 1, min(settings.learned_from, len(sighted.points_m))).long()
    for number in range(settings.kinds):
        if number:  # what lies on limbs that are known is no longer taken for the body, so the rest may be
            followers_of_all = [pair for one, _ in explained.ropes for pair in one.followed_by]
            pairs = tuple(pair for pair in steady.explaining(1.25) if pair not in followers_of_all)
            explained = explained._replace(pairs=pairs)
        kind = learned_kind(sighted.some(chosen), explained.some(chosen), steady, taken, settings, generator, tell)
        found = searched(sighted, explained, kind, generator, tell)
        explained = explained._replace(ropes=(*explained.ropes, (kind, found)))
        taken += [kind.anchor, *kind.followed_by]
    return explained.ropes


class RopePoints(NamedTuple):
    """Which points ropes teach, and where these should be."""

    points: Int[Tensor, "n"]
    """Among all points: the left ones, then their partners."""
    places_m: Float[Tensor, "T n 3"]
    confidence: Float[Tensor, "T n"]

    def of(self, instants: Int[Tensor, "G"]) -> "RopePoints":
        """Take some instants."""
        return RopePoints(self.points, self.places_m[instants], self.confidence[instants])


def rope_places(
    limbs: tuple[tuple[RopeKind, FoundRopes], ...], points_m: Float[Tensor, "T P 3"], beyond: float
) -> tuple[Float[Tensor, "T n 3"], Float[Tensor, "T n"]]:
    """Give the middle and the end of each link, those of the left limbs first, and how sure they are.

    Args:
        beyond: place of the last one along the last link.
    """
    half, places, sure = points_m.shape[1] // 2, [], []
    for kind, found in limbs:
        begin_m = points_m[:, [kind.anchor, kind.anchor + half]]
        for link, end_m in enumerate(found.joints_m.unbind(2)):
            share = beyond if link == len(kind.lengths_m) - 1 else 1.0
            places += [(begin_m + end_m) / 2, begin_m + share * (end_m - begin_m)]
            sure += 2 * [(found.share / SURE_FROM).clamp(SURE_FROM, 1)]
            begin_m = end_m
    return torch.stack(places, dim=2).flatten(1, 2), torch.stack(sure, dim=2).flatten(1, 2)


def followed_by(
    places_m: Float[Tensor, "T n 3"], anchors: tuple[int, ...], points_m: Float[Tensor, "T P 3"]
) -> Int[Tensor, "n"]:
    """Choose for every place of ropes the point pair that is nearest already, each once, and none that they hang from.

    Returns:
        The left points, in the order of the places, then their partners.
    """
    half, count = points_m.shape[1] // 2, places_m.shape[1] // 2
    cost = torch.cdist(places_m, points_m).median(0).values
    cost = cost[:count, :half] + cost[count:, half:]
    cost[:, list(anchors)] = 1e3
    _, pairs = optimize.linear_sum_assignment(cost.cpu().numpy())
    left = torch.from_numpy(pairs).to(points_m.device)
    return torch.cat([left, left + half])
