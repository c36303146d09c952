"""The teacher: masks of two or more calibrated views of an instant -> rotations in world axes, shape and root.

Every view is read by the same network.  What it finds is given in the axes of its level crop camera; it is turned into
the axes of one reference view by the known azimuth, and averaged over the views.  The body is read in these axes and
turned into the world; then what the views tell is turned to where the body faces, and read again.  So neither the
number, nor the order, nor the arrangement of the cameras is built in, and turning world and cameras together turns the
body.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from config import MasksConfig, MasksNetwork
from models.body_surface import (
    part_of_body,
    pelvis_m,
    spread_vertices,
    vertex_normals,
)
from models.kinematics import along_the_tree, relative_to_parent, rotations_of_columns
from models.silhouette import Topology, silhouette
from models.smpl import Body, load_body
from utils.artifacts import file_hash, load_checkpoint, load_weights, rebuilds_from_checkpoint, stored_reads
from utils.settings import config_from_dict
from utils.tiers import Reads, of_teacher
from utils.views import MeshViews, about_up, azimuth_rad, placed_in_views
from utils.whole_batch import Draws, rand

START_SCALE = 0.1
"""The last layer starts with so much of its usual weights, so that a training begins near the resting body."""
USUAL_CLOTH_M = 0.012
"""Cloth that bodies are drawn with where nobody knows better."""
FARTHEST_PELVIS_M = 0.8
"""A body that is read farther off the crop's target is drawn here: at the start of a training it could be anywhere,
even behind a camera."""
DRAWN_SAMPLES = 1
"""Scan lines per pixel when a body is drawn to be looked at again."""
CHARACTER_OF_VIEW = 4
"""Numbers that tell a view's elevation and distance: sine, cosine, one over metres, one."""
SURFACE_POINTS = 128
"""Vertices that the loss looks at beside the joints: they tell twist and shape, which joints do not."""


class EstimatedBodies(NamedTuple):
    """What the teacher says about the bodies of some instants."""

    rotations_world: Float[Tensor, "B J 3 3"]
    """The root first, in world axes; then each joint relative to its parent."""
    betas: Float[Tensor, "B n"]
    pelvis_world_m: Float[Tensor, "B 3"]
    """Where the pelvis is, seen from the crops' target."""


def standing_up() -> Float[Tensor, "3 3"]:
    """Turn a body at rest (y up, facing z) into a world with z up."""
    return torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


class ReadInAxes(NamedTuple):
    """A body in the axes of a reading."""

    totals: Float[Tensor, "B J 3 2"]
    """Two columns of each joint's rotation, not relative to its parent."""
    betas: Float[Tensor, "B n"]
    pelvis_m: Float[Tensor, "B 3"]


def full_precision(like: Tensor) -> torch.autocast:
    """Leave mixed precision for geometry."""
    return torch.autocast(like.device.type, enabled=False)


class ViewReader(nn.Module):
    """Reads each view by itself: a picture of one or two channels, and how the camera looks down at it."""

    def __init__(self, channels: int, config: MasksNetwork) -> None:
        super().__init__()
        width = config.width

        def layer(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

        self.look = nn.Sequential(
            nn.PixelUnshuffle(4), layer(16 * channels, width, 1), layer(width, 2 * width, 2),
            layer(2 * width, 2 * width, 1), layer(2 * width, 3 * width, 2), nn.Flatten(),
        )  # fmt: skip
        seen = 3 * width * (config.size_px // 16) ** 2
        self.tell = nn.Sequential(nn.Linear(seen + CHARACTER_OF_VIEW, 256), nn.ReLU(), nn.Linear(256, config.features))

    def forward(self, pictures: Float[Tensor, "B V C S S"], views: MeshViews) -> Float[Tensor, "B V F"]:
        """Give the numbers that every view tells; zeros for views that do not exist."""
        seen = self.look(pictures[views.exists] - 0.5)
        forward = views.R_crop_from_world[views.exists][:, 2]
        offset_m = (views.target_world_m - views.centre_world_m)[views.exists]
        up, flat = forward[:, 2:], forward[:, :2].norm(dim=1, keepdim=True)
        near = 1 / offset_m.norm(dim=1, keepdim=True)
        told = self.tell(torch.cat([seen, up, flat, near, torch.ones_like(near)], dim=1)).float()
        out = told.new_zeros(*views.exists.shape, told.shape[1])
        out[views.exists] = told
        return out


class ViewsFuser(nn.Module):
    """Turns what the views tell into the axes of one of them, averages it, and reads the body's numbers."""

    def __init__(self, known: int, outputs: int, config: MasksNetwork) -> None:
        super().__init__()
        fused, hidden = config.features * (1 + 2 * config.harmonics) + known, config.hidden
        self.harmonics = config.harmonics
        self.layers = nn.Sequential(
            nn.Linear(fused, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
        )  # fmt: skip
        self.last = nn.Linear(hidden, outputs)
        with torch.no_grad():
            self.last.weight.mul_(START_SCALE)
            self.last.bias.zero_()

    def forward(
        self, told: Float[Tensor, "B V F"], turns_rad: Float[Tensor, "B V"], exists: Bool[Tensor, "B V"],
        known: Float[Tensor, "B K"],
    ) -> Float[Tensor, "B O"]:  # fmt: skip
        """Read the numbers.

        Args:
            turns_rad: how much each view's azimuth is beyond that of the axes in which the body is read.
        """
        angles = turns_rad[..., None] * torch.arange(1, self.harmonics + 1, device=told.device)
        waves = torch.cat([torch.ones_like(turns_rad)[..., None], angles.cos(), angles.sin()], dim=-1)
        waves = waves * (exists / exists.sum(dim=1, keepdim=True))[..., None]
        fused = (told[..., None] * waves[:, :, None]).sum(dim=1).flatten(1)
        return self.last(self.layers(torch.cat([fused, known], dim=1))).float()


def heading_rad(rotations_world: Float[Tensor, "B J 3 3"]) -> Float[Tensor, "B"]:
    """Give the azimuth of each body's left, as `azimuth_rad` gives that of a camera's right."""
    left = rotations_world[:, 0, :, 0]
    return torch.atan2(left[:, 1], left[:, 0])


class BodyFromMasks(nn.Module):
    """Reads the body of an instant from its masks: first in the axes of a view, then in the body's own.

    Once the heading is known, what the views tell is turned to it and read again, as often as `own_axes` says: left is
    left then, whatever the cameras.  `refinements` looks at masks and body together, in the same axes.

    Args:
        provenance: plain settings and the hash of the body that travel with the weights.
    """

    def __init__(
        self, parents: tuple[int, ...], num_betas: int, config: MasksNetwork, provenance: dict[str, Any]
    ) -> None:  # fmt: skip
        super().__init__()
        self.parents, self.num_betas, self.config, self.provenance = parents, num_betas, config, provenance
        numbers = 6 * len(parents) + num_betas + 3
        self.view, self.fuse = ViewReader(1, config), ViewsFuser(0, numbers, config)
        self.fuse_own = nn.ModuleList(ViewsFuser(numbers, numbers, config) for _ in range(config.own_axes))
        self.view_again = ViewReader(2, config) if config.refinements else None
        self.fuse_again = ViewsFuser(numbers, numbers, config) if config.refinements else None

    def get_extra_state(self) -> dict[str, Any]:
        """Give settings and the body's hash to the state_dict; plain types only."""
        return self.provenance

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take settings and the body's hash from a state_dict."""
        self.provenance = state

    def forward(
        self, views: MeshViews, reference: Int[Tensor, "B"], before: EstimatedBodies | None = None,
        drawn: Float[Tensor, "B V S S"] | None = None,
    ) -> list[EstimatedBodies]:  # fmt: skip
        """Read the bodies of some instants; each reading changes the one before it, and passes it no gradient.

        Args:
            reference: the view of each instant in whose axes the first reading is made.
            before, drawn: bodies to look at again, and their silhouettes; None reads them for the first time.

        Returns:
            all readings, the best one last.
        """
        if before is not None and drawn is not None:
            return [self.look_again(views, before, drawn)]
        told = self.view(views.mask[:, :, None], views)
        own_rad = azimuth_rad(views.R_crop_from_world).gather(1, reference[:, None])[:, 0]
        return self.read_in_own_axes(told, views, self._read(self.fuse, told, views, own_rad))

    def look_again(
        self, views: MeshViews, before: EstimatedBodies, drawn: Float[Tensor, "B V S S"]
    ) -> EstimatedBodies:  # fmt: skip
        """Compare masks with the body that was read, drawn, and change it."""
        assert self.view_again is not None and self.fuse_again is not None
        told = self.view_again(torch.stack([views.mask, drawn], dim=2), views)
        return self._read(self.fuse_again, told, views, heading_rad(before.rotations_world), before)

    def read_in_own_axes(
        self, told: Float[Tensor, "B V F"], views: MeshViews, first: EstimatedBodies
    ) -> list[EstimatedBodies]:  # fmt: skip
        """Read what the views tell again, turned to where the body was found to face; all readings, the first too."""
        readings = [first]
        for fuse in self.fuse_own:
            before = EstimatedBodies(*(value.detach() for value in readings[-1]))
            readings.append(self._read(fuse, told, views, heading_rad(before.rotations_world), before))
        return readings

    def _read(
        self, fuse: nn.Module, told: Float[Tensor, "B V F"], views: MeshViews, own_rad: Float[Tensor, "B"],
        before: EstimatedBodies | None = None,
    ) -> EstimatedBodies:  # fmt: skip
        """Fuse what the views tell in some axes, and read the bodies, or what is to be changed of those read before."""
        azimuth = azimuth_rad(views.R_crop_from_world)
        with full_precision(azimuth):
            start = self._start(own_rad, before)
        known = azimuth.new_zeros(len(own_rad), 0)
        if before is not None:
            known = torch.cat([start.totals.flatten(1), start.betas, start.pelvis_m], dim=1)
        numbers = fuse(told, azimuth - own_rad[:, None], views.exists, known)
        with full_precision(azimuth):
            return self._changed(start, numbers, about_up(own_rad))

    def _start(self, own_rad: Float[Tensor, "B"], before: EstimatedBodies | None) -> "ReadInAxes":
        """Give what is to be changed, in the axes of the reading: a resting body, or the one read before."""
        count, joints = len(own_rad), len(self.parents)
        if before is None:
            totals = standing_up().to(own_rad)[:, :2].expand(count, joints, 3, 2)
            return ReadInAxes(totals, own_rad.new_zeros(count, self.num_betas), own_rad.new_zeros(count, 3))
        from_world = about_up(own_rad).mT
        totals = from_world[:, None] @ along_the_tree(before.rotations_world, self.parents)[..., :2]
        return ReadInAxes(totals, before.betas, (from_world @ before.pelvis_world_m[..., None])[..., 0])

    def _changed(
        self, start: "ReadInAxes", numbers: Float[Tensor, "B N"], to_world: Float[Tensor, "B 3 3"]
    ) -> EstimatedBodies:
        """Change a body by the numbers that were read, and turn it into the world."""
        joints = len(self.parents)
        columns = start.totals + numbers[:, : 6 * joints].unflatten(1, (joints, 3, 2))
        total = rotations_of_columns(columns)
        rotations = relative_to_parent(to_world[:, None] @ total, self.parents)
        pelvis_world_m = (to_world @ (start.pelvis_m + numbers[:, -3:])[..., None])[..., 0]
        return EstimatedBodies(rotations, start.betas + numbers[:, 6 * joints : -3], pelvis_world_m)

    @torch.no_grad()
    def estimate(self, views: MeshViews, drawer: "BodyDrawer") -> tuple[EstimatedBodies, Float[Tensor, "B"]]:
        """Read the bodies in the axes of every view in turn, average, and read on from there.

        Returns:
            the bodies, and how far the first readings are apart: the mean angle in radians between the joints'
            rotations and their mean.
        """
        told = self.view(views.mask[:, :, None], views)
        azimuths = azimuth_rad(views.R_crop_from_world).unbind(1)
        parts = [self._read(self.fuse, told, views, own_rad) for own_rad in azimuths]
        weight = (views.exists / views.exists.sum(dim=1, keepdim=True)).T
        totals = torch.stack([along_the_tree(part.rotations_world, self.parents) for part in parts])
        mean = roma.special_procrustes((totals * weight[..., None, None, None]).sum(dim=0))
        apart_rad = roma.rotmat_geodesic_distance(totals, mean.expand_as(totals), clamping=1 - 1e-7).mean(dim=2)
        betas = torch.einsum("vbn,vb->bn", torch.stack([part.betas for part in parts]), weight)
        pelvis = torch.einsum("vbk,vb->bk", torch.stack([part.pelvis_world_m for part in parts]), weight)
        found = EstimatedBodies(relative_to_parent(mean, self.parents), betas, pelvis)
        found = self.read_in_own_axes(told, views, found)[-1]
        for _ in range(self.config.refinements):
            found = self.look_again(views, found, drawer(found, views))
        return found, (apart_rad * weight).sum(dim=0)


class BodyDrawer:
    """Draws bodies, dressed as people usually are, into the views that they were read from."""

    def __init__(self, body: Body, cloth_m: float = USUAL_CLOTH_M) -> None:
        self.body, self.cloth_m, self.topology = body, cloth_m, Topology(body.faces)

    @torch.no_grad()
    def __call__(self, bodies: EstimatedBodies, views: MeshViews) -> Float[Tensor, "B V S S"]:
        """Give the coverage in all views; nothing in those that do not exist."""
        rotations, betas, pelvis_world_m = bodies
        vertices_m, joints_m = self.body(rotations, betas, torch.zeros_like(pelvis_world_m))
        dressed_m = vertices_m + self.cloth_m * vertex_normals(vertices_m, self.body.faces)
        near_m = pelvis_world_m.clamp(-FARTHEST_PELVIS_M, FARTHEST_PELVIS_M)
        placed_m = dressed_m - pelvis_m(self.body, vertices_m, joints_m) + near_m[:, None]
        return covered(placed_m, views, self.topology, DRAWN_SAMPLES)


def covered(
    vertices_world_m: Float[Tensor, "B N 3"], views: MeshViews, topology: Topology, samples: int
) -> Float[Tensor, "B V S S"]:
    """Draw bodies, given about the crops' targets, in those of their views that exist; the others stay empty."""
    size = views.mask.shape[-1]
    vertices_px = placed_in_views(vertices_world_m, views, "pelvis")
    coverage = vertices_px.new_zeros(*views.exists.shape, size, size)
    coverage[views.exists] = silhouette(vertices_px[views.exists], topology, size, size, samples)
    return coverage


class PointsOfBody(nn.Module):
    """The joints of a body and some points of its surface, about its pelvis."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.part = part_of_body(body, spread_vertices(body, SURFACE_POINTS))

    def forward(self, rotations: Float[Tensor, "B J 3 3"], betas: Float[Tensor, "B n"]) -> Float[Tensor, "B P 3"]:
        """Place the points."""
        vertices_m, joints_m = self.part(rotations, betas, betas.new_zeros(len(betas), 3))
        return torch.cat([joints_m, vertices_m], dim=1) - pelvis_m(self.part, vertices_m, joints_m)


def masks_terms(
    found: EstimatedBodies, true: EstimatedBodies, points: PointsOfBody, parents: tuple[int, ...]
) -> dict[str, Float[Tensor, ""]]:
    """Compare bodies, term by term."""
    apart = points(found.rotations_world, found.betas) - points(true.rotations_world, true.betas)
    totals = [along_the_tree(one.rotations_world, parents) for one in (found, true)]
    return {
        "points": apart.norm(dim=-1).mean(),
        "rotations": (totals[0] - totals[1]).square().sum(dim=(2, 3)).mean(),
        "betas": (found.betas - true.betas).square().mean(),
        "pelvis": (found.pelvis_world_m - true.pelvis_world_m).norm(dim=-1).mean(),
    }


def some_view(exists: Bool[Tensor, "B V"], generator: Draws) -> Int[Tensor, "B"]:
    """Choose one of the views of every instant that exist."""
    return rand(exists.shape, generator).masked_fill(~exists, -1).argmax(dim=1)


class Teacher(NamedTuple):
    """A trained teacher and the crops that it reads."""

    network: BodyFromMasks
    centre: Literal["pelvis", "masks"]
    size_px: int
    side_m: float


@rebuilds_from_checkpoint("masks")
def load_teacher(path: Path, body_location: Path) -> Teacher:
    """Read a teacher for evaluation.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another kind, or trained on another body.
    """
    states = load_checkpoint(path, "masks")["states"]["model"]
    provenance = states["_extra_state"]
    if provenance["body_hash"] != file_hash(body_location):
        raise ValueError(f"{path} was trained on another body than {body_location}; train one for it with: python "
                         f"sample/train_SMPL_from_masks.py --paths.models-smpl-location {body_location}")  # fmt: skip
    body = load_body(body_location)
    num_betas = states["fuse.last.weight"].shape[0] - 6 * len(body.parents) - 3
    network = BodyFromMasks(body.parents, num_betas, config_from_dict(MasksNetwork, provenance["network"]), provenance)
    load_weights(network, states, path)
    network.eval().requires_grad_(False)
    return Teacher(network, provenance["centre"], network.config.size_px, provenance["side_m"])


@rebuilds_from_checkpoint("masks")
def teacher_reads(path: Path) -> Reads:
    """Say what a teacher was made from."""
    checkpoint = load_checkpoint(path, "masks")
    return stored_reads(checkpoint) or of_teacher(config_from_dict(MasksConfig, checkpoint["config"]))
