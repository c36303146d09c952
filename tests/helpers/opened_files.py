"""Notes which checkpoints a program reads, and how often; makes such as lead to infinity."""

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


def leads_to_infinity(checkpoint: Path, folder: Path, part: str) -> Path:
    """Copy a checkpoint with the largest finite numbers in all weights whose name begins so."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = content["states"]["model"]
    for name in [name for name in weights if name.startswith(part) and name.endswith("weight")]:
        weights[name] = torch.full_like(weights[name], 3e38)
    torch.save(content, folder / "checkpoint_best.pt")
    return folder / "checkpoint_best.pt"
