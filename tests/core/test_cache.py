"""Arrays in the user's cache: there or not, never a reason to fail."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from fijibridge.core.cache import cache_folder, cache_key, load_cached_arrays, save_cached_arrays


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))


def test_arrays_come_back_as_they_were():
    key = cache_key("encoder", (3, 6), 1.5)
    assert key == cache_key("encoder", (3, 6), 1.5) != cache_key("encoder", (3, 6), 1.25)
    assert load_cached_arrays(key, "positions") is None
    arrays = {"plain": np.arange(6, dtype=np.float32).reshape(2, 3), "turned": np.arange(6).reshape(2, 3).T}
    save_cached_arrays(key, arrays, "positions")
    found = load_cached_arrays(key, "positions")
    assert found is not None
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_a_damaged_file_counts_as_none():
    save_cached_arrays("key", {"a": np.ones(3)}, "positions")
    (file,) = cache_folder().rglob("key.safetensors")
    file.write_bytes(file.read_bytes()[:20])
    assert load_cached_arrays("key", "positions") is None


def test_numbers_that_were_changed_count_as_none(caplog):
    save_cached_arrays("key", {"a": np.ones(3), "b": np.zeros((2, 2), np.float32)}, "positions")
    (file,) = cache_folder().rglob("key.safetensors")
    good = file.read_bytes()
    for place in range(len(good) - 40, len(good)):  # the numbers, all of them
        bad = bytearray(good)
        bad[place] ^= 1
        file.write_bytes(bad)
        assert load_cached_arrays("key", "positions") is None
    assert "not as it was stored" in caplog.text
    save_file({"a": np.ones(3)}, file)  # without a digest, as an older version wrote it
    assert load_cached_arrays("key", "positions") is None
    file.write_bytes(good)
    assert load_cached_arrays("key", "positions") is not None


def test_a_cache_that_cannot_be_written_is_logged(caplog):
    cache_folder().write_text("a file where the folder would be")
    with caplog.at_level(logging.INFO, "fijibridge"):  # the command line, run in another test, sets it
        save_cached_arrays("key", {"a": np.ones(3)}, "positions")
    assert "cannot be written, so it will be computed again" in caplog.text


def test_the_cache_itself_needs_no_numpy(run_python):
    done = run_python("import sys, fijibridge.core.cache; print('numpy' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_what_was_used_least_recently_makes_room(tmp_path, monkeypatch):
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path))
    array = {"a": np.zeros(1000, np.float32)}
    for number, name in enumerate("xyz"):
        save_cached_arrays(name, array, "tokens")
        os.utime(tmp_path / "tokens" / f"{name}.safetensors", (number, number))
    assert load_cached_arrays("x", "tokens") is not None  # used now
    save_cached_arrays("w", array, "tokens", most_bytes=10_000)
    assert sorted(path.stem for path in (tmp_path / "tokens").iterdir()) == ["w", "x"]
