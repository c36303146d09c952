"""Writes into a folder beside the final one, so that an import that stops leaves nothing behind."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = ("backgrounds",)
"""What is not replaced where it exists: another recording of the same subject made it."""


def _missing(folder: Path) -> list[Path]:
    """List the folders that would have to be made for a path, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


@contextmanager
def staged(folder: Path, name: str) -> Iterator[Path]:
    """Give a folder to write into; what lies in its subfolders is moved to those of `folder` when all is well.

    Whatever stops the writing, also Ctrl-C, removes it again, with every folder that was made for it.
    """
    made = _missing(folder)
    stage = folder / f"{name}.partial"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        yield stage
        _move(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _move(stage: Path, folder: Path) -> None:
    """Move everything one level below the stage's subfolders; the same disk, so each takes no time."""
    for part in sorted(stage.iterdir()):
        (folder / part.name).mkdir(exist_ok=True)
        for child in sorted(part.iterdir()):
            target = folder / part.name / child.name
            if not (part.name in KEPT and target.exists()):
                os.replace(child, target)
