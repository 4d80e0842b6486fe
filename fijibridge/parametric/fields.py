"""Gaussian random fields by FFT: white noise with a spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fijibridge.parametric.spectrum import Spectrum

_STEPS = 2**14  # of the table of amplitudes


def volume_field(
    spectrum: Spectrum,
    shape: Sequence[int],
    scales: Sequence[float],
    rng: np.random.Generator,
    workers: int,
) -> np.ndarray:
    """A Gaussian field of unit variance, periodic along all axes.

    Parameters
    ----------
    spectrum : Spectrum
        Of the field.
    shape : sequence of int
        (Z, Y, X) voxels.
    scales : sequence of float
        By which lengths along z, y and x are multiplied.
    rng : np.random.Generator
        Of the noise.
    workers : int
        Threads.

    Returns
    -------
    np.ndarray
        (Z, Y, X) float32.

    Notes
    -----
    The noise is drawn in the half of the wave vectors that a real field needs; what its planes ``k_x = 0`` and
    ``k_x = pi`` lack of the other half's is made good by a factor of sqrt(2): the field is then the real part of a
    complex one.
    """
    from scipy import fft

    depth, height, width = shape
    k_z, k_y = (2 * np.pi * np.fft.fftfreq(n) * scale for n, scale in zip(shape[:2], scales[:2], strict=True))
    k_x = 2 * np.pi * np.fft.rfftfreq(width) * scales[2]
    most = float(np.sqrt(np.abs(k_z).max() ** 2 + np.abs(k_y).max() ** 2 + k_x.max() ** 2))
    step = max(most, 1e-9) / (_STEPS - 2)
    table = np.sqrt(spectrum.density(step * np.arange(_STEPS)) * np.prod(scales) + spectrum.white).astype(np.float32)
    plane = (k_y[:, None] ** 2 + k_x**2).astype(np.float32)
    half = np.empty((depth, height, len(k_x)), np.complex64)
    parts = half.view(np.float32).reshape(depth, height, len(k_x), 2)
    for place, wave in enumerate(k_z):
        rng.standard_normal(dtype=np.float32, out=parts[place])
        amplitude = table[(np.sqrt(plane + np.float32(wave**2)) * np.float32(1 / step)).astype(np.int32)]
        amplitude[:, 0] *= np.sqrt(2)
        if width % 2 == 0:
            amplitude[:, -1] *= np.sqrt(2)
        half[place] *= amplitude
    half[0, 0, 0] = 0
    field = fft.irfftn(half, tuple(shape), workers=workers, overwrite_x=True)
    del half, parts
    field /= np.sqrt(sum(float(np.vdot(part, part)) for part in field) / field.size)
    return np.asarray(field)


def slice_fields(
    spectrum: Spectrum, count: int, shape: Sequence[int], scales: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Slices of three-dimensional Gaussian fields, each of another field, periodic.

    Parameters
    ----------
    spectrum : Spectrum
        Of the field in three dimensions.
    count : int
        Number of slices.
    shape : sequence of int
        (Y, X) pixels.
    scales : sequence of float
        By which lengths along y and x are multiplied.
    rng : np.random.Generator
        Of the noise.

    Returns
    -------
    np.ndarray
        (count, Y, X) float32, of unit variance.
    """
    from scipy import fft

    y, x = (np.minimum(np.arange(n), n - np.arange(n)) / scale for n, scale in zip(shape, scales, strict=True))
    power = fft.fft2(spectrum.correlation(np.hypot(y[:, None], x))).real
    power = np.maximum(power, 0)  # what a correlation that goes on beyond half the slice makes negative
    amplitude = np.sqrt(power / power.mean()).astype(np.float32)
    pairs = (count + 1) // 2
    noise = rng.standard_normal((2, pairs, *shape), dtype=np.float32)
    both = fft.ifft2(fft.fft2(noise[0] + 1j * noise[1]) * amplitude)
    return np.concatenate([both.real, both.imag])[:count].astype(np.float32)
