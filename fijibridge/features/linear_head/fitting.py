"""Fitting the linear head.

One logistic regression is fitted for each group (block and scale of a ViT), on its channels and the plain ones, and the
models' decision values are averaged: late fusion, which segments better than one model of all channels. The mean of
linear models is a linear model, so that one is kept.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from fijibridge.features.columns import columns
from fijibridge.features.linear_head.model import LinearModel

# Inverse strength of the L2 penalty on standardised features; 0.002 and 0.2 segmented the tuning images a little worse.
REGULARISATION = 0.02
# No class is found more than so many times rarer than its share of the labels.
_RAREST = 20.0
_ABSENT = -30.0  # offset of a class that has a name and no labelled pixel


def fit_linear_model(
    samples: np.ndarray, classes: np.ndarray, groups: Sequence[str], n_classes: int, unlabelled: np.ndarray,
    n_threads: int = 0,
) -> LinearModel:  # fmt: skip
    """Fit the linear model at labelled pixels and pixels with pseudo-labels.

    Offsets are shifted towards the classes' shares in the image: labels say nothing of these, and a class that is rare
    in the image and much labelled would be found everywhere (see :func:`class_shares`).

    Parameters
    ----------
    samples : ndarray, float32, shape (n, F)
        Features at these pixels, :func:`standardised` image by image.
    classes : ndarray of int, shape (n,)
        0 to n_classes - 1.
    groups : sequence of str
        Of the features, see :class:`fijibridge.features.source.ImageFeatures`; empty: a plain feature.
    n_classes : int
    unlabelled : ndarray, float32, shape (m, F)
        Features at pixels drawn from the whole images, standardised too.
    n_threads : int
        0: all cores.

    Returns
    -------
    LinearModel
    """
    from sklearn.exceptions import ConvergenceWarning

    of_group = np.array([bool(group) for group in groups])
    plain, grouped = columns(~of_group), columns(of_group)
    low, high = (limit(samples[:, plain].astype(np.float64), axis=0) for limit in (np.min, np.max))
    weights, offset = np.zeros((len(groups), n_classes)), np.zeros(n_classes)
    chosen = list(dict.fromkeys(group for group in groups if group))
    seen = [columns(np.array([own in ("", group) for own in groups])) for group in chosen]
    with (
        warnings.catch_warnings(),
        threadpool_limits(1, "blas"),  # on matrices as small as these two threads are up to ten times slower than one
        ThreadPoolExecutor(n_threads or os.cpu_count()) as workers,
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough after so many steps
        models = list(workers.map(lambda own: _logistic(samples[:, own], classes, n_classes), seen))
    for own, (own_weights, own_offset) in zip(seen, models, strict=True):
        weights[own] += own_weights / len(chosen)
        offset += own_offset / len(chosen)
    found = LinearModel(offset, low, high, weights[plain], weights[grouped])
    trained = np.bincount(classes, minlength=n_classes) / len(classes)
    shares = class_shares(found.probabilities(unlabelled[:, plain], unlabelled[:, grouped]), trained)
    there = trained > 0
    shift = np.zeros(n_classes)
    shift[there] = np.log(shares[there] / trained[there])
    return replace(found, offset=offset + shift)


def _logistic(samples: np.ndarray, classes: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (F, K) and offsets (K,) of a logistic regression on standardised features, in the features' own units."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = samples.mean(0, dtype=np.float64), samples.std(0, dtype=np.float64)
    spread[spread <= 1e-12 * np.maximum(np.abs(mean), 1e-300)] = np.inf  # a constant feature separates nothing
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
