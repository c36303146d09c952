"""Poses that need no image: what a network that reads one has to beat.

The mean of labelled poses is a stick, because they face everywhere; turned to one heading first, their median is a
person.  All poses are about the pelvis, the world's z axis points up, and a heading is that of utils/metrics.py.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from utils.metrics import heading_rad, n_mpjpe_mm
from utils.skeleton import H36M, Skeleton

CHUNK = 32
"""True poses compared with all labels at once; 32 x 540 poses take 4 MB."""


def turned_by_headings(
    pose_world_m: Float[Tensor, "*batch J 3"], angle_rad: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch J 3"]:
    """Turn poses to their left, by one angle each."""
    x, y, z = pose_world_m.unbind(dim=-1)
    sin, cos = angle_rad.sin()[..., None], angle_rad.cos()[..., None]
    return torch.stack((cos * x - sin * y, sin * x + cos * y, z), dim=-1)


def headings_world_rad(pose_world_m: Float[Tensor, "B J 3"], skeleton: Skeleton = H36M) -> Float[Tensor, "B"]:
    """Give the heading of every pose."""
    axes = torch.eye(3, dtype=pose_world_m.dtype).expand(len(pose_world_m), 3, 3)
    return heading_rad(pose_world_m, axes, skeleton)


def without_heading(labels_world_m: Float[Tensor, "L J 3"], skeleton: Skeleton = H36M) -> Float[Tensor, "L J 3"]:
    """Put every pose's first joint, the pelvis, at the origin, and turn it to heading 0."""
    about_root_m = labels_world_m - labels_world_m[:, :1]
    return turned_by_headings(about_root_m, -headings_world_rad(labels_world_m, skeleton))


def heading_to_camera_rad(R_crop_from_world: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B"]:
    """Give the heading of a person who faces the camera: against the camera's axis, the last row of R."""
    return torch.atan2(-R_crop_from_world[:, 2, 1], -R_crop_from_world[:, 2, 0])


def nearest_labels(labels_m: Float[Tensor, "L J 3"], true_m: Float[Tensor, "B J 3"]) -> Float[Tensor, "B J 3"]:
    """Find the labelled pose with the smallest N-MPJPE from each true one, headings as they are."""
    rows = []
    for few in true_m.split(CHUNK):
        pairs = (labels_m.repeat(len(few), 1, 1), few.repeat_interleave(len(labels_m), dim=0))
        rows.append(n_mpjpe_mm(*pairs).unflatten(0, (len(few), -1)).argmin(dim=1))
    return labels_m[torch.cat(rows)]


def reference_poses(
    labels_world_m: Float[Tensor, "L J 3"],
    true_root_m: Float[Tensor, "B J 3"],
    R_crop_from_world: Float[Tensor, "B 3 3"],
    skeleton: Skeleton = H36M,
) -> dict[str, Float[Tensor, "B J 3"]]:
    """Predict every true pose without its image, in crop axes.

    Returns:
        constant_pose: the median of the labels, always facing the camera.
        constant_pose_true_heading: the same, given the true heading (an oracle).
        nearest_label_true_heading: the nearest label, given the true pose (an oracle: nothing that only chooses among
            labels can be better in N-MPJPE, but for small differences of heading).
    """
    labels = without_heading(labels_world_m, skeleton)
    true_world_m = true_root_m @ R_crop_from_world
    true_heading_rad = headings_world_rad(true_world_m, skeleton)
    median = without_heading(labels.median(dim=0).values[None], skeleton).expand_as(true_root_m)
    found = {
        "constant_pose": turned_by_headings(median, heading_to_camera_rad(R_crop_from_world)),
        "constant_pose_true_heading": turned_by_headings(median, true_heading_rad),
        "nearest_label_true_heading": turned_by_headings(
            nearest_labels(labels, turned_by_headings(true_world_m, -true_heading_rad)), true_heading_rad
        ),
    }
    return {name: pose_world_m @ R_crop_from_world.mT for name, pose_world_m in found.items()}


REFERENCES = {
    "constant_pose": "constant pose: median label, facing the camera",
    "constant_pose_true_heading": "the same at the true heading (oracle)",
    "nearest_label_true_heading": "nearest label at the true heading (oracle)",
}
"""Rows that need no image (utils/reference_poses.py)."""
