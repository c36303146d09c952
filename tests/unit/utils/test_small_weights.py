"""Small weights: what comes back, how small they are, and that packing twice changes nothing."""

import pytest
import torch

from utils.artifacts import load_checkpoint, save_checkpoint
from utils.small_weights import packed, unpacked


def weights() -> dict:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(64, 32, 3, 3, generator=generator) * torch.logspace(-6, 2, 64)[:, None, None, None]
    table[5] = 0
    return {"table": table, "bias": torch.randn(64, generator=generator), "count": torch.tensor(7),
            "_extra_state": {"rows": [1, 2], "name": "x"}}  # fmt: skip


def test_every_number_comes_back_within_half_a_step_of_its_row():
    before, after = weights(), unpacked(packed(weights()))
    step = before["table"].abs().flatten(1).amax(1) / 127
    assert ((after["table"] - before["table"]).abs().flatten(1).amax(1) <= 0.501 * step).all()
    torch.testing.assert_close(after["bias"].float(), before["bias"], atol=1e-3, rtol=1e-3)
    assert after["count"].item() == 7 and after["_extra_state"] == before["_extra_state"]


def test_packing_again_changes_no_bit():
    once = unpacked(packed(weights()))
    assert torch.equal(unpacked(packed(once))["table"], once["table"])


def test_a_checkpoint_is_a_quarter_as_large_and_opens_as_numbers(tmp_path):
    table = {"table": torch.randn(500, 500)}
    for name, content in (("plain", table), ("small", packed(table))):
        save_checkpoint(tmp_path / f"{name}.pt", "enc_dec", 1, {}, {"model": content})
    sizes = [(tmp_path / f"{name}.pt").stat().st_size for name in ("plain", "small")]
    assert sizes[1] == pytest.approx(sizes[0] / 4, rel=0.02)
    found = load_checkpoint(tmp_path / "small.pt", "enc_dec")["states"]["model"]["table"]
    assert found.dtype == torch.float32 and (found - table["table"]).abs().max() < 0.03
