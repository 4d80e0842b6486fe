"""Fuzzing saved classifiers: any change gives probabilities or a message, never a traceback or NaN."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest
from fuzz_records import changed, damaged, fuzz, short
from hypothesis import given
from hypothesis import strategies as st

import fijibridge as fb
from fijibridge.core.errors import BridgeError, ModelFileError

IMAGE = np.random.default_rng(0).integers(0, 255, (24, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    labels = np.zeros(IMAGE.shape, np.uint8)
    labels[3:8, 3:8], labels[12:20, 12:20] = 1, 2
    segmenter = fb.PixelSegmenter("tws", n_trees=2, head="none", n_threads=1).fit(IMAGE, labels)
    return segmenter.save(tmp_path_factory.mktemp("c") / "classifier")


def segment(folder):
    try:
        found = fb.load_segmenter(folder, n_threads=1).predict_proba(IMAGE)
    except BridgeError as error:
        short(error)
        return
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "c")
    return tmp_path / "c"


@fuzz(80)
@given(data=st.data())
def test_fuzz_records(saved, copy, data):
    record = json.loads((saved / "classifier.json").read_text())
    record["feature_names"] = record["feature_names"][:3]  # so that the other values are met often, too
    (copy / "classifier.json").write_text(data.draw(changed(record)), encoding="utf-8", errors="surrogatepass")
    segment(copy)


@fuzz(40)
@given(data=st.data(), name=st.sampled_from(["classifier.json", "forest.safetensors"]))
def test_fuzz_bytes(saved, copy, data, name):
    for file in ("classifier.json", "forest.safetensors"):
        shutil.copy(saved / file, copy / file)
    (copy / name).write_bytes(data.draw(damaged((saved / name).read_bytes())))
    segment(copy)


@pytest.mark.parametrize("name", ["a\nshow=x", "a\tb", "x" * 121, "\u202e"])
def test_a_class_that_would_break_out_is_refused(copy, name):
    import dataclasses

    from fijibridge.forest import Forest

    forest = dataclasses.replace(Forest.load(copy / "forest.safetensors"), class_names=(name, "b"))
    forest.save(copy / "forest.safetensors")
    record = json.loads((copy / "classifier.json").read_text())
    record |= {"class_names": [name, "b"], "forest_sha256": forest.sha256()}
    (copy / "classifier.json").write_text(json.dumps(record))
    with pytest.raises(ModelFileError, match="the class name"):
        fb.load_segmenter(copy)


@pytest.mark.parametrize("suffix", [".model", ".model.gz"])
def test_a_model_that_would_fill_the_memory_is_refused_before_java_reads_it(saved, tmp_path, suffix):
    start = (saved / "classifier.model").read_bytes()
    start = gzip.decompress(start) if start[:2] == b"\x1f\x8b" else start
    path = tmp_path / f"bomb{suffix}"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(64):
            file.write(bytes(2**20))
    with pytest.raises(ModelFileError, match="unpacks to more than"):
        fb.load_segmenter(path)
