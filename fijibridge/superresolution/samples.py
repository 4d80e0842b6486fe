"""Several fine volumes of one coarse one: what differs between them is not determined by the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.superresolution.volume import Superresolution, Tie, superresolve

if TYPE_CHECKING:
    import pandas as pd

    from fijibridge.phases.phases import Phases
    from fijibridge.reconstruction.comparison import Comparison
    from fijibridge.reconstruction.exemplars import Exemplars
    from fijibridge.superresolution.coarse import Coarse
    from fijibridge.superresolution.model import GanModel
    from fijibridge.superresolution.settings import SuperresolutionSettings
    from fijibridge.weights.weights import Weights

_KEY = ["metric", "phase", "other", "plane", "axis"]


def made_samples(
    coarse: Coarse,
    exemplars: Exemplars,
    factor: int,
    settings: SuperresolutionSettings,
    count: int,
    *,
    weights: Weights | None = None,
    state_file: Path | None = None,
    resume: bool = False,
    keep: bool = False,
) -> list[Superresolution]:
    """Volumes by the seeds ``settings.seed``, ``settings.seed + 1``, ..., all from one posterior.

    A stopped run is resumed with the sample it was at; the finished ones lie beside the state until all are done.

    Parameters
    ----------
    coarse, exemplars, factor, settings, weights, state_file, resume
        As of `superresolve`.
    count : int
        Number of volumes.
    keep : bool
        Keep the states until the volumes are safe: the caller deletes them, `states_of`.

    Returns
    -------
    list of Superresolution

    Raises
    ------
    OutputError
        As `superresolve`; finished samples of other settings.
    """
    found: list[Superresolution] = []
    files: list[Path | None] = [*states_of(state_file, count)[1:]] if state_file else [None] * count
    started = any(file and file.is_file() for file in [*files, state_file])
    for number, file in enumerate(files):
        finished = resume and file is not None and file.is_file()
        from_file = file if finished else state_file
        found.append(
            superresolve(
                coarse,
                exemplars,
                factor,
                replace(settings, seed=settings.seed + number),
                posterior=found[0].posterior if found else None,
                weights=weights,
                state_file=from_file,
                # where nothing was started, the error names the state that is missing
                resume=resume and (not started or (from_file is not None and from_file.is_file())),
                keep=file if count > 1 else state_file if keep else None,
            )
        )
    if not keep:
        for file in files:
            if file:
                file.unlink(missing_ok=True)
    return found


def states_of(state_file: Path, count: int) -> list[Path]:
    """The state of the sample that is being made, and those of finished ones.

    Parameters
    ----------
    state_file : Path
        As of `made_samples`.
    count : int
        Number of samples.
    """
    return [state_file, *(state_file.with_name(f"{state_file.name}-{number + 1}") for number in range(count))]


def generated_samples(model: GanModel, tie: Tie, seed: int, count: int, device: str = "auto") -> list[Superresolution]:
    """Volumes of a trained model, by noise of the seeds ``seed``, ``seed + 1``, ...

    Parameters
    ----------
    model : GanModel
        Trained for the tie's factor, phases and visible phases.
    tie : Tie
        Of the coarse volume.
    seed, count : int
        The first seed, and how many volumes.
    device : str
        As of the settings.
    """
    from fijibridge.core.devices import torch_device

    found = []
    for number in range(count):
        index = model.apply(tie.agreement, seed + number, device=torch_device(device))
        phases = model.phases(index, 3)
        shares = np.array(phases.counts) / index.size
        found.append(Superresolution(phases, shares, tie, float(tie.agreement.agreeing(index).mean()), notes=tie.notes))
    return found


def sample_table(
    made: Sequence[Superresolution], exemplars: Exemplars, threads: int = 0
) -> tuple[Comparison, pd.DataFrame]:
    """The first sample against all slices, and mean and standard deviation of each number over all.

    Parameters
    ----------
    made : sequence of Superresolution
        The samples.
    exemplars : Exemplars
        The fine slices.
    threads : int
        Of the metrics; 0: all cores.

    Returns
    -------
    comparison : Comparison
        Of the first sample and the slices: of several their means.
    table : pandas.DataFrame
        The columns of a comparison's table that say what a number is, ``exemplar``, ``unit``, ``mean``, ``std``
        (between samples, NaN for one), ``sample_1``, ...
    """
    from fijibridge.reconstruction.comparison import compare

    planes: dict[str, Phases | Sequence[Phases]] = dict(exemplars.planes)
    if exemplars.isotropic:
        planes["xy"] = exemplars.images()
    every = [compare(planes, each.phases, threads=threads) for each in made]
    table = every[0].table[[*_KEY, "exemplar", "unit"]].copy()
    values = np.stack([each.table.volume.to_numpy(np.float64) for each in every], axis=1)
    with np.errstate(invalid="ignore"):  # a tortuosity factor may be infinite
        table["mean"] = values.mean(1)
        table["std"] = values.std(1, ddof=1) if len(made) > 1 else np.nan
    for number in range(len(made)):
        table[f"sample_{number + 1}"] = values[:, number]
    return every[0], table
