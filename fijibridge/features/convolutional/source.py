"""Early layers of a convolutional network, upsampled, as a feature source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.convolutional.settings import ConvSettings
from fijibridge.features.source import NO_STATISTICS, FeatureSource, ImageFeatures, grey_table
from fijibridge.features.upsampling.bilinear import BilinearUpsampler, CellPlaces
from fijibridge.features.upsampling.token_features import TokenFeatures
from fijibridge.features.vit.pca import check_basis, fit_basis, project
from fijibridge.images.image import percentile_limits

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage
    from fijibridge.features.convolutional.layers import ConvolutionalLayers
    from fijibridge.images.image import Image

_BASIS = "basis_"


class ConvSource(FeatureSource[ConvSettings]):
    """Outputs of a pre-trained network's early layers for each detector's image, brought to its pixels.

    Early layers answer to edges, lines and textures of a few pixels, which a ViT's patches blur. The layers' outputs
    are held on their own grids, as a ViT's tokens are on its patches', and interpolated where they are wanted.

    Attributes
    ----------
    basis_ : dict
        Layer -> ndarray, float32, shape (K + 1, C): mean and principal components of the first image's outputs; empty
        where all channels are kept.
    """

    settings_class = ConvSettings

    def __init__(self, settings: ConvSettings | None = None) -> None:
        super().__init__(settings)
        self.basis_: dict[str, np.ndarray] = {}

    @cached_property
    def network(self) -> ConvolutionalLayers:
        """The network with its weights, loaded when it is first asked for."""
        from fijibridge.features.convolutional.layers import ConvolutionalLayers

        network = ConvolutionalLayers(self.settings, known=self.provenance)
        network.provenance.check_is(self.settings.weights_sha256, self.settings.network)
        self.provenance = network.provenance
        return network

    def fit(self, images: Sequence[DetectorImage]) -> None:
        """Principal components of the outputs of all detectors together, layer by layer."""
        network = self.network  # its weights become known, whatever else is to be learned
        if not self.settings.channels or self.basis_:
            return
        found: dict[str, list[np.ndarray]] = {}
        for _, _, image in images:
            for name, output in network.outputs(image):
                found.setdefault(name, []).append(output)
        for name, parts in found.items():
            self.basis_[name] = fit_basis(np.concatenate(parts), self.settings.channels)

    def n_features(self, detectors: int) -> int | None:
        """See :meth:`fijibridge.features.source.FeatureSource.n_features`."""
        layers = self.network.layers.values()
        return detectors * sum(self.settings.channels or layer.channels for layer in layers)

    def fewer(self, detectors: int, most: int) -> str:
        """See :meth:`fijibridge.features.source.FeatureSource.fewer`."""
        return "leave the convolutional network out" if most < (self.n_features(detectors) or 0) else ""

    def transform(self, images: Sequence[DetectorImage]) -> list[ImageFeatures]:
        """See :meth:`fijibridge.features.source.FeatureSource.transform`."""
        return self.transform_with(images, NO_STATISTICS)

    def transform_with(
        self, images: Sequence[DetectorImage], statistics: Mapping[str, np.ndarray]
    ) -> list[ImageFeatures]:
        """See :meth:`fijibridge.features.source.FeatureSource.transform_with`."""
        made: list[ImageFeatures] = []
        for number, (_, detector, image) in enumerate(images):
            own = self._limits(image, number)
            own |= {name: array for name, array in statistics.items() if name in own}
            told = {f"{self.kind}.{name}": array for name, array in own.items()}
            shape = (image.field.stop, image.shape[1])
            for name, output in self.network.outputs(image, own[f"{number}.limits"]):
                layer, names = self.network.layers[name], self.network.names_of(name)
                if self.settings.channels:
                    output = project(output, self.basis_[name])
                    names = tuple(one.replace("_c", "_p") for one in names[: self.settings.channels])
                names = tuple(_with_detector(detector, one) for one in names)
                groups = tuple(one.rsplit("_", 1)[0] if self.settings.grouped else "" for one in names)
                places = CellPlaces(layer.stride / self.settings.enlargement, layer.shift)
                upsampler = BilinearUpsampler(shape, places)
                features = TokenFeatures(output, upsampler, names, groups, lambda own=told: own, detector)  # type: ignore[misc]
                made.append(features)
                told = {}  # once, with the first layer
        return made

    def limits(self, images: Sequence[DetectorImage]) -> dict[str, np.ndarray]:
        """See :meth:`fijibridge.features.source.FeatureSource.limits`."""
        found: dict[str, np.ndarray] = {}
        for number, (_, _, image) in enumerate(images):
            found |= self._limits(image, number)
        return found

    def _limits(self, image: Image, number: int) -> dict[str, np.ndarray]:
        """Greys that become 0 and 1, and a table of all percentiles."""
        pixels = image.data[image.field]
        limits = np.array(percentile_limits(pixels, *self.settings.percentiles))
        return {f"{number}.limits": limits, f"{number}.greys": grey_table(pixels)}

    def pooled(self, parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """See :meth:`fijibridge.features.source.FeatureSource.pooled`; percentiles are those of all greys together."""
        if len(parts) == 1:
            return dict(parts[0])
        found: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            number, _, what = name.partition(".")
            greys = np.concatenate([part[f"{number}.greys"] for part in parts if name in part])
            limits = what == "limits"
            found[name] = (
                np.array(percentile_limits(greys, *self.settings.percentiles)) if limits else grey_table(greys)
            )
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """See :meth:`fijibridge.features.source.FeatureSource.arrays`."""
        return {f"{_BASIS}{name}": basis for name, basis in self.basis_.items()}

    def set_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """See :meth:`fijibridge.features.source.FeatureSource.set_arrays`."""
        rest = dict(arrays)
        for name in self.settings.layers if self.settings.channels else ():
            basis = rest.pop(f"{_BASIS}{name}", np.empty((0, 0), np.float32))
            check_basis(basis, self.settings.channels)
            self.basis_[name] = basis
        super().set_arrays(rest)


def _with_detector(detector: str, name: str) -> str:
    """``conv_SE_blocks_0_c000`` of ``conv_blocks_0_c000``; the first detector's name is empty."""
    return f"conv_{detector.replace('-', '_')}_{name.removeprefix('conv_')}" if detector else name
