"""Finds where cameras and people were, which labels.h5 does not tell, from the directions of the crops.

Every crop faces the person, and its rotation is known.  The lines of sight of several cameras must meet at the
person, at every instant, while the cameras stand still: this fixes all places but for the world's origin and scale.
The scale comes from the assumed side of the crops in metres (`side_m`), weakly held; with a single camera it gives the
distance alone.  Every camera gets one fixed picture that all its crops lie in: a crop differs from the picture of the
fixed camera at the same place by a turn and a zoom alone, so it can be laid into that picture without knowing any
depth.  Outside of the crop the picture shows the background of the other crops.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from dataset_def.crop import cut
from dataset_def.labels_h5.label_file import LabelsH5
from utils.camera import Camera
from utils.image import read_image
from utils.skeleton import H36M_17

ALONG_SIGHT_WEIGHT = 0.05
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


def instants_of(labels: LabelsH5, subject: int) -> Instants:
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


def shared_joints_m(labels: LabelsH5, instants: Instants) -> Float[np.ndarray, "T 17 3"]:
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


def sight(labels: LabelsH5, rows: Int[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3"]:
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
    W = np.eye(3) - (1 - ALONG_SIGHT_WEIGHT**2) * outer
    q = ALONG_SIGHT_WEIGHT**2 * distance_m[..., None] * along - (W @ offset_m[..., None])[..., 0]
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


def place_cameras_and_people(
    labels: LabelsH5, instants: Instants, side_m: float, centre: Literal["auto", "pelvis", "box"]
) -> Places:
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


LARGEST_VIEW_PX = 4000
SMALLEST_DEPTH = 0.2
"""Of a crop's corner at unit length, in the fixed camera: it then looks less than 80 degrees aside."""
SAMPLED_BACKGROUNDS = 150


class BaseView(NamedTuple):
    """One camera of one subject, with the rows that it took."""

    subject: int
    camera: int
    rows: Int[np.ndarray, "n"]
    centre_world_m: Float[np.ndarray, "3"]


def picture_path(folder: Path, labels: LabelsH5, row: int, kind: str) -> Path:
    """Say where a crop or its background lies."""
    _, sequence, camera, frame = labels.keys[row]
    return folder / f"seq_{sequence:03d}" / f"cam_{camera:02d}" / f"{kind}_{frame:06d}.png"


def crop_camera_of(labels: LabelsH5, row: int, size_px: int, centre_world_m: Float[np.ndarray, "3"]) -> Camera:
    """Give the camera of one crop."""
    return Camera(
        R_cam_from_world=labels.R_crop_from_world[row],
        centre_world_m=centre_world_m,
        focal_px=labels.focal[row] * size_px,
        centre_px=labels.centre[row] * size_px,
        width_px=size_px,
        height_px=size_px,
    )


def base_camera(labels: LabelsH5, view: BaseView, size_px: int, detail: float) -> Camera:
    """Make the fixed camera that sees all crops of a view.

    Raises:
        ValueError: the crops look into directions that no single picture holds.
    """
    U, _, Vt = np.linalg.svd(labels.R_crop_from_world[view.rows].sum(0))
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    xy = (corners - labels.centre[view.rows, None]) / labels.focal[view.rows, None]
    rays = np.concatenate([xy, np.ones_like(xy[..., :1])], -1) @ labels.R_crop_from_world[view.rows] @ R.T
    focal_px = detail * size_px * float(np.median(labels.focal[view.rows]))
    seen = rays[..., 2] > SMALLEST_DEPTH * np.linalg.norm(rays, axis=-1)
    flat = (rays[..., :2] / np.where(seen, rays[..., 2], 1)[..., None] * focal_px).reshape(-1, 2)
    low, high = flat.min(0), flat.max(0)
    width_px, height_px = (int(side) for side in np.ceil(high - low) + 2)
    if not seen.all() or max(width_px, height_px) > LARGEST_VIEW_PX:
        raise ValueError(
            f"{labels.path}: the crops of subject {view.subject}, camera {view.camera} look into directions that need "
            f"a picture of {width_px} x {height_px} pixels; the camera moved, or extrinsic_rot is of another kind"
        )
    return Camera(R, view.centre_world_m, np.array([focal_px, focal_px]), 1 - low, width_px, height_px)


def laid(
    crop: UInt8[np.ndarray, "s s 3"], from_camera: Camera, to: Camera
) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W 1"]]:
    """Lay a crop into the fixed picture; gives colours times cover, and cover."""
    cover = cut(np.full(crop.shape[:2], 255, np.uint8), from_camera, to).astype(np.float32) / 255
    return cut(crop, from_camera, to).astype(np.float32), cover[..., None]


def read_crop(path: Path, size_px: int) -> UInt8[np.ndarray, "s s 3"]:
    """Read one crop and check its size.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or of another size.
    """
    crop = read_image(path)
    if crop.shape[:2] != (size_px, size_px):
        raise ValueError(f"{path} is {crop.shape[1]} x {crop.shape[0]} pixels, the first crop {size_px} x {size_px}")
    return crop


def background_of(
    folder: Path, labels: LabelsH5, view: BaseView, size_px: int, to: Camera
) -> UInt8[np.ndarray, "H W 3"]:
    """Put the background of a view together from those of its crops; black where no crop was."""
    count = min(SAMPLED_BACKGROUNDS, len(view.rows))
    total = np.zeros((to.height_px, to.width_px, 3), np.float32)
    covers = np.zeros((to.height_px, to.width_px, 1), np.float32)
    for row in view.rows[((np.arange(count) + 0.5) * len(view.rows) / count).astype(int)].tolist():
        crop = read_crop(picture_path(folder, labels, row, "bg_crop"), size_px)
        colours, cover = laid(crop, crop_camera_of(labels, row, size_px, view.centre_world_m), to)
        total += colours
        covers += cover
    return np.round(total / np.maximum(covers, 1e-3)).clip(0, 255).astype(np.uint8)


def frame_of(
    crop: UInt8[np.ndarray, "s s 3"], from_camera: Camera, to: Camera, background: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay a crop over the background."""
    colours, cover = laid(crop, from_camera, to)
    return np.round(colours + (1 - cover) * background).clip(0, 255).astype(np.uint8)
