"""The package installed, used, reinstalled editable, upgraded and removed in one environment: nothing stays behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import fijibridge

pytestmark = pytest.mark.slow
CLONE = Path(fijibridge.__file__).parents[1]
_WINDOWS = sys.platform == "win32"

_USE = """
import pathlib
import numpy as np
import fijibridge
from fijibridge.forest import Forest
from fijibridge.frontends.imagej.macro_generator import macros_folder

forest = Forest([0, -1, -1], [0.5, 0, 0], [1, -1, -1], [2, -1, -1], [[0.0, 0], [1, 0], [0, 1]],
                [0.5, 0, 0], [0], 1, ['x'], ['a', 'b'])
assert forest.predict_proba(np.zeros((2, 1), np.float32)).tolist() == [[1, 0]] * 2
assert (macros_folder() / "FijiBridge.ijm").is_file()
print(fijibridge.__version__, pathlib.Path(fijibridge.__file__).parent, sep="\\n")
"""


class Environment:
    """A virtual environment that sees the libraries of the tests' own, and uses their pip."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=not _WINDOWS)
        self.scripts = folder / ("Scripts" if _WINDOWS else "bin")
        self.python = self.scripts / ("python.exe" if _WINDOWS else "python")
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.cache = folder / "cache"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "NUMBA_", "COVERAGE", "PIP_")) and name != "VIRTUAL_ENV"
        }
        self.environment["FIJIBRIDGE_CACHE"] = str(self.cache)
        self.libraries = Path(self.run("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (self.libraries / "libraries_of_the_tests.pth").write_text("\n".join(sorted(places)), encoding="utf-8")

    def run(self, code: str) -> str:
        """Run code from a folder that is not the clone's."""
        return self._done([str(self.python), "-c", code], self.elsewhere)

    def pip(self, *arguments: str | Path) -> None:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        asked = [str(argument) for argument in arguments]
        self._done([sys.executable, "-m", "pip", "--python", str(self.python), *asked, *quiet], self.elsewhere)

    def install(self, *what: str | Path) -> None:
        self.pip("install", "--no-deps", "--no-build-isolation", "--no-index", *what)

    def command(self, *arguments: str) -> str:
        return self._done([str(self.scripts / "fijibridge"), *arguments], self.elsewhere)

    def _done(self, command: list[str], folder: Path) -> str:
        done = subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def use(self) -> tuple[str, Path]:
        """Version and folder of the package, once it has predicted something with compiled code."""
        version, folder = self.run(_USE).split("\n")[:2]
        return version, Path(folder)

    def found(self) -> list[str]:
        """What lies in the environment's own libraries and scripts and has the package's name."""
        return sorted(path.name for place in (self.libraries, self.scripts) for path in place.glob("*fijibridge*"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive of the clone, and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    for kind in ("sdist", "wheel"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
        subprocess.run(command, cwd=CLONE, check=True, capture_output=True, timeout=300)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def _changed(source: Path, folder: Path, version: str) -> Path:
    """The source archive unpacked, as another version."""
    with tarfile.open(source) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    (unpacked,) = folder.iterdir()
    file = unpacked / "fijibridge" / "__init__.py"
    text, changes = re.subn(r'__version__ = ".*?"', f'__version__ = "{version}"', file.read_text(encoding="utf-8"))
    assert changes == 1
    file.write_text(text, encoding="utf-8")
    return unpacked


def _files(folder: Path) -> set[str]:
    """Files below a folder but Python's own compiled ones, which pip removes."""
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }


def test_the_wheel_holds_the_package_and_the_macros(archives):
    source, wheel = archives
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {f"fijibridge/{name}" for name in _files(CLONE / "fijibridge") if "__pycache__" not in name}
    wanted |= {f"fijibridge/macros/{name}" for name in _files(CLONE / "macros")}
    assert inside == wanted
    for pattern in ("macros/FijiBridge.ijm", "macros/scripts/.*groovy", "presets/.*toml", ".*safetensors", ".*java"):
        assert [name for name in inside if re.fullmatch(f"fijibridge/.*{pattern}|fijibridge/{pattern}", name)], pattern
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.replace("fijibridge/macros/", "macros/") for name in wanted} <= names


def test_installed_used_editable_upgraded_and_removed(environment, archives, tmp_path):
    source, wheel = archives
    installed = environment.libraries / "fijibridge"

    environment.install(source)
    before = _files(installed)
    assert environment.use() == (fijibridge.__version__, installed)
    assert environment.command("--version").split()[-1] == fijibridge.__version__
    assert _files(installed) == before  # compiled code lies in the user's cache
    assert list((environment.cache / "numba").rglob("*.nbi"))

    environment.install("--editable", CLONE)
    assert not installed.exists()
    assert environment.use() == (fijibridge.__version__, CLONE / "fijibridge")
    assert environment.command("--version").split()[-1] == fijibridge.__version__

    environment.install(wheel, "--force-reinstall")
    assert environment.use() == (fijibridge.__version__, installed)
    environment.install("--upgrade", _changed(source, tmp_path / "new", "99.0"))
    assert environment.use() == ("99.0", installed)
    assert environment.command("--version").split()[-1] == "99.0"
    assert {path.name.partition("-")[0] for path in (environment.cache / "numba").iterdir()} == {
        fijibridge.__version__,
        "99.0",
    }

    environment.pip("uninstall", "--yes", "fijibridge")
    assert environment.found() == []


def test_a_left_over_folder_does_not_hide_an_editable_install(environment):
    """Version 0.1 kept compiled code beside its source, which pip left behind as a folder without the package."""
    left_over = environment.libraries / "fijibridge" / "forest" / "__pycache__"
    left_over.mkdir(parents=True)
    (left_over / "kernel.nbi").touch()
    environment.install("--editable", CLONE)
    assert environment.use() == (fijibridge.__version__, CLONE / "fijibridge")
    environment.pip("uninstall", "--yes", "fijibridge")
    assert environment.found() == ["fijibridge"]  # what pip never put there
    shutil.rmtree(environment.libraries / "fijibridge")
    environment.install("--editable", CLONE)
    assert environment.found() != []
    environment.pip("uninstall", "--yes", "fijibridge")
    assert environment.found() == []
