"""Stage 1 taught by masks on a tiny data set, as a user starts it: learns, resumes, and every next step takes it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torch.utils.data import default_collate

from config import (
    ROOT,
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    ImageAugmentation,
    ImageLoss,
    Loop,
    Optim,
    Pairing,
    Paths,
    PointsTeaching,
    PreprocessConfig,
    Ropes,
    Subjects,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_encoder_data import EncoderData
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import FrameChoice
from models.encoder_decoder import load_encoder
from sample import make_figures, report, save_embeddings, teach_points, train_enc_dec
from sample import test_enc_dec as enc_dec_test
from sample.make_figures import FiguresConfig
from sample.report import ReportConfig
from sample.save_embeddings import EmbeddingsConfig
from sample.test_enc_dec import TestEncDecConfig as EncDecTestConfig
from sample.tools import probe_points
from sample.tools.probe_points import ProbeConfig
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import load_checkpoint, load_metrics, load_predictions, load_ropes
from utils.figures.runs import enc_dec_figures
from utils.history import load_history
from utils.settings import parse

SUBJECTS = Subjects(train=(1, 5), labelled=(1,), test=(9,), held_out=((4, 1),))


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    """People of whom S5 has no label."""
    written = write_tiny_h36m(
        tmp_path_factory.mktemp("taught"), subjects=(1, 5, 9), actions=(2, 3, 4), frames=4, size_px=96
    )
    for meta in written.h36m_location.glob("s_05_*/h36m_meta.mat"):
        content = {name: value for name, value in scipy.io.loadmat(meta).items() if name[0] != "_"}
        scipy.io.savemat(meta, content | {"pose3d_world": np.full_like(content["pose3d_world"], np.nan)})
    h36m_preprocess.main(PreprocessConfig(paths=written, pack_px=48, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=written, processes=1))
    return written


def settings(paths: Paths, name: str, steps: int = 12, **changes) -> EncDecConfig:
    config = EncDecConfig(
        name=name, device="cpu", paths=paths, subjects=SUBJECTS, groups=2, crop=Crop(size_px=32, side_m=2.25),
        encoder=EncoderConfig(kind="heatmaps", width=8, points=12, appearance=8), decoder=DecoderConfig(width=8),
        teaching=PointsTeaching(by="masks", heading_at=(0.5,), believed_from=0.0), loss=ImageLoss(features=0.0),
        augment=ImageAugmentation(roll_rad=0.3, shift_m=0.1, colour=0.5, scale=0.15, mirror=0.5, saturation=1, end=0.3),
        optim=Optim(steps=steps, lr=3e-3, warmup_steps=0, schedule="constant", bf16=False),
        loop=Loop(workers=0, log_every=4, validate_every=6, checkpoint_every=6, pictures=2),
    )  # fmt: skip
    return replace(config, **changes)


def folder(paths: Paths, name: str) -> Path:
    return paths.runs_location / "enc_dec" / name


def states(paths: Paths, name: str) -> dict:
    return load_checkpoint(folder(paths, name) / "checkpoint_last.pt", "enc_dec")["states"]


@pytest.fixture(scope="module")
def trained(paths) -> Path:
    train_enc_dec.main(settings(paths, "trained", steps=60))
    return folder(paths, "trained") / "checkpoint_best.pt"


def test_points_come_nearer_to_where_masks_want_them_and_no_label_is_read(paths, trained):
    history = load_history(trained.parent / "history.jsonl")
    apart = [line["points_m"] for line in history if "points_m" in line]
    assert np.mean(apart[-3:]) < 0.8 * apart[0]
    to_target = [line["held_out_to_target_mm"] for line in history if "held_out_to_target_mm" in line]
    assert to_target[-1] < 0.9 * to_target[0]
    assert load_encoder(trained).reads.tier == "pixels + cameras + masks"
    assert len(teach_points.make_data(settings(paths, "x"), "train").rows) == 2 * 2 * 4, "all instants of S1 and S5"
    assert list((trained.parent / "pictures").iterdir())


def test_labels_of_few_sequences_tell_the_heading_and_raise_the_tier(paths):
    by_labels = PointsTeaching(by="masks", heading="labels", labelled_sequences=1, heading_at=(0.5,))
    train_enc_dec.main(settings(paths, "labels", steps=4, teaching=by_labels))
    stored = load_encoder(folder(paths, "labels") / "checkpoint_best.pt")
    assert stored.reads.tier == "pixels + cameras + masks + S1's joints"
    data = teach_points.make_data(settings(paths, "x", teaching=by_labels), "train")
    assert data.is_known.sum() == 4, "the instants of one sequence"


LIMBS = Ropes(at=(0.3,), kinds=1, lengths_m=(0.3,), learned_from=4)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(paths):
    teaching = PointsTeaching(by="masks", heading_at=(0.5,), believed_from=0.0, ropes=LIMBS)
    half = settings(paths, "halves", steps=12, teaching=teaching)
    whole = settings(paths, "whole", steps=12, teaching=teaching)
    train_enc_dec.main(whole)

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(*args, **kwargs):
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teach_points, "held_out_errors", lambda reader, data, config, run, ropes: (
            stop() if run.step == 12 else held_out(reader, data, config, run, ropes)))  # fmt: skip
        with pytest.raises(Stopped):
            train_enc_dec.main(half)
    assert load_checkpoint(folder(paths, "halves") / "checkpoint_last.pt", "enc_dec")["step"] == 6
    train_enc_dec.main(replace(half, loop=replace(half.loop, resume=True, workers=1)))
    one, other = states(paths, "whole"), states(paths, "halves")
    for part in ("model", "beside"):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part]), part


held_out = teach_points.held_out_errors


def test_crops_kept_in_memory_teach_as_those_that_are_read_but_for_the_rooms(paths, capsys):
    quiet = PointsTeaching(by="masks", heading_at=(0.5,), believed_from=0.0, rooms=0.0)
    config = settings(paths, "read", teaching=quiet)
    train_enc_dec.main(config)
    train_enc_dec.main(replace(config, name="kept", in_memory=True))
    assert "reading 16 items into memory, each once" in capsys.readouterr().out
    read, kept = (states(paths, name)["model"] for name in ("read", "kept"))
    assert all(torch.equal(read[name], kept[name]) for name in read)
    seen = teach_points.make_data(config, "train")
    assert any(seen.shown((0, index)) != index for index in range(len(seen))), "walkers take the places of others"


def test_limbs_of_another_run_are_taken_and_its_points_get_more(paths, trained):
    limbs = Ropes(at=(0.0,), kinds=1, lengths_m=(0.3,), learned_from=4)
    searching = settings(
        paths, "searching", steps=1, start_from=trained, teaching=PointsTeaching(by="masks", ropes=limbs)
    )
    train_enc_dec.main(searching)
    data = teach_points.make_data(searching, "train")
    found = load_ropes(folder(paths, "searching") / "ropes.npz", data.frames())
    assert found.places_m.shape == (16, 8, 3) and found.step == 1 and np.isfinite(found.places_m).all()
    file = folder(paths, "searching") / "ropes.npz"
    more = replace(searching.encoder, points=20)
    teaching = PointsTeaching(by="masks", heading_at=(), ropes=replace(limbs, file=file))
    optim = Optim(steps=1, lr=1e-9, bf16=False)
    train_enc_dec.main(settings(paths, "more", start_from=trained, encoder=more, teaching=teaching, optim=optim))
    before, after = (
        load_encoder(path).network.eval() for path in (trained, folder(paths, "more") / "checkpoint_last.pt")
    )
    image = torch.rand(2, 3, 32, 32)
    points = [network.encode_points(image) for network in (before, after)]
    # BatchNorm's statistics saw one batch more.
    assert torch.allclose(points[0][:, :6], points[1][:, :6], atol=0.02), "left points stay"
    assert torch.allclose(points[0][:, 6:], points[1][:, 10:16], atol=0.02), "right points stay"
    fewer = replace(searching, name="fewer", subjects=replace(SUBJECTS, train=(1,)),
                    teaching=replace(searching.teaching, ropes=replace(limbs, file=file)))  # fmt: skip
    with pytest.raises(ValueError, match=r"ropes.npz holds limbs of 16 other instants than the 8 of this training"):
        train_enc_dec.main(fewer)


def test_the_next_steps_take_the_encoder(paths, trained, tmp_path):
    table = enc_dec_test.main(
        EncDecTestConfig(trained, paths=paths, subjects=(9,), batch=8, examples=3, device="cpu", probe=(0, 1))
    )
    assert set(table) == {"points", "probe, all labels", "probe, 1 sequences"}, "nothing taught the decoder"
    assert 0 < table["points"]["between_cameras_mm"]["mean"] < 2000
    assert table["probe, all labels"]["n_mpjpe_17_mm"]["mean"] > 0
    metrics = load_metrics(trained.parent / "metrics.json", "sample/test_enc_dec.py")
    assert metrics["metrics"]["probe, 1 sequences"].keys() == table["probe, all labels"].keys()
    assert metrics["tier"] == "pixels + cameras + masks"
    assert metrics["tier_of"]["probe, all labels"] == "pixels + cameras + masks + S1's joints"
    assert save_embeddings.main(EmbeddingsConfig(checkpoint=trained, paths=paths, subjects=(1,), device="cpu")).exists()
    probed = ProbeConfig(trained, tmp_path / "probe.json", "cpu", paths, SUBJECTS, sequences=(0, 1), every=1)
    rows = probe_points.main(probed)
    assert rows["all labels"]["n_mpjpe_17_mm"]["mean"] > 0
    assert json.loads((tmp_path / "probe.json").read_text())["tier"] == "pixels + cameras + masks + S1's joints"


def test_of_a_decoder_that_nothing_taught_no_picture_is_drawn_and_one_sentence_says_how_to_get_some(
    paths, trained, tmp_path, capsys
):
    config = EncDecTestConfig(trained, paths=paths, subjects=(9,), batch=8, examples=3, device="cpu", probe=())
    reason = "--preset novel_views --start-from"
    enc_dec_test.main(config)
    assert reason in capsys.readouterr().out
    arrays = load_predictions(trained.parent / "predictions.npz", "the test")[1]
    assert arrays["points_crop_m"].shape == arrays["points_target_m"].shape == (3, 12, 3)
    assert not {"grid_predicted", "turntable", "swapped"} & arrays.keys()
    drawn = make_figures.main(FiguresConfig(enc_dec=trained.parent, paths=paths, folder=tmp_path / "figures"))
    assert {path.stem for path in drawn} == {"points", "enc_dec_loss"}
    assert reason in capsys.readouterr().out
    page = report.main(ReportConfig((trained.parent,), out=tmp_path / "page.html", paths=paths)).read_text()
    assert reason in page and "The points of one image" in page and "Novel views" not in page
    stages = {stage: paths.runs_location / stage / "x" for stage in ("pose", "mesh")}
    with pytest.raises(ValueError, match="overview shows what stage 1 draws, but masks taught the points"):
        make_figures.overview(trained.parent, *stages.values(), (1,), "tiny data", paths)


def test_points_are_turned_to_the_camera_that_they_are_drawn_over(paths, trained):
    network, crop = load_encoder(trained).network.eval(), settings(paths, "x").crop
    data = EncoderData(paths, FrameChoice((9,)), CropSettings(crop, or_frames=True), Pairing(same_view=0.0))
    views = default_collate([data[0, 0], data[0, 3]]).paired()
    found = enc_dec_test.example_points(network, views, 4)
    there = views.R_target_from_source[[0, 4]].numpy() @ found["points_crop_m"].swapaxes(1, 2)
    assert np.allclose(found["points_target_m"], there.swapaxes(1, 2), atol=1e-5)
    assert not np.allclose(found["points_target_m"], found["points_crop_m"], atol=0.01)


def test_a_run_that_goes_on_from_another_takes_its_headings_along(paths, trained):
    train_enc_dec.main(settings(
        paths, "on", start_from=trained, optim=Optim(steps=2, lr=1e-9, bf16=False),
        teaching=PointsTeaching(by="masks", heading_at=()),
    ))  # fmt: skip
    before, after = load_checkpoint(trained, "enc_dec")["states"], states(paths, "on")
    for part, name in (("beside", "heading.weight"), ("model", "to_points.own_heat")):
        assert torch.allclose(before[part][name], after[part][name], atol=1e-6)
    assert after["beside"]["agreement"] == pytest.approx(before["beside"]["agreement"].item(), abs=0.1)


def test_what_draws_is_trained_behind_points_that_stay(paths, trained):
    preset = parse(EncDecConfig, ["--preset", "novel_views", "--start-from", str(trained)])
    assert preset.name == "novel_views" and preset.teaching.by == "nothing"
    behind = settings(paths, "drawn", steps=6, start_from=preset.start_from, teaching=preset.teaching,
                      augment=replace(preset.augment, shift_m=0.0))  # fmt: skip
    train_enc_dec.main(behind)
    before, after = load_checkpoint(trained, "enc_dec")["states"]["model"], states(paths, "drawn")["model"]
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "decoder" in changed and not changed & {"backbone", "to_points"}
    best = folder(paths, "drawn") / "checkpoint_best.pt"
    table = enc_dec_test.main(
        EncDecTestConfig(best, paths=paths, subjects=(9,), batch=8, examples=3, device="cpu", probe=())
    )
    assert table["predicted"]["l1_in_box"]["mean"] > 0
    assert {"points", "novel_views"} <= enc_dec_figures(folder(paths, "drawn"), "tiny data").keys()
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, last = (
        load_encoder(path).network.eval() for path in (trained, folder(paths, "drawn") / "checkpoint_best.pt")
    )
    assert torch.equal(first.encode_points(image), last.encode_points(image)), "the points are where they were"


def test_two_processes_train_with_the_same_code_and_go_on_with_one_heading(paths, tmp_path):
    script = str(ROOT / "tests" / "helpers" / "two_teachers.py")
    options = """--name two --device cpu --groups 2 --crop.size-px 32 --encoder.width 8
        --encoder.points 12 --decoder.width 8 --subjects.train 1 5 --subjects.labelled 1 --subjects.test 9
        --subjects.held-out 4 1 --optim.steps 4 --loop.workers 0 --teaching.heading-at 0.5"""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", script, str(tmp_path)]
    command += options.split()
    for field in ("h36m", "masks", "backgrounds", "index", "runs"):
        command += [f"--paths.{field}-location", str(getattr(paths, f"{field}_location"))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_checkpoint(folder(paths, "two") / "checkpoint_last.pt", "enc_dec")["step"] == 4
    first, second = (torch.load(tmp_path / f"heading_{rank}.pt") for rank in range(2))
    assert torch.equal(first["weight"], second["weight"]) and torch.equal(first["bias"], second["bias"])


def test_what_cannot_be_taught_is_refused(paths):
    with pytest.raises(ValueError, match="in_memory keeps wide crops, which only teaching"):
        settings(paths, "x", in_memory=True, teaching=PointsTeaching(by="views"), augment=ImageAugmentation())
    with pytest.raises(ValueError, match=r"no instant is seen by 5 cameras, at most by 4; lower --teaching.views"):
        train_enc_dec.main(settings(paths, "five", teaching=PointsTeaching(by="masks", views=5)))
    with pytest.raises(ValueError, match=r"teaching.by masks teaches heat maps, but encoder.kind is compact"):
        settings(paths, "compact", encoder=EncoderConfig(width=8))
    with pytest.raises(ValueError, match=r"crop.centre is box; set --crop.centre masks"):
        settings(paths, "box", crop=Crop(size_px=32, centre="box"))
    with pytest.raises(ValueError, match=r"teaching.by is nothing.*give --start-from"):
        settings(paths, "nothing", teaching=PointsTeaching(by="nothing"), augment=ImageAugmentation())
    with pytest.raises(
        ValueError, match=r"12, 6 pairs, but the limbs of teaching.ropes need 10; set --encoder.points 20"
    ):
        settings(paths, "limbs", teaching=PointsTeaching(by="masks", ropes=Ropes(at=(0.5,))))
    assert not folder(paths, "five").exists()
