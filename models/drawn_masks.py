"""Silhouettes of the body model in poses of a bank, as cameras around it would see them: what the teacher learns from.

Nobody's image, mask or label is read.  A body of any shape takes a pose of the bank, mirrored, with limbs of other
poses, turned to any heading; cloth lies on it; cameras of a data set or of any arrangement look at it; and the masks
are damaged as masks of real people are.  A batch is a pure function of its random generator.
"""

from dataclasses import replace
from math import pi
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.data import Dataset

from config import Damage, PoseVariation
from models.body_surface import opposite_joints, paired_limbs, pelvis_m, vertex_normals
from models.kinematics import mirrored_pose
from models.silhouette import Topology
from models.smpl import Body
from models.SMPL_from_masks import BodyDrawer, BodyFromMasks, PointsOfBody, covered
from utils.engine import mixed_seed
from utils.metrics import MM_PER_M
from utils.views import MeshViews, about_up, level_rotation, mask_middles_px

FEW_PX = 24
"""Side of the first masks, which only tell where the middle of the person seems to be."""
MOST_VIEWS = 8
FARTHEST_MIDDLE_M = 0.5
"""Two cameras on one line with the person tell no distance; a middle farther from the pelvis is moved to here."""
HELD_OUT_SEED = 9_000_001
ENDLESS = 100_000
"""Batches until the order of the random numbers begins anew; more than any training takes."""


class Rigs(NamedTuple):
    """Arrangements of cameras around what they look at."""

    offsets_world_m: Float[Tensor, "N V 3"]
    """From the target to each camera."""
    exists: Bool[Tensor, "N V"]


class DrawnBodies(NamedTuple):
    """A batch of bodies and the masks that cameras have of them."""

    views: MeshViews
    """Level crops about the target, which is the world's provenance."""
    rotations_world: Float[Tensor, "B J 3 3"]
    betas: Float[Tensor, "B n"]
    pelvis_world_m: Float[Tensor, "B 3"]
    """Of the body, about the target."""


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw numbers between two bounds."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def any_rigs(count: int, generator: torch.Generator) -> Rigs:
    """Invent arrangements of 2 to 8 cameras: around the person, evenly or not, higher or lower, near or far."""
    number = torch.randint(2, MOST_VIEWS + 1, (count, 1), generator=generator)
    place = torch.arange(MOST_VIEWS)[None]
    even = place * (2 * pi / number) + uniform((count, MOST_VIEWS), -0.35, 0.35, generator)
    is_even = torch.rand(count, 1, generator=generator) < 0.5
    azimuth = torch.where(is_even, even, uniform((count, MOST_VIEWS), 0, 2 * pi, generator))
    azimuth = azimuth + uniform((count, 1), 0, 2 * pi, generator)
    elevation = uniform((count, 1), -0.05, 0.5, generator)
    elevation = (elevation + 0.15 * torch.randn(count, MOST_VIEWS, generator=generator)).clamp(-0.35, 1.3)
    distance_m = uniform((count, 1), 2.5, 7.0, generator) * uniform((count, MOST_VIEWS), 0.8, 1.25, generator)
    flat = elevation.cos()
    direction = torch.stack([flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()], dim=-1)
    return Rigs(direction * distance_m[..., None], place.expand(count, -1) < number)


def level_crops(rigs: Rigs, size_px: int, side_m: float, target_world_m: Float[Tensor, "B 3"]) -> MeshViews:
    """Set up empty level crops of some rigs, looking at the targets."""
    centre_world_m = rigs.offsets_world_m
    offset_m = centre_world_m - target_world_m[:, None]
    empty = offset_m.new_zeros(()).expand(*rigs.exists.shape, size_px, size_px)
    return MeshViews(
        mask=empty,
        distance_to_mask_m=empty,
        exists=rigs.exists,
        R_crop_from_world=level_rotation(offset_m),
        centre_world_m=centre_world_m,
        focal_px=offset_m.norm(dim=-1) * (size_px / side_m),
        target_world_m=target_world_m[:, None].expand_as(offset_m),
    )


def middle_world_m(views: MeshViews) -> Float[Tensor, "B 3"]:
    """Find the point nearest to the rays through the centroids of all masks of an instant.

    Source: least squares over the distances to the rays, as dataset_def.mask_centres; test_drawn_masks.py.
    """
    x, y = mask_middles_px(views.mask)
    ray = torch.stack([x / views.focal_px, y / views.focal_px, torch.ones_like(x)], dim=-1)
    ray = nn.functional.normalize(torch.einsum("bvij,bvi->bvj", views.R_crop_from_world, ray), dim=-1)
    across = (torch.eye(3) - ray[..., :, None] * ray[..., None, :]) * views.exists[..., None, None]
    right = (across @ views.centre_world_m[..., None]).sum(dim=1)
    return torch.linalg.solve(across.sum(dim=1), right)[..., 0]


def varied_poses(
    bank: Float[Tensor, "N J 3 3"], count: int, groups: list[list[list[int]]], opposite: Int[Tensor, "J"],
    variation: PoseVariation, generator: torch.Generator,
) -> Float[Tensor, "B J 3 3"]:  # fmt: skip
    """Take poses of the bank, mirror half, give some of them limbs of others, turn all joints a little, and the root.

    Args:
        bank: the root in a world whose z is up.
    """
    taken = bank[torch.randint(len(bank), (count,), generator=generator)]
    is_mirrored = torch.rand(count, generator=generator) < 0.5
    rotations = torch.where(is_mirrored[:, None, None, None], mirrored_pose(taken, opposite), taken)
    for group in groups:
        other = bank[torch.randint(len(bank), (count,), generator=generator)]
        draw = torch.rand(count, generator=generator)
        which = torch.randint(len(group), (count,), generator=generator)
        for place, chain in enumerate(group):
            is_one = (draw < 1.5 * variation.limbs) & (which == place)
            is_changed = ((draw < variation.limbs) | is_one)[:, None, None, None]
            rotations[:, chain] = torch.where(is_changed, other[:, chain], rotations[:, chain])
    joints = rotations.shape[1]
    degree = pi / 180
    noise = torch.randn(count, joints, 3, generator=generator) * (variation.noise_degrees * degree)
    rotations = rotations @ roma.rotvec_to_rotmat(noise)
    tilt = roma.rotvec_to_rotmat(torch.randn(count, 3, generator=generator) * (variation.tilt_degrees * degree))
    heading = about_up(uniform((count,), 0, 2 * pi, generator))
    return torch.cat([(heading @ tilt @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1)


def dressed(
    vertices_m: Float[Tensor, "B N 3"], body: Body, variation: PoseVariation, generator: torch.Generator
) -> Float[Tensor, "B N 3"]:
    """Lay cloth on bodies: move the surface outward, everywhere and part by part."""
    count, part = len(vertices_m), variation.cloth_of_part_m
    everywhere = uniform((count, 1), 0, variation.cloth_m, generator)
    by_part = uniform((count, body.weights.shape[1]), -part / 3, part, generator)
    thick_m = ((everywhere + by_part) @ body.weights.T).clamp_min(0)
    return vertices_m + vertex_normals(vertices_m, body.faces) * thick_m[..., None]


def moved_masks(masks: Float[Tensor, "n S S"], by: Float[Tensor, "n 2"]) -> Float[Tensor, "n S S"]:
    """Move each mask by its own share of the crop's half side."""
    to = torch.eye(2, 3).repeat(len(masks), 1, 1)
    to[:, :, 2] = by
    grid = nn.functional.affine_grid(to, [len(masks), 1, *masks.shape[1:]], align_corners=False)
    return nn.functional.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def with_edges(masks: Float[Tensor, "n S S"], pixels: Float[Tensor, "n"]) -> Float[Tensor, "n S S"]:
    """Dilate masks by a number of pixels, or erode them where it is negative; whole steps and a share of the next."""
    found = masks
    for step in range(int(pixels.abs().max().ceil())):
        share = (pixels.abs() - step).clamp(0, 1)[:, None, None]
        wider = nn.functional.max_pool2d(found[:, None], 3, 1, 1)[:, 0]
        thinner = -nn.functional.max_pool2d(-found[:, None], 3, 1, 1)[:, 0]
        found = found + share * (torch.where(pixels[:, None, None] > 0, wider, thinner) - found)
    return found


def with_spots(masks: Float[Tensor, "n S S"], largest_px: float, generator: torch.Generator) -> Float[Tensor, "n S S"]:
    """Cut up to three round holes into each mask or add blobs to it, centred near the person."""
    count, size = len(masks), masks.shape[-1]
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    chosen = torch.multinomial(masks.flatten(1) + 1e-6, 3, replacement=True, generator=generator)
    found = masks
    for spot in range(3):
        is_there = torch.rand(count, 1, 1, generator=generator) < 0.4
        radius = uniform((count, 1, 1), 0.2, 1, generator) * largest_px
        apart = torch.randn(2, count, 1, 1, generator=generator) * largest_px / 2
        px, py = chosen[:, spot] % size, chosen[:, spot].div(size, rounding_mode="floor")
        near = (x - px[:, None, None] - apart[0]) ** 2 + (y - py[:, None, None] - apart[1]) ** 2 < radius**2
        value = (torch.rand(count, 1, 1, generator=generator) < 0.35).float()
        found = torch.where(near & is_there, value, found)
    return found


def coarsened(masks: Float[Tensor, "n S S"], generator: torch.Generator) -> Float[Tensor, "n S S"]:
    """Give all masks one lower resolution, a quarter of theirs at least, with hard edges at its pixels."""
    size = masks.shape[-1]
    small = int(torch.randint(size // 4, size + 1, (), generator=generator))
    shrunk = nn.functional.interpolate(masks[:, None], size=(small, small), mode="area")
    return nn.functional.interpolate((shrunk > 0.5).float(), size=(size, size), mode="bilinear")[:, 0]


def damaged(
    masks: Float[Tensor, "B V S S"], exists: Bool[Tensor, "B V"], px_per_m: float, damage: Damage,
    generator: torch.Generator,
) -> Float[Tensor, "B V S S"]:  # fmt: skip
    """Damage the masks of some bodies, each kind of damage in all views of a body."""
    count, size = len(masks), masks.shape[-1]
    body, flat = exists.nonzero()[:, 0], masks[exists]
    is_hit = torch.rand(count, generator=generator) < damage.share

    def rows(share: float) -> Int[Tensor, "n"]:
        """Choose bodies by a share of the damaged ones, and give the rows of their masks."""
        hit = (torch.rand(count, generator=generator) < share) & is_hit
        return hit[body].nonzero()[:, 0]

    if len(some := rows(damage.moved)):
        by = torch.randn(len(some), 2, generator=generator) * damage.moved_m * px_per_m * (2 / size)
        flat[some] = moved_masks(flat[some], by)
    sign = torch.where(
        torch.rand(count, generator=generator) * (damage.thicker + damage.thinner) < damage.thicker, 1, -1
    )
    pixels = sign * uniform((count,), 0, damage.edge_m * px_per_m, generator)
    if len(some := rows(damage.thicker + damage.thinner)):
        flat[some] = with_edges(flat[some], pixels[body[some]])
    if len(some := rows(damage.spots)):
        flat[some] = with_spots(flat[some], damage.spot_m * px_per_m, generator)
    if len(some := rows(damage.coarse)):
        flat[some] = coarsened(flat[some], generator)
    found = torch.zeros_like(masks)
    found[exists] = flat
    return found


def some_missing(exists: Bool[Tensor, "B V"], share: float, generator: torch.Generator) -> Bool[Tensor, "B V"]:
    """Take views away from some bodies; two at least stay."""
    count, views = exists.shape
    order = torch.rand(count, views, generator=generator).masked_fill(~exists, 2).argsort(dim=1).argsort(dim=1)
    there = exists.sum(dim=1)
    kept = 2 + (torch.rand(count, generator=generator) * (there - 1)).long()
    kept = torch.where(torch.rand(count, generator=generator) < share, kept, there)
    return exists & (order < kept[:, None])


class Drawing(NamedTuple):
    """Everything that batches are drawn from but the random numbers."""

    body: Body
    """With a coarse surface: it is drawn often and small."""
    bank: Float[Tensor, "N J 3 3"]
    betas: Float[Tensor, "N n"]
    """Of each pose; NaN where a shape is to be drawn."""
    rigs: Rigs | None
    """Of the data set; None invents them."""
    poses: PoseVariation
    damage: Damage
    size_px: int
    side_m: float
    centre: str
    """pelvis: the crop looks at the pelvis, up to `shift_m` beside it.  masks: at the middle of the masks."""
    shift_m: float


def drawn_rigs(drawing: Drawing, count: int, generator: torch.Generator) -> Rigs:
    """Choose or invent an arrangement of cameras for each body of a batch, some of them with views missing."""
    if drawing.rigs is None:
        rigs = any_rigs(count, generator)
    else:
        rows = torch.randint(len(drawing.rigs.exists), (count,), generator=generator)
        rigs = Rigs(drawing.rigs.offsets_world_m[rows], drawing.rigs.exists[rows])
    return rigs._replace(exists=some_missing(rigs.exists, drawing.damage.missing, generator))


@torch.no_grad()
def draw(drawing: Drawing, count: int, generator: torch.Generator) -> DrawnBodies:
    """Draw a batch."""
    body, topology = drawing.body, Topology(drawing.body.faces)
    opposite = opposite_joints(body.rest_template_joints_m)
    groups = paired_limbs(body.parents, opposite)
    rotations = varied_poses(drawing.bank, count, groups, opposite, drawing.poses, generator)
    shapes = drawing.betas[torch.randint(len(drawing.betas), (count,), generator=generator)]
    betas = torch.randn(shapes.shape, generator=generator)
    betas = torch.where(shapes.isnan(), betas, shapes)
    vertices_m, joints_m = body(rotations, betas, betas.new_zeros(count, 3))
    vertices_m = dressed(vertices_m - pelvis_m(body, vertices_m, joints_m), body, drawing.poses, generator)
    rigs = drawn_rigs(drawing, count, generator)
    direction = nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    target_m = direction * uniform((count, 1), 0, drawing.shift_m, generator)
    if drawing.centre == "masks":
        first = level_crops(rigs, FEW_PX, drawing.side_m, torch.zeros(count, 3))
        seen = damaged(
            covered(vertices_m, first, topology, 1), rigs.exists, FEW_PX / drawing.side_m, drawing.damage, generator
        )
        middle_m = middle_world_m(first._replace(mask=seen))
        target_m = target_m + middle_m * (FARTHEST_MIDDLE_M / middle_m.norm(dim=1, keepdim=True)).clamp_max(1)
    views = level_crops(rigs, drawing.size_px, drawing.side_m, target_m)
    masks = covered(vertices_m - target_m[:, None], views, topology, 2)
    masks = damaged(masks, rigs.exists, drawing.size_px / drawing.side_m, drawing.damage, generator)
    centred = views.centre_world_m - target_m[:, None]
    views = views._replace(mask=masks, distance_to_mask_m=masks.new_zeros(()).expand_as(masks), centre_world_m=centred,
                           target_world_m=torch.zeros_like(centred))  # fmt: skip
    return DrawnBodies(views, rotations, betas, -target_m)


class DrawnBatches(Dataset[DrawnBodies]):
    """One item is a whole batch, drawn from (seed, epoch, index) alone; bodies are cheaper together than one by one."""

    def __init__(self, drawing: Drawing, batch: int, seed: int) -> None:
        self.drawing, self.batch, self.seed = drawing, batch, seed

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, place: tuple[int, int]) -> DrawnBodies:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, *place, 77))
        return draw(self.drawing, self.batch, generator)


ONE_DAMAGE = {
    "none": {}, "moved": {"moved": 1.0}, "thinner": {"thinner": 1.0}, "thicker": {"thicker": 1.0},
    "holes and blobs": {"spots": 1.0}, "coarse": {"coarse": 1.0}, "views missing": {"missing": 1.0},
}  # fmt: skip
"""Kinds of damage, each alone and on every body."""


def damage_of(damage: Damage, kind: str) -> Damage:
    """Damage the masks of every body in one way, as far as the settings go."""
    none = {"share": 1.0, "moved": 0.0, "thinner": 0.0, "thicker": 0.0, "spots": 0.0, "coarse": 0.0, "missing": 0.0}
    return replace(damage, **(none | ONE_DAMAGE[kind]))


def errors_by_damage(
    network: BodyFromMasks, drawing: Drawing, points: PointsOfBody, count: int
) -> dict[str, float]:  # fmt: skip
    """Measure the trained teacher on drawn bodies of poses that it has not seen, under each kind of damage alone."""
    found = {}
    for kind in ONE_DAMAGE:
        damaged = drawing._replace(damage=damage_of(drawing.damage, kind))
        drawn = draw(damaged, count, torch.Generator().manual_seed(HELD_OUT_SEED + 1))
        found[kind] = held_out_error_mm(network, drawn, points, BodyDrawer(drawing.body))
    return found


@torch.no_grad()
def held_out_error_mm(network: BodyFromMasks, drawn: DrawnBodies, points: PointsOfBody, drawer: BodyDrawer) -> float:
    """Measure the mean distance of joints and surface points on drawn bodies that the training never saw."""
    network.eval()
    found, _ = network.estimate(drawn.views, drawer)
    network.train()
    apart = points(found.rotations_world, found.betas) - points(drawn.rotations_world, drawn.betas)
    return MM_PER_M * apart.norm(dim=-1).mean().item()


@torch.no_grad()
def picture(
    network: BodyFromMasks, drawn: DrawnBodies, drawer: BodyDrawer, count: int
) -> UInt8[np.ndarray, "H W 3"]:  # fmt: skip
    """Draw some bodies that the teacher reads over the masks that it sees."""
    from utils.figures.masks import masks_picture  # by matplotlib, which stage 4, who draws masks too, does without

    views = MeshViews(*(value[:count] for value in drawn.views))
    network.eval()
    found, _ = network.estimate(views, drawer)
    network.train()
    return masks_picture(views.mask.numpy(), drawer(found, views).numpy(), views.exists.numpy())
