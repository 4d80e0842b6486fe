"""A result folder is there whole or not at all, and an older one is never lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fijibridge.core.atomic_output import add_file, one_run, output_file, output_folder, put_folder, sweep
from fijibridge.core.errors import ImageNotFoundError, OutputError
from fijibridge.core.manifest import MANIFEST

_posix = pytest.mark.skipif(sys.platform == "win32", reason="rights and limits of POSIX")
MARKER = "report.json"


def _write(path: Path, text: str, **options) -> None:
    with output_folder(path, marker=MARKER, **options) as folder:
        (folder / MARKER).write_text(text, encoding="utf-8")
        (folder / "inner").mkdir()
        (folder / "inner" / "data").write_bytes(b"0" * 1000)


def _tree(root: Path) -> dict[str, bytes | None]:
    """All that is below a folder, hidden things too, but for manifests."""
    paths = [path for path in sorted(root.rglob("*")) if path.name != MANIFEST]
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in paths}


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


def test_overwrite_replaces_what_was_written_and_keeps_what_was_not(tmp_path, caplog):
    out = tmp_path / "result"
    _write(out, "1")
    (out / "notes.txt").write_bytes(b"mine")
    (out / "inner" / "more").mkdir()
    (out / "inner" / "more" / "drawing.roi").write_bytes(b"mine too")
    (out / "empty").mkdir()
    (out / "new.tif").write_bytes(b"the user's")
    (out / "link").symlink_to(tmp_path / "elsewhere")
    (out / "copy").mkdir()
    shutil.copy(out / MARKER, out / "copy")
    shutil.copy(out / MANIFEST, out / "copy")  # another result, moved in by the user
    with output_folder(out, marker=MARKER, overwrite=True) as folder:
        assert (out / MARKER).read_text(encoding="utf-8") == "1"  # the older result stays until the end
        (folder / MARKER).write_text("2", encoding="utf-8")
        (folder / "new.tif").write_bytes(b"ours")
    assert (out / "link").readlink() == tmp_path / "elsewhere"
    assert _tree(out) == {
        "copy": None, "copy/report.json": b"1", "empty": None, "inner": None, "inner/more": None,
        "inner/more/drawing.roi": b"mine too", "link": None, "new-kept1.tif": b"the user's", "new.tif": b"ours",
        "notes.txt": b"mine", "report.json": b"2",
    }  # fmt: skip
    assert "new-kept1.tif" in caplog.text
    assert (out / "copy" / MANIFEST).is_file()
    assert sorted(os.listdir(tmp_path)) == ["result"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', '{"files": ["../other", "/etc"]}', "[" * 10_000])
def test_without_a_manifest_nothing_is_replaced(tmp_path, text):
    """A folder with a marker that something else wrote, such as a report copied there."""
    (tmp_path / "other").write_bytes(b"dear")
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / MARKER).write_text("{}", encoding="utf-8")
    if text:
        (tmp_path / "result" / MANIFEST).write_text(text, encoding="utf-8")
    before = _tree(tmp_path)
    with pytest.raises(OutputError, match=r"holds other things \(no \.fijibridge\.json that names"):
        _write(tmp_path / "result", "2", overwrite=True)
    assert _tree(tmp_path) == before


def test_a_manifest_names_nothing_outside(tmp_path):
    (tmp_path / "other").write_bytes(b"dear")
    _write(tmp_path / "result", "1")
    names = [MARKER, "../other", str(tmp_path / "other"), "inner/../../other"]
    (tmp_path / "result" / MANIFEST).write_text(json.dumps({"files": names}), encoding="utf-8")
    _write(tmp_path / "result", "2", overwrite=True)
    assert (tmp_path / "other").read_bytes() == b"dear"


def test_a_link_is_never_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "result").symlink_to(tmp_path / "disk" / "far")
    _write(tmp_path / "result", "1")
    _write(tmp_path / "result", "2", overwrite=True)
    (tmp_path / "table.csv").symlink_to(tmp_path / "disk" / "table.csv")
    for text in "12":
        with output_file(tmp_path / "table.csv") as part:
            part.write_text(text, encoding="utf-8")
    assert (tmp_path / "result").is_symlink()
    assert (tmp_path / "table.csv").is_symlink()
    assert (tmp_path / "disk" / "far" / MARKER).read_text(encoding="utf-8") == "2"
    assert (tmp_path / "disk" / "table.csv").read_text(encoding="utf-8") == "2"
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(OutputError, match="round"):
        _write(tmp_path / "round", "1")


def test_a_file_added_later_goes_with_its_result(tmp_path):
    _write(tmp_path / "result", "1")
    add_file(tmp_path / "result", "added.json", b"{}")
    _write(tmp_path / "result", "2", overwrite=True)
    assert "added.json" not in _tree(tmp_path / "result")


def test_a_folder_made_beside_its_place(tmp_path):
    _write(tmp_path / "result", "1")
    (tmp_path / "result" / "notes").write_bytes(b"mine")
    _write(tmp_path / "result.resume", "2")
    with pytest.raises(OutputError, match="exists already"):
        put_folder(tmp_path / "result.resume", tmp_path / "result", marker=MARKER)
    put_folder(tmp_path / "result.resume", tmp_path / "result", marker=MARKER, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["result"]
    assert _tree(tmp_path / "result").items() >= {"notes": b"mine", "report.json": b"2"}.items()


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
    for full in (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError(f"serialize: I/O error: {os.strerror(errno.ENOSPC)} (os error 28)"),  # safetensors
        OSError("2000 requested and 384 written"),  # NumPy
    ):
        with (
            pytest.raises(OutputError, match=r"result cannot be written \([\s\S]*remedy: free"),
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


# --- killed ----------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from fijibridge.core.atomic_output import output_file, output_folder, put_folder, sweep
target, rename, calls = Path(sys.argv[1]), os.rename, 0
def counted(source, to):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, to)
os.rename = counted
with output_folder(target, marker="report.json", overwrite=True) as folder:
    (folder / "report.json").write_text("2")
    if sys.argv[2] == "0":
        with output_file(folder / "labels.tif") as part:
            part.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[3]:
        made = target.with_name(sys.argv[3])
        rename(folder, made)
        put_folder(made, target, marker="report.json", overwrite=True)
"""


@_posix
@pytest.mark.parametrize("made", ["", "result.resume"])
@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_killed_while_a_result_takes_its_place(tmp_path, call, made):
    """At work, before the first rename, between the two, and while the older result is cleared."""
    out = tmp_path / "result"
    _write(out, "1")
    (out / "notes.txt").write_bytes(b"mine")
    _write(tmp_path / "result-2", "other")
    (tmp_path / ".result-like").mkdir()  # the user's
    done = subprocess.run([sys.executable, "-c", KILLED, out, str(call), made], check=False)
    assert done.returncode == -signal.SIGKILL
    _write(tmp_path / "result-2", "again", overwrite=True)  # clears nothing of another's
    with pytest.raises(OutputError, match="exists already"):
        _write(out, "3")
    left = {"result", "result-2", ".result-like"} | ({made} if call == 1 and made else set())
    assert set(os.listdir(tmp_path)) == left
    assert (out / MARKER).read_text(encoding="utf-8") == ("1" if call < 2 else "2")
    assert (out / "notes.txt").read_bytes() == b"mine"


@_posix
def test_killed_inside_of_a_result(tmp_path):
    """What was half written there is not taken for the user's."""
    out = tmp_path / "result"
    _write(out, "1")
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from fijibridge.core.atomic_output import output_file
        with output_file(Path(sys.argv[1]) / "added") as part:
            part.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", code, out], check=False)
    assert [path.name.rpartition("-")[0] for path in out.glob(".added-*")] == [".added"]
    _write(out, "2", overwrite=True)
    assert set(_tree(out)) == {"report.json", "inner", "inner/data"}


@_posix
def test_what_a_living_process_makes_is_never_cleared(tmp_path):
    with output_folder(tmp_path / "result", marker=MARKER) as folder:
        (folder / MARKER).write_text("1", encoding="utf-8")
        code = "import pathlib, sys, fijibridge.core.atomic_output as o; o.sweep(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, tmp_path / "result"], check=True)
        assert (folder / MARKER).is_file()


def test_two_runs_at_once_each_stay_whole(tmp_path):
    """Folders of two files that belong together, replaced by several threads all the time."""
    out, wrong = tmp_path / "result", []

    def replace(name):
        for number in range(15):
            try:
                with output_folder(out, marker=MARKER, overwrite=True) as folder:
                    (folder / MARKER).write_text(f"{name}{number}", encoding="utf-8")
                    (folder / "labels").write_text(f"{name}{number}", encoding="utf-8")
            except OutputError as error:
                wrong.append(error)

    threads = [threading.Thread(target=replace, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sorted(os.listdir(tmp_path)) == ["result"]
    assert (out / MARKER).read_text(encoding="utf-8") == (out / "labels").read_text(encoding="utf-8")
    assert len(os.listdir(out)) == 3


def test_one_run_at_a_time(tmp_path):
    with one_run(tmp_path / "deep" / "set"):
        with pytest.raises(OutputError, match="another run"), one_run(tmp_path / "deep" / "set"):
            pass
        with one_run(tmp_path / "deep" / "other"):
            pass
    assert os.listdir(tmp_path) == []
    with one_run(tmp_path / "set"):
        pass


# --- places that cannot be -------------------------------------------------------------------------------------------


@_posix
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        _write(tmp_path / "locked" / "result", "1")


def test_a_place_that_was_killed_before_its_lock_goes(tmp_path):
    def place(name: str, *files: str, age: float = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in files:
            (folder / file).touch()
        os.utime(folder, (time.time() - age,) * 2)
        return folder

    gone = [
        place(".out-abcdefg1", age=3600),
        place(".out-abcdefg2", "lock"),
        place(".out-abcdefg3", "lock", "about.json"),
    ]
    kept = [
        place(".out-abcdefg4"),  # young: its process may live
        place(".out-mine", age=3600),
        place(".out-abcdefg5", "photo.tif", age=3600),
        place(".out-abcdefg6", "lock", "photo.tif"),
    ]
    sweep(tmp_path / "out")
    assert [folder.exists() for folder in gone] == [False] * 3
    assert [folder.exists() for folder in kept] == [True] * 4
