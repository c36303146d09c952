"""One line of the report on the data."""

from pathlib import Path
from typing import Literal, NamedTuple

Mark = Literal["ok", "none", "note", "bad"]
MARKS: dict[Mark, str] = {"ok": "[ok]", "none": "[--]", "note": "[ !]", "bad": "[!!]"}
LEGEND = "[ok] there   [--] not there   [ !] there with a gap   [!!] missing or damaged   -> what to do"


class Line(NamedTuple):
    """What was found of one thing."""

    mark: Mark
    """ok: there.  none: not there, and not needed by all.  note: there, with a gap.  bad: missing or damaged."""
    what: str
    found: str
    blocks: str = ""
    """What cannot be done without it."""
    remedy: str = ""
    is_asked: bool = False
    """The user named it, or its place."""


def printed(line: Line) -> str:
    """Write a line."""
    parts = [f"{MARKS[line.mark]} {line.what}: {line.found}"]
    parts += [f"blocks {line.blocks}"] if line.blocks else []
    parts += [f"-> {line.remedy}"] if line.remedy else []
    return "; ".join(parts)


def sentence(error: BaseException) -> str:
    """Write an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def not_given(what: str, option: str, instead: str) -> Line:
    """Say that nothing was named, and why all goes on without it."""
    return Line("none", what, f"not given ({option} FOLDER looks at it), and not needed: {instead}")


def no_folder(what: str, path: Path, remedy: str) -> Line:
    """Say that a named folder is not there."""
    return Line("bad", what, f"{path} is not a folder", remedy=remedy, is_asked=True)
