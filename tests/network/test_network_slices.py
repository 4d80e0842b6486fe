"""Networks that see the neighbouring slices of a stack."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from network_sample import NAMES, SIDE, TINY, pair, same

from fijibridge.core.errors import ImageError, ModelFileError, SettingsError
from fijibridge.images.around import with_neighbours
from fijibridge.network.augmentation import CropSampler, Normalisation
from fijibridge.network.data import open_dataset
from fijibridge.network.file import INDEX, load_network, save_network
from fijibridge.network.images import ImageArrays, surrounded
from fijibridge.network.network import Network
from fijibridge.network.onnx_export import export_onnx
from fijibridge.network.training import fine_tune, train_network
from fijibridge.network.unet import new_network

pytestmark = pytest.mark.usefixtures("one_thread")

THREE = replace(TINY, slices=3)
QUIET = {name: 0.0 for name in ("contrast", "noise", "blur", "stripes", "misregistration", "detector_dropout")}


def hidden(seed: int, depth: int = 4) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """SE, BSE and labels of a stack whose slices show nothing of a class that the next slice shows."""
    greys, labels = [], []
    for z in range(depth):
        se, bse, truth = pair(1000 * seed + z)
        greys.append((se, bse))
        labels.append(truth)
    return [one[0] for one in greys], [one[1] for one in greys], [labels[max(z - 1, 0)] for z in range(depth)]


def write_stacks(folder: Path, stacks: int = 4, depth: int = 4, apart: int = 2) -> Path:
    """A data set of stacks."""
    for number in range(stacks):
        shard = folder / f"shard-{number:05d}"
        shard.mkdir(parents=True)
        for name, planes in zip(("se", "bse", "labels"), hidden(number, depth), strict=True):
            tifffile.imwrite(shard / f"{name}.tif", np.stack(planes), imagej=True)
        entries = [{"pixel_size": 0.05, "structure": number, "slice": z, "z": z * apart} for z in range(depth)]
        (shard / "parameters.json").write_text(json.dumps(entries), encoding="utf-8")
    index = {"class_names": NAMES, "detectors": ["SE", "BSE"], "pixel_size": 0.05, "count": stacks * depth}
    (folder / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def stacks(tmp_path_factory) -> Path:
    return write_stacks(tmp_path_factory.mktemp("stacks") / "set")


@pytest.fixture(scope="module")
def network() -> Network:
    module, _ = new_network(replace(THREE, levels=2), 2, 3)
    return Network(module.architecture, module.state_dict(), NAMES[:3], ("SE", "BSE"), spacings=(0.1, 0.1))


def test_neighbours_stay_in_their_frame():
    found = list(with_neighbours(iter("abcdef"), 3, 3))
    assert ["".join(one) for one in found] == ["aab", "abc", "bcc", "dde", "def", "eff"]
    assert ["".join(one) for one in with_neighbours(iter("ab"), 5, 2)] == ["aaabb", "aabbb"]
    assert list(with_neighbours(iter("ab"), 1, 2)) == [["a"], ["b"]]
    assert list(with_neighbours(iter("a"), 3, 1)) == [["a", "a", "a"]]


def test_a_data_set_knows_its_stacks(stacks):
    data = open_dataset(stacks)
    assert data.spacings == pytest.approx((0.1, 0.1))
    np.testing.assert_array_equal(data.ends[[0, 3, 4]], [[0, 3], [0, 3], [4, 7]])
    found = surrounded(data, 4, "BSE", 5)
    np.testing.assert_array_equal(found, np.stack([data.grey(place, "BSE") for place in (4, 4, 4, 5, 6)]))
    assert surrounded(data, 4, "BSE", 1).shape == (SIDE, SIDE)


def test_single_sections_are_refused(labelled_pairs, stacks, tmp_path):
    with pytest.raises(ImageError, match="single sections, and the network is to see 3") as error:
        train_network(labelled_pairs, THREE, out=tmp_path / "net")
    assert "sections = 5" in error.value.remedy
    with pytest.raises(ImageError, match="stacks of 4 slices, and the network is to see 5"):
        train_network(stacks, replace(TINY, slices=5), out=tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_network_learns_what_its_neighbours_show(stacks, tmp_path):
    """The labels are those of the slice before: one slice alone tells nothing of them."""
    settings = replace(TINY, **QUIET, scale=1.0, steps=60, slice_dropout=0.1)
    found = {s: train_network(stacks, replace(settings, slices=s), out=tmp_path / f"{s}") for s in (1, 3)}
    means = {slices: one.training["iou"]["mean"] for slices, one in found.items()}
    assert means[3] > means[1] + 0.2
    assert found[3].training["iou_of_single_images"]["mean"] < means[3]
    assert found[3].spacings == pytest.approx((0.1, 0.1))
    assert found[1].spacings is None


def test_slices_are_changed_alike_but_for_noise():
    one = pair(1)
    planes = {name: np.stack([plane] * 3) for name, plane in zip(("SE", "BSE"), one, strict=False)}
    data = ImageArrays([planes], [one[2]], NAMES, ("SE", "BSE"))
    values = np.array([-1, 0, 1, 2, -1, -1])

    def crops(**changes) -> list[np.ndarray]:
        settings = replace(THREE, slice_dropout=0.0, detector_dropout=0.0, **changes)
        made = CropSampler(data, np.arange(1), values, Normalisation(), settings)
        return [made.sample(np.random.default_rng(seed))[0].reshape(2, 3, 32, 32) for seed in range(20)]

    for grey in crops(noise=0.0):
        np.testing.assert_array_equal(grey[:, 0], grey[:, 1])
    apart = [np.abs(grey[:, 0] - grey[:, 2]).max() for grey in crops(noise=2.0)]
    assert sum(each > 0.1 for each in apart) > 0


def test_some_crops_lack_their_neighbours(stacks):
    data = open_dataset(stacks)
    values = np.array([-1, 0, 1, 2, -1, -1])
    settings = replace(THREE, slice_dropout=0.5, detector_dropout=0.0)
    made = CropSampler(data, np.array([1, 2]), values, Normalisation(), settings)
    greys = [made.sample(np.random.default_rng(seed))[0].reshape(2, 3, 32, 32) for seed in range(40)]
    repeated = [bool((grey[:, 0] == grey[:, 1]).all() and (grey[:, 2] == grey[:, 1]).all()) for grey in greys]
    assert 8 < sum(repeated) < 32
    assert not any((grey[:, 0] == grey[:, 1]).all() for grey, alone in zip(greys, repeated, strict=True) if not alone)


def test_a_single_image_stands_for_its_neighbours(network):
    se, bse, _ = pair(5)
    single = network.predict({"SE": se, "BSE": bse})
    stack = network.predict({"SE": np.stack([se] * 3), "BSE": np.stack([bse] * 3)})
    np.testing.assert_array_equal(single, stack)
    other = network.predict({"SE": np.stack([se, se, bse]), "BSE": np.stack([bse] * 3)})
    assert np.abs(other - single).max() > 1e-4
    with pytest.raises(ImageError, match=r"shape \(2, 96, 96\)") as error:
        network.predict({"SE": np.stack([se] * 2)})
    assert "(3, Y, X)" in error.value.expected


def test_a_missing_detector_hides_all_its_slices(network):
    module = network.module()
    grey = torch.randn(1, 6, 32, 32)
    present = torch.tensor([[0.0, 1.0]])
    other = torch.cat([torch.randn(1, 3, 32, 32), grey[:, 3:]], 1)
    with torch.inference_mode():
        np.testing.assert_array_equal(module(grey, present), module(other, present))


def test_other_distances_are_told(network):
    assert network.spacing_warning(0.12) is None
    assert network.spacing_warning(None) is None
    assert "slices 0.01 \u00b5m apart" in network.spacing_warning(0.01)
    assert "a single image" in network.spacing_warning(None, alone=True)
    single = replace(network, architecture=replace(network.architecture, slices=1))
    assert single.spacing_warning(0.01, alone=True) is None


def test_saved_and_loaded(network, tmp_path):
    again = load_network(save_network(network, tmp_path / "net"))
    assert (again.slices, again.spacings) == (3, (0.1, 0.1))
    assert same(again, network)
    about = json.loads((tmp_path / "net" / INDEX).read_text(encoding="utf-8"))
    about["architecture"]["slices"] = 2
    (tmp_path / "net" / INDEX).write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(ModelFileError):
        load_network(tmp_path / "net")


def test_a_file_of_before_sees_one_slice(tmp_path):
    module, _ = new_network(TINY, 2, 3)
    save_network(Network(module.architecture, module.state_dict(), NAMES[:3], ("SE", "BSE")), tmp_path / "net")
    about = json.loads((tmp_path / "net" / INDEX).read_text(encoding="utf-8"))
    del about["architecture"]["slices"], about["spacings"]
    (tmp_path / "net" / INDEX).write_text(json.dumps(about), encoding="utf-8")
    found = load_network(tmp_path / "net")
    assert (found.slices, found.spacings) == (1, None)


def test_resumed_with_as_many_slices(stacks, tmp_path):
    settings = replace(THREE, steps=4, checks=2)
    whole = train_network(stacks, settings, out=tmp_path / "net")
    assert same(whole, train_network(stacks, settings, out=tmp_path / "net", resume=True))
    with pytest.raises(SettingsError, match="another training"):
        train_network(stacks, replace(settings, slices=1), out=tmp_path / "net", resume=True)


def test_fine_tuned_with_neighbours_and_without(network, stacks):
    data = open_dataset(stacks)
    labels = np.where(np.random.default_rng(0).random((SIDE, SIDE)) < 0.1, data.labels(5), 0).astype(np.uint8)
    stack = {name: surrounded(data, 5, name, 3) for name in ("SE", "BSE")}
    settings = replace(THREE, steps=2, batch=2)
    found = fine_tune(network, [stack, {"BSE": np.asarray(data.grey(5, "BSE"))}], [labels, labels], settings,
                      replay=stacks, spacing=0.2)  # fmt: skip
    assert (found.slices, found.spacings) == (3, (0.1, 0.2))
    with pytest.raises(ImageError, match="one size"):
        fine_tune(network, [{"BSE": stack["BSE"][:2]}], [labels], settings)


def test_onnx_takes_the_slices(network, tmp_path):
    import onnx
    import onnxruntime

    file = export_onnx(network, tmp_path / "net.onnx")
    images = {"BSE": np.stack([pair(seed)[1] for seed in (1, 2, 3)])}
    grey, present = network.normalised(images)
    assert (grey.shape, present.tolist()) == ((6, SIDE, SIDE), [0, 1])
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    found = session.run(None, {"grey": grey[None], "present": present[None]})[0][0]
    np.testing.assert_allclose(found, network.predict(images, device="cpu"), atol=1e-4)
    told = {entry.key: json.loads(entry.value) for entry in onnx.load(file).metadata_props}
    assert (told["slices"], told["detectors"]) == (3, ["SE", "BSE"])
