"""Everything that a run's folder holds: arrays, numbers, commands, settings that differ from the preset's, versions.

What is missing or damaged becomes a sentence with the command to run.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from config import EARLIER_PRESETS, PRESETS, ROOT
from utils.artifacts import COMMANDS, load_metrics, load_predictions, must_exist
from utils.history import load_history
from utils.report.measures import plain_text
from utils.settings import flat, to_plain, without_folders

STAGES = {
    "enc_dec": ("Stage 1: points, or novel views", "sample/test_enc_dec.py"),
    "pose": ("Stage 2: 3D pose", "sample/test_pose.py"),
    "gan": ("Stage 3: prior of poses and shapes", "sample/test_GAN.py"),
    "mesh": ("Stage 4: body mesh", "sample/test_SMPL.py"),
    "masks": ("The teacher: bodies from masks", "sample/fit_SMPL.py"),
    "lifter": ("The lifter: bodies from 2D keypoints", "sample/predict.py"),
    "fit": ("Bodies fitted to masks", "sample/test_SMPL_from_masks.py"),
}
"""Title of every stage, and the script that tests it."""
TRAIN_SCRIPTS = {"gan": "sample/train_GAN.py", "mesh": "sample/train_SMPL_from_enc.py", "fit": "sample/fit_SMPL.py"}
NAMES_THE_RUN = {"masks": "--teacher {}/checkpoint_best.pt", "fit": "--fits {}"}
"""How a stage's script is told the run, where it is not `--checkpoint`."""
PICTURES = ("*.png", "*.jpg")

Content = TypeVar("Content")


class RunFiles(NamedTuple):
    """What was found in a run's folder."""

    folder: Path
    stage: str
    """Empty if nothing tells it."""
    metadata: dict[str, Any]
    """config.json; empty if there is none."""
    history: list[dict[str, float]]
    metrics: dict[str, dict[str, Any]]
    """Content of metrics.json, metrics_masks.json, ..., by file name; the numbers beside their provenance."""
    predictions: dict[str, dict[str, np.ndarray]]
    """Arrays of predictions.npz, ..., by file name."""
    pictures: list[Path]
    notes: list[str]
    """A sentence for everything that is missing or damaged."""

    @property
    def title(self) -> str:
        """Name the run by its stage's folder and its own."""
        return f"{self.folder.parent.name}/{self.folder.name}"


def read_run(folder: Path) -> RunFiles:
    """Read what a run's folder holds.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds nothing that a run writes.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; give a run, such as runs/pose/demo")
    notes: list[str] = []
    metadata: dict[str, Any] = attempt(notes, {}, lambda: read_metadata(folder, stage_of_path(folder)))
    stage = str(metadata.get("stage", "")) or stage_of_path(folder)
    history: list[dict[str, float]] = []
    if stage != "fit":
        history = attempt(notes, [], lambda: read_history(folder, stage))
    metrics, predictions = read_tests(folder, stage, notes)
    pictures = sorted(path for place in (folder, folder / "figures") for kind in PICTURES for path in place.glob(kind))
    if not (metadata or history or metrics or predictions):
        raise ValueError(f"{folder} holds nothing that a run writes (config.json, history.jsonl, metrics.json, "
                         "predictions.npz); give a run's folder, such as runs/pose/demo")  # fmt: skip
    return RunFiles(folder, stage, metadata, history, metrics, predictions, pictures, notes)


def stage_of_path(folder: Path) -> str:
    """Tell the stage by the folder that the run lies in: runs/<stage>/<name>."""
    return folder.parent.name if folder.parent.name in STAGES else ""


def attempt(notes: list[str], empty: Content, read: Callable[[], Content]) -> Content:
    """Read something; if that fails, note the sentence that says why and go on with nothing."""
    try:
        return read()
    except (FileNotFoundError, ValueError, KeyError) as error:
        notes.append(str(error))
        return empty


def train_command(stage: str) -> str:
    """Name the command that makes a run of the stage."""
    script = TRAIN_SCRIPTS.get(stage)
    return COMMANDS.get(stage, f"python {script}" if script else "the stage's train script")


def test_command(folder: Path, stage: str) -> str:
    """Name the command that tests the run."""
    if stage not in STAGES:
        return "the stage's test script (sample/test_*.py)"
    run = NAMES_THE_RUN.get(stage, "--checkpoint {}/checkpoint_best.pt").format(folder)
    return f"python {STAGES[stage][1]} {run}"


def read_metadata(folder: Path, stage: str) -> dict[str, Any]:
    """Read config.json: stage, settings, starts."""
    path = folder / "config.json"
    must_exist(path, f"{train_command(stage)} --name {folder.name}")
    try:
        metadata = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); a train script writes it when the run starts") from error
    if stage == "fit" and isinstance(metadata, dict):
        return {"stage": stage, "settings": metadata, "starts": []}
    if not isinstance(metadata, dict) or not {"stage", "settings", "starts"} <= metadata.keys():
        raise ValueError(f"{path} is no description of a run (stage, settings, starts)")
    return metadata


def read_history(folder: Path, stage: str) -> list[dict[str, float]]:
    """Read history.jsonl."""
    path = folder / "history.jsonl"
    must_exist(path, f"{train_command(stage)} --name {folder.name}")
    try:
        records = load_history(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); resume the run, which cuts the file back") from error
    return [record for record in records if isinstance(record, dict) and "step" in record]


def read_tests(
    folder: Path, stage: str, notes: list[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, np.ndarray]]]:
    """Read every metrics*.json and predictions*.npz; the plain names come first."""
    command = test_command(folder, stage)

    def names(stem: str, ending: str) -> list[str]:
        found = [path.name for path in folder.glob(f"{stem}*.{ending}")]
        return sorted({f"{stem}.{ending}", *found}, key=lambda name: (name != f"{stem}.{ending}", name))

    metrics: dict[str, dict[str, Any]] = {}
    for name in names("metrics", "json"):
        stored: dict[str, Any] = attempt(notes, {}, partial(load_metrics, folder / name, command))
        metrics |= {name: stored} if isinstance(stored.get("metrics"), dict) else {}
    predictions: dict[str, dict[str, np.ndarray]] = {}
    for name in names("predictions", "npz"):
        nothing: tuple[dict[str, Any], dict[str, np.ndarray]] = ({}, {})
        arrays = attempt(notes, nothing, partial(load_predictions, folder / name, command))[1]
        predictions |= {name: arrays} if arrays else {}
    return metrics, predictions


UNKNOWN = "not recorded"


class Setting(NamedTuple):
    """A setting that is not the preset's."""

    name: str
    value: str
    default: str
    """Empty where the preset has none, such as the checkpoint to start from."""


class Start(NamedTuple):
    """One start of the run: the first, or a resumption."""

    at_step: int
    time: str
    command: str
    commit: str
    machine: str
    versions: str


def preset_name(command: Sequence[str], stage: str, settings: Mapping[str, Any]) -> str:
    """Read the preset off a command line; without one, of the two that scripts have begun with the one that fits.

    That is demo, as for the scripts now, or views, with which they began before.
    """
    names = [word.partition("=")[2] for word in command if word.startswith("--preset=")]
    names += [following for word, following in itertools.pairwise(command) if word == "--preset"]
    if names:
        return names[-1]
    return min(("demo", "views"), key=lambda name: len(changed_settings(settings, defaults(stage, name))))


def defaults(stage: str, preset: str) -> dict[str, Any]:
    """Give the stage's settings in a preset, with dotted names; nothing for an unknown stage or preset."""
    known_as = EARLIER_PRESETS.get(preset, preset)
    if known_as not in PRESETS:
        return {}
    parts = PRESETS[known_as]()
    known = {part.name: getattr(parts, part.name) for part in fields(parts)}
    return flat(to_plain(known[stage])) if stage in known else {}


def shown_setting(value: Any) -> str:
    """Write a setting without the folders of one machine."""
    return plain_text(without_folders(value, str(ROOT)))


def changed_settings(settings: Mapping[str, Any], preset: Mapping[str, Any]) -> list[Setting]:
    """List the settings that differ from the preset's."""
    changed = []
    for name, value in flat(dict(settings)).items():
        default = preset.get(name, "")
        is_given = isinstance(default, str | int | float | list | None)
        if name != "name" and (not is_given or value != default):
            changed.append(
                Setting(name, shown_setting(value), shown_setting(default) if is_given and name in preset else "")
            )
    return changed


def read_starts(metadata: Mapping[str, Any]) -> list[Start]:
    """Describe every start of a run."""
    return [
        Start(
            at_step=start["at_step"],
            time=start.get("time", UNKNOWN),
            command="python " + " ".join(map(quoted, without_folders(start["command"], str(ROOT)))),
            commit=start["commit"],
            machine=machine(start),
            versions=", ".join(f"{name} {version}" for name, version in start["versions"].items()),
        )
        for start in metadata.get("starts", [])
    ]


def quoted(word: str) -> str:
    """Put a word of a command in quotes if the shell needs them."""
    return f"'{word}'" if not word or any(letter in word for letter in ' *?[](){}<>|&;$"') else word


def machine(start: Mapping[str, Any]) -> str:
    """Describe device, processes and hardware of a start."""
    parts = [start.get("device", "")]
    if start.get("processes", 1) > 1:
        parts.append(f"{start['processes']} processes")
    hardware = start.get("hardware", {})
    parts += [f"{hardware['processor']}, {hardware['cores']} cores"] if "processor" in hardware else []
    parts += [f"GPU {hardware['gpu']}"] if hardware.get("gpu", "none") != "none" else []
    return ", ".join(part for part in parts if part) or UNKNOWN


def trained_for(history: Sequence[Mapping[str, float]]) -> str:
    """Add up how long the loop ran; the clock begins anew at every start."""
    clock = [record.get("elapsed_s", 0.0) for record in history]
    ends = [now for now, following in zip(clock, [*clock[1:], 0.0], strict=True) if following < now]
    minutes = round(sum(ends) / 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "under a minute"
    )
