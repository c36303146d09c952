"""Stored weights, put strictly into the networks that their settings describe."""

from pathlib import Path
from typing import Any

import torch


def load_weights(network: torch.nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Put stored weights into a network that must have exactly these."""
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network its settings describe; it comes from another version of "
                         f"this program ({str(error).splitlines()[1].strip()[:200]})") from error  # fmt: skip
