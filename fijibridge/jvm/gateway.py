"""The running JVM, as the rest of the package sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fijibridge.core.errors import JavaError
from fijibridge.jvm.java import JavaInfo

_OPTIONS = (
    "-XX:+IgnoreUnrecognizedVMOptions",  # first: what follows is not known to every Java
    "-Xrs",  # Java leaves signals alone, so that Ctrl-C is Python's KeyboardInterrupt on every system
    # HotSpot would put a guard page 1 MB down Python's main stack: OpenBLAS's threaded LU runs into it and dies.
    "-XX:+UnlockExperimentalVMOptions",
    "-XX:+DisablePrimordialThreadGuardPages",
    "-Dweka.packageManager.offline=true",  # no download, and no third-party code, by a mere class load
    "-Dweka.packageManager.loadPackages=false",
)


_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass(frozen=True)
class Gateway:
    """The running JVM.

    Parameters
    ----------
    java_version : str
        Version of Java, for instance ``"17.0.15"``.
    heap : int
        Largest heap in bytes.
    attached : bool
        Whether the JVM was started by somebody else in this process.
    fiji : str
        Folder or endpoint of the user's Fiji; empty for the embedded default.
    ij : object or None
        pyimagej's gateway (``ij.py``, ``ij.command()``, ...) where a Fiji was asked for.
    """

    java_version: str
    heap: int
    attached: bool
    fiji: str = ""
    ij: Any = None

    def jclass(self, name: str) -> Any:
        """A Java class by its full name, as a Python type.

        Raises
        ------
        JavaError
            If it is not on the class path.
        """
        import jpype

        try:
            return jpype.JClass(name)
        except TypeError as error:
            raise JavaError(
                f"Java class {name} is not on the class path",
                expected="a class of Java, ImageJ, Weka or FastRandomForest",
                remedy="check the name, or add its jar with jpype.addClassPath before the JVM starts",
            ) from error


def jvm_options(size: int) -> list[str]:
    """Options of every JVM of ours, with a heap of ``size`` bytes, after those that the user asked of scyjava."""
    import scyjava

    asked = scyjava.config.get_options()
    options = [*asked, *_OPTIONS, f"-Xmx{size // 2**20}m"]  # ours come last and win
    # Java's default, G1, takes a plane of some 1 MB for a giant and marks the whole heap again for each: a transfer of
    # 384 planes took 0.2 to 6 s with it, 0.1 to 0.3 s with this one.
    if not any(option.startswith("-XX:+Use") and option.endswith("GC") for option in asked):  # two are an error
        options.append("-XX:+UseParallelGC")
    # As numpy asks for its own large arrays: fewer page faults. Where the system is set never to give them, Java would
    # say so on standard output.
    if _HUGE_PAGES.is_file() and "[never]" not in _HUGE_PAGES.read_text():
        options.append("-XX:+UseTransparentHugePages")
    return options


@contextmanager
def this_java(java: JavaInfo) -> Iterator[None]:
    """Let scyjava and jpype find this Java: they look at JAVA_HOME or PATH, scyjava on Windows at PATH alone."""
    before = {name: os.environ.get(name) for name in ("JAVA_HOME", "PATH")}
    os.environ["JAVA_HOME"] = str(java.home)
    os.environ["PATH"] = os.pathsep.join([str(java.home / "bin"), before["PATH"] or ""])
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def java_version() -> str:
    import jpype

    return str(jpype.JClass("java.lang.System").getProperty("java.version"))
