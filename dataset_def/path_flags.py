"""Writes the settings of other places than the default ones as a user would type them."""

from dataclasses import fields
from pathlib import Path

from config import ROOT, Paths


def short(path: Path) -> str:
    """Write a path as seen from the project's folder, where it lies below it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def flags(paths: Paths, *names: str) -> str:
    """Give ` --paths.h36m-location ...` for each of the named places that is not the default; empty if none is."""
    usual = Paths()
    changed = [field.name for field in fields(paths) if field.name in names]
    given = [name for name in changed if getattr(paths, name) != getattr(usual, name)]
    return "".join(f" --paths.{name.replace('_', '-')} {short(getattr(paths, name))}" for name in given)
