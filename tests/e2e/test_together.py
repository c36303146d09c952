"""Several processes train what one trains: losses of every stage are equal to rounding, with all that is drawn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import ROOT, Paths
from tests.helpers.every_stage import write_data
from tests.helpers.together import largest_difference, losses_of, paths_in

QUICK, SLOW = ("enc_dec", "points", "gan", "mesh"), ("pose", "pose_maps", "mesh_maps", "masks", "lifter")
AT_FIRST, AFTER_THREE = 1e-4, 2e-3
"""Largest relative differences of a loss: at the first step, where both have the same weights, measured 9e-6; and after
two steps of Adam, which makes steps of gradients that are nothing but rounding, measured 6e-5."""


def train(paths: Path, name: str, stages: tuple[str, ...], processes: int = 1, *launcher: str) -> None:
    told = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), *(launcher or ("--standalone",))]
    command = [sys.executable, *(told if processes > 1 or launcher else ()), "-m", "tests.helpers.together", str(paths)]
    done = subprocess.run([*command, name, *stages], capture_output=True, text=True, cwd=ROOT, timeout=1500,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Grad strides do not match" not in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set, with the trainings of one process in its runs."""
    place = tmp_path_factory.mktemp("together")
    write_data(place)
    train(place, "one", ("before", *QUICK))
    return place


@pytest.fixture(scope="module")
def with_all(folder) -> Path:
    train(folder, "one", SLOW)
    return folder


def check(folder: Path, name: str, stages: tuple[str, ...]) -> None:
    paths: Paths = paths_in(folder)
    for stage in stages:
        one, other = losses_of(paths, "one", stage), losses_of(paths, name, stage)
        assert [record["step"] for record in one] == [record["step"] for record in other] == [1, 2, 3]
        for rows, least in ((slice(1), AT_FIRST), (slice(None), AFTER_THREE)):
            apart, place = largest_difference(one[rows], other[rows])
            assert apart < least, f"{stage}, {name}: {place} differs by {apart:.1e}"


def test_two_processes_train_what_one_does(folder):
    train(folder, "two", QUICK, 2)
    check(folder, "two", QUICK)


@pytest.mark.slow
def test_two_processes_train_the_other_stages_as_one_does(with_all):
    train(with_all, "two", SLOW, 2)
    check(with_all, "two", SLOW)


@pytest.mark.slow
def test_four_processes_train_what_one_does(with_all):
    train(with_all, "four", QUICK + SLOW, 4)
    check(with_all, "four", QUICK + SLOW)


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(folder):
    """Two steps with two processes, the third with one; equal to rounding."""
    train(folder, "changed:2", QUICK, 2)
    train(folder, "changed:3", QUICK, 1)
    check(folder, "changed", QUICK)


@pytest.mark.slow
def test_two_torchruns_are_two_nodes(folder):
    """Each with one process, on this machine; they find each other at an address of the first."""
    nodes = [
        [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank",
         str(node), "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:29431", "--rdzv-id", "tests",
         "--local-addr", "localhost", "-m", "tests.helpers.together", str(folder), "nodes", *QUICK]
        for node in range(2)
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    others = [subprocess.Popen(node, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for node in nodes]
    for one in others:
        _, told = one.communicate(timeout=1500)
        assert one.returncode == 0, told[-3000:]
    check(folder, "nodes", QUICK)
