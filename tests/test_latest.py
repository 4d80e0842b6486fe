"""More labels on the image seen last: the ViT does not look again, and few of very many labels train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fijibridge as fb
from fijibridge.features.latest import LatestTokens
from fijibridge.features.vit import ViTEncoder, latest_tokens
from fijibridge.segmentation.self_training import LEAST_OF_CLASS, MOST_LABELLED, chosen_labelled
from fijibridge.synthesis.demo import demo_image


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    """Numbers of tiles that the ViT was given."""
    seen, run = [], ViTEncoder._run
    latest_tokens.clear()

    def counted(self, pixels, batch, blocks):
        seen.append(len(batch))
        return run(self, pixels, batch, blocks)

    monkeypatch.setattr(ViTEncoder, "_run", counted)
    return seen


def test_the_same_image_is_seen_once(tiny_vit, runs):
    image, labels, _ = demo_image(112)
    recipe = fb.FeatureRecipe(encoder="test_vit", blocks=(2,), coarse_blocks=(), enlargement=1.0)
    first = fb.PixelSegmenter(recipe=recipe, n_trees=5, checkpoint=tiny_vit).fit(image, labels).predict(image)
    passes = len(runs)
    assert passes
    again = (
        fb.PixelSegmenter(recipe=recipe, n_trees=5, checkpoint=tiny_vit)
        .fit(replace(image, data=image.data.copy()), labels)
        .predict(image)
    )
    assert np.array_equal(again, first)
    assert len(runs) == passes
    other = replace(image, data=np.ascontiguousarray(image.data[::-1]))
    stack = fb.extract_features(other, recipe, checkpoint=tiny_vit)
    assert len(runs) > passes
    assert not np.array_equal(stack.tokens(), fb.extract_features(image, recipe, checkpoint=tiny_vit).tokens())


def test_what_changes_the_tokens_is_told_apart(tiny_vit, runs):
    image, _, _ = demo_image(112)
    ways = (
        {},
        {"blocks": (4,)},
        {"enlargement": 1.5},
        {"position": "keep"},
        {"tile": 140},
        {"percentiles": (2.0, 98.0)},
    )
    for change in ways:
        before = len(runs)
        recipe = fb.FeatureRecipe(
            **{"encoder": "test_vit", "blocks": (2,), "coarse_blocks": (), "enlargement": 1.0} | change
        )
        fb.extract_features(image, recipe, checkpoint=tiny_vit)
        assert len(runs) > before, change
    before = len(runs)
    fb.extract_features(image, fb.FeatureRecipe(**vars(recipe) | {"channels": 3}), checkpoint=tiny_vit)
    assert len(runs) == before  # components are made of the same tokens


def test_the_oldest_go_and_the_large_are_not_kept():
    made = []

    def array(name: str, size: int = 100):
        made.append(name)
        return np.zeros(size, np.float32)

    latest = LatestTokens(most_bytes=900)
    for name in ("a", "b", "a", "c", "b"):  # two have room; b was the least recently used when c came
        latest.get(name, lambda name=name: array(name))
    assert made == ["a", "b", "c", "b"]
    latest.get("large", lambda: array("large", 1000))
    latest.get("large", lambda: array("large", 1000))
    assert made[-2:] == ["large", "large"]
    with pytest.raises(ValueError, match="read-only"):
        latest.get("b", lambda: array("b"))[0] = 1
    latest.clear()
    latest.get("b", lambda: array("b"))
    assert made[-1] == "b"


def test_of_very_many_labelled_pixels_some_train():
    assert np.array_equal(chosen_labelled(np.zeros(50, int), 0), np.arange(50))
    y = np.repeat([0, 1, 2], [40 * MOST_LABELLED, 20 * MOST_LABELLED, 40])
    kept = chosen_labelled(y, 3)
    counts = np.bincount(y[kept])
    assert counts[2] == 40  # a rare class keeps all it has
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.01)
    assert counts[1] >= LEAST_OF_CLASS
    assert np.array_equal(kept, np.unique(kept))
    assert np.array_equal(kept, chosen_labelled(y, 3))
