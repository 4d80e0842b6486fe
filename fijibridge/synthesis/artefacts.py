"""Artefacts between the sample and the file: milling, charging, scanning, noise.

Patterns are dimensionless; the caller scales them by the contrast of the image to which they are added.
"""

from __future__ import annotations

import math

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.synthesis.electron_signals import Section, by_phase
from fijibridge.synthesis.imaging_settings import ImagingSettings
from fijibridge.synthesis.materials import Material
from fijibridge.synthesis.smoothing import Smoother, mirrored, standardised

_STRIPE = 0.06  # um: standard deviation of the finest curtains' profile


class Curtains:
    """The curtains of a stack of sections, milled one after the other by the same beam.

    Stripes from the top edge stay where they are over some depth; those behind pores and hard particles come and go
    with these.

    Parameters
    ----------
    shape : (int, int)
        Height and width, px.
    settings : ImagingSettings
        Those of curtaining are used.
    pixel_size : float
        Micrometres.
    """

    def __init__(self, shape: tuple[int, int], settings: ImagingSettings, pixel_size: float) -> None:
        self._settings, self._pixel_size = settings, pixel_size
        self._slope = math.tan(math.radians(settings.curtaining_angle))
        # less a little, so that the last bit of a tangent never decides how many random numbers are drawn
        wider = math.ceil(abs(self._slope) * (shape[0] - 1) - 1e-6)
        self._left = wider if self._slope > 0 else 0
        self._height, self._width = shape[0], shape[1] + max(wider, 0)
        self._state: tuple[np.ndarray, np.ndarray, int] | None = None

    def mill(self, section: Section, materials: list[Material | None], z: int, rng: np.random.Generator) -> np.ndarray:
        """Mill the next section.

        Parameters
        ----------
        section : Section
            The section.
        materials : list of Material or None
            By label value - 1.
        z : int
            Its plane, which says how deep it lies below the one before.
        rng : np.random.Generator
            Of the stripes.

        Returns
        -------
        ndarray (Y, X) float32
            Curtains of mean 0 and root mean square 1; 0 inside pores.
        """
        edge = rng.standard_normal(self._width, np.float32)
        inside = rng.standard_normal((2, self._height, self._width), np.float32)
        if self._state is not None:
            before_edge, before_inside, before_z = self._state
            passed = abs(z - before_z) * self._pixel_size
            stays = math.exp(-passed / self._settings.curtaining_persistence)
            fresh = math.sqrt(1 - stays**2)
            edge = np.float32(stays) * before_edge + np.float32(fresh) * edge
            inside = np.float32(stays) * before_inside + np.float32(fresh) * inside
        self._state = edge, inside, z
        return self._pattern(section, materials, edge, inside)

    def _pattern(
        self, section: Section, materials: list[Material | None], edge: np.ndarray, inside: np.ndarray
    ) -> np.ndarray:
        from scipy.ndimage import gaussian_filter1d

        stripe = max(_STRIPE / self._pixel_size, 0.8)
        fine, middle, broad = (standardised(gaussian_filter1d(edge, n * stripe, mode="wrap")) for n in (1, 3, 10))
        profile = (0.7 * fine + 0.5 * middle + 0.5 * broad).astype(np.float32)
        for_pores, for_hard = (
            standardised(gaussian_filter1d(gaussian_filter1d(noise, stripe, axis=1), 6.0, axis=0)) for noise in inside
        )
        hard = by_phase(materials, lambda m: -math.log(m.milling_rate))[section.labels]
        solids = ~section.pores
        hard[section.pores] = float(hard[solids].min()) if solids.any() else 0.0
        decay = math.exp(-self._pixel_size / self._settings.curtaining_length)
        pores = section.pores.astype(np.float32)
        behind = np.empty((self._height, self._width), np.float32)
        _wake(pores, hard, for_pores, for_hard, np.float32(decay), self._slope, self._left, behind)
        share = self._settings.curtaining_shadow
        through = np.broadcast_to(standardised(profile), behind.shape)
        behind = standardised(behind)
        if not behind.any():  # no pore, no hard particle: all stripes come from the edge
            share = 0.0
        stripes = np.float32(math.sqrt(1 - share)) * through + np.float32(math.sqrt(share)) * behind
        out = np.empty(section.labels.shape, np.float32)
        _lean(np.ascontiguousarray(stripes), self._slope, self._left, out)
        out = np.where(solids, out, np.float32(0))  # a pore's floor was not milled
        return standardised(out)


@compiled
def _wake(pores, hard, noise_pores, noise_hard, decay, slope, left, out):
    """Stripes that start where a pore or a hard particle ends, and fade along the milling direction."""
    height, width = pores.shape
    for u in range(out.shape[1]):
        behind_pore = behind_hard = 0.0
        pore_before = hard_before = 0.0
        for y in range(height):
            place = min(max(u - left + y * slope, 0.0), width - 1.0)
            x = min(int(place), max(width - 2, 0))
            share, after = place - x, min(x + 1, width - 1)
            pore = pores[y, x] * (1 - share) + pores[y, after] * share
            firm = hard[y, x] * (1 - share) + hard[y, after] * share
            if y == 0:
                pore_before, hard_before = pore, firm
            behind_pore = behind_pore * decay + max(pore_before - pore, 0.0) * noise_pores[y, u]
            # less is milled in the shadow, so it is darker as a whole
            behind_hard = behind_hard * decay + max(hard_before - firm, 0.0) * (0.6 * noise_hard[y, u] - 0.6)
            pore_before, hard_before = pore, firm
            out[y, u] = behind_pore + behind_hard


@compiled
def _lean(stripes, slope, left, out):
    """Bring stripes from columns along the milling direction into the image."""
    last = stripes.shape[1] - 1
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            place = min(max(x + left - y * slope, 0.0), float(last))
            u = min(int(place), max(last - 1, 0))
            share = place - u
            out[y, x] = stripes[y, u] * (1 - share) + stripes[y, min(u + 1, last)] * share


@compiled
def _streak(source, decay, out):
    """What remains, along each scan line, of the strongest charge passed so far."""
    for y in range(source.shape[0]):
        kept = 0.0
        for x in range(source.shape[1]):
            kept = max(kept * decay, source[y, x])
            out[y, x] = kept


def charge(
    section: Section,
    materials: list[Material | None],
    settings: ImagingSettings,
    pixel_size: float,
    smoother: Smoother,
    rng: np.random.Generator,
) -> np.ndarray:
    """Brightness by charging.

    Charge gathers in patches of insulators, most at pores, where it cannot flow off. Around it is a bright halo; along
    the scan line the detector and the surface take a while to recover, unlike from line to line.

    Parameters
    ----------
    section : Section
        The section.
    materials : list of Material or None
        By label value - 1.
    settings : ImagingSettings
        ``charging_length`` is used.
    pixel_size : float
        Micrometres.
    smoother : Smoother
        For images of the section's shape.
    rng : np.random.Generator
        Of patches and lines.

    Returns
    -------
    ndarray (Y, X) float32
        1 is a full charge; negative in tails that overshoot.
    """
    from scipy.ndimage import gaussian_filter1d

    insulating = np.where(section.pores, 0, by_phase(materials, lambda m: float(not m.conducting))[section.labels])
    patches = 1 / (1 + np.exp(1.0 - 2.5 * smoother.noise(rng, max(0.8 / pixel_size, 2))))
    near = smoother.gaussian(section.pore_spectrum, max(0.12 / pixel_size, 1), spectrum=True)
    charged = insulating * patches * np.clip(0.08 + 2.5 * np.clip(near, 0, None), 0, 1)
    halo = np.clip(smoother.gaussian(charged, max(0.08 / pixel_size, 1)), 0, None)
    tail = np.empty_like(halo)
    _streak(halo, math.exp(-pixel_size / settings.charging_length), tail)
    # line by line the tail is bright or, where the amplifier overshoots, dark; neighbouring lines are alike
    lines = rng.standard_normal(halo.shape[0], np.float32)
    lines = 0.25 + 0.5 * standardised(gaussian_filter1d(lines, 0.7, mode="nearest"))
    return (halo + (tail - halo) * lines[:, None]).astype(np.float32)


def redeposit(
    image: np.ndarray,
    section: Section,
    settings: ImagingSettings,
    pixel_size: float,
    smoother: Smoother,
    rng: np.random.Generator,
) -> np.ndarray:
    """Cover part of the pores with the grey film of sputtered material, on the side that the ion beam faces.

    Parameters
    ----------
    image : ndarray (Y, X) float32
        Signal of a detector.
    section : Section
        The section.
    settings : ImagingSettings
        ``redeposition`` is used: the share of the pores' area that is covered.
    pixel_size : float
        Micrometres.
    smoother : Smoother
        For images of the section's shape.
    rng : np.random.Generator
        Of the film's outline.

    Returns
    -------
    ndarray (Y, X) float32
    """
    if settings.redeposition == 0 or not section.pores.any():
        return image
    size = max(0.2 / pixel_size, 1.5)
    # the pores' far side along the milling direction is where the smoothed mask falls off downwards
    far = -np.gradient(smoother.gaussian(section.pore_spectrum, size, spectrum=True), axis=0) * size
    score = far * 3 + 0.5 * smoother.noise(rng, size)
    edge = float(np.quantile(score[section.pores], 1 - settings.redeposition))
    film = 0.85 / (1 + np.exp(np.clip((edge - score) * 12, -30, 30)))
    solids = ~section.pores
    grey = float(image[solids].mean(dtype=np.float64)) if solids.any() else 0.0
    covered = image * (1 - film) + film * np.float32(0.7 * grey) * section.view
    return np.where(section.pores, covered, image).astype(np.float32)


def brightness_ramp(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Brightness that changes across the image in a random direction, on a slightly bent ramp.

    Parameters
    ----------
    shape : (int, int)
        Height and width, px.
    rng : np.random.Generator
        Of direction and bend.

    Returns
    -------
    ndarray (Y, X) float32
        Mean 0, range 1.
    """
    angle, bend = rng.uniform(0, 2 * math.pi), rng.uniform(-0.4, 0.4)
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    across = math.sin(angle) * y[:, None] + math.cos(angle) * x[None, :]
    ramp = across + bend * across**2
    return ((ramp - ramp.mean()) / max(float(np.ptp(ramp)), 1e-6)).astype(np.float32)


def scan_displacement(
    height: int, settings: ImagingSettings, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """Displacement of SE against BSE, line by line.

    Parameters
    ----------
    height : int
        Scan lines.
    settings : ImagingSettings
        ``misregistration``, ``drift`` and ``scan_shear`` are used.
    rng : np.random.Generator
        Of the directions.

    Returns
    -------
    lines : ndarray (2, Y) float64
        Along y and x, px: the mean of it has the length ``misregistration``; ``drift`` and ``scan_shear`` add to
        that, with mean 0.
    mean : (float, float)
        Its mean along y and x.
    """
    away, going = rng.uniform(0, 2 * math.pi, 2)
    mean = settings.misregistration * math.sin(away), settings.misregistration * math.cos(away)
    time = np.linspace(-0.5, 0.5, height)
    lines = np.array(mean)[:, None] + settings.drift * np.array([[math.sin(going)], [math.cos(going)]]) * time
    lines[1] += settings.scan_shear * time * (height - 1)
    return lines, mean


@compiled
def _displace(image, rows, columns, weights_y, weights_x, out):
    """Resample, line by line, at positions whose fraction is the same along a line: 4 x 4 pixels each."""
    between = np.empty(image.shape[1], np.float32)
    for y in range(out.shape[0]):
        for x in range(image.shape[1]):
            total = np.float32(0)
            for k in range(4):
                total += weights_y[y, k] * image[rows[y, k], x]
            between[x] = total
        for x in range(out.shape[1]):
            total = np.float32(0)
            for k in range(4):
                total += weights_x[y, k] * between[columns[y, x + k]]
            out[y, x] = total


def _cubic(share: np.ndarray) -> np.ndarray:
    """(N, 4) float32 weights of a cubic convolution (Keys 1981, a = -1/2) at a share of a pixel past the second."""
    t = share[:, None]
    weights = [-t / 2 + t**2 - t**3 / 2, 1 - 2.5 * t**2 + 1.5 * t**3, t / 2 + 2 * t**2 - 1.5 * t**3, (t**3 - t**2) / 2]
    return np.concatenate(weights, axis=1).astype(np.float32)


def displaced(image: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Move each scan line's content by a displacement along y and x; what comes in at the edges is mirrored.

    Parameters
    ----------
    image : ndarray (Y, X) float32
    lines : ndarray (2, Y)
        Displacement of each line along y and x, px; positive moves the content down and to the right.

    Returns
    -------
    ndarray (Y, X) float32
    """
    if not lines.any():
        return image
    height, width = image.shape
    from_y, from_x = np.arange(height) - lines[0], -lines[1]
    low_y, low_x = np.floor(from_y).astype(np.int64), np.floor(from_x).astype(np.int64)
    rows = mirrored(low_y[:, None] + np.arange(-1, 3), height)
    columns = mirrored(low_x[:, None] + np.arange(-1, width + 2), width)
    out = np.empty_like(image)
    _displace(image, rows, columns, _cubic(from_y - low_y), _cubic(from_x - low_x), out)
    return out


def noise(
    grey: np.ndarray, signal: np.ndarray, electron_grey: float, settings: ImagingSettings, rng: np.random.Generator
) -> np.ndarray:
    """Noise of an image, whose variance is exactly that of ``snr``.

    Shot noise is Poisson's with its moments kept to the third, as a continuous variable: counts ``n`` of mean m are
    ``m + sqrt(m) g + (g^2 - 1) / 6`` for a normal g (Cornish and Fisher's expansion). That is what scintillator and
    photomultiplier make of counts anyway, and one random number a pixel keeps other machines in step.

    Parameters
    ----------
    grey : ndarray (Y, X) float32
        The image without noise.
    signal : ndarray (Y, X) float32
        Electrons at each pixel, relative.
    electron_grey : float
        Mean grey value above that of no electrons.
    settings : ImagingSettings
        ``snr`` and ``shot_share`` are used.
    rng : np.random.Generator
        Of the noise.

    Returns
    -------
    ndarray (Y, X) float32
        To be added to the image.
    """
    variance = float(np.var(grey, dtype=np.float64)) / 10 ** (settings.snr / 10)
    normal = rng.standard_normal((2, *grey.shape), np.float32)
    mean = max(float(signal.mean(dtype=np.float64)), 1e-12)
    share = settings.shot_share
    pattern = np.float32(math.sqrt(1 - share)) * normal[0]
    if share > 0:
        dose = min(max(electron_grey**2 / max(share * variance, 1e-30), 1e-3), 1e9)  # electrons a pixel
        count = np.maximum(signal, 0) * np.float32(dose / mean)
        shot = np.sqrt(count) * normal[1] + (normal[1] ** 2 - 1) / 6 * np.minimum(count, 1)
        pattern += standardised(shot) * np.float32(math.sqrt(share))
    return standardised(pattern) * np.float32(math.sqrt(variance))


def digitised(grey: np.ndarray, bits: int) -> np.ndarray:
    """Grey values as integers.

    Parameters
    ----------
    grey : ndarray (Y, X) float32
        Grey values; those below 0 and above 1 are clipped.
    bits : int
        8 or 16.

    Returns
    -------
    ndarray (Y, X) uint8 or uint16
    """
    top = 2**bits - 1
    return np.rint(np.clip(grey, 0, 1) * np.float32(top)).astype(np.uint8 if bits == 8 else np.uint16)
