"""Says a motion of one body with the parameters of another in SMPL's format: the open body's for SMPL's, and back.

Two bodies of one skeleton differ in where their joints lie, in how their limbs point at rest, and in what their shape
numbers mean.  The other body's shape is fitted once, at rest: the first body is brought to the other's rest pose, where
joints are compared by name and surfaces by nearest points.  The pose then follows in closed form: each limb of the
other body points to where the limb of the first one points.  What remains is measured.
"""

from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree

from models.smpl import Body
from utils.body_file import NUM_BETAS
from utils.draw_mesh import vertex_normals
from utils.export.rig import relative_to_parents
from utils.metrics import MM_PER_M

ROUNDS = 10
"""Of finding nearest points and fitting the shape to them; a body said for itself then comes back to 0.2 mm."""
DOUBTED_M = 0.02
"""Distance of a point from the other surface at which it counts half: fingers and toes find wrong partners."""
RIDGE_M2 = 1e-8
"""Per squared shape number: one of 1 costs as much as all joints off by 0.1 mm, so that only what is seen moves it."""
MEASURED_FRAMES = 32
"""Frames, spread over the motion, in which the surfaces are compared."""
OPPOSITE = 1e-6


class Moved(NamedTuple):
    """What a body model takes."""

    rotations: Float[np.ndarray, "T J 3 3"]
    betas: Float[np.ndarray, "n"]
    translation_m: Float[np.ndarray, "T 3"]


class Distance(NamedTuple):
    """How far a motion of another body is from the first one's."""

    joints_mm: float
    """Mean distance of joints of the same name, over all frames."""
    worst_joint_mm: float
    """The largest of the joints' own means."""
    surface_mm: float
    """Median distance of the other body's vertices from the first one's surface."""
    surface_95_mm: float
    """95th percentile of the same."""


def turned_onto(bones: Float[np.ndarray, "C 3"], others: Float[np.ndarray, "C 3"]) -> Float[np.ndarray, "3 3"]:
    """Give the rotation that turns directions best onto others; of a single one, the smallest that does.

    Raises:
        ValueError: a single one and its other are opposite.
    Source: Kabsch 1976; Rodrigues' formula for a single direction.
    """
    units = [values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-9) for values in (bones, others)]
    if len(bones) > 1:
        return roma.special_procrustes(torch.from_numpy(units[1].T @ units[0])).numpy()
    x, y, z = np.cross(units[0][0], units[1][0])
    cos = float(units[0][0] @ units[1][0])
    if 1 + cos < OPPOSITE:
        raise ValueError("a limb of one body points, at rest, opposite to that of the other; both files must be of "
                         "bodies in the T-pose, y up, facing +z")  # fmt: skip
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cos)


def limb_rotations(
    rest_m: Float[np.ndarray, "J 3"], other_m: Float[np.ndarray, "J 3"], parents: tuple[int, ...]
) -> Float[np.ndarray, "J 3 3"]:
    """Find, for each joint, the rotation in the body's axes that brings its bones from one rest pose to another.

    The turn of a single bone about itself is its parent's; a joint without bones turns with its parent.
    """
    R = np.tile(np.eye(3), (len(parents), 1, 1))
    for joint, parent in enumerate(parents):
        above = R[max(parent, 0)]
        children = [child for child, its in enumerate(parents) if its == joint]
        bones_m, others_m = (points[children] - points[joint] for points in (rest_m, other_m))
        R[joint] = turned_onto(bones_m @ above.T, others_m) @ above if children else above
    return R


def in_world(rotations: Float[np.ndarray, "T J 3 3"], parents: tuple[int, ...]) -> Float[np.ndarray, "T J 3 3"]:
    """Walk down the skeleton: rotations from the parent as rotations in the world."""
    R = rotations.copy()
    for joint, parent in enumerate(parents[1:], start=1):
        R[:, joint] = R[:, parent] @ rotations[:, joint]
    return R


def posed(body: Body, moved: Moved) -> tuple[Float[np.ndarray, "T V 3"], Float[np.ndarray, "T J 3"]]:
    """Pose a body; vertices and joints."""
    betas = np.tile(moved.betas, (len(moved.rotations), 1))
    taken = [torch.from_numpy(values).to(body.template_m) for values in (moved.rotations, betas, moved.translation_m)]
    with torch.no_grad():
        out = body(*taken)
    return out.vertices_m.cpu().double().numpy(), out.joints_m.cpu().double().numpy()


def rest_of(body: Body, betas: Float[np.ndarray, "n"]) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "J 3"]]:
    """Give surface and joints of a shape at rest."""
    shape = torch.from_numpy(betas)[None].to(body.template_m)
    return (body.shaped_vertices_m(shape)[0].cpu().double().numpy(),
            body.rest_joints_m(shape)[0].cpu().double().numpy())  # fmt: skip


def fitted_shape(body: Body, betas: Float[np.ndarray, "n"], other: Body) -> Float[np.ndarray, "m"]:
    """Find the shape of another body whose joints and surface, at rest, are nearest to a shape of the first.

    Source: own derivation: least squares over joints, and over points along the normals of the surface that is nearest
    (Chen, Medioni, 1992), again and again.
    """
    found = np.zeros(min(other.num_betas, NUM_BETAS))
    of_vertices = other.shape_of_vertices.cpu().double().numpy().reshape(other.num_betas, -1, 3)[: len(found)]
    of_joints = other.shape_of_joints.cpu().double().numpy().reshape(other.num_betas, -1, 3)[: len(found)]
    faces = body.faces.cpu().numpy()
    for _ in range(ROUNDS):
        points_m, joints_m = rest_of(other, found)
        turned = relative_to_parents(limb_rotations(rest_of(body, betas)[1], joints_m, body.parents), body.parents)
        (surface_m,), (wanted_m,) = posed(body, Moved(turned[None], betas, np.zeros((1, 3))))
        shift_m = (joints_m - wanted_m).mean(axis=0)
        normals = vertex_normals(surface_m, faces)
        off_m, nearest = cKDTree(surface_m + shift_m).query(points_m)
        trust = np.sqrt(1 / (1 + (off_m / DOUBTED_M) ** 2) / len(points_m))
        along = normals[nearest] * trust[:, None]
        rows = [np.einsum("vc,nvc->vn", along, of_vertices), of_joints.reshape(len(found), -1).T / len(joints_m) ** 0.5]
        wanted = [np.einsum("vc,vc->v", along, surface_m[nearest] + shift_m - points_m),
                  (wanted_m + shift_m - joints_m).reshape(-1) / len(joints_m) ** 0.5]  # fmt: skip
        A, b = np.concatenate(rows), np.concatenate(wanted)
        found = found + np.linalg.solve(A.T @ A + RIDGE_M2 * np.eye(len(found)), A.T @ b - RIDGE_M2 * found)
    return found


def for_other_body(body: Body, moved: Moved, other: Body) -> Moved:
    """Say a motion of one body with the parameters of another.

    Raises:
        ValueError: they have different skeletons, or are not both in the T-pose at rest.
    """
    if body.parents != other.parents:
        raise ValueError(f"the bodies have different skeletons ({len(body.parents)} and {len(other.parents)} joints); "
                         "motions are said again for bodies with the same joints")  # fmt: skip
    betas = fitted_shape(body, moved.betas, other)
    turned = limb_rotations(rest_of(body, moved.betas)[1], rest_of(other, betas)[1], body.parents)
    R = in_world(moved.rotations, body.parents) @ np.swapaxes(turned, -1, -2)
    rotations = relative_to_parents(R, body.parents)
    there = Moved(rotations, betas, np.zeros((len(rotations), 3)))
    away_m = joints_of(body, moved) - joints_of(other, there)
    return there._replace(translation_m=away_m.mean(axis=1))


def joints_of(body: Body, moved: Moved) -> Float[np.ndarray, "T J 3"]:
    """Give the joints of all frames without posing the surface."""
    rest_m = rest_of(body, moved.betas)[1]
    R, joints_m = in_world(moved.rotations, body.parents), np.empty((len(moved.rotations), *rest_m.shape))
    joints_m[:, 0] = rest_m[0] + moved.translation_m
    for joint, parent in enumerate(body.parents[1:], start=1):
        joints_m[:, joint] = joints_m[:, parent] + R[:, parent] @ (rest_m[joint] - rest_m[parent])
    return joints_m


def distance_between(body: Body, moved: Moved, other: Body, there: Moved) -> Distance:
    """Measure how far apart two bodies move."""
    apart_m = np.linalg.norm(joints_of(body, moved) - joints_of(other, there), axis=-1).mean(axis=0)
    rows = np.unique(np.linspace(0, len(moved.rotations) - 1, MEASURED_FRAMES).astype(int))
    off_m = []
    for row in rows:
        (surface_m,), _ = posed(body, Moved(moved.rotations[[row]], moved.betas, moved.translation_m[[row]]))
        (points_m,), _ = posed(other, Moved(there.rotations[[row]], there.betas, there.translation_m[[row]]))
        nearest = cKDTree(surface_m).query(points_m)[1]
        normals = vertex_normals(surface_m, body.faces.cpu().numpy())
        off_m.append(np.abs(np.einsum("vc,vc->v", normals[nearest], points_m - surface_m[nearest])))
    told_m = (apart_m.mean(), apart_m.max(), np.median(off_m), np.percentile(off_m, 95))
    return Distance(*(float(MM_PER_M * value) for value in told_m))
