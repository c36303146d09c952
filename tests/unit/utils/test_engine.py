"""Runs resume exactly, whatever surrounds the steps."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, default_collate

from config import Optim, Paths
from tests.helpers.toy_run import STEPS, Noise, PowerCutError, ToyConfig, network, train
from utils.artifacts import load_checkpoint, read_checkpoint
from utils.batches import Batches, Resident, batch_loader, in_order
from utils.engine import Pace, Run, choose_device, make_optimizer, make_schedule, mixed_precision, spoken
from utils.history import load_history


@pytest.fixture
def config(tmp_path: Path) -> ToyConfig:
    return ToyConfig(Paths(runs_location=tmp_path))


def with_loop(config: ToyConfig, name: str = "toy", **loop) -> ToyConfig:
    return replace(config, name=name, loop=replace(config.loop, **loop))


def assert_same_states(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), f"{name} differs by {(value - other[name]).abs().max()}"


def history(config: ToyConfig) -> list[dict]:
    records = load_history(config.paths.runs_location / "toy" / config.name / "history.jsonl")
    return [{name: value for name, value in record.items() if name != "elapsed_s"} for record in records]


def checkpoint(config: ToyConfig, name: str = "checkpoint_last.pt") -> dict:
    return load_checkpoint(config.paths.runs_location / "toy" / config.name / name, "toy")


@pytest.mark.parametrize("stop_at", [6, 8, 12])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(config, stop_at):
    whole, parts = replace(config, name="whole"), replace(config, name="parts")
    model = train(whole)
    with pytest.raises(PowerCutError):
        train(parts, stop_at)
    resumed = train(with_loop(parts, "parts", resume=True))
    assert_same_states(model.state_dict(), resumed.state_dict())
    assert history(whole) == history(parts)
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        one, other = checkpoint(whole, name), checkpoint(parts, name)
        assert_same_states(one["states"]["model"], other["states"]["model"])
        assert one["step"] == other["step"] and one["progress"] == other["progress"]
    moments = zip(*(checkpoint(c)["states"]["optimizer"]["state"].values() for c in (whole, parts)), strict=True)
    assert all(torch.equal(a["exp_avg_sq"], b["exp_avg_sq"]) for a, b in moments)


def test_two_workers_equal_none(config):
    plain = train(replace(config, name="none"))
    assert_same_states(plain.state_dict(), train(with_loop(config, "two", workers=2)).state_dict())


def test_looking_and_saving_more_often_changes_nothing(config):
    model = train(config)
    often = train(with_loop(config, "often", validate_every=1, checkpoint_every=1, log_every=1))
    assert_same_states(model.state_dict(), often.state_dict())


def test_another_seed_trains_differently(config):
    model, other = train(config), train(with_loop(config, "other", seed=1))
    assert not torch.equal(model[0].weight, other[0].weight)


def test_the_best_checkpoint_is_the_best(config):
    train(with_loop(config, validate_every=1))
    values = {record["step"]: record["held_out"] for record in history(config)}
    best = checkpoint(config, "checkpoint_best.pt")
    assert best["step"] == min(values, key=lambda step: values[step])
    assert set(best["states"]) == {"model"}


def test_a_resumed_run_remembers_its_best(config):
    train(with_loop(config, validate_every=1))
    best = min(record["held_out"] for record in history(config))
    run = Run("toy", with_loop(config, validate_every=1, resume=True))
    assert run.best == best
    assert run.evals_since_best == STEPS - checkpoint(config, "checkpoint_best.pt")["step"]


def test_reading_batches_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    assert len(list(in_order(Noise(), 4))) == 2
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_that_is_not_a_number_is_named_and_not_saved(config):
    with pytest.raises(ValueError, match="wrong is nan at step 8"):
        train(config, bad_step=8)
    assert checkpoint(config)["step"] == 5


def test_history_holds_means(config):
    train(with_loop(config, "each", log_every=1))
    train(with_loop(config, "fourth", log_every=4, validate_every=100, checkpoint_every=100))
    each, fourth = history(replace(config, name="each")), history(replace(config, name="fourth"))
    assert [record["step"] for record in fourth] == [4, 8, 12]
    assert fourth[1]["distance"] == pytest.approx(np.mean([record["distance"] for record in each[4:8]]))


def test_a_run_describes_itself(config):
    train(config)
    folder = config.paths.runs_location / "toy" / "toy"
    about = json.loads((folder / "config.json").read_text())
    assert about["settings"]["optim"]["lr"] == 0.05
    start = about["starts"][0]
    assert start["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert start["hardware"]["cores"] >= 1 and start["time"].endswith(" UTC")
    assert any(path.name.startswith("events.out.tfevents") for path in folder.iterdir())
    assert not list(folder.glob("*.partial"))


def test_an_existing_run_is_kept_unless_told_otherwise(config):
    train(config)
    before = (config.paths.runs_location / "toy/toy/history.jsonl").read_text()
    with pytest.raises(FileExistsError, match=r"--loop.resume.*--loop.overwrite.*--name"):
        train(config)
    assert (config.paths.runs_location / "toy/toy/history.jsonl").read_text() == before
    train(with_loop(config, overwrite=True, log_every=6))
    assert [record["step"] for record in history(config)] == [5, 6, 10, 12]


def test_overwriting_spares_a_folder_that_is_no_run(config):
    folder = config.paths.runs_location / "toy/toy"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="is no run"):
        train(with_loop(config, overwrite=True))
    assert (folder / "thesis.tex").exists()


def test_resuming_nothing_is_refused(config):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        Run("toy", with_loop(config, resume=True))


def test_resuming_under_other_settings_is_refused(config):
    train(config)
    other = replace(with_loop(config, resume=True), optim=replace(config.optim, lr=0.1))
    with pytest.raises(ValueError, match=r"--optim.lr is 0.1, but the run was started with 0.05"):
        Run("toy", other)
    with pytest.raises(ValueError, match=r"--loop.seed is 3"):
        Run("toy", with_loop(config, resume=True, seed=3))


def without_progress(content):
    content["progress"] = {}


def without_the_optimizer(content):
    del content["states"]["optimizer"]


def of_another_network(content):
    content["states"]["model"]["0.weight"] = torch.zeros(9, 3)


def with_other_moments(content):
    content["states"]["optimizer"]["param_groups"][0]["params"].pop()


@pytest.mark.parametrize("harm", [without_progress, without_the_optimizer, of_another_network, with_other_moments])
def test_resuming_from_a_file_that_does_not_fit_is_refused_in_one_sentence(config, harm):
    train(config)
    path = config.paths.runs_location / "toy" / config.name / "checkpoint_last.pt"
    content = read_checkpoint(path, "toy")
    harm(content)
    torch.save(content, path)
    with pytest.raises(ValueError) as error:
        train(replace(with_loop(config, resume=True), optim=replace(config.optim, steps=STEPS + 3)))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_run_can_go_on_for_more_steps(config):
    train(config)
    train(replace(with_loop(config, resume=True), optim=replace(config.optim, steps=STEPS + 3)))
    assert checkpoint(config)["step"] == STEPS + 3


def test_a_run_that_never_started_leaves_nothing(config):
    Run("toy", config)
    assert not list(config.paths.runs_location.iterdir())


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp"])
def test_a_name_is_a_folder_name(config, name):
    with pytest.raises(ValueError, match="plain folder name"):
        Run("toy", replace(config, name=name))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_a_missing_gpu_is_refused():
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="--device cpu"):
        choose_device("cuda")


def test_an_apple_gpu_is_taken_where_there_is_one_and_refused_in_a_sentence_where_not(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == torch.device("mps")
    assert choose_device("auto").type != "mps", "untested, so it is not taken unasked"
    with pytest.raises(ValueError, match="leave out torchrun"):
        choose_device("mps", local_rank=1)
    assert not mixed_precision(torch.device("mps"), bf16=True)._enabled
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"no GPU of an Apple processor; use --device cpu$"):
        choose_device("mps")


def take(batches: Batches, number: int) -> list[list[tuple[int, int]]]:
    return [batch for batch, _ in zip(batches, range(number), strict=False)]


def test_every_item_comes_once_per_epoch():
    items = [item for batch in take(Batches(7, 3, seed=5), 7) for item in batch]
    assert [epoch for epoch, _ in items] == [0] * 7 + [1] * 7 + [2] * 7
    for epoch in range(3):
        assert sorted(index for e, index in items if e == epoch) == list(range(7))
    assert items[:7] != [(0, index) for _, index in items[7:14]]


def test_batches_depend_on_their_number_only():
    whole = take(Batches(7, 4, seed=5), 9)
    assert take(Batches(7, 4, seed=5, first=6), 3) == whole[6:]
    shares = [take(Batches(7, 4, seed=5, rank=rank, processes=2), 9) for rank in range(2)]
    assert [one + other for one, other in zip(*shares, strict=True)] == whole


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match=r"batch of 3 .* by 2 processes"):
        Batches(7, 3, seed=0, processes=2)
    with pytest.raises(ValueError, match="empty"):
        Batches(0, 3, seed=0)


class Pair(NamedTuple):
    number: torch.Tensor
    square: torch.Tensor


class Squares(Dataset):
    """Items that know when they were read."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 7

    def __getitem__(self, place: tuple[int, int]) -> Pair:
        self.reads += 1
        epoch, index = place
        assert epoch == 0
        return Pair(torch.tensor(index), torch.full((2,), float(index**2)))


class Nested(NamedTuple):
    """A sample of tensors of many types, one of them without numbers."""

    pair: Pair
    is_seen: torch.Tensor
    nothing: torch.Tensor
    byte: torch.Tensor


class OfManyTypes(Dataset):
    """Seven samples with tensors inside tuples."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, place: tuple[int, int]) -> Nested:
        number = place[1]
        pair = Pair(torch.tensor(number), torch.full((2, 3), float(number), dtype=torch.float64))
        return Nested(
            pair, torch.tensor(number % 2 > 0), torch.zeros(0, 3), torch.full((5,), number, dtype=torch.uint8)
        )


def test_what_a_worker_reads_comes_in_one_piece_of_memory_and_is_what_was_read():
    for here, there in zip(*(batch_loader(OfManyTypes(), [[(0, 1), (0, 4), (0, 6)]] * 2, n) for n in (0, 1)),
                           strict=True):  # fmt: skip
        assert isinstance(there, Nested) and isinstance(there.pair, Pair)
        parts = [(*one.pair, *one[1:]) for one in (here, there)]
        for mine, theirs in zip(*parts, strict=True):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape) and torch.equal(mine, theirs)
        assert len({one.untyped_storage().data_ptr() for one in parts[1]}) == 1


def test_what_is_kept_in_memory_comes_in_the_same_batches_and_is_read_once():
    data = Squares()
    kept = Resident(data, Batches(7, 3, seed=5, first=2), torch.device("cpu"), workers=0)
    assert data.reads == 7
    for batch, items in zip(kept, take(Batches(7, 3, seed=5, first=2), 6), strict=False):
        assert batch.number.tolist() == [index for _, index in items]
        assert batch.square.tolist() == [[index**2.0] * 2 for _, index in items]
    assert data.reads == 7


def test_what_is_kept_in_memory_may_be_nested_and_stand_in_for_other_items():
    data = OfManyTypes()
    kept = Resident(data, Batches(7, 2, seed=5), torch.device("cpu"), 0, lambda place: sum(place) % 3)
    for batch, items in zip(kept, take(Batches(7, 2, seed=5), 6), strict=False):
        wanted = default_collate([data[0, (epoch + index) % 3] for epoch, index in items])
        assert isinstance(batch, Nested) and isinstance(batch.pair, Pair)
        for mine, theirs in zip((*batch.pair, *batch[1:]), (*wanted.pair, *wanted[1:]), strict=True):
            assert torch.equal(mine, theirs)


def test_the_schedule_warms_up_and_ends_at_zero():
    def rates(optim: Optim) -> list[float]:
        optimizer = make_optimizer(network().parameters(), optim)
        schedule = make_schedule(optimizer, optim)
        values = []
        for _ in range(optim.steps + 1):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return values

    cosine = rates(Optim(steps=100, lr=2.0, warmup_steps=9))
    assert cosine[0] == pytest.approx(0.2) and cosine[50] == pytest.approx(1.0) and cosine[100] == pytest.approx(0)
    assert rates(Optim(steps=10, lr=2.0, warmup_steps=0, schedule="constant")) == [2.0] * 11


def test_two_processes_agree_and_resume_exactly(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
               str(Path(__file__).parents[2] / "helpers" / "toy_run.py"), str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)  # no measure: for a process that hangs
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"ends_{rank}.pt") for rank in range(2))
    for rank in (first, second):
        assert_same_states(rank["whole"], rank["parts"])
    assert_same_states(*({k: v for k, v in end["whole"].items() if "running" not in k} for end in (first, second)))
    config = ToyConfig(Paths(runs_location=tmp_path))
    assert history(replace(config, name="whole")) == history(replace(config, name="parts"))


ENDED_WITHIN_S = 120
"""From the end of a killed process to the new start; measured 29 s where starting Python alone takes 20."""


def test_a_killed_process_is_named_ends_the_others_and_torchrun_starts_them_anew(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
               "--max-restarts", "1", "-m", "tests.helpers.dying_rank", str(tmp_path)]  # fmt: skip
    environment = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # else the dead one's address may be met
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[3],
                          env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    died_s, restarted_s = (float((tmp_path / name).read_text()) for name in ("died", "restarted"))
    assert restarted_s - died_s < ENDED_WITHIN_S, f"{restarted_s - died_s:.0f} s"
    assert "exitcode: -9) local_rank: 1" in done.stderr, done.stderr[-3000:]
    assert "told: process 0 waits for another one of this training" in done.stderr, done.stderr[-3000:]
    config = ToyConfig(Paths(runs_location=tmp_path), "restarted")
    about = json.loads((tmp_path / "toy" / "restarted" / "config.json").read_text())
    assert [start["at_step"] for start in about["starts"]] == [0, 5]
    # Every second step and every checkpoint is logged; what came after the checkpoint of step 5 is done again, and
    # stands once, however far the other process had come when it was ended.
    assert [record["step"] for record in history(config)] == [2, 4, 5, 6, 8, 10, 12]
    first, second = (torch.load(tmp_path / f"end_{rank}.pt") for rank in range(2))
    assert_same_states(first, second)


@pytest.mark.parametrize("computes_it", [True, False])
def test_a_processor_that_would_emulate_bfloat16_stays_with_float32(monkeypatch, computes_it):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: computes_it)
    one = torch.ones(2, 2)
    with mixed_precision(torch.device("cpu"), bf16=True):
        assert (one @ one).dtype == (torch.bfloat16 if computes_it else torch.float32)
    with mixed_precision(torch.device("cpu"), bf16=False):
        assert (one @ one).dtype == torch.float32


def test_a_run_says_once_about_how_long_it_takes(monkeypatch, capsys):
    clock = iter([100.0, 107.0])
    monkeypatch.setattr("utils.engine.time.perf_counter", lambda: next(clock))
    pace = Pace("pose", 30, is_told=True)
    for step in range(31, 61):
        pace.tell(step, last=1045)
    assert capsys.readouterr().out == ("pose: 1000 steps to go, about 12 minutes on this machine (estimated from 10 "
                                       "steps; validations come on top)\n")  # fmt: skip
    assert [spoken(s) for s in (0.2, 89, 90, 1200, 5399, 5400)] == [
        "1 seconds", "89 seconds", "1.5 minutes", "20 minutes", "90 minutes", "1.5 hours"]  # fmt: skip
