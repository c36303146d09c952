"""Stage 2 from the index to the figures, on a tiny data set of disc people, as a user starts the scripts."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config import (
    ROOT,
    Crop,
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    ImageAugmentation,
    Loop,
    Optim,
    Paths,
    PoseConfig,
    PoseHeadConfig,
    PreprocessConfig,
    Subjects,
    UntrainedEncoder,
)
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.h36m_crops import CropSettings
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import EmbeddedPoseData, PoseData
from models.encoder_decoder import build_encoder_decoder, load_encoder_decoder
from models.pose_from_latent import PoseFromLatent, load_pose
from models.pose_from_maps import PoseFromMaps
from sample import save_embeddings, train_3d_pose_from_enc
from sample import test_pose as pose_test
from sample.save_embeddings import EmbeddingsConfig
from sample.test_pose import TestPoseConfig as PoseTestConfig
from tests.helpers.downloads import check_that_a_resumed_training_asks_for_nothing
from tests.helpers.opened_files import files_opened, leads_to_infinity
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import load_checkpoint, load_metrics, load_predictions, save_checkpoint
from utils.engine import Run
from utils.history import load_history
from utils.image import write_image
from utils.report.measures import sorted_metrics
from utils.settings import to_plain

SUBJECTS = Subjects(train=(1,), labelled=(1,), test=(9,), held_out=((4, 1),))
STAGE_1 = EncDecConfig(
    crop=Crop(size_px=32), encoder=EncoderConfig(width=8, points=12, appearance=8), decoder=DecoderConfig(width=8),
    subjects=SUBJECTS,
)  # fmt: skip
LOOP = Loop(workers=0, log_every=5, validate_every=10, checkpoint_every=5)
COMMAND = "the test"


class Workplace:
    """A tiny data set and a stage-1 checkpoint."""

    def __init__(self, root: Path) -> None:
        self.paths: Paths = write_tiny_h36m(root, actions=(2, 3, 4), frames=2, size_px=96)
        h36m_preprocess.main(PreprocessConfig(paths=self.paths, pack_px=48, processes=1))
        self.encoder = self.write_encoder(root / "stage_1" / "checkpoint_best.pt", seed=0)

    def write_encoder(self, path: Path, seed: int) -> Path:
        torch.manual_seed(seed)
        save_checkpoint(path, "enc_dec", 1, to_plain(STAGE_1), {"model": build_encoder_decoder(STAGE_1).state_dict()})
        return path

    def config(self, name: str, **changes) -> PoseConfig:
        settings = PoseConfig(
            encoder=self.encoder, name=name, paths=self.paths, subjects=SUBJECTS, device="cpu", batch=8, loop=LOOP,
            head=PoseHeadConfig(hidden=32, dropout=0.0), optim=Optim(steps=10, lr=3e-3, warmup_steps=0, bf16=False),
        )  # fmt: skip
        return replace(settings, **changes)

    def run(self, name: str) -> Path:
        return self.paths.runs_location / "pose" / name

    def test(self, name: str, **changes) -> dict:
        checkpoint = self.run(name) / "checkpoint_best.pt"
        return pose_test.main(
            PoseTestConfig(checkpoint=checkpoint, paths=self.paths, subjects=(9,), device="cpu", **changes)
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path_factory.mktemp("stage2"))


def call(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "sample" / script), *map(str, arguments)],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_user_trains_tests_and_draws_from_the_command_line(place, tmp_path):
    paths: list[object] = []
    for field in ("h36m_location", "masks_location", "backgrounds_location", "index_location", "runs_location"):
        paths += [f"--paths.{field.replace('_', '-')}", getattr(place.paths, field)]
    settings = {
        "preset": "views", "encoder": place.encoder, "name": "typed", "mode": "finetune", "optim.steps": 80,
        "optim.lr": 3e-3, "batch": 8,
        "subjects.train": 1, "subjects.test": 9, "head.hidden": 64, "head.dropout": 0.0, "augment.colour": 0,
        "loop.log-every": 20, "loop.workers": 0,
    }  # fmt: skip
    typed = [word for name, value in settings.items() for word in (f"--{name}", value)]
    call("train_3d_pose_from_enc.py", *typed, "--subjects.held-out", 4, 1, "--augment.no-permute-channels", *paths)
    run = place.run("typed")
    losses = [record["joint_distance"] for record in load_history(run / "history.jsonl")]
    assert losses[-1] < 0.8 * losses[0], losses
    printed = call("test_pose.py", "--checkpoint", run / "checkpoint_best.pt", "--subjects", 9, *paths)
    assert "mean pose, 14 joints" in printed and "Directions" in printed and "S9" in printed
    drawn = call("make_figures.py", "--pose", run, "--folder", tmp_path).splitlines()
    assert {Path(line).name for line in drawn} == {"skeletons.png", "per_action.png", "pose_loss.png"}
    assert all(Path(line).stat().st_size > 5000 for line in drawn)


def stored_yaw_degrees(stored: dict[str, np.ndarray]) -> np.ndarray:
    """Turn stored poses into the world and compare where hips and shoulders face, by hand."""
    headings = []
    for name in ("predicted_root_m", "true_root_m"):
        left_m = (stored[name][:, [4, 11]] - stored[name][:, [1, 14]]).mean(axis=1)  # from right to left
        left_world_m = np.einsum("bji,bj->bi", stored["R_crop_from_world"], left_m)
        headings.append(np.arctan2(left_world_m[:, 1], left_world_m[:, 0]))
    apart = np.degrees(headings[0] - headings[1])
    return np.abs((apart + 180) % 360 - 180)


def test_predictions_and_metrics_hold_what_their_names_say(place):
    train_3d_pose_from_enc.main(place.config("stored"))
    metrics = place.test("stored")
    provenance, stored = load_predictions(place.run("stored") / "predictions.npz", COMMAND)
    assert len(stored["frames"]) == provenance["num_frames"] == 3 * 4 * 2
    assert set(stored["frames"][:, 0]) == {9}
    apart_m = np.linalg.norm(stored["predicted_root_m"] - stored["true_root_m"], axis=-1)
    assert metrics["overall"]["mpjpe_17_mm"]["mean"] == pytest.approx(1000 * apart_m.mean(), rel=1e-4)
    apart_m = np.linalg.norm(stored["mean_pose_root_m"] - stored["true_root_m"], axis=-1)
    assert metrics["mean_pose"]["mpjpe_17_mm"]["mean"] == pytest.approx(1000 * apart_m.mean(), rel=1e-4)
    pose = metrics["constant_pose"], metrics["constant_pose_true_heading"], metrics["nearest_label_true_heading"]
    facing, turned, nearest = ({key: one[key]["mean"] for key in one} for one in pose)
    assert facing["p_mpjpe_17_mm"] == pytest.approx(turned["p_mpjpe_17_mm"], abs=0.01)
    assert turned["yaw_error_degrees"] < 0.01 < facing["yaw_error_degrees"]
    assert max(nearest["n_mpjpe_17_mm"], turned["n_mpjpe_17_mm"]) < 0.1, "everybody here has the same pose"
    assert facing["n_mpjpe_17_mm"] > 100
    assert stored["example_image"].shape == (6, 32, 32, 3)
    about = load_metrics(place.run("stored") / "metrics.json", COMMAND)
    assert set(about["input_hashes"]) == {"checkpoint", "index"} and "also trained on" not in about["split"]
    turned = stored_yaw_degrees(stored)
    assert metrics["yaw"]["all"]["median_degrees"]["mean"] == pytest.approx(np.median(turned), abs=0.05)
    assert metrics["yaw"]["all"]["beyond_90_degrees_percent"]["mean"] == pytest.approx(100 * (turned > 90).mean())


@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch", "random"])
def test_one_checkpoint_is_enough_to_predict_and_holds_the_encoder_that_was_used(place, mode):
    train_3d_pose_from_enc.main(place.config(f"mode_{mode}", mode=mode))
    stored = load_pose(place.run(f"mode_{mode}") / "checkpoint_best.pt", torch.device("cpu"))
    assert to_plain(stored.encoder_config) == to_plain(STAGE_1)
    stage_1 = load_encoder_decoder(place.encoder).network.state_dict()
    same = {name: torch.equal(value, stage_1[name]) for name, value in stored.network.encoder.state_dict().items()}
    read_by_pose = [is_same for name, is_same in same.items() if name.startswith("backbone.")]
    assert all(same.values()) if mode == "frozen" else not all(read_by_pose)
    assert place.test(f"mode_{mode}")["mode"] == mode


def test_a_random_encoder_stays_as_it_began_and_one_from_scratch_does_not(place):
    for mode, moves in (("random", False), ("scratch", True)):
        weights = []
        for steps in (5, 10):
            name = f"{mode}_{steps}"
            train_3d_pose_from_enc.main(place.config(name, mode=mode, optim=Optim(steps=steps, bf16=False)))
            state = load_checkpoint(place.run(name) / "checkpoint_last.pt", "pose")["states"]["model"]
            weights.append({key: value for key, value in state.items() if key.startswith("encoder.backbone.")})
        assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0]) == moves


def test_a_resumed_run_equals_an_uninterrupted_one(place):
    whole = place.config("whole", mode="finetune", optim=Optim(steps=10, schedule="constant", bf16=False))
    train_3d_pose_from_enc.main(whole)
    part = replace(whole, name="part", optim=replace(whole.optim, steps=5))
    train_3d_pose_from_enc.main(part)
    train_3d_pose_from_enc.main(replace(part, optim=whole.optim, loop=replace(LOOP, resume=True)))
    states = [
        load_checkpoint(place.run(n) / "checkpoint_last.pt", "pose")["states"]["model"] for n in ("whole", "part")
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items() if name != "_extra_state")


def test_a_resumed_training_of_a_pretrained_kind_asks_for_no_download(place, monkeypatch):
    check_that_a_resumed_training_asks_for_nothing(train_3d_pose_from_enc.main, place.config, monkeypatch)


def test_training_ends_when_the_held_out_error_no_longer_falls(place):
    # A step size of almost nothing: the second look cannot gain more than rounding.
    optim = Optim(steps=200, lr=1e-9, bf16=False, warmup_steps=0)
    loop = replace(LOOP, validate_every=5)
    config = place.config("patient", optim=optim, loop=loop, patience=2, head=PoseHeadConfig(hidden=8, layers=0))
    train_3d_pose_from_enc.main(config)
    ended = load_checkpoint(place.run("patient") / "checkpoint_last.pt", "pose")["step"]
    assert ended < 100
    train_3d_pose_from_enc.main(replace(config, loop=replace(loop, resume=True)))
    assert load_checkpoint(place.run("patient") / "checkpoint_last.pt", "pose")["step"] == ended


def test_a_crop_about_the_true_pelvis_is_reported_beside_the_one_about_masks_and_says_what_it_reads(place):
    train_3d_pose_from_enc.main(place.config("centred"))
    at_masks = place.test("centred")
    at_pelvis = place.test("centred", centre="pelvis")
    names = {path.name for path in place.run("centred").iterdir()}
    assert {"metrics.json", "metrics_pelvis.json", "predictions.npz", "predictions_pelvis.npz"} <= names
    assert (at_pelvis["crop_centre"], at_masks["crop_centre"]) == ("pelvis", "masks")
    assert at_pelvis["overall"] != at_masks["overall"]
    told = [load_metrics(place.run("centred") / f"metrics{end}.json", COMMAND) for end in ("", "_pelvis")]
    assert [one["tier"] for one in told] == ["pixels + cameras + masks + S1's joints"] * 2
    assert [sorted(one["reads_at_test"]) for one in told] == [["cameras", "masks", "people", "pixels"],
                                                              ["cameras", "people", "pixels", "root"]]  # fmt: skip
    assert told[0]["tier_of"]["constant_pose"] == "S1's joints"


def test_networks_that_lead_to_infinity_are_named(place, tmp_path):
    train_3d_pose_from_enc.main(place.config("infinite"))
    path = leads_to_infinity(place.run("infinite") / "checkpoint_best.pt", tmp_path, "head.layers.")
    with pytest.raises(ValueError, match=r"checkpoint_best\.pt leads to poses that are NaN or infinite"):
        pose_test.main(PoseTestConfig(path, tmp_path / "out", "cpu", place.paths, (9,)))
    path = leads_to_infinity(place.encoder, tmp_path, "backbone.")
    with pytest.raises(ValueError, match=r"checkpoint_best\.pt leads to points that are NaN or infinite"):
        save_embeddings.main(EmbeddingsConfig(checkpoint=path, paths=place.paths, subjects=(1,), device="cpu"))
    assert [one.name for one in tmp_path.iterdir()] == [path.name], "nothing is written"


def test_people_are_told_apart_by_data_set_and_number(place, tmp_path):
    train_3d_pose_from_enc.main(place.config("of_whom"))
    settings = PoseTestConfig(place.run("of_whom") / "checkpoint_best.pt", tmp_path / "out", "cpu", place.paths, (1, 9))
    pose_test.main(settings)
    others = write_tiny_h36m(tmp_path / "others", subjects=(1, 9), actions=(2,), frames=1, size_px=64)
    h36m_preprocess.main(PreprocessConfig(paths=others, pack=False, processes=1))
    own = load_metrics(tmp_path / "out" / "metrics.json", COMMAND)["split"]
    pose_test.main(replace(settings, paths=others))
    theirs = load_metrics(tmp_path / "out" / "metrics.json", COMMAND)["split"]
    assert own.startswith("S1 (also trained on), S9; all frames")
    assert theirs.startswith("S1 (a number that was trained on; whether this person, is unknown), S9; all frames")


def test_a_protocol_is_measured_on_its_own_frames_and_written_where_its_numbers_stand(place, tmp_path, capsys):
    train_3d_pose_from_enc.main(place.config("by_protocol"))
    paths = write_tiny_h36m(tmp_path, subjects=(9, 11), actions=(2,), frames=6, size_px=64)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    settings = PoseTestConfig(place.run("by_protocol") / "checkpoint_best.pt", tmp_path / "out", "cpu", paths)
    metrics = pose_test.main(replace(settings, protocol="spin_p2"))
    assert "by the protocol" in capsys.readouterr().out
    stored = load_predictions(tmp_path / "out" / "predictions_spin_p2.npz", COMMAND)[1]["frames"]
    assert stored.tolist() == [[who, 2, 1, 4, frame] for who in (9, 11) for frame in (1, 6)]
    assert metrics["by_protocol_spin_p2"]["overall"] == {"p_mpjpe_14_mm": metrics["overall"]["p_mpjpe_14_mm"]}
    assert metrics["crop_centre"] == "box"
    about = load_metrics(tmp_path / "out" / "metrics_spin_p2.json", COMMAND)
    assert about["split"].startswith("S9, S11; protocol spin_p2: every 5th frame, camera 4")
    shown = sorted_metrics(about["metrics"])
    assert "open choice" in shown.facts["protocol"]
    assert "by protocol spin p2" in [row.name for row in shown.predictors.rows]
    with pytest.raises(ValueError, match=r"no frames of subjects \[11\]"):
        pose_test.main(replace(settings, paths=place.paths, protocol="seed"))


def test_stored_latents_are_the_encoders_and_train_the_head(place):
    path = save_embeddings.main(
        EmbeddingsConfig(checkpoint=place.encoder, paths=place.paths, subjects=(1,), copies=3, device="cpu")
    )
    training = FrameChoice((1,), "train", SUBJECTS.held_out)
    data = EmbeddedPoseData(place.paths, path, place.encoder, training)
    plain = PoseData(place.paths, training, CropSettings(STAGE_1.crop))
    assert len(data) == 3 * len(plain)
    encoder = load_encoder_decoder(place.encoder).network.eval()
    for index in (0, len(plain) - 1):
        points = encoder.encode_points(plain[0, index].image[None])[0]
        assert torch.allclose(data[0, index].points_crop, points, atol=1e-5)
        assert torch.allclose(data[0, index].joints_root_m, plain[0, index].joints_root_m, atol=1e-6)
        copy = data[0, index + len(plain)]
        assert not torch.allclose(copy.points_crop, points, atol=1e-5)
        bones = [joints.norm(dim=-1) for joints in (copy.joints_root_m, plain[0, index].joints_root_m)]
        assert torch.allclose(*bones, atol=1e-5)
        assert not torch.allclose(copy.joints_root_m, plain[0, index].joints_root_m, atol=1e-3), "the roll turns labels"
    held_out = EmbeddedPoseData(place.paths, path, place.encoder, training._replace(part="held_out"))
    assert len(held_out) == 4 * 2
    train_3d_pose_from_enc.main(place.config("from_latents", mode="embeddings", embeddings=path))
    assert place.test("from_latents")["overall"]["mpjpe_17_mm"]["mean"] > 0


def test_latents_of_another_encoder_are_refused_and_nothing_is_written(place, tmp_path):
    path = save_embeddings.main(
        EmbeddingsConfig(checkpoint=place.encoder, paths=place.paths, subjects=(1,), device="cpu")
    )
    other = place.write_encoder(tmp_path / "checkpoint_best.pt", seed=1)
    config = place.config("refused", mode="embeddings", embeddings=path, encoder=other)
    with pytest.raises(ValueError, match=r"was not made from .*save_embeddings"):
        train_3d_pose_from_enc.main(config)
    assert not place.run("refused").exists()


def test_without_the_labelled_subjects_only_the_mean_pose_stands_beside_the_prediction(place, tmp_path):
    train_3d_pose_from_enc.main(place.config("elsewhere"))
    paths = write_tiny_h36m(tmp_path, subjects=(9,), actions=(2,), frames=2, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=48, processes=1))
    checkpoint = place.run("elsewhere") / "checkpoint_best.pt"
    found = pose_test.main(
        PoseTestConfig(checkpoint=checkpoint, paths=paths, subjects=(9,), device="cpu", out=tmp_path)
    )
    assert "mean_pose" in found and "constant_pose" not in found


def test_a_fine_tuned_checkpoint_is_refused_as_an_encoder(place):
    train_3d_pose_from_enc.main(place.config("moved", mode="finetune"))
    wrong = place.run("moved") / "checkpoint_best.pt"
    with pytest.raises(ValueError, match="mode finetune, which moves the encoder"):
        train_3d_pose_from_enc.main(place.config("never", encoder=wrong))
    assert not place.run("never").exists()


def test_a_checkpoint_of_stage_1_is_refused_where_a_pose_is_wanted(place):
    with pytest.raises(ValueError, match=r"holds 'enc_dec', but 'pose' is needed.*train_3d_pose_from_enc"):
        pose_test.main(PoseTestConfig(checkpoint=place.encoder, paths=place.paths, subjects=(9,), device="cpu"))


HEATMAPS = UntrainedEncoder(
    Crop(size_px=32, side_m=2.25), EncoderConfig(kind="heatmaps", width=8, points=6, appearance=8)
)
CHANGED = ImageAugmentation(colour=0.5, scale=0.2, shift_m=0.1, mirror=0.5, background=0.5, end=0.2)


@pytest.fixture(scope="module")
def rooms(place) -> None:
    h36m_get_background.main(BackgroundConfig(paths=place.paths, processes=1))


def heatmaps_config(place, name: str, **changes) -> PoseConfig:
    return place.config(name, encoder=None, mode="scratch", untrained=HEATMAPS, augment=CHANGED, **changes)


def test_heat_maps_are_trained_without_stage_1_and_one_checkpoint_is_enough_to_predict(place, rooms):
    config = heatmaps_config(place, "without_stage_1", optim=Optim(steps=30, lr=3e-3, bf16=False))
    train_3d_pose_from_enc.main(config)
    history = load_history(place.run("without_stage_1") / "history.jsonl")
    apart_m = [record["joints_m"] for record in history if "joints_m" in record]
    assert apart_m[-1] < 0.75 * apart_m[0]
    metrics = place.test("without_stage_1", mirror=True)
    assert metrics["mode"] == "scratch"
    assert metrics["with_mirrored"]["overall"]["apart_17_mm"]["mean"] > 1
    stored = load_pose(place.run("without_stage_1") / "checkpoint_best.pt", torch.device("cpu"))
    with pytest.raises(ValueError, match="what finds joints is all that it holds"):
        stored.network.encoder.decoder(torch.zeros(1))


def test_heat_maps_learn_from_photographed_people_before_pictures(place, rooms, tmp_path):
    write_image(tmp_path / "street.png", np.full((40, 60, 3), 200, np.uint8))
    seen = replace(CHANGED, background=1.0, photo=1.0, occluders=0.5, border=0.5, pictures=tmp_path)
    config = replace(heatmaps_config(place, "photographed", optim=Optim(steps=4, bf16=False)), augment=seen)
    train_3d_pose_from_enc.main(config)
    losses = [
        record["heat"] for record in load_history(place.run("photographed") / "history.jsonl") if "heat" in record
    ]
    assert losses and np.isfinite(losses).all()
    with pytest.raises(FileNotFoundError, match=r"augment\.pictures"):
        train_3d_pose_from_enc.main(replace(config, name="nowhere", augment=replace(seen, pictures=tmp_path / "none")))
    assert not place.run("nowhere").exists(), "refused before anything is written"


def test_behind_stage_1_points_are_read_frozen_and_heat_maps_are_fine_tuned(place, rooms):
    torch.manual_seed(0)
    stage_1 = replace(STAGE_1, encoder=HEATMAPS.encoder)
    encoder = place.paths.runs_location / "heatmaps_stage_1.pt"
    save_checkpoint(encoder, "enc_dec", 1, to_plain(stage_1), {"model": build_encoder_decoder(stage_1).state_dict()})
    before = load_encoder_decoder(encoder).network.state_dict()
    for mode, head in (("frozen", PoseFromLatent), ("finetune", PoseFromMaps)):
        config = place.config(f"behind_{mode}", encoder=encoder, mode=mode, augment=CHANGED)
        train_3d_pose_from_enc.main(config)
        stored = load_pose(place.run(config.name) / "checkpoint_best.pt", torch.device("cpu"))
        assert isinstance(stored.network.head, head) and to_plain(stored.encoder_config) == to_plain(stage_1)
        after = stored.network.encoder.state_dict()
        moved = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
        assert moved == (set() if mode == "frozen" else {"backbone"})
        assert place.test(config.name)["mode"] == mode


def test_heat_maps_resume_bit_for_bit_and_depend_on_the_seed(place, rooms):
    whole = heatmaps_config(place, "maps_whole", optim=Optim(steps=10, schedule="constant", bf16=False))
    part = replace(whole, name="maps_part", loop=replace(LOOP, checkpoint_every=5))
    train_3d_pose_from_enc.main(whole)
    train_3d_pose_from_enc.main(replace(whole, name="maps_other", loop=replace(LOOP, seed=1)))
    with pytest.MonkeyPatch.context() as patch:  # stop as a killed process does, in the middle of the settings' steps
        patch.setattr(Run, "is_due", dies_at(8, Run.is_due))
        with pytest.raises(KeyboardInterrupt):
            train_3d_pose_from_enc.main(part)
    train_3d_pose_from_enc.main(replace(part, loop=replace(part.loop, resume=True)))
    whole_state, part_state, other = (
        load_checkpoint(place.run(name) / "checkpoint_last.pt", "pose")["states"]["model"]
        for name in ("maps_whole", "maps_part", "maps_other")
    )
    names = [name for name in whole_state if name != "_extra_state"]
    assert all(torch.equal(whole_state[name], part_state[name]) for name in names)
    assert not all(torch.equal(whole_state[name], other[name]) for name in names)


def test_crops_kept_in_memory_train_as_those_that_are_read_but_for_the_rooms(place, rooms):
    quiet = replace(CHANGED, background=0.0)
    config = replace(heatmaps_config(place, "read", optim=Optim(steps=4, bf16=False)), augment=quiet)
    train_3d_pose_from_enc.main(config)
    train_3d_pose_from_enc.main(replace(config, name="kept", in_memory=True))
    read, kept = (load_checkpoint(place.run(name) / "checkpoint_last.pt", "pose")["states"]["model"]
                  for name in ("read", "kept"))  # fmt: skip
    assert all(torch.equal(read[name], kept[name]) for name in read if name != "_extra_state")
    with pytest.raises(ValueError, match="in_memory keeps wide crops, which only an augmentation"):
        place.config("none_wide", in_memory=True)


def dies_at(step: int, is_due):
    def asked(run: Run, what: str) -> bool:
        if run.step == step:
            raise KeyboardInterrupt
        return is_due(run, what)

    return asked


def test_rolled_test_images_have_files_of_their_own(place):
    train_3d_pose_from_enc.main(place.config("rolled"))
    plain, rolled = place.test("rolled"), place.test("rolled", roll_rad=0.35)
    assert {"metrics.json", "metrics_rolled.json"} <= {path.name for path in place.run("rolled").iterdir()}
    assert plain["overall"] != rolled["overall"]
    assert "rolled by up to 0.35 rad" in load_metrics(place.run("rolled") / "metrics_rolled.json", COMMAND)["split"]


def maps_config(place, name: str, **changes) -> PoseConfig:
    """Heat maps from random weights, all layers."""
    encoder = UntrainedEncoder(Crop(size_px=32, side_m=2.25), EncoderConfig(kind="heatmaps", width=8, points=12))
    return replace(place.config(name), encoder=None, mode="scratch", untrained=encoder,
                   augment=ImageAugmentation(roll_rad=0.0), **changes)  # fmt: skip


def test_stage_2_goes_on_from_a_stage_2_with_heat_maps(place, monkeypatch):
    train_3d_pose_from_enc.main(maps_config(place, "first"))
    first = place.run("first") / "checkpoint_best.pt"
    settings = replace(maps_config(place, "second"), encoder=first, mode="finetune", optim=Optim(steps=10, lr=1e-9,
                       warmup_steps=0, bf16=False))  # fmt: skip
    opened = files_opened(monkeypatch)
    train_3d_pose_from_enc.main(settings)
    assert opened.count(first) == 1, "the checkpoint is read once"
    old, new = (load_pose(place.run(name) / "checkpoint_best.pt", torch.device("cpu")) for name in ("first", "second"))
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    same = dict(old.network.named_parameters())
    assert all(torch.allclose(value, same[name], atol=1e-6) for name, value in new.network.named_parameters())
    train_3d_pose_from_enc.main(replace(settings, name="third", optim=replace(settings.optim, lr=3e-3)))
    third = load_pose(place.run("third") / "checkpoint_best.pt", torch.device("cpu"))
    moved = [
        name for name, value in third.network.named_parameters() if not torch.allclose(value, same[name], atol=1e-4)
    ]
    assert any(name.startswith("encoder.backbone") for name in moved) and any(name.startswith("head") for name in moved)
    assert (third.network(image) - old.network(image)).abs().max() > 1e-3
    assert third.reads.joints == {1} and third.encoder_config == old.encoder_config
    with pytest.raises(ValueError, match="of stage 2 with all layers trained, and mode is frozen; go on from it with"):
        train_3d_pose_from_enc.main(replace(settings, name="fourth", mode="frozen"))
