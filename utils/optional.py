"""Packages that a training from packed crops does without, imported when they are first used.

A machine that only trains needs torch, torchvision, numpy, roma, tyro, jaxtyping and tqdm, and for stage 1's image
features the two efficientnet packages; everything else is for making data, testing and drawing.
"""

import importlib
import importlib.util
from functools import cache
from types import ModuleType
from typing import Any

PIP_NAMES = {"cv2": "opencv-python-headless"}
"""What pip calls a package, where that differs."""


@cache
def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without doing so."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


class Later:
    """Stands for a module until something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, part: str) -> Any:
        return getattr(_imported(self._name), part)


def later(module: str) -> Any:
    """Give a stand-in for a module, which is imported when something of it is first asked for.

    Raises:
        ModuleNotFoundError: then, naming the package, if it is not installed.
    """
    return Later(module)


@cache
def _imported(name: str) -> ModuleType:
    package = name.split(".")[0]
    if not is_installed(package):
        pip_name = PIP_NAMES.get(package, package)
        raise ModuleNotFoundError(f"this needs the package {pip_name}, which a training from packed crops does "
                                  f"without; install it with: pip install {pip_name}", name=package)  # fmt: skip
    return importlib.import_module(name)
