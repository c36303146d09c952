"""Say what data was found, what is missing, and what that blocks.

    python dataset_def/check_data.py
    python dataset_def/check_data.py --official /data/Human3.6M --surreal /data/SURREAL --amass /data/AMASS
    python dataset_def/check_data.py --dataset data/real
    python dataset_def/check_data.py --paths.models-smpl-location SMPL_NEUTRAL.pkl

Reads   names of files, and one file of each kind; writes nothing
Prints  a line per thing: [ok] there, [--] not there, [ !] there with a gap, [!!] missing or damaged
Exit    0, or 2 if something that was asked for by name is missing or damaged
"""

from dataclasses import dataclass, field
from pathlib import Path

from config import ROOT, Paths
from dataset_def.checks.layout import LEGEND, CheckLine, check_layout, check_runs, printed
from dataset_def.checks.sources import (
    check_amass,
    check_body_file,
    check_cmu,
    check_crops,
    check_official,
    check_surreal,
)
from utils.settings import is_own_data, start


@dataclass(frozen=True)
class CheckDataConfig:
    """dataset_def/check_data.py: what was found, what is missing, and what that blocks."""

    paths: Paths = field(default_factory=Paths)
    official: Path | None = None
    """The official Human3.6M download, as for dataset_def/convert_h36m.py."""
    metadata: Path | None = None
    """metadata.xml, if it does not lie in the folder `official`."""
    crops: Path | None = None
    """A folder with labels.h5, as for dataset_def/convert_labels_h5.py."""
    surreal: Path | None = None
    """SURREAL: the folder that holds train, val and test."""
    amass: Path | None = None
    """AMASS: a folder of .npz files, at any depth."""
    cmu: Path | None = None
    """CMU motion capture: a folder of .asf and .amc files."""
    own: tuple[Path, ...] = ()
    """Folders of custom recordings, each with frames, masks, backgrounds and index, as the import writes them."""


def recordings(config: CheckDataConfig) -> list[tuple[str, Paths, bool]]:
    """List the data sets in our layout: (title, places, asked for by name)."""
    is_given = is_own_data(config.paths)
    found = [("your data" if is_given else "embedded data", config.paths, is_given)]
    below = sorted(path.parent for path in (ROOT / "data").glob("*/frames"))
    for folder, is_asked in [(path, True) for path in config.own] + [(path, False) for path in below]:
        paths = Paths.under(folder)
        if paths.h36m_location != config.paths.h36m_location:
            found.append((f"recording {folder.name}", paths, is_asked))
    return found


def everything(config: CheckDataConfig) -> list[CheckLine]:
    """Check everything that the settings name."""
    lines: list[CheckLine] = []
    for title, paths, is_asked in recordings(config):
        lines += check_layout(title, paths, is_asked)
    lines += check_official(config.official, config.metadata)
    lines += check_crops(config.crops)
    lines += check_body_file(config.paths)
    lines += check_surreal(config.surreal) + check_amass(config.amass) + check_cmu(config.cmu)
    return lines + check_runs(config.paths)


def main(config: CheckDataConfig) -> None:
    """Print what the marks mean, and one line per thing."""
    lines = everything(config)
    print(LEGEND)
    for line in lines:
        print(printed(line))
    broken = [line for line in lines if line.mark == "bad" and line.is_asked]
    if broken:
        raise ValueError(f"asked for, but missing or damaged: {'; '.join(line.what for line in broken)}; the lines "
                         "with [!!] above say why")  # fmt: skip


if __name__ == "__main__":
    start(main, CheckDataConfig)
