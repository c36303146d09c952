"""Body parameters of whole sequences: the truth of the embedded data, or what was fitted to all views of real data.

One .npz per sequence with theta (T, 3 per joint) axis-angle, 72 numbers of people, the root in the world; betas (n,);
translation_m (T, 3) as the body layer takes it.  Row n belongs to frame n + 1.  Fits add what they are and the hash of
their body; their rows are NaN where no frame was fitted.  For test scripts only: nothing is trained on these files.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dataset_def.data_set_file import DRAWN_SETTINGS
from utils.artifacts import atomic_write, file_hash
from utils.safe_arrays import read_arrays

EMBEDDED, FITTED = "embedded data", "multi-view fit"


class SequenceBodies(NamedTuple):
    """The bodies of one sequence."""

    theta: Float[np.ndarray, "T axis_angles"]
    betas: Float[np.ndarray, "n"]
    translation_m: Float[np.ndarray, "T 3"]
    source: str
    """EMBEDDED or FITTED."""
    body_hash: str
    """Hash of the body file that the parameters belong to; empty if the file does not tell."""


class FrameBodies(NamedTuple):
    """One body per frame; NaN where it is not known."""

    rotations_world: Float[Tensor, "N J 3 3"]
    betas: Float[Tensor, "N n"]
    translation_m: Float[Tensor, "N 3"]
    source: str


def sequence_path(folder: Path, subject: int, action: int, subaction: int) -> Path:
    """Say where the bodies of a sequence lie."""
    return folder / f"s_{subject:02d}_act_{action:02d}_subact_{subaction:02d}.npz"


def save_bodies(path: Path, bodies: SequenceBodies) -> None:
    """Write the bodies of one sequence."""
    arrays = bodies._asdict()
    source, body_hash = arrays.pop("source"), arrays.pop("body_hash")
    numbers = {name: np.asarray(values, np.float32) for name, values in arrays.items()}
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, allow_pickle=False, source=np.array(source), body_hash=np.array(body_hash), **numbers)


def load_bodies(path: Path) -> SequenceBodies:
    """Read the bodies of one sequence.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or without one of its arrays.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; make_h36m.py writes it for embedded data, "
                                "sample/fit_SMPL.py for other data")  # fmt: skip
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged; delete it and make it again") from error
    shapes = {name: arrays[name].shape if name in arrays else None for name in ("theta", "betas", "translation_m")}
    frames, *numbers = shapes["theta"] or (0,)
    is_joints = len(numbers) == 1 and numbers[0] > 0 and numbers[0] % 3 == 0
    is_numbers = all(arrays[name].dtype.kind in "iuf" for name in shapes if name in arrays)
    if not is_numbers or not is_joints or shapes["translation_m"] != (frames, 3) or len(shapes["betas"] or ()) != 1:
        raise ValueError(f"{path} holds {shapes}; expected numbers in theta (T, 3 per joint), betas (n,), "
                         "translation_m (T, 3)")  # fmt: skip
    return SequenceBodies(
        arrays["theta"], arrays["betas"], arrays["translation_m"],
        str(arrays.get("source", EMBEDDED)), str(arrays.get("body_hash", embedded_body_hash(path.parent))),
    )  # fmt: skip


def embedded_body_hash(folder: Path) -> str:
    """Look up which body file the embedded data were rendered with; empty if the folder does not tell."""
    settings = folder / DRAWN_SETTINGS
    return str(json.loads(settings.read_text()).get("body", "")) if settings.is_file() else ""


def bodies_of_frames(folder: Path, frames: Int[np.ndarray, "N 5"], body: Path) -> FrameBodies | None:
    """Look up the body of every frame; None if the folder has none of their sequences.

    Raises:
        ValueError: the bodies belong to another body file, a file is damaged, or two kinds of bodies are mixed.
    """
    found: dict[tuple[int, int, int], SequenceBodies] = {}
    for subject, action, subaction in np.unique(frames[:, :3], axis=0).tolist():
        path = sequence_path(folder, subject, action, subaction)
        if path.is_file():
            found[subject, action, subaction] = load_bodies(path)
    if not found:
        return None
    sources = sorted({bodies.source for bodies in found.values()})
    if len(sources) > 1:
        raise ValueError(f"{folder} mixes {' and '.join(sources)}; keep them in separate folders")
    check_body(folder, {bodies.body_hash for bodies in found.values()} - {""}, body)
    return gathered(frames, found, sources[0])


def check_body(folder: Path, hashes: set[str], body: Path) -> None:
    """Refuse bodies that are parameters of another body file."""
    if hashes and hashes != {file_hash(body)}:
        raise ValueError(f"the bodies in {folder} belong to another body file than {body}; give "
                         "--paths.models-smpl-location the file they were made with")  # fmt: skip


def gathered(
    frames: Int[np.ndarray, "N 5"], found: dict[tuple[int, int, int], SequenceBodies], source: str
) -> FrameBodies:
    """Take the row of every frame from its sequence."""
    first = next(iter(found.values()))
    widths = (first.theta.shape[1], len(first.betas), 3)
    theta, betas, translation_m = (np.full((len(frames), width), np.nan, np.float32) for width in widths)
    for (subject, action, subaction), bodies in found.items():
        of_sequence = np.flatnonzero((frames[:, :3] == (subject, action, subaction)).all(1))
        number = frames[of_sequence, 4] - 1
        is_there = number < len(bodies.theta)
        rows, number = of_sequence[is_there], number[is_there]
        theta[rows], translation_m[rows] = bodies.theta[number], bodies.translation_m[number]
        betas[rows] = bodies.betas
    is_known = np.asarray(np.isfinite(theta).all(1))
    betas[~is_known] = np.nan
    rotations = torch.full((len(frames), widths[0] // 3, 3, 3), torch.nan)
    rotations[is_known] = roma.rotvec_to_rotmat(torch.from_numpy(theta[is_known]).unflatten(1, (-1, 3)))
    return FrameBodies(rotations, torch.from_numpy(betas), torch.from_numpy(translation_m), source)
