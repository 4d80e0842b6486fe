"""The manifest of ``fijibridge install`` in the folder of a Fiji or ImageJ: its files, and the Python they call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fijibridge.core.errors import ServiceError

MANIFEST = "plugins/FijiBridge/fijibridge.json"


@dataclass(frozen=True)
class Installation:
    """What the manifest of an installation says.

    Parameters
    ----------
    version : str
        Of fijibridge.
    python : Path
        That runs the operations.
    files : dict
        Path below the folder -> SHA-256 as it was written.
    """

    version: str
    python: Path
    files: dict[str, str]


def check_folder(folder: Path) -> bool:
    """Whether a folder is a Fiji (and not a plain ImageJ).

    Raises
    ------
    ServiceError
        It is neither.
    """
    if not folder.is_dir():
        raise ServiceError(f"no folder {folder}", expected="the folder of a Fiji or ImageJ", remedy="check the path")
    jars = folder / "jars"
    is_fiji = any(jars.glob("imagej-legacy-*.jar")) if jars.is_dir() else False
    is_imagej = (folder / "ij.jar").is_file() or (folder / "ImageJ.app").exists()
    if not (is_fiji or is_imagej):
        raise ServiceError(
            f"{folder} is neither a Fiji nor an ImageJ",
            expected="a folder with jars/imagej-legacy-....jar (Fiji) or ij.jar (ImageJ) in it",
            remedy="name the folder that holds the launcher (Fiji.app, Fiji or ImageJ), not one inside or above it",
        )
    return is_fiji


def installation(folder: Path) -> Installation | None:
    """What was installed there; None if nothing was.

    Raises
    ------
    ServiceError
        The manifest cannot be read.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        files = {str(name): str(digest) for name, digest in data["files"].items()}
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
            raise ValueError("a path that leaves the folder")
        return Installation(data["version"], Path(data["python"]), files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ServiceError(
            f"{path} cannot be read ({error})",
            expected="the list of what fijibridge installed",
            remedy=f"delete it and the folder {path.parent} by hand, then install again",
        ) from error
