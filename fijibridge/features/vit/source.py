"""A vision transformer's tokens, without positional bias and upsampled, as a feature source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError
from fijibridge.features.source import NO_STATISTICS, FeatureSource, ImageFeatures, grey_table
from fijibridge.features.upsampling.base import UPSAMPLERS
from fijibridge.features.upsampling.token_features import TokenFeatures
from fijibridge.features.vit.settings import VitSettings
from fijibridge.images.image import percentile_limits, scale_between

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage
    from fijibridge.features.vit.encoder import ViTEncoder
    from fijibridge.images.image import Image

_BASIS, _WEIGHTS = "basis_", "upsampler_weights"
_LIMITS = ("limits", "guide", "greys")


class VitSource(FeatureSource[VitSettings]):
    """Upsampled ViT tokens (Docherty et al. 2025, arXiv 2508.21529) of each detector's image.

    Attributes
    ----------
    basis_ : dict
        Letter of a scale -> ndarray, float32, shape (K + 1, C): mean and principal components of the first image's
        tokens; empty where all channels are kept.
    upsampler_weights_ : bytes
        Of an upsampler that has weights.
    """

    settings_class = VitSettings

    def __init__(self, settings: VitSettings | None = None) -> None:
        super().__init__(settings)
        self.basis_: dict[str, np.ndarray] = {}
        self.upsampler_weights_ = b""

    @cached_property
    def encoder(self) -> ViTEncoder:
        """The encoder with its weights, loaded when it is first asked for."""
        from fijibridge.features.vit.encoder import ViTEncoder

        encoder = ViTEncoder(self.settings, known=self.provenance)
        encoder.provenance.check_is(self.settings.weights_sha256, self.settings.encoder)
        self.provenance = encoder.provenance
        method, channels = UPSAMPLERS[self.settings.upsampler], self.settings.channels
        if not self.upsampler_weights_:
            self.upsampler_weights_ = method.read_weights(self.settings.upsampler_weights)
        name = "" if channels else self.settings.encoder
        method.check_weights(self.upsampler_weights_, channels or encoder.width, encoder.patch, name)
        return encoder

    def fit(self, images: Sequence[DetectorImage]) -> None:
        """Principal components of the tokens of all detectors together, scale by scale."""
        encoder = self.encoder  # its weights become known, whatever else is to be learned
        if not self.settings.channels or self.basis_:
            return
        from fijibridge.features.vit.pca import fit_basis

        found: dict[str, list[np.ndarray]] = {}
        for _, _, image in images:
            for letter, tokens, _ in encoder.scales(image):
                found.setdefault(letter, []).append(tokens)
        for letter, parts in found.items():
            joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
            self.basis_[letter] = fit_basis(joined, self.settings.channels)

    def n_features(self, detectors: int) -> int | None:
        """See :meth:`fijibridge.features.source.FeatureSource.n_features`."""
        channels = self.settings.channels
        return detectors * (channels * len(self.settings.scales) if channels else len(self.encoder.names))

    def fewer(self, detectors: int, most: int) -> str:
        """See :meth:`fijibridge.features.source.FeatureSource.fewer`."""
        channels = most // (detectors * len(self.settings.scales))
        if channels > 0:
            return f"set channels to {channels} or less" if most < (self.n_features(detectors) or 0) else ""
        return "leave the ViT out" if most >= 0 else ""

    def transform(self, images: Sequence[DetectorImage]) -> list[ImageFeatures]:
        """See :meth:`fijibridge.features.source.FeatureSource.transform`."""
        return self.transform_with(images, NO_STATISTICS)

    def transform_with(
        self, images: Sequence[DetectorImage], statistics: Mapping[str, np.ndarray]
    ) -> list[ImageFeatures]:
        """See :meth:`fijibridge.features.source.FeatureSource.transform_with`."""
        method, settings = UPSAMPLERS[self.settings.upsampler], self.settings
        made: list[ImageFeatures] = []
        for number, (_, detector, image) in enumerate(images):
            own = _of_detector(statistics, number)
            scales = list(self._scales(image, own))  # before the upsampler looks at the image: bad images stop here
            grey = image.grey[image.field]
            limits = own["guide"] if "guide" in own else percentile_limits(grey, *settings.percentiles)
            scaled = scale_between(grey, float(limits[0]), float(limits[1]))
            upsampler = method.upsampler(scaled, self.upsampler_weights_)
            told: Any = partial(self._told, number, image, own)  # once, with the first scale
            for letter, tokens, names in scales:
                if settings.channels:
                    from fijibridge.features.vit.pca import component_names, project

                    tokens = project(tokens, self.basis_[letter])
                    names = component_names(settings.channels, "" if letter == "b" else letter)
                with_detector = tuple(_with_detector(detector, name) for name in names)
                groups = tuple(name.rsplit("_", 1)[0] for name in with_detector)
                made.append(TokenFeatures(tokens, upsampler, with_detector, groups, told, detector))
                told = None
        return made

    def _scales(
        self, image: Image, known: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, np.ndarray, tuple[str, ...]]]:
        """As :meth:`fijibridge.features.vit.encoder.ViTEncoder.scales`; known tokens are not made."""
        names = [f"{letter}.tokens" for letter, _, _ in self.settings.scales]
        if not set(names) & set(known):
            yield from self.encoder.scales(image, known)
            return
        field = image.grey[image.field]
        for name, (letter, enlargement, blocks) in zip(names, self.settings.scales, strict=True):
            rows, columns = self.encoder.grid((field.shape[0], field.shape[1]), enlargement)
            dense = 2 if UPSAMPLERS[self.settings.upsampler].strided else 1
            wanted = (dense * rows, dense * columns, self.encoder.width * len(blocks))
            found = known.get(name)
            if found is None or found.shape != wanted:
                raise FeatureMismatchError(
                    f"tokens {name} of shape {None if found is None else found.shape}",
                    expected=f"{wanted}, for an image of {field.shape[0]} x {field.shape[1]} pixels",
                    remedy="give tokens of images of this size, by the same extractor",
                )
            yield letter, found, self.encoder.names_of(letter, blocks)

    def tokens(
        self, images: Sequence[DetectorImage], statistics: Mapping[str, np.ndarray] = NO_STATISTICS
    ) -> dict[str, np.ndarray]:
        """See :meth:`fijibridge.features.source.FeatureSource.tokens`."""
        return {
            f"{number}.{letter}.tokens": tokens
            for number, (_, _, image) in enumerate(images)
            for letter, tokens, _ in self.encoder.scales(image, _of_detector(statistics, number))
        }

    def limits(self, images: Sequence[DetectorImage]) -> dict[str, np.ndarray]:
        """See :meth:`fijibridge.features.source.FeatureSource.limits`."""
        return {
            f"{number}.{name}": array
            for number, (_, _, image) in enumerate(images)
            for name, array in self._limits(image).items()
        }

    def _limits(self, image: Image) -> dict[str, np.ndarray]:
        """Greys that become 0 and 1 for the ViT and for the upsampler, and a table of all percentiles."""
        pixels, grey, wanted = image.data[image.field], image.grey[image.field], self.settings.percentiles
        return {
            "limits": np.array(percentile_limits(pixels, *wanted)),
            "guide": np.array(percentile_limits(grey, *wanted)),
            "greys": grey_table(pixels),
        }

    def _told(self, number: int, image: Image, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Statistics of a detector's image that its features were made with, the given ones among them."""
        given = {name: array for name, array in given.items() if not name.endswith(".tokens")}
        limits: dict[str, np.ndarray] = {name: own for name, own in given.items() if name in _LIMITS}
        found = {**self._limits(image), **limits, **self.encoder.tile_statistics(image, limits), **given}
        if self.encoder.debiasing.uses_mean:
            for letter, tokens, _ in self.encoder.scales(image, given):
                found.setdefault(f"{letter}.mean", tokens.mean((0, 1)))
        return {f"{self.kind}.{number}.{name}": array for name, array in found.items()}

    def pooled(self, parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """See :meth:`fijibridge.features.source.FeatureSource.pooled`.

        Limits are percentiles of all greys together (the guide's of a colour image the mean of the images'), strengths
        of the positional pattern the mean over all tiles of a shape.
        """
        if len(parts) == 1:
            return dict(parts[0])
        found: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            own = [part for part in parts if name in part]
            arrays = [part[name] for part in own]
            detector, _, what = name.partition(".")
            if what == "limits" or (what == "guide" and all(_same_limits(part, detector) for part in own)):
                tables = np.concatenate([part[f"{detector}.greys"] for part in own])
                found[name] = np.array(percentile_limits(tables, *self.settings.percentiles))
            elif what == "greys":
                found[name] = grey_table(np.concatenate(arrays))
            elif what.endswith(".tiles"):
                found[name] = np.sum(arrays, axis=0)
            elif what.endswith(".strengths"):
                counts = np.array([part[name.replace(".strengths", ".tiles")][0] for part in own])
                weighted = np.tensordot(counts / counts.sum(), np.stack(arrays).astype(np.float64), 1)
                found[name] = weighted.astype(np.float32)
            else:
                found[name] = np.mean(arrays, axis=0)
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """See :meth:`fijibridge.features.source.FeatureSource.arrays`."""
        found = {f"{_BASIS}{letter}": basis for letter, basis in self.basis_.items()}
        if self.upsampler_weights_:
            found[_WEIGHTS] = np.frombuffer(self.upsampler_weights_, np.uint8)
        return found

    def set_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """See :meth:`fijibridge.features.source.FeatureSource.set_arrays`."""
        from fijibridge.features.vit.pca import check_basis

        rest, channels = dict(arrays), self.settings.channels
        weights = rest.pop(_WEIGHTS, np.empty(0, np.uint8))
        self.upsampler_weights_ = weights.tobytes()
        UPSAMPLERS[self.settings.upsampler].check_weights(self.upsampler_weights_, channels, 0, "")
        for letter, _, _ in self.settings.scales if channels else ():
            basis = rest.pop(f"{_BASIS}{letter}", np.empty((0, 0), np.float32))
            check_basis(basis, channels)
            self.basis_[letter] = basis
        super().set_arrays(rest)

    def with_weights(self, path: str) -> VitSource:
        """See :meth:`fijibridge.features.source.FeatureSource.with_weights`."""
        found = VitSource(replace(self.settings, weights=path))
        found.basis_, found.upsampler_weights_, found.provenance = self.basis_, self.upsampler_weights_, self.provenance
        return found


def _of_detector(statistics: Mapping[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Statistics of the image by a detector, the first being 0."""
    start = f"{number}."
    return {name.removeprefix(start): array for name, array in statistics.items() if name.startswith(start)}


def _same_limits(part: Mapping[str, np.ndarray], detector: str) -> bool:
    """Whether ViT and upsampler see an image alike: it has no colours."""
    return np.array_equal(part[f"{detector}.limits"], part[f"{detector}.guide"])


def _with_detector(detector: str, name: str) -> str:
    """``vit_SE_b06_c000`` of ``vit_b06_c000``; the first detector's name is empty."""
    return f"vit_{detector.replace('-', '_')}_{name.removeprefix('vit_')}" if detector else name
