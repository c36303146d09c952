"""Stage 3 from motions to a prior that stage 4 reads, and its test, on tiny data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config import GanConfig, GanNetworkConfig, Loop, Optim, Paths, PoseSources
from models.GAN import load_prior_for
from sample import make_figures, test_GAN, train_GAN
from sample.make_figures import FiguresConfig
from sample.test_GAN import TestGanConfig
from sample.tools import export_weights
from sample.tools.export_weights import ExportConfig
from tests.helpers.opened_files import leads_to_infinity
from utils.artifacts import load_checkpoint, load_metrics, load_predictions
from utils.history import load_history

test_GAN.__test__ = False  # a script, not a test
BODY = Paths().models_smpl_location
NETWORK = GanNetworkConfig(joint_hidden=8, pose_hidden=16, generator_hidden=16, latent=6)


def write_amass(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        poses = np.cumsum(rng.normal(0, 0.03, (20, 156)), axis=0) + rng.normal(0, 0.2, 156)
        np.savez(folder / f"{number}.npz", poses=poses, betas=rng.normal(size=16))


class Workplace:
    """Few invented motions and a few recorded ones."""

    def __init__(self, root: Path) -> None:
        self.root, self.paths = root, Paths(runs_location=root / "runs")
        write_amass(root / "amass", 4)
        self.data = PoseSources(sequences=6, frames=6, held_out=0.4, cache_location=root / "cache", processes=1)

    def config(self, name: str, **changes) -> GanConfig:
        settings = GanConfig(
            name=name, paths=self.paths, data=self.data, network=NETWORK, device="cpu", batch=16,
            optim=Optim(steps=4, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False),
            loop=Loop(workers=0, log_every=2, validate_every=2, checkpoint_every=2),
        )  # fmt: skip
        return replace(settings, **changes)

    def run(self, name: str) -> Path:
        return self.paths.runs_location / "gan" / name

    def states(self, name: str) -> dict:
        return load_checkpoint(self.run(name) / "checkpoint_last.pt", "gan")["states"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path_factory.mktemp("stage3"))


def test_the_critic_learns_to_tell_noise_and_its_test_writes_numbers_and_pictures(place, tmp_path):
    longer = Optim(steps=150, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False)
    loop = Loop(workers=0, log_every=10, validate_every=50, checkpoint_every=150)
    data = replace(place.data, amass=place.root / "amass")
    train_GAN.main(place.config("learns", optim=longer, loop=loop, data=data))
    records = load_history(place.run("learns") / "history.jsonl")
    noise = [record["noise"] for record in records]
    assert noise[-1] < 0.5 * noise[0], noise
    assert {"real", "generated", "noise", "gradient_penalty", "generator", "held_out_confusion_percent"} <= records[
        -1
    ].keys()
    assert records[-1]["held_out_confusion_percent"] < 40, "chance is 50"
    path = place.run("learns") / "checkpoint_best.pt"
    scores = load_prior_for(path, BODY).scores(torch.eye(3).expand(2, 23, 3, 3), torch.zeros(2, 10))
    assert scores.isfinite().all()

    settings = TestGanConfig(checkpoint=path, paths=place.paths, device="cpu", processes=1, examples=2,
                             cache_location=place.data.cache_location)  # fmt: skip
    test_GAN.main(settings)
    broken = leads_to_infinity(path, tmp_path, "of_pose.")
    with pytest.raises(ValueError, match=r"checkpoint_best\.pt leads to scores of real poses that are NaN or infinite"):
        test_GAN.main(replace(settings, checkpoint=broken))
    metrics = load_metrics(place.run("learns") / "metrics.json", "")["metrics"]["generator"]
    assert metrics["num_sequences"] == 2 and metrics["num_poses"] == 12, "held-out motions only"
    assert {"shuffled", "mirrored_limb", "outside_limits", "interpenetrating", "over_twisted", "mean"} == set(
        metrics["auc"]["plausibility"]
    )
    _, stored = load_predictions(place.run("learns") / "predictions.npz", "")
    assert stored["vertices_generated_m"].shape[0] == 2 and stored["generator_real_scores"].shape == (12, 48)
    drawn = make_figures.main(FiguresConfig(gan=place.run("learns"), folder=place.root / "figures"))
    assert {path.name for path in drawn} == {"prior_bodies.png", "prior_auc.png", "gan_loss.png"}

    small = place.root / "open_prior.pt"
    export_weights.main(ExportConfig(checkpoint=path, output=small))
    shared = load_prior_for(small, BODY).scores(torch.eye(3).expand(2, 23, 3, 3), torch.zeros(2, 10))
    torch.testing.assert_close(shared, scores, atol=0.1, rtol=0)


def test_a_resumed_run_equals_an_uninterrupted_one(place):
    whole = place.config("whole")
    train_GAN.main(whole)
    part = replace(whole, name="part", optim=replace(whole.optim, steps=2))
    train_GAN.main(part)
    train_GAN.main(replace(part, optim=whole.optim, loop=replace(whole.loop, resume=True)))
    first, second = place.states("whole"), place.states("part")
    for kind in ("model", "generator"):
        weights = {name: value for name, value in first[kind].items() if name != "_extra_state"}
        assert all(torch.equal(value, second[kind][name]) for name, value in weights.items())


def test_looking_more_often_changes_nothing(place):
    train_GAN.main(place.config("often", loop=Loop(workers=0, log_every=2, validate_every=1, checkpoint_every=2)))
    train_GAN.main(place.config("rarely", loop=Loop(workers=0, log_every=2, validate_every=4, checkpoint_every=2)))
    often, rarely = place.states("often")["model"], place.states("rarely")["model"]
    assert all(torch.equal(v, rarely[name]) for name, v in often.items() if name != "_extra_state")


def test_the_predecessors_flat_network_trains_and_is_tested_too(place):
    train_GAN.main(place.config("seed", network=replace(NETWORK, kind="seed")))
    path = place.run("seed") / "checkpoint_best.pt"
    test_GAN.main(
        TestGanConfig(
            checkpoint=path,
            paths=place.paths,
            device="cpu",
            processes=1,
            examples=2,
            cache_location=place.data.cache_location,
        )
    )
    _, stored = load_predictions(place.run("seed") / "predictions.npz", "")
    assert stored["generator_real_scores"].shape == (12, 1)
