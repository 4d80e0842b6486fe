"""Models fitted to slices, and volumes of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.operations.generate import generate
from fijibridge.parametric import fitting, generation
from fijibridge.parametric.excursion import Kind
from fijibridge.parametric.fitting import fit
from fijibridge.parametric.generation import memory_needed, parametric_start, volume_of
from fijibridge.parametric.model import Model, Step, model_from_dict
from fijibridge.parametric.settings import fractions_of, stretch_of
from fijibridge.parametric.spectrum import Spectrum
from fijibridge.parametric.statistics import correlations, differences, slice_statistics
from fijibridge.phases.phases import as_phases

WIDE = Spectrum((40.0, 20.0, 12.0, 8.0, 2.0), (0.1, 0.6, 0.25, 0.05, 0.0))
FINE = Spectrum((24.0, 10.0, 6.0, 4.0, 2.0), (0.1, 0.4, 0.4, 0.1, 0.0))
MODEL = Model(
    ("matrix", "particles", "binder"), (1, 5, 7), (0.45, 0.4, 0.15),
    (Step(1, Kind(1), WIDE), Step(2, Kind(), FINE, 0, 0.6)), 32, spacing=0.1, unit="um",
)  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    """Few kinds and small simulated slices: a fit in a second or two."""
    monkeypatch.setattr(fitting, "KINDS", (Kind(), Kind(1)))
    monkeypatch.setattr(fitting, "_PIXELS", 20_000)
    monkeypatch.setattr(fitting, "_MOST_KEPT", 2)
    monkeypatch.setattr(fitting, "_ITERATIONS", 2)


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return volume_of(MODEL, (20, 128, 128), seed=3)


@pytest.fixture
def slice_file(volume, tmp_path):
    path = tmp_path / "slice.tif"
    tifffile.imwrite(path, np.array(MODEL.values, np.uint8)[volume[5]])
    return path


# --- volumes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(16, 40, 33), (64, 64, 64), (1, 50, 50)])
def test_fractions_are_exact(shape, periodic):
    made = volume_of(MODEL, shape, seed=1, periodic=periodic)
    assert made.shape == shape
    assert made.dtype == np.uint8
    counts = np.bincount(made.ravel(), minlength=3)
    assert np.abs(counts - np.array(MODEL.fractions) * made.size).max() <= 1


def test_the_same_seed_gives_the_same_volume():
    first, again, other = (volume_of(MODEL, (24, 30, 28), seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


def test_threads_do_not_change_it():
    one, two = (volume_of(MODEL, (24, 30, 28), threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_only_a_periodic_volume_goes_on_at_its_opposite_sides():
    def steps(made: np.ndarray) -> tuple[float, float]:
        return float((made[0] != made[-1]).mean()), float((made[1:] != made[:-1]).mean())

    seam, inside = steps(volume_of(MODEL, (64, 96, 96), periodic=True))
    assert seam < 1.3 * inside
    seam, inside = steps(volume_of(MODEL, (64, 96, 96)))
    assert seam > 2 * inside


def test_a_phase_lies_near_the_one_that_it_follows():
    def near(leaning: float) -> float:
        steps = (MODEL.steps[0], Step(2, Kind(), FINE, 0, leaning))
        made = volume_of(Model(MODEL.names, MODEL.values, MODEL.fractions, steps, 32), (48, 48, 48))
        return float(((made[1:] == 1) & (made[:-1] == 2)).mean())

    assert near(0.8) > 1.5 * near(0.0) > 1.5 * near(-0.8)


def test_larger_lengths_make_larger_features():
    def differing(model: Model) -> float:
        made = volume_of(model, (64, 64, 64))
        return float((made[1:] != made[:-1]).mean())

    assert differing(MODEL.with_lengths(2)) == pytest.approx(differing(MODEL) / 2, rel=0.15)
    assert differing(MODEL.with_lengths(1, (2, 1, 1))) == pytest.approx(differing(MODEL) / 2, rel=0.25)


def test_a_volume_that_does_not_fit_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr("fijibridge.core.machine.free_memory", lambda: 2**30)
    with pytest.raises(SettingsError, match="GiB") as error:
        volume_of(MODEL, (1000, 1000, 1000))
    side = int(error.value.expected.split("some ")[1].split("^")[0])
    assert memory_needed(MODEL, (side,) * 3) < 2**30


# --- the fit ----------------------------------------------------------------------------------------------------------


def test_a_known_model_is_found_again(monkeypatch, volume):
    monkeypatch.setattr(fitting, "KINDS", (Kind(), Kind(1), Kind(2, False)))
    monkeypatch.setattr(fitting, "_PIXELS", 60_000)
    monkeypatch.setattr(fitting, "_MOST_KEPT", 2)
    found = fit([as_phases(volume[place], class_names=MODEL.names) for place in (2, 17)])
    model = found.model
    assert model.steps[0].phase == 1
    assert model.steps[0].kind == Kind(1)
    lags = np.arange(12)
    wanted, correlation = (step.spectrum.correlation(lags) for step in (MODEL.steps[0], model.steps[0]))
    assert np.abs(np.abs(wanted) - np.abs(correlation)).mean() < 0.12
    assert all(own["two_point"] < 4 for own in found.differences.values())


@pytest.mark.usefixtures("quick")
def test_a_volume_has_the_slices_two_point_function():
    truth = volume_of(MODEL, (4, 128, 128), seed=8)
    exemplar = as_phases(truth[1], class_names=MODEL.names)
    made = parametric_start([exemplar], (16, 128, 128), seed=2)
    assert np.abs(np.bincount(made.ravel()) / made.size - np.array(exemplar.counts) / exemplar.index.size).max() < 1e-4
    pairs = [(phase, phase) for phase in range(3)]
    _, _, wanted = correlations(truth[1][None], pairs, 24)
    _, _, found = correlations(made, pairs, 24)
    for phase, share in enumerate(MODEL.fractions):
        assert np.abs(found[phase, phase] - wanted[phase, phase]).mean() < 0.06 * share * (1 - share)


@pytest.mark.usefixtures("quick")
def test_a_stretched_slice_gives_a_stretched_volume():
    made = volume_of(MODEL.with_lengths(1, (1, 1, 2)), (3, 128, 128))
    found = fit([as_phases(made[1], class_names=MODEL.names)])
    _, y, x = found.model.stretch
    assert 1.5 < x / y < 2.7
    assert y * x == pytest.approx(1)
    assert "along y" in found.notes[0]


def test_slices_of_one_model_hardly_differ(volume):
    one, same = (slice_statistics(volume[cut], 3, 24) for cut in (slice(0, 10), slice(10, 20)))
    other = slice_statistics(np.random.default_rng(0).permuted(volume[:10], axis=2), 3, 24)
    near, far = differences(one, same), differences(one, other)
    for name in ("two_point", "chords", "euler"):
        assert near[name].mean() < 0.4 * far[name].mean(), name


def test_a_slice_that_cannot_serve_is_refused():
    rng = np.random.default_rng(0)
    good = rng.integers(0, 2, (64, 64)).astype(np.uint8)
    with pytest.raises(LabelsError, match="one phase only"):
        fit([as_phases(np.zeros((64, 64), np.uint8))])
    few = good.copy()
    few[0, :7] = 2
    with pytest.raises(LabelsError, match="7 pixels"):
        fit([as_phases(few)])
    with pytest.raises(ImageError, match="20 x 64"):
        fit([as_phases(good[:20])])
    with pytest.raises(ImageError, match="2 x 64 x 64"):
        fit([as_phases(np.stack([good, good]))])


# --- the operation ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_generate_writes_volume_parameters_and_report(slice_file, tmp_path):
    report = generate(slice_file, out=tmp_path / "v.tif", volume_size="40", classes="matrix,particles,binder", seed=1)
    made = tifffile.imread(tmp_path / "v.tif")
    assert made.shape == (40, 40, 40)
    assert set(np.unique(made)) == {1, 5, 7}
    assert report["headline"]["fraction_points"] < 0.05
    assert set(report["fit"]) == {"matrix", "particles", "binder"}
    for name in ("report.json", "parameters.json", "slices.png", "comparison.csv"):
        assert (tmp_path / "v_report" / name).is_file()
    # the parameters in place of the slice: the same volume
    parameters = tmp_path / "v_report" / "parameters.json"
    generate(parameters, out=tmp_path / "w.tif", volume_size="40", seed=1)
    again = tifffile.imread(tmp_path / "w.tif")
    assert (again != made).mean() < 0.01  # they are rounded
    # changed
    changed = generate(
        parameters, out=tmp_path / "x.tif", volume_size="24", set_fractions="particles=0.2", stretch="0.5,1,1"
    )
    shares = changed["class_fractions"]
    assert shares["particles"] == pytest.approx(0.2, abs=1e-3)
    assert shares["matrix"] / shares["binder"] == pytest.approx(
        report["class_fractions"]["matrix"] / report["class_fractions"]["binder"], rel=0.02
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"set_fractions": "pore=0.3"}, "pore"),
        ({"set_fractions": "particles=30"}, "between 0 and 1"),
        ({"set_fractions": "particles=0.6,binder=0.5"}, "sum below 1"),
        ({"stretch": "1,2"}, "three factors"),
        ({"scale_lengths": 20.0}, "0.1 to 10"),
        ({"scale_lengths": 9.0, "stretch": "9,1,1"}, "factors from 0.1"),
        ({"volume_size": "0"}, "number of voxels"),
        ({"classes": "a,b,c"}, "a slice alone"),
    ],
)
def test_bad_options_are_answered(tmp_path, options, words):
    parameters = tmp_path / "parameters.json"
    parameters.write_text(json.dumps(MODEL.as_dict()), encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        generate(parameters, out=tmp_path / "v.tif", **{"volume_size": "16", **options})
    assert words in str(error.value)
    assert not (tmp_path / "v.tif").exists()


def test_parameters_are_read_back():
    again = model_from_dict(json.loads(json.dumps(MODEL.as_dict())))
    assert (again.names, again.values, again.unit, again.spacing) == (MODEL.names, MODEL.values, "um", 0.1)
    assert [(step.phase, step.kind, step.follows, step.leaning) for step in again.steps] == [
        (step.phase, step.kind, step.follows, step.leaning) for step in MODEL.steps
    ]
    lags = np.arange(30)
    for one, other in zip(again.steps, MODEL.steps, strict=True):
        assert one.spectrum.correlation(lags) == pytest.approx(other.spectrum.correlation(lags), abs=1e-4)


def _without(key):
    return lambda values: values.pop(key)


def _step(**changes):
    return lambda values: values["steps"][1].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        *(_without(key) for key in ("fijibridge_parameters", "phases", "fractions", "steps", "stretch", "voxel_size")),
        *(
            _step(**changes)
            for changes in (
                {"phase": "pore"}, {"phase": "particles"}, {"field": "Poisson"}, {"degrees": 99, "field": "chi-square"},
                {"side": "left"}, {"follows": "matrix"}, {"leaning": 1.5}, {"leaning": "much"}, {"spectrum": []},
                {"spectrum": [[10, 1]]}, {"spectrum": [[4, 1], [10, 1]]}, {"white": -1},
            )
        ),
        lambda values: values["fractions"].update(matrix=-1),
        lambda values: values["stretch"].update(z=0),
    ],
)  # fmt: skip
def test_parameters_that_make_no_structure_are_refused(change):
    values = MODEL.as_dict()
    change(values)
    with pytest.raises(SettingsError):
        model_from_dict(values)


def test_a_file_that_is_no_parameters_is_answered(tmp_path):
    path = tmp_path / "parameters.json"
    path.write_text('{"phases": ', encoding="utf-8")
    with pytest.raises(ImageError, match="cannot be read"):
        generate(path, out=tmp_path / "v.tif")
    path.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(SettingsError, match="no parameters"):
        generate(path, out=tmp_path / "v.tif")


def test_texts_of_options():
    assert fractions_of("pore=0.3, carbon black=0.05") == {"pore": 0.3, "carbon black": 0.05}
    assert fractions_of("") == {}
    assert stretch_of("0.7,1,1") == (0.7, 1, 1)


def test_the_padding_ends(monkeypatch):
    """A field that never comes to rest makes no endless volume."""
    monkeypatch.setattr(generation, "_correlated", lambda step: 10_000)
    assert volume_of(MODEL, (8, 8, 8)).shape == (8, 8, 8)
