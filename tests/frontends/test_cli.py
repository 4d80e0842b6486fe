"""The command line: how it is made, and what it prints where."""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import subprocess
import sys

import pytest
from shell import APPLY, SEGMENT, Answer, tree, without_java

from fijibridge.core.params import GROUPS, param_of
from fijibridge.frontends.arguments import parameters_of
from fijibridge.operations import CATALOGUE, operation

# --- how it is made --------------------------------------------------------------------------------------------------


def test_options_are_the_parameters(shell):
    for name in CATALOGUE:
        text = " ".join(shell(name.replace("_", "-"), "--help").out.split())
        unwrapped = text.replace(" ", "")  # words with a hyphen are wrapped too
        parameters = inspect.signature(operation(name)).parameters
        hints = inspect.get_annotations(operation(name), eval_str=True)
        wanted = {"--help", "--quiet", "--verbose"}
        for parameter in parameters.values():
            plain, param = param_of(hints[parameter.name])
            assert "".join(param.description.split()) in unwrapped, parameter
            option = "--" + parameter.name.replace("_", "-")
            if not param.positional:
                wanted |= {option, "--no-" + option[2:]} if plain is bool else {option}
            if param.low is not None and param.high is not None:
                assert f"{param.low}<=x<={param.high}" in text, parameter
        assert {word.strip(",.") for word in text.split() if word.startswith("--")} == wanted
    assert "0.25<=x<=8" in " ".join(shell("segment", "--help").out.split())


@pytest.mark.parametrize("name", CATALOGUE)
def test_help_shows_basic_options_first_and_the_others_by_groups(shell, name):
    lines = shell(name.replace("_", "-"), "--help").out.splitlines()
    sections: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith((" ", "Usage")):
            sections[line.rstrip(":")] = []
        elif sections and line.startswith("  ") and line[2] != " ":
            sections[[*sections][-1]].append(line.split()[0].rstrip("."))
    order = ["Arguments", "Basic options", *GROUPS, "Command line"]
    assert list(sections) == sorted(sections, key=order.index)
    for key, (_, param, _) in parameters_of(name).items():
        where = "Arguments" if param.positional else "Basic options" if param.level == "basic" else param.group
        assert (key if param.positional else "--" + key.replace("_", "-")) in sections[where], key


def test_help_names_what_is_registered_later(shell, monkeypatch):
    monkeypatch.setattr("fijibridge.synthesis.config.presets", lambda: ["generic", "of-my-own"])
    assert "generic, of-my-own" in " ".join(shell("simulate", "--help").out.split())


def test_help_and_version(shell):
    answer = shell("--help")
    assert answer.status == 0
    assert all(name.replace("_", "-") in answer.out for name in CATALOGUE)
    assert shell("--version").out.startswith("fijibridge 0.")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "Usage"),
        (["segment"], "image"),
        (["segment", "image.tif", "--labels", "labels.tif"], "--out"),
        (["apply", "classifier"], "images"),
        (["nonsense"], "nonsense"),
        ([*SEGMENT, "--tress", "5"], "--tress"),
        ([*SEGMENT, "--trees", "0"], "--trees"),
        ([*SEGMENT, "--channels", "-1"], "--channels"),
        (["import-classifier", "x.model", "--out", "out"], "--feature-file"),
        ([*SEGMENT, "--trees", "many"], "--trees"),
        ([*SEGMENT, "--engine", "java"], "sklearn"),
        ([*SEGMENT, "--enlargement", "100"], "enlargement"),
        ([*SEGMENT, "--enlargement", "nan"], "enlargement"),
        (["demo", "--size", "10"], "--size"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_wrong_usage(here, shell, arguments, word):
    before = tree(here)
    answer = shell(*arguments)
    assert answer.status == 2
    assert word in answer.err + (answer.out if not arguments else "")
    assert tree(here) == before


# --- what it prints where --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_python_m_prints_results_on_stdout_and_progress_on_stderr(here, tmp_path):
    command = [sys.executable, "-W", "error", "-m", "fijibridge", *SEGMENT, "--classes", "ISE, CAM ,pore"]
    env = without_java(tmp_path)  # which would take its time to start
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "segmenting" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("image.tif: ISE ")
    assert lines[1].startswith("out-of-bag accuracy")
    assert lines[-1] == "results: out"
    assert "segmenting" not in done.stdout
    assert json.loads((here / "out" / "report.json").read_text(encoding="utf-8"))["class_names"][1] == "CAM"


def test_quiet_prints_nothing(here, shell):
    assert shell(*APPLY, "--quiet") == Answer(0, "", "")


def test_verbose_tells_more(here, shell):
    answer = shell(*SEGMENT, "-v", "--no-probabilities")
    assert "out-of-bag accuracy" in answer.err
    assert not logging.getLogger("another.library").isEnabledFor(logging.INFO)  # whose news are not for the user
    assert not (here / "out" / "probabilities.tif").exists()


def test_apply_prints_a_line_an_image(here, shell):
    shutil.copy("image.tif", "other.tif")
    answer = shell("apply", "classifier", "image.tif", "other.tif", "--out", "out")
    assert answer.status == 0
    first, second, seconds, place = answer.out.splitlines()
    assert first.startswith("image.tif: class 1 ")
    assert second == first.replace("image.tif", "other.tif")  # the same pixels
    assert seconds.endswith("CPU s)")
    assert place == "results: out"


def test_doctor(shell, monkeypatch, tmp_path):
    answer = shell("doctor")
    checks = [line.split(":")[0].split(maxsplit=1)[1] for line in answer.out.splitlines() if "->" not in line]
    assert checks == ["Python", "Java", "Java libraries", "torch", "ViT weights", "VGG19 weights", "cache", "memory"]
    assert "vgg19 is not in the cache; needed only for reconstruct and superresolve" in answer.out
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = shell("doctor")
    assert answer.status == 1
    assert "cannot be written" in answer.out
    assert "set FIJIBRIDGE_CACHE" in answer.out
    assert "no Java" in answer.out
    assert "Traceback" not in answer.out + answer.err


# --- options of several files -----------------------------------------------------------------------------------------


def test_an_option_of_several_files_takes_all_that_follow():
    from fijibridge.frontends.cli import repeated

    given = ["superresolve", "c.tif", "--micrographs", "a.tif", "b.tif", "--visible", "CAM"]
    given += ["--micrographs", "d.tif", "e.tif"]
    assert repeated(given) == [
        *["superresolve", "c.tif", "--micrographs", "a.tif", "--micrographs", "b.tif", "--visible", "CAM"],
        *["--micrographs", "d.tif", "--micrographs", "e.tif"],
    ]
    for other in ([], ["--version"], ["apply", "model", "a.tif", "b.tif", "--out", "o"], ["superresolve", "--help"]):
        assert repeated(other) == other
