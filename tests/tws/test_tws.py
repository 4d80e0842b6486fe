"""A user's own Fiji, and TWS sessions in it. What needs a real Fiji with TWS runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import fijibridge as fb
from fijibridge.core.errors import BridgeError, FeatureMismatchError, JavaError, LabelsError, SettingsError
from fijibridge.features import (
    FeatureExtractor,
    FeatureSettings,
    FeatureStack,
    TwsSettings,
    VitSettings,
    preset_settings,
)
from fijibridge.images.image import Image
from fijibridge.jvm import lifecycle, start
from fijibridge.jvm.fiji import java_of_fiji, start_fiji
from fijibridge.synthesis.demo import demo_image
from fijibridge.tws.inputs import (
    CHANNELS,
    boxes,
    extracted_stacks,
    extractor_for,
    feature_stacks,
    grey_planes,
    label_planes,
)

needs_tws = pytest.mark.skipif(
    "FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set"
)
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


@settings(deadline=None)  # the first example imports what is needed
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


# --- what a session extracts itself ----------------------------------------------------------------------------------


def test_names_get_few_components():
    extractor = extractor_for("default")
    assert [source.kind for source in extractor.sources] == ["tws", "vit"]
    assert extractor.settings.source("vit") == preset_settings("default", channels=CHANNELS)
    assert extractor.n_features() == 76 + 2 * CHANNELS
    assert extractor_for("vit").settings.source("vit").channels == CHANNELS
    assert extractor_for("tws").settings == FeatureSettings((TwsSettings(),))
    with pytest.raises(SettingsError, match="'twss'"):
        extractor_for("twss")


def test_settings_are_taken_as_they_are():
    settings = preset_settings("fast", channels=5)
    for choice in (settings, [settings], FeatureSettings((settings,))):
        assert extractor_for(choice).settings == FeatureSettings((settings,))
    extractor = FeatureExtractor("tws")
    assert extractor_for(extractor) is extractor
    array = np.zeros((5, 6, 3), np.float32)
    for there in (array, FeatureStack.from_array(array), [FeatureStack.from_array(array)], []):
        assert extractor_for(there) is None


def test_slices_share_what_the_first_one_taught(tiny_vit):
    settings = VitSettings("test_vit", blocks=(2,), coarse_blocks=(), channels=4, weights=str(tiny_vit))
    slices = np.stack([demo_image(96, seed)[0].data for seed in range(2)])
    first, second = extracted_stacks(slices, FeatureExtractor(settings))
    assert first.extractor.arrays().keys() == second.extractor.arrays().keys() == {"vit.basis_b"}
    alone = fb.extract_features(slices[1], first.extractor)
    np.testing.assert_array_equal(second.block(), alone.block())
    (only,) = extracted_stacks(slices[0], FeatureExtractor(settings))
    np.testing.assert_array_equal(only.block(), first.block())


# --- a real TWS ------------------------------------------------------------------------------------------------------

_FIJI = """
import warnings
warnings.simplefilter("default")  # pyimagej's own are not ours
import os
import fijibridge as fb
fiji = fb.start(fiji=os.environ["FIJIBRIDGE_TEST_FIJI"], heap="2g")
"""

# TWS's jars in a JVM that somebody else started
_JARS = """
import os
import jpype
import fijibridge as fb
from fijibridge.jvm import jars
patcher = [str(jar) for jar in jars() if "javassist" in jar.name or "patcher" in jar.name]
options = ["-Xmx2g", "-Djava.awt.headless=true", "--add-opens=java.base/java.lang=ALL-UNNAMED"]
jpype.startJVM(*options, classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep) + patcher)
fiji = fb.start()
"""

_START = """
import numpy as np
from fijibridge.synthesis.demo import demo_image
image, labels, truth = demo_image(120)
segmenter = fb.PixelSegmenter("tws", engine="sklearn", head="none", n_trees=20)
features = segmenter.extract(image)
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
    other = segmenter.extract(demo_image(120, seed=4)[0])
    assert (session.predict(other) == segmenter.predict(other)).all()
    session.load("tws.model")
    assert (session.predict() == result).all()
    turned = fb.FeatureStack.from_array(features.block()[..., ::-1], features.names[::-1])
    assert (session.predict(turned) == result).all()
    try:
        session.predict(np.zeros((9, 9, 3), np.float32))
    except fb.BridgeError as error:
        assert "session.extractor" in str(error)
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
stacks = [segmenter.extract(one[0]) for one in images]
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
try:  # before features are made
    fiji.trainable_segmentation(np.zeros((3, 4000, 4000), np.uint8), "tws")
except fb.BridgeError as error:
    assert "76 features of 3 x 4000 x 4000 pixels take 13916 MiB" in str(error), error
else:
    raise AssertionError
print("done")
"""


# names that TWS does not know, in either order; of its own families, but with other sigmas than it would make
_NAMES = """
values = image.data[..., None] * np.linspace(0.5, 1, 6) + np.random.default_rng(0).normal(size=(120, 120, 6))
for names in (
    ["z_original", "z_Gaussian_blur_1_0", "linear_ISE", "linear_CAM", "linear_pore", "det_SE_Sobel_filter_0_0"],
    [f"vit_pca_{k:03d}" for k in range(6)],
    ["original", "Gaussian_blur_2.0", "Membrane_projections_0_19_1", "z_original", "linear_ISE", "vit_b03_c000"],
    ["Mean_of.all", "Gabor_x", "Kuwahara", "Membrane_projections", "Structure", "Neighbors_"],  # that TWS cannot read
):
    stack = fb.FeatureStack.from_array(values, names)
    turned = fb.FeatureStack.from_array(values[..., ::-1], names[::-1])
    segmenter.fit(stack, labels)
    expected = segmenter.predict(stack)
    for is_3d in (False, True):
        for given in (stack, turned):
            with fiji.trainable_segmentation(image, given, is_3d=is_3d) as session:
                assert (session.use(segmenter.forest_).predict() == expected).all(), names
                assert session.class_names == labels.class_names
            with fiji.trainable_segmentation(image, given, labels, is_3d=is_3d, n_trees=10) as session:
                session.train().save("names.model")
                trained = session.predict()
                assert (session.use(segmenter.forest_).predict() == expected).all(), names
                assert (session.load("names.model").predict() == trained).all(), names
                assert (session.train().predict() == truth).mean() > 0.7
print("done")
"""

_TOY = """
from dataclasses import dataclass
from typing import ClassVar
from fijibridge.features.source import SOURCES, FeatureSource, SourceSettings
from fijibridge.features.stack import ArrayFeatures

@dataclass(frozen=True)
class ToySettings(SourceSettings):
    kind: ClassVar[str] = "toy"
    power: int = 2

class ToySource(FeatureSource[ToySettings]):
    settings_class = ToySettings
    mean_ = 0.0

    def fit(self, images):
        self.mean_ = float(images[0].image.grey.mean())

    def transform(self, images):
        grey = images[0].image.grey[images[0].image.field].astype(np.float32) - self.mean_
        planes = np.stack([grey, grey**self.settings.power], axis=-1)
        return [ArrayFeatures(planes, ("toy_grey", "toy_power"))]

SOURCES.add("toy", ToySource)
with fiji.trainable_segmentation(image, "toy,tws", labels, n_trees=30) as session:
    result = session.train().predict()
    assert (result == truth).mean() > 0.8
    forest = session.forest()
    assert forest.feature_names[:2] == ("toy_grey", "toy_power") and forest.n_features == 78
    other = fb.extract_features(demo_image(120, seed=4)[0], session.extractor)
    values = np.asarray(other).reshape(-1, 78)
    assert (session.predict(other).ravel() == forest.predict_proba(values).argmax(-1) + 1).all()
with fiji.trainable_segmentation(image, ToySettings(power=3)) as session:
    segmenter = fb.PixelSegmenter(ToySettings(power=3), engine="sklearn", head="none", n_trees=20).fit(image, labels)
    assert (session.use(segmenter.forest_).predict() == segmenter.predict(image)).all()
    assert session.extractor.settings == segmenter.extractor_.settings
print("done")
"""

_DEFAULT = """
slices = [demo_image(96, seed) for seed in range(2)]
sparse = [slices[0][1].data, np.zeros((96, 96), np.uint8)]
with fiji.trainable_segmentation([one[0] for one in slices], labels=sparse, n_trees=30) as session:
    result = session.train().predict()
    assert (result == np.stack([one[2] for one in slices])).mean() > 0.75
    assert session.extractor.settings.source("vit") == fb.preset_settings("default", channels=32)
    assert session.forest().n_features == 76 + 64
segmenter = fb.PixelSegmenter(n_trees=20).fit(slices[0][0], slices[0][1])  # with a linear head
features = segmenter.extract(slices[0][0])
with fiji.trainable_segmentation(slices[0][0], segmenter.extractor_) as session:
    assert (session.use(segmenter.forest_).predict() == segmenter.predict(features)).all()
print("done")
"""

# The labels of a saved classifier by `apply`, and in TWS: in 2D, of a stack of slices, in 3D
_SAVED = """
import tifffile
from fijibridge.operations.apply import apply
views = [{name: demo_image(96, seed, detector=name)[0].data for name in ("BSE", "SE")} for seed in range(2)]
for name in ("BSE", "SE"):
    tifffile.imwrite(f"{name}.tif", np.stack([view[name] for view in views]))

def in_tws(case, *, detectors=(), weights=None, **options):
    slices = [fb.join_detectors(view) if detectors else demo_image(96, seed)[0] for seed, view in enumerate(views)]
    labels, folder = demo_image(96)[1], f"{case}.classifier"
    fb.PixelSegmenter(n_trees=20, n_threads=2, **options).fit(slices[0], labels).save(folder)
    others = ",".join(f"{name}={name}.tif" for name in detectors)
    apply(folder, ["BSE.tif"], out=f"{case}.applied", detectors=others, weights=weights, statistics="slice")
    expected = tifffile.imread(f"{case}.applied/BSE_labels.tif")
    loaded, model = fb.load_segmenter(folder, weights=weights), f"{case}.model"
    extractor = loaded.extractor_
    assert expected.shape == (2, 96, 96) and len(np.unique(expected)) == 3
    for image, wanted, is_3d in ((slices[0], expected[0], False), (slices, expected, False), (slices, expected, True)):
        with fiji.trainable_segmentation(image, extractor, is_3d=is_3d) as session:
            assert (session.load(folder).predict() == wanted).all(), (case, is_3d)
            assert (session.predict_proba().argmax(-1) + 1 == wanted).all(), (case, is_3d)
            assert session.class_names == labels.class_names
            session.save(model)
            assert (session.predict([extractor.transform(slices[1])])[0] == expected[1]).all(), (case, is_3d)
        with fiji.trainable_segmentation(image, extractor, is_3d=is_3d) as session:
            assert (session.use(loaded.forest_).predict() == wanted).all(), (case, is_3d)
            assert (session.load(model).predict() == wanted).all(), (case, is_3d)
            assert session.segmentation.saveClassifier(os.path.abspath(model))
            assert (session.load(model).predict() == wanted).all(), (case, is_3d)
            # TWS itself refuses in 3D what has features of its 2D alone, such as Sobel's
            names = session.forest().feature_names
            opened = session.segmentation.loadClassifier(os.path.abspath(model))
            assert opened == (not is_3d or "Sobel_filter_0.0" not in names), (case, is_3d)
        given = labels if image is slices[0] else [labels, labels.data * 0]
        with fiji.trainable_segmentation(image, extractor, given, is_3d=is_3d, n_trees=10) as session:
            result = session.train().predict()
            relation = str(session.segmentation.getTrainHeader().relationName())
            assert relation.startswith("TWS-3D" if is_3d else "TWS-2D"), relation
            assert session.segmentation.saveClassifier(os.path.abspath(model))
            assert (session.load(folder).predict() == wanted).all(), (case, is_3d)
            assert (session.load(model).predict() == result).all(), (case, is_3d)
"""

_KINDS = """
weights = os.environ["TINY_VIT"]
vit = fb.VitSettings("test_vit", blocks=(2, 3), coarse_blocks=(3,), weights=weights)
reduced = fb.VitSettings("test_vit", blocks=(2, 3), coarse_blocks=(), channels=4, weights=weights)
both = (fb.TwsSettings(), vit)
in_tws("head", features=both, weights=weights)
in_tws("head of a ViT", features=vit, weights=weights)
in_tws("ViT", features=vit, head="none", weights=weights)
in_tws("components", features=(fb.TwsSettings(), reduced), head="none", weights=weights)
in_tws("detectors", features=both, detectors=["SE"], weights=weights)
image = demo_image(96)[0]
with fiji.trainable_segmentation(image, [fb.TwsSettings(), reduced]) as session:
    other = fb.PixelSegmenter([fb.TwsSettings(), reduced], head="none", n_trees=5).fit(*demo_image(96, seed=5)[:2])
    other.save("other")  # the same names, other components
    for folder in ("other", "head.classifier"):
        try:
            session.load(folder)
        except fb.BridgeError as error:
            assert "features=fijibridge.load_segmenter(FOLDER).extractor_" in str(error), error
        else:
            raise AssertionError(folder)
    session.load("components.classifier")
    try:
        session.predict(other.extract(image))
    except fb.BridgeError as error:
        assert "extract_features(image, session.extractor)" in str(error), error
    else:
        raise AssertionError
print("done")
"""

_PRESETS = """
in_tws("default")
in_tws("two detectors", detectors=["SE"])
print("done")
"""


@pytest.mark.tws
@pytest.mark.slow
@pytest.mark.parametrize("start", [
    pytest.param(_FIJI, marks=needs_fiji, id="fiji"),
    pytest.param(_JARS, marks=needs_tws, id="jars"),
])  # fmt: skip
class TestSession:
    @pytest.mark.parametrize("code", [_SESSION, _STACK, _NAMES, _TOY], ids=["image", "stack", "names", "toy"])
    def test_features(self, run_python, monkeypatch, tmp_path, start, code):
        _run(run_python, monkeypatch, tmp_path, start + _START + code)

    def test_saved_classifiers(self, run_python, monkeypatch, tmp_path, start, tiny_vit):
        monkeypatch.setenv("TINY_VIT", str(tiny_vit))
        _run(run_python, monkeypatch, tmp_path, start + _START + _SAVED + _KINDS, quiet=False)

    @pytest.mark.weights
    def test_saved_classifiers_of_the_default(self, run_python, monkeypatch, tmp_path, start):
        _run(run_python, monkeypatch, tmp_path, start + _START + _SAVED + _PRESETS, quiet=False)

    @pytest.mark.weights
    def test_the_default(self, run_python, monkeypatch, tmp_path, start):
        _run(run_python, monkeypatch, tmp_path, start + _START + _DEFAULT)


def _run(run_python, monkeypatch, tmp_path, code, *, quiet=True):
    monkeypatch.chdir(tmp_path)
    done = run_python(code, timeout=600)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert (printed if quiet else printed[-1:]) == ["done"]  # TWS's log stays off standard output


@pytest.mark.tws
@needs_fiji
@pytest.mark.weights
@pytest.mark.slow
def test_the_example(tmp_path):
    script = Path(__file__).resolve().parents[2] / "examples" / "tws_session.py"
    command = [sys.executable, str(script), os.environ["FIJIBRIDGE_TEST_FIJI"]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("True")
    assert (tmp_path / "phases.model").is_file()
