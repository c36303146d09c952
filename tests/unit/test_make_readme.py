"""The README's tables come from files, and the committed README says what the committed files say."""

import json
import re

import numpy as np
import pytest

from config import ROOT, ReadmeConfig
from sample import make_readme
from utils.artifacts import save_metrics


def metrics_file(folder, mean: float):
    interval = {"mean": mean, "low": mean - 1, "high": mean + 1}
    row = dict.fromkeys(make_readme.NOVEL_VIEWS.values(), interval)
    path = folder / "enc_dec" / "mine" / "metrics.json"
    save_metrics(path, "S9; a test", np.zeros((1, 5), np.int32), {}, {"step": 7, "predicted": row})
    return path


def test_a_block_is_replaced_by_the_numbers_of_its_file(tmp_path):
    results, readme = tmp_path / "results", tmp_path / "README.md"
    results.mkdir()
    readme.write_text("a\n<!-- begin enc_dec_mine.json -->\nold 1\n<!-- end enc_dec_mine.json -->\nb\n")
    config = ReadmeConfig(metrics=(metrics_file(tmp_path, 12.5),), results_location=results, readme=readme)
    text = make_readme.main(config)
    assert "old 1" not in text
    assert "| predicted | 12.5 [11.5, 13.5] |" in text
    assert "S9; a test; step 7." in text
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    assert make_readme.main(config) == text


def test_a_block_without_its_file_stays(tmp_path):
    text = "<!-- begin none.md -->\nkept\n<!-- end none.md -->"
    assert make_readme.filled(text, tmp_path) == text


def test_an_import_report_becomes_a_line_per_camera(tmp_path):
    about = tmp_path / "mine" / "about"
    about.mkdir(parents=True)
    numbers = {"median_error_as_calibrated_px": [13.05, 9], "median_error_refined_px": [7.34, 7],
               "turned_rad": [0.0174533, 0], "used_share": [0.95, 1]}  # fmt: skip
    (about / "report.json").write_text(json.dumps({"cameras": ["left", "right"]} | numbers))
    results, readme = tmp_path / "results", tmp_path / "README.md"
    readme.write_text("<!-- begin mine_import.json -->\n<!-- end mine_import.json -->\n")
    config = ReadmeConfig(reports=(about / "report.json",), results_location=results, readme=readme)
    lines = make_readme.main(config).splitlines()
    assert "| left | 13.1 | 7.3 | 1.00 | 95 |" in lines
    assert "| right | 9.0 | 7.0 | 0.00 | 100 |" in lines
    assert (results / "mine_import.json").read_text() == (about / "report.json").read_text()
    del numbers["used_share"]
    (about / "report.json").write_text(json.dumps({"cameras": ["left", "right"]} | numbers))
    with pytest.raises(ValueError, match=r"no report .* lacks used_share"):
        make_readme.main(config)


def test_the_committed_readme_agrees_with_the_committed_results():
    text = (ROOT / "README.md").read_text()
    assert make_readme.filled(text, ReadmeConfig().results_location) == text


def test_every_picture_of_the_readme_exists():
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert named
    missing = [name for name in named if not (ROOT / name).is_file()]
    assert missing == []
