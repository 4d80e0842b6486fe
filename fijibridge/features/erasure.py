"""Directions of a ViT's tokens that tell the place, found in tiles of noise and taken away: concept erasure.

The template (:mod:`.position`) is one pattern, whatever the image. What a texture adds to it differs from texture to
texture, but lies in few directions of the token space. They are found in tiles of noise of several power spectra, in
which nothing but the encoder tells a place, and projected out of all tokens of that encoder: a correction distilled
once, the same for every image. With S the covariance of the tokens, W = S^(-1/2), and c_i their covariances with
smooth functions of the place, texture by texture, the directions are the first left singular vectors L of W [c_1 ...
c_n], and tokens t become t - W^-1 L L' W (t - mean): of all projections that leave no covariance along L it changes the
tokens least (LEACE: Belrose et al. 2023, arXiv 2306.03819).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fijibridge.features.position import PositionalPattern, digest_of, keep_arrays, kept_arrays, noise_tile

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

    def apply(self, tokens: np.ndarray) -> None:
        """Take the directions out of tokens, float32 (gy, gx, blocks * C), in place; their mean stays."""
        width = self.reading.shape[2]
        for block, (reading, writing) in enumerate(zip(self.reading, self.writing, strict=True)):
            own = tokens[..., block * width : (block + 1) * width]
            own -= ((own - own.mean((0, 1))) @ reading.T) @ writing


def places(shape: tuple[int, int]) -> np.ndarray:
    """Smooth functions of the place in a tile, orthonormal: y, x, y^2, y x, x^2, float64 (h * w, 5)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    found = np.stack([values.ravel() for values in (y, x, y**2, y * x, x**2)], axis=1)
    return np.linalg.qr(found - found.mean(0))[0]


def erasure_of(covariance: np.ndarray, crosses: np.ndarray, directions: int = DIRECTIONS) -> tuple[np.ndarray, ...]:
    """Reading and writing, (directions, C), of a covariance (C, C) and covariances with the place (C, n)."""
    covariance = covariance + _SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    size, axes = np.linalg.eigh(covariance)
    white, back = (axes * size**power @ axes.T for power in (-0.5, 0.5))
    left = np.linalg.svd(white @ crosses, full_matrices=False)[0][:, :directions]
    return (white @ left).T, (back @ left).T


def noise_erasure(
    encoder: str,
    blocks: Sequence[int],
    shape: tuple[int, int],
    patch: int,
    run: Callable[[np.ndarray], np.ndarray],
    pattern: PositionalPattern,
) -> Erasure:
    """The directions that tell the place in noise without the pattern; made once, and kept in the user's cache.

    Parameters
    ----------
    encoder, blocks, shape, patch, run
        As for :func:`fijibridge.features.position.noise_pattern`.
    pattern : PositionalPattern
        Of noise, for this encoder, blocks and shape.
    """
    key = digest_of("erasure", encoder, tuple(blocks), shape, SPECTRA, TILES, DIRECTIONS)
    found = kept_arrays(key)
    if found is None or found.get("reading", np.empty(0)).shape[:2] != (len(blocks), DIRECTIONS):
        rng = np.random.default_rng(1)
        basis, covariance, crosses = places(shape), 0.0, []
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
        reading, writing = (np.stack(part).astype(np.float32) for part in zip(*made, strict=True))
        found = {"reading": reading, "writing": writing}
        keep_arrays(key, found)
    return Erasure(found["reading"], found["writing"])
