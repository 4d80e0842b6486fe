"""Label volumes that are read slab by slab: the phases that `read_phases` finds, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.images.image import PixelSize
from fijibridge.images.writing import write_labels
from fijibridge.phases import PhaseVolume, as_phases, open_phases, phase_volume, read_phases


def three_phases(shape):
    return np.random.default_rng(0).integers(0, 3, shape, np.uint8)


def of(labels, **options):
    return phase_volume(lambda number: labels[number], len(labels), **options)[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.float32, bool])
def test_the_phases_of_an_array(dtype):
    labels = three_phases((7, 8, 9)).astype(dtype)
    volume, whole = of(labels, slices=2, spacing=(3, 2, 1), unit="nm"), as_phases(labels, spacing=(3, 2, 1), unit="nm")
    for name in ("values", "names", "counts", "spacing", "unit", "ndim", "shape", "axes", "measure", "filled"):
        assert getattr(volume, name) == getattr(whole, name), name
    assert (volume.load().index == whole.index).all()
    assert (volume.read(2, 5) == whole.index[2:5]).all()
    assert as_phases(volume).counts == whole.counts
    part = volume.block((1, 2, 3), (4, 5, 6))
    assert (part.index == whole.index[1:5, 2:7, 3:9]).all()
    assert sum(part.counts) == 4 * 5 * 6


@pytest.mark.parametrize("values", [(-3, 7, 100_000), (0, 2**21, 5), (250, 3, 4)])
def test_values_of_any_size_and_a_background(values):
    labels = np.array(values)[three_phases((4, 6, 5))]
    for background in (None, values[0], list(values[:2])):
        volume, whole = of(labels, background=background), as_phases(labels, background=background)
        assert (volume.values, volume.counts) == (whole.values, whole.counts)
        assert (volume.load().index == whole.index).all()


def test_one_slice_is_an_image():
    labels = three_phases((4, 6, 5))[:1]
    assert (of(labels).ndim, of(labels).axes, of(labels).spacing) == (2, ("y", "x"), (1, 1, 1))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda plane: plane[:-1], ImageError, r"slice 3 is \(5, 5\) .* the first \(6, 5\)"),
        (lambda plane: plane.astype(np.uint16), ImageError, "slice 3 is .*uint16"),
        (lambda plane: np.stack([plane] * 3, -1), ImageError, "slice 3 is"),
        (lambda plane: np.arange(30, dtype=np.uint8).reshape(6, 5) + np.uint8(100), LabelsError,
         "in the first 3 of 4 slices: this looks like a grey image"),
    ],
)  # fmt: skip
def test_a_slice_unlike_the_others_is_named(change, error, words):
    labels = [*three_phases((4, 6, 5))]
    labels[2] = change(labels[2])
    with pytest.raises(error, match=words):
        of(labels)


def test_a_slice_that_is_no_label_image_is_named():
    labels = three_phases((4, 6, 5)).astype(np.float32)
    labels[1, 2, 3] = np.nan
    with pytest.raises(ImageError, match="slice 2 of the volume of float32 with values that are not whole"):
        of(labels)


def test_settings_that_do_not_fit():
    labels = three_phases((4, 6, 5))
    with pytest.raises(SettingsError, match="does not have"):
        of(labels, background=9)
    with pytest.raises(LabelsError, match=r"2 name\(s\) \(a, b\) for 3 phase\(s\): 0, 1, 2\n"):
        of(labels, class_names=["a", "b"])
    labels[2, 3, 4] = 9  # a value that is no phase
    with pytest.raises(LabelsError, match=r"3 name.* for 4 phase\(s\): 0, 1, 2, 9 \(from slice 3 on\)"):
        of(labels, class_names=["a", "b", "c"])
    with pytest.raises(SettingsError, match="voxel size"):
        of(labels, spacing=(1, 2))


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda plane: plane + 1, "slice 3 of .* value 3"), (lambda plane: plane[:, 1:], "slice 3 of")],
)
def test_a_file_that_changes_while_it_is_measured(change, words):
    labels = [*three_phases((4, 6, 5))]
    volume = of(labels)
    labels[2] = change(labels[2])
    assert volume.read(0, 2).shape == (2, 6, 5)
    with pytest.raises(ImageError, match=words):
        volume.load()


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_opened_as_it_is_read(tmp_path):
    labels = three_phases((5, 12, 11)) + np.uint8(1)
    labels[:, 9:] = 0
    labels[2, 3, 4] = 0
    size = PixelSize(10, 20, "nm", 30)
    path = write_labels(tmp_path / "v.tif", labels, class_names=["a", "b", "c"], pixel_size=size)
    for options in ({}, {"classes": "x,y,z"}, {"voxel_size": "3,2,1 um"}, {"background": 2}, {"background": 0}):
        phases, stored, note = read_phases(path, **options)
        with open_phases(path, **options) as (volume, also, words):
            assert isinstance(volume, PhaseVolume)
            for name in ("values", "names", "counts", "spacing", "unit", "shape"):
                assert getattr(volume, name) == getattr(phases, name), (options, name)
            assert (volume.load().index == phases.index).all()
            assert (also, words) == (stored, note)
    assert "3 unlabelled rows at the bottom" in note
    assert "1 unlabelled pixels" in note


def test_files_that_cannot_serve(tmp_path):
    labels = three_phases((5, 40, 40))
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, labels, photometric="minisblack")
    path.write_bytes(path.read_bytes()[:-1700])
    with pytest.raises(ImageError, match="truncated"), open_phases(path):
        pass
    folder = tmp_path / "slices"
    folder.mkdir()
    for number, plane in enumerate(labels):
        tifffile.imwrite(folder / f"s{number}.tif", plane if number != 3 else plane[:-2])
    with pytest.raises(ImageError, match=r"s3\.tif is 40 x 38 pixels"), open_phases(folder):
        pass
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    with pytest.raises(ImageError, match="RGB"), open_phases(tmp_path / "rgb.tif"):
        pass
