"""Numbers that must not move by accident; tests/golden/recipes.py says how each came about."""

import json

import pytest

from tests.golden.recipes import GOLDEN, RECIPES

CLOSE = {"body": 1e-5, "silhouette": 1e-3, "metrics": 1e-6, "pictures": 2e-3, "latent": 2e-3}
"""Largest difference, as a share of the largest stored number of the same name."""


def worst(stored: list[float] | float, found: list[float] | float) -> float:
    """Largest difference as a share of the largest stored number."""
    pairs = [(stored, found)] if isinstance(stored, float) else list(zip(stored, found, strict=True))
    return max(abs(a - b) for a, b in pairs) / max(abs(a) for a, _ in pairs)


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_are_those_stored(name):
    stored = json.loads(GOLDEN.read_text())[name]
    found = RECIPES[name]()
    assert found.keys() == stored.keys()
    if "weights_sha256" in stored and stored["weights_sha256"] != found["weights_sha256"]:
        pytest.fail("models/assets/open_weights.pt has changed; if on purpose: python tests/golden/recipes.py")
    off = {key: worst(stored[key], found[key]) for key in stored if not isinstance(stored[key], str)}
    assert {key: share for key, share in off.items() if share > CLOSE[name]} == {}, "share of the largest number"


def test_a_moved_number_would_be_noticed():
    assert worst([2.0, -4.0], [2.0, -4.004]) == pytest.approx(0.001)
    assert worst(10.0, 9.0) == pytest.approx(0.1)
