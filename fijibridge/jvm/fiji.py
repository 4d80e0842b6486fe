"""A user's own Fiji, started in this process through pyimagej."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from fijibridge.core.errors import JavaError
from fijibridge.jvm.gateway import Gateway, java_version, jvm_options, this_java
from fijibridge.jvm.java import OLDEST_JAVA, JavaInfo, ask_java, require_java

_log = logging.getLogger(__name__)

# what pyimagej itself needs of a local Fiji
_NEEDED_JARS = ("ij-1.*.jar", "imagej-2.*.jar", "imagej-legacy-*.jar", "scijava-common-*.jar", "imglib2-imglyb-*.jar")


def start_fiji(fiji: str, *, size: int, gui: bool) -> Gateway:
    """Start a Fiji; the work behind ``start(fiji=...)``.

    Parameters
    ----------
    fiji : str
        Folder, or Maven endpoint.
    size : int
        Largest heap in bytes.
    gui : bool
        With its window.

    Returns
    -------
    Gateway

    Raises
    ------
    JavaError
        pyimagej is missing, the folder is no Fiji, there is no Java that fits, or the Fiji does not start.
    """
    folder = _folder(fiji)
    imagej = _pyimagej()
    import scyjava

    java = (folder and java_of_fiji(folder)) or require_java()
    scyjava.config.set_java_constraints(fetch="auto")  # with "never" pyimagej 1.8.0 fails before the JVM is up
    if folder:
        # else the SciJava repository is asked for imglyb, which lies in the folder
        scyjava.config.endpoints.clear()
    asked = scyjava.config.get_options()
    scyjava.config.add_options(jvm_options(size)[len(asked) :])
    _log.info("starting the Fiji %s with Java %s and a heap of %dm", fiji, java.version, size // 2**20)
    try:
        with this_java(java):
            ij = imagej.init(str(folder) if folder else fiji, mode="interactive" if gui else "headless")
    except Exception as error:  # whatever Java, jgo or pyimagej raise; told to the user
        raise _does_not_start(fiji, folder, java, error) from error
    if gui:
        ij.ui().showUI()
    return Gateway(java_version=java_version(), heap=size, attached=False, fiji=fiji, ij=ij)


def _pyimagej() -> Any:
    try:
        import imagej
    except ImportError as error:
        raise JavaError(
            f"pyimagej is not installed ({error})",
            expected="pyimagej, for a Fiji of your own",
            remedy='pip install "fijibridge[fiji]"',
        ) from error
    return imagej


def _folder(fiji: str) -> Path | None:
    """The Fiji's folder, checked; None for an endpoint."""
    path = Path(fiji).expanduser()
    if not path.exists() and ":" in fiji and not {"/", "\\"} & set(fiji):
        return None
    if not path.is_dir():
        raise JavaError(f"no folder {fiji}", expected="the folder of a Fiji", remedy="check the path and its spelling")
    path = path.absolute()
    missing = [pattern for pattern in _NEEDED_JARS if not any((path / "jars").glob(pattern))]
    if missing or not (path / "plugins").is_dir():
        what = ", ".join(missing) if (path / "jars").is_dir() else "a folder jars"
        raise JavaError(
            f"{fiji} is no Fiji that pyimagej can start: it lacks {what or 'a folder plugins'}",
            expected="the folder of a Fiji, with jars/ and plugins/ in it",
            remedy="name the folder that holds Fiji's launcher (Fiji.app, or Fiji), not one inside or above it",
        )
    return path


def java_of_fiji(folder: Path) -> JavaInfo | None:
    """The Java that a Fiji brings along, the newest that is new enough; None if it brings none."""
    name = "java.exe" if sys.platform == "win32" else "java"
    found = [ask_java(path) for path in sorted((folder / "java").glob(f"**/bin/{name}"))]
    usable = [info for info in found if info is not None and info.major >= OLDEST_JAVA]
    return max(usable, key=lambda info: info.major, default=None)


def _does_not_start(fiji: str, folder: Path | None, java: JavaInfo, error: Exception) -> JavaError:
    text = str(error).strip().partition("\n")[0]
    found = f"the Fiji {fiji} does not start with Java {java.version} ({type(error).__name__}: {text})"
    if "UnsupportedClassVersionError" in repr(error) or "class file version" in text:
        return JavaError(
            found,
            expected="a Java as new as the Fiji's files need",
            remedy="let JAVA_HOME point to a newer Java, such as the one in the folder java of that Fiji",
        )
    if folder is None:
        return JavaError(
            found,
            expected="the SciJava Maven repository in reach, once",
            remedy="without a network name the folder of a Fiji that is installed instead of an endpoint",
        )
    return JavaError(
        found,
        expected="a Fiji that starts by itself",
        remedy="start it once by its launcher and let it update; for a window a display is needed (gui=False does "
        "without)",
    )
