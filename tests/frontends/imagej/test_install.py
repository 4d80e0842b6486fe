"""Menu commands and macro library: in agreement with the catalogue, put into a Fiji or ImageJ and taken out again."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import tree

from fijibridge.core.errors import ImageNotFoundError, JavaError, OutputError, ServiceError
from fijibridge.core.installation import MANIFEST, installation
from fijibridge.frontends.arguments import parameters_of
from fijibridge.frontends.cli import main
from fijibridge.frontends.imagej import gui
from fijibridge.frontends.imagej import macro_generator as generate
from fijibridge.frontends.imagej.install import filled_in, install, macro_text, uninstall
from fijibridge.operations import CATALOGUE, operation

MACROS = generate.macros_folder()


@pytest.fixture(params=["ImageJ", "Fiji", "Fidschi für alle 1"])
def folder(request, tmp_path) -> Path:
    """A folder as that of an ImageJ or Fiji, with a user's own things in it."""
    folder = tmp_path / request.param
    (folder / "plugins").mkdir(parents=True)
    (folder / "macros").mkdir()
    (folder / "macros" / "mine.ijm").write_text("print(1);", encoding="utf-8")
    (folder / "ij.jar").touch()
    if request.param.startswith("F"):
        (folder / "jars").mkdir()
        (folder / "jars" / "imagej-legacy-2.0.1.jar").touch()
    return folder


# --- what is generated -----------------------------------------------------------------------------------------------


def test_macros_agree_with_the_catalogue(capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_a_new_parameter_is_noticed_and_written(tmp_path, monkeypatch, capsys):
    copy = tmp_path / "macros"
    shutil.copytree(MACROS, copy)
    monkeypatch.setattr(generate, "macros_folder", lambda: copy)
    command = copy / "commands" / "FB_Apply.ijm"
    text = command.read_text(encoding="utf-8")
    command.write_text(text.replace("Databar", "Bar"), encoding="utf-8")
    (copy / "commands" / "FB_Of_Old.ijm").touch()
    (copy / "commands" / "FB_Demo.ijm").unlink()
    assert generate.main(["--check"]) == 1
    out = capsys.readouterr().out
    assert [name for name in ("FB_Apply", "FB_Of_Old", "FB_Demo", "FB_Segment") if name in out] == [
        "FB_Apply",
        "FB_Of_Old",
        "FB_Demo",
    ]
    assert generate.main([]) == 0
    assert tree(copy) == tree(MACROS)
    (copy / generate.LIBRARY).write_text("no seam", encoding="utf-8")
    assert generate.main([]) == 2


def test_an_installed_package_stays_as_it_is(tmp_path, monkeypatch, capsys):
    package = tmp_path / "fijibridge"
    shutil.copytree(MACROS, package / "macros")
    monkeypatch.setattr("fijibridge.__file__", str(package / "__init__.py"))
    (package / "macros" / "commands" / "FB_Demo.ijm").unlink()
    before = tree(package)
    assert generate.main([]) == 2
    assert "belongs to an installed package" in capsys.readouterr().err
    assert tree(package) == before


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_operation_has_a_command_and_a_function(name):
    command = MACROS / generate.COMMANDS / f"{generate.command_name(name).replace(' ', '_')}.ijm"
    text = command.read_text(encoding="utf-8")
    assert text.startswith("// include FijiBridge.ijm\n")
    for key in operation(name).__kwdefaults__ or {}:
        is_open = parameters_of(name)[key][1].role == "image"  # the active image: no field
        assert (f'fbPair("{key}", fbImage(' if is_open else f'"{key.capitalize()}') in text
    assert f"function fb{generate.camel(name)}(" in (MACROS / generate.LIBRARY).read_text(encoding="utf-8")


def test_all_is_ascii():
    """ImageJ reads macro files as ISO 8859-1."""
    for path in MACROS.rglob("*.*"):
        assert path.read_bytes().isascii(), path


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc"))))
def test_any_path_becomes_ascii(text):
    expression = macro_text(text)
    assert expression.isascii()
    units = b""
    for plain, codes in re.findall(r'"([^"]*)"|fromCharCode\(([^)]*)\)', expression):  # as ImageJ would read it
        found = [ord(letter) for letter in plain] if not codes else [int(code) for code in codes.split(", ")]
        units += b"".join(unit.to_bytes(2, "big") for unit in found)
    assert units.decode("utf-16-be") == text


# --- installed -------------------------------------------------------------------------------------------------------


def test_install_and_uninstall(folder, service_folder):
    before = tree(folder)
    planned = install(folder, dry_run=True)
    assert tree(folder) == before
    assert install(folder) == planned
    after = tree(folder)
    assert {line.split(" ", 1)[1] for line in planned} == {
        name for name in after if name not in before and after[name] is not None and name != MANIFEST
    }
    for name in CATALOGUE:
        assert f"plugins/FijiBridge/{generate.command_name(name).replace(' ', '_')}.ijm" in after
    assert "macros/FijiBridge/Batch_Segment.ijm" in after
    assert any(name.endswith(".groovy") for name in after) == (folder / "jars").exists()
    library = after["macros/FijiBridge.ijm"]
    assert library.isascii()
    assert macro_text(Path(sys.executable).as_posix()).encode() in library
    assert macro_text(service_folder.as_posix() + "/").encode() in library
    assert b"{ return 0; }" in library

    install(folder)  # again: nothing changes
    assert tree(folder) == after
    assert len(uninstall(folder, dry_run=True)) == len(planned)
    assert tree(folder) == after
    uninstall(folder)
    assert tree(folder) == before
    with pytest.raises(ServiceError, match="not installed"):
        uninstall(folder)


def test_an_upgrade_removes_what_is_no_more(folder):
    install(folder)
    old = folder / "plugins" / "FijiBridge" / "FB_Of_Old.ijm"
    old.write_text("print(1);", encoding="utf-8")
    data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    data["files"]["plugins/FijiBridge/FB_Of_Old.ijm"] = "0" * 64
    data["version"] = "0.0.1"
    (folder / MANIFEST).write_text(json.dumps(data), encoding="utf-8")
    assert "remove plugins/FijiBridge/FB_Of_Old.ijm" in install(folder)
    assert not old.exists()
    assert installation(folder).version != "0.0.1"


def test_a_users_own_file_is_not_replaced(folder):
    (folder / "macros" / "FijiBridge.ijm").write_text("mine", encoding="utf-8")
    before = tree(folder)
    with pytest.raises(OutputError, match="not from fijibridge"):
        install(folder)
    assert tree(folder) == before


def test_what_the_user_changed_stays(folder):
    install(folder)
    changed = folder / "macros" / "FijiBridge" / "Batch_Segment.ijm"
    changed.write_text("mine now", encoding="utf-8")
    assert "keep macros/FijiBridge/Batch_Segment.ijm, which was changed since" in uninstall(folder)
    assert changed.read_text(encoding="utf-8") == "mine now"


@pytest.mark.parametrize("text", ["{", '{"files": []}', '{"version": "1", "python": "p", "files": {"../../x": "0"}}'])
def test_a_damaged_list_removes_nothing(folder, text):
    install(folder)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    before = tree(folder)
    for act in (install, uninstall):
        with pytest.raises(ServiceError, match="cannot be read"):
            act(folder)
    assert tree(folder) == before


def test_a_folder_that_is_none(tmp_path, capsys):
    assert main(["install", str(tmp_path / "nowhere")]) == 2
    assert main(["install", str(tmp_path)]) == 2
    assert "neither a Fiji nor an ImageJ" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_install_says_that_a_plain_imagej_has_no_window_commands(folder, capsys):
    assert main(["install", str(folder)]) == 0
    assert ("A plain ImageJ" in capsys.readouterr().out) != (folder / "jars").exists()


@pytest.mark.slow
def test_doctor_looks_at_it(folder, capsys, monkeypatch):
    def told() -> dict[str, dict[str, str]]:
        return {check["name"]: check for check in operation("doctor")(fiji=folder)["checks"]}

    assert told()["Fiji: commands"]["state"] == "note"
    install(folder)
    found = told()
    assert found["Fiji: commands"]["state"] == "ok"
    assert sys.executable in found["Fiji: commands"]["found"]
    assert found["Fiji: TWS"]["state"] == "note"
    (folder / "plugins" / "Trainable_Segmentation-4.0.0.jar").touch()
    tws = told()["Fiji: TWS"]
    if (folder / "jars").exists():
        assert (tws["state"], tws["found"]) == ("ok", "TWS 4.0.0")
    else:
        assert (tws["state"], "plain ImageJ, with TWS" in tws["found"]) == ("note", True)
        assert "use a Fiji" in tws["remedy"]
    (folder / "macros" / "FijiBridge.ijm").unlink()
    assert "macros/FijiBridge.ijm" in told()["Fiji: commands"]["found"]
    install(folder)
    data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**data, "python": "/gone/python"}), encoding="utf-8")
    gone = told()["Fiji: commands"]
    assert gone["state"] == "missing"
    assert "/gone/python" in gone["found"]
    assert "fijibridge install" in gone["remedy"]
    monkeypatch.setenv("FIJIBRIDGE_FIJI", str(folder / "nowhere"))
    assert main(["doctor"]) == 1
    assert "no folder" in capsys.readouterr().out


# --- gui -------------------------------------------------------------------------------------------------------------


def test_gui_needs_an_image_and_a_display(tmp_path, monkeypatch, capsys):
    assert main(["gui", str(tmp_path / "no.tif")]) == 2
    assert "no image" in capsys.readouterr().err
    with pytest.raises(ImageNotFoundError):
        gui.run(tmp_path / "no.tif")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["gui"]) == 2
    assert "no display" in capsys.readouterr().err


def test_gui_finds_the_launcher(folder, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    if (folder / "jars").exists():
        with pytest.raises(ServiceError, match="no launcher"):
            gui.command_of(folder)
        (folder / "fiji-linux-x64").touch()
        assert gui.command_of(folder) == [str(folder / "fiji-linux-x64")]
        return
    try:
        command = gui.command_of(folder, "512m")
    except JavaError:
        pytest.skip("no Java on this machine")
    assert command[1:] == ["-Xmx512m", "-cp", str(folder / "ij.jar"), "ij.ImageJ", "-ijpath", str(folder)]


def test_an_imagej_of_our_own(java):
    folder = gui.own_imagej()
    install(folder)
    assert (folder / "ij.jar").stat().st_size > 10**6
    assert installation(folder) is not None


def test_the_hosted_library_knows_its_host():
    text = filled_in((MACROS / generate.LIBRARY).read_text(encoding="utf-8"), hosted=Path("/x"))
    assert "function fbHosted() { return 1; }" in text
    assert 'function fbFolder() { return "/x/"; }' in text
