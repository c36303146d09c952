"""Say what data was found, what is missing, and what that blocks.

    python dataset_def/check_data.py
    python dataset_def/check_data.py --official /data/Human3.6M --surreal /data/SURREAL --amass /data/AMASS
    python dataset_def/check_data.py --dataset data/real
    python dataset_def/check_data.py --paths.models-smpl-location SMPL_NEUTRAL.pkl

Reads   names of files, and one file of each kind; writes nothing
Prints  a line per thing: [ok] there, [--] not there, [ !] there with a gap, [!!] missing or damaged
Exit    0, or 2 if something that was asked for by name is missing or damaged
"""

from config import ROOT, CheckDataConfig, Paths
from dataset_def.checks.bodies import check_body
from dataset_def.checks.downloads import check_crops, check_official
from dataset_def.checks.layout import check_layout
from dataset_def.checks.line import LEGEND, Line, printed
from dataset_def.checks.motions import check_amass, check_cmu, check_surreal
from dataset_def.checks.runs import check_runs
from utils.settings import is_own_data, start


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


def everything(config: CheckDataConfig) -> list[Line]:
    """Look at everything."""
    lines: list[Line] = []
    for title, paths, is_asked in recordings(config):
        lines += check_layout(title, paths, is_asked)
    lines += check_official(config.official, config.metadata)
    lines += check_crops(config.crops)
    lines += check_body(config.paths)
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
