"""One place holds the version; what repeats it for readers repeats it rightly."""

import re
import tomllib

from config import ROOT
from utils.machine import VERSION, versions


def test_the_package_reads_its_version_from_the_program():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"] and "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "utils.machine.VERSION"}


def test_the_changelog_and_the_citation_name_the_version():
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None and newest[1] == VERSION
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()


def test_a_run_notes_the_version():
    assert versions()["pose-from-views"] == VERSION


def test_the_log_of_trials_is_dated_and_newest_first():
    headings = re.findall(r"^## (.*)$", (ROOT / "tests" / "benchmarks" / "LOG.md").read_text(), re.M)
    dates = [re.match(r"\d{4}-\d{2}-\d{2} ", heading) for heading in headings]
    assert all(dates), headings
    assert [date[0] for date in dates if date] == sorted((date[0] for date in dates if date), reverse=True)
