"""A folder that a web server serves as an update site of Fiji, for users without Python.

Fiji's Updater reads ``db.xml.gz``: for each file its present version, with a checksum, a timestamp and a size, and the
checksums of earlier ones, by which it tells an older version from a file that the user changed. A version is served as
``NAME-TIMESTAMP``. So a site only ever grows: a file that is no more keeps its earlier versions, without a present one.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

from fijibridge import __version__
from fijibridge.core.errors import OutputError, ServiceError
from fijibridge.core.installation import MANIFEST
from fijibridge.frontends.imagej.install import record, texts_for, write
from fijibridge.frontends.imagej.macro_generator import macros_folder

DATABASE = "db.xml.gz"
LIBRARIES = "lib/fijibridge"
_OURS = ("plugins/FijiBridge/", "macros/FijiBridge", "scripts/Plugins/FijiBridge/", f"{LIBRARIES}/")
_STAMP = "%Y%m%d%H%M%S"


def update_site(folder: str | Path, *, wheel: str | Path | None = None, dry_run: bool = False) -> list[str]:
    """Write an update site, or bring one up to date.

    Parameters
    ----------
    folder : path
        To be served. It is made, or holds what an earlier call wrote: files that are not fijibridge's stay in it.
    wheel : path, optional
        Of this version of fijibridge. Without one it is built, which needs a clone and hatchling.
    dry_run : bool
        Only say what would be done.

    Returns
    -------
    list of str
        What was done, a line a file; empty where all was there already.

    Raises
    ------
    ServiceError
        There is no wheel, or the folder's database cannot be read.
    OutputError
        The folder holds other things, or cannot be written.
    """
    folder = Path(folder).expanduser().absolute()
    records = _records(folder)
    with _wheel(wheel) as path:
        texts = _texts(path)
    known = {entry.get("filename", ""): entry for entry in records}
    stamp = _stamp(records)
    said, written = [], {}
    for name, data in texts.items():
        entry = known.get(name)
        present = None if entry is None else entry.find("version")
        digest = checksum(name, data)
        if present is not None and present.get("checksum") == digest:
            continue
        said.append(f"{'add' if present is None else 'update'} {name}")
        if entry is None:
            entry = ElementTree.SubElement(records, "plugin", filename=name)
        _retire(entry, name, stamp)
        version = ElementTree.Element("version", checksum=digest, timestamp=stamp, filesize=str(len(data)))
        earlier = entry.find("previous-version")
        entry.insert(len(entry) if earlier is None else list(entry).index(earlier), version)
        written[f"{name}-{stamp}"] = data
    for name, entry in known.items():
        if name.startswith(_OURS) and name not in texts and entry.find("version") is not None:
            said.append(f"remove {name}")
            _retire(entry, name, stamp)
    if said and not dry_run:
        for name, data in written.items():
            write(folder / name, data)
        ElementTree.indent(records)
        write(folder / DATABASE, _packed(ElementTree.tostring(records, encoding="utf-8", xml_declaration=True)))
    return said


def checksum(name: str, data: bytes) -> str:
    """Fiji's checksum of a file that is no jar: SHA-1 of its name and its content.

    Parameters
    ----------
    name : str
        Its path below the Fiji.
    data : bytes
        Its content.
    """
    return hashlib.sha1(name.encode("ascii") + data, usedforsecurity=False).hexdigest()


def environment_name(wheel: Path) -> str:
    """The name of the environment that the first use makes of a wheel.

    Parameters
    ----------
    wheel : Path
        Of fijibridge.
    """
    return f"fijibridge-{_version(wheel)}-{hashlib.sha256(wheel.read_bytes()).hexdigest()[:8]}"


def set_up(fiji: str, environment: str) -> None:
    """Say where the environment is: in the Fiji, where its commands look for it, and in the environment itself.

    The Python of an environment calls this when it has been built.

    Parameters
    ----------
    fiji : str
        The Fiji's folder.
    environment : str
        The environment's folder.
    """
    data = record(Path(fiji), Path(environment).name)
    write(Path(environment) / Path(MANIFEST).name, data)


def _texts(wheel: Path) -> dict[str, bytes]:
    """Path below the Fiji -> what is to be there."""
    texts = texts_for(is_fiji=True, environment=environment_name(wheel))
    pixi = (macros_folder() / "site" / "pixi.toml").read_text(encoding="utf-8")
    texts[f"{LIBRARIES}/pixi.toml"] = pixi.replace("fijibridge.whl", wheel.name).encode("utf-8")
    texts[f"{LIBRARIES}/{wheel.name}"] = wheel.read_bytes()
    return texts


def _records(folder: Path) -> ElementTree.Element:
    """What the database says; of an empty folder that of a new one."""
    path = folder / DATABASE
    try:
        if not path.exists():
            if folder.is_dir() and any(folder.iterdir()):
                raise OutputError(
                    f"{folder} holds files and no {DATABASE}",
                    expected="a new folder, an empty one, or an update site that fijibridge wrote",
                    remedy="give a folder of its own",
                )
            return ElementTree.Element("pluginRecords")
        records = ElementTree.fromstring(gzip.decompress(path.read_bytes()))
        if records.tag != "pluginRecords":
            raise ValueError(f"it begins with {records.tag}")
        for entry in records:
            for version in (*entry.findall("version"), *entry.findall("previous-version")):
                datetime.strptime(version.attrib["timestamp"], _STAMP)
                assert version.attrib["checksum"]
    except (OSError, EOFError, ElementTree.ParseError, ValueError, KeyError, AssertionError) as error:
        raise ServiceError(
            f"{path} cannot be read ({error})",
            expected="the database of an update site",
            remedy="restore it from where the site is served, or write into a new folder",
        ) from error
    names = [entry.get("filename", "") for entry in records]
    if names and not any(name.startswith(_OURS) for name in names):
        raise OutputError(
            f"{folder} is another update site, with {names[0]}",
            expected="a new folder, or an update site that fijibridge wrote",
            remedy="give a folder of its own",
        )
    return records


def _stamp(records: ElementTree.Element) -> str:
    """Now, and later than all versions: the Updater takes the latest of them for the present one."""
    stamps = [one.attrib["timestamp"] for kind in ("version", "previous-version") for one in records.iter(kind)]
    after = [datetime.strptime(stamp, _STAMP) + timedelta(seconds=1) for stamp in stamps]
    return max([datetime.now(), *after]).strftime(_STAMP)


def _retire(entry: ElementTree.Element, name: str, stamp: str) -> None:
    """The present version of a file becomes its last earlier one."""
    present = entry.find("version")
    if present is None:
        return
    entry.remove(present)
    old = {key: present.attrib[key] for key in ("timestamp", "checksum")}
    earlier = ElementTree.Element("previous-version", {**old, "timestamp-obsolete": stamp, "filename": name})
    first = entry.find("previous-version")
    entry.insert(len(entry) if first is None else list(entry).index(first), earlier)


def _packed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


@contextmanager
def _wheel(given: str | Path | None) -> Iterator[Path]:
    """The wheel that travels with the site."""
    if given is not None:
        yield _checked(Path(given).expanduser())
        return
    clone = macros_folder().parent
    if not (clone / "pyproject.toml").is_file():
        raise ServiceError(
            "this fijibridge was installed without its source, of which a wheel is built",
            expected="--wheel FILE, or a clone of the source",
            remedy="run pip wheel --no-deps in the clone, and name the file that it writes",
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, errors="replace", check=False)
        found = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not found:
            raise ServiceError(
                f"the wheel could not be built ({(done.stderr.strip().splitlines() or ['no message'])[-1]})",
                expected="hatchling in this Python",
                remedy="run pip install hatchling, or give --wheel FILE",
            )
        yield _checked(found[0])


def _version(wheel: Path) -> str:
    found = re.fullmatch(r"fijibridge-([0-9A-Za-z.!+_]+)-py3-none-any\.whl", wheel.name)
    return found.group(1) if found else ""


def _checked(wheel: Path) -> Path:
    if not wheel.is_file() or not zipfile.is_zipfile(wheel) or _version(wheel) != __version__:
        raise ServiceError(
            f"{wheel} is no wheel of fijibridge {__version__}",
            expected=f"fijibridge-{__version__}-py3-none-any.whl",
            remedy="build it with pip wheel --no-deps from the source of this version",
        )
    return wheel
