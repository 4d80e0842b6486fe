"""A network's class probabilities as features: what is written holds the network itself."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell import write_image, write_sample

from fijibridge.core.errors import FeatureMismatchError, OutputError
from fijibridge.forest import train_sklearn, write_model
from fijibridge.network.file import load_network, save_network
from fijibridge.operations.apply import apply
from fijibridge.operations.features import features
from fijibridge.operations.import_classifier import import_classifier
from fijibridge.operations.segment import segment
from fijibridge.segmentation.load import read_features
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

QUICK = {"features": "tws", "threads": 1}
NETWORK_NAMES = ["net_ISE", "net_CAM", "net_pore"]


@pytest.fixture
def here(tiny_network, tmp_path) -> Path:
    """image.tif, labels.tif, other.tif and net, a trained network, which a test may remove."""
    write_sample(tmp_path, 100)
    write_image(tmp_path / "other.tif", demo_image(100, 3)[0].data)
    shutil.copytree(tiny_network / "network", tmp_path / "net")
    return tmp_path


def test_features_hold_the_network(here, java):
    """They are made of other images, and classifiers of TWS imported, where the network has gone."""
    report = features(here / "image.tif", out=here / "f", network=here / "net", **QUICK)
    assert report["outputs"] == ["features.tif", "features.json", "network"]
    features(here / "other.tif", out=here / "wanted", network=here / "net", **QUICK)
    shutil.rmtree(here / "net")
    shutil.move(here / "f", here / "moved")
    extractor, names = read_features(here / "moved" / "features.json")
    assert list(names[-3:]) == NETWORK_NAMES
    assert extractor.to_brief() == report["features"]
    again = features(here / "other.tif", out=here / "again", feature_file=here / "moved", threads=1)
    assert again["features"] == report["features"]
    planes, wanted = (tifffile.imread(here / folder / "features.tif") for folder in ("again", "wanted"))
    np.testing.assert_array_equal(planes, wanted)

    strokes = demo_image(100)[1].data
    X = np.moveaxis(tifffile.imread(here / "moved" / "features.tif"), 0, 2)
    forest, _ = train_sklearn(
        X[strokes > 0], strokes[strokes > 0].astype(int) - 1, n_trees=5, feature_names=names, class_names=CLASS_NAMES
    )
    write_model(here / "tws.model", forest)
    import_classifier(here / "tws.model", feature_file=here / "moved", out=here / "c")
    shutil.rmtree(here / "moved")
    apply(here / "c" / "classifier", [here / "image.tif"], out=here / "r", threads=1)
    np.testing.assert_array_equal(tifffile.imread(here / "r" / "image_labels.tif"), forest.predict(X) + 1)


def test_features_of_another_network_are_refused(here):
    features(here / "image.tif", out=here / "f", network=here / "net", **QUICK)
    network = load_network(here / "net")
    state = {name: tensor * 2 if tensor.is_floating_point() else tensor for name, tensor in network.state.items()}
    save_network(replace(network, state=state), here / "f" / "network", overwrite=True)
    with pytest.raises(FeatureMismatchError, match="the classifier's own"):
        features(here / "other.tif", out=here / "again", feature_file=here / "f", threads=1)
    assert not (here / "again").exists()


@pytest.mark.parametrize("operation", [segment, features])
def test_a_result_never_replaces_the_network_it_needs(here, operation):
    given = {"labels": here / "labels.tif", "trees": 4} if operation is segment else {}
    operation(here / "image.tif", out=here / "out", **given, **QUICK)
    shutil.move(here / "net", here / "out" / "net")
    with pytest.raises(OutputError, match="input of this work"):
        operation(here / "image.tif", out=here / "out", network=here / "out" / "net", overwrite=True, **given, **QUICK)
    assert (here / "out" / "net" / "network.json").is_file()
