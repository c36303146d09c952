"""What torchvision would download, answered without a network."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from torchvision.models import resnet50

from config import Crop, EncoderConfig, MeshConfig, Optim, PoseConfig, UntrainedEncoder


def answered_downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answer every request for ResNet-50's weights with weights drawn at random; gives what was asked for so far."""
    asked: list[str] = []

    def answer(url: str, *_: object, **__: object) -> dict[str, object]:
        asked.append(url)
        return resnet50().state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", answer)
    return asked


def check_that_a_resumed_training_asks_for_nothing(
    train: Callable[..., object], config_of: Callable[..., PoseConfig | MeshConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begin a stage with an untrained ResNet-50, which is fetched once, and go on: nothing is fetched.

    Args:
        train: the stage's `main`.
        config_of: gives its settings for a name and changes.
    """
    asked = answered_downloads(monkeypatch)
    untrained = UntrainedEncoder(Crop(size_px=32), EncoderConfig("resnet50", points=12, appearance=4, width=4))
    optim = Optim(steps=1, schedule="constant", bf16=False)
    begun = config_of("imagenet", encoder=None, mode="scratch", untrained=untrained, optim=optim)
    train(begun)
    assert len(asked) == 1, "a network that only lends its settings needs no weights"
    train(replace(begun, optim=replace(optim, steps=2), loop=replace(begun.loop, resume=True)))
    assert len(asked) == 1
