"""Small trainings on a file system that fills up, one after the other.  Not a test itself: test_failures.py starts it.

    unshare -rm sh -c 'mount -t tmpfs -o size=1m tmpfs FOLDER && python tests/helpers/full_disk.py FOLDER'

Writes a line of json for each: what was said, what is left, and whether the training goes on once there is room again.
"""

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from config import Paths
from tests.helpers.toy_run import ToyConfig, train
from utils.artifacts import load_checkpoint
from utils.history import load_history
from utils.settings import start

PAGE = 4096
STEPS = 300


@dataclass(frozen=True)
class Nothing:
    """No settings."""


def fill(path: Path, pages_left: int) -> None:
    """Fill the file system but for some pages."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(PAGE))
    os.ftruncate(file, os.fstat(file).st_size - pages_left * PAGE)
    os.close(file)


def on_a_disk_with(pages_left: int, folder: Path) -> dict[str, object]:
    """Train, fill the disk, train on until it is full, make room, and train to the end."""
    config = ToyConfig(Paths(runs_location=folder), name=f"left_{pages_left}")
    run = folder / "toy" / config.name
    train(config)
    fill(folder / "filler", pages_left)
    on = replace(config, loop=replace(config.loop, resume=True, checkpoint_every=3, log_every=1),
                 optim=replace(config.optim, steps=STEPS))  # fmt: skip
    code, said = 0, io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            start(lambda _: train(on), Nothing)
        except SystemExit as error:
            code = int(error.code or 0)
    files = sorted(path.name for path in run.parent.rglob("*"))
    found = {"code": code, "said": said.getvalue(), "files": files, "run": str(run),
             "step": load_checkpoint(run / "checkpoint_last.pt", "toy")["step"]}  # fmt: skip
    (folder / "filler").unlink()
    train(on)
    ended = load_checkpoint(run / "checkpoint_last.pt", "toy")["step"]
    return found | {"ended": ended, "logged": [record["step"] for record in load_history(run / "history.jsonl")]}


if __name__ == "__main__":
    place = Path(sys.argv.pop())
    for pages in (0, 1, 4):
        with contextlib.redirect_stdout(sys.stderr):
            tried = on_a_disk_with(pages, place)
        print(json.dumps(tried), flush=True)
