"""Errors of single frames: the best and the worst, and how they depend on which way the person faces."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from utils.artifacts import skeleton_among
from utils.bootstrap import sequence_numbers
from utils.metrics import FACING_BINS, facing_bin, facing_rad, pose_errors
from utils.report.measures import FACING, GROUP_TITLES, Row, Table, as_row, measure_of
from utils.report.summaries import ACTIONS, intervals
from utils.skeleton import H36M, Skeleton

POSES = ("predicted_root_m", "true_root_m", "R_crop_from_world")


class Frames(NamedTuple):
    """The tested frames and the errors of each."""

    frames: Int[np.ndarray, "N 5"]
    errors: dict[str, Float[np.ndarray, "N"]]
    predicted_root_m: Float[np.ndarray, "N J 3"] | None
    """Axes of the crop camera."""
    true_root_m: Float[np.ndarray, "N J 3"] | None
    R_crop_from_world: Float[np.ndarray, "N 3 3"] | None
    skeleton: Skeleton = H36M


def read_frames(arrays: Mapping[str, np.ndarray]) -> Frames | None:
    """Read the errors off what a test script stored: of stored poses, and arrays that hold an error per frame."""
    if "frames" not in arrays or not len(arrays["frames"]):
        return None
    frames = arrays["frames"]
    errors: dict[str, np.ndarray] = {}
    skeleton = skeleton_among(arrays)
    has_poses = all(name in arrays and len(arrays[name]) == len(frames) for name in POSES)
    if has_poses:
        predicted_m, true_m, turns = (torch.from_numpy(arrays[name]).float() for name in POSES)
        measured = pose_errors(predicted_m, true_m, turns, skeleton)
        errors |= {name: values.double().numpy() for name, values in measured.items()}
    for name, values in arrays.items():
        if values.shape == (len(frames),) and values.dtype.kind == "f" and measure_of(name).better:
            errors[name] = values.astype(float)
    if not errors:
        return None
    predicted, true, R = (arrays[name] if has_poses else None for name in POSES)
    return Frames(frames, errors, predicted, true, R, skeleton)


def facing_table(found: Frames) -> Table | None:
    """Average the errors of people who face the same way as the camera sees them; nothing without true poses."""
    if found.true_root_m is None or found.R_crop_from_world is None or not found.skeleton.heading_pairs:
        return None
    true, R = (torch.from_numpy(values).float() for values in (found.true_root_m, found.R_crop_from_world))
    bins = facing_bin(facing_rad(true, R, found.skeleton)).numpy()
    names = list(FACING.values())
    rows = [averaged(names[number], found, bins == number) for number in range(FACING_BINS) if (bins == number).any()]
    return Table(GROUP_TITLES["by_facing"], rows)


def averaged(name: str, found: Frames, chosen: np.ndarray) -> Row:
    """Average the errors of some frames, with intervals over their sequences."""
    frames = found.frames[chosen]
    sizes = {"num_frames": len(frames), "num_sequences": int(sequence_numbers(frames).max()) + 1}
    errors = {key: values[chosen] for key, values in found.errors.items() if np.isfinite(values[chosen]).all()}
    return as_row(name, sizes | intervals(errors, frames))


def action_means(found: Frames) -> Table:
    """Average the errors of every action."""
    actions = found.frames[:, 1]
    rows = [averaged(action_name(number), found, actions == number) for number in np.unique(actions).tolist()]
    return Table(GROUP_TITLES["per_action"], rows)


def action_name(number: int) -> str:
    """Name an action of Human3.6M."""
    return ACTIONS.get(number, f"action {number}")


def frame_name(frame: Int[np.ndarray, "5"]) -> str:
    """Name a frame by what the index knows of it."""
    subject, action, subaction, camera, number = frame.tolist()
    return f"S{subject} {action_name(action)} {subaction}, camera {camera}, frame {number}"


def best_and_worst(
    errors: Float[np.ndarray, "N"], frames: Int[np.ndarray, "N 5"], count: int
) -> tuple[list[int], list[int]]:
    """Choose the rows of least and of greatest error, at most one of each sequence: neighbouring frames are alike."""
    sequence = sequence_numbers(frames)
    order = np.argsort(errors, kind="stable")
    order = order[np.isfinite(errors[order])]

    def firsts(rows: Any) -> list[int]:
        _, places = np.unique(sequence[rows], return_index=True)
        return rows[np.sort(places)[:count]].tolist()

    return firsts(order), firsts(order[::-1])
