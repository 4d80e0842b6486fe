"""A trained network's class probabilities as a feature source."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, ImageError, SettingsError
from fijibridge.features.provenance import Provenance
from fijibridge.features.source import FeatureSource, ImageFeatures, SourceSettings, local
from fijibridge.features.stack import ArrayFeatures
from fijibridge.network.file import WEIGHTS
from fijibridge.network.images import offsets_of

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage
    from fijibridge.images.around import StackAround
    from fijibridge.images.image import Image
    from fijibridge.network.network import Network

log = logging.getLogger(__name__)

_COPY = "network"  # of a saved classifier's folder


@dataclass(frozen=True)
class NetworkFeatureSettings(SourceSettings):
    """Class probabilities of a trained network.

    Parameters
    ----------
    folder : str
        Of the network, see :mod:`fijibridge.network.file`. Saved classifiers and features hold a copy.
    """

    kind: ClassVar[str] = "network"

    folder: str = local()


class NetworkSource(FeatureSource[NetworkFeatureSettings]):
    """Channels ``net_ISE``, ...: the network's class probabilities of all detectors together.

    A network of several slices looks at the neighbours in the stack; a single image stands for them.
    """

    settings_class = NetworkFeatureSettings
    needs_detector = True

    def __init__(self, settings: NetworkFeatureSettings | None = None) -> None:
        super().__init__(settings)
        self._told: set[str] = set()

    @property
    def looks_along_z(self) -> bool:
        """See :attr:`fijibridge.features.source.FeatureSource.looks_along_z`."""
        return self._network().slices > 1

    def _network(self) -> Network:
        """The network, loaded again where its file has changed.

        Raises
        ------
        ImageNotFoundError, ModelFileError
            No network there, or a damaged one.
        FeatureMismatchError
            Another network than the classifier's.
        """
        folder = self.settings.folder
        if not folder:
            raise SettingsError(
                "features of a network without its folder", expected="a folder", remedy="give it with --network"
            )
        weights = Path(folder) / WEIGHTS
        network, digest = _loaded(folder, weights.stat().st_mtime_ns if weights.is_file() else 0)
        if self.provenance.sha256 and self.provenance.sha256 != digest:
            raise FeatureMismatchError(
                f"the network {folder} with SHA-256 {digest}",
                expected=f"SHA-256 {self.provenance.sha256}, the classifier's own",
                remedy="put the network back that the classifier was trained with, or train the classifier anew",
            )
        self.provenance = Provenance(digest)
        return network

    def n_features(self, detectors: int) -> int | None:
        """One a class, however many detectors."""
        return len(self._network().class_names)

    def transform(self, images: Sequence[DetectorImage]) -> list[ImageFeatures]:
        """Of those detectors that the network knows.

        Parameters
        ----------
        images : sequence of DetectorImage
            See :meth:`fijibridge.features.source.FeatureSource.transform`.

        Raises
        ------
        ImageError
            A detector that the network does not know.
        """
        network = self._network()
        seen = [one for one in images if not one.label or one.detector in network.detectors]
        around, size = images[0].image.around, images[0].image.pixel_size
        note = network.spacing_warning(size.spacing_micrometres if size else None, alone=around is None)
        if note and note not in self._told:
            self._told.add(note)
            log.warning("%s: %s", images[0].image.name, note)
        found = network.predict({one.detector: _with_neighbours(one.image, network.slices) for one in seen})
        names = [f"net_{re.sub('[^A-Za-z0-9]', '_', name)}" for name in network.class_names]
        return [ArrayFeatures(np.ascontiguousarray(np.moveaxis(found, 0, -1)), names)]

    def save_files(self, folder: Path) -> list[str]:
        """A copy of the network; see :meth:`fijibridge.features.source.FeatureSource.save_files`."""
        from fijibridge.network.file import load_network, save_network

        save_network(load_network(self.settings.folder), folder / _COPY)
        return [_COPY]

    def with_files(self, folder: Path) -> NetworkSource:
        """This source with the copy that :meth:`save_files` wrote."""
        found = NetworkSource(NetworkFeatureSettings(str(folder / _COPY)))
        found.provenance = self.provenance
        return found


def _with_neighbours(image: Image, slices: int) -> np.ndarray:
    """(Y, X) grey values without the data bar, or (S, Y, X) where there are neighbours."""
    middle = image.grey[image.field]
    if slices == 1 or image.around is None:
        return middle
    stack, place = image.around.stack, image.around.place
    planes = []
    for offset in offsets_of(slices):
        at = min(max(place + offset, 0), stack.shape[0] - 1)
        planes.append(middle if at == place else _neighbour(stack, at, middle))
    return np.stack(planes)


def _neighbour(stack: StackAround, at: int, middle: np.ndarray) -> np.ndarray:
    """A slice of a stack; the middle one in place of one that cannot be read."""
    try:
        found = stack[at : at + 1, :, :][0]
    except ImageError:
        return middle
    return found.mean(axis=2, dtype=np.float64).astype(np.float32) if found.ndim == 3 else found


@lru_cache(maxsize=2)
def _loaded(folder: str, changed: int) -> tuple[Network, str]:
    """The network of a folder, and its digest; loaded again when the file has changed."""
    from fijibridge.network.file import load_network
    from fijibridge.weights.weights import state_digest

    network = load_network(folder)
    return network, state_digest(network.state)
