"""Files come back as they were written, and a wrong file gets one clear sentence."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from config import Crop, EncDecConfig, Paths, PoseConfig, Subjects
from sample.save_embeddings import EmbeddingsConfig
from utils.artifacts import (
    Embeddings,
    atomic_folder,
    atomic_write,
    file_hash,
    load_arrays,
    load_background,
    load_checkpoint,
    load_embeddings,
    load_index,
    load_metrics,
    load_predictions,
    lock_settings,
    save_arrays,
    save_background,
    save_checkpoint,
    save_embeddings,
    save_index,
    save_metrics,
    save_predictions,
    scratch_folder,
)
from utils.settings import config_from_dict, to_plain
from utils.tiers import NOTHING

FRAMES = np.array([[1, 2, 1, 1, 1], [1, 2, 1, 2, 1], [9, 16, 2, 4, 30]], np.int32)


def halve(path: Path) -> None:
    """Cut a file in the middle, as a full disk would."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_half_a_file_never_exists(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic_write(target) as partial:
        partial.write_text("old")
    with pytest.raises(KeyError), atomic_write(target) as partial:
        partial.write_text("half of the new")
        assert target.read_text() == "old"
        raise KeyError
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"] and target.read_text() == "old"


def test_the_index_comes_back_sorted(tmp_path):
    save_index(tmp_path / "index.npz", FRAMES[[2, 0, 1, 0]], "abc")
    index = load_index(tmp_path / "index.npz")
    assert np.array_equal(index.frames, FRAMES) and index.frames.dtype == np.int32 and index.fingerprint == "abc"


@pytest.mark.parametrize(
    ("frames", "problem"),
    [(FRAMES[::-1], "not sorted"), (FRAMES[[0, 0]], "rows twice"), (FRAMES[:, :4], "instead of int32"),
     (FRAMES.astype(float), "instead of int32"), (FRAMES[:0], "instead of int32")],
)  # fmt: skip
def test_a_wrong_index_is_refused(tmp_path, frames, problem):
    save_arrays(tmp_path / "index.npz", "index", frames=frames, fingerprint=np.array(""))
    with pytest.raises(ValueError, match=rf"{problem}.*h36m_preprocess.py"):
        load_index(tmp_path / "index.npz")


def test_a_background_comes_back(tmp_path):
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    save_background(tmp_path / "s_01_ca_01.npy", image)
    assert np.array_equal(load_background(tmp_path / "s_01_ca_01.npy"), image)
    np.save(tmp_path / "float.npy", image / 255)
    with pytest.raises(ValueError, match=r"float.npy is damaged.*h36m_get_background.py"):
        load_background(tmp_path / "float.npy")


def write_all(folder: Path) -> dict[str, Path]:
    """Write one file of every kind."""
    paths = {name: folder / name for name in ("index.npz", "b.npy", "c.pt", "embeddings.pkl", "p.npz", "metrics.json")}
    save_index(paths["index.npz"], FRAMES, "abc")
    save_background(paths["b.npy"], np.zeros((8, 8, 3), np.uint8))
    save_checkpoint(
        paths["c.pt"], "enc_dec", 7, to_plain(EncDecConfig()), {"model": torch.nn.Linear(9, 9).state_dict()}
    )
    save_embeddings(paths["embeddings.pkl"], embeddings_of(paths["c.pt"], paths["index.npz"]))
    save_predictions(paths["p.npz"], "test", FRAMES, {"checkpoint": paths["c.pt"]}, joints_root_m=np.ones((3, 17, 3)))
    save_metrics(
        paths["metrics.json"],
        "test",
        FRAMES,
        {"checkpoint": paths["c.pt"]},
        {"mpjpe_mm": 51.5},
        reads=NOTHING,
        at_test=NOTHING,
    )
    return paths


def embeddings_of(encoder: Path, index: Path) -> Embeddings:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, 5, 3)).astype(np.float32)
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (3, 3, 3)).copy()
    return Embeddings(points, points[:, :, 0], FRAMES, rotations, file_hash(encoder), file_hash(index))


READERS = {
    "index.npz": (load_index, "h36m_preprocess.py"),
    "b.npy": (load_background, "h36m_get_background.py"),
    "c.pt": (lambda path: load_checkpoint(path, "enc_dec"), "train_enc_dec.py"),
    "embeddings.pkl": (lambda path: load_embeddings(path, path.with_name("c.pt"), path.with_name("index.npz")),
                       "save_embeddings.py"),
    "p.npz": (lambda path: load_predictions(path, "test_pose.py"), "test_pose.py"),
    "metrics.json": (lambda path: load_metrics(path, "test_pose.py"), "test_pose.py"),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("harm", ["missing", "halved", "empty", "another kind"])
def test_a_missing_or_damaged_file_gets_one_sentence_with_the_remedy(tmp_path, name, harm):
    path, (read, command) = write_all(tmp_path)[name], READERS[name]
    read(path)
    if harm == "missing":
        path.unlink()
    elif harm == "halved":
        halve(path)
    else:
        path.write_text("" if harm == "empty" else "The quick brown fox.\n")
    with pytest.raises((ValueError, FileNotFoundError), match=command) as error:
        read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_checkpoint_of_another_stage_is_refused(tmp_path):
    path = write_all(tmp_path)["c.pt"]
    with pytest.raises(ValueError, match=r"holds 'enc_dec', but 'pose' is needed.*train_3d_pose_from_enc.py"):
        load_checkpoint(path, "pose")


def test_a_newer_format_is_refused(tmp_path):
    path = write_all(tmp_path)["metrics.json"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(ValueError, match="has format 2, this program reads 1"):
        load_metrics(path, "test_pose.py")


def test_arrays_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds 'index', but 'crops' is needed; that is made with: make crops"):
        load_arrays(write_all(tmp_path)["index.npz"], "crops", "make crops")


def test_a_checkpoint_comes_back_and_rebuilds_its_settings(tmp_path):
    config = EncDecConfig(name="x", paths=Paths(runs_location=Path("/data/runs")), crop=Crop(size_px=96))
    weights = {"weight": torch.randn(4, 4)}
    save_checkpoint(tmp_path / "c.pt", "enc_dec", 12, to_plain(config), {"model": weights})
    checkpoint = load_checkpoint(tmp_path / "c.pt", "enc_dec")
    assert checkpoint["step"] == 12 and torch.equal(checkpoint["states"]["model"]["weight"], weights["weight"])
    assert config_from_dict(EncDecConfig, checkpoint["config"]) == config


class Harm:
    """Would make a folder when unpickled."""

    def __init__(self, folder: Path):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_no_file_runs_code(tmp_path):
    harmful = {"format": 1, "stage": "enc_dec", "kind": "embeddings", "states": Harm(tmp_path / "harm")}
    torch.save(harmful, tmp_path / "c.pt")
    (tmp_path / "e.pkl").write_bytes(pickle.dumps(harmful))
    with pytest.raises(ValueError, match=r"c.pt is damaged or of another kind"):
        load_checkpoint(tmp_path / "c.pt", "enc_dec")
    with pytest.raises(ValueError, match=r"it names (posix|nt)\.mkdir.*nothing was run"):
        load_embeddings(tmp_path / "e.pkl", tmp_path / "c.pt", tmp_path / "c.pt")
    assert not (tmp_path / "harm").exists()
    assert pickle.loads((tmp_path / "e.pkl").read_bytes())["format"] == 1
    assert (tmp_path / "harm").exists(), "the harmful pickle of this test is harmless"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_embeddings_of_any_pickle_protocol_are_read(tmp_path, protocol):
    paths = write_all(tmp_path)
    content = pickle.loads(paths["embeddings.pkl"].read_bytes())
    paths["embeddings.pkl"].write_bytes(pickle.dumps(content, protocol=protocol))
    read = load_embeddings(paths["embeddings.pkl"], paths["c.pt"], paths["index.npz"])
    assert np.array_equal(read.points, content["points"]) and np.array_equal(read.frames, FRAMES)


def as_numpy_1_wrote(content: bytes) -> bytes:
    """Name NumPy's module as before its version 2; protocol 4 writes the length before it, and before the whole."""
    if content[2:3] == pickle.FRAME:
        content = content[:2] + content[11:]  # a frame may be left out
    content = content.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@pytest.mark.parametrize("protocol", [2, 4])
def test_embeddings_written_with_an_older_numpy_are_read_and_may_be_written_to(tmp_path, protocol):
    paths = write_all(tmp_path)
    content = pickle.loads(paths["embeddings.pkl"].read_bytes())
    older = as_numpy_1_wrote(pickle.dumps(content, protocol=protocol))
    assert b"numpy.core.multiarray" in older and b"numpy._core" not in older
    paths["embeddings.pkl"].write_bytes(older)
    read = load_embeddings(paths["embeddings.pkl"], paths["c.pt"], paths["index.npz"])
    for name in ("points", "appearance", "frames", "R_crop_from_world"):
        found = getattr(read, name)
        assert np.array_equal(found, content[name]) and found.dtype == content[name].dtype
        assert found.flags.writeable and found.flags.owndata, "PyTorch wants to write to what it takes"


class Called:
    """Pickles as a call, then as a state that is put into what the call gave."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


OBJECTS = np.dtype("O")
POINTERS = {
    "an array of pointers": Called(np.ndarray, (1,), OBJECTS, b"\x01" * 8),
    "pointers that are put into an array later": Called(
        np.ndarray, (0,), np.dtype("u1"), state=(1, (1,), OBJECTS, False, [b"text"])
    ),
    "a record with a pointer in it": Called(np.ndarray, (1,), np.dtype([("a", "O")]), b"\x01" * 8),
    "a type that is forged later": Called(
        np.ndarray,
        (1,),
        Called(np.dtype, "V8", state=(3, "|", None, ("a",), {"a": (OBJECTS, 0)}, 8, 1, 27)),
        b"\x01" * 8,
    ),
    "a subclass of arrays": Called(np.memmap, "nothing"),
}
"""What must not reach NumPy's constructors: the first kills the process as soon as it is compared or printed."""


def test_bytes_are_never_taken_for_pointers(tmp_path):
    paths = write_all(tmp_path)
    content = pickle.loads(paths["embeddings.pkl"].read_bytes())
    hostile = {
        (name, entry): content | {entry: payload}
        for name, payload in POINTERS.items()
        for entry in ("kind", "format", "encoder_hash", "points")
    }
    files = [tmp_path / f"{number}.pkl" for number in range(len(hostile))]
    for file, harmful in zip(files, hostile.values(), strict=True):
        file.write_bytes(pickle.dumps(harmful, protocol=4))
    script = """
import sys
from pathlib import Path
from utils.artifacts import load_embeddings
encoder, index, *files = map(Path, sys.argv[1:])
for file in files:
    try:
        load_embeddings(file, encoder, index)
    except ValueError as error:
        print(error, flush=True)
"""  # in a process of its own: a crash must fail this test, not end the others
    command = [sys.executable, "-c", script, *map(str, (paths["c.pt"], paths["index.npz"], *files))]
    done = subprocess.run(command, capture_output=True, text=True)
    refusals = done.stdout.splitlines()
    read = [name for number, name in enumerate(hostile) if number >= len(refusals)]
    assert done.returncode == 0 and not read, f"exit {done.returncode} at or before {read[:1]}: {done.stderr[-300:]}"
    assert all("save_embeddings.py" in refusal for refusal in refusals), refusals


def test_no_object_is_reached_by_its_address(tmp_path):
    script = """
import pickle, sys
from pathlib import Path
from numpy import dtype, ndarray
from utils.artifacts import load_embeddings

class Shown:
    def __repr__(self):
        sys.exit("the file ran this")
    def __eq__(self, other):
        sys.exit("the file ran this")

class Called:
    def __reduce__(self):
        return ndarray, ((1,), dtype("O"), id(shown).to_bytes(8, "little"))

shown, path = Shown(), Path(sys.argv[1])
path.write_bytes(pickle.dumps({"kind": Called(), "format": 1}))
try:
    load_embeddings(path, path, path)
except ValueError:
    sys.exit(3)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "e.pkl")], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr[-300:]


@pytest.mark.parametrize(
    "change",
    [{"kind": FRAMES}, {"format": FRAMES}, {"format": True}, {"encoder_hash": FRAMES}, {"index_hash": None},
     {"points": [1.0]}, {"points": {}}, {1: 2}],
    ids=["kind is an array", "format is an array", "format is true", "a hash is an array", "a hash is nothing",
         "points are a list", "points are a dictionary", "a name is a number"],
)  # fmt: skip
def test_entries_of_another_type_are_refused_in_one_sentence(tmp_path, change):
    paths = write_all(tmp_path)
    content = pickle.loads(paths["embeddings.pkl"].read_bytes()) | change
    paths["embeddings.pkl"].write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(ValueError, match=r"save_embeddings.py") as error:
        load_embeddings(paths["embeddings.pkl"], paths["c.pt"], paths["index.npz"])
    assert "\n" not in str(error.value) and "ambiguous" not in str(error.value)


def test_a_name_or_a_message_of_several_lines_is_told_in_one(tmp_path):
    paths = write_all(tmp_path)
    for content in (b"\x80\x04\x8c\x03o\ns\x8c\x05s\x1b[1m\x93.", b"\x80\x04Pnumber\n."):
        paths["embeddings.pkl"].write_bytes(content)
        with pytest.raises(ValueError, match=r"embeddings.pkl is damaged") as error:
            load_embeddings(paths["embeddings.pkl"], paths["c.pt"], paths["index.npz"])
        assert str(error.value).isprintable()


@pytest.mark.parametrize("changed", ["c.pt", "index.npz"])
def test_embeddings_of_another_encoder_or_index_are_refused(tmp_path, changed):
    paths = write_all(tmp_path)
    with open(paths[changed], "ab") as stream:
        stream.write(b" ")
    with pytest.raises(ValueError, match=rf"not made from .*{changed}.*save_embeddings.py"):
        load_embeddings(paths["embeddings.pkl"], paths["c.pt"], paths["index.npz"])


@pytest.mark.parametrize("change", [{"points": np.zeros((2, 5, 3), np.float32)}, {"points": "many"}, {"colour": 1}])
def test_embeddings_whose_arrays_do_not_fit_are_refused(tmp_path, change):
    paths = write_all(tmp_path)
    content = pickle.loads(paths["embeddings.pkl"].read_bytes()) | change
    paths["embeddings.pkl"].write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(ValueError, match=r"damaged or of another kind.*save_embeddings.py"):
        load_embeddings(paths["embeddings.pkl"], paths["c.pt"], paths["index.npz"])


def test_results_carry_their_origin(tmp_path):
    paths = write_all(tmp_path)
    provenance, arrays = load_predictions(paths["p.npz"], "test_pose.py")
    metrics = load_metrics(paths["metrics.json"], "test_pose.py")
    assert arrays.keys() == {"frames", "joints_root_m"} and arrays["joints_root_m"].shape == (3, 17, 3)
    assert metrics["metrics"] == {"mpjpe_mm": 51.5}
    for about in (provenance, metrics):
        assert about["split"] == "test" and about["num_frames"] == 3 and about["commit"]
        assert about["input_hashes"] == {"checkpoint": file_hash(paths["c.pt"])}


def test_a_number_that_is_none_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_metrics(
            tmp_path / "metrics.json", "test", FRAMES, {}, {"mpjpe_mm": float("nan")}, reads=NOTHING, at_test=NOTHING
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "config",
    [
        EncDecConfig(),
        PoseConfig(encoder=Path("a.pt")),
        PoseConfig(Path("a.pt"), mode="embeddings", embeddings=Path("e")),
        EmbeddingsConfig(Path("a.pt"), subjects=()),
        EncDecConfig(subjects=Subjects(held_out=((3, 1),))),
    ],
)
def test_settings_survive_json(config):
    assert config_from_dict(type(config), json.loads(json.dumps(to_plain(config)))) == config


def test_settings_of_another_version_are_refused():
    plain = to_plain(EncDecConfig())
    with pytest.raises(ValueError, match="Crop has no setting zoom"):
        config_from_dict(EncDecConfig, plain | {"crop": plain["crop"] | {"zoom": 2}})
    with pytest.raises(ValueError, match=r"Crop.centre is 'nose'; this program knows 'pelvis'"):
        config_from_dict(EncDecConfig, plain | {"crop": plain["crop"] | {"centre": "nose"}})
    with pytest.raises(ValueError, match="multiple of 16"):
        config_from_dict(EncDecConfig, plain | {"crop": plain["crop"] | {"size_px": 65}})


@dataclass(frozen=True)
class Odd:
    pair: tuple[int, Literal["x", "y"]]
    maybe: tuple[Path, ...] | None = None


def test_unusual_annotations_are_rebuilt():
    for odd in (Odd((1, "x")), Odd((2, "y"), (Path("a"), Path("b")))):
        assert config_from_dict(Odd, to_plain(odd)) == odd
    assert config_from_dict(Odd, to_plain(replace(odd, maybe=()))).maybe == ()


def test_folders_appear_together_or_not_at_all(tmp_path):
    with pytest.raises(OSError, match="full"), atomic_folder(tmp_path / "a", tmp_path / "b") as partials:
        (partials[1] / "x").write_text("x")
        raise OSError("full")
    assert not list(tmp_path.iterdir())
    with atomic_folder(tmp_path / "a", tmp_path / "b") as partials:
        (partials[1] / "x").write_text("x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "x"]


def test_a_folder_begun_with_other_settings_is_refused(tmp_path):
    place = tmp_path / "out" / "settings.json"
    lock_settings(place, {"every": 3, "crop": {"size_px": 64}}, "delete it")
    lock_settings(place, {"every": 3, "crop": {"size_px": 64}}, "delete it")
    with pytest.raises(ValueError, match=r"out was begun with crop.size_px 64, and this run has crop.size_px 96; use"):
        lock_settings(place, {"every": 3, "crop": {"size_px": 96}}, "delete it")
    assert json.loads(place.read_text())["crop"]["size_px"] == 64


def test_a_scratch_folder_leaves_nothing_but_what_others_wrote(tmp_path):
    with scratch_folder(tmp_path / "a" / "b" / "c") as folder:
        (folder / "x").write_text("x")
    assert not list(tmp_path.iterdir())
    with scratch_folder(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "y").write_text("y")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["y"]
