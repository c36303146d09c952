import numpy as np
import pytest

from utils.metrics import pose_errors
from utils.report.summaries import action_table, intervals, overall_table, per_action


def frames_and_errors() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    import torch

    frames = np.array([[9, action, 1, camera, 1] for action in (2, 16) for camera in (1, 2, 3)], dtype=np.int32)
    true = torch.randn(6, 17, 3, generator=torch.Generator().manual_seed(0))
    away = torch.tensor([0.01, 0.01, 0.01, 0.03, 0.03, 0.03])[:, None, None] * torch.tensor([1.0, 0, 0])
    predicted = true.clone()
    predicted[:, 1:] += away
    errors = pose_errors(predicted, true, torch.eye(3).expand(6, 3, 3))
    return frames, {name: values.numpy() for name, values in errors.items()} | {"yaw_error_degrees": np.full(6, 5.0)}


def test_actions_are_averaged_over_their_own_frames():
    frames, errors = frames_and_errors()
    table = per_action(errors, frames)
    assert list(table) == ["Directions", "WalkTogether"]
    assert [line["num_frames"] for line in table.values()] == [3, 3]
    assert table["Directions"]["mpjpe_16_mm"]["mean"] == pytest.approx(10, abs=1e-3)
    assert table["WalkTogether"]["mpjpe_17_mm"]["mean"] == pytest.approx(30 * 16 / 17, abs=1e-3)


def test_the_interval_of_an_action_spans_its_sequences_and_no_others():
    frames = np.array([[9, action, part, 1, 1] for action in (2, 16) for part in (1, 2)], dtype=np.int32)
    table = per_action({"error_mm": np.array([10.0, 20.0, 500.0, 500.0])}, frames)
    assert table["Directions"]["error_mm"] == {"mean": 15, "low": 10, "high": 20}
    assert table["WalkTogether"]["error_mm"] == {"mean": 500, "low": 500, "high": 500}
    assert [line["num_sequences"] for line in table.values()] == [2, 2]


def test_printed_tables_hold_the_numbers():
    frames, errors = frames_and_errors()
    overall = overall_table({"predicted": intervals(errors, frames)})
    assert "20.0 [10.0, 30.0]" in next(line for line in overall.splitlines() if line.startswith("predicted, 16"))
    assert "28.2 [28.2, 28.2]" in next(
        line for line in action_table(per_action(errors, frames)).splitlines() if "WalkT" in line
    )
