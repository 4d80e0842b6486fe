"""The machine's Java and its memory, found without starting a JVM."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fijibridge.core.errors import JavaError, SettingsError
from fijibridge.core.machine import machine_memory

OLDEST_JAVA = 11  # jpype 1.6 and scyjava 1.12 need it; weka and ij would run on 8
_MEBIBYTE = 2**20
_UNITS = {"k": 2**10, "m": _MEBIBYTE, "g": 2**30, "t": 2**40}
_SMALLEST_HEAP = 64 * _MEBIBYTE
_LARGEST_DEFAULT_HEAP = 8 * 2**30

_INSTALL = (
    f"install Java {OLDEST_JAVA} or newer (for instance from adoptium.net, or `conda install -c conda-forge openjdk`), "
    "or let JAVA_HOME point to one; the java folder of a Fiji installation holds one too"
)


@dataclass(frozen=True)
class JavaInfo:
    """A Java installation.

    Parameters
    ----------
    home : Path
        Its root folder, what JAVA_HOME points to.
    version : str
        As it names itself, for instance ``"17.0.15"`` or ``"1.8.0_292"``.
    path : Path
        The ``java`` executable that was asked.
    """

    home: Path
    version: str
    path: Path

    @property
    def major(self) -> int:
        """Major version: 8 for ``"1.8.0_292"``, 17 for ``"17.0.15"``."""
        return major_version(self.version)


def major_version(version: str) -> int:
    """Major number of a Java version string; 0 if there is none in it."""
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    if not numbers:
        return 0
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def find_java() -> JavaInfo | None:
    """Find the Java that `start` would use: the one of JAVA_HOME, else the first on PATH.

    Of the two the first that is new enough wins. No JVM is started in this process.

    Returns
    -------
    JavaInfo or None
        None if there is no Java that answers ``java -version``. A Java that is too old is returned if there is no
        better one; see `JavaInfo.major`.
    """
    found = [info for info in map(ask_java, _candidates()) if info is not None]
    usable = [info for info in found if info.major >= OLDEST_JAVA]
    return next(iter(usable or found), None)


def require_java() -> JavaInfo:
    """`find_java`, or a JavaError that says what to install."""
    info = find_java()
    if info is None:
        raise JavaError(
            "no Java on this machine (neither under JAVA_HOME nor on PATH)",
            expected=f"Java {OLDEST_JAVA} or newer",
            remedy=_INSTALL,
        )
    if info.major < OLDEST_JAVA:
        raise JavaError(f"Java {info.version} at {info.home}", expected=f"Java {OLDEST_JAVA} or newer", remedy=_INSTALL)
    return info


def _candidates() -> list[Path]:
    name = "java.exe" if sys.platform == "win32" else "java"
    paths = []
    if os.environ.get("JAVA_HOME"):
        paths.append(Path(os.environ["JAVA_HOME"]) / "bin" / name)
    on_path = shutil.which("java")
    if on_path:
        paths.append(Path(on_path))
    return [path for path in paths if path.is_file()]


def ask_java(path: Path) -> JavaInfo | None:
    """Ask an executable who it is: a `java` on PATH is often a link or a stub, so its folder says nothing."""
    try:
        answer = subprocess.run(
            [str(path), "-XshowSettings:properties", "-version"],
            capture_output=True, text=True, errors="replace", timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = answer.stderr + answer.stdout
    version = re.search(r'version "([^"]+)"', text)
    if version is None:
        return None
    home = re.search(r"^\s*java\.home = (.+?)\s*$", text, re.MULTILINE)
    folder = Path(home.group(1)) if home else path.resolve().parent.parent
    return JavaInfo(home=folder, version=version.group(1), path=path)


def heap_bytes(heap: str | None) -> int:
    """Size of the Java heap that a setting asks for.

    Parameters
    ----------
    heap : str or None
        A number with k, m, g or t, such as ``"4g"`` or ``"800m"``. None: a third of the memory, at most 8 GiB.

    Returns
    -------
    int
        Bytes, whole mebibytes.

    Raises
    ------
    SettingsError
        If it is malformed, below 64m or above the machine's memory.
    """
    memory = machine_memory()
    if heap is None:
        size = max(_SMALLEST_HEAP, min(memory // 3, _LARGEST_DEFAULT_HEAP))
        return size // _MEBIBYTE * _MEBIBYTE
    match = (
        re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?\s*", heap, re.IGNORECASE | re.ASCII)
        if (isinstance(heap, str))
        else None
    )
    if match is None:
        raise SettingsError(
            f"heap={heap!r}", expected='a number and a unit, such as "4g" or "800m"', remedy="correct the heap setting"
        )
    size = int(float(match.group(1)) * _UNITS[match.group(2).lower()]) // _MEBIBYTE * _MEBIBYTE
    if not _SMALLEST_HEAP <= size <= memory:
        raise SettingsError(
            f"heap={heap!r}",
            expected=f"between {_SMALLEST_HEAP // _MEBIBYTE}m and this machine's memory, {memory // _MEBIBYTE}m",
            remedy="ask for less (about half of the memory leaves room for Python)" if size > memory else
            "ask for more",
        )  # fmt: skip
    return size
