"""Recipes: written, read back, overridden, and refused where they do not serve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import save_file

import fijibridge as fb
from fijibridge.core.errors import BridgeError, OutputError, SettingsError, WeightsError
from fijibridge.features import FeatureExtractor, FeatureSettings, TwsSettings, VitSettings, preset_settings
from fijibridge.features.presets import PRESETS
from fijibridge.features.provenance import Provenance
from fijibridge.features.recipe import recipe_text
from fijibridge.features.recipe_file import read_recipe, write_recipe
from fijibridge.features.settings import feature_settings
from fijibridge.operations.feature_options import chosen_features
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights.encoders import create_encoder

TINY = VitSettings("test_vit", (1, 2), (), 1.0, "none", "bilinear", channels=4, percentiles=(1.0, 99.0))


@pytest.fixture
def recipe(tmp_path):
    return write_recipe((TwsSettings(("Mean",)), TINY), tmp_path / "recipe.toml", words='thin "cracks", Fe₃O₄')


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    save_file(create_encoder("test_vit").state_dict(), path)
    return path


@pytest.mark.parametrize("name", [*PRESETS, "tws", "tws3d", "tws:all", "tws,vit,conv", "conv:vgg19"])
def test_read_back(name, tmp_path):
    path = write_recipe(name, tmp_path / "A recipe.TOML")
    assert read_recipe(path) == feature_settings(name)
    assert feature_settings(str(path)) == feature_settings(path) == feature_settings(name)


def test_the_weights_of_each_network(tmp_path):
    sources = FeatureExtractor("tws,vit,conv").sources
    for number, source in enumerate(sources[1:]):
        source.provenance = Provenance(f"{number}" * 64, "here", "MIT")
    path = tmp_path / "both.toml"
    path.write_text(recipe_text(sources), encoding="utf-8")
    found = read_recipe(path)
    assert [getattr(one, "weights_sha256", None) for one in found.sources] == [None, "0" * 64, "1" * 64]
    assert recipe_text(FeatureExtractor(found).sources).count("sha256") == 2  # before any weights are loaded
    with pytest.raises(WeightsError, match="weights of some_network with SHA-256 2") as caught:
        Provenance("2" * 64).check_is("1" * 64, "some_network")
    assert caught.value.expected == f"SHA-256 {'1' * 64}, as the recipe says"
    Provenance("2" * 64).check_is("", "some_network")


def test_for_a_person(recipe):
    lines = recipe.read_text(encoding="utf-8").splitlines()
    assert 'words = "thin \\"cracks\\", Fe₃O₄"' in lines
    assert "blocks = [1, 2]" in lines
    assert 'encoder = "test_vit"' in lines
    assert "percentiles = [1.0, 99.0]" in lines
    assert lines.index("[tws]") < lines.index("[vit]")
    with pytest.raises(OutputError, match="exists"):
        write_recipe("tws", recipe)
    assert read_recipe(write_recipe("tws", recipe, overwrite=True)) == FeatureSettings((TwsSettings(),))


def test_what_is_left_out_has_its_default(tmp_path):
    (tmp_path / "a.toml").write_text("fijibridge_recipe = 1\n[vit]\nblocks = [6]\n", encoding="utf-8")
    assert read_recipe(tmp_path / "a.toml") == FeatureSettings((VitSettings(blocks=(6,)),))


def test_options_override(recipe):
    name = str(recipe)
    assert chosen_features(features=name).sources == (TwsSettings(("Mean",)), TINY)
    given = {
        "blocks": ("2", (2,)), "coarse_blocks": ("3", (3,)), "enlargement": (2.0, 2.0), "upsampler": ("guided",) * 2,
        "channels": (8, 8), "tile": (224, 224), "encoder": ("test_vit2",) * 2,
    }  # fmt: skip
    for option, (asked, found) in given.items():
        changed = chosen_features(features=name, **{option: asked}).source("vit")
        assert changed == replace(TINY, **{option: found}), option
    mean = chosen_features(features=name, debiasing="mean").source("vit")
    assert (mean.debiasing, mean.tile) == ("mean", 784)
    assert chosen_features(features=name, sigma="2:4").source("tws").max_sigma == 4
    with pytest.raises(SettingsError, match="preset best and the recipe"):
        chosen_features("best", features=name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "fijibridge_recipe = None"),
        ("fijibridge_recipe = 2\n[tws]\n", "fijibridge_recipe = 2"),
        ("fijibridge_recipe = 1\n", "no features"),
        ("fijibridge_recipe = 1\nwords = 3\n[tws]\n", "words that are no text"),
        ("fijibridge_recipe = 1\n[vti]\n", "with vti"),
        ("fijibridge_recipe = 1\n[network]\n", "with network"),
        ("fijibridge_recipe = 1\nvit = 3\n", r"\[vit\]: 3"),
        ("fijibridge_recipe = 1\n[vit]\nblock = [6]\n", r"\[vit\]: block"),
        ("fijibridge_recipe = 1\n[vit]\nupsampler_weights = 'a.pth'\n", r"\[vit\]: upsampler_weights"),
        ("fijibridge_recipe = 1\n[vit]\nblocks = '6'\n", "blocks = '6'"),
        ("fijibridge_recipe = 1\n[vit]\nblocks = [6, 3]\n", "blocks"),
        ("fijibridge_recipe = 1\n[vit]\nenlargement = 99\n", "enlargement = 99"),
        ("fijibridge_recipe = 1\n[vit]\ndebiasing = 'magic'\n", "magic"),
        ("fijibridge_recipe = 1\n[tws]\nfilters = ['Gauss']\n", "Gauss"),
        ("fijibridge_recipe = 1\n[tws]\ncolour = 1\n", "colour = 1"),
        ("fijibridge_recipe = 1\n[vit.weights]\nsha256 = 'abc'\n", "sha256 = 'abc'"),
        ("fijibridge_recipe = 1\n[vit.weights]\nfile = '/etc/passwd'\n", "'file'"),
        ("fijibridge_recipe = 1\n[vit\n", "not valid TOML"),
    ],
)
def test_what_is_no_recipe(text, told, tmp_path):
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=told) as error:
        PixelSegmenter(tmp_path / "a.toml")
    assert error.value.expected
    assert error.value.remedy


def test_no_file(tmp_path):
    with pytest.raises(BridgeError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(OutputError, match="does not end"):
        write_recipe("tws", tmp_path / "recipe.json")


def test_a_classifiers_recipe_and_its_weights(weights, tmp_path):
    """Written with the classifier; makes the same features with the same weights, and refuses others."""
    image, labels, _ = demo_image(96)
    own = (TwsSettings(("Mean",)), replace(TINY, weights=str(weights)))
    segmenter = PixelSegmenter(own, head="none", n_trees=8, n_threads=1).fit(image, labels)
    folder = segmenter.save(tmp_path / "saved")
    settings = read_recipe(folder / "recipe.toml")
    sha256 = segmenter.extractor_.sources[1].provenance.sha256
    assert settings.source("vit").weights_sha256 == sha256
    assert f"file {weights.name}" in (folder / "recipe.toml").read_text(encoding="utf-8")
    for source in (segmenter, load_segmenter(folder), segmenter.extractor_):
        assert read_recipe(write_recipe(source, tmp_path / "again.toml", overwrite=True)) == settings
    again = chosen_features(features=str(folder / "recipe.toml"), weights=weights)
    made = FeatureExtractor(again).transform(image)
    np.testing.assert_array_equal(np.asarray(made), np.asarray(FeatureExtractor(own).transform(image)))
    assert sha256 in recipe_text(FeatureExtractor(settings).sources)
    other = create_encoder("test_vit").state_dict()
    other["cls_token"] += 1
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="SHA-256") as error:
        FeatureExtractor(
            chosen_features(features=str(folder / "recipe.toml"), weights=tmp_path / "other.safetensors")
        ).transform(image)
    assert sha256 in error.value.expected
    changed = chosen_features(features=str(folder / "recipe.toml"), encoder="test_vit2")
    assert changed.source("vit").weights_sha256 == ""


def test_upsamplers_weights_are_a_file_of_their_own(tmp_path):
    with pytest.raises(SettingsError, match="upsampler's own weights"):
        write_recipe(preset_settings(upsampler="learned", upsampler_weights="mine.safetensors"), tmp_path / "a.toml")


def test_public_names():
    assert fb.write_recipe is write_recipe
    assert fb.read_recipe is read_recipe
