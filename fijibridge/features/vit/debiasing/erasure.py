"""Directions of a ViT's tokens that encode the position, found in tiles of noise and projected out: concept erasure.

The template (:mod:`fijibridge.features.vit.debiasing.pattern`) is one pattern, whatever the image. What a texture
adds to it differs from texture to texture, but lies in few directions of the token space. They are found in tiles of
noise of several power spectra, in which nothing but the encoder encodes a position, and projected out of all tokens:
a correction distilled once, the same for every image. With S the covariance of the tokens, W = S^(-1/2), and c_i their
covariances with smooth functions of the place, texture by texture, the directions are the first left singular vectors L
of W [c_1 ... c_n], and tokens t become t - W^-1 L L' W (t - mean): of all projections that leave no covariance along L
it changes the tokens least (LEACE: Belrose et al. 2023, arXiv 2306.03819).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fijibridge.core.cache import cache_key, load_cached_arrays, save_cached_arrays
from fijibridge.features.vit.debiasing.base import TileRunner
from fijibridge.features.vit.debiasing.pattern import PositionalPattern, noise_tile

DIRECTIONS = 16  # of each block's
SPECTRA = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # exponents of the amplitude: textures from fine to coarse
TILES = 8  # of each
_SHRINKAGE = 1e-3  # of the covariance towards a sphere


@dataclass(frozen=True, eq=False)
class Erasure:
    """What is taken from tokens: ``t - (t - mean) @ reading.T @ writing`` of each block.

    Parameters
    ----------
    reading, writing : ndarray, float32, shape (blocks, DIRECTIONS, C)
        C: channels of one block.
    """

    reading: np.ndarray
    writing: np.ndarray

    def apply(self, tokens: np.ndarray, mean: np.ndarray | None = None) -> None:
        """Take the directions out of tokens, float32 (gy, gx, blocks * C), in place.

        Parameters
        ----------
        tokens : ndarray
        mean : ndarray, float32, shape (blocks * C,), optional
            What stays as it is; the tokens' own mean.
        """
        width = self.reading.shape[2]
        for block, (reading, writing) in enumerate(zip(self.reading, self.writing, strict=True)):
            columns = slice(block * width, (block + 1) * width)
            own = tokens[..., columns]
            own -= ((own - (own.mean((0, 1)) if mean is None else mean[columns])) @ reading.T) @ writing


def places(shape: tuple[int, int]) -> np.ndarray:
    """Smooth functions of the place in a tile, orthonormal: y, x, y^2, y x, x^2, float64 (h * w, 5)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    found = np.stack([values.ravel() for values in (y, x, y**2, y * x, x**2)], axis=1)
    return np.linalg.qr(found - found.mean(0))[0]


def erasure_of(covariance: np.ndarray, crosses: np.ndarray, directions: int = DIRECTIONS) -> tuple[np.ndarray, ...]:
    """Reading and writing, (directions, C), of a covariance (C, C) and covariances with the place (C, n).

    Parameters
    ----------
    covariance : ndarray, float64, shape (C, C)
        Of the tokens.
    crosses : ndarray, float64, shape (C, n)
        Covariances of the tokens with functions of the place.
    directions : int
    """
    covariance = covariance + _SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    size, axes = np.linalg.eigh(covariance)
    white, back = (axes * size**power @ axes.T for power in (-0.5, 0.5))
    left = np.linalg.svd(white @ crosses, full_matrices=False)[0][:, :directions]
    return (white @ left).T, (back @ left).T


def noise_erasure(tiles: TileRunner, shape: tuple[int, int], pattern: PositionalPattern) -> Erasure:
    """The directions that encode the position in noise without the pattern; made once, and kept in the user's cache.

    Parameters
    ----------
    tiles : TileRunner
        The encoder.
    shape : (int, int)
        Rows and columns of patches of a tile.
    pattern : PositionalPattern
        Of noise, for these tiles.
    """
    blocks, patch, run = tiles.blocks, tiles.patch, tiles.run(shape)
    key = cache_key("erasure", tiles.weights_sha256, tuple(blocks), shape, SPECTRA, TILES, DIRECTIONS)
    found = load_cached_arrays(key, "positions")
    if found is None or found.get("reading", np.empty(0)).shape[:2] != (len(blocks), DIRECTIONS):
        rng = np.random.default_rng(1)
        basis, covariance, crosses = places(shape), np.zeros(()), []
        for spectrum in SPECTRA:
            size = (shape[0] * patch, shape[1] * patch)
            tokens = np.stack([run(noise_tile(size, rng, spectrum)) for _ in range(TILES)])
            tokens -= pattern.fitted(tokens.mean(0))
            tokens = tokens.reshape(TILES, len(basis), len(blocks), -1).astype(np.float64)
            tokens -= tokens.mean((0, 1))
            covariance = (
                covariance + np.einsum("npbc,npbd->bcd", tokens, tokens, optimize=True) / tokens[..., 0, 0].size
            )
            crosses.append(np.einsum("npbc,pz->bcz", tokens, basis) / TILES)
        joined = np.concatenate(crosses, axis=2)
        made = [erasure_of(own / len(SPECTRA), cross) for own, cross in zip(covariance, joined, strict=True)]
        reading, writing = (np.stack(part) for part in zip(*made, strict=True))
        # in the order of the cached ones, for the products' last bits depend on it
        found = {
            "reading": np.ascontiguousarray(reading, np.float32),
            "writing": np.ascontiguousarray(writing, np.float32),
        }
        save_cached_arrays(key, found, "positions")
    return Erasure(found["reading"], found["writing"])
