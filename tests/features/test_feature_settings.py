"""Settings of features: checked, kept, compared; what an extractor learned comes back, damaged arrays do not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import BridgeError, FeatureMismatchError, ModelFileError, SettingsError
from fijibridge.features import FeatureExtractor, FeatureSettings, TwsSettings, VitSettings, preset_settings
from fijibridge.features.extractor_file import ARRAYS, INDEX, read_extractor, write_extractor
from fijibridge.features.linear_head.head import LinearHead
from fijibridge.features.linear_head.model import LinearModel
from fijibridge.features.presets import PRESETS
from fijibridge.features.provenance import Provenance
from fijibridge.features.settings import feature_settings
from fijibridge.features.upsampling.base import UPSAMPLERS
from fijibridge.features.upsampling.weights_file import read_weights
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.features.vit.pca import fit_basis
from fijibridge.network.features import NetworkFeatureSettings

TINY = VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(), upsampler="bilinear")

# --- settings --------------------------------------------------------------------------------------------------------

_blocks = st.sets(st.integers(1, 12), min_size=1).map(sorted)
vit_settings = st.builds(
    VitSettings,
    encoder=st.sampled_from(["test_vit", "vit_small_patch14_dinov2"]),
    blocks=_blocks,
    coarse_blocks=st.one_of(st.just(()), _blocks),
    enlargement=st.floats(0.25, 8),
    debiasing=st.sampled_from([name for name in DEBIASING if name != "alibi"]),
    upsampler=st.sampled_from(list(UPSAMPLERS)),
    tile=st.integers(112, 4096),
    percentiles=st.tuples(st.floats(0, 49), st.floats(50, 100)),
    channels=st.integers(0, 9),
    weights=st.text(max_size=9),
)
_sources = st.lists(
    st.one_of(vit_settings, st.just(TwsSettings()), st.builds(NetworkFeatureSettings, st.text(max_size=3))),
    min_size=1,
    unique_by=lambda own: own.kind,
).map(tuple)
all_settings = st.builds(FeatureSettings, _sources, st.sampled_from(["BSE", "SE", "In-lens"]))


def without_files(own: FeatureSettings) -> FeatureSettings:
    """As they are saved."""
    local = {"vit": {"weights": "", "upsampler_weights": ""}, "network": {"folder": ""}}
    return replace(own, sources=tuple(replace(one, **local.get(one.kind, {})) for one in own.sources))


@given(all_settings)
def test_settings_survive_json(own):
    again = FeatureSettings.from_json(json.loads(json.dumps(own.to_json())))
    assert again == without_files(own)
    assert FeatureExtractor(own).differences(FeatureExtractor(again)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"enlargement": 0.2},
        {"enlargement": 8.1},
        {"enlargement": float("nan")},
        {"enlargement": "2"},
        {"tile": 111},
        {"tile": 4097},
        {"tile": 280.5},
        {"tile": True},
        *({"channels": wrong} for wrong in (-1, 4097, 2.5)),
        {"debiasing": "learned"},
        {"upsampler": "cubic"},
        {"upsampler_weights": "own.safetensors"},
        {"encoder": None},
        {"blocks": ()},
        {"blocks": (0,)},
        {"blocks": (2, 2)},
        {"blocks": (6, 3)},
        {"blocks": 6},
        {"blocks": ("six",)},
        {"coarse_blocks": (0,)},
        {"coarse_blocks": (9, 6)},
        {"percentiles": (5, 5)},
        {"percentiles": (-1, 99)},
        {"percentiles": (1, 101)},
        {"percentiles": (1,)},
        {"percentiles": (float("nan"), 99)},
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(SettingsError, match="remedy") as error:
        VitSettings(**wrong)
    assert next(iter(wrong)) in error.value.found


def test_numbers_of_numpy_become_plain_ones():
    own = VitSettings(tile=np.int64(300), enlargement=np.float32(1.5), blocks=np.array([2, 4]), channels=np.int64(3))
    assert own == VitSettings(tile=300, enlargement=1.5, blocks=(2, 4), channels=3)
    assert json.loads(json.dumps(own.to_json()))["tile"] == 300


def test_settings_of_a_newer_version_are_refused():
    with pytest.raises(SettingsError, match="with depth") as error:
        VitSettings.from_json({**VitSettings().to_json(), "depth": 3})
    assert "update fijibridge" in error.value.remedy
    data = FeatureSettings().to_json()
    with pytest.raises(SettingsError, match="feature source 'wavelets'"):
        FeatureSettings.from_json({**data, "sources": [*data["sources"], {"kind": "wavelets"}]})


def test_forms_of_a_choice():
    assert feature_settings("default") == FeatureSettings() == FeatureSettings((TwsSettings(), VitSettings()))
    assert feature_settings("best").source("vit") == PRESETS["best"]
    assert feature_settings("vit, tws").sources == (VitSettings(), TwsSettings())
    assert feature_settings(TINY) == feature_settings([TINY]) == FeatureSettings(TINY) == FeatureSettings((TINY,))
    assert feature_settings("tws").source("vit") is None
    with pytest.raises(SettingsError, match="features 'weka'") as error:
        feature_settings("tws,weka")
    assert "fast, default, best" in error.value.expected
    for wrong in ((), (TINY, VitSettings()), " , "):
        with pytest.raises(SettingsError, match="each once"):
            feature_settings(wrong)
    with pytest.raises(SettingsError, match="a detector named"):
        FeatureSettings(detector="S E")


def test_presets():
    assert preset_settings() == PRESETS["default"] == VitSettings()
    assert preset_settings("best").debiasing == "template+flips"
    assert preset_settings("best", debiasing="none").debiasing == "none"
    assert preset_settings("fast", enlargement=None, blocks=(3,)).blocks == (3,)
    assert preset_settings("default", encoder="test_vit").blocks == (2, 3)  # 6 blocks in place of 12
    assert preset_settings("default", debiasing="mean").tile == 784
    with pytest.raises(SettingsError, match="one of fast, default, best"):
        preset_settings("quick")


# --- differences -----------------------------------------------------------------------------------------------------


def extractor(*sources, sha256: str = "", detector: str = "BSE", **learned) -> FeatureExtractor:
    """As after a first image: weights known, components learned."""
    found = FeatureExtractor(FeatureSettings(sources, detector))
    for source in found.sources:
        if source.kind == "vit":
            source.provenance = Provenance(sha256, "somewhere", "CC0")
            for name, value in learned.items():
                setattr(source, name, value)
    found.fitted = True
    return found


def test_differences_in_words():
    own = extractor(TwsSettings(), TINY, sha256="a1")
    elsewhere = extractor(TwsSettings(), replace(TINY, tile=560, weights="file"), sha256="a1")
    elsewhere.sources[1].provenance = Provenance("a1", "elsewhere", "MIT")
    assert own.differences(elsewhere) == ["tile: 280 against 560"]
    unknown = extractor(TwsSettings(), TINY)
    assert own.differences(unknown) == ["weights: a1 against none yet"]
    assert own.differences(unknown, as_request=True) == []
    assert own.differences(extractor(TwsSettings(), TINY, sha256="b2"), as_request=True) == ["weights: a1 against b2"]
    assert own.differences(extractor(TwsSettings())) == ["features: tws,vit against tws"]
    assert extractor(TwsSettings()).differences(extractor(TwsSettings(), detector="SE")) == []  # one detector's name
    networks = [extractor(NetworkFeatureSettings(), detector=name) for name in ("BSE", "SE")]
    assert networks[0].differences(networks[1]) == ["detector: 'BSE' against 'SE'"]
    joined = extractor(TwsSettings())
    joined.detectors_ = ("SE",)
    assert joined.differences(extractor(TwsSettings())) == ["detectors: ('SE',) against one"]
    assert joined.differences(extractor(TwsSettings()), as_request=True) == []


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def head(classes: int = 3, seed: int = 0) -> LinearHead:
    rng = np.random.default_rng(seed)
    shapes = ((classes,), (2,), (2,), (2, classes), (4, classes))
    names = tuple(f"class {k}" for k in range(classes))
    return LinearHead(LinearModel(*(rng.normal(size=shape) for shape in shapes)), names, "0" * 16)


def test_what_was_learned_is_compared_by_digest():
    bases = [fit_basis(noise(6, 6, 8, seed=seed), 2) for seed in (0, 1)]
    few = replace(TINY, channels=2)
    one, other = (extractor(few, basis_={"b": basis}) for basis in bases)
    digests = [own.sources[0].digests()["basis_b"] for own in (one, other)]
    assert one.differences(other) == [f"basis_b: {digests[0][:12]} against {digests[1][:12]}"]
    assert one.differences(other, as_request=True)
    assert one.differences(extractor(few)) == [f"basis_b: {digests[0][:12]} against none yet"]
    assert one.differences(extractor(few), as_request=True) == []
    assert one.to_brief()["sources"][0]["learned"] == {"basis_b": digests[0][:12]}
    with_head, with_another = one.with_head(head()), one.with_head(head(seed=1))
    assert with_head.differences(one) == [f"linear head: {with_head.head_.digest[:12]} against none"]
    assert with_head.differences(one, as_request=True) == []
    assert with_head.differences(with_another, as_request=True)[0].startswith("linear head: ")
    assert with_head.to_brief()["head"]["sha256"] == with_head.head_.digest
    assert with_head.without_head().differences(one) == []


# --- saved and restored ----------------------------------------------------------------------------------------------


@given(_sources, st.sampled_from(["BSE", "SE"]), st.booleans(), st.booleans(), st.text("0123456789abcdef", max_size=64))
@settings(max_examples=60, deadline=None)
def test_an_extractor_comes_back(sources, detector, joined, with_head, sha256):
    own = extractor(*sources, sha256=sha256, detector=detector)
    for source in own.sources:
        if source.kind == "vit":
            k = source.settings.channels
            source.basis_ = {letter: noise(k + 1, 12) for letter, _, _ in source.settings.scales} if k else {}
            source.upsampler_weights_ = UPSAMPLERS[source.settings.upsampler].read_weights("")
    own.detectors_ = ("In-lens", "EDX-S") if joined else ()
    own = own.with_head(head()) if with_head else own
    arrays = own.arrays()
    again = FeatureExtractor.restored(json.loads(json.dumps(own.to_json())), arrays)
    assert own.differences(again) == again.differences(own) == []
    assert again.to_json() == own.to_json()
    assert again.settings == without_files(own.settings)
    assert (again.detectors_, again.fitted) == (own.detectors_, True)
    assert [source.provenance for source in again.sources] == [source.provenance for source in own.sources]
    kept = again.arrays()
    assert kept.keys() == arrays.keys()
    for name, array in arrays.items():
        assert kept[name].dtype == array.dtype
        np.testing.assert_array_equal(kept[name], array)


def complete() -> FeatureExtractor:
    """Two scales of components, an upsampler's weights and a linear head."""
    own = replace(TINY, coarse_blocks=(4,), channels=2, upsampler="learned")
    basis = {letter: fit_basis(noise(6, 6, 8, seed=seed), 2) for seed, letter in enumerate("bh")}
    return extractor(TwsSettings(), own, basis_=basis, upsampler_weights_=read_weights()).with_head(head())


def nan_in(array: np.ndarray) -> np.ndarray:
    return np.where(np.arange(array.size).reshape(array.shape) == 0, np.nan, array).astype(array.dtype)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("vit.basis_b", lambda basis: basis[:-1], "basis float32 (2, 8) that is not that of channels = 2"),
        ("vit.basis_h", lambda basis: basis[:, :0], "is not that of channels = 2"),
        ("vit.basis_h", lambda basis: basis.astype(np.float64), "a basis float64"),
        ("vit.basis_b", nan_in, "is not that of channels = 2"),
        ("vit.basis_b", None, "a basis float32 (0, 0)"),
        ("vit.upsampler_weights", lambda data: data[:-4], "upsampler: no safetensors file"),
        ("vit.upsampler_weights", lambda data: data.astype(np.float32), "upsampler: no safetensors file"),
        ("vit.upsampler_weights", None, "upsampler: no safetensors file"),
        ("head.offset", None, "are not a linear head of 3 classes"),
        ("head.offset", lambda offset: offset[:2], "are not a linear head of 3 classes"),
        ("head.plain_weights", lambda weights: weights[:1], "are not a linear head of 3 classes"),
        ("head.grouped_weights", nan_in, "are not a linear head of 3 classes"),
        ("head.offsets", lambda _: np.zeros(3), "are not a linear head of 3 classes"),
        ("vit.mean", lambda _: np.zeros(3), "learned arrays mean of features 'vit'"),
        ("tws.mean", lambda _: np.zeros(3), "learned arrays mean of features 'tws'"),
        ("network.mean", lambda _: np.zeros(3), "arrays network.mean"),
        ("basis_b", lambda _: np.zeros(3), "arrays basis_b"),
    ],
)
def test_damaged_arrays_are_refused(name, change, told):
    own = complete()
    arrays = own.arrays()
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays.get(name))
    with pytest.raises(SettingsError) as error:
        FeatureExtractor.restored(own.to_json(), arrays)
    assert told in error.value.found
    assert error.value.expected
    assert "folder" in error.value.remedy or "update fijibridge" in error.value.remedy


def test_weights_of_an_upsampler_that_has_none_are_refused():
    own = extractor(replace(TINY, upsampler="guided"))
    with pytest.raises(SettingsError, match="weights of an upsampler that has none"):
        FeatureExtractor.restored(own.to_json(), {"vit.upsampler_weights": np.frombuffer(read_weights(), np.uint8)})


def test_a_head_of_other_classes_or_detectors_twice():
    own = complete()
    data = own.to_json()
    with pytest.raises(SettingsError, match="2 classes"):
        FeatureExtractor.restored({**data, "head": {**data["head"], "class_names": ["a", "b"]}}, own.arrays())
    for detectors in (["SE", "BSE"], ["SE", "se"]):
        with pytest.raises(SettingsError, match="twice"):
            FeatureExtractor.restored({**data, "detectors": detectors}, own.arrays())


def test_a_head_of_another_number_of_features():
    from fijibridge.features import FeatureStack

    with pytest.raises(FeatureMismatchError, match="2 plain and 4 grouped features, for 3 and 0"):
        head().transform(FeatureStack.from_array(noise(4, 5, 3)))


# --- in a file -------------------------------------------------------------------------------------------------------


def test_an_extractors_file(tmp_path):
    own, names = complete(), ["a", "b"]
    assert write_extractor(tmp_path, own, names) == [INDEX, ARRAYS]
    for path in (tmp_path, tmp_path / INDEX):
        again, found = read_extractor(path)
        assert found == tuple(names)
        assert own.differences(again) == []
    plain = tmp_path / "plain"
    plain.mkdir()
    assert write_extractor(plain, FeatureExtractor("tws"), names) == [INDEX]
    assert read_extractor(plain)[0].differences(FeatureExtractor("tws")) == []


def test_a_damaged_file_is_refused(tmp_path):
    write_extractor(tmp_path, complete(), ["a", "b"])
    index, arrays = ((tmp_path / name).read_bytes() for name in (INDEX, ARRAYS))
    text = json.loads(index)

    def refused(told: str, *, index: bytes = index, arrays: bytes | None = arrays) -> None:
        (tmp_path / INDEX).write_bytes(index)
        (tmp_path / ARRAYS).unlink(missing_ok=True)
        if arrays is not None:
            (tmp_path / ARRAYS).write_bytes(arrays)
        with pytest.raises(BridgeError, match=told) as error:
            read_extractor(tmp_path)
        assert isinstance(error.value, ModelFileError)

    refused("is damaged", arrays=arrays[:-9])
    refused("is damaged", arrays=b"no arrays")
    refused("is not what it describes", arrays=None)
    refused("is not what it describes", arrays=arrays[:-1] + bytes([arrays[-1] ^ 1]))
    refused("no JSON", index=b"PK\x03\x04")
    refused("version 1", index=json.dumps({**text, "version": 1}).encode())
    for missing in ("features", "feature_names", "features_sha256"):
        refused(missing, index=json.dumps({name: text[name] for name in text if name != missing}).encode())
    refused("with depth", index=index.replace(b'"tile"', b'"depth"'))
    refused("no list of names", index=json.dumps({**text, "feature_names": []}).encode())
