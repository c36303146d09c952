"""What papers report on Human3.6M, as each measures it: whose frames, which cameras and crops, joints and alignment.

All have S9 and S11 for test people and take frame 1 and every n-th after it.  Poses are metres about the pelvis in the
axes of the crop's camera, errors millimetres: they do not change when both poses are turned alike, so any camera's
axes will do.  Numbers stand beside a paper's only on Human3.6M itself.  What a paper does not tell is an open choice of
ours, and is named as one.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from utils.metrics import aligned_m, mpjpe_mm, n_mpjpe_mm, on_pelvis, pa_mpjpe_mm, refuse_broken
from utils.skeleton import H36M_17, JOINTS_14, JOINTS_16, joint_rows

ProtocolName = Literal["rhodin", "seed", "epipolar", "spin_p1", "spin_p2"]
SUBJECTS = (9, 11)
Pose = Float[Tensor, "B 17 3"]


class Protocol(NamedTuple):
    """One way to measure poses of Human3.6M's 17 joints."""

    every: int
    """Of the recording's frames, 50 a second, the first and every n-th after it are measured."""
    cameras: tuple[int, ...]
    """Numbers of the cameras; empty for all."""
    centre: Literal["pelvis", "box"]
    """What crops are centred on."""
    measured: Callable[[Pose, Pose], dict[str, Float[Tensor, "B"]]]
    """Predicted and true poses to errors, with unit and joint count in their names."""
    told: str
    """What is measured, and what is an open choice, for whoever reads the numbers."""


def some_joints(names: tuple[str, ...], *poses: Pose) -> list[Float[Tensor, "B J 3"]]:
    """Put poses on their pelvis, and keep the named joints."""
    return [on_pelvis(pose)[:, joint_rows(names)] for pose in poses]


def rhodin_errors(predicted: Pose, true: Pose) -> dict[str, Float[Tensor, "B"]]:
    """Measure as Rhodin et al., ECCV 2018: N-MPJPE is 17/16 of the mean over 17 joints, one of which is the pelvis.

    That is the mean over the 16 others.  Their scale is <p, g> / <p, p> per frame.
    """
    p, g = some_joints(JOINTS_16, predicted, true)
    return {"mpjpe_16_mm": mpjpe_mm(p, g), "n_mpjpe_16_mm": n_mpjpe_mm(p, g), "p_mpjpe_16_mm": pa_mpjpe_mm(p, g)}


def rotated_m(predicted: Pose, true: Pose) -> Pose:
    """Turn every pose about its pelvis, or mirror it, onto the true one; nothing is moved or resized.

    Source: the orthogonal Procrustes problem, Schoenemann 1966: Q = U V^T of the singular vectors of g^T p, whose
        determinant may be -1.
    """
    p, g = on_pelvis(predicted).double(), on_pelvis(true).double()
    U, _, Vh = torch.linalg.svd(g.mT @ p)
    return (p @ (U @ Vh).mT).to(predicted.dtype)


def seed_errors(predicted: Pose, true: Pose) -> dict[str, Float[Tensor, "B"]]:
    """Measure as the thesis: means over all 17 joints, and after a rotation that may be a mirror image."""
    return {
        "mpjpe_17_mm": mpjpe_mm(predicted, true),
        "n_mpjpe_17_mm": n_mpjpe_mm(predicted, true),
        "rotated_mpjpe_17_mm": mpjpe_mm(rotated_m(predicted, true), true),
    }


def similarity_scale(predicted: Pose, aligned: Pose) -> Float[Tensor, "B 1 1"]:
    """Give the scale of an alignment: of the spread of poses behind it over that before it."""
    before, after = ((pose - pose.mean(dim=1, keepdim=True)).norm(dim=(1, 2)) for pose in (predicted, aligned))
    return (after / before.clamp_min(torch.finfo(before.dtype).tiny))[:, None, None]


def epipolar_errors(predicted: Pose, true: Pose) -> dict[str, Float[Tensor, "B"]]:
    """Measure as the published code of EpipolarPose (Kocabas et al., CVPR 2019): 17 joints, always about the pelvis.

    Its N-MPJPE takes the scale of the whole similarity, and its P-MPJPE moves the aligned pose back onto the pelvis,
    which makes it larger than an alignment's own error.
    """
    aligned = aligned_m(on_pelvis(predicted).double(), on_pelvis(true).double()).to(predicted.dtype)
    scaled = similarity_scale(predicted, aligned) * on_pelvis(predicted)
    return {
        "mpjpe_17_mm": mpjpe_mm(predicted, true),
        "similarity_scaled_mpjpe_17_mm": mpjpe_mm(scaled, true),
        "p_mpjpe_on_pelvis_17_mm": mpjpe_mm(aligned, true),
    }


def spin_p1_errors(predicted: Pose, true: Pose) -> dict[str, Float[Tensor, "B"]]:
    """Measure as the published code of SPIN (Kolotouros et al., ICCV 2019): 14 joints, about the pelvis and aligned."""
    p, g = some_joints(JOINTS_14, predicted, true)
    return {"mpjpe_14_mm": mpjpe_mm(p, g), "p_mpjpe_14_mm": pa_mpjpe_mm(p, g)}


def spin_p2_errors(predicted: Pose, true: Pose) -> dict[str, Float[Tensor, "B"]]:
    """Measure the reconstruction error alone, which is what is reported of protocol 2."""
    p, g = some_joints(JOINTS_14, predicted, true)
    return {"p_mpjpe_14_mm": pa_mpjpe_mm(p, g)}


PROTOCOLS: Mapping[ProtocolName, Protocol] = {
    "rhodin": Protocol(
        5, (), "pelvis", rhodin_errors,
        "all cameras, crops about the true pelvis, 16 joints about the pelvis (their 17/16 of 17); open choices: every "
        "5th frame, MPJPE, P-MPJPE over the 16 joints",
    ),
    "seed": Protocol(
        5, (), "pelvis", seed_errors,
        "all cameras, crops about the true pelvis, 17 joints, the pelvis with its zero among them; rotated: turned or "
        "mirrored about the pelvis, not moved or resized; open choice: every 5th frame, as in its training",
    ),
    "epipolar": Protocol(
        64, (), "box", epipolar_errors,
        "all cameras, crops about the box of the one view, 17 joints about the pelvis, after an alignment too; scaled: "
        "by the scale of the similarity; open choice: every 64th frame",
    ),
    "spin_p1": Protocol(
        5, (), "box", spin_p1_errors,
        "every 5th frame, all cameras, crops about the box of the one view, 14 joints about the pelvis or after a "
        "similarity; open choice: the thorax is its neck",
    ),
    "spin_p2": Protocol(
        5, (4,), "box", spin_p2_errors,
        "every 5th frame, camera 4 (60457274, the frontal one), crops about the box of the one view, 14 joints after a "
        "similarity; open choice: the thorax is its neck",
    ),
}  # fmt: skip
"""By the name that the command line takes."""


def frame_step(name: ProtocolName, every: int) -> int:
    """Give n, for every n-th instant of an index to be the protocol's.

    Args:
        every: the index holds every so many-th frame of the recording.
    Raises:
        ValueError: the index lacks frames of the protocol.
    """
    wanted = PROTOCOLS[name].every
    if wanted % every:
        raise ValueError(f"protocol {name} takes every {wanted}th frame, and the index holds every {every}th; convert "
                         f"and index the recordings with an --every that divides {wanted}")  # fmt: skip
    return wanted // every


def protocol_errors(
    name: ProtocolName, predicted: Float[Tensor, "B J 3"], true: Float[Tensor, "B J 3"]
) -> dict[str, Float[Tensor, "B"]]:
    """Measure poses as a protocol does.

    Raises:
        ValueError: a pose is no place, or has other joints than Human3.6M's 17.
    """
    if predicted.shape[1] != len(H36M_17):
        raise ValueError(f"protocol {name} is about the {len(H36M_17)} joints of people, and these poses have "
                         f"{predicted.shape[1]}; leave out --protocol")  # fmt: skip
    refuse_broken(predicted, true)
    return PROTOCOLS[name].measured(predicted, true)
