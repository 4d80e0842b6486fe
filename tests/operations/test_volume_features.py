"""TWS's features of volumes through the operations: the numbers of the whole volume, in slabs, on chosen slices."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

import fijibridge as fb
from fijibridge.core.errors import FeatureMismatchError
from fijibridge.features.tws3d.block import tws3d_features
from fijibridge.features.tws3d.colour import colour_features_3d
from fijibridge.features.tws3d.settings import Tws3dSettings
from fijibridge.forest import read_weka_model
from fijibridge.operations import operation

SETTINGS = Tws3dSettings(("Gaussian_blur", "Hessian", "Mean", "Variance"), 1.0, 2.0)
FEATURES = {"features": "tws3d:Gaussian,tws3d:Hessian,tws3d:Mean,tws3d:Variance", "sigma": "1:2"}
SHAPE = (7, 40, 44)
DEPTH = 2.5


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """volume.tif with slices 2.5 pixels apart, labels.tif on two of them."""
    rng = np.random.default_rng(3)
    solid = gaussian_filter(rng.normal(size=SHAPE), 2) > 0
    data = np.clip(80 + 80 * solid + rng.normal(0, 20, SHAPE), 0, 255).astype(np.uint8)
    labels = np.zeros(SHAPE, np.uint8)
    for plane in (1, 5):
        labels[plane, 4:36:3, 4:40] = solid[plane, 4:36:3, 4:40] + 1
    folder = tmp_path_factory.mktemp("volume")
    about = {"imagej": True, "resolution": (1, 1), "metadata": {"axes": "ZYX", "spacing": DEPTH, "unit": "um"}}
    tifffile.imwrite(folder / "volume.tif", data, **about)
    tifffile.imwrite(folder / "labels.tif", labels, **about)
    return folder, data


@pytest.fixture(scope="module")
def trained(volume, tmp_path_factory) -> Path:
    folder, _ = volume
    out = tmp_path_factory.mktemp("trained") / "out"
    fb.train([folder / "volume.tif"], labels=[folder / "labels.tif"], out=out, trees=8, threads=1, **FEATURES)
    return out / "classifier"


def whole(segmenter: fb.PixelSegmenter, data: np.ndarray) -> np.ndarray:
    features = tws3d_features(data, settings=SETTINGS, voxel_size=(DEPTH, 1, 1))
    return segmenter.forest_.predict(features) + 1


def test_labels_are_those_of_the_whole_volume(volume, trained, tmp_path):
    folder, data = volume
    segmenter = fb.load_segmenter(trained)
    assert segmenter.extractor_.settings.sources == (SETTINGS,)
    expected = whole(segmenter, data)
    fb.segment_volume(trained, folder / "volume.tif", tmp_path / "all.tif", threads=2)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "all.tif"), expected)
    fb.segment_volume(trained, folder / "volume.tif", tmp_path / "some.tif", threads=1, slices="2-3,6")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "some.tif"), expected[[1, 2, 5]])
    fb.segment_volume(
        trained, folder / "volume.tif", tmp_path / "field.tif", threads=1, roi="5,7,20,11", smooth_z=False
    )
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "field.tif"), expected[:, 7:18, 5:25])


def test_segment_is_train_and_apply(volume, trained, tmp_path):
    folder, data = volume
    operation("segment")(
        folder / "volume.tif", labels=folder / "labels.tif", out=tmp_path / "out", trees=8, threads=1, **FEATURES
    )
    expected = whole(fb.load_segmenter(trained), data)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "labels.tif"), expected)


def test_slices_with_a_smooth_z_and_by_two_processes(volume, trained, tmp_path):
    folder, _ = volume
    for name, workers in (("one", 1), ("two", 2)):
        fb.segment_volume(trained, folder / "volume.tif", tmp_path / f"{name}.tif", smooth_z=True, workers=workers)
    one, two = (tifffile.imread(tmp_path / f"{name}.tif") for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)


def test_a_model_of_tws_3d(java, volume, trained, tmp_path):
    """Its header says 3D, without which TWS's window of volumes does not load it."""
    folder, data = volume
    segmenter = fb.load_segmenter(trained)
    shutil.copy(trained / "classifier.model", tmp_path / "old.model")
    assert read_weka_model(tmp_path / "old.model").settings["relation"] == "TWS-3D-v4.0.0-grayscale"
    loaded = fb.load_segmenter(tmp_path / "old.model")
    assert loaded.extractor_.settings.sources == (SETTINGS,)
    fb.segment_volume(tmp_path / "old.model", folder / "volume.tif", tmp_path / "all.tif", threads=1)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "all.tif"), whole(segmenter, data))
    with pytest.raises(FeatureMismatchError, match="not TWS's in 2D"):
        fb.load_segmenter(tmp_path / "old.model", dimensions="2d")


def test_a_single_image_is_refused(volume, trained, tmp_path):
    _, data = volume
    tifffile.imwrite(tmp_path / "flat.tif", data[0])
    with pytest.raises(FeatureMismatchError, match="is a single image"):
        operation("apply")(trained, [tmp_path / "flat.tif"], out=tmp_path / "out")
    with pytest.raises(FeatureMismatchError, match="alone, for features that look along z"):
        fb.load_segmenter(trained).predict(data[0])
    assert not (tmp_path / "out").exists()


def test_an_rgb_volume(volume, tmp_path):
    folder, data = volume
    rgb = np.stack([data, data[:, ::-1], 255 - data], -1)
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    options = {"features": "tws3d:colour,tws3d:Mean", "sigma": "1:2", "trees": 5, "threads": 1}
    out = tmp_path / "out"
    operation("segment")(tmp_path / "rgb.tif", labels=folder / "labels.tif", out=out, **options)
    segmenter = fb.load_segmenter(out / "classifier")
    features = colour_features_3d(rgb, settings=segmenter.extractor_.settings.sources[0])
    np.testing.assert_array_equal(tifffile.imread(out / "labels.tif"), segmenter.forest_.predict(features) + 1)
    with pytest.raises(FeatureMismatchError, match="RGB"):
        operation("apply")(out / "classifier", [folder / "volume.tif"], out=tmp_path / "grey", threads=1)
