"""What a network makes of an image, whole and in tiles; its files; ONNX."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from network_sample import NAMES, SIDE, TINY, pair, same

from fijibridge.core.errors import (
    ImageError,
    ImageNotFoundError,
    LabelsError,
    ModelFileError,
    OutputError,
    SettingsError,
)
from fijibridge.network.calibration import uncertainty
from fijibridge.network.file import INDEX, WEIGHTS, load_network, save_network
from fijibridge.network.network import Network
from fijibridge.network.onnx_export import export_onnx
from fijibridge.network.unet import new_network

pytestmark = pytest.mark.usefixtures("one_thread")


# --- prediction ------------------------------------------------------------------------------------------------------


def test_probabilities(random_network):
    se, bse, _ = pair(4)
    found = random_network.predict({"SE": se, "BSE": bse}, device="cpu")
    assert found.shape == (3, SIDE, SIDE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    unsure = uncertainty(found)
    assert unsure.shape == (SIDE, SIDE)
    assert 0 <= unsure.min() <= unsure.max() <= 1
    assert uncertainty(np.full((3, 1, 1), 1 / 3, np.float32))[0, 0] == pytest.approx(1)
    assert uncertainty(np.array([1.0, 0.0, 0.0]).reshape(3, 1, 1))[0, 0] == 0


@pytest.mark.parametrize("shape", [(32, 32), (33, 95), (61, 40)])
def test_any_size(random_network, shape):
    se, bse, _ = pair(4)
    found = random_network.predict({"SE": se[: shape[0], : shape[1]], "BSE": bse[: shape[0], : shape[1]]}, device="cpu")
    assert found.shape == (3, *shape)


def test_an_image_smaller_than_the_stride():
    module, _ = new_network(replace(TINY, stem=2, levels=6, width=4, crop=64), 2, 3)
    network = Network(module.architecture, module.state_dict(), NAMES[:3], ("SE", "BSE"))
    assert module.architecture.stride == 64
    assert network.predict({"SE": pair(4)[0][:33, :70]}, device="cpu").shape == (3, 33, 70)


def test_tiles_leave_no_seam(pair_network):
    planes = [np.block([[pair(seed)[k] for seed in row] for row in ((1, 2, 3), (4, 5, 6))]) for k in (0, 1)]
    images = dict(zip(("SE", "BSE"), planes, strict=True))
    network = pair_network[0]
    whole = network.predict(images, device="cpu")
    tiled = network.predict(images, tile=128, overlap=60, device="cpu")
    assert np.abs(tiled - whole).max() < 0.02
    assert (tiled.argmax(0) == whole.argmax(0)).mean() > 0.998
    hard = network.predict(images, tile=128, overlap=0, device="cpu")  # what it would be without
    assert np.abs(hard - whole).max() > 5 * np.abs(tiled - whole).max()


def test_flips_make_it_symmetric(pair_network):
    se, bse, _ = pair(7)
    network = pair_network[0]
    one = network.predict({"SE": se, "BSE": bse}, flips=True, device="cpu")
    mirrored = network.predict({"SE": se[:, ::-1], "BSE": bse[:, ::-1]}, flips=True, device="cpu")
    np.testing.assert_allclose(mirrored[:, :, ::-1], one, atol=1e-5)
    plain = network.predict({"SE": se, "BSE": bse}, device="cpu")
    assert np.abs(plain - one).max() > 1e-3


def test_the_value_of_a_missing_detector_does_not_matter(random_network):
    import torch

    grey, present = random_network.normalised({"BSE": pair(4)[1]})
    assert present.tolist() == [0, 1]
    other = grey.copy()
    other[0] = 7
    module = random_network.module()
    with torch.inference_mode():
        one, two = (module(torch.from_numpy(g)[None], torch.from_numpy(present)[None]) for g in (grey, other))
    assert torch.equal(one, two)


def test_pixel_sizes(random_network):
    assert random_network.pixel_size_warning(0.05) is None
    assert random_network.pixel_size_warning(0.089) is None  # a factor 1.48 above the range
    assert random_network.pixel_size_warning(None) is None
    assert "0.1 \u00b5m" in random_network.pixel_size_warning(0.1)
    assert "0.02 \u00b5m" in random_network.pixel_size_warning(0.02)
    se, bse, _ = pair(4)
    images = {"SE": se, "BSE": bse}
    found = random_network.predict(images, pixel_size=0.12, rescale=True, device="cpu")
    assert found.shape == (3, SIDE, SIDE)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    inside = random_network.predict(images, pixel_size=0.05, rescale=True, device="cpu")
    np.testing.assert_array_equal(inside, random_network.predict(images, device="cpu"))
    with pytest.raises(SettingsError, match="no pixel size of the image"):
        random_network.predict(images, rescale=True)


def test_images_that_cannot_be(random_network):
    se, bse, _ = pair(4)
    for images, match in [
        ({"SE": se, "BSE": bse[:-1]}, "different sizes: SE 96 x 96 px, BSE 95 x 96 px"),
        ({"SE": se, "BSE": np.full_like(bse, 9)}, "BSE is empty: all its pixels are 9"),
        ({"SE": None, "BSE": None}, "no detector"),
        ({}, "no detector"),
        ({"se": se}, "the image has se"),
        ({"SE": se[:31]}, r"\(31, 96\)"),
        ({"SE": np.stack([se, se])}, r"\(2, 96, 96\)"),
        ({"SE": np.where(se > 100, np.nan, se)}, "NaN"),
    ]:
        with pytest.raises(ImageError, match=match):
            random_network.predict(images, device="cpu")
    with pytest.raises(SettingsError, match="overlap"):
        random_network.predict({"SE": se}, tile=64, overlap=32)
    with pytest.raises(SettingsError, match="device"):
        random_network.predict({"SE": se}, device="abacus")


# --- saved -----------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(pair_network, tmp_path):
    network, out = pair_network
    loaded = load_network(out, class_names=["pore", "ISE", "CAM"], detectors=["BSE"])
    assert same(network, loaded)
    assert loaded.temperature == network.temperature
    assert loaded.normalisation == network.normalisation
    assert loaded.training == json.loads(json.dumps(network.training))
    se, bse, _ = pair(8)
    images = {"SE": se, "BSE": bse}
    np.testing.assert_array_equal(loaded.predict(images, device="cpu"), network.predict(images, device="cpu"))
    save_network(loaded, tmp_path / "copy")
    with pytest.raises(OutputError, match="exists already"):
        save_network(loaded, tmp_path / "copy")
    save_network(loaded, tmp_path / "copy", overwrite=True)
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == (out / WEIGHTS).read_bytes()


def test_a_network_of_other_phases(pair_network):
    with pytest.raises(LabelsError, match="ISE, CAM, pore") as error:
        load_network(pair_network[1], class_names=["ISE", "CAM", "pore", "carbon"])
    assert "carbon" in error.value.expected
    with pytest.raises(ImageError, match="InLens"):
        load_network(pair_network[1], detectors=["SE", "InLens"])


def spoil(folder: Path, how: str) -> None:
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if how == "cut":
        whole = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    elif how == "bit":
        whole = bytearray((folder / WEIGHTS).read_bytes())
        whole[-5] ^= 64
        (folder / WEIGHTS).write_bytes(whole)
    elif how == "index":
        (folder / INDEX).unlink()
    elif how == "weights":
        (folder / WEIGHTS).unlink()
    elif how == "json":
        (folder / INDEX).write_text("{", encoding="utf-8")
    elif how == "format":
        (folder / INDEX).write_text(json.dumps(index | {"format": "cake"}), encoding="utf-8")
    elif how == "sizes":
        index["architecture"]["width"] = 16
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    elif how == "key":
        del index["temperature"]
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize("how", ["cut", "bit", "index", "weights", "json", "format", "sizes", "key"])
def test_a_damaged_network(random_network, tmp_path, how):
    save_network(random_network, tmp_path / "net")
    load_network(tmp_path / "net")
    spoil(tmp_path / "net", how)
    with pytest.raises(ModelFileError) as error:
        load_network(tmp_path / "net")
    assert str(tmp_path / "net") in error.value.found
    assert error.value.remedy


def test_no_network(tmp_path):
    with pytest.raises(ImageNotFoundError, match="no network"):
        load_network(tmp_path / "none")


def test_onnx_gives_equal_labels(pair_network, tmp_path):
    import onnxruntime

    network = pair_network[0]
    file = export_onnx(network, tmp_path / "net.onnx")
    for shape, missing in [((96, 96), ()), ((32, 64), ("SE",))]:
        planes = dict(zip(("SE", "BSE"), (plane[: shape[0], : shape[1]] for plane in pair(9)), strict=False))
        images = {name: plane for name, plane in planes.items() if name not in missing}
        grey, present = network.normalised(images)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        found = session.run(None, {"grey": grey[None], "present": present[None]})[0][0]
        wanted = network.predict(images, device="cpu")
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        np.testing.assert_array_equal(found.argmax(0), wanted.argmax(0))
    import onnx

    told = {entry.key: json.loads(entry.value) for entry in onnx.load(file).metadata_props}
    assert told["class_names"] == list(network.class_names)
    assert told["stride"] == network.architecture.stride
    with pytest.raises(OutputError, match="exists already"):
        export_onnx(network, file)
    with pytest.raises(OutputError, match="not an ONNX file"):
        export_onnx(network, tmp_path / "net.pb")
