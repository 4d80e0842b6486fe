"""Statistics of images: the image's own change nothing, others make a field of a slice equal to the whole's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features import FeatureExtractor, TwsSettings, VitSettings
from fijibridge.features.image_statistics import ImageStatistics
from fijibridge.features.vit.along_z import TokensAlongZ
from fijibridge.features.vit.encoder import token_cache
from fijibridge.images.detectors import join_detectors
from fijibridge.synthesis.demo import demo_image

VIT = VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(4,), tile=112)


@pytest.fixture(scope="module")
def images():
    return [demo_image(96, seed)[0] for seed in (0, 1, 2)]


@pytest.fixture(scope="module", params=["template", "distilled", "none"])
def extractor(request, tiny_vit):
    return FeatureExtractor((TwsSettings(), replace(VIT, weights=str(tiny_vit), debiasing=request.param)))


def test_those_of_one_image_change_nothing(extractor, images):
    own = extractor.statistics(images[:1])
    before = extractor.transform(images[0])
    token_cache.clear()
    with_own = extractor.transform(images[0], own)
    if extractor.sources[1].settings.debiasing == "distilled":  # whose mean is known by the result alone
        np.testing.assert_allclose(np.asarray(with_own), np.asarray(before), atol=1e-3)
    else:
        np.testing.assert_array_equal(np.asarray(with_own), np.asarray(before))
    assert with_own.statistics is own
    assert before.statistics is None


def test_what_they_hold(extractor, images):
    found = extractor.statistics(images)
    assert found.images == 3
    assert found.mean.shape == found.spread.shape == (76 + 128,)
    assert found.greys.shape == (1, 1001)
    low, high = found.of_source("vit")["0.limits"]
    every = np.concatenate([image.grey.ravel() for image in images])
    np.testing.assert_allclose([low, high], np.percentile(every, (0.5, 99.5)), rtol=0.03)
    strengths = [name for name in found.of_sources if name.endswith(".strengths")]
    assert len(strengths) == (0 if extractor.sources[1].settings.debiasing == "none" else 2)
    assert ("vit.0.b.mean" in found.of_sources) == (extractor.sources[1].settings.debiasing == "distilled")
    parts = [extractor.transform(image, found) for image in images]
    own = np.concatenate([np.asarray(part)[..., 0].ravel() for part in parts]).astype(np.float64)
    np.testing.assert_allclose([found.mean[0], found.spread[0]], [own.mean(), own.std()], rtol=0.03)


def test_they_are_the_same_for_every_slice(extractor, images):
    """Brighter by half and with their statistics: other tokens than by its own."""
    found = extractor.statistics(images)
    brighter = replace(images[1], data=(images[1].data * 0.5).astype(np.uint16))
    own, theirs = (extractor.transform(brighter, used).tokens() for used in (None, found))
    assert not np.allclose(own, theirs, atol=1e-3)
    again = extractor.transform(brighter, found).tokens()
    np.testing.assert_array_equal(again, theirs)


def test_round_trip(extractor, images):
    found = extractor.statistics(images[:2])
    again = ImageStatistics.restored(found.arrays(), found.features_digest)
    assert again == found
    assert hash(again) == hash(found)
    assert found != extractor.statistics(images[1:])
    np.testing.assert_array_equal(
        np.asarray(extractor.transform(images[2], again)), np.asarray(extractor.transform(images[2], found))
    )


def test_a_generator_and_nothing_are_refused(extractor, images):
    with pytest.raises(SettingsError, match="no images"):
        extractor.statistics([])
    with pytest.raises(SettingsError, match="no images"):
        extractor.statistics(image for image in images)


def test_those_of_other_features_are_refused(extractor, images):
    other = FeatureExtractor("tws").statistics(images[:1])
    with pytest.raises(FeatureMismatchError, match="statistics of 0 features"):
        extractor.transform(images[0], other)


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": np.zeros(3)},
        {"spread": np.zeros(76 + 128)},
        {"greys": np.zeros((1, 7))},
        {"images": np.array([0])},
        {"mean": np.full(76 + 128, np.nan)},
        {"shading": np.zeros((2, 12))},
        {"mean": None},
    ],
    ids=str,
)
def test_damaged_ones_are_refused(extractor, images, changes):
    found = extractor.statistics(images[:1])
    arrays = {name: array for name, array in {**found.arrays(), **changes}.items() if array is not None}
    with pytest.raises(SettingsError, match="no statistics of images"):
        ImageStatistics.restored(arrays, found.features_digest)


def test_several_detectors_each_have_their_own(tiny_vit):
    bse, se = demo_image(96)[0], demo_image(96, detector="SE")[0]
    joined = [join_detectors({"BSE": bse, "SE": se}), join_detectors({"BSE": bse, "SE": se})]
    extractor = FeatureExtractor((TwsSettings(), replace(VIT, weights=str(tiny_vit))))
    found = extractor.statistics(joined)
    assert found.greys.shape == (2, 1001)
    limits = found.of_source("vit")
    np.testing.assert_allclose(limits["1.limits"], np.percentile(se.data, (0.5, 99.5)), rtol=0.02)
    np.testing.assert_allclose(limits["0.limits"], np.percentile(bse.data, (0.5, 99.5)), rtol=0.02)
    assert extractor.transform(joined[0], found).shape == (96, 96, 2 * (76 + 128))


def test_tokens_made_before_give_the_same_features(extractor, images):
    found = extractor.statistics(images)
    tokens = extractor.tokens(images[0], found)
    assert sorted(tokens) == ["vit.0.b.tokens", "vit.0.h.tokens"]
    np.testing.assert_array_equal(
        np.asarray(extractor.transform(images[0], found, tokens)), np.asarray(extractor.transform(images[0], found))
    )
    other = {name: array + 1 for name, array in tokens.items()}
    assert not np.array_equal(extractor.transform(images[0], found, other).tokens(), tokens["vit.0.b.tokens"])
    with pytest.raises(FeatureMismatchError, match="tokens"):
        extractor.transform(images[0].data[:70], found, tokens)
    with pytest.raises(FeatureMismatchError, match="tokens h"):
        extractor.transform(images[0], found, {"vit.0.b.tokens": tokens["vit.0.b.tokens"]})


def test_every_other_slices_tokens_make_features_of_all(extractor, images):
    along = TokensAlongZ(lambda z: extractor.tokens(images[z]), 3, 2, least_correlation=-1)
    between = extractor.transform(images[1], None, along.tokens(1))
    mean = (extractor.tokens(images[0])["vit.0.b.tokens"] + extractor.tokens(images[2])["vit.0.b.tokens"]) / 2
    np.testing.assert_allclose(between.tokens(), mean, atol=1e-5)
