"""A linear model that turns the ViT's hundreds of channels into one a class: supervised channels.

The forest is not the best reader of ViT features: each of them says little, and a split sees one at a time. A logistic
regression weighs all of them at once. Its class probabilities stand in a stack in place of the ViT's channels, beside
TWS's own features, so that a forest of about 80 features, in Weka or scikit-learn, has what the ViT knows.

One model is fitted for each block and scale, on its channels and the plain ones (TWS's features, a network's
probabilities), and the models' decision values are averaged: late fusion, which segments better than one model of all
channels. The mean of linear models is a linear model, so that one is kept. Being linear, it is applied to the tokens
on the patch grid, and only its values are brought to pixels; where upsampling is not linear, at the pixels.

Every image's features are standardised by their own mean and spread in that image first. Micrographs differ in
brightness, contrast and noise, which moves features all together; a linear model, unlike a forest, carries such a shift
on without limit. (Trained on two superalloys and applied to a third taken with other settings: mean IoU 0.34 without,
0.81 with it, and 0.80 where it was trained on its own labels.)

The model is kept in the recipe as text: base64 (RFC 4648) of little-endian float64: the numbers of classes K, plain
channels P and ViT channels T, the CRC-32 of the channels' names (UTF-8, each with a line feed), then K offsets, P least
and P greatest values of the standardised plain channels where it was fitted (values outside are clipped, so that a hot
pixel is no extrapolation), P x K and T x K weights in row order.
"""

from __future__ import annotations

import base64
import os
import re
import warnings
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from fijibridge.errors import FeatureMismatchError, SettingsError
from fijibridge.features.recipe import FeatureRecipe
from fijibridge.features.stack import FeatureStack, Part, TokensPart
from fijibridge.features.upsample import Upsampler

# Inverse strength of the L2 penalty on standardised features; 0.002 and 0.2 segmented the tuning images a little worse.
REGULARISATION = 0.02
# No class is found more than so many times rarer than its share of the labels.
_RAREST = 20.0
_SAMPLED = 10_000  # pixels of an image whose plain features tell mean and spread
_ABSENT = -30.0  # offset of a class that has a name and no labelled pixel


class Statistics(NamedTuple):
    """Mean and standard deviation of features in an image, float64 (F,); 1 in place of a spread of 0."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[np.ndarray], n_features: int) -> Statistics:
        """Of features (n, F) that come in parts."""
        count, total, squares = 0, np.zeros(n_features), np.zeros(n_features)
        shift = None
        for row in rows:
            values = row.astype(np.float64)
            shift = values.mean(0) if shift is None else shift  # squares of small numbers keep their digits
            values -= shift
            count, total, squares = count + len(values), total + values.sum(0), squares + (values**2).sum(0)
        if shift is None:
            return cls(total, np.ones(n_features))
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        constant = spread <= 1e-7 * np.abs(mean + shift)
        return cls(mean + shift, np.where(constant | (spread == 0), 1.0, spread))


_known: WeakKeyDictionary[FeatureStack, tuple[Statistics, Statistics]] = WeakKeyDictionary()


def image_statistics(stack: FeatureStack) -> tuple[Statistics, Statistics]:
    """Of a stack's plain channels, at sampled pixels, and of its ViT channels, over the patch grid; at sampled pixels
    where upsampling is not linear, for then the features there are others."""
    if stack not in _known:
        _known[stack] = _statistics(stack)
    return _known[stack]


def _statistics(stack: FeatureStack) -> tuple[Statistics, Statistics]:
    tokens = [part for part in stack.parts if isinstance(part, TokensPart)]
    plain = [part for part in stack.parts if not isinstance(part, TokensPart)]
    of_tokens = []
    for part in tokens:
        seen = part.tokens if part.upsampler.linear else [FeatureStack(stack.shape[:2], [part]).sample(_SAMPLED)]
        of_tokens.append(Statistics.of(seen, len(part.names)))
    joined = Statistics(*(np.concatenate(parts) for parts in zip(*of_tokens, strict=True))) if tokens else None
    few = FeatureStack(stack.shape[:2], plain)
    of_plain = Statistics.of([few.sample(_SAMPLED)] if plain else [], few.shape[2])
    return of_plain, joined or Statistics.of([], 0)


def standardised(samples: np.ndarray, vit: np.ndarray, statistics: tuple[Statistics, Statistics]) -> np.ndarray:
    """Samples (n, F) of one image by its own mean and spread, float32; ``vit`` (F,) bool: which are ViT channels."""
    mean, spread = np.empty(len(vit)), np.empty(len(vit))
    for columns, own in zip((~vit, vit), statistics, strict=True):
        mean[columns], spread[columns] = own
    result = np.empty(samples.shape, np.float32)
    for first in range(0, len(samples), 256):  # rows that fit the processor's cache
        rows = slice(first, first + 256)
        result[rows] = (samples[rows] - mean) / spread
    return result


@dataclass(frozen=True, eq=False)
class Readout:
    """The linear model: ``softmax(offset + clip(plain, low, high) @ plain_weights + tokens @ token_weights)``.

    Of standardised features.

    Parameters
    ----------
    offset : ndarray, float64, shape (K,)
    low, high : ndarray, float64, shape (P,)
    plain_weights : ndarray, float64, shape (P, K)
    token_weights : ndarray, float64, shape (T, K)
    names_crc : int
        Of the features it was fitted on, see :func:`crc_of`.
    """

    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray
    plain_weights: np.ndarray
    token_weights: np.ndarray
    names_crc: int = 0

    def to_text(self) -> str:
        """As it is kept in a recipe."""
        size = [len(self.offset), len(self.low), len(self.token_weights), self.names_crc]
        parts = (size, self.offset, self.low, self.high, self.plain_weights.ravel(), self.token_weights.ravel())
        return base64.b64encode(np.concatenate(parts).astype("<f8").tobytes()).decode("ascii")

    def probabilities(self, plain: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Class probabilities (n, K) float32 of samples: plain features (n, P), ViT channels (n, T)."""
        logits = (tokens @ self.token_weights.astype(tokens.dtype)).astype(np.float64)[:, None]
        out = np.empty(logits.shape, np.float32)
        plain = np.ascontiguousarray(plain[:, None])
        _probabilities(plain, self.low, self.high, self.plain_weights, self.offset, logits, out)
        return out[:, 0]


def read_readout(text: str, classes: Sequence[str]) -> Readout:
    """The linear model of a recipe.

    Raises
    ------
    SettingsError
        Not a linear model of so many classes.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    return _read(data, tuple(classes))


@lru_cache(maxsize=8)
def _read(data: bytes, classes: tuple[str, ...]) -> Readout:
    values = np.frombuffer(data[: len(data) // 8 * 8], "<f8").astype(np.float64)
    if len(values) > 4 and np.isfinite(values).all() and len(data) % 8 == 0 and (values[:4] >= 0).all():
        k, p, t, crc = (int(size) for size in np.minimum(values[:4], 2**32 - 1))
        ends = np.cumsum([4, k, p, p, p * k, t * k])
        if k == len(classes) >= 2 and ends[-1] == len(values):
            _, offset, low, high, plain, tokens = np.split(values, ends[:-1])
            return Readout(offset, low, high, plain.reshape(p, k), tokens.reshape(t, k), crc)
    raise SettingsError(
        f"readout is not a linear model of {len(classes)} classes ({', '.join(classes) or 'none'})",
        expected="the linear model of an earlier recipe, with its classes",
        remedy="leave the readout out, or take the whole recipe of a saved classifier",
    )


def seen_names(plain: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Names of what a forest sees: ``z_original``, ... of standardised features, ``linear_ISE``, ... of the classes.

    No dots: TWS parses names with sigmas.
    """
    names = [f"z_{name.replace('.', '_')}" for name in plain]
    for name in classes:
        own = f"linear_{re.sub('[^A-Za-z0-9]', '_', name)}"
        names.append(own if own not in names else f"{own}_{len(names) + 1}")
    return tuple(names)


def crc_of(names: Sequence[str]) -> int:
    """What tells sets of features apart."""
    return zlib.crc32("".join(f"{name}\n" for name in names).encode())


def group_of(name: str) -> str:
    """The block and scale that a ViT channel belongs to, ``vit_b06`` of ``vit_b06_c000``; empty for other features."""
    return name.rsplit("_", 1)[0] if name.startswith("vit_") else ""


def fit_readout(
    samples: np.ndarray, classes: np.ndarray, names: Sequence[str], n_classes: int, unlabelled: np.ndarray,
    n_threads: int = 0,
) -> Readout:  # fmt: skip
    """Fit the linear model at pixels whose class is labelled, or was found.

    Offsets are shifted towards the classes' shares in the image: labels say nothing of these, and a class that is rare
    in the image and much labelled would be found everywhere (see :func:`class_shares`).

    Parameters
    ----------
    samples : ndarray, float32, shape (n, F)
        Features at these pixels, :func:`standardised` image by image.
    classes : ndarray of int, shape (n,)
        0 to n_classes - 1.
    names : sequence of str
        Of the features.
    n_classes : int
    unlabelled : ndarray, float32, shape (m, F)
        Features at pixels drawn from the whole images, standardised too.
    n_threads : int
        0: all cores.

    Returns
    -------
    Readout
    """
    from sklearn.exceptions import ConvergenceWarning

    groups = [group_of(name) for name in names]
    plain = np.flatnonzero([not group for group in groups])
    tokens = np.flatnonzero([bool(group) for group in groups])
    low, high = (limit(samples[:, plain].astype(np.float64), axis=0) for limit in (np.min, np.max))
    weights, offset = np.zeros((len(names), n_classes)), np.zeros(n_classes)
    chosen = list(dict.fromkeys(group for group in groups if group))
    columns = [np.flatnonzero([own in ("", group) for own in groups]) for group in chosen]
    with (
        warnings.catch_warnings(),
        threadpool_limits(1, "blas"),  # on matrices as small as these two threads are up to ten times slower than one
        ThreadPoolExecutor(n_threads or os.cpu_count()) as workers,
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough after so many steps
        models = list(workers.map(lambda own: _logistic(samples[:, own], classes, n_classes), columns))
    for own, (own_weights, own_offset) in zip(columns, models, strict=True):
        weights[own] += own_weights / len(chosen)
        offset += own_offset / len(chosen)
    found = Readout(offset, low, high, weights[plain], weights[tokens], crc_of(names))
    trained = np.bincount(classes, minlength=n_classes) / len(classes)
    shares = class_shares(found.probabilities(unlabelled[:, plain], unlabelled[:, tokens]), trained)
    there = trained > 0
    shift = np.zeros(n_classes)
    shift[there] = np.log(shares[there] / trained[there])
    return replace(found, offset=offset + shift)


def _logistic(samples: np.ndarray, classes: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (F, K) and offsets (K,) of a logistic regression on standardised features, in the features' own units."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = samples.mean(0, dtype=np.float64), samples.std(0, dtype=np.float64)
    spread[spread <= 1e-12 * np.maximum(np.abs(mean), 1e-300)] = np.inf  # a constant feature tells nothing
    values = ((samples - mean) / spread).astype(np.float32)  # a third quicker than in float64, and alike
    model = LogisticRegression(C=REGULARISATION, max_iter=300, tol=1e-3).fit(values, classes)
    coefficients, intercept = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    if len(model.classes_) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weights, offset = np.zeros((samples.shape[1], n_classes)), np.full(n_classes, _ABSENT)
    weights[:, model.classes_] = (coefficients / spread).T
    offset[model.classes_] = intercept - coefficients @ (mean / spread)
    return weights, offset


def class_shares(probabilities: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """The classes' shares to reckon with in a sample of pixels, from probabilities of a model trained on other shares.

    Expectation maximisation of Saerens, Latinne and Decaestecker (2002): with q the shares and p the trained ones,
    q becomes the mean of ``q / p * P`` normalised over the classes. The result is the geometric mean of q and p:
    q alone segments a little better where labels are many and spread (mean IoU of three tuning images 0.844 against
    0.830), and much worse where they are few or sit in one third of the image (0.30 against 0.35, 0.62 against 0.69).

    Parameters
    ----------
    probabilities : ndarray, shape (n, K)
    trained : ndarray, shape (K,)
        Shares in the training; 0 where a class was not there, and stays.

    Returns
    -------
    ndarray of float64, shape (K,)
        They sum to 1.
    """
    there = trained > 0
    before, trained = trained, trained[there]
    known = probabilities[:, there].astype(np.float64) + 1e-9
    shares = trained.copy()
    for _ in range(200):
        weighted = known * (shares / trained)
        weighted /= weighted.sum(1, keepdims=True)
        better = np.maximum(weighted.mean(0), trained / _RAREST)
        better /= better.sum()
        done = np.abs(better - shares).max() < 1e-6
        shares = better
        if done:
            break
    result = np.zeros(len(before))
    result[there] = np.sqrt(shares * trained)
    return result / result.sum()


def read_out(stack: FeatureStack, recipe: FeatureRecipe) -> FeatureStack:
    """A stack with class probabilities in place of the ViT's channels.

    Parameters
    ----------
    stack : FeatureStack
        With the ViT's channels.
    recipe : FeatureRecipe
        With a linear model.

    Returns
    -------
    FeatureStack
        The plain channels, standardised, then one a class; its recipe is `recipe`.

    Raises
    ------
    FeatureMismatchError
        The model is one of other features.
    """
    model = read_readout(recipe.readout, recipe.readout_classes)
    tokens = [part for part in stack.parts if isinstance(part, TokensPart)]
    plain = [part for part in stack.parts if not isinstance(part, TokensPart)]
    counts = [sum(len(part.names) for part in parts) for parts in (plain, tokens)]
    wanted = [len(model.plain_weights), len(model.token_weights)]
    if counts != wanted:
        raise FeatureMismatchError(
            f"a linear model of {wanted[0]} plain and {wanted[1]} ViT features, for a stack with {counts[0]} and "
            f"{counts[1]}",
            expected="the features that the model was fitted on",
            remedy="make the features by the classifier's own recipe, or train anew",
        )
    if model.names_crc != crc_of(stack.names):
        raise FeatureMismatchError(
            f"a linear model of other features than {stack.names[-1]} and those before it",
            expected="the features that the model was fitted on, in their order",
            remedy="make the features by the classifier's own recipe, or train anew",
        )
    of_plain, of_tokens = image_statistics(stack)
    weights = model.token_weights / of_tokens.spread[:, None]
    offset = model.offset - (of_tokens.mean / of_tokens.spread) @ model.token_weights
    parts, maps, upsamplers, starts = [], [], [], [0, 0]
    for part in stack.parts:
        is_vit = isinstance(part, TokensPart)
        own = slice(starts[is_vit], starts[is_vit] + len(part.names))
        starts[is_vit] = own.stop
        if is_vit:
            own_weights, upsampler = weights[own].astype(np.float32), part.upsampler
            if upsampler.linear:
                maps.append(np.stack([row @ own_weights for row in part.tokens]))
                upsamplers.append(upsampler)
            else:
                maps.append(part.tokens)
                upsamplers.append(upsampler.weighted(own_weights))
        else:
            parts.append(StandardisedPart(part, of_plain.mean[own], of_plain.spread[own]))
    names = seen_names([], recipe.readout_classes)
    parts.append(ReadoutPart(replace(model, offset=offset), tuple(maps), tuple(upsamplers), names))
    return FeatureStack(stack.shape[:2], parts, recipe)


@dataclass(frozen=True, eq=False)
class StandardisedPart:
    """Plain channels by their mean and spread in the image."""

    part: Part
    mean: np.ndarray
    spread: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        return seen_names(self.part.names, ())

    def fill(self, rows: slice, cols: slice, out: np.ndarray, before: np.ndarray) -> None:
        self.part.fill(rows, cols, out, before)
        for line in out:
            line[:] = (line.astype(np.float64) - self.mean) / self.spread


@dataclass(frozen=True, eq=False)
class ReadoutPart:
    """Class probabilities by a linear model, from the stack's plain channels and maps on the patch grid."""

    model: Readout
    maps: tuple[np.ndarray, ...]
    upsamplers: tuple[Upsampler, ...]
    names: tuple[str, ...]

    def fill(self, rows: slice, cols: slice, out: np.ndarray, before: np.ndarray) -> None:
        logits = np.zeros(out.shape)
        for own, upsampler in zip(self.maps, self.upsamplers, strict=True):
            layer = np.empty(out.shape, np.float32)
            upsampler.block(own, rows, cols, layer)
            logits += layer
        model = self.model
        _probabilities(before, model.low, model.high, model.plain_weights, model.offset, logits, out)


@numba.njit(parallel=True, cache=True)
def _probabilities(plain, low, high, weights, offset, logits, out):  # pragma: no cover - compiled
    rows, columns, classes = logits.shape
    for row in numba.prange(rows):
        value = np.empty(classes)
        for column in range(columns):
            for k in range(classes):
                value[k] = logits[row, column, k] + offset[k]
            for feature in range(low.size):
                x = min(max(plain[row, column, feature], low[feature]), high[feature])
                for k in range(classes):
                    value[k] += x * weights[feature, k]
            most = value.max()
            total = 0.0
            for k in range(classes):
                value[k] = np.exp(value[k] - most)
                total += value[k]
            for k in range(classes):
                out[row, column, k] = value[k] / total
