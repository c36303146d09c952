"""Stage 1 without a label: points of heat maps, taught by where the masks of all views want them.

What the views of an instant see of a point, undone of how each crop was changed, is joined in the world; left and right
partners are pushed apart along the person's left; the masks draw the points to themselves (points_from_masks.py); and
the place that comes out is taken as if it were a label, in every view.  Which way people face is read by a linear map
of the coarsest features, found in closed form where it is known of some (heading.py) and trained with the network.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, interpolate, normalize

from config import PointsTeaching
from models.encoder_decoder import EncoderDecoder
from models.heading import horizontal_axes, seeded_heading, whitening
from models.heat_maps import STRIDE, HeatMapBackbone, PointsFromMaps, places_m, points_of
from models.points_from_masks import Belief, MaskViews, Transport, agreed, partners_apart, projected, taught
from models.pose_from_maps import gaussians
from models.ropes_in_masks import RopePoints
from utils.metrics import MM_PER_M
from utils.new_cameras import NewCameras, points_in_new, points_in_wide
from utils.whole_batch import averaged, known_in_share, summed

SETTLED = Transport(sigma_m=0.05, balance=0.3, mask_weight=200.0, steps=2)
"""How masks draw points at the end of a training; at its beginning as `Transport` says."""
WHITENED = 100
"""Directions of the features that a heading is read from in closed form: with all 640, 500 instants fit noise."""
FORGETS = 0.03
"""What one batch counts for in the running agreement of headings."""
AT_THE_BORDER = 5.0
"""A point that is found near the border of a crop, beyond which it may lie, counts so much less."""


class PointMaps(NamedTuple):
    """What is read of a batch of crops."""

    heat: Float[Tensor, "B P h w"]
    """Logits."""
    depth_m: Float[Tensor, "B P h w"]
    mask: Float[Tensor, "B h w"]
    """Logits of the person."""
    features: Float[Tensor, "B F"]
    """What sees the whole person."""
    heading: Float[Tensor, "B 2"]
    """Right and forward in the axes of the level crop camera, no longer than 1."""


class ReadBeside(nn.Module):
    """What is read beside the points, for their training alone."""

    agreement: Tensor
    known_cosine: Tensor
    believed_at: Tensor

    def __init__(self, channels: int, coarse_size: int, points: int) -> None:
        super().__init__()
        self.coarse_size = coarse_size
        self.mask, self.heading = nn.Conv2d(channels, 1, 1), nn.Linear(coarse_size + channels * points, 2)
        self.register_buffer("agreement", torch.zeros(()))  # of unit vectors that views read, lately
        self.register_buffer("known_cosine", torch.zeros(()))  # between what views read and known headings, lately
        self.register_buffer("believed_at", torch.tensor(-1.0))  # share of the training; below 0 until then

    @torch.no_grad()
    def note(self, agreement: Float[Tensor, ""], apart: Float[Tensor, "G"], is_known: Float[Tensor, "G"]) -> None:
        """Keep running means of how far headings agree with each other and with those that are known.

        Args:
            apart: 1 - cosine to known headings.
        """
        self.agreement.lerp_(averaged(agreement), FORGETS)
        cosine = 1 - averaged((apart * is_known).sum() / known_in_share(is_known.sum(), 1))
        self.known_cosine.lerp_(cosine, FORGETS * (summed(is_known.sum()) > 0))

    def go_on_from(self, states: Mapping[str, Any]) -> None:
        """Take what another training learned beside its points, if it was one of these; its points settle anew."""
        if "beside" in states:
            self.load_state_dict(self.with_more_points(states["beside"]))
            self.believed_at.fill_(-1)

    def with_more_points(self, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Let a heading that was read with fewer points be read as before: what more of them see counts nothing."""
        weight, channels = stored["heading.weight"], self.mask.in_channels
        lacking = (self.heading.in_features - weight.shape[1]) // channels // 2
        if not lacking:
            return dict(stored)
        coarse = self.coarse_size
        left, right = weight[:, coarse:].chunk(2, dim=1)
        none = weight.new_zeros(len(weight), lacking * channels)
        return {**stored, "heading.weight": torch.cat([weight[:, :coarse], left, none, right, none], dim=1)}

    def settling(self, teaching: PointsTeaching, done: float) -> float:
        """Say what share is over of the training since headings are believed, and note when they first are.

        Points settle only then: whatever has found its place on the body's axis before does not leave it.

        Returns:
            Below 0 where headings are not believed yet.
        """
        is_needed = teaching.heading != "none"
        if self.believed_at < 0 and (not is_needed or self.agreement > teaching.believed_from):
            self.believed_at.fill_(done if is_needed else 0.0)
        began = self.believed_at.item()
        return -1.0 if began < 0 else max(0.0, done - began) / max(1e-6, 1 - began)


class PointsReader(nn.Module):
    """An encoder that finds points in the image, and what is read beside them."""

    def __init__(self, network: EncoderDecoder) -> None:
        super().__init__()
        assert isinstance(network.backbone, HeatMapBackbone) and isinstance(network.to_points, PointsFromMaps)
        self.backbone, self.to_points = network.backbone, network.to_points
        self.beside = ReadBeside(self.backbone.channels, self.backbone.coarse_size, self.to_points.points)
        self.normalised, self.side_m = network.normalised, self.to_points.side_m
        points = self.to_points.points
        self.partners = [*range(points // 2, points), *range(points // 2)]
        """For every point, the one on the other side of the body."""

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> PointMaps:
        """Read everything off RGB crops in [0, 1]; float32 whatever the layers run in."""
        maps = self.backbone(self.normalised(image))
        heat, depth_m = self.to_points.heat_and_depth(maps)
        features = torch.cat([maps.coarse.flatten(1), at_points(maps.fine, heat.detach())], dim=1).float()
        heading = self.beside.heading(features).float()
        bounded = heading / (1 + heading.square().sum(-1, keepdim=True)).sqrt()  # one sure view does not outvote others
        return PointMaps(heat, depth_m, self.beside.mask(maps.fine)[:, 0].float(), features, bounded)

    def points(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P 3"]:
        """Find the points alone."""
        maps = self(image)
        return points_of(maps.heat, maps.depth_m, self.side_m).points_m

    def parameter_groups(self) -> list[dict[str, object]]:
        """Let kernels alone decay."""
        fixed = [self.to_points.own_heat, self.beside.heading.weight]
        decaying = [p for p in self.parameters() if p.ndim > 1 and not any(p is other for other in fixed)]
        others = [p for p in self.parameters() if p.ndim <= 1]
        return [{"params": decaying}, {"params": [*others, *fixed], "weight_decay": 0.0}]


def at_points(fine: Float[Tensor, "B C h w"], heat: Float[Tensor, "B P h w"]) -> Float[Tensor, "B PC"]:
    """Average a map where the heat of each point is: a face looks the same wherever in the crop it is."""
    return torch.einsum("bps,bcs->bpc", heat.flatten(2).softmax(-1), fine.float().flatten(2)).flatten(1)


class SeenInstants(NamedTuple):
    """How the crops of G instants in V views were cut, and what their teacher may know; B = G V."""

    cameras: NewCameras
    size: Float[Tensor, "B"]
    views: MaskViews
    """The wide crops: whole masks, cameras."""
    forward_world: Float[Tensor, "G 2"]
    is_known: Float[Tensor, "G"]
    ropes: RopePoints | None = None
    """Of these instants, where limbs teach some of the points."""


def whole_masks(mask: Tensor, side_m: Float[Tensor, "G V"], per_3_m: int) -> tuple[Float[Tensor, "G V h w"], float]:
    """Bring masks of wide crops to the resolution at which they teach; give also what they show, in metres."""
    side = float(side_m.flatten()[0])
    small = interpolate(mask.float() / 255, size=(round(per_3_m * side / 3),) * 2, mode="area")
    return small, side


def transport_at(settling: float, settled_at: float) -> Transport:
    """Say how masks draw points after a share of their settling: far and evenly at first, then near."""
    first, last, share = Transport(), SETTLED, min(1.0, settling / settled_at)
    sigma_m, balance, mask_weight = (a + (b - a) * share for a, b in zip(first[:3], last[:3], strict=True))
    steps = round(first.steps + (last.steps - first.steps) * share)
    return Transport(sigma_m, balance, mask_weight, steps, first.rounds)


class Consensus(NamedTuple):
    """What the views tell of the points of G instants."""

    belief: Belief
    found_world_m: Float[Tensor, "G V P 3"]
    """By each view alone."""


def consensus(maps: PointMaps, seen: SeenInstants, reader: PointsReader, sharpness: float) -> Consensus:
    """Join what all views see of the points; gradients flow through what each finds alone."""
    groups, count = seen.views.distance_m.shape
    plain = points_of(maps.heat, maps.depth_m, reader.side_m)
    R, wide_m = seen.views.R_crop_from_world, seen.views.distance_m.flatten()

    def undone(points_m: Tensor) -> Tensor:
        in_wide_m = points_in_wide(points_m, seen.cameras, seen.size, wide_m, reader.partners)
        return in_wide_m.unflatten(0, (groups, count))

    with torch.no_grad():
        sharp = points_of(sharpness * maps.heat, maps.depth_m, reader.side_m)
        is_outside = (plain.points_m[..., :2].abs().amax(-1) > 0.95 * reader.side_m / 2 - 0.07)[..., None]
        vaguer = (AT_THE_BORDER - 1) * (plain.spread_m.square() + 0.05**2) * is_outside
        spread_m = (plain.spread_m.square() + vaguer).sqrt() * seen.size[:, None, None]
        spread_m = torch.where((seen.cameras.flip < 0)[:, None, None], spread_m[:, reader.partners], spread_m)
        belief = agreed(undone(sharp.points_m), spread_m.unflatten(0, (groups, count)), R)
    return Consensus(belief, undone(plain.points_m) @ R)


class Headings(NamedTuple):
    """What the views tell of where people face."""

    each_world: Float[Tensor, "G V 2"]
    agreement: Float[Tensor, ""]
    """Mean cosine between two views of an instant."""


def headings_of(maps: PointMaps, seen: SeenInstants) -> Headings:
    """Turn the headings that views read into the world."""
    groups, count = seen.views.distance_m.shape
    is_mirrored = (seen.cameras.flip < 0).float().unflatten(0, (groups, count))
    axes = horizontal_axes(seen.views.R_crop_from_world, is_mirrored)
    each = (axes @ maps.heading.unflatten(0, (groups, count))[..., None])[..., 0]
    return Headings(each, pair_products(normalize(each, dim=-1)).mean())


def pair_products(each: Float[Tensor, "G V 2"]) -> Float[Tensor, "G"]:
    """Average the products of the vectors of two views of an instant."""
    count = each.shape[1]
    return (each.sum(1).square().sum(-1) - each.square().sum((1, 2))) / (count * (count - 1))


def left_of(each_world: Float[Tensor, "G V 2"]) -> Float[Tensor, "G 3"]:
    """Give the left of people who face where their views say together: up x forward."""
    forward = normalize(each_world.sum(1), dim=-1)
    return torch.stack([-forward[:, 1], forward[:, 0], torch.zeros_like(forward[:, 0])], dim=-1)


def taught_terms(
    maps: PointMaps, seen: SeenInstants, mask: Float[Tensor, "B 1 H W"], reader: PointsReader,
    teaching: PointsTeaching, done: float,
) -> dict[str, Float[Tensor, ""]]:  # fmt: skip
    """Give the unweighted terms of a batch, and note in `reader.beside` how far the headings agree.

    Args:
        mask: of the crops, as the network sees them.
        done: share of the training that is over.
    """
    joined, headings = consensus(maps, seen, reader, teaching.sharpness), headings_of(maps, seen)
    beside, belief = reader.beside, joined.belief
    known = 1 - (normalize(headings.each_world, dim=-1) * seen.forward_world[:, None]).sum(-1).mean(1)
    with torch.no_grad():
        beside.note(headings.agreement, known, seen.is_known)
        settling = beside.settling(teaching, done)
        if settling >= 0 and teaching.heading != "none":
            least_m = teaching.apart_m * max(0.0, 1 - settling / teaching.apart_until)
            belief = belief._replace(mean_m=partners_apart(belief.mean_m, left_of(headings.each_world), least_m))
        belief = held_by_ropes(belief, seen.ropes)
        target_world_m = taught(belief, seen.views, transport_at(max(0.0, settling), teaching.settled_at))
        if seen.ropes is not None:
            target_world_m[:, seen.ropes.points] = belief.mean_m[:, seen.ropes.points]
        in_wide_m = (target_world_m[:, None] @ seen.views.R_crop_from_world.mT).flatten(0, 1)
        wide_m = seen.views.distance_m.flatten()
        target_m = points_in_new(in_wide_m, seen.cameras, seen.size, wide_m, reader.partners)
        drawn = gaussians(target_m[..., :2], places_m(maps.heat.shape[-1], reader.side_m, target_m))
        counts = importance(maps.heat.shape[1], seen.ropes, teaching.ropes.weight)
    heat = -(drawn * maps.heat.flatten(2).log_softmax(-1).view_as(maps.heat)).sum((2, 3))
    depth_m = (drawn * (maps.depth_m - target_m[..., 2, None, None]).abs()).sum((2, 3))
    points_m = (joined.found_world_m - target_world_m[:, None]).norm(dim=-1)
    return {
        "heat": (counts * heat).mean(),
        "depth_m": (counts * depth_m).mean(),
        "points_m": (counts * points_m).mean(),
        "mask": binary_cross_entropy_with_logits(maps.mask, avg_pool2d(mask, STRIDE)[:, 0]),
        "headings_apart": beside.known_cosine.clamp(0, 1) * (1 - pair_products(headings.each_world).mean()),
        "known_heading": (known * seen.is_known).sum() / known_in_share(seen.is_known.sum(), 1),
    }


def held_by_ropes(belief: Belief, ropes: RopePoints | None) -> Belief:
    """Bring points that ropes teach to their place on the rope, as far as that is sure."""
    if ropes is None:
        return belief
    mean_m, sure = belief.mean_m.clone(), ropes.confidence[..., None]
    mean_m[:, ropes.points] = sure * ropes.places_m + (1 - sure) * mean_m[:, ropes.points]
    return belief._replace(mean_m=mean_m)


def importance(points: int, ropes: RopePoints | None, weight: float) -> Float[Tensor, "P"] | float:
    """Say what points count for in the loss: 1 on average, those of ropes more."""
    if ropes is None:
        return 1.0
    counts = torch.ones(points, device=ropes.points.device)
    counts[ropes.points] = weight
    return counts / counts.mean()


def weights_of(teaching: PointsTeaching) -> dict[str, float]:
    """Name the weights as `taught_terms` names its terms."""
    return {"heat": teaching.heat, "depth_m": teaching.depth, "points_m": teaching.points, "mask": teaching.mask,
            "headings_apart": teaching.agreement, "known_heading": teaching.known_heading}  # fmt: skip


class HeldOut(NamedTuple):
    """What tells, without a label, how good points are; millimetres."""

    to_target_mm: float
    """From a point that one view finds to where all views and masks want it."""
    uncovered_mm: float
    """From a pixel of a mask to the nearest point that another view found."""


@torch.no_grad()
def held_out_mm(
    maps: PointMaps, seen: SeenInstants, reader: PointsReader, sharpness: float, on_ropes: list[int] | None = None
) -> HeldOut:
    """Measure the points of plain crops.

    Args:
        on_ropes: points that ropes teach: these should be where all views see them, wherever masks want them.
    """
    joined = consensus(maps, seen, reader, sharpness)
    target_world_m = taught(joined.belief, seen.views, SETTLED)
    if on_ropes:
        target_world_m[:, on_ropes] = joined.belief.mean_m[:, on_ropes]
    to_target_m = (joined.found_world_m - target_world_m[:, None]).norm(dim=-1).mean().item()
    return HeldOut(MM_PER_M * to_target_m, MM_PER_M * uncovered_m(joined.found_world_m, seen.views))


def uncovered_m(found_world_m: Float[Tensor, "G V P 3"], views: MaskViews) -> float:
    """Average the distance from the pixels of masks to the nearest of the points that each view found."""
    place = places_m(views.mask.shape[-1], views.side_m, views.mask)
    pixels_m = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1).flatten(0, 1)
    apart = []
    for one in found_world_m.unbind(1):
        seen_m, _ = projected(one, views)
        nearest_m = torch.cdist(pixels_m.expand(*seen_m.shape[:2], -1, 2), seen_m).amin(-1)
        mass = views.mask.flatten(2)
        apart.append(((nearest_m * mass).sum(-1) / mass.sum(-1).clamp_min(1e-6)).mean())
    return torch.stack(apart).mean().item()


class ReadInstants(NamedTuple):
    """Features of G instants in W views and mirror images, for the closed form."""

    features: Float[Tensor, "G W F"]
    axes: Float[Tensor, "G W 2 2"]
    forward_world: Float[Tensor, "G 2"]
    is_known: Float[Tensor, "G"]


class FoundHeading(NamedTuple):
    """What the closed form of the heading brought."""

    agreement: float
    """Of unit vectors that views and mirror images read with it."""
    before: float
    """The same of the map that was trained."""
    is_taken: bool


@torch.no_grad()
def closed_form_heading(parts: Iterable[ReadInstants], beside: ReadBeside) -> FoundHeading:
    """Find the map from features to headings in closed form; it replaces the trained one where views agree more."""
    read = ReadInstants(*(torch.cat(values) for values in zip(*parts, strict=True)))
    whitened = whitening(read.features.flatten(0, 1), WHITENED)
    found = seeded_heading(whitened(read.features), read.axes, read.forward_world, read.is_known)
    trained = (read.axes @ beside.heading(read.features)[..., None])[..., 0]
    before = pair_products(normalize(trained, dim=-1)).mean().item()
    if found.agreement > before:
        weight = found.weights[:, :-1] @ whitened.matrix
        bias = found.weights[:, -1] - weight @ whitened.mean
        length = (read.features.double() @ weight.mT + bias).norm(dim=-1).mean()
        beside.heading.weight.copy_(weight / length)
        beside.heading.bias.copy_(bias / length)
    return FoundHeading(found.agreement, before, found.agreement > before)
