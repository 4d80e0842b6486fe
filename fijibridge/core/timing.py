"""CPU and wall seconds of each stage of an operation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fijibridge.core.progress import stage as progress_of


class Stages:
    """Seconds a stage, added up over calls: ``with stages("training"): ...``.

    The time of a stage inside another counts for the inner one alone. A stage is told as progress, too.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}
        self._inside = [[0.0, 0.0]]

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        self._inside.append([0.0, 0.0])
        try:
            with progress_of(name):
                yield
        finally:
            spent = (time.process_time() - cpu, time.perf_counter() - wall)
            inner = self._inside.pop()
            stage = self.seconds.setdefault(name, {"cpu_s": 0.0, "wall_s": 0.0})
            for i, key in enumerate(("cpu_s", "wall_s")):
                stage[key] = round(stage[key] + spent[i] - inner[i], 3)
                self._inside[-1][i] += spent[i]
