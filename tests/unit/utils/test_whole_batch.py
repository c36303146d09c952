"""Several processes together do to a batch what one does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.whole_batch import INPUTS, layers, outcome
from utils.batches import Batches
from utils.whole_batch import Shares, WholeBatchNorm, for_whole_batch, in_one_order, rand, randint, randn, shuffled


def shares(rank: int, processes: int, sizes: tuple[int, ...] = (), is_dealt: bool = False, seed: int = 0) -> Shares:
    return Shares(torch.Generator().manual_seed(seed), rank, processes, sizes, is_dealt)


@pytest.mark.parametrize("is_dealt", [False, True])
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_draw_for_their_rows_what_one_draws_for_all(processes, is_dealt):
    for draw in (lambda n, g: rand((n, 3), g), lambda n, g: randn((n, 2), g), lambda n, g: randint(9, (n,), g)):
        whole = draw(8, torch.Generator().manual_seed(0))
        ours = [draw(8 // processes, shares(rank, processes, is_dealt=is_dealt)) for rank in range(processes)]
        assert torch.equal(shares(0, processes, is_dealt=is_dealt).join(ours), whole)
        batches = [Batches(8, 8, 3, 0, rank, processes, is_dealt).share_of(0) for rank in range(processes)]
        one = Batches(8, 8, 3).share_of(0)
        for share, numbers in zip(batches, ours, strict=True):  # an item's numbers are its own, wherever it is read
            assert all(torch.equal(numbers[k], whole[one.index(item)]) for k, item in enumerate(share))


def test_a_batch_of_two_data_sets_has_all_rows_of_the_first_before_the_second():
    whole = rand((12,), torch.Generator().manual_seed(0))
    first, second = (rand((6,), shares(rank, 2, sizes=(4, 2))) for rank in range(2))
    assert torch.equal(torch.cat([first[:4], second[:4], first[4:], second[4:]]), whole)
    assert torch.equal(shares(0, 2, sizes=(4, 2)).join([first, second]), whole)
    of_first = rand((4,), shares(1, 2, sizes=(4, 2)))  # what is drawn for one data set alone
    assert torch.equal(of_first, rand((8,), torch.Generator().manual_seed(0))[4:])


def test_a_dealt_share_s_first_quarter_belongs_to_the_batch_s_first_quarter():
    one = Batches(64, 16, seed=1).share_of(3)
    for rank in range(4):
        share = Batches(64, 16, 1, 3, rank, 4, is_dealt=True).share_of(3)
        assert share == one[rank::4] and set(share[:1]) <= set(one[:4])


def test_one_process_keeps_its_layers_and_numbers():
    generator = torch.Generator().manual_seed(4)
    values = torch.arange(5.0)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(4))
    assert torch.equal(shuffled(values, generator), values[order])


def test_layers_are_replaced_with_their_own_tensors():
    model = layers(2)
    before = dict(model.named_parameters()) | dict(model.named_buffers())
    for_whole_batch(model, lambda: shares(0, 2))
    after = dict(model.named_parameters()) | dict(model.named_buffers())
    assert before.keys() == after.keys() and all(before[name] is after[name] for name in before)
    assert sum(isinstance(one, WholeBatchNorm) for one in model.modules()) == 2
    assert not any(isinstance(one, nn.BatchNorm2d) for one in model.modules())


def test_kernels_of_one_place_have_one_order():
    convolution = nn.Conv2d(8, 4, 1).to(memory_format=torch.channels_last)
    before = convolution.weight.detach().clone()
    in_one_order(convolution)
    assert convolution.weight.stride() == (8, 1, 1, 1) and torch.equal(convolution.weight, before)
    arrived: list[torch.Tensor] = []
    convolution.weight.register_hook(arrived.append)
    given = torch.rand(4, 8, 1, 1).as_strided((4, 8, 1, 1), (8, 1, 8, 8))  # as bfloat16 brings it
    torch.autograd.backward(convolution.weight, given)
    assert arrived[0].stride() == (8, 1, 1, 1) and torch.equal(arrived[0], given)
    assert arrived[0].data_ptr() == given.data_ptr(), "nothing is copied"


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_statistics_gradients_and_dropout_are_those_of_the_whole_batch(tmp_path, processes):
    """Forward, backward to inputs and weights, running statistics, and evaluation, against torch.nn's own layers."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone",
               "-m", "tests.helpers.whole_batch", str(tmp_path / "found.pt")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr[-3000:]
    assert "grad strides" not in done.stderr.lower(), done.stderr[-3000:]
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    for dims in INPUTS:
        true = outcome(dims)
        assert found[str(dims)].keys() == true.keys()
        for name, value in true.items():
            apart = (found[str(dims)][name] - value).abs().max() / value.abs().max().clamp_min(1e-3)
            assert apart < 2e-5, f"{name} of {dims} axes: {apart:.1e}"
