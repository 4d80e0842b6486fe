"""Calibrated probabilities: how far a network's confidence is from the share of pixels it gets right."""

from __future__ import annotations

import numpy as np

_BINS = 15


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean gap between confidence and accuracy (ECE), over 15 equal bins of the confidence.

    Guo et al. 2017 (On calibration of modern neural networks, arXiv 1706.04599): the sum over bins of
    (share of the pixels in the bin) * |accuracy - mean confidence|.

    Parameters
    ----------
    probabilities : np.ndarray
        (M, K), a row a pixel.
    truth : np.ndarray
        (M,) class indices.

    Returns
    -------
    float
        0 (calibrated) to 1.
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, right - confidence.astype(np.float64), _BINS)
    return float(np.abs(gaps).sum() / len(truth))


def fitted_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T for which softmax(logits / T) has the least negative log likelihood (same paper).

    Parameters
    ----------
    logits : np.ndarray
        (M, K).
    truth : np.ndarray
        (M,) class indices.

    Returns
    -------
    float
        0.05 to 20; above 1 where the network is too sure.
    """
    from scipy.optimize import minimize_scalar

    wide = logits.astype(np.float64)
    own = wide[np.arange(len(truth)), truth]

    def loss(log_temperature: float) -> float:
        scaled = wide / np.exp(log_temperature)
        largest = scaled.max(1)
        total = np.log(np.exp(scaled - largest[:, None]).sum(1)) + largest
        return float((total - own / np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities of logits.

    Parameters
    ----------
    logits : np.ndarray
        (M, K).
    temperature : float
        The logits are divided by it.

    Returns
    -------
    np.ndarray
        (M, K) float64.
    """
    scaled = logits.astype(np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return scaled / scaled.sum(1, keepdims=True)


def uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of the class probabilities, as a share of the most there can be.

    Parameters
    ----------
    probabilities : np.ndarray
        (K, ...) that sum to 1 along the first axis.

    Returns
    -------
    np.ndarray
        (...) float32: 0 where one class is sure, 1 where all are as probable.
    """
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    entropy = -(probabilities * logs).sum(0) / np.log(len(probabilities))
    return np.clip(entropy, 0, 1).astype(np.float32)
