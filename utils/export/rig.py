"""A body as other programs take it: one surface of one shape, hung on bones that turn over time.

Bodies are y up and face +z at rest, all bones without rotation: the body file's own frame and T-pose.  The world of
exported files is x right, y up, z towards the viewer, with the camera at its origin: the camera's frame (x right, y
down, z forward) after half a turn about x.  A person who stands upright and faces the camera is then unrotated.
Exports meet the body model here and nowhere else.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

Y_UP_FROM_CAM = np.diag([1.0, -1.0, -1.0])
Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""A quarter turn about x, for worlds of recordings: z becomes y."""
LARGEST_SHEAR = 1e-3
"""How far R R^T may be from the identity; float32 gives 1e-6."""
SHORTEST_BONE_M = 1e-6
ALONG_FRONT = 0.9
"""Cosine to the front from which a bone counts as pointing there: a foot's axes then turn with its length, not with
the little that it deviates."""
BLOCK_FRAMES = 512
"""Frames computed at once: what lies between input and output takes some MB, however long the motion is."""


class Rig(NamedTuple):
    """A body of one shape in the T-pose, and what its surface hangs on."""

    vertices_m: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    joints_m: Float[np.ndarray, "J 3"]
    weights: Float[np.ndarray, "V J"]
    parents: tuple[int, ...]
    """The root first, with -1; every parent before its children."""
    names: tuple[str, ...]
    has_pose_offsets: bool
    """Whether the body has directions that follow the pose, as SMPL's files do; bones alone cannot show them."""


class RigMotion(NamedTuple):
    """How a rig turns and moves, in a world with y up."""

    rotations: Float[np.ndarray, "T J 3 3"]
    """Rotation of each joint relative to its parent; the root's is R_world_from_body."""
    pelvis_m: Float[np.ndarray, "T 3"]
    """Where the root joint is."""
    frames_per_second: float


def blocks(num_frames: int) -> Iterator[slice]:
    """Cut frames into blocks, in their order."""
    return (slice(start, start + BLOCK_FRAMES) for start in range(0, num_frames, BLOCK_FRAMES))


def motion_of(
    rig: Rig,
    rotations: Float[np.ndarray, "T J 3 3"],
    translation_m: Float[np.ndarray, "T 3"],
    frames_per_second: float,
    R_y_up: Float[np.ndarray, "3 3"] = Y_UP_FROM_CAM,
) -> RigMotion:
    """Turn what the body model takes in the camera's frame, or in another, into a motion in a world with y up.

    Args:
        rotations: the root's is R_cam_from_body; the motion has their precision.
        translation_m: as `body(rotations, betas, translation_m)` takes it, which moves the rest pose.
        R_y_up: takes the frame of the rotations to one with y up.
    Raises:
        ValueError: no frame, a number that is not finite, a matrix that is no rotation, or no frame rate.
    """
    if not len(rotations):
        raise ValueError("a motion needs at least one frame; there is none with a person in it")
    if not 0 < frames_per_second < np.inf:
        raise ValueError(f"frames_per_second is {frames_per_second}; use a positive number")
    refuse_other_than_rotations(rotations)
    if not np.isfinite(translation_m).all():
        raise ValueError("a translation is not finite; leave out the frames without a person")
    turned = rotations.copy()
    turned[:, 0] = R_y_up @ turned[:, 0]
    pelvis_m = rig.joints_m[0] + translation_m.astype(np.float64)
    return RigMotion(turned, pelvis_m @ R_y_up.T, float(frames_per_second))


def refuse_other_than_rotations(rotations: Float[np.ndarray, "T J 3 3"]) -> None:
    """Stop at matrices that are no rotations, naming the first."""
    for rows in blocks(len(rotations)):
        known = np.nan_to_num(rotations[rows], nan=0.0, posinf=0.0, neginf=0.0)
        square = known @ np.swapaxes(known, -1, -2)
        is_right = (np.abs(square - np.eye(3)).max(axis=(-1, -2)) < LARGEST_SHEAR) & (np.linalg.det(known) > 0)
        if not is_right.all():
            frame, joint = np.argwhere(~is_right)[0]
            raise ValueError(f"frame {rows.start + frame}, joint {joint}: the matrix is no rotation (or not finite); "
                             "rotations come from the body head or from roma")  # fmt: skip


def to_y_up(points_cam_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Turn points of the camera's frame by half a turn about x: y is then up, and z points back at the camera."""
    return points_cam_m * np.diag(Y_UP_FROM_CAM).astype(points_cam_m.dtype)


def posed_joints(rig: Rig, motion: RigMotion) -> tuple[Float[np.ndarray, "T J 3 3"], Float[np.ndarray, "T J 3"]]:
    """Walk down the bones: R_world_from_joint and the place of every joint."""
    R, joints_m = [motion.rotations[:, 0]], [motion.pelvis_m]
    for child, parent in enumerate(rig.parents[1:], start=1):
        joints_m.append(joints_m[parent] + R[parent] @ (rig.joints_m[child] - rig.joints_m[parent]))
        R.append(R[parent] @ motion.rotations[:, child])
    return np.stack(R, axis=1), np.stack(joints_m, axis=1)


def end_of_bone_m(rig: Rig, joint: int) -> Float[np.ndarray, "3"]:
    """Give where a bone without children ends, from its joint: the middle of what hangs mostly on it."""
    is_its_own = rig.weights.argmax(axis=1) == joint
    if not is_its_own.any():
        return np.zeros(3)
    own_m = rig.vertices_m[is_its_own]
    return (own_m.min(axis=0) + own_m.max(axis=0)) / 2 - rig.joints_m[joint]


def along_limb_m(rig: Rig, joint: int) -> Float[np.ndarray, "3"]:
    """Give where a bone leads at rest: to the child least to the side, as the spine goes on and not to an arm."""
    children = [child for child, parent in enumerate(rig.parents) if parent == joint]
    if not children:
        return end_of_bone_m(rig, joint)
    bones_m = rig.joints_m[children] - rig.joints_m[joint]
    return bones_m[np.abs(bones_m[:, 0]).argmin()]


def bone_axes(rig: Rig) -> Float[np.ndarray, "J 3 3"]:
    """Choose each bone's own axes at rest, R_body_from_bone: y along the limb, z as far to the front as y lets it.

    A limb that points to the front or back itself has z upwards; a bone without length has the axes of its parent.
    """
    axes = np.tile(np.eye(3), (len(rig.parents), 1, 1))
    for joint, parent in enumerate(rig.parents):
        limb_m = along_limb_m(rig, joint)
        if np.linalg.norm(limb_m) < SHORTEST_BONE_M:
            axes[joint] = axes[max(parent, 0)]
            continue
        y = limb_m / np.linalg.norm(limb_m)
        towards = np.array([0.0, 1, 0]) if abs(y[2]) > ALONG_FRONT else np.array([0.0, 0, 1])
        z = towards - y * (towards @ y)
        z /= np.linalg.norm(z)
        axes[joint] = np.stack([np.cross(y, z), y, z], axis=1)
    return axes


def relative_to_parents(R: Float[np.ndarray, "*n J 3 3"], parents: tuple[int, ...]) -> Float[np.ndarray, "*n J 3 3"]:
    """Say rotations in the world as rotations from the parent; the root's stays."""
    relative = np.swapaxes(R[..., np.maximum(parents, 0), :, :], -1, -2) @ R
    relative[..., 0, :, :] = R[..., 0, :, :]
    return relative


def about_bones(
    rotations: Float[np.ndarray, "T J 3 3"], axes: Float[np.ndarray, "J 3 3"], parents: tuple[int, ...]
) -> Float[np.ndarray, "T J 3 3"]:
    """Say a motion's rotations, which are none at rest, for bones that have axes of their own at rest.

    With A the axes and p the parent, A_p^T R A is what stands in a file; where R is none it is the bone's rest.
    Source: own derivation; test_export_gltf.py and Blender, test_in_blender.py.
    """
    above = axes[np.maximum(parents, 0)].copy()
    above[0] = np.eye(3)
    return np.swapaxes(above, -1, -2) @ rotations @ axes


def skinned_vertices_m(rig: Rig, motion: RigMotion, weights: Float[np.ndarray, "V J"]) -> Float[np.ndarray, "T V 3"]:
    """Bend the surface along the bones, as a viewer does: no direction that follows the pose.

    Source: linear blend skinning; Khronos, glTF 2.0, 3.7.3.3 (joint matrix = global transform * inverse bind matrix).
    """
    R, joints_m = posed_joints(rig, motion)
    shift_m = joints_m - np.einsum("tjab,jb->tja", R, rig.joints_m)
    turned = np.einsum("vj,tjab,vb->tva", weights, R, rig.vertices_m, optimize=True)
    return turned + np.einsum("vj,tja->tva", weights, shift_m)


def four_weights(
    weights: Float[np.ndarray, "V J"],
) -> tuple[Int[np.ndarray, "V 4"], Float[np.ndarray, "V 4"]]:
    """Keep each vertex's four largest weights, which is all that most viewers read, and let them sum to one.

    Returns:
        Joints and weights, the largest first; a weight of zero names joint 0.
    """
    padded = np.pad(weights, ((0, 0), (0, max(0, 4 - weights.shape[1]))))
    joints = np.argsort(-padded, axis=1, kind="stable")[:, :4]
    kept = np.take_along_axis(padded, joints, axis=1)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return np.where(kept > 0, joints, 0), kept


def all_weights(
    joints: Int[np.ndarray, "V 4"], weights: Float[np.ndarray, "V 4"], num_joints: int
) -> Float[np.ndarray, "V J"]:
    """Write four weights per vertex as one column per joint."""
    full = np.zeros((len(weights), num_joints))
    np.add.at(full, (np.arange(len(weights))[:, None], joints), weights)
    return full


def quaternions(
    rotations: Float[np.ndarray, "T J 3 3"], bones: tuple[Float[np.ndarray, "J 3 3"], tuple[int, ...]] | None = None
) -> Float[np.ndarray, "T J 4"]:
    """Give unit quaternions (x, y, z, w), as precise as the matrices, that never change sign between two frames.

    q and -q are one rotation, but a viewer that mixes two frames of opposite sign turns the long way round.

    Args:
        bones: axes and parents of the bones that the rotations are to be said for (`about_bones`).
    """
    found = np.empty((*rotations.shape[:2], 4), rotations.dtype)
    for rows in blocks(len(found)):
        here = rotations[rows].astype(np.float64)
        here = here if bones is None else about_bones(here, *bones)
        found[rows] = roma.rotmat_to_unitquat(torch.from_numpy(here)).numpy()
    is_flipped = np.einsum("tjc,tjc->tj", found[1:], found[:-1]) < 0
    sign = np.where(np.concatenate([found[:1, :, 3] < 0, is_flipped]), -1, 1).astype(np.int8)
    found *= np.cumprod(sign, axis=0, dtype=np.int8)[..., None]
    return found


def names_for_files(names: tuple[str, ...]) -> tuple[str, ...]:
    """Write joint names as every format can hold them: what is no letter A to Z, digit, dot, - or _ becomes _.

    Blanks end a name in .bvh, and a / ends one in .osim.
    Raises:
        ValueError: two names become one.
    """
    written = tuple(re.sub(r"[^A-Za-z0-9_.-]", "_", name) for name in names)
    twice = next((name for name, count in Counter(written).items() if count > 1), None)
    if twice is not None:
        both = [name for name, other in zip(names, written, strict=True) if other == twice]
        raise ValueError(f"the joints {both} of the body would both be called {twice!r} in files, which hold letters, "
                         "digits, dots, - and _ alone; rename one")  # fmt: skip
    return written


@runtime_checkable
class BodyModel(Protocol):
    """What is read of a body (models/smpl.py)."""

    faces: Tensor
    weights: Tensor
    pose_of_vertices: Tensor
    parents: tuple[int, ...]
    names: tuple[str, ...]

    def shaped_vertices_m(self, betas: Tensor) -> Tensor: ...  # noqa: D102
    def rest_joints_m(self, betas: Tensor) -> Tensor: ...  # noqa: D102


def rig_of(body: BodyModel, betas: Float[Tensor, "n"]) -> Rig:
    """Take one shape of a body out of the model; the shape's directions are baked into surface and joints."""
    device = body.faces.device
    shape = betas.detach()[None].to(device)
    return Rig(
        vertices_m=body.shaped_vertices_m(shape)[0].cpu().double().numpy(),
        faces=body.faces.cpu().numpy(),
        joints_m=body.rest_joints_m(shape)[0].cpu().double().numpy(),
        weights=body.weights.cpu().double().numpy(),
        parents=body.parents,
        names=names_for_files(body.names),
        has_pose_offsets=len(body.pose_of_vertices) > 0,
    )
