"""Testing and fitting bodies on a tiny embedded data set, with an untrained network, as a user starts the scripts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config import (
    DecoderConfig,
    EncDecConfig,
    EncoderConfig,
    Loop,
    MeshHeadConfig,
    MeshLoss,
    Subjects,
)
from dataset_def.ground_truth_bodies import FITTED, load_bodies
from models.encoder_decoder import build_encoder_decoder
from models.masks_fit import MasksFitSteps
from sample import fit_SMPL, make_figures
from sample import test_SMPL as mesh_test
from sample import test_SMPL_from_masks as masks_test
from sample.fit_SMPL import FitConfig
from sample.make_figures import FiguresConfig
from sample.test_SMPL import TestMeshConfig as MeshTestConfig
from sample.tools import mesh_ablation
from sample.tools.mesh_ablation import MeshAblationConfig
from tests.helpers.drawn_people import drawn_people
from tests.helpers.untrained_mesh import write_untrained_mesh
from utils.artifacts import load_metrics, load_predictions, save_checkpoint
from utils.settings import to_plain

COMMAND = "the test"


class Workplace:
    """Two people in two actions, two instants each, and an untrained checkpoint of stage 4."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = drawn_people(root)
        self.checkpoint = write_untrained_mesh(root / "runs" / "mesh" / "tiny" / "checkpoint_best.pt")
        self.test_config = MeshTestConfig(checkpoint=self.checkpoint, paths=self.paths, subjects=(9,), device="cpu",
                                          examples=3)  # fmt: skip
        self.fit_config = FitConfig(
            name="tiny", paths=self.paths, subjects=(9,), every=1, device="cpu", start="joints", joints="labels",
            stand_in=True, mask_px=48, steps=MasksFitSteps(joint_steps=60, shape_steps=10, steps=10), batch=2,
            processes=1,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workplace:
    torch.set_num_threads(1)
    return Workplace(tmp_path_factory.mktemp("mesh"))


def test_metrics_and_predictions_hold_what_their_names_say(place):
    metrics = mesh_test.main(place.test_config)
    stored_metrics = load_metrics(place.checkpoint.parent / "metrics.json", COMMAND)
    assert stored_metrics["metrics"] == json.loads(json.dumps(metrics))
    assert metrics["truth"] == "embedded data" and stored_metrics["num_frames"] == 2 * 2 * 4
    _, stored = load_predictions(place.checkpoint.parent / "predictions.npz", COMMAND)
    assert stored["rotations_crop"].shape == (16, 24, 3, 3) and stored["betas"].shape == (16, 10)
    assert metrics["overall"]["vertex_mm"]["mean"] == pytest.approx(stored["vertex_mm"].mean(), rel=1e-5)
    apart_m = np.linalg.norm(stored["predicted_root_m"] - stored["true_root_m"], axis=-1)
    assert metrics["overall"]["mpjpe_17_mm"]["mean"] == pytest.approx(1000 * apart_m.mean(), rel=1e-4)
    assert set(metrics["per_action"]) == {"Directions", "Sitting"}
    # The true bodies lack clothes, but they are where the masks are; an untrained network is not.
    ious = [metrics[who]["overall"]["iou_all_views_percent"]["mean"] for who in ("true_body", "mean_body")]
    assert ious[0] > 65 > ious[1], ious
    worst_row = apart_m.mean(axis=1).argmax()
    assert worst_row in stored["extreme_row"] and len(stored["extreme_image"]) == len(stored["extreme_row"])
    assert stored["example_mask"].shape == stored["example_coverage"].shape == (3, 4, 64, 64)
    drawn = make_figures.main(FiguresConfig(mesh=place.checkpoint.parent, folder=place.root / "images"))
    assert [path.name for path in drawn] == ["bodies.png", "silhouettes.png", "facing.png"]


def test_without_true_bodies_joints_and_silhouettes_are_measured(place):
    paths = replace(place.paths, truth_location=place.root / "absent")
    metrics = mesh_test.main(replace(place.test_config, paths=paths, out=place.root / "no_truth"))
    assert metrics["truth"] == "none" and "mean_body" not in metrics
    assert "vertex_mm" not in metrics["overall"] and "iou_all_views_percent" in metrics["overall"]


def test_fits_come_near_the_truth_go_on_where_they_stopped_and_stand_in_for_it(place):
    fit_SMPL.main(place.fit_config)
    folder = place.paths.runs_location / "fit" / "tiny"
    assert not (folder / "pseudo_labels.npz").exists(), "nothing may be trained on a test subject"
    tested = masks_test.TestMasksConfig(fits=folder, paths=place.paths, result=place.root / "fits.json")
    found = masks_test.main(tested)["fit"]
    assert "joints | 4 | 2 |" in (place.root / "fits.md").read_text(), "what the row reads, frames, sequences"
    assert json.loads((place.root / "fits.json").read_text())["rows"]["fit"]["joints_mm"]["mean"] == found["joints_mm"]
    assert found["vertices_mm"] < 80 and found["joints_mm"] < 30 and found["overlap_percent"] > 65, found
    assert [load_bodies(path).source for path in sorted((folder / "truth").iterdir())] == [FITTED] * 2
    written = {path: path.stat().st_mtime_ns for path in sorted((folder / "parts").iterdir())}
    assert len(written) == 2
    next(iter(written)).unlink()
    fit_SMPL.main(place.fit_config)
    again = {path: path.stat().st_mtime_ns for path in sorted((folder / "parts").iterdir())}
    assert [again[path] == time for path, time in written.items()] == [False, True]
    with pytest.raises(ValueError, match="begun with batch 2, and this run has batch 3"):
        fit_SMPL.main(replace(place.fit_config, batch=3))
    paths = replace(place.paths, truth_location=folder / "truth")
    metrics = mesh_test.main(replace(place.test_config, paths=paths, out=place.root / "fitted"))
    assert metrics["truth"] == "multi-view fit" and "vertex_mm" in metrics["overall"]


def test_stand_ins_and_a_start_from_joints_need_joints():
    for name, value in (("start", "joints"), ("stand_in", True)):
        with pytest.raises(ValueError, match=f"{name} {value} needs known joints; add --joints labels"):
            FitConfig(**{name: value})


def test_the_ablation_fills_its_table_and_does_finished_cells_only_once(place, tmp_path, capsys):
    encoder = tmp_path / "checkpoint_best.pt"
    stage_1 = EncDecConfig(encoder=EncoderConfig(width=4, points=10, appearance=8), decoder=DecoderConfig(width=4))
    save_checkpoint(encoder, "enc_dec", 1, to_plain(stage_1), {"model": build_encoder_decoder(stage_1).state_dict()})
    config = MeshAblationConfig(
        encoder=encoder, paths=place.paths, subjects=Subjects(train=(1,), test=(9,), held_out=((9, 1),)), seeds=(0, 1),
        silhouettes_of=(1,), steps=2, head=MeshHeadConfig(hidden=8), batch=4, silhouette_batch=1, every=1, device="cpu",
        loop=Loop(workers=0, threads=1), output=tmp_path / "mesh_ablation.json",
    )  # fmt: skip
    mesh_ablation.main(config)
    found = json.loads(config.output.read_text())
    trained = ["L_pose alone", "L_pose + L_verts", "head and weights of preset `seed`"]
    assert list(found["rows"]) == [*trained, "mean body"], "no prior, no rows with L_gan"
    assert all({"mpjpe_17_mm", "vertex_mm", "iou_all_views_percent"} <= row.keys() for row in found["rows"].values())
    gain = found["differences"]["L_pose + L_verts minus L_pose alone"]["vertex_mm"]
    means = [found["rows"][row]["vertex_mm"]["mean"] for row in trained[:2]]
    assert gain["mean"] == pytest.approx(means[1] - means[0])
    assert found["steps_of_tested_checkpoint"]["L_pose alone"] == [2, 2]
    assert capsys.readouterr().out.rstrip().endswith(config.output.with_suffix(".md").read_text().rstrip())
    runs = sorted((place.paths.runs_location / "mesh").glob("ablation_*"))
    kinds = [json.loads((run / "config.json").read_text())["settings"] for run in runs]
    assert len(runs) == 3 * 2 and sorted({one["head"]["kind"] for one in kinds}) == ["crop", "seed"]
    assert sorted({one["loss"]["mesh_to_mask"] for one in kinds if one["head"]["kind"] == "crop"}) == [
        0.0,
        MeshLoss().mesh_to_mask,
    ]
    written_at = {path: path.stat().st_mtime_ns for run in runs for path in run.rglob("*")}
    mesh_ablation.main(config)
    assert written_at == {path: path.stat().st_mtime_ns for run in runs for path in run.rglob("*")}
