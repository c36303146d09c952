from pathlib import Path

import pytest

from config import PoseConfig
from sample.tools.experiment import (
    Cell,
    Tested,
    fingerprint,
    run_cells,
    train_once,
    write_markdown,
)
from tests.unit.utils.report.test_pose_report import frames_and_errors


def test_cells_are_run_one_by_one_and_other_frames_are_refused_with_the_remedy():
    frames, errors = frames_and_errors()
    cells = [Cell("a", 0), Cell("a", 1)]
    tested = {cell: Tested(errors, frames, step) for step, cell in enumerate(cells)}
    assert run_cells("x", cells, tested.__getitem__, "") == tested
    tested[cells[1]] = Tested(errors, frames + 1)
    with pytest.raises(ValueError, match="different frames; delete the folders and start again"):
        run_cells("x", cells, tested.__getitem__, "the folders")


@pytest.mark.parametrize(
    ("kept", "expected"),
    [((), (False, False)), (("config.json",), (False, True)), (("config.json", "checkpoint_last.pt"), (True, False)),
     (("checkpoint_last.pt", "metrics.json"), None)],
)  # fmt: skip
def test_a_training_begins_goes_on_or_is_kept_by_what_its_folder_holds(tmp_path, kept, expected):
    """(resume, overwrite) that the trainer is given; None: it is not called."""
    folder = tmp_path / "cell"
    for name in kept:
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    called = []
    train_once(lambda settings: called.append(settings) or 0.0, PoseConfig(encoder=Path("x")), folder,
               folder / "metrics.json")  # fmt: skip
    assert [(one.loop.resume, one.loop.overwrite) for one in called] == ([] if expected is None else [expected])


def test_a_fingerprint_tells_settings_apart_and_not_their_order():
    assert fingerprint({"a": 1, "b": 2}, "x") == fingerprint({"b": 2, "a": 1}, "x") == "02397e5f"
    assert len({fingerprint({"a": 1}, "x"), fingerprint({"a": 2}, "x"), fingerprint({"a": 1}, "y")}) == 3


def test_the_table_lies_beside_the_numbers(tmp_path):
    assert write_markdown(tmp_path / "a.json", ["one", "two"]) == "one\ntwo\n" == (tmp_path / "a.md").read_text()
