"""How far detectors are trusted: a good one alone, two good ones together, noise not at all."""

from __future__ import annotations

import numpy as np
import pytest

import fijibridge as fb
from fijibridge.operations.report import detector_lines, oob_lines
from fijibridge.segmentation.detector_trust import Guess, trusted
from fijibridge.segmentation.pseudo_labels import guessed

DETECTORS = ("", "", "SE", "SE")
GROUPS = ("vit_b01", "vit_b01", "vit_SE_b01", "vit_SE_b01")


def guesses(losses: dict[tuple[bool, ...], float]):
    """What is guessed from some features, by the loss of it: class 0 by the first detector, 1 by the other."""

    def guess(own: np.ndarray) -> Guess:
        share = 0.9 if own[0] and not own[-1] else 0.1 if not own[0] else 0.6
        return Guess(np.array([[share, 1 - share]]), losses[tuple(own.tolist())], 0.8)

    return guess


FIRST, OTHER, BOTH = (True, True, False, False), (False, False, True, True), (True,) * 4


def test_the_better_guess_weighs_more():
    found, trust = trusted(guesses({FIRST: 0.1, OTHER: 1.0, BOTH: 0.3}), DETECTORS, GROUPS)
    assert trust is not None
    assert sum(trust.weights.values()) + trust.together == pytest.approx(1)
    assert trust.weights[""] > 0.9
    assert trust.weights["SE"] < 0.01
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.probabilities[0, 0] > 0.8
    assert (found.loss, found.accuracy) == (0.3, trust.accuracy)
    alike, trust = trusted(guesses(dict.fromkeys((FIRST, OTHER, BOTH), 0.1)), DETECTORS, GROUPS)
    assert trust.weights[""] == pytest.approx(trust.weights["SE"]) == pytest.approx(2 * trust.together)
    assert alike.probabilities[0, 0] == pytest.approx(0.4 * 0.9 + 0.4 * 0.1 + 0.2 * 0.6)


def test_one_detector_or_no_stroke_held_out():
    found, trust = trusted(guesses({BOTH: 0.1}), ("",) * 4, GROUPS)
    assert (trust, found.probabilities[0, 0]) == (None, 0.6)
    found, trust = trusted(guesses({BOTH: float("nan")}), DETECTORS, GROUPS)
    assert (trust, found.probabilities[0, 0]) == (None, 0.6)
    # of SE there are features that the forest sees itself, which are no guess
    found, trust = trusted(guesses({BOTH: 0.1}), DETECTORS, ("vit_b01", "vit_b01", "", ""))
    assert (trust, found.probabilities[0, 0]) == (None, 0.6)


def test_noise_beside_a_detector_that_sees_the_classes():
    rng = np.random.default_rng(0)
    y, strokes = np.repeat([0, 1], 120), np.arange(240) // 20
    truth = rng.integers(0, 2, 600)

    def features(classes: np.ndarray) -> np.ndarray:
        good = rng.normal(size=(len(classes), 12)) + np.where(classes, 0.8, -0.8)[:, None]
        return np.hstack(
            [
                good,
                rng.normal(size=(len(classes), 40)),
            ]
        ).astype("f4")

    known, unknown = features(y), features(truth)
    detectors = ("",) * 12 + ("SE",) * 40
    groups = np.array(["a"] * 12 + ["b"] * 40)

    def guess(own: np.ndarray):
        return guessed(
            known[:, own], y, strokes, unknown[:, own], groups[own].tolist(), 2, lambda: np.full((600, 2), 0.5), seed=0
        )

    found, trust = trusted(guess, detectors, groups.tolist())
    assert trust is not None
    assert trust.alone[""] > 0.9
    assert trust.alone["SE"] < 0.65
    assert trust.weights["SE"] < 0.05
    alone = guess(np.array(detectors) == "").probabilities.argmax(1)
    assert (found.probabilities.argmax(1) == truth).mean() >= (alone == truth).mean() - 0.02


def test_a_segmenter_says_what_each_brought(tiny_vit):
    from fijibridge.features import TwsSettings, VitSettings
    from fijibridge.synthesis.demo import demo_image

    bse, labels, _ = demo_image(96)
    noise = np.random.default_rng(0).integers(0, 255, bse.shape).astype(np.uint8)
    vit = VitSettings(encoder="test_vit", blocks=(2, 3), coarse_blocks=(), upsampler="bilinear", weights=str(tiny_vit))
    both = fb.join_detectors({"BSE": bse, "SE": noise}, align=False)
    segmenter = fb.PixelSegmenter((TwsSettings(), vit), n_trees=8, n_threads=1).fit(both, labels)
    trust = segmenter.detector_trust_
    assert trust is not None
    said = trust.to_report("BSE")
    assert set(said) == {"BSE", "SE", "together"}
    assert said["BSE"]["weight"] > said["SE"]["weight"]
    (line,) = detector_lines({"detector_trust": said})
    assert line.startswith("of strokes held out are found: by BSE alone ")
    assert detector_lines({"detector_trust": None}) == []
    one = fb.PixelSegmenter((TwsSettings(), vit), n_trees=8, n_threads=1).fit(bse, labels)
    assert one.detector_trust_ is None


def test_the_accuracy_at_held_out_strokes_is_said_once():
    report = {"oob_accuracy": 0.98, "held_out_accuracy": 0.812}
    assert oob_lines(report)[-1] == "mean accuracy of the classes at strokes held out: 81.2 %"
    together = {"accuracy": 0.812, "weight": 1.0}
    assert len(oob_lines({**report, "detector_trust": {"together": together}})) == 1  # which says it
    assert len(oob_lines({**report, "held_out_accuracy": None})) == 1  # of a forest without a head nobody asked
    alone = {**report, "held_out_accuracy": None, "features": {"head": {"sha256": "0"}}}
    assert "a class has one stroke only" in oob_lines(alone)[-1]
