"""The imaging model: each setting does what it says, and the micrographs show what electrons would."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from fijibridge.core.errors import SettingsError
from fijibridge.synthesis import smoothing
from fijibridge.synthesis.imaging import take_micrograph, take_stack
from fijibridge.synthesis.imaging_settings import ImagingSettings
from fijibridge.synthesis.materials import MATERIALS

ISE, CAM, PORE, CARBON = 1, 2, 3, 4
NCM = {"ISE": MATERIALS["Li3PS4"], "CAM": MATERIALS["NCM"], "carbon": MATERIALS["VGCF"]}
SILICON = {"ISE": MATERIALS["Li6PS5Cl"], "CAM": MATERIALS["Si"], "carbon": MATERIALS["VGCF"]}
# nothing but the sample: what a test looks at is turned on by it
PLAIN = ImagingSettings(
    defocus=0, topography=0, topographic_residue=0, channelling=0, redeposition=0, curtaining=0, charging=0,
    gradient=0, misregistration=0, drift=0, snr=100, line_noise=0, bits=16, contrast=0.3,
)  # fmt: skip


@dataclass
class Volume:
    """All that imaging needs of a structure."""

    labels: np.ndarray
    grains: np.ndarray
    particles: np.ndarray
    voxel_size: float = 0.05


def volume(labels, grains=None, voxel_size=0.05):
    labels = np.ascontiguousarray(labels, np.uint8)
    grains = np.zeros(labels.shape, np.uint16) if grains is None else np.ascontiguousarray(grains, np.uint16)
    return Volume(labels, grains, np.zeros(labels.shape, np.uint16), voxel_size)


def spheres(shape=(24, 128, 128), seed=0):
    """CAM spheres with grains in an ISE with pores and a fibre."""
    rng = np.random.default_rng(seed)
    seeds = np.ones(shape, bool)
    seeds[tuple((rng.random((24, 3)) * shape).astype(int).T)] = False
    distance = ndimage.distance_transform_edt(seeds)
    blobs = ndimage.gaussian_filter(rng.standard_normal(shape), 2.5)
    labels = np.where(distance < 15, CAM, ISE)
    labels[(blobs > np.quantile(blobs, 0.88)) & (labels == ISE)] = PORE
    labels[:, 60:63, :][labels[:, 60:63, :] == ISE] = CARBON
    grains = np.where(labels <= CAM, 1 + np.add.outer(np.arange(shape[1]) // 16 * 8, np.arange(shape[2]) // 16), 0)
    return volume(labels, grains)


@pytest.fixture(scope="module")
def sample():
    return spheres()


def mean_by_phase(image, labels):
    return {value: float(image[labels == value].mean()) for value in np.unique(labels)}


def shift_of(moved, still):
    """How far (y, x) the content of an image is displaced: by least squares, away from the edges."""
    shift = phase_cross_correlation(moved, still, normalization=None)[0].astype(float)
    inside = (slice(12, -12), slice(12, -12))
    for _ in range(6):
        guess = ndimage.shift(still, shift, order=3, mode="nearest")
        slopes = np.stack([slope[inside].ravel() for slope in np.gradient(guess)], axis=1)
        shift -= np.linalg.lstsq(slopes, (moved - guess)[inside].ravel(), rcond=None)[0]
    return shift


# the three that must mean what they say


@pytest.mark.parametrize("snr", [3.0, 6.0, 12.0, 25.0])
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_signal_to_noise_is_kept(sample, snr, share):
    rest = replace(PLAIN, curtaining=0.1, charging=0.2, gradient=0.2, gamma=0.9, contrast=0.25, shot_share=share)
    clear, noisy = (take_micrograph(sample, 4, replace(rest, snr=s), NCM, seed=3) for s in (100, snr))
    for detector in ("se", "bse"):
        signal = getattr(clear, detector).astype(float)
        difference = getattr(noisy, detector) - signal
        assert 10 * np.log10(signal.var() / difference.var()) == pytest.approx(snr, abs=0.1)
        assert abs(difference.mean()) < 0.01 * signal.std()


def test_shot_noise_is_where_electrons_are_and_gaussian_noise_everywhere():
    labels = np.full((4, 96, 96), CAM)
    labels[:, :, :48] = PORE
    labels[1:, :, :48] = CARBON
    halves = {}
    for share in (0.0, 1.0):
        noisy, clear = (
            take_micrograph(volume(labels), 0, replace(PLAIN, snr=snr, shot_share=share), NCM).bse.astype(float)
            for snr in (10, 100)
        )
        noise = noisy - clear
        halves[share] = noise[:, 4:40].std() / noise[:, 56:92].std()
    assert halves[0.0] == pytest.approx(1, abs=0.1)
    assert halves[1.0] < 0.6


@pytest.mark.parametrize("amplitude", [0.05, 0.2])
@pytest.mark.parametrize("angle", [0.0, -20.0])
def test_curtaining_is_the_amplitude_of_the_stripes_over_the_contrast(sample, amplitude, angle):
    rest = replace(PLAIN, defocus=0.8, topography=0.1, channelling=0.1, contrast=0.3, curtaining_angle=angle)
    without, striped = (take_micrograph(sample, 4, replace(rest, curtaining=c), NCM) for c in (0.0, amplitude))
    for detector in ("se", "bse"):
        clean, image = (getattr(m, detector).astype(float) for m in (without, striped))
        low, high = np.percentile(clean, (1, 99))
        # the levels of the striped image are its own: undo them with the pores, which have no stripes
        pore = without.labels == PORE
        gain, offset = np.polyfit(clean[pore], image[pore], 1)
        stripes = (image - offset) / gain - clean
        assert np.sqrt(2) * stripes.std() / (high - low) == pytest.approx(amplitude, rel=0.05)


@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_stripes_run_along_the_milling_direction(angle):
    plain = volume(np.full((2, 128, 128), ISE))
    image = take_micrograph(plain, 0, replace(PLAIN, curtaining=0.5, curtaining_angle=angle), NCM).bse.astype(float)
    above, below = image[:-20, 40:80].ravel(), image[20:]
    along = [np.corrcoef(above, below[:, 40 + d : 80 + d].ravel())[0, 1] for d in range(-20, 21)]
    assert np.argmax(along) - 20 == pytest.approx(20 * np.tan(np.radians(angle)), abs=1)
    assert max(along) > 0.9


def test_shadows_begin_behind_hard_particles():
    labels = np.full((2, 128, 128), ISE)
    labels[:, 40:60, 50:80] = CAM
    rest = replace(PLAIN, curtaining=0.2, curtaining_shadow=1.0)
    darker = []
    for seed in range(5):
        image = take_micrograph(volume(labels), 0, rest, NCM, seed=seed).bse.astype(float)
        above, behind, beside = image[5:35, 52:78], image[64:90, 52:78], image[64:90, 5:45]
        assert above.std() < 0.1 * behind.std()
        darker.append((beside.mean() - behind.mean()) / behind.std())
    assert np.mean(darker) > 0.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("distance", [0.0, 0.6, 3.7])
def test_misregistration_is_the_distance_of_se_from_bse(sample, seed, distance):
    still, moved = (
        take_micrograph(sample, 4, replace(PLAIN, defocus=1, misregistration=d), NCM, seed=seed) for d in (0, distance)
    )
    y, x = shift_of(moved.se.astype(float), still.se.astype(float))
    assert np.hypot(y, x) == pytest.approx(distance, abs=0.1)
    assert (y, x) == pytest.approx((moved.parameters["se_shift_y"], moved.parameters["se_shift_x"]), abs=0.1)
    assert np.array_equal(still.bse, moved.bse)
    assert np.array_equal(still.labels, moved.labels)


def test_drift_pulls_the_first_and_last_lines_apart(sample):
    still, moved = (take_micrograph(sample, 4, replace(PLAIN, defocus=1, drift=d), NCM) for d in (0, 6))
    first, last = (
        np.array(shift_of(moved.se[part].astype(float), still.se[part].astype(float)))
        for part in (slice(0, 48), slice(-48, None))
    )
    assert np.hypot(*(last - first)) == pytest.approx(6 * 80 / 127, abs=0.8)
    assert np.hypot(*(last + first)) < 0.8


# the sample


def test_bse_shows_composition(sample):
    micrograph = take_micrograph(sample, 4, replace(PLAIN, defocus=0.6), NCM)
    grey = mean_by_phase(micrograph.bse, micrograph.labels)
    assert grey[CAM] > grey[ISE] > grey[CARBON]
    assert grey[ISE] > grey[PORE]
    alike = take_micrograph(sample, 4, replace(PLAIN, defocus=0.6), SILICON)
    grey = mean_by_phase(alike.bse, alike.labels)
    assert abs(grey[CAM] - grey[ISE]) < 0.15 * abs(grey[CAM] - grey[PORE])  # Z of 14.0 and 14.0
    grey = mean_by_phase(alike.se, alike.labels)
    assert abs(grey[CAM] - grey[ISE]) > 0.2 * abs(grey[CAM] - grey[PORE])


def well(depth, width, floor=CAM, planes=24):
    labels = np.full((planes, 96, 96), ISE)
    low = 48 - width // 2
    labels[:depth, low : low + width, low : low + width] = PORE
    labels[depth:, low : low + width, low : low + width] = floor
    # a patch of each phase and of deep pore, so that levels stay
    labels[:, :16, :16], labels[:, :16, -16:] = CAM, PORE
    return volume(labels)


@pytest.mark.parametrize("detector", ["se", "bse"])
def test_what_is_behind_a_pore_shines_through(detector):
    def grey(depth, width, floor=CAM, **changes):
        micrograph = take_micrograph(well(depth, width, floor), 0, replace(PLAIN, **changes), NCM)
        image = getattr(micrograph, detector).astype(int)
        return image[48, 48] - image[8, -8]  # above black

    deep = [grey(depth, 20) for depth in (1, 3, 8, 20)]
    assert deep == sorted(deep, reverse=True)
    assert deep[0] > 2 * deep[-1]
    narrow = [grey(6, width, beam_energy=1) for width in (32, 12, 6, 2)]  # of more energy, BSE blur into the narrowest
    assert narrow == sorted(narrow, reverse=True)
    assert narrow[0] > narrow[-1]
    assert grey(3, 20, CAM) > grey(3, 20, ISE)
    assert grey(3, 20, shine_through=0.9) > grey(3, 20, shine_through=0.3)
    assert grey(6, 20, shine_depth=5) > grey(6, 20, shine_depth=0.3)


def test_beneath_the_last_plane_it_goes_on():
    labels = np.full((6, 64, 64), ISE)
    labels[:, 20:40, 20:40] = PORE
    open_below = take_micrograph(volume(labels), 5, PLAIN, NCM).bse
    inside, outside = (open_below[part].astype(int) for part in (np.s_[24:36, 24:36], np.s_[4:16]))
    assert np.ptp(inside) < 0.005 * (outside.mean() - inside.mean())  # no floor is known: black
    assert np.array_equal(take_micrograph(volume(labels), 0, PLAIN, NCM).labels, labels[0])


def test_bse_come_from_deeper_with_more_energy():
    labels = np.full((12, 64, 64), ISE)
    labels[3:, :, 32:] = CAM  # 0.15 um of electrolyte above it
    contrast = []
    for energy in (1.0, 3.0, 8.0):
        micrograph = take_micrograph(volume(labels), 0, replace(PLAIN, beam_energy=energy), NCM)
        reference = labels.copy()
        reference[:, :, 32:] = CAM
        whole = take_micrograph(volume(reference), 0, replace(PLAIN, beam_energy=energy), NCM)
        hidden, shown = (m.bse.astype(float) for m in (micrograph, whole))
        contrast.append((hidden[:, 40:60].mean() - hidden[:, 4:24].mean()) / np.ptp(shown))
    assert contrast == sorted(contrast)
    assert contrast[0] < 0.01
    assert contrast[2] > 0.2


def test_rims_of_pores_are_bright_in_se():
    labels = np.full((12, 96, 96), ISE)
    labels[:, 30:66, 30:66] = PORE
    for edge, ratio in ((0.0, 1.0), (1.0, 1.5)):
        image = take_micrograph(volume(labels), 0, replace(PLAIN, edge_brightening=edge), NCM).se.astype(float)
        rim, away, black = image[28:30, 40:56].mean(), image[5:15, 40:56].mean(), image[40:56, 40:56].mean()
        assert (rim - black) / (away - black) == pytest.approx(ratio, abs=0.35 * edge + 0.01)


def test_channelling_is_by_grain(sample):
    labels = np.full((3, 128, 128), CAM)
    labels[:, :, :8] = ISE
    grains = np.broadcast_to(np.add.outer(np.arange(128) // 16 * 8, np.arange(128) // 16) + 1, labels.shape)
    image = take_micrograph(volume(labels, grains), 0, replace(PLAIN, channelling=0.3), NCM).bse.astype(float)
    means = image[:, 16:].reshape(8, 16, 7, 16)[:, 4:12, :, 4:12]
    within, between = means.std(axis=(1, 3)).mean(), means.mean(axis=(1, 3)).std()
    assert between > 10 * within


def test_relief_has_the_wanted_strength(sample):
    flat, rough = (take_micrograph(sample, 4, replace(PLAIN, topography=t, contrast=0.3), NCM) for t in (0.0, 0.3))
    pores = flat.labels == PORE
    gain, offset = np.polyfit(flat.se[pores].astype(float), rough.se[pores].astype(float), 1)
    relief = ((rough.se - offset) / gain - flat.se)[~pores]
    # rims, which are brighter than composition, are in the span of the flat image
    assert 0.1 < relief.std() / np.ptp(np.percentile(flat.se, (1, 99))) < 0.31


def test_charge_needs_an_insulator(sample):
    conducting = {phase: replace(material, conducting=True) for phase, material in NCM.items()}
    for materials, changes in ((conducting, False), (NCM, True)):
        calm, charged = (take_micrograph(sample, 4, replace(PLAIN, charging=c), materials) for c in (0.0, 1.0))
        assert np.array_equal(calm.se, charged.se) is not changes
    difference = charged.se.astype(float) - calm.se
    along, down = (np.abs(np.diff(difference, axis=axis)).mean() for axis in (1, 0))
    assert along < down  # streaks lie along the scan lines


def test_redeposition_lifts_pores_alone(sample):
    bare, covered = (
        take_micrograph(sample, 4, replace(PLAIN, redeposition=r, edge_brightening=0), NCM) for r in (0.0, 0.5)
    )
    levels = []
    for micrograph in (bare, covered):
        grey = mean_by_phase(micrograph.bse, micrograph.labels)
        levels.append((grey[PORE] - grey[CARBON]) / (grey[CAM] - grey[CARBON]))
    assert levels[1] > levels[0] + 0.05


def test_gradient_runs_across_the_image():
    image = take_micrograph(volume(np.full((2, 64, 64), ISE)), 0, replace(PLAIN, gradient=1), NCM).bse.astype(float)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.ptp(corners) > 0.8 * np.ptp(image)
    assert np.abs(np.diff(image, axis=0)).max() < 0.05 * np.ptp(image)


def test_defocus_and_astigmatism_blur(sample):
    sharp, wide = (take_micrograph(sample, 4, replace(PLAIN, defocus=d), NCM).se.astype(float) for d in (0, 2))
    assert np.diff(wide).var() / wide.var() < 0.3 * np.diff(sharp).var() / sharp.var()
    along = take_micrograph(sample, 4, replace(PLAIN, astigmatism=3, astigmatism_angle=0), NCM).se.astype(float)
    assert np.abs(np.diff(along, axis=1)).mean() < 0.6 * np.abs(np.diff(along, axis=0)).mean()


# grey values


@given(contrast=strategies.floats(0.1, 0.35), brightness=strategies.floats(0.45, 0.55))
@settings(max_examples=8, deadline=None)
def test_contrast_and_brightness_are_those_of_the_file(contrast, brightness):
    wanted = replace(PLAIN, contrast=contrast, brightness=brightness, defocus=1)
    image = take_micrograph(spheres((4, 64, 64)), 0, wanted, NCM).bse / 65535
    assert image.mean() == pytest.approx(brightness, abs=0.005)
    assert np.ptp(np.percentile(image, (1, 99))) == pytest.approx(contrast, rel=0.01)


def test_bit_depths_agree_and_gamma_bends(sample):
    eight, sixteen = (take_micrograph(sample, 4, ImagingSettings(bits=bits), NCM, seed=5) for bits in (8, 16))
    assert (eight.se.dtype, sixteen.se.dtype) == (np.uint8, np.uint16)
    assert np.abs(eight.se.astype(float) - sixteen.se / 257).max() <= 0.51
    linear, lifted = (take_micrograph(sample, 4, replace(PLAIN, gamma=g), NCM).bse / 65535 for g in (1, 0.5))
    assert np.allclose(lifted, np.sqrt(linear), atol=1e-3)


def test_line_noise_is_one_offset_a_line(sample):
    calm, humming = (take_micrograph(sample, 4, replace(PLAIN, line_noise=n), NCM).se.astype(float) for n in (0, 0.1))
    offsets = (humming - calm) / 65535
    assert offsets.std(axis=1).max() < 1e-3
    assert offsets.mean(axis=1).std() == pytest.approx(0.1 * PLAIN.contrast, rel=0.25)


# seeds


def test_a_seed_gives_the_same_and_another_one_other(sample):
    first, again, other = (take_micrograph(sample, 4, ImagingSettings(), NCM, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.se, again.se)
    assert np.array_equal(first.bse, again.bse)
    assert first.parameters == again.parameters
    assert not np.array_equal(first.se, other.se)
    assert np.array_equal(first.labels, other.labels)


def test_rounding_of_another_machine_changes_a_grey_level_at_most(sample, monkeypatch):
    busy = ImagingSettings(curtaining=0.1, curtaining_angle=7, charging=0.8, redeposition=0.3, snr=4, misregistration=2)
    here = take_micrograph(sample, 4, busy, NCM, seed=1)
    exact, rng = smoothing.Smoother.gaussian, np.random.default_rng(0)

    def elsewhere(self, *args, **options):
        smooth = exact(self, *args, **options)
        return smooth + np.float32(np.abs(smooth).max()) * rng.uniform(-1e-7, 1e-7, smooth.shape).astype(np.float32)

    monkeypatch.setattr(smoothing.Smoother, "gaussian", elsewhere)
    there = take_micrograph(sample, 4, busy, NCM, seed=1)
    for detector in ("se", "bse"):
        assert np.abs(getattr(here, detector).astype(int) - getattr(there, detector)).max() <= 1


def test_parameters_make_it_again(sample):
    settings = ImagingSettings(snr=5, misregistration=2, bits=16)
    micrograph = take_micrograph(sample, 4, settings, NCM, seed=9)
    kept = micrograph.parameters
    assert all(isinstance(value, (int, float, str)) for value in kept.values())
    again = take_micrograph(
        sample,
        kept["z"],
        ImagingSettings(**{field.name: kept[field.name] for field in fields(ImagingSettings)}),
        {phase: MATERIALS[kept[f"material_{phase}"]] for phase in NCM},
        seed=kept["seed"],
    )
    assert np.array_equal(micrograph.se, again.se)
    assert micrograph.pixel_size == sample.voxel_size == kept["pixel_size"]


# stacks


def test_a_stack_begins_with_the_micrograph(sample):
    stack = take_stack(sample, [3, 4], ImagingSettings(), NCM, seed=2)
    alone = take_micrograph(sample, 3, ImagingSettings(), NCM, seed=2)
    assert np.array_equal(stack[0].se, alone.se)
    assert np.array_equal(stack[0].labels, sample.labels[3])
    assert [m.parameters["slice"] for m in stack] == [0, 1]
    assert take_stack(sample, [], ImagingSettings(), NCM) == []


def test_sections_of_a_stack_jitter_and_drift_with_their_labels(sample):
    moving = replace(PLAIN, defocus=1, slice_jitter=2.0, slice_drift=0.5, flicker=0)
    stack = take_stack(sample, [4] * 6, moving, NCM, seed=2)
    shifts = np.array([[m.parameters["slice_shift_y"], m.parameters["slice_shift_x"]] for m in stack])
    assert np.abs(shifts[1:]).max() > 1
    for micrograph, shift in zip(stack, shifts, strict=True):
        for detector in ("se", "bse"):
            moved, still = (getattr(m, detector).astype(float) for m in (micrograph, stack[0]))
            assert shift_of(moved, still) == pytest.approx(shift, abs=0.15)
        assert shift_of((micrograph.labels == CAM) * 1.0, (stack[0].labels == CAM) * 1.0) == pytest.approx(
            np.round(shift), abs=0.1
        )
    still = take_stack(sample, [4] * 3, replace(moving, slice_jitter=0, slice_drift=0), NCM)
    assert all(np.array_equal(m.labels, sample.labels[4]) for m in still)


def test_curtains_carry_on_from_section_to_section():
    plain = volume(np.full((40, 96, 96), ISE))
    striped = replace(PLAIN, curtaining=0.3, slice_jitter=0, slice_drift=0, flicker=0, curtaining_persistence=0.3)
    stack = [m.bse.astype(float).ravel() for m in take_stack(plain, [0, 1, 30], striped, NCM)]
    near, far = (np.corrcoef(stack[0], image)[0, 1] for image in stack[1:])
    assert near > 0.75
    assert abs(far) < 0.5


def test_flicker_changes_the_brightness_of_sections(sample):
    calm, restless = (
        take_stack(sample, [4] * 5, replace(PLAIN, slice_jitter=0, slice_drift=0, flicker=f), NCM) for f in (0.0, 0.05)
    )
    assert np.ptp([m.bse.mean() for m in calm]) < 5
    assert np.ptp([m.bse.mean() for m in restless]) > 300


# bad input and odd structures


@pytest.mark.parametrize("z", [-1, 24, 3.5, True, "4"])
def test_planes_outside_the_structure_are_refused(sample, z):
    with pytest.raises(SettingsError, match="0 to 23"):
        take_micrograph(sample, z, PLAIN, NCM)


def test_a_phase_without_material_is_named(sample):
    with pytest.raises(SettingsError, match="no material for carbon"):
        take_micrograph(sample, 4, PLAIN, {phase: NCM[phase] for phase in ("ISE", "CAM")})
    with pytest.raises(SettingsError, match="'cam'; near: CAM"):
        take_micrograph(sample, 4, PLAIN, {**NCM, "cam": MATERIALS["Si"]})
    with pytest.raises(SettingsError, match="a material for 'pore'"):
        take_micrograph(sample, 4, PLAIN, {**NCM, "pore": MATERIALS["Si"]})
    with pytest.raises(SettingsError, match="'Si' as the material of CAM"):
        take_micrograph(sample, 4, PLAIN, {**NCM, "CAM": "Si"})


@pytest.mark.parametrize("label", [0, 6, 255])
def test_labels_that_are_no_phase_are_refused(label):
    labels = np.full((2, 16, 16), ISE)
    labels[1, 3, 3] = label
    with pytest.raises(SettingsError, match=f"label {label} "):
        take_micrograph(volume(labels), 0, PLAIN, NCM)


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_seeds_that_are_none_are_refused(sample, seed):
    with pytest.raises(SettingsError, match="seed"):
        take_micrograph(sample, 4, PLAIN, NCM, seed=seed)


def test_sections_too_small_are_refused():
    with pytest.raises(SettingsError, match="4 x 20"):
        take_micrograph(volume(np.full((2, 4, 20), ISE)), 0, PLAIN, NCM)


@pytest.mark.parametrize("phase", [ISE, CAM, PORE])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 70)])
def test_structures_of_one_phase_have_an_image(phase, shape):
    busy = ImagingSettings(curtaining=0.2, curtaining_angle=30, charging=1, redeposition=0.5, snr=3, misregistration=9)
    micrograph = take_micrograph(volume(np.full(shape, phase)), 0, busy, NCM)
    assert micrograph.se.shape == micrograph.bse.shape == micrograph.labels.shape == shape[1:]
    assert (micrograph.labels == phase).all()
