"""A user's own Fiji, and TWS sessions in it. What needs a real Fiji with TWS runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import fijibridge as fb
from fijibridge.errors import BridgeError, FeatureMismatchError, JavaError, LabelsError, SettingsError
from fijibridge.features import FeatureStack
from fijibridge.images import Image
from fijibridge.jvm import lifecycle, start
from fijibridge.jvm.fiji import java_of_fiji, start_fiji
from fijibridge.synthesis.demo import demo_image
from fijibridge.tws.inputs import boxes, feature_stacks, grey_planes, label_planes

needs_fiji = pytest.mark.skipif("FIJIBRIDGE_TEST_FIJI" not in os.environ, reason="FIJIBRIDGE_TEST_FIJI is not set")
_posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for java")

# --- starting a Fiji -------------------------------------------------------------------------------------------------


@pytest.fixture
def pyimagej(monkeypatch):
    """As if pyimagej were installed: what is tried here comes before its first use."""
    monkeypatch.setitem(sys.modules, "imagej", object())


def test_without_pyimagej(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagej", None)
    with pytest.raises(JavaError, match=r'pip install "fijibridge\[fiji\]"'):
        start_fiji("sc.fiji:fiji", size=2**28, gui=False)


def test_a_folder_that_is_no_fiji(tmp_path, pyimagej):
    with pytest.raises(JavaError, match="no folder"):
        start_fiji(str(tmp_path / "nowhere"), size=2**28, gui=False)
    with pytest.raises(JavaError, match="lacks a folder jars"):
        start_fiji(str(tmp_path), size=2**28, gui=False)
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "ij-1.54p.jar").touch()
    with pytest.raises(JavaError, match="lacks imagej-2") as caught:
        start_fiji(str(tmp_path), size=2**28, gui=False)
    assert "ij-1" not in caught.value.found


def test_gui_needs_a_fiji(monkeypatch):
    monkeypatch.delenv("FIJIBRIDGE_FIJI", raising=False)
    with pytest.raises(SettingsError, match="gui=True"):
        start(gui=True)


def test_a_fiji_comes_too_late(java, tmp_path, monkeypatch):
    with pytest.raises(JavaError, match="runs the embedded ImageJ"):
        start(fiji=tmp_path)
    monkeypatch.setenv("FIJIBRIDGE_FIJI", str(tmp_path))
    with pytest.raises(JavaError, match="before anything else"):
        start()


def test_the_environments_fiji_may_be_one_that_runs_already(java, tmp_path, monkeypatch):
    monkeypatch.setenv("FIJIBRIDGE_FIJI", str(tmp_path))
    monkeypatch.setattr(lifecycle, "_running", replace(java, attached=True))
    assert start().attached
    with pytest.raises(JavaError, match="somebody else started"):
        start(fiji=tmp_path)
    monkeypatch.setattr(lifecycle, "_running", replace(java, fiji=str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    assert start(fiji=".").fiji == str(tmp_path)
    with pytest.raises(JavaError, match="runs headless"):
        start(gui=True)


@_posix
def test_the_newest_java_in_the_fiji(tmp_path):
    assert java_of_fiji(tmp_path) is None
    for name, version in (("a", "1.8.0_322"), ("b", "21.0.7"), ("c", "11.0.2")):
        script = tmp_path / "java" / "linux64" / name / "bin" / "java"
        script.parent.mkdir(parents=True)
        script.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n", encoding="utf-8")
        script.chmod(0o755)
    assert java_of_fiji(tmp_path).version == "21.0.7"


def test_no_tws_in_the_embedded_default(java):
    image, labels, _ = demo_image(96)
    fiji = fb.start()
    assert fiji.ij is None
    with pytest.raises(JavaError, match=r"no Trainable Weka Segmentation in the embedded ImageJ[\s\S]*start\(fiji="):
        fiji.trainable_segmentation(image, np.zeros((96, 96, 2), np.float32), labels)


# --- what a session takes --------------------------------------------------------------------------------------------


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)))
def test_boxes_cover_every_labelled_pixel_once(labels):
    found = np.zeros((labels.shape[0], labels.shape[1]), int)
    for value, left, top, width, height in boxes(labels):
        assert value > 0
        assert min(width, height) > 0
        found[top : top + height, left : left + width] += value
    np.testing.assert_array_equal(found, labels)


def test_boxes_are_few():
    labels = np.zeros((20, 20), np.uint8)
    labels[3:9, 2:19] = 2
    labels[12:] = 1
    assert sorted(boxes(labels)) == [(1, 0, 12, 20, 8), (2, 2, 3, 17, 6)]


def test_images_become_grey_planes_without_data_bar():
    grey = np.arange(60, dtype=np.uint8).reshape(10, 6)
    planes, is_stack = grey_planes(Image(np.stack([grey] * 3, axis=2), "rgb", databar_rows=2))
    assert (planes.shape, planes.dtype, is_stack) == ((1, 8, 6), np.float32, False)
    planes, is_stack = grey_planes(np.stack([grey, grey]))
    assert (planes.shape, planes.dtype, is_stack) == ((2, 10, 6), np.uint8, True)
    with pytest.raises(SettingsError, match="2 sizes"):
        grey_planes([Image(grey, "a"), Image(grey[1:], "b")])


def test_features_that_do_not_fit():
    array = np.zeros((5, 6, 3), np.float32)
    assert feature_stacks(array, False, (1, 5, 6))[0].shape == (5, 6, 3)
    assert len(feature_stacks(np.stack([array] * 2), True, (2, 5, 6))) == 2
    with pytest.raises(FeatureMismatchError, match=r"1 x \(5, 6\)"):
        feature_stacks(array, False, (1, 6, 6))
    with pytest.raises(FeatureMismatchError, match="different features"):
        feature_stacks([FeatureStack.from_array(array), FeatureStack.from_array(array, "abc")], True, (2, 5, 6))
    with pytest.raises(SettingsError, match="at least 2"):
        feature_stacks(array[..., :1], False, (1, 5, 6))


def test_labels_that_do_not_fit():
    labels = np.zeros((5, 6), np.uint8)
    labels[0, :2] = 1, 2
    data, names = label_planes(labels, (1, 5, 6), False, None)
    assert (data.shape, names) == ((1, 5, 6), ("class 1", "class 2"))
    assert label_planes(labels, (1, 4, 6), False, ["a", "b"], bar_rows=1)[1] == ("a", "b")
    with pytest.raises(LabelsError, match="own size"):
        label_planes(labels, (1, 4, 6), False, None)
    with pytest.raises(LabelsError, match=r"1 label image\(s\) of \(5, 6\) for 2 image"):
        label_planes(fb.Labels(labels, ("a", "b")), (2, 5, 6), True, None)
    with pytest.raises(LabelsError, match=r"\(4, 6\) and \(5, 6\)"):
        label_planes([labels, labels[1:]], (2, 5, 6), True, None)
    with pytest.raises(LabelsError):
        label_planes(np.zeros((5, 6), np.uint8), (1, 5, 6), False, None)
    assert issubclass(LabelsError, BridgeError)


# --- a real Fiji -----------------------------------------------------------------------------------------------------

_START = """
import os
import numpy as np
import fijibridge as fb
from fijibridge.synthesis.demo import demo_image
fiji = fb.start(fiji=os.environ["FIJIBRIDGE_TEST_FIJI"], heap="2g")
image, labels, truth = demo_image(120)
segmenter = fb.PixelSegmenter(engine="sklearn", recipe=fb.FeatureRecipe(encoder="none"), n_trees=20)
features = segmenter.features(image)
segmenter.fit(features, labels)
"""

_SESSION = """
with fiji.trainable_segmentation(image, features, labels, n_trees=30) as session:
    result = session.train().predict()
    maps = session.predict_proba()
    assert result.shape == (120, 120) and result.dtype == np.uint8 and maps.shape == (120, 120, 3)
    assert session.class_names == labels.class_names
    assert (result == truth).mean() > 0.8, (result == truth).mean()
    assert (maps.argmax(-1) + 1 == result).all()
    ours = session.forest().predict_proba(np.asarray(features).reshape(-1, 76)).reshape(maps.shape)
    assert np.abs(ours - maps).max() < 1e-6
    session.save("tws.model")
    session.use(segmenter.forest_)
    assert (session.predict() == segmenter.predict(features)).all()
    other = segmenter.features(demo_image(120, seed=4)[0])
    assert (session.predict(other) == segmenter.predict(other)).all()
    session.load("tws.model")
    assert (session.predict() == result).all()
    turned = fb.FeatureStack.from_array(features.block()[..., ::-1], features.names[::-1])
    assert (session.predict(turned) == result).all()
    try:
        session.predict(np.zeros((9, 9, 3), np.float32))
    except fb.BridgeError as error:
        assert "same recipe" in str(error)
    else:
        raise AssertionError
with fiji.trainable_segmentation(image, turned) as session:
    assert (session.load("tws.model").predict() == result).all()
with fiji.trainable_segmentation(image, features.block()[..., :5]) as session:
    try:
        session.load("tws.model")
    except fb.BridgeError as error:
        assert "76 features, where the session has 5; it lacks 76" in str(error), error
    else:
        raise AssertionError
print("done")
"""

_STACK = """
images = [demo_image(96, seed) for seed in range(3)]
stacks = [segmenter.features(one[0]) for one in images]
sparse = [images[0][1].data, np.zeros((96, 96), np.uint8), np.zeros((96, 96), np.uint8)]
for is_3d in (False, True):
    slices = [one[0] for one in images]
    with fiji.trainable_segmentation(slices, stacks, sparse, is_3d=is_3d, n_trees=30) as session:
        result = session.train().predict()
        maps = session.predict_proba()
        assert result.shape == (3, 96, 96) and maps.shape == (3, 96, 96, 3)
        assert (maps.argmax(-1) + 1 == result).all()
        assert (result == np.stack([one[2] for one in images])).mean() > 0.75
        relation = str(session.segmentation.getTrainHeader().relationName())
        assert relation.startswith("TWS-3D" if is_3d else "TWS-2D"), relation
        try:
            fiji.trainable_segmentation(slices, np.zeros((3, 96, 96, 40_000), np.float32))
        except fb.BridgeError as error:
            assert "of the heap" in str(error)
        else:
            raise AssertionError
print("done")
"""


@pytest.mark.tws
@needs_fiji
@pytest.mark.parametrize("code", [_SESSION, _STACK], ids=["image", "stack"])
def test_a_session_in_a_real_fiji(run_python, monkeypatch, tmp_path, code):
    monkeypatch.chdir(tmp_path)
    text = "import warnings; warnings.simplefilter('default')\n" + _START + code  # pyimagej's own are not ours
    done = run_python(text, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"  # TWS's log stays off standard output


@pytest.mark.tws
@needs_fiji
@pytest.mark.weights
def test_the_example(tmp_path):
    script = Path(__file__).resolve().parents[1] / "examples" / "tws_session.py"
    command = [sys.executable, str(script), os.environ["FIJIBRIDGE_TEST_FIJI"]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("True")
    assert (tmp_path / "phases.model").is_file()
