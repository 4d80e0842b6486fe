"""Fine volumes from coarse ones: small ones, of labels, probabilities and grey values, whole, in chunks, in samples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import BridgeError, ImageError, LabelsError, OutputError, SettingsError
from fijibridge.operations.superresolve import superresolve as operation
from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import check_exemplars
from fijibridge.reconstruction import volume as making
from fijibridge.superresolution import (
    SuperresolutionSettings,
    coarse_grey,
    coarse_labels,
    coarse_probabilities,
    superresolve,
    tied,
)
from fijibridge.superresolution.coarse import check_factor
from fijibridge.superresolution.partial_volume import (
    coarse_fractions,
    cube_variance,
    equal_side,
    fitted_offsets,
    group_masks,
)
from fijibridge.superresolution.psf import estimated_psf
from fijibridge.superresolution.samples import made_samples

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

NAMES = ["pore", "ISE", "CAM"]
FAST = SuperresolutionSettings(loss="patches", steps=12, slices_per_step=3)


def structure(shape: tuple[int, ...], sigma: float = 3.0, seed: int = 0) -> np.ndarray:
    """Blobs of CAM (30 %), and 15 % pores in the ISE: blurred noise, cut at its quantiles."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal(shape), size, mode="wrap") for size in (sigma, sigma / 2)]
    cam = fields[0] > np.quantile(fields[0], 0.7)
    pore = ~cam & (fields[1] > np.quantile(fields[1][~cam], 1 - 0.15 / 0.7))
    return np.where(cam, 2, np.where(pore, 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def truth():
    return structure((32, 32, 32))


def typical(volume: np.ndarray, count: int = 1) -> np.ndarray:
    """Slices of a volume whose fractions are nearest to its own."""
    apart = [abs((plane == 2).mean() - 0.3) + abs((plane == 0).mean() - 0.15) for plane in volume]
    return volume[np.argsort(apart)[:count]]


@pytest.fixture(scope="module")
def exemplars():
    return check_exemplars({"xy": as_phases(typical(structure((96, 96, 96), seed=1))[0], class_names=NAMES)})


def means(mask: np.ndarray, factor: int = 4) -> np.ndarray:
    """Share of each coarse voxel."""
    z, y, x = (size // factor for size in mask.shape)
    return mask.reshape(z, factor, y, factor, x, factor).mean((1, 3, 5))


@pytest.fixture(scope="module")
def coarse(truth, exemplars):
    labels = (means(truth == 2) >= 0.5).astype(np.uint8)
    return coarse_labels(as_phases(labels, class_names=["rest", "CAM"]), exemplars.first, ["CAM"])


@pytest.fixture(scope="module")
def made(coarse, exemplars):
    return superresolve(coarse, exemplars, 4, FAST)


def test_unevenness_tells_a_volume_that_knows_the_coarse_grid(truth, exemplars):
    """A material does not; voxels that end at the faces of coarse ones do."""
    import torch

    labels = (means(truth == 2) >= 0.5).astype(np.uint8)
    coarse = coarse_labels(as_phases(labels, class_names=["rest", "CAM"]), exemplars.first, ["CAM"])
    agreement = tied(coarse, exemplars, 4, replace(FAST, trust="coarse")).agreement

    def unevenness(index: np.ndarray, factor: int = 1) -> float:
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(index.astype(np.int64)), 3).permute(3, 0, 1, 2).float()
        return float(agreement.unevenness(one_hot, factor))

    blocks = np.where(labels == 1, 2, 1).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    assert unevenness(blocks) == pytest.approx(3)  # all changes at one of four places: (4 - 1)^2 / 4 + 3 / 4
    assert unevenness(truth) < 0.05
    assert unevenness(blocks[::4, ::4, ::4], 4) == 0  # at the coarse level there is nothing to be even about


def test_dense_regions_are_told(exemplars):
    """Contacts are not parted where the coarse volume shows nothing but the phase."""
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[1:8, 1:7, 0:4] = 1
    coarse = coarse_labels(as_phases(labels, class_names=["rest", "CAM"]), exemplars.first, ["CAM"])
    agreement = tied(coarse, exemplars, 4, replace(FAST, trust="coarse")).agreement
    found = agreement.surrounded(2)
    wanted = np.zeros((32, 32, 32), bool)
    wanted[12:32, 12:20, 0:8] = True  # at the volume's face what is outside is taken to go on
    np.testing.assert_array_equal(found, wanted)
    assert not agreement.surrounded(0).any()  # pores and ISE look the same


def test_the_fine_volume_is_the_coarse_one_seen_closer(made, coarse, truth):
    assert made.phases.index.shape == (32, 32, 32)
    assert made.phases.names == tuple(NAMES)
    assert made.agreement == 1.0
    seen = means(made.phases.index == 2) >= 0.5
    np.testing.assert_array_equal(seen, coarse.labels == 0)
    overlap = lambda found: ((found == 2) & (truth == 2)).sum() / ((found == 2) | (truth == 2)).sum()  # noqa: E731
    assert overlap(made.phases.index) > 0.6
    assert overlap(made.phases.index) > overlap(np.kron(np.where(coarse.labels == 0, 2, 1), np.ones((4, 4, 4)))) - 0.02


def test_fractions_of_what_it_shows_come_from_it_and_the_others_from_the_slices(made, exemplars):
    wanted = made.tie.agreement.fractions()
    found = np.array(made.phases.counts) / sum(made.phases.counts)
    np.testing.assert_allclose(found, wanted, atol=0.003)
    ratio = exemplars.fractions[0] / exemplars.fractions[:2].sum()
    assert abs(found[0] / found[:2].sum() - ratio) < 0.01
    assert made.tie.names == ("CAM", "pore + ISE")


def test_a_seed_gives_the_same_volume(made, coarse, exemplars):
    again = superresolve(coarse, exemplars, 4, FAST)
    np.testing.assert_array_equal(again.phases.index, made.phases.index)
    other = superresolve(coarse, exemplars, 4, replace(FAST, seed=1))
    assert (other.phases.index != made.phases.index).any()


def test_blocks_agree_as_the_whole_does(exemplars):
    whole = structure((48, 32, 32), seed=3)
    labels = (means(whole == 2) >= 0.5).astype(np.uint8)
    coarse = coarse_labels(as_phases(labels, class_names=["rest", "CAM"]), exemplars.first, ["CAM"])
    made = superresolve(coarse, exemplars, 4, replace(FAST, chunk=32))
    assert made.agreement == 1.0
    steps = (np.diff(made.phases.index.astype(int), axis=0) != 0).mean((1, 2))
    between = np.arange(3, 47, 4)  # coarse voxels
    assert steps[31] < 1.6 * steps[between[between != 31]].mean()  # the second block begins, new, at plane 32


def test_probabilities_are_matched(truth, exemplars):
    shares = means(truth == 2)
    coarse = coarse_probabilities(shares, exemplars.first, ["CAM"])
    found = superresolve(coarse, exemplars, 4, replace(FAST, psf=0, steps=25))
    error = means(found.phases.index == 2) - shares
    assert np.sqrt((error**2).mean()) < 0.12
    assert np.sqrt((error**2).mean()) < 0.5 * shares.std()
    np.testing.assert_allclose(found.tie.agreement.fractions()[2], shares.mean(), atol=1e-6)


def test_a_grey_ct_is_matched_with_intensities_of_its_own(truth, exemplars):
    rng = np.random.default_rng(0)
    grey = 40 + 100 * means(truth == 2) + rng.normal(0, 3, (8, 8, 8))
    coarse = coarse_grey(grey, exemplars.first, ["CAM"])
    assert coarse.labels[grey > 120].max() == 0  # bright is CAM
    found = superresolve(coarse, exemplars, 4, replace(FAST, psf=0, steps=25, trust="coarse"))
    import torch

    hard = torch.from_numpy((found.phases.index == np.arange(3)[:, None, None, None]).astype(np.float32))
    levels = found.tie.agreement.intensities(found.tie.agreement.shares(hard))
    np.testing.assert_allclose(levels, [140, 40], atol=14)  # after so few steps


@pytest.mark.parametrize("width", [0.6, 1.4])
def test_the_point_spread_function_is_found(exemplars, width):
    from scipy import ndimage

    volume = structure((96, 96, 96), sigma=6, seed=1)
    blurred = ndimage.gaussian_filter((volume == 2).astype(np.float32), width * 4 / 2.3548, mode="wrap")
    coarse = coarse_probabilities(means(blurred), exemplars.first, ["CAM"])
    assert abs(estimated_psf(coarse, 4) - width) < 0.35
    noise = np.random.default_rng(0).normal(0, 8, (24, 24, 24))
    grey = coarse_grey(30 + 150 * means(blurred) + noise, exemplars.first, ["CAM"])
    assert abs(estimated_psf(grey, 4) - width) < 0.35


def test_a_threshold_changes_fractions_as_the_slices_foretell():
    volume = structure((128, 128, 128), sigma=2.0, seed=2)
    fine = as_phases(volume[64])
    masks = [group_masks(fine, ((2,), (0, 1)))]
    shares = means(volume == 2)
    assert abs(cube_variance(masks[0][0], 4) / shares.var() - 1) < 0.15
    side = equal_side(masks, 4)
    expected = coarse_fractions(masks, side, np.zeros(2))[0]
    true = (shares >= 0.5).mean()
    fraction = (volume == 2).mean()
    assert true - fraction < -0.02  # it does change
    assert abs((expected - masks[0][0].mean()) - (true - fraction)) < 0.5 * abs(true - fraction)
    offsets = fitted_offsets(masks, side, np.array([0.4, 0.6]))
    assert abs(coarse_fractions(masks, side, offsets)[0] - 0.4) < 0.02  # squares have few values


def test_who_is_trusted(coarse):
    other = structure((96, 96), seed=5)
    other[structure((96, 96), sigma=1.5, seed=6) == 2] = 1  # less CAM
    slices = check_exemplars({"xy": as_phases(other, class_names=NAMES)})
    with pytest.raises(SettingsError, match=r"CAM .* % in the coarse volume, .* % as it would see the slices"):
        tied(coarse, slices, 4)
    by_coarse = tied(coarse, slices, 4, SuperresolutionSettings(trust="coarse"))
    by_slices = tied(coarse, slices, 4, SuperresolutionSettings(trust="slices"))
    share = (other == 2).mean()
    assert abs(by_slices.agreement.fractions()[2] - share) < 0.01
    assert by_coarse.agreement.fractions()[2] > share + 0.03
    assert by_slices.agreement.offsets[0] > 0.05  # its threshold was low
    assert any("disagree" in note for note in by_coarse.notes)


def test_samples_are_stopped_and_resumed(coarse, exemplars, tmp_path, monkeypatch):
    short = replace(FAST, steps=4)
    whole = made_samples(coarse, exemplars, 4, short, 2)
    assert (whole[0].phases.index != whole[1].phases.index).any()
    monkeypatch.setattr(making, "_SAVE_S", 0.0)
    state = tmp_path / "fine.resume"
    write = making._Saver._write
    savers = []

    def stopping(self, *given, **named):
        write(self, *given, **named)
        savers.append(self)
        if self is not savers[0] and savers.count(self) == 2:  # in the second sample
            raise KeyboardInterrupt

    monkeypatch.setattr(making._Saver, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        made_samples(coarse, exemplars, 4, short, 2, state_file=state)
    monkeypatch.setattr(making._Saver, "_write", write)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fine.resume", "fine.resume-1"]
    again = made_samples(coarse, exemplars, 4, short, 2, state_file=state, resume=True)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.phases.index, other.phases.index)
        np.testing.assert_allclose(one.soft_fractions, other.soft_fractions)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="nothing to resume"):
        made_samples(coarse, exemplars, 4, short, 2, state_file=state, resume=True)


@pytest.fixture(scope="module")
def files(truth, tmp_path_factory):
    """coarse.tif, sem.tif and others, as a user has them."""
    folder = tmp_path_factory.mktemp("files")
    size = {"resolution": (1 / 0.05, 1 / 0.05), "metadata": {"axes": "ZYX", "unit": "um", "spacing": 0.05}}
    labels = (means(truth == 2) >= 0.5).astype(np.uint8)
    tifffile.imwrite(folder / "coarse.tif", labels, imagej=True, **size)
    tifffile.imwrite(folder / "flat.tif", labels * 0, imagej=True, **size)
    shares = np.stack([means(truth == 2), means(truth == 0)]).astype(np.float32)
    tifffile.imwrite(folder / "shares.tif", shares[0], imagej=True, **size)
    tifffile.imwrite(
        folder / "two.tif", shares.swapaxes(0, 1), imagej=True, metadata={"axes": "ZCYX"}
    )  # slice by slice, as ImageJ keeps channels
    grey = np.random.default_rng(0).normal(40 + 100 * shares[0], 2).astype(np.uint8)
    tifffile.imwrite(folder / "grey.tif", grey, imagej=True, **size)
    volume = structure((96, 96, 96), seed=1)
    fine = {"resolution": (1 / 0.0125, 1 / 0.0125), "metadata": {"unit": "um"}}
    for number, plane in enumerate(typical(volume, 2)):
        tifffile.imwrite(folder / f"sem{number}.tif", plane, imagej=True, **fine)
    return folder


OPTIONS = {"visible": "CAM", "classes": ",".join(NAMES), "coarse_classes": "rest,CAM", "loss": "patches", "steps": 3}


def test_the_operation_writes_volume_and_report(files, tmp_path):
    slices = [files / "sem0.tif", files / "sem1.tif"]
    report = operation(
        files / "coarse.tif", micrographs=slices, out=tmp_path / "fine.tif", samples=2, slices_per_step=2, **OPTIONS
    )
    assert report["factor"] == 4  # by the pixel sizes
    assert report["phases_seen"] == ["CAM"]
    assert report["phases_added"] == ["pore", "ISE"]
    assert report["agreement"] == 1.0
    with tifffile.TiffFile(tmp_path / "fine.tif") as file:
        assert file.asarray().shape == (32, 32, 32)
        assert file.imagej_metadata["spacing"] == pytest.approx(0.0125)
    folder = tmp_path / "fine_report"
    for name in report["outputs"][1:]:
        assert (folder / name).stat().st_size > 0
    assert {"agreement.png", "samples.png", "samples.csv", "sample_2.tif"} <= set(report["outputs"])
    saved = json.loads((folder / "report.json").read_text())
    assert saved["fractions"]["CAM"].keys() == {"coarse_volume", "slices_seen_coarsely", "slices", "fine_volume"}
    assert not list(tmp_path.glob("*.resume*"))


@pytest.mark.parametrize(
    ("name", "more", "kind"),
    [("shares", {}, "probabilities"), ("grey", {"coarse_as": "grey"}, "grey"),
     ("two", {"coarse_as": "probabilities", "visible": "CAM,pore", "factor": 4, "steps": 20}, "probabilities")],
)  # fmt: skip
def test_other_coarse_volumes(files, tmp_path, name, more, kind):
    options = OPTIONS | {"trust": "coarse", "slices_per_step": 2} | more
    report = operation(files / f"{name}.tif", micrographs=[files / "sem0.tif"], out=tmp_path / "out", **options)
    assert report["coarse_as"] == kind
    assert report["agreement"] > 0.9
    assert (tmp_path / "out" / "volume.tif").is_file()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"factor": 2}, "factor 2, but voxels of 0.05"),
        ({"factor": 3}, "factor 3, but|2, 4 or 8"),
        ({"visible": "binder"}, "visible phase 'binder', which the slices lack"),
        ({"visible": ""}, "no visible phase is named"),
        ({"visible": "CAM,CAM"}, "same visible phase twice"),
        ({"chunk": 34}, "a multiple of 4"),
        ({"coarse": "flat.tif", "coarse_classes": ""}, "one phase only"),
        ({"coarse": "grey.tif", "coarse_classes": ""}, "coarse-as grey"),
        ({"coarse": "sem0.tif", "coarse_classes": ""}, "coarse volume of shape"),
        ({"visible": "CAM,pore"}, "no phase pore|no value is left"),
        ({"visible": "CAM,pore,ISE", "coarse_classes": "pore,CAM"}, "two visible phases with the same"),
        ({"micrographs": []}, "no micrographs"),
        ({"micrographs": ["missing.tif"]}, "missing.tif"),
        ({"resume": True}, "nothing to resume"),
        ({"psf": 9}, "psf"),
        ({"vgg_weights": "missing.pt", "loss": "vgg19"}, "missing.pt"),
    ],
)
def test_bad_input(files, tmp_path, change, told):
    options = OPTIONS | {"micrographs": ["sem0.tif"], "coarse": "coarse.tif"} | change
    options["micrographs"] = [files / name for name in options["micrographs"]]
    if "weights" in options:
        options["weights"] = files / options["weights"]
    with pytest.raises(BridgeError, match=told):
        operation(files / options.pop("coarse"), out=tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_too_large_for_the_memory(files, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.core.machine.machine_memory", lambda: 2**29)
    with pytest.raises(SettingsError, match="GiB of memory") as caught:
        operation(files / "coarse.tif", micrographs=[files / "sem0.tif"], out=tmp_path / "out", **OPTIONS)
    assert "chunk" in caught.value.remedy or "smaller" in caught.value.remedy


def test_output_that_exists(files, tmp_path):
    (tmp_path / "fine.tif").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        operation(files / "coarse.tif", micrographs=[files / "sem0.tif"], out=tmp_path / "fine.tif", **OPTIONS)
    assert (tmp_path / "fine.tif").read_text() == "mine"


def test_factors(coarse, exemplars):
    with pytest.raises(SettingsError, match="no factor"):
        check_factor(0, coarse, exemplars.first)
    assert check_factor(8, coarse, exemplars.first) == 8  # nothing known contradicts it
    with pytest.raises(SettingsError, match="pixels a side"):
        tied(coarse, check_exemplars({"xy": as_phases(structure((24, 24)))}), 8)


def test_bad_arrays(exemplars):
    first = exemplars.first
    with pytest.raises(ImageError, match="probabilities from"):
        coarse_probabilities(np.full((8, 8, 8), 2.0), first, ["CAM"])
    with pytest.raises(LabelsError, match="same value everywhere"):
        coarse_grey(np.ones((8, 8, 8)), first, ["CAM"])
    with pytest.raises(ImageError, match="not finite"):
        coarse_grey(np.full((8, 8, 8), np.nan), first, ["CAM"])
    shares = np.random.default_rng(0).random((8, 8, 8))
    with pytest.raises(ImageError, match="cubes"):
        coarse_probabilities(shares, first, ["CAM"], spacing=(2.0, 1.0, 1.0))
