"""The page on security shows what was counted."""

import json

from tests.benchmarks.security_tables import PAGE, RESULTS, with_tables


def test_every_count_of_the_page_is_that_of_the_files():
    page = PAGE.read_text()
    assert with_tables(page) == page, "run python tests/benchmarks/security_tables.py"


def test_no_reader_let_anything_else_out_and_no_training_lost_a_bit():
    stored = json.loads((RESULTS / "fuzz.json").read_text())
    for rows in (stored["readers"], stored["guided"]):
        assert rows and all(not row["foreign_errors"] and not row["over_limit"] for row in rows.values())
    stages = json.loads((RESULTS / "kills.json").read_text())["stages"]
    assert all(row["equal"] and row["kills"] >= 30 for row in stages.values())
