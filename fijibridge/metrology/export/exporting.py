"""A volume in several formats: what must hold before it is measured, and the writing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.progress import bar
from fijibridge.metrology.export.catalogue import EXPORTS
from fijibridge.metrology.export.export import Job, Written, metres

if TYPE_CHECKING:
    from fijibridge.metrology.metric import Measurement


def check_exports(names: Iterable[str], job: Job) -> None:
    """See that a volume can be exported, before it is measured.

    Parameters
    ----------
    names : iterable of str
        Formats, of `EXPORTS`.
    job : Job
        What they would get.

    Raises
    ------
    SettingsError, ImageError
        An unknown format, a phase that is missing, voxels of unknown size, an image in 2D where the format holds none,
        too little memory, or metrics that are needed and not asked for.
    """
    for name in names:
        export, source = EXPORTS[name], job.source
        if export.volumes_only and source.ndim == 2:
            raise ImageError(
                f"export {name} of an image in 2D", expected="a volume", remedy=f"leave {name} out, or give a stack"
            )
        if export.metres:
            metres(source, f"export {name}")
        if missing := [metric for metric in export.metrics if metric not in job.metrics]:
            raise SettingsError(
                f"export {name} without the metrics {', '.join(missing)}",
                expected=f"{', '.join(export.metrics)} among the metrics",
                remedy=f"add {','.join(missing)} to --metrics, or leave --metrics out",
            )
        if (needed := export.voxel_bytes * source.size) > job.memory:
            raise ImageError(
                f"export {name} needs the whole volume at once, {needed / 2**30:.2g} GiB",
                expected=f"at most the {job.memory / 2**30:.2g} GiB that may be taken",
                remedy=f"give more --memory, a part of the volume (in Fiji: Image > Duplicate...), or leave {name} out",
            )
        job.chosen()
        if export.check is not None:
            export.check(job)


def write_exports(names: Sequence[str], job: Job, folder: Path, found: Measurement | None = None) -> Written:
    """Write a volume in some formats.

    Parameters
    ----------
    names : sequence of str
        Formats, of `EXPORTS`.
    job : Job
        The volume; `check_exports` has passed it.
    folder : Path
        Exists.
    found : Measurement, optional
        Writes the formats of measured numbers, else the others.

    Returns
    -------
    Written

    Raises
    ------
    ImageError
        A slice that cannot be read.
    """
    files: list[str] = []
    notes: list[str] = []
    with bar("export", len(names)) as steps:
        for name in dict.fromkeys(names):
            export, written = EXPORTS[name], Written(())
            if found is None and export.write is not None:
                written = export.write(job, folder)
            elif found is not None and export.write_measured is not None:
                written = export.write_measured(job, found, folder)
            files += written.names
            notes += written.notes
            steps.update()
    return Written(tuple(files), tuple(notes))
