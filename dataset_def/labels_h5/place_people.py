"""Finds where cameras and people were, which labels.h5 does not tell, from the directions in which the crops look.

Every crop looks at the person, and its rotation is known.  The lines of sight of several cameras must meet at the
person, at every instant, while the cameras stand still: this fixes all places but for the world's origin and scale.
The scale comes from the assumed side of the crops in metres (`side_m`), weakly held; with a single camera it gives the
distance alone.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dataset_def.labels_h5.label_file import Labels
from utils.skeleton import H36M_17

ALONG = 0.05
"""Weight of the assumed distance along a line of sight, relative to meeting it."""
ANKLE_HEIGHT_M = 0.08
AGREE_M = 0.03
"""Cameras of one instant tell the same pose within this."""


class Instants(NamedTuple):
    """The rows of one subject: one line per instant, one column per camera."""

    subject: int
    cameras: tuple[int, ...]
    keys: Int[np.ndarray, "T 2"]
    """Sequence and frame."""
    rows: Int[np.ndarray, "T V"]
    num_incomplete: int
    """Instants that not all cameras saw; they are left out."""


class Places(NamedTuple):
    """Where cameras and people were."""

    centres_world_m: Float[np.ndarray, "V 3"]
    joints_world_m: Float[np.ndarray, "T 17 3"]
    miss_m: float
    """How far the lines of sight miss the person, root mean square."""
    looks_at: str
    """What the crops are centred on."""


def instants_of(labels: Labels, subject: int) -> Instants:
    """Put the rows of one subject in order.

    Raises:
        ValueError: no instant was seen by all of the subject's cameras.
    """
    rows = np.flatnonzero(labels.keys[:, 0] == subject)
    cameras = np.unique(labels.keys[rows, 2])
    keys, instant = np.unique(labels.keys[rows][:, [1, 3]], axis=0, return_inverse=True)
    table = np.full((len(keys), len(cameras)), -1)
    table[instant.ravel(), np.searchsorted(cameras, labels.keys[rows, 2])] = rows
    is_complete = (table >= 0).all(1)
    if not is_complete.any():
        raise ValueError(f"{labels.path}: no instant of subject {subject} was seen by all {len(cameras)} cameras")
    return Instants(subject, tuple(cameras.tolist()), keys[is_complete], table[is_complete], int((~is_complete).sum()))


def shared_joints_m(labels: Labels, instants: Instants) -> Float[np.ndarray, "T 17 3"]:
    """Turn the poses of all cameras into the world and give their mean, pelvis at the origin.

    Raises:
        ValueError: the cameras contradict each other.
    """
    R, joints = labels.R_crop_from_world[instants.rows], labels.joints_crop_m[instants.rows]
    turned_m = joints @ R
    mean_m = turned_m.mean(1)
    apart_m = np.abs(turned_m - mean_m[:, None]).max((1, 2, 3))
    if np.median(apart_m) > AGREE_M:
        raise ValueError(
            f"{labels.path}: turned into the world, the poses of subject {instants.subject} differ by "
            f"{np.median(apart_m):.2f} m between cameras; 3D must be in the axes of the crop's own camera"
        )
    return mean_m


def box_middle_m(joints_crop_m: Float[np.ndarray, "*n 17 3"]) -> Float[np.ndarray, "*n 3"]:
    """Give the middle of the joints as seen in the crop, at the pelvis' depth."""
    middle = (joints_crop_m.min(-2) + joints_crop_m.max(-2)) / 2
    return middle * [1, 1, 0]


def sight(labels: Labels, rows: Int[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3"]:
    """Give the direction (world) in which the middle of a crop looks, with depth 1 in the crop's camera."""
    xy = (0.5 - labels.centre[rows]) / labels.focal[rows]
    return np.einsum(
        "...ji,...j->...i", labels.R_crop_from_world[rows], np.concatenate([xy, np.ones_like(xy[..., :1])], -1)
    )


def meet(
    along: Float[np.ndarray, "T V 3"], offset_m: Float[np.ndarray, "T V 3"], distance_m: Float[np.ndarray, "T V"]
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "T 3"], float]:
    """Find camera centres C and people X so that X + offset lies on the line from C along each direction.

    Args:
        along: unit directions.
        distance_m: about how far away the person is, weakly held.
    Returns:
        Centres, people, and the root mean square distance from the lines.
    Source: own derivation, linear least squares with X eliminated; test_convert_labels_h5.py.
    """
    outer = along[..., :, None] * along[..., None, :]
    W = np.eye(3) - (1 - ALONG**2) * outer
    q = ALONG**2 * distance_m[..., None] * along - (W @ offset_m[..., None])[..., 0]
    A_inverse, Q = np.linalg.inv(W.sum(1)), q.sum(1)
    num_views = along.shape[1]
    M = -np.einsum("tvij,tjk,twkl->viwl", W, A_inverse, W)
    for view in range(num_views):
        M[view, :, view] += W[:, view].sum(0)
    right = np.einsum("tvij,tjk,tk->vi", W, A_inverse, Q) - q.sum(0)
    centres_m = np.linalg.lstsq(M.reshape(3 * num_views, -1), right.ravel(), rcond=1e-9)[0].reshape(-1, 3)
    people_m = np.einsum("tij,tj->ti", A_inverse, np.einsum("tvij,vj->ti", W, centres_m) + Q)
    from_camera_m = people_m[:, None] + offset_m - centres_m
    miss_m = from_camera_m - (from_camera_m * along).sum(-1, keepdims=True) * along
    return centres_m, people_m, float(np.sqrt((miss_m**2).sum(-1).mean()))


def place(labels: Labels, instants: Instants, side_m: float, centre: Literal["auto", "pelvis", "box"]) -> Places:
    """Place the cameras and the people of one subject, on a floor at z = 0 about the origin."""
    rooted_m = shared_joints_m(labels, instants)
    R = labels.R_crop_from_world[instants.rows]
    rays = sight(labels, instants.rows)
    lengths = np.linalg.norm(rays, axis=-1, keepdims=True)
    distance_m = side_m * labels.focal[instants.rows].mean(-1) * lengths[..., 0]
    middles = np.einsum("tvji,tvj->tvi", R, box_middle_m(labels.joints_crop_m[instants.rows]))
    offsets = {"pelvis": np.zeros_like(middles), "box": middles}
    chosen = offsets if centre == "auto" else {centre: offsets[centre]}
    found = {name: meet(rays / lengths, offset_m, distance_m) for name, offset_m in chosen.items()}
    looks_at = min(found, key=lambda name: found[name][2])
    centres_m, people_m, miss_m = found[looks_at]
    joints_m = rooted_m + people_m[:, None]
    ankles = [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")]
    origin_m = np.array(
        [*np.median(people_m[:, :2], axis=0), np.percentile(joints_m[:, ankles, 2], 2) - ANKLE_HEIGHT_M]
    )
    return Places(centres_m - origin_m, joints_m - origin_m, miss_m, looks_at)
