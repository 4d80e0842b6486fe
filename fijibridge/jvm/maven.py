"""The jars of the embedded ImageJ and Weka: pinned, checked, from Maven Central alone.

The list is fixed instead of resolved: the pom of fastrandomforest asks for a range of Weka versions (which would put
3.9.7 beside 3.9.6 on the class path) and for Weka's tests, and a resolver asks the network again for such ranges. So
the first start downloads six files, and every later start works offline.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fijibridge.core.errors import JavaError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Jar:
    """A pinned artifact of Maven Central."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> str:
        """Place below the root of a Maven repository, with forward slashes."""
        folder = f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}"
        return f"{folder}/{self.artifact}-{self.version}.jar"


PINNED = (
    # The last ImageJ 1 that its headless patcher 2.0.0 is known to patch.
    Jar("net.imagej", "ij", "1.54p", "2e1a09961dfb41cee66ddc821b2577a41a072566ce45a49bae69267099741e20"),
    # Makes menu commands work headless.
    Jar("net.imagej", "ij1-patcher", "2.0.0", "b68810263f9521ddb34bac272816613ebb71607775c1fc337079a0476c2b581a"),
    # What the patcher is built on; also compiles our own Java helpers.
    Jar("org.javassist", "javassist", "3.30.2-GA", "eba37290994b5e4868f3af98ff113f6244a6b099385d9ad46881307d3cb01aaf"),
    # TWS 4.0 ships this version: another one may write what an installed TWS cannot read.
    Jar("nz.ac.waikato.cms.weka", "weka-dev", "3.9.6",
        "fddae1352375e1518d02ab6e6267e4ab1c9eb04ebc4c3072ea5e9ddd8092d870"),
    # Weka's package manager, which its capability checks load, needs it.
    Jar("nz.ac.waikato.cms.weka.thirdparty", "bounce", "0.18",
        "bffff1505335c02256b7ab2ccffbe4aa4d3ac9fe14c17557809b7c9d99d666ca"),
    # TWS's default classifier, with the same serialised form as TWS's own copy.
    Jar("com.github.fracpete", "fastrandomforest-weka-package", "2016.12.7",
        "ffa079bba4121d52b3814b22faf49518bfbd30bed0dc9129886a2bbde20c98b4"),
)  # fmt: skip


def repository() -> Path:
    """Local Maven repository: M2_REPO, else ``~/.m2/repository``, shared with other Java tools."""
    given = os.environ.get("M2_REPO")
    return Path(given) if given else Path.home() / ".m2" / "repository"


def jars(*, offline: bool = False) -> list[Path]:
    """Jars of the embedded ImageJ and Weka, fetched from Maven Central where the machine lacks them.

    Parameters
    ----------
    offline : bool
        Whether to refuse a download.

    Returns
    -------
    list of Path
        Files in the local Maven repository, with their checksums verified.

    Raises
    ------
    JavaError
        If a jar cannot be had or is not the one that is pinned.
    """
    return [fetched(jar, offline=offline) for jar in PINNED]


def fetched(jar: Jar, *, offline: bool = False) -> Path:
    """A jar in the local Maven repository, fetched where it lacks, and checked.

    Parameters
    ----------
    jar : Jar
        The pinned artifact.
    offline : bool
        Whether to refuse a download.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    JavaError
        As `jars`.
    """
    path = repository() / Path(jar.path)
    if path.is_file():
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != jar.sha256:
            raise JavaError(
                f"{path} with SHA-256 {found}",
                expected=f"the published {path.name}, SHA-256 {jar.sha256}",
                remedy="delete that file (a download may have been cut) and start again",
            )
        return path
    if offline:
        raise JavaError(
            f"{path} is not there", expected="a jar fetched earlier", remedy="run once with a network connection"
        )
    _download(jar, path)
    return path


def _download(jar: Jar, path: Path) -> None:
    from jgo.constants import MAVEN_CENTRAL_URL

    url = f"{MAVEN_CENTRAL_URL}/{jar.path}"
    _log.info("fetching %s", url)
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # honours the proxy settings of the system
            blob = answer.read()
    except (OSError, urllib.error.URLError) as error:
        raise JavaError(
            f"cannot fetch {url} ({error})",
            expected="Maven Central in reach, once",
            remedy=f"check the connection or proxy, or put the file at {path}",
        ) from error
    found = hashlib.sha256(blob).hexdigest()
    if found != jar.sha256:
        raise JavaError(
            f"{url} answered with SHA-256 {found}",
            expected=jar.sha256,
            remedy="a proxy may have changed the file: fetch it another way and put it at " + str(path),
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place and then renamed: two processes that start at once, or a cut, leave no half file.
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(blob)
        os.replace(part, path)
    except OSError as error:
        raise JavaError(
            f"cannot write {path} ({error.strerror})",
            expected="a local Maven repository that can be written to",
            remedy="free space, or let M2_REPO point to a folder of yours",
        ) from error
