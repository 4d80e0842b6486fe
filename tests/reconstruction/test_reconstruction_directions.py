"""Images that are not the same in all directions, and planes that contradict each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fijibridge.metrology.chords import chord_lengths
from fijibridge.phases.phases import Phases, as_phases
from fijibridge.reconstruction.anisotropy import anisotropy_note, chord_ratio, contradiction_notes, mean_chord
from fijibridge.reconstruction.exemplars import check_exemplars


def blobs(rows: float, columns: float, seed: int = 0, size: int = 160) -> Phases:
    """Blobs of so many pixels along the rows' axis and along the columns'."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(
        np.random.default_rng(seed).standard_normal((size, size)), (rows, columns), mode="wrap"
    )
    return as_phases((noise > np.quantile(noise, 0.6)).astype(np.uint8), class_names=["ISE", "CAM"])


@pytest.mark.parametrize("seed", range(4))
def test_an_isotropic_image_has_no_note(seed):
    image = blobs(3, 3, seed)
    ratio, error = chord_ratio(image, 1)
    assert abs(math.log(ratio)) < 4 * error
    assert anisotropy_note(image) == ""


def test_an_image_with_longer_rows_is_told():
    image = blobs(2.5, 4)
    ratio, _ = chord_ratio(image, 1)
    assert ratio == pytest.approx(4 / 2.5, rel=0.15)
    note = anisotropy_note(image)
    assert "times as long along the rows as along the columns" in note
    assert "two planes (xy, and xz" in note
    turned = as_phases(np.ascontiguousarray(image.index[0].T), class_names=["ISE", "CAM"])
    assert "along the columns as along the rows" in anisotropy_note(turned)


def test_pixels_that_are_not_square_count_with_their_sizes():
    square = blobs(3, 3)
    flat = Phases(square.index, square.values, square.names, (1.0, 2.0, 1.0), "um", 2, square.counts)
    assert chord_ratio(flat, 1)[0] == pytest.approx(chord_ratio(square, 1)[0] / 2)


def test_the_mean_chord_is_that_of_measure():
    image = blobs(2.5, 4)
    means, _ = chord_lengths(image)
    for place, axis in enumerate("yx"):
        row = means[(means.phase == "CAM") & (means.axis == axis)]
        assert mean_chord(image, 1, place)[0] == pytest.approx(float(row.mean_chord.iloc[0]), rel=0.02)


def test_planes_that_contradict_each_other():
    flat = blobs(2, 4, 1)  # z along the columns: short along z
    agreeing = {"xy": blobs(4, 4, 2), "xz": flat}
    assert contradiction_notes(agreeing) == []
    wrong = {"xy": blobs(4, 4, 2), "xz": blobs(4, 2, 1)}
    notes = contradiction_notes(wrong)
    assert notes
    assert all(note.startswith("along x the xy image shows") for note in notes)
    assert set(notes) <= set(check_exemplars(wrong).notes)
    assert check_exemplars(agreeing).across(2) is flat  # of two images the second is yz, too


def test_layers_without_an_end_along_an_axis_are_no_contradiction():
    layers = as_phases(np.repeat(np.tile([0, 0, 1, 1, 1], 32)[:, None], 160, axis=1).astype(np.uint8))
    assert math.isinf(mean_chord(layers, 1, 1)[0])
    square = as_phases(blobs(4, 4).index[0])
    for planes in ({"xy": square, "xz": layers}, {"xy": layers, "xz": square}, {"xy": layers, "xz": layers}):
        assert contradiction_notes(planes) == []


def test_one_image_that_is_not_isotropic_is_told_with_the_exemplars():
    assert any("not the same in all directions" in note for note in check_exemplars({"xy": blobs(2, 4)}).notes)
