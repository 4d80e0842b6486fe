"""Results that are there whole or not at all, and the one rule by which anything is ever removed.

A result is made in a hidden folder beside its place, ``.NAME-........``, and takes its place by renaming, when it is on
the disk. A folder holds a manifest, ``.fijibridge.json``, of all that was written into it: where a result replaces an
older one, what the manifest names is removed, and all else is moved into the new folder. An input is never replaced,
and nothing outside of the folder is ever touched.

A hidden folder is locked as long as its process lives. What a dead one left is cleared by the next run on the same
output: if it died just between the two renames of an exchange, the new result takes its place then.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.disk import cannot_write, disk_errors_told, to_disk
from fijibridge.core.ending import cleaned_up, in_place
from fijibridge.core.errors import OutputError
from fijibridge.core.manifest import MANIFEST, foreign, listed, manifest_in, manifest_text, remove_written

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger(__name__)

_YOUNG_S = 60.0
_LOCK, _NEW, _OLD, _ABOUT = "lock", "new", "old", "about.json"
Inputs = Iterable[str | Path | None]


# --- folders and files ------------------------------------------------------------------------------------------------


@contextmanager
def output_folder(path: str | Path, *, marker: str, overwrite: bool = False, inputs: Inputs = ()) -> Iterator[Path]:
    """Build a folder: write into the yielded one; at the end of the ``with`` it becomes ``path``.

    Whatever ends the ``with`` before, Ctrl-C included, all is as it was.

    Parameters
    ----------
    path : path
        The folder wanted. Missing parents are made. Of a symbolic link the folder that it names.
    marker : str
        A file that every such folder holds.
    overwrite : bool
        Whether an older result may be replaced; it stays until the new one is complete. See `check_output`.
    inputs : iterable of path
        Files and folders that the work reads.

    Raises
    ------
    OutputError
        The folder exists, cannot be written, or the disk is full; an older result is still there.
    """
    target = real_place(path)
    inputs = tuple(inputs)
    check_output(path, marker=marker, overwrite=overwrite, inputs=inputs)
    with _parents_made(path, target), _place_for(target) as place, disk_errors_told(path, place / _NEW, place, target):
        building = place / _NEW
        building.mkdir()  # not the private folder of mkdtemp itself: a result has the rights of any new folder
        yield building
        if not (building / marker).is_file():
            raise AssertionError(f"a result without {marker}")
        with _finished(building, target, place):
            _check(path, target, marker, overwrite, inputs)


def put_folder(made: Path, path: str | Path, *, marker: str, overwrite: bool = False, inputs: Inputs = ()) -> None:
    """Rename a complete folder to ``path``, beside which it lies, by the rules of `output_folder`.

    Parameters
    ----------
    made : Path
        The folder.
    path, marker, overwrite, inputs
        As of `output_folder`.

    Raises
    ------
    OutputError
        As of `output_folder`; ``made`` is still there.
    """
    target = real_place(path)
    with (
        _place_for(target, made) as place,
        disk_errors_told(path, place / _NEW, place, target),
        _finished(made, target, place),
    ):
        _check(path, target, marker, overwrite, inputs)


def discard_folder(path: Path, *, marker: str) -> None:
    """Remove a result, if it is there.

    Parameters
    ----------
    path : Path
        Its folder.
    marker : str
        A file that every such folder holds.

    Raises
    ------
    OutputError
        It holds what fijibridge did not write; nothing is removed.
    """
    if not path.exists():
        return
    check_output(path, marker=marker, overwrite=True)
    if other := foreign(path):
        raise OutputError(
            f"{path} would be removed, and holds {other[0]}",
            expected="what fijibridge wrote alone",
            remedy="move it out of that folder",
        )
    with in_place:
        remove_written(path, path)


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Give a name to write to, and rename it to ``path`` when all went well: no half-written file is ever seen.

    Raises
    ------
    OutputError
        No such folder, a folder of that name, no permission, or a full disk; an older file is still there.
    """
    if not path.parent.is_dir():
        raise OutputError(f"no folder {path.parent}", expected="an existing folder", remedy="create it first")
    if path.is_dir():
        raise OutputError(f"{path} is a folder", expected="a file name", remedy="give a name inside it")
    target = real_place(path)
    with _place_for(target) as place, disk_errors_told(path, place / _NEW, place, target):
        (place / _NEW).mkdir()
        part = place / _NEW / target.name
        yield part
        to_disk(part)
        with in_place:
            part.replace(target)
        to_disk(target.parent)


def add_file(folder: Path, name: str, data: bytes) -> None:
    """Write a file into a finished result, and note it in the manifest.

    Parameters
    ----------
    folder : Path
        The result.
    name : str
        Of the file; an older one of this name is replaced.
    data : bytes
        What it holds.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    note_files(folder, [name])
    with output_file(folder / name) as part:
        part.write_bytes(data)


def note_files(folder: Path, names: Iterable[str]) -> None:
    """Note in a folder's manifest what fijibridge writes into it.

    Parameters
    ----------
    folder : Path
        Exists.
    names : iterable of str
        Paths below the folder, with forward slashes.
    """
    known, names = listed(folder), set(names)
    if names <= known:
        return
    with output_file(manifest_in(folder)) as part:
        part.write_text(manifest_text(known | names), encoding="utf-8")


def real_place(path: str | Path) -> Path:
    """Where a result goes: the absolute path, without symbolic links, so that none is ever replaced.

    Parameters
    ----------
    path : path
        As the user gave it.
    """
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:  # a link to itself
        raise cannot_write(path, error) from error


def check_output(path: str | Path, *, marker: str, overwrite: bool, inputs: Inputs = (), advice: str = "") -> None:
    """See that a result may take its place, by the one rule for all.

    Only an empty folder is taken, or with ``overwrite`` one whose manifest says that fijibridge wrote its marker; and
    never one that holds an input.

    Parameters
    ----------
    path : path
        The folder wanted.
    marker : str
        A file that every such folder holds.
    overwrite : bool
        Whether an older result may be replaced.
    inputs : iterable of path
        Files and folders that the work reads.
    advice : str
        More of the remedy where the folder exists.

    Raises
    ------
    OutputError
        It may not.
    """
    target = real_place(path)
    sweep(target)
    sweep(target / "*")
    with _alone(target.parent):
        _check(path, target, marker, overwrite, tuple(inputs), advice)


def _check(path: str | Path, target: Path, marker: str, overwrite: bool, inputs: Inputs, advice: str = "") -> None:
    try:
        there = target.exists()
    except OSError as error:  # a name that is too long
        raise cannot_write(path, error) from error
    if not there:
        return
    if not target.is_dir():
        raise OutputError(
            f"{path} exists already: it is a file", expected="a folder, or nothing", remedy="choose another name"
        )
    for item in inputs:
        if item is not None and Path(item).resolve().is_relative_to(target):
            raise OutputError(
                f"{item} is an input of this work and lies in {path}, which would be replaced",
                expected="results in another folder than the inputs",
                remedy="choose another name for the results, or move the input out of that folder",
            )
    if all(item.name == MANIFEST for item in target.iterdir()):
        return
    if not overwrite:
        raise OutputError(
            f"{path} exists already",
            expected="a new or empty folder",
            remedy=f"choose another name, or use --overwrite (overwrite=True){advice}",
        )
    if marker not in listed(target) or not (target / marker).is_file():
        missing = f"no {marker}" if not (target / marker).is_file() else f"no {MANIFEST} that names {marker}"
        raise OutputError(
            f"{path} exists already and holds other things ({missing}); it is not overwritten",
            expected="a folder written by fijibridge",
            remedy="choose another name, or delete the folder yourself",
        )


@contextmanager
def one_run(path: str | Path) -> Iterator[None]:
    """Within the ``with`` no second run works on a result that is written bit by bit.

    Parameters
    ----------
    path : path
        The result. Missing parents are made.

    Raises
    ------
    OutputError
        Another run does.
    """
    target = real_place(path)
    with _parents_made(path, target), ExitStack() as held:
        try:
            lock = _lock(target.with_name(f"{_hidden(target)}lock"))
        except OSError as error:
            raise cannot_write(path, error) from error
        if lock is None:
            raise OutputError(
                f"another run of fijibridge is writing {path}",
                expected="one run at a time",
                remedy="wait for it, or choose another name",
            )
        held.callback(_unlock, lock)
        held.enter_context(cleaned_up(lambda: _unlock(lock)))
        sweep(target)
        yield


def sweep(target: Path) -> None:
    """Clear what dead processes left beside a result that they were making.

    Parameters
    ----------
    target : Path
        The result, absolute; one whose name ends in ``*`` for all that begin so.
    """
    some = target.name.removesuffix("*")
    start = f".{some}" if target.name.endswith("*") else _hidden(target)
    with contextlib.suppress(OSError):
        for place in [Path(entry.path) for entry in os.scandir(target.parent) if entry.name.startswith(start)]:
            if place.is_symlink():
                continue
            if not (place / _LOCK).is_file():
                _remove_empty(place, at_once=target.name.endswith("*"))
                continue
            if (lock := _lock(place / _LOCK)) is None:
                continue  # of a living one
            name, made = _about(place)
            if not name and set(os.listdir(place)) <= {_LOCK, _ABOUT}:  # killed before it could say what it is for
                (place / _ABOUT).unlink(missing_ok=True)
            elif name and (name == target.name or (target.name.endswith("*") and name.startswith(some))):
                _clear(place, target.with_name(name), made)
            _unlock(lock)
            with contextlib.suppress(OSError):  # one that its process was just removing was made again by the lock
                place.rmdir()


def _remove_empty(place: Path, at_once: bool) -> None:
    """A hidden folder whose process was killed before it locked it; a young one may be of a living process."""
    with contextlib.suppress(OSError):
        named_so = re.fullmatch(r"\..*-\w{8}", place.name) is not None  # as tempfile names them
        if named_so and (at_once or time.time() - place.stat().st_mtime > _YOUNG_S):
            place.rmdir()


# --- the hidden place -------------------------------------------------------------------------------------------------


def _hidden(target: Path) -> str:
    """How the names of the hidden places of a result begin; not longer than any file system allows."""
    return f".{os.fsencode(target.name)[:100].decode(errors='ignore')}-"


@contextmanager
def _place_for(target: Path, made: Path | None = None) -> Iterator[Path]:
    """A hidden folder beside a result, locked and cleared at the end; ``made``: the new result, if it is not in it."""
    sweep(target)
    lock = None
    try:
        while lock is None:
            place = Path(tempfile.mkdtemp(prefix=_hidden(target), dir=target.parent))
            lock = _lock(place / _LOCK)  # None: another run took it for dead in this moment
        (place / _ABOUT).write_text(json.dumps([target.name, made and made.name]), encoding="utf-8")
    except OSError as error:
        if lock is not None:
            shutil.rmtree(place, ignore_errors=True)
            _unlock(lock)
        raise cannot_write(target, error) from error

    def ended() -> None:  # by a signal, while the main thread may still be writing
        last = time.monotonic() + 2
        while place.exists() and time.monotonic() < last:
            _clear(place, target, made)

    with cleaned_up(ended):
        try:
            yield place
        finally:
            if os.name == "nt":  # where no open file can be removed
                _unlock(lock)
            _clear(place, target, made)
            _unlock(lock)


def _lock(path: Path) -> BaseFileLock | None:
    """A lock that ends with its process; None where another holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    if not path.exists():  # somebody cleared the place in this moment
        lock.release()
        return None
    return lock


def _unlock(lock: BaseFileLock) -> None:
    with contextlib.suppress(OSError):
        if os.name != "nt":
            os.unlink(lock.lock_file)  # first, so that nobody takes a lock that is going
        lock.release(force=True)
        if os.name == "nt":
            os.unlink(lock.lock_file)


def _about(place: Path) -> tuple[str, Path | None]:
    """The name of the result that a place is of, empty where that is not known; and the new one outside of it."""
    try:
        name, made = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
        return Path(name).name, place.with_name(Path(made).name) if made else None
    except (OSError, ValueError, TypeError):
        return "", None


@contextmanager
def _finished(made: Path, target: Path, place: Path) -> Iterator[None]:
    """Around the last checks: note what was made, see that it is on the disk, and put it in its place."""
    if made.parent == place:  # elsewhere others may have put something into it
        names = {item.relative_to(made).as_posix() for item in made.rglob("*")}
        (made / MANIFEST).write_text(manifest_text(names | listed(made)), encoding="utf-8")
    for item in made.rglob("*"):
        to_disk(item)
    to_disk(made)
    with _alone(target.parent), in_place:
        yield
        try:
            if target.exists():
                os.rename(target, place / _OLD)
            os.rename(made, target)
        except BaseException:  # Ctrl-C too must not cost the older result
            if (place / _OLD).exists() and not target.exists():
                os.rename(place / _OLD, target)
            raise
    to_disk(target.parent)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One exchange in a folder at a time, as far as its file system can."""
    handle = -1
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def _clear(place: Path, target: Path, made: Path | None) -> None:
    """End what a place was for: half an exchange is completed, an older result and what was not finished go."""
    new, old = made or place / _NEW, place / _OLD
    with in_place, contextlib.suppress(OSError):
        if old.is_dir() and not os.path.lexists(target):
            os.rename(new if new.is_dir() else old, target)
        elif old.is_dir() and new.is_dir():
            log.warning("%s was not replaced; its older contents are in %s", target, old)
            return
        if old.is_dir():
            remove_written(old, target)
        shutil.rmtree(place / _NEW, ignore_errors=True)
        for name in (_ABOUT, _LOCK):
            (place / name).unlink(missing_ok=True)
        place.rmdir()


@contextmanager
def _parents_made(path: str | Path, target: Path) -> Iterator[None]:
    """Make the folders above a result; those that were missing go again where they stay empty."""
    missing = [folder for folder in target.parents if not folder.exists()]

    def undo() -> None:
        with contextlib.suppress(OSError):  # somebody uses it by now
            for folder in missing:
                folder.rmdir()

    with cleaned_up(undo):
        try:
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            undo()
            raise cannot_write(path, error) from error
        try:
            yield
        finally:
            undo()
