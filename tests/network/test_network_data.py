"""What a network learns from: data sets, crops, normalisation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from network_sample import NAMES, SIDE, TINY, pair, sampler, write_dataset

from fijibridge.core.errors import ImageError, ImageNotFoundError, SettingsError
from fijibridge.network.augmentation import IGNORED, CropSampler, Normalisation
from fijibridge.network.data import open_dataset, split
from fijibridge.network.images import ImageArrays
from fijibridge.network.training import train_network

pytestmark = pytest.mark.usefixtures("one_thread")


# --- data ------------------------------------------------------------------------------------------------------------


def test_a_split_keeps_structures_apart(labelled_pairs):
    data = open_dataset(labelled_pairs)
    learn, check = split(data, 0.3, 0)
    assert sorted([*learn, *check]) == list(range(8))
    assert not {data.structures[i] for i in learn} & {data.structures[i] for i in check}
    assert len(check) in (2, 4)
    again = split(open_dataset(labelled_pairs), 0.3, 0)
    np.testing.assert_array_equal(again[1], check)


def test_without_structures_blocks_are_split(tmp_path):
    data = open_dataset(write_dataset(tmp_path / "set", 1, 8, structures=False))
    learn, check = split(data, 0.2, 1)
    assert len(check) == 2
    assert len(learn) == 6


def test_images_are_what_was_written(labelled_pairs, tmp_path):
    data = open_dataset(labelled_pairs)
    assert isinstance(data.grey(5, "SE"), np.memmap)
    for place, part in (("SE", 0), ("BSE", 1)):
        np.testing.assert_array_equal(data.grey(5, place), pair(101)[part])
    np.testing.assert_array_equal(data.labels(5), pair(101)[2])
    packed = tmp_path / "packed"
    shutil.copytree(labelled_pairs, packed)
    tifffile.imwrite(
        packed / "shard-00001" / "bse.tif",
        np.stack([pair(100 + k)[1] for k in range(4)]),
        compression="zlib",
        photometric="minisblack",
    )
    np.testing.assert_array_equal(open_dataset(packed).grey(5, "BSE"), pair(101)[1])


def half(folder: Path, how: str) -> None:
    if how == "shard":
        shutil.rmtree(folder / "shard-00001")
    elif how == "file":
        (folder / "shard-00001" / "se.tif").unlink()
    elif how == "cut":
        whole = (folder / "shard-00001" / "se.tif").read_bytes()
        (folder / "shard-00001" / "se.tif").write_bytes(whole[: len(whole) // 2])
    elif how == "index":
        (folder / "dataset.json").unlink()
    elif how == "entries":
        (folder / "shard-00000" / "parameters.json").write_text("[{}]", encoding="utf-8")


@pytest.mark.parametrize("how", ["shard", "file", "cut", "index", "entries"])
def test_a_half_written_data_set(labelled_pairs, tmp_path, how, capsys):
    shutil.copytree(labelled_pairs, tmp_path / "set")
    half(tmp_path / "set", how)
    with pytest.raises(ImageError, match="half written") as error:
        open_dataset(tmp_path / "set")
    assert "fijibridge simulate" in error.value.remedy


def test_no_data_set(tmp_path):
    with pytest.raises(ImageNotFoundError):
        open_dataset(tmp_path / "none")
    (tmp_path / "dataset.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ImageError, match="cannot be read"):
        open_dataset(tmp_path)


def test_a_crop_is_a_function_of_its_random_numbers():
    one, other = (sampler().sample(np.random.default_rng([3, 1])) for _ in range(2))
    for part, again in zip(one, other, strict=True):
        np.testing.assert_array_equal(part, again)


def test_without_changes_a_crop_is_a_piece_of_the_image():
    quiet = {name: 0.0 for name in ("contrast", "noise", "blur", "stripes", "misregistration", "detector_dropout")}
    crops = sampler(**quiet, scale=1.0, crop=96)
    grey, present, target = crops.sample(np.random.default_rng(0))
    assert present.tolist() == [1, 1]
    matches = []
    for seed in (1, 2):
        se, _, labels = pair(seed)
        wanted = Normalisation()(se, Normalisation().range_of(se, "SE"))
        for turns in range(4):
            for mirror in (1, -1):
                turned = np.rot90(labels, turns)[:, ::mirror]
                if (turned - 1 == target).all():
                    # gamma and contrast of strength 0 still clip at the percentiles
                    np.testing.assert_allclose(grey[0], np.rot90(wanted, turns)[:, ::mirror], atol=2.01)
                    matches.append(seed)
    assert len(matches) == 1


def test_labels_stay_on_the_reference_detector():
    """However crops are scaled and detectors shifted, BSE stays under its labels; SE moves."""
    crops = sampler(
        misregistration=8.0, scale=1.5, noise=0.0, contrast=0.0, blur=0.0, stripes=0.0, crop=64, detector_dropout=0.0
    )
    right = {"SE": [], "BSE": []}
    rng = np.random.default_rng(5)
    for _ in range(40):
        grey, _, target = crops.sample(rng)
        for number, name in enumerate(("SE", "BSE")):
            own = 2 if name == "SE" else 1  # pores are dark in SE, CAM is bright in BSE
            mask = target == own
            right[name].append(abs(grey[number][mask].mean() - grey[number][~mask].mean()))
    assert np.mean(right["BSE"]) > 1.0
    assert min(right["SE"]) < 0.6 * max(right["SE"])
    assert min(right["BSE"]) > 0.7 * max(right["BSE"])


def test_a_missing_detector_is_told_and_zero():
    crops = sampler(detector_dropout=1.0)
    lacking = set()
    for seed in range(12):
        grey, present, _ = crops.sample(np.random.default_rng(seed))
        assert present.sum() == 1
        assert not grey[present == 0].any()
        assert grey[present == 1].any()
        lacking.add(int(present.argmin()))
    assert lacking == {0, 1}


def test_sparse_labels_lie_in_the_crop():
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[90, 3], labels[5, 80] = 1, 2
    se, bse, _ = pair(1)
    data = ImageArrays([{"SE": se, "BSE": bse}], [labels], NAMES, ("SE", "BSE"))
    values = np.array([IGNORED, 0, 1, 2, 3, 4])
    crops = CropSampler(data, np.arange(1), values, Normalisation(), replace(TINY, scale=1.0), labelled=True)
    seen = {int(crops.sample(np.random.default_rng(seed))[2].max()) for seed in range(12)}
    assert seen == {0, 1}


def test_crops_larger_than_images(labelled_pairs, tmp_path):
    with pytest.raises(SettingsError, match="96 x 96") as error:
        train_network(labelled_pairs, replace(TINY, crop=128), out=tmp_path / "net")
    assert "at most 96 px" in error.value.remedy


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.01, 200), offset=st.floats(-1000, 1000))
def test_normalisation_forgets_brightness_and_contrast(gain, offset):
    plane = pair(3)[0].astype(np.float64)
    norm = Normalisation()
    once = norm(plane, norm.range_of(plane, "SE"))
    changed = plane * gain + offset
    np.testing.assert_allclose(norm(changed, norm.range_of(changed, "SE")), once, atol=1e-4)


def test_noise_hardly_moves_the_normalisation():
    labels = pair(3)[2]
    clean = np.choose(labels, (0.0, 90.0, 170.0, 60.0))
    noisy = clean + 35 * np.random.default_rng(1).standard_normal(labels.shape)  # 3 dB
    block, pixel = Normalisation(), Normalisation(block=1)
    levels = {}
    for name, norm in (("block", block), ("pixel", pixel)):
        for kind, plane in (("clean", clean), ("noisy", noisy)):
            scaled = norm(plane, norm.range_of(plane, "BSE"))
            levels[name, kind] = scaled[labels == 2].mean() - scaled[labels == 1].mean()
    assert levels["block", "noisy"] > 0.75 * levels["block", "clean"]
    assert levels["pixel", "noisy"] < 0.6 * levels["pixel", "clean"]
