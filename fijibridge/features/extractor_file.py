"""``features.json`` and ``features.safetensors``: how features that lie in files were made, and their names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import BridgeError, ImageNotFoundError, ModelFileError, SettingsError
from fijibridge.core.names import LONGEST_FEATURE, check_names
from fijibridge.core.records import read_json, texts
from fijibridge.features.extract import FeatureExtractor
from fijibridge.features.source import digest_of_array

if TYPE_CHECKING:
    import numpy as np

INDEX = "features.json"
ARRAYS = "features.safetensors"
_FORMAT = "fijibridge-features"
_VERSION = 2


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what features learned; nothing where they learned nothing.

    Parameters
    ----------
    path : Path
        A safetensors file.
    arrays : mapping
        Of :meth:`fijibridge.features.extract.FeatureExtractor.arrays`.
    """
    import numpy as np
    from safetensors.numpy import save_file

    if arrays:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What :func:`write_arrays` wrote; empty without a file.

    Raises
    ------
    SettingsError
        A damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return {}
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise SettingsError(
            f"{path.name} is damaged ({error})", expected="a safetensors file", remedy="copy the folder again"
        ) from error


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of named arrays."""
    text = "".join(f"{name} {digest_of_array(arrays[name])}\n" for name in sorted(arrays))
    return hashlib.sha256(text.encode()).hexdigest()


def write_extractor(folder: Path, extractor: FeatureExtractor, feature_names: Sequence[str]) -> list[str]:
    """Write how features were made, complete with weights' digest and what was learned, and their names.

    Parameters
    ----------
    folder : Path
    extractor : FeatureExtractor
        Of a stack.
    feature_names : sequence of str
        Names of the stack's channels.

    Returns
    -------
    list of str
        Names of the files, and of a network's folder.
    """
    arrays = extractor.arrays()
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "features": extractor.to_json(),
        "feature_names": list(feature_names),
        "features_sha256": arrays_digest(arrays),
    }
    (folder / INDEX).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    write_arrays(folder / ARRAYS, arrays)
    return [INDEX, *([ARRAYS] if arrays else []), *extractor.save_files(folder)]


def read_extractor(path: str | Path) -> tuple[FeatureExtractor, tuple[str, ...]]:
    """Read how features were made.

    Parameters
    ----------
    path : path
        ``features.json``, or its folder; ``features.safetensors`` and a network lie beside it.

    Returns
    -------
    extractor : FeatureExtractor
    feature_names : tuple of str
        In the order of the features.

    Raises
    ------
    ImageNotFoundError
        Nothing there.
    ModelFileError
        Another file, or a damaged one.
    """
    path = Path(path)
    file = path / INDEX if path.is_dir() else path
    if not file.exists():
        raise ImageNotFoundError(
            f"no {file}", expected=f"{INDEX}, or the folder of a saved classifier", remedy="check the path"
        )
    try:
        with file.open("rb") as opened:
            if opened.read(1) != b"{":  # a classifier of a gigabyte need not be read to see that it is no JSON
                raise _unreadable(file, "it is no JSON object")
        content = read_json(file)
        if content["format"] == "fijibridge-recipe":
            raise _unreadable(file, "it is of fijibridge 0.1, whose features are described in another way")
        if (content["format"], content["version"]) != (_FORMAT, _VERSION):
            raise _unreadable(file, f"it says {content['format']!r} version {content['version']!r}")
        arrays = read_arrays(file.with_name(ARRAYS))
        if arrays_digest(arrays) != content["features_sha256"]:
            raise _unreadable(file, f"{ARRAYS} beside it is not what it describes")
        extractor = FeatureExtractor.restored(content["features"], arrays, file.parent)
        names = texts(content["feature_names"], "feature_names")
        check_names(names, "feature", where=file, error=ModelFileError, longest=LONGEST_FEATURE)
    except ModelFileError:
        raise
    except BridgeError as error:
        raise _unreadable(file, error.found) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _unreadable(file, f"{type(error).__name__} {error}") from error
    if not names:
        raise _unreadable(file, "feature_names is no list of names")
    return extractor, names


def _unreadable(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} does not describe features: {why}",
        expected=f"{INDEX} that features wrote, with {ARRAYS} beside it, or the folder of a saved classifier",
        remedy="write the features again, or check the path",
    )
