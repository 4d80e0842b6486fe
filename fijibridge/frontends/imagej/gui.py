"""Open the user's Fiji, or an ImageJ of fijibridge's own, with the commands in its menu."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from fijibridge.core.errors import ImageNotFoundError, ServiceError
from fijibridge.core.installation import check_folder
from fijibridge.frontends.imagej.install import install

# newest first; %s: the system's name in Fiji's launchers
_LAUNCHERS = {
    "win32": ("fiji-windows-x64.exe", "fiji.bat", "ImageJ-win64.exe", "ImageJ.exe"),
    "darwin": (
        "Fiji.app/Contents/MacOS/fiji-macos",
        "fiji",
        "Contents/MacOS/ImageJ-macosx",
        "Contents/MacOS/JavaApplicationStub",
    ),
    "linux": ("fiji-linux-x64", "fiji-linux-arm64", "fiji", "ImageJ-linux64", "ImageJ"),
}


def run(image: Path | None, *, fiji: Path | None = None, heap: str | None = None) -> int:
    """Open the window and wait until it is closed.

    Parameters
    ----------
    image : Path, optional
        Opened in it.
    fiji : Path, optional
        Folder of a Fiji or ImageJ; by default what FIJIBRIDGE_FIJI says, else an ImageJ in fijibridge's cache. The
        commands are installed there first.
    heap : str, optional
        Java's memory, such as ``"4g"`` (a Fiji's launcher has a setting of its own).

    Returns
    -------
    int
        Its exit status.

    Raises
    ------
    ImageNotFoundError, ServiceError, JavaError
        No such image; no Fiji, or none that can be started; no Java.
    """
    if image is not None and not image.is_file():
        raise ImageNotFoundError(f"no image {image}", expected="an image file", remedy="check the path")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ServiceError(
            "no display", expected="a desktop, or DISPLAY set", remedy="use fijibridge macro, which needs no window"
        )
    named = fiji or os.environ.get("FIJIBRIDGE_FIJI")
    folder = Path(named).expanduser().absolute() if named else own_imagej()
    install(folder)
    arguments = [str(image.absolute())] if image is not None else []
    return subprocess.run([*command_of(folder, heap), *arguments], check=False).returncode


def own_imagej() -> Path:
    """A plain ImageJ in the cache, made from the jar that the embedded one uses."""
    from fijibridge.core.cache import cache_folder
    from fijibridge.jvm import jars

    folder = cache_folder() / "imagej"
    for name in ("plugins", "macros"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    jar = next(path for path in map(Path, jars()) if path.name.startswith("ij-1"))
    if not (folder / "ij.jar").exists() or (folder / "ij.jar").stat().st_size != jar.stat().st_size:
        shutil.copyfile(jar, folder / "ij.jar")
    return folder


def command_of(folder: Path, heap: str | None = None) -> list[str]:
    """The command that starts a Fiji or ImageJ with its window.

    Parameters
    ----------
    folder : Path
        Of the Fiji or ImageJ.
    heap : str, optional
        Java's memory, such as ``"4g"``; a Fiji's launcher has a setting of its own.

    Returns
    -------
    list of str
        Program and arguments.

    Raises
    ------
    ServiceError
        A Fiji without a launcher for this system.
    JavaError
        No Java for a plain ImageJ.
    """
    is_fiji = check_folder(folder)
    for name in _LAUNCHERS.get(sys.platform, _LAUNCHERS["linux"]):
        if (folder / name).is_file():
            return [str(folder / name)]
    if is_fiji:
        raise ServiceError(
            f"no launcher in the Fiji {folder}",
            expected=", ".join(_LAUNCHERS.get(sys.platform, _LAUNCHERS["linux"])),
            remedy="start it the way you are used to; the commands are installed there",
        )
    from fijibridge.jvm.java import heap_bytes, require_java

    java = require_java()
    memory = f"-Xmx{heap_bytes(heap) // 2**20}m"
    return [str(java.path), memory, "-cp", str(folder / "ij.jar"), "ij.ImageJ", "-ijpath", str(folder)]
