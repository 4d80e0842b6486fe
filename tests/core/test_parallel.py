"""Compiled code: kept in the user's cache alone, found there by the next process, and nobody else's business."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from pathlib import Path

import pytest

import fijibridge
from fijibridge.core.parallel import Workers, compiled, thread_count

PACKAGE = Path(fijibridge.__file__).parent

_PREDICT = """
import gc, json, sys
import numpy as np
import numba
from fijibridge.forest import Forest

forest = Forest([0, -1, -1], [0.5, 0, 0], [1, -1, -1], [2, -1, -1], [[0.0, 0], [1, 0], [0, 1]],
                [0.5, 0, 0], [0], 1, ['x'], ['a', 'b'])
assert forest.predict_proba(np.array([[0.0], [1.0]], np.float32)).tolist() == [[1, 0], [0, 1]]
from fijibridge.forest.kernel import _predict_rows
stats = _predict_rows.stats

@numba.njit(cache=True)
def other(x):
    return x + 1

print(json.dumps({
    "path": stats.cache_path, "hits": sum(stats.cache_hits.values()), "misses": sum(stats.cache_misses.values()),
    "setting": numba.config.CACHE_DIR, "other": other.stats.cache_path,
}))
"""


@pytest.fixture
def predict(run_python, tmp_path):
    """Predict in a fresh process; what numba says of it."""

    def run(**environment: str) -> dict:
        places = {"NUMBA_CACHE_DIR": "", "FIJIBRIDGE_CACHE": str(tmp_path / "cache")}
        done = run_python(_PREDICT, **{**places, **environment})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
def test_the_second_process_compiles_nothing(predict, tmp_path):
    first, second = predict(), predict()
    assert (first["hits"], first["misses"]) == (0, 1)
    assert (second["hits"], second["misses"]) == (1, 0)
    folder = tmp_path / "cache" / "numba"
    assert Path(first["path"]).is_relative_to(folder)
    version = next(folder.iterdir()).name
    assert version.startswith(f"{fijibridge.__version__}-numba")
    assert f"python{sys.version_info.major}.{sys.version_info.minor}" in version


@pytest.mark.slow
def test_other_code_keeps_its_own_place(predict, tmp_path):
    found = predict()
    assert found["setting"] == ""
    assert Path(found["other"]) == tmp_path / "__pycache__"


@pytest.mark.slow
def test_the_user_s_own_setting_wins(predict, tmp_path):
    found = predict(NUMBA_CACHE_DIR=str(tmp_path / "mine"))
    assert Path(found["path"]).is_relative_to(tmp_path / "mine")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_no_folder_can_be_written(predict, tmp_path):
    (tmp_path / "cache").touch()
    found = predict()
    assert (found["path"], found["hits"]) == (None, 0)


def test_all_compiled_functions_use_the_one_decorator():
    """numba's own would write beside the source, into an installed package."""
    wrong = [
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if file != PACKAGE / "core" / "parallel.py"
        and re.search(r"\bn?jit\b|\bvectorize\b|\bstencil\b", file.read_text(encoding="utf-8"))
        and re.search(r"^(import|from) numba", file.read_text(encoding="utf-8"), re.M)
    ]
    assert wrong == []


def test_where_the_disk_is_full_code_is_compiled_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)

    def twice(number):
        return 2 * number

    assert compiled(twice)(21) == 42


def test_importing_the_helpers_loads_no_numba(run_python):
    done = run_python("import sys, fijibridge.core.parallel; print('numba' in sys.modules)")
    assert done.stdout.split() == ["False"], done.stderr


def test_workers_share_slices():
    seen = []

    def kernel(scale: int, low: int, high: int) -> int:
        seen.append((low, high))
        return scale * (high - low)

    with Workers(3) as workers:
        assert workers(kernel, 2, slices=(4, 34), size=10**6) == 60
        assert sorted(seen) == [(4, 14), (14, 24), (24, 34)]
        assert workers(kernel, 2, slices=(0, 5), size=10) == 10
    assert thread_count(0) == (os.cpu_count() or 1)
