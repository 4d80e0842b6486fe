"""The documentation builds without a warning, its code runs, its commands and options are there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
import typer.main
from test_examples import run

from fijibridge.frontends.arguments import parameters_of, parse_options
from fijibridge.frontends.cli import app
from fijibridge.frontends.imagej.macro_generator import camel, command_name, placed
from fijibridge.operations import CATALOGUE
from fijibridge.synthesis.demo import demo_image

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```(\w*)\n(.*?)^```", re.S | re.M)
_FLAGS = {"overwrite", "show"}  # of menu commands and macro functions, beside an operation's own options
_MORE = {"on_error", "show", "image", "out"}


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page that is to run."""
    text = page.read_text(encoding="utf-8")
    return [code for skipped, kind, code in _FENCE.findall(text) if kind == language and not skipped]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


PYTHON = [page for page in PAGES if blocks(page, "python")]


def strokes_as_rois(path: Path, labels: np.ndarray, names: tuple[str, ...]) -> None:
    """Each class as two rectangles inside its strokes."""
    rois = []
    for value, name in enumerate(names, start=1):
        for number, (y, x) in enumerate(np.argwhere(labels == value)[[0, -1]]):
            corners = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]]
            rois.append(roifile.ImagejRoi.frompoints(np.array(corners, float), name=f"{name}-{number}"))
    roifile.roiwrite(path, rois, mode="w")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files that the pages' code names."""
    image, labels, _ = demo_image(140)
    second, _, _ = demo_image(140, detector="SE")
    for name, each in (("micrograph", image), ("next", image), ("bse", image), ("se", second)):
        tifffile.imwrite(tmp_path / f"{name}.tif", each.data)
    strokes_as_rois(tmp_path / "strokes.zip", labels.data, labels.class_names)
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "volume.tif", rng.integers(0, 3, (8, 9, 10), np.uint8))
    blobs = np.kron(rng.integers(1, 4, (12, 12), np.uint8), np.ones((4, 4), np.uint8))
    tifffile.imwrite(tmp_path / "labels.tif", blobs)
    ball = np.square(np.mgrid[:8, :8, :8] - 3.5).sum(0) < 9
    tifffile.imwrite(tmp_path / "coarse.tif", ball.astype(np.uint8))
    return tmp_path


# what makes a page's code small: the same calls with fewer steps
QUICK = {
    "128, 128, 128": "16, 16, 16",
    "ReconstructionSettings()": 'ReconstructionSettings(loss="patches", steps=4)',
    "SuperresolutionSettings()": 'SuperresolutionSettings(loss="patches", steps=3, trust="coarse")',
}
CHECKS = {
    "README.md": "assert set(result.ravel()) <= {1, 2, 3} and probabilities.shape == (140, 140, 3)\n"
    "assert (next_result == result).all()\n",
    "docs/how-to/measure.md": "assert len(found.table) > 50\n",
}


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_python_of_a_page(files, page):
    code = "\n".join(blocks(page, "python"))
    for long, short in QUICK.items():
        code = code.replace(long, short)
    script = files / "page.py"
    script.write_text(code + CHECKS.get(name_of(page), ""), encoding="utf-8")
    run(script, files)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "tutorials" / "macros.md"], ids=name_of)
def test_macro_of_a_page(files, java, page):
    (code,) = (code for code in blocks(page, "javascript") if code.startswith('run("fijibridge")'))
    (files / "page.ijm").write_text(code, encoding="utf-8")
    command = [sys.executable, "-W", "error", "-m", "fijibridge", "macro", "page.ijm"]
    done = subprocess.run(command, cwd=files, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    # of a few labelled pixels; before it what the call warned of
    assert 0 <= float(done.stdout.splitlines()[-1]) <= 1
    assert (files / "out" / "labels.tif").is_file()


def shell_lines() -> list[tuple[str, str]]:
    """(page, command) of every call of fijibridge in a block of shell code, or in running text."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        codes = [code.replace("\\\n", " ") for _, kind, code in _FENCE.findall(text) if kind in ("", "text")]
        codes += re.findall(r"(?<!`)`(fijibridge [^`]+)`(?!`)", _FENCE.sub("", text))
        for line in "\n".join(codes).splitlines():
            for part in line.split("#")[0].split("&&"):
                if part.strip().startswith("fijibridge "):
                    found.append((name_of(page), " ".join(part.split())))
    return sorted(set(found))


def test_shell_commands_are_there():
    commands = typer.main.get_command(app()).commands
    wrong = []
    for page, line in shell_lines():
        words = shlex.split(re.sub(r"[\[\]]", " ", line))[1:]
        if words[0] in ("--help", "--version", "..."):
            continue
        if words[0] not in commands:
            wrong.append(f"{page}: no command {words[0]!r} in {line!r}")
            continue
        known = {name for one in commands[words[0]].params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        wrong += [f"{page}: no option {word} in {line!r}"
                  for word in words if word.startswith("--") and word.split("=")[0] not in known]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_named_options_are_there():
    """Options in running text, such as `--preset fast`, belong to some command."""
    commands = typer.main.get_command(app()).commands.values()
    known = {name for one in commands for own in one.params for name in (*own.opts, *own.secondary_opts)}
    known |= {"--help", "--version"}
    # of other programs, and of the benchmarks
    known |= {"--json", "--part"}
    wrong = []
    for page in PAGES:
        if page.name in ("CHANGELOG.md", "CONTRIBUTING.md"):
            continue
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        named = re.findall(r"`(--[a-z][a-z-]*)", text)
        wrong += [f"{name_of(page)}: {name}" for name in named if name not in known]
    assert not wrong, "\n".join(wrong)


def test_macro_calls_are_there():
    """Menu commands, macro functions and their options in blocks of macro code."""
    titles = {command_name(name): name for name in CATALOGUE}
    functions = {f"fb{camel(name)}": name for name in CATALOGUE}
    wrong = []
    for page in PAGES:
        for code in blocks(page, "javascript"):
            calls = [(titles.get(title, title), options) for title, options in
                     re.findall(r'run\("(FB [^"]+)", "([^"]*)"\)', code)]  # fmt: skip
            for name, arguments in re.findall(r"\b(fb[A-Z]\w+)\((.*)\);", code):
                if name in functions:
                    places, _ = placed(functions[name])
                    if len(split_arguments(arguments)) != len(places) + 1:
                        wrong.append(f"{name_of(page)}: {name}({arguments})")
                    options = re.search(r'"([^"]*)"$', arguments)
                    calls.append((functions[name], options.group(1) if options else ""))
            for name, options in calls:
                if name not in CATALOGUE:
                    wrong.append(f"{name_of(page)}: no command {name!r}")
                    continue
                unknown = set(parse_options(options)) - set(parameters_of(name)) - _MORE - _FLAGS
                wrong += [f"{name_of(page)}: no option {key!r} of {name}" for key in unknown if options != "..."]
    assert not wrong, "\n".join(wrong)


def split_arguments(text: str) -> list[str]:
    """Arguments of a call, commas in quotes left alone."""
    return re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', text)


def test_readme_is_short_and_begins_with_the_set_up():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) <= 150
    assert lines.index("pip install . && fijibridge demo") < 12
    assert lines.index('pip install -e ".[test]" && python -m pytest') < 12
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install '.[docs]'")
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install '.[docs]'")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    for name in CATALOGUE:
        page = (site / "reference" / "operations" / f"{name.replace('_', '-')}.html").read_text(encoding="utf-8")
        assert all(f"<code>{key}</code>" in page for key in parameters_of(name)), name
    fetched = [
        (page.name, address)
        for page in site.rglob("*.html")
        for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8"))
    ]
    assert fetched == []  # readable where there is no network
