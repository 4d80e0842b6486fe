"""PixelSegmenter: from strokes to a segmented image by either engine; no classifier on features of another kind."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from fijibridge.core.errors import FeatureMismatchError, LabelsError, SettingsError
from fijibridge.features.extract import FeatureExtractor, extract_features
from fijibridge.features.settings import FeatureSettings
from fijibridge.features.stack import FeatureStack
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.vit.settings import VitSettings
from fijibridge.images.image import Image, PixelSize
from fijibridge.labels.labels import Labels
from fijibridge.segmentation import PixelSegmenter
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

TINY = VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(), upsampler="bilinear")
ENGINES = ["sklearn", "weka"]


@pytest.fixture(params=ENGINES)
def engine(request):
    if request.param == "weka":
        request.getfixturevalue("java")
    return request.param


@pytest.fixture(scope="module")
def demo():
    return demo_image(160)


@pytest.fixture(scope="module")
def arrays():
    """Features made elsewhere: a stack of 4 channels that separate 2 classes, labels and truth."""
    rng = np.random.default_rng(0)
    truth = np.ones((40, 50), np.uint8)
    truth[:, 25:] = 2
    features = rng.normal(size=(40, 50, 4)).astype(np.float32)
    features[..., 0] += 6 * truth
    labels = np.zeros_like(truth)
    labels[5:9, 3:45] = truth[5:9, 3:45]
    return FeatureStack.from_array(features, "abcd"), labels, truth


def small(features="tws", **options) -> PixelSegmenter:
    return PixelSegmenter(features, **{"n_trees": 15, "n_threads": 2, **options})


def mean_iou(found: np.ndarray, truth: np.ndarray) -> float:
    pairs = [(found == k, truth == k) for k in (1, 2, 3)]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))


@pytest.mark.parametrize("kinds", ["tws", "tws,vit", "vit"])
@pytest.mark.slow
def test_from_strokes_to_a_segmented_image(engine, kinds, demo, tiny_vit):
    image, labels, truth = demo
    known = {"tws": TwsSettings(), "vit": replace(TINY, weights=str(tiny_vit))}
    segmenter = small([known[kind] for kind in kinds.split(",")], engine=engine)
    assert "not trained" in repr(segmenter)
    assert segmenter.fit(image, labels) is segmenter
    assert segmenter.class_names_ == CLASS_NAMES
    assert segmenter.class_colors_.shape == (3, 3)
    assert segmenter.pixel_size_ == image.pixel_size
    assert 0.5 < segmenter.oob_accuracy_ <= 1
    assert segmenter.held_out_accuracy_ is None if kinds == "tws" else 0.3 < segmenter.held_out_accuracy_ <= 1
    assert segmenter.extractor_.differences(segmenter.extract(image).extractor) == []
    assert bool(segmenter.extractor_.head_) == ("vit" in kinds)
    proba = segmenter.predict_proba(image)
    assert (proba.shape, proba.dtype) == ((160, 160, 3), np.float32)
    np.testing.assert_allclose(proba.sum(axis=2), 1, atol=1e-6)
    found = segmenter.predict(image)
    assert (found.shape, found.dtype) == ((160, 160), np.uint8)
    np.testing.assert_array_equal(found, proba.argmax(axis=2) + 1)
    if "tws" in kinds:
        assert mean_iou(found, truth) > 0.5
    else:  # random weights know little, but the labelled pixels were learnt
        strokes = labels.data > 0
        assert (found[strokes] == labels.data[strokes]).mean() > 0.9


def test_the_jvm_predicts_the_same(engine, demo, weka):
    image, labels, _ = demo
    segmenter = small(engine=engine).fit(image, labels)
    stack = segmenter.extract(image)
    samples = stack.block(slice(0, 160, 1), slice(40, 80)).reshape(-1, 76)
    ours = segmenter.forest_.predict_proba(samples)
    theirs = weka.predict_weka(segmenter.forest_, samples)
    assert np.abs(ours - theirs).max() <= 1e-7
    best = np.sort(theirs, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-12  # where two classes are equal the last bit of a sum decides
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(ours.argmax(axis=1)[clear], theirs.argmax(axis=1)[clear])


def test_the_seed_decides(engine, arrays):
    stack, labels, _ = arrays
    proba = [small(engine=engine, seed=seed).fit(stack, labels).predict_proba(stack) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(proba[0], proba[1])
    assert not np.array_equal(proba[0], proba[2])


def test_features_from_elsewhere(engine, arrays):
    stack, labels, truth = arrays
    segmenter = small(engine=engine).fit(stack, labels)
    assert segmenter.extractor_ is None
    assert segmenter.forest_.feature_names == tuple("abcd")
    assert (segmenter.predict(stack) == truth).mean() > 0.98
    array = np.asarray(stack)
    with pytest.raises(FeatureMismatchError, match=r"missing: d"):
        segmenter.predict(FeatureStack.from_array(array[..., :3], "abc"))
    with pytest.raises(FeatureMismatchError, match="another order"):
        segmenter.predict(FeatureStack.from_array(array, "badc"))
    # not the default features, whose weights would be fetched first
    with pytest.raises(FeatureMismatchError, match="came from elsewhere"):
        segmenter.predict(array[..., 0])


def test_several_images():
    images, labels, truths = zip(*(demo_image(128, seed) for seed in (1, 2)), strict=True)
    segmenter = small().fit(list(images), list(labels))
    assert segmenter.forest_.settings["n_samples"] <= sum((one.data > 0).sum() for one in labels)
    alone = small().fit(images[0], labels[0])
    both, one = (mean_iou(s.predict(images[1]), truths[1]) for s in (segmenter, alone))
    assert both > one  # the second image's own labels help on it
    # arrays have no names of their own, so those of the other image stand
    mixed = small(n_trees=3).fit(list(images), [labels[0].data, labels[1]])
    assert mixed.class_names_ == CLASS_NAMES
    renamed = Labels(labels[1].data, ("CAM", "ISE", "pore"))
    with pytest.raises(LabelsError, match="class 1 is 'ISE' in one label image and 'CAM' in another"):
        segmenter.fit(list(images), [labels[0], renamed])
    with pytest.raises(LabelsError, match="2 images and 1 label images"):
        segmenter.fit(list(images), labels[0])
    with pytest.raises(LabelsError, match="0 images"):
        segmenter.fit([], [])


def test_stacks_of_different_settings_do_not_mix(tiny_vit, demo):
    image, labels, _ = demo
    settings = replace(TINY, weights=str(tiny_vit))
    one, other = (extract_features(image, replace(settings, tile=tile)) for tile in (280, 112))
    segmenter = small(settings)
    with pytest.raises(FeatureMismatchError, match="tile: 280 against 112"):
        segmenter.fit([one, other], [labels, labels])
    segmenter.fit(one, labels)
    np.testing.assert_array_equal(segmenter.predict(one), segmenter.predict(image))
    with pytest.raises(FeatureMismatchError, match=r"tile: 280 against 112 \(classifier against features\)"):
        segmenter.predict(other)
    about = one.extractor.to_json()
    about["sources"][0]["provenance"]["sha256"] = "0" * 64
    foreign = FeatureStack(one.shape[:2], one.parts, FeatureExtractor.restored(about, one.extractor.arrays()))
    with pytest.raises(FeatureMismatchError, match=r"weights: [0-9a-f]{12} against 000000000000 "):
        segmenter.predict(foreign)
    # trained anew on other features, it makes those for an image too
    segmenter.fit(other, labels)
    np.testing.assert_array_equal(segmenter.predict(other), segmenter.predict(image))


def test_features_in_any_form(demo, tiny_vit):
    """Settings, or another segmenter's extractor: the same features, the encoder loaded once."""
    image, labels, _ = demo
    settings = FeatureSettings((TwsSettings(), replace(TINY, weights=str(tiny_vit))))
    first = small(settings).fit(image, labels)
    others = [small(settings.sources), small(FeatureExtractor(settings)), small(first.extractor_.without_head())]
    for segmenter in others:
        assert segmenter.fit(image, labels).forest_.equals(first.forest_)
    assert others[-1].extractor_.sources[1].encoder is first.extractor_.sources[1].encoder
    by_name, by_settings = (small(features).fit(image, labels) for features in ("tws", TwsSettings()))
    assert by_name.forest_.equals(by_settings.forest_)
    with pytest.raises(SettingsError, match="features 'garbor'"):
        small("garbor")


def test_segmenters_that_share_sources_have_heads_of_their_own(demo, tiny_vit):
    image, labels, _ = demo
    first = small([TwsSettings(), replace(TINY, weights=str(tiny_vit))]).fit(image, labels)
    before = first.predict_proba(image)
    second = small(first.extractor_.without_head(), head="none").fit(image, labels)
    assert second.extractor_.head_ is None
    assert second.head_importances_ is None
    assert len(second.forest_.feature_names) == 76 + 64
    assert first.extractor_.head_ is not None
    np.testing.assert_array_equal(first.predict_proba(image), before)


def test_labels_of_another_size_or_too_few(engine, demo):
    image, labels, _ = demo
    with pytest.raises(LabelsError, match=r"\(159, 160\) for an image of \(160, 160\)"):
        small(engine=engine).fit(image, labels.data[1:])
    one_class = np.where(labels.data == 1, 1, 0)
    for few in (one_class, np.zeros_like(one_class)):
        with pytest.raises(LabelsError, match="at least two classes"):
            small(engine=engine).fit(image, few)


def test_the_data_bar_is_class_0(demo, caplog):
    image, labels, _ = demo
    data = image.data.copy()
    data[140:] = 65535
    with_bar = Image(data, "bar", PixelSize(5, 5, "nm"), databar_rows=20)
    assert labels.data[140:].any()
    with caplog.at_level(logging.WARNING, "fijibridge"):
        segmenter = small().fit(with_bar, labels)
    assert "data bar" in caplog.text
    assert segmenter.pixel_size_ == PixelSize(5, 5, "nm")
    found = segmenter.predict(with_bar)
    assert found.shape == (160, 160)
    assert not found[140:].any()
    assert found[:140].all()
    assert not segmenter.predict_proba(with_bar)[140:].any()
    cropped = small().fit(Image(data[:140], "field"), labels.data[:140])
    np.testing.assert_array_equal(found[:140], cropped.predict(data[:140]))
    # the image of the last training counts
    assert segmenter.fit(image, labels).pixel_size_ == image.pixel_size


def test_small_blocks_give_the_same(demo, monkeypatch):
    image, labels, _ = demo
    segmenter = small().fit(image, labels)
    at_once = segmenter.predict_proba(image)
    monkeypatch.setattr(FeatureStack.blocks, "__defaults__", (76 * 4 * 5000,))
    assert len(list(segmenter.extract(image).blocks())) > 4
    np.testing.assert_array_equal(segmenter.predict_proba(image), at_once)


def test_what_is_not_trained_does_not_predict(demo, tmp_path):
    segmenter = small()
    for use in (segmenter.predict, segmenter.predict_proba, segmenter.save):
        with pytest.raises(SettingsError, match="call fit"):
            use(tmp_path / "x" if use == segmenter.save else demo[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [{"engine": "xgboost"}, {"n_trees": 0}, {"n_trees": 2.5}, {"max_depth": -1}, {"seed": -1}, {"n_threads": -1},
     {"max_features": "all"}, {"max_features": 0}, {"max_features": "0"}, {"head": "cubic"}],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        PixelSegmenter(**wrong)


def test_settings_reach_the_forest(engine, arrays):
    stack, labels, _ = arrays
    segmenter = small(engine=engine, n_trees=4, max_depth=1, max_features="3", class_colors=["#010203", (4, 5, 6)])
    segmenter.fit(stack, labels)
    assert segmenter.forest_.n_trees == 4
    assert segmenter.forest_.depth().max() == 1
    assert segmenter.forest_.settings["max_features"] == 3
    assert segmenter.class_colors_.tolist() == [[1, 2, 3], [4, 5, 6]]
