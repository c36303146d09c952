"""Pose errors of many frames as summaries: intervals over sequences, overall and per action, tables to read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from utils.bootstrap import mean_interval, sequence_numbers

ACTIONS = {
    2: "Directions", 3: "Discussion", 4: "Eating", 5: "Greeting", 6: "Phoning", 7: "Posing", 8: "Purchases",
    9: "Sitting", 10: "SittingDown", 11: "Smoking", 12: "TakingPhoto", 13: "Waiting", 14: "Walking",
    15: "WalkingDog", 16: "WalkTogether",
}  # fmt: skip
"""Source: the action numbers of Human3.6M's folder names, as in its metadata file."""

SHOWN = {
    "MPJPE": "mpjpe_{joints}_mm",
    "N-MPJPE": "n_mpjpe_{joints}_mm",
    "P-MPJPE": "p_mpjpe_{joints}_mm",
    "PCK@150 %": "pck150_{joints}_percent",
    "AUC %": "auc_{joints}_percent",
    "yaw °": "yaw_error_degrees",
}
"""Column titles of printed tables."""

Errors = Mapping[str, Float[np.ndarray, "N"]]


def intervals(errors: Errors, frames: Int[np.ndarray, "N 5"]) -> dict[str, dict[str, float]]:
    """Average every measure, with its 95 percent interval over sequences."""
    return {name: mean_interval(values.astype(float), frames)._asdict() for name, values in errors.items()}


def per_action(errors: Errors, frames: Int[np.ndarray, "N 5"]) -> dict[str, dict[str, Any]]:
    """Average every measure over the frames of each action, with its 95 percent interval over the action's sequences.

    Of few sequences the bootstrap's interval is too narrow; one sequence gives none (low = mean = high).
    """
    table: dict[str, dict[str, Any]] = {}
    for action in np.unique(frames[:, 1]).tolist():
        of_action = frames[:, 1] == action
        own_frames = frames[of_action]
        sizes = {"num_frames": len(own_frames), "num_sequences": int(sequence_numbers(own_frames).max()) + 1}
        summary = intervals({name: values[of_action] for name, values in errors.items()}, own_frames)
        table[ACTIONS.get(action, f"action {action}")] = sizes | summary
    return table


def text_table(rows: Mapping[str, Sequence[str]], columns: Sequence[str]) -> str:
    """Align rows of text under their columns, the name of each row in front."""
    lines = [["", *columns], *([name, *cells] for name, cells in rows.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns) + 1)]
    return "\n".join(
        "  ".join(cell.ljust(width) if not place else cell.rjust(width)
                  for place, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )  # fmt: skip


def overall_table(summaries: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Write the summaries of several predictors over 17, 16 and 14 joints as one table."""
    rows = {
        f"{name}, {joints} joints": [shown(summary[key.format(joints=joints)]) for key in SHOWN.values()]
        for name, summary in summaries.items()
        for joints in ("17", "16", "14")
    }
    return text_table(rows, list(SHOWN))


def action_table(table: Mapping[str, Mapping[str, Any]], joints: str = "17") -> str:
    """Write the means per action, with their intervals, as one table."""
    rows = {
        action: [str(summary["num_frames"]), str(summary["num_sequences"])]
        + [shown(summary[key.format(joints=joints)]) for key in SHOWN.values()]
        for action, summary in table.items()
    }
    return text_table(rows, ["frames", "sequences", *SHOWN])


def shown(summary: Mapping[str, float], decimals: int = 1) -> str:
    """Write a mean with its interval."""
    mean, low, high = (f"{summary[key]:.{decimals}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"
