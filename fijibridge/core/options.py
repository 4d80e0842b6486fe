"""Options that operations of every kind share; those of one kind stand with it (`fijibridge.operations`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fijibridge.core.params import Param

Seed = Annotated[
    int,
    Param(
        "random seed: the same seed, settings and versions on the same device give the same result",
        low=0,
        high=2**31 - 1,  # the largest int of Java's
        group="Computation",
    ),
]
Threads = Annotated[int, Param("CPU threads; 0: all cores", low=0, high=1024, group="Computation")]
Device = Annotated[str, Param("auto, cpu, cuda or cuda:1; auto: a GPU where there is one", group="Computation")]
Heap = Annotated[
    str, Param("Java's memory, such as 4g; default: a third of the machine's, 8g at most", group="Computation")
]
Out = Annotated[
    Path,
    Param("folder for the results; it appears when they are complete", role="out", level="basic", group="Output"),
]
Overwrite = Annotated[bool, Param("replace an older result of fijibridge", level="basic", group="Output")]
Resume = Annotated[bool, Param("continue a run that was stopped", group="Output")]
LearningRate = Annotated[float, Param("highest learning rate", low=1e-6, high=1, group="Training")]
