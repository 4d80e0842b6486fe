"""A linear model and a first forest label further pixels, from which the final forest learns as well.

Few strokes tell a forest little about how its features go together, and nothing of the classes' shares in the image. So
unlabelled pixels, drawn from the whole images, get the class that a linear model of the features (`readout`) and a
forest trained on the strokes find together most probable; the final forest learns from both. It is a plain random
forest of few features, which Weka runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fijibridge.features.readout import (
    Readout,
    class_shares,
    fit_readout,
    group_of,
    image_statistics,
    seen_names,
    standardised,
)
from fijibridge.features.stack import FeatureStack
from fijibridge.forest import Forest
from fijibridge.segmentation.importance import readout_importances

FURTHER_PIXELS = 5_000  # drawn in all images together; 10,000 segmented the tuning images alike
# Of the first forest, which votes with the linear model on further pixels; 200 segmented the tuning images alike.
FIRST_TREES = 50
MOST_LABELLED = 4_000  # of all images together: more take time, and neighbours in a stroke are alike
LEAST_OF_CLASS = 500


@dataclass(frozen=True, eq=False)
class Learnt:
    """What comes of the training: linear model, final forest, and the parts of the linear model's values."""

    model: Readout
    forest: Forest
    importances: dict[str, np.ndarray]


def chosen_labelled(y: np.ndarray, seed: int) -> np.ndarray:
    """Which labelled pixels train: all, or `MOST_LABELLED` drawn at random, and of a rare class `LEAST_OF_CLASS`.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Their classes.
    seed : int

    Returns
    -------
    ndarray of int64, shape (m,)
        Places in `y`, in order.
    """
    if len(y) <= MOST_LABELLED:
        return np.arange(len(y))
    rng, kept = np.random.default_rng(seed), []
    for own in (np.flatnonzero(y == k) for k in np.unique(y)):
        share = max(round(len(own) * MOST_LABELLED / len(y)), LEAST_OF_CLASS)
        kept.append(rng.choice(own, min(share, len(own)), replace=False))
    return np.sort(np.concatenate(kept))


def learn(
    stacks: Sequence[FeatureStack],
    samples: Sequence[np.ndarray],
    y: np.ndarray,
    class_names: Sequence[str],
    train_first: Callable[..., Forest],
    train: Callable[..., tuple[Forest, float | None]],
    *,
    seed: int,
    n_threads: int,
) -> Learnt:
    """Fit the linear model, and a forest of its channels, trained on further pixels as well.

    Parameters
    ----------
    stacks : sequence of FeatureStack
        With the ViT's channels.
    samples : sequence of ndarray, float32, shape (n_i, F)
        Features at the labelled pixels of each.
    y : ndarray of int64, shape (n,)
        Their classes, 0 to K - 1.
    class_names : sequence of str
    train_first, train : callable
        Train a forest: (samples, classes, feature names, class names).
    seed, n_threads : int
        0 threads: all cores.

    Returns
    -------
    Learnt
    """
    each = -(-FURTHER_PIXELS // len(stacks))
    names = stacks[0].names
    vit = np.array([bool(group_of(name)) for name in names])
    labelled, further = [], []
    for i, (stack, own) in enumerate(zip(stacks, samples, strict=True)):
        statistics = image_statistics(stack)
        labelled.append(standardised(own, vit, statistics))
        further.append(standardised(stack.sample(each, seed + i), vit, statistics))
    few = chosen_labelled(y, seed)
    known, unknown, y = np.concatenate(labelled)[few], np.concatenate(further), y[few]
    first = train_first(known, y, names, class_names, most_trees=FIRST_TREES)
    model = fit_readout(known, y, names, len(class_names), unknown)
    read = [model.probabilities(part[:, ~vit], part[:, vit]) for part in (known, unknown)]
    trained = np.bincount(y, minlength=len(class_names)) / len(y)
    found = further_classes(first, unknown, read[1], trained, n_threads or None)
    seen = [np.hstack([part[:, ~vit], own]) for part, own in zip((known, unknown), read, strict=True)]
    plain = np.array(names)[~vit].tolist()
    both = np.concatenate(seen), np.concatenate([y, found])
    forest, _ = train(*both, seen_names(plain, class_names), class_names, out_of_bag=False)
    return Learnt(model, forest, readout_importances(model, unknown, names))


def further_classes(
    first: Forest, samples: np.ndarray, linear: np.ndarray, trained: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """Classes of unlabelled pixels by a forest and a linear model together.

    The forest's probabilities are corrected to the classes' shares among the pixels; then the geometric mean of both.

    Parameters
    ----------
    first : Forest
        Trained on the labels alone.
    samples : ndarray, float32, shape (n, F)
        The forest's features.
    linear : ndarray, shape (n, K)
        Probabilities of the linear model, corrected already.
    trained : ndarray, shape (K,)
        The classes' shares among the labels.
    n_threads : int, optional

    Returns
    -------
    ndarray of int64, shape (n,)
        0 to K - 1.
    """
    votes = first.predict_proba(np.ascontiguousarray(samples), n_threads=n_threads) + 1e-3
    shares = class_shares(votes / votes.sum(1, keepdims=True), trained)
    votes = votes * np.divide(shares, trained, out=np.zeros_like(shares), where=trained > 0)
    return ((linear + 1e-4) * votes / votes.sum(1, keepdims=True)).argmax(1)
