"""The first command in a Fiji with the update site: Python is set up by Appose, with a pixi that downloads nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from groovy_jar import appose_jars, groovy_jar
from test_update_site import a_wheel, an_update

from fijibridge.core.installation import installation
from fijibridge.frontends.imagej import gui
from fijibridge.frontends.imagej.install import uninstall
from fijibridge.frontends.imagej.update_site import environment_name, update_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the pixi of this test is a shell script"),
]
MACRO = 'first = "" + fbDoctor("on_error=return"); return "" + fbDoctor("on_error=return");'
DONE = "state="

# what the program says and does as far as Appose sees it; `mode` beside it says how it goes

PIXI = """#!/bin/sh
mode=$(cat "$(dirname "$0")/mode")
manifest=""
while [ $# -gt 0 ]; do
    case "$1" in
        --version) echo "pixi 0.58.0"; exit 0 ;;
        --manifest-path) manifest="$2"; shift ;;
    esac
    shift
done
folder=$(dirname "$manifest")
wheel=$(sed -n 's/^fijibridge = { path = "\\(.*\\)" }$/\\1/p' "$manifest")
[ -f "$folder/$wheel" ] || { echo "no wheel $wheel" >&2; exit 1; }
mkdir -p "$folder/.pixi/envs/default/bin"
python="$folder/.pixi/envs/default/bin/python"
cp "$manifest" "$HOME_OF_TEST/pixi.toml"
env | grep -i '^https_proxy' > "$HOME_OF_TEST/proxy"
case "$mode" in
    slow) touch "$HOME_OF_TEST/started"; exec sleep 60 ;;
    offline) echo "error sending request for url (https://conda.anaconda.org/conda-forge/noarch)" >&2; exit 1 ;;
    unsolvable) echo "cannot solve the request because of torch" >&2; exit 1 ;;
    broken) printf '#!/bin/sh\\necho "ImportError: a library is missing" >&2\\nexit 1\\n' > "$python" ;;
    *) printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$PYTHON_OF_TEST" > "$python" ;;
esac
chmod +x "$python"
"""


class Person:
    """One who has a Fiji with the update site and no Python."""

    def __init__(self, folder: Path, display: str):
        self.site, self.home, self.fiji = folder / "site", folder / "ho me ü", folder / "Fi ji ü"
        self.environments = self.home / ".local" / "share" / "appose"
        self.display = display
        self.pictures = os.environ.get("FIJIBRIDGE_TEST_PICTURES", "")
        self.home.mkdir()
        self.updates(a_wheel(folder / "wheels"))

    def another_fiji(self, name: str) -> None:
        self.fiji = self.fiji.with_name(name)
        self.updates(self.wheel)

    def updates(self, wheel: Path) -> None:
        self.wheel = wheel
        update_site(self.site, wheel=wheel)
        if not self.fiji.exists():
            shutil.copytree(gui.own_imagej(), self.fiji)
            if installation(self.fiji) is not None:  # another test's, in the ImageJ of the cache
                uninstall(self.fiji)
        an_update(self.site, self.fiji)

    @property
    def environment(self) -> Path:
        return self.environments / environment_name(self.wheel)

    def has_pixi(self, mode: str) -> None:
        folder = self.environments / ".pixi" / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pixi").write_text(PIXI, encoding="utf-8")
        (folder / "pixi").chmod(0o755)
        (folder / "mode").write_text(mode, encoding="utf-8")

    def calls(self, answer: str, macro: str = MACRO, *settings: str, appose: bool = True) -> dict[str, list[str]]:
        """Runs a macro in ImageJ's window, and answers what is asked; what was seen."""
        script = Path(__file__).with_name("set_up.groovy")
        own = {"folder": self.fiji, "plugins.dir": self.fiji, "user.home": self.home, "answer": answer, "macro": macro}
        own |= {"java.util.prefs.userRoot": self.home, "pictures": self.pictures}
        jars = [groovy_jar(), self.fiji / "ij.jar", *(appose_jars() if appose else [])]
        command = ["java", "-Xmx400m", *(f"-D{key}={value}" for key, value in own.items()), *settings]
        command += ["-cp", os.pathsep.join(map(str, jars)), "groovy.ui.GroovyMain", str(script)]
        environment = {**os.environ, "DISPLAY": self.display, "PYTHON_OF_TEST": sys.executable}
        environment |= {"HOME_OF_TEST": str(self.home)}
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "APPOSE_ENVS_DIR"):
            environment.pop(name, None)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        seen: dict[str, list[str]] = {}
        for key, value in re.findall(r"^ANSWER (\w+)=(.*)$", done.stdout, re.MULTILINE):
            seen.setdefault(key, []).append(value.replace("\\n", "\n"))
        return seen


@pytest.fixture
def person(tmp_path, display, java, service_folder) -> Person:
    return Person(tmp_path, display)


def left(person: Person) -> list[str]:
    """What lies in the folder of Appose's environments, but the pixi of the test."""
    found = person.environments.rglob("*") if person.environments.exists() else []
    names = (path.relative_to(person.environments).as_posix() for path in found)
    return sorted(name for name in names if not name.startswith(".pixi"))


def test_it_is_set_up_once_and_the_command_goes_on(person):
    person.has_pixi("good")
    seen = person.calls("yes", MACRO, "-Dhttps.proxyHost=proxy.example", "-Dhttps.proxyPort=3128")
    assert len(seen["question"]) == 1  # for two calls
    assert "conda.anaconda.org" in seen["question"][0]
    assert "GB" in seen["question"][0]
    assert DONE in seen["answer"][0], "\n".join(map(str, seen.items()))
    assert installation(person.fiji).python == Path(sys.executable)
    assert (person.environment / "fijibridge.json").is_file()
    assert (person.home / "proxy").read_text(encoding="utf-8").strip().endswith("=http://proxy.example:3128")
    platforms = re.search(r"platforms = \[(.*)\]", (person.home / "pixi.toml").read_text(encoding="utf-8")).group(1)
    assert "," not in platforms  # this computer's alone
    # a second Fiji of the same person finds it there, and asks nothing
    person.another_fiji("Fidschi")
    seen = person.calls("no")
    assert "window" not in seen
    assert DONE in seen["answer"][0], "\n".join(map(str, seen.items()))
    # a newer wheel: made anew without a question, and the old one is removed
    old = person.environment
    person.updates(a_wheel(person.site.parent / "later", "two"))
    seen = person.calls("yes")
    assert "question" not in seen
    assert len(seen["window"]) == 1
    assert DONE in seen["answer"][0], "\n".join(map(str, seen.items()))
    assert person.environment.is_dir()
    assert not old.exists()


@pytest.mark.parametrize(
    ("answer", "mode", "told"),
    [
        ("no", "good", "was cancelled; nothing was left"),
        ("cancel", "slow", "was cancelled; nothing was left"),
        ("yes", "offline", "Python cannot be downloaded: error sending request for url"),
        ("yes", "unsolvable", "Python could not be set up: cannot solve the request because of torch"),
    ],
)
def test_nothing_is_left_where_it_does_not_end(person, answer, mode, told):
    person.has_pixi(mode)
    seen = person.calls(answer, 'return "" + fbDoctor("on_error=return");')
    assert seen["answer"][0].startswith("error")
    assert told in seen["answer"][0]
    assert "\n  expected: " in seen["answer"][0]
    assert f'pip install "{person.fiji}/lib/fijibridge/{person.wheel.name}" and then fijibridge' in seen["answer"][0]
    assert left(person) == []
    assert installation(person.fiji) is None


def test_no_network_at_all(person):
    """Appose itself cannot fetch pixi."""
    seen = person.calls("yes", MACRO, "-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=9")
    assert "Python cannot be downloaded" in seen["answer"][0]
    assert "Proxy Settings" in seen["answer"][0]
    assert not person.environments.exists()


def test_a_set_up_that_was_killed_is_begun_anew(person):
    person.has_pixi("good")
    half = person.environment / ".pixi" / "envs" / "default" / "bin" / "python"
    half.parent.mkdir(parents=True)
    half.write_text("half", encoding="utf-8")
    assert DONE in person.calls("yes")["answer"][0]


def test_an_environment_that_does_not_work(person):
    person.has_pixi("broken")
    seen = person.calls("yes")
    assert "does not work: ImportError: a library is missing" in seen["answer"][0]
    assert left(person) == []
    assert installation(person.fiji) is None


def test_a_fiji_without_appose(person):
    seen = person.calls("yes", appose=False)
    assert "this Fiji has no Appose" in seen["answer"][0]
    assert "window" not in seen
