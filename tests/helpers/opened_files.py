"""Notes which checkpoints a program reads, and how often."""

from pathlib import Path
from typing import Any

import pytest
import torch


def files_opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note which checkpoints are read from now on, in a list that grows."""
    opened: list[Path] = []
    real = torch.load

    def noted(file: Path, *arguments: Any, **settings: Any) -> Any:
        opened.append(file)
        return real(file, *arguments, **settings)

    monkeypatch.setattr(torch, "load", noted)
    return opened
