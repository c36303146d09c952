"""What the page of a run says about measures, frames, settings and comparisons is right, and cannot break the page."""

import base64
import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from utils.artifacts import save_metrics
from utils.bootstrap import Interval
from utils.image_metrics import image_errors
from utils.metrics import pose_errors
from utils.report import compare, curves, files, frames, measures, page, pictures, solids
from utils.report.files import Setting, changed_settings, defaults, preset_name, trained_for
from utils.skeleton import H36M_17
from utils.tiers import NOTHING

MEAN = {"mean": 10.0, "low": 8.0, "high": 13.0}


def some_frames(count: int = 24) -> np.ndarray:
    """Sequences of four frames."""
    return np.array([[9, 2 + row // 8, 1 + row // 4 % 2, 1, row % 4] for row in range(count)], dtype=np.int32)


def found(errors: np.ndarray, rows: np.ndarray) -> frames.Frames:
    return frames.Frames(rows, {"mpjpe_17_mm": errors}, None, None, None)


def test_a_key_tells_name_joints_unit_and_direction():
    read = measures.measure_of("p_mpjpe_17_mm")
    assert (read.name, read.detail, read.unit, read.better) == ("P-MPJPE", "17 joints", "mm", "lower")
    read = measures.measure_of("psnr_db_in_box")
    assert (read.name, read.unit, read.better) == ("PSNR in the box", "dB", "higher")
    read = measures.measure_of("beyond_90_degrees_percent")
    assert (read.name, read.unit, read.better) == ("Beyond 90°", "%", "lower")
    assert measures.measure_of("something_new").better == ""


def test_the_table_agrees_with_what_its_keys_say():
    """Unit and direction stand in the key too; what the prior says alone has neither."""
    for key, listed in measures.MEASURES.items():
        with patch.dict(measures.MEASURES, clear=True):
            read = measures.measure_of(key)
        assert read.unit == listed.unit and read.detail == listed.detail, key
        assert read.better == listed.better or key in ("prior_score", "prior_plausibility", "median_degrees"), key


def test_every_error_of_every_stage_is_in_the_table():
    pose = torch.zeros(1, 17, 3) + torch.arange(51.0).reshape(17, 3)
    errors = pose_errors(pose, pose, torch.eye(3)[None])
    image = torch.zeros(1, 3, 16, 16)
    errors |= image_errors(image, image, torch.ones(1, 1, 16, 16))
    assert not (missing := errors.keys() - measures.MEASURES.keys()), missing


def test_numbers_have_the_decimals_of_their_measure_or_the_digits_they_need():
    assert [
        measures.written_number(value, decimals) for value, decimals in ((135.77, 1), (0.65, None), (19.736, 2))
    ] == [
        "135.8",
        "0.65",
        "19.74",
    ]
    assert measures.written_number(-3.0, 1) == "−3.0"


def test_metrics_are_sorted_by_their_shape():
    one, two = {"mpjpe_17_mm": MEAN}, {"mpjpe_17_mm": MEAN | {"mean": 20.0}}
    seen = measures.sorted_metrics(
        {"step": 5, "overall": one, "mean_pose": two, "per_action": {"Eating": one | {"num_frames": 7}}}
    )
    assert [row.name for row in seen.predictors.rows] == ["this run", "mean pose"] and seen.facts == {"step": "5"}
    (table,) = seen.breakdowns
    assert (table.title, table.of, table.rows[0].name, table.rows[0].sizes) == (
        "by action",
        "",
        "Eating",
        {"frames": 7},
    )


def test_ratios_are_a_table_of_this_run_and_rules_are_facts():
    ratio = {"mean": 1.0409, "low": 0.97, "high": 1.12}
    seen = measures.sorted_metrics(
        {
            "rules": {"front": "at most 67.5 degrees"},
            "overall": {"mpjpe_17_mm": MEAN},
            "away_over_front": {"mpjpe_17_mm": ratio},
        }
    )
    assert [row.name for row in seen.predictors.rows] == ["this run"], "a ratio is no predictor"
    assert seen.facts == {"front": "at most 67.5 degrees"}
    (table,) = seen.breakdowns
    assert (table.title, table.rows[0].name) == ("away over front", "this run")
    decimals = measures.measure_of("mpjpe_17_ratio").decimals
    assert measures.written_number(table.rows[0].cells["mpjpe_17_ratio"].mean, decimals) == "1.04"


def test_runs_are_compared_by_their_ratios_and_by_the_yaw_of_those_who_face_away():
    yaw = {"away": {"median_degrees": MEAN, "beyond_90_degrees_percent": MEAN}}
    seen = measures.sorted_metrics(
        {
            "overall": {"mpjpe_17_mm": MEAN},
            "away_over_front": {"p_mpjpe_17_mm": MEAN},
            "yaw": yaw,
            "mean_body": {"overall": {"mpjpe_17_mm": MEAN}, "yaw": yaw},
        }
    )
    cells = compare.main_cells(seen)
    assert list(cells) == ["mpjpe_17_mm", "away_over_front_p_mpjpe_17_ratio", "yaw_error_away_median_degrees",
                           "yaw_error_away_beyond_90_degrees_percent"]  # fmt: skip
    read = [measures.measure_of(key) for key in cells]
    assert [one.name for one in read[1:]] == ["Away over front P-MPJPE", "Yaw error away median",
                                              "Yaw error away beyond 90 degrees"]  # fmt: skip
    assert {one.better for one in read} == {"lower"} and [one.unit for one in read] == ["mm", "×", "°", "%"]


def test_metrics_of_several_predictors_are_found_below_their_names():
    own = {"overall": {"vertex_mm": MEAN}, "by_facing": {"90": {"vertex_mm": MEAN}},
           "away_over_front": {"vertex_mm": MEAN}}  # fmt: skip
    seen = measures.sorted_metrics({"predictors": {"predicted": own, "mean body": own}})
    assert [row.name for row in seen.predictors.rows] == ["this run", "mean body"]
    assert [(table.title, table.of) for table in seen.breakdowns[:2]] == [
        ("by facing direction", ""),
        ("away over front", ""),
    ]
    assert {table.of for table in seen.breakdowns[2:]} == {"mean body"}
    assert seen.breakdowns[0].rows[0].name == "to the right"
    assert measures.measure_of(next(iter(seen.breakdowns[1].rows[0].cells))).unit == "×", "a ratio has no millimetres"


def test_a_person_turned_to_their_left_is_named_as_facing_the_right_of_the_picture():
    """The camera looks along the world's y; x of the picture is x of the world."""
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose_m = np.zeros((17, 3))
    names = H36M_17
    for joint, sign in (("left_hip", 1), ("left_shoulder", 1), ("right_hip", -1), ("right_shoulder", -1)):
        pose_m[names.index(joint)] = [0, 0, 0.2 * sign]  # left is farther away: the face looks to x
    ahead = np.zeros((17, 3))
    ahead[:, 0] = -pose_m[:, 2]
    poses = np.stack([pose_m, -ahead, ahead])
    stored = {
        "frames": some_frames(3),
        "predicted_root_m": poses,
        "true_root_m": poses,
        "R_crop_from_world": np.stack([R] * 3),
    }
    read = frames.read_frames(stored)
    assert read is not None
    table = frames.facing_table(read)
    assert table is not None
    assert [row.name for row in table.rows] == ["towards the camera", "to the right", "away from the camera"]
    by_row = dict(zip(("right", "front", "back"), poses, strict=True))
    assert by_row["front"][names.index("left_hip"), 0] > 0, "who faces the camera has the left hip right in the picture"


def test_the_best_and_worst_frames_come_from_different_sequences():
    rows = some_frames()
    errors = np.arange(24.0)
    best, worst = frames.best_and_worst(errors, rows, 3)
    assert (best, worst) == ([0, 4, 8], [23, 19, 15])
    errors[0] = np.nan
    assert frames.best_and_worst(errors, rows, 1)[0] == [1]
    assert len(frames.best_and_worst(errors, rows, 99)[0]) == 6, "there are six sequences"


def test_paired_differences_are_those_of_common_frames():
    rng = np.random.default_rng(0)
    rows = some_frames()
    errors = rng.normal(100, 30, 24)
    first = compare.TestedRun(
        "a", {}, "", "", measures.sorted_metrics({"overall": {"mpjpe_17_mm": MEAN}}), found(errors, rows)
    )
    order = rng.permutation(24)[:20]
    other = first._replace(title="b", frames=found(errors[order] - 5.0, rows[order]))
    gain = compare.compare_runs([first, other]).lines[0].differences[0]
    assert gain is not None and gain.interval is not None and gain.num_frames == 20 and gain.verdict == "better"
    assert (gain.mean, gain.interval.low, gain.interval.high) == pytest.approx((-5.0, -5.0, -5.0))


def test_without_errors_per_frame_a_difference_has_no_interval():
    one = compare.TestedRun("a", {"x": 1}, "S9", "h", measures.sorted_metrics({"overall": {"mpjpe_17_mm": MEAN}}), None)
    other = one._replace(
        title="b",
        settings={"x": 2},
        split="S11",
        summary=measures.sorted_metrics({"overall": {"mpjpe_17_mm": MEAN | {"mean": 12.0}}}),
    )
    seen = compare.compare_runs([one, other])
    assert seen.lines[0].differences == [compare.Difference(2.0, None, 0, "")]
    assert seen.settings == [("x", ["1", "2"])] and "S11" in seen.notes[0]


@pytest.mark.parametrize(("low", "high", "better", "verdict"), [
    (-2, -1, "lower", "better"), (1, 2, "lower", "worse"), (1, 2, "higher", "better"), (-1, 1, "lower", ""),
    (1, 2, "", ""),
])  # fmt: skip
def test_an_interval_on_one_side_of_zero_has_a_verdict(low, high, better, verdict):
    assert compare.verdict(Interval(0.0, low, high), better) == verdict


def test_settings_that_are_the_presets_are_not_listed():
    preset = defaults("enc_dec", "full")
    assert preset["crop.size_px"] == 128 and defaults("nothing", "full") == {}
    own = preset | {"optim.lr": 0.5, "name": "mine"}
    assert changed_settings(own, preset) == [Setting("optim.lr", "0.5", "0.0005")]
    for command in (["x.py", "--preset", "full"], ["x.py", "--preset=full"]):
        assert preset_name(command, "enc_dec", own) == "full"


def test_a_run_without_a_preset_is_read_with_the_default_of_its_time():
    for preset in ("demo", "views"):
        own = defaults("enc_dec", preset) | {"optim.lr": 0.5, "name": "mine"}
        assert preset_name(["x.py", "--name", "mine"], "enc_dec", own) == preset
    assert preset_name(["x.py"], "gan", defaults("gan", "demo")) == "demo"
    assert defaults("pose", "heatmaps") == defaults("pose", "demo")


def test_times_of_several_starts_are_added():
    clock = [60.0, 3600.0, 30.0, 1800.0]
    assert trained_for([{"elapsed_s": now} for now in clock]) == "1 h 30 min"


def test_curves_end_at_the_borders_of_the_panel():
    (panel,) = curves.panels([[{"step": step, "loss": 10.0 - step} for step in range(1, 9)]], ["run"])
    places = [(x, y) for x, y, _, _ in panel.curves[0].points]
    assert places[0][1] == curves.TOP and places[-1] == (curves.WIDTH - curves.RIGHT, curves.HEIGHT - curves.BOTTOM)
    assert curves.ticks(0, 10, 4) == [0, 5, 10] and curves.log_ticks(1, 1000) == [1, 10, 100, 1000]
    (steep,) = curves.panels([[{"step": 1, "loss": 100.0}, {"step": 2, "loss": 1.0}]], ["run"])
    assert steep.is_logarithmic


def test_very_many_points_become_means():
    points = curves.series([{"step": step, "loss": float(step % 2)} for step in range(4000)], "loss")
    assert len(points) == curves.MOST_POINTS and all(value == 0.5 for _, value in points)


def test_coordinates_survive_sixteen_bits():
    vertices_m = np.random.default_rng(0).normal(0, 0.5, (500, 3))
    text, step_m = solids.quantised(vertices_m)
    back_m = np.frombuffer(base64.b64decode(text), "<i2").reshape(-1, 3) * step_m
    assert np.abs(back_m - vertices_m).max() <= 0.51 * step_m < 1e-4


def test_pictures_stand_in_rows_of_their_kind_and_unknown_ones_are_shown_too():
    images = np.zeros((5, 8, 8, 3), np.uint8)
    seen = pictures.strips({"grid_input": images, "grid_predicted": images, "overlay": images[:, None].repeat(6, 1),
                            "frames": np.zeros((5, 5), np.int32), "example_image": images})  # fmt: skip
    assert [(strip.title, strip.heads, len(strip.rows)) for strip in seen] == [
        ("Novel views", ["input", "predicted"], 2), ("overlay", [], 5),
    ]  # fmt: skip


def write_run(folder: Path, text: str = "") -> Path:
    """Write a run that has trained but was not tested."""
    folder.mkdir(parents=True)
    start = {"at_step": 0, "command": ["a.py", text], "commit": "c", "versions": {"python": "3"}, "device": "cpu"}
    about = {"stage": "pose", "settings": {"name": text or "x"}, "starts": [start]}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "history.jsonl").write_text(json.dumps({"step": 1, f"loss{text}": 2.0}) + "\n")
    return folder


def written(*folders: Path) -> str:
    return page.write_page([files.read_run(folder) for folder in folders], lambda *_: None, 3, "Made now.")


def test_a_missing_file_becomes_a_sentence_with_the_command(tmp_path):
    text = written(write_run(tmp_path / "pose" / "x"))
    assert "predictions.npz does not exist; make it with: python sample/test_pose.py --checkpoint" in text
    (tmp_path / "pose/x/metrics.json").write_text("{")
    (tmp_path / "pose/x/plot.png").write_bytes(b"\x89PNG")
    text = written(tmp_path / "pose" / "x")
    assert "metrics.json is damaged" in text and "plot.png is truncated" in text


def test_what_a_run_says_cannot_become_part_of_the_page(tmp_path):
    text = written(write_run(tmp_path / "pose" / "x", "</script><script>alert(1)</script><b onclick='x'>"))
    assert "<script>alert" not in text and "<b onclick" not in text
    assert (
        text.count("<script>") == 1 and "&lt;/script&gt;" in text and "\\u003c/script>" not in text.split("<script>")[1]
    )


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="give a run"):
        files.read_run(tmp_path / "none")
    with pytest.raises(ValueError, match="holds nothing that a run writes"):
        files.read_run(tmp_path)


def test_tables_are_folded_only_where_the_run_has_tables_of_its_own(tmp_path):
    auc = {"auc": {"plausibility": {"mirrored_limb": 0.9}}, "generated_std_share": 1.1}
    own = {
        "overall": {"mpjpe_17_mm": MEAN},
        "mean_body": {"overall": {"mpjpe_17_mm": MEAN}, "by_posture": {"sitting": {"mpjpe_17_mm": MEAN}}},
    }
    for name, metrics in (("prior", {"generator": auc, "cmu": auc}), ("body", own)):
        save_metrics(
            tmp_path / name / "metrics.json", "held out", some_frames(), {}, metrics, reads=NOTHING, at_test=NOTHING
        )
    text = written(tmp_path / "prior")
    assert "The same tables for" not in text and "AUC, real against corrupted poses, cmu" in text
    assert '<span class="beside-it">generator</span>' in text, "whose number stands there"
    assert "The same tables for: mean body" in written(tmp_path / "body")
