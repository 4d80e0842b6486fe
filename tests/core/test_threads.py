"""Threads are limited for a while, and are afterwards what they were."""

from __future__ import annotations

import numba
import pytest
import torch
from shell import write_sample
from threadpoolctl import threadpool_info

from fijibridge.core.threads import limited_threads
from fijibridge.operations.segment import segment


def _counts() -> dict[str, int]:
    pools = {str(pool["filepath"]): int(pool["num_threads"]) for pool in threadpool_info()}
    return {"torch": torch.get_num_threads(), "numba": numba.get_num_threads(), **pools}


@pytest.fixture
def several():
    """More threads than one, whatever the machine."""
    before = torch.get_num_threads()
    numba.get_num_threads()  # its first use starts its threads, which resets the OpenMP pool that it shares with torch
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("several")
def test_all_are_limited_and_restored():
    before = _counts()
    with limited_threads(1):
        assert set(_counts().values()) == {1}
        with limited_threads(2):
            assert torch.get_num_threads() == 2
        assert set(_counts().values()) == {1}
    assert _counts() == before
    with pytest.raises(RuntimeError, match="in between"), limited_threads(1):
        raise RuntimeError("in between")
    assert _counts() == before


@pytest.mark.usefixtures("several")
def test_nothing_changes_by_default():
    before = _counts()
    with limited_threads(0):
        assert _counts() == before
    assert _counts() == before


@pytest.mark.usefixtures("several")
def test_more_threads_than_numba_has():
    with limited_threads(1000):
        assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("several")
def test_an_operation_on_one_thread_leaves_the_others(tiny_vit, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    write_sample(tmp_path, 96)
    before = _counts()
    segment(
        tmp_path / "image.tif",
        labels=tmp_path / "labels.tif",
        out=tmp_path / "out",
        encoder="test_vit",
        weights=tiny_vit,
        enlargement=1.0,
        trees=4,
        threads=1,
    )
    assert before.items() <= _counts().items()  # libraries that were loaded meanwhile have pools of their own
