"""What of a job is done: a folder beside the result, from which a run that was stopped goes on.

::

    job.json             what the job is: classifier, settings, inputs, versions
    unit-00000/          of each unit that is done: its arrays, and record.json, written last
    volume.zarr/         the store that is filled, where the result is OME-Zarr
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fijibridge.core.atomic_output import add_file, discard_folder, note_files, sweep
from fijibridge.core.ending import cleaned_up
from fijibridge.core.errors import OutputError, SettingsError
from fijibridge.core.manifest import MANIFEST
from fijibridge.core.records import read_json
from fijibridge.segmentation.slices.job import STORE, Job, unit_name
from fijibridge.segmentation.slices.unit import RECORD

JOB = "job.json"
_SAMPLES, _SAMPLE = 16, 2**16  # of a file: as many pieces of so many bytes go into its digest

log = logging.getLogger(__name__)


def state_of(out: Path) -> Path:
    """The folder of what is done, beside a result."""
    place = Path(out).absolute()
    return place.with_name(f"{place.name}.resume")


def done_units(job: Job) -> set[int]:
    """Numbers of the units of a job that are done."""
    state = Path(job.state)
    return {number for number in range(len(job.units())) if (state / unit_name(number) / RECORD).is_file()}


def fingerprint(job: Job, about_classifier: dict[str, Any]) -> dict[str, Any]:
    """What the units of a job depend on; what differs cannot be joined.

    Parameters
    ----------
    job : Job
    about_classifier : dict
        Digests of what predicts.

    Returns
    -------
    dict
        Of JSON's types.
    """
    from fijibridge.core.versions import versions

    inputs = {
        f"{stack.name} {detector}": about_file(Path(path))
        for stack in job.stacks
        for detector, path in stack.paths.items()
    }
    whole = {"classifier": about_classifier, "settings": job.settings(), "inputs": inputs, "versions": versions()}
    found: dict[str, Any] = json.loads(json.dumps(whole))
    return found


def identity_of(found: dict[str, Any]) -> str:
    """SHA-256 of a `fingerprint`.

    Parameters
    ----------
    found : dict
    """
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def about_file(path: Path) -> dict[str, Any]:
    """Name, size, time and a digest of a sample of a file, or of all files of a folder (a zarr store, slices).

    Parameters
    ----------
    path : Path
        Of a container's part, such as ``volume.h5/raw``, the container is looked at.
    """
    inner = ""
    while not path.exists() and path.parent != path:
        path, inner = path.parent, f"{path.name}/{inner}"
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if not path.exists():
        return {"name": inner, "size": 0}
    sizes = [file.stat().st_size for file in files]
    times = [file.stat().st_mtime_ns for file in files]
    digest = hashlib.sha256()
    step = max(1, len(files) // _SAMPLES)
    for file, size in list(zip(files, sizes, strict=True))[::step]:
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            pieces = max(1, _SAMPLES // len(files))
            for piece in range(pieces):
                handle.seek(piece * max(0, size - _SAMPLE) // max(1, pieces - 1))
                digest.update(handle.read(_SAMPLE))
    newest = max(times, default=0)
    return {"name": path.name + (f"/{inner}" if inner else ""), "files": len(files), "size": sum(sizes),
            "changed": str(newest), "sample": digest.hexdigest()}  # fmt: skip


@contextmanager
def journal(
    job: Job, found: dict[str, Any], *, parts: int = 0, resume: bool = False, overwrite: bool = False
) -> Iterator[set[int]]:
    """Begin a job, or go on with one; what is done stays when the ``with`` is left by an error.

    Parameters
    ----------
    job : Job
    found : dict
        Its `fingerprint`.
    parts : int
        In how many parts it is done on several machines; 0: as a whole.
    resume : bool
        Go on with what is there.
    overwrite : bool
        Begin anew in its place.

    Yields
    ------
    set of int
        Units that are done already.

    Raises
    ------
    OutputError
        Work is there and neither was chosen, nothing is there to go on with, or another folder.
    SettingsError
        The work there is of another job; the message says what differs.
    """
    state, units = Path(job.state), len(job.units())
    clear_unbegun(state, keep=resume or parts > 0)
    begun = (state / JOB).is_file()
    if state.exists() and not begun and any(item.name != MANIFEST for item in state.iterdir()):
        raise OutputError(
            f"{state} exists already and holds other things (no {JOB})",
            expected="a name that is free for what is done of this work",
            remedy="choose another name for the result, or delete the folder yourself",
        )
    if resume and not begun and not parts:
        raise OutputError(
            f"nothing to resume: no {JOB} in {state}",
            expected="work on the same result that was stopped",
            remedy="start without --resume (resume=False)",
        )
    if begun and not resume and not parts:
        if not overwrite:
            done = len(done_units(job))
            raise OutputError(
                f"{state}: work on this result that was stopped ({done} units are done)",
                expected="either to continue it or to start anew",
                remedy="choose --resume or --overwrite (resume=True or overwrite=True)",
            )
        discard_state(state)
        begun = False
    if begun:
        check_same(state, found, parts)
        sweep(state / "*")
    else:
        _begin(state, found, parts, units)

    def ended() -> None:
        if not parts and (units == 1 or not done_units(job)):
            sweep(state / "*")
            discard_state(state)

    with cleaned_up(ended):
        try:
            yield done_units(job)
        except BaseException:
            ended()
            if state.is_dir() and not parts:
                log.warning("what is done is kept in %s: --resume (resume=True) goes on with it", state)
            raise


def _begin(state: Path, found: dict[str, Any], parts: int, units: int) -> None:
    from fijibridge.core.disk import cannot_write

    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(state, error) from error
    names = [unit_name(number) for number in range(units)]
    note_files(state, names)
    if not (state / JOB).is_file():  # another part may have begun in this moment, with the same
        add_file(state, JOB, (json.dumps({"parts": parts, "units": units, **found}, indent=1) + "\n").encode())


def check_same(state: Path, found: dict[str, Any], parts: int = 0) -> None:
    """See that what is done belongs to this job.

    Parameters
    ----------
    state : Path
    found : dict
        The job's `fingerprint`.
    parts : int
        As of `journal`; 0 accepts any.

    Raises
    ------
    SettingsError
        It does not; the message says what differs.
    """
    before = read_json(state / JOB, error=OutputError)
    was, _ = before.pop("parts", 0), before.pop("units", 0)
    if parts and was and was != parts:
        raise SettingsError(
            f"part of {parts}, and {state} is done in {was} parts",
            expected=f"--part I/{was}",
            remedy="give the same number of parts for all, so that they do not overlap",
        )
    if different := list(_differences(before, found)):
        raise SettingsError(
            f"{state} holds other work: {'; '.join(different[:6])}",
            expected="the same classifier, settings, inputs and versions as before",
            remedy="give the same as before, or --overwrite (overwrite=True) to start anew",
        )


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _differences(before.get(key), now.get(key), f"{name} {key}".strip())
    elif before != now:
        yield f"{name}: {_short(before)} before, {_short(now)} now"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:24]}..."


def clear_unbegun(state: Path, *, keep: bool) -> None:
    """Remove the folder of a job that was killed before its first unit was done, or when its result was in place.

    Parameters
    ----------
    state : Path
    keep : bool
        Whether a job without units is kept, to go on with it.
    """
    if not state.is_dir():
        return
    sweep(state / "*")
    names = {item.name for item in state.iterdir()}
    if names <= {MANIFEST} and not keep:
        (state / MANIFEST).unlink(missing_ok=True)
        state.rmdir()
    elif JOB in names:
        about = read_json(state / JOB, error=OutputError)
        units = any(name.startswith("unit-") for name in names)
        placed = units and about.get("settings", {}).get("zarr") and STORE not in names
        if placed or (
            not keep and (not units or about.get("units") == 1)
        ):  # of one image there is nothing to go on with
            discard_state(state)


def discard_state(state: Path) -> None:
    """Remove what is done, as far as fijibridge wrote it."""
    store = state / STORE
    if store.is_dir():
        note_files(state, [STORE, *(f"{STORE}/{item.relative_to(store).as_posix()}" for item in store.rglob("*"))])
    discard_folder(state, marker=JOB)


def missing_of(units: Iterable[int], done: set[int], part: tuple[int, int] | None) -> list[int]:
    """Units to do.

    Parameters
    ----------
    units : iterable of int
        Numbers of all.
    done : set of int
        Those that are done.
    part : (int, int) or None
        Of a part (i, n) each n-th, from the i-th on.
    """
    numbers = [number for number in units if number not in done]
    return [number for number in numbers if number % part[1] == part[0] - 1] if part else numbers
