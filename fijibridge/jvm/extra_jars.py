"""Jars of the user's own beside the embedded ones, for classifiers of Weka's packages: FIJIBRIDGE_JARS names them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from fijibridge.core.errors import JavaError

VARIABLE = "FIJIBRIDGE_JARS"


def extra_jars() -> list[Path]:
    """The jars that the environment's FIJIBRIDGE_JARS names.

    Returns
    -------
    list of Path
        Files, and all jars below folders such as ``~/wekafiles/packages/LibSVM``; parts of the text are separated as
        in PATH.

    Raises
    ------
    JavaError
        If one of them is not there, or a folder holds no jar.
    """
    found: list[Path] = []
    for part in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        path = Path(part).expanduser().absolute()
        jars = sorted(path.rglob("*.jar")) if path.is_dir() else [path] if path.is_file() else []
        if not jars:
            raise JavaError(
                f"{VARIABLE} names {part}, where there is no jar",
                expected=f"jars, or folders with jars, separated by {os.pathsep!r}",
                remedy=f"correct {VARIABLE}, or unset it",
            )
        found += [jar for jar in jars if jar not in found]
    return found


def classes_of_jars() -> frozenset[str]:
    """Names of the classes in these jars: whoever names a jar trusts what is in it.

    Raises
    ------
    JavaError
        As `extra_jars`, or if one is no jar.
    """
    names: set[str] = set()
    for jar in extra_jars():
        try:
            with zipfile.ZipFile(jar) as file:
                names |= {name[:-6].replace("/", ".") for name in file.namelist() if name.endswith(".class")}
        except (OSError, zipfile.BadZipFile) as error:
            raise JavaError(
                f"{VARIABLE} names {jar}, which is no jar ({error})", expected="a jar", remedy="install it again"
            ) from error
    return frozenset(names)
