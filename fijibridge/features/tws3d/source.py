"""TWS's filters of volumes as a feature source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fijibridge.core.errors import FeatureMismatchError
from fijibridge.features.source import FeatureSource, ImageFeatures, detector_name
from fijibridge.features.tws3d.bank import feature_names_3d
from fijibridge.features.tws3d.block import tws3d_features
from fijibridge.features.tws3d.colour import SliceRanges, colour_features_3d
from fijibridge.features.tws3d.settings import Tws3dSettings

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage
    from fijibridge.images.around import Surroundings
    from fijibridge.images.image import Image


class Tws3dFeatures(ImageFeatures):
    """TWS's 3D features of a slice.

    Parameters
    ----------
    image : Image
        With the stack around it.
    settings : Tws3dSettings
    detector : str
        In the features' names; empty: none.
    """

    def __init__(self, image: Image, settings: Tws3dSettings, detector: str = "") -> None:
        self.image, self.settings = image, settings
        self.names = tuple(detector_name(detector, name) for name in feature_names_3d(settings))
        self.groups = ("",) * len(self.names)
        self._ranges = SliceRanges()

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        place = surroundings_of(self.image).place
        self.slab(slice(place, place + 1), rows, cols, out[None])

    def slab(self, planes: slice, rows: slice, cols: slice, out: np.ndarray | None = None) -> np.ndarray:
        """Features of a block of the stack around the slice, float32 (d, h, w, F).

        Parameters
        ----------
        planes, rows, cols : slice
            Of the stack.
        out : ndarray, optional
            Where to write.
        """
        stack, size = surroundings_of(self.image).stack, self.image.pixel_size
        # Slices of an unknown distance are taken as cubes' (ImageJ's own depth is 1 of whatever unit the pixels have).
        voxel = (size.z, size.y, size.x) if size is not None and size.z is not None else (1.0, 1.0, 1.0)
        if self.settings.colour:
            return colour_features_3d(
                stack, planes, rows, cols, voxel_size=voxel, settings=self.settings, out=out, ranges=self._ranges
            )
        return tws3d_features(stack, planes, rows, cols, voxel_size=voxel, settings=self.settings, out=out)


def surroundings_of(image: Image) -> Surroundings:
    """The stack around a slice.

    Parameters
    ----------
    image : Image

    Raises
    ------
    FeatureMismatchError
        A single image.
    """
    if image.around is None:
        raise FeatureMismatchError(
            f"{image.name or 'the image'} alone, for features that look along z",
            expected="a slice of a stack: fijibridge apply, segment and segment_volume give these",
            remedy="give the whole stack, or use features of slices, such as tws",
        )
    return image.around


class Tws3dSource(FeatureSource[Tws3dSettings]):
    """TWS 4.0's features of volumes (Arganda-Carreras et al. 2017), each detector's."""

    settings_class = Tws3dSettings
    needs_stack: ClassVar[bool] = True

    @property
    def needs_colour(self) -> bool:
        """See :attr:`fijibridge.features.source.FeatureSource.needs_colour`."""
        return self.settings.colour

    def n_features(self, detectors: int) -> int | None:
        """See :meth:`fijibridge.features.source.FeatureSource.n_features`."""
        return detectors * len(feature_names_3d(self.settings))

    def feature_names(self) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.source.FeatureSource.feature_names`."""
        return feature_names_3d(self.settings)

    def transform(self, images: Sequence[DetectorImage]) -> list[ImageFeatures]:
        """See :meth:`fijibridge.features.source.FeatureSource.transform`.

        Raises
        ------
        FeatureMismatchError
            Images without a stack around them, or by several detectors.
        """
        if len(images) > 1:
            raise FeatureMismatchError(
                f"{len(images)} detectors, and TWS's features of volumes",
                expected="one detector",
                remedy="leave --detectors out, or use features of slices, such as tws",
            )
        surroundings_of(images[0].image)
        return [Tws3dFeatures(images[0].image, self.settings, images[0].label)]
