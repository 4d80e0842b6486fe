"""A result on the disk: written through to it, and what went wrong there in words, whatever library met it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fijibridge.core.errors import BridgeError, OutputError

_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
# NumPy's and Pillow's, which do not say why
_UNSAID = re.compile(r"\d+ requested and \d+ written|encoder error .* when writing image file")


def to_disk(path: Path) -> None:
    """See that a file or the entries of a folder are on the disk, as far as the system can.

    Parameters
    ----------
    path : Path
        A file, or a folder, whose own entries are meant.
    """
    if path.is_symlink() or (os.name == "nt" and path.is_dir()):
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(handle)


@contextmanager
def disk_errors_told(path: str | Path, building: Path, *places: Path) -> Iterator[None]:
    """Within the ``with`` errors of the disk become an `OutputError`.

    Parameters
    ----------
    path : path
        The result, as the user named it.
    building : Path
        Where it is made, which no message names.
    *places : Path
        Folders and files that an error may be about.
    """
    try:
        yield
    except OutputError as error:
        found = error.found.replace(str(building), str(path))
        raise OutputError(found, expected=error.expected, remedy=error.remedy) from error
    except BridgeError:
        raise
    except Exception as error:
        if (found_error := _disk_error(error, (building, *places))) is None:
            raise
        raise cannot_write(path, found_error) from error


def _disk_error(error: Exception, places: tuple[Path, ...]) -> OSError | None:
    """The error of the disk that an exception is about; None where it is about something else."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.filename is None or error.errno in _FULL:
            return error
        about = Path(os.fsdecode(error.filename)) if not isinstance(error.filename, int) else Path()
        return error if any(about.is_relative_to(place) for place in places) else None
    text = str(error)
    for number in _FULL:  # safetensors, Java and others tell the system's words alone
        if os.strerror(number) in text:
            return OSError(number, os.strerror(number))
    if isinstance(error, OSError) and _UNSAID.fullmatch(text):
        return OSError(errno.ENOSPC, f"{error}: the disk may be full")
    return None


def cannot_write(path: str | Path, error: Exception) -> OutputError:
    """A place that cannot be written to.

    Parameters
    ----------
    path : path
        The result, as the user named it.
    error : Exception
        Of the disk.
    """
    return OutputError(
        f"{path} cannot be written ({getattr(error, 'strerror', None) or error})",
        expected="a place with write permission and free space, and files that no other program holds open",
        remedy="free some space, close the files in other programs, or choose another folder",
    )
