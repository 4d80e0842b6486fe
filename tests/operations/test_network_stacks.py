"""A network of three slices through the catalogue: neighbours are streamed, single images and other stacks are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from network_sample import NAMES, SIDE, pair

from fijibridge.core.errors import LabelsError
from fijibridge.features.extract import FeatureExtractor
from fijibridge.images.image import read_image
from fijibridge.images.pixel_size import PixelSize
from fijibridge.images.writing import write_imagej
from fijibridge.network.features import NetworkFeatureSettings
from fijibridge.network.file import load_network, save_network
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings
from fijibridge.network.unet import new_network
from fijibridge.operations.apply import apply
from fijibridge.operations.fine_tune_network import fine_tune_network
from fijibridge.operations.labelled_images import read_labelled
from fijibridge.operations.segment import segment
from fijibridge.operations.segment_network import segment_network

CLASS_NAMES, SIZE, DEPTH = NAMES[:3], SIDE, 4


def write(path: Path, planes: np.ndarray, axes: str = "ZYX", apart: float = 0.1) -> Path:
    shape = planes.shape
    flat = iter(planes.reshape(-1, *shape[-2:]))
    write_imagej(path, flat, shape, planes.dtype, axes, PixelSize(0.05, 0.05, "um", apart), metadata={})
    return path


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """net, of three slices; SE.tif and BSE.tif, stacks of four; strokes.tif on slices 2 and 3."""
    folder = tmp_path_factory.mktemp("stacks of three")
    module, _ = new_network(NetworkSettings(slices=3, width=4, levels=3, crop=32), 2, 3)
    state = module.state_dict()
    save_network(
        Network(module.architecture, state, CLASS_NAMES, ("SE", "BSE"), pixel_sizes=(0.05, 0.05), spacings=(0.1, 0.1)),
        folder / "net",
    )
    seen = [pair(z) for z in range(DEPTH)]
    for number, detector in enumerate(("SE", "BSE")):
        write(folder / f"{detector}.tif", np.stack([one[number] for one in seen]))
    strokes = np.zeros((DEPTH, SIZE, SIZE), np.uint8)
    for z in (1, 2):
        strokes[z, 20:60:8] = seen[z][2][20:60:8]
    write(folder / "strokes.tif", strokes)
    return folder


def windows(folder: Path, places: list[list[int]]) -> np.ndarray:
    """What the network makes of slices with these neighbours, (Z, K, Y, X)."""
    network = load_network(folder / "net")
    stacks = {name: tifffile.imread(folder / f"{name}.tif").astype(np.float32) for name in ("SE", "BSE")}
    return np.stack([network.predict({name: own[near] for name, own in stacks.items()}) for near in places])


WHOLE = [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_slices_are_seen_with_their_neighbours(here, tmp_path):
    given = {"se": here / "SE.tif", "bse": here / "BSE.tif", "align": False, "threads": 1}
    report = segment_network(here / "net", out=tmp_path / "out", **given)
    assert (report["slices"], report["notes"]) == (3, [])
    found = tifffile.imread(tmp_path / "out" / "probabilities.tif")
    np.testing.assert_allclose(found, windows(here, WHOLE), atol=1e-5)
    assert tifffile.imread(tmp_path / "out" / "uncertainty.tif").shape == (DEPTH, SIZE, SIZE)
    assert np.abs(found - windows(here, [[z] * 3 for z in range(DEPTH)])).max() > 1e-3


def test_of_another_time_nothing_is_a_neighbour(here, tmp_path):
    for name in ("SE", "BSE"):
        planes = tifffile.imread(here / f"{name}.tif")
        write(tmp_path / f"{name}.tif", planes.reshape(2, 2, SIZE, SIZE), "TZYX")
    given = {"se": tmp_path / "SE.tif", "bse": tmp_path / "BSE.tif", "align": False, "threads": 1}
    segment_network(here / "net", out=tmp_path / "out", **given)
    found = tifffile.imread(tmp_path / "out" / "probabilities.tif").reshape(DEPTH, 3, SIZE, SIZE)
    np.testing.assert_allclose(found, windows(here, [[0, 0, 1], [0, 1, 1], [2, 2, 3], [2, 3, 3]]), atol=1e-5)


def test_other_stacks_and_single_images_are_told(here, tmp_path):
    coarse = write(tmp_path / "coarse.tif", tifffile.imread(here / "BSE.tif"), apart=0.4)
    report = segment_network(here / "net", bse=coarse, out=tmp_path / "coarse", threads=1)
    assert [note[:20] for note in report["notes"]] == ["slices 0.4 \u00b5m apart,"[:20]]
    report = segment_network(here / "net", bse=here / "BSE.tif", page=2, out=tmp_path / "single", threads=1)
    assert any("a single image, and a network of 3 slices" in note for note in report["notes"])


def test_labels_on_slices_of_a_stack_tune_it(here, tmp_path):
    given = {"se": here / "SE.tif", "bse": here / "BSE.tif", "steps": 2, "threads": 1}
    report = fine_tune_network(here / "net", labels=here / "strokes.tif", out=tmp_path / "out", **given)
    strokes = tifffile.imread(here / "strokes.tif")
    assert report["labelled_pixels"] == (strokes > 0).sum()
    assert load_network(tmp_path / "out" / "network").slices == 3
    one = write(tmp_path / "one.tif", strokes[1], "YX")
    with pytest.raises(LabelsError, match="one label image, and the image a stack of 4"):
        fine_tune_network(here / "net", labels=one, out=tmp_path / "one", **given)


def test_its_features_look_along_z(here):
    """Of each detector, and of a single image as it is."""
    extractor = FeatureExtractor((NetworkFeatureSettings(str(here / "net")),))
    assert extractor.looks_along_z
    assert not extractor.needs_stack
    paths = {"BSE": here / "BSE.tif", "SE": here / "SE.tif"}
    images, _ = read_labelled(
        paths, here / "strokes.tif", extractor, class_names=CLASS_NAMES, align=False, databar=0, page=0
    )
    for place, wanted in zip((1, 2), windows(here, WHOLE[1:3]), strict=True):
        np.testing.assert_allclose(np.asarray(extractor.transform(images[place])), np.moveaxis(wanted, 0, 2), atol=1e-5)
    single = FeatureExtractor((NetworkFeatureSettings(str(here / "net")),))
    image = read_image(here / "BSE.tif", page=1)
    wanted = load_network(here / "net").predict({"BSE": image.grey})
    np.testing.assert_allclose(np.asarray(single.transform(image)), np.moveaxis(wanted, 0, 2), atol=1e-5)


def test_a_classifier_with_its_features_segments_stacks(here, tmp_path):
    """The answer of a slice is the same where the whole stack is segmented and where some slices are."""
    given = {"network": here / "net", "features": "tws", "trees": 4, "threads": 1}
    detectors = f"SE={here / 'SE.tif'}"
    segment(here / "BSE.tif", detectors=detectors, labels=here / "strokes.tif", out=tmp_path / "out", **given)
    report = apply(tmp_path / "out" / "classifier", [here / "BSE.tif"], detectors=detectors, slices="2-3",
                   out=tmp_path / "some", threads=1)  # fmt: skip
    assert report
    whole = tifffile.imread(tmp_path / "out" / "labels.tif")
    some = tifffile.imread(next((tmp_path / "some").glob("*labels.tif")))
    assert (whole[1:3] == some).mean() > 0.99
