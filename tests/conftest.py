"""Shape annotations are checked while the tests run (training does not pay for it)."""

import pytest
import torch
from jaxtyping import install_import_hook

from tests.helpers.shape_checks import checked_modules

hook = install_import_hook([], "tests.helpers.shape_checks.check_shapes")
hook.hook.should_instrument = checked_modules().__contains__
"""By its own rule the name of a package stands for every module in it, compiled ones too."""


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Let every test draw the same numbers in every run."""
    torch.manual_seed(0)
