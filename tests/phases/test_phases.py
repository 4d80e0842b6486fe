"""Label images with their phases: what is taken, what is refused, reading and writing."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.images.writing import write_labels
from fijibridge.phases import as_phases, read_phases, write_phases


def test_every_value_is_a_phase_but_the_background():
    labels = np.array([[0, 5], [9, 0]])
    assert as_phases(labels).values == (0, 5, 9)
    found = as_phases(labels, background=0, class_names=["a", "b"], spacing=(2, 3), unit="nm")
    assert (found.values, found.names, found.spacing, found.ndim) == ((5, 9), ("a", "b"), (1, 2, 3), 2)
    assert found.index.tolist() == [[[255, 0], [1, 255]]]
    assert found.measure == 12
    assert as_phases(found) is found
    assert as_phases(np.array([[-1, 70000]])).index.tolist() == [[[0, 1]]]
    assert as_phases(np.array([[0, 2**30]])).index.tolist() == [[[0, 1]]]
    assert as_phases(np.eye(3, dtype=bool)[None]).ndim == 2
    assert as_phases(np.eye(3, dtype=np.float32)).values == (0, 1)


@pytest.mark.parametrize(
    ("labels", "more", "error", "words"),
    [
        (np.ones((2, 2)) / 2, {}, ImageError, "not whole numbers"),
        (np.full((2, 2), np.nan), {}, ImageError, "not whole numbers"),
        (np.zeros((2, 2, 2, 2), int), {}, ImageError, "shape"),
        (np.zeros((0, 4), int), {}, ImageError, "empty"),
        (np.arange(100).reshape(10, 10), {}, LabelsError, "grey image"),
        (np.eye(3, dtype=int), {"background": 7}, SettingsError, "does not have"),
        (np.ones((3, 3), int), {"background": 1}, LabelsError, "background alone"),
        (np.eye(3, dtype=int), {"class_names": ["a", "b", "c"]}, LabelsError, "3 name"),
        (np.eye(3, dtype=int), {"class_names": ["a", "a"]}, LabelsError, "differ"),
        (np.eye(3, dtype=int), {"spacing": (1, -1)}, SettingsError, "voxel size"),
        (np.eye(3, dtype=int), {"spacing": "x"}, SettingsError, "voxel size"),
    ],
)
def test_what_are_no_labels(labels, more, error, words):
    with pytest.raises(error, match=words):
        as_phases(labels, **more)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [None, 0])
def test_what_is_written_is_read(tmp_path, background):
    labels = np.random.default_rng(0).integers(0, 3, (4, 6, 5), np.uint8) * 2
    names = ["void", "CAM", "ISE"][0 if background is None else 1 :]
    phases = as_phases(labels, spacing=(30, 10, 20), unit="nm", background=background, class_names=names)
    path = write_phases(tmp_path / "v.tif", phases)
    assert (tifffile.imread(path) == labels).all()
    found, size, note = read_phases(path, background=background)
    assert (found.index == phases.index).all()
    assert (found.values, found.names, found.unit, note) == (phases.values, phases.names, "nm", "")
    assert found.spacing == pytest.approx(phases.spacing)
    assert size.z == 30
    found, _, _ = read_phases(path, classes="a,b,c", voxel_size="1,2,3 um")
    assert (found.names, found.spacing, found.unit) == (("a", "b", "c"), (1, 2, 3), "\u00b5m")


def test_background_that_would_be_a_phase_is_written_as_a_value_of_its_own(tmp_path):
    phases = as_phases(np.array([[0, 1], [9, 0]]), background=9)
    assert tifffile.imread(write_phases(tmp_path / "v.tif", phases)).tolist() == [[0, 1], [2, 0]]


def test_values_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(LabelsError, match="0 to 255"):
        write_phases(tmp_path / "v.tif", as_phases(np.array([[0, 300]])))


@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)])
def test_unlabelled_pixels_of_fijibridge_are_no_phase(tmp_path, shape):
    data = np.ones(shape, np.uint8)
    data[..., 20:, :] = 2
    data[..., 34:, :] = 0
    path = write_labels(tmp_path / "l.tif", data, class_names=["pore", "CAM"])
    phases, _, note = read_phases(path)
    assert phases.names == ("pore", "CAM")
    assert phases.inside is None
    assert phases.index.shape[1] == 34
    assert "6 unlabelled rows at the bottom" in note
    assert read_phases(path, classes="a,b")[0].names == ("a", "b")
    data[..., 3, 4] = 0
    phases, _, note = read_phases(write_labels(tmp_path / "m.tif", data, class_names=["pore", "CAM"]))
    assert phases.names == ("pore", "CAM")
    assert sum(phases.counts) == phases.index.size - data[..., 3, 4].size
    assert f"{data[..., 3, 4].size} unlabelled pixels" in note
    empty = write_labels(tmp_path / "e.tif", np.zeros(shape, np.uint8), class_names=["pore", "CAM"])
    with pytest.raises(LabelsError, match="unlabelled pixels alone"):
        read_phases(empty)


def test_a_zero_that_nobody_calls_unlabelled_is_a_phase(tmp_path):
    data = np.zeros((30, 30), np.uint8)
    data[:10] = 1
    tifffile.imwrite(tmp_path / "l.tif", data)
    assert read_phases(tmp_path / "l.tif")[0].names == ("phase 0", "phase 1")
    with pytest.raises(LabelsError, match="phase name"):
        read_phases(tmp_path / "l.tif", classes="a,b\tc")
