"""Motions as AMASS has them: one .npz with poses, place, shape, gender and rate, z up, in metres.

AMASS's poses are those of SMPL-H: 156 numbers per frame, of which the first 66 are SMPL's root and 21 joints and the
others fingers.  SMPL's own two hands have no counterpart there; they are kept under a key of their own, so that nothing
is lost.  `trans` is not the pelvis: the model turns the body about its root joint at rest and then adds `trans`.
Source: Mahmood et al., AMASS, ICCV 2019; its released files.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float

from utils.artifacts import atomic_write
from utils.body_file import has_smpl_joints
from utils.export.rig import Y_UP_FROM_Z_UP, Rig, RigMotion, blocks

NUMBERS, BODY_NUMBERS = 156, 66
HANDS = "smpl_hands"
"""Key of SMPL's last two joints, (frames, 6)."""


class Person(NamedTuple):
    """Whose motion it is."""

    betas: Float[np.ndarray, "n"]
    gender: str
    """neutral, female or male: which of the body files the shape numbers belong to."""


def theta_z_up(motion: RigMotion) -> Iterator[tuple[slice, Float[np.ndarray, "t axis_angles"]]]:
    """Turn a motion by a quarter turn about x, some frames at a time: axis-angle of the joints, the root first."""
    for rows in blocks(len(motion.rotations)):
        rotations = motion.rotations[rows].astype(np.float64)
        rotations[:, 0] = Y_UP_FROM_Z_UP.T @ rotations[:, 0]
        yield rows, roma.rotmat_to_rotvec(torch.from_numpy(rotations)).flatten(1).numpy()


def write_amass(path: Path, rig: Rig, motion: RigMotion, person: Person, header: Mapping[str, str]) -> None:
    """Write a motion of a body with SMPL's 24 joints.

    Args:
        header: what the file says of itself (utils/export/about.py).
    Raises:
        ValueError: another skeleton.
    """
    if not has_smpl_joints(rig.parents, rig.names):
        raise ValueError(f"{path}: the body has {len(rig.parents)} joints; AMASS's files are of SMPL's 24")
    count = len(motion.rotations)
    poses, hands = np.zeros((count, NUMBERS)), np.empty((count, len(rig.parents) * 3 - BODY_NUMBERS))
    for rows, theta in theta_z_up(motion):
        poses[rows, :BODY_NUMBERS], hands[rows] = theta[:, :BODY_NUMBERS], theta[:, BODY_NUMBERS:]
    rate = np.array(motion.frames_per_second)
    words: dict[str, Any] = {name: np.array(text) for name, text in header.items()}
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        np.savez(
            stream,
            allow_pickle=False,
            poses=poses,
            trans=motion.pelvis_m @ Y_UP_FROM_Z_UP - rig.joints_m[0],
            betas=np.asarray(person.betas, np.float64),
            gender=np.array(person.gender),
            mocap_frame_rate=rate,
            mocap_framerate=rate,
            mocap_time_length=np.array(count / motion.frames_per_second),
            dmpls=np.zeros((count, 8)),
            surface_model_type=np.array("smplh"),
            **{HANDS: hands},
            **words,
        )
