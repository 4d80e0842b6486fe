"""Grey levels that drift along a stack: gain, offset and shading of each slice, and slices without them.

The beam's current, the detector's gain and what charges up change while a stack is taken, over hours. Filters that see
greys as they are fail then, and shading, which does not move all greys of a slice alike, misleads the ViT, too. Each
slice is described by the model of :mod:`fijibridge.features.grey_model` with the training's greys as reference. Its
coefficients are found for all slices together, as smooth curves along the stack: neighbours tell about a slice that
tells little itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.features.grey_model import TERMS, GreyModel, Samples, gain_and_offset, identity, places, prior
from fijibridge.features.source import grey_table

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage
    from fijibridge.images.image import Image
    from fijibridge.segmentation.segmenter import PixelSegmenter

log = logging.getLogger(__name__)

STEP = 0.006  # standard deviation of a coefficient's bend from slice to slice, in units of the reference's greys
# Of the drift's size: in simulated stacks without drift it is 0.05 to 0.2, from what the slices contain. This is a
# twentieth of the contrast (1st to 99th percentile).
LEAST = 0.2
_BEGIN = (2.0, 98.0)  # percentiles that tell gain and offset before the mixture does
_SMOOTHING = 4.0  # slices
_STEPS = 30
_LEAST_GAIN, _MOST_GAIN = 0.1, 10.0


@dataclass(frozen=True, eq=False)
class GreyDrift:
    """Gain, offset and shading of each slice of a stack.

    Parameters
    ----------
    coefficients : ndarray, float64, shape (Z, D, TERMS)
        Of each slice and detector; see :mod:`fijibridge.features.grey_model`.
    training : ndarray, float64, shape (D, TERMS)
        Of the training images, which keep theirs.
    centre, unit : ndarray, float64, shape (D,)
        Grey that is 0, and the unit of greys, in the model.
    detectors : tuple of str
        In this order, see :func:`fijibridge.features.channels.channels_of`.
    """

    coefficients: np.ndarray
    training: np.ndarray
    centre: np.ndarray
    unit: np.ndarray
    detectors: tuple[str, ...] = ("",)

    @classmethod
    def of(
        cls, slices: Iterable[Image | np.ndarray], segmenter: PixelSegmenter, *, training: Sequence[int] = ()
    ) -> GreyDrift:
        """The drift along a stack; a few thousand greys of each slice are kept.

        Parameters
        ----------
        slices : iterable of Image or ndarray
            All slices in order, gone through once.
        segmenter : PixelSegmenter
            Trained, of whose training images the greys are the reference.
        training : sequence of int
            Places of the training images in this stack, the first being 0, where they are slices of it: what is found
            there and in the neighbours is more certain than what the training images alone tell. A single one is
            recognised by its greys.

        Raises
        ------
        SettingsError
            No slices, or a training of which no greys are known.
        FeatureMismatchError
            Slices by other detectors than the training's.
        ImageError
            NaN, or an array that is no image.
        """
        known = segmenter.statistics_
        if known is None or not len(known.greys):
            raise SettingsError(
                "grey drift along a stack for a classifier that does not know its training's greys",
                expected="one trained on images by this version",
                remedy="train it anew, or leave the greys as they are",
            )
        first, others = segmenter.detectors_
        seen = [[Samples.of(own.image.grey[own.image.field]) for own in _seen(one, first, others)] for one in slices]
        if not seen:
            raise SettingsError("grey drift of no slices", expected="one at least", remedy="give the stack's slices")
        if any(not 0 <= z < len(seen) for z in training):
            raise SettingsError(
                f"training slices {list(training)} of a stack of {len(seen)}",
                expected=f"places from 0 to {len(seen) - 1}",
                remedy="count the slices from 0",
            )
        models = known.grey_models
        columns = []
        for number, model in enumerate(models):
            own = [one[number] for one in seen]
            columns.append(np.tile(identity(), (len(seen), 1)) if model is None else _along(model, own))
        centre = [0.0 if model is None else model.centre for model in models]
        unit = [1.0 if model is None else model.unit for model in models]
        found = np.stack(columns, axis=1)
        training = training or [
            z
            for z, own in enumerate(seen)
            if all(np.array_equal(grey_table(one.grey), table) for one, table in zip(own, known.greys, strict=True))
        ]
        base = found[list(training)].mean(0) if len(training) else known.shading
        return cls(found, base, np.array(centre), np.array(unit), (first, *others))

    def corrected(self, image: Image | np.ndarray, z: int) -> Image:
        """A slice as if it had been taken as the training images were.

        Parameters
        ----------
        image : Image or ndarray
        z : int
            Its place in the stack, the first being 0.

        Returns
        -------
        Image
            float32, the data bar as it was; the very image where nothing in the stack drifts, see :attr:`size`.
        """
        image = _image(image)
        if self.size < LEAST:
            return image
        first, *rest = self.detectors
        if not rest:  # a single image serves whatever its detector's name
            return replace(image, data=self._corrected(image.data, image.field, z, 0))
        place = {name: number for number, name in enumerate(self.detectors)}
        others = tuple(
            replace(one, data=self._corrected(one.data, image.field, z, place[one.name or first]))
            for one in image.others
        )
        own = place[image.detector or first]
        return replace(image, data=self._corrected(image.data, image.field, z, own), others=others)

    def _corrected(self, data: np.ndarray, field: slice, z: int, detector: int) -> np.ndarray:
        own, theirs = self.coefficients[z, detector], self.training[detector]
        out = data.astype(np.float32)
        seen = out[field]
        y, x = places((seen.shape[0], seen.shape[1]))
        gain, offset = gain_and_offset(own, y, x)
        their_gain, their_offset = gain_and_offset(theirs, y, x)
        centre, unit = self.centre[detector], self.unit[detector]
        # observed = centre + unit * (gain * true + offset), with true the reference's greys in the model's units
        factor = their_gain / np.clip(gain, _LEAST_GAIN, _MOST_GAIN)
        added = centre * (1 - factor) + unit * (their_offset - factor * offset)
        if data.ndim == 3:
            factor, added = factor[..., None], added[..., None]
        out[field] = seen * factor + added
        return out

    @cached_property
    def size(self) -> float:
        """How far the greys of the slice that differs most are from the training's, in units of the spread of these:
        root mean square over the field. Below `LEAST` it is as much the content of the slices as drift."""
        return max(self.of_slice(z) for z in range(len(self.coefficients)))

    def of_slice(self, z: int) -> float:
        """:attr:`size` of a slice, the largest of its detectors'.

        Parameters
        ----------
        z : int
            Its place in the stack, the first being 0.
        """
        y, x = places((16, 16))
        found = []
        for own, theirs in zip(self.coefficients[z], self.training, strict=True):
            gain, offset = (one - other for one, other in
                            zip(gain_and_offset(own, y, x), gain_and_offset(theirs, y, x), strict=True))  # fmt: skip
            found.append(float(np.sqrt(np.mean(gain**2 + offset**2))))  # greys have mean 0 and spread 1
        return max(found)


def _image(image: Image | np.ndarray) -> Image:
    from fijibridge.images.image import Image, image_from_array

    return image if isinstance(image, Image) else image_from_array(image)


def _seen(image: Image | np.ndarray, first: str, others: Sequence[str]) -> list[DetectorImage]:
    """Each detector's own image, in the training's order."""
    from fijibridge.features.channels import channels_of, check_same_detectors, detectors_of

    image = _image(image)
    check_same_detectors(first, others, detectors_of(image))
    return channels_of(image, first, others)


def _along(model: GreyModel, samples: list[Samples]) -> np.ndarray:
    """Coefficients of the slices of a stack, (Z, TERMS)."""
    own = [model.scaled(one) for one in samples]
    found, shares = _begin(model, own), [model.shares] * len(own)
    count, rigid = len(own), prior()
    bend = 1 / STEP**2
    for _ in range(_STEPS):
        matrices, rights = np.empty((count, TERMS, TERMS)), np.empty((count, TERMS))
        for z, one in enumerate(own):
            matrices[z], rights[z], shares[z] = model.normal_equations(one, found[z], shares[z])
        better = _walked(matrices + rigid, rights + rigid @ identity(), bend)
        moved, found = np.abs(better - found).max(), better
        if moved < 1e-4:
            break
    log.info("grey drift: gain %.3f to %.3f", found[:, 0].min(), found[:, 0].max())
    return found


def _begin(model: GreyModel, samples: list[Samples]) -> np.ndarray:
    """Gain and offset by two percentiles of each slice, smoothed along the stack."""
    from scipy.ndimage import gaussian_filter1d, median_filter

    reference = np.array(model.percentiles(_BEGIN))
    seen = np.array([np.percentile(one.grey, _BEGIN) for one in samples])
    seen = median_filter(seen, size=(min(5, len(seen)), 1), mode="nearest")
    seen = gaussian_filter1d(seen, _SMOOTHING, axis=0, mode="nearest")
    found = np.tile(identity(), (len(samples), 1))
    found[:, 0] = np.clip(np.ptp(seen, axis=1) / np.ptp(reference), _LEAST_GAIN, _MOST_GAIN)
    found[:, TERMS // 2] = seen.mean(1) - found[:, 0] * reference.mean()
    return found


def _walked(matrices: np.ndarray, rights: np.ndarray, bend: float) -> np.ndarray:
    """Coefficients (Z, n) of least squares, given each slice's normal equations and the precision of bends."""
    from scipy.linalg import solveh_banded

    count, terms = rights.shape
    bands = np.zeros((2 * terms + 1, count * terms))  # the lower triangle, diagonal by diagonal
    for lower in range(terms):
        for column in range(terms - lower):
            bands[lower, column::terms] = matrices[:, column + lower, column]
    second = np.diff(np.eye(count), 2, axis=0) if count > 2 else np.zeros((0, count))
    penalty = bend * (second.T @ second)
    for apart in range(min(3, count)):
        bands[apart * terms, : (count - apart) * terms] += np.repeat(np.diagonal(penalty, apart), terms)
    return solveh_banded(bands, rights.ravel(), lower=True).reshape(count, terms)
