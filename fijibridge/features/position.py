"""Positional bias: measured by a probe, removed from the tokens of tiles or by a mean position embedding.

A ViT's tokens tell where in its field of view a patch lies. Nearly all of that is a pattern that has nothing to do with
the image: the means over the tiles of a micrograph and over tiles of noise agree (correlation 0.92 to 0.97 in blocks 6
and 9 of DINOv2's small ViT), and the pattern has about half of all variance of the tokens. ``position="template"``
subtracts it from every tile: the pattern of noise, with the strength of its first spatial modes fitted to the mean
over the image's own tiles.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fijibridge.errors import SettingsError
from fijibridge.weights import cache_folder

log = logging.getLogger(__name__)


COMPONENTS = 10  # kept of the pattern of noise: what is beyond them is as much the noise's own
MODES = 4  # spatial patterns whose strength an image's own tiles tell; more take away what is the image's own
FEW_TILES = 4  # of fewer tiles an image's own means are its content
NOISE_TILES = 24
_MOST_PROBED = 200  # patches a side that the probe looks at
_MOST_PATTERNS = 8  # kept in memory, a megabyte or two each
_patterns: dict[str, PositionalPattern] = {}


@dataclass(frozen=True, eq=False)
class PositionalPattern:
    """What tokens of a tile hold of their place in it, block by block.

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
        places = self.modes.shape[1]
        values = self.values.reshape(places, len(self.modes), -1)
        other = mean.reshape(values.shape)
        rest = other - other.mean(0) - values
        own = np.stack([modes @ (modes.T @ rest[:, i]) for i, modes in enumerate(self.modes)], axis=1)
        return (values + own).reshape(mean.shape)


def pattern_of(mean: np.ndarray, n_blocks: int) -> PositionalPattern:
    """The positional pattern in the mean of many tiles of noise, (h, w, C), of so many blocks of equal width."""
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
    0.5 to 2."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    amplitude = np.maximum(frequency, 1 / max(shape)) ** -(rng.uniform(0.5, 2.0) if exponent is None else exponent)
    amplitude[frequency < 1.5 / max(shape)] = 0  # no brightness, no gradient across the tile
    waves = amplitude * (rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape))
    grey = np.fft.irfft2(waves, s=shape)
    dark, bright = np.percentile(grey, (0.5, 99.5))
    return np.clip((grey - dark) / (bright - dark), 0, 1).astype(np.float32)


def noise_pattern(
    encoder: str,
    blocks: Sequence[int],
    shape: tuple[int, int],
    patch: int,
    run: Callable[[np.ndarray], np.ndarray],
    flips: int = 1,
) -> PositionalPattern:
    """The pattern of noise for tiles of one size; made once, and kept in the user's cache.

    Parameters
    ----------
    encoder : str
        What tells encoders apart: the SHA-256 of the weights.
    blocks : sequence of int
    shape : (int, int)
        Rows and columns of patches of a tile.
    patch : int
        Pixels a side.
    run : callable
        Grey tile, float32 (Y, X) in [0, 1] -> its tokens, float32 (h, w, C).
    flips : int
        Over how many flips of a tile `run` takes the mean.
    """
    key = digest_of(encoder, tuple(blocks), shape, NOISE_TILES, COMPONENTS, *([flips] if flips > 1 else []))
    found = _patterns.pop(key, None) or _kept_pattern(key, shape, len(blocks))
    if found is None:
        rng = np.random.default_rng(0)
        tiles = (noise_tile((shape[0] * patch, shape[1] * patch), rng) for _ in range(NOISE_TILES))
        found = pattern_of(sum(run(tile) / np.float32(NOISE_TILES) for tile in tiles), len(blocks))
        keep_arrays(key, {"values": found.values, "modes": found.modes})
    _patterns[key] = found
    while len(_patterns) > _MOST_PATTERNS:
        _patterns.pop(next(iter(_patterns)))
    return found


def _kept_pattern(key: str, shape: tuple[int, int], n_blocks: int) -> PositionalPattern | None:
    """From the user's cache; None where there is none that serves."""
    try:
        arrays = kept_arrays(key) or {}
        found = PositionalPattern(arrays["values"], arrays["modes"])
    except KeyError:
        return None
    fits = found.values.shape[:2] == shape and found.modes.shape == (n_blocks, shape[0] * shape[1], MODES)
    return found if fits and np.isfinite(found.values).all() else None


def digest_of(*what: Any) -> str:
    """A name in the cache for what was made of these."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:32]


def kept_arrays(key: str) -> dict[str, np.ndarray] | None:
    """Arrays from the user's cache; None where there are none, or a damaged file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(cache_folder() / "positions" / f"{key}.safetensors")
    except (OSError, SafetensorError):
        return None


def keep_arrays(key: str, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays into the user's cache, where that can be written."""
    from safetensors.numpy import save_file

    folder = cache_folder() / "positions"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            file = os.path.join(place, "arrays.safetensors")
            # as it lies in memory is how safetensors writes an array, transposed or not
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)
            os.replace(file, folder / f"{key}.safetensors")
    except OSError as error:
        log.info("what is known of positions is not kept in %s: %s", folder, error)


def distance_bias(shape: tuple[int, int], heads: int, prefix: int, slope: float) -> np.ndarray:
    """What is added to the attention's logits so that near patches count more: ALiBi in two dimensions.

    Head i of H has the bias ``-slope * 2^(-8 i / H)`` times the distance in patches (Press, Smith, Lewis 2022, arXiv
    2108.12409); class and register tokens see all patches alike, and are seen alike.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of patches of a tile.
    heads : int
        H.
    prefix : int
        Tokens before those of the patches.
    slope : float

    Returns
    -------
    ndarray, float32, shape (1, heads, n, n)
        n: tokens of a tile.
    """
    y, x = (values.ravel() for values in np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32))
    distance = np.hypot(y[:, None] - y, x[:, None] - x)
    bias = np.zeros((1, heads, prefix + y.size, prefix + y.size), np.float32)
    for head in range(heads):
        bias[0, head, prefix:, prefix:] = -slope * 2 ** (-8 * (head + 1) / heads) * distance
    return bias


def use_mean_position(model: Any, encoder: str, position: str = "mean") -> None:
    """Replace a ViT's learned position embedding by its mean over the patch grid, in place.

    Every patch then gets the same vector, so that a homogeneous image gives homogeneous features; no training.
    The class token's own entry stays.

    Parameters
    ----------
    model : timm's VisionTransformer
    encoder, position : str
        Its name, and that of the way of :mod:`.ways` that asks for it, for messages.

    Raises
    ------
    SettingsError
        The encoder has no learned absolute position embedding, a rotary one too (which cannot be averaged), or an
        attention without a mask.
    """
    import inspect

    import torch

    embedding = getattr(model, "pos_embed", None)
    rotary = getattr(model, "rope", None) is not None
    if rotary or not isinstance(embedding, torch.nn.Parameter) or embedding.ndim != 3:
        raise SettingsError(
            f"position={position!r} with encoder {encoder!r}, which has "
            + ("a rotary position embedding" if rotary else "no learned position embedding"),
            expected="a ViT with an absolute position embedding alone",
            remedy="use position='keep', or another encoder",
        )
    if "attn_mask" not in inspect.signature(model.forward_intermediates).parameters:  # tiles need it for their context
        raise SettingsError(
            f"position={position!r} with encoder {encoder!r}, whose attention takes no mask",
            expected="a plain ViT, of timm's VisionTransformer class",
            remedy="use position='keep', or another encoder",
        )
    prefix = 0 if getattr(model, "no_embed_class", False) else model.num_prefix_tokens
    with torch.no_grad():
        embedding[:, prefix:] = embedding[:, prefix:].mean(dim=1, keepdim=True)


def positional_probe(
    features: np.ndarray | Sequence[np.ndarray],
    *,
    split: str = "chessboard",
    ridge: float = 1.0,
    blocks: int = 4,
    seed: int = 0,
) -> float:
    """How well a linear model reads the place of a patch from its features: R^2 of a ridge probe of (x, y).

    Parameters
    ----------
    features : ndarray, shape (Y, X, F), or a sequence of them
        Features on the patch grid, or on pixels; of one image, or of several for ``split="images"``.
    split : {"chessboard", "random", "images"}
        ``"chessboard"``: the grid is cut into ``blocks`` x ``blocks`` fields; the probe is fitted on one colour and
        scored on the other, so that smoothness alone earns nothing. ``"random"``: fitted on a random 1/36 of the
        patches and scored on all; neighbours of a patch are alike, so that what varies slowly in the image earns, too.
        ``"images"``: fitted on all images but one and scored on that, in turn: the mean.
    ridge : float
        Penalty on standardised features, times the number of samples / 1000; with ``"random"`` and ``"images"`` it is
        the best of 0.01 to 1000 times that by leave-one-out on the samples (Golub, Heath, Wahba 1979).
    blocks : int
        Fields a side of the chessboard.
    seed : int
        Of the random patches.

    Returns
    -------
    float
        Mean R^2 of x and y. 1: the place can be read off; 0 or below: it cannot. NaN where there are too few patches.
    """
    images = [_thinned(one) for one in ([features] if isinstance(features, np.ndarray) else features)]
    if split == "images":
        scores = []
        for left_out in range(len(images)):
            kept = [_flat(image) for i, image in enumerate(images) if i != left_out]
            fitted = [np.concatenate(parts) for parts in zip(*kept, strict=True)]
            scores.append(_probe_score(*fitted, *_flat(images[left_out]), None))
        return float(np.mean(scores))
    samples, target = _flat(images[0])
    height, width = images[0].shape[:2]
    if min(height, width) < 2 * blocks:
        return float("nan")
    if split == "random":
        chosen = np.random.default_rng(seed).permutation(len(samples))[: len(samples) // 36]
        if len(chosen) < 2 * blocks:
            return float("nan")
        return _probe_score(samples[chosen], target[chosen], samples, target, None)
    y, x = np.mgrid[0:height, 0:width]
    train = ((y * blocks // height + x * blocks // width) % 2 == 0).ravel()
    return _probe_score(samples[train], target[train], samples[~train], target[~train], ridge)


def _thinned(features: np.ndarray) -> np.ndarray:
    """Every n-th row and column, so that a large image's hundreds of channels are not copied whole in float64."""
    step = max(1, -(-max(features.shape[:2]) // _MOST_PROBED))
    return features[::step, ::step]


def _flat(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, F) and places (n, 2), y and x of 0 to 1."""
    height, width, channels = features.shape
    y, x = np.mgrid[0:height, 0:width]
    return features.reshape(-1, channels).astype(np.float64), np.stack([y.ravel() / height, x.ravel() / width], axis=1)


def _probe_score(
    samples: np.ndarray, target: np.ndarray, others: np.ndarray, truth: np.ndarray, ridge: float | None
) -> float:
    """R^2 on ``others`` of a ridge regression fitted on ``samples``; without a penalty the best is searched for."""
    mean, spread = samples.mean(0), samples.std(0) + 1e-9
    samples = (samples - mean) / spread
    centre = target.mean(0)
    if ridge is None:
        # leave-one-out error for each penalty from the singular values
        left, size, right = np.linalg.svd(samples, full_matrices=False)
        goal = left.T @ (target - centre)
        best = np.inf
        for penalty in len(samples) / 1000 * 10.0 ** np.arange(-2, 4):
            shrunk = size**2 / (size**2 + penalty)
            leverage = np.minimum((left**2) @ shrunk + 1 / len(samples), 1 - 1e-9)
            error = (((target - centre - left @ (shrunk[:, None] * goal)) / (1 - leverage)[:, None]) ** 2).sum()
            if error < best:
                best, coefficients = error, right.T @ ((size / (size**2 + penalty))[:, None] * goal)
    else:
        gram = samples.T @ samples
        gram[np.diag_indices(len(gram))] += ridge * len(samples) / 1000
        coefficients = np.linalg.solve(gram, samples.T @ (target - centre))
    residual = truth - centre - (others - mean) / spread @ coefficients
    return float(np.mean(1 - (residual**2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)))
