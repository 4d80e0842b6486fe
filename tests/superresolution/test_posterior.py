"""Probabilities of the phases in fine voxels: how they are learned, what they are worth, what is written of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fijibridge.core.errors import SettingsError
from fijibridge.network.calibration import expected_calibration_error
from fijibridge.operations.superresolve import superresolve as operation
from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import check_exemplars
from fijibridge.superresolution import (
    SuperresolutionSettings,
    coarse_grey,
    coarse_labels,
    coarse_probabilities,
    learned_posterior,
    most_probable,
    tied,
)
from fijibridge.superresolution.observation import observation_of
from fijibridge.superresolution.posterior import posterior_of, with_means
from fijibridge.superresolution.posterior_network import symmetries, turned, turned_back

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ["pore", "ISE", "CAM"]
BLUR = 1.6  # FWHM, in coarse voxels
QUICK = SuperresolutionSettings(loss="patches", steps=12, slices_per_step=2, trust="coarse")


def structure(side: int, sigma: float = 3.0, seed: int = 0) -> np.ndarray:
    """Blobs of CAM (40 %), pores (15 %) around them, and ISE."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side,) * 3), sigma, mode="wrap")
    low, high = np.quantile(field, [0.45, 0.6])
    return np.where(field > high, 2, np.where(field > low, 0, 1)).astype(np.uint8)


def means(mask: np.ndarray, factor: int = 4) -> np.ndarray:
    z, y, x = (size // factor for size in mask.shape)
    return mask.reshape(z, factor, y, factor, x, factor).mean((1, 3, 5))


@pytest.fixture(scope="module")
def exemplars():
    return check_exemplars({"xy": as_phases(structure(96, seed=1)[40], class_names=NAMES)})


def labels_of(truth: np.ndarray, exemplars, factor: int = 4):
    seen = as_phases((means(truth == 2, factor) >= 0.5).astype(np.uint8), class_names=["rest", "CAM"])
    return coarse_labels(seen, exemplars.first, ["CAM"])


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def cubic(values: np.ndarray, fraction: float, factor: int = 4) -> np.ndarray:
    found = ndimage.zoom(values.astype(np.float32), factor, order=3, mode="nearest", grid_mode=True)
    return found > np.quantile(found, 1 - fraction)


@pytest.mark.parametrize("kind", ["labels", "probabilities", "grey"])
def test_it_is_calibrated_and_nearer_to_the_truth_than_interpolation(exemplars, kind):
    """Learned from another volume of the same material; interpolation cannot take a blur back."""
    truth, material = structure(48, seed=2), structure(48, seed=3)
    blurred = ndimage.gaussian_filter((truth == 2).astype(np.float32), 4 * BLUR / 2.3548, mode="wrap")
    shares = means(blurred)
    rng = np.random.default_rng(0)
    coarse = {
        "labels": partial(labels_of, truth, exemplars),
        "probabilities": lambda: coarse_probabilities(shares, exemplars.first, ["CAM"]),
        "grey": lambda: coarse_grey(1000 - 300 * shares + rng.normal(0, 5, shares.shape), exemplars.first, ["CAM"]),
    }[kind]()
    if kind == "grey":  # CAM is dark: another contrast than that of the micrograph
        coarse = replace(coarse, labels=1 - coarse.labels)
    tie = tied(coarse, exemplars, 4, replace(QUICK, psf=BLUR))
    found = posterior_of(tie.agreement, exemplars, QUICK, material)
    assert found.probabilities.shape == (3, 48, 48, 48)
    assert found.probabilities.sum(0) == pytest.approx(1, abs=1e-5)
    wanted = tie.agreement.fractions()
    np.testing.assert_allclose(found.probabilities.mean((1, 2, 3)), wanted, atol=1e-3)
    np.testing.assert_allclose(np.array(found.mean.counts) / truth.size, wanted, atol=1e-4)
    there, fraction = truth == 2, float(wanted[2])
    values = {"labels": coarse.labels == 0, "probabilities": shares, "grey": -coarse.values}[kind]
    assert overlap(found.mean.index == 2, there) > overlap(cubic(values, fraction), there) + 0.01
    both = np.stack([1 - found.probabilities[2].ravel(), found.probabilities[2].ravel()], axis=1)
    assert expected_calibration_error(both, there.ravel().astype(int)) < 0.03
    # unseen phases too: pores lie around CAM
    assert found.probabilities[0][truth == 0].mean() > 1.5 * found.probabilities[0][truth == 1].mean()


def test_what_is_seen_of_a_structure_is_what_a_coarse_volume_of_it_holds(exemplars):
    truth = structure(48, seed=2)
    blurred = ndimage.gaussian_filter((truth == 2).astype(np.float32), 4 * 1.0 / 2.3548, mode="nearest")
    shares = coarse_probabilities(means(blurred), exemplars.first, ["CAM"])
    for coarse in (labels_of(truth, exemplars), shares):
        seen = observation_of(tied(coarse, exemplars, 4, replace(QUICK, psf=1.0)).agreement)
        found = seen.of(truth)[:, ::4, ::4, ::4]
        inside = np.s_[:, 2:-2, 2:-2, 2:-2]  # the blur is cut off at the volume's faces
        np.testing.assert_allclose(found[inside], seen.given()[inside], atol=2e-3)


def test_intensities_and_noise_of_a_ct_are_found(exemplars):
    truth = structure(96, sigma=6, seed=2)
    noise = np.random.default_rng(0).normal(0, 8, (24, 24, 24))
    coarse = coarse_grey(30 + 160 * means(truth == 2) + noise, exemplars.first, ["CAM"])
    seen = observation_of(tied(coarse, exemplars, 4, replace(QUICK, psf=0.0)).agreement)
    np.testing.assert_allclose(seen.intensities, [190, 30], atol=12)
    assert 0.03 < seen.noise < 0.08  # of the contrast: 8 / 160 = 0.05


@settings(max_examples=25, deadline=None)
@given(number=st.integers(0, 47), side=st.integers(2, 4))
def test_a_symmetry_can_be_undone(number, side):
    import torch

    cubes = torch.arange(2 * side**3).reshape(2, side, side, side)
    turn = symmetries(isotropic=True)[number]
    assert torch.equal(turned_back(turned(cubes, turn), turn), cubes)


def test_all_symmetries_of_a_cube_are_different():
    import torch

    cube = torch.arange(27).reshape(3, 3, 3)
    assert len({tuple(turned(cube, turn).flatten().tolist()) for turn in symmetries(isotropic=True)}) == 48
    kept = symmetries(isotropic=False)
    assert len(kept) == 8
    assert all(order == (0, 1, 2) for order, _ in kept)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.9))
def test_means_are_set(seed, share):
    values = np.random.default_rng(seed).dirichlet([1, 1], (6, 6, 6)).transpose(3, 0, 1, 2).astype(np.float32)
    order = values[0].ravel().argsort()
    found = with_means(values, np.array([share, 1 - share]), 1e-4)
    assert found.sum(0) == pytest.approx(1, abs=1e-5)
    assert found[0].mean() == pytest.approx(share, abs=2e-3)
    assert (np.diff(found[0].ravel()[order]) >= -1e-6).all()


def test_factor_8_leaves_few_edges_along_the_coarse_grid(exemplars):
    truth, material = structure(48, sigma=5, seed=2), structure(72, sigma=5, seed=3)
    agreement = tied(labels_of(truth, exemplars, 8), exemplars, 8, QUICK).agreement
    found = posterior_of(agreement, exemplars, QUICK, material).mean.index == 2
    seen = np.kron(agreement.coarse.labels == 0, np.ones((8, 8, 8), bool))

    def trace(mask: np.ndarray) -> float:
        steps = [np.diff(np.moveaxis(mask, axis, 0), axis=0).mean((1, 2)) for axis in range(3)]
        return float(np.mean([each[7::8].mean() / (np.delete(each, np.s_[7::8]).mean() + 1e-9) for each in steps]))

    assert trace(seen) > 100
    assert trace(found) < 5
    assert overlap(found, truth == 2) > overlap(seen, truth == 2) + 0.05


def test_several_visible_phases(exemplars):
    truth = structure(48, seed=2)
    shares = np.stack([means(truth == phase) for phase in range(3)])
    seen = as_phases(shares.argmax(0).astype(np.uint8), class_names=NAMES)
    coarse = coarse_labels(seen, exemplars.first, NAMES)
    agreement = tied(coarse, exemplars, 4, QUICK).agreement
    found = posterior_of(agreement, exemplars, QUICK, structure(48, seed=3))
    assert found.agreement > 0.8
    for phase in (1, 2):
        plain = np.kron(seen.index == phase, np.ones((4, 4, 4), bool))
        assert overlap(found.mean.index == phase, truth == phase) > overlap(plain, truth == phase)


def test_a_seed_gives_the_same_probabilities(exemplars):
    import torch

    quick = replace(QUICK, steps=4)
    agreement = tied(labels_of(structure(32), exemplars), exemplars, 4, quick).agreement
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one = learned_posterior(agreement, exemplars, quick)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(one.probabilities, learned_posterior(agreement, exemplars, quick).probabilities)
    other = learned_posterior(agreement, exemplars, replace(quick, seed=1))
    assert (other.probabilities != one.probabilities).any()
    assert one.uncertainty().shape == one.mean.index.shape
    assert 0 <= one.uncertainty().min() < one.uncertainty().max() <= 1


def test_probabilities_beyond_the_memory(exemplars, monkeypatch):
    agreement = tied(labels_of(structure(32), exemplars), exemplars, 4, QUICK).agreement
    monkeypatch.setattr("fijibridge.core.machine.machine_memory", lambda: 2**20)
    with pytest.raises(SettingsError, match=r"probabilities of 3 phases in 32 x 32 x 32 voxels") as caught:
        learned_posterior(agreement, exemplars, QUICK)
    assert "parts" in caught.value.remedy


def test_one_phase_alone_and_a_phase_that_the_slice_lacks(exemplars):
    """A coarse volume of CAM alone but for one voxel; a slice of two phases."""
    quick = replace(QUICK, steps=4)
    truth = np.full((32, 32, 32), 2, np.uint8)
    truth[:4, :4, :4] = 1
    found = most_probable(labels_of(truth, exemplars), exemplars, 4, quick)
    assert (found.phases.index == 2).mean() > 0.95
    assert np.isfinite(found.posterior.probabilities).all()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("posterior")
    seen = (means(structure(32) == 2) >= 0.5).astype(np.uint8)
    size = {"resolution": (20, 20), "metadata": {"axes": "ZYX", "unit": "um", "spacing": 0.05}}
    tifffile.imwrite(folder / "coarse.tif", seen, imagej=True, **size)
    fine = {"resolution": (80, 80), "metadata": {"unit": "um"}}
    tifffile.imwrite(folder / "sem.tif", structure(96, seed=1)[40], imagej=True, **fine)
    return folder


OPTIONS = {"visible": "CAM", "classes": ",".join(NAMES), "coarse_classes": "rest,CAM", "trust": "coarse", "steps": 3}


def test_the_operation_writes_the_most_probable_volume_beside_the_sample(files, tmp_path):
    report = operation(
        files / "coarse.tif", micrographs=[files / "sem.tif"], out=tmp_path / "fine.tif", probabilities=True,
        loss="patches", slices_per_step=2, **OPTIONS,
    )  # fmt: skip
    folder = tmp_path / "fine_report"
    assert {"mean.tif", "uncertainty.tif", "probabilities.tif", "posterior.png"} <= set(report["outputs"])
    with tifffile.TiffFile(folder / "mean.tif") as file:
        mean = file.asarray()
        assert file.imagej_metadata["spacing"] == pytest.approx(0.0125)
    shares = np.bincount(mean.ravel(), minlength=3) / mean.size
    found = json.loads((folder / "report.json").read_text())["posterior"]
    np.testing.assert_allclose(shares, list(found["class_fractions"].values()), atol=1e-5)
    probabilities = tifffile.imread(folder / "probabilities.tif")
    assert probabilities.shape == (32, 3, 32, 32)
    assert probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    unsure = tifffile.imread(folder / "uncertainty.tif")
    assert unsure.dtype == np.float32
    assert unsure.mean() == pytest.approx(found["mean_uncertainty"], abs=1e-4)


def test_the_most_probable_volume_alone(files, tmp_path):
    """No weights of VGG19 are asked for, though the loss is the default."""
    report = operation(
        files / "coarse.tif", micrographs=[files / "sem.tif"], out=tmp_path / "fine.tif", samples=0, **OPTIONS
    )
    assert tifffile.imread(tmp_path / "fine.tif").shape == (32, 32, 32)
    assert "mean.tif" not in report["outputs"]
    assert (tmp_path / "fine_report" / "uncertainty.tif").is_file()
    assert any("smoother" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("change", "told"), [({"method": "gan"}, "no samples of a GAN"), ({"resume": True}, "nothing to resume")]
)
def test_no_samples_where_there_is_nothing_else(files, tmp_path, change, told):
    with pytest.raises(SettingsError, match=told):
        operation(
            files / "coarse.tif", micrographs=[files / "sem.tif"], out=tmp_path / "f", samples=0, **OPTIONS, **change
        )
    assert not list(tmp_path.iterdir())
