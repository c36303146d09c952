"""Weights for files that are shared: large tables in 8 bits with one scale per row, the rest in half precision."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LEVELS, COARSE_LEVELS = 127, 5
"""Largest whole number of a row: 8 bits; 11 values, less than 4 bits, that are kept in bytes and shrink when zipped."""
LARGE = 4096
"""Tables with fewer numbers are kept in half precision: they weigh nothing."""


def row_scales(rows: Float[Tensor, "R n"], levels: int) -> Float[Tensor, "R 1"]:
    """Choose each row's scale so that its largest number becomes `levels`, and packing twice changes nothing."""
    scale = rows.abs().amax(dim=1, keepdim=True) / levels
    for _ in range(4):  # the scale found again in the rounded product; settles at once but for rare roundings
        scale = (scale * levels) / levels
    return scale.clamp_min(torch.finfo(torch.float32).tiny)


def in_levels(table: Float[Tensor, "R *n"], levels: int) -> dict[str, Tensor]:
    """Round a table to whole numbers, at most `levels` large, with one scale per row; `restored` undoes it.

    Source: symmetric quantisation per output channel, Jacob et al., CVPR 2018, section 2.1 with zero point 0.
    """
    rows = table.float().flatten(1)
    scale = row_scales(rows, levels)
    return {"rows": (rows / scale).round().to(torch.int8).view(table.shape), "scale": scale}


def packed(weights: Mapping[str, Any], coarse: tuple[str, ...] = ()) -> dict[str, Any]:
    """Make the numbers of a state_dict small; whole numbers and what is no tensor stay.

    Args:
        coarse: how the names of tables begin that bear 4 bits.
    """
    small: dict[str, Any] = {}
    for name, value in weights.items():
        if not torch.is_tensor(value) or not value.is_floating_point():
            small[name] = value
        elif value.ndim < 2 or value.numel() < LARGE:
            small[name] = value.half()
        else:
            small[name] = in_levels(value, COARSE_LEVELS if name.startswith(coarse) else LEVELS)
    return small


def unpacked(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `packed` up to its rounding, half a step of each row's scale; other state_dicts come back as they are."""
    return {name: restored(value) for name, value in weights.items()}


def restored(value: Any) -> Any:
    """Turn one packed table into numbers again."""
    if not isinstance(value, dict) or set(value) != {"rows", "scale"}:
        return value
    rows = value["rows"].float()
    return (rows.flatten(1) * value["scale"]).view(rows.shape)
