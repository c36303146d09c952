import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from utils.figures.common import (
    LEFT,
    RIGHT,
    bone_colour,
    image_grid,
    image_rows,
    loss_curves,
    skeleton_grid,
    table_figure,
    turntable_grid,
)
from utils.figures.runs import ACTION_COLUMNS, action_figure, auc_bars
from utils.skeleton import H36M_17


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*shape, 16, 16, 3), dtype=np.uint8)


def poses(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.4, (count, 17, 3))


@pytest.mark.parametrize("count", [1, 3])
def test_every_drawing_function_gives_a_figure_that_can_be_written(count):
    images = pictures(count)
    figures = [
        image_grid({"input": images, "target": images}, "data, S9, step 1"),
        turntable_grid(images, pictures(count, 8), "data, S9, step 1"),
        skeleton_grid(poses(count), poses(count), images, "data, S9, step 1"),
        loss_curves([{"step": 1, "elapsed_s": 0.1, "total": 2.0}, {"step": 2, "total": 1.0, "held_out": 3.0}], "run"),
        table_figure([f"action {n}" for n in range(count)], ["N", "P"], np.ones((count, 2)), "data"),
    ]
    for figure in figures:
        assert isinstance(figure, Figure)
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=30)
        assert written.getvalue().startswith(b"\x89PNG")


def test_captions_are_written_on_the_figure():
    assert image_grid({"input": pictures(1)}, "S9, step 7").get_supxlabel() == "S9, step 7"


def test_the_image_grid_shows_the_given_pixels_in_rows_and_titled_columns():
    first, second = pictures(2), 255 - pictures(2)
    axes = image_grid({"input": first, "target": second}, "").axes
    assert [one.get_title() for one in axes] == ["input", "target", "", ""]
    shown = [one.images[0].get_array() for one in axes]
    for found, expected in zip(shown, (first[0], second[0], first[1], second[1]), strict=True):
        assert np.array_equal(found, expected)


def test_predicted_bones_are_solid_true_ones_dashed_and_sides_have_their_colour():
    predicted, true = poses(1), poses(1)
    camera_view = skeleton_grid(predicted, true, pictures(1), "").axes[1]
    lines = {(line.get_linestyle(), tuple(np.round(line.get_xdata(), 6))): line for line in camera_view.lines}
    knee, ankle = H36M_17.index("left_knee"), H36M_17.index("left_ankle")
    for pose, style in ((predicted[0], "-"), (true[0], "--")):
        line = lines[style, tuple(np.round(pose[[knee, ankle], 0], 6))]
        assert line.get_color() == LEFT
        assert np.allclose(line.get_ydata(), pose[[knee, ankle], 1])
    assert bone_colour("right_wrist") == RIGHT
    assert camera_view.get_aspect() == 1
    low, high = camera_view.get_ylim()
    assert low > high, "the camera's y points down"


def test_a_loss_curve_draws_each_term_only_where_it_was_logged():
    figure = loss_curves([{"step": 10, "total": 2.0}, {"step": 20, "total": 1.0, "held_out_mm": 3.0}], "")
    drawn = {one.get_title(): one.lines[0].get_xydata().tolist() for one in figure.axes if one.lines}
    assert drawn == {"total": [[10, 2], [20, 1]], "held out mm": [[20, 3]]}


def test_image_rows_show_one_example_per_column():
    first = pictures(3)
    second = first[::-1]
    axes = image_rows({"input": first, "target": second}, "").axes
    assert len(axes) == 6
    assert np.array_equal(axes[4].images[0].get_array(), second[1])
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["input", "target"]


def test_a_table_shows_each_mean_with_half_the_width_of_its_interval():
    figure = table_figure(["Eating"], ["MPJPE mm"], np.array([[61.2]]), "", np.array([[4.4]]))
    texts = [cell.get_text().get_text() for cell in figure.axes[0].tables[0].get_celld().values()]
    assert sorted(texts) == ["61 ± 4", "Eating", "MPJPE mm"]


def test_metrics_without_intervals_per_action_are_refused_with_the_remedy():
    interval = {"mean": 61.2, "low": 57.0, "high": 66.0}
    overall = dict.fromkeys(ACTION_COLUMNS, interval)
    assert action_figure({"per_action": {"Eating": overall}, "overall": overall}, Path("runs/pose/a"), "").axes
    old = {"per_action": {"Eating": dict.fromkeys(ACTION_COLUMNS, 61.2)}, "overall": overall}
    with pytest.raises(ValueError, match=r"runs/pose/a/metrics.json, of an earlier version.*test_pose.py"):
        action_figure(old, Path("runs/pose/a"), "")


def test_all_loss_curves_share_their_steps():
    figure = loss_curves([{"step": 10, "total": 2.0}, {"step": 20, "total": 1.0, "held_out_mm": 3.0}], "")
    limits = {one.get_xlim() for one in figure.axes if one.lines}
    assert len(limits) == 1 and limits.pop()[0] == 0


def test_a_score_that_is_worse_than_chance_is_drawn_on_the_other_side_of_it():
    cell = {"mean": 0.2, "low": 0.1, "high": 0.3}
    found = {"num_poses": 2, "num_sequences": 1, "auc": {"plausibility": {"shuffled": cell}}}
    axes = auc_bars({"generator": found}, "").axes[0]
    [bar], low = axes.patches, axes.get_xlim()[0]
    assert low <= 0.1 and sorted((bar.get_x(), bar.get_x() + bar.get_width())) == pytest.approx([0.2, 0.5])
    assert axes.texts[0].get_position()[0] < 0.5
