import io
import pickle
import struct
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse
import torch

from utils.body_file import BodyFile, body_licence, check_smpl_joints, dense, read_body_file, read_h36m_regressor
from utils.safe_pickle import load_records, to_array
from utils.skeleton import SMPL_24_PARENTS

NUM_VERTICES = 30


class Ch:
    __module__ = "chumpy.ch"

    def __init__(self, x):
        self.x = x
        self._dirty_vars = set()


class Select:
    __module__ = "chumpy.reordering"

    def __init__(self, a, idxs, preferred_shape):
        self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape


class csc_matrix:  # noqa: N801
    __module__ = "scipy.sparse.csc"

    def __init__(self, matrix):
        self._shape, self.maxprint, self.format = matrix.shape, 50, "csc"
        self.data, self.indices, self.indptr = matrix.data, matrix.indices, matrix.indptr


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2's cPickle wrote: byte strings for text and data, and the module names of its time."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)
    names: ClassVar = {
        "numpy._core.multiarray": "numpy.core.multiarray",
        "builtins": "__builtin__",
        "copyreg": "copy_reg",
    }

    def save_bytes(self, value):
        self.write(b"T" + struct.pack("<i", len(value)) + value)

    def save_text(self, value):
        self.save_bytes(value.encode("latin1"))

    def save_global(self, value, name=None):
        module = self.names.get(value.__module__, value.__module__)
        self.write(b"c" + module.encode() + b"\n" + (name or value.__name__).encode() + b"\n")
        self.memoize(value)

    dispatch[bytes] = save_bytes
    dispatch[str] = save_text
    dispatch[type] = save_global


def arrays(num_directions=10, seed=0):
    rng = np.random.default_rng(seed)
    regressor = scipy.sparse.random(24, NUM_VERTICES, 0.3, format="csc", random_state=1)
    weights = rng.uniform(size=(NUM_VERTICES, 24))
    return {
        "v_template": rng.normal(size=(NUM_VERTICES, 3)),
        "shapedirs": rng.normal(size=(NUM_VERTICES, 3, num_directions)),
        "posedirs": np.asfortranarray(rng.normal(size=(NUM_VERTICES, 3, 207))),
        "J_regressor": regressor,
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, *SMPL_24_PARENTS[1:]], range(24)], np.uint32),
        "f": rng.integers(0, NUM_VERTICES, (50, 3)).astype(np.uint32),
    }


def like_python_2(content, protocol=2) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, protocol).dump(content)
    return stream.getvalue()


def published_form() -> dict:
    """As the public files are: chumpy objects, an old SciPy matrix, and entries that nobody needs."""
    content = arrays()
    return content | {
        "shapedirs": Ch(content["shapedirs"]),
        "J_regressor": csc_matrix(content["J_regressor"]),
        "bs_style": "lbs\xe9",
        "J": Ch(np.zeros((24, 3))),
        "vert_sym_idxs": np.arange(NUM_VERTICES),
    }


def saved(tmp_path: Path, data: bytes, name="body.pkl") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def assert_same(body: BodyFile, content: dict) -> None:
    for key in ("v_template", "shapedirs", "posedirs", "weights"):
        np.testing.assert_array_equal(getattr(body, key), content[key])
    np.testing.assert_array_equal(dense(body.J_regressor), content["J_regressor"].toarray())
    np.testing.assert_array_equal(body.faces, content["f"])
    assert tuple(body.parents) == SMPL_24_PARENTS


def test_a_python_2_pickle_loads_without_chumpy(tmp_path):
    data = like_python_2(published_form())
    for name in (b"cchumpy.ch\nCh\n", b"cscipy.sparse.csc\ncsc_matrix\n", b"cnumpy.core.multiarray\n_reconstruct\n"):
        assert name in data
    assert_same(read_body_file(saved(tmp_path, data)), arrays())
    assert "chumpy" not in sys.modules


@pytest.mark.parametrize("protocol", [0, 1])
def test_the_older_protocols_load_too(tmp_path, protocol):
    content = arrays()
    content = content | {"shapedirs": Ch(content["shapedirs"]), "J_regressor": csc_matrix(content["J_regressor"])}
    data = like_python_2(content, protocol)
    assert b"copy_reg\n_reconstructor" in data
    assert_same(read_body_file(saved(tmp_path, data)), arrays())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_this_python_and_numpy_load(tmp_path, protocol):
    assert_same(read_body_file(saved(tmp_path, pickle.dumps(arrays(), protocol))), arrays())


@pytest.mark.parametrize("form", ["csr", "coo"])
def test_other_sparse_forms_give_the_same_matrix(tmp_path, form):
    content = arrays() | {"J_regressor": arrays()["J_regressor"].asformat(form)}
    assert_same(read_body_file(saved(tmp_path, pickle.dumps(content, 2))), arrays())


def test_a_sliced_model_gives_the_selected_entries(tmp_path):
    content, chosen = arrays(), np.arange(NUM_VERTICES * 30)
    whole = np.concatenate([content["shapedirs"].ravel(), np.full(17, 9.0)])
    sliced = content | {"shapedirs": Select(Ch(whole), chosen, (NUM_VERTICES, 3, 10))}
    assert_same(read_body_file(saved(tmp_path, like_python_2(sliced))), content)


def test_three_hundred_directions_and_a_signed_root_load_from_npz(tmp_path):
    content = arrays(300)
    content["kintree_table"] = np.array([SMPL_24_PARENTS, range(24)], np.int64)
    np.savez(tmp_path / "body.npz", **{**content, "J_regressor": content["J_regressor"].toarray()})
    body = read_body_file(tmp_path / "body.npz")
    assert_same(body, content)
    assert body.shapedirs.shape == (NUM_VERTICES, 3, 300)


def test_an_npz_with_a_pickled_sparse_matrix_loads(tmp_path):
    np.savez(tmp_path / "body.npz", **arrays())
    assert_same(read_body_file(tmp_path / "body.npz"), arrays())


# ----------------------------------------------------------------------------------------------------------- refusals


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write_a_trace(path: str) -> None:
    Path(path).touch()


def attacks(trace: Path) -> dict[str, bytes]:
    import functools
    import os

    code = f"open({str(trace)!r}, 'w')"
    return {
        "posix.system": pickle.dumps(Runs(os.system, f"touch {trace}"), 2),
        "builtins.eval": pickle.dumps(Runs(eval, code), 2),
        "builtins.exec": pickle.dumps({"v_template": Runs(exec, code)}, 4),
        "builtins.getattr": pickle.dumps(Runs(getattr, "a", "upper"), 2),
        "functools.partial": pickle.dumps(functools.partial(eval, code), 2),
        "write_a_trace": pickle.dumps(Runs(write_a_trace, str(trace)), 2),
        "numpy.load": b"cnumpy\nload\n(V" + str(trace).encode() + b"\ntR.",
        "chumpy.ch.Ch.__init__": b"\x80\x04\x8c\x09chumpy.ch\x8c\x0bCh.__init__\x93.",
        "subprocess.Popen": b"csubprocess\nPopen\n(V" + f"touch {trace}".encode() + b"\ntR.",
        "scipy.sparse.linalg": b"cscipy.sparse.linalg\nsplu\n.",
    }


@pytest.mark.parametrize("name", sorted(attacks(Path("trace"))))
def test_anything_else_in_a_pickle_is_refused_by_name_and_does_not_run(tmp_path, name):
    trace = tmp_path / "trace"
    path = saved(tmp_path, attacks(trace)[name])
    with pytest.raises(ValueError, match=name.rpartition(".")[2]):
        read_body_file(path)
    assert not trace.exists()


def test_the_attacks_would_run_without_the_restriction(tmp_path):
    pickle.loads(attacks(tmp_path / "trace")["builtins.eval"])
    assert (tmp_path / "trace").exists()


def test_code_inside_an_object_array_of_an_npz_is_refused(tmp_path):
    trace = tmp_path / "trace"
    held = np.empty((), object)
    held[()] = Runs(eval, f"open({str(trace)!r}, 'w')")
    np.savez(tmp_path / "body.npz", **{**arrays(), "J_regressor": held})
    with pytest.raises(ValueError, match=r"builtins\.eval"):
        read_body_file(tmp_path / "body.npz")
    assert not trace.exists()


def test_a_dtype_that_reads_bytes_as_pointers_is_refused():
    array, dtype = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR",
        b"cnumpy\ndtype\n(S'%s'\nI0\nI1\ntR",
    )
    forged = array + b"(I1\n(I1\nt" + dtype + b"I00\nS'AAAAAAAA'\ntb."
    assert to_array(load_records(io.BytesIO(forged % b"f8"))) == np.frombuffer(b"AAAAAAAA")
    for code in (b"V8", b"S8", b"O8", b"f8,f8", b"M8"):
        with pytest.raises(ValueError):
            to_array(load_records(io.BytesIO(forged % code)))


def test_a_pickle_leaves_no_trace_in_the_stand_ins():
    spoil = b"\x80\x02cchumpy.ch\nCh\nN}U\x05spoilK\x01s\x86b."
    with pytest.raises(ValueError):
        load_records(io.BytesIO(spoil))
    fresh = load_records(io.BytesIO(like_python_2(Ch(np.ones(3)))))
    assert not hasattr(type(fresh), "spoil")


# -------------------------------------------------------------------------------------------------------- damaged files


def test_a_file_cut_short_anywhere_gives_one_sentence(tmp_path):
    for data, name in ((like_python_2(published_form()), "body.pkl"), (npz_bytes(), "body.npz")):
        for length in np.linspace(0, len(data) - 1, 60).astype(int):
            with pytest.raises(ValueError, match=r"body\.\w+ cannot be read"):
                read_body_file(saved(tmp_path, data[:length], name))


def npz_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays())
    return stream.getvalue()


@pytest.mark.parametrize("name", ["body.pkl", "body.npz"])
def test_a_file_with_wrong_bytes_never_fails_in_another_way(tmp_path, name):
    whole = like_python_2(published_form()) if name == "body.pkl" else npz_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        near_the_front = rng.random() < 0.7
        for position in rng.integers(0, 400 if near_the_front else len(data), 3):
            data[position] = rng.integers(0, 256)
        try:
            read_body_file(saved(tmp_path, bytes(data), name))
        except ValueError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("key", ["v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f"])
def test_a_missing_array_is_named(tmp_path, key):
    content = arrays()
    del content[key]
    with pytest.raises(ValueError, match=f"lacks {key};"):
        read_body_file(saved(tmp_path, pickle.dumps(content, 2)))


WRONG = {
    "v_template": np.zeros(3),
    "shapedirs": np.zeros((NUM_VERTICES, 10)),
    "posedirs": np.zeros((NUM_VERTICES, 3, 206)),
    "J_regressor": np.zeros((17, NUM_VERTICES)),
    "weights": np.full((NUM_VERTICES, 24), np.nan),
    "kintree_table": np.array([[-1, 2, 1, *SMPL_24_PARENTS[3:]], range(24)]),
    "f": np.full((4, 3), NUM_VERTICES),
}


@pytest.mark.parametrize("key", sorted(WRONG))
def test_an_array_that_does_not_fit_is_named(tmp_path, key):
    content = arrays() | {key: WRONG[key]}
    with pytest.raises(ValueError, match=f"{key if key != 'v_template' else 'shape'} "):
        read_body_file(saved(tmp_path, pickle.dumps(content, 2)))


@pytest.mark.parametrize("value", ["text", None, {"a": 1}, np.array(["a"]), np.array([1, "a"], object)])
def test_an_entry_that_is_no_array_of_numbers_is_named(tmp_path, value):
    with pytest.raises(ValueError, match="weights of"):
        read_body_file(saved(tmp_path, pickle.dumps(arrays() | {"weights": value}, 2)))


def test_a_missing_file_and_a_wrong_ending_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no body model"):
        read_body_file(tmp_path / "body.pkl")
    with pytest.raises(ValueError, match=r"\.pkl or \.npz"):
        read_body_file(saved(tmp_path, b"", "body.obj"))


def test_a_separate_h36m_regressor_is_checked(tmp_path):
    path = tmp_path / "regressor.npy"
    good = np.full((17, NUM_VERTICES), 1 / NUM_VERTICES)
    np.save(path, good)
    np.testing.assert_array_equal(read_h36m_regressor(path, NUM_VERTICES), good)
    with pytest.raises(ValueError, match="shape"):
        read_h36m_regressor(path, NUM_VERTICES + 1)
    np.save(path, good * 2)
    with pytest.raises(ValueError, match="sum to one"):
        read_h36m_regressor(path, NUM_VERTICES)
    with pytest.raises(FileNotFoundError):
        read_h36m_regressor(tmp_path / "none.npy", NUM_VERTICES)


def of_joints(count: int, vertices: int = NUM_VERTICES) -> dict:
    """A model of the same family with so many joints."""
    content = arrays()
    return content | {
        "J_regressor": np.zeros((count, vertices)),
        "weights": np.full((vertices, count), 1 / count),
        "posedirs": np.zeros((vertices, 3, 9 * (count - 1))),
        "kintree_table": np.array([[2**32 - 1, *range(count - 1)], range(count)], np.uint32),
    }


@pytest.mark.parametrize(
    ("joints", "name"), [(55, "SMPL-X"), (52, "SMPL-H"), (16, "MANO"), (5, "FLAME"), (20, "another skeleton")]
)
@pytest.mark.parametrize("ending", ["npz", "pkl", "NPZ"])
def test_models_of_the_same_family_are_called_by_their_names(tmp_path, joints, name, ending):
    path = tmp_path / f"MODEL_NEUTRAL.{ending}"
    if ending == "pkl":
        path.write_bytes(pickle.dumps(of_joints(joints), protocol=2))
    else:
        with open(path, "wb") as stream:
            np.savez(stream, **of_joints(joints))
    body = read_body_file(path)
    assert body.names == tuple(f"joint_{number}" for number in range(joints))
    with pytest.raises(ValueError, match=f"is a model of {name} .30 vertices, {joints} joints.; .* needed for hinges"):
        check_smpl_joints(path, body, "hinges")


def test_a_body_of_smpls_joints_serves_where_these_are_needed(tmp_path):
    path = saved(tmp_path, pickle.dumps(arrays(), 2))
    check_smpl_joints(path, read_body_file(path), "hinges")
    named = arrays() | {"joint_names": [f"other_{number}" for number in range(24)]}
    path = saved(tmp_path, pickle.dumps(named, 2))
    with pytest.raises(ValueError, match="another name for one: other_0, where SMPL has pelvis"):
        check_smpl_joints(path, read_body_file(path), "hinges")


BRANCHED = np.array([[-1, 0, 1, 0, 3, 4, 3], range(7)])
"""A tree of seven joints."""


def of_tree(table: np.ndarray) -> dict:
    """A body with this tree, whose joints can be told apart by every array that has something for each."""
    rng, joints = np.random.default_rng(3), table.shape[1]
    regressor, weights = (rng.uniform(size=shape) for shape in ((joints, NUM_VERTICES), (NUM_VERTICES, joints)))
    return arrays() | {
        "J_regressor": regressor,
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "posedirs": rng.normal(size=(NUM_VERTICES, 3, 9 * (joints - 1))),
        "kintree_table": table,
    }


def renumbered(content: dict, order: list[int]) -> dict:
    """The same body with its joints in another order, the first of them staying first."""
    table, place = content["kintree_table"], np.argsort(order)
    above = [-1 if table[0, joint] < 0 else place[table[0, joint]] for joint in order]
    blocks = content["posedirs"].reshape(NUM_VERTICES, 3, -1, 9)[:, :, np.array(order[1:]) - 1]
    return content | {
        "J_regressor": content["J_regressor"][order],
        "weights": content["weights"][:, order],
        "posedirs": blocks.reshape(NUM_VERTICES, 3, -1),
        "kintree_table": np.array([above, range(len(order))]),
        "joint_names": np.array(content["joint_names"])[order].tolist(),
    }


def test_joints_that_come_before_their_parents_are_brought_into_order(tmp_path):
    content = of_tree(BRANCHED) | {"joint_names": list("abcdefg")}
    straight = read_body_file(saved(tmp_path, pickle.dumps(content, 2)))
    other = renumbered(content, [0, 5, 4, 3, 6, 2, 1])
    found = read_body_file(saved(tmp_path, pickle.dumps(other, 2)))
    assert (found.parents < np.arange(7)).all()
    rows = [found.names.index(name) for name in straight.names]
    assert sorted(rows) == list(range(7)) and rows != list(range(7))
    for name, parent in zip(straight.names, straight.parents, strict=True):
        its = found.parents[found.names.index(name)]
        assert its == parent == -1 or found.names[its] == straight.names[parent]
    np.testing.assert_array_equal(dense(found.J_regressor)[rows], straight.J_regressor)
    np.testing.assert_array_equal(found.weights[:, rows], straight.weights)
    blocks = [body.posedirs.reshape(NUM_VERTICES, 3, -1, 9) for body in (found, straight)]
    np.testing.assert_array_equal(blocks[0][:, :, np.array(rows[1:]) - 1], blocks[1])


def test_columns_of_the_tree_may_come_in_any_order(tmp_path):
    content = of_tree(BRANCHED)
    mixed = content | {"kintree_table": BRANCHED[:, [3, 0, 6, 1, 5, 2, 4]]}
    straight, found = (read_body_file(saved(tmp_path, pickle.dumps(one, 2))) for one in (content, mixed))
    np.testing.assert_array_equal(found.parents, straight.parents)
    np.testing.assert_array_equal(found.weights, straight.weights)


@pytest.mark.parametrize(
    "above",
    [[-1, 0, 0, 5, 3, 4, 3], [-1, -1, 0, 0, 3, 4, 3], [1, 0, 1, 0, 3, 4, 3], [-1, 0, 7, 0, 3, 4, 3],
     [-1, 0, -2, 0, 3, 4, 3]],
)  # fmt: skip
def test_what_is_no_tree_is_refused(tmp_path, above):
    content = of_tree(np.array([above, range(7)]))
    with pytest.raises(ValueError, match=r"kintree_table of .* is not a tree of joints with one root"):
        read_body_file(saved(tmp_path, pickle.dumps(content, 2)))


def test_a_root_that_is_not_first_is_brought_there_unless_pose_directions_are_about_others(tmp_path):
    table = np.array([[2, 0, -1], range(3)])
    content = of_tree(table) | {"joint_names": ["knee", "foot", "hip"]}
    with pytest.raises(ValueError, match=r"the root of .* is joint 2, but its pose directions"):
        read_body_file(saved(tmp_path, pickle.dumps(content, 2)))
    found = read_body_file(saved(tmp_path, pickle.dumps(content | {"posedirs": np.zeros((NUM_VERTICES, 3, 0))}, 4)))
    assert found.names == ("hip", "knee", "foot") and found.parents.tolist() == [-1, 0, 1]
    assert found.posedirs.shape == (NUM_VERTICES, 3, 0)


@pytest.mark.parametrize("ending", ["npz", "pkl"])
def test_a_file_names_its_joints(tmp_path, ending):
    content, path = of_tree(BRANCHED) | {"joint_names": list("abcdefg")}, tmp_path / f"body.{ending}"
    if ending == "npz":
        np.savez(path, **{name: dense(value) for name, value in content.items()})
    else:
        path.write_bytes(pickle.dumps(content, 2))
    assert read_body_file(path).names == tuple("abcdefg")


def measured(rows: int = 2) -> dict:
    """A body with joints of its own that it is measured by, ranges and a cycle."""
    regressor = np.full((rows, NUM_VERTICES), 1 / NUM_VERTICES)
    ranges = np.stack([-np.ones((7, 3)), np.arange(21.0).reshape(7, 3)], axis=2)
    return of_tree(BRANCHED) | {
        "joint_names": list("abcdefg"), "J_regressor_evaluated": regressor, "evaluated_names": ["nose", "tail"],
        "joint_range_rad": ranges, "joint_cycle_rad": np.arange(84.0).reshape(4, 7, 3),
    }  # fmt: skip


def test_a_file_may_tell_what_it_is_measured_by_and_how_it_moves(tmp_path):
    content = measured()
    found = read_body_file(saved(tmp_path, pickle.dumps(content, 2)))
    assert found.evaluated_names == ("nose", "tail")
    for stored, name in (
        ("J_regressor_evaluated",) * 2,
        ("joint_range_rad", "ranges_rad"),
        ("joint_cycle_rad", "cycle_rad"),
    ):
        np.testing.assert_array_equal(getattr(found, name), content[stored])
    order = [0, 5, 4, 3, 6, 2, 1]
    mixed = renumbered(content, order) | {
        "joint_range_rad": content["joint_range_rad"][order], "joint_cycle_rad": content["joint_cycle_rad"][:, order]
    }  # fmt: skip
    other = read_body_file(saved(tmp_path, pickle.dumps(mixed, 2)))
    rows = [other.names.index(name) for name in found.names]
    np.testing.assert_array_equal(other.ranges_rad[rows], found.ranges_rad)
    np.testing.assert_array_equal(other.cycle_rad[:, rows], found.cycle_rad)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"J_regressor_evaluated": None}, "evaluated_names but no J_regressor_evaluated"),
     ({"evaluated_names": None}, "J_regressor_evaluated but no evaluated_names"),
     ({"evaluated_names": ["nose"]}, "has 1 names"),
     ({"J_regressor_evaluated": np.ones((2, NUM_VERTICES))}, "do not sum to one"),
     ({"J_regressor_evaluated": np.ones((2, 3))}, "has shape"),
     ({"J_regressor_h36m": np.full((17, NUM_VERTICES), 1 / NUM_VERTICES)}, "J_regressor_h36m and J_regressor_eval"),
     ({"joint_range_rad": np.stack([np.ones((7, 3)), np.zeros((7, 3))], axis=2)}, "least angles above the greatest"),
     ({"joint_range_rad": np.zeros((7, 2))}, "has shape"), ({"joint_cycle_rad": np.zeros((4, 6, 3))}, "has shape"),
     ({"joint_cycle_rad": np.float64(3)}, "has shape")],
)  # fmt: skip
def test_what_contradicts_itself_beside_a_body_is_refused(tmp_path, change, told):
    content = {name: value for name, value in (measured() | change).items() if value is not None}
    with pytest.raises(ValueError, match=told):
        read_body_file(saved(tmp_path, pickle.dumps(content, 2)))


@pytest.mark.parametrize(
    ("names", "told"),
    [(list("abcdef"), "has 6 names"), (list("abcdefa"), "6 of them different"), ([1] * 7, "no list of names"),
     (["", *"abcdef"], "no list of names"), ("abcdefg", "no list of names")],
)  # fmt: skip
def test_names_that_do_not_fit_are_refused(tmp_path, names, told):
    content = of_tree(BRANCHED) | {"joint_names": names}
    with pytest.raises(ValueError, match=f"joint_names of .* {told}"):
        read_body_file(saved(tmp_path, pickle.dumps(content, 2)))


def test_what_a_body_file_is_decides_and_not_its_ending(tmp_path):
    content = {name: dense(value) for name, value in arrays().items()}
    np.savez(tmp_path / "body.npz", **content)
    (tmp_path / "body.pkl").write_bytes((tmp_path / "body.npz").read_bytes())
    np.testing.assert_array_equal(read_body_file(tmp_path / "body.pkl").faces, content["f"])


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"<!DOCTYPE html><title>SMPL login</title>", "a web page"), (b"%PDF-1.4", "a PDF"),
     (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "a PNG picture"), (b"version https://git-lfs.github.com/spec", "Git LFS"),
     (b"\x1f\x8b" + b"\0" * 40, "a gzip archive")],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["pkl", "npz"])
def test_files_of_another_kind_are_called_by_it(tmp_path, content, kind, ending):
    (tmp_path / f"body.{ending}").write_bytes(content)
    with pytest.raises(ValueError, match=rf"body\.{ending} cannot be read: it is .*{kind}"):
        read_body_file(tmp_path / f"body.{ending}")


def test_a_file_of_pytorch_is_called_so(tmp_path):
    torch.save({"v_template": torch.zeros(3, 3)}, tmp_path / "body.pkl")
    for read in (read_body_file, lambda path: read_h36m_regressor(path, 30)):
        with pytest.raises(ValueError, match=r"body\.pkl .*it is a file of PyTorch"):
            read(tmp_path / "body.pkl")


@pytest.mark.parametrize(
    ("content", "words"),
    [(np.array([{"a": 1}, None], dtype=object), "other things than numbers"), (b"junk", "it is text"),
     (b"", "it is an empty file"), (b"<html>", "a web page"), (b"\x93NUMPY\x01\x00", "other things than numbers")],
)  # fmt: skip
def test_a_regressor_of_junk_gets_its_name_and_no_bad_advice(tmp_path, content, words):
    path = tmp_path / "J_regressor.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(ValueError, match=rf"J_regressor\.npy is no 17-joint regressor .*{words}") as refused:
        read_h36m_regressor(path, 30)
    assert "pickle" not in str(refused.value) and "unsafe" not in str(refused.value)


def test_a_licence_of_several_lines_becomes_one_as_headers_need_it(tmp_path):
    np.savez(tmp_path / "body.npz", licence=np.array("free for\n  research\tonly\n"))
    assert body_licence(tmp_path / "body.npz") == "free for research only"
