"""Class probabilities by features that look along z: of several slices at once, which share their surroundings."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from fijibridge.features.tws3d.source import Tws3dFeatures
    from fijibridge.images.image import Image
    from fijibridge.segmentation.segmenter import PixelSegmenter
    from fijibridge.segmentation.slices.along_z import SliceFeatures

_BOX_BYTES = 96 * 2**20  # of features


def looks_along_z_alone(segmenter: PixelSegmenter) -> bool:
    """Whether all its features are of volumes: those of slices among them are made slice by slice.

    Parameters
    ----------
    segmenter : PixelSegmenter
    """
    extractor = segmenter.extractor_
    return extractor is not None and extractor.head_ is None and all(one.needs_stack for one in extractor.sources)


class SlabPrediction:
    """Predicts the slices of a stack, as many at once as a unit has; best asked for in order.

    Parameters
    ----------
    features : SliceFeatures
        Of the stack.
    """

    def __init__(self, features: SliceFeatures) -> None:
        self.features = features
        self._ready: dict[int, np.ndarray] = {}

    def of(self, image: Image, number: int, rows: slice | None = None, cols: slice | None = None) -> np.ndarray:
        """Class probabilities of a slice, or of a field of it, float32 (Y, X, K); rows of a data bar are 0.

        Parameters
        ----------
        image : Image
            The whole slice.
        number : int
            Of the slice, from 1.
        rows, cols : slice, optional
            The field.
        """
        if number not in self._ready:
            self._ready = self._made(image, number, rows or slice(0, image.shape[0]), cols or slice(0, image.shape[1]))
        return self._ready.pop(number)

    def _made(self, image: Image, number: int, rows: slice, cols: slice) -> dict[int, np.ndarray]:
        from fijibridge.core.parallel import thread_count
        from fijibridge.core.progress import bar

        segmenter, job, stack = self.features.segmenter, self.features.job, self.features.stack
        image = self.features.in_its_stack(image, number)
        around, extractor = image.around, segmenter.extractor_
        assert around is not None
        assert extractor is not None
        features = cast("Tws3dFeatures", extractor.transform(image).parts[0])
        at = stack.slices.index(number)
        wanted = [one for one in stack.slices[at : at + job.unit_height(stack) + 2 * job.smooth_z] if one >= number]
        together = [one for place, one in enumerate(wanted) if one == number + place]
        depth = min(len(together), around.stack.shape[0] - around.place)  # slices of the same point in time
        planes = slice(around.place, around.place + depth)
        forest, height = segmenter.forest_, image.field.stop
        result = np.zeros((depth, rows.stop - rows.start, cols.stop - cols.start, forest.n_classes), np.float32)

        def fill(box: tuple[slice, slice]) -> None:
            found = features.slab(planes, *box)
            flat = forest.predict_proba(found.reshape(-1, found.shape[-1]), n_threads=1)
            down, across = box
            inside = slice(down.start - rows.start, down.stop - rows.start)
            beside = slice(across.start - cols.start, across.stop - cols.start)
            result[:, inside, beside] = flat.reshape(*found.shape[:3], -1)

        boxes = list(_boxes(depth, slice(rows.start, min(rows.stop, height)), cols, forest.n_features))
        with ThreadPoolExecutor(thread_count(segmenter.n_threads)) as pool, bar("segmenting", len(boxes)) as steps:
            for _ in pool.map(fill, boxes):
                steps.update()
        return {number + place: plane for place, plane in enumerate(result)}


def _boxes(depth: int, rows: slice, cols: slice, features: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of boxes whose features fit into the memory allowed."""
    side = max(16, int((_BOX_BYTES / (4 * features * depth)) ** 0.5))
    for top in range(rows.start, rows.stop, side):
        for left in range(cols.start, cols.stop, side):
            yield slice(top, min(top + side, rows.stop)), slice(left, min(left + side, cols.stop))
