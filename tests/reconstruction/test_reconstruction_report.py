"""The report of a reconstruction: a volume against its exemplars, and its pictures."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import ndimage as ndi

from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import comparison as comparing
from fijibridge.reconstruction.comparison import COLUMNS, compare
from fijibridge.reconstruction.plots import write_comparison_pictures

NAMES = ["pore", "grain", "binder"]
COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def _blobs(shape=(40, 40, 40), seed=1, sigma=1.2):
    """Three phases, alike in all directions."""
    field = ndi.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma, mode="wrap")
    return np.digitize(field, np.quantile(field, [0.45, 0.8])).astype(np.uint8)


def _phases(labels, **about):
    return as_phases(labels, **{"class_names": NAMES, "spacing": 0.5, "unit": "um"} | about)


@pytest.fixture(scope="module")
def blobs():
    """(exemplars, volume, comparison): three planes of the volume itself."""
    labels = _blobs()
    images = {"xy": labels[20], "xz": labels[:, 20], "yz": labels[:, :, 20]}
    exemplars = {plane: _phases(image) for plane, image in images.items()}
    volume = _phases(labels)
    return exemplars, volume, compare(exemplars, volume, lags=12)


@pytest.fixture
def no_flow(monkeypatch):
    """Every volume is too large for the flow, which takes most of the time."""
    monkeypatch.setattr(comparing, "_TRANSPORT", 0)


def _value(found, metric, phase, *, column="volume", other="", plane="", axis=""):
    rows = found.rows(metric)
    rows = rows[(rows.phase == phase) & (rows.other == other) & (rows.plane == plane) & (rows.axis == axis)]
    assert len(rows) == 1
    return rows[column].iloc[0]


def test_a_volume_and_its_own_slices(blobs):
    exemplars, _, found = blobs
    assert tuple(found.table.columns) == COLUMNS
    assert not found.isotropic
    assert found.reach == 6.0  # um
    headline = found.headline()
    assert headline["fraction_points"] < 4
    assert headline["two_point_percent"] < 20
    assert headline["surface_percent"] < 10
    assert headline["axis_spread_percent"] < 10
    coarse = compare(exemplars, _phases(_blobs(sigma=2.5)), lags=12).headline()
    assert coarse["surface_percent"] > 30
    assert coarse["two_point_percent"] > headline["two_point_percent"]
    share = (exemplars["xz"].index == 1).mean()
    assert _value(found, "fraction", "grain", column="exemplar", plane="xz") == pytest.approx(share)
    pairs = found.rows("cross_correlation")[["phase", "other"]].drop_duplicates()
    assert len(pairs) == 3


def test_one_image_stacked_up_differs_in_nothing_in_its_own_plane(no_flow):
    image = _blobs((1, 64, 64), seed=3)[0]
    volume = _phases(np.repeat(image[None], 32, axis=0))
    found = compare({"xy": _phases(image), "xz": _phases(volume.index[:, 10])}, volume, lags=16)
    same = found.table[found.table.plane == "xy"]
    assert same[same.metric != "mean_chord"].difference.abs().max() < 1e-5
    assert same[same.metric == "mean_chord"].difference.abs().max() < 1e-9
    assert len(same[same.metric == "perimeter"]) == 3


def test_isotropic_material_has_one_exemplar_for_all_planes(no_flow):
    labels = _blobs((24, 96, 96))
    found = compare({"xy": _phases(labels[12])}, _phases(labels), lags=8)
    assert found.isotropic
    assert set(found.rows("autocorrelation").plane) == {"xy", "xz", "yz"}
    assert set(found.rows("fraction").plane) == {"all"}
    # stereology: of round bodies 4/pi times the perimeter is the surface, to the noise of one slice
    assert found.rows("specific_surface").error.abs().max() < 12
    assert found.rows("correlation_spread", "intercept_spread").exemplar.notna().all()


def test_of_several_images_of_a_plane_the_means_count(no_flow):
    labels = _blobs((24, 64, 80))
    images = [_phases(labels[place]) for place in (2, 12, 22)]
    volume = _phases(labels)
    apart = [compare({"xy": image}, volume, lags=8) for image in images]
    together = compare({"xy": images}, volume, lags=8)
    again = compare({"xy": images[:1] * 2}, volume, lags=8)
    for metric in ("fraction", "perimeter", "autocorrelation", "specific_surface"):
        mean = np.mean([one.rows(metric).exemplar for one in apart], axis=0)
        assert together.rows(metric).exemplar.to_numpy() == pytest.approx(mean, rel=1e-6)
        assert again.rows(metric).error.to_numpy() == pytest.approx(apart[0].rows(metric).error, rel=1e-6)
    chords = [one.rows("mean_chord").exemplar.to_numpy() for one in (*apart, together)]
    assert (np.min(chords[:3], axis=0) <= chords[3]).all()
    assert (chords[3] <= np.max(chords[:3], axis=0)).all()
    assert again.rows("mean_chord").exemplar.to_numpy() == pytest.approx(chords[0], rel=1e-12)
    distribution = together.curves["chords"]
    sums = distribution[distribution.which == "exemplar"].groupby(["phase", "plane", "axis"]).probability.sum()
    assert sums.to_numpy() == pytest.approx(1)
    other = _phases(labels[2], spacing=0.4)
    with pytest.raises(SettingsError, match=r"2 images of the plane xy with pixels of 0.4 x 0.4 .* and 0.5 x 0.5"):
        compare({"xy": [images[0], other]}, volume)


def test_numbers_of_a_laminate():
    """Layers of 4 voxels across z: chords, percolation, conductivity and the spread between axes are known."""
    labels = np.zeros((48, 32, 32), np.uint8)
    labels[np.arange(48) // 4 % 2 == 1] = 1
    about = {"class_names": ["a", "b"], "spacing": 1, "unit": "px"}
    exemplars = {"xz": as_phases(labels[:, 0], **about), "yz": as_phases(labels[:, :, 0], **about)}
    found = compare(exemplars, as_phases(labels, **about), lags=8)
    assert found.headline()["fraction_points"] == 0
    assert found.headline()["two_point_percent"] < 1e-3
    assert found.headline()["surface_percent"] < 1e-6
    assert _value(found, "mean_chord", "a", plane="xz", axis="z") == pytest.approx(47 / 11)
    assert math.isinf(_value(found, "mean_chord", "a", plane="xz", axis="x"))
    assert _value(found, "intercept_density", "a", axis="z") == pytest.approx(11 / 47)  # 11 boundaries
    assert _value(found, "intercept_density", "a", axis="y") == 0
    assert [_value(found, "percolating", "b", axis=axis) for axis in "zyx"] == [0, 1, 1]
    assert _value(found, "largest_component", "b") == pytest.approx(1 / 6)  # one layer
    conductivities = [_value(found, "relative_conductivity", "b", axis=axis) for axis in ("z", "y", "x", "")]
    assert conductivities == pytest.approx([0, 0.5, 0.5, 1 / 3], abs=1e-4)
    assert _value(found, "tortuosity_factor", "b") == pytest.approx(1.5, rel=1e-3)
    # along z the correlation at a lag of 4 is 0, along the layers always 1/2
    assert _value(found, "correlation_spread", "a") > 50
    assert _value(found, "correlation_spread", "a", column="exemplar") > 50
    assert _value(found, "intercept_spread", "a") == pytest.approx(300)


def test_a_missing_phase_is_a_row():
    labels = _blobs((32, 32, 32))
    lacking = np.where(labels == 2, 1, labels)
    volume = _phases(lacking, class_names=NAMES[:2])
    found = compare({"xy": _phases(labels[16])}, volume, lags=8)
    assert _value(found, "fraction", "binder", plane="all") == 0
    assert _value(found, "fraction", "binder", plane="all", column="error") == pytest.approx(-100)
    assert _value(found, "specific_surface", "binder", plane="all") == 0
    assert math.isnan(_value(found, "mean_chord", "binder", plane="xy", axis="x"))
    assert _value(found, "percolating", "binder", axis="z") == 0
    assert _value(found, "relative_conductivity", "binder") == 0
    assert any("binder" in note for note in found.notes)
    # a list of phases that has it, with no voxel
    padded = dataclasses.replace(volume, values=(0, 1, 2), names=tuple(NAMES), counts=(*volume.counts, 0))
    again = compare({"xy": _phases(labels[16])}, padded, lags=8)
    assert again.headline() == found.headline()


def test_a_volume_of_one_phase_alone():
    labels = _blobs((16, 24, 24))
    found = compare({"xy": _phases(labels[0])}, _phases(np.zeros((16, 24, 24), np.uint8), class_names=["pore"]), lags=4)
    assert _value(found, "fraction", "pore", plane="all") == 1
    assert _value(found, "tortuosity_factor", "pore") == pytest.approx(1)
    json.dumps(found.summary(), allow_nan=False)


def test_pixels_of_another_size_are_interpolated(no_flow):
    labels = _blobs((16, 48, 48))
    fine = _phases(labels[8].repeat(2, axis=0).repeat(2, axis=1), spacing=0.25)
    coarse = _phases(labels[8])
    volume = _phases(labels)
    one, other = (compare({"xy": image}, volume, lags=12).rows("autocorrelation") for image in (fine, coarse))
    assert np.allclose(one.exemplar, other.exemplar, atol=0.01)


def test_large_volumes_are_correlated_in_parts(no_flow, monkeypatch):
    labels = _blobs((40, 40, 40))
    exemplars, volume = {"xy": _phases(labels[20])}, _phases(labels)
    whole = compare(exemplars, volume, lags=6)
    monkeypatch.setattr(comparing, "_WHOLE", 27)
    parts = compare(exemplars, volume, lags=6)
    one, other = (found.rows("autocorrelation").volume for found in (whole, parts))
    assert np.allclose(one, other, atol=0.01)
    assert parts.rows("tortuosity_factor").empty
    assert any("256^3" in note for note in parts.notes)


def test_summary_is_json(blobs):
    summary = json.loads(json.dumps(blobs[2].summary(), allow_nan=False))
    assert summary["headline"] == pytest.approx(blobs[2].headline())
    assert set(summary["metrics"]["fraction"]["grain"]["xy"]) == {"exemplar", "volume", "difference", "error"}
    assert "volume" in summary["metrics"]["interface_length"]["pore / grain"]["yz"]
    assert "volume" in summary["metrics"]["percolating"]["grain"]["z"]


def test_curves(blobs):
    curves = blobs[2].curves
    chords, correlation = curves["chords"], curves["correlation"]
    assert set(chords.which) == set(correlation.which) == {"exemplar", "volume"}
    assert set(correlation.axis) == {"radial", "z", "y", "x"}
    of_xz = correlation[(correlation.plane == "xz") & (correlation.axis == "z")]
    assert len(of_xz)
    assert correlation[(correlation.plane == "xz") & (correlation.axis == "y")].empty


def test_errors_say_what_is_wrong():
    image, volume = _phases(_blobs((1, 16, 16))[0]), _phases(_blobs((16, 16, 16)))
    for exemplars in ({}, {"zx": image}, {"xy": volume}):
        with pytest.raises(SettingsError):
            compare(exemplars, volume)
    with pytest.raises(SettingsError, match="2D"):
        compare({"xy": image}, image)
    with pytest.raises(SettingsError, match="nm"):
        compare({"xy": image}, _phases(_blobs((16, 16, 16)), unit="nm"))
    with pytest.raises(SettingsError, match="lags"):
        compare({"xy": image}, volume, lags=0)
    with pytest.raises(LabelsError, match="value 9"):
        compare({"xy": image}, _phases(_blobs((16, 16, 16)) * 9, class_names=["pore", "x", "y"]))
    with pytest.raises(LabelsError, match="grain and stone"):
        compare({"xy": image}, _phases(_blobs((16, 16, 16)), class_names=["pore", "stone", "binder"]))


# --- pictures --------------------------------------------------------------------------------------------------------

FILES = ["slices.png", "fractions.png", "correlation.png", "surface.png", "chords.png", "view.png"]


def test_pictures(blobs, tmp_path):
    exemplars, volume, found = blobs
    assert write_comparison_pictures(found, exemplars, volume, tmp_path, COLOURS, transparent=["pore"]) == FILES
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in FILES)


def test_pictures_of_one_exemplar_and_a_missing_phase(no_flow, tmp_path):
    labels = _blobs((24, 30, 36))
    exemplars = {"xy": _phases(_blobs((1, 64, 64))[0], unit="px")}
    volume = _phases(np.where(labels == 2, 0, labels), class_names=NAMES[:2], unit="px")
    found = compare(exemplars, volume, lags=8)
    assert write_comparison_pictures(found, exemplars, volume, tmp_path) == FILES
