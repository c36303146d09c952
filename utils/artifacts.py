"""Every file that passes between stages: one writer and one reader per kind.

A writer fills `x.partial` and renames it, so half a file never exists.  A reader checks format and kind, and names
the command that makes a missing file.  Nothing here runs code from a file.  Results of benchmarks are written as json
with hardware, versions, protocol and commit.
"""

import errno
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import tokenize
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, NotRequired, ParamSpec, Protocol, TypedDict, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float32, Int32, UInt8

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

from config import ROOT, EncDecConfig, GanConfig, MeshConfig, PoseConfig
from utils.checkpoint_checks import LimitedSizes, UnsoundError, check_archive, check_content, check_finite_numbers
from utils.failures import FAILED_WRITING, naming
from utils.machine import hardware, versions
from utils.safe_arrays import read_array, read_arrays
from utils.safe_pickle import load_pickled_arrays
from utils.settings import flat, with_todays_names
from utils.skeleton import H36M, Skeleton, skeleton_from
from utils.small_weights import unpacked
from utils.tiers import NOT_RECORDED, Reads, of_unknown_people, reads_from, stated

FORMAT = 1
CHECKPOINT_FORMAT = 2
"""Of checkpoints.  Format 1 has other names for weights and settings, which `upgraded` turns into today's."""
STAGE_SETTINGS = {"enc_dec": EncDecConfig, "pose": PoseConfig, "gan": GanConfig, "mesh": MeshConfig}
RENAMED_WEIGHTS = {
    "trunk": "backbone",
    "appearance_trunk": "appearance_backbone",
    "levelled_joints": "standardised_joints",
    "levelled_pose": "standardised_pose",
    "spread": "std",
    "joints_spread_m": "joints_std_m",
}
"""Parts of the dotted names of weights in format 1, and what they are called since."""
UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, LookupError, TypeError, AttributeError, SyntaxError,
              zipfile.BadZipFile, tokenize.TokenError, pickle.UnpicklingError)  # fmt: skip
"""What NumPy, zipfile and PyTorch raise on damaged files (found by damaging some)."""
COMMANDS = {
    "enc_dec": "python sample/train_enc_dec.py",
    "pose": "python sample/train_3d_pose_from_enc.py",
    "gan": "python sample/train_GAN.py",
    "mesh": "python sample/train_SMPL_from_enc.py",
    "embeddings": "python sample/save_embeddings.py",
    "masks": "python sample/train_SMPL_from_masks.py",
    "lifter": "python sample/train_SMPL_from_keypoints.py",
    "pseudo_labels": "python sample/fit_SMPL.py",
    "keypoints": "python dataset_def/import_multiview.py --keypoints FOLDER",
    "index": "python dataset_def/h36m_preprocess.py",
    "background": "python dataset_def/h36m_get_background.py",
}


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the writing succeeded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with naming(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class FolderLock:
    """Keeps other processes from writing into a folder: the operating system's lock, which ends with the process.

    It lies beside the folder, so that the folder itself can be emptied.  The same process may take it again.
    """

    def __init__(self, folder: Path, remedy: str):
        """Take the lock.

        Raises:
            FileExistsError: another process that runs now has it.
        """
        self.handle: int | None = None
        if fcntl is None:
            return
        self.handle = os.open(lock_file(folder), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise FileExistsError(f"another process that runs now writes into {folder}; {remedy}") from None
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):  # file systems without locks
                raise

    def release(self) -> None:
        """Let others in."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def lock_file(folder: Path) -> Path:
    """Say where the lock of a folder lies."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write into; afterwards it is gone, with every empty folder that was made for it."""
    shutil.rmtree(folder, ignore_errors=True)
    made = [place for place in folder.parents if not place.exists()]
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for place in made:
            with suppress(OSError):  # not empty: somebody else has written there meanwhile
                place.rmdir()


@contextmanager
def atomic_folder(*folders: Path) -> Iterator[list[Path]]:
    """Give a temporary folder for each folder, and put them in place, in this order, when everything succeeded.

    What lies in the folders' places until then stays if something stops the writing, and is replaced if nothing does.
    """
    with ExitStack() as stack:
        partials = [stack.enter_context(scratch_folder(place.with_name(f"{place.name}.partial"))) for place in folders]
        yield partials
        for partial, place in zip(partials, folders, strict=True):
            shutil.rmtree(place, ignore_errors=True)
            os.replace(partial, place)


def check_out(folder: Path, overwrite: bool, ours: Collection[str], reads: Iterable[Path | None]) -> None:
    """Stop unless a folder that is going to be written is free, or may be replaced: asked for, and a script's own.

    Args:
        ours: patterns of names, of which every folder that the script writes has a file.
        reads: what the script reads, none of which may lie in the folder.
    Raises:
        FileExistsError
    """
    if not folder.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{folder} is there already; give another --out, or --overwrite")
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, which no folder replaces; give another --out")
    if any(folder.iterdir()) and not any(path.is_file() for name in ours for path in folder.glob(name)):
        raise FileExistsError(f"{folder} holds other files than this script's (there is no {' or '.join(ours)}), so it "
                              "is not deleted; give another --out")  # fmt: skip
    for path in reads:
        if path is not None and path.resolve().is_relative_to(folder.resolve()):
            raise FileExistsError(f"{path} is read, and lies in {folder}, which would be deleted; give another --out")


def check_settings(path: Path, settings: dict[str, Any], remedy: str, begun: dict[str, Any] | None = None) -> None:
    """Refuse to go on in a folder that was begun with other settings.

    Args:
        path: the file in that folder which says how it was begun.
        settings: of this run, nested or not.
        remedy: what to do about it, after "use the same settings, or".
        begun: what the file says, if it has to be read in another way than as it stands.
    Raises:
        ValueError: naming every setting that differs, as it was and as it is.
    """
    was = flat(json.loads(path.read_text()) if begun is None else begun)
    now = flat(json.loads(json.dumps(settings)))
    differing = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    if differing:
        before, today = (", ".join(f"{name} {values.get(name)}" for name in differing) for values in (was, now))
        raise ValueError(f"{path.parent} was begun with {before}, and this run has {today}; "
                         f"use the same settings, or {remedy}")  # fmt: skip


def lock_settings(path: Path, settings: dict[str, Any], remedy: str) -> None:
    """Note in a file with which settings its folder is filled; `check_settings` refuses others from then on."""
    if path.is_file():
        check_settings(path, settings, remedy)
        return
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(settings, indent=1) + "\n")


def must_exist(path: Path, command: str) -> None:
    """Stop if a file is not there, naming the command that makes it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; make it with: {command}")


def damaged(path: Path, command: str, reason: Exception | None = None) -> ValueError:
    """Describe a file that cannot be read to its end.

    Args:
        reason: told if it says which part is wrong; what libraries raise of damaged files says little.
    """
    told = f" ({reason})" if isinstance(reason, UnsoundError) else ""
    return ValueError(f"{path} is damaged or of another kind{told}; make it again with: {command}")


def check_kind(
    path: Path, found: object, expected: str, version: object, command: str, readable: tuple[int, ...] = (FORMAT,)
) -> None:
    """Stop if a file holds something else than asked for, or in another format."""
    if type(found) is not str or found != expected:
        reported = repr(found) if isinstance(found, str | None) else f"a {type(found).__name__} as its kind"
        raise ValueError(f"{path} holds {reported}, but {expected!r} is needed; that is made with: {command}")
    if type(version) is not int or version not in readable:
        reported = str(version) if isinstance(version, int | None) else f"a {type(version).__name__}"
        known = " and ".join(map(str, readable))
        raise ValueError(f"{path} has format {reported}, this program reads {known}; make it again with: {command}")


def file_hash(path: Path) -> str:
    """Compute the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def commit() -> str:
    """Name the version of the program that runs: the git commit, with `+changes` if files differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown (git is not installed)"
    if head.returncode:
        return "unknown (not a git checkout)"
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def save_arrays(path: Path, kind: str, **arrays: np.ndarray) -> None:
    """Write named arrays (numbers or text, no objects) as one .npz of the given kind."""
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, allow_pickle=False, format=FORMAT, kind=kind, **{f"_{k}": v for k, v in arrays.items()})


def load_arrays(path: Path, kind: str, command: str) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote.

    Raises:
        FileNotFoundError, ValueError: naming the command that makes the file.
    """
    must_exist(path, command)
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise damaged(path, command) from error
    found, version = arrays.pop("kind", np.array("another file")), arrays.pop("format", np.array(0))
    number = int(version) if version.ndim == 0 and version.dtype.kind in "iu" else 0
    check_kind(path, str(found)[:80], kind, number, command)
    return {name.removeprefix("_"): values for name, values in arrays.items()}


class Index(NamedTuple):
    """Which frames a data set has."""

    frames: Int32[np.ndarray, "N 5"]
    """Subject, action, sub-action, camera, frame; sorted, no row twice."""
    fingerprint: str
    """Hash of the data it was made from."""


def save_index(path: Path, frames: Int32[np.ndarray, "N 5"], fingerprint: str) -> None:
    """Write the frame index; rows are put in order."""
    ordered = np.unique(frames, axis=0).astype(np.int32)
    save_arrays(path, "index", frames=ordered, fingerprint=np.array(fingerprint))


def load_index(path: Path) -> Index:
    """Read the frame index.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, empty or unsorted, with the command that makes it.
    """
    arrays = load_arrays(path, "index", COMMANDS["index"])
    if arrays.keys() != {"frames", "fingerprint"}:
        raise damaged(path, COMMANDS["index"])
    frames = arrays["frames"]
    if frames.ndim != 2 or frames.shape[1] != 5 or frames.dtype != np.int32 or len(frames) == 0:
        raise ValueError(f"{path} holds {frames.dtype} {frames.shape} instead of int32 (N, 5) frames; make it again "
                         f"with: {COMMANDS['index']}")  # fmt: skip
    if not np.array_equal(np.unique(frames, axis=0), frames):
        raise ValueError(f"{path} is not sorted or has rows twice; make it again with: {COMMANDS['index']}")
    return Index(frames, str(arrays["fingerprint"]))


def save_background(path: Path, image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write one RGB background as .npy."""
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        np.save(stream, image, allow_pickle=False)


def load_background(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read one RGB background."""
    must_exist(path, COMMANDS["background"])
    try:
        image = read_array(path)
    except ValueError as error:
        raise damaged(path, COMMANDS["background"]) from error
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise damaged(path, COMMANDS["background"])
    return image


class Checkpoint(TypedDict):
    """What a checkpoint holds: plain types and tensors only."""

    format: int
    stage: str
    step: int
    """Steps done."""
    config: dict[str, Any]
    """Settings of the run (utils/settings.py rebuilds them)."""
    states: dict[str, Any]
    """A state_dict per tracked object: model, optimizer, ..."""
    progress: dict[str, Any]
    """What Run needs to go on: the best held-out value, and validations since then."""
    reads: NotRequired[dict[str, list[Any]]]
    """What was read to make it, this stage and those before; files of earlier versions do not tell."""


def save_checkpoint(
    path: Path, stage: str, step: int, config: dict[str, Any], states: dict[str, Any],
    progress: dict[str, Any] | None = None, reads: Reads | None = None,
) -> None:  # fmt: skip
    """Write a checkpoint; `config` is plain (see utils/settings.py)."""
    content = Checkpoint(
        format=CHECKPOINT_FORMAT, stage=stage, step=step, config=config, states=states, progress=progress or {}
    )
    if reads is not None:
        content["reads"] = reads.plain()
    write_tensors(path, content)


def write_tensors(path: Path, content: Any) -> None:
    """Write tensors and plain values, whole or not at all.

    Raises:
        OSError: the disk is full.
    """
    with atomic_write(path) as partial:
        try:
            torch.save(content, partial)
        except RuntimeError as error:  # PyTorch's own writer says so when the disk is full
            if not FAILED_WRITING.search(str(error)):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def with_todays_keys(weights: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of a state_dict that was written in format 1; other dictionaries come back as they are."""
    return {".".join(RENAMED_WEIGHTS.get(part, part) for part in name.split(".")): w for name, w in weights.items()}


def upgraded(content: Checkpoint) -> Checkpoint:
    """Bring a checkpoint of format 1 to today's names of weights, settings and progress; no number changes."""
    if content["format"] == CHECKPOINT_FORMAT:
        return content
    kind, progress = STAGE_SETTINGS.get(content["stage"]), dict(content.get("progress", {}))
    if "looks_without_gain" in progress:
        progress["evals_since_best"] = progress.pop("looks_without_gain")
    return Checkpoint(
        format=CHECKPOINT_FORMAT,
        stage=content["stage"],
        step=content["step"],
        config=content["config"] if kind is None else with_todays_names(kind, content["config"]),
        states={name: with_todays_keys(state) for name, state in content["states"].items()},
        progress=progress,
    )


def upgrade_checkpoint(path: Path) -> bool:
    """Write a checkpoint of format 1 again under today's names, its numbers as they are stored; tell if it was old."""
    content = read_checkpoint(path, *STAGE_SETTINGS)
    if content["format"] == CHECKPOINT_FORMAT:
        return False
    write_tensors(path, dict(upgraded(content)))
    return True


def stored_reads(checkpoint: Checkpoint) -> Reads | None:
    """Give what was read to make a checkpoint; None if it was written before checkpoints told."""
    return of_unknown_people(reads_from(checkpoint["reads"])) if "reads" in checkpoint else None


def load_checkpoint(path: Path, stage: str, *also: str) -> Checkpoint:
    """Read a checkpoint of the given stage (or of one of `also`) onto the CPU, without running anything in it.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or of another stage, with the command that makes it.
    """
    stored = read_checkpoint(path, stage, *also)
    with told_in_one_sentence(path, stored["stage"]):
        content = upgraded(stored)
        content["states"] = {name: unpacked(one) for name, one in content["states"].items()}
        check_finite_numbers(content["states"])
    return content


def command_of(stage: str) -> str:
    """Say how checkpoints of a stage are made."""
    return COMMANDS.get(stage, f"the train script of stage {stage}")


def read_checkpoint(path: Path, stage: str, *also: str) -> Checkpoint:
    """Read a checkpoint of one of the given stages as it is stored: of any readable format, tables perhaps packed."""
    command = command_of(stage)
    must_exist(path, command)
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        check_content(content, path.stat().st_size)
    except UNREADABLE as error:
        raise damaged(path, command, error) from error
    if not isinstance(content, dict):
        raise damaged(path, command)
    found = content.get("stage")
    expected = found if found in also else stage
    check_kind(path, found, expected, content.get("format"), command, readable=(FORMAT, CHECKPOINT_FORMAT))
    states = content.get("states")
    step = content.get("step")
    is_whole = type(step) is int and step >= 0 and isinstance(content.get("config"), dict)
    if not is_whole or not isinstance(states, dict) or not all(isinstance(one, dict) for one in states.values()):
        raise damaged(path, command_of(expected))
    return cast(Checkpoint, content)


MISFITS = (LookupError, TypeError, AttributeError, RuntimeError)
"""What Python and PyTorch raise where a part of a checkpoint is missing, or is of another type or size."""


@contextmanager
def told_in_one_sentence(path: Path, stage: str) -> Iterator[None]:
    """Describe a checkpoint whose parts do not make up what the program inside rebuilds from them.

    Raises:
        ValueError: naming the file, what is wrong with it, and the command that makes another.
    """
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):  # the machine's fault, not the file's
        raise
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error
    except MISFITS as error:
        first = (str(error).splitlines() or [""])[0].strip()[:200]
        raise ValueError(f"{path} does not hold what a network of stage {stage} is rebuilt from "
                         f"({type(error).__name__}: {first}): it is damaged, or of another network; make it again "
                         f"with: {command_of(stage)}") from error  # fmt: skip


More = ParamSpec("More")
Found = TypeVar("Found")
Reader = Callable[Concatenate[Path, More], Found]


def rebuilds_from_checkpoint(stage: str) -> Callable[[Reader[More, Found]], Reader[More, Found]]:
    """Make a reader, whose first argument is a checkpoint's path, answer one that does not fit in one sentence."""

    def decorated(reader: Reader[More, Found]) -> Reader[More, Found]:
        @wraps(reader)
        def read(path: Path, *args: More.args, **kwargs: More.kwargs) -> Found:
            file_bytes = path.stat().st_size if path.is_file() else 0
            with told_in_one_sentence(path, stage), LimitedSizes(file_bytes):
                return reader(path, *args, **kwargs)

        return read

    return decorated


class Embeddings(NamedTuple):
    """The frozen latents of a set of images."""

    points: Float32[np.ndarray, "N P 3"]
    appearance: Float32[np.ndarray, "N A"]
    frames: Int32[np.ndarray, "N 5"]
    """Subject, action, sub-action, camera, frame; several rows of one frame differ by augmentation."""
    R_crop_from_world: Float32[np.ndarray, "N 3 3"]
    """The crop's camera, with its roll: takes the frame's labels into the axes of the points."""
    encoder_hash: str
    index_hash: str


def fits(content: dict[str, Any]) -> bool:
    """Tell whether a dictionary has the fields of Embeddings, with their types and as many rows each."""
    if content.keys() != set(Embeddings._fields):
        return False
    if not all(type(content[name]) is str for name in Embeddings._fields[4:]):
        return False
    arrays = [content[name] for name in Embeddings._fields[:4]]
    kinds = [(str(array.dtype), array.ndim) for array in arrays if isinstance(array, np.ndarray)]
    if kinds != [("float32", 3), ("float32", 2), ("int32", 2), ("float32", 3)]:
        return False
    tails = [content["points"].shape[2:], content["frames"].shape[1:], content["R_crop_from_world"].shape[1:]]
    return tails == [(3,), (5,), (3, 3)] and len({len(array) for array in arrays}) == 1


def save_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write latents as a pickled dict of arrays."""
    content = {"format": FORMAT, "kind": "embeddings", **embeddings._asdict()}
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        pickle.dump(content, stream, protocol=4)


def load_embeddings(path: Path, encoder: Path, index: Path) -> Embeddings:
    """Read latents, and refuse those of another encoder checkpoint or of another index."""
    command = COMMANDS["embeddings"]
    must_exist(path, command)
    try:
        content = load_pickled_arrays(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged or no file of embeddings ({error}); make it with: {command}") from error
    check_kind(path, content.pop("kind", None), "embeddings", content.pop("format", None), command)
    if not fits(content):
        raise damaged(path, command)
    embeddings = Embeddings(**content)
    for source, stored_hash in ((encoder, embeddings.encoder_hash), (index, embeddings.index_hash)):
        if file_hash(source) != stored_hash:
            raise ValueError(f"{path} was not made from {source}; make it again with: {command}")
    return embeddings


def provenance(split: str, frames: Int32[np.ndarray, "N 5"], inputs: dict[str, Path]) -> dict[str, Any]:
    """Say what a result was computed on: split, number of frames, hashes of its inputs, commit."""
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    return {"split": split, "num_frames": len(frames), "input_hashes": hashes, "commit": commit()}


NOT_DRAWN = "not_drawn"
"""The array of text in predictions.npz that says why stage 1's test drew nothing."""


def save_predictions(
    path: Path, split: str, frames: Int32[np.ndarray, "N 5"], inputs: dict[str, Path], **arrays: np.ndarray
) -> None:
    """Write what a test script predicted, one row per frame; units belong in the names."""
    metadata = json.dumps(provenance(split, frames, inputs))
    save_arrays(path, "predictions", frames=frames, provenance=np.array(metadata), **arrays)


def skeleton_arrays(skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Give joints as an array of text beside others; nothing for Human3.6M's."""
    return {} if skeleton == H36M else {"skeleton": np.array(json.dumps(skeleton.plain()))}


def skeleton_among(arrays: Mapping[str, np.ndarray]) -> Skeleton:
    """Take joints from arrays that were read."""
    return skeleton_from(json.loads(str(arrays["skeleton"]))) if "skeleton" in arrays else H36M


def load_predictions(path: Path, command: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read predictions: (provenance, arrays)."""
    arrays = load_arrays(path, "predictions", command)
    try:
        told = json.loads(
            str(arrays.pop("provenance" if "provenance" in arrays else "origin"))
        )  # origin: earlier files
    except (ValueError, KeyError, RecursionError) as error:
        raise damaged(path, command) from error
    if not isinstance(told, dict):
        raise damaged(path, command)
    return told, arrays


def save_metrics(
    path: Path, split: str, frames: Int32[np.ndarray, "N 5"], inputs: dict[str, Path], metrics: dict[str, Any],
    *, reads: Reads, at_test: Reads, others: Mapping[str, Reads] | None = None,
) -> None:  # fmt: skip
    """Write numbers as json, with what they were computed on and made from; units belong in the keys.

    Args:
        reads: whose data the training read, with the stages before it.
        at_test: what the test itself gives to the networks.
        others: what rows beside the network's were made from, by their key among the metrics.
    """
    tier = stated(reads, at_test, others)
    content = {"format": FORMAT, "kind": "metrics", **provenance(split, frames, inputs), **tier, "metrics": metrics}
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path} would hold a number that is NaN or infinite ({error}); nothing is written: give "
                         "other weights, theirs are damaged or their training had failed") from error  # fmt: skip
    with atomic_write(path) as partial:
        partial.write_text(text + "\n")


def load_metrics(path: Path, command: str) -> dict[str, Any]:
    """Read metrics.json, the provenance beside the numbers in `metrics`."""
    must_exist(path, command)
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise damaged(path, command) from error
    if not isinstance(content, dict):
        raise damaged(path, command)
    check_kind(path, content.pop("kind", None), "metrics", content.pop("format", None), command)
    return content


class TakesState(Protocol):
    """A network, an optimizer, a schedule."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...  # noqa: D102


def load_weights(network: TakesState, weights: dict[str, Any], path: Path) -> None:
    """Put a stored state into a network, or into what trains it, which must have exactly this."""
    try:
        network.load_state_dict(weights)
    except (*MISFITS, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ValueError(f"{path} does not fit the network its settings describe; it comes from another version of "
                         f"this program ({lines[:2][-1][:200]})") from error  # fmt: skip


def save_result(path: Path, protocol: str, **content: Any) -> None:
    """Write one result file; units belong in the keys."""
    metadata = {"protocol": protocol, "hardware": hardware(), "versions": versions(), "commit": commit()}
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(metadata | content, indent=1, allow_nan=False) + "\n")


class PseudoLabels(NamedTuple):
    """Bodies and joints that were fitted to masks and stand in for labels: made without them, and no truth."""

    frames: Int32[np.ndarray, "I 4"]
    """Subject, action, sub-action, frame; sorted, no row twice."""
    theta: Float32[np.ndarray, "I axis_angles"]
    """Axis-angle of every joint, the root first and in the world."""
    betas: Float32[np.ndarray, "I n"]
    translation_m: Float32[np.ndarray, "I 3"]
    """As the body layer takes it."""
    joints_world_m: Float32[np.ndarray, "I E 3"]
    """The joints that bodies are measured by, Human3.6M's 17 of people."""
    confidence: Float32[np.ndarray, "I"]
    """0 to 1; losses weigh a frame by it."""
    provenance: str
    """json: what was read, the settings, the commit."""
    body_hash: str
    teacher_hash: str
    """Of the checkpoint that the fits began with."""
    index_hash: str

    @property
    def reads(self) -> Reads:
        """Say what they were made from; files of the first days told it in words."""
        told = json.loads(self.provenance).get("reads", "")
        if not isinstance(told, str):
            return reads_from(told)
        who = frozenset(np.unique(self.frames[:, 0]).tolist())
        joints = who if "joints" in told else frozenset()
        return Reads(cameras=who, masks=who, poses=frozenset({NOT_RECORDED}), joints=joints)


def refuse_test_subjects(path: Path, frames: Int32[np.ndarray, "I 4"], test: tuple[int, ...]) -> None:
    """Stop if pseudo-labels are of somebody whom the tests measure: nothing may be trained on these people.

    Raises:
        ValueError: naming them.
    """
    both = sorted(set(np.unique(frames[:, 0]).tolist()) & set(test))
    if both:
        raise ValueError(f"{path}: subjects {both} are in subjects.test, and pseudo-labels are for training; fit other "
                         "--subjects, or take them out of subjects.test")  # fmt: skip


def save_pseudo_labels(path: Path, labels: PseudoLabels, test: tuple[int, ...]) -> None:
    """Write pseudo-labels; those of test subjects are refused.

    Raises:
        ValueError: a test subject is among them, or a number is not finite.
    """
    refuse_test_subjects(path, labels.frames, test)
    arrays = {name: np.asarray(value) for name, value in labels._asdict().items()}
    broken = [name for name, value in arrays.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
    if broken:
        raise ValueError(f"{path}: {', '.join(broken)} would hold numbers that are not finite; nothing is written")
    save_arrays(path, "pseudo_labels", **arrays)


def load_pseudo_labels(path: Path, index: Path, test: tuple[int, ...]) -> PseudoLabels:
    """Read pseudo-labels of this index; those of test subjects are refused.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, of another index, or of a test subject.
    """
    command = COMMANDS["pseudo_labels"]
    arrays = load_arrays(path, "pseudo_labels", command)
    if arrays.keys() != set(PseudoLabels._fields):
        raise damaged(path, command)
    told: dict[str, Any] = {name: str(value) if value.dtype.kind == "U" else value for name, value in arrays.items()}
    labels = PseudoLabels(**told)
    numbers = [value for value in labels[:6] if isinstance(value, np.ndarray) and value.dtype.kind in "if"]
    dimensions = [value.ndim for value in numbers]
    if dimensions != [2, 2, 2, 2, 3, 1] or not all(isinstance(value, str) for value in labels[6:]):
        raise damaged(path, command)
    sizes = (labels.frames.shape[1], labels.translation_m.shape[1], labels.joints_world_m.shape[2])
    if sizes != (4, 3, 3) or len({len(value) for value in numbers}) != 1:
        raise damaged(path, command)
    refuse_test_subjects(path, labels.frames, test)
    if labels.index_hash != file_hash(index):
        raise ValueError(f"{path} was not made from {index}; make it again with: {command}")
    return labels


class Keypoints(NamedTuple):
    """2D keypoints of a recording, as another program found them: evidence beside the masks, and no 3D label."""

    frames: Int32[np.ndarray, "N 5"]
    """Subject, action, sub-action, camera, frame; sorted, no row twice."""
    keypoints_px: Float32[np.ndarray, "N 17 2"]
    """Human3.6M's joints in the pixels of the stored, undistorted pictures; zero where they are not seen."""
    confidence: Float32[np.ndarray, "N 17"]
    """0 to 1; 0 where they are not seen."""


def save_keypoints(path: Path, keypoints: Keypoints) -> None:
    """Write 2D keypoints.

    Raises:
        ValueError: a number is not finite.
    """
    if not all(np.isfinite(value).all() for value in keypoints[1:]):
        raise ValueError(f"{path} would hold keypoints that are not finite; nothing is written")
    save_arrays(path, "keypoints", **keypoints._asdict())


def load_keypoints(path: Path) -> Keypoints:
    """Read 2D keypoints.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or of another kind, with the command that makes it.
    """
    arrays = load_arrays(path, "keypoints", COMMANDS["keypoints"])
    count = next(iter(arrays.get("frames", np.zeros(0)).shape), 0)
    shapes = {name: arrays[name].shape for name in Keypoints._fields if name in arrays}
    kinds = {name: value.dtype.kind for name, value in arrays.items()}
    expected = {"frames": (count, 5), "keypoints_px": (count, 17, 2), "confidence": (count, 17)}
    if shapes != expected or kinds != {"frames": "i", "keypoints_px": "f", "confidence": "f"} or count == 0:
        raise damaged(path, COMMANDS["keypoints"])
    return Keypoints(**arrays)


class StoredRopes(NamedTuple):
    """Where limbs, found in masks, want some of stage 1's points (`sample/train_enc_dec.py`)."""

    step: int
    """Of the training, before which they were searched."""
    frames: Int32[np.ndarray, "T 5"]
    """One of the frames of each instant."""
    points: np.ndarray
    """(n,) int64: the points that they teach."""
    places_m: np.ndarray
    """(T, n, 3) float32, about the crops' centre, world axes."""
    confidence: np.ndarray
    """(T, n) float32."""
    anchors: np.ndarray
    """(kinds,) int64: the point pairs that they hang from."""
    lengths_m: np.ndarray
    """(kinds, links) float32."""


def save_ropes(path: Path, ropes: StoredRopes) -> None:
    """Write the limbs of a run."""
    save_arrays(path, "ropes", **{**ropes._asdict(), "step": np.array(ropes.step)})


def load_ropes(path: Path, frames: Int32[np.ndarray, "T 5"]) -> StoredRopes:
    """Read the limbs of a run.

    Raises:
        ValueError: they are of other instants.
    """
    arrays = load_arrays(path, "ropes", "sample/train_enc_dec.py")
    stored = StoredRopes(int(arrays.pop("step")), **arrays)
    if not np.array_equal(stored.frames, frames):
        raise ValueError(f"{path} holds limbs of {len(stored.frames)} other instants than the {len(frames)} of this "
                         "training; give the same data and subjects, or let limbs be searched anew")  # fmt: skip
    return stored
