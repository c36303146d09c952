"""Keypoints of the body model in poses of a bank, as a camera anywhere would see them and a detector would find them.

Nobody's image, mask or label is read.  What detectors do wrong is drawn as it was measured: errors by joint with long
tails, hidden limbs, sides taken for each other, limbs cut off by the picture's edge, or invented there.  A batch is a
pure function of its random generator.
"""

from dataclasses import fields
from math import log, pi
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from config import KeypointNoise, KeypointViews, PoseVariation
from models.body_surface import opposite_joints, paired_limbs
from models.drawn_masks import ENDLESS, uniform, varied_poses
from models.kinematics import along_the_tree
from models.SMPL_from_keypoints import (
    BodyFromKeypoints,
    BoxedKeypoints,
    KeypointsOfBody,
    LiftedBodies,
    boxed,
    keypoints_terms,
    seen_at,
    side_of,
)
from utils.engine import mixed_seed
from utils.metrics import MM_PER_M
from utils.skeleton import KEYPOINTS_25, SMPL_24_PARENTS, mirrored
from utils.views import level_rotation

HELD_OUT_SEED = 9_000_002
ARM, LEG = ("elbow", "wrist", "index", "pinky"), ("knee", "ankle", "heel", "toe")
OF_LIMB = {
    "left arm": ("left", ARM),
    "right arm": ("right", ARM),
    "left leg": ("left", LEG),
    "right leg": ("right", LEG),
}
LEAST_POINTS = 6
"""A body with fewer keypoints left keeps them all."""
OF_PERSON, OF_POINT = 0.75, 0.66
"""Parts of the spread of errors that all points of a person share, as where a picture is sharp, and that are their
own; their squares sum to one."""
HIDDEN_BELOW = 0.5
"""Confidence under which a keypoint counts as hidden."""


class KeypointDrawing(NamedTuple):
    """Everything that batches are drawn from but the random numbers."""

    body: KeypointsOfBody
    bank: Float[Tensor, "N J 3 3"]
    """The root in a world whose z is up."""
    betas: Float[Tensor, "N n"]
    """Of each pose; NaN where a shape is to be drawn."""
    poses: PoseVariation
    views: KeypointViews
    noise: KeypointNoise


class DrawnKeypoints(NamedTuple):
    """A batch: what is seen, and the bodies that are there."""

    boxed: BoxedKeypoints
    true: LiftedBodies
    """In the axes of the boxes' cameras."""


def drawn_cameras(
    count: int, views: KeypointViews, generator: torch.Generator
) -> tuple[Float[Tensor, "B 3 3"], Float[Tensor, "B 3"]]:
    """Draw cameras that look at a person from anywhere: R_cam_from_world, and where the person is for each."""
    degree = pi / 180
    is_unusual = torch.rand(count, generator=generator) < views.unusual
    elevation = torch.randn(count, generator=generator) * views.elevation_spread_degrees + views.elevation_degrees
    elevation = torch.where(is_unusual, uniform((count,), -60, 85, generator), elevation).clamp(-85, 85) * degree
    azimuth = uniform((count,), 0, 2 * pi, generator)
    flat = elevation.cos()
    R = level_rotation(torch.stack([flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()], dim=1))
    roll = torch.randn(count, generator=generator) * views.roll_spread_degrees * degree
    roll = torch.where(is_unusual, 4 * roll, roll)
    c, s, zero, one = roll.cos(), roll.sin(), torch.zeros(count), torch.ones(count)
    rows = [torch.stack(row, dim=1) for row in ((c, -s, zero), (s, c, zero), (zero, zero, one))]
    distance_m = uniform((count, 1), log(views.nearest_m), log(views.farthest_m), generator).exp()
    beside = 0.35 * (2 * torch.rand(count, 2, generator=generator) - 1)
    return torch.stack(rows, dim=1) @ R, torch.cat([beside * distance_m, distance_m], dim=1)


def rows_of(parts: tuple[str, ...], side: str = "") -> list[int]:
    """List keypoints by part, of one side or of both."""
    return [row for row, name in enumerate(KEYPOINTS_25) if side_of(name)[1] in parts and side in name]


def by_part(pairs: dict[str, float]) -> Float[Tensor, "K"]:
    """Lay numbers by part out over all keypoints; 0 for the others."""
    return torch.tensor([pairs.get(side_of(name)[1], 0.0) for name in KEYPOINTS_25])


def swapped_sides(
    points: Float[Tensor, "B K 2"], noise: KeypointNoise, generator: torch.Generator
) -> Float[Tensor, "B K 2"]:
    """Let some left and right points change places: everywhere, of the legs, of the arms."""
    other, found = mirrored(KEYPOINTS_25), points
    everything = list(range(len(KEYPOINTS_25)))
    groups = (
        (noise.swapped_all, everything),
        (noise.swapped_legs, rows_of(("hip", *LEG))),
        (noise.swapped_arms, rows_of(ARM)),
    )
    for share, rows in groups:
        is_hit = torch.rand(len(points), 1, 1, generator=generator) < share
        chosen = torch.zeros(len(KEYPOINTS_25), dtype=torch.bool)
        chosen[rows] = True
        found = torch.where(is_hit & chosen[None, :, None], found[:, other], found)
    return found


def hidden_points(count: int, noise: KeypointNoise, generator: torch.Generator) -> Bool[Tensor, "B K"]:
    """Choose hidden points: those of a limb are mostly hidden together, the far end more often."""
    share = by_part({part: often for part, often, _ in noise.hidden})
    draw = torch.rand(count, len(KEYPOINTS_25), generator=generator)
    for side, parts in OF_LIMB.values():
        rows = rows_of(parts, side)
        together = torch.rand(count, 1, generator=generator)
        is_alike = torch.rand(count, len(rows), generator=generator) < 0.8
        draw[:, rows] = torch.where(is_alike, together, draw[:, rows])
    return draw < share


def cut_points(
    points: Float[Tensor, "B K 2"], half: Float[Tensor, "B"], noise: KeypointNoise, generator: torch.Generator
) -> tuple[Float[Tensor, "B K 2"], Bool[Tensor, "B K"], Bool[Tensor, "B K"]]:
    """Let an edge of the picture cut through some people.

    Returns:
        the points, some beyond the edge moved to it as if they were invented; what is missing; what is invented.
    """
    count = len(points)
    is_cut = torch.rand(count, generator=generator) < noise.cut_off
    side = torch.randint(8, (count,), generator=generator)  # mostly below
    axis, sign = (side != 1) & (side != 2), torch.where((side == 0) | (side == 1), -1.0, 1.0)
    along = torch.where(axis[:, None], points[..., 1], points[..., 0]) * sign[:, None]
    low, high = along.amin(dim=1), along.amax(dim=1)
    edge = low + (high - low) * uniform((count,), 0.3, 1.0, generator)
    is_beyond = (along > edge[:, None]) & is_cut[:, None]
    is_few = (~is_beyond).sum(dim=1) < LEAST_POINTS
    is_beyond &= ~is_few[:, None]
    is_invented = is_beyond & (torch.rand(count, 1, generator=generator) < noise.invented)
    near = edge[:, None] - uniform(along.shape, -0.05, 0.3, generator) * half[:, None]
    moved = points + torch.randn(points.shape, generator=generator) * 0.1 * half[:, None, None]
    shift = (near - along) * sign[:, None]
    shift = torch.stack([torch.where(axis[:, None], 0.0, shift), torch.where(axis[:, None], shift, 0.0)], dim=-1)
    return torch.where(is_invented[..., None], moved + shift, points), is_beyond & ~is_invented, is_invented


def found_by_detector(rays: Float[Tensor, "B K 2"], noise: KeypointNoise, generator: torch.Generator) -> BoxedKeypoints:
    """Let a detector find keypoints whose true places are known."""
    count, points = rays.shape[:2]
    extent = rays.amax(dim=1) - rays.amin(dim=1)
    half = extent.amax(dim=1) / 2
    is_hidden = hidden_points(count, noise, generator)
    error = torch.where(is_hidden, by_part({part: size for part, _, size in noise.hidden}), by_part(dict(noise.seen)))
    of_person = torch.randn(count, 1, generator=generator) * noise.tail * OF_PERSON
    size = error * (of_person + torch.randn(count, points, generator=generator) * noise.tail * OF_POINT).exp()
    angle = uniform((count, points), 0, 2 * pi, generator)
    off = torch.stack([angle.cos(), angle.sin()], dim=-1) * size[..., None].clamp_max(1.0)
    moved = swapped_sides(rays + off * half[:, None, None], noise, generator)
    moved, is_missing, is_invented = cut_points(moved, half, noise, generator)
    low = uniform((count, points), 0.02, HIDDEN_BELOW, generator)
    high = 1 - (1 - HIDDEN_BELOW) * torch.rand(count, points, generator=generator).square()
    confidence = torch.where(is_hidden | is_invented, low, high)
    confidence = confidence * ~is_missing * ~single_missing(count, noise, generator)
    few = (confidence > 0).sum(dim=1, keepdim=True) < LEAST_POINTS
    return boxed(moved, torch.where(few, high, confidence))


def single_missing(count: int, noise: KeypointNoise, generator: torch.Generator) -> Bool[Tensor, "B K"]:
    """Choose points that a detector does not tell: some at random, or all fingers, and feet."""
    points = len(KEYPOINTS_25)
    is_hit = torch.rand(count, 1, generator=generator) < noise.missing
    missing = is_hit & (torch.rand(count, points, generator=generator) < 0.25)
    draw = torch.rand(count, generator=generator)
    for rows, share in (
        (rows_of(("index", "pinky")), noise.without_hands),
        (rows_of(("heel", "toe")), noise.without_hands / 2),
    ):
        missing[:, rows] |= (draw < share)[:, None]
    return missing


@torch.no_grad()
def draw(drawing: KeypointDrawing, count: int, generator: torch.Generator) -> DrawnKeypoints:
    """Draw a batch."""
    opposite = opposite_joints(drawing.body.rest_m)
    groups = paired_limbs(SMPL_24_PARENTS, opposite)
    rotations = varied_poses(drawing.bank, count, groups, opposite, drawing.poses, generator)
    shapes = drawing.betas[torch.randint(len(drawing.betas), (count,), generator=generator)]
    betas = torch.where(shapes.isnan(), torch.randn(shapes.shape, generator=generator), shapes)
    R_cam_from_world, place_m = drawn_cameras(count, drawing.views, generator)
    totals = R_cam_from_world[:, None] @ along_the_tree(rotations)
    points_m = drawing.body(totals, betas)[1]
    place_m[:, 2] = torch.maximum(place_m[:, 2], 0.5 - points_m[..., 2].amin(dim=1))
    seen = found_by_detector(seen_at(points_m, place_m), drawing.noise, generator)
    R = seen.R_box_from_cam
    return DrawnKeypoints(seen, LiftedBodies(R[:, None] @ totals, betas, (R @ place_m[..., None])[..., 0]))


class DrawnKeypointBatches(Dataset[DrawnKeypoints]):
    """One item is a whole batch, drawn from (seed, epoch, index) alone; bodies are cheaper together than one by one."""

    def __init__(self, drawing: KeypointDrawing, batch: int, seed: int) -> None:
        self.drawing, self.batch, self.seed = drawing, batch, seed

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, place: tuple[int, int]) -> DrawnKeypoints:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, *place, 78))
        return draw(self.drawing, self.batch, generator)


def quiet(noise: KeypointNoise) -> KeypointNoise:
    """Give the noise of a perfect detector."""
    none = {part.name: 0.0 for part in fields(noise) if isinstance(getattr(noise, part.name), float)}
    return KeypointNoise(**(none | {"seen": (), "hidden": ()}))  # type: ignore[arg-type]


@torch.no_grad()
def held_out_error_mm(network: BodyFromKeypoints, drawn: DrawnKeypoints) -> float:
    """Measure the mean distance of joints and keypoints on drawn bodies that the training never saw."""
    network.eval()
    found = network(drawn.boxed)[-1]
    network.train()
    return MM_PER_M * keypoints_terms(found, drawn.true, drawn.boxed, network.body)["points"].item()


def taken(drawn: DrawnKeypoints, rows: Int[Tensor, "n"] | slice) -> DrawnKeypoints:
    """Take some bodies of a batch."""
    return DrawnKeypoints(BoxedKeypoints(*(value[rows] for value in drawn.boxed)),
                          LiftedBodies(*(value[rows] for value in drawn.true)))  # fmt: skip
