"""How far a predicted pose or body is from the true one.  Metres in, millimetres, percent and degrees out.

Poses of 17 or 24 joints have the pelvis in their first row, and every measure but P-MPJPE centres both poses on it;
poses of other joint counts are taken as they come.  Protocols are those that others report on Human3.6M.  Meshes are
compared about Human3.6M's pelvis, as joints are: a crop does not tell where in the room a person is.
"""

from math import pi

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.skeleton import H36M, H36M_17, JOINTS_14, JOINTS_16, SMPL_24, Skeleton, joint_rows

JOINT_SETS: dict[str, tuple[str, ...]] = {"17": H36M_17, "16": JOINTS_16, "14": JOINTS_14}
"""The joints over which errors of people are averaged; 17 counts the pelvis, whose centred error is zero.  Errors of
other skeletons are averaged over all joints."""

MM_PER_M = 1000
FARTHEST_M = 1e6
"""No person is that far from the pelvis; squares of it still are numbers in every precision."""
AUC_THRESHOLDS_MM = tuple(range(5, 151, 5))


def on_pelvis(pose_m: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch J 3"]:
    """Put the pelvis of a whole skeleton at the origin; leave other sets of joints as they are."""
    if pose_m.shape[-2] not in (len(H36M_17), len(SMPL_24)):
        return pose_m
    return pose_m - pose_m[..., :1, :]


def refuse_broken(predicted: Float[Tensor, "B N 3"], true: Float[Tensor, "B N 3"]) -> None:
    """Stop where a pose or body is no place: an alignment of it would fail in the middle of linear algebra.

    Raises:
        ValueError: numbers are NaN or infinite, or so large that their squares are.
    """
    for whose, points_m in (("predicted", predicted), ("true", true)):
        broken = ~(points_m.abs() < FARTHEST_M).all(dim=-1).all(dim=-1)
        if broken.any():
            remedy = "give other weights: theirs are damaged, or their training had failed"
            raise ValueError(f"{int(broken.sum())} of {len(broken)} {whose} poses are NaN, infinite or farther than "
                             f"{FARTHEST_M:g} m away (first: row {int(broken.int().argmax())}); "
                             f"{remedy if whose == 'predicted' else 'make the labels again'}")  # fmt: skip


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
    refuse_broken(predicted, true)
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


def mirrored_joints(pose_m: Float[Tensor, "B J 3"], skeleton: Skeleton = H36M) -> Float[Tensor, "B J 3"]:
    """Give the pose that a mirror behind the camera shows: left and right change sides."""
    return (pose_m * pose_m.new_tensor([-1.0, 1.0, 1.0]))[:, skeleton.counterparts()]


def left_minus_right(pose_m: Float[Tensor, "B J 3"], skeleton: Skeleton = H36M) -> Float[Tensor, "B 3"]:
    """Average the vectors from right to left hip and from right to left shoulder, or what else tells a heading."""
    left, right = skeleton.heading_rows()
    return (pose_m[:, left] - pose_m[:, right]).mean(dim=1)


def heading_rad(
    pose_crop_m: Float[Tensor, "B J 3"], R_crop_from_world: Float[Tensor, "B 3 3"], skeleton: Skeleton = H36M
) -> Float[Tensor, "B"]:
    """Give the angle, about the world's vertical, at which a pose faces: the horizontal normal of left minus right.

    Source: left x up = forward; own derivation, test_metrics.py.
    """
    left_world = torch.einsum("bji,bj->bi", R_crop_from_world, left_minus_right(pose_crop_m, skeleton))
    return torch.atan2(-left_world[:, 0], left_world[:, 1])


def yaw_error_degrees(
    predicted: Float[Tensor, "B J 3"],
    true: Float[Tensor, "B J 3"],
    R_crop_from_world: Float[Tensor, "B 3 3"],
    skeleton: Skeleton = H36M,
) -> Float[Tensor, "B"]:
    """Measure the angle between predicted and true heading, 0 to 180."""
    predicted_rad, true_rad = (heading_rad(pose, R_crop_from_world, skeleton) for pose in (predicted, true))
    apart = predicted_rad - true_rad
    return torch.atan2(apart.sin(), apart.cos()).abs().rad2deg()


def pose_errors(
    predicted: Float[Tensor, "B J 3"],
    true: Float[Tensor, "B J 3"],
    R_crop_from_world: Float[Tensor, "B 3 3"],
    skeleton: Skeleton = H36M,
) -> dict[str, Float[Tensor, "B"]]:
    """Measure every pose in every way, over 17, 16 and 14 joints; the keys carry the unit and the joint count.

    Poses of another skeleton are measured over all its joints, and their yaw only where something tells a heading.
    Wrists stand apart: a pose of the right heading with arms at rest has a low mean and wrists far off.
    """
    refuse_broken(predicted, true)
    errors = {}
    if skeleton.heading_pairs:
        errors["yaw_error_degrees"] = yaw_error_degrees(predicted, true, R_crop_from_world, skeleton)
    if skeleton.is_h36m:
        wrists = joint_rows(("left_wrist", "right_wrist"))
        errors["wrist_mm"] = distances_mm(predicted, true)[:, wrists].mean(dim=-1)
    for count, names in joint_sets(skeleton).items():
        p, g = ((pose - pose[:, :1])[:, joint_rows(names, skeleton.names)] for pose in (predicted, true))
        errors |= {
            f"mpjpe_{count}_mm": mpjpe_mm(p, g),
            f"n_mpjpe_{count}_mm": n_mpjpe_mm(p, g),
            f"p_mpjpe_{count}_mm": pa_mpjpe_mm(p, g),
            f"pck150_{count}_percent": pck_percent(p, g),
            f"auc_{count}_percent": auc_percent(p, g),
        }
    return errors


def joint_sets(skeleton: Skeleton) -> dict[str, tuple[str, ...]]:
    """Give the joints over which errors are averaged, by their number."""
    return JOINT_SETS if skeleton.is_h36m else {str(len(skeleton.names)): skeleton.names}


FACING_BINS = 8
FRONT_DEGREES = 67.5
"""Up to here a person faces the camera; the mirror image of this range, from 112.5 degrees on, is facing away."""
SITTING_BELOW = 0.7
"""Share of the leg's length; between the crouching and the standing of the embedded data few poses lie here."""
COVERED_ABOVE = 0.5


def vertex_error_mm(
    predicted_root_m: Float[Tensor, "B V 3"], true_root_m: Float[Tensor, "B V 3"]
) -> Float[Tensor, "B"]:
    """Average the distance between predicted and true vertices, both meshes about their pelvis."""
    return MM_PER_M * (predicted_root_m - true_root_m).norm(dim=-1).mean(dim=-1)


def surface_error_mm(
    predicted_m: Float[Tensor, "B V 3"], true_m: Float[Tensor, "B V 3"], share: Float[Tensor, "V"]
) -> Float[Tensor, "B"]:
    """Average the distance between predicted and true surfaces by area: a plain mean over vertices counts hands thrice.

    Args:
        share: of the surface that belongs to each vertex.
    """
    return MM_PER_M * (predicted_m - true_m).norm(dim=-1) @ share


def twist_error_degrees(
    predicted_totals: Float[Tensor, "B J 3 3"],
    true_totals: Float[Tensor, "B J 3 3"],
    bones_m: Float[Tensor, "J 3"],
    rows: list[int],
) -> Float[Tensor, "B"]:
    """Average how far parts are turned about their own bones beside the true ones; positions of joints hardly show it.

    Args:
        predicted_totals: rotations from the body at rest to one common frame.
        bones_m: of the body at rest, from every joint to the next one.
        rows: joints that are measured; each has one bone.
    Source: swing-twist decomposition of the rotation between both, the twist about the bone at rest: for a unit
        quaternion (x, y, z, w) and a unit axis a it is 2 atan2((x, y, z) . a, w); own derivation, test_metrics.py.
    """
    between = predicted_totals[:, rows].mT @ true_totals[:, rows]
    quaternion = roma.rotmat_to_unitquat(between)
    along = torch.nn.functional.normalize(bones_m[rows], dim=-1)
    half = torch.atan2((quaternion[..., :3] * along).sum(dim=-1), quaternion[..., 3])
    twist = torch.atan2((2 * half).sin(), (2 * half).cos())
    return twist.abs().rad2deg().mean(dim=-1)


def pa_vertex_error_mm(
    predicted_root_m: Float[Tensor, "B V 3"], true_root_m: Float[Tensor, "B V 3"]
) -> Float[Tensor, "B"]:
    """Average the vertex distance after the best translation, rotation and scale; a mirror image stays one."""
    p, g = predicted_root_m.double(), true_root_m.double()
    return vertex_error_mm(aligned_m(p, g), g).to(predicted_root_m.dtype)


def iou_percent(coverage: Float[Tensor, "*batch H W"], mask: Float[Tensor, "*batch H W"]) -> Float[Tensor, "*batch"]:
    """Give the shared area of two silhouettes in percent of their union; NaN where the mask is empty.

    A pixel belongs to a silhouette that covers more than half of it.
    """
    rendered, true = coverage > COVERED_ABOVE, mask > COVERED_ABOVE
    union = (rendered | true).flatten(-2).sum(dim=-1)
    shared = (rendered & true).flatten(-2).sum(dim=-1)
    share = 100 * shared / union.clamp_min(1)
    return torch.where(true.flatten(-2).any(dim=-1), share, torch.nan)


def facing_rad(
    pose_crop_m: Float[Tensor, "B J 3"], R_crop_from_world: Float[Tensor, "B 3 3"], skeleton: Skeleton = H36M
) -> Float[Tensor, "B"]:
    """Give the angle, about the world's vertical, from the way to the camera to where a pose faces; -pi to pi.

    Zero faces the camera; positive is turned to the person's own left.  The crop's axis meets the person, so the way
    to the camera is against that axis.
    Source: own derivation, test_mesh_metrics.py.
    """
    to_camera = -R_crop_from_world[:, 2]
    apart = heading_rad(pose_crop_m, R_crop_from_world, skeleton) - torch.atan2(to_camera[:, 1], to_camera[:, 0])
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
