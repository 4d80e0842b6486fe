"""What an export format is, what it gets, and what several of them need.

A new format is one file that makes an `Export`, and one row of `fijibridge.metrology.export.catalogue.EXPORTS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.phases.phases import OUTSIDE, PhaseSource

if TYPE_CHECKING:
    from fijibridge.metrology.metric import Measurement

_LONGEST = 40  # characters of a phase's name in a file's: these take up to 4 bytes, a name 255
_DTYPES = (np.uint8, np.uint16, np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class BpxSettings:
    """What a BPX file needs beside the volume.

    Parameters
    ----------
    template : Path, optional
        BPX file of the cell, whose electrode gets the measured numbers.
    electrode : {"positive", "negative"}
        Which one the volume shows.
    phases : str
        Names of the phases in their roles, such as ``"pore=pore,particles=CAM"``.
    axis : {"z", "y", "x"}
        From the current collector to the separator.
    whole : bool
        The volume spans the electrode: its extent along the axis is the electrode's thickness.
    """

    template: Path | None = None
    electrode: str = "positive"
    phases: str = ""
    axis: str = "z"
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """What every export gets.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The volume.
    phases : tuple of str
        Names of the phases for formats of one phase a file; empty: all.
    surface_method : {"intercepts", "marching-cubes"}
        How the metrology finds surfaces.
    metrics : tuple of str
        What is measured too.
    axes : tuple of str
        Along which.
    memory : int
        Bytes that it may take.
    bpx : BpxSettings
    """

    source: PhaseSource
    phases: tuple[str, ...] = ()
    surface_method: str = "intercepts"
    metrics: tuple[str, ...] = ()
    axes: tuple[str, ...] = ("z", "y", "x")
    memory: int = 2**31
    bpx: BpxSettings = field(default_factory=BpxSettings)

    def chosen(self) -> list[tuple[int, str, str]]:
        """(index, name, what stands for the name in a file's name) of each phase asked for.

        Raises
        ------
        SettingsError
            The volume has no phase of that name.
        """
        parts: dict[int, str] = {}
        taken = set()  # in lower case: some file systems see no difference
        for phase, name in self.source:
            part = re.sub(r"[^\w-]+", "_", name)[:_LONGEST]
            while part.lower() in taken:
                part += f"_{phase}"
            taken.add(part.lower())
            parts[phase] = part
        numbers = [phase_number(self.source, name) for name in self.phases] or list(parts)
        return [(phase, self.source.names[phase], parts[phase]) for phase in dict.fromkeys(numbers)]


@dataclass(frozen=True)
class Written:
    """What an export wrote.

    Parameters
    ----------
    names : tuple of str
        Of its files.
    notes : tuple of str
        Warnings.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Export:
    """How a format is written.

    Parameters
    ----------
    write : callable, optional
        (`Job`, folder) -> `Written`. Called before anything is measured.
    write_measured : callable, optional
        (`Job`, `Measurement`, folder) -> `Written`, for formats of measured numbers.
    check : callable, optional
        Raises a `BridgeError` where the format cannot hold the volume, or where a setting is missing.
    metrics : tuple of str
        Metrics whose numbers it needs.
    metres : bool
        It holds lengths in metres, for which the size of a voxel must be known.
    volumes_only : bool
        It holds no image in 2D.
    voxel_bytes : float
        Bytes a voxel that it takes at its peak; 0: it goes through the volume slab by slab.
    """

    write: Callable[[Job, Path], Written] | None = None
    write_measured: Callable[[Job, Measurement, Path], Written] | None = None
    check: Callable[[Job], None] | None = None
    metrics: tuple[str, ...] = ()
    metres: bool = False
    volumes_only: bool = False
    voxel_bytes: float = 0.0


def phase_number(source: PhaseSource, name: str) -> int:
    """Index of a phase by its name.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The volume.
    name : str
        Of the phase.

    Raises
    ------
    SettingsError
        There is none.
    """
    if name not in source.names:
        raise SettingsError(
            f"no phase {name!r} in the volume",
            expected=f"one of {', '.join(source.names)}",
            remedy="check the spelling, or name the phases with --classes",
        )
    return source.names.index(name)


def metres(source: PhaseSource, what: str) -> float:
    """Metres in the unit of a voxel's size.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The volume.
    what : str
        Who asks, for the message.

    Raises
    ------
    SettingsError
        No unit of length.
    """
    from fijibridge.images.pixel_size import METRES

    if source.unit not in METRES:
        raise SettingsError(
            f"{what} of voxels of unknown size (unit {source.unit})",
            expected=f"their size in {', '.join(METRES)}",
            remedy='give --voxel-size, such as "50,10,10 nm" (z, y, x)',
        )
    return METRES[source.unit]


def background_value(source: PhaseSource) -> int | None:
    """The value that stands for the background in files: the lowest from 0 up that is no phase; None without one."""
    if source.filled:
        return None
    return next(value for value in range(len(source) + 1) if value not in source.values)


def label_slabs(source: PhaseSource) -> tuple[np.dtype, Iterator[np.ndarray]]:
    """The label values of a volume, slab by slab.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The volume.

    Returns
    -------
    dtype : np.dtype
        The smallest that holds the values, little-endian.
    slabs : iterator of np.ndarray
        (N, Y, X) of that type, in the order of the slices; the background as `background_value` says.
    """
    outside = background_value(source)
    values = [*source.values, *([] if outside is None else [outside])]
    fitting = (kind for kind in _DTYPES if np.iinfo(kind).min <= min(values) and max(values) <= np.iinfo(kind).max)
    dtype = np.dtype(next(fitting)).newbyteorder("<")
    table = np.zeros(256, dtype)
    table[: len(source)] = source.values
    table[OUTSIDE] = 0 if outside is None else outside
    return dtype, (table[slab.index] for slab in source.slabs())
