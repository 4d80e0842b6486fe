"""Features of the slices of a stack: by its statistics, without drift, the ViT's tokens of every n-th slice alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from fijibridge.core.errors import ImageError
from fijibridge.segmentation.slices.job import Job
from fijibridge.segmentation.slices.reading import in_its_stack, slices_of
from fijibridge.segmentation.slices.whole_stack import WholeStack, whole_of

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.stack import FeatureStack
    from fijibridge.images.around import Surroundings
    from fijibridge.images.image import Image
    from fijibridge.segmentation.segmenter import PixelSegmenter


class SliceFeatures:
    """Makes the features of a stack's slices; best asked for in order.

    Parameters
    ----------
    job : Job
    number : int
        Of the stack.
    segmenter : PixelSegmenter
        Trained.
    whole : WholeStack, optional
        What was learned from the stack; by default what the job's folder holds of it.
    """

    def __init__(self, job: Job, number: int, segmenter: PixelSegmenter, whole: WholeStack | None = None) -> None:
        from fijibridge.features.vit.along_z import TokensAlongZ

        self.job, self.stack, self.segmenter = job, job.stacks[number], segmenter
        self.whole = whole_of(job, number) if whole is None else whole
        extractor = segmenter.extractor_
        self._looks_along_z = extractor is not None and extractor.looks_along_z
        self._stacks: dict[int, Surroundings] = {}
        # tokens of slices that are scaled differently cannot be interpolated
        kinds = [source.kind for source in extractor.sources] if extractor else []
        between = job.vit_every > 1 and self.whole.statistics is not None and "vit" in kinds
        self._between = TokensAlongZ(self._encoded, self.stack.total, job.vit_every) if between else None

    def of(self, image: Image, number: int) -> FeatureStack:
        """The features of a slice.

        Parameters
        ----------
        image : Image
            The whole slice.
        number : int
            Of the slice, from 1; 0: a piece, for a trial.

        Returns
        -------
        FeatureStack
        """
        if not number:
            return self.segmenter.extract(image, self.whole.statistics)
        image = self.in_its_stack(self.whole.without_drift(image, number), number)
        tokens = None
        if self._between is not None:
            with suppress(ImageError):  # a neighbour that cannot be read
                tokens = self._between.tokens(number - 1)
        return self.segmenter.extract(image, self.whole.statistics, tokens)

    def in_its_stack(self, image: Image, number: int) -> Image:
        """A slice as features see it, with the slices around it where they need these.

        Parameters
        ----------
        image : Image
        number : int
            Of the slice, from 1.
        """
        if not self._looks_along_z:
            return image
        assert self.segmenter.extractor_ is not None
        return in_its_stack(
            image,
            number,
            self.stack.files,
            page=self.job.page,
            align=self.job.align,
            colour=self.segmenter.extractor_.needs_colour,
            as_seen=self._as_seen,
            known=self._stacks,
        )

    def _as_seen(self, image: Image, number: int) -> Image:
        image = self.stack.greys(image) if self.stack.greys else image
        return self.whole.without_drift(image, number)

    def _encoded(self, place: int) -> Mapping[str, np.ndarray]:
        """Tokens of a slice, the first being 0."""
        from fijibridge.core.threads import limited_threads

        image = next(slices_of(self.job, self.stack, [place + 1]))
        if isinstance(image, ImageError):
            raise image
        assert self.segmenter.extractor_ is not None
        with limited_threads(self.segmenter.n_threads):
            return self.segmenter.extractor_.tokens(self.whole.without_drift(image, place + 1), self.whole.statistics)


def every_of(asked: int, depth: float | None, width: float) -> int:
    """Of how many slices one is seen by the ViT.

    Parameters
    ----------
    asked : int
        0: by the voxel's depth.
    depth : float or None
        Distance of slices; None where it is not known.
    width : float
        Of a pixel, in the same unit.

    Returns
    -------
    int
        0 asked: as many as lie within four pixels, the ViT's patches being seven wide; 1 where the depth is not known.
    """
    if asked:
        return asked
    return 1 if depth is None else max(1, min(MOST, round(MOST * width / depth)))


MOST = 4  # slices of cubic voxels; more were not tried
