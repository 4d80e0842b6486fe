"""What fijibridge wrote into a folder, by its manifest: that alone is ever removed where the folder is replaced."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

MANIFEST = ".fijibridge.json"
_ZARR_ROOTS = ("zarr.json", ".zgroup")


def manifest_in(folder: Path) -> Path:
    """Where a folder's manifest is: in it; of an OME-Zarr in its first array, where readers do not look for groups.

    Parameters
    ----------
    folder : Path
        Any.
    """
    array = folder / "0"
    is_store = any((folder / name).is_file() for name in _ZARR_ROOTS) and array.is_dir()
    return (array if is_store else folder) / MANIFEST


def manifest_text(names: Iterable[str]) -> str:
    """The text of a manifest.

    Parameters
    ----------
    names : iterable of str
        Paths below its folder, with forward slashes; of folders too.
    """
    return json.dumps({"files": sorted(names)}, indent=0) + "\n"


def listed(folder: Path) -> set[str]:
    """What a folder's own manifest names; nothing where it has none that can be read.

    Parameters
    ----------
    folder : Path
        Any.

    Returns
    -------
    set of str
        Paths below the folder, with forward slashes.
    """
    try:
        return {str(name) for name in json.loads(manifest_in(folder).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return set()


def remove_written(old: Path, target: Path) -> None:
    """Remove what the manifests in a folder name, and move all else to the same places in the new result.

    Parameters
    ----------
    old : Path
        The folder, which goes.
    target : Path
        The new result.
    """
    written = _written(old)
    for top, folders, files in os.walk(old, topdown=False):
        folder = Path(top).relative_to(old)
        links = [name for name in folders if os.path.islink(os.path.join(top, name))]
        for name in sorted([*files, *links], key=lambda name: name == MANIFEST):  # that last: a next run may go on
            path = folder / name
            if path.as_posix() in written:
                (old / path).unlink()
            else:
                _kept(old / path, target / path)
        if folder.as_posix() not in written:
            (target / folder).mkdir(parents=True, exist_ok=True)
        os.rmdir(top)


def _kept(path: Path, wanted: Path) -> None:
    """Move what fijibridge did not write into the new result."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    free, number = wanted, 1
    while os.path.lexists(free):
        free, number = wanted.with_name(f"{wanted.stem}-kept{number}{wanted.suffix}"), number + 1
    if free != wanted:
        log.warning("%s is of your own; it is kept as %s", wanted, free.name)
    os.rename(path, free)


def _written(folder: Path) -> set[str]:
    """Paths below a folder that its manifest names, and those of the folders that it names."""
    written = {"."}
    for top, _, _ in os.walk(folder):
        inner = Path(top).relative_to(folder)
        if inner.as_posix() in written:  # the manifest of a result that was put into this one is not this one's
            own = manifest_in(Path(top)).relative_to(top).as_posix()
            written |= {(inner / name).as_posix() for name in (own, *listed(Path(top)))}
    return written


def foreign(folder: Path) -> list[str]:
    """What a folder holds that fijibridge did not write.

    Parameters
    ----------
    folder : Path
        Any.

    Returns
    -------
    list of str
        Paths below the folder.
    """
    written = _written(folder)
    return sorted(name for path in folder.rglob("*") if (name := path.relative_to(folder).as_posix()) not in written)
