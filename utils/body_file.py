"""Reads body models in SMPL's format: the published .pkl files without chumpy and without running code, or .npz.

Any skeleton is read.  A file may name its joints (joint_names); what is made for SMPL's joints alone refuses others in
one place (`check_smpl_joints`).
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.file_kinds import kind_of
from utils.safe_arrays import Archive, array_in, header_of, read_array
from utils.safe_pickle import Matrix, is_sparse, load_records, to_array
from utils.skeleton import SMPL_24, SMPL_24_PARENTS, default_names

NUM_BETAS = 10
"""Shape numbers that networks read and data sets of poses keep; body files may have more directions."""
ROOT_PARENT = 2**32 - 1
"""How unsigned tables write the parent of the root, which is -1 here."""


class BodyFile(NamedTuple):
    """The arrays of a body model; V vertices, n shape directions, J joints."""

    v_template: np.ndarray
    """(V, 3) metres, T-pose, y up, facing +z."""
    shapedirs: np.ndarray
    """(V, 3, n) metres per beta."""
    posedirs: np.ndarray
    """(V, 3, 9 (J - 1)) metres per entry of the rotation matrices but the root's, minus identity; (V, 3, 0) where poses
    do not change the surface."""
    J_regressor: Matrix
    """(J, V)."""
    weights: np.ndarray
    """(V, J), rows sum to one."""
    parents: np.ndarray
    """(J,), -1 for the root, each before its children."""
    faces: np.ndarray
    """(F, 3) int64."""
    names: tuple[str, ...] = ()
    """Of the joints; where there are none, those of `default_names`."""
    J_regressor_h36m: np.ndarray | None = None
    """(17, V) or nothing: SMPL's own files have none."""
    J_regressor_evaluated: np.ndarray | None = None
    """(E, V) or nothing: joints of other names than Human3.6M's that bodies are measured by."""
    evaluated_names: tuple[str, ...] = ()
    """Of these."""
    ranges_rad: np.ndarray | None = None
    """(J, 3, 2) or nothing: least and greatest angle of each joint about x, y, z of the body, turned in this order."""
    cycle_rad: np.ndarray | None = None
    """(K, J, 3) or nothing: such angles in the frames of a cycle, as of a walk."""


NEEDED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
NAMES, EVALUATED_NAMES = "joint_names", "evaluated_names"
"""Arrays of text in a file: the names of its joints, and of those that J_regressor_evaluated reads off the surface.
SMPL's own files have none."""
NOT_NEEDED = {
    "J_regressor_h36m": "J_regressor_h36m", "J_regressor_evaluated": "J_regressor_evaluated",
    "joint_range_rad": "ranges_rad", "joint_cycle_rad": "cycle_rad",
}  # fmt: skip
"""Arrays that a file may have, and what they are called here."""


def read_body_file(path: Path) -> BodyFile:
    """Read a body model from .pkl or .npz and check that its parts fit together.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, lacks an array, holds anything but arrays, or its shapes contradict each other.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no body model at {path}; use models/assets/open_body.npz or put SMPL's .pkl or .npz there"
        )
    readers, ending, kind = {".pkl": _pickled, ".npz": _zipped}, path.suffix.lower(), kind_of(path)
    if ending not in readers:
        raise ValueError(f"{path} ends in {path.suffix!r}; body models are .pkl or .npz")
    ending = next((true for true, word in ((".npz", "npz"), (".pkl", "pickle")) if word in kind), ending)
    try:
        content = readers[ending](path)
    except ValueError as error:
        what = str(error) if not kind or kind in HARMLESS_KINDS else f"it is {kind}, no body model in SMPL's format"
        raise ValueError(f"{path} cannot be read: {what}") from error
    return _checked(path, _arrays(path, content), content)


HARMLESS_KINDS = ("a pickle", "an archive of NumPy arrays (.npz)", "text", "a zip archive that is cut short")
"""Kinds that a body file, perhaps a damaged one, can be: then the reader's own words say more."""
OTHER_MODELS = {55: "SMPL-X", 52: "SMPL-H", 16: "MANO", 5: "FLAME", 35: "SMAL (animals)", 33: "SMAL (animals)"}
"""Body models in files like SMPL's, by their number of joints."""


def has_smpl_joints(parents: tuple[int, ...], names: tuple[str, ...]) -> bool:
    """Tell whether joints are SMPL's 24, by their tree and their names."""
    return parents == SMPL_24_PARENTS and names == SMPL_24


def check_smpl_joints(path: Path, file: BodyFile, what: str) -> None:
    """Refuse a body of another skeleton than SMPL's, and name it if it is a model of the same family.

    Args:
        what: needs SMPL's joints, for the sentence.
    Raises:
        ValueError: the body has other joints.
    """
    joints = len(file.parents)
    if not has_smpl_joints(tuple(file.parents.tolist()), file.names):
        model = OTHER_MODELS.get(joints, "another skeleton")
        if tuple(file.parents.tolist()) == SMPL_24_PARENTS:
            first = next(pair for pair in zip(file.names, SMPL_24, strict=True) if pair[0] != pair[1])
            raise ValueError(
                f"{path} has SMPL's tree of joints but another name for one: {first[0]}, where SMPL has {first[1]}; "
                f"name them as SMPL does, or not at all, which is needed for {what}"
            )
        raise ValueError(
            f"{path} is a model of {model} ({len(file.v_template)} vertices, {joints} joints); SMPL's with "
            f"24 joints is needed for {what}, such as SMPL_NEUTRAL.pkl or models/assets/open_body.npz"
        )


def read_h36m_regressor(path: Path, num_vertices: int) -> np.ndarray:
    """Read a 17-joint regressor such as J_regressor_h36m_correct.npy.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not (17, V) for this body, or its rows do not sum to one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no 17-joint regressor at {path}")
    try:
        regressor = read_array(path)
    except ValueError as error:
        kind = kind_of(path)
        what = (
            f"it is {kind}" if kind and "(.npy)" not in kind else "it holds other things than numbers, or is cut short"
        )
        raise ValueError(
            f"{path} is no 17-joint regressor that can be read: {what}; give a .npy of (17, {num_vertices}) numbers, "
            "such as J_regressor_h36m_correct.npy"
        ) from error
    if regressor.dtype.kind not in "fiu":
        raise ValueError(f"{path} is no 17-joint regressor: it is {kind_of(path) or 'another file'}; give a .npy of "
                         f"(17, {num_vertices}) numbers, such as J_regressor_h36m_correct.npy")  # fmt: skip
    if regressor.shape != (17, num_vertices):
        raise ValueError(f"{path} has shape {regressor.shape}; this body needs (17, {num_vertices})")
    if not np.allclose(regressor.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"the rows of {path} do not sum to one")
    return regressor


def body_licence(path: Path) -> str:
    """Give the licence that a body file states, in one line, as headers of files need it; empty if it states none."""
    if "npz" not in kind_of(path):
        return ""
    stated = _zipped(path).get("licence", "")
    is_text = isinstance(stated, np.ndarray) and stated.dtype.kind == "U" and stated.ndim == 0
    return " ".join(str(stated).split()) if is_text else ""


def dense(matrix: Matrix) -> np.ndarray:
    """Give a matrix as an ordinary array."""
    return np.asarray(matrix.todense()) if is_sparse(matrix) else np.asarray(matrix)


def _pickled(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        content = load_records(stream)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not the dictionary of a body model")
    return content


def _zipped(path: Path) -> dict[str, Any]:
    archive = Archive(path)
    return {name: _member(archive.content(name)) for name in archive.files}


def _member(content: bytes) -> Any:
    """One array of an .npz; those that hold objects, such as a sparse matrix, go through the restricted reader."""
    header, begins = header_of(content)
    return load_records(io.BytesIO(content[begins:])) if b"'|O'" in header else array_in(content)


def _arrays(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key in NEEDED if key not in content]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; a body model needs {', '.join(NEEDED)}")
    arrays = {}
    for key in (*NEEDED, *NOT_NEEDED):
        if key in content:
            try:
                arrays[key] = to_array(content[key])
            except ValueError as error:
                raise ValueError(f"{key} of {path} cannot be read: {error}") from error
    return arrays


def _names(path: Path, content: dict[str, Any], key: str, joints: int) -> tuple[str, ...]:
    """Read the names of joints, in the order of the file; none where it has none."""
    if key not in content:
        return ()
    stored = content[key]
    listed = stored.tolist() if isinstance(stored, np.ndarray) and stored.dtype.kind == "U" else stored
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise ValueError(f"{key} of {path} is no list of names; store an array of {joints} texts")
    if len(listed) != joints or len(set(listed)) != joints:
        raise ValueError(f"{key} of {path} has {len(listed)} names, {len(set(listed))} of them different, but there "
                         f"are {joints} joints; give each one of its own")  # fmt: skip
    return tuple(listed)


def _checked(path: Path, arrays: dict[str, Any], content: dict[str, Any]) -> BodyFile:
    rows = {key: array.shape[0] if array.ndim else 0 for key, array in arrays.items()}
    num_vertices = rows["v_template"]
    directions = arrays["shapedirs"].shape[-1] if arrays["shapedirs"].ndim == 3 else "n"
    table, has_offsets = arrays["kintree_table"], arrays["posedirs"].shape[-1:] != (0,)
    joints = table.shape[1] if table.ndim == 2 and table.shape[1] else len(SMPL_24)
    expected: dict[str, tuple] = {
        "v_template": (num_vertices, 3),
        "shapedirs": (num_vertices, 3, directions),
        "posedirs": (num_vertices, 3, 9 * (joints - 1) if has_offsets else 0),
        "J_regressor": (joints, num_vertices),
        "weights": (num_vertices, joints),
        "kintree_table": (2, joints),
        "f": (rows["f"], 3),
        "J_regressor_h36m": (17, num_vertices),
        "J_regressor_evaluated": (rows.get("J_regressor_evaluated", 0), num_vertices),
        "joint_range_rad": (joints, 3, 2),
        "joint_cycle_rad": (rows.get("joint_cycle_rad", 0), joints, 3),
    }
    for key, array in arrays.items():
        if array.shape != expected[key]:
            raise ValueError(f"{key} of {path} has shape {array.shape}, expected {expected[key]}")
        if not np.isfinite(array.data if is_sparse(array) else array).all():
            raise ValueError(f"{key} of {path} holds values that are not finite")
    faces = dense(arrays["f"]).astype(np.int64)
    if len(faces) and not 0 <= faces.min() <= faces.max() < num_vertices:
        raise ValueError(f"f of {path} names vertices outside 0 to {num_vertices - 1}")
    rest = {key: dense(arrays[key]) for key in arrays if key not in ("kintree_table", "f", "J_regressor")}
    if not np.allclose(rest["weights"].sum(axis=1), 1, atol=1e-2):
        raise ValueError(f"the rows of weights of {path} do not sum to one")
    fields: dict[str, Any] = {NOT_NEEDED.get(key, key): array for key, array in rest.items()}
    fields |= {"J_regressor": arrays["J_regressor"], "parents": _parents(path, dense(table)), "faces": faces}
    file = BodyFile(**fields, names=_names(path, content, NAMES, joints))
    return _parents_first(path, _with_evaluated(path, file, content))


def _with_evaluated(path: Path, file: BodyFile, content: dict[str, Any]) -> BodyFile:
    """Name the joints that a file's own regressor gives, and check what a file may have beside what it needs.

    Raises:
        ValueError: two regressors, one without names or the other way round, or ranges that are none.
    """
    if file.ranges_rad is not None and (file.ranges_rad[..., 0] > file.ranges_rad[..., 1]).any():
        raise ValueError(f"joint_range_rad of {path} has least angles above the greatest; exchange them")
    if file.J_regressor_evaluated is None:
        if EVALUATED_NAMES in content:
            raise ValueError(f"{path} has {EVALUATED_NAMES} but no J_regressor_evaluated; store both or neither")
        return file
    if file.J_regressor_h36m is not None:
        raise ValueError(f"{path} has J_regressor_h36m and J_regressor_evaluated; store the one that bodies are to be "
                         "measured by")  # fmt: skip
    names = _names(path, content, EVALUATED_NAMES, len(file.J_regressor_evaluated))
    if not names:
        raise ValueError(
            f"{path} has J_regressor_evaluated but no {EVALUATED_NAMES}; store a name for each of its rows"
        )
    if not np.allclose(file.J_regressor_evaluated.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"the rows of J_regressor_evaluated of {path} do not sum to one")
    return file._replace(evaluated_names=names)


def _parents(path: Path, table: np.ndarray) -> np.ndarray:
    """Read the parent of every joint: the columns of the table may come in any order.

    Raises:
        ValueError: no tree with one root.
    """
    above, joints = table[0].astype(np.int64), table[1].astype(np.int64)
    above[above == ROOT_PARENT] = -1
    numbers = np.arange(len(joints))
    is_numbered = np.array_equal(np.sort(joints), numbers) and (above >= -1).all() and (above < len(joints)).all()
    parents = np.full(len(joints), -1)
    if is_numbered:
        parents[joints] = above
    reached = parents
    for _ in numbers:  # as many steps up as there are joints end above the root, but for those in a circle
        reached = np.where(reached >= 0, parents[reached], -1)
    if not is_numbered or (parents < 0).sum() != 1 or (reached >= 0).any():
        raise ValueError(f"kintree_table of {path} is not a tree of joints with one root: {table.tolist()}")
    return parents


def _parents_first(path: Path, file: BodyFile) -> BodyFile:
    """Bring joints into an order in which each follows its parent; those of most files stand in one.

    Raises:
        ValueError: the root is not first, and pose directions, which leave the first joint out, would mean others.
    """
    parents: list[int] = file.parents.tolist()
    order: list[int] = []
    while len(order) < len(parents):
        order.append(next(joint for joint, parent in enumerate(parents) if joint not in order
                          and (parent < 0 or parent in order)))  # fmt: skip
    if order == list(range(len(parents))):
        return file._replace(names=file.names or default_names(tuple(parents)))
    if order[0] != 0 and file.posedirs.any():
        raise ValueError(f"the root of {path} is joint {order[0]}, but its pose directions (posedirs) are about all "
                         "joints but the first; store the root first")  # fmt: skip
    place = np.argsort(order)
    above = np.array([-1 if parents[joint] < 0 else place[parents[joint]] for joint in order])
    names, posedirs = file.names or default_names(tuple(parents)), file.posedirs
    if posedirs.any():
        posedirs = posedirs.reshape(*posedirs.shape[:2], -1, 9)[:, :, np.array(order[1:]) - 1].reshape(posedirs.shape)
    ranges, cycle = file.ranges_rad, file.cycle_rad
    return file._replace(
        ranges_rad=None if ranges is None else ranges[order], cycle_rad=None if cycle is None else cycle[:, order],
        parents=above, J_regressor=dense(file.J_regressor)[order], weights=file.weights[:, order], posedirs=posedirs,
        names=tuple(names[joint] for joint in order),
    )  # fmt: skip
