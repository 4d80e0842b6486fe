"""What resembles none of the labels: far from them, said where it is sure, kept with the classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

import fijibridge as fb
from fijibridge.core.errors import FeatureMismatchError, ModelFileError, SettingsError
from fijibridge.features.stack import ArrayFeatures, FeatureStack
from fijibridge.operations.apply import apply
from fijibridge.operations.segment import segment
from fijibridge.segmentation import load_segmenter
from fijibridge.segmentation.classifier_file import UNLIKENESS
from fijibridge.segmentation.unlikeness import (
    Unlikeness,
    _ClassMoments,
    _left_out,
    fit_unlikeness,
    regions_unlike,
)

SIZE, CHANNELS = 90, 20


def stack_of(looks: np.ndarray, noise: float = 1.0, groups: bool = True) -> FeatureStack:
    """Channels around a mean for each value of `looks`, and one plain feature."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(looks.max() + 1, CHANNELS)) * 3
    values = (means[looks] + rng.normal(size=(*looks.shape, CHANNELS)) * noise).astype(np.float32)
    grouped = ArrayFeatures(values, [f"vit_b01_{k:02d}" for k in range(CHANNELS)])
    grouped.groups = ("vit_b01" if groups else "",) * CHANNELS
    return FeatureStack(looks.shape, [ArrayFeatures(values[..., :1] * 100, ["original"]), grouped])


def learned(stack: FeatureStack, strokes: list[tuple[int, int, int]], length: int = 12) -> Unlikeness | None:
    """Of strokes (class, row, column), each a line along a row."""
    labels, numbers = np.zeros(stack.shape[:2], int), np.zeros(stack.shape[:2], int)
    for number, (k, y, x) in enumerate(strokes):
        labels[y, x : x + length], numbers[y, x : x + length] = k + 1, number
    mask = labels > 0
    return fit_unlikeness([stack], [stack.at(mask)], labels[mask] - 1, numbers[mask], 0)


@pytest.fixture(scope="module")
def looks():
    """Three upright bands: two that are labelled, one that is not."""
    return np.repeat(np.arange(3), SIZE // 3)[None].repeat(SIZE, 0)


MANY = [(k, y, 30 * k + 5) for k in range(2) for y in range(5, 85, 8)]


def test_far_from_all_labels(looks):
    stack = stack_of(looks)
    found = learned(stack, MANY)
    assert found.sure
    score = found.of(stack)
    assert score.shape == looks.shape
    assert score.dtype == np.float32
    assert (score[looks < 2] < 0.5).mean() > 0.9
    assert score[looks == 2].min() > 0.6
    np.testing.assert_allclose(found.of(stack, slice(20, 50), slice(10, 80)), score[20:50, 10:80], atol=1e-6)
    where = regions_unlike(score, 12)
    assert abs(where["pixels"] / score.size - 1 / 3) < 0.05
    assert where["left"] > 50
    assert (where["top"], where["height"]) == (0, SIZE)


def test_nothing_is_said_of_what_was_labelled(looks):
    stack = stack_of(looks)
    found = learned(stack, [*MANY, *[(2, y, 65) for y in range(5, 85, 8)]])
    assert regions_unlike(found.of(stack), 12) is None


def test_few_labels(looks):
    """One stroke a class, and a class of two pixels: a score, but no words."""
    stack = stack_of(looks)
    one = learned(stack, [(0, 9, 5), (1, 9, 35)])
    assert (one.strokes, one.sure) == (0, False)
    two_pixels = learned(stack, [*MANY, (2, 40, 70)], length=2)
    for found in (one, two_pixels):
        assert np.isfinite(found.of(stack)).all()
    assert two_pixels.of(stack)[looks == 2].mean() < one.of(stack)[looks == 2].mean()


def test_features_without_groups_or_differences(looks):
    assert learned(stack_of(looks, groups=False), MANY) is None
    assert learned(stack_of(np.zeros_like(looks), noise=0.0), MANY) is None


def test_of_other_features(looks):
    found = learned(stack_of(looks), MANY)
    with pytest.raises(FeatureMismatchError, match="train anew"):
        found.of(FeatureStack.from_array(np.zeros((9, 9, 2))))
    again = Unlikeness.restored(found.arrays(), found.features_digest)
    np.testing.assert_array_equal(again.of(stack_of(looks)), found.of(stack_of(looks)))
    for name in found.arrays():
        with pytest.raises(SettingsError, match="resembles no label"):
            Unlikeness.restored({**found.arrays(), name: np.full((2, 2), np.nan)}, "")


@pytest.fixture(scope="module")
def files(tiny_vit, tmp_path_factory):
    """An image of three textures, labels of two of them, and what trains on these."""
    folder = tmp_path_factory.mktemp("unlike")
    rows, columns = np.mgrid[:96, :96]
    grey = np.select([columns < 32, columns < 64], [50 * (rows % 4 < 2), 200 - 20 * (columns % 8)], 90).astype(np.uint8)
    labels = np.zeros(grey.shape, np.uint8)
    for row in range(5, 95, 10):
        labels[row, 8:24], labels[row, 40:56] = 1, 2
    tifffile.imwrite(folder / "image.tif", grey)
    tifffile.imwrite(folder / "labels.tif", labels)
    how = {"encoder": "test_vit", "blocks": "2", "coarse_blocks": "none", "upsampler": "bilinear", "trees": 4}
    return folder, {**how, "weights": tiny_vit, "threads": 1, "probabilities": False}


def test_kept_with_the_classifier(files, tmp_path):
    folder, how = files
    image = folder / "image.tif"
    report = segment(image, labels=folder / "labels.tif", out=tmp_path / "out", uncertainty=True, **how)
    assert "unlikeness.tif" in report["outputs"]
    assert "resembles_no_label" in report
    shown = tifffile.imread(tmp_path / "out" / "unlikeness.tif")
    saved = tmp_path / "out" / "classifier"
    one = load_segmenter(saved, weights=how["weights"], n_threads=1)
    np.testing.assert_allclose(one.unlikeness(fb.read_image(image)), shown, atol=1e-5)
    more = {"weights": how["weights"], "threads": 1, "probabilities": False}
    apply(saved, [image], out=tmp_path / "again", uncertainty=True, roi="10,20,64,48", **more)
    part = tifffile.imread(tmp_path / "again" / "image_unlikeness.tif")
    np.testing.assert_allclose(part, shown[20:68, 10:74], atol=1e-5)

    index = json.loads((saved / "classifier.json").read_text())
    (saved / "classifier.json").write_text(json.dumps({k: v for k, v in index.items() if k != "unlikeness"}))
    assert load_segmenter(saved, weights=how["weights"]).unlikeness_ is None  # of a version that did not keep it
    report = apply(saved, [image], out=tmp_path / "old", uncertainty=True, **more)
    assert report["outputs"] == ["image_labels.tif", "image_overlay.png", "image_uncertainty.tif"]

    (saved / "classifier.json").write_text(json.dumps(index))
    (saved / UNLIKENESS).unlink()
    with pytest.raises(ModelFileError, match=UNLIKENESS):
        load_segmenter(saved)


def test_suggestions_of_few_labels(files, tmp_path):
    """A class of two pixels, in an image most of which it does not have."""
    folder, how = files
    labels = tifffile.imread(folder / "labels.tif")
    labels[labels == 2] = 0
    labels[40, 44:46] = 2
    tifffile.imwrite(tmp_path / "two.tif", labels)
    report = segment(folder / "image.tif", labels=tmp_path / "two.tif", out=tmp_path / "out", suggest=4, **how)
    worth = [place["worth"] for place in report["label_next"]]
    assert worth == sorted(worth, reverse=True)
    assert len(worth) <= 4  # none where nothing is unsure
    assert (tmp_path / "out" / "label_next.zip").is_file()


def test_typical_looks(looks):
    """Half of the image looks alike, and no other tenth does so."""
    rng = np.random.default_rng(1)
    varied = np.where(looks == 0, 0, rng.integers(1, 9, (SIZE // 6, SIZE // 6)).repeat(6, 0).repeat(6, 1))
    stack = stack_of(varied, noise=0.3)
    found = learned(stack, [(0, 9, 5), (1, 40, 40), (0, 50, 5), (1, 70, 50)])
    typical = found.typicality(stack, side=12)
    assert typical.shape == looks.shape
    assert typical[:, :25].mean() > 1.2 * typical[:, 35:].mean()
    part = found.typicality(stack, slice(0, 30), slice(0, 20), side=12)
    assert part.shape == (30, 20)
    assert np.isfinite(part).all()


def test_a_stroke_left_out_is_as_if_it_had_never_been_drawn():
    """Against Gaussians of the other strokes' pixels alone, by numpy's own covariance."""
    rng, variance = np.random.default_rng(3), 9.0
    y, strokes = np.repeat([0, 0, 0, 2, 2, 3], 30), np.repeat(np.arange(6), 30)
    points = rng.normal(size=(len(y), 4)) * [3, 1, 0.1, 1e-3] + rng.normal(size=(4, 4))[y]
    found = _left_out(points, y, strokes, _ClassMoments(points, y, variance))
    assert len(found) == 5  # class 3 has one stroke alone
    for stroke, distances in enumerate(found):
        kept = strokes != stroke
        means = {k: points[kept & (y == k)].mean(0) for k in (0, 2, 3)}
        apart = points[kept] - np.array([means[k] for k in y[kept]])
        common = np.linalg.inv(apart.T @ apart / kept.sum() + 1e-3 * variance / 4 * np.eye(4))
        to = [points[~kept] - mean for mean in means.values()]
        expected = np.sqrt(np.min([np.einsum("ni,ij,nj->n", own, common, own) for own in to], axis=0))
        np.testing.assert_allclose(distances, expected, rtol=1e-8)
