"""Annotations of shapes are checked in the tests of every module that has any."""

import importlib

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from tests.helpers.shape_checks import annotated_modules, checked_modules
from utils.bootstrap import auc


@pytest.mark.parametrize("name", sorted(checked_modules()))
def test_a_module_with_annotations_is_checked(name):
    loader = importlib.import_module(name).__spec__.loader
    assert type(loader).__module__.startswith("jaxtyping"), f"{name} was loaded by {loader}"


def test_few_modules_are_excepted_each_for_a_reason():
    excepted = {name: reason for name, reason in annotated_modules().items() if reason}
    assert len(excepted) <= 8 and len(checked_modules()) > 80, excepted
    assert {"models.silhouette", "models.silhouette.topology", "utils.draw_mesh"} <= excepted.keys()


def test_a_wrong_shape_is_refused():
    with pytest.raises(TypeCheckError):
        auc(np.zeros((2, 3)), np.zeros(3))
