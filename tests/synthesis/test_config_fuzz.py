"""Fuzzing configurations: any values give settings in their ranges, or a message."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from fuzz_records import damaged, fuzz, short
from hypothesis import given
from hypothesis import strategies as st

from fijibridge.core.errors import BridgeError, SettingsError
from fijibridge.synthesis import dataset
from fijibridge.synthesis.config import SimulationConfig, config_of, draw_imaging, draw_structure, load_config, presets

_leaf = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=5), st.dates(), st.just([[]]))
_value = st.one_of(_leaf, st.lists(_leaf, max_size=3), st.dictionaries(st.text(max_size=5), _leaf, max_size=2))
_sections = st.dictionaries(
    st.sampled_from(["CAM", "ISE", "carbon", "porosity", "cam_fraction", "bits", "defocus", "x"]), _value, max_size=3
)
_config = st.dictionaries(
    st.sampled_from(["preset", "name", "size", "depth", "sections", "spacing", "pixel_size", "materials", "composition",
                     "structure", "imaging", "x"]),
    st.one_of(_value, _sections, st.sampled_from(presets())), max_size=4,
)  # fmt: skip


@fuzz(150)
@given(_config, st.booleans())
def test_fuzz_values(values, with_preset):
    try:
        config = config_of({"preset": "generic", **values} if with_preset else values, "fuzz")
        settings, pixel_size = draw_structure(config, np.random.default_rng(0))
        draw_imaging(config, np.random.default_rng(0))
    except SettingsError as error:
        short(error)
        return
    assert 0.001 <= pixel_size <= 10
    assert 0 < settings.ise_fraction < 1
    assert all(math.isfinite(material.density) for material in config.phase_materials().values())


_TEXT = b"""preset = "generic"
size = 128
pixel_size = [0.02, 0.05]
[structure]
porosity = 0.1
[materials]
CAM = "NCM"
"""


@fuzz(80)
@given(damaged(_TEXT))
def test_fuzz_files(tmp_path, data):
    (path := tmp_path / "c.toml").write_bytes(data)
    try:
        config = load_config(path)
    except BridgeError as error:
        short(error)
    else:
        assert isinstance(config, SimulationConfig)


@pytest.mark.parametrize(
    "text",
    ["structure = 5", "imaging = 'x'", "materials = 5", "composition = [1]", "preset = 5", "pixel_size = 'a'",
     "pixel_size = true", "[composition]\nCAM = 'a'", "[composition]\nCAM = nan", "[materials]\nCAM = 5", "size = nan",
     "size = " + "9" * 5000, "size = " + "[" * 99999, 'name = "a\\u0000"', "name = 5", "size = 1979-05-27",
     "[materials.CAM]\nformula = 'C'\ndensity = 'x'", "[materials.CAM]\nformula = 'C" + "9" * 400 + "'\ndensity = 2"],
)  # fmt: skip
def test_values_that_are_refused(tmp_path, text):
    (tmp_path / "c.toml").write_text(text if text.startswith("preset") else f'preset = "generic"\n{text}')
    with pytest.raises(SettingsError) as error:
        load_config(tmp_path / "c.toml")
    assert len(str(error.value)) < 3000
    assert json.dumps(error.value.remedy)


def test_a_structure_that_the_machine_cannot_hold_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(dataset, "machine_memory", lambda: 2**35)
    config = config_of({"preset": "generic", "size": 4096, "depth": 1024}, "huge")
    with pytest.raises(SettingsError, match="1024 x 4096 x 4096 voxels"):
        dataset.make_pair_structure(config, 0, 0)
