"""How far a predicted pose is from the true one.  Metres in, millimetres, percent and degrees out.

Poses of 17 or 24 joints have the pelvis in their first row, and every measure but P-MPJPE centres both poses on it;
poses of other joint counts are taken as they come.  Protocols are those that others report on Human3.6M.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from utils.skeleton import H36M_17, JOINTS_14, JOINTS_16, SMPL_24, joint_rows

JOINT_SETS: dict[str, tuple[str, ...]] = {"17": H36M_17, "16": JOINTS_16, "14": JOINTS_14}
"""The joints over which errors are averaged; 17 counts the pelvis, whose centred error is zero."""

MM_PER_M = 1000
AUC_THRESHOLDS_MM = tuple(range(5, 151, 5))


def on_pelvis(pose_m: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch J 3"]:
    """Put the pelvis of a whole skeleton at the origin; leave other sets of joints as they are."""
    if pose_m.shape[-2] not in (len(H36M_17), len(SMPL_24)):
        return pose_m
    return pose_m - pose_m[..., :1, :]


def mpjpe_mm(predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"]) -> Float[Tensor, "B"]:
    """Average the distance between predicted and true joints of every pose."""
    return distances_mm(predicted, true).mean(dim=-1)


def n_mpjpe_mm(predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"]) -> Float[Tensor, "B"]:
    """Average the joint distance after the scale of every predicted pose was set to the best one.

    Source: Rhodin et al., ECCV 2018: s = <p, g> / <p, p> on centred poses.
    """
    p, g = on_pelvis(predicted), on_pelvis(true)
    # A prediction of one single point has no scale; any gives the same error.
    smallest = torch.finfo(p.dtype).tiny
    s = (p * g).sum(dim=(-1, -2)) / (p * p).sum(dim=(-1, -2)).clamp_min(smallest)
    return mpjpe_mm(s[:, None, None] * p, g)


def pa_mpjpe_mm(predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"]) -> Float[Tensor, "B"]:
    """Average the joint distance after the best translation, rotation and scale; a mirror image stays one."""
    aligned = aligned_m(predicted.double(), true.double())
    return MM_PER_M * (aligned - true.double()).norm(dim=-1).mean(dim=-1).to(predicted.dtype)


def aligned_m(predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
    """Move, turn and scale every predicted pose onto its true one, in the least-squares sense.

    Source: Umeyama, IEEE PAMI 13(4), 1991, equations 40 to 42.
    """
    mean_p, mean_g = predicted.mean(dim=-2, keepdim=True), true.mean(dim=-2, keepdim=True)
    p, g = predicted - mean_p, true - mean_g
    U, D, Vh = torch.linalg.svd(g.mT @ p)
    S = torch.ones_like(D)
    S[:, -1] = torch.linalg.det(U @ Vh).sign()
    R = (U * S[:, None, :]) @ Vh
    c = (D * S).sum(dim=-1) / (p * p).sum(dim=(-1, -2)).clamp_min(torch.finfo(p.dtype).tiny)
    return c[:, None, None] * p @ R.mT + mean_g


def distances_mm(predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J"]:
    """Measure the distance of every predicted joint from the true one, both poses on their pelvis."""
    return MM_PER_M * (on_pelvis(predicted) - on_pelvis(true)).norm(dim=-1)


def pck_percent(
    predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"], threshold_mm: float = 150.0
) -> Float[Tensor, "B"]:
    """Give the share of joints within the threshold of the true ones."""
    return share_within_percent(distances_mm(predicted, true), threshold_mm)


def auc_percent(predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"]) -> Float[Tensor, "B"]:
    """Average PCK over the thresholds 5, 10, ..., 150 mm."""
    apart_mm = distances_mm(predicted, true)
    return torch.stack([share_within_percent(apart_mm, float(limit)) for limit in AUC_THRESHOLDS_MM]).mean(dim=0)


def share_within_percent(apart_mm: Float[Tensor, "B J"], threshold_mm: float) -> Float[Tensor, "B"]:
    """Give the share of distances that reach at most the threshold."""
    return 100 * (apart_mm <= threshold_mm).to(apart_mm.dtype).mean(dim=-1)


def left_minus_right(pose_m: Float[Tensor, "B 17 3"]) -> Float[Tensor, "B 3"]:
    """Average the vectors from right to left hip and from right to left shoulder."""
    left = pose_m[:, joint_rows(("left_hip", "left_shoulder"))]
    right = pose_m[:, joint_rows(("right_hip", "right_shoulder"))]
    return (left - right).mean(dim=1)


def heading_rad(pose_crop_m: Float[Tensor, "B 17 3"], R_crop_from_world: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B"]:
    """Give the angle, about the world's vertical, at which a pose faces: the horizontal normal of left minus right.

    Source: left x up = forward; own derivation, test_metrics.py.
    """
    left_world = torch.einsum("bji,bj->bi", R_crop_from_world, left_minus_right(pose_crop_m))
    return torch.atan2(-left_world[:, 0], left_world[:, 1])


def yaw_error_degrees(
    predicted: Float[Tensor, "B 17 3"], true: Float[Tensor, "B 17 3"], R_crop_from_world: Float[Tensor, "B 3 3"]
) -> Float[Tensor, "B"]:
    """Measure the angle between predicted and true heading, 0 to 180."""
    apart = heading_rad(predicted, R_crop_from_world) - heading_rad(true, R_crop_from_world)
    return torch.atan2(apart.sin(), apart.cos()).abs().rad2deg()


def pose_errors(
    predicted: Float[Tensor, "B 17 3"], true: Float[Tensor, "B 17 3"], R_crop_from_world: Float[Tensor, "B 3 3"]
) -> dict[str, Float[Tensor, "B"]]:
    """Measure every pose in every way, over 17, 16 and 14 joints; the keys carry the unit and the joint count."""
    errors = {"yaw_error_degrees": yaw_error_degrees(predicted, true, R_crop_from_world)}
    for count, names in JOINT_SETS.items():
        p, g = (on_pelvis(pose)[:, joint_rows(names)] for pose in (predicted, true))
        errors |= {
            f"mpjpe_{count}_mm": mpjpe_mm(p, g),
            f"n_mpjpe_{count}_mm": n_mpjpe_mm(p, g),
            f"p_mpjpe_{count}_mm": pa_mpjpe_mm(p, g),
            f"pck150_{count}_percent": pck_percent(p, g),
            f"auc_{count}_percent": auc_percent(p, g),
        }
    return errors
