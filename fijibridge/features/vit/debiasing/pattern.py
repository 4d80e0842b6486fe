"""The positional pattern in a ViT's tokens: found in noise, fitted to an image's own tiles.

A ViT's tokens encode where in its field of view a patch lies. Nearly all of that is a pattern that has nothing to do
with the image: the means over the tiles of a micrograph and over tiles of noise agree (correlation 0.92 to 0.97 in
blocks 6 and 9 of DINOv2's small ViT), and the pattern has about half of all variance of the tokens. The debiasing
method ``"template"`` subtracts it from every tile: the pattern of noise, with the strength of its first spatial modes
fitted to the mean over the image's own tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fijibridge.core.cache import cache_key, load_cached_arrays, save_cached_arrays
from fijibridge.features.vit.debiasing.base import TileRunner

COMPONENTS = 10  # kept of the pattern of noise: what is beyond them is as much the noise's own
MODES = 4  # spatial patterns whose strength an image's own tiles tell; more take away what is the image's own
FEW_TILES = 4  # of fewer tiles an image's own means are its content
NOISE_TILES = 24
_MOST_PATTERNS = 8  # kept in memory, a megabyte or two each
_patterns: dict[str, PositionalPattern] = {}


@dataclass(frozen=True, eq=False)
class PositionalPattern:
    """The part of a tile's tokens that encodes the position in it, block by block.

    Parameters
    ----------
    values : ndarray, float32, shape (h, w, C)
        Means of the tokens at each place over tiles of noise, less their mean over the places; of their singular value
        decomposition U S V', block by block, the `COMPONENTS` largest terms.
    modes : ndarray, float32, shape (blocks, h * w, MODES)
        The first columns of U: how the pattern varies over a tile.
    """

    values: np.ndarray
    modes: np.ndarray

    def fitted(self, mean: np.ndarray) -> np.ndarray:
        """The pattern in the tokens of an image: of noise, but with the strength of `modes` as the image's tiles have.

        Parameters
        ----------
        mean : ndarray, float32, shape (h, w, C)
            Mean over the image's tiles of the tokens at each place.

        Returns
        -------
        ndarray, float32, shape (h, w, C)
        """
        return self.with_strengths(self.strengths(mean))

    def strengths(self, mean: np.ndarray) -> np.ndarray:
        """How much more of `modes` than noise the tiles have, float32 (blocks, MODES, C / blocks).

        Parameters
        ----------
        mean : ndarray, float32, shape (h, w, C)
            Mean over the tiles of the tokens at each place.
        """
        values = self._by_block
        other = mean.reshape(values.shape)
        rest = other - other.mean(0) - values
        return np.stack([modes.T @ rest[:, i] for i, modes in enumerate(self.modes)])

    def with_strengths(self, strengths: np.ndarray) -> np.ndarray:
        """The pattern with such strengths, float32 (h, w, C).

        Parameters
        ----------
        strengths : ndarray, float32, shape (blocks, MODES, C / blocks)
        """
        values = self._by_block
        own = np.stack([modes @ strength for modes, strength in zip(self.modes, strengths, strict=True)], axis=1)
        return (values + own).reshape(self.values.shape)

    @property
    def _by_block(self) -> np.ndarray:
        return self.values.reshape(self.modes.shape[1], len(self.modes), -1)


def pattern_of(mean: np.ndarray, n_blocks: int) -> PositionalPattern:
    """The positional pattern in the mean of many tiles of noise, (h, w, C), of so many blocks of equal width.

    Parameters
    ----------
    mean : ndarray, shape (h, w, C)
    n_blocks : int
    """
    h, w, channels = mean.shape
    columns = mean.reshape(h * w, n_blocks, -1).astype(np.float64)
    values, modes = [], []
    for block in np.moveaxis(columns - columns.mean(0), 1, 0):
        left, size, right = np.linalg.svd(block, full_matrices=False)
        values.append((left[:, :COMPONENTS] * size[:COMPONENTS]) @ right[:COMPONENTS])
        modes.append(left[:, :MODES])
    pattern = np.stack(values, axis=1).reshape(h, w, channels)
    return PositionalPattern(pattern.astype(np.float32), np.stack(modes).astype(np.float32))


def noise_tile(shape: tuple[int, int], rng: np.random.Generator, exponent: float | None = None) -> np.ndarray:
    """Noise with the power spectrum f^(-2a), as micrographs have: float32 in [0, 1]; a is ``exponent``, or drawn from
    0.5 to 2.

    Parameters
    ----------
    shape : (int, int)
        In pixels.
    rng : numpy.random.Generator
    exponent : float, optional
        a.
    """
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    amplitude = np.maximum(frequency, 1 / max(shape)) ** -(rng.uniform(0.5, 2.0) if exponent is None else exponent)
    amplitude[frequency < 1.5 / max(shape)] = 0  # no brightness, no gradient across the tile
    waves = amplitude * (rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape))
    grey = np.fft.irfft2(waves, s=shape)
    dark, bright = np.percentile(grey, (0.5, 99.5))
    return np.clip((grey - dark) / (bright - dark), 0, 1).astype(np.float32)


def noise_pattern(tiles: TileRunner, shape: tuple[int, int], flips: int = 1) -> PositionalPattern:
    """The pattern of noise for tiles of one size; made once, and kept in the user's cache.

    Parameters
    ----------
    tiles : TileRunner
        The encoder.
    shape : (int, int)
        Rows and columns of patches of a tile.
    flips : int
        Over how many flips of a tile the encoder takes the mean.
    """
    blocks, encoder = tiles.blocks, tiles.weights_sha256
    key = cache_key(encoder, tuple(blocks), shape, NOISE_TILES, COMPONENTS, *([flips] if flips > 1 else []))
    found = _patterns.pop(key, None) or _kept_pattern(key, shape, len(blocks))
    if found is None:
        rng = np.random.default_rng(0)
        size, run = (shape[0] * tiles.patch, shape[1] * tiles.patch), tiles.run(shape)
        noise = (noise_tile(size, rng) for _ in range(NOISE_TILES))
        parts = (run(tile) / np.float32(NOISE_TILES) for tile in noise)
        found = pattern_of(sum(parts, start=np.zeros(1, np.float32)), len(blocks))
        save_cached_arrays(key, {"values": found.values, "modes": found.modes}, "positions")
    _patterns[key] = found
    while len(_patterns) > _MOST_PATTERNS:
        _patterns.pop(next(iter(_patterns)))
    return found


def _kept_pattern(key: str, shape: tuple[int, int], n_blocks: int) -> PositionalPattern | None:
    """From the user's cache; None where there is none that serves."""
    try:
        arrays = load_cached_arrays(key, "positions") or {}
        found = PositionalPattern(arrays["values"], arrays["modes"])
    except KeyError:
        return None
    fits = found.values.shape[:2] == shape and found.modes.shape == (n_blocks, shape[0] * shape[1], MODES)
    return found if fits and np.isfinite(found.values).all() else None
