"""A body file in SMPL's format that is not the embedded one: other vertices, another rest pose, other shape numbers."""

from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from config import Paths
from utils.body_file import BodyFile, dense, read_body_file
from utils.skeleton import SMPL_24

CELL_M = 0.025
"""Vertices of a bone that share such a cell become one."""
SCALE = 0.94
REST_DEG = {
    "left_shoulder": (0, 0, -6), "right_shoulder": (0, 0, 6), "left_elbow": (0, -5, 0), "right_elbow": (0, 5, 0),
    "left_hip": (0, 0, 5), "right_hip": (0, 0, -5), "spine1": (4, 0, 0), "neck": (-6, 0, 0),
}  # fmt: skip
"""How its rest pose differs from the embedded body's, about x, y, z: arms a little down, legs apart, neck back."""


def chained(parents, rest_m: np.ndarray, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift of every joint from the rest pose, walking down by hand."""
    R, places = [turns[0]], [rest_m[0]]
    for joint, parent in enumerate(parents[1:], start=1):
        places.append(places[parent] + R[parent] @ (rest_m[joint] - rest_m[parent]))
        R.append(R[parent] @ turns[joint])
    R_all = np.stack(R)
    return R_all, np.stack(places) - np.einsum("jab,jb->ja", R_all, rest_m)


@cache
def foreign_file() -> BodyFile:
    """Make it: coarser, smaller, in its own rest pose, its vertices in another order, its shape numbers mixed."""
    file, rng = read_body_file(Paths().models_smpl_location), np.random.default_rng(5)
    cells = np.column_stack([np.floor(file.v_template / CELL_M), file.weights.argmax(axis=1)]).astype(int)
    _, first, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = rng.permutation(len(first))
    kept, row_of_cell = first[order], np.argsort(order)
    faces = row_of_cell[cell.reshape(-1)[file.faces]]
    faces = faces[[len(set(face)) == 3 for face in faces.tolist()]]
    regressor = dense(file.J_regressor)
    turns = np.tile(np.eye(3), (24, 1, 1))
    for name, angles in REST_DEG.items():
        turns[SMPL_24.index(name)] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    R, shift_m = chained(file.parents, regressor @ file.v_template, turns)
    blend_R, blend_m = (np.tensordot(file.weights[kept], values, 1) for values in (R, shift_m))
    template_m = SCALE * (np.einsum("vab,vb->va", blend_R, file.v_template[kept]) + blend_m)
    directions_m = SCALE * np.einsum("vab,vbn->van", blend_R, file.shapedirs[kept])
    mixed = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    joints_m = SCALE * (np.einsum("jab,jb->ja", R, regressor @ file.v_template) + shift_m)
    return BodyFile(
        template_m,
        directions_m @ mixed,
        np.zeros((len(kept), 3, 207)),
        regressor_of(template_m, file.weights[kept], joints_m),
        file.weights[kept],
        file.parents,
        faces,
    )


def regressor_of(template_m: np.ndarray, weights: np.ndarray, joints_m: np.ndarray) -> np.ndarray:
    """Weights of the vertices about each joint that sum to one and give it, as near to equal as they can be."""
    rows = []
    for place_m in joints_m:
        own = np.argsort(np.linalg.norm(template_m - place_m, axis=1))[:40]
        A = np.concatenate([template_m[own].T, np.ones((1, len(own)))])
        start = np.full(len(own), 1 / len(own))
        row = np.zeros(len(template_m))
        row[own] = start + np.linalg.pinv(A) @ (np.append(place_m, 1) - A @ start)
        rows.append(row)
    return np.stack(rows)


def write_foreign_body(path) -> None:
    """Write it as .npz."""
    file = foreign_file()
    table = np.stack([file.parents, np.arange(24)])
    np.savez(path, v_template=file.v_template, shapedirs=file.shapedirs, posedirs=file.posedirs, weights=file.weights,
             J_regressor=file.J_regressor, kintree_table=table, f=file.faces)  # fmt: skip
