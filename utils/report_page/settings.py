"""What was run: commands, settings that differ from the preset's, versions, duration."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from config import PRESETS, ROOT
from utils.report_page.measures import plain
from utils.settings import flat, to_plain, without_folders

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


def preset_name(command: Sequence[str]) -> str:
    """Read the preset off a command line; without one it is demo, as for the scripts."""
    names = [word.partition("=")[2] for word in command if word.startswith("--preset=")]
    names += [following for word, following in itertools.pairwise(command) if word == "--preset"]
    return names[-1] if names else "demo"


def defaults(stage: str, preset: str) -> dict[str, Any]:
    """Give the stage's settings in a preset, with dotted names; nothing for an unknown stage or preset."""
    if preset not in PRESETS:
        return {}
    parts = PRESETS[preset]()
    known = {part.name: getattr(parts, part.name) for part in fields(parts)}
    return flat(to_plain(known[stage])) if stage in known else {}


def shown(value: Any) -> str:
    """Write a setting without the folders of one machine."""
    return plain(without_folders(value, str(ROOT)))


def changed_settings(settings: Mapping[str, Any], preset: Mapping[str, Any]) -> list[Setting]:
    """List the settings that differ from the preset's."""
    changed = []
    for name, value in flat(dict(settings)).items():
        default = preset.get(name, "")
        is_given = isinstance(default, str | int | float | list | None)
        if name != "name" and (not is_given or value != default):
            changed.append(Setting(name, shown(value), shown(default) if is_given and name in preset else ""))
    return changed


def read_starts(about: Mapping[str, Any]) -> list[Start]:
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
        for start in about.get("starts", [])
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
