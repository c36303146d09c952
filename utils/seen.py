"""Which joints of a predicted body were seen, and which were guessed from the others.

A body has all its joints, whatever the picture shows of them: legs under a table, or beyond the picture's edge, do what
legs usually do.  Files and pictures say which these are.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from utils.camera import Camera
from utils.skeleton import H36M_17, KEYPOINTS_25, SMPL_24

SURE = 0.5
"""Confidence of a keypoint from which on a joint counts as seen.  BlazePose's numbers lie near 0 and 1: of a man seen
whole 0.7 to 1, of legs behind a table 0 to 0.2."""
FAINT, CLEAR = 0.3, 0.6
"""Below the first a part of the surface is drawn as guessed, above the second as seen; in between, in between."""

_TRUNK = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
_HEAD = ("nose", "left_ear", "right_ear")
OF_JOINTS: dict[str, tuple[str, ...]] = {
    "pelvis": _TRUNK[:2], "spine": _TRUNK, "thorax": _TRUNK[2:], "nose": ("nose",), "head_top": _HEAD,
}  # fmt: skip
"""Keypoints that tell where a joint is, their mean; of the others the keypoint of the same name."""
OF_PARTS: dict[str, str] = {
    "pelvis": "pelvis", "spine1": "spine", "spine2": "spine", "spine3": "thorax", "neck": "thorax", "head": "head_top",
    "hip": "knee", "knee": "ankle", "ankle": "ankle", "foot": "ankle", "collar": "shoulder", "shoulder": "elbow",
    "elbow": "wrist", "wrist": "wrist", "hand": "wrist",
}  # fmt: skip
"""The surface that hangs on a joint of SMPL's, and the joint at its far end that tells whether it was seen."""
GUESSED_RGB = (0.62, 0.64, 0.68)
"""Parts of the surface that were not seen, in pictures."""
GUESSED_OPACITY = 0.3
"""Of these over a picture, so that they cover nothing else."""


class SeenJoints(NamedTuple):
    """What is said of every joint of every frame."""

    values: Float[np.ndarray, "T 17"]
    """NaN where nothing is known."""
    name: str
    """In files."""
    meaning: str
    """In words."""


OF_DOUBTFUL = 0.25
"""Of a body that the mirrored picture does not confirm this share of what keypoints say is believed."""
BY_KEYPOINTS = (
    "0 to 1: how sure the keypoints are that the joint was seen; below 0.5 it is guessed from the others, at 0 nothing "
    "was found, or it lies outside of the picture; all at most 0.25 where a picture's mirror shows another body"
)
BY_PICTURE = "0: the joint lies outside of the picture and is guessed; null: this tier does not tell what it saw"
BY_CAMERAS = "by how many cameras' keypoints the joint is placed; 0: it is guessed from the others"
BY_MASKS = "null: masks do not tell the joints that they show"


def seen_joints(confidence: Float[np.ndarray, "*batch 25"]) -> Float[np.ndarray, "*batch 17"]:
    """Say how surely Human3.6M's joints were seen, from the confidence of KEYPOINTS_25."""
    rows = [[KEYPOINTS_25.index(one) for one in OF_JOINTS.get(name, (name,))] for name in H36M_17]
    return np.stack([confidence[..., row].mean(axis=-1) for row in rows], axis=-1)


def outside_of_picture(joints_cam_m: Float[np.ndarray, "17 3"], camera: Camera) -> Float[np.ndarray, "17"]:
    """Give 0 for joints that lie outside of their picture, and NaN for the others, of which nothing is known."""
    joints_px = joints_cam_m[:, :2] / joints_cam_m[:, 2:] * camera.focal_px + camera.centre_px
    size_px = np.array([camera.width_px, camera.height_px])
    return np.where(((joints_px >= 0) & (joints_px <= size_px)).all(axis=1), np.nan, 0.0)


def seen_surface(
    joints: Float[np.ndarray, "17"], weights: Float[np.ndarray, "V 24"]
) -> Float[np.ndarray, "V"]:  # fmt: skip
    """Say of every vertex from 0 (guessed) to 1 (seen) what its parts are; 1 where nothing is known.

    Args:
        weights: by which the surface hangs on SMPL's joints.
    """
    known = np.where(np.isnan(joints), 1.0, ((joints - FAINT) / (CLEAR - FAINT)).clip(0, 1))
    parts = []
    for name in SMPL_24:
        side, _, part = name.rpartition("_")
        parts.append(known[H36M_17.index(f"{side}_{OF_PARTS[part]}" if side else OF_PARTS[part])])
    return weights @ np.array(parts)


def told_guessed(values: Float[np.ndarray, "T 17"]) -> str:
    """Say in words which joints were not seen in most of the frames; empty if all were, or nothing is known."""
    share = np.where(np.isnan(values), False, values < SURE).mean(axis=0)
    return ", ".join(name.replace("_", " ") for name, one in zip(H36M_17, share, strict=True) if one > 0.5)
