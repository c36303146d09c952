"""Writes the settings of other places than the default ones as a user would type them."""

from dataclasses import fields

from config import Paths
from utils.settings import short


def flags(paths: Paths, *names: str) -> str:
    """Give ` --paths.h36m-location ...` for each of the named places that is not the default; empty if none is."""
    usual = Paths()
    changed = [field.name for field in fields(paths) if field.name in names]
    given = [name for name in changed if getattr(paths, name) != getattr(usual, name)]
    return "".join(f" --paths.{name.replace('_', '-')} {short(getattr(paths, name))}" for name in given)
