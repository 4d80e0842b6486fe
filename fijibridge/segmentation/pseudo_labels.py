"""Training with pseudo-labels: unlabelled pixels of the images get classes, and head and forest learn from these, too.

A few strokes hold little about how features go together, and nothing about the classes' shares in the image. So pixels
drawn from the whole images get the class that two models together find most probable: label propagation
(:mod:`fijibridge.segmentation.label_propagation`), which follows the image's own clusters, and a linear model fitted at
the labels (:mod:`fijibridge.features.linear_head.fitting`), which weighs the features by what separates the classes.
The weight of each is fitted on strokes that it was not trained on (stacking, Wolpert 1992). Where a class has one
stroke only, the linear model gets little weight, and a forest trained on the labels some. With several detectors the
classes are guessed from each alone, too (:mod:`fijibridge.segmentation.detector_trust`). Then linear model and forest
are trained on labelled pixels and those with pseudo-labels. What predicts is a plain random forest of few features,
which Weka runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fijibridge.features.columns import columns
from fijibridge.features.linear_head.fitting import fit_linear_model
from fijibridge.features.linear_head.head import LinearHead, digest_of_names, head_feature_names
from fijibridge.features.linear_head.importance import head_importances
from fijibridge.features.linear_head.statistics import image_statistics, standardised
from fijibridge.features.stack import FeatureStack
from fijibridge.forest import Forest
from fijibridge.segmentation.detector_trust import DetectorTrust, Guess, trusted
from fijibridge.segmentation.label_propagation import propagate
from fijibridge.segmentation.similar_pixels import SimilarPixels

log = logging.getLogger(__name__)

UNLABELLED_PIXELS = 9_000  # drawn in all images together
TRAINING_PIXELS = 3_000  # of these, from which head and forest learn
FIRST_TREES = 30  # of the forest trained on the labels alone, for its out-of-bag votes, and where strokes are few
MOST_LABELLED = 3_000  # of all images together: more take time, and neighbours in a stroke are alike
LEAST_OF_CLASS = 500
MOST_SEEDS = 2_000  # of the labelled pixels that propagate
FOLDS = 3
# Powers of the probabilities by propagation, linear model and forest where no stroke can be held out. A compromise:
# with one stroke a class propagation alone does as well on the tuning superalloys, better on coating, worse on
# simulated images.
UNTRIED = (1.0, 0.1, 0.3)
_FLOOR = 1e-3  # least probability that propagation and linear model say
_FOREST_FLOOR = 0.02  # and the forest


@dataclass(frozen=True, eq=False)
class Trained:
    """What comes of the training: linear head, final forest, importance of the head's groups, trust in detectors.

    And the accuracy at strokes that were held out; NaN where a class has one stroke.
    """

    head: LinearHead
    forest: Forest
    importances: dict[str, np.ndarray]
    trust: DetectorTrust | None
    held_out_accuracy: float


def chosen_labelled(y: np.ndarray, seed: int, most: int = MOST_LABELLED, least: int = LEAST_OF_CLASS) -> np.ndarray:
    """Which labelled pixels train: all, or `most` drawn at random, and of a rare class `least`.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Their classes.
    seed : int
    most, least : int

    Returns
    -------
    ndarray of int64, shape (m,)
        Places in `y`, in order.
    """
    if len(y) <= most:
        return np.arange(len(y))
    rng, kept = np.random.default_rng(seed), []
    for own in (np.flatnonzero(y == k) for k in np.unique(y)):
        share = max(round(len(own) * most / len(y)), least)
        kept.append(rng.choice(own, min(share, len(own)), replace=False))
    return np.sort(np.concatenate(kept))


def train_with_pseudo_labels(
    stacks: Sequence[FeatureStack],
    samples: Sequence[np.ndarray],
    y: np.ndarray,
    strokes: np.ndarray,
    class_names: Sequence[str],
    train_first: Callable[..., Forest],
    train: Callable[..., tuple[Forest, float | None]],
    *,
    seed: int,
    n_threads: int,
) -> Trained:
    """Fit the linear head, and a forest of its channels, on labels and pseudo-labels.

    Parameters
    ----------
    stacks : sequence of FeatureStack
        Without a linear head's channels.
    samples : sequence of ndarray, float32, shape (n_i, F)
        Features at the labelled pixels of each.
    y : ndarray of int64, shape (n,)
        Their classes, 0 to K - 1.
    strokes : ndarray of int64, shape (n,)
        Their strokes, numbered in any way, each of one class.
    class_names : sequence of str
    train_first, train : callable
        Train a forest: (samples, classes, feature names, class names).
    seed, n_threads : int
        0 threads: all cores.

    Returns
    -------
    Trained
    """
    each = -(-UNLABELLED_PIXELS // len(stacks))
    names, groups = stacks[0].names, stacks[0].groups
    labelled, unlabelled = [], []
    for i, (stack, own) in enumerate(zip(stacks, samples, strict=True)):
        statistics = image_statistics(stack)
        labelled.append(standardised(own, statistics))
        unlabelled.append(standardised(stack.sample(each, seed + i), statistics))
    few = chosen_labelled(y, seed)
    known, unknown, y = np.concatenate(labelled)[few], np.concatenate(unlabelled), y[few]
    first = train_first(known, y, names, class_names, most_trees=FIRST_TREES)

    def guess(own: np.ndarray) -> Guess:
        """From some of the features."""
        chosen = [group for group, wanted in zip(groups, own, strict=True) if wanted]
        return guessed(
            known[:, columns(own)], y, strokes[few], unknown[:, columns(own)], chosen, len(class_names), votes,
            seed=seed, n_threads=n_threads,
        )  # fmt: skip

    def votes() -> np.ndarray:
        return first.predict_proba(np.ascontiguousarray(unknown), n_threads=n_threads or None)

    guesses, trust = trusted(guess, stacks[0].detectors, groups)
    found = guesses.probabilities.argmax(1)
    every = slice(None, None, -(-len(found) // TRAINING_PIXELS))  # they come in order of place
    both, classes = np.concatenate([known, unknown[every]]), np.concatenate([y, found[every]])
    model = fit_linear_model(both, classes, groups, len(class_names), unknown, n_threads)
    grouped = np.array([bool(group) for group in groups])
    plain = both[:, columns(~grouped)]
    seen = np.hstack([plain, model.probabilities(plain, both[:, columns(grouped)])])
    own_names = np.array(names)[~grouped].tolist()
    forest, _ = train(seen, classes, head_feature_names(own_names, class_names), class_names, out_of_bag=False)
    head = LinearHead(model, tuple(class_names), digest_of_names(names))
    return Trained(head, forest, head_importances(model, unknown[::3], groups), trust, guesses.accuracy)


def guessed(
    known: np.ndarray,
    y: np.ndarray,
    strokes: np.ndarray,
    unknown: np.ndarray,
    groups: Sequence[str],
    n_classes: int,
    votes: Callable[[], np.ndarray],
    *,
    seed: int,
    n_threads: int = 0,
) -> Guess:
    """Classes of unlabelled pixels by label propagation and a linear model, with a forest where strokes are few.

    Parameters
    ----------
    known : ndarray, float32, shape (n, F)
        Standardised features at labelled pixels.
    y, strokes : ndarray of int64, shape (n,)
        Their classes and strokes.
    unknown : ndarray, float32, shape (m, F)
        Of the unlabelled ones.
    groups : sequence of str
        Of the features; empty: a plain feature.
    n_classes : int
        K.
    votes : callable
        Gives class probabilities (m, K) by a forest trained on the labels alone, for where strokes are few.
    seed, n_threads : int
        0 threads: all cores.

    Returns
    -------
    Guess
    """
    grouped, count = np.array([bool(group) for group in groups]), len(unknown)
    plain_columns, grouped_columns = columns(~grouped), columns(grouped)
    seeds = chosen_labelled(y, seed, MOST_SEEDS, LEAST_OF_CLASS // 2)
    graph = SimilarPixels(unknown, grouped, seed).graph(known[seeds])

    def both(train: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of all pixels of the graph by propagation, and of those wanted by the linear model, with `train` known."""
        model = fit_linear_model(known[train], y[train], groups, n_classes, unknown, n_threads)
        classes = np.concatenate([np.full(count, -1), np.where(train[seeds], y[seeds], -1)])
        linear = model.probabilities(wanted[:, plain_columns], wanted[:, grouped_columns])
        return propagate(graph, classes, n_classes), linear

    heldout, parts = folds(y, strokes), []
    for fold in range(heldout.max() + 1):
        apart = heldout == fold
        walks, linear = both(~apart, known[seeds][apart[seeds]])
        parts.append((walks[count:][apart[seeds]], linear, y[seeds][apart[seeds]]))
    powers, loss, accuracy = UNTRIED, np.nan, np.nan
    if parts:
        tried = [np.concatenate(own) for own in zip(*parts, strict=True)]
        powers = (*stacked(*tried), 0.0)
        of_heldout = _normalised(_joined(tried[0], tried[1], powers))
        right = of_heldout[np.arange(len(tried[2])), tried[2]]
        own = [tried[2] == k for k in np.unique(tried[2])]
        loss = float(np.mean([-np.log(right[k]).mean() for k in own]))
        accuracy = float(np.mean([(of_heldout[k].argmax(1) == tried[2][k]).mean() for k in own]))
    walks, linear = both(np.ones(len(y), bool), unknown)
    walks = walks[:count]
    joined = _joined(walks, linear, powers)
    if powers[2]:
        labelled = np.bincount(y, minlength=n_classes) / len(y)  # a class is voted for as often as it is labelled
        joined += powers[2] * np.log((votes() + _FOREST_FLOOR) / np.maximum(labelled, 1 / len(y)))
        joined[:, labelled == 0] = -np.inf
    log.info("pseudo-labels: weight of propagation %.2f, linear model %.2f, forest %.2f", *powers)
    return Guess(np.where(walks.any(1, keepdims=True), _normalised(joined), linear), loss, accuracy)


def _joined(walks: np.ndarray, linear: np.ndarray, powers: Sequence[float]) -> np.ndarray:
    return powers[0] * np.log(walks + _FLOOR) + powers[1] * np.log(linear + _FLOOR)


def _normalised(logs: np.ndarray) -> np.ndarray:
    found = np.exp(logs - logs.max(1, keepdims=True))
    return found / found.sum(1, keepdims=True)


def folds(y: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Which pixels are held out together: whole strokes, of each class in turn.

    Parameters
    ----------
    y, strokes : ndarray of int64, shape (n,)
        Classes and strokes of the labelled pixels.

    Returns
    -------
    ndarray of int64, shape (n,)
        0 to FOLDS - 1; all -1 where a class has one stroke only.
    """
    found = np.full(len(y), -1)
    for k in np.unique(y):
        own = np.unique(strokes[y == k])
        if len(own) < 2:
            return np.full(len(y), -1)
        place = np.searchsorted(own, strokes[y == k])
        found[y == k] = place % min(FOLDS, len(own))
    return found


def stacked(walks: np.ndarray, linear: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Powers of two probabilities whose product, normalised, predicts held-out classes best.

    Parameters
    ----------
    walks, linear : ndarray, shape (n, K)
    y : ndarray of int, shape (n,)
        The true classes; each class counts alike.

    Returns
    -------
    (float, float)
        Least mean of the log loss, with a slight penalty on their squares.
    """
    from scipy.optimize import minimize

    logs = np.log(np.stack([walks, linear]) + _FLOOR)
    there, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    weight = 1 / (counts[inverse] * len(there))

    def loss(powers: np.ndarray) -> float:
        joined = np.tensordot(powers, logs, 1)
        joined -= joined.max(1, keepdims=True)
        right = joined[np.arange(len(y)), y] - np.log(np.exp(joined).sum(1))
        return float(-(weight * right).sum() + 1e-3 * (powers**2).sum())

    best = minimize(loss, [1.0, 0.5], bounds=[(0.1, 10), (0, 10)]).x
    return float(best[0]), float(best[1])
