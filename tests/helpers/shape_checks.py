"""Which modules have their shape annotations checked while the tests run: all that have any, wherever they lie."""

import re
from collections.abc import Callable
from pathlib import Path

from beartype import beartype

ROOT = Path(__file__).resolve().parents[2]
COMPILED = r"^@compiled\(|^@triton\.jit"
"""Functions that a compiler reads as text or bytecode; it cannot read a checked one."""
REFUSES_ITSELF = ("models.silhouette", "models.silhouette.topology", "sample.predict")
"""Wrong shapes reach these on purpose: their tests hold that a user gets one sentence."""


def annotated_modules() -> dict[str, str]:
    """Name the modules of the program that annotate shapes, and why one is not checked (empty: it is)."""
    found = {}
    for package in ("utils", "dataset_def", "models", "sample"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if re.search(r"^from jaxtyping import", text, re.M):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                reason = "compiled functions" if re.search(COMPILED, text, re.M) else ""
                found[name] = "refuses wrong shapes itself" if name in REFUSES_ITSELF else reason
    return found


def checked_modules() -> set[str]:
    """Name the modules that are checked."""
    return {name for name, reason in annotated_modules().items() if not reason}


def check_shapes(function: Callable) -> Callable:
    """Put checks around a function, of those annotations alone that tell shapes: a stand-in may be of any class."""
    whole = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in whole.items() if "jaxtyping" in repr(hint)}
    checked = beartype(function)
    function.__annotations__ = whole
    return checked
