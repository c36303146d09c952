"""The table of recipes by labels: every cell trained once, choices made by people whom nothing else reads."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config import PRESETS, Crop, DecoderConfig, EncDecConfig, EncoderConfig, Paths, PreprocessConfig, Subjects
from dataset_def import h36m_preprocess
from dataset_def.h36m_index import index_path, load_table
from models.encoder_decoder import build_encoder_decoder
from models.perceptual import efficientnet_lite0
from sample import train_3d_pose_from_enc
from sample.tools import label_curve
from sample.tools.label_curve import LabelCurveConfig, LabelledCell, markdown, mean_of_views, pose_config
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.artifacts import PseudoLabels, file_hash, save_checkpoint, save_pseudo_labels
from utils.history import load_history
from utils.settings import to_plain

WHO = Subjects(train=(1, 5), labelled=(1,), test=(9,), held_out=((4, 1),), validation=(11,))
STAGE_1 = EncDecConfig(
    crop=Crop(size_px=32, side_m=2.25), encoder=EncoderConfig(kind="heatmaps", width=8, points=12, appearance=8),
    decoder=DecoderConfig(width=8), subjects=Subjects(train=(1, 5), test=(9,)),
)  # fmt: skip


def write_fits(paths: Paths, path: Path) -> Path:
    """Bodies of S5 as a perfect fit would have them."""
    table = load_table(paths)
    rows = np.flatnonzero(table.frames[:, 0] == 5)
    frames, first = np.unique(table.frames[rows][:, [0, 1, 2, 4]], axis=0, return_index=True)
    joints_m = table.joints_world_m[table.row_instant[rows[first]]].astype(np.float32)
    zeros = np.zeros((len(frames), 3), np.float32)
    told = json.dumps({"reads": {"pixels": [5], "masks": [5], "cameras": [5]}})
    save_pseudo_labels(path, PseudoLabels(
        frames=frames.astype(np.int32), theta=np.zeros((len(frames), 72), np.float32), translation_m=zeros,
        betas=np.zeros((len(frames), 10), np.float32), joints_world_m=joints_m,
        confidence=np.ones(len(frames), np.float32), provenance=told, body_hash="", teacher_hash="",
        index_hash=file_hash(index_path(paths)),
    ), WHO.test)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> LabelCurveConfig:
    root = tmp_path_factory.mktemp("curve")
    paths = write_tiny_h36m(root, subjects=(1, 5, 9, 11), actions=(2, 3, 4), frames=2, size_px=96)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=48, pack_side_m=3.5, processes=1))
    torch.manual_seed(0)
    network = build_encoder_decoder(STAGE_1)
    stage_1 = root / "stage_1.pt"
    save_checkpoint(stage_1, "enc_dec", 1, to_plain(STAGE_1), {"model": network.state_dict()})
    return LabelCurveConfig(
        stage_1=(stage_1,), fits=write_fits(paths, root / "fits.npz"), paths=paths, subjects=WHO, device="cpu",
        labels=("none", "1", "S1", "all"), seeds=(0, 1), steps=4, looks=2, batch=8, bf16=False,
        prior_images=(1.0, 100.0),
        augment=replace(PRESETS["demo"]().pose.augment, background=0.0), output=root / "label_curve.json",
        figure=root / "label_curve.png",
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(config) -> dict:
    label_curve.main(config)
    return json.loads(config.output.read_text())


def test_every_recipe_has_its_columns_and_a_cell_is_trained_only_once(config, found):
    plain = {
        (row["recipe"], row["labels"]) for row in found["rows"] if row["views"] == 1 and row["budget"] == "plateau"
    }
    of_labels = {(recipe, labels) for recipe in ("supervised", "ours", "stage_1_finetuned", "stage_1_frozen", "random",
                 "imagenet", "ours_without_stage_1", "constant", "constant_any_heading",
                 "constant_predicted_heading", "retrieval")
                 for labels in ("1", "S1")}  # fmt: skip
    assert plain == of_labels | {("ours", "none"), ("ours_without_stage_1", "none"), ("oracle", "all")}
    four = {(row["recipe"], row["labels"]) for row in found["rows"] if row["views"] == 4}
    assert four == {key for key in plain if not key[0].startswith("con") and key[0] != "retrieval"}
    assert all(row["n_mpjpe_mm_interval"][0] <= row["n_mpjpe_mm"] <= row["n_mpjpe_mm_interval"][1]
               for row in found["rows"] if row["budget"] == "plateau")  # fmt: skip
    runs = sorted((config.paths.runs_location / "pose").glob("label_curve_*"))
    assert len(runs) == 2 * (7 * 2 + 2 + 1)
    written_at = {path: path.stat().st_mtime_ns for run in runs for path in run.iterdir()}
    label_curve.main(replace(config, only_finished=True))
    assert json.loads(config.output.read_text()) == found
    assert written_at == {path: path.stat().st_mtime_ns for run in runs for path in run.iterdir()}


def test_a_part_of_the_table_is_that_part_of_the_whole(config, found, tmp_path):
    part = replace(config, recipes=("ours",), labels=("1",), only_finished=True, output=tmp_path / "part.json",
                   figure=tmp_path / "part.png")  # fmt: skip
    label_curve.main(part)
    mine = [row for row in json.loads(part.output.read_text())["rows"] if row["recipe"] == "ours"]
    assert mine == [row for row in found["rows"] if (row["recipe"], row["labels"]) == ("ours", "1")]
    with pytest.raises(ValueError, match=r"no cell is finished under .*leave out --only-finished"):
        label_curve.main(replace(part, steps=3))


def test_rows_say_whose_labels_they_read(found):
    reads = {(row["recipe"], row["labels"]): row["reads"] for row in found["rows"] if row["views"] == 1}
    assert "joints" not in reads["ours", "none"] and "labels" not in reads["ours", "none"]
    assert reads["supervised", "S1"].endswith("S1's joints") and reads["ours", "S1"].endswith("S1's joints")
    assert reads["oracle", "all"].endswith("all labels") and reads["constant", "1"] == "S1's joints"


def test_people_who_choose_are_those_of_validation(config, found):
    cell = LabelledCell("supervised", "S1", 0)
    settings = pose_config(cell, config)
    folder = config.paths.runs_location / "pose" / settings.name
    looks = [line for line in load_history(folder / "history.jsonl") if "held_out_n_mpjpe_mm" in line]
    assert [line["step"] for line in looks] == [2, 4]
    stage_1 = train_3d_pose_from_enc.start_of_pose(settings).stage_1
    chosen_by = train_3d_pose_from_enc.make_data(settings, stage_1, "held_out")
    assert {chosen_by.table.frames[row][0] for row in chosen_by.rows} == {11}
    assert set(chosen_by.table.frames[chosen_by.rows][:, 1].tolist()) == {2, 3, 4}


def test_seeds_draw_sequences_of_their_own_and_the_first_takes_spread_ones(config):
    assert [pose_config(LabelledCell("ours", "1", seed), config).sequences_seed for seed in (0, 1)] == [0, 1]


def test_the_row_of_imagenet_begins_at_its_weights_and_differs_in_the_encoder_alone(config):
    usual, settings = (pose_config(LabelledCell(recipe, "S1", 0), config) for recipe in ("supervised", "imagenet"))
    assert settings.untrained.encoder == replace(usual.untrained.encoder, kind="heatmaps_imagenet")
    assert settings.optim.lr == usual.optim.lr / 4 and settings.encoder is None and settings.mode == "scratch"
    same = {"name": usual.name, "untrained": usual.untrained, "optim": usual.optim}
    assert replace(settings, **same) == usual
    stage_1 = train_3d_pose_from_enc.start_of_pose(settings).stage_1
    assert torch.equal(stage_1.network.backbone.stem[0].weight, efficientnet_lite0()._conv_stem.weight)


def test_views_are_averaged_by_instant_in_world_axes():
    pose = torch.arange(12.0).reshape(4, 1, 3)
    frames = np.array([[9, 2, 1, 1, 1], [9, 2, 1, 2, 1], [9, 2, 1, 1, 2], [9, 2, 1, 2, 2]])
    mean = mean_of_views(pose, frames)
    assert torch.equal(mean[:, 0, 0], torch.tensor([1.5, 1.5, 7.5, 7.5]))


def test_ratios_are_those_of_the_rows(found):
    n_mm = {(row["recipe"], row["labels"]): row["n_mpjpe_mm"] for row in found["rows"]
            if row["views"] == 1 and row["budget"] == "plateau"}  # fmt: skip
    assert len(found["ratios"]) >= 8
    for one in found["ratios"]:
        both = n_mm[one["recipe"], one["labels"]] / n_mm[one["over_recipe"], one["over_labels"]]
        assert one["n_mpjpe_ratio"] == pytest.approx(both, abs=2e-3)
        assert one["interval"][0] <= one["n_mpjpe_ratio"] <= one["interval"][1]


def test_markdown_csv_and_figure_lie_beside_the_numbers(config, found):
    lines = config.output.with_suffix(".md").read_text().splitlines()
    assert lines[0] == "| | reads | no labels | 1 sequence | all of S1 | everybody's |"
    supervised = next(line for line in lines if line.startswith("| `supervised`"))
    assert supervised.count("–") == 2 and supervised.count(" / ") == 2
    assert lines[-1] == found["protocol"]
    with config.output.with_suffix(".csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(found["rows"]) and table[0]["recipe"] == found["rows"][0]["recipe"]
    assert config.figure.stat().st_size > 5000


def test_a_head_behind_another_encoder_says_how_long_that_was_trained(config, tmp_path):
    stored = replace(STAGE_1, encoder=EncoderConfig(kind="unet", width=4, points=6),
                     groups=3)  # fmt: skip
    rhodin = tmp_path / "rhodin.pt"
    torch.manual_seed(1)
    save_checkpoint(rhodin, "enc_dec", 7, to_plain(stored), {"model": build_encoder_decoder(stored).state_dict()})
    part = replace(config, rhodin=(rhodin,), recipes=("rhodin",), labels=("S1",), seeds=(0,), head_steps=2,
                   output=tmp_path / "part.json", figure=tmp_path / "part.png")  # fmt: skip
    label_curve.main(part)
    told = json.loads(part.output.read_text())
    assert {row["recipe"] for row in told["rows"]} >= {"rhodin"}
    assert "Stage 1 of rhodin: 7 steps of 12 images (the preset: 400000), crop centred on masks, 32" in told["protocol"]
    settings = pose_config(LabelledCell("rhodin", "S1", 0), part)
    assert settings.mode == "frozen" and settings.optim.steps == 2 and settings.head == PRESETS["rhodin"]().pose.head


def test_a_star_marks_a_training_that_still_got_better():
    row = {"recipe": "ours", "labels": "1", "views": 1, "budget": "plateau", "reads": "pixels", "n_mpjpe_mm": 80.0,
           "n_mpjpe_mm_interval": [70.0, 90.0], "p_mpjpe_mm": 60.0, "still_falling": True}  # fmt: skip
    told = "\n".join(markdown([row, row | {"labels": "S1", "still_falling": False}], [], "how"))
    assert "| 80.0 [70.0, 90.0] / 60.0* | 80.0 [70.0, 90.0] / 60.0 |" in told


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"subjects": replace(WHO, validation=())}, "subjects.validation is empty, so that labels of the training"),
        ({"fits": None}, r"recipes \['ours', 'ours_without_stage_1'\] read bodies fitted to masks, and fits is not"),
        ({"stage_1": ()}, "need at least one value each"),
    ],
)
def test_what_cannot_be_measured_fairly_is_refused(config, changes, problem):
    with pytest.raises(ValueError, match=problem):
        replace(config, **changes)
