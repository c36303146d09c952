"""A training in which one process is ended as by `kill -9` at its first start; it goes on by itself at the second.

torchrun --nproc-per-node 2 --max-restarts 1 -m tests.helpers.dying_rank FOLDER
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from config import Paths
from tests.helpers.toy_run import ToyConfig, train
from utils.engine import Run
from utils.failures import failure_in_words

DIES, AT_STEP = 1, 8
"""Which process, and when; the last checkpoint is that of step 5."""


def main(folder: Path) -> None:
    """Train, or die."""
    is_first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    rank, log = int(os.environ["RANK"]), Run.log

    def log_or_die(run: Run, **scalars: torch.Tensor | float) -> None:
        if is_first and rank == DIES and run.step == AT_STEP:
            (folder / "died").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        log(run, **scalars)

    if not is_first and rank == 0:
        (folder / "restarted").write_text(str(time.time()))
    Run.log = log_or_die
    config = ToyConfig(Paths(runs_location=folder), "restarted")
    try:
        model = train(replace(config, loop=replace(config.loop, auto_resume=True)))
    except RuntimeError as error:
        sys.exit(f"{error}\ntold: {failure_in_words(error)}")
    torch.save(model.state_dict(), folder / f"end_{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
