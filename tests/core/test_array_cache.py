"""An LRU cache of arrays; more labels on the image seen last: the ViT does not look again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fijibridge as fb
from fijibridge.core.array_cache import ArrayCache, ByArray
from fijibridge.features.tws import source
from fijibridge.features.tws.block import tws_features
from fijibridge.features.vit.encoder import ViTEncoder, token_cache
from fijibridge.synthesis.demo import demo_image

TINY = fb.VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(), enlargement=1.0, upsampler="bilinear")


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    """Numbers of tiles that the ViT was given."""
    seen, run = [], ViTEncoder._run
    token_cache.clear()

    def counted(self, pixels, batch, blocks):
        seen.append(len(batch))
        return run(self, pixels, batch, blocks)

    monkeypatch.setattr(ViTEncoder, "_run", counted)
    return seen


def test_the_same_image_is_seen_once(tiny_vit, runs):
    image, labels, _ = demo_image(112)
    sources = fb.TwsSettings(), replace(TINY, weights=str(tiny_vit))
    first = fb.PixelSegmenter(sources, n_trees=5).fit(image, labels).predict(image)
    passes = len(runs)
    assert passes
    again = fb.PixelSegmenter(sources, n_trees=5).fit(replace(image, data=image.data.copy()), labels).predict(image)
    assert np.array_equal(again, first)
    assert len(runs) == passes
    other = replace(image, data=np.ascontiguousarray(image.data[::-1]))
    stack = fb.extract_features(other, sources)
    assert len(runs) > passes
    assert not np.array_equal(stack.tokens(), fb.extract_features(image, sources).tokens())


def test_what_changes_the_tokens_is_told_apart(tiny_vit, runs):
    image, _, _ = demo_image(112)
    changes = (
        {},
        {"blocks": (4,)},
        {"enlargement": 1.5},
        {"debiasing": "none"},
        {"tile": 140},
        {"percentiles": (2.0, 98.0)},
    )
    for change in changes:
        before = len(runs)
        own = replace(TINY, weights=str(tiny_vit), **change)
        fb.extract_features(image, own)
        assert len(runs) > before, change
    before = len(runs)
    fb.extract_features(image, replace(own, channels=3))
    assert len(runs) == before  # components are made of the same tokens


def test_the_oldest_go_and_the_large_are_not_kept():
    made = []

    def array(name: str, size: int = 100):
        made.append(name)
        return np.zeros(size, np.float32)

    latest = ArrayCache(most_bytes=900)
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


def test_kept_on_the_disk_for_the_next_session(tiny_vit, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path))
    image, _, _ = demo_image(112)
    own = replace(TINY, weights=str(tiny_vit))
    with token_cache.on_disk("tokens"):
        first = fb.extract_features(image, own).tokens()
    token_cache.clear()
    passes = len(runs)
    with token_cache.on_disk("tokens"):
        again = fb.extract_features(image, own).tokens()
    assert len(runs) == passes
    assert np.array_equal(first, again)
    for path in (tmp_path / "tokens").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"\1")  # damaged
    token_cache.clear()
    with token_cache.on_disk("tokens"):
        assert np.array_equal(fb.extract_features(image, own).tokens(), first)
    assert len(runs) > passes
    token_cache.clear()
    stored = set((tmp_path / "tokens").iterdir())
    fb.extract_features(replace(image, data=image.data[::-1].copy()), own)
    assert set((tmp_path / "tokens").iterdir()) == stored  # it is not stored unless asked for


def test_blocks_of_filters_are_kept_where_bytes_are_allowed(monkeypatch):
    calls = []
    monkeypatch.setattr(source, "tws_features", lambda *a, **k: calls.append(a) or tws_features(*a, **k))
    image, _, _ = demo_image(112)
    plain = np.asarray(fb.extract_features(image, "tws"))
    monkeypatch.setattr(source.block_cache, "most_bytes", 2**24)
    for _ in range(2):
        assert np.array_equal(np.asarray(fb.extract_features(image, "tws")), plain)
    assert len(calls) == 2
    source.block_cache.clear()


def test_results_are_kept_by_the_very_array():
    kept, array = ByArray(), np.zeros(3)
    assert kept.get(array, lambda: 1) == kept.get(array, lambda: 2) == 1
    assert kept.get(array.copy(), lambda: 3) == 3
    del array
    assert not kept._found
