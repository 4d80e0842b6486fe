"""Samples without images train beside labelled images, or alone."""

from __future__ import annotations

import numpy as np
import pytest

from fijibridge.core.errors import BridgeError
from fijibridge.features.extract import FeatureExtractor
from fijibridge.forest import LabelledSamples
from fijibridge.images.image import image_from_array
from fijibridge.segmentation import PixelSegmenter


@pytest.fixture(scope="module")
def scene():
    """An image of two halves, sparse labels with a class missing, and the samples of the other class."""
    rng = np.random.default_rng(0)
    grey = rng.normal(80, 9, (40, 40))
    grey[:, 20:] += 70
    image = image_from_array(grey.astype(np.uint8))
    stack = FeatureExtractor("tws").transform(image)
    labels = np.zeros((40, 40), np.uint8)
    labels[3:9, 3:9] = 1
    mask = np.zeros((40, 40), bool)
    mask[25:30, 30:36] = True
    samples = LabelledSamples(stack.at(mask), np.ones(mask.sum(), np.int64), stack.names, ("dark", "bright"))
    return image, labels, samples, stack


def _segmenter(**how) -> PixelSegmenter:
    return PixelSegmenter("tws", head="none", n_trees=8, n_threads=1, **how)


def test_images_and_samples_together(scene):
    image, labels, samples, _ = scene
    segmenter = _segmenter().fit(image, labels, samples=samples)
    assert segmenter.class_names_ == ("dark", "bright")
    found = segmenter.predict(image)
    assert (found[:, :15] == 1).all()
    assert (found[:, 25:] == 2).all()
    # the same forest as of all samples without an image
    every = segmenter.gather(image, labels, samples=samples).labelled()
    assert every.counts == {"dark": 36, "bright": 30}
    alone = _segmenter().fit([], [], samples=every)
    assert alone.forest_.sha256() == segmenter.forest_.sha256()
    np.testing.assert_array_equal(alone.predict(image), found)
    assert alone.pixel_size_ is None
    assert alone.grey_range_ is None


def test_no_image_is_kept_that_is_not_needed(scene):
    image, labels, samples, _ = scene
    assert _segmenter().gather(image, labels, samples=samples).stacks == []


def test_what_does_not_fit(scene):
    image, labels, samples, _ = scene
    three = labels.copy()
    three[20, 20], three[30, 30] = 2, 3
    short = LabelledSamples(samples.X[:, :5], samples.y, samples.feature_names[:5], samples.class_names)
    for given, told in [
        (([image], [], samples), "1 images and 0 label"),
        (([], [], None), "0 images"),
        (([], [], samples), "labels for 1 class"),
        ((image, three, samples), "labels of 3 classes"),
        ((image, labels, short), "76 features where the classifier has 5"),
    ]:
        with pytest.raises(BridgeError, match=told):
            _segmenter().fit(*given[:2], samples=given[2])
    with pytest.raises(BridgeError, match="linear head"):
        PixelSegmenter("tws").fit(image, labels, samples=samples)


def test_balanced_classes_are_drawn_alike_by_both_engines(scene, java):
    image, labels, samples, _ = scene
    more = labels.copy()
    more[10:39, 1:14] = 1
    for engine in ("sklearn", "weka"):
        segmenter = _segmenter(engine=engine, balance=True).fit(image, more, samples=samples)
        rows = segmenter.oob_confusion_.sum(axis=1)
        assert abs(int(rows[0]) - int(rows[1])) < 0.1 * rows.sum(), engine


def test_of_images_that_are_labelled_everywhere_a_part_is_drawn():
    """For a linear head; of each class, each image's share; strokes are taken whole."""
    from fijibridge.features.stack import FeatureStack
    from fijibridge.segmentation import training_samples

    rng = np.random.default_rng(1)
    names = ("vit_b01_c000",)
    stacks = [FeatureStack.from_array(rng.random((60, 80, 1)), names) for _ in range(2)]
    for stack in stacks:
        stack.groups = ("vit_b01",)  # as of a ViT
    dense = np.ones((60, 80), np.uint8)
    dense[:, 60:] = 2
    dense[0, :20] = 3
    sparse = np.where(rng.random((60, 80)) < 0.02, dense, 0)
    sparse[0, 0] = 3

    def gathered(labels, **how):
        return training_samples.gathered(
            stacks, labels, extract=lambda image, base: image, base=None, linear_head=True, statistics=False, **how
        )

    every = gathered([dense, sparse])
    drawn = gathered([dense, sparse], most=2000, seed=5)
    assert len(every.y) == 4800 + (sparse > 0).sum()
    kept = len(drawn.X[0]) / 4800, len(drawn.X[1]) / (sparse > 0).sum()
    assert 0.35 < kept[0] < 0.45
    assert 0.35 < kept[1] <= 1  # rare classes are kept
    assert np.bincount(drawn.y[: len(drawn.X[0])]).tolist()[2] == 20
    assert len(drawn.y) == len(drawn.strokes) == sum(map(len, drawn.X))
    again = gathered([dense, sparse], most=2000, seed=5)
    np.testing.assert_array_equal(again.X[0], drawn.X[0])
    whole = gathered([sparse, sparse], most=2000)
    np.testing.assert_array_equal(np.concatenate(whole.X), np.concatenate(gathered([sparse, sparse]).X))
