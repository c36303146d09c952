"""Errors of many poses and bodies as summaries: overall, by facing direction, sitting or not, per action.

Intervals are over sequences; tables are made to be read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.artifacts import atomic_write, save_result
from utils.bootstrap import mean_interval, median_interval, ratio_interval, sequence_numbers
from utils.metrics import FACING_BINS, FRONT_DEGREES, SITTING_BELOW, facing_bin, facing_rad, is_away, is_front
from utils.metrics import is_sitting as sits
from utils.report.measures import DECIMALS, headings, joint_counts, measure_of, of_all_joints
from utils.skeleton import H36M, Skeleton

PRINTED = (
    "mpjpe_17_mm", "n_mpjpe_17_mm", "p_mpjpe_17_mm", "vertex_mm", "pa_vertex_mm", "surface_mm", "iou_all_views_percent",
    "yaw_error_degrees", "twist_degrees", "shape_mm", "height_mm", "prior_score", "prior_plausibility",
)  # fmt: skip
"""Columns of printed tables."""

IN_GROUPS = (*PRINTED, "iou_own_view_percent", "iou_other_views_percent")
"""Measures that are summarised by group; over all frames every measure is."""

RATIOS = ("mpjpe_17_mm", "n_mpjpe_17_mm", "p_mpjpe_17_mm", "vertex_mm", "pa_vertex_mm")
YAW = ("median_degrees", "beyond_90_degrees_percent")
"""Columns of the table of yaw."""
BACKWARDS_DEGREES = 90.0

Errors = Mapping[str, Float[np.ndarray, "N"]]
"""Errors of every frame, by measure; NaN where a measure has no truth."""


class Circumstances(NamedTuple):
    """What the true pose says about each frame."""

    facing_rad: Float[np.ndarray, "N"]
    """See utils.metrics.facing_rad."""
    bin: Int[np.ndarray, "N"]
    is_front: Bool[np.ndarray, "N"]
    is_away: Bool[np.ndarray, "N"]
    is_sitting: Bool[np.ndarray, "N"] | None
    """Nothing for other bodies than people."""


RULES = {
    "facing": f"heading of the true hips and shoulders about the world's vertical, 0 = facing the camera, positive = "
    f"turned to the person's left, in {FACING_BINS} bins centred on multiples of {360 // FACING_BINS} degrees",
    "front": f"at most {FRONT_DEGREES} degrees",
    "away": f"at least {180 - FRONT_DEGREES} degrees",
    "sitting": f"true pelvis less than {SITTING_BELOW} of a leg's length above the true ankles (squatting too)",
    "intervals": "95 %, bootstrap over sequences",
}


def circumstances(
    true_root_m: Float[Tensor, "N J 3"], R_crop_from_world: Float[Tensor, "N 3 3"], skeleton: Skeleton = H36M
) -> Circumstances:
    """Tell from true poses which way people face and who sits; of other bodies than people nobody does."""
    facing = facing_rad(true_root_m, R_crop_from_world, skeleton)
    front, away = is_front(facing).numpy(), is_away(facing).numpy()
    sitting = sits(true_root_m, R_crop_from_world).numpy() if skeleton.is_h36m else None
    return Circumstances(facing.numpy(), facing_bin(facing).numpy(), front, away, sitting)


def known_interval(values: Float[np.ndarray, "N"], frames: Int[np.ndarray, "N 5"]) -> dict[str, float] | None:
    """Average the values that are known, with the interval over their sequences; None if there are none."""
    known = np.isfinite(values)
    return mean_interval(values[known].astype(float), frames[known])._asdict() if known.any() else None


def summarise(
    errors: Errors, frames: Int[np.ndarray, "N 5"], chosen: Bool[np.ndarray, "N"], measures: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Average measures (all, or the named ones) over the chosen frames, with how many frames and sequences they are.

    A measure that no chosen frame has is left out.
    """
    own = frames[chosen]
    table: dict[str, Any] = {"num_frames": len(own), "num_sequences": len(np.unique(own[:, :3], axis=0))}
    for name, values in errors.items():
        found = known_interval(values[chosen], own) if not measures or name in measures else None
        if found is not None:
            table[name] = found
    return table


def grouped(errors: Errors, frames: Int[np.ndarray, "N 5"], which: Circumstances) -> dict[str, dict[str, Any]]:
    """Average the measures within every group of frames; groups without frames are left out."""
    side, sitting = ~(which.is_front | which.is_away), which.is_sitting
    kinds = {
        "by_facing": {f"{360 // FACING_BINS * number}": which.bin == number for number in range(FACING_BINS)},
        "front_side_away": {"front": which.is_front, "side": side, "away": which.is_away},
        "by_posture": {"standing": ~sitting, "sitting": sitting} if sitting is not None else {},
        "per_action": {ACTIONS.get(a, f"action {a}"): frames[:, 1] == a for a in np.unique(frames[:, 1]).tolist()},
    }
    measures = of_all_joints(IN_GROUPS, errors)
    return {
        kind: {name: summarise(errors, frames, chosen, measures) for name, chosen in groups.items() if chosen.any()}
        for kind, groups in kinds.items()
    }


def away_over_front(
    errors: Errors, frames: Int[np.ndarray, "N 5"], which: Circumstances
) -> dict[str, dict[str, float]]:
    """Divide the errors of people who face away by those of people who face the camera."""
    table = {}
    for name in of_all_joints(RATIOS, errors):
        known = np.isfinite(errors[name]) if name in errors else np.zeros(len(frames), bool)
        away, front = which.is_away & known, which.is_front & known
        if away.any() and front.any():
            table[name] = ratio_interval(errors[name], away, front, frames)._asdict()
    return table


def yaw_summary(
    yaw_error_degrees: Float[np.ndarray, "N"], frames: Int[np.ndarray, "N 5"], which: Circumstances
) -> dict[str, dict[str, dict[str, float]]]:
    """Give the median yaw error and the share of bodies turned the wrong way, for all and by where they face."""
    everybody = np.ones(len(frames), bool)
    table = {}
    for name, chosen in {"all": everybody, "front": which.is_front, "away": which.is_away}.items():
        if chosen.any():
            degrees, own = yaw_error_degrees[chosen].astype(float), frames[chosen]
            backwards = 100.0 * (degrees > BACKWARDS_DEGREES)
            table[name] = {
                "median_degrees": median_interval(degrees, own)._asdict(),
                "beyond_90_degrees_percent": mean_interval(backwards, own)._asdict(),
            }
    return table


def all_summaries(errors: Errors, frames: Int[np.ndarray, "N 5"], which: Circumstances) -> dict[str, Any]:
    """Summarise one predictor in every way that metrics.json holds."""
    everybody = np.ones(len(frames), bool)
    return {
        "overall": summarise(errors, frames, everybody),
        "yaw": yaw_summary(errors["yaw_error_degrees"], frames, which) if "yaw_error_degrees" in errors else {},
        "away_over_front": away_over_front(errors, frames, which),
        **grouped(errors, frames, which),
    }


def cells(line: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Write one line of a table; a dash where a measure is not known."""
    counts = [str(line["num_frames"]), str(line["num_sequences"])]
    return [
        *counts,
        *(written_interval(line[key], measure_of(key).decimals) if key in line else "-" for key in columns),
    ]


def summary_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Write summaries as one table, with the columns that any of them has."""
    known = {key for line in rows.values() for key in line}
    columns = [key for key in of_all_joints(PRINTED, known) if key in known]
    return text_table({name: cells(line, columns) for name, line in rows.items()},
                      ["frames", "seq.", *headings(columns)])  # fmt: skip


def save_rows(path: Path, protocol: str, rows: Mapping[str, Mapping[str, Any]], tiers: Mapping[str, str]) -> None:
    """Write summaries as a result file, and as a markdown table of all their measures beside it.

    Args:
        tiers: what each row was made from.
    """
    save_result(path, protocol, rows=rows, tiers=tiers)
    keys = dict.fromkeys(key for line in rows.values() for key in line if not key.startswith("num_"))
    lines = ["| | reads | frames | sequences | " + " | ".join(keys) + " |", "|---" * (4 + len(keys)) + "|"]
    for name, line in rows.items():
        counts = f"{tiers[name]} | {line['num_frames']} | {line['num_sequences']}"
        lines.append(
            f"| {name} | {counts} | " + " | ".join(written_interval(line[k]) if k in line else "" for k in keys) + " |"
        )
    told = f"{protocol}. Brackets: 95 % bootstrap over sequences."
    with atomic_write(path.with_suffix(".md")) as partial:
        partial.write_text("\n".join([*lines, "", told[0].upper() + told[1:], ""]))


def yaw_table(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the yaw summaries of several predictors as one table."""
    rows = {
        f"{name}, {group}": [written_interval(line[key], measure_of(key).decimals) for key in YAW]
        for name, table in tables.items()
        for group, line in table.items()
    }
    return text_table(rows, list(headings(YAW)))


def report(predictors: Mapping[str, Mapping[str, Any]], main: str) -> str:
    """Write everything that is printed: all predictors side by side, then the main one by group."""
    parts = [summary_table({name: found["overall"] for name, found in predictors.items()})]
    turned = {name: found["yaw"] for name, found in predictors.items() if "yaw" in found}
    parts.append(yaw_table(turned))
    found = predictors[main]
    facing = {f"facing {name}°": line for name, line in found["by_facing"].items()}
    parts += [
        summary_table(facing | found["front_side_away"] | found["by_posture"]),
        summary_table(found["per_action"]),
    ]
    if found["away_over_front"]:
        parts.append("away over front: " + ", ".join(written_ratios(found["away_over_front"])))
    return "\n\n".join(parts)


def stacked_batches(parts: list[dict[str, Tensor]]) -> dict[str, Float[np.ndarray, "N"]]:
    """Join the errors of batches."""
    return {name: torch.cat([part[name] for part in parts]).float().numpy() for name in parts[0]}


ACTIONS = {
    2: "Directions", 3: "Discussion", 4: "Eating", 5: "Greeting", 6: "Phoning", 7: "Posing", 8: "Purchases",
    9: "Sitting", 10: "SittingDown", 11: "Smoking", 12: "TakingPhoto", 13: "Waiting", 14: "Walking",
    15: "WalkingDog", 16: "WalkTogether",
}  # fmt: skip
"""Source: the action numbers of Human3.6M's folder names, as in its metadata file."""

POSE_COLUMNS = ("mpjpe_{}_mm", "n_mpjpe_{}_mm", "p_mpjpe_{}_mm", "pck150_{}_percent", "auc_{}_percent",
                "yaw_error_degrees")  # fmt: skip
"""Columns of the printed tables of stage 2, with a place for the number of joints."""


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
    """Write the summaries of several predictors over 17, 16 and 14 joints, or those there are, as one table."""
    rows = {
        f"{name}, {joints} joints": pose_cells(summary, joints)
        for name, summary in summaries.items()
        for joints in joint_counts(summary)
    }
    return text_table(rows, pose_headings())


def action_table(table: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the means per action over all joints, with their intervals, as one table."""
    joints = joint_counts(key for summary in table.values() for key in summary)[0]
    rows = {
        action: [str(summary["num_frames"]), str(summary["num_sequences"]), *pose_cells(summary, joints)]
        for action, summary in table.items()
    }
    return text_table(rows, ["frames", "sequences", *pose_headings()])


def pose_headings() -> list[str]:
    """Title the columns of stage 2's tables."""
    return list(headings(key.format("17") for key in POSE_COLUMNS))


def pose_cells(summary: Mapping[str, Any], joints: str) -> list[str]:
    """Write one line of stage 2's tables; a dash where a measure is not known."""
    keys = [key.format(joints) for key in POSE_COLUMNS]
    return [written_interval(summary[key], measure_of(key).decimals) if key in summary else "-" for key in keys]


def written_interval(summary: Mapping[str, float], decimals: int | None = 1) -> str:
    """Write a mean with its interval."""
    digits = 1 if decimals is None else decimals
    mean, low, high = (f"{summary[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def written_ratios(ratios: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Write ratios of errors, which have no unit, with the titles of the errors."""
    return [f"{measure_of(key).title} {written_interval(ratio, DECIMALS['×'])}" for key, ratio in ratios.items()]
