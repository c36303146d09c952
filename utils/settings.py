"""Settings from the command line, as plain dictionaries for files, and as flags for people to type."""

import argparse
import io
import os
import shlex
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from config import ASSETS, EARLIER_PRESETS, EMBEDDED, PARTS, PRESETS, ROOT, Paths, Subjects
from utils.failures import failure_in_words

StageConfig = TypeVar("StageConfig")


def parse(
    stage: type[StageConfig], arguments: list[str] | None = None, default: StageConfig | None = None
) -> StageConfig:
    """Read a script's settings: the preset's, changed by the command line.

    Args:
        default: what a tool, whose settings no preset has, begins with instead of their own defaults.
    Raises:
        ValueError: settings that contradict each other, an earlier name of one, an unknown preset, or a data set for a
            script that reads none.
    """
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", default="demo")
    chooser.add_argument("--dataset", type=Path)
    chosen, rest = chooser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    reads_data = any(part.name == "paths" for part in fields(stage))  # type: ignore[arg-type]
    if chosen.dataset is not None:
        if not reads_data:
            raise ValueError(f"--dataset is {chosen.dataset}, but this script reads no data set; leave it out")
        rest = dataset_flags(chosen.dataset, rest) + rest
    refuse_earlier_names(stage, rest)
    preset = defaults_of(stage, chosen.preset)
    about = (stage.__doc__ or "").strip()
    if reads_data:
        about += "\n\n--dataset FOLDER: your data is here, with frames, masks, backgrounds and index in it."
    if preset:
        about += f"\n\n--preset {'|'.join(PRESETS)} chooses the defaults shown here."
    begin = preset[0] if preset else default
    if begin is None:
        return tyro.cli(stage, args=rest, description=about)
    return tyro.cli(stage, args=rest, default=begin, description=about)


def defaults_of(stage: type[StageConfig], name: str) -> list[StageConfig]:
    """Give a stage's settings in a preset; nothing for a tool, whose settings no preset has.

    Raises:
        ValueError: an unknown preset, or one that was edited into nothing.
    """
    known = EARLIER_PRESETS.get(name, name)
    if known not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; use one of {', '.join(PRESETS)}")
    try:
        preset = PRESETS[known]()
    except TypeError as error:  # what an edit of config.py may bring: a setting that its class does not have
        raise ValueError(f"preset {known} of config.py is broken: {error}; use the names that stand there") from error
    parts: list[Any] = [getattr(preset, part.name) for part in fields(preset)]
    if name in EARLIER_PRESETS:
        parts = [replace(part, name=name) if hasattr(part, "name") else part for part in parts]
    return [part for part in parts if type(part) is stage]


def dataset_flags(dataset: Path, others: list[str]) -> list[str]:
    """Write `--dataset` as the places it stands for, but for those that are given themselves."""
    flags = {f"--paths.{name}-location": dataset / part for name, part in PARTS.items()}
    given = {word.partition("=")[0].replace("_", "-") for word in others}
    return [word for flag, place in flags.items() if flag not in given for word in (flag, str(place))]


def start(main: Callable[[StageConfig], object], stage: type[StageConfig], default: StageConfig | None = None) -> None:
    """Run a script from the command line: what a user can cause ends in one sentence and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold any bytes
    try:
        main(parse(stage, default=default))
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        told = failure_in_words(error)
        if not told or os.environ.get("TRACEBACK"):
            raise
        print(f"error: {told}\n(TRACEBACK=1 in front of the command shows where.)", file=sys.stderr)
        sys.exit(2)


Config = TypeVar("Config")
RENAMED = {
    "MeshLoss": {
        "overlap": "soft_iou",
        "outside": "mesh_to_mask",
        "reach": "mask_to_mesh",
        "overlap_after": "soft_iou_after",
    },
    "MasksFitLoss": {"overlap": "soft_iou", "hinge": "joint_axis"},
    "DiscriminatorLoss": {"invented": "generated", "rough": "gradient_penalty"},
    "ImportMultiviewConfig": {"rooms": "backgrounds", "about_location": "report_location"},
    "ConvertConfig": {"about_location": "report_location"},
    "ConvertLabelsConfig": {"about_location": "report_location"},
    "ExportConfig": {"about": "description", "looks_of": "appearance_of"},
}
"""Earlier names of settings, by the class that holds them.  Stored files are read with them; the command line names the
new one."""
FREE_ON_RESUME = ("loop.", "optim.steps")
"""Settings that may change when a run goes on; the seed may not."""
OF_AN_EARLIER_VERSION = {"train": "all", "decoder.fine": False, "decoder.refine": 0, "decoder.point_features": 0,
                         "loss.adversarial": 0.0, "loss.critic_lr": 2e-4}  # fmt: skip
"""Settings that this version does not have, with the values at which they changed nothing."""


def short(path: Path) -> str:
    """Write a path as seen from the project's folder, where it lies below it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def which_weights(flag: str, chosen: Path, runs: Path) -> str:
    """Say which weights a script takes; beside the committed ones, name those that were trained here last.

    Args:
        flag: the setting that chooses them.
        runs: folder with the runs of the same stage.
    """
    sentence = f"{flag}: {short(chosen)}"
    if chosen.parent != ASSETS:
        return sentence
    own = max(runs.glob("*/checkpoint_best.pt"), key=lambda path: path.stat().st_mtime, default=None)
    return f"{sentence} (committed)" + (f"; to take what was trained here: --{flag} {short(own)}" if own else "")


def to_plain(value: Any) -> Any:
    """Turn settings into dictionaries, lists, text and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: to_plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def with_todays_names(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Rename stored settings that had another name when they were written, at every depth."""
    hints, renamed = get_type_hints(kind), RENAMED.get(kind.__name__, {})
    found = {}
    for stored_name, value in values.items():
        name = renamed.get(stored_name, stored_name)
        is_group = is_dataclass(hints.get(name)) and isinstance(value, dict)
        found[name] = with_todays_names(hints[name], value) if is_group else value
    return found


def refuse_earlier_names(kind: type, arguments: Sequence[str], prefix: str = "--") -> None:
    """Name today's flag where a command line has an earlier one.

    Raises:
        ValueError: an argument is the flag of a setting that is called otherwise now.
    """
    for old, new in RENAMED.get(kind.__name__, {}).items():
        before, now = (f"{prefix}{name}".replace("_", "-") for name in (old, new))
        if any(word.split("=")[0].replace("_", "-") == before for word in arguments):
            raise ValueError(f"{before} is called {now} now; use that name")
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint) and isinstance(hint, type):
            refuse_earlier_names(hint, arguments, f"{prefix}{name}.")


def config_from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """Rebuild settings from what `to_plain` made; a setting that the file lacks takes its default.

    Raises:
        ValueError: the file has a setting that the program does not know, or a value it does not allow.
    """
    hints, values = get_type_hints(kind), with_todays_names(kind, values)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no setting {', '.join(unknown)}: the file comes from another version of this program"
        )
    parts = {name: rebuild(hints[name], value, f"{kind.__name__}.{name}") for name, value in values.items()}
    try:
        return kind(**parts)
    except OSError as error:  # a stored path leads to a folder here, in which a body would be looked for
        raise ValueError(f"{kind.__name__} names a place that is none of its kind here ({error})") from error


def rebuild(hint: Any, value: Any, name: str) -> Any:
    """Turn one plain value back into what its annotation says."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return config_from_dict(hint, value)
    if origin in (Union, types.UnionType):
        return None if value is None else rebuild(next(h for h in inner if h is not type(None)), value, name)
    if origin is tuple:
        items = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(rebuild(item, part, name) for item, part in zip(items, value, strict=True))
    if origin is Literal:
        if value not in inner:
            told = " ".join(repr(value).split())[:80]  # a tensor has several lines
            raise ValueError(f"{name} is {told}; this program knows {', '.join(map(repr, inner))}")
        return value
    if hint is Path:
        return Path(value)
    if hint in PLAIN_KINDS and type(value) not in PLAIN_KINDS[hint]:
        raise ValueError(f"{name} is {str(value)[:80]!r}, a {type(value).__name__}; it must be a {hint.__name__}")
    return value


PLAIN_KINDS = {int: (int,), float: (float, int), str: (str,), bool: (bool,)}
"""What a stored value may be, by what a setting is."""


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested settings with dotted names, as on the command line."""
    names: dict[str, Any] = {}
    for name, value in settings.items():
        names |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return names


def check_same_settings(now: dict[str, Any], then: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings than it was started with."""
    new, left_out = flat(now), OF_AN_EARLIER_VERSION.items()
    old = {name: value for name, value in flat(then).items() if name in new or (name, value) not in left_out}
    for name in sorted(new.keys() | old.keys()):
        is_free = name.startswith(FREE_ON_RESUME) and name != "loop.seed"
        if not is_free and new.get(name) != old.get(name):
            raise ValueError(f"--{name} is {new.get(name)}, but the run was started with {old.get(name)}; resume with "
                             "the same settings, or start another run with --name")  # fmt: skip


def without_folders(value: Any, root: str = "") -> Any:
    """Cut the folders of one machine out of plain settings or a command: `--a=/x/root/b` is then `--a=b`.

    Args:
        root: absolute folder below which a path is kept; of another absolute path only the last name stays.
    """
    if isinstance(value, dict):
        return {name: without_folders(item, root) for name, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item, root) for item in value]
    if not isinstance(value, str):
        return value
    option, equals, path = value.rpartition("=")
    if not path.startswith("/"):
        return value
    is_below = bool(root) and Path(path).is_relative_to(root)
    return f"{option}{equals}{Path(path).relative_to(root) if is_below else Path(path).name}"


DATA_PLACES = tuple(f"{name}_location" for name in PARTS)


def is_own_data(paths: Paths) -> bool:
    """Tell whether the data set lies elsewhere than the embedded one."""
    embedded = Paths.under(EMBEDDED)
    return any(getattr(paths, name) != getattr(embedded, name) for name in DATA_PLACES)


def flags(paths: Paths, *names: str) -> str:
    """Give ` --dataset FOLDER` and ` --paths.h36m-location ...` for what differs from the defaults; empty if nothing.

    Args:
        names: look at these places alone; without any, at all of them.
    """
    usual, together, sentence = Paths(), Paths.under(paths.h36m_location.parent), ""
    is_together = all(getattr(paths, name) == getattr(together, name) for name in DATA_PLACES)
    if is_together and paths.h36m_location != usual.h36m_location:
        usual, sentence = together, f" --dataset {shlex.quote(short(paths.h36m_location.parent))}"
    looked_at = [field.name for field in fields(paths) if not names or field.name in names]
    changed = [name for name in looked_at if getattr(paths, name) != getattr(usual, name)]
    given = {name.replace("_", "-"): shlex.quote(short(getattr(paths, name))) for name in changed}
    return sentence + "".join(f" --paths.{name} {place}" for name, place in given.items())


Typed = Path | str | int | tuple[int, ...] | None


def next_command(script: str, paths: Paths, **settings: Typed) -> str:
    """Write the command that goes on from here, as it can be typed.

    Args:
        settings: by name, `subjects__train` for --subjects.train; None leaves one at its default.
    """
    words = [script]
    for name, value in settings.items():
        if value is not None:
            values = value if isinstance(value, tuple) else (short(value) if isinstance(value, Path) else value,)
            words += ["--" + name.replace("__", ".").replace("_", "-"), *(shlex.quote(str(one)) for one in values)]
    return f"next: python {' '.join(words)}{flags(paths)}"


def named(run: Path, finds_points: bool = True) -> dict[str, Typed]:
    """Give the settings that call another stage's run as this one; a preset brings its name along.

    Args:
        finds_points: behind an encoder that finds its points in the image, which is what preset demo is for; behind
            another one of no preset's name, preset views has the settings.
    """
    if run.name in PRESETS and run.name != "demo":
        return {"preset": run.name}
    name: dict[str, Typed] = {} if run.name == "demo" or run.resolve() == ASSETS else {"name": run.name}
    return name if finds_points else {"preset": "views", **name}


def chosen_subjects(who: Subjects) -> dict[str, Typed]:
    """Give the settings of subjects that are not the default ones."""
    usual = Subjects()
    held_out = tuple(number for pair in who.held_out for number in pair)
    found: dict[str, Typed] = {name: getattr(who, name) for name in ("train", "labelled", "test")
                               if getattr(who, name) != getattr(usual, name)}  # fmt: skip
    found |= {"held_out": held_out} if who.held_out != usual.held_out else {}
    return {f"subjects__{name}": value for name, value in found.items()}


def subjects_to_test(who: Subjects) -> dict[str, Typed]:
    """Give the setting of a test script whose subjects are not the default ones."""
    return {"subjects": who.test} if who.test != Subjects().test else {}
