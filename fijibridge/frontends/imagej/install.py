"""Put menu commands, macro library and scripts into a user's Fiji or ImageJ, and take exactly them out again."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

from fijibridge import __version__
from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import BridgeError, OutputError, ServiceError
from fijibridge.core.installation import MANIFEST, check_folder, installation
from fijibridge.frontends.imagej.macro_generator import COMMANDS, LIBRARY, library_text, macros_folder
from fijibridge.frontends.service.client import STARTER, service_folder

_BEGIN, _END = '// --- written by "fijibridge install" ---\n', "// --- end of what install writes ---\n"


def install(folder: str | Path, *, dry_run: bool = False) -> list[str]:
    """Install, or bring up to date.

    Parameters
    ----------
    folder : path
        Of a Fiji or a plain ImageJ.
    dry_run : bool
        Only say what would be done.

    Returns
    -------
    list of str
        What was done, a line a file.

    Raises
    ------
    ServiceError
        The folder is neither Fiji nor ImageJ.
    OutputError
        It cannot be written, or holds a file of that name that fijibridge did not write.

    Notes
    -----
    Where the commands come from an update site, they stay as they are, and use this Python from now on.
    """
    folder = Path(folder).expanduser().absolute()
    is_fiji = check_folder(folder)
    if environment := site_environment(folder):
        return _use_here(folder, environment, dry_run)
    texts = texts_for(is_fiji=is_fiji)
    before = installation(folder)
    ours = before.files if before else {}
    for name, text in texts.items():
        path = folder / name
        if path.exists() and name not in ours and path.read_bytes() != text:
            raise OutputError(
                f"{path} is there already, and not from fijibridge",
                expected="no file of that name",
                remedy="rename it, then install again",
            )
    said = [f"{'write' if not (folder / name).exists() else 'update'} {name}" for name in texts]
    gone = [name for name in ours if name not in texts and (folder / name).exists()]
    said += [f"remove {name}" for name in gone]
    if dry_run:
        return said
    digests = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    manifest = {"version": __version__, "python": sys.executable, "files": digests}
    # first the list of all that may be there from now on, so that an interrupted install can be taken back
    write(folder / MANIFEST, json.dumps({**manifest, "files": {**ours, **digests}}, indent=2).encode())
    for name, text in texts.items():
        write(folder / name, text)
    for name in gone:
        _remove(folder, name)
    write(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    return said


def uninstall(folder: str | Path, *, dry_run: bool = False) -> list[str]:
    """Remove what `install` wrote, and nothing else; files that were changed since stay.

    Parameters
    ----------
    folder : path
        Of the Fiji or ImageJ.
    dry_run : bool
        Only say what would be done.

    Returns
    -------
    list of str
        What was done, a line a file.

    Raises
    ------
    ServiceError
        Nothing was installed there.
    """
    folder = Path(folder).expanduser().absolute()
    found = installation(folder)
    if found is None:
        raise ServiceError(
            f"fijibridge is not installed in {folder}", expected=f"{MANIFEST} in it", remedy="check the folder's path"
        )
    said = []
    for name, digest in found.files.items():
        path = folder / name
        if not path.exists():
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            said.append(f"keep {name}, which was changed since")
            continue
        said.append(f"remove {name}")
        if not dry_run:
            _remove(folder, name)
    if not dry_run:
        _remove(folder, MANIFEST)
    return said


def site_environment(folder: Path) -> str | None:
    """The environment that the commands of an update site ask for; None where they come from elsewhere."""
    library = folder / "macros" / LIBRARY
    text = library.read_text(encoding="ascii", errors="replace") if library.is_file() else ""
    found = re.search(r'fbSetUp\("(fijibridge-[^"]+)"\)', text)
    return found.group(1) if found else None


def record(folder: Path, environment: str) -> bytes:
    """The manifest that tells an update site's commands where Python is.

    Parameters
    ----------
    folder : Path
        Of the Fiji.
    environment : str
        As the commands ask for it.
    """
    own = {
        "version": __version__,
        "python": Path(sys.executable).as_posix(),
        "folder": service_folder().as_posix() + "/",
        "environment": environment,
        "files": {},
    }
    # as it is: the macro that reads it knows no escapes
    data = (json.dumps(own, indent=2, ensure_ascii=False) + "\n").encode()
    write(folder / MANIFEST, data)
    return data


def _use_here(folder: Path, environment: str, dry_run: bool) -> list[str]:
    """Let the commands of an update site use this Python."""
    wanted = environment.split("-")[1]
    if wanted != __version__:
        raise ServiceError(
            f"the commands of the update site are of fijibridge {wanted}, this Python has {__version__}",
            expected="the same version",
            remedy=f"install the wheel in {folder / 'lib' / 'fijibridge'}, or update Fiji",
        )
    if not dry_run:
        record(folder, environment)
    return [f"the commands of the update site use {sys.executable}"]


def texts_for(*, is_fiji: bool, environment: str | None = None) -> dict[str, bytes]:
    """Path below the folder -> what is to be there.

    Parameters
    ----------
    is_fiji : bool
        Whether it has scripts in Groovy.
    environment : str, optional
        For an update site: the environment that the first use sets up, in place of this Python.
    """
    source = macros_folder()
    texts = {f"macros/{LIBRARY}": filled_in(library_text(), environment=environment)}
    for path in sorted((source / COMMANDS).glob("*.ijm")):
        texts[f"plugins/FijiBridge/{path.name}"] = path.read_text(encoding="utf-8")
    for path in sorted((source / "examples").glob("*.ijm")):
        texts[f"macros/FijiBridge/{path.name}"] = path.read_text(encoding="utf-8")
    if is_fiji:
        # Fiji runs each script on its own: what they share is put in front
        parts = sorted((source / "scripts" / "parts").glob("*.groovy"))
        shared = "".join(path.read_text(encoding="utf-8") for path in parts)
        scripts = sorted((source / "scripts").glob("*.groovy"))
        for path in [*scripts, *(sorted((source / "site").glob("*.groovy")) if environment else [])]:
            texts[f"scripts/Plugins/FijiBridge/{path.name}"] = shared + path.read_text(encoding="utf-8")
    return {name: text.encode("utf-8") for name, text in texts.items()}


def filled_in(library: str, *, hosted: Path | None = None, environment: str | None = None) -> str:
    """The library with the place of this Python, of the service's folder, and who hosts it.

    Parameters
    ----------
    library : str
        As in ``macros/``.
    hosted : Path, optional
        The exchange folder of the Python process that runs the macros itself.
    environment : str, optional
        The environment that the first use of an update site sets up: its place is told by a file then.
    """
    head, _, rest = library.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    place = hosted or service_folder()
    python = macro_text(Path(sys.executable).as_posix())
    exchange = macro_text(place.as_posix() + "/")
    if environment is not None:
        python, exchange = f'"" + fbSetUp("{environment}")', '"" + fbRecorded("folder")'
    own = (
        f"function fbPython() {{ return {python}; }}\n"
        f"function fbStarter() {{ return {macro_text(STARTER)}; }}\n"
        f"function fbFolder() {{ return {exchange}; }}\n"
        f"function fbHosted() {{ return {0 if hosted is None else 1}; }}\n"
    )
    return head + _BEGIN + own + _END + tail


def macro_text(text: str) -> str:
    """A text as a macro's expression in ASCII: ImageJ reads macro files as ISO 8859-1."""
    parts, plain = [], ""
    for letter in text:
        if letter.isascii() and letter not in '"\\':
            plain += letter
        else:
            parts += [f'"{plain}"', f"fromCharCode({', '.join(map(str, _units(letter)))})"]
            plain = ""
    return " + ".join([*parts, f'"{plain}"'])


def _units(letter: str) -> list[int]:
    """UTF-16 code units, as Java has them."""
    data = letter.encode("utf-16-be")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file; missing folders are made.
    data : bytes
        Its content.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with output_file(path) as part:
            part.write_bytes(data)
    except BridgeError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error})",
            expected="a folder that you may change",
            remedy="ask whose it is, or use one of your own",
        ) from error


def _remove(folder: Path, name: str) -> None:
    """Remove a file, and the folders that become empty by it; not those that every ImageJ has."""
    path = folder / name
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent in (folder, folder / "plugins", folder / "macros"):
            break
        try:
            parent.rmdir()
        except OSError:
            break
