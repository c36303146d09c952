"""Writes the settings of other places than the default ones as a user would type them."""

from dataclasses import fields

from config import EMBEDDED, PARTS, Paths
from utils.settings import short

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
    usual, together, told = Paths(), Paths.under(paths.h36m_location.parent), ""
    is_together = all(getattr(paths, name) == getattr(together, name) for name in DATA_PLACES)
    if is_together and paths.h36m_location != usual.h36m_location:
        usual, told = together, f" --dataset {short(paths.h36m_location.parent)}"
    looked_at = [field.name for field in fields(paths) if not names or field.name in names]
    changed = [name for name in looked_at if getattr(paths, name) != getattr(usual, name)]
    return told + "".join(f" --paths.{name.replace('_', '-')} {short(getattr(paths, name))}" for name in changed)
