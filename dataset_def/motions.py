"""Motions as they are stored: predictions, fits, bodies of sequences, and AMASS's .npz, all read to one form.

For tools that write them for other programs (sample/tools/export_motion.py); nothing is trained on what is read here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from dataset_def.ground_truth_bodies import load_bodies
from utils.artifacts import damaged, load_arrays
from utils.export.amass import BODY_NUMBERS, HANDS
from utils.export.motion import bridged, told_gaps
from utils.file_kinds import kind_of
from utils.safe_arrays import Archive

FITS = "python sample/fit_SMPL.py"
KINDS = ("body.npz of sample/predict.py, pseudo_labels.npz or truth/*.npz of sample/fit_SMPL.py, a sequence's bodies, "
         "or a motion of AMASS")  # fmt: skip
GENDERS = ("neutral", "female", "male")


class StoredMotion(NamedTuple):
    """The bodies of one sequence as their file has them."""

    name: str
    rotations: Float[np.ndarray, "T J 3 3"]
    """The root first, in the camera's frame or in a world with z up; the others relative to their parent."""
    betas: Float[np.ndarray, "T n"]
    translation_m: Float[np.ndarray, "T 3"]
    """As the body model takes it."""
    frames_per_second: float | None
    """None where the file does not tell."""
    every: int
    """Frames of the recording from one body to the next."""
    is_z_up: bool
    gender: str = ""
    """Empty where the file does not tell."""
    tier: str = ""
    weights_sha256: str = ""
    body_sha256: str = ""
    """Of the body file; empty where the file does not tell."""
    licence: str = ""
    gaps: str = ""
    """Which frames were bridged, in words; see About."""


def rotations_of(theta: Float[np.ndarray, "T axis_angles"]) -> Float[np.ndarray, "T J 3 3"]:
    """Turn axis-angle numbers into matrices."""
    return roma.rotvec_to_rotmat(torch.from_numpy(theta.reshape(len(theta), -1, 3).astype(np.float64))).numpy()


def step_of(where: str, numbers: Int[np.ndarray, "T"]) -> int:
    """Give how many frames lie from one body to the next.

    Raises:
        ValueError: not always the same number.
    """
    steps = np.diff(numbers)
    if not len(steps):
        return 1
    if (steps != steps[0]).any():
        gap = int(np.flatnonzero(steps != steps[0])[0])
        raise ValueError(f"{where}: bodies are missing between frame {numbers[gap]} and frame {numbers[gap + 1]}, and "
                         "a motion needs one at every step; fit these frames, or take another sequence")  # fmt: skip
    return int(steps[0])


def text_in(arrays: dict[str, np.ndarray], name: str) -> str:
    """Give a word that a file holds, also as bytes; empty if it holds none."""
    value = arrays[name].reshape(-1)[0] if name in arrays and arrays[name].size else ""
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


ANY = -1
MOST_FRAMES = 10_000_000
"""From the first to the last of a motion: 46 hours at 60 a second."""


def numbers_in(path: Path, arrays: Mapping[str, np.ndarray], name: str, *sizes: int) -> np.ndarray:
    """Take an array of numbers that has these sizes, of which some may be ANY.

    Raises:
        ValueError: it is missing, or another one.
    """
    if name not in arrays:
        raise ValueError(f"{path} lacks {name}; give {KINDS}")
    array = arrays[name]
    if array.dtype.kind not in "iuf" or array.ndim != len(sizes) or any(
            size not in (ANY, own) for size, own in zip(sizes, array.shape, strict=True)):  # fmt: skip
        wanted = " x ".join("any" if size == ANY else str(size) for size in sizes) or "one"
        raise ValueError(f"{path} holds {name} of shape {array.shape} and kind {array.dtype}, not {wanted} numbers; "
                         f"give {KINDS}")  # fmt: skip
    return array


def rate_in(path: Path, arrays: Mapping[str, np.ndarray]) -> float | None:
    """Take the frames per second, under either of AMASS's names; None where a file has none.

    Raises:
        ValueError: it is no positive number.
    """
    name = next((name for name in ("mocap_frame_rate", "mocap_framerate") if name in arrays), None)
    if name is None:
        return None
    one = {name: arrays[name].reshape(()) if arrays[name].size == 1 else arrays[name]}
    rate = float(numbers_in(path, one, name))
    if not 0 < rate < np.inf:
        raise ValueError(f"{path} holds {name} {rate}; it must be a positive number of frames per second")
    return rate


def frame_numbers_in(path: Path, arrays: Mapping[str, np.ndarray], count: int) -> Int[np.ndarray, "T"]:
    """Take the numbers of the predicted frames; a file that has none has them all.

    Raises:
        ValueError: they do not rise, or there are none, or too many between the first and the last.
    """
    numbers = numbers_in(path, arrays, "frame_numbers", count) if "frame_numbers" in arrays else np.arange(count)
    if not count or numbers.dtype.kind == "f" or (np.diff(numbers.astype(np.float64)) <= 0).any():
        raise ValueError(f"{path} holds {count} frames whose numbers do not rise; give {KINDS}")
    if float(numbers[-1]) - float(numbers[0]) > MOST_FRAMES or abs(float(numbers[0])) > MOST_FRAMES:
        raise ValueError(f"{path} holds frames {numbers[0]} to {numbers[-1]}, more than {MOST_FRAMES}; give {KINDS}")
    return numbers.astype(np.int64)


def predicted(path: Path, arrays: dict[str, np.ndarray]) -> StoredMotion:
    """Take what sample/predict.py wrote, of one camera in its frame or of several in their world; gaps are bridged.

    Raises:
        ValueError: an array is missing, or of another shape.
    """
    is_world = "rotations_world" in arrays
    rate = rate_in(path, arrays)
    name = "rotations_world" if is_world else "rotations_cam"
    rotations = numbers_in(path, arrays, name, ANY, ANY, 3, 3).astype(np.float64)
    numbers = frame_numbers_in(path, arrays, len(rotations))
    betas = numbers_in(path, arrays, "betas", len(rotations), ANY)
    whole, places_m = bridged(numbers.tolist(), rotations, numbers_in(path, arrays, "trans", len(rotations), 3))
    nearest = np.searchsorted(numbers, np.arange(numbers[0], numbers[-1] + 1))
    return StoredMotion(
        path.parent.name if path.stem == "body" else path.stem,
        whole,
        betas[nearest],
        places_m,
        rate,
        1,
        is_world,
        tier=text_in(arrays, "tier"),
        weights_sha256=text_in(arrays, "weights_sha256"),
        body_sha256=text_in(arrays, "body_hash"),
        licence=text_in(arrays, "licence"),
        gaps=told_gaps(numbers.tolist()),
    )


def of_amass(path: Path, arrays: dict[str, np.ndarray]) -> StoredMotion:
    """Take a motion of AMASS; its fingers are left out, and the hands of files that were written here are kept.

    Raises:
        ValueError: it lacks shape, place or rate, or is of SMPL-X.
    """
    rates = [name for name in ("mocap_frame_rate", "mocap_framerate") if name in arrays]
    lacking = [name for name in ("poses", "trans", "betas") if name not in arrays]
    if lacking or not rates:
        raise ValueError(f"{path} lacks {', '.join([*lacking, *([] if rates else ['mocap_frame_rate'])])}; a motion of "
                         "AMASS has poses, trans, betas and mocap_frame_rate")  # fmt: skip
    poses = arrays["poses"]
    if poses.ndim != 2 or poses.shape[1] not in (72, 156) or arrays["trans"].shape != (len(poses), 3):
        raise ValueError(f"{path} holds poses of shape {poses.shape} and trans of shape {arrays['trans'].shape}; "
                         "motions of SMPL (72 numbers per frame) and of SMPL-H (156) are read")  # fmt: skip
    hands = poses[:, BODY_NUMBERS:72] if poses.shape[1] == 72 else arrays.get(HANDS, np.zeros((len(poses), 6)))
    numbers_in(path, arrays, "poses", ANY, ANY)
    numbers_in(path, {HANDS: hands}, HANDS, len(poses), 72 - BODY_NUMBERS)
    theta = np.concatenate([poses[:, :BODY_NUMBERS], hands], axis=1)
    betas = numbers_in(path, {"betas": arrays["betas"].reshape(-1)}, "betas", ANY).astype(np.float64)[:10]
    return StoredMotion(
        path.stem,
        rotations_of(theta),
        np.tile(betas, (len(poses), 1)),
        numbers_in(path, arrays, "trans", len(poses), 3),
        rate_in(path, arrays),
        1,
        True,
        text_in(arrays, "gender"),
        text_in(arrays, "tier"),
        text_in(arrays, "weights_sha256"),
        text_in(arrays, "body_sha256"),
        text_in(arrays, "licence"),
        text_in(arrays, "gaps"),
    )


def fitted(path: Path) -> list[StoredMotion]:
    """Take the pseudo-labels of all sequences that a file has.

    Raises:
        ValueError: an array is missing, or of another shape.
    """
    stored = load_arrays(path, "pseudo_labels", FITS)
    frames, found = numbers_in(path, stored, "frames", ANY, 4), []
    for name, size in (("theta", ANY), ("betas", ANY), ("translation_m", 3)):
        numbers_in(path, stored, name, len(frames), size)
    if not stored["theta"].shape[1] or stored["theta"].shape[1] % 3 or frames.dtype.kind == "f":
        raise ValueError(f"{path} holds theta of shape {stored['theta'].shape}; 3 numbers per joint are needed")
    try:
        tier = str(json.loads(str(stored["provenance"])).get("tier", ""))
        hashes = (str(stored["teacher_hash"]), str(stored["body_hash"]))
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(path, FITS) from error
    for key in np.unique(frames[:, :3], axis=0).tolist():
        own = np.flatnonzero((frames[:, :3] == key).all(axis=1))
        name = "s_{:02d}_act_{:02d}_subact_{:02d}".format(*key)
        found.append(StoredMotion(
            name, rotations_of(stored["theta"][own]), stored["betas"][own], stored["translation_m"][own], None,
            step_of(f"{path}, {name}", frames[own, 3]), True, "", tier, *hashes,
        ))  # fmt: skip
    return found


def of_sequence(path: Path) -> StoredMotion:
    """Take the bodies of a sequence, leaving out frames that none was fitted in at its ends and between steps.

    Raises:
        ValueError: no frame has a body.
    """
    bodies = load_bodies(path)
    known = np.flatnonzero(np.isfinite(bodies.theta).all(axis=1) & np.isfinite(bodies.translation_m).all(axis=1))
    if not len(known):
        raise ValueError(f"{path} holds no frame with a body; choose another sequence")
    betas = np.tile(bodies.betas, (len(known), 1))
    step = step_of(str(path), known + 1)
    return StoredMotion(path.stem, rotations_of(bodies.theta[known]), betas, bodies.translation_m[known], None, step,
                        True, tier=bodies.source, body_sha256=bodies.body_hash)  # fmt: skip


def read_motions(path: Path) -> list[StoredMotion]:
    """Read all motions that a file has; its kind is told by what is in it.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give {KINDS}")
    try:
        content = Archive(path)
        names = set(content.files)
        is_ours = {"theta", "translation_m"} <= names or "kind" in names
        arrays: dict[str, Any] = {} if is_ours else {name: content[name] for name in content.files}
    except ValueError as error:
        kind = kind_of(path)
        what = f"it is {kind}" if kind and "npz" not in kind else str(error)
        raise ValueError(f"{path} is no motion that can be read ({what}); give {KINDS}") from error
    if "kind" in names:
        return fitted(path)
    if is_ours:
        return [of_sequence(path)]
    if names & {"rotations_cam", "rotations_world"}:
        return [predicted(path, arrays)]
    if "poses" in names:
        return [of_amass(path, arrays)]
    raise ValueError(f"{path} holds {', '.join(sorted(names)) or 'nothing'}, which is no motion; give {KINDS}")
