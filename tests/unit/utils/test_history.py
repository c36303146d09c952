"""The log that people read and TensorBoard's event files say the same, also after a break."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from config import Loop, Optim, Paths
from tests.helpers.toy_run import PowerCutError, ToyConfig, train
from utils.history import History, load_history

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

CLOCK = ("step", "elapsed_s")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read all event files of a folder as TensorBoard does."""
    events = accumulator.EventAccumulator(str(folder), size_guidance={accumulator.SCALARS: 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the same from history.jsonl."""
    found: dict[str, list[tuple[int, float]]] = {}
    for record in load_history(folder / "history.jsonl"):
        for name, value in record.items():
            if name not in CLOCK:
                found.setdefault(name, []).append((int(record["step"]), value))
    return found


def assert_same(events: dict, lines: dict) -> None:
    assert events.keys() == lines.keys()
    for name, points in lines.items():
        assert [step for step, _ in events[name]] == [step for step, _ in points], name
        assert [value for _, value in events[name]] == pytest.approx([value for _, value in points], rel=1e-5)


def test_event_files_hold_what_the_history_holds(tmp_path):
    train(ToyConfig(Paths(runs_location=tmp_path)))
    lines = logged(tmp_path / "toy/toy")
    assert set(lines) == {"distance", "wrong", "held_out"} and len(lines["distance"]) > 3
    assert_same(scalars(tmp_path / "toy/toy"), lines)


def test_a_resumed_run_has_no_point_twice(tmp_path):
    config = ToyConfig(Paths(runs_location=tmp_path))
    with pytest.raises(PowerCutError):
        train(config, stop_at=10)  # logged up to step 8; the last checkpoint is of step 5
    train(ToyConfig(config.paths, loop=Loop(log_every=2, validate_every=6, checkpoint_every=5, workers=0, resume=True)))
    folder = tmp_path / "toy/toy"
    assert len(list(folder.glob("events.out.tfevents*"))) == 2
    lines = logged(folder)
    steps = [step for step, _ in lines["distance"]]
    assert steps == sorted(set(steps)) and {5, 6, 8, 12} <= set(steps)
    assert_same(scalars(folder), lines)


def test_files_of_a_clock_that_was_set_back_lose_no_point(tmp_path, monkeypatch):
    folder = tmp_path / "toy/toy"
    for stop_at, second in ((8, 1_900_000_000), (12, 1_800_000_000), (16, 1_800_000_000), (0, 1_700_000_000)):
        monkeypatch.setattr("time.time", lambda second=second: second)
        loop = Loop(log_every=2, validate_every=4, checkpoint_every=3, workers=0, resume=folder.is_dir())
        with pytest.raises(PowerCutError) if stop_at else nullcontext():
            train(ToyConfig(Paths(runs_location=tmp_path), optim=Optim(steps=20, lr=0.05), loop=loop), stop_at)
    assert len(list(folder.glob("events.out.tfevents*"))) == 4
    assert_same(scalars(folder), logged(folder))


def test_without_the_package_the_history_is_written_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    history = History("toy", 1, torch.device("cpu"))
    history.open(tmp_path, 0)
    history.note(1, {"distance": 2.0})
    history.write(1)
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]
    assert json.loads((tmp_path / "history.jsonl").read_text())["distance"] == 2.0
