"""How far a predicted body is from the true one, which way people face, and who sits.  Metres in, millimetres out.

Meshes are compared about Human3.6M's pelvis, as joints are: a crop does not tell where in the room a person is.
"""

from math import pi

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.metrics import MM_PER_M, heading_rad
from utils.skeleton import H36M_17, joint_rows

FACING_BINS = 8
FRONT_DEGREES = 67.5
"""Up to here a person faces the camera; the mirror image of this range, from 112.5 degrees on, is facing away."""
SITTING_BELOW = 0.7
"""Share of the leg's length; between the crouching and the standing of the embedded data few poses lie here."""
PERSON_ABOVE = 0.5


def vertex_error_mm(
    predicted_root_m: Float[Tensor, "B V 3"], true_root_m: Float[Tensor, "B V 3"]
) -> Float[Tensor, "B"]:
    """Average the distance between predicted and true vertices, both meshes about their pelvis."""
    return MM_PER_M * (predicted_root_m - true_root_m).norm(dim=-1).mean(dim=-1)


def pa_vertex_error_mm(
    predicted_root_m: Float[Tensor, "B V 3"], true_root_m: Float[Tensor, "B V 3"]
) -> Float[Tensor, "B"]:
    """Average the vertex distance after the best translation, rotation and scale; a mirror image stays one.

    Source: Umeyama, IEEE PAMI 13(4), 1991, as roma.rigid_points_registration.
    """
    p, g = predicted_root_m.double(), true_root_m.double()
    R, t, s = roma.rigid_points_registration(p, g, compute_scaling=True)
    aligned_m = s[:, None, None] * p @ R.mT + t[:, None]
    return vertex_error_mm(aligned_m, g).to(predicted_root_m.dtype)


def iou_percent(coverage: Float[Tensor, "*batch H W"], mask: Float[Tensor, "*batch H W"]) -> Float[Tensor, "*batch"]:
    """Give the shared area of two silhouettes in percent of their union; NaN where the mask is empty.

    A pixel belongs to a silhouette that covers more than half of it.
    """
    drawn, true = coverage > PERSON_ABOVE, mask > PERSON_ABOVE
    union = (drawn | true).flatten(-2).sum(dim=-1)
    shared = (drawn & true).flatten(-2).sum(dim=-1)
    share = 100 * shared / union.clamp_min(1)
    return torch.where(true.flatten(-2).any(dim=-1), share, torch.nan)


def facing_rad(pose_crop_m: Float[Tensor, "B 17 3"], R_crop_from_world: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B"]:
    """Give the angle, about the world's vertical, from the way to the camera to where a pose faces; -pi to pi.

    Zero faces the camera; positive is turned to the person's own left.  The crop's axis meets the person, so the way
    to the camera is against that axis.
    Source: own derivation, test_mesh_metrics.py.
    """
    to_camera = -R_crop_from_world[:, 2]
    apart = heading_rad(pose_crop_m, R_crop_from_world) - torch.atan2(to_camera[:, 1], to_camera[:, 0])
    return torch.atan2(apart.sin(), apart.cos())


def facing_bin(facing: Float[Tensor, "B"]) -> Int[Tensor, "B"]:
    """Sort angles (radians) into eight bins of 45 degrees; bin 0 is centred on facing the camera, bin 4 on its back."""
    return (facing * (FACING_BINS / (2 * pi))).round().long() % FACING_BINS


def is_front(facing: Float[Tensor, "B"]) -> Bool[Tensor, "B"]:
    """Tell who faces the camera, within FRONT_DEGREES."""
    return facing.abs().rad2deg() <= FRONT_DEGREES


def is_away(facing: Float[Tensor, "B"]) -> Bool[Tensor, "B"]:
    """Tell who shows the camera the back, within FRONT_DEGREES."""
    return facing.abs().rad2deg() >= 180 - FRONT_DEGREES


def is_sitting(pose_crop_m: Float[Tensor, "B 17 3"], R_crop_from_world: Float[Tensor, "B 3 3"]) -> Bool[Tensor, "B"]:
    """Tell who sits, squats or kneels: the pelvis less than SITTING_BELOW of a leg's length above the ankles.

    Heights are along the world's vertical; ankles and legs are averaged over both sides.
    """
    up_crop = R_crop_from_world[:, :, 2]
    height_m = torch.einsum("bjk,bk->bj", pose_crop_m, up_crop)
    hip, knee, ankle = (joint_rows((f"left_{part}", f"right_{part}")) for part in ("hip", "knee", "ankle"))
    thigh_m = (pose_crop_m[:, hip] - pose_crop_m[:, knee]).norm(dim=-1)
    shank_m = (pose_crop_m[:, knee] - pose_crop_m[:, ankle]).norm(dim=-1)
    above_m = height_m[:, H36M_17.index("pelvis")] - height_m[:, ankle].mean(dim=1)
    return above_m < SITTING_BELOW * (thigh_m + shank_m).mean(dim=1)


def spread_over_bins(bins: Int[Tensor, "N"], count: int) -> list[int]:
    """Choose frames for figures: as many facing directions as there are, and from each a frame in its middle."""
    there = [number for number in range(FACING_BINS) if bool((bins == number).any())]
    chosen: list[int] = []
    for place in range(min(count, len(bins))):
        members = (bins == there[place * len(there) // count % len(there)]).nonzero().flatten().tolist()
        left = [row for row in members if row not in chosen] or sorted({*range(len(bins))} - {*chosen})
        chosen.append(left[len(left) // 2])
    return chosen


def mean_rotations(rotations: Float[Tensor, "N J 3 3"]) -> Float[Tensor, "J 3 3"]:
    """Average rotations joint by joint: the rotation nearest to the mean matrix.

    Source: chordal L2 mean, Hartley et al., Rotation Averaging, IJCV 103, 2013, section 5.3.
    """
    return roma.special_procrustes(rotations.double().mean(dim=0)).to(rotations.dtype)
