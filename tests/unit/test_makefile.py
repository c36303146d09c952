"""What make makes again: stamps tell by which recipe a thing was made, and only a training of the same one goes on."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from config import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

SCRIPTS = """#!/bin/sh
# In the place of python and torchrun: notes the command, and leaves what the script would.
echo "$@" >> commands.txt
script=$1 name=demo
while [ $# -gt 0 ]; do [ "$1" = --name ] && name=$2; [ "$1" = --stop ] && exit 1; shift; done
case $script in
  *make_h36m.py) mkdir -p data/synthetic data/table;;
  *save_embeddings.py) sleep 0.02; touch runs/enc_dec/demo/embeddings.pkl;;
  *fit_SMPL.py) mkdir -p runs/fit/$name;;
  *train_enc_dec.py) stage=enc_dec;; *train_3d_pose*) stage=pose;; *train_GAN.py) stage=gan;; *train_SMPL*) stage=mesh;;
esac
sleep 0.02
[ -z "$stage" ] || { mkdir -p runs/$stage/$name; touch runs/$stage/$name/checkpoint_last.pt; }
case $name in $STOPPED) exit 1;; esac
"""


class Place:
    """A folder with nothing but the Makefile."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("Makefile", "requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "scripts.sh").write_text(SCRIPTS)
        (folder / ".venv").mkdir()
        time.sleep(0.02)
        (folder / ".venv" / "ready").touch()

    def make(self, *words: str, stopped: str = "nobody") -> list[str]:
        """Give the scripts that make runs, a test and a report aside, with the flags that are looked at."""
        told = self.folder / "commands.txt"
        told.write_text("")
        run = "sh scripts.sh"
        done = subprocess.run(
            ["make", f"RUN={run}", "JOBS=1", *words], cwd=self.folder, capture_output=True,
            text=True, env={"PATH": "/usr/bin:/bin", "STOPPED": stopped},
        )  # fmt: skip
        assert done.returncode == 0 or stopped != "nobody", done.stderr
        lines = [line for line in told.read_text().splitlines() if not line.startswith(("sample/test_", "sample/rep"))]
        return [line for line in lines if "make_figures" not in line]


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def scripts(commands: list[str]) -> list[str]:
    return [Path(line.split()[0]).stem for line in commands]


MADE = ["make_h36m", "make_h36m", "h36m_preprocess", "h36m_get_background"]


def test_what_is_made_is_not_made_again(place):
    assert len(place.make("demo")) == 4 + 8
    assert place.make("demo") == []


def test_people_who_came_later_are_drawn_and_every_training_that_reads_them_begins_anew(place):
    place.make("demo")
    again = place.make("demo", "MORE=121 122 200")
    assert scripts(again)[:4] == MADE and "--subjects 121 122 200" in again[1]
    [fit] = [line for line in again if "fit_SMPL" in line]
    assert "--subjects 5 6 7 8 121 122 200" in fit
    trained = [line for line in again if "sample/train_" in line]
    assert len(trained) == 5 and all("--loop.overwrite" in line for line in trained)
    assert all("--subjects.train 1 5 6 7 8 121 122 200 " in line for line in trained if "demo_points" not in line)
    assert not any("train_GAN" in line for line in trained), "the prior reads none of them"
    assert place.make("demo", "MORE=121 122 200") == []
    assert scripts(place.make("shown")) == MADE, "and back: what the other recipe left is looked over"


def test_a_stamp_of_an_earlier_version_that_tells_no_recipe_is_not_believed(place):
    (place.folder / "data" / "synthetic").mkdir(parents=True)
    (place.folder / "data" / "synthetic" / "ready").touch()
    assert scripts(place.make("shown")) == MADE
    assert not (place.folder / "data" / "synthetic" / "ready").exists()


def test_a_training_that_was_broken_off_goes_on_and_one_of_other_settings_begins_anew(place):
    place.make("demo", stopped="demo_points")
    [points, *_] = [line for line in place.make("demo") if "demo_points" in line]
    assert "--loop.resume" in points
    other = place.make("demo", "STEPS_VIEWS=7")
    assert len(other) == 1 and "--optim.steps 7" in other[0] and "--loop.overwrite" in other[0]


def test_a_finished_training_whose_inputs_are_newer_begins_anew(place):
    place.make("demo")
    time.sleep(0.02)
    (place.folder / "runs" / "enc_dec" / "demo" / "embeddings.pkl").touch()
    [points] = place.make("demo")
    assert "demo_points" in points and "--loop.overwrite" in points


def test_the_table_has_stamps_of_its_own(place):
    first = place.make("table")
    assert scripts(first) == [*MADE, "train_enc_dec", "fit_SMPL", "label_curve"]
    assert scripts(place.make("table")) == ["label_curve"]
    again = place.make("table", "CHOOSERS=111")
    assert scripts(again)[:4] == MADE and "--loop.overwrite" in again[4]


def test_clean_leaves_nothing_of_the_demo(place):
    place.make("demo")
    place.make("clean")
    assert not [path for path in (place.folder / "runs").rglob("*") if path.is_file()]


def test_what_others_wait_for_comes_first_and_two_jobs_make_what_one_makes(place, tmp_path_factory):
    alone = scripts(place.make("demo"))[4:]
    assert alone == ["train_enc_dec", "fit_SMPL", "train_GAN", "train_3d_pose_from_enc", "train_SMPL_from_enc",
                     "train_enc_dec", "save_embeddings", "train_3d_pose_from_enc"]  # fmt: skip
    beside = Place(tmp_path_factory.mktemp("beside"))
    assert sorted(scripts(beside.make("demo", "JOBS=2"))[4:]) == sorted(alone)
