"""Validation of a network: intersection over union of each class, and calibration, on images it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fijibridge.network.augmentation import Normalisation
from fijibridge.network.calibration import expected_calibration_error, fitted_temperature, softmax
from fijibridge.network.images import LabelledImages, surrounded
from fijibridge.network.network import Network

_PIXELS = 200_000  # of which the temperature is fitted


class Validation:
    """Labelled images to check a network with.

    Parameters
    ----------
    data : LabelledImages
        Where they are.
    indices : np.ndarray
        Which.
    values : np.ndarray
        (labels + 1,) label value -> class index, -1 for unknown.
    class_names : tuple of str
        Of the network.
    normalisation : Normalisation
        Of the network.
    """

    def __init__(
        self, data: LabelledImages, indices: np.ndarray, values: np.ndarray, class_names: tuple[str, ...],
        normalisation: Normalisation,
    ) -> None:  # fmt: skip
        self.data, self.indices, self.values, self.class_names = data, indices, values, class_names
        self.normalisation = normalisation

    def _pairs(
        self, network: Network, device: str, only: str | None = None, *, alone: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(probabilities, class indices) of each image, with its neighbours in the stack unless it is seen alone."""
        slices = 1 if alone else network.slices
        for index in self.indices:
            detectors = [name for name in self.data.detectors if only in (None, name)]
            found = {name: surrounded(self.data, int(index), name, slices) for name in detectors}
            images = {name: plane for name, plane in found.items() if plane is not None}
            if images:
                truth = self.values[np.asarray(self.data.labels(int(index)))]
                yield network.predict(images, device=device), truth

    def iou(self, network: Network, device: str, only: str | None = None, *, alone: bool = False) -> np.ndarray:
        """Intersection over union of each class, pixels of all images taken together.

        Parameters
        ----------
        network : Network
            To validate.
        device : str
            Of torch.
        only : str, optional
            The one detector that it is given; default all.
        alone : bool
            Whether it is given single images, without their neighbours in the stack.

        Returns
        -------
        np.ndarray
            (K,); NaN for a class that does not occur.
        """
        classes = len(self.class_names)
        table = np.zeros((classes, classes), np.int64)
        for probabilities, truth in self._pairs(network, device, only, alone=alone):
            known = truth >= 0
            pairs = truth[known] * classes + probabilities.argmax(0)[known]
            table += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        return iou_of(table)

    def summary(self, network: Network, device: str) -> tuple[float, dict[str, Any]]:
        """The temperature that calibrates a network, and how good it is.

        Parameters
        ----------
        network : Network
            Of temperature 1.
        device : str
            Of torch.

        Returns
        -------
        temperature : float
        about : dict
            ``iou`` by class; ``ece_before`` and ``ece_after`` calibration (expected calibration error);
            ``iou_of_one_detector``, by detector; ``iou_of_single_images`` of a network of several slices.
        """
        logs, found = [], []
        each = max(1, _PIXELS // max(1, len(self.indices)))
        rng = np.random.default_rng(0)
        for probabilities, truth in self._pairs(network, device):
            places = np.flatnonzero(truth >= 0)
            places = places if len(places) <= each else rng.choice(places, each, replace=False)
            rows = probabilities.reshape(len(probabilities), -1)[:, places].T
            logs.append(np.log(np.maximum(rows, 1e-12)))  # logits but for a constant a pixel, which does not count
            found.append(truth.ravel()[places])
        logits, truth = np.concatenate(logs), np.concatenate(found)
        temperature = fitted_temperature(logits, truth) if len(truth) else 1.0
        about: dict[str, Any] = {"iou": self._named(self.iou(network, device))}
        if len(truth):
            about["ece_before"] = expected_calibration_error(softmax(logits), truth)
            about["ece_after"] = expected_calibration_error(softmax(logits, temperature), truth)
        if len(self.data.detectors) > 1:
            alone = {name: self._named(self.iou(network, device, name)) for name in self.data.detectors}
            about["iou_of_one_detector"] = alone
        if network.slices > 1:
            about["iou_of_single_images"] = self._named(self.iou(network, device, alone=True))
        return temperature, about

    def _named(self, iou: np.ndarray) -> dict[str, float | None]:
        """By class name, with the mean; None where a class does not occur."""
        named = {
            name: None if np.isnan(value) else float(value) for name, value in zip(self.class_names, iou, strict=True)
        }
        return {**named, "mean": None if np.isnan(iou).all() else float(np.nanmean(iou))}


def iou_of(table: np.ndarray) -> np.ndarray:
    """(K,) intersection over union of a (K, K) table of truth and prediction; NaN for a class that is in neither."""
    both = np.diag(table).astype(float)
    either = table.sum(0) + table.sum(1) - both
    return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)
