"""Teaches points under torchrun and keeps the heading that each process goes on with.  Not a test itself."""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from config import EncDecConfig
from sample import teach_points, train_enc_dec
from utils.settings import start

FOLDER = Path(sys.argv.pop(1))
found_alone = teach_points.find_heading


def kept(reader: Any, *others: Any) -> None:
    """Find the heading as usual, and write down what came of it."""
    found_alone(reader, *others)
    torch.save(reader.beside.heading.state_dict(), FOLDER / f"heading_{os.environ['RANK']}.pt")


if __name__ == "__main__":
    teach_points.find_heading = kept
    start(train_enc_dec.main, EncDecConfig)
