"""Trainings that are ended as a power cut does go on to the same ends; the slow run ends each stage thirty times."""

import sys

import pytest

from tests.benchmarks.kills import KINDS, KillsConfig, main


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ends its own processes as Linux does")
@pytest.mark.parametrize("stages", [("lifter",), pytest.param(KillsConfig().stages, marks=pytest.mark.slow)])
def test_what_was_ended_in_the_midst_ends_as_what_was_not(stages):
    found = main(KillsConfig(kills=3, stages=stages, counts=False, result=None))
    assert found.keys() == set(stages)
    for stage, counted in found.items():
        assert counted["by_kind"] == dict.fromkeys(KINDS, 1), stage
        assert counted["equal"] and counted["ends_compared"] >= 1, counted["differing"]
