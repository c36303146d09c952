"""Looks at the checkpoints of earlier runs."""

import zipfile
from pathlib import Path

from config import Paths
from dataset_def.checks.line import Line
from utils.artifacts import COMMANDS
from utils.settings import short


def check_runs(paths: Paths) -> list[Line]:
    """List the runs of every stage with their checkpoints."""
    folders = sorted({path.parent for path in paths.runs_location.glob("*/*/checkpoint_*.pt")})
    if not folders:
        place = short(paths.runs_location)
        return [Line("none", "checkpoints", f"none in {place}", "the stages after the first", COMMANDS["enc_dec"])]
    return [_run(folder) for folder in folders]


def _run(folder: Path) -> Line:
    """Describe one run; a checkpoint is a zip archive, so that a cut one is noticed without loading it."""
    what = f"run {folder.parent.name}/{folder.name}"
    names = sorted(path.name for path in folder.glob("checkpoint_*.pt"))
    cut = [name for name in names if not zipfile.is_zipfile(folder / name)]
    if cut:
        return Line("note", what, f"{', '.join(cut)} is damaged", "the stages after it", "train it again")
    megabytes = sum((folder / name).stat().st_size for name in names) / 1e6
    return Line("ok", what, f"{', '.join(names)}, {megabytes:.0f} MB")
