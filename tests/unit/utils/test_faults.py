"""What happens to long runs: numbers that are none, files and processes that are lost, jobs that are told to end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from config import ROOT, Loop, Paths
from tests.helpers.toy_run import STEPS, Noise, Pair, ToyConfig, network
from utils.artifacts import FolderLock, load_checkpoint
from utils.engine import ENDED_EARLY, Run, make_optimizer
from utils.failures import failure_in_words
from utils.history import load_history

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ends its own processes as Linux does")


@pytest.fixture(scope="module", autouse=True)
def short_waits() -> Iterator[None]:
    """Let PyTorch wait less long for the end of workers whose error was raised."""
    waiting = pytest.MonkeyPatch()
    waiting.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
    yield
    waiting.undo()


@pytest.fixture
def config(tmp_path: Path) -> ToyConfig:
    return ToyConfig(Paths(runs_location=tmp_path))


def with_loop(config: ToyConfig, **loop) -> ToyConfig:
    return replace(config, loop=replace(config.loop, **loop))


class Faulty(Dataset):
    """Seven items, one of which is not as it should be."""

    def __init__(self, fault: str, at: int = 3) -> None:
        self.fault, self.at = fault, at

    def __len__(self) -> int:
        return 7

    def name_of(self, place: tuple[int, int]) -> str:
        return f"frame_{place[1]}"

    def __getitem__(self, place: tuple[int, int]) -> Pair:
        pair = Noise()[place]
        if place[1] != self.at:
            return pair
        if self.fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "unreadable":
            raise ValueError(f"image /data/frame_{place[1]}.jpg is truncated")
        return pair._replace(x=torch.tensor([0.0, float(self.fault), 0.0]))


def train_on(config: ToyConfig, data: Dataset, harm: str = "") -> Run:
    """Train on a data set; at step 4 something happens to a loss or to a gradient."""
    run = Run("toy", config)
    model = network()
    optimizer = make_optimizer(model.parameters(), config.optim)
    run.track(model=model, optimizer=optimizer)
    for step, batch in run.steps(run.loader(data, 4), last=config.optim.steps):
        loss = (model(batch.x) - batch.y).square().mean()
        optimizer.zero_grad()
        (loss * torch.nan if harm == "loss" and step == 4 else loss).backward()
        if harm == "gradient" and step == 4:
            model[4].weight.grad[0, 0] = torch.inf
        optimizer.step()
        run.log(distance=loss * torch.nan if harm == "loss" and step == 4 else loss)
    return run


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("value", ["nan", "-inf"])
def test_a_sample_that_holds_no_number_is_named(config, workers, value):
    with pytest.raises(ValueError) as error:
        train_on(with_loop(config, workers=workers), Faulty(value))
    assert "x of frame_3 holds NaN or infinity; mend or remove it" in failure_in_words(error.value)


def test_a_loss_that_is_no_number_is_told_with_its_step_and_samples(config):
    with pytest.raises(ValueError, match=r"distance is nan at step 4 \(samples frame_\d, frame_\d, .*\); try"):
        train_on(config, Faulty("0"), "loss")
    assert not (config.paths.runs_location / "toy/toy/checkpoint_last.pt").exists()


def test_a_gradient_that_is_no_number_is_told_with_its_step_and_samples(config):
    with pytest.raises(ValueError, match=r"the gradient of model.4.weight is NaN .* step 4 \(samples frame_"):
        train_on(config, Faulty("0"), "gradient")


def test_a_file_that_cannot_be_read_is_named_and_left_out_on_demand(config, capsys):
    with pytest.raises(ValueError, match=r"image /data/frame_3.jpg is truncated"):
        train_on(config, Faulty("unreadable"))
    for workers in (0, 2):
        train_on(with_loop(config, workers=workers, skip_broken=True, overwrite=True), Faulty("unreadable"))
        told = capsys.readouterr()
        assert told.err.count("skipped frame_3: image /data/frame_3.jpg is truncated") <= 2  # once by each worker
        assert "skipped frame_3" in told.err or workers
        assert "1 skipped samples: they could not be read" in told.out
        records = load_history(config.paths.runs_location / "toy/toy/history.jsonl")
        assert records[-1]["skipped_samples"] == 1


def test_a_data_set_without_one_readable_sample_is_refused(config):
    class Broken(Faulty):
        def __getitem__(self, place):
            raise ValueError("unreadable")

    with pytest.raises(ValueError, match="no sample of this data set can be read"):
        train_on(with_loop(config, skip_broken=True), Broken(""))


@ON_LINUX
def test_a_worker_that_is_ended_names_its_sample(config):
    with pytest.raises(ChildProcessError) as error:
        train_on(with_loop(config, workers=1), Faulty("dies"))
    assert "was ended from outside while it read frame_3" in failure_in_words(error.value)


def test_auto_resume_starts_where_there_is_nothing_and_goes_on_where_there_is(config):
    auto = with_loop(config, auto_resume=True)
    train_on(replace(auto, optim=replace(auto.optim, steps=6)), Faulty("0"))
    train_on(auto, Faulty("0"))
    folder = config.paths.runs_location / "toy/toy"
    assert [start["at_step"] for start in json.loads((folder / "config.json").read_text())["starts"]] == [0, 6]
    assert load_checkpoint(folder / "checkpoint_last.pt", "toy")["step"] == STEPS
    (folder / "checkpoint_last.pt").unlink()
    train_on(auto, Faulty("0"))
    assert [start["at_step"] for start in json.loads((folder / "config.json").read_text())["starts"]] == [0]


def test_auto_resume_goes_on_after_a_run_that_wrote_nothing_whole_and_spares_other_folders(config):
    folder = config.paths.runs_location / "toy/toy"
    folder.mkdir(parents=True)
    (folder / "config.json.partial").write_text("{")
    train_on(with_loop(config, auto_resume=True), Faulty("0"))
    for path in folder.iterdir():
        path.unlink()
    (folder / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="is no run"):
        train_on(with_loop(config, auto_resume=True), Faulty("0"))
    with pytest.raises(ValueError, match=r"loop.auto_resume and loop.overwrite contradict"):
        Loop(auto_resume=True, overwrite=True)


def test_a_damaged_description_or_log_is_named(config):
    train_on(replace(config, optim=replace(config.optim, steps=6)), Faulty("0"))
    folder = config.paths.runs_location / "toy/toy"
    whole = {name: (folder / name).read_text() for name in ("config.json", "history.jsonl")}
    for name, text in (("config.json", "{"), ("config.json", '{"starts": 3}'), ("history.jsonl", "{}\n{]}\n")):
        (folder / name).write_text(text)
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            train_on(with_loop(config, resume=True), Faulty("0"))
        (folder / name).write_text(whole[name])
    train_on(with_loop(config, resume=True), Faulty("0"))


def test_the_second_run_in_a_folder_is_refused(config):
    held = "import sys; from pathlib import Path; from utils.artifacts import FolderLock; "
    held += "lock = FolderLock(Path(sys.argv[1]), ''); print('held', flush=True); sys.stdin.read()"
    (config.paths.runs_location / "toy").mkdir()
    folder = str(config.paths.runs_location / "toy/toy")
    other = subprocess.Popen([sys.executable, "-c", held, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True)  # fmt: skip
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(FileExistsError, match="another process that runs now writes into"):
        train_on(with_loop(config, auto_resume=True), Faulty("0"))
    other.communicate("")
    FolderLock(Path(folder), "").release()


class Slow(Faulty):
    """Tells this process to end while a sample is read."""

    def __getitem__(self, place):
        if place == (3, 2):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(place)


@ON_LINUX
def test_a_run_that_is_told_to_end_saves_and_goes_on_bit_for_bit(config, capsys):
    slow = with_loop(config, auto_resume=True, checkpoint_every=100, log_every=1)
    with pytest.raises(SystemExit) as ended:
        train_on(slow, Slow("0"))
    assert ended.value.code == ENDED_EARLY == 75
    folder = config.paths.runs_location / "toy/toy"
    step = load_checkpoint(folder / "checkpoint_last.pt", "toy")["step"]
    assert 0 < step < STEPS and f"step {step} of {STEPS} is saved" in capsys.readouterr().out
    train_on(slow, Faulty("0"))
    ended_once = load_checkpoint(folder / "checkpoint_last.pt", "toy")["states"]["model"]
    train_on(replace(slow, name="whole"), Faulty("0"))
    never = load_checkpoint(folder.with_name("whole") / "checkpoint_last.pt", "toy")["states"]["model"]
    assert all(torch.equal(value, never[name]) for name, value in ended_once.items())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_run_in_a_thread_leaves_signals_alone(config):
    thread = threading.Thread(target=train_on, args=(config, Faulty("0")))
    thread.start()
    thread.join()
    assert (config.paths.runs_location / "toy/toy/checkpoint_last.pt").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, which is a disk without space")
def test_a_full_disk_leaves_the_last_checkpoint_and_is_told_in_one_sentence(config):
    train_on(replace(config, optim=replace(config.optim, steps=6)), Faulty("0"))
    last = config.paths.runs_location / "toy/toy/checkpoint_last.pt"
    before = last.read_bytes()
    last.with_name(last.name + ".partial").symlink_to("/dev/full")
    with pytest.raises(OSError) as error:
        train_on(with_loop(config, resume=True), Faulty("0"))
    told = failure_in_words(error.value)
    assert told.startswith(f"{last} cannot be written: no space is left there") and "what was whole before" in told
    assert last.read_bytes() == before and load_checkpoint(last, "toy")["step"] == 6
    train_on(with_loop(config, resume=True), Faulty("0"))
