"""How far each detector is trusted where an image was taken by several.

A further detector may add what the first one does not see, or no more than noise, another focus or another place. So
the classes of unlabelled pixels are guessed from each detector alone and from all together, and the guesses are
averaged. A guess counts the more the better it finds the classes of strokes that were held out: few strokes hardly
tell two good detectors apart, for which an average serves better than a choice, but they do tell a bad one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

log = logging.getLogger(__name__)

# A guess has the weight (log loss + 0.05)^-3, that from all detectors half of it: chosen on simulated pairs of two
# materials, of which one detector was good, weak, displaced or pure noise (benchmarks/detectors.py reports on others).
_LEAST_LOSS, _SHARPNESS, _ALL = 0.05, 3, 0.5


class Guess(NamedTuple):
    """Classes of unlabelled pixels, and how well those of strokes that were held out were found.

    Attributes
    ----------
    probabilities : ndarray, float64, shape (m, K)
    loss : float
        Mean log loss at held-out strokes, each class counting alike; NaN where none could be held out.
    accuracy : float
        Mean over the classes of their held-out pixels that were found; NaN likewise.
    """

    probabilities: np.ndarray
    loss: float
    accuracy: float


@dataclass(frozen=True)
class DetectorTrust:
    """What each detector brought, at strokes that were held out.

    Parameters
    ----------
    alone : dict
        Label of a detector (empty: the first) -> accuracy by it alone, 0 to 1.
    weights : dict
        Label of a detector -> weight of what it guesses alone; with ``together`` they sum to 1.
    accuracy : float
        By all together.
    together : float
        Weight of what all guess together.
    """

    alone: dict[str, float]
    weights: dict[str, float]
    accuracy: float
    together: float

    def to_report(self, first: str) -> dict[str, Any]:
        """For a report: accuracy and weight of each detector, and of all together.

        Parameters
        ----------
        first : str
            Name of the first detector.
        """
        found = {
            label or first: {"accuracy": round(own, 4), "weight": round(self.weights[label], 3)}
            for label, own in self.alone.items()
        }
        return {**found, "together": {"accuracy": round(self.accuracy, 4), "weight": round(self.together, 3)}}


def trusted(
    guess: Callable[[np.ndarray], Guess], detectors: Sequence[str], groups: Sequence[str]
) -> tuple[Guess, DetectorTrust | None]:
    """Classes of pixels from each detector alone and from all together, by how well each does.

    Parameters
    ----------
    guess : callable
        Features that are used, (F,) of bool -> a guess.
    detectors : sequence of str
        Label of the detector that each feature is of.
    groups : sequence of str
        Of the features; a detector without grouped ones is not tried alone.

    Returns
    -------
    Guess
        Loss and accuracy are those from all detectors together.
    DetectorTrust or None
        None with one detector, or where no stroke could be held out: then all count together.
    """
    of_detector, grouped = np.array(detectors), np.array([bool(group) for group in groups])
    every = guess(np.ones(len(of_detector), bool))
    labels = [label for label in dict.fromkeys(detectors) if grouped[of_detector == label].any()]
    if len(labels) < 2 or np.isnan(every.loss):
        return every, None
    alone = [guess(of_detector == label) for label in labels]
    weights = np.array([(one.loss + _LEAST_LOSS) ** -_SHARPNESS for one in (*alone, every)])
    weights[-1] *= _ALL
    weights /= weights.sum()
    found = np.tensordot(weights, np.stack([one.probabilities for one in (*alone, every)]), 1)
    shares = dict(zip(labels, weights[:-1].tolist(), strict=True))
    trust = DetectorTrust(
        {label: one.accuracy for label, one in zip(labels, alone, strict=True)}, shares, every.accuracy,
        float(weights[-1]),
    )  # fmt: skip
    log.info("detectors alone %s, together %s", trust.alone, trust.accuracy)
    return Guess(found, every.loss, every.accuracy), trust
