"""A simulated micrograph of a solid-state battery composite with known truth: for demo, examples and tests."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from fijibridge.images import Image, PixelSize
from fijibridge.labels import Labels

CLASS_NAMES = ("ISE", "CAM", "pore")
_PIXEL_NM = 25.0


def demo_image(size: int = 384, seed: int = 0) -> tuple[Image, Labels, np.ndarray]:
    """Simulate an SEM image of CAM particles and pores in a solid electrolyte (ISE), 16 bit, 25 nm a pixel.

    Grey values of the phases overlap: CAM particles have grains of different brightness, pores show what lies behind
    them, the illumination has a gradient, and there is shot noise. So a threshold does not segment it.

    Parameters
    ----------
    size : int
        Height and width in pixels, at least 96.
    seed : int
        The same seed gives the same image.

    Returns
    -------
    image : Image
        (size, size) uint16.
    labels : Labels
        Sparse strokes, 3 pixels wide, 8 a class.
    truth : ndarray, uint8, shape (size, size)
        1 ISE, 2 CAM, 3 pore.
    """
    rng = np.random.default_rng(seed)
    truth, grains = _phases(size, rng)
    grey = np.choose(truth - 1, [_ise(size, rng), 0.6 + 0.11 * grains, _pore(size, rng)])
    depth = ndi.distance_transform_edt(truth != 3)
    grey = grey + 0.12 * np.exp(-((depth - 1.5) ** 2) / 3) * (truth != 3)  # bright edges around pores
    y, x = np.mgrid[0:size, 0:size] / size
    grey = ndi.gaussian_filter(grey, 0.8) * (0.9 + 0.2 * x - 0.1 * y)
    electrons = rng.poisson(np.clip(grey, 0.02, None) * 180) / 180
    data = np.clip(3000 + 36000 * electrons, 0, 65535).astype(np.uint16)
    image = Image(data, "demo", PixelSize(_PIXEL_NM, _PIXEL_NM, "nm"))
    return image, Labels(_strokes(truth, rng), CLASS_NAMES), truth


def _field(size: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, mean 0, standard deviation 1."""
    field = ndi.gaussian_filter(rng.normal(size=(size, size)), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def _phases(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and a brightness in -1..1 for each grain of the CAM particles."""
    y, x = np.mgrid[0:size, 0:size]
    outside = np.full((size, size), np.inf)
    radii: list[tuple[float, float, float]] = []
    for _ in range(size * size // 250):
        radius = rng.uniform(0.03, 0.1) * 384
        centre = rng.uniform(0, size, 2)
        if all(np.hypot(centre[0] - a, centre[1] - b) > 0.98 * (radius + r) for a, b, r in radii):
            radii.append((*centre, radius))
            outside = np.minimum(outside, np.hypot(y - centre[0], x - centre[1]) / radius)
    cam = outside + 0.07 * _field(size, 5, rng) + 0.04 * _field(size, 2, rng) < 1
    seeds = rng.uniform(0, size, (size * size // 200, 2))
    points = np.ones((size, size), bool)
    points[tuple(seeds.astype(int).T)] = False
    nearest = ndi.distance_transform_edt(points, return_distances=False, return_indices=True)
    grains = rng.uniform(-1, 1, (size, size))[tuple(nearest)]
    beside = np.exp(-np.maximum(ndi.distance_transform_edt(~cam), 0) / 6)  # pores sit at the interfaces first
    field = _field(size, 3.5, rng) + 1.1 * beside
    pore = ~cam & (field > np.quantile(field[~cam], 0.8))
    pore = ndi.binary_opening(pore, iterations=2)
    return np.where(cam, 2, np.where(pore, 3, 1)).astype(np.uint8), grains


def _ise(size: int, rng: np.random.Generator) -> np.ndarray:
    return 0.42 + 0.03 * _field(size, 1.5, rng) + 0.04 * _field(size, 8, rng)


def _pore(size: int, rng: np.random.Generator) -> np.ndarray:
    """Dark, but here and there as bright as the electrolyte, where a wall behind the pore shines through."""
    behind = np.clip(_field(size, 6, rng), 0, None)
    return 0.14 + 0.16 * behind + 0.05 * np.abs(_field(size, 2, rng))


def _strokes(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random walks inside each phase, as a person would scribble."""
    labels = np.zeros_like(truth)
    for value in (1, 2, 3):
        phase = truth == value
        inner = ndi.binary_erosion(phase, iterations=2)
        inner = inner if inner.any() else phase
        places = np.argwhere(inner)
        for _ in range(8):
            place = places[rng.integers(len(places))].astype(float)
            angle = rng.uniform(0, 2 * np.pi)
            line = np.zeros_like(phase)
            for _ in range(40):
                angle += rng.normal(0, 0.4)
                ahead = place + np.array((np.sin(angle), np.cos(angle)))
                row, col = np.rint(ahead).astype(int)
                if min(row, col) < 0 or max(row, col) >= len(truth) or not inner[row, col]:
                    angle += rng.uniform(0.5, 1.5) * np.pi  # turn round at the phase's edge
                    continue
                place = ahead
                line[row, col] = True
            labels[ndi.binary_dilation(line, np.ones((3, 3))) & phase] = value
    return labels
