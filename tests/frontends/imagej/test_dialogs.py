"""The menu commands' dialogs in an ImageJ with its window: short, remembered, and recorded as a line that runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from groovy_jar import groovy_jar
from headless_macros import run_headless
from shell import write_sample

from fijibridge.frontends.arguments import parameters_of, parse_options
from fijibridge.frontends.imagej import gui
from fijibridge.frontends.imagej.install import install, macro_text
from fijibridge.frontends.imagej.macro_generator import command_name, is_passing, on_first_page
from fijibridge.jvm import find_java
from fijibridge.operations import CATALOGUE

MOST_FIELDS = 8
TALLEST = 700  # pixels, on a laptop's screen


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_first_page_is_short(name):
    assert len(on_first_page(name)) + 2 <= MOST_FIELDS  # and Show, and More options


@pytest.fixture
def driven(display, tmp_path, service_folder, monkeypatch):
    """Run a script in an ImageJ with its window and a user of its own: what it prints."""

    def run(script: str, *, works: bool = True, **settings: object) -> str:
        folder = tmp_path / "ImageJ"
        shutil.copytree(gui.own_imagej(), folder)
        if not works:  # the library names the service's folder: one that another test started there would run commands
            monkeypatch.setenv("FIJIBRIDGE_SERVICE", str(tmp_path / "no service"))
        install(folder)
        library = folder / "macros" / "FijiBridge.ijm"
        if not works:
            # no Python is called, and what a command says of that is not waited for: it would be a window of ImageJ's
            text = library.read_text().replace(macro_text(sys.executable), macro_text("/no/python"))
            said = 'call("ij.IJ.error", text);'
            assert said in text
            assert str(service_folder) not in text
            library.write_text(text.replace(said, "showStatus(text);"))
        java = find_java()
        assert java is not None
        settings |= {
            "folder": folder,
            "plugins.dir": folder,
            "java.util.prefs.userRoot": tmp_path,
            "user.home": tmp_path,
        }
        command = [str(java.path), "-Xmx400m", "-Dfile.encoding=UTF-8"]
        command += [f"-D{key}={value}" for key, value in settings.items()]
        jars = os.pathsep.join(map(str, [groovy_jar(), folder / "ij.jar"]))
        command += ["-cp", jars, "groovy.ui.GroovyMain", str(Path(__file__).with_name(script))]
        environment = {**os.environ, "DISPLAY": display}
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=400, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_dialogs_fit_on_a_screen(driven):
    said = driven("dialogs.groovy", commands=",".join(map(command_name, CATALOGUE)))
    pages = re.findall(r"^PAGE (.+),(\d),(\d+),(\d+)$", said, re.MULTILINE)
    assert {name for name, *_ in pages} == {command_name(name) for name in CATALOGUE}
    assert [page for page in pages if page[1] == "1" and int(page[3]) > MOST_FIELDS] == []
    assert [page for page in pages if int(page[2]) > TALLEST] == []


@pytest.mark.slow
def test_dialogs_are_remembered_and_recorded(driven):
    """Each command: one line with what is not the default; the next dialog is as this was left, or as at first."""
    said = driven("record.groovy", works=False, commands=",".join(map(command_name, CATALOGUE)))
    states = {(name, when): text for name, when, text in re.findall(r"^STATE (.+)\t(.+)\t(.*)$", said, re.MULTILINE)}
    for name in CATALOGUE:
        command, first = command_name(name), on_first_page(name)
        parameters = parameters_of(name)
        asked = {key for key, (_, param, _) in parameters.items() if param.role != "image"}
        last = asked - set(first) or set(first)
        recorded = re.findall(rf"^RECORDED {command}\t(.*)$", said, re.MULTILINE)
        changed, unchanged = [re.fullmatch(rf'run\("{command}", "([^"]*)"\);\t', text) for text in recorded]
        assert changed is not None, recorded
        options = parse_options(changed[1].replace("\\\\", "\\"))
        assert options.pop("show") == "true"
        assert set(options) == last
        assert set(options.values()) & {"7", "a \u00fc\\b 0", "true"}
        assert unchanged is not None
        assert unchanged[1] == " "  # not empty, which would ask
        before, then, after = (states[command, when].split("|") for when in ("before", "changed", "remembered"))
        # ImageJ ends a folder by a slash
        passing = [place for place in range(len(then)) if then[place] != after[place].rstrip("/")]
        assert all(after[place] == before[place] for place in passing)
        assert len(passing) == len([key for key in last if is_passing(name, key)])
        assert states[command, "again"] == states[command, "first page"]


@pytest.mark.slow
def test_a_recorded_line_runs_headless_with_the_same_result(driven, tmp_path, java):
    write_sample(tmp_path, 96)
    out, again = tmp_path / "out", tmp_path / "again"
    values = {"labels": tmp_path / "labels.tif", "out": out, "features": "tws", "trees": 8, "threads": 1}
    text = "|".join(f"{key}={value}" for key, value in values.items())
    said = driven("record.groovy", commands="FB Segment", values=text, image=tmp_path / "image.tif", out=out)
    line = re.search(r"RECORDED FB Segment\t(.*)", said, re.DOTALL)
    assert line is not None
    found = re.fullmatch(r'run\("FB Segment", "([^"\\]*)"\);\s*', line[1])
    assert found is not None, line[1]
    assert set(parse_options(found[1])) == {*values, "show"}
    options = found[1].replace(str(out), str(again))
    opener = tmp_path / "open.ijm"
    opener.write_text(f"open({macro_text(str(tmp_path / 'image.tif'))});\n", encoding="ascii")
    folder = tmp_path / "ImageJ"
    run_headless(folder, [(str(opener), ""), (str(folder / "plugins" / "FijiBridge" / "FB_Segment.ijm"), options)])
    first, second = (tifffile.imread(path / "labels.tif") for path in (out, again))
    assert np.array_equal(first, second)
    assert len(np.unique(first)) > 1
