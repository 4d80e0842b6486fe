"""Fuzzing saved networks: any change gives probabilities or a message, never a traceback or NaN."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from fuzz_records import changed, damaged, fuzz, short
from hypothesis import given
from hypothesis import strategies as st
from network_sample import NAMES

from fijibridge.core.errors import BridgeError, ModelFileError, SettingsError
from fijibridge.network.file import load_network, save_network
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings
from fijibridge.network.unet import new_network
from fijibridge.weights.weights import state_digest

IMAGE = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    module, _ = new_network(NetworkSettings(width=4, levels=2, crop=32), 2, 3)
    network = Network(module.architecture, module.state_dict(), NAMES[:3], ("SE", "BSE"), pixel_sizes=(0.04, 0.06))
    return save_network(network, tmp_path_factory.mktemp("n") / "network")


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "n")
    return tmp_path / "n"


def predict(folder):
    try:
        found = load_network(folder).predict({"SE": IMAGE}, threads=1)
    except BridgeError as error:
        short(error)
        return
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


@fuzz(50)
@given(data=st.data())
def test_fuzz_records(saved, copy, data):
    record = json.loads((saved / "network.json").read_text())
    (copy / "network.json").write_text(data.draw(changed(record)), encoding="utf-8", errors="surrogatepass")
    predict(copy)


@fuzz(40)
@given(data=st.data(), name=st.sampled_from(["network.json", "network.safetensors"]))
def test_fuzz_bytes(saved, copy, data, name):
    for file in ("network.json", "network.safetensors"):
        shutil.copy(saved / file, copy / file)
    (copy / name).write_bytes(data.draw(damaged((saved / name).read_bytes())))
    predict(copy)


@pytest.mark.parametrize(
    ("place", "value"),
    [("temperature", 0), ("temperature", -1), ("temperature", 1e-300), ("temperature", "1"), ("class_names", []),
     ("class_names", "x"), ("class_names", ["a", "a", "b"]), ("class_names", ["a\nb", "c", "d"]), ("detectors", "x"),
     ("detectors", ["SE"]), ("architecture.encoder", 5), ("architecture.levels", 10**9), ("architecture.width", 10**9),
     ("architecture.classes", 4), ("normalisation.block", 0), ("normalisation.low", 101), ("pixel_sizes", [2, 1]),
     ("pixel_sizes", 5), ("training", [])],
)  # fmt: skip
def test_values_that_are_refused(copy, place, value):
    record = json.loads((copy / "network.json").read_text())
    *outer, last = place.split(".")
    inner = record[outer[0]] if outer else record
    inner[last] = value
    (copy / "network.json").write_text(json.dumps(record))
    with pytest.raises((ModelFileError, SettingsError)) as error:
        load_network(copy)
    short(error.value)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_weights_that_are_no_numbers(saved, copy, number):
    from safetensors.torch import load_file, save_file

    state = {name: tensor.clone() for name, tensor in load_file(saved / "network.safetensors").items()}
    state["body.last.bias"][0] = float(number)
    save_file(state, copy / "network.safetensors")
    record = json.loads((copy / "network.json").read_text()) | {"weights_sha256": state_digest(state)}
    (copy / "network.json").write_text(json.dumps(record))
    with pytest.raises(ModelFileError, match="no finite numbers"):
        load_network(copy)
