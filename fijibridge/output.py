"""Results that are there whole or not at all: folders and files are built beside their place and renamed once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fijibridge.errors import OutputError


@contextmanager
def output_folder(
    path: str | Path, *, marker: str, overwrite: bool = False, inputs: Iterable[str | Path | None] = ()
) -> Iterator[Path]:
    """Build a folder: write into the yielded one; at the end of the ``with`` it becomes ``path``.

    It is built inside a hidden sibling, ``.NAME-...``. Whatever ends the ``with`` before, Ctrl-C included, all is as it
    was.

    Parameters
    ----------
    path : path
        The folder wanted. Missing parents are made.
    marker : str
        A file that every such folder holds. With ``overwrite`` only an empty folder or one with this file is replaced,
        so that a wrong path never costs a user other data.
    overwrite : bool
        Whether an older result may be replaced; it stays until the new one is complete.
    inputs : iterable of path
        Files and folders that the work reads: a folder that holds one of them is not replaced.

    Raises
    ------
    OutputError
        The folder exists, cannot be written, or the disk is full; an older result is still there.
    """
    path = Path(path)
    target = path.absolute()
    made: list[Path] = []
    place = None
    try:
        try:
            _check_free(target, marker, overwrite, inputs)
            _make_parents(target, made)
            place = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}-", dir=target.parent))
            building = place / "new"
            building.mkdir()  # not the private folder of mkdtemp itself: a result has the rights of any new folder
        except OutputError:
            raise
        except OSError as error:
            raise _cannot_write(path, error) from error
        try:
            yield building
            if not (building / marker).is_file():
                raise AssertionError(f"a result without {marker}")
            _check_free(target, marker, overwrite, inputs)
            _swap(building, target, place / "old")
            made.clear()
        except OutputError as error:
            found = error.found.replace(str(building), str(path))  # the user's folder, not where it was built
            raise OutputError(found, expected=error.expected, remedy=error.remedy) from error
        except OSError as error:
            nameless = error.filename is None and error.errno is not None
            if nameless or (error.filename is not None and Path(error.filename).is_relative_to(place)):
                raise _cannot_write(path, error) from error
            raise
    finally:
        # an older result that could not be put back stays where it is
        if place is not None and (target.exists() or not (place / "old").exists()):
            shutil.rmtree(place, ignore_errors=True)
        for folder in reversed(made):
            try:
                folder.rmdir()
            except OSError:  # somebody else uses it by now
                break


def _make_parents(target: Path, made: list[Path]) -> None:
    """Make the folders above ``target``; those that were missing are noted in ``made``, outermost first."""
    missing = []
    for folder in target.parents:
        if folder.exists():
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.append(folder)


def _check_free(target: Path, marker: str, overwrite: bool, inputs: Iterable[str | Path | None]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target} is a file", expected="a folder, or nothing", remedy="choose another name")
    if not any(target.iterdir()):
        return
    if not overwrite:
        raise OutputError(
            f"{target} exists already",
            expected="a new or empty folder",
            remedy="choose another name, or use --overwrite (overwrite=True)",
        )
    if not (target / marker).is_file():
        raise OutputError(
            f"{target} holds other things (no {marker}); it is not overwritten",
            expected="a folder written by fijibridge",
            remedy="choose another name, or delete the folder yourself",
        )
    for item in inputs:
        if item is not None and Path(item).resolve().is_relative_to(target.resolve()):
            raise OutputError(
                f"{item} is an input of this work and lies in {target}, which would be replaced",
                expected="results in another folder than the inputs",
                remedy="choose another name for the results, or move the input out of that folder",
            )


def _swap(building: Path, target: Path, old: Path) -> None:
    """Put ``building`` in ``target``'s place; the older folder waits at ``old``, and comes back if that fails."""
    try:
        if target.exists():
            os.rename(target, old)
        os.rename(building, target)
    except BaseException:  # Ctrl-C too must not cost the older result
        if old.exists() and not target.exists():
            os.rename(old, target)
        raise


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({error.strerror or error})",
        expected="a place with write permission and free space",
        remedy="free some space, close the files in other programs, or choose another folder",
    )


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
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path} cannot be written ({error.strerror or f'{error}: the disk may be full'})",
            expected="a folder with write permission and free space, and a file that no other program holds open",
            remedy="free some space, close the file in other programs, or choose another folder",
        ) from error
    finally:
        part.unlink(missing_ok=True)
