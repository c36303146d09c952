from dataclasses import replace

import numpy as np
import pytest

from config import Paths, seed
from sample.tools.experiment import Cell, Tested, difference, summarise, table_lines, written_row
from sample.tools.mesh_ablation import (
    COLUMNS,
    THESIS_ROWS,
    MeshAblationConfig,
    known_columns,
    mean_body_row,
    mesh_config,
)
from utils.settings import to_plain

FRAMES = np.array([[9, action, 1, camera, 1] for action in (2, 9, 16) for camera in (1, 2, 3, 4)], dtype=np.int32)
IS_AWAY = FRAMES[:, 3] > 2


def cell(offset: float, yaw: np.ndarray, metrics: dict | None = None) -> Tested:
    values = np.arange(12.0) + offset
    errors = {"mpjpe_17_mm": values, "yaw_error_degrees": yaw, "backwards_percent": 100.0 * (yaw > 90)}
    return Tested(errors, FRAMES, 7, IS_AWAY, {"metrics": metrics or {}})


def test_columns_of_those_who_face_away_count_only_them():
    yaw = np.where(IS_AWAY, 100.0, 1.0)
    yaw[[2, 3]] = 30.0
    seeds = [cell(0, yaw), cell(10, yaw)]
    row = summarise(seeds, known_columns({"a": seeds}))
    assert row["mpjpe_17_mm"]["mean"] == pytest.approx(5.5 + 5)
    assert row["away_yaw_median_degrees"]["mean"] == 100
    assert row["away_beyond_90_degrees_percent"]["mean"] == pytest.approx(100 * 4 / 6)
    assert row["away_beyond_90_degrees_percent"]["low"] == 0, (
        "a resample may hold action 2 alone, which none turns away"
    )


def test_differences_are_paired_over_sequences():
    yaw = np.full(12, 5.0)
    ours, baseline = [cell(-3, yaw), cell(-3, yaw)], [cell(0, yaw), cell(0, yaw)]
    found = difference(ours, baseline, known_columns({"a": ours, "b": baseline}))
    assert tuple(found["mpjpe_17_mm"].values()) == pytest.approx((-3, -3, -3))
    assert tuple(found["away_yaw_median_degrees"].values()) == (0, 0, 0)


def test_a_measure_that_one_row_lacks_or_that_has_no_truth_is_no_column():
    yaw = np.full(12, 5.0)
    ours, other = cell(0, yaw), cell(0, yaw)
    ours.errors["prior_score"] = np.ones(12)
    for one in (ours, other):
        one.errors["vertex_mm"] = np.full(12, np.nan)
    assert "prior_score" in known_columns({"a": [ours]}) and "vertex_mm" not in known_columns({"a": [ours]})
    assert "prior_score" not in known_columns({"a": [ours], "b": [other]})


def plain_differences(one: object, other: object) -> dict[str, tuple]:
    mine, others = (to_plain(settings) for settings in (one, other))
    flat = [{(key, inner): value for key, part in plain.items() if key != "name"
             for inner, value in (part.items() if isinstance(part, dict) else [("", part)])}
            for plain in (mine, others)]  # fmt: skip
    return {" ".join(key).strip(): (flat[0][key], flat[1][key]) for key in flat[0] if flat[0][key] != flat[1][key]}


def test_each_row_of_the_thesis_study_changes_one_thing_and_the_last_all(tmp_path):
    for name in ("encoder", "prior", "thesis_prior", "index/index.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    paths = replace(Paths(), index_location=tmp_path / "index")
    config = MeshAblationConfig(encoder=tmp_path / "encoder", prior=tmp_path / "prior", study="thesis", paths=paths,
                                thesis_prior=tmp_path / "thesis_prior")  # fmt: skip
    settings = {row: mesh_config(Cell(row, 0), config) for row in THESIS_ROWS}
    its = seed().mesh
    assert settings["seed"].loss == its.loss and settings["seed"].head.kind == its.head.kind == "seed"
    assert settings["seed"].silhouettes_of == its.silhouettes_of == (1,)
    changes = {row: plain_differences(settings["seed"], one) for row, one in settings.items() if row != "seed"}
    assert {row: sorted(change) for row, change in changes.items()} == {
        "columns": ["head kind"], "hips": ["loss hips"], "balanced": ["loss balance"], "standing": ["head base"],
        "no_root": ["loss prior_sees_root", "prior"], "everybody": ["silhouettes_of"],
        "changed": sorted(["head kind", "loss hips", "loss balance", "head base", "loss prior_sees_root", "prior",
                           "silhouettes_of"]),
    }  # fmt: skip
    assert len({one.name for one in settings.values()}) == len(THESIS_ROWS)
    with pytest.raises(ValueError, match=r"study thesis compares a prior that sees the root with one.*--thesis-prior"):
        replace(config, thesis_prior=None)


def test_the_mean_body_comes_from_the_metrics_and_a_missing_number_leaves_its_cell_empty():
    interval = {"mean": 250.04, "low": 240.0, "high": 260.0}
    yaw = {"away": {"median_degrees": interval, "beyond_90_degrees_percent": interval}}
    metrics = {"mean_body": {"overall": {"num_frames": 12, "mpjpe_17_mm": interval}, "yaw": yaw}}
    columns = {key: COLUMNS[key] for key in ("mpjpe_17_mm", "prior_score", "away_yaw_median_degrees")}
    row = mean_body_row(cell(0, np.full(12, 5.0), metrics), columns)
    assert list(row) == ["mpjpe_17_mm", "away_yaw_median_degrees"]
    assert table_lines({"mean body": written_row(row, columns)}, ["a", "b", "c"])[2] == (
        "| mean body | 250.0 [240.0, 260.0] |  | 250.0 [240.0, 260.0] |"
    )
    assert mean_body_row(cell(0, np.full(12, 5.0)), columns) == {}


def test_headings_tell_unit_and_direction():
    shown = [column.heading for column in COLUMNS.values()]
    assert shown[0] == "MPJPE mm" and shown[4] == "IoU, all views % (more is better)"
    assert shown[-2:] == ["facing away: median yaw error °", "facing away: beyond 90°, %"]
