"""What the tests of the front ends share: a user's folder with a sample and a classifier, and the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shell import FAST, Answer, Shell, write_sample

from fijibridge.frontends.cli import main


@pytest.fixture(scope="session")
def master(tmp_path_factory) -> Path:
    """image.tif, labels.tif, and out: an older result with its classifier."""
    folder = tmp_path_factory.mktemp("master")
    write_sample(folder)
    image, labels, out = (str(folder / name) for name in ("image.tif", "labels.tif", "out"))
    assert main(["segment", image, "--labels", labels, "--out", out, "--quiet", *FAST]) == 0
    return folder


@pytest.fixture
def here(master, tmp_path, monkeypatch) -> Path:
    """A working folder of a user's: image.tif, labels.tif and classifier."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("image.tif", "labels.tif"):
        shutil.copy(master / name, folder)
    shutil.copytree(master / "out" / "classifier", folder / "classifier")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shell(capsys) -> Shell:
    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        status = main(list(map(str, arguments)))
        return Answer(status, *capsys.readouterr())

    return run
