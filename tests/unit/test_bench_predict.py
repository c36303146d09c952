"""The table of rates of predicting says what its file says, and what was left out."""

import json
import time

from config import ROOT
from tests.benchmarks.bench_predict import Middle, rate, table, timed

RESULT = ROOT / "tests" / "benchmarks" / "results" / "predict.json"


def test_the_committed_table_is_that_of_its_file():
    assert RESULT.with_suffix(".md").read_text() == table(json.loads(RESULT.read_text()))


def test_rows_that_could_not_be_measured_are_told():
    found = {"tiers": [{"way": "a"} | rate(Middle(50.0, 12_345.0, 3), 5)], "models": [], "protocol": "b",
             "missing": ["tier c"]}  # fmt: skip
    assert "| a | 100 | 10 | 2,469 |" in table(found) and "Left out: tier c." in table(found)


def test_processor_time_does_not_count_waiting():
    middle = timed(lambda: time.sleep(0.02), 0.0)
    assert middle.repeats == 3 and middle.cpu_ms < 10 < middle.wall_ms
