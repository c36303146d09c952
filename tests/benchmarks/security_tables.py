"""Writes the counts of fuzz.json and kills.json into SECURITY.md.

python tests/benchmarks/security_tables.py
"""

import json
from pathlib import Path
from typing import Any

from config import ROOT

PAGE, RESULTS = ROOT / "SECURITY.md", ROOT / "tests" / "benchmarks" / "results"


def fuzz_block(stored: dict[str, Any]) -> str:
    """Write a line for each reader."""
    rows = stored["readers"]
    lines = ["| reader | parsed by | cases | refused | read | foreign errors | over a limit |", "|---" * 7 + "|"]
    for name, row in sorted(rows.items()):
        by = "us" if row["ours"] else "a library"
        lines.append(f"| {name} | {by} | {row['cases']:,} | {row['refused']:,} | {row['read']:,} | "
                     f"{row['foreign_errors']} | {row['over_limit']} |")  # fmt: skip
    total = sum(row["cases"] for row in rows.values())
    return "\n".join(lines) + f"\n\n{total:,} files in all. `fuzz.json`."


def guided_block(stored: dict[str, Any]) -> str:
    """Write a line for each reader whose files coverage chose."""
    lines = ["| reader | cases | refused | read | foreign errors | over a limit | places of code reached | minutes |",
             "|---" * 8 + "|"]  # fmt: skip
    for name, row in sorted(stored["guided"].items()):
        lines.append(f"| {name} | {row['cases']:,} | {row['refused']:,} | {row['read']:,} | {row['foreign_errors']} | "
                     f"{row['over_limit']} | {row['places_of_code_first']} – {row['places_of_code_last']} | "
                     f"{row['seconds'] / 60:.1f} |")  # fmt: skip
    return "\n".join(lines) + "\n\n`fuzz.json`."


def kills_block(stored: dict[str, Any]) -> str:
    """Write a line for each stage."""
    lines = ["| stage | ended | trainings compared | equal bit for bit | two threads: terms of step 1 differ by |",
             "|---" * 5 + "|"]  # fmt: skip
    for name, row in stored["stages"].items():
        apart = row["largest_relative_difference_with"].get("two_threads", {}).get("terms_of_step_1")
        told = "–" if apart is None else f"{apart:.0e}" if apart else "0"
        lines.append(f"| {name} | {row['kills']} | {row['ends_compared']} | {row['ends_equal']} | {told} |")
    return "\n".join(lines) + "\n\n`kills.json`."


BLOCKS = {"fuzz": ("fuzz", fuzz_block), "guided": ("fuzz", guided_block), "kills": ("kills", kills_block)}
"""By the name of their marks: the file, and what writes it."""


def with_tables(page: str, results: Path = RESULTS) -> str:
    """Put the tables between their marks."""
    for name, (file, block) in BLOCKS.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, rest = page.split(begin)
        after = rest.split(end)[1]
        page = f"{before}{begin}\n{block(json.loads((results / f'{file}.json').read_text()))}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
