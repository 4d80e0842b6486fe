"""A result folder is there whole or not at all, and an older one is never lost."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from fijibridge.errors import ImageNotFoundError, OutputError
from fijibridge.output import output_folder

_posix = pytest.mark.skipif(sys.platform == "win32", reason="rights and limits of POSIX")
MARKER = "report.json"


def _write(path: Path, text: str, **options) -> None:
    with output_folder(path, marker=MARKER, **options) as folder:
        (folder / MARKER).write_text(text, encoding="utf-8")
        (folder / "inner").mkdir()
        (folder / "inner" / "data").write_bytes(b"0" * 1000)


def _tree(root: Path) -> dict[str, bytes | None]:
    """All that is below a folder, hidden things too."""
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


def test_whole_or_not_at_all(tmp_path):
    target = tmp_path / "result"
    with output_folder(target, marker=MARKER) as folder:
        assert folder.parent.parent == tmp_path  # one file system: the rename at the end copies nothing
        assert folder.parent.name.startswith(".result-")
        (folder / MARKER).write_text("1", encoding="utf-8")
        assert not target.exists()
    assert _tree(tmp_path) == {"result": None, "result/report.json": b"1"}


def test_parents_are_made(tmp_path):
    _write(tmp_path / "a" / "b" / "result", "1")
    assert (tmp_path / "a" / "b" / "result" / MARKER).read_text(encoding="utf-8") == "1"


@_posix
def test_rights_of_any_new_folder(tmp_path):
    _write(tmp_path / "result", "1")
    (tmp_path / "any").mkdir()
    assert (tmp_path / "result").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write("result", "1")
    assert sorted(os.listdir(tmp_path)) == ["result"]


def test_empty_folder_is_taken(tmp_path):
    (tmp_path / "result").mkdir()
    _write(tmp_path / "result", "1")
    assert (tmp_path / "result" / MARKER).is_file()


def test_existing_result_is_refused_without_overwrite(tmp_path):
    _write(tmp_path / "result", "1")
    before = _tree(tmp_path)
    with pytest.raises(OutputError, match=r"exists already[\s\S]*--overwrite"):
        _write(tmp_path / "result", "2")
    assert _tree(tmp_path) == before


def test_overwrite_replaces_all_of_it(tmp_path):
    _write(tmp_path / "result", "1")
    (tmp_path / "result" / "stale.tif").write_bytes(b"old")
    with output_folder(tmp_path / "result", marker=MARKER, overwrite=True) as folder:
        assert (tmp_path / "result" / "stale.tif").is_file()  # the older result stays until the end
        (folder / MARKER).write_text("2", encoding="utf-8")
    assert _tree(tmp_path) == {"result": None, "result/report.json": b"2"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_things_are_never_replaced(tmp_path, overwrite):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"dear")
    (tmp_path / "thesis").write_bytes(b"dear too")
    before = _tree(tmp_path)
    for name in ("photos", "thesis"):
        with pytest.raises(OutputError) as caught:
            _write(tmp_path / name, "1", overwrite=overwrite)
        assert name in caught.value.found
    assert _tree(tmp_path) == before


def test_a_result_that_holds_an_input_is_not_replaced(tmp_path):
    _write(tmp_path / "result", "1")
    before = _tree(tmp_path)
    with pytest.raises(OutputError, match="is an input of this work"):
        _write(tmp_path / "result", "2", overwrite=True, inputs=[None, tmp_path / "result" / "inner"])
    assert _tree(tmp_path) == before
    _write(tmp_path / "result", "2", overwrite=True, inputs=[None, tmp_path / "elsewhere"])
    assert (tmp_path / "result" / MARKER).read_text(encoding="utf-8") == "2"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
@pytest.mark.parametrize("older", [True, False])
def test_an_exception_inside_leaves_all_as_it_was(tmp_path, error, older):
    target = tmp_path / "deep" / "result"
    if older:
        _write(target, "1")
    before = _tree(tmp_path)

    def interrupted():
        with output_folder(target, marker=MARKER, overwrite=True) as folder:
            (folder / MARKER).write_text("2", encoding="utf-8")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert _tree(tmp_path) == before  # nor are the parents left that were made


@pytest.mark.parametrize("error", [KeyboardInterrupt(), PermissionError(errno.EACCES, "in use")])
@pytest.mark.parametrize("failing", [1, 2])
def test_interrupted_while_the_folders_are_swapped(tmp_path, monkeypatch, error, failing):
    _write(tmp_path / "result", "1")
    before = _tree(tmp_path)
    calls, rename = [], os.rename

    def fails(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        _write(tmp_path / "result", "2", overwrite=True)
    monkeypatch.undo()
    assert len(calls) >= failing
    assert _tree(tmp_path) == before


def test_a_place_taken_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "result"

    def late():
        with output_folder(target, marker=MARKER) as folder:
            (folder / MARKER).write_text("mine", encoding="utf-8")
            _write(target, "theirs")

    with pytest.raises(OutputError, match="exists already"):
        late()
    assert sorted(os.listdir(tmp_path)) == ["result"]
    assert (target / MARKER).read_text(encoding="utf-8") == "theirs"


def test_a_result_without_its_marker_is_a_defect(tmp_path):
    with pytest.raises(AssertionError, match=r"report\.json"), output_folder(tmp_path / "result", marker=MARKER):
        pass
    assert _tree(tmp_path) == {}


def test_full_disk_names_the_folder_and_the_remedy(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(OutputError, match=r"result cannot be written \(No space[\s\S]*remedy: free"),
        output_folder(tmp_path / "result", marker=MARKER),
    ):
        raise full
    assert _tree(tmp_path) == {}


def test_a_message_names_the_users_folder(tmp_path):
    def write():
        with output_folder(tmp_path / "result", marker=MARKER) as folder:
            raise OutputError(f"{folder / 'labels.tif'} cannot be written", expected="space", remedy="free some")

    with pytest.raises(OutputError) as caught:
        write()
    assert caught.value.found == f"{tmp_path / 'result' / 'labels.tif'} cannot be written"


def test_errors_that_are_not_about_the_folder_pass_as_they_are(tmp_path):
    missing = ImageNotFoundError("no image", expected="one", remedy="check")
    with pytest.raises(ImageNotFoundError), output_folder(tmp_path / "result", marker=MARKER):
        raise missing
    with pytest.raises(FileNotFoundError) as caught, output_folder(tmp_path / "result", marker=MARKER):
        (tmp_path / "input.tif").read_bytes()
    assert not isinstance(caught.value, OutputError)


@pytest.mark.parametrize("name", ["file/result", "file/deep/result", "n" * 300], ids=["below", "deep below", "long"])
def test_places_that_cannot_be(tmp_path, name):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"cannot be written[\s\S]*expected:[\s\S]*remedy:"):
        _write(tmp_path / name, "1")
    assert _tree(tmp_path) == {"file": b"x"}


@_posix
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        _write(tmp_path / "locked" / "result", "1")
