"""What the operations that make a volume write, and where."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.atomic_output import real_place, sweep
from fijibridge.core.disk import to_disk
from fijibridge.core.ending import in_place
from fijibridge.core.errors import OutputError
from fijibridge.core.manifest import listed
from fijibridge.reconstruction.volume import is_state

if TYPE_CHECKING:
    from fijibridge.phases.phases import Phases
    from fijibridge.reconstruction.comparison import Comparison

VOLUME = "volume.tif"
_TIFF = (".tif", ".tiff")


def places_of(out: Path) -> tuple[Path, Path, Path]:
    """(the volume, the folder of its report, the state of work that was stopped) of NAME.tif or of a folder."""
    is_file = out.suffix.lower() in _TIFF
    target = out if is_file else out / VOLUME
    place = out.with_name(f"{out.stem}_report") if is_file else out
    return target, place, out.with_name(f"{out.stem if is_file else out.name}.resume")


def check_target(target: Path | None, place: Path, inputs: Sequence[Path | None], overwrite: bool) -> None:
    """Refuse a volume over something else, before the work.

    Parameters
    ----------
    target : Path, optional
        The volume's file; None where it lies in a result's folder, which is checked elsewhere.
    place : Path
        The folder of its report, whose manifest says whether fijibridge wrote an older volume.
    inputs : sequence of Path or None
        Of the work.
    overwrite : bool
        Replace an older volume.

    Raises
    ------
    OutputError
        It is an input, or exists.
    """
    if target is None:
        return
    sweep(real_place(place))
    if any(item is not None and Path(item).resolve() == target.resolve() for item in inputs):
        raise OutputError(
            f"{target} is an input of this work", expected="another file", remedy="choose another name for the volume"
        )
    if target.is_dir() or (target.exists() and not overwrite):
        raise OutputError(
            f"{target} exists already",
            expected="a new file",
            remedy="choose another name, or --overwrite (overwrite=True)",
        )
    if target.exists() and beside(target) not in listed(place):
        raise OutputError(
            f"{target} is not known as a volume that fijibridge wrote ({place} does not say so); it is not overwritten",
            expected="an older volume with its report, or nothing",
            remedy="choose another name, or delete the file yourself",
        )


def beside(target: Path) -> str:
    """How the manifest of a report names the volume that lies beside it."""
    return f"../{target.name}"


def check_state(state: Path, resume: bool, overwrite: bool) -> None:
    """Refuse to start anew over the state of stopped work.

    Parameters
    ----------
    state : Path
        Where the state is.
    resume, overwrite : bool
        Continue it, or start anew.

    Raises
    ------
    OutputError
        It is there, and neither was chosen.
    """
    if state.exists() and not resume and not overwrite:
        raise OutputError(
            f"{state}: the state of a run that was stopped",
            expected="either to continue it or to start anew",
            remedy="choose --resume or --overwrite (resume=True or overwrite=True)",
        )
    if state.exists() and not resume and not is_state(state):
        raise OutputError(
            f"{state} is no state of a stopped run; it is not overwritten",
            expected="a name that is free for the state of this run",
            remedy="choose another name for the volume, or delete the file yourself",
        )


@contextmanager
def finished(place: Path, target: Path | None, states: Sequence[Path]) -> Iterator[None]:
    """Around the folder of a result: when it is in its place, so comes its volume; then the states of the work go.

    Parameters
    ----------
    place : Path
        The folder.
    target : Path, optional
        The file that the volume belongs to; None where it stays in the folder.
    states : sequence of Path
        From which the work could be resumed until then.
    """
    yield
    if target is not None:
        put_volume(place / VOLUME, target)
    for state in states:
        if state.is_file() and is_state(state):
            state.unlink()


def put_volume(made: Path, target: Path) -> None:
    """Move a volume from its report's folder to the file that was asked for.

    Parameters
    ----------
    made : Path
        Where it is.
    target : Path
        Where it belongs.

    Raises
    ------
    OutputError
        It cannot be written; the message says where the volume is.
    """
    try:
        with in_place:
            os.replace(made, real_place(target))
        to_disk(real_place(target).parent)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror or error}); the volume is {made}",
            expected="a place with write permission, and a file that no other program holds open",
            remedy="close the file in other programs, then move the volume yourself",
        ) from error


def write_comparison(found: Comparison, exemplars: Mapping[str, Phases], volume: Phases, folder: Path) -> list[str]:
    """Write the tables and pictures of a volume beside its micrographs.

    Parameters
    ----------
    found : Comparison
        By `fijibridge.reconstruction.compare`.
    exemplars : mapping of str to Phases
        Of each plane, in 2D.
    volume : Phases
        (Z, Y, X).
    folder : Path
        Exists.

    Returns
    -------
    list of str
        Names of the files.
    """
    from fijibridge.reconstruction.plots import write_comparison_pictures

    outputs = ["comparison.csv"]
    found.table.to_csv(folder / outputs[0], index=False, encoding="utf-8")
    for name, curve in found.curves.items():
        outputs.append(f"{name}.csv")
        curve.to_csv(folder / outputs[-1], index=False, encoding="utf-8", float_format="%.9g")
    return outputs + write_comparison_pictures(found, exemplars, volume, folder)
