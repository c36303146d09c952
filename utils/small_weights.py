"""Weights for files that are shared: large tables in 8 bits with one scale per row, the rest in half precision."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LEVELS = 127
"""Largest whole number of a row: 8 bits."""
LARGE = 4096
"""Tables with fewer numbers are kept in half precision: they weigh nothing."""


def row_scales(rows: Float[Tensor, "R n"]) -> Float[Tensor, "R 1"]:
    """Choose each row's scale so that its largest number becomes LEVELS, and packing twice changes nothing."""
    scale = rows.abs().amax(dim=1, keepdim=True) / LEVELS
    for _ in range(4):  # the scale found again in the rounded product; settles at once but for rare roundings
        scale = (scale * LEVELS) / LEVELS
    return scale.clamp_min(torch.finfo(torch.float32).tiny)


def in_bytes(table: Float[Tensor, "R *n"]) -> dict[str, Tensor]:
    """Round a table to whole numbers, at most LEVELS large, with one scale per row; `restored` undoes it.

    Source: symmetric quantisation per output channel, Jacob et al., CVPR 2018, section 2.1 with zero point 0.
    """
    rows = table.float().flatten(1)
    scale = row_scales(rows)
    return {"rows": (rows / scale).round().to(torch.int8).view(table.shape), "scale": scale}


def packed(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Make the numbers of a state_dict small; whole numbers and what is no tensor stay."""
    small: dict[str, Any] = {}
    for name, value in weights.items():
        if not torch.is_tensor(value) or not value.is_floating_point():
            small[name] = value
        elif value.ndim < 2 or value.numel() < LARGE:
            small[name] = value.half()
        else:
            small[name] = in_bytes(value)
    return small


def unpacked(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `packed` up to its rounding, half a step of each row's scale; other state_dicts come back as they are."""
    return {name: restored(value) for name, value in weights.items()}


def restored(value: Any) -> Any:
    """Turn one packed table into numbers again."""
    if not isinstance(value, dict) or set(value) != {"rows", "scale"}:
        return value
    rows = value["rows"].float()
    if value["scale"].shape != (len(rows), 1):  # another shape would blow the product up
        raise ValueError(f"a table of {len(rows)} rows has scales of shape {tuple(value['scale'].shape)}")
    return (rows.flatten(1) * value["scale"]).view(rows.shape)
