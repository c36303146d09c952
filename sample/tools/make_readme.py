"""Fill the tables of all READMEs from files that other commands wrote.  No number enters a README by hand.

    python sample/tools/make_readme.py --metrics runs/pose/demo/metrics.json runs/mesh/demo/metrics.json

Reads   metrics.json (sample/test_*.py), report.json (dataset_def/import_multiview.py), tests/benchmarks/results/*
Writes  tests/benchmarks/results/{<stage>_<run>,<recording>_import}.json, {headline,drawn_people,cluster}.md;
        the READMEs between their marks
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from config import ROOT
from sample.tools.cluster_plan import MADE_BY, ClusterConfig, page_of
from utils.artifacts import atomic_write, load_metrics
from utils.report.headline import FIRST_PAGE, ROWS, drawn_people, headline
from utils.report.markdown import block, load_report
from utils.settings import start

PAGES = (
    ROOT / "README.md",
    ROOT / "dataset_def" / "README.md",
    ROOT / "models" / "README.md",
    ROOT / "sample" / "README.md",
    ROOT / "tests" / "benchmarks" / "results" / "README.md",
)
GATHERED = {
    "headline.md": (headline, {row.file for rows in FIRST_PAGE.values() for row in rows}),
    "drawn_people.md": (drawn_people, {row.file for row in ROWS}),
    "cluster.md": (
        lambda results: page_of(ClusterConfig(results_location=results)),
        {f"{name}.json" for name in MADE_BY},
    ),
}
"""Tables of several results: what writes them, and the files that they need."""


@dataclass(frozen=True)
class ReadmeConfig:
    """sample/tools/make_readme.py: the tables of all READMEs, from files that other commands wrote."""

    metrics: tuple[Path, ...] = ()
    """metrics.json of test scripts, kept under results_location as <stage>_<run>.json before the tables are filled."""
    reports: tuple[Path, ...] = ()
    """report.json of imported recordings, such as data/real/about/report.json, kept there as real_import.json."""
    results_location: Path = ROOT / "tests" / "benchmarks" / "results"
    readme: tuple[Path, ...] = PAGES
    """The pages to fill."""


def filled(text: str, results: Path) -> str:
    """Replace every marked block by what its file says; blocks whose file is missing stay."""

    def fill(match: re.Match[str]) -> str:
        path = results / match["file"]
        if not path.exists():
            return match[0]
        return f"<!-- begin {match['file']} -->\n{block(path)}\n<!-- end {match['file']} -->"

    return re.sub(r"<!-- begin (?P<file>\S+) -->.*?<!-- end (?P=file) -->", fill, text, flags=re.DOTALL)


def main(config: ReadmeConfig) -> list[str]:
    """Keep the given metrics and reports, fill the pages, and return their texts."""
    config.results_location.mkdir(parents=True, exist_ok=True)
    for path in config.metrics:
        load_metrics(path, "the test script")  # refuses a file of another kind
        suffix = path.stem.removeprefix("metrics")  # metrics_masks.json: another crop centre
        shutil.copyfile(path, config.results_location / f"{path.parent.parent.name}_{path.parent.name}{suffix}.json")
    for path in config.reports:
        load_report(path)
        shutil.copyfile(path, config.results_location / f"{path.parent.parent.name}_import.json")
    for name, (write, files) in GATHERED.items():
        if all((config.results_location / file).exists() for file in files):
            with atomic_write(config.results_location / name) as partial:
                partial.write_text(write(config.results_location))
    texts = []
    for page in config.readme:
        texts.append(filled(page.read_text(), config.results_location))
        with atomic_write(page) as partial:
            partial.write_text(texts[-1])
    return texts


if __name__ == "__main__":
    start(main, ReadmeConfig)
