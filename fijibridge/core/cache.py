"""The user's cache folder, and arrays in it that are costly to compute again."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.atomic_output import output_file

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

_DIGEST = "fijibridge-sha256"
_SUFFIX = ".safetensors"


def cache_folder() -> Path:
    """The user's cache folder of fijibridge (``FIJIBRIDGE_CACHE`` overrides it); it need not exist yet."""
    if override := os.environ.get("FIJIBRIDGE_CACHE"):
        return Path(override)
    from platformdirs import user_cache_path

    return user_cache_path("fijibridge", appauthor=False)


def cache_key(*inputs: Any) -> str:
    """The name of a cached file: a digest of everything that its content depends on (their ``repr``)."""
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:32]


def load_cached_arrays(key: str, folder: str) -> dict[str, np.ndarray] | None:
    """Arrays that :func:`save_cached_arrays` stored; None if there are none, or the file is damaged or was changed.

    Parameters
    ----------
    key : str
        By :func:`cache_key`.
    folder : str
        In the user's cache folder.
    """
    from safetensors import SafetensorError, safe_open

    path = _array_file(key, folder)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            digest = (file.metadata() or {}).get(_DIGEST)
    except (OSError, SafetensorError, ValueError, TypeError):  # a dtype that NumPy has not: TypeError
        return None
    if digest != _digest(arrays):
        log.warning("%s is not as it was stored: it is computed again", path)
        return None
    with contextlib.suppress(OSError):  # not ours to write
        path.touch()  # it was used
    return arrays


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str}{arrays[name].shape}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def save_cached_arrays(key: str, arrays: dict[str, np.ndarray], folder: str, *, most_bytes: int = 0) -> None:
    """Store arrays in the user's cache; where it cannot be written, they are computed again next time.

    Parameters
    ----------
    key : str
        By :func:`cache_key`.
    arrays : dict of str to np.ndarray
        Of any shape and dtype.
    folder : str
        In the user's cache folder.
    most_bytes : int
        Of all files in there: those used least recently are removed; 0: no limit.
    """
    import numpy as np
    from safetensors.numpy import save_file

    target = _array_file(key, folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with output_file(target) as part:
            # safetensors writes an array as it lies in memory, transposed or not
            whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(whole, part, {_DIGEST: _digest(whole)})
        if most_bytes:
            _make_room(target, most_bytes)
    except OSError as error:
        log.info("%s cannot be written, so it will be computed again: %s", target, error)


def _array_file(key: str, folder: str) -> Path:
    return cache_folder() / folder / f"{key}{_SUFFIX}"


def _make_room(newest: Path, most_bytes: int) -> None:
    """Remove the files used least recently; another process may do the same."""
    found = []
    for path in newest.parent.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            about = path.stat()
            found.append((path != newest, -about.st_mtime, about.st_size, path))
    total = 0
    for _, _, size, path in sorted(found):
        total += size
        if total > most_bytes and path != newest:
            path.unlink(missing_ok=True)
