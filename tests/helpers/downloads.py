"""What torchvision would download, answered without a network."""

import pytest
from torchvision.models import resnet50


def answered_downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answer every request for ResNet-50's weights with weights drawn at random; gives what was asked for so far."""
    asked: list[str] = []

    def answer(url: str, *_: object, **__: object) -> dict[str, object]:
        asked.append(url)
        return resnet50().state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", answer)
    return asked
