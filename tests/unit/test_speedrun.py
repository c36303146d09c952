"""How the speed run keeps checkpoints and finds the first one below a threshold."""

import os
import time
from pathlib import Path

from tests.benchmarks import speedrun
from tests.benchmarks.speedrun import Keeper, Kept, SpeedrunConfig, best_minutes, first_below


def test_the_first_checkpoint_below_a_threshold_is_found_by_halving():
    errors_mm = [300, 250, 170, 155, 130, 118, 109, 101]
    kept = [Kept(2.0 * number, Path(f"{number}.pt")) for number in range(len(errors_mm))]
    asked = []

    def measure(path: Path) -> float:
        asked.append(path.stem)
        return errors_mm[int(path.stem)]

    assert first_below(kept, 160, measure) == (6.0, 155)
    assert first_below(kept, 120, measure) == (10.0, 118)
    assert first_below(kept, 100, measure) is None
    assert first_below(kept, 301, measure) == (0.0, 300)
    assert first_below([], 160, measure) is None
    assert len(asked) <= 3 * 4 + 1


def test_of_several_legs_the_fastest_counts_at_each_threshold():
    legs = {"labels": {"minutes_and_mm_at": {"160": (4.0, 158), "120": (9.0, 119), "100": None}},
            "bodies": {"minutes_and_mm_at": {"160": (6.0, 150), "120": (8.0, 118), "100": None}}}  # fmt: skip
    assert best_minutes(legs) == {"160": 4.0, "120": 8.0, "100": None}


def test_every_checkpoint_that_is_written_is_kept_with_its_minute(tmp_path):
    written = tmp_path / "checkpoint_last.pt"
    keeper = Keeper(written, tmp_path / "kept", started_s=time.time() - 60)
    seen = keeper._look(0)
    assert seen == 0 and not keeper.kept, "nothing was written yet"
    for number, content in enumerate((b"one", b"two")):
        written.write_bytes(content)
        os.utime(written, (1e9 + number, time.time() + 60 * number))
        seen = keeper._look(seen)
        seen = keeper._look(seen)
    assert [kept.path.read_bytes() for kept in keeper.kept] == [b"one", b"two"]
    assert [round(kept.minutes) for kept in keeper.kept] == [1, 2]


def test_the_leg_of_bodies_reads_nothing_that_was_there_before_its_clock(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(speedrun, "command", lambda *words, processes=1: commands.append([*map(str, words)]))
    speedrun.train(SpeedrunConfig(work=tmp_path / "work"), "bodies", tmp_path / "data", 0.0)
    scripts = ["train_SMPL_from_masks", "fit_SMPL", "train_3d_pose_from_enc"]
    assert [Path(script).stem for script, *_ in commands] == scripts
    read = {word for words in commands for word in words if word.startswith("/")}
    assert all(str(tmp_path) in word for word in read)
    teacher, fit, poses = commands
    assert f"{tmp_path}/work/poses" in teacher, "else motions that were drawn before would be read"
    assert f"{tmp_path}/work/runs/masks/bodies/checkpoint_best.pt" in fit
    assert f"{tmp_path}/work/runs/fit/bodies/pseudo_labels.npz" in poses
