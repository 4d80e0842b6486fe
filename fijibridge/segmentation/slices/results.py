"""What the units of a stack gave, read back slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.records import read_json
from fijibridge.segmentation.slices.job import Job, store_of, unit_name
from fijibridge.segmentation.slices.unit import LABELS, MIDDLE, PROBABILITIES, RECORD, SECTIONS, UNCERTAINTY, UNLIKENESS


class StackResult:
    """The segmentation of one stack of a job, all of whose units are done.

    Parameters
    ----------
    job : Job
    number : int
        Of the stack.
    """

    def __init__(self, job: Job, number: int) -> None:
        self.job, self.stack = job, job.stacks[number]
        self.units = [(place, unit) for place, unit in enumerate(job.units()) if unit.stack == number]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Of the units."""
        state = Path(self.job.state)
        return [read_json(state / unit_name(place) / RECORD) for place, _ in self.units]

    @property
    def slices(self) -> list[dict[str, Any]]:
        """What is known of each slice: its number, pixels of each class, or what was wrong with it."""
        return [one for record in self.records for one in record["slices"]]

    @property
    def image(self) -> dict[str, Any] | None:
        """Pixel size, data bar and notes of the first slice that could be read; None where none could."""
        return next((record["image"] for record in self.records if record["image"]), None)

    @property
    def counts(self) -> np.ndarray:
        """(classes + 1,) int64: pixels of each label value in all slices."""
        return np.array([one["counts"] for one in self.slices], np.int64).sum(axis=0)

    def labels(self) -> Iterator[np.ndarray]:
        """(Y, X) uint8, slice by slice."""
        return self._planes(LABELS)

    def probabilities(self) -> Iterator[np.ndarray]:
        """(Y, X, K), slice by slice."""
        return self._planes(PROBABILITIES)

    def uncertainties(self) -> Iterator[np.ndarray]:
        """(Y, X) float32, slice by slice."""
        return self._planes(UNCERTAINTY)

    def unlikenesses(self) -> Iterator[np.ndarray]:
        """(Y, X) float32, slice by slice."""
        return self._planes(UNLIKENESS)

    def sections(self) -> Iterator[np.ndarray]:
        """(n, Y + X) float32 of each unit: greys along the middle column and the middle row of its slices."""
        for place, _ in self.units:
            yield np.load(Path(self.job.state) / unit_name(place) / SECTIONS)

    def middle(self) -> np.ndarray:
        """(Y, X) float32: greys of the slice in the middle; 0 where it could not be read."""
        for place, _ in self.units:
            file = Path(self.job.state) / unit_name(place) / MIDDLE
            if file.is_file():
                found: np.ndarray = np.load(file)
                return found
        return np.zeros(self.stack.shape, np.float32)

    def _planes(self, name: str) -> Iterator[np.ndarray]:
        if self.job.zarr and name not in (UNCERTAINTY, UNLIKENESS):
            from fijibridge.images.ome_zarr_writing import read_slab

            kind = name.removesuffix(".npy")
            for _, unit in self.units:
                yield from read_slab(store_of(Path(self.job.state)), kind, unit.first, unit.size)
            return
        for place, _ in self.units:
            # read, not mapped: pages of a mapped file would count as this process's memory
            yield from np.load(Path(self.job.state) / unit_name(place) / name)
