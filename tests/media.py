"""Media with known numbers, for tests and benchmark of the metrology."""

from __future__ import annotations

import numpy as np


def ball(size: int, radius: float, spacing: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """(size, size, size) uint8: a ball around the middle voxel."""
    z, y, x = ((np.arange(size) - size // 2) * step for step in spacing)
    return (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= radius**2).astype(np.uint8)


def slanted_strip(count: int = 20) -> np.ndarray:
    """(N, N + 1, N + 1) bool: a strip of 2 x 2 voxels that moves by one voxel along y and x in each slice."""
    strip = np.zeros((count, count + 1, count + 1), bool)
    for z in range(count):
        strip[z, z : z + 2, z : z + 2] = True
    return strip


def overlapping_balls(size: int, radius: float, density: float, seed: int = 0) -> np.ndarray:
    """(size, size, size) uint8, periodic: 0 in balls with centres anywhere, ``density`` of them a voxel; 1 between."""
    return balls_at(size, radius, ball_centres(size, density, seed))


def ball_centres(size: int, density: float, seed: int = 0, ndim: int = 3) -> np.ndarray:
    """(N, ndim) places anywhere in a square or cube, ``density`` of them a pixel or voxel."""
    rng = np.random.default_rng(seed)
    return rng.random((rng.poisson(density * size**ndim), ndim)) * size


def balls_at(size: int, radius: float, centres: np.ndarray) -> np.ndarray:
    """uint8, periodic: 0 in the balls (discs) with these centres, (N, 3) or (N, 2); 1 between."""
    ndim = centres.shape[1]
    between = np.ones((size,) * ndim, np.uint8)
    reach = int(np.ceil(radius)) + 1
    offsets = np.arange(-reach, reach + 1)
    for centre in centres:
        places = [int(np.floor(one)) + offsets for one in centre]
        away = sum(np.ix_(*((place - one) ** 2 for place, one in zip(places, centre, strict=True)))) <= radius**2
        between[np.ix_(*(place % size for place in places))] &= ~away
    return between


def union_of_two_balls(distance: np.ndarray, radius: float) -> np.ndarray:
    """Volume of the union of two balls."""
    share = np.minimum(distance / (2 * radius), 1)
    return 4 / 3 * np.pi * radius**3 * (1 + 1.5 * share - 0.5 * share**3)


def grains(shape: tuple[int, ...], sigma: float, share: float, seed: int = 0) -> np.ndarray:
    """A thresholded Gaussian field, uint8: 1 where it is below its ``share`` quantile; the share itself varies."""
    from scipy import ndimage as ndi
    from scipy.special import ndtri

    margin = int(np.ceil(4 * sigma))
    rng = np.random.default_rng(seed)
    field = ndi.gaussian_filter(rng.normal(size=tuple(size + 2 * margin for size in shape)), sigma, mode="wrap")
    field = field[tuple(slice(margin, -margin) for _ in shape)]
    deviation = (2 * np.sqrt(np.pi) * sigma) ** (-len(shape) / 2)
    return (field / deviation < ndtri(share)).astype(np.uint8)


def three_phases(shape: tuple[int, ...], sigma: float = 2, seed: int = 0) -> np.ndarray:
    """uint8 0, 1, 2: two thresholded fields."""
    first, second = grains(shape, sigma, 0.4, seed), grains(shape, sigma, 0.5, seed + 1)
    return np.where(first, 0, 1 + second).astype(np.uint8)


def sections(side: int, median: float, spread: float, share: float, seed: int = 0) -> np.ndarray:
    """(side, side) uint8, periodic: 1 in the discs that a plane cuts out of spheres of lognormal diameters.

    The discs are apart by 2 pixels, the largest placed first; ``spread`` is the standard deviation of the logarithm.
    """
    rng = np.random.default_rng(seed)
    spheres = median * np.exp(spread**2 + spread * rng.standard_normal(20_000))  # met in proportion to the diameter
    discs = spheres * np.sqrt(1 - rng.random(len(spheres)) ** 2)
    discs = discs[: np.searchsorted(np.cumsum(np.pi / 4 * discs**2), share * side**2)]
    image, placed = np.zeros((side, side), np.uint8), np.zeros((0, 3))
    for disc in np.sort(discs)[::-1]:
        while True:
            centre = rng.random(2) * side
            gap = np.abs(placed[:, :2] - centre)
            if (np.hypot(*np.minimum(gap, side - gap).T) >= (placed[:, 2] + disc) / 2 + 2).all():
                break
        placed = np.vstack([placed, [*centre, disc]])
        around = np.arange(-int(disc / 2) - 1, int(disc / 2) + 2)
        y, x = int(centre[0]) + around, int(centre[1]) + around
        away = (y - centre[0])[:, None] ** 2 + (x - centre[1]) ** 2
        image[np.ix_(y % side, x % side)] |= (away <= disc**2 / 4).astype(np.uint8)
    return image
