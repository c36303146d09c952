"""Stage 2's head where the encoder is trained with it: heat maps of the joints, taught as maps from the first step.

A read-out that is only taught by the distance of joints never wakes heat maps that began flat (a trial); here each map
has a loss of its own, and maps of limbs, of their directions and of the person, which cost nothing, teach the rest.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, normalize

from config import JointMapsLoss
from models.heat_maps import STRIDE, FoundPoints, Maps, places_m, points_of
from utils.whole_batch import known_in_share

HEAT_SIGMA_M = 0.08
"""Spread of the Gaussian that a joint's heat map is taught: half a place of a 64 px crop's map, so that its softmax can
tell where in between a joint lies; twice as much blurs wrists with elbows."""
LIMB_SIGMA_M = 0.06
"""Half the thickness of a limb in its map."""


class TrueJoints(NamedTuple):
    """What the maps of a batch of crops are taught."""

    joints_root_m: Float[Tensor, "B J 3"]
    """About the first joint, the pelvis, in the axes of the crop camera."""
    seen_m: Float[Tensor, "B J 2"]
    """Where joints are seen: in the plane through the crop's centre, in metres about it."""
    mask: Float[Tensor, "B 1 H W"]
    confidence: Float[Tensor, "B"]
    """Weight of a row: 1 for labels, less for pseudo-labels."""


class JointMaps(NamedTuple):
    """What the head tells of an image."""

    joints_root_m: Float[Tensor, "B J 3"]
    points: FoundPoints
    """The joints as the heat maps find them, before they are refined."""
    heat: Float[Tensor, "B J h w"]
    """Logits."""
    depth_m: Float[Tensor, "B J h w"]
    """Depth of the joint behind the pelvis, where its heat is."""
    mask: Float[Tensor, "B h w"]
    """Logits of the person."""
    limbs: Float[Tensor, "B L h w"]
    """Logits of each limb."""
    directions: Float[Tensor, "B L 3 h w"]
    """Unit vector from the parent joint to the child, where the limb is."""


def limbs_of(parents: tuple[int, ...]) -> list[tuple[int, int]]:
    """Give (parent, child) of every joint but the root."""
    return [(parent, child) for child, parent in enumerate(parents) if parent >= 0]


class PoseFromMaps(nn.Module):
    """Joints at the places of heat maps, refined by what sees the whole person and by the joints together.

    Two corrections are added to what the heat maps find: a linear one from the coarsest map, and one of a perceptron on
    all joints and their spreads, which learns perspective and the lengths of limbs.  Both begin at zero.
    """

    joints_mean_m: Tensor

    def __init__(
        self, channels: int, coarse_size: int, parents: tuple[int, ...], side_m: float, hidden: int = 256
    ) -> None:
        super().__init__()
        joints, limbs = len(parents), len(parents) - 1
        self.parents, self.side_m = parents, side_m
        self.sizes = [joints, joints, 1, limbs, 3 * limbs]
        self.maps = nn.Conv2d(channels, sum(self.sizes), 1)
        self.from_coarse = nn.Linear(coarse_size, 3 * joints)
        last = nn.Linear(hidden, 3 * joints)
        self.together = nn.Sequential(
            nn.Linear(5 * joints, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last
        )
        for correction in (self.from_coarse, last):
            nn.init.zeros_(correction.weight)
            nn.init.zeros_(correction.bias)
        self.register_buffer("joints_mean_m", torch.zeros(joints, 3))  # a pose to compare with; no part of the network

    def set_label_statistics(self, joints_root_m: Float[Tensor, "N J 3"]) -> None:
        """Take the mean of the training labels, which test scripts compare with."""
        self.joints_mean_m.copy_(joints_root_m.mean(dim=0))

    def forward(self, maps: Maps) -> JointMaps:
        """Predict joints and all maps; float32 whatever the layers run in."""
        heat, depth_m, mask, limbs, directions = self.maps(maps.fine).float().split(self.sizes, dim=1)
        points = points_of(heat, depth_m, self.side_m)
        found_m = points.points_m - points.points_m[:, :1]
        known = torch.cat([found_m, points.spread_m], dim=-1).flatten(1)
        refined_m = found_m.flatten(1) + self.from_coarse(maps.coarse.flatten(1)).float() + self.together(known).float()
        joints_m = refined_m.unflatten(1, (-1, 3))
        return JointMaps(
            joints_root_m=joints_m - joints_m[:, :1],
            points=points,
            heat=heat,
            depth_m=depth_m,
            mask=mask[:, 0],
            limbs=limbs,
            directions=directions.unflatten(1, (-1, 3)),
        )

    def terms(self, found: JointMaps, true: TrueJoints, weights: JointMapsLoss) -> dict[str, Float[Tensor, ""]]:
        """Give the unweighted terms that have a weight; rows count by their confidence."""
        share = true.confidence / known_in_share(true.confidence.sum(), 1e-6)
        place = places_m(found.heat.shape[-1], self.side_m, found.heat)
        target = gaussians(true.seen_m, place)
        rows = {
            "heat": -(target * found.heat.flatten(2).log_softmax(-1).view_as(found.heat)).sum((2, 3)).mean(1),
            "depth_m": (target * (found.depth_m - true.joints_root_m[..., 2, None, None]).abs()).sum((2, 3)).mean(1),
            "joints_m": (found.joints_root_m - true.joints_root_m).norm(dim=-1).mean(1),
            "points_m": points_apart_m(found.points.points_m, true),
        }
        if weights.limbs or weights.directions:
            rows |= self._limb_rows(found, true, place)
        terms = {name: (row * share).sum() for name, row in rows.items()}
        if weights.mask:
            terms["mask"] = binary_cross_entropy_with_logits(found.mask, avg_pool2d(true.mask, STRIDE)[:, 0])
        return terms

    def _limb_rows(
        self, found: JointMaps, true: TrueJoints, place: Float[Tensor, "w"]
    ) -> dict[str, Float[Tensor, "B"]]:
        """Compare maps of limbs, and directions where the limbs are."""
        parent, child = torch.tensor(limbs_of(self.parents), device=place.device).unbind(1)
        drawn = limb_maps(true.seen_m[:, parent], true.seen_m[:, child], place)
        along = normalize(true.joints_root_m[:, child] - true.joints_root_m[:, parent], dim=-1)
        apart = (found.directions - along[..., None, None]).abs().sum(2) * drawn
        is_limb = binary_cross_entropy_with_logits(found.limbs, drawn, reduction="none").mean((1, 2, 3))
        return {"limbs": is_limb, "directions": apart.sum((1, 2, 3)) / drawn.sum((1, 2, 3)).clamp_min(1e-6)}


def weights_by_term(weights: JointMapsLoss) -> dict[str, float]:
    """Name the weights as `PoseFromMaps.terms` names its terms."""
    return {"heat": weights.heat, "depth_m": weights.depth, "joints_m": weights.joints, "points_m": weights.points,
            "limbs": weights.limbs, "directions": weights.directions, "mask": weights.mask}  # fmt: skip


def points_apart_m(points_m: Float[Tensor, "B J 3"], true: TrueJoints) -> Float[Tensor, "B"]:
    """Compare what the heat maps find with where joints are seen, and with their depths behind the pelvis."""
    depth_m = points_m[..., 2] - points_m[:, :1, 2]
    seen_apart_m = (points_m[..., :2] - true.seen_m).abs().sum(-1)
    return (seen_apart_m + (depth_m - true.joints_root_m[..., 2]).abs()).mean(1)


def gaussians(seen_m: Float[Tensor, "B J 2"], place: Float[Tensor, "w"]) -> Float[Tensor, "B J w w"]:
    """Draw a Gaussian about every place; each sums to one, but where it lies far outside of the map."""
    across, down = (torch.exp(-0.5 * ((place - seen_m[..., axis, None]) / HEAT_SIGMA_M) ** 2) for axis in (0, 1))
    drawn = down[..., :, None] * across[..., None, :]
    return drawn / drawn.sum((2, 3), keepdim=True).clamp_min(1e-6)


def limb_maps(
    from_m: Float[Tensor, "B L 2"], to_m: Float[Tensor, "B L 2"], place: Float[Tensor, "w"]
) -> Float[Tensor, "B L w w"]:
    """Draw every limb as a line that is one along its middle and fades with the distance from it."""
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1)  # rows down, columns across
    along = (to_m - from_m)[:, :, None, None]
    beside = grid - from_m[:, :, None, None]
    share = (beside * along).sum(-1) / along.square().sum(-1).clamp_min(1e-5)  # of the limb, up to the nearest point
    apart = beside - share.clamp(0, 1)[..., None] * along
    return torch.exp(-0.5 * apart.square().sum(-1) / LIMB_SIGMA_M**2)
