"""The README's tables come from files, and the committed README says what the committed files say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from config import ROOT
from sample.tools import make_readme
from sample.tools.make_readme import PAGES, ReadmeConfig
from tests.benchmarks.summary import summary
from utils.artifacts import save_metrics
from utils.report.headline import headline
from utils.report.markdown import NOVEL_VIEWS, block, shortened, written_mean
from utils.report.summaries import RULES, Circumstances, all_summaries
from utils.tiers import NOTHING, Reads

RESULTS = ReadmeConfig().results_location
SEEN = Reads(pixels=frozenset({1}), masks=frozenset({1}))


def metrics_file(folder, mean: float):
    interval = {"mean": mean, "low": mean - 1, "high": mean + 1}
    row = dict.fromkeys(NOVEL_VIEWS.values(), interval)
    path = folder / "enc_dec" / "mine" / "metrics.json"
    frames, metrics = np.zeros((1, 5), np.int32), {"step": 7, "predicted": row}
    save_metrics(path, "S9; a test", frames, {}, metrics, reads=SEEN, at_test=NOTHING)
    return path


def test_a_block_is_replaced_by_the_numbers_of_its_file(tmp_path):
    results, readme = tmp_path / "results", tmp_path / "README.md"
    results.mkdir()
    readme.write_text("a\n<!-- begin enc_dec_mine.json -->\nold 1\n<!-- end enc_dec_mine.json -->\nb\n")
    config = ReadmeConfig(metrics=(metrics_file(tmp_path, 12.5),), results_location=results, readme=(readme,))
    [text] = make_readme.main(config)
    assert "old 1" not in text
    assert "| predicted | pixels + masks | 12.5 [11.5, 13.5] |" in text
    assert "S9; a test; 1 images; step 7." in text
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    assert make_readme.main(config) == [text]


def test_joints_that_a_matrix_reads_off_the_points_have_a_table_of_their_own(tmp_path):
    metrics = {
        "step": 7,
        "predicted": {"l1_in_box": interval(0.5)},
        "probe, all labels": {"n_mpjpe_17_mm": interval(9.6)},
    }
    path = tmp_path / "enc_dec_mine.json"
    save_metrics(path, "S9; a test", np.zeros((1, 5), np.int32), {}, metrics, reads=SEEN, at_test=NOTHING,
                 others={"probe, all labels": SEEN})  # fmt: skip
    drawn, probes = block(path).split("Joints, read off the points by one matrix:")
    assert "| predicted | pixels + masks | 0.500 [0.438, 0.562] |" in drawn and "probe" not in drawn
    assert "| probe, all labels | pixels + masks | 9.60 [9.54, 9.66] |" in probes and "N-MPJPE" in probes


def test_a_block_without_its_file_stays(tmp_path):
    text = "<!-- begin none.md -->\nkept\n<!-- end none.md -->"
    assert make_readme.filled(text, tmp_path) == text


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.0625, "high": mean + 0.0625}


def test_numbers_get_the_decimals_they_need():
    assert written_mean(interval(131.77)) == "131.8 [131.7, 131.8]"
    assert written_mean(interval(9.6)) == "9.60 [9.54, 9.66]"
    assert written_mean(interval(0.5)) == "0.500 [0.438, 0.562]"


def mesh_metrics(path):
    """Two sequences of three frames: facing the camera, its side, its back; the true bodies of one are known."""
    frames = np.array([[9, action, 1, camera, 1] for action in (2, 9) for camera in (1, 2, 3)], dtype=np.int32)
    facing_rad, bins = np.array([0.0, 1.571, 3.1416] * 2), np.array([0, 2, 4] * 2)
    which = Circumstances(facing_rad, bins, bins == 0, bins == 4, frames[:, 1] == 9)
    errors = {
        "p_mpjpe_17_mm": np.array([50.0, 60, 100, 50, 60, 100]),
        "vertex_mm": np.array([10.0, 20, 30, np.nan, np.nan, np.nan]),
        "yaw_error_degrees": np.array([1.0, 2, 150, 5, 6, 170]),
    }
    both = {"predicted": errors, "mean": {"p_mpjpe_17_mm": np.full(6, 200.0)}}
    found = {who: all_summaries(values, frames, which) for who, values in both.items()}
    metrics = {"step": 7, "truth": "a test", "rules": RULES, **found["predicted"], "mean_body": found["mean"]}
    save_metrics(path, "S9; a test", frames, {}, metrics, reads=SEEN, at_test=Reads(masks=frozenset({9})),
                 others={"mean_body": Reads(joints=frozenset({1}))})  # fmt: skip
    return path


def test_bodies_are_shown_beside_the_mean_body_and_by_where_they_face(tmp_path):
    lines = block(mesh_metrics(tmp_path / "mesh_mine.json")).splitlines()
    assert lines[:2] == ["| | reads | P-MPJPE mm | vertices mm | yaw error ° |", "|---|---|---|---|---|"]
    assert lines[2].startswith("| predicted | pixels + masks | 70.0 [70.0, 70.0] | 20.0 [20.0, 20.0] |")
    assert lines[3] == "| mean body | S1's joints | 200.0 [200.0, 200.0] | – | – |"
    assert (
        "Error of people who face away over that of people who face the camera: P-MPJPE 2.00 [2.00, 2.00]" in lines[5]
    )
    assert "| predicted, away | 160.0 [150.0, 170.0] | 100.0 [100.0, 100.0] |" in lines
    by_group = {line.split(" | ")[0]: line for line in lines}
    assert "100.0 [100.0, 100.0]" in by_group["| facing 180°"] and "| away" in by_group and "| sitting" in by_group
    assert lines.count("</details>") == 2
    assert lines[-1].startswith("S9; a test; the test reads masks; 6 images; step 7; true bodies: a test.")


def test_a_prior_has_a_row_per_way_to_spoil_and_a_column_per_source(tmp_path):
    found = {
        source: {"num_poses": 4, "num_sequences": 2,
                 "auc": {"plausibility": {"over_twisted": interval(mean), "mean": interval(mean - 0.125)}}}
        for source, mean in (("generator", 0.875), ("cmu", 0.75))
    }  # fmt: skip
    frames, poses = np.zeros((8, 5), np.int32), Reads(poses=frozenset({"cmu"}))
    save_metrics(tmp_path / "gan_mine.json", "unseen poses", frames, {}, found, reads=poses, at_test=poses)
    lines = block(tmp_path / "gan_mine.json").splitlines()
    assert "| | generator, 4 poses, 2 sequences | cmu, 4 poses, 2 sequences |" in lines
    assert "| over twisted | 0.875 [0.812, 0.938] | 0.750 [0.688, 0.812] |" in lines
    assert lines[-1].startswith("unseen poses; the test reads unpaired poses. Brackets: 95 % bootstrap over sequences.")
    assert any(line.endswith("The prior reads unpaired poses.") for line in lines)


def test_a_budget_is_a_sentence(tmp_path):
    numbers = {"parameters_millions": 8.44, "images_per_step": 64, "teraflop_per_step": 1.384}
    numbers |= {"kept_for_backward_gb": 2.5, "weights_gradients_adam_gb": 0.1}
    numbers |= {"hours_at_assumed_speed": 3.84, "assumed_tflops": 20.0}
    (tmp_path / "full_budget.json").write_text(json.dumps(numbers | {"protocol": "full"}))
    assert block(tmp_path / "full_budget.json") == (
        "full: 8.4 million parameters, 64 images and 1.38 TFLOP per step, about 2.6 GB; 3.8 hours at 20 TFLOP/s. "
        "`full_budget.json`."
    )


def test_all_tables_of_a_text_but_the_first_are_folded():
    text = "| a |\n|---|\n| 1 |\n\nNot hidden.\n\nMore of them:\n\n| b |\n|---|\n| 2 |\n\nThe end."
    parts = shortened(text + "\n").split("\n\n")
    assert parts[:2] == ["| a |\n|---|\n| 1 |", "Not hidden."] and parts[-1] == "The end."
    assert parts[2:5] == ["<details><summary>More of them</summary>", "| b |\n|---|\n| 2 |", "</details>"]
    assert len(parts) == 6
    assert shortened(f"<details>\n\n{text}\n") == f"<details>\n\n{text}"
    assert shortened(text + " It is long." * 30).split("\n\n")[5] == "<details><summary>Protocol</summary>"


def test_an_import_report_becomes_a_line_per_camera(tmp_path):
    about = tmp_path / "mine" / "about"
    about.mkdir(parents=True)
    numbers = {"median_error_as_calibrated_px": [13.05, 9], "median_error_refined_px": [7.34, 7],
               "turned_rad": [0.0174533, 0], "used_share": [0.95, 1]}  # fmt: skip
    (about / "report.json").write_text(json.dumps({"cameras": ["left", "right"]} | numbers))
    results, readme = tmp_path / "results", tmp_path / "README.md"
    readme.write_text("<!-- begin mine_import.json -->\n<!-- end mine_import.json -->\n")
    config = ReadmeConfig(reports=(about / "report.json",), results_location=results, readme=(readme,))
    lines = make_readme.main(config)[0].splitlines()
    assert "| left | 13.1 | 7.3 | 1.00 | 95 |" in lines
    assert "| right | 9.0 | 7.0 | 0.00 | 100 |" in lines
    assert (results / "mine_import.json").read_text() == (about / "report.json").read_text()
    del numbers["used_share"]
    (about / "report.json").write_text(json.dumps({"cameras": ["left", "right"]} | numbers))
    with pytest.raises(ValueError, match=r"no report .* lacks used_share"):
        make_readme.main(config)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_committed_page_agrees_with_the_committed_results(page):
    assert make_readme.filled(page.read_text(), RESULTS) == page.read_text()


def test_the_table_of_the_first_page_agrees_with_the_results_that_it_gathers():
    text = headline(RESULTS)
    assert (RESULTS / "headline.md").read_text() == text
    found = json.loads((RESULTS / "pose_open_pose_box.json").read_text())["metrics"]["overall"]["n_mpjpe_17_mm"]
    assert f"| {written_mean(found)} |" in text


def headings_of(page: Path) -> set[str]:
    """The anchors that a page has on the host."""
    titles = re.findall(r"^#+ (.*)", re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.M), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def places_named_by(page: Path) -> list[tuple[Path, str]]:
    """The files and anchors that a page links to or shows."""
    named = re.findall(r"(?:\]\(|<img src=\")([^)\"]+)", page.read_text())
    parts = [name.partition("#") for name in named if "://" not in name]
    return [((page.parent / place if place else page).resolve(), anchor) for place, _, anchor in parts]


@pytest.mark.parametrize("page", (*PAGES, ROOT / "CONTRIBUTING.md"), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_picture_and_page_that_a_page_names_exists(page):
    assert [str(place) for place, _ in places_named_by(page) if not place.exists()] == []
    lost = [
        f"{place}#{anchor}" for place, anchor in places_named_by(page) if anchor and anchor not in headings_of(place)
    ]
    assert lost == []


def test_every_picture_is_shown_by_a_page():
    shown = {place for page in (*PAGES, *RESULTS.glob("*.md")) for place, _ in places_named_by(page)}
    unseen = [path.name for path in (ROOT / "images").iterdir() if path not in shown]
    assert unseen == []


def test_the_summary_holds_what_was_measured_and_nothing_else(tmp_path):
    one = {
        "metrics": {"overall": {"n_mpjpe_17_mm": interval(76.344)}, "yaw": {"all": {"median_degrees": interval(5.0)}}}
    }
    (tmp_path / "mesh_open_body_maps_all_box.json").write_text(json.dumps(one))
    (tmp_path / "stage_1_probe.json").write_text(
        json.dumps({"rows": {"3 sequences": {"n_mpjpe_17_mm": interval(104)}}})
    )
    found = summary(tmp_path)
    assert found == {"weights": {"box_n_mpjpe_mm": 76.34}, "stage_1": {"probe_3_n_mpjpe_mm": 104}}
