"""The weights of stage 4's terms: over time, and against the shares of the gradient that they are meant to have."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from config import MeshLoss
from models.losses import weighted_sum

GROUPS = {"pose": ("pose_m",), "verts": ("overlap", "outside_m", "reach_m"), "prior": ("prior", "betas")}
"""Which terms make up L_pose, L_verts and L_gan."""
FAR_OFF = 3.0
"""A share is far off if it is so many times larger or smaller than intended."""


def full_weights(loss: MeshLoss) -> dict[str, float]:
    """Give the weight of every term as the settings have it."""
    return {
        "pose_m": loss.pose,
        "overlap": loss.overlap,
        "outside_m": loss.outside,
        "reach_m": loss.reach,
        "prior": loss.prior,
        "betas": loss.betas,
    }


def annealed(weights: Mapping[str, float], loss: MeshLoss, progress: float) -> dict[str, float]:
    """Change the weights with time, `progress` from 0 at the start to 1 at the end.

    The overlap only knows limbs that touch the mask, the distances know all: so these come first and fade.
    """
    rise = min(1.0, progress / loss.overlap_after) if loss.overlap_after else 1.0
    fall = 1 - (1 - loss.distances_end) * progress
    now = {"overlap": rise, "outside_m": fall, "reach_m": fall}
    return {name: weight * now.get(name, 1.0) for name, weight in weights.items()}


class GradientShare(NamedTuple):
    """How strongly one group of terms pulls at the parameters."""

    norm: float
    """Norm of the gradient of the group's weighted sum."""
    share: float
    """Of the sum of all groups' norms."""
    intended: float

    @property
    def is_far_off(self) -> bool:
        """Whether the share is far from the intended one."""
        return not self.intended / FAR_OFF <= self.share <= self.intended * FAR_OFF


def gradient_shares(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Sequence[nn.Parameter], loss: MeshLoss
) -> dict[str, GradientShare]:
    """Measure each group's pull at the parameters; keeps the graph.

    Intended shares are those of the groups that have a term, brought to a sum of one.
    """
    intended = {"pose": loss.pose_share, "verts": loss.verts_share, "prior": loss.prior_share}
    norms = {}
    for group, names in GROUPS.items():
        present = {name: terms[name] for name in names if name in terms}
        if present and intended[group]:
            total = weighted_sum(present, dict(weights))
            found = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
            norms[group] = float(torch.stack([part.norm() for part in found if part is not None]).norm())
    wanted, all_norms = sum(intended[group] for group in norms), sum(norms.values())
    return {group: GradientShare(norm, norm / all_norms, intended[group] / wanted) for group, norm in norms.items()}


class GroupFactors(nn.Module):
    """Factors on the groups' weights, one unless `loss.balance` sets them; a module, so that checkpoints hold them."""

    factors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", torch.ones(len(GROUPS)))

    def check(self, terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], loss: MeshLoss) -> str:
        """Compare the shares of the gradient with the intended ones, as lines; balance them if the settings say so."""
        shares = gradient_shares(terms, full_weights(loss), parameters, loss)
        if loss.balance:
            self.balance(shares)
        return share_table(shares)

    def balance(self, shares: Mapping[str, GradientShare]) -> None:
        """Set the factors so that the shares become the intended ones; that of the first group stays one."""
        wanted = {group: share.intended / max(share.norm, 1e-12) for group, share in shares.items()}
        first = next(iter(wanted.values()))
        for row, group in enumerate(GROUPS):
            self.factors[row] = wanted.get(group, first) / first

    def apply_to(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Multiply the weights of every group by its factor."""
        factor = {name: float(self.factors[row]) for row, names in enumerate(GROUPS.values()) for name in names}
        return {name: weight * factor[name] for name, weight in weights.items()}


def share_table(shares: Mapping[str, GradientShare]) -> str:
    """Write the shares as lines, with a warning at those far off."""
    lines = ["gradient on the head's parameters at the start:"]
    for group, share in shares.items():
        warning = "  WARNING: far off; change the weights, or set --loss.balance" if share.is_far_off else ""
        lines.append(
            f"  L_{group:<6} norm {share.norm:8.4f}   share {share.share:4.0%}, intended {share.intended:4.0%}{warning}"
        )
    return "\n".join(lines)
