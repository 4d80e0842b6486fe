"""Pictures of volumes."""

from __future__ import annotations

import numpy as np
import pytest

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.phases import render

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def _drawn(picture):
    return (picture != 255).any(axis=2)


def _hues(picture):
    """Which channel is the strongest, of what is drawn."""
    return set(picture[_drawn(picture)].argmax(axis=1))


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (35, 25), (200, -40), (90, 90)])
def test_the_shadow_of_a_sphere_and_of_its_box(azimuth, elevation):
    size, radius = 41, 18
    z, y, x = np.mgrid[:size, :size, :size] - size // 2
    labels = (z**2 + y**2 + x**2 <= radius**2).astype(np.uint8)
    about = {"azimuth": azimuth, "elevation": elevation, "cut": False, "size": 200}
    sphere = _drawn(render(labels, COLOURS, transparent=(0,), **about))
    box = _drawn(render(labels, COLOURS, **about))
    turn, rise = np.radians([azimuth, elevation])
    sides = abs(np.sin(rise)) + abs(np.cos(rise) * np.cos(turn)) + abs(np.cos(rise) * np.sin(turn))
    # voxels whose centres lie in the sphere reach at most half their diagonal out of it
    smallest, largest = (np.pi * r**2 / (size**2 * sides) for r in (radius - 0.2, radius + 3**0.5 / 2))
    assert smallest < sphere.sum() / box.sum() < largest


def test_the_cut_corner_shows_the_inside():
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[4:-4, 4:-4, 4:-4] = 1
    assert _hues(render(labels, COLOURS, size=100, cut=False)) == {0}
    assert _hues(render(labels, COLOURS, size=100)) == {0, 1}
    # the outline stays
    whole, cut = (_drawn(render(labels, COLOURS, size=100, cut=cut)) for cut in (False, True))
    assert np.array_equal(whole, cut)
    assert _hues(render(labels, COLOURS, size=100, cut=False, transparent=(0,))) == {1}


def test_sides_are_where_they_are_said_to_be():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[:2] = 1  # first slices: on top
    labels[2:, :, 8:] = 2  # large x: right
    picture = render(labels, COLOURS, size=100, azimuth=0, elevation=0, cut=False)
    assert [picture[row, column].argmax() for row, column in ((10, 50), (50, 90), (50, 30))] == [1, 2, 0]


def test_flat_voxels_and_the_size_of_the_picture():
    picture = render(np.zeros((5, 20, 20), np.uint8), COLOURS, size=120, azimuth=0, elevation=0, spacing=(2, 1, 1))
    assert picture.shape[1] == 120
    rows, columns = np.nonzero(_drawn(picture))
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(2, rel=0.05)
    assert picture.dtype == np.uint8


def test_nothing_to_see_is_white():
    labels = np.full((6, 6, 6), 255, np.uint8)
    labels[0] = 1
    assert not _drawn(render(labels, COLOURS, size=50, transparent=(1,))).any()


def test_view_errors():
    with pytest.raises(ImageError):
        render(np.zeros((4, 4), np.uint8), COLOURS)
    with pytest.raises(LabelsError, match="3 colours"):
        render(np.full((4, 4, 4), 3, np.uint8), COLOURS)
    with pytest.raises(SettingsError):
        render(np.zeros((4, 4, 4), np.uint8), COLOURS, size=2)
