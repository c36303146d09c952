import numpy as np
import pytest

from utils.report.summaries import (
    Circumstances,
    all_summaries,
    away_over_front,
    known_interval,
    report,
    save_rows,
    summarise,
    yaw_summary,
)


def two_sequences() -> tuple[np.ndarray, dict[str, np.ndarray], Circumstances]:
    """Two sequences of four frames: facing the camera, its side, its back, its back; the second one sits."""
    frames = np.array([[9, action, 1, camera, 1] for action in (2, 9) for camera in (1, 2, 3, 4)], dtype=np.int32)
    degrees = np.array([0.0, 90, 180, -135] * 2)
    which = Circumstances(np.deg2rad(degrees), np.array([0, 2, 4, 5] * 2), np.array([True, False, False, False] * 2),
                          np.array([False, False, True, True] * 2), frames[:, 1] == 9)  # fmt: skip
    errors = {
        "p_mpjpe_17_mm": np.array([50.0, 60, 70, 80, 100, 120, 140, 160]),
        "vertex_mm": np.array([10.0, 20, 30, 40, np.nan, np.nan, np.nan, np.nan]),
        "yaw_error_degrees": np.array([1.0, 2, 3, 170, 5, 6, 7, 8]),
        "auc_14_percent": np.full(8, 50.0),
    }
    return frames, errors, which


def test_groups_hold_their_own_frames_and_empty_ones_are_left_out():
    frames, errors, which = two_sequences()
    found = all_summaries(errors, frames, which)
    assert set(found["by_facing"]) == {"0", "90", "180", "225"}
    assert found["by_facing"]["180"]["p_mpjpe_17_mm"]["mean"] == pytest.approx((70 + 140) / 2)
    assert found["front_side_away"]["away"]["num_frames"] == 4
    assert found["by_posture"]["sitting"]["p_mpjpe_17_mm"]["mean"] == pytest.approx(130)
    assert found["per_action"]["Sitting"]["num_sequences"] == 1
    assert "auc_14_percent" in found["overall"] and "auc_14_percent" not in found["by_posture"]["sitting"]


def test_frames_without_truth_do_not_count_and_are_no_nan():
    frames, errors, which = two_sequences()
    assert summarise(errors, frames, np.ones(8, bool))["vertex_mm"]["mean"] == pytest.approx(25)
    assert "vertex_mm" not in summarise(errors, frames, which.is_sitting)
    assert known_interval(np.full(3, np.nan), frames[:3]) is None


def test_away_over_front_divides_the_means():
    frames, errors, which = two_sequences()
    found = away_over_front(errors, frames, which)
    assert found["p_mpjpe_17_mm"]["mean"] == pytest.approx(((70 + 80 + 140 + 160) / 4) / 75)
    assert found["vertex_mm"]["mean"] == pytest.approx(35 / 10)


def test_the_yaw_of_people_who_face_away_by_hand():
    frames, errors, which = two_sequences()
    away = yaw_summary(errors["yaw_error_degrees"], frames, which)["away"]
    assert away["median_degrees"]["mean"] == pytest.approx(7.5)
    assert away["beyond_90_degrees_percent"]["mean"] == pytest.approx(25)


def test_the_report_prints_every_group_with_its_numbers():
    frames, errors, which = two_sequences()
    found = all_summaries(errors, frames, which)
    text = report({"predicted": found, "mean pose": found}, "predicted")
    for words in ("mean pose", "facing 225°", "sitting", "Directions", "away over front", "median yaw error", "25.0"):
        assert words in text, f"{words} is not printed"


def test_rows_are_written_with_every_measure_and_an_empty_cell_where_one_is_unknown(tmp_path):
    cell = {"mean": 10.04, "low": 9.0, "high": 11.0}
    rows = {"fit": {"num_frames": 8, "num_sequences": 2, "vertex_mm": cell}, "x": {"num_frames": 1, "num_sequences": 1,
            "iou_percent": cell}}  # fmt: skip
    save_rows(tmp_path / "a.json", "how", rows, dict.fromkeys(rows, "pixels"))
    lines = (tmp_path / "a.md").read_text().splitlines()
    assert lines[0] == "| | reads | frames | sequences | vertex_mm | iou_percent |"
    assert lines[2:4] == [
        "| fit | pixels | 8 | 2 | 10.0 [9.0, 11.0] |  |",
        "| x | pixels | 1 | 1 |  | 10.0 [9.0, 11.0] |",
    ]
    assert lines[-1].startswith("How. Brackets: 95 % bootstrap")
