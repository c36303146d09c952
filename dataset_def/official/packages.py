"""Imports the packages that only the official files need."""

from importlib import import_module
from types import ModuleType


def package(name: str, why: str) -> ModuleType:
    """Import an optional package.

    Raises:
        ValueError: it is not installed; the message names the command that installs it.
    """
    try:
        return import_module(name)
    except ImportError:
        raise ValueError(f"{why} needs the package {name}; install it with: pip install cdflib h5py") from None
