"""A further kind of features, upsampler or debiasing method: a class and a line serve all that there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell import write_sample
from toys import HalfTurn, NearestPatch, ToySettings, ToySource

from fijibridge.core.errors import FeatureMismatchError, ModelFileError, SettingsError
from fijibridge.features import FeatureExtractor, TwsSettings, VitSettings, extract_features
from fijibridge.features.extractor_file import read_extractor
from fijibridge.features.source import FEATURES, SOURCES
from fijibridge.features.upsampling.base import UPSAMPLERS
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.images.detectors import join_detectors
from fijibridge.operations.apply import apply
from fijibridge.operations.features import features
from fijibridge.operations.segment import segment
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

NAMES = ("toy_blur", "toy_edge")
QUICK = {"trees": 8, "threads": 1}


@pytest.fixture
def toy() -> Iterator[None]:
    with SOURCES.added("toy", ToySource, "two filters"):
        yield


@pytest.fixture
def methods() -> Iterator[None]:
    with UPSAMPLERS.added("nearest", NearestPatch(), "its patch's"), DEBIASING.added("half turn", HalfTurn(), "mean"):
        yield


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """image.tif and labels.tif."""
    folder = tmp_path_factory.mktemp("sources")
    write_sample(folder, 96)
    return folder


# --- a kind of features ----------------------------------------------------------------------------------------------


def test_a_source_in_a_segmenter(toy, tmp_path):
    image, labels, truth = demo_image(96)
    segmenter = PixelSegmenter("tws,toy", n_trees=8, n_threads=1).fit(image, labels)
    assert segmenter.forest_.feature_names[-2:] == NAMES
    assert segmenter.forest_.n_features == 78
    predicted = segmenter.predict(image)
    assert (predicted == truth).mean() > 0.6
    loaded = load_segmenter(segmenter.save(tmp_path / "saved"))
    assert loaded.extractor_.differences(segmenter.extractor_) == []
    assert loaded.extractor_.sources[1].level_ == image.grey.mean()
    np.testing.assert_array_equal(loaded.predict(image), predicted)
    other = demo_image(96, 5)[0]
    brighter = replace(other, data=other.data // 2)
    np.testing.assert_array_equal(loaded.predict_proba(brighter), segmenter.predict_proba(brighter))
    alone = PixelSegmenter(ToySettings(), n_trees=8, n_threads=1).fit(image, labels)
    assert alone.forest_.feature_names == NAMES


def test_beside_a_vit_it_is_seen_by_the_head(toy, tiny_vit):
    image, labels, _ = demo_image(96)
    vit = VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(), weights=str(tiny_vit))
    segmenter = PixelSegmenter((ToySettings(), vit), n_trees=4, n_threads=1).fit(image, labels)
    assert segmenter.forest_.feature_names == ("z_toy_blur", "z_toy_edge", "linear_ISE", "linear_CAM", "linear_pore")
    assert len(segmenter.extractor_.head_.model.low) == 2


def test_another_setting_is_refused(toy):
    image, labels, _ = demo_image(96)
    segmenter = PixelSegmenter((TwsSettings(), ToySettings()), n_trees=4, n_threads=1).fit(image, labels)
    other = extract_features(image, (TwsSettings(), ToySettings(3.0)))
    with pytest.raises(FeatureMismatchError, match=r"sigma: 2\.0 against 3\.0"):
        segmenter.predict(other)
    with pytest.raises(FeatureMismatchError, match="features: tws,toy against tws"):
        segmenter.predict(extract_features(image, "tws"))
    darker = extract_features(replace(image, data=image.data // 2), (TwsSettings(), ToySettings()))
    with pytest.raises(FeatureMismatchError, match="level: [0-9a-f]{12} against [0-9a-f]{12}"):  # noqa: RUF043
        segmenter.predict(darker)


def test_a_source_of_several_detectors(toy):
    images = {name: demo_image(96, detector=name)[0] for name in ("BSE", "SE")}
    stack = extract_features(join_detectors(images, align=False), "toy")
    assert stack.names == (*NAMES, "det_SE_toy_blur", "det_SE_toy_edge")
    assert stack.extractor.detectors_ == ("SE",)


def test_operations_with_a_source(toy, sample, tmp_path):
    assert FEATURES.choices()["toy"] == "two filters"
    options = {"labels": sample / "labels.tif", "features": "tws,toy", **QUICK}
    report = segment(sample / "image.tif", out=tmp_path / "out", **options)
    about = {one["settings"]["kind"]: one for one in report["features"]["sources"]}
    assert about["toy"]["settings"] == {"kind": "toy", "sigma": 2.0}
    assert list(about["toy"]["learned"]) == ["level"]
    classifier = tmp_path / "out" / "classifier"
    apply(classifier, [sample / "image.tif"], out=tmp_path / "applied", threads=1)
    labels = [tifffile.imread(tmp_path / name) for name in ("out/labels.tif", "applied/image_labels.tif")]
    np.testing.assert_array_equal(*labels)
    alone = features(sample / "image.tif", out=tmp_path / "stack", features="toy", threads=1)
    assert alone["n_features"] == 2
    extractor, names = read_extractor(tmp_path / "stack")
    assert names == NAMES
    assert extractor.sources[0].settings == ToySettings()
    same = features(sample / "image.tif", out=tmp_path / "same", feature_file=classifier, threads=1)
    assert same["n_features"] == 78
    planes = (tifffile.imread(tmp_path / name / "features.tif") for name in ("stack", "same"))
    first, second = (found[-2:] for found in planes)
    np.testing.assert_array_equal(first, second)


def test_without_the_source_its_classifier_is_refused(tmp_path, sample):
    image, labels, _ = demo_image(96)
    with SOURCES.added("toy", ToySource):
        saved = PixelSegmenter("toy", n_trees=3, n_threads=1).fit(image, labels).save(tmp_path / "saved")
    with pytest.raises(ModelFileError, match="feature source 'toy'"):
        load_segmenter(saved)
    with pytest.raises(SettingsError, match="'toy'"):
        segment(sample / "image.tif", labels=sample / "labels.tif", out=tmp_path / "out", features="toy")
    with pytest.raises(SettingsError, match="features 'toy'"):
        FeatureExtractor("toy")


# --- upsamplers and debiasing methods --------------------------------------------------------------------------------


def test_features_of_a_method(methods, tiny_vit):
    image = demo_image(96)[0]
    own = VitSettings(
        encoder="test_vit", blocks=(2,), coarse_blocks=(), upsampler="nearest", debiasing="half turn",
        weights=str(tiny_vit),
    )  # fmt: skip
    stack = extract_features(image, own)
    tokens = stack.tokens()
    np.testing.assert_allclose(tokens.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_array_equal(stack.block(), tokens.repeat(8, axis=0).repeat(8, axis=1))
    mask = np.random.default_rng(0).random((96, 96)) < 0.02
    np.testing.assert_array_equal(stack.at(mask), stack.block()[mask])
    turned = replace(image, data=np.ascontiguousarray(image.data[::-1, ::-1]))
    np.testing.assert_allclose(extract_features(turned, own).tokens()[::-1, ::-1], tokens, atol=1e-3)


@pytest.mark.parametrize(
    ("chosen", "plain"), [({"upsampler": "nearest"}, "guided"), ({"debiasing": "half turn"}, "template")]
)
def test_operations_with_a_method(methods, chosen, plain, tiny_vit, sample, tmp_path):
    options = {"encoder": "test_vit", "blocks": "2,4", "coarse_blocks": "4", "weights": tiny_vit, **QUICK}
    report = segment(sample / "image.tif", labels=sample / "labels.tif", out=tmp_path / "out", **options, **chosen)
    ((name, method),) = chosen.items()
    assert report["features"]["sources"][1]["settings"][name] == method
    segmenter = load_segmenter(tmp_path / "out" / "classifier", weights=tiny_vit)
    image = demo_image(96)[0]
    found = tifffile.imread(tmp_path / "out" / "labels.tif")
    np.testing.assert_array_equal(segmenter.predict(image), found)
    again = load_segmenter(segmenter.save(tmp_path / "saved"), weights=tiny_vit)
    assert again.extractor_.differences(segmenter.extractor_) == []
    apply(
        tmp_path / "saved", [sample / "image.tif"], out=tmp_path / "applied", weights=tiny_vit, threads=1,
        probabilities=False,
    )  # fmt: skip
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "applied" / "image_labels.tif"), found)
    other = replace(segmenter.extractor_.settings.source("vit"), **{name: plain}, weights=str(tiny_vit))
    with pytest.raises(FeatureMismatchError, match=f"{name}: '{method}' against '{plain}'"):
        segmenter.predict(extract_features(image, (TwsSettings(), other)))


# --- in a real TWS ---------------------------------------------------------------------------------------------------

_SESSION = """
import os, sys, warnings
warnings.simplefilter("default")  # pyimagej's own are not ours
sys.path.insert(0, os.environ["FIJIBRIDGE_TESTS"])
import fijibridge as fb
from toys import ToySource
from fijibridge.features.source import SOURCES
from fijibridge.synthesis.demo import demo_image
fiji = fb.start(fiji=os.environ["FIJIBRIDGE_TEST_FIJI"], heap="2g")
image, labels, truth = demo_image(120)
SOURCES.add("toy", ToySource)
segmenter = fb.PixelSegmenter("tws,toy", n_trees=20)
features = segmenter.extract(image)
segmenter.fit(features, labels)
with fiji.trainable_segmentation(image, features, labels, n_trees=30) as session:
    result = session.train().predict()
    assert (result == truth).mean() > 0.8, (result == truth).mean()
    assert session.forest().feature_names[-2:] == ("toy_blur", "toy_edge")
    session.save("toy.model")
    session.use(segmenter.forest_)
    assert (session.predict() == segmenter.predict(features)).all()
    other = segmenter.extract(demo_image(120, seed=4)[0])
    assert (session.predict(other) == segmenter.predict(other)).all()
    session.load("toy.model")
    assert (session.predict() == result).all()
print("done")
"""


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TEST_FIJI" not in os.environ, reason="FIJIBRIDGE_TEST_FIJI is not set")
def test_a_source_in_a_real_fiji(run_python, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = run_python(_SESSION, timeout=300, FIJIBRIDGE_TESTS=str(Path(__file__).parents[1]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"
