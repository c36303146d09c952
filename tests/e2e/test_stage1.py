"""Stage 1 on a tiny data set of disc people, as a user starts the scripts: learns, resumes, tests, refuses."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from config import (
    ROOT,
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    Loop,
    Optim,
    Paths,
    PreprocessConfig,
    Subjects,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_get_background import BackgroundConfig
from sample import make_figures, train_enc_dec
from sample import test_enc_dec as enc_dec_test
from sample.make_figures import FiguresConfig
from sample.test_enc_dec import TestEncDecConfig as EncDecTestConfig
from tests.helpers.opened_files import leads_to_infinity
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import load_checkpoint, load_metrics, load_predictions
from utils.history import load_history

SUBJECTS = Subjects(train=(1,), labelled=(1,), test=(9,), held_out=((4, 1),))


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    written = write_tiny_h36m(tmp_path_factory.mktemp("data"), actions=(2, 3, 4), frames=3, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=written, pack_px=48, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=written, processes=1))
    return written


def settings(paths: Paths, name: str, steps: int = 12, **changes) -> EncDecConfig:
    config = EncDecConfig(
        name=name, device="cpu", paths=paths, subjects=SUBJECTS, groups=2, crop=Crop(size_px=32),
        encoder=EncoderConfig(width=8, points=12, appearance=8), decoder=DecoderConfig(width=8),
        optim=Optim(steps=steps, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False),
        loop=Loop(workers=0, log_every=4, validate_every=6, checkpoint_every=6),
    )  # fmt: skip
    return replace(config, **changes)


def folder(paths: Paths, name: str) -> Path:
    return paths.runs_location / "enc_dec" / name


def weights(paths: Paths, name: str) -> dict:
    return load_checkpoint(folder(paths, name) / "checkpoint_last.pt", "enc_dec")["states"]["model"]


@pytest.fixture(scope="module")
def trained(paths) -> Path:
    train_enc_dec.main(settings(paths, "trained", steps=60))
    return folder(paths, "trained")


def test_the_loss_falls_and_the_best_checkpoint_is_kept(trained):
    history = load_history(trained / "history.jsonl")
    totals = [line["total"] for line in history if "total" in line]
    assert np.mean(totals[-3:]) < 0.8 * totals[0]
    best = min(line["held_out_pixels"] for line in history if "held_out_pixels" in line)
    assert load_checkpoint(trained / "checkpoint_last.pt", "enc_dec")["progress"]["best"] == pytest.approx(
        best, rel=1e-3
    )


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(paths):
    train_enc_dec.main(settings(paths, "whole"))
    half = settings(paths, "halves", steps=6)
    train_enc_dec.main(half)
    again = replace(half, optim=replace(half.optim, steps=12), loop=replace(half.loop, resume=True, workers=1))
    train_enc_dec.main(again)
    whole, halves = weights(paths, "whole"), weights(paths, "halves")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


@pytest.fixture(scope="module")
def table(paths, trained) -> dict:
    checkpoint = trained / "checkpoint_best.pt"
    return enc_dec_test.main(
        EncDecTestConfig(checkpoint=checkpoint, paths=paths, subjects=(9,), batch=8, examples=3, device="cpu")
    )


def test_the_test_script_measures_beside_two_baselines_and_stores_pictures(trained, table):
    assert list(table) == list(enc_dec_test.RECIPES)
    assert table["predicted"]["l1_in_box"]["mean"] > 0
    assert table["predicted"] != table["predicted, appearance of the input"]
    stored = load_metrics(trained / "metrics.json", "the test")
    assert stored["split"].startswith("S9")
    _, arrays = load_predictions(trained / "predictions.npz", "the test")
    assert arrays["grid_predicted"].shape == (3, 32, 32, 3)
    assert arrays["turntable"].shape == (3, 8, 32, 32, 3)
    assert not np.array_equal(arrays["turntable"][:, 0], arrays["turntable"][:, 4])


def test_a_network_whose_pictures_are_no_numbers_is_named(trained, paths, tmp_path):
    path = leads_to_infinity(trained / "checkpoint_best.pt", tmp_path, "backbone.")
    config = EncDecTestConfig(checkpoint=path, paths=paths, subjects=(9,), batch=8, examples=3, device="cpu")
    with pytest.raises(ValueError, match=r"checkpoint_best\.pt leads to .* of pictures that are NaN or infinite"):
        enc_dec_test.main(config)
    assert [one.name for one in tmp_path.iterdir()] == [path.name], "nothing is written"


@pytest.mark.usefixtures("table")
def test_figures_shrink_to_a_width(trained, tmp_path):
    plain, small = (
        make_figures.main(FiguresConfig(enc_dec=trained, folder=tmp_path / str(width), widest_px=width))
        for width in (0, 300)
    )
    assert {path.stem for path in plain} == {"novel_views", "turntable", "swapped_appearance", "enc_dec_loss"}
    for one, other in zip(plain, small, strict=True):
        whole, shrunk = Image.open(one), Image.open(other)
        assert shrunk.width == 300 and shrunk.height == round(whole.height * 300 / whole.width)
        drawn, stored = (np.asarray(picture.convert("RGB").resize((30, 30)), float) for picture in (whole, shrunk))
        assert np.abs(drawn - stored).mean() < 12


def test_two_processes_train_with_the_same_code(paths):
    name = "two"
    script = str(ROOT / "sample" / "train_enc_dec.py")
    options = f"""--preset views --name {name} --device cpu --groups 2 --crop.size-px 32 --encoder.width 8
        --decoder.width 8 --subjects.train 1 --subjects.labelled 1 --subjects.test 9 --subjects.held-out 4 1
        --optim.steps 4 --loop.workers 0"""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", script, *options.split()]
    for field in ("h36m", "masks", "backgrounds", "index", "runs"):
        command += [f"--paths.{field}-location", str(getattr(paths, f"{field}_location"))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_checkpoint(folder(paths, name) / "checkpoint_last.pt", "enc_dec")["step"] == 4


def test_a_missing_background_stops_before_anything_is_written(paths, tmp_path):
    lost = replace(paths, backgrounds_location=tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="h36m_get_background"):
        train_enc_dec.main(settings(lost, "lost"))
    assert not folder(paths, "lost").exists()


def test_without_masks_what_needs_them_is_refused(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(train_enc_dec.EncoderData, "has_masks", False)
    with pytest.raises(ValueError, match=r"has no masks; make them, or set --loss.opacity 0$"):
        train_enc_dec.main(settings(paths, "maskless"))
    assert not folder(paths, "maskless").exists()


def test_an_old_run_is_not_overwritten_unasked(paths, trained):
    before = (trained / "checkpoint_last.pt").read_bytes()
    with pytest.raises(FileExistsError, match="exists; go on"):
        train_enc_dec.main(settings(paths, "trained"))
    assert (trained / "checkpoint_last.pt").read_bytes() == before
