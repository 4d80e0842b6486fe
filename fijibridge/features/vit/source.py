"""A vision transformer's tokens, without positional bias and upsampled, as a feature source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.source import FeatureSource, ImageFeatures
from fijibridge.features.upsampling.base import UPSAMPLERS, Upsampler
from fijibridge.features.vit.settings import VitSettings

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage
    from fijibridge.features.vit.encoder import ViTEncoder

_BASIS, _WEIGHTS = "basis_", "upsampler_weights"


class TokenFeatures(ImageFeatures):
    """Tokens of a ViT, or components of them, on its patch grid, upsampled where they are wanted.

    Parameters
    ----------
    tokens : ndarray, float32, shape (gy, gx, C)
    upsampler : Upsampler
        Of the image.
    names : tuple of str
    groups : tuple of str
    """

    picks_pixels = True

    def __init__(
        self, tokens: np.ndarray, upsampler: Upsampler, names: tuple[str, ...], groups: tuple[str, ...]
    ) -> None:
        self.tokens, self.upsampler, self.names, self.groups = tokens, upsampler, names, groups

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        self.upsampler.block(self.tokens, rows, cols, out)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        return self.upsampler.at(self.tokens, y, x)

    def spread_over(self) -> np.ndarray | None:
        """The patches; sampled pixels where upsampling is not linear, for the features there are others."""
        return self.tokens if self.upsampler.linear else None

    def grid_tokens(self) -> np.ndarray | None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        return self.tokens

    def weighted(self, weights: np.ndarray) -> ImageFeatures:
        """On the patch grid where upsampling is linear: K channels in place of hundreds are then upsampled."""
        names = tuple(f"weighted_{k}" for k in range(weights.shape[1]))
        groups = ("",) * weights.shape[1]
        if self.upsampler.linear:
            return TokenFeatures(np.stack([row @ weights for row in self.tokens]), self.upsampler, names, groups)
        return TokenFeatures(self.tokens, self.upsampler.weighted(weights), names, groups)


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
        method, settings = UPSAMPLERS[self.settings.upsampler], self.settings
        encoder = self.encoder
        made: list[ImageFeatures] = []
        for _, detector, image in images:
            scales = list(encoder.scales(image))  # before the upsampler looks at the image: bad images stop here
            upsampler = method.upsampler(image.grey[image.field], settings.percentiles, self.upsampler_weights_)
            for letter, tokens, names in scales:
                if settings.channels:
                    from fijibridge.features.vit.pca import component_names, project

                    tokens = project(tokens, self.basis_[letter])
                    names = component_names(settings.channels, "" if letter == "b" else letter)
                own = tuple(_with_detector(detector, name) for name in names)
                made.append(TokenFeatures(tokens, upsampler, own, tuple(name.rsplit("_", 1)[0] for name in own)))
        return made

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


def _with_detector(detector: str, name: str) -> str:
    """``vit_SE_b06_c000`` of ``vit_b06_c000``; the first detector's name is empty."""
    return f"vit_{detector.replace('-', '_')}_{name.removeprefix('vit_')}" if detector else name
