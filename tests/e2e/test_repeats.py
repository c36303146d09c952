"""Every stage, trained twice in two processes and once killed in between, ends in the same states, bit for bit.

The second training draws no pictures of held-out examples: they change nothing.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from config import ROOT
from tests.helpers.every_stage import KILLED_AT, OPTIM, STAGES, differing, write_data
from utils.artifacts import load_checkpoint
from utils.figures.training import CELL_PX, TITLE_PX
from utils.history import load_history
from utils.image import read_image

MAY_DIFFER = ("/loop/resume", "/loop/pictures")
"""A head carries the settings it was trained with: that a run was resumed, or drew nothing, may differ."""
ENDS = {"first": [], "second": ["plain"], "killed": ["kill"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Path]:
    """Train all stages three times, each in a process of its own; give the folders of their runs."""
    folder = tmp_path_factory.mktemp("repeats")
    write_data(folder)
    places = {name: folder / name for name in ENDS}  # a run knows its folder, so each is called `runs` where it stands
    for place in places.values():
        place.mkdir()
    settings = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.every_stage", str(folder), *more],
            cwd=places[name], env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for name, more in ENDS.items()
    }  # fmt: skip
    reported = {name: process.communicate()[1] for name, process in started.items()}
    assert {name: process.returncode for name, process in started.items()} == dict.fromkeys(ENDS, 0), reported
    return {name: place / "runs" for name, place in places.items()}


@pytest.mark.parametrize("other", ["second", "killed"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_ends_in_the_same_states(trained, stage, other):
    folders = [trained[name] / stage / "tiny" for name in ("first", other)]
    for file in ("checkpoint_last.pt", "checkpoint_best.pt"):
        one, two = (load_checkpoint(folder / file, stage) for folder in folders)
        assert one["step"] == two["step"] and one["step"] <= OPTIM.steps
        for part in ("states", "progress"):
            assert [place for place in differing(one[part], two[part]) if not place.endswith(MAY_DIFFER)] == [], file
    records = [[{**line, "elapsed_s": 0} for line in load_history(folder / "history.jsonl")] for folder in folders]
    assert len(records[0]) >= OPTIM.steps > KILLED_AT and records[0] == records[1]


@pytest.mark.parametrize("stage", STAGES)
def test_every_validation_leaves_a_picture_unless_none_is_asked_for(trained, stage):
    for name, steps in (("first", [4, 6]), ("killed", [4, 6]), ("second", [])):
        folder = trained[name] / stage / "tiny" / "pictures"
        pictures = [folder / f"step_{step:07d}.jpg" for step in steps]
        assert sorted(folder.glob("*")) == pictures
        for path in pictures:
            image = read_image(path)
            assert image.shape[0] == TITLE_PX + 2 * CELL_PX and image.shape[1] % CELL_PX == 0 and image.std() > 5


def test_a_difference_in_one_bit_is_found():
    one, other = ({"a": [torch.ones(3), 1.0]}, {"a": [torch.ones(3), 1.0]})
    assert differing(one, other) == []
    other["a"][0][1] += 2**-23
    assert differing(one, other) == ["/a/0"] and differing(one, {"a": [torch.ones(3), 1]}) == ["/a/1"]
