import ast

import numpy as np
import pytest
import roma
import torch

from config import ROOT
from dataset_def.ground_truth_bodies import (
    EMBEDDED,
    FITTED,
    SequenceBodies,
    bodies_of_frames,
    load_bodies,
    save_bodies,
    sequence_path,
)
from utils.artifacts import file_hash


@pytest.fixture
def body(tmp_path):
    place = tmp_path / "body.npz"
    place.write_bytes(b"a body")
    return place


def some_bodies(frames: int, source: str = FITTED, body_hash: str = "") -> SequenceBodies:
    rng = np.random.default_rng(frames)
    return SequenceBodies(rng.normal(0, 0.5, (frames, 72)), rng.normal(size=10), rng.normal(size=(frames, 3)), source,
                          body_hash)  # fmt: skip


def test_bodies_come_back_as_they_were_written(tmp_path):
    written = some_bodies(4, body_hash="abc")
    save_bodies(tmp_path / "one.npz", written)
    found = load_bodies(tmp_path / "one.npz")
    for before, after in zip(written[:3], found[:3], strict=True):
        assert np.allclose(before, after, atol=1e-6)
    assert found[3:] == (FITTED, "abc")


def test_each_frame_gets_the_row_of_its_number_and_nan_where_nothing_is_known(tmp_path, body):
    written = some_bodies(3, body_hash=file_hash(body))
    written.theta[1] = np.nan
    save_bodies(sequence_path(tmp_path, 9, 2, 1), written)
    frames = np.array([[9, 2, 1, 1, 3], [9, 2, 1, 4, 1], [9, 2, 1, 1, 2], [9, 2, 1, 1, 4], [9, 3, 1, 1, 1]])
    found = bodies_of_frames(tmp_path, frames, body)
    assert found is not None and found.source == FITTED
    expected = roma.rotvec_to_rotmat(torch.from_numpy(written.theta[[2, 0]]).float().unflatten(1, (24, 3)))
    assert torch.allclose(found.rotations_world[:2], expected, atol=1e-5)
    assert torch.allclose(found.translation_m[1], torch.from_numpy(written.translation_m[0]).float())
    assert found.rotations_world[2:].isnan().all() and found.betas[2:].isnan().all()
    assert found.betas[:2].isfinite().all()


def test_a_folder_without_the_sequences_has_no_truth(tmp_path, body):
    assert bodies_of_frames(tmp_path / "absent", np.array([[9, 2, 1, 1, 1]]), body) is None


def test_bodies_of_another_body_file_are_refused(tmp_path, body):
    save_bodies(sequence_path(tmp_path, 9, 2, 1), some_bodies(2, body_hash="of another"))
    with pytest.raises(ValueError, match="another body file"):
        bodies_of_frames(tmp_path, np.array([[9, 2, 1, 1, 1]]), body)


def test_truth_and_fits_are_not_mixed(tmp_path, body):
    for action, source in ((2, FITTED), (3, EMBEDDED)):
        save_bodies(sequence_path(tmp_path, 9, action, 1), some_bodies(2, source))
    with pytest.raises(ValueError, match="mixes embedded data and multi-view fit"):
        bodies_of_frames(tmp_path, np.array([[9, 2, 1, 1, 1], [9, 3, 1, 1, 1]]), body)


def test_damaged_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="fit_SMPL"):
        load_bodies(tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(ValueError, match=r"cut\.npz is damaged"):
        load_bodies(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", theta=np.zeros((4, 66)), betas=np.zeros(10))
    with pytest.raises(ValueError, match=r"expected numbers in theta"):
        load_bodies(tmp_path / "other.npz")


def test_only_scripts_that_measure_open_the_truth():
    may = {path.name for path in (ROOT / "sample").glob("test_*.py")}
    writer = {"FITTED", "SequenceBodies", "save_bodies", "sequence_path"}
    files = [file for name in ("dataset_def", "models", "utils", "sample") for file in (ROOT / name).rglob("*.py")]
    for path in [file for file in files if "ground_truth_bodies" in file.read_text()]:
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        from_truth = [node for node in nodes if getattr(node, "module", None) == "dataset_def.ground_truth_bodies"]
        taken = {name.name for node in from_truth for name in node.names}
        allowed = {"fit_SMPL.py": writer, "motions.py": {"load_bodies"}}.get(path.name, set())
        assert path.name in may or taken <= allowed, f"{path.name} reads truth"
        whole = {name.name for node in nodes for name in node.names if node not in from_truth}
        assert not any("ground_truth_bodies" in name for name in whole), f"{path.name} takes the whole module"
    # Motions are written for other programs, and by no script that trains or fits.
    takes = {file.name for file in files if "dataset_def.motions" in file.read_text()}
    assert takes == {"export_motion.py"}
