import sys

import pytest
import torch
from torch import nn

from sample.tools.export_onnx import in_torch, largest_difference, median_ms, need_onnx, write_onnx


class Small(nn.Module):
    """Two outputs, and what networks do otherwise in evaluation than in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))

    def forward(self, image):
        features = self.layers(image)
        return features.mean(dim=(2, 3)), features.flatten(1).unflatten(1, (-1, 2))[:, :3]


@pytest.fixture
def small() -> Small:
    network = Small()
    for _ in range(3):
        network(torch.rand(4, 3, 16, 16))  # moves the statistics away from their start
    return network.eval()


def need_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f'{name} is not installed (pip install -e ".[onnx]")')


def test_a_written_file_runs_in_onnxruntime_for_any_batch_and_tells_what_it_is(tmp_path, small):
    need_packages()
    import onnx
    import onnxruntime

    path = tmp_path / "new" / "small.onnx"
    run, differences = write_onnx(path, small, 16, ("mean", "pairs"), {"mean": "numbers"}, 1e-5)
    assert differences.keys() == {"mean", "pairs"} and max(differences.values()) < 1e-5
    assert [one.name for one in path.parent.iterdir()] == ["small.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 4):
        image = torch.rand(count, 3, 16, 16)
        expected = in_torch(small)(image)
        for found in (session.run(["mean", "pairs"], {"image": image.numpy()}), run(image)):
            assert [tuple(one.shape) for one in found] == [(count, 4), (count, 3, 2)]
            assert all((torch.as_tensor(a) - b).abs().max() < 1e-5 for a, b in zip(found, expected, strict=True))
    assert {one.key: one.value for one in onnx.load(path).metadata_props}["mean"] == "numbers"


def test_a_file_that_disagrees_is_not_written(tmp_path, small):
    need_packages()
    with pytest.raises(ValueError, match="more than tolerance"):
        write_onnx(tmp_path / "small.onnx", small, 16, ("mean", "pairs"), {}, tolerance=0.0)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_difference_is_found_over_all_batches(small):
    ours = in_torch(small)

    def off_in_the_last_of_five(image):
        mean, pairs = ours(image)
        mean = mean.clone()
        mean[4:] += 0.25
        return [mean, pairs]

    found = largest_difference(ours, off_in_the_last_of_five, 16, ("mean", "pairs"))
    assert found["mean"] == pytest.approx(0.25) and found["pairs"] == 0.0


@pytest.mark.parametrize("change", [lambda x: x[:, :1], lambda x: x * torch.nan])
def test_other_shapes_and_no_numbers_are_refused(small, change):
    ours = in_torch(small)
    with pytest.raises(ValueError, match="pairs"):
        largest_difference(lambda image: [ours(image)[0], change(ours(image)[1])], ours, 16, ("mean", "pairs"))
    if not torch.isfinite(change(torch.ones(1, 2))).all():
        found = largest_difference(ours, lambda image: [change(one) for one in ours(image)], 16, ("mean", "pairs"))
        assert found == {"mean": float("inf"), "pairs": float("inf")}


def test_the_median_does_not_count_the_first_images(small):
    calls = []
    assert median_ms(lambda image: calls.append(image.shape) or [], 16, repeats=3) < 100
    assert calls == [(1, 3, 16, 16)] * 8


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r'onnx.* is not installed.*"\.\[onnx\]"'):
        need_onnx()
